/* The thread pool: every item once, the error of the lowest item, any number of rounds, any number of threads. */
#include "pool.h"

#include <stdatomic.h>

#include "faults.h"
#include "testlib.h"

enum { ITEMS = 500 };

typedef struct {
    atomic_int seen[ITEMS];
    int32_t n_workers;
    int32_t fails_from; /* items from here on fail with their own number */
    atomic_bool bad_worker;
} job_t;

static int work(void *context, int32_t worker, int32_t item)
{
    job_t *job = context;
    atomic_fetch_add(&job->seen[item], 1);
    if (worker < 0 || worker >= job->n_workers) {
        atomic_store(&job->bad_worker, true);
    }
    return item >= job->fails_from ? -1000 - item : 0;
}

static void every_item_is_done_once_in_every_round(void)
{
    static const int32_t sizes[] = {0, 1, 2, 3, 7, 100, ITEMS};
    for (int32_t threads = 0; threads <= 5; threads++) {
        hbm_pool_t *pool = NULL;
        REQUIRE(hbm_pool_create(threads, &pool) == 0);
        for (int round = 0; round < 70; round++) {
            job_t job = {.n_workers = threads < 1 ? 1 : threads, .fails_from = ITEMS};
            const int32_t n = sizes[round % 7];
            CHECK_EQ(hbm_pool_run(pool, work, &job, n), 0);
            for (int32_t i = 0; i < ITEMS; i++) {
                CHECK_EQ(atomic_load(&job.seen[i]), i < n);
            }
            CHECK(!atomic_load(&job.bad_worker));
        }
        hbm_pool_free(pool);
    }
}

static void the_error_of_the_lowest_item_is_returned(void)
{
    for (int32_t threads = 1; threads <= 4; threads++) {
        hbm_pool_t *pool = NULL;
        REQUIRE(hbm_pool_create(threads, &pool) == 0);
        for (int32_t from = 0; from < ITEMS; from += 83) {
            job_t job = {.n_workers = threads, .fails_from = from};
            CHECK_EQ(hbm_pool_run(pool, work, &job, ITEMS), -1000 - from);
            job.fails_from = ITEMS;
            CHECK_EQ(hbm_pool_run(pool, work, &job, ITEMS), 0); /* the next round starts clean */
        }
        hbm_pool_free(pool);
    }
}

static int count_down(void *context) { return --*(int *)context < 0; }

static void a_poll_that_asks_to_stop_ends_the_round(void)
{
    for (int32_t threads = 1; threads <= 4; threads++) {
        hbm_pool_t *pool = NULL;
        int left = 3;
        job_t job = {.n_workers = threads, .fails_from = ITEMS};
        REQUIRE(hbm_pool_create(threads, &pool) == 0);
        hbm_pool_set_poll(pool, count_down, &left);
        if (threads == 1) { /* else the others may have done all there was */
            CHECK_EQ(hbm_pool_run(pool, work, &job, ITEMS), HBM_ERR_INTERRUPTED);
            CHECK(atomic_load(&job.seen[2]) && !atomic_load(&job.seen[3]));
        }
        left = 0;
        CHECK_EQ(hbm_pool_run(pool, work, &job, ITEMS), HBM_ERR_INTERRUPTED);
        left = 2 * ITEMS;
        CHECK_EQ(hbm_pool_run(pool, work, &job, ITEMS), 0);
        hbm_pool_free(pool);
    }
}

static int use(void *arg)
{
    hbm_pool_t *pool = NULL;
    job_t job = {.n_workers = *(int32_t *)arg, .fails_from = ITEMS};
    int ret = hbm_pool_create(*(int32_t *)arg, &pool);
    ret = ret != 0 ? ret : hbm_pool_run(pool, work, &job, ITEMS);
    for (int32_t i = 0; i < ITEMS && ret == 0; i++) {
        CHECK_EQ(atomic_load(&job.seen[i]), 1);
    }
    hbm_pool_free(pool);
    return ret;
}

static void fewer_threads_and_less_memory_are_survived(void)
{
    int32_t threads = 4;
    CHECK(faults_sweep(use, &threads) >= 2);
    CHECK_EQ(faults_sweep_threads(use, &threads), 3);
    hbm_pool_free(NULL);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(every_item_is_done_once_in_every_round), T(the_error_of_the_lowest_item_is_returned),
      T(a_poll_that_asks_to_stop_ends_the_round), T(fewer_threads_and_less_memory_are_survived))

/* The request queue against the plainest model of it: an array in order of age, with one open row per bank. */
#include "queue.h"

#include "faults.h"
#include "testlib.h"

enum { CAPACITY = 24, BANKS = 5, ROWS = 3, COLUMNS = 4 };

typedef struct {
    int64_t age;
    int bank;
    int32_t row;
    int32_t column;
} item_t;

typedef struct {
    item_t item[CAPACITY];
    int n;
    int32_t open[BANKS]; /* -1: closed */
} model_t;

static int oldest(const model_t *m, int bank, bool hits)
{
    for (int i = 0; i < m->n; i++) {
        if ((bank < 0 || m->item[i].bank == bank) && (m->item[i].row == m->open[m->item[i].bank]) == hits) {
            return i;
        }
    }
    return -1;
}

static void remove_item(model_t *m, int at)
{
    m->n--;
    for (int i = at; i < m->n; i++) {
        m->item[i] = m->item[i + 1];
    }
}

static void compare(hbm_queue_t *q, const model_t *m)
{
    int64_t first = HBM_NEVER;

    CHECK_EQ(q->count, m->n);
    CHECK_EQ(hbm_queue_full(q), m->n == CAPACITY);
    for (int b = 0; b < BANKS; b++) {
        const int hit = oldest(m, b, true), other = oldest(m, b, false);
        int hits = 0;
        for (int i = 0; i < m->n; i++) {
            hits += m->item[i].bank == b && m->item[i].row == m->open[b];
        }
        CHECK_EQ((q->hit_banks >> b) & 1, hit >= 0);
        CHECK_EQ((q->other_banks >> b) & 1, other >= 0);
        CHECK_EQ(q->hit_key[b], hit < 0 ? HBM_NEVER : (m->item[hit].age << 6 | b));
        CHECK_EQ(q->other_key[b], other < 0 ? HBM_NEVER : (m->item[other].age << 6 | b));
        if (hit >= 0) {
            CHECK_EQ(hbm_queue_first_hit(q, b)->column, m->item[hit].column);
            CHECK_EQ(hbm_queue_last_hit(q, b), hits == 1);
        }
        if (other >= 0) {
            CHECK_EQ(hbm_queue_first_other(q, b)->row, m->item[other].row);
        }
        for (int32_t row = 0; row < ROWS; row++) {
            for (int32_t column = 0; column < COLUMNS; column++) {
                bool holds = false;
                for (int i = 0; i < m->n; i++) {
                    holds = holds || (m->item[i].bank == b && m->item[i].row == row && m->item[i].column == column);
                }
                CHECK_EQ(hbm_queue_holds(q, b, row, column), holds);
            }
        }
    }
    for (int i = 0; i < m->n; i++) {
        first = hbm_min(first, m->item[i].age << 6 | m->item[i].bank);
    }
    CHECK_EQ(hbm_queue_oldest(q), first);
}

static void push(hbm_queue_t *q, const item_t *item, bool hit)
{
    hbm_list_t *list = hit ? &q->hits[item->bank] : &q->others[item->bank];

    if (list->head == HBM_NIL) {
        hbm_queue_push_first(q, hit, item->bank, item->age, item->row, item->column);
    } else {
        hbm_queue_append(q, list, item->bank, item->age, item->row, item->column);
    }
}

static void the_queue_behaves_like_a_sorted_array(void)
{
    uint64_t seed = 99;
    hbm_queue_t q;
    model_t m = {.n = 0, .open = {-1, -1, -1, -1, -1}};

    REQUIRE(hbm_queue_init(&q, CAPACITY) == 0);
    for (int64_t step = 0; step < 6000 && test_failures == 0; step++) {
        const int b = test_below(&seed, BANKS), act = test_below(&seed, 10);
        const int hit = oldest(&m, b, true);
        if (act < 5 && m.n < CAPACITY) {
            const item_t item = {step, b, test_below(&seed, ROWS), test_below(&seed, COLUMNS)};
            push(&q, &item, m.open[b] == item.row);
            m.item[m.n++] = item;
        } else if (act < 8 && hit >= 0) {
            hbm_queue_pop_hit(&q, b);
            remove_item(&m, hit);
        } else if (act == 8 && m.open[b] >= 0) {
            hbm_queue_close_row(&q, b);
            m.open[b] = -1;
        } else if (m.open[b] < 0) {
            const int other = oldest(&m, b, false);
            m.open[b] = other >= 0 ? m.item[other].row : test_below(&seed, ROWS);
            hbm_queue_open_row(&q, b, m.open[b]);
        }
        compare(&q, &m);
    }
    hbm_queue_free(&q);
}

static int init_and_free(void *arg)
{
    hbm_queue_t q;
    const int ret = hbm_queue_init(&q, *(int *)arg);
    hbm_queue_free(&q);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    int capacity = HBM_MAX_QUEUE;
    CHECK(faults_sweep(init_and_free, &capacity) >= 1);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(the_queue_behaves_like_a_sorted_array), T(running_out_of_memory_is_reported))

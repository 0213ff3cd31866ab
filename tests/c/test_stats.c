/* Histogram buckets, the time series and the command log. */
#include "stats.h"

#include <stdlib.h>

#include "faults.h"
#include "testlib.h"

static void buckets_tile_the_line(void)
{
    CHECK_EQ(hbm_histogram_lower_edge(0), 0);
    for (int32_t b = 0; b < hbm_histogram_n_buckets(); b++) {
        const int64_t low = hbm_histogram_lower_edge(b), next = hbm_histogram_lower_edge(b + 1);
        CHECK(next > low);
        CHECK_EQ(hbm_bucket(low), b);
        CHECK_EQ(hbm_bucket(next - 1), b);
        CHECK((next - low) * 64 <= (low > 64 ? low : 64)); /* relative width at most 1/64, exact below 64 */
    }
}

static void values_beyond_the_ends_go_to_the_end_buckets(void)
{
    CHECK_EQ(hbm_bucket(-5), 0);
    CHECK_EQ(hbm_bucket(INT64_MAX), hbm_histogram_n_buckets() - 1);
}

static void counters_have_names_in_order(void)
{
    CHECK_EQ(hbm_n_counters() * (int)sizeof(int64_t), sizeof(hbm_counters_t));
    CHECK(strcmp(hbm_counter_name(0), "n_act") == 0);
    CHECK(strcmp(hbm_counter_name((int32_t)(offsetof(hbm_counters_t, row_hits) / sizeof(int64_t))), "row_hits") == 0);
    CHECK(hbm_counter_name(-1) == NULL);
    CHECK(hbm_counter_name(hbm_n_counters()) == NULL);
}

static void many_events_at_once_are_those_one_by_one(void)
{
    static hbm_epochs_t many, single;
    uint64_t seed = 7;

    for (int round = 0; round < 200; round++) {
        const hbm_tick_t length = 2 + test_below(&seed, 40), step = 2 + test_below(&seed, 300);
        const int64_t n = test_below(&seed, 5000);
        hbm_tick_t first = test_below(&seed, 3000);

        hbm_epochs_init(&many, length);
        hbm_epochs_init(&single, length);
        for (int again = 0; again < 3; again++) {
            hbm_epochs_add_many(&many, first, step, n, HBM_EPOCH_REF);
            for (int64_t i = 0; i < n; i++) {
                hbm_epochs_add(&single, hbm_rising(first + i * step), HBM_EPOCH_REF);
            }
            hbm_epochs_add(&many, first, HBM_EPOCH_ACT);
            hbm_epochs_add(&single, first, HBM_EPOCH_ACT);
            first += n * step + test_below(&seed, 7);
        }
        CHECK_EQ(many.length, single.length);
        CHECK_EQ(many.used, single.used);
        if (!CHECK(memcmp(many.count, single.count, sizeof many.count) == 0)) {
            return;
        }
    }
}

/* Spans, long and short and out of order, tick by tick. */
static void time_in_states_is_kept_tick_by_tick(void)
{
    static hbm_epochs_t self, single;
    uint64_t seed = 11;

    for (int round = 0; round < 100; round++) {
        const hbm_tick_t length = 2 + test_below(&seed, 40);
        hbm_epochs_init(&self, length);
        hbm_epochs_init(&single, length);
        for (int again = 0; again < 20; again++) {
            const hbm_tick_t from = test_below(&seed, 20000), to = from + test_below(&seed, again % 2 ? 9 : 9000);
            const int state = (int)test_below(&seed, HBM_POWER_STATES);
            hbm_epochs_spend(&self, from, to, state);
            for (hbm_tick_t t = from; t < to; t++) {
                hbm_epochs_spend(&single, t, t + 1, state);
            }
        }
        CHECK_EQ(self.length, single.length);
        if (!CHECK(memcmp(self.ticks, single.ticks, sizeof self.ticks) == 0)) {
            return;
        }
    }
}

/* The sum over all epochs of one series, with the time of every epoch checked against the events put in. */
static void epochs_keep_every_event_while_they_merge(void)
{
    enum { EVENTS = 5000 };
    static hbm_epochs_t epochs;
    static int64_t want[HBM_EPOCHS];
    uint64_t seed = 7;
    hbm_tick_t *at = malloc(EVENTS * sizeof *at), t = 0;

    REQUIRE(at != NULL);
    hbm_epochs_init(&epochs, 10);
    for (int i = 0; i < EVENTS; i++) {
        t += test_below(&seed, i % 1000 == 0 ? 100000 : 10);
        at[i] = t;
        hbm_epochs_add(&epochs, t, i % HBM_EPOCH_SERIES);
    }
    CHECK_EQ(epochs.length % 10, 0);
    CHECK(t / epochs.length < HBM_EPOCHS);
    CHECK(t / (epochs.length / 2) >= HBM_EPOCHS); /* no coarser than needed */
    CHECK_EQ(epochs.used, t / epochs.length + 1);
    for (int s = 0; s < HBM_EPOCH_SERIES; s++) {
        memset(want, 0, sizeof want);
        for (int i = s; i < EVENTS; i += HBM_EPOCH_SERIES) {
            want[at[i] / epochs.length]++;
        }
        for (int e = 0; e < HBM_EPOCHS; e++) {
            CHECK_EQ(epochs.count[e][s], want[e]);
        }
    }
    free(at);
}

static void epochs_may_be_revisited(void)
{
    static hbm_epochs_t epochs;
    hbm_epochs_init(&epochs, 100);
    hbm_epochs_add(&epochs, 950, HBM_EPOCH_READ);
    hbm_epochs_add(&epochs, 120, HBM_EPOCH_READ); /* another channel starts earlier */
    hbm_epochs_add(&epochs, 899, HBM_EPOCH_ACT);
    hbm_epochs_add(&epochs, 900, HBM_EPOCH_ACT);
    CHECK_EQ(epochs.count[9][HBM_EPOCH_READ], 1);
    CHECK_EQ(epochs.count[1][HBM_EPOCH_READ], 1);
    CHECK_EQ(epochs.count[8][HBM_EPOCH_ACT], 1);
    CHECK_EQ(epochs.count[9][HBM_EPOCH_ACT], 1);
    CHECK_EQ(epochs.used, 10);
}

static void the_table_is_full_at_its_last_epoch_and_not_before(void)
{
    static hbm_epochs_t epochs;
    hbm_epochs_init(&epochs, 100);
    hbm_epochs_add(&epochs, 100 * HBM_EPOCHS - 1, HBM_EPOCH_WRITE);
    CHECK_EQ(epochs.length, 100);
    CHECK_EQ(epochs.used, HBM_EPOCHS);
    hbm_epochs_add(&epochs, 100 * HBM_EPOCHS, HBM_EPOCH_WRITE);
    CHECK_EQ(epochs.length, 200);
    CHECK_EQ(epochs.count[HBM_EPOCHS / 2 - 1][HBM_EPOCH_WRITE], 1);
    CHECK_EQ(epochs.count[HBM_EPOCHS / 2][HBM_EPOCH_WRITE], 1);
    CHECK_EQ(epochs.used, HBM_EPOCHS / 2 + 1);
    hbm_epochs_init(&epochs, 100);
    hbm_epochs_add(&epochs, 250, HBM_EPOCH_READ);
    hbm_epochs_merge(&epochs); /* three epochs become two */
    CHECK_EQ(epochs.used, 2);
    CHECK_EQ(epochs.count[1][HBM_EPOCH_READ], 1);
}

static int fill_log(void *arg)
{
    hbm_log_t log = {true, NULL, 0, 0};
    int ret = 0;
    for (int i = 0; i < *(int *)arg && ret == 0; i++) {
        const hbm_logged_t item = {i, i * 3, 1, 0, 2, HBM_CMD_RD};
        ret = hbm_log_append(&log, &item);
    }
    for (int64_t i = 0; i < log.n; i++) {
        CHECK_EQ(log.item[i].tick, i);
        CHECK_EQ(log.item[i].row, i * 3);
    }
    hbm_log_free(&log);
    CHECK(log.item == NULL);
    return ret;
}

static void the_log_grows_and_survives_running_out_of_memory(void)
{
    int n = 10000;
    CHECK(faults_sweep(fill_log, &n) >= 3);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(buckets_tile_the_line), T(values_beyond_the_ends_go_to_the_end_buckets), T(counters_have_names_in_order),
      T(many_events_at_once_are_those_one_by_one), T(epochs_keep_every_event_while_they_merge), T(epochs_may_be_revisited),
      T(time_in_states_is_kept_tick_by_tick), T(the_table_is_full_at_its_last_epoch_and_not_before),
      T(the_log_grows_and_survives_running_out_of_memory))

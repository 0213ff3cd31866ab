/* Borders: channels stop there, conditions set there hold from there on, and misuse is refused. */
#include "system.h"

#include <stdlib.h>

#include "faults.h"
#include "fixture.h"
#include "testlib.h"

enum { N = 384, GAP = 40 };

static hbm_device_t *device;
static hbm_map_t *map;
static uint64_t address[N];
static uint8_t is_write[N];

/* Two stacks of two channels. */
static bool setup(void)
{
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 4, 1}, {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_STACK, 2, 1}, {HBM_BANK_GROUP, 4, 1},
        {HBM_BANK, 4, 1},   {HBM_COLUMN, 8, 4},         {HBM_SID, 2, 1},     {HBM_ROW, 96, 1},
    };

    if (map == NULL) {
        device = fixture_device();
        CHECK(device != NULL && hbm_map_create(device, 2, pieces, 9, NULL, 0, &map) == 0);
        for (int i = 0; i < N; i++) {
            address[i] = 64 * (uint64_t)i;
        }
    }
    return map != NULL;
}

static hbm_system_t *make(int32_t threads)
{
    const hbm_policy_t policy = fixture_policy();
    hbm_system_t *system = NULL;

    CHECK_EQ(hbm_system_create(device, map, &policy, threads, &system), 0);
    return system;
}

static int64_t counter(const hbm_system_t *system, const char *name, int32_t stack)
{
    int64_t values[8 * 64], sum = 0;
    int32_t at = 0;

    while (strcmp(hbm_counter_name(at), name) != 0) {
        at++;
    }
    hbm_system_counters(system, values);
    for (int32_t pc = 4 * stack; pc < 4 * stack + 4; pc++) {
        sum += values[pc * hbm_n_counters() + at];
    }
    return sum;
}

/* Serves the requests with a border every 100 ticks; from the first one on stack 1 is throttled. */
static int serve(void *context)
{
    hbm_system_t *system = NULL;
    const hbm_policy_t policy = fixture_policy();
    int64_t bad, end, border = 100;
    int32_t busy = 1, ahead;
    int ret = hbm_system_create(device, map, &policy, *(const int32_t *)context, &system);

    if (ret != 0) {
        return ret;
    }
    ret = hbm_system_offer(system, address, is_write, NULL, N, false, &bad);
    while (ret == 0 && busy > 0) {
        ret = hbm_system_set_border(system, border);
        ret = ret != 0 ? ret : hbm_system_run_to_border(system, &busy, &ahead);
        if (ret == 0 && busy > 0) {
            ret = hbm_system_stand_at_border(system);
            ret = ret != 0 ? ret : hbm_system_set_conditions(system, 1, 1, GAP * 256);
        }
        border += 100;
    }
    ret = ret != 0 ? ret : hbm_system_finish(system, &end);
    if (ret == 0) {
        CHECK_EQ(counter(system, "requests_out", 0), N / 2);
        CHECK_EQ(counter(system, "requests_out", 1), N / 2);
        CHECK(end > (N / 8 - 30) * GAP); /* every pseudo-channel of stack 1 gets one request per GAP */
        CHECK(end < (N / 8 + 10) * GAP);
    }
    hbm_system_free(system);
    return ret;
}

static void a_stack_is_throttled_from_a_border_on(void)
{
    REQUIRE(setup());
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        CHECK_EQ(serve(&threads), 0);
    }
}

static void the_refresh_rate_of_one_stack_is_its_own(void)
{
    int64_t bad, end;
    hbm_policy_t policy = fixture_policy();
    hbm_system_t *system = NULL;

    REQUIRE(setup());
    policy.refresh = 0;
    CHECK_EQ(hbm_system_create(device, map, &policy, 1, &system), 0);
    CHECK_EQ(hbm_system_set_conditions(system, 1, 2, 0), 0);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 1, 100 * 256), 0);
    CHECK_EQ(hbm_system_requests(system, address, is_write, NULL, N, false, &bad), 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    CHECK(end > 4000);
    CHECK(counter(system, "n_ref_pb", 0) > 10);
    CHECK(counter(system, "n_ref_pb", 1) >= 2 * counter(system, "n_ref_pb", 0) - 8);
    CHECK(counter(system, "n_ref_pb", 1) <= 2 * counter(system, "n_ref_pb", 0) + 8);
    hbm_system_free(system);
}

static void channels_without_input_come_to_the_border_too(void)
{
    int64_t bad;
    int32_t busy, ahead;
    hbm_system_t *system = make(1);

    REQUIRE(setup() && system != NULL);
    CHECK_EQ(hbm_system_offer(system, address, is_write, NULL, 1, false, &bad), 0);
    CHECK_EQ(hbm_system_set_border(system, 5000), 0);
    CHECK_EQ(hbm_system_run_to_border(system, &busy, &ahead), 0);
    CHECK_EQ(busy, 0);
    CHECK_EQ(ahead, 0);
    CHECK_EQ(hbm_system_stand_at_border(system), 0);
    CHECK_EQ(counter(system, "ticks_active_standby", 0) + counter(system, "ticks_precharged_standby", 0), 4 * 5000);
    CHECK_EQ(counter(system, "ticks_precharged_standby", 1), 4 * 5000);
    CHECK_EQ(counter(system, "n_rd", 0), 1);
    hbm_system_free(system);
}

static void misuse_is_refused(void)
{
    const int64_t later = 1000;
    int64_t bad, end;
    int32_t busy, ahead;
    hbm_system_t *system = make(1);

    REQUIRE(setup() && system != NULL);
    CHECK_EQ(hbm_system_stand_at_border(system), HBM_ERR_BAD_ARGUMENT); /* there is none */
    CHECK_EQ(hbm_system_set_border(system, 0), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_border(system, 101), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_border(system, 100), 0);
    CHECK_EQ(hbm_system_set_border(system, 90), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, 2, 1, 0), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, -1, 1, 0), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 3, 0), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 1, -1), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 1, INT64_MAX), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_offer(system, address, is_write, &later, 1, false, &bad), 0);
    CHECK_EQ(hbm_system_stand_at_border(system), HBM_ERR_BAD_ARGUMENT); /* input before it */
    CHECK_EQ(hbm_system_run_to_border(system, &busy, &ahead), 0);
    CHECK_EQ(busy, 1);
    CHECK_EQ(ahead, 1);
    CHECK_EQ(hbm_system_stand_at_border(system), 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    CHECK_EQ(hbm_system_set_border(system, 200), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 1, 0), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_run_to_border(system, &busy, &ahead), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_stand_at_border(system), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_forget(system), HBM_ERR_BAD_ARGUMENT);
    hbm_system_free(system);
}

/* What was counted cannot be taken back to a tick that the channels are past. */
static void no_channel_goes_back_to_a_border(void)
{
    int64_t bad, end;
    hbm_system_t *system = make(1);

    REQUIRE(setup() && system != NULL);
    CHECK_EQ(hbm_system_requests(system, address, is_write, NULL, N, false, &bad), 0);
    CHECK_EQ(hbm_system_set_border(system, 2), 0);
    CHECK_EQ(hbm_system_stand_at_border(system), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    hbm_system_free(system);
}

/* Channels that are to run already, because something was offered or forgotten, are run once. */
static void a_run_may_end_with_input_that_waits(void)
{
    const hbm_access_t all = {.base = 0, .run_bytes = 64 * N, .is_write = true};
    int64_t bad, end;
    int32_t bad_access;
    hbm_system_t *system = make(2);

    REQUIRE(setup() && system != NULL);
    CHECK_EQ(hbm_system_submit(system, &all, 1, 0, 0, 0, false, &bad_access), 0);
    CHECK_EQ(hbm_system_forget(system), 0);
    CHECK_EQ(hbm_system_offer(system, address, is_write, NULL, N, false, &bad), 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    CHECK_EQ(counter(system, "bytes_written", 0) + counter(system, "bytes_written", 1), 64 * N);
    CHECK_EQ(counter(system, "requests_out", 0) + counter(system, "requests_out", 1),
             N + 64 * N / device->burst_bytes);
    hbm_system_free(system);
}

static void a_refresh_rate_without_time_left_is_refused(void)
{
    int64_t values[N_FIELDS];
    hbm_device_t *tight;
    hbm_map_t *other = NULL;
    hbm_policy_t policy = fixture_policy();
    hbm_system_t *system = NULL;
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 32, 1}, {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_BANK_GROUP, 4, 1},
        {HBM_BANK, 4, 1},    {HBM_SID, 2, 1},            {HBM_ROW, 96, 1},
    };

    fixture_values(values);
    values[F_REFI] = 2000;
    tight = fixture_device_of(values);
    REQUIRE(tight != NULL && hbm_map_create(tight, 1, pieces, 7, NULL, 0, &other) == 0);
    policy.refresh = 1; /* all banks: 731 ticks of each interval */
    CHECK_EQ(hbm_system_create(tight, other, &policy, 1, &system), 0);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 2, 0), 0);
    CHECK_EQ(hbm_system_set_conditions(system, 0, 4, 0), HBM_ERR_BAD_POLICY);
    hbm_system_free(system);
    hbm_map_free(other);
    hbm_device_free(tight);
}

static void running_out_of_memory_is_reported(void)
{
    int32_t threads = 1;

    REQUIRE(setup());
    CHECK(faults_sweep(serve, &threads) >= 20);
}

static void nothing_is_left_behind(void)
{
    hbm_map_free(map);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(a_stack_is_throttled_from_a_border_on), T(the_refresh_rate_of_one_stack_is_its_own),
      T(channels_without_input_come_to_the_border_too), T(misuse_is_refused),
      T(no_channel_goes_back_to_a_border), T(a_run_may_end_with_input_that_waits),
      T(a_refresh_rate_without_time_left_is_refused), T(running_out_of_memory_is_reported), T(nothing_is_left_behind))

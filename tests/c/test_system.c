/* Whole systems: what goes in comes out, threads and skipping change nothing, bad input is refused with its place, and
 * every allocation may fail. */
#include "system.h"

#include <stdlib.h>

#include "faults.h"
#include "fixture.h"
#include "testlib.h"

enum { STACKS = 2, N_REQUESTS = 3000 };

static hbm_device_t *device;
static hbm_map_t *map;
static uint64_t address[N_REQUESTS];
static uint8_t is_write[N_REQUESTS];
static int64_t tick[N_REQUESTS];

/* Two stacks of two channels, interleaved by 256 bytes. */
static bool setup(void)
{
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 4, 1},     {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_STACK, STACKS, 1},
        {HBM_BANK_GROUP, 4, 1}, {HBM_BANK, 4, 1},           {HBM_COLUMN, 8, 4},  {HBM_SID, 2, 1},
        {HBM_ROW, 96, 1},
    };
    uint64_t seed = 11;

    if (map == NULL) {
        device = fixture_device();
        CHECK(device != NULL && hbm_map_create(device, STACKS, pieces, 9, NULL, 0, &map) == 0);
        for (int i = 0; map != NULL && i < N_REQUESTS; i++) {
            address[i] = i % 3 == 0 ? (uint64_t)i * 64 : test_random(&seed) % hbm_map_capacity_bytes(map);
            is_write[i] = test_below(&seed, 4) == 0;
            tick[i] = (i == 0 ? 0 : tick[i - 1]) + test_below(&seed, 10);
        }
    }
    return map != NULL;
}

static hbm_policy_t usual_policy(void)
{
    hbm_policy_t p = fixture_policy();
    p.refresh = 0;
    p.window = 12;
    p.host_ticks = 60;
    p.log_commands = true;
    return p;
}

/* Everything a finished system says. */
typedef struct {
    int64_t end, wave_end, n_commands, epoch_ticks, n_epochs;
    int64_t counters[STACKS * 4 * 64];
    uint64_t histogram[HBM_HISTOGRAM_BUCKETS];
    int64_t epochs[HBM_EPOCHS * 4];
    hbm_operation_result_t operations[3];
    hbm_command_t *commands;
} answer_t;

static int64_t total(const answer_t *a, const char *name)
{
    int64_t sum = 0;
    int32_t at = 0;
    while (strcmp(hbm_counter_name(at), name) != 0) {
        at++;
    }
    for (int pc = 0; pc < STACKS * 4; pc++) {
        sum += a->counters[pc * hbm_n_counters() + at];
    }
    return sum;
}

/* Three operations: two rows of operands streamed together, a strided write, a gather. */
static const int64_t gather[] = {0, 64 * 100, 64 * 7, 64 * 5000, 32};
static const hbm_access_t accesses[] = {
    {.base = 0, .run_bytes = 100000, .operation = 0},
    {.base = 300000, .run_bytes = 50001, .operation = 0, .is_write = true},
    {.base = 4096, .run_bytes = 256, .n_dims = 2, .count = {4, 10}, .stride = {65536, 1024}, .operation = 1,
     .is_write = true},
    {.base = 128, .run_bytes = 64, .offsets = gather, .n_offsets = 5, .operation = 2},
};
enum { N_ACCESSES = sizeof accesses / sizeof accesses[0] };

/* The requests: first half with times, second half as fast as accepted.  The wave: the accesses above. */
typedef enum { REQUESTS = 1, WAVE = 2, BOTH = 3 } input_t;

static int run(const hbm_policy_t *policy, int32_t threads, input_t input, answer_t *a)
{
    hbm_system_t *system = NULL;
    int64_t bad = 0;
    int32_t bad_access = 0;
    int ret;

    memset(a, 0, sizeof *a);
    ret = hbm_system_create(device, map, policy, threads, &system);
    if (ret == 0 && (input & REQUESTS)) {
        const int half = N_REQUESTS / 2;
        ret = hbm_system_requests(system, address, is_write, tick, half, false, &bad);
        ret = ret != 0 ? ret : hbm_system_requests(system, address + half, is_write + half, NULL, half, false, &bad);
    }
    if (ret == 0 && (input & WAVE)) {
        ret = hbm_system_wave(system, accesses, N_ACCESSES, 20000, 8, true, false, &a->wave_end, &bad_access);
    }
    ret = ret != 0 ? ret : hbm_system_finish(system, &a->end);
    if (ret == 0) {
        CHECK_EQ(hbm_system_n_pseudo_channels(system), STACKS * 4);
        hbm_system_counters(system, a->counters);
        hbm_system_histogram(system, a->histogram);
        a->n_epochs = hbm_system_epochs(system, &a->epoch_ticks);
        CHECK_EQ(hbm_system_epoch_table(system, a->n_epochs, a->epochs), 0);
        CHECK_EQ(hbm_system_operations(system, 0, input & WAVE ? 3 : 0, a->operations), 0);
        CHECK_EQ(hbm_system_operations(system, input & WAVE ? 1 : 0, 3, a->operations), HBM_ERR_BAD_ARGUMENT);
        a->n_commands = hbm_system_n_commands(system);
        a->commands = malloc((size_t)(a->n_commands + 1) * sizeof *a->commands);
        ret = a->commands == NULL ? HBM_ERR_NO_MEMORY : 0;
        if (ret == 0) { /* in two pieces, as a reader of a long log would */
            hbm_system_commands(system, 0, a->n_commands / 3, a->commands);
            hbm_system_commands(system, a->n_commands / 3, a->n_commands - a->n_commands / 3,
                                a->commands + a->n_commands / 3);
        }
    }
    hbm_system_free(system);
    return ret;
}

static void check_same(const answer_t *a, const answer_t *b)
{
    CHECK_EQ(a->end, b->end);
    CHECK_EQ(a->wave_end, b->wave_end);
    CHECK(memcmp(a->counters, b->counters, sizeof a->counters) == 0);
    CHECK(memcmp(a->histogram, b->histogram, sizeof a->histogram) == 0);
    CHECK_EQ(a->epoch_ticks, b->epoch_ticks);
    CHECK_EQ(a->n_epochs, b->n_epochs);
    CHECK(memcmp(a->epochs, b->epochs, sizeof a->epochs) == 0);
    CHECK(memcmp(a->operations, b->operations, sizeof a->operations) == 0);
    if (CHECK_EQ(a->n_commands, b->n_commands)) {
        CHECK(memcmp(a->commands, b->commands, (size_t)a->n_commands * sizeof *a->commands) == 0);
    }
}

static void check_conservation(const answer_t *a, input_t input)
{
    int64_t timed = 0, epoch_bytes = 0, read = 0, written = 0;

    for (int i = 0; i < N_REQUESTS && (input & REQUESTS); i++) {
        read += !is_write[i];
        written += is_write[i];
    }
    for (int i = 0; i < 3; i++) {
        read += a->operations[i].bursts_read;
        written += a->operations[i].bursts_written;
    }
    CHECK_EQ(total(a, "requests_in"), read + written);
    CHECK_EQ(total(a, "requests_out"), read + written);
    CHECK_EQ(total(a, "bytes_read"), read * 64);
    CHECK_EQ(total(a, "bytes_written"), written * 64);
    CHECK_EQ(total(a, "n_wr") + total(a, "n_wra"), written);
    for (int32_t b = 0; b < HBM_HISTOGRAM_BUCKETS; b++) {
        timed += (int64_t)a->histogram[b];
    }
    CHECK_EQ(timed, total(a, "reads_timed"));
    for (int64_t e = 0; e < a->n_epochs; e++) {
        epoch_bytes += a->epochs[e] + a->epochs[a->n_epochs + e];
    }
    CHECK_EQ(epoch_bytes, (read + written - total(a, "reads_forwarded")) * 64);
    CHECK(a->epoch_ticks * (a->n_epochs - 1) <= a->end);
}

static void every_request_that_goes_in_comes_out(void)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();

    REQUIRE(setup());
    REQUIRE(run(&policy, 1, REQUESTS, &a) == 0);
    CHECK_EQ(total(&a, "requests_in"), N_REQUESTS);
    check_conservation(&a, REQUESTS);
    free(a.commands);
}

static void every_byte_of_an_operation_is_moved_once(void)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    int64_t end = 0;

    REQUIRE(setup());
    REQUIRE(run(&policy, 1, WAVE, &a) == 0);
    CHECK_EQ(a.operations[0].bursts_read, (100000 + 63) / 64);
    /* From byte 300000, which is inside a burst. */
    CHECK_EQ(a.operations[0].bursts_written, (300000 + 50001 + 63) / 64 - 300000 / 64);
    CHECK_EQ(a.operations[1].bursts_written, 4 * 10 * 4);
    CHECK_EQ(a.operations[2].bursts_read, 6); /* the last of five gathered runs straddles two bursts */
    for (int i = 0; i < 3; i++) {
        const hbm_operation_result_t *o = &a.operations[i];
        CHECK(o->end_tick > 20000 && o->end_tick <= a.end);
        CHECK(o->row_hits + o->row_misses + o->row_conflicts <= o->bursts_read + o->bursts_written);
        end = hbm_max(end, o->end_tick);
    }
    CHECK_EQ(a.wave_end, end);
    check_conservation(&a, WAVE);
    free(a.commands);
}

/* A system is fed one way; both ways at once are either served in full or refused. */
static void requests_and_operations_do_not_mix_silently(void)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    int ret;

    REQUIRE(setup());
    ret = run(&policy, 2, BOTH, &a);
    if (ret == 0) {
        check_conservation(&a, BOTH);
    } else {
        CHECK_EQ(ret, HBM_ERR_BAD_ARGUMENT);
    }
    free(a.commands);
}

static void the_log_is_ordered_and_complete(void)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    int64_t reads = 0;

    REQUIRE(setup());
    REQUIRE(run(&policy, 2, WAVE, &a) == 0);
    for (int64_t i = 0; i < a.n_commands; i++) {
        const hbm_command_t *c = &a.commands[i], *before = i > 0 ? &a.commands[i - 1] : c;
        const int here = c->stack * 2 + c->channel, there = before->stack * 2 + before->channel;
        CHECK(here > there || (here == there && c->tick >= before->tick));
        reads += c->command == HBM_CMD_RD || c->command == HBM_CMD_RDA;
    }
    CHECK_EQ(reads, total(&a, "n_rd") + total(&a, "n_rda"));
    free(a.commands);
}

static void threads_change_nothing(void)
{
    static answer_t one, many;
    REQUIRE(setup());
    for (int scheduler = 0; scheduler < 3; scheduler++) {
        hbm_policy_t policy = usual_policy();
        const input_t input = scheduler == 1 ? REQUESTS : WAVE;
        policy.scheduler = policy.page = scheduler;
        REQUIRE(run(&policy, 1, input, &one) == 0);
        for (int32_t threads = 2; threads <= 9; threads += 7) {
            REQUIRE(run(&policy, threads, input, &many) == 0);
            check_same(&one, &many);
            free(many.commands);
        }
        free(one.commands);
    }
}

static void skipping_changes_nothing(void)
{
    static answer_t skipped, ticked;
    REQUIRE(setup());
    for (int page = 0; page < 3; page++) {
        hbm_policy_t policy = usual_policy();
        policy.page = page;
        const input_t input = page == 1 ? WAVE : REQUESTS;
        policy.refresh = page == 1;
        REQUIRE(run(&policy, 1, input, &skipped) == 0);
        policy.skip = false;
        REQUIRE(run(&policy, 1, input, &ticked) == 0);
        check_same(&skipped, &ticked);
        free(skipped.commands);
        free(ticked.commands);
    }
}

static void two_systems_do_not_disturb_each_other(void)
{
    static answer_t alone;
    static int64_t counters[STACKS * 4 * 64];
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *a = NULL, *b = NULL;
    int64_t bad = 0, end = 0;
    int32_t bad_access = 0;

    REQUIRE(setup());
    REQUIRE(run(&policy, 1, WAVE, &alone) == 0);
    REQUIRE(hbm_system_create(device, map, &policy, 1, &a) == 0);
    REQUIRE(hbm_system_create(device, map, &policy, 2, &b) == 0);
    CHECK_EQ(hbm_system_requests(b, address, is_write, NULL, N_REQUESTS, false, &bad), 0);
    CHECK_EQ(hbm_system_wave(a, accesses, N_ACCESSES, 20000, 8, true, false, &end, &bad_access), 0);
    CHECK_EQ(hbm_system_finish(b, &end), 0);
    hbm_system_free(b);
    CHECK_EQ(hbm_system_finish(a, &end), 0);
    CHECK_EQ(end, alone.end);
    hbm_system_counters(a, counters);
    CHECK(memcmp(counters, alone.counters, sizeof counters) == 0);
    hbm_system_free(a);
    free(alone.commands);
}

static void addresses_outside_are_named_before_anything_runs(void)
{
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *system = NULL;
    uint64_t outside[3] = {0, 64, 0};
    int64_t bad = 0, end = 0, capacity;
    hbm_access_t access = {.base = 0, .run_bytes = 64};
    int32_t bad_access = 0;

    REQUIRE(setup());
    capacity = (int64_t)hbm_map_capacity_bytes(map);
    outside[2] = (uint64_t)capacity;
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_requests(system, outside, is_write, NULL, 3, false, &bad), HBM_ERR_ADDRESS);
    CHECK_EQ(bad, 2);
    CHECK_EQ(hbm_system_requests(system, outside, is_write, NULL, 3, true, &bad), 0);
    access.base = capacity - 64;
    CHECK_EQ(hbm_system_wave(system, &access, 1, 0, 0, true, false, &end, &bad_access), 0);
    CHECK_EQ(bad_access, -1);
    access.base = capacity - 63; /* the last byte is outside */
    CHECK_EQ(hbm_system_wave(system, &access, 1, 0, 0, true, false, &end, &bad_access), HBM_ERR_ADDRESS);
    CHECK_EQ(bad_access, 0);
    hbm_system_free(system);
}

static void wrapping_reads_what_lies_behind_the_end_at_the_start(void)
{
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *system = NULL;
    hbm_access_t access = {.run_bytes = 64 * 2000};
    hbm_operation_result_t result;
    int64_t end = 0;
    int32_t bad = 0;

    REQUIRE(setup());
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    access.base = (int64_t)hbm_map_capacity_bytes(map) - 64 * 1000;
    CHECK_EQ(hbm_system_wave(system, &access, 1, 0, 0, true, true, &end, &bad), 0);
    CHECK_EQ(hbm_system_operations(system, 0, 1, &result), 0);
    CHECK_EQ(result.bursts_read, 2000);
    hbm_system_free(system);
}

static void accesses_that_make_no_sense_are_refused(void)
{
    static const int64_t far[] = {0, INT64_MAX}, back[] = {-64};
    const hbm_access_t broken[] = {
        {.base = -1, .run_bytes = 64},
        {.base = 0, .run_bytes = 0},
        {.base = 0, .run_bytes = -64},
        {.base = INT64_MAX, .run_bytes = 64},
        {.base = 0, .run_bytes = INT64_MAX},
        {.base = 64, .run_bytes = 64, .offsets = far, .n_offsets = 2},
        {.base = 0, .run_bytes = 64, .offsets = back, .n_offsets = 1},
        {.base = 0, .run_bytes = 64, .n_dims = 9},
        {.base = 0, .run_bytes = 64, .n_dims = -1},
        {.base = 0, .run_bytes = 64, .n_dims = 1, .count = {0}, .stride = {64}},
        {.base = 0, .run_bytes = 64, .n_dims = 1, .count = {2}, .stride = {-64}},
        {.base = 64, .run_bytes = 64, .n_dims = 1, .count = {2}, .stride = {INT64_MAX}},
        {.base = 0, .run_bytes = 64, .n_dims = 2, .count = {3, 1}, .stride = {INT64_MAX / 2, 1}},
        {.base = 0, .run_bytes = 64, .operation = -1},
    };
    const hbm_policy_t policy = usual_policy();

    REQUIRE(setup());
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        hbm_system_t *system = NULL;
        const hbm_access_t both[] = {accesses[0], broken[i]};
        int64_t end = 0;
        int32_t bad = 0;
        int ret;
        REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
        ret = hbm_system_wave(system, both, 2, 0, 0, true, false, &end, &bad);
        CHECK(ret == HBM_ERR_ADDRESS || ret == HBM_ERR_BAD_ARGUMENT);
        if (!(ret == HBM_ERR_BAD_ARGUMENT && bad == -1)) {
            CHECK_EQ(bad, 1);
        }
        hbm_system_free(system);
    }
}

/* Reads 64 KiB twice through a filter that holds it, then writes over it and reads something else. */
static int serve_through_l2(void *arg)
{
    const hbm_access_t twice[] = {{.base = 0, .run_bytes = 65536, .operation = 0},
                                  {.base = 0, .run_bytes = 65536, .operation = 1}};
    const hbm_access_t displace[] = {{.base = 0, .run_bytes = 65536, .operation = 2, .is_write = true},
                                     {.base = 1 << 20, .run_bytes = 65536, .operation = 3}};
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *system = NULL;
    hbm_operation_result_t o[4];
    int64_t end = 0, counts[3];
    int32_t bad = 0;
    int ret = hbm_system_create(device, map, &policy, 2, &system);

    (void)arg;
    ret = ret != 0 ? ret : hbm_system_set_l2(system, 65536, 128, 16);
    ret = ret != 0 ? ret : hbm_system_wave(system, twice, 2, 0, 8, true, false, &end, &bad);
    ret = ret != 0 ? ret : hbm_system_wave(system, displace, 2, end, 8, true, false, &end, &bad);
    ret = ret != 0 ? ret : hbm_system_finish(system, &end);
    if (ret == 0) {
        CHECK_EQ(hbm_system_operations(system, 0, 4, o), 0);
        hbm_system_l2_counts(system, counts);
        CHECK_EQ(o[0].bursts_read, 1024);
        CHECK_EQ(o[1].bursts_read, 0);
        CHECK_EQ(o[2].bursts_written, 0);
        CHECK_EQ(o[3].bursts_read, 1024);
        CHECK_EQ(o[3].bursts_written, 1024); /* what it displaced */
        CHECK_EQ(counts[0], 2048);
        CHECK_EQ(counts[1], 2048);
        CHECK_EQ(counts[2], 1024);
    }
    hbm_system_free(system);
    return ret;
}

static void the_l2_lets_through_only_what_it_misses(void)
{
    REQUIRE(setup());
    CHECK(faults_sweep(serve_through_l2, NULL) >= 20);
}

static void nothing_is_taken_after_the_end(void)
{
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *system = NULL;
    int64_t bad = 0, end = 0;
    int32_t bad_access = 0;

    REQUIRE(setup());
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    CHECK_EQ(end, 0);
    CHECK_EQ(hbm_system_requests(system, address, is_write, NULL, 1, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_wave(system, accesses, 1, 0, 0, true, false, &end, &bad_access), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_finish(system, &end), HBM_ERR_BAD_ARGUMENT);
    hbm_system_free(system);
}

static int serve_requests(void *threads)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    const int ret = run(&policy, *(int32_t *)threads, REQUESTS, &a);
    free(a.commands);
    return ret;
}

static int serve_wave(void *threads)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    const int ret = run(&policy, *(int32_t *)threads, WAVE, &a);
    free(a.commands);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    REQUIRE(setup());
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        CHECK(faults_sweep(serve_requests, &threads) >= 20);
        CHECK(faults_sweep(serve_wave, &threads) >= 20);
    }
}

static void threads_that_do_not_start_are_not_missed(void)
{
    int32_t threads = 4;
    REQUIRE(setup());
    CHECK_EQ(faults_sweep_threads(serve_wave, &threads), 3);
}

static void free_accepts_nothing(void)
{
    hbm_system_free(NULL);
    hbm_map_free(map);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(every_request_that_goes_in_comes_out), T(every_byte_of_an_operation_is_moved_once),
      T(the_log_is_ordered_and_complete), T(threads_change_nothing),
      T(skipping_changes_nothing), T(two_systems_do_not_disturb_each_other),
      T(addresses_outside_are_named_before_anything_runs), T(wrapping_reads_what_lies_behind_the_end_at_the_start),
      T(accesses_that_make_no_sense_are_refused), T(the_l2_lets_through_only_what_it_misses),
      T(nothing_is_taken_after_the_end),
      T(running_out_of_memory_is_reported), T(threads_that_do_not_start_are_not_missed),
      T(requests_and_operations_do_not_mix_silently), T(free_accepts_nothing))

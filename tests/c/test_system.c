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
    int64_t end, last_end, n_commands, epoch_ticks, n_epochs;
    int64_t counters[STACKS * 4 * 64];
    uint64_t histogram[HBM_HISTOGRAM_BUCKETS];
    int64_t epochs[HBM_EPOCHS * 4];
    int64_t states[HBM_EPOCHS * HBM_POWER_STATES];
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
    {.base = 0, .run_bytes = 100000},
    {.base = 300000, .run_bytes = 50001, .is_write = true},
    {.base = 4096, .run_bytes = 256, .n_dims = 2, .count = {4, 10}, .stride = {65536, 1024}, .is_write = true},
    {.base = 128, .run_bytes = 64, .offsets = gather, .n_offsets = 5},
};
enum { N_ACCESSES = sizeof accesses / sizeof accesses[0] };

/* Which operation each of them belongs to. */
static const int32_t owner[] = {0, 0, 1, 2};

/* Puts operations in flight, operation owner[i] with access i, and waits for their ends; *end is the last of them. */
static int run_operations(hbm_system_t *system, const hbm_access_t *list, const int32_t *owners, int32_t n, int64_t start,
                          int32_t tile, bool wrap, int64_t *end, int32_t *bad)
{
    int ret = 0;

    *bad = -1;
    for (int32_t i = 0, k; i < n && ret == 0; i = k) {
        for (k = i + 1; k < n && owners[k] == owners[i]; k++) {
        }
        ret = hbm_system_submit(system, list + i, k - i, owners[i], start, tile, wrap, bad);
        *bad += *bad >= 0 ? i : 0;
    }
    for (int32_t i = 0; i < n && ret == 0; i++) {
        int32_t which = -1;
        int64_t before = i > 0 ? *end : 0;
        if (i > 0 && owners[i] == owners[i - 1]) {
            continue;
        }
        ret = hbm_system_next_end(system, &which, end);
        CHECK(ret != 0 || (which >= 0 && *end >= before));
    }
    return ret;
}

/* The requests: first half with times, second half as fast as accepted.  The operations: those above. */
typedef enum { REQUESTS = 1, OPERATIONS = 2, BOTH = 3 } input_t;

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
    if (ret == 0 && (input & OPERATIONS)) {
        ret = run_operations(system, accesses, owner, N_ACCESSES, 20000, 8, false, &a->last_end, &bad_access);
    }
    ret = ret != 0 ? ret : hbm_system_finish(system, &a->end);
    if (ret == 0) {
        CHECK_EQ(hbm_system_n_pseudo_channels(system), STACKS * 4);
        hbm_system_counters(system, a->counters);
        hbm_system_histogram(system, a->histogram);
        a->n_epochs = hbm_system_epochs(system, &a->epoch_ticks);
        CHECK_EQ(hbm_system_epoch_table(system, a->n_epochs, a->epochs), 0);
        CHECK_EQ(hbm_system_epoch_states(system, a->n_epochs, a->states), 0);
        CHECK_EQ(hbm_system_epoch_states(system, a->n_epochs + 1, a->states), HBM_ERR_BAD_ARGUMENT);
        CHECK_EQ(hbm_system_operations(system, 0, input & OPERATIONS ? 3 : 0, a->operations), 0);
        CHECK_EQ(hbm_system_operations(system, input & OPERATIONS ? 1 : 0, 3, a->operations), HBM_ERR_BAD_ARGUMENT);
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
    CHECK_EQ(a->last_end, b->last_end);
    CHECK(memcmp(a->counters, b->counters, sizeof a->counters) == 0);
    CHECK(memcmp(a->histogram, b->histogram, sizeof a->histogram) == 0);
    CHECK_EQ(a->epoch_ticks, b->epoch_ticks);
    CHECK_EQ(a->n_epochs, b->n_epochs);
    CHECK(memcmp(a->epochs, b->epochs, sizeof a->epochs) == 0);
    CHECK(memcmp(a->states, b->states, sizeof a->states) == 0);
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
    for (int s = 0; s < HBM_POWER_STATES; s++) {
        static const char *const names[] = {"ticks_active_standby", "ticks_precharged_standby", "ticks_active_power_down",
                                            "ticks_precharged_power_down", "ticks_self_refresh"};
        int64_t ticks = 0;
        for (int64_t e = 0; e < a->n_epochs; e++) {
            ticks += a->states[s * a->n_epochs + e];
        }
        CHECK_EQ(ticks, total(a, names[s]));
    }
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
    REQUIRE(run(&policy, 1, OPERATIONS, &a) == 0);
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
    CHECK_EQ(a.last_end, end);
    check_conservation(&a, OPERATIONS);
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
    REQUIRE(run(&policy, 2, OPERATIONS, &a) == 0);
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
        const input_t input = scheduler == 1 ? REQUESTS : OPERATIONS;
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
        const input_t input = page == 1 ? OPERATIONS : REQUESTS;
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
    REQUIRE(run(&policy, 1, OPERATIONS, &alone) == 0);
    REQUIRE(hbm_system_create(device, map, &policy, 1, &a) == 0);
    REQUIRE(hbm_system_create(device, map, &policy, 2, &b) == 0);
    CHECK_EQ(hbm_system_requests(b, address, is_write, NULL, N_REQUESTS, false, &bad), 0);
    CHECK_EQ(run_operations(a, accesses, owner, N_ACCESSES, 20000, 8, false, &end, &bad_access), 0);
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
    const int64_t late[2] = {0, INT64_MAX};
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
    CHECK_EQ(hbm_system_requests(system, outside, is_write, late, 2, true, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(bad, 1);
    CHECK_EQ(hbm_system_requests(system, outside, is_write, NULL, 3, true, &bad), 0);
    access.base = capacity - 64;
    CHECK_EQ(run_operations(system, &access, owner, 1, 0, 0, false, &end, &bad_access), 0);
    CHECK_EQ(bad_access, -1);
    access.base = capacity - 63; /* the last byte is outside */
    CHECK_EQ(run_operations(system, &access, owner, 1, end + 60, 0, false, &end, &bad_access), HBM_ERR_ADDRESS);
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
    CHECK_EQ(run_operations(system, &access, owner, 1, 0, 0, true, &end, &bad), 0);
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
    };
    const hbm_policy_t policy = usual_policy();

    REQUIRE(setup());
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        hbm_system_t *system = NULL;
        const hbm_access_t both[] = {accesses[0], broken[i]};
        int32_t bad = 0;
        int ret;
        REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
        ret = hbm_system_submit(system, both, 2, 0, 0, 0, false, &bad);
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
    const hbm_access_t twice[] = {{.base = 0, .run_bytes = 65536}, {.base = 0, .run_bytes = 65536}};
    const hbm_access_t displace[] = {{.base = 0, .run_bytes = 65536, .is_write = true}, {.base = 1 << 20, .run_bytes = 65536}};
    static const int32_t first[] = {0, 1}, second[] = {2, 3};
    const hbm_policy_t policy = usual_policy();
    hbm_system_t *system = NULL;
    hbm_operation_result_t o[4];
    int64_t end = 0, counts[3];
    int32_t bad = 0;
    int ret = hbm_system_create(device, map, &policy, 2, &system);

    (void)arg;
    ret = ret != 0 ? ret : hbm_system_set_l2(system, 65536, 128, 16);
    ret = ret != 0 ? ret : run_operations(system, twice, first, 2, 0, 8, false, &end, &bad);
    ret = ret != 0 ? ret : run_operations(system, displace, second, 2, end + 60, 8, false, &end, &bad);
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

/* Numbers, starts and room are checked before anything is expanded, and a refusal changes nothing. */
static void operations_out_of_line_are_refused(void)
{
    const hbm_policy_t policy = usual_policy();
    const hbm_access_t access = {.base = 0, .run_bytes = 4096}, many = {.base = 0, .run_bytes = 64, .n_dims = 2,
                                                                       .count = {1 << 11, 1 << 9}, .stride = {64, 131072}};
    hbm_system_t *system = NULL;
    int64_t end = 0;
    int32_t bad = 0, which = -1;

    REQUIRE(setup());
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_next_end(system, &which, &end), HBM_ERR_BAD_ARGUMENT); /* nothing is in flight */
    CHECK_EQ(hbm_system_submit(system, &access, 1, -1, 0, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, INT32_MAX, 0, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, INT32_MIN, 0, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, INT64_MAX, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, -2, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, 0, -1, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, 0, 0, false, &bad), 0);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, 0, 0, false, &bad), HBM_ERR_BAD_ARGUMENT); /* runs already */
    CHECK(hbm_system_has_room(system, &access, 1, 63));
    CHECK(!hbm_system_has_room(system, &access, 1, 64));
    CHECK(hbm_system_has_room(system, &access, 1, 65)); /* numbers differ modulo 64 */
    CHECK(hbm_system_has_room(system, &access, 1, INT32_MAX)); /* its number is refused, not its size */
    CHECK(!hbm_system_has_room(system, &access, 1, INT32_MIN));
    CHECK(!hbm_system_has_room(system, &many, 1, 1));
    CHECK_EQ(hbm_system_submit(system, &many, 1, 1, 0, 0, false, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_next_end(system, &which, &end), 0);
    CHECK_EQ(which, 0);
    CHECK(hbm_system_has_room(system, &many, 1, 64)); /* nothing is in flight: always */
    CHECK_EQ(hbm_system_submit(system, &access, 1, 1, end + 58, 0, false, &bad), HBM_ERR_BAD_ARGUMENT); /* too soon */
    CHECK_EQ(hbm_system_submit(system, &access, 1, 1, end + 60, 0, false, &bad), 0);
    CHECK_EQ(hbm_system_submit(system, NULL, 0, 2, end + 60, 0, false, &bad), 0); /* moves nothing: ends as it starts */
    CHECK_EQ(hbm_system_next_end(system, &which, &end), 0);
    CHECK_EQ(which, 2);
    CHECK_EQ(hbm_system_accept(system), 0);
    CHECK_EQ(hbm_system_next_end(system, &which, &end), HBM_ERR_BAD_ARGUMENT); /* accepted is no longer in flight */
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    hbm_system_free(system);
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
    CHECK_EQ(hbm_system_submit(system, accesses, 1, 0, 0, 0, false, &bad_access), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_accept(system), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_next_end(system, &bad_access, &end), HBM_ERR_BAD_ARGUMENT);
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

static int serve_operations(void *threads)
{
    static answer_t a;
    const hbm_policy_t policy = usual_policy();
    const int ret = run(&policy, *(int32_t *)threads, OPERATIONS, &a);
    free(a.commands);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    REQUIRE(setup());
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        CHECK(faults_sweep(serve_requests, &threads) >= 20);
        CHECK(faults_sweep(serve_operations, &threads) >= 20);
    }
}

static void threads_that_do_not_start_are_not_missed(void)
{
    int32_t threads = 4;
    REQUIRE(setup());
    CHECK_EQ(faults_sweep_threads(serve_operations, &threads), 3);
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
      T(operations_out_of_line_are_refused), T(nothing_is_taken_after_the_end),
      T(running_out_of_memory_is_reported), T(threads_that_do_not_start_are_not_missed),
      T(requests_and_operations_do_not_mix_silently), T(free_accepts_nothing))

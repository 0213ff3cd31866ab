/* Requests and operations given to one system: all are served, and when does not depend on which ticks were visited. */
#include "system.h"

#include <stdlib.h>

#include "faults.h"
#include "fixture.h"
#include "testlib.h"

enum { STEPS = 12, ACCESSES = 3, BLOCK = 40 };

static hbm_device_t *device;
static hbm_map_t *map;

/* One stack of two channels, interleaved by 256 bytes. */
static bool setup(void)
{
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 4, 1}, {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_BANK_GROUP, 4, 1},
        {HBM_BANK, 4, 1},   {HBM_COLUMN, 8, 4},         {HBM_SID, 2, 1},     {HBM_ROW, 96, 1},
    };

    if (map == NULL) {
        device = fixture_device();
        CHECK(device != NULL && hbm_map_create(device, 1, pieces, 8, NULL, 0, &map) == 0);
    }
    return map != NULL;
}

typedef enum { SUBMIT, WAIT, ACCEPT, REQUESTS, N_KINDS } kind_t;

typedef struct {
    kind_t kind;
    hbm_access_t access[ACCESSES];
    int32_t n;
    int32_t later; /* than the operation might start */
    int32_t tile;
    bool timed;
    uint64_t address[BLOCK];
    uint8_t is_write[BLOCK];
    int64_t tick[BLOCK];
} step_t;

static hbm_access_t random_access(uint64_t *seed)
{
    static const int64_t sizes[] = {1, 64, 500, 2048, 9000};
    const hbm_access_t access = {.base = test_below(seed, 1 << 16),
                                 .run_bytes = sizes[test_below(seed, 5)],
                                 .n_dims = test_below(seed, 2),
                                 .count = {1 + test_below(seed, 3)},
                                 .stride = {test_below(seed, 1 << 14)},
                                 .is_write = test_below(seed, 3) == 0};
    return access;
}

static step_t random_step(uint64_t *seed)
{
    static const int32_t delays[] = {0, 0, 2, 64, 3000};
    step_t s = {.kind = (kind_t)test_below(seed, N_KINDS), .n = 1 + test_below(seed, ACCESSES), .tile = test_below(seed, 5),
                .later = delays[test_below(seed, 5)], .timed = test_below(seed, 2) == 0};
    int64_t t = 0;

    for (int i = 0; i < ACCESSES; i++) {
        s.access[i] = random_access(seed);
    }
    if (s.kind == REQUESTS) {
        s.n = 1 + test_below(seed, BLOCK);
        for (int i = 0; i < s.n; i++) {
            s.address[i] = (uint64_t)test_below(seed, 1 << 18);
            s.is_write[i] = test_below(seed, 3) == 0;
            s.tick[i] = t += test_below(seed, 60);
        }
    }
    return s;
}

/* What can be told from outside. */
typedef struct {
    int64_t end, ends[STEPS], asked, n_commands;
    int64_t counters[4 * 64];
    hbm_command_t *commands;
} answer_t;

/* Plays the steps; ends are waited for as long as anything is in flight. */
static int play(const step_t *steps, const hbm_policy_t *policy, int32_t threads, answer_t *a)
{
    hbm_system_t *system = NULL;
    hbm_operation_result_t o[STEPS];
    int32_t operations = 0, in_flight = 0, bad = 0, which = 0;
    int64_t bad_request = 0;
    int ret = hbm_system_create(device, map, policy, threads, &system);

    memset(a, 0, sizeof *a);
    for (int i = 0; i < STEPS && ret == 0; i++) {
        const step_t *s = &steps[i];
        switch (s->kind) {
        case SUBMIT:
            ret = hbm_system_submit(system, s->access, s->n, operations++, hbm_system_next_start(system) + s->later,
                                    s->tile, false, &bad);
            in_flight++;
            break;
        case WAIT:
            if (in_flight > 0) {
                ret = hbm_system_next_end(system, &which, &a->ends[i]);
                in_flight--;
            }
            break;
        case ACCEPT:
            ret = hbm_system_accept(system);
            in_flight = 0;
            break;
        default:
            ret = hbm_system_requests(system, s->address, s->is_write, s->timed ? s->tick : NULL, s->n, false,
                                      &bad_request);
            a->asked += s->n;
            break;
        }
    }
    ret = ret != 0 ? ret : hbm_system_finish(system, &a->end);
    ret = ret != 0 ? ret : hbm_system_operations(system, 0, operations, o);
    for (int32_t i = 0; i < operations && ret == 0; i++) {
        a->asked += o[i].bursts_read + o[i].bursts_written;
    }
    if (ret == 0) {
        hbm_system_counters(system, a->counters);
        a->n_commands = hbm_system_n_commands(system);
        a->commands = malloc((size_t)(a->n_commands + 1) * sizeof *a->commands);
        ret = a->commands == NULL ? HBM_ERR_NO_MEMORY : 0;
    }
    if (ret == 0) {
        hbm_system_commands(system, 0, a->n_commands, a->commands);
    }
    hbm_system_free(system);
    return ret;
}

static int64_t served(const answer_t *a)
{
    int64_t sum = 0;
    int32_t at = 0;

    while (strcmp(hbm_counter_name(at), "requests_out") != 0) {
        at++;
    }
    for (int pc = 0; pc < 4; pc++) {
        sum += a->counters[pc * hbm_n_counters() + at];
    }
    return sum;
}

static void check_same(const answer_t *a, const answer_t *b)
{
    CHECK_EQ(a->end, b->end);
    CHECK(memcmp(a->ends, b->ends, sizeof a->ends) == 0);
    CHECK(memcmp(a->counters, b->counters, sizeof a->counters) == 0);
    if (CHECK_EQ(a->n_commands, b->n_commands)) {
        CHECK(memcmp(a->commands, b->commands, (size_t)a->n_commands * sizeof *a->commands) == 0);
    }
}

static hbm_policy_t random_policy(uint64_t *seed)
{
    hbm_policy_t p = fixture_policy();

    p.scheduler = test_below(seed, 3);
    p.page = test_below(seed, 3);
    p.refresh = test_below(seed, 3);
    p.power = test_below(seed, 4);
    p.power_down_ticks = 40;
    p.self_refresh_ticks = 2000;
    p.cap = 1 + test_below(seed, 4);
    p.window = test_below(seed, 2) * 12;
    p.host_ticks = test_below(seed, 4) * 31;
    p.log_commands = test_below(seed, 2) == 0;
    p.postpone = test_below(seed, 4);
    return p;
}

static void neither_skipping_nor_threads_change_what_a_mixture_does(void)
{
    uint64_t seed = 20;

    REQUIRE(setup());
    for (int round = 0; round < 60; round++) {
        static answer_t skipped, ticked, threaded;
        static step_t steps[STEPS];
        hbm_policy_t policy = random_policy(&seed);
        const int before = test_failures;

        for (int i = 0; i < STEPS; i++) {
            steps[i] = random_step(&seed);
        }
        REQUIRE(play(steps, &policy, 1, &skipped) == 0);
        REQUIRE(play(steps, &policy, 2, &threaded) == 0);
        policy.skip = false;
        REQUIRE(play(steps, &policy, 1, &ticked) == 0);
        check_same(&skipped, &ticked);
        check_same(&skipped, &threaded);
        CHECK_EQ(served(&skipped), skipped.asked);
        free(skipped.commands);
        free(ticked.commands);
        free(threaded.commands);
        if (test_failures > before) {
            printf("  in round %d\n", round);
            return;
        }
    }
}

/* A pseudo-channel that had nothing to do beside one that waits for its operation's start has let time pass: a request that
 * comes after the end of another operation is not accepted in that past. */
static void a_request_is_not_accepted_before_the_end_that_it_follows(void)
{
    const hbm_access_t far = {.base = 0, .run_bytes = 64}, near = {.base = 512, .run_bytes = 64}; /* channels 0 and 1 */
    const uint64_t address = 256; /* channel 0, pseudo-channel 1 */
    const uint8_t reads = 0;

    REQUIRE(setup());
    for (int skip = 0; skip < 2; skip++) {
        hbm_policy_t policy = fixture_policy();
        hbm_system_t *system = NULL;
        hbm_command_t *commands;
        int64_t end = 0, bad = 0, n, first = -1;
        int32_t which = -1, bad_access = 0;

        policy.skip = skip != 0;
        policy.log_commands = true;
        policy.host_ticks = 60;
        REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
        CHECK_EQ(hbm_system_submit(system, &far, 1, 0, 10000, 0, false, &bad_access), 0);
        CHECK_EQ(hbm_system_submit(system, &near, 1, 1, 0, 0, false, &bad_access), 0);
        CHECK_EQ(hbm_system_next_end(system, &which, &end), 0);
        CHECK_EQ(which, 1);
        CHECK_EQ(hbm_system_requests(system, &address, &reads, NULL, 1, false, &bad), 0);
        CHECK_EQ(hbm_system_finish(system, &bad), 0);
        n = hbm_system_n_commands(system);
        commands = malloc((size_t)n * sizeof *commands);
        REQUIRE(commands != NULL);
        hbm_system_commands(system, 0, n, commands);
        for (int64_t i = 0; i < n && first < 0; i++) {
            first = commands[i].channel == 0 && commands[i].pseudo_channel == 1 ? commands[i].tick : -1;
        }
        CHECK_EQ(first, hbm_system_next_start(system));
        free(commands);
        hbm_system_free(system);
    }
}

static void requests_wait_behind_the_bursts_of_an_operation(void)
{
    const hbm_access_t many = {.base = 0, .run_bytes = 1 << 16};
    const uint64_t address[] = {1 << 20, 64, 1 << 20};
    const uint8_t is_write[] = {0, 0, 1};
    const hbm_policy_t policy = fixture_policy();
    hbm_operation_result_t o;
    hbm_system_t *system = NULL;
    int64_t counters[4 * 64], end = 0, bad = 0, out = 0;
    int32_t which = -1, bad_access = 0, at = 0;

    REQUIRE(setup());
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_submit(system, &many, 1, 0, 0, 0, false, &bad_access), 0);
    CHECK_EQ(hbm_system_requests(system, address, is_write, NULL, 3, false, &bad), 0);
    CHECK_EQ(hbm_system_next_end(system, &which, &end), 0); /* it still has an end to report */
    CHECK_EQ(which, 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    CHECK_EQ(hbm_system_operations(system, 0, 1, &o), 0);
    CHECK_EQ(o.bursts_read, 1024);
    hbm_system_counters(system, counters);
    while (strcmp(hbm_counter_name(at), "requests_out") != 0) {
        at++;
    }
    for (int pc = 0; pc < 4; pc++) {
        out += counters[pc * hbm_n_counters() + at];
    }
    CHECK_EQ(out, 1024 + 3);
    hbm_system_free(system);
}

static void an_end_may_be_left_unasked_for(void)
{
    const hbm_access_t access = {.base = 0, .run_bytes = 1 << 14};
    const hbm_policy_t policy = fixture_policy();
    int64_t end[2] = {0, 0};

    REQUIRE(setup());
    for (int asks = 0; asks < 2; asks++) {
        hbm_system_t *system = NULL;
        int32_t which = -1, bad = 0;
        REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
        CHECK_EQ(hbm_system_submit(system, &access, 1, 0, 0, 0, false, &bad), 0);
        if (asks) {
            CHECK_EQ(hbm_system_next_end(system, &which, &end[1]), 0);
        }
        CHECK_EQ(hbm_system_finish(system, &end[asks]), 0);
        hbm_system_free(system);
    }
    CHECK(end[0] > 0);
    CHECK_EQ(end[0], end[1]);
}

static void nothing_is_left_behind(void)
{
    hbm_map_free(map);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(neither_skipping_nor_threads_change_what_a_mixture_does),
      T(a_request_is_not_accepted_before_the_end_that_it_follows), T(requests_wait_behind_the_bursts_of_an_operation),
      T(an_end_may_be_left_unasked_for), T(nothing_is_left_behind))

/* One channel with explicit coordinates: latencies that can be worked out by hand, conservation, legality of the log, and
 * that skipping idle time changes nothing. */
#include <stdlib.h>

#include "device.h"
#include "faults.h"
#include "fixture.h"
#include "stats.h"
#include "testlib.h"

enum { MAX_REQUESTS = 300 };

typedef struct {
    int64_t arrival[MAX_REQUESTS];
    uint8_t is_write[MAX_REQUESTS];
    int32_t bank[MAX_REQUESTS], row[MAX_REQUESTS], column[MAX_REQUESTS];
    int64_t n;
    int64_t accept[MAX_REQUESTS], done[MAX_REQUESTS];
    uint8_t forwarded[MAX_REQUESTS];
} requests_t;

typedef struct {
    int64_t end;
    hbm_counters_t counters[2];
    int64_t n_commands;
    hbm_command_t *commands;
} outcome_t;

static hbm_device_t *device;
static requests_t input[2];

static void setup(void)
{
    device = device == NULL ? fixture_device() : device;
    memset(input, 0, sizeof input);
}

static void ask(int pc, int64_t arrival, bool is_write, int bank, int32_t row, int32_t column)
{
    requests_t *r = &input[pc];
    r->arrival[r->n] = arrival;
    r->is_write[r->n] = is_write;
    r->bank[r->n] = bank;
    r->row[r->n] = row;
    r->column[r->n] = column;
    r->n++;
}

static int run(const hbm_device_t *d, const hbm_policy_t *policy, outcome_t *out)
{
    hbm_channel_run_t *run = NULL;
    hbm_channel_input_t inputs[2];
    int ret;

    memset(out, 0, sizeof *out);
    for (int p = 0; p < 2; p++) {
        requests_t *r = &input[p];
        inputs[p] = (hbm_channel_input_t){r->arrival, r->is_write, r->bank, r->row,      r->column,
                                          r->n,       r->accept,   r->done, r->forwarded};
    }
    ret = hbm_channel_run_create(d, policy, inputs, &run);
    ret = ret != 0 ? ret : hbm_channel_run_execute(run, &out->end);
    if (ret == 0) {
        hbm_channel_run_counters(run, (int64_t *)(void *)out->counters);
        out->n_commands = hbm_channel_run_n_commands(run);
        out->commands = malloc((size_t)(out->n_commands + 1) * sizeof *out->commands);
        if (out->commands == NULL) {
            ret = HBM_ERR_NO_MEMORY;
        } else {
            hbm_channel_run_commands(run, out->commands);
        }
    }
    hbm_channel_run_free(run);
    return ret;
}

static hbm_policy_t logged_policy(void)
{
    hbm_policy_t p = fixture_policy();
    p.log_commands = true;
    return p;
}

static int64_t even(int64_t t) { return t + (t & 1); }

static void a_read_of_a_closed_bank_takes_activate_read_and_data(void)
{
    const hbm_policy_t policy = logged_policy();
    outcome_t out;
    int64_t rd;

    setup();
    ask(0, 100, false, 3, 7, 5);
    REQUIRE(run(device, &policy, &out) == 0);
    rd = even(100 + device->act_reference + device->RCDRD);
    CHECK_EQ(input[0].accept[0], 100);
    CHECK_EQ(input[0].done[0], rd + device->RL + device->BL);
    CHECK_EQ(out.end, input[0].done[0]);
    CHECK_EQ(out.counters[0].row_misses, 1);
    CHECK_EQ(out.counters[0].read_latency_ticks_sum, rd + device->RL + device->BL - 100);
    REQUIRE(out.n_commands == 2);
    CHECK_EQ(out.commands[0].command, HBM_CMD_ACT);
    CHECK_EQ(out.commands[0].tick, 100);
    CHECK_EQ(out.commands[0].row, 7);
    CHECK_EQ(out.commands[1].command, HBM_CMD_RD);
    CHECK_EQ(out.commands[1].tick, rd);
    CHECK_EQ(out.commands[1].column, 5);
    CHECK_EQ(out.commands[1].bank, 3);
    free(out.commands);
}

static void hits_and_conflicts_take_what_the_timings_say(void)
{
    const hbm_policy_t policy = logged_policy();
    outcome_t out;
    int64_t pre;

    setup();
    ask(0, 0, false, 20, 1, 0);
    ask(0, 1000, false, 20, 1, 1); /* hit */
    ask(0, 2000, false, 20, 2, 1); /* conflict */
    REQUIRE(run(device, &policy, &out) == 0);
    CHECK_EQ(input[0].done[1], 1000 + device->RL + device->BL);
    pre = 2000;
    CHECK_EQ(input[0].done[2], even(even(pre + device->RP - device->act_reference) + device->act_reference +
                                    device->RCDRD) + device->RL + device->BL);
    CHECK_EQ(out.counters[0].row_misses, 1);
    CHECK_EQ(out.counters[0].row_hits, 1);
    CHECK_EQ(out.counters[0].row_conflicts, 1);
    free(out.commands);
}

static void a_read_behind_its_write_is_forwarded(void)
{
    const hbm_policy_t policy = logged_policy();
    outcome_t out;

    setup();
    ask(1, 0, true, 5, 9, 3);
    ask(1, 0, false, 5, 9, 3);
    ask(1, 0, false, 5, 9, 4);
    REQUIRE(run(device, &policy, &out) == 0);
    CHECK_EQ(input[1].forwarded[1], 1);
    CHECK_EQ(input[1].done[1], 0);
    CHECK_EQ(input[1].forwarded[2], 0);
    CHECK_EQ(out.counters[1].reads_forwarded, 1);
    CHECK_EQ(out.counters[1].n_wr, 1);
    CHECK_EQ(out.counters[1].n_rd, 1);
    free(out.commands);
}

static void streaming_reads_keep_the_data_bus_full(void)
{
    hbm_policy_t policy = fixture_policy();
    outcome_t out;

    setup();
    for (int i = 0; i < 256; i++) { /* eight columns of the same row in each of 32 banks, groups alternating */
        ask(0, -1, false, (i % 4) * 4 + (i / 4) % 4, 1, i / 16);
    }
    REQUIRE(run(device, &policy, &out) == 0);
    CHECK_EQ(out.counters[0].data_ticks, 256 * device->BL);
    /* Sixteen activations at four per window start the stream; then every burst follows the other. */
    CHECK(out.end < 5 * device->FAW + 256 * device->BL + 200);
    free(out.commands);
}

/* ---- random traffic under every policy ---- */

static void random_traffic(uint64_t *seed)
{
    memset(input, 0, sizeof input);
    for (int p = 0; p < 2; p++) {
        const int n = test_below(seed, MAX_REQUESTS);
        const int style = test_below(seed, 3), banks = 1 + test_below(seed, 32), rows = 1 + test_below(seed, 4);
        int64_t arrival = 0;
        for (int i = 0; i < n; i++) {
            arrival += style == 0 ? 0 : test_below(seed, style == 1 ? 12 : 400);
            ask(p, style == 0 ? -1 : arrival, test_below(seed, 3) == 0, test_below(seed, banks), test_below(seed, rows),
                test_below(seed, 8));
        }
    }
}

static hbm_policy_t random_policy(uint64_t *seed)
{
    hbm_policy_t p = logged_policy();
    p.scheduler = test_below(seed, 3);
    p.page = test_below(seed, 3);
    p.refresh = test_below(seed, 3);
    p.cap = 1 + test_below(seed, 8);
    p.timeout_ticks = test_below(seed, 300);
    p.postpone = p.refresh == 2 ? 0 : test_below(seed, 8);
    p.pull_in = p.refresh == 2 ? 0 : test_below(seed, 9 - p.postpone);
    p.refresh_scale = 1 << test_below(seed, 3);
    p.read_queue = 1 + test_below(seed, 20);
    p.write_queue = 2 + test_below(seed, 20);
    p.write_high = 1 + test_below(seed, p.write_queue);
    p.write_low = test_below(seed, p.write_high);
    p.window = test_below(seed, 2) * (1 + test_below(seed, 30));
    p.host_ticks = test_below(seed, 100);
    return p;
}

static void check_conservation(const outcome_t *out)
{
    for (int p = 0; p < 2; p++) {
        const hbm_counters_t *c = &out->counters[p];
        int64_t reads = 0, writes = 0;
        for (int64_t i = 0; i < input[p].n; i++) {
            reads += !input[p].is_write[i];
            writes += input[p].is_write[i];
            CHECK(input[p].accept[i] >= 0 && input[p].accept[i] >= input[p].arrival[i]);
            CHECK(i == 0 || input[p].accept[i] >= input[p].accept[i - 1]);
            CHECK(input[p].done[i] >= input[p].accept[i] && input[p].done[i] <= out->end);
        }
        CHECK_EQ(c->requests_in, reads + writes);
        CHECK_EQ(c->requests_out, reads + writes);
        CHECK_EQ(c->n_rd + c->n_rda + c->reads_forwarded, reads);
        CHECK_EQ(c->n_wr + c->n_wra, writes);
        CHECK_EQ(c->bytes_read, reads * device->burst_bytes);
        CHECK_EQ(c->bytes_written, writes * device->burst_bytes);
        CHECK_EQ(c->row_hits + c->row_misses + c->row_conflicts, reads + writes - c->reads_forwarded);
        CHECK_EQ(c->data_ticks, (reads + writes - c->reads_forwarded) * device->BL);
    }
}

/* Replays the log on the timing tables: every command must be legal, and must be what the bank's state allows. */
static void check_legality(const outcome_t *out)
{
    hbm_probe_t *probe = NULL;
    int64_t open[2][64], n[2][16] = {{0}}, row_free = 0, column_free = 0;

    REQUIRE(hbm_probe_create(device, &probe) == 0);
    memset(open, -1, sizeof open);
    for (int64_t i = 0; i < out->n_commands && test_failures == 0; i++) {
        const hbm_command_t *c = &out->commands[i];
        const int p = c->pseudo_channel, bank = (c->sid * 4 + c->bank_group) * 4 + c->bank;
        const bool column = c->command >= HBM_CMD_RD && c->command <= HBM_CMD_WRA;
        int n_open = 0;
        CHECK(i == 0 || c->tick >= out->commands[i - 1].tick);
        CHECK_EQ(hbm_probe_issue(probe, p, c->command, bank, c->tick), 0);
        n[p][c->command]++;
        CHECK(c->tick >= (column ? column_free : row_free));
        if (column) {
            column_free = c->tick + device->column_ticks;
        } else {
            row_free = c->tick + (c->command == HBM_CMD_ACT ? device->act_ticks : device->row_ticks);
        }
        if (c->command != HBM_CMD_PREPB && c->command != HBM_CMD_PREAB) {
            CHECK_EQ(c->tick & 1, 0);
        }
        for (int b = 0; b < device->banks; b++) {
            n_open += open[p][b] >= 0;
        }
        switch (c->command) {
        case HBM_CMD_ACT:
            CHECK_EQ(open[p][bank], -1);
            open[p][bank] = c->row;
            break;
        case HBM_CMD_RD:
        case HBM_CMD_WR:
        case HBM_CMD_RDA:
        case HBM_CMD_WRA:
            CHECK_EQ(open[p][bank], c->row);
            open[p][bank] = c->command >= HBM_CMD_RDA ? -1 : open[p][bank];
            break;
        case HBM_CMD_PREPB:
            open[p][bank] = -1;
            break;
        case HBM_CMD_PREAB:
            memset(open[p], -1, sizeof open[p]);
            break;
        case HBM_CMD_REFAB:
        case HBM_CMD_RFMAB:
            CHECK_EQ(n_open, 0);
            break;
        default:
            CHECK_EQ(open[p][bank], -1);
            break;
        }
    }
    for (int p = 0; p < 2; p++) {
        const hbm_counters_t *c = &out->counters[p];
        const int64_t counted[] = {c->n_act, c->n_pre_pb, c->n_pre_ab, c->n_rd,     c->n_wr,    c->n_rda,
                                   c->n_wra, c->n_ref_ab, c->n_ref_pb, c->n_rfm_ab, c->n_rfm_pb};
        for (int k = 0; k < 11; k++) {
            CHECK_EQ(counted[k], n[p][k]);
        }
    }
    hbm_probe_free(probe);
}

static void check_same(const outcome_t *a, const outcome_t *b)
{
    CHECK_EQ(a->end, b->end);
    CHECK(memcmp(a->counters, b->counters, sizeof a->counters) == 0);
    if (CHECK_EQ(a->n_commands, b->n_commands)) {
        CHECK(memcmp(a->commands, b->commands, (size_t)a->n_commands * sizeof *a->commands) == 0);
    }
}

/* The fixture, with refresh management, with precharges on rising edges only, and with one pseudo-channel. */
static hbm_device_t *variant(int i)
{
    int64_t values[N_FIELDS];
    fixture_values(values);
    if (i == 1) {
        values[F_RAAIMT] = 4;
        values[F_RAAMMT] = 12;
        values[F_RAADEC] = 2;
    }
    values[F_pre_any_edge] = i != 2;
    values[F_act_ticks] = i == 2 ? 4 : 3;
    values[F_pseudo_channels] = i == 3 ? 1 : 2;
    return fixture_device_of(values);
}

static void random_traffic_is_served_legally_and_skipping_changes_nothing(void)
{
    uint64_t seed = 20250101;
    int64_t managed = 0;

    for (int round = 0; round < 200 && test_failures == 0; round++) {
        hbm_policy_t policy = random_policy(&seed);
        outcome_t skipped, ticked;

        hbm_device_free(device);
        device = variant(round % 4);
        REQUIRE(device != NULL);
        if (round % 4 == 1 && policy.refresh == 2) {
            policy.refresh = 0; /* a device that needs RFM refuses `none` */
        }
        random_traffic(&seed);
        input[1].n *= device->pseudo_channels - 1;
        REQUIRE(run(device, &policy, &skipped) == 0);
        managed += skipped.counters[0].n_rfm_pb;
        check_conservation(&skipped);
        check_legality(&skipped);
        policy.skip = false;
        REQUIRE(run(device, &policy, &ticked) == 0);
        check_same(&skipped, &ticked);
        if (test_failures != 0) {
            printf("  in round %d: scheduler %d, page %d, refresh %d\n", round, policy.scheduler, policy.page,
                   policy.refresh);
        }
        free(skipped.commands);
        free(ticked.commands);
    }
    CHECK(managed > 0);
    hbm_device_free(device);
    device = NULL;
}

static void every_tick_of_the_data_bus_is_accounted_for(void)
{
    uint64_t seed = 777;

    setup();
    for (int round = 0; round < 60 && test_failures == 0; round++) {
        const hbm_policy_t policy = random_policy(&seed);
        outcome_t out;
        random_traffic(&seed);
        REQUIRE(run(device, &policy, &out) == 0);
        for (int p = 0; p < 2; p++) {
            const hbm_counters_t *c = &out.counters[p];
            const int64_t lost = c->lost_no_request + c->lost_refresh + c->lost_activate_precharge +
                                 c->lost_activate_window + c->lost_turnaround + c->lost_bank_group + c->lost_sid +
                                 c->lost_command_bus;
            CHECK_EQ(c->data_ticks + lost, out.end);
        }
        free(out.commands);
    }
}

static void refreshes_come_at_their_rate(void)
{
    hbm_policy_t policy = logged_policy();
    outcome_t out;

    for (int refresh = 0; refresh < 2; refresh++) {
        setup();
        policy.refresh = refresh; /* per_bank, all_bank */
        ask(0, 0, false, 0, 0, 0);
        ask(0, 100000, false, 0, 0, 0);
        REQUIRE(run(device, &policy, &out) == 0);
        if (refresh == 0) {
            CHECK_EQ(out.counters[0].n_ref_pb, 100000 / device->REFIpb);
            CHECK_EQ(out.counters[0].n_ref_ab, 0);
        } else {
            CHECK_EQ(out.counters[0].n_ref_ab, 100000 / device->REFI);
            CHECK_EQ(out.counters[0].n_ref_pb, 0);
        }
        free(out.commands);
    }
}

static void a_device_that_needs_rfm_refuses_to_go_without_refresh(void)
{
    hbm_policy_t policy = fixture_policy();
    hbm_device_t *usual;
    outcome_t out;

    setup();
    ask(0, 0, false, 0, 0, 0);
    usual = device;
    device = variant(1);
    REQUIRE(device != NULL);
    CHECK_EQ(run(device, &policy, &out), HBM_ERR_BAD_POLICY);
    policy.refresh = 0;
    CHECK_EQ(run(device, &policy, &out), 0);
    free(out.commands);
    hbm_device_free(device);
    device = usual;
}

static void requests_outside_the_device_are_refused(void)
{
    const hbm_policy_t policy = fixture_policy();
    static const int32_t bad[][3] = {{32, 0, 0}, {-1, 0, 0}, {0, 96, 0}, {0, -1, 0}, {0, 0, 32}, {0, 0, -1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        outcome_t out;
        setup();
        ask(0, 0, false, 1, 1, 1);
        ask(1, 0, false, bad[i][0], bad[i][1], bad[i][2]);
        CHECK_EQ(run(device, &policy, &out), HBM_ERR_BAD_ARGUMENT);
    }
}

static int run_random(void *arg)
{
    outcome_t out;
    const int ret = run(device, arg, &out);
    free(out.commands);
    return ret;
}

static void a_window_of_the_log_holds_what_the_whole_log_holds_there(void)
{
    hbm_policy_t policy = logged_policy();
    outcome_t whole, part;
    uint64_t seed = 11;
    int64_t first, n;

    setup();
    random_traffic(&seed);
    policy.refresh = 0;
    REQUIRE(run(device, &policy, &whole) == 0);
    REQUIRE(whole.n_commands > 30);
    first = whole.n_commands / 3;
    policy.log_from_tick = whole.commands[first].tick;
    policy.log_to_tick = whole.commands[2 * first].tick;
    while (first > 0 && whole.commands[first - 1].tick == policy.log_from_tick) {
        first--;
    }
    for (n = 0; whole.commands[first + n].tick < policy.log_to_tick; n++) {
    }
    REQUIRE(run(device, &policy, &part) == 0);
    CHECK_EQ(part.end, whole.end);
    CHECK_EQ(part.n_commands, n);
    CHECK(part.n_commands == n && memcmp(part.commands, whole.commands + first, (size_t)n * sizeof *part.commands) == 0);
    free(whole.commands);
    free(part.commands);
}

static void running_out_of_memory_is_reported(void)
{
    hbm_policy_t policy = logged_policy();
    uint64_t seed = 5;

    setup();
    random_traffic(&seed);
    policy.refresh = 0;
    CHECK(faults_sweep(run_random, &policy) >= 8);
    hbm_device_free(device);
    device = NULL;
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(a_read_of_a_closed_bank_takes_activate_read_and_data), T(hits_and_conflicts_take_what_the_timings_say),
      T(a_read_behind_its_write_is_forwarded), T(streaming_reads_keep_the_data_bus_full),
      T(random_traffic_is_served_legally_and_skipping_changes_nothing),
      T(every_tick_of_the_data_bus_is_accounted_for), T(refreshes_come_at_their_rate),
      T(a_device_that_needs_rfm_refuses_to_go_without_refresh), T(requests_outside_the_device_are_refused),
      T(a_window_of_the_log_holds_what_the_whole_log_holds_there), T(running_out_of_memory_is_reported))

/* Power-down and self-refresh of one channel: entries, exits and what they cost, by hand from docs/model/power_states.md. */
#include <stdlib.h>

#include "device.h"
#include "faults.h"
#include "fixture.h"
#include "stats.h"
#include "testlib.h"

enum { MAX = 400, NO_REFRESH = 2, PER_BANK = 0, NEVER = 0, IDLE = 1, DEEP = 2, AGGRESSIVE = 3 };

typedef struct {
    int64_t arrival[MAX];
    uint8_t is_write[MAX];
    int32_t bank[MAX], row[MAX], column[MAX];
    int64_t n;
    int64_t accept[MAX], done[MAX];
    uint8_t forwarded[MAX];
} requests_t;

static hbm_device_t *device;
static requests_t input[2];
static hbm_counters_t counters[2];
static hbm_command_t *commands;
static int64_t n_commands, end;

static void setup(void)
{
    device = device == NULL ? fixture_device() : device;
    memset(input, 0, sizeof input);
}

static void ask(int pc, int64_t arrival, bool is_write, int bank, int32_t row)
{
    requests_t *r = &input[pc];
    r->arrival[r->n] = arrival;
    r->is_write[r->n] = is_write;
    r->bank[r->n] = bank;
    r->row[r->n] = row;
    r->column[r->n] = (int32_t)(r->n % 32);
    r->n++;
}

static hbm_policy_t policy_of(int power, int64_t down, int64_t deep)
{
    hbm_policy_t p = fixture_policy();
    p.log_commands = true;
    p.power = power;
    p.power_down_ticks = down;
    p.self_refresh_ticks = deep;
    return p;
}

static int run(const hbm_policy_t *policy)
{
    hbm_channel_run_t *channel = NULL;
    hbm_channel_input_t in[2];
    int ret;

    free(commands);
    commands = NULL;
    for (int p = 0; p < 2; p++) {
        requests_t *r = &input[p];
        in[p] = (hbm_channel_input_t){r->arrival, r->is_write, r->bank, r->row,      r->column,
                                      r->n,       r->accept,   r->done, r->forwarded};
    }
    ret = hbm_channel_run_create(device, policy, in, &channel);
    ret = ret != 0 ? ret : hbm_channel_run_execute(channel, &end);
    if (ret == 0) {
        hbm_channel_run_counters(channel, (int64_t *)(void *)counters);
        n_commands = hbm_channel_run_n_commands(channel);
        commands = calloc((size_t)n_commands + 1, sizeof *commands);
        ret = commands == NULL ? HBM_ERR_NO_MEMORY : 0;
        if (ret == 0) {
            hbm_channel_run_commands(channel, commands);
        }
    }
    hbm_channel_run_free(channel);
    return ret;
}

/* Stamp of the nth command of this kind (from 0), or -1. */
static int64_t stamp(int command, int nth)
{
    for (int64_t i = 0; i < n_commands; i++) {
        if (commands[i].command == command && nth-- == 0) {
            return commands[i].tick;
        }
    }
    return -1;
}

static int64_t stay(void) { return hbm_rising(hbm_max(device->CPDED, device->PDmin)); }

static void idle_channel_goes_down_after_its_time_and_a_request_wakes_it(void)
{
    const hbm_policy_t p = policy_of(IDLE, 101, 0);

    setup();
    ask(1, 1000, false, 3, 7);
    REQUIRE(run(&p) == 0);
    CHECK_EQ(stamp(HBM_CMD_PDE, 0), 102); /* the next rising edge */
    CHECK_EQ(stamp(HBM_CMD_PDX, 0), 1000);
    CHECK_EQ(stamp(HBM_CMD_ACT, 0), hbm_rising(1000 + device->XP));
    CHECK_EQ(stamp(HBM_CMD_PDE, 1), -1);
    CHECK_EQ(commands[0].pseudo_channel, 0); /* of the channel, though pseudo-channel 1 has the request */
    for (int pc = 0; pc < 2; pc++) {
        CHECK_EQ(counters[pc].ticks_precharged_power_down, 1000 - 102);
    }
    CHECK_EQ(counters[1].lost_power_state, device->XP);
    CHECK_EQ(counters[0].lost_power_state, 0); /* it had no request */
    CHECK_EQ(counters[0].n_pde, 1);
    CHECK_EQ(counters[1].n_pde, 0);
}

static void power_down_is_held_for_its_least_stay(void)
{
    const hbm_policy_t p = policy_of(IDLE, 100, 0);

    setup();
    ask(0, 102, false, 3, 7);
    REQUIRE(run(&p) == 0);
    CHECK_EQ(stamp(HBM_CMD_PDX, 0), 100 + stay());
    CHECK_EQ(stamp(HBM_CMD_ACT, 0), hbm_rising(100 + stay() + device->XP));
    CHECK_EQ(counters[0].lost_power_state, 100 + stay() + device->XP - 102);
}

static void power_down_waits_for_data_in_flight_on_either_pseudo_channel(void)
{
    const hbm_policy_t p = policy_of(AGGRESSIVE, 0, 1 << 20);

    for (int is_write = 0; is_write < 2; is_write++) {
        setup();
        ask(1, 0, is_write, 3, 7);
        ask(0, 5000, false, 3, 7);
        REQUIRE(run(&p) == 0);
        const int64_t at = stamp(is_write ? HBM_CMD_WR : HBM_CMD_RD, 0);
        CHECK_EQ(stamp(HBM_CMD_PDE, 0),
                 hbm_rising(is_write ? at + device->column_reference + device->WL + device->BL + device->WR + 2
                                     : at + device->RL + device->BL + 2));
    }
}

static void rows_stay_open_in_active_power_down(void)
{
    const hbm_policy_t p = policy_of(AGGRESSIVE, 0, 1 << 20);

    setup();
    ask(0, 0, false, 3, 7);
    ask(0, 5000, false, 3, 7);
    REQUIRE(run(&p) == 0);
    CHECK_EQ(stamp(HBM_CMD_RD, 1), hbm_rising(5000 + device->XP));
    CHECK_EQ(counters[0].n_act, 1);
    CHECK_EQ(counters[0].ticks_active_power_down, 5000 - stamp(HBM_CMD_PDE, 0));
    CHECK_EQ(counters[1].ticks_active_power_down, 5000 - stamp(HBM_CMD_PDE, 0)); /* its banks are closed, the channel's not */
    CHECK_EQ(counters[1].ticks_active_standby, 0);
}

static void self_refresh_closes_all_banks_first_and_costs_txs(void)
{
    const hbm_policy_t p = policy_of(DEEP, 100, 1000);
    int64_t read, wake, first, second;

    setup();
    ask(0, 0, false, 3, 7);
    ask(1, 0, false, 4, 7);
    ask(1, 9000, false, 4, 7);
    REQUIRE(run(&p) == 0);
    read = hbm_max(stamp(HBM_CMD_RD, 0), stamp(HBM_CMD_RD, 1));
    CHECK_EQ(stamp(HBM_CMD_PDE, 0), read + 100);
    wake = read + 1000;
    CHECK_EQ(stamp(HBM_CMD_PDX, 0), wake);
    first = stamp(HBM_CMD_PREAB, 0);
    second = stamp(HBM_CMD_PREAB, 1);
    CHECK_EQ(first, hbm_rising(wake + device->XP));
    CHECK_EQ(second, first + 2);
    CHECK_EQ(stamp(HBM_CMD_SRE, 0), hbm_rising(second + device->RP));
    CHECK_EQ(stamp(HBM_CMD_SRX, 0), 9000);
    CHECK_EQ(stamp(HBM_CMD_ACT, 2), hbm_rising(9000 + device->XS));
    CHECK_EQ(counters[1].ticks_self_refresh, 9000 - stamp(HBM_CMD_SRE, 0));
    CHECK_EQ(counters[1].lost_power_state, device->XS);
    CHECK_EQ(counters[0].n_sre, 1);
}

static void power_down_ends_in_time_for_refresh_and_self_refresh_needs_none(void)
{
    hbm_policy_t p = policy_of(IDLE, 0, 0);

    setup();
    p.refresh = PER_BANK;
    ask(0, 4 * 7800, false, 3, 7);
    REQUIRE(run(&p) == 0);
    for (int pc = 0; pc < 2; pc++) { /* as many as without power-down, but for those that the last sleep put off */
        CHECK(counters[pc].n_ref_pb >= 4 * 7800 / 240 - 2);
        CHECK(counters[pc].ticks_precharged_power_down > 4 * 7800 / 2);
    }
    CHECK_EQ(stamp(HBM_CMD_PDX, 0), 240);
    CHECK_EQ(stamp(HBM_CMD_REFPB, 0), hbm_rising(240 + device->XP));

    p.power = DEEP;
    p.postpone = 20;
    REQUIRE(run(&p) == 0);
    CHECK_EQ(stamp(HBM_CMD_SRE, 0), 0);
    CHECK_EQ(counters[0].n_ref_pb, 0); /* its request goes first */
    /* one is due to the other by now, and comes behind the ACT on the row bus */
    CHECK_EQ(stamp(HBM_CMD_ACT, 0), 4 * 7800 + device->XS);
    CHECK_EQ(stamp(HBM_CMD_REFPB, 0), hbm_rising(4 * 7800 + device->XS + device->act_ticks));
}

static void a_device_without_power_states_is_refused(void)
{
    const int fields[] = {F_XP, F_XS, F_CPDED};

    setup();
    for (int i = 0; i < 3; i++) {
        int64_t values[N_FIELDS];
        hbm_policy_t p = policy_of(IDLE, 0, 0);
        hbm_device_t *whole = device;
        fixture_values(values);
        values[fields[i]] = 1;
        values[F_PDmin] = i == 2 ? 1 : values[F_PDmin];
        device = fixture_device_of(values);
        REQUIRE(device != NULL);
        CHECK_EQ(run(&p), HBM_ERR_BAD_POLICY);
        p.power = NEVER;
        CHECK_EQ(run(&p), 0);
        hbm_device_free(device);
        device = whole;
    }
}

static int64_t power_ticks(const hbm_counters_t *c)
{
    return c->ticks_active_standby + c->ticks_precharged_standby + c->ticks_active_power_down +
           c->ticks_precharged_power_down + c->ticks_self_refresh;
}

static int64_t account_ticks(const hbm_counters_t *c)
{
    return c->data_ticks + c->lost_no_request + c->lost_refresh + c->lost_activate_precharge + c->lost_activate_window +
           c->lost_turnaround + c->lost_bank_group + c->lost_sid + c->lost_command_bus + c->lost_power_state;
}

static void sparse_traffic(uint64_t *seed)
{
    setup();
    for (int pc = 0; pc < 2; pc++) {
        int64_t now = 0;
        for (int i = 0; i < 60; i++) {
            const uint64_t r = test_random(seed);
            now += r % 5 == 0 ? (int64_t)(r >> 8) % 9000 : (int64_t)(r >> 8) % 40;
            ask(pc, now, r % 3 == 0, (int)((r >> 20) % 32), (int32_t)((r >> 30) % 3));
        }
    }
}

static void every_tick_is_counted_once_and_skipping_changes_nothing(void)
{
    uint64_t seed = 11;
    int64_t slept = 0, refreshed = 0;

    for (int round = 0; round < 24; round++) {
        hbm_policy_t p = policy_of(round % 4, 60 * (round % 3), 700);
        hbm_command_t *first;
        int64_t n, last;
        p.refresh = round % 3;
        p.page = round % 2 + 1;
        p.timeout_ticks = 90;
        p.postpone = round % 5;
        sparse_traffic(&seed);
        REQUIRE(run(&p) == 0);
        for (int pc = 0; pc < 2; pc++) {
            CHECK_EQ(power_ticks(&counters[pc]), end);
            CHECK_EQ(account_ticks(&counters[pc]), end);
            slept += counters[pc].ticks_active_power_down + counters[pc].ticks_precharged_power_down;
            refreshed += counters[pc].ticks_self_refresh;
        }
        first = commands;
        n = n_commands;
        last = end;
        commands = NULL;
        p.skip = false;
        REQUIRE(run(&p) == 0);
        CHECK_EQ(end, last);
        CHECK_EQ(n_commands, n);
        CHECK(first != NULL && n_commands == n && memcmp(first, commands, (size_t)n * sizeof *first) == 0);
        free(first);
    }
    CHECK(slept > 10000 && refreshed > 10000);
    free(commands);
    commands = NULL;
}

static int run_without_log(void *arg)
{
    const int ret = run(arg);
    free(commands);
    commands = NULL;
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    hbm_policy_t p = policy_of(IDLE, 0, 0);
    uint64_t seed = 5;

    sparse_traffic(&seed);
    p.refresh = PER_BANK;
    p.log_commands = false; /* so that sleep is skipped */
    CHECK(faults_sweep(run_without_log, &p) >= 8);
    hbm_device_free(device);
    device = NULL;
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(idle_channel_goes_down_after_its_time_and_a_request_wakes_it), T(power_down_is_held_for_its_least_stay),
      T(power_down_waits_for_data_in_flight_on_either_pseudo_channel), T(rows_stay_open_in_active_power_down),
      T(self_refresh_closes_all_banks_first_and_costs_txs),
      T(power_down_ends_in_time_for_refresh_and_self_refresh_needs_none), T(a_device_without_power_states_is_refused),
      T(every_tick_is_counted_once_and_skipping_changes_nothing), T(running_out_of_memory_is_reported))

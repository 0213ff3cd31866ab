/* The timing tables through the probe: after X at tick T, Y is legal at T + n and refused at T + n - 1.  One row here per
 * rule of docs/model/controller.md, with the formula of that page. */
#include "faults.h"
#include "fixture.h"
#include "testlib.h"
#include "timing.h"

enum { START = 10000, MAX_STEPS = 6 };

/* Banks by their relation to bank 0 of the fixture (2 SIDs, 4 groups, 4 banks each). */
enum { SAME = 0, GROUP = 1, OTHER_GROUP = 5, OTHER_SID = 16 };

typedef struct {
    int command;
    int bank;
    int64_t at; /* relative to START */
} step_t;

static hbm_device_t *device;

/* Checks that `then` is legal n ticks after START and not one tick earlier, behind the given steps. */
static void check_rule(const step_t *steps, int n_steps, int command, int bank, int64_t n, int line)
{
    hbm_probe_t *probe = NULL;
    int64_t earliest = 0;

    REQUIRE(hbm_probe_create(device, &probe) == 0);
    for (int i = 0; i < n_steps; i++) {
        CHECK_EQ(hbm_probe_issue(probe, 0, steps[i].command, steps[i].bank, START + steps[i].at), 0);
    }
    CHECK_EQ(hbm_probe_earliest(probe, 0, command, bank, false, &earliest), 0);
    if (earliest != START + n) {
        test_failures++;
        printf("  %s:%d: earliest tick is %lld, want %lld\n", __FILE__, line, (long long)(earliest - START), (long long)n);
    }
    CHECK_EQ(hbm_probe_issue(probe, 0, command, bank, START + n - 1), HBM_ERR_ILLEGAL_COMMAND);
    CHECK_EQ(hbm_probe_issue(probe, 0, command, bank, START + n), 0);
    hbm_probe_free(probe);
}

#define RULE(first, second, bank, n)                                                                                   \
    do {                                                                                                               \
        const step_t one = {HBM_CMD_##first, SAME, 0};                                                                 \
        check_rule(&one, 1, HBM_CMD_##second, bank, (n), __LINE__);                                                    \
    } while (0)

static void setup(void) { device = device == NULL ? fixture_device() : device; }

static void activation_holds_back_its_own_bank(void)
{
    setup();
    RULE(ACT, ACT, SAME, device->RC);
    RULE(ACT, RD, SAME, device->act_reference + device->RCDRD);
    RULE(ACT, RDA, SAME, device->act_reference + device->RCDRD);
    RULE(ACT, WR, SAME, device->act_reference + device->RCDWR);
    RULE(ACT, WRA, SAME, device->act_reference + device->RCDWR);
    RULE(ACT, PREPB, SAME, device->act_reference + device->RAS);
    RULE(ACT, PREAB, SAME, device->act_reference + device->RAS);
    RULE(ACT, REFPB, SAME, device->act_reference + device->RC);
    RULE(ACT, RFMPB, SAME, device->act_reference + device->RC);
}

static void activation_holds_back_other_banks(void)
{
    setup();
    RULE(ACT, ACT, GROUP, device->RRDL);
    RULE(ACT, ACT, OTHER_GROUP, device->RRDS);
    RULE(ACT, ACT, OTHER_SID, device->RRDS);
    RULE(ACT, REFPB, GROUP, device->act_reference + device->RRDL);
    RULE(ACT, REFPB, OTHER_GROUP, device->act_reference + device->RRDS);
    RULE(ACT, RFMPB, GROUP, device->act_reference + device->RRDL);
    RULE(ACT, RFMPB, OTHER_SID, device->act_reference + device->RRDS);
}

static void reads_hold_back_columns_by_bank_group_and_sid(void)
{
    setup();
    RULE(RD, RD, SAME, device->CCDL);
    RULE(RD, RD, GROUP, device->CCDL);
    RULE(RD, RDA, OTHER_GROUP, device->CCDS);
    RULE(RD, RD, OTHER_SID, device->CCDR);
    RULE(RD, WR, SAME, device->RTW);
    RULE(RD, WR, OTHER_SID, device->RTW);
    RULE(RDA, WRA, OTHER_GROUP, device->RTW);
}

static void writes_hold_back_columns_by_bank_group(void)
{
    setup();
    RULE(WR, WR, GROUP, device->CCDL);
    RULE(WR, WR, OTHER_GROUP, device->CCDS);
    RULE(WR, WRA, OTHER_SID, device->CCDS);
    RULE(WR, RD, SAME, device->WL + device->BL + device->WTRL);
    RULE(WR, RD, GROUP, device->WL + device->BL + device->WTRL);
    RULE(WR, RD, OTHER_GROUP, device->WL + device->BL + device->WTRS);
    RULE(WRA, RDA, OTHER_SID, device->WL + device->BL + device->WTRS);
}

static void columns_hold_back_the_precharge(void)
{
    setup();
    RULE(RD, PREPB, SAME, device->column_reference + device->RTP);
    RULE(RD, PREAB, SAME, device->column_reference + device->RTP);
    RULE(WR, PREPB, SAME, device->column_reference + device->WL + device->BL + device->WR);
    RULE(WR, PREAB, SAME, device->column_reference + device->WL + device->BL + device->WR);
}

static void precharge_holds_back_what_needs_a_closed_bank(void)
{
    setup();
    RULE(PREPB, ACT, SAME, device->RP - device->act_reference);
    RULE(PREPB, REFPB, SAME, device->RP);
    RULE(PREPB, RFMPB, SAME, device->RP);
    RULE(PREPB, REFAB, SAME, device->RP);
    RULE(PREPB, RFMAB, SAME, device->RP);
    RULE(PREPB, PREPB, OTHER_SID, device->PPD);
    RULE(PREPB, PREAB, SAME, device->PPD);
    RULE(PREAB, PREPB, GROUP, device->PPD);
    RULE(PREAB, ACT, OTHER_SID, device->RP - device->act_reference);
    RULE(PREAB, REFAB, SAME, device->RP);
}

static void auto_precharge_starts_when_an_explicit_one_could(void)
{
    const int64_t a = (setup(), device->act_reference), late = 200;
    const step_t early_read[] = {{HBM_CMD_ACT, 0, 0}, {HBM_CMD_RDA, 0, a + device->RCDRD}};
    const step_t late_read[] = {{HBM_CMD_ACT, 0, 0}, {HBM_CMD_RDA, 0, late}};
    const step_t late_write[] = {{HBM_CMD_ACT, 0, 0}, {HBM_CMD_WRA, 0, late}};
    const int64_t by_ras = a + device->RAS;
    const int64_t by_rtp = late + device->column_reference + device->RTP;
    const int64_t by_wr = late + device->column_reference + device->WL + device->BL + device->WR;

    check_rule(early_read, 2, HBM_CMD_REFAB, 0, device->RC + a, __LINE__);
    check_rule(early_read, 2, HBM_CMD_ACT, 0, hbm_max(device->RC, by_ras + device->RP - a), __LINE__);
    check_rule(late_read, 2, HBM_CMD_ACT, 0, by_rtp + device->RP - a, __LINE__);
    check_rule(late_read, 2, HBM_CMD_REFPB, 0, by_rtp + device->RP, __LINE__);
    check_rule(late_read, 2, HBM_CMD_REFAB, 0, by_rtp + device->RP, __LINE__);
    check_rule(late_write, 2, HBM_CMD_ACT, 0, by_wr + device->RP - a, __LINE__);
    check_rule(late_write, 2, HBM_CMD_RFMPB, 0, by_wr + device->RP, __LINE__);
}

static void per_bank_refresh_holds_back_banks_and_neighbours(void)
{
    const int64_t a = (setup(), device->act_reference);

    RULE(REFPB, ACT, SAME, device->RFCpb - a);
    RULE(REFPB, REFPB, SAME, device->RFCpb);
    RULE(REFPB, RFMPB, SAME, device->RFCpb);
    RULE(RFMPB, ACT, SAME, device->RFMpb - a);
    RULE(RFMPB, REFPB, SAME, device->RFMpb);
    RULE(RFMPB, RFMPB, SAME, device->RFMpb);
    RULE(REFPB, ACT, GROUP, hbm_max(device->RREFD, device->RRDL) - a);
    RULE(REFPB, ACT, OTHER_GROUP, device->RREFD - a);
    RULE(RFMPB, ACT, OTHER_SID, device->RREFD - a);
    RULE(REFPB, REFPB, OTHER_GROUP, device->RREFD);
    RULE(RFMPB, REFPB, GROUP, device->RREFD);
    RULE(REFPB, REFAB, SAME, device->RFCpb);
    RULE(REFPB, RFMAB, SAME, device->RFCpb);
    RULE(RFMPB, REFAB, SAME, device->RFMpb);
}

static void refresh_counts_as_an_activation_of_its_group(void)
{
    hbm_device_t *const usual = (setup(), device);
    int64_t values[N_FIELDS];

    fixture_values(values);
    values[F_RREFD] = 8; /* now the group's rule is the longer one */
    device = fixture_device_of(values);
    RULE(REFPB, ACT, GROUP, device->RRDL - device->act_reference);
    RULE(RFMPB, ACT, GROUP, device->RRDL - device->act_reference);
    RULE(REFPB, ACT, OTHER_GROUP, device->RREFD - device->act_reference);
    hbm_device_free(device);
    device = usual;
}

static void all_bank_refresh_holds_back_everything(void)
{
    const int64_t a = (setup(), device->act_reference);

    for (int bank = 0; bank < device->banks; bank++) {
        RULE(REFAB, ACT, bank, device->RFCab - a);
        RULE(RFMAB, ACT, bank, device->RFMab - a);
        RULE(REFAB, REFPB, bank, device->RFCab);
        RULE(RFMAB, RFMPB, bank, device->RFMab);
    }
    RULE(REFAB, PREAB, SAME, device->RFCab);
    RULE(REFAB, REFAB, SAME, device->RFCab);
    RULE(REFAB, RFMAB, SAME, device->RFCab);
    RULE(RFMAB, REFAB, SAME, device->RFMab);
    RULE(RFMAB, PREAB, SAME, device->RFMab);
}

static void no_five_activations_fit_the_window(void)
{
    const int64_t a = (setup(), device->act_reference), s = device->RRDS, d = device->RREFD;
    const step_t acts[] = {{HBM_CMD_ACT, 0, 0}, {HBM_CMD_ACT, 4, s}, {HBM_CMD_ACT, 8, 2 * s}, {HBM_CMD_ACT, 12, 3 * s}};
    const step_t with_ref[] = {
        {HBM_CMD_REFPB, 0, 0}, {HBM_CMD_ACT, 4, d - a}, {HBM_CMD_ACT, 8, d - a + s}, {HBM_CMD_ACT, 12, d - a + 2 * s}};
    const step_t with_rfm[] = {
        {HBM_CMD_RFMPB, 0, 0}, {HBM_CMD_ACT, 4, d - a}, {HBM_CMD_ACT, 8, d - a + s}, {HBM_CMD_ACT, 12, d - a + 2 * s}};

    /* The window holds reference edges: an ACT's is a ticks behind its stamp, a REFpb's is its stamp. */
    check_rule(acts, 4, HBM_CMD_ACT, 16, device->FAW, __LINE__);
    check_rule(acts, 4, HBM_CMD_REFPB, 16, a + device->FAW, __LINE__);
    check_rule(with_ref, 4, HBM_CMD_ACT, 16, device->FAW - a, __LINE__);
    /* RFMpb is not in the window, neither as one of the four nor as the fifth. */
    check_rule(with_rfm, 4, HBM_CMD_ACT, 16, d - a + 3 * s, __LINE__);
    check_rule(acts, 4, HBM_CMD_RFMPB, 16, 3 * s + a + s, __LINE__);
}

static void pseudo_channels_share_nothing_but_the_buses(void)
{
    hbm_probe_t *probe = NULL;
    int64_t tick = 0;

    setup();
    REQUIRE(hbm_probe_create(device, &probe) == 0);
    CHECK_EQ(hbm_probe_issue(probe, 0, HBM_CMD_ACT, 0, START), 0);
    CHECK_EQ(hbm_probe_earliest(probe, 1, HBM_CMD_ACT, 0, false, &tick), 0);
    CHECK(tick < 0);
    CHECK_EQ(hbm_probe_earliest(probe, 1, HBM_CMD_PREPB, 0, true, &tick), 0);
    CHECK_EQ(tick, START + device->act_ticks); /* the odd tick behind the ACT */
    CHECK_EQ(hbm_probe_earliest(probe, 1, HBM_CMD_ACT, 0, true, &tick), 0);
    CHECK_EQ(tick, START + device->act_ticks + 1); /* ACT starts on a rising edge */
    CHECK_EQ(hbm_probe_earliest(probe, 1, HBM_CMD_RD, 0, true, &tick), 0);
    CHECK(tick < 0); /* the column bus is free */
    CHECK_EQ(hbm_probe_issue(probe, 1, HBM_CMD_RD, 0, START), 0);
    CHECK_EQ(hbm_probe_earliest(probe, 0, HBM_CMD_WR, 16, true, &tick), 0);
    CHECK_EQ(tick, START + device->column_ticks);
    hbm_probe_free(probe);
}

static void a_tick_without_room_for_what_follows_is_refused(void)
{
    hbm_probe_t *probe = NULL;
    int64_t tick = 0;

    setup();
    REQUIRE(hbm_probe_create(device, &probe) == 0);
    CHECK_EQ(hbm_probe_issue(probe, 0, HBM_CMD_ACT, 0, INT64_MAX), HBM_ERR_OVERFLOW);
    CHECK_EQ(hbm_probe_earliest(probe, 0, HBM_CMD_ACT, 0, true, &tick), 0);
    CHECK(tick < 0); /* nothing was issued */
    CHECK_EQ(hbm_probe_issue(probe, 0, HBM_CMD_ACT, 0, HBM_NEVER), 0);
    hbm_probe_free(probe);
}

static void precharge_keeps_to_rising_edges_when_it_must(void)
{
    int64_t values[N_FIELDS], tick = 0;
    hbm_device_t *strict;
    hbm_probe_t *probe = NULL;

    fixture_values(values);
    values[F_pre_any_edge] = 0;
    strict = fixture_device_of(values);
    REQUIRE(strict != NULL && hbm_probe_create(strict, &probe) == 0);
    CHECK_EQ(hbm_probe_issue(probe, 0, HBM_CMD_ACT, 0, START), 0);
    CHECK_EQ(hbm_probe_earliest(probe, 0, HBM_CMD_PREPB, 0, false, &tick), 0);
    CHECK_EQ(tick, START + values[F_act_reference] + values[F_RAS]); /* odd */
    CHECK_EQ(hbm_probe_earliest(probe, 0, HBM_CMD_PREPB, 0, true, &tick), 0);
    CHECK_EQ(tick, START + values[F_act_reference] + values[F_RAS] + 1);
    hbm_probe_free(probe);
    hbm_device_free(strict);
}

/* Whatever came before: the earliest tick is accepted, the tick before it is not, and no command makes another legal
 * earlier than it was. */
static void earliest_is_exact_and_never_moves_back(void)
{
    uint64_t seed = 0x9e3779b97f4a7c15u;
    hbm_probe_t *probe = NULL;
    int64_t before[11][64];

    setup();
    REQUIRE(hbm_probe_create(device, &probe) == 0);
    for (int round = 0; round < 3000; round++) {
        const int command = test_below(&seed, 11), bank = test_below(&seed, device->banks);
        int64_t tick = 0;
        for (int c = 0; c < 11; c++) {
            for (int b = 0; b < device->banks; b++) {
                CHECK_EQ(hbm_probe_earliest(probe, 0, c, b, false, &before[c][b]), 0);
            }
        }
        tick = before[command][bank];
        CHECK_EQ(hbm_probe_issue(probe, 0, command, bank, tick - 1), HBM_ERR_ILLEGAL_COMMAND);
        CHECK_EQ(hbm_probe_issue(probe, 0, command, bank, tick + test_below(&seed, 3)), 0);
        for (int c = 0; c < 11; c++) {
            for (int b = 0; b < device->banks; b++) {
                int64_t after = 0;
                CHECK_EQ(hbm_probe_earliest(probe, 0, c, b, false, &after), 0);
                CHECK(after >= before[c][b]);
            }
        }
    }
    hbm_probe_free(probe);
}

static void places_outside_the_device_are_refused(void)
{
    static const int32_t bad[][3] = {{-1, 0, 0}, {2, 0, 0}, {0, -1, 0}, {0, 11, 0}, {0, 0, -1}, {0, 0, 32}};
    hbm_probe_t *probe = NULL;
    int64_t tick = 0;

    setup();
    REQUIRE(hbm_probe_create(device, &probe) == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(hbm_probe_earliest(probe, bad[i][0], bad[i][1], bad[i][2], false, &tick), HBM_ERR_BAD_ARGUMENT);
        CHECK_EQ(hbm_probe_issue(probe, bad[i][0], bad[i][1], bad[i][2], START), HBM_ERR_BAD_ARGUMENT);
    }
    hbm_probe_free(probe);
}

static int create_and_free(void *arg)
{
    hbm_probe_t *probe = NULL;
    const int ret = hbm_probe_create(arg, &probe);
    hbm_probe_free(probe);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    setup();
    CHECK(faults_sweep(create_and_free, device) >= 1);
}

static void the_device_is_released(void)
{
    hbm_device_free(device);
    device = NULL;
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(activation_holds_back_its_own_bank), T(activation_holds_back_other_banks),
      T(reads_hold_back_columns_by_bank_group_and_sid), T(writes_hold_back_columns_by_bank_group),
      T(columns_hold_back_the_precharge), T(precharge_holds_back_what_needs_a_closed_bank),
      T(auto_precharge_starts_when_an_explicit_one_could), T(per_bank_refresh_holds_back_banks_and_neighbours),
      T(refresh_counts_as_an_activation_of_its_group), T(all_bank_refresh_holds_back_everything), T(no_five_activations_fit_the_window),
      T(pseudo_channels_share_nothing_but_the_buses), T(a_tick_without_room_for_what_follows_is_refused),
      T(precharge_keeps_to_rising_edges_when_it_must),
      T(earliest_is_exact_and_never_moves_back), T(places_outside_the_device_are_refused),
      T(running_out_of_memory_is_reported), T(the_device_is_released))

/* The timing tables as Ramulator 2.1 has them: ours, less the rules that it lacks.  Every difference that can touch a
 * command of this policy set is one named relaxation, made by taking back what the issue of a command pushed; with no
 * relaxation these are exactly our tables.  Must not know queues or policies. */
#include "r21.h"

static const struct {
    int32_t flag;
    const char *name;
    const char *text;
} relaxation[] = {
    {HBM_R21_REFPB_OUTSIDE_FAW, "refpb_outside_faw",
     "a REFpb neither waits for the four-activate window nor takes a place in it"},
    {HBM_R21_ACT_REFPB_SHORT, "act_to_refpb_short",
     "a REFpb after an ACT of the same bank group waits for tRRDS instead of tRRDL"},
};

static bool known(int32_t i) { return i >= 0 && (size_t)i < sizeof relaxation / sizeof relaxation[0]; }

const char *hbm_r21_relaxation_name(int32_t i) { return known(i) ? relaxation[i].name : NULL; }

const char *hbm_r21_relaxation_text(int32_t i) { return known(i) ? relaxation[i].text : NULL; }

int32_t hbm_r21_relaxation_flag(int32_t i) { return known(i) ? relaxation[i].flag : 0; }

void hbm_r21_rules_init(hbm_r21_rules_t *self, const hbm_device_t *device, int32_t relaxations)
{
    self->device = device;
    self->relaxations = relaxations;
    self->row_free = self->column_free = HBM_LONG_AGO;
    for (int pc = 0; pc < HBM_MAX_PC; pc++) {
        hbm_timing_init(&self->timing[pc]);
    }
}

hbm_tick_t hbm_r21_earliest(const hbm_r21_rules_t *self, int pc, int command, int bank, hbm_tick_t now)
{
    const hbm_timing_t *timing = &self->timing[pc];
    const bool any_edge =
        self->device->pre_any_edge != 0 && (command == HBM_CMD_PREPB || command == HBM_CMD_PREAB);
    hbm_tick_t t;

    if (command == HBM_CMD_REFPB && (self->relaxations & HBM_R21_REFPB_OUTSIDE_FAW) != 0) {
        t = hbm_earliest_rfmpb(timing, self->device, bank); /* the same rules but for the window */
    } else {
        t = hbm_timing_earliest(timing, self->device, command, bank);
    }
    t = hbm_max(hbm_max(t, now), hbm_is_row_command(command) ? self->row_free : self->column_free);
    return any_edge ? t : hbm_rising(t);
}

static void issue_act(hbm_r21_rules_t *self, hbm_timing_t *timing, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    const hbm_tick_t before = timing->ref_group[d->group_of[bank]];

    hbm_issue_act(timing, d, bank, t);
    if ((self->relaxations & HBM_R21_ACT_REFPB_SHORT) != 0) {
        timing->ref_group[d->group_of[bank]] = before; /* tRRDS holds for all; the bank itself waits for tRC */
    }
}

void hbm_r21_issue(hbm_r21_rules_t *self, int pc, int command, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_timing_t *timing = &self->timing[pc];

    if (command == HBM_CMD_ACT) {
        issue_act(self, timing, bank, t);
    } else if (command == HBM_CMD_REFPB) {
        hbm_issue_refpb(timing, d, bank, t, d->RFCpb, (self->relaxations & HBM_R21_REFPB_OUTSIDE_FAW) == 0);
    } else {
        hbm_timing_issue(timing, d, command, bank, t);
    }
    if (hbm_is_row_command(command)) {
        self->row_free = t + (command == HBM_CMD_ACT ? d->act_ticks : d->row_ticks);
    } else {
        self->column_free = t + d->column_ticks;
    }
}

/* The timing rules by command code, and the public probe built on them. */
#include "timing.h"

#include <stdlib.h>

hbm_tick_t hbm_timing_earliest(const hbm_timing_t *self, const hbm_device_t *device, int command, int bank)
{
    switch (command) {
    case HBM_CMD_ACT:
        return hbm_earliest_act(self, device, bank);
    case HBM_CMD_PREPB:
        return hbm_earliest_pre(self, bank);
    case HBM_CMD_PREAB:
        return hbm_earliest_preab(self, device);
    case HBM_CMD_RD:
    case HBM_CMD_RDA:
        return hbm_earliest_rd(self, device, bank);
    case HBM_CMD_WR:
    case HBM_CMD_WRA:
        return hbm_earliest_wr(self, device, bank);
    case HBM_CMD_REFAB:
    case HBM_CMD_RFMAB:
        return self->refab_ok;
    case HBM_CMD_REFPB:
        return hbm_earliest_refpb(self, device, bank);
    case HBM_CMD_RFMPB:
        return hbm_earliest_rfmpb(self, device, bank);
    default:
        return HBM_NEVER;
    }
}

void hbm_timing_issue(hbm_timing_t *self, const hbm_device_t *device, int command, int bank, hbm_tick_t t)
{
    switch (command) {
    case HBM_CMD_ACT:
        hbm_issue_act(self, device, bank, t);
        break;
    case HBM_CMD_PREPB:
        hbm_issue_pre(self, device, bank, t);
        break;
    case HBM_CMD_PREAB:
        for (int b = 0; b < device->banks; b++) {
            hbm_issue_pre(self, device, b, t);
        }
        break;
    case HBM_CMD_RD:
    case HBM_CMD_RDA:
        hbm_issue_rd(self, device, bank, t);
        break;
    case HBM_CMD_WR:
    case HBM_CMD_WRA:
        hbm_issue_wr(self, device, bank, t);
        break;
    case HBM_CMD_REFAB:
        hbm_issue_refab(self, device, t, device->RFCab);
        break;
    case HBM_CMD_RFMAB:
        hbm_issue_refab(self, device, t, device->RFMab);
        break;
    case HBM_CMD_REFPB:
        hbm_issue_refpb(self, device, bank, t, device->RFCpb, true);
        break;
    case HBM_CMD_RFMPB:
        hbm_issue_refpb(self, device, bank, t, device->RFMpb, false);
        break;
    default:
        break;
    }
    if (command == HBM_CMD_RDA || command == HBM_CMD_WRA) {
        /* pre_ok is now exactly the tick at which an explicit PRE could go: the internal precharge starts there */
        hbm_precharge_at(self, device, bank, self->pre_ok[bank]);
    }
}

struct hbm_probe {
    const hbm_device_t *device;
    hbm_timing_t timing[HBM_MAX_PC];
    hbm_tick_t row_free;
    hbm_tick_t column_free;
};

int hbm_probe_create(const hbm_device_t *device, hbm_probe_t **out)
{
    hbm_probe_t *self = calloc(1, sizeof *self);

    *out = self;
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->device = device;
    self->row_free = self->column_free = HBM_LONG_AGO;
    for (int i = 0; i < HBM_MAX_PC; i++) {
        hbm_timing_init(&self->timing[i]);
    }
    return 0;
}

void hbm_probe_free(hbm_probe_t *self) { free(self); }

static int check_place(const hbm_probe_t *self, int32_t pc, int32_t command, int32_t bank)
{
    const bool ok = pc >= 0 && pc < self->device->pseudo_channels && command >= 0 && command <= HBM_CMD_RFMPB &&
                    bank >= 0 && bank < self->device->banks;
    return ok ? 0 : HBM_ERR_BAD_ARGUMENT;
}

int hbm_probe_earliest(const hbm_probe_t *self, int32_t pc, int32_t command, int32_t bank, bool buses, int64_t *tick)
{
    const int ret = check_place(self, pc, command, bank);
    const bool row = hbm_is_row_command(command);
    const bool any_edge = self->device->pre_any_edge && (command == HBM_CMD_PREPB || command == HBM_CMD_PREAB);

    if (ret != 0) {
        return ret;
    }
    *tick = hbm_timing_earliest(&self->timing[pc], self->device, command, bank);
    if (buses) {
        *tick = hbm_max(*tick, row ? self->row_free : self->column_free);
        *tick = any_edge ? *tick : hbm_rising(*tick);
    }
    return 0;
}

int hbm_probe_issue(hbm_probe_t *self, int32_t pc, int32_t command, int32_t bank, int64_t tick)
{
    int64_t earliest = 0;
    int ret = hbm_probe_earliest(self, pc, command, bank, false, &earliest);

    if (ret != 0) {
        return ret;
    }
    if (tick < earliest) {
        return HBM_ERR_ILLEGAL_COMMAND;
    }
    if (tick > HBM_NEVER) {
        return HBM_ERR_OVERFLOW;
    }
    hbm_timing_issue(&self->timing[pc], self->device, command, bank, tick);
    if (hbm_is_row_command(command)) {
        self->row_free = tick + (command == HBM_CMD_ACT ? self->device->act_ticks : self->device->row_ticks);
    } else {
        self->column_free = tick + self->device->column_ticks;
    }
    return 0;
}

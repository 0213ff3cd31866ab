/* The refresh policies; see refresh.h. */
#include "refresh.h"

/* The first bank of `set` behind `last` in cyclic order; set is not empty. */
static int first_behind(uint64_t set, int last)
{
    const uint64_t behind = last >= 63 ? 0 : set & ~hbm_low_bits(last + 1);
    return hbm_lowest(behind != 0 ? behind : set);
}

/* Of the banks of `set` that have been left alone for `rest` ticks, the one used last; among equals, or if none has, the
 * first behind `last` in cyclic order.  set is not empty. */
static int just_left(const hbm_pc_t *pc, const hbm_device_t *device, uint64_t set, hbm_tick_t before)
{
    const uint64_t latest = pc->refresh.latest(pc->last_use, set, device->banks, before);
    return first_behind(latest != 0 ? latest : set, pc->refresh.last);
}

static void set_target(hbm_pc_t *pc, int bank, bool rfm)
{
    pc->refresh.target = bank;
    pc->refresh.target_rfm = rfm;
    pc->blocked = hbm_bit(bank);
}

static bool choose_rfm(hbm_pc_t *pc, const hbm_device_t *device)
{
    for (int b = 0; device->RAAIMT > 0 && b < device->banks; b++) {
        if (pc->refresh.raa[b] >= device->RAAIMT) {
            set_target(pc, b, true);
            return true;
        }
    }
    return false;
}

static void choose_none(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, hbm_tick_t t)
{
    (void)t;
    (void)pc;
    (void)device;
    (void)policies;
}

static void choose_per_bank(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, hbm_tick_t t)
{
    hbm_refresh_state_t *r = &pc->refresh;
    uint64_t resting;

    if (r->set == 0) {
        r->set = hbm_low_bits(device->banks);
    }
    if (hbm_refresh_forced(r, policies)) {
        r->behind = false;
        set_target(pc, first_behind(r->set, r->last), false);
        return;
    }
    if (choose_rfm(pc, device)) {
        return;
    }
    if (r->behind && !hbm_pc_idle(pc)) {
        return;
    }
    resting = hbm_refresh_resting(pc);
    if (resting != 0 && (r->owed >= 1 || (r->owed > -policies->config.pull_in && hbm_pc_idle(pc)))) {
        set_target(pc, just_left(pc, device, resting, t - r->rest), false);
    }
}

static void choose_all_bank(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, hbm_tick_t t)
{
    hbm_refresh_state_t *r = &pc->refresh;

    (void)t;
    if (!hbm_refresh_forced(r, policies)) {
        if (choose_rfm(pc, device)) {
            return;
        }
        if (!hbm_pc_idle(pc) || (r->owed < 1 && r->owed <= -policies->config.pull_in)) {
            return;
        }
    }
    r->pending = true;
    pc->blocked = ~UINT64_C(0);
}

const hbm_refresh_policy_t *hbm_refresh_policy(int32_t i)
{
    static const hbm_refresh_policy_t table[] = {
        {{"refresh", "per_bank",
          "REFpb every tREFI / banks: of the idle banks the one just left, any bank once `postpone` are owed; each once a round",
          "postpone, pull_in, multiplier"},
         true, true, choose_per_bank},
        {{"refresh", "all_bank", "REFab every tREFI; at once when idle, else once `postpone` are owed",
          "postpone, pull_in, multiplier"},
         true, false, choose_all_bank},
        {{"refresh", "none", "no refresh: for what-if studies only", ""}, false, false, choose_none},
    };
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

int64_t hbm_refresh_choose_above(const hbm_device_t *device, const hbm_policies_t *policies)
{
    return !policies->refresh->active ? INT64_MAX : device->RAAIMT > 0 ? INT64_MIN : -policies->config.pull_in;
}

void hbm_refresh_init(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies)
{
    hbm_refresh_state_t *r = &pc->refresh;

    hbm_refresh_rescale(pc, device, policies, policies->config.refresh_scale, true);
    r->choose_above = hbm_refresh_choose_above(device, policies);
    r->forced_from = policies->refresh->per_bank && device->RAAIMT == 0 ? hbm_max(policies->config.postpone, 1) : INT64_MIN;
    r->rest = (policies->config.read_queue + policies->config.write_queue) * device->CCDS;
    r->latest = hbm_latest_best();
    r->set = hbm_low_bits(device->banks);
    r->last = device->banks - 1; /* so that the cyclic order starts with bank 0 */
    r->target = HBM_REFRESH_NO_TARGET;
}

void hbm_refresh_rescale(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, int32_t scale,
                         bool at_start)
{
    hbm_refresh_state_t *r = &pc->refresh;
    const hbm_tick_t full = policies->refresh->per_bank ? device->REFIpb : device->REFI;

    r->interval = hbm_max(2, full / scale);
    r->streak = 0;
    if (at_start) {
        r->next_due = policies->refresh->active ? r->interval + pc->index * (r->interval / 2) : HBM_NEVER;
    }
}

int hbm_refresh_wanted(const hbm_pc_t *pc, int *bank)
{
    const hbm_refresh_state_t *r = &pc->refresh;

    *bank = r->target;
    if (r->target != HBM_REFRESH_NO_TARGET) {
        if (pc->open & hbm_bit(r->target)) {
            return HBM_CMD_PREPB;
        }
        return r->target_rfm ? HBM_CMD_RFMPB : HBM_CMD_REFPB;
    }
    *bank = 0;
    if (r->pending) {
        return pc->open != 0 ? HBM_CMD_PREAB : HBM_CMD_REFAB;
    }
    return -1;
}

hbm_tick_t hbm_refresh_earliest(const hbm_pc_t *pc, const hbm_device_t *device, int command, int bank)
{
    const hbm_tick_t t = hbm_timing_earliest(&pc->timing, device, command, bank);

    return (command == HBM_CMD_PREPB || command == HBM_CMD_PREAB) && device->pre_any_edge ? t : hbm_rising(t);
}

hbm_tick_t hbm_refresh_next(const hbm_pc_t *pc, const hbm_device_t *device, hbm_tick_t t)
{
    int bank;
    const int wanted = hbm_refresh_wanted(pc, &bank);

    return wanted < 0 ? HBM_NEVER : hbm_max(t, hbm_refresh_earliest(pc, device, wanted, bank));
}

static void lower(int32_t *count, int64_t by) { *count = *count > by ? (int32_t)(*count - by) : 0; }

int hbm_refresh_issued(hbm_pc_t *pc, const hbm_device_t *device, int command, int bank)
{
    hbm_refresh_state_t *r = &pc->refresh;

    if (command == HBM_CMD_REFPB || command == HBM_CMD_RFMPB) {
        lower(&r->raa[bank], command == HBM_CMD_REFPB ? device->RAADEC : device->RAAIMT);
        r->target = HBM_REFRESH_NO_TARGET;
        if (command == HBM_CMD_REFPB) {
            r->owed--;
            r->set &= ~hbm_bit(bank);
            r->last = bank;
        }
    } else {
        for (int b = 0; b < device->banks; b++) {
            lower(&r->raa[b], command == HBM_CMD_REFAB ? device->RAADEC : device->RAAIMT);
        }
        r->pending = false;
        r->owed--;
    }
    r->behind = r->behind && r->owed >= 1;
    pc->blocked = 0;
    r->unserved = hbm_pc_idle(pc) || hbm_pc_served(pc) != r->served_seen ? 0 : r->unserved + 1;
    r->served_seen = hbm_pc_served(pc);
    return r->unserved > HBM_STARVED_REFRESHES ? HBM_ERR_BAD_POLICY : 0;
}

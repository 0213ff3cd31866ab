/* Step 6 of an even tick: power-down and self-refresh of the whole channel, as docs/model/power_states.md has them.  Only
 * channels whose policy has power states come here; the buses of a sleeping one are never free, so steps 4 and 5 need not
 * know.  Part of channel.c. */
#ifndef HBM_STEP_POWER_H
#define HBM_STEP_POWER_H

#include "refresh.h"
#include "step_common.h"

enum { POWER_COMMAND_TICKS = 2 }; /* of the row bus: 1 CK */

HBM_INLINE hbm_tick_t least_stay(const hbm_device_t *d) { return hbm_max(d->CPDED, d->PDmin); }

/* What the pseudo-channel is in from t on. */
static void enter_state(hbm_channel_t *self, hbm_pc_t *pc, hbm_power_t state, hbm_tick_t t)
{
    hbm_power_spend(pc, self->epochs, t);
    pc->power = state;
}

HBM_INLINE int64_t refreshes(const hbm_pc_t *pc) { return pc->counters.n_ref_pb + pc->counters.n_ref_ab; }

/* When the channel has been idle for so long that self-refresh is due; HBM_NEVER while it may not be. */
static hbm_tick_t self_refresh_due(const hbm_channel_t *self, hbm_tick_t idle_since)
{
    for (int i = 0; i < self->n_pc; i++) {
        if (refreshes(&self->pc[i]) < self->power.refreshes_needed[i]) {
            return HBM_NEVER;
        }
    }
    return self->policies->power->self_refresh ? idle_since + self->policies->config.self_refresh_ticks : HBM_NEVER;
}

static hbm_tick_t idle_since(const hbm_channel_t *self)
{
    hbm_tick_t last = 0;
    for (int i = 0; i < self->n_pc; i++) {
        last = hbm_max(last, hbm_max(self->pc[i].account.last_rd, self->pc[i].account.last_wr));
    }
    return last;
}

/* When no RD or WR is in flight any more. */
static hbm_tick_t data_done(const hbm_channel_t *self)
{
    const hbm_device_t *d = self->device;
    hbm_tick_t t = 0;
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_account_t *a = &self->pc[i].account;
        t = hbm_max(t, hbm_max(a->last_rd + d->RL + d->BL + 2,
                               a->last_wr + d->column_reference + d->WL + d->BL + d->WR + 2));
    }
    return t;
}

/* The next command of step 6 of a channel that is up and quiet: the tick from which it may go. */
static hbm_tick_t next_down(const hbm_channel_t *self, hbm_tick_t t, int *command, int *pc)
{
    const hbm_tick_t since = idle_since(self), due = self_refresh_due(self, since);
    hbm_tick_t at = hbm_max(data_done(self), due), close = HBM_NEVER;

    if (t < due) {
        *command = HBM_CMD_PDE;
        return self->policies->power->power_down
                   ? hbm_min(hbm_max(since + self->policies->power_down_after, data_done(self)), due)
                   : due;
    }
    *command = HBM_CMD_SRE;
    for (int i = 0; i < self->n_pc; i++) {
        at = hbm_max(at, self->pc[i].timing.refab_ok);
        if (self->pc[i].open != 0) {
            const hbm_tick_t mine = hbm_rising(hbm_earliest_preab(&self->pc[i].timing, self->device));
            if (*command == HBM_CMD_SRE || (close > t && mine < close)) {
                *pc = i;
                close = mine;
            }
            *command = HBM_CMD_PREAB;
        }
    }
    return *command == HBM_CMD_PREAB ? close : at;
}

static bool is_waiting(const hbm_channel_t *self)
{
    return !hbm_pc_idle(&self->pc[0]) || (self->n_pc > 1 && !hbm_pc_idle(&self->pc[1]));
}

/* Before step 1 of tick t: which refreshes may be chosen. */
static void power_before(hbm_channel_t *self, hbm_tick_t t)
{
    const bool up = self->power.state == HBM_POWER_UP;

    self->power.held = up && !is_waiting(self) && self_refresh_due(self, idle_since(self)) <= t;
    for (int i = 0; i < self->n_pc; i++) {
        hbm_refresh_state_t *r = &self->pc[i].refresh;
        r->choose_above = !up ? INT64_MAX
                          : self->power.held ? hbm_max(hbm_refresh_choose_above(self->device, self->policies),
                                                       hbm_max(self->policies->config.postpone, 1) - 1)
                                             : hbm_refresh_choose_above(self->device, self->policies);
    }
}

/* When step 6 may do something at the earliest, seen after step 6 of t, and the command. */
static hbm_tick_t next_power(const hbm_channel_t *self, hbm_tick_t t, int *command, int *pc)
{
    const hbm_power_state_t *p = &self->power;
    const bool waiting = is_waiting(self);
    bool forced = false, refreshing = false;
    hbm_tick_t at;

    *pc = 0;
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *each = &self->pc[i];
        forced |= self->policies->refresh->active && hbm_refresh_forced(&each->refresh, self->policies);
        refreshing |= each->refresh.target != HBM_REFRESH_NO_TARGET || each->refresh.pending;
    }
    switch (p->state) {
    case HBM_POWER_DOWN:
        *command = HBM_CMD_PDX;
        at = waiting || forced ? t : self_refresh_due(self, idle_since(self));
        return hbm_max(at, p->entered + least_stay(self->device));
    case HBM_POWER_SELF_REFRESH:
        *command = HBM_CMD_SRX;
        return waiting ? hbm_max(t, p->entered + least_stay(self->device)) : HBM_NEVER;
    default:
        if (waiting || refreshing) {
            return HBM_NEVER;
        }
        at = next_down(self, t, command, pc);
        return hbm_max(at, self->row_free);
    }
}

static void go_down(hbm_channel_t *self, hbm_tick_t t, bool self_refresh)
{
    uint64_t open = 0;

    self->power.state = self_refresh ? HBM_POWER_SELF_REFRESH : HBM_POWER_DOWN;
    self->power.entered = t;
    self->row_free = self->column_free = HBM_NEVER;
    for (int i = 0; i < self->n_pc; i++) {
        open |= self->pc[i].open;
    }
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        enter_state(self, pc, self_refresh ? HBM_SELF_REFRESH : open != 0 ? HBM_ACTIVE_POWER_DOWN : HBM_PRECHARGED_POWER_DOWN, t);
        if (self_refresh) {
            self->power.due_in[i] = pc->refresh.next_due - t;
            pc->refresh.next_due = HBM_NEVER; /* the clock stands still */
        }
    }
    ++*(self_refresh ? &self->pc[0].counters.n_sre : &self->pc[0].counters.n_pde);
}

static void come_up(hbm_channel_t *self, hbm_tick_t t, bool self_refresh)
{
    const hbm_policies_t *policies = self->policies;
    const hbm_tick_t awake = t + (self_refresh ? self->device->XS : self->device->XP);

    self->power.state = HBM_POWER_UP;
    self->row_free = self->column_free = awake;
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        enter_state(self, pc, HBM_STANDBY, t);
        pc->account.awake = awake;
        pc->refresh.behind = self_refresh || pc->refresh.owed >= 1; /* XS is long enough for one to fall due */
        if (self_refresh && policies->refresh->active) {
            pc->refresh.next_due = t + self->power.due_in[i];
            self->power.refreshes_needed[i] =
                refreshes(pc) + (policies->refresh->per_bank ? self->device->banks : 1);
        }
        pc->look_at = hbm_min(pc->look_at, t + 2);
    }
}

static void close_all(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    hbm_timing_issue(&pc->timing, self->device, HBM_CMD_PREAB, 0, t);
    while (pc->open != 0) {
        close_bank(self, pc, hbm_lowest(pc->open), t, t);
    }
    pc->counters.n_pre_ab++;
    self->row_free = t + self->device->row_ticks;
    self->row_first = pc->other;
}

/* Step 6 at tick t, which all other steps have visited; says when to come again. */
static void power_step(hbm_channel_t *self, hbm_tick_t t)
{
    int command = 0, pc = 0;

    self->power.at = next_power(self, t, &command, &pc);
    if ((t & 1) == 0 && self->power.at <= t) {
        switch (command) {
        case HBM_CMD_PDE:
        case HBM_CMD_SRE:
            go_down(self, t, command == HBM_CMD_SRE);
            break;
        case HBM_CMD_PDX:
        case HBM_CMD_SRX:
            come_up(self, t, command == HBM_CMD_SRX);
            break;
        default:
            close_all(self, &self->pc[pc], t);
            break;
        }
        if (self->log.on) {
            log_command(self, &self->pc[pc], command, 0, 0, 0, t);
        }
        self->power.at = next_power(self, t, &command, &pc);
    }
    self->power.at = hbm_rising(hbm_max(self->power.at, t + 1));
    if (self->power.held && (is_waiting(self) || self_refresh_due(self, idle_since(self)) > t + 2)) {
        /* A request came, which may have been served at once: what was held may be chosen on the next even tick. */
        for (int i = 0; i < self->n_pc; i++) {
            self->pc[i].look_at = hbm_min(self->pc[i].look_at, hbm_rising(t + 1));
        }
    }
}

#endif

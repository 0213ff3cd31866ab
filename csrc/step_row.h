/* Step 5 of a tick: the row bus.  Part of channel.c. */
#ifndef HBM_STEP_ROW_H
#define HBM_STEP_ROW_H

#include "account.h"
#include "idle.h"
#include "refresh.h"
#include "step_common.h"

#define FEW 8 /* so many banks are searched faster one by one */

HBM_INLINE void charge_first(hbm_channel_t *self, hbm_entry_t *e, int64_t *counter, size_t tally)
{
    e->counted = 1;
    ++*counter;
    if (self->tally != NULL) {
        ++*(int64_t *)(void *)((char *)&self->tally[e->tag] + tally);
    }
}

HBM_INLINE void issue_act(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t common, hbm_tick_t t, const bool plain)
{
    const hbm_device_t *d = self->device;
    hbm_queue_t *const q = pc->serving, *const other = &pc->queue[1 - pc->direction];
    hbm_entry_t *e = hbm_queue_first_other(q, bank);
    const int32_t row = e->row;
    hbm_tick_t ok;

    if (!e->counted) {
        charge_first(self, e, &pc->counters.row_misses, offsetof(hbm_operation_result_t, row_misses));
    }
    hbm_account_act(pc, bank,
                    hbm_max(pc->timing.act_ok[bank], pc->account.refresh_end[bank] - d->act_reference),
                    hbm_max(common, pc->timing.act_group[d->group_of[bank]]),
                    hbm_max(e->since, pc->account.direction_since), t);
    hbm_issue_act(&pc->timing, d, bank, t);
    ok = pc->direction == HBM_READ ? pc->timing.rd_ok[bank] : pc->timing.wr_ok[bank];
    if (pc->open == 0) {
        hbm_power_spend(pc, self->epochs, t);
    }
    pc->open |= hbm_bit(bank);
    pc->open_row[bank] = row;
    if (!plain) {
        pc->columns_since_act[bank] = 0;
    }
    pc->last_use[bank] = t;
    hbm_queue_open_first(q, bank);
    if (other->other_banks & hbm_bit(bank)) {
        hbm_queue_open_row(other, bank, row);
    }
    pc->front_until = hbm_min(pc->front_until, q->hit_key[bank]);
    pc->counters.n_act++;
    pc->bank[bank].n_act++;
    if (d->RAAIMT > 0) {
        pc->refresh.raa[bank]++;
        pc->look_at = hbm_min(pc->look_at, t + 2);
    }
    pc->others_at = hbm_min(pc->others_at, ok);
    pc->column_at = hbm_min(pc->column_at, hbm_rising(ok));
    pc->act_at = hbm_rising(hbm_max(pc->act_at, hbm_act_common(&pc->timing, d)));
    if (!plain && self->policies->page->closes) {
        pc->page_at = hbm_min(pc->page_at, t + 1);
    }
    if (plain || self->epochs != NULL) {
        hbm_epochs_add(self->epochs, t, HBM_EPOCH_ACT);
    }
    if (!plain && self->log.on) {
        log_command(self, pc, HBM_CMD_ACT, bank, row, 0, t);
    }
    self->row_free = t + d->act_ticks;
}

HBM_INLINE void issue_precharge(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t, const bool plain)
{
    hbm_issue_pre(&pc->timing, self->device, bank, t);
    close_bank(self, pc, bank, t, t);
    pc->pre_at = hbm_max(pc->pre_at, pc->timing.pre_any);
    want_activate(pc, bank, t + 1);
    pc->counters.n_pre_pb++;
    if (!plain && self->log.on) {
        log_command(self, pc, HBM_CMD_PREPB, bank, 0, 0, t);
    }
    self->row_free = t + self->device->row_ticks;
}

static void issue_refresh(hbm_channel_t *self, hbm_pc_t *pc, int command, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_tick_t end = t;

    switch (command) {
    case HBM_CMD_PREPB:
        issue_precharge(self, pc, bank, t, false);
        pc->refresh_at = hbm_refresh_next(pc, d, t + 1);
        return;
    case HBM_CMD_PREAB:
        for (uint64_t m = pc->open; m != 0; m &= m - 1) {
            hbm_issue_pre(&pc->timing, d, hbm_lowest(m), t);
            close_bank(self, pc, hbm_lowest(m), t, t);
        }
        pc->counters.n_pre_ab++;
        break;
    case HBM_CMD_REFPB:
    case HBM_CMD_RFMPB:
        end = t + (command == HBM_CMD_REFPB ? d->RFCpb : d->RFMpb);
        hbm_issue_refpb(&pc->timing, d, bank, t, end - t, command == HBM_CMD_REFPB);
        pc->account.refresh_end[bank] = end;
        pc->counters.n_ref_pb += command == HBM_CMD_REFPB;
        pc->counters.n_rfm_pb += command == HBM_CMD_RFMPB;
        ++*(command == HBM_CMD_REFPB ? &pc->bank[bank].n_ref_pb : &pc->bank[bank].n_rfm_pb);
        break;
    default:
        end = t + d->RFCab;
        hbm_issue_refab(&pc->timing, d, t, d->RFCab);
        for (int b = 0; b < d->banks; b++) {
            pc->account.refresh_end[b] = end;
        }
        pc->counters.n_ref_ab++;
        break;
    }
    if (command != HBM_CMD_PREAB) {
        if (hbm_refresh_issued(pc, d, command, bank) != 0) {
            self->error = HBM_ERR_BAD_POLICY;
            self->stop = HBM_LONG_AGO;
        }
        count_quiet(pc, t);
        pc->look_at = hbm_min(pc->look_at, t + 2);
        pc->column_at = hbm_min(pc->column_at, t + 2);
        want_any_row(self, pc, t + 1);
        if (self->epochs != NULL) {
            hbm_epochs_add(self->epochs, t, HBM_EPOCH_REF);
        }
    }
    pc->refresh_at = hbm_refresh_next(pc, d, t + 1);
    if (HBM_UNLIKELY(self->log.on)) {
        log_command(self, pc, command, bank, 0, 0, t);
    }
    self->row_free = t + d->row_ticks;
}

/* Banks at RAAMMT may not be activated. */
static uint64_t below_raammt(const hbm_pc_t *pc, const hbm_device_t *d)
{
    uint64_t mask = ~UINT64_C(0);
    for (int b = 0; d->RAAIMT > 0 && b < d->banks; b++) {
        if (pc->refresh.raa[b] >= d->RAAMMT) {
            mask &= ~hbm_bit(b);
        }
    }
    return mask;
}

/* Class 3: the page policy's precharge.  Returns the bank, or -1 with *soonest lowered. */
static int idle_row(const hbm_channel_t *self, const hbm_pc_t *pc, hbm_tick_t t, hbm_tick_t *soonest)
{
    const uint64_t set = pc->open & ~pc->blocked & ~pc->queue[pc->direction].hit_banks;
    hbm_tick_t first = HBM_NEVER;
    int bank = -1;

    for (uint64_t m = set; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t out = pc->last_use[b] + self->policies->page_timeout;
        hbm_tick_t at = hbm_max(out, hbm_earliest_pre(&pc->timing, b));
        at = self->device->pre_any_edge ? at : hbm_rising(at);
        if (at <= t && out < first) {
            first = out;
            bank = b;
        }
        *soonest = hbm_min(*soonest, at);
    }
    return bank;
}

/* Banks of `set` that tRRDL still holds back at t; lowers *soonest to when the first of them is let go. */
HBM_NOINLINE static uint64_t held_groups(const hbm_pc_t *pc, const hbm_device_t *d, uint64_t set, hbm_tick_t t,
                                         hbm_tick_t *soonest)
{
    uint64_t held = 0;

    for (int g = 0; g < d->groups; g++) {
        const uint64_t banks = set & d->group_banks[g];
        if (pc->timing.act_group[g] > t && banks != 0) {
            held |= banks;
            *soonest = hbm_min(*soonest, pc->timing.act_group[g]);
        }
    }
    return held;
}

/* The same; most often it is only the group of the last ACT. */
HBM_INLINE uint64_t held_banks(const hbm_pc_t *pc, const hbm_device_t *d, uint64_t set, hbm_tick_t t,
                               hbm_tick_t *soonest)
{
    const int group = pc->timing.held_group;
    const hbm_tick_t until = pc->timing.act_group[group];
    const uint64_t held = set & d->group_banks[group] & (UINT64_C(0) - (until > t));

    if (HBM_UNLIKELY(pc->timing.act_groups > t)) {
        return held_groups(pc, d, set, t, soonest);
    }
    *soonest = held != 0 ? hbm_min(*soonest, until) : *soonest;
    return held;
}

/* The oldest entry whose ACT may go at even t, where `common` holds for all banks: its key, or HBM_NEVER with act_at moved on.
 * *next: when the first of the other candidates may follow, as far as its bank's own rules go. */
HBM_INLINE int64_t find_act(hbm_channel_t *self, hbm_pc_t *pc, uint64_t others, hbm_tick_t common, hbm_tick_t t,
                            hbm_tick_t *next)
{
    const hbm_device_t *d = self->device;
    const hbm_queue_t *q = pc->serving;
    uint64_t closed = others & ~pc->open, held;
    hbm_tick_t soonest = HBM_NEVER;
    hbm_found_t found;

    if (common > t) {
        pc->act_at = closed != 0 ? hbm_rising(common) : HBM_NEVER;
        return HBM_NEVER;
    }
    if (d->RAAIMT > 0) {
        closed &= below_raammt(pc, d);
    }
    held = held_banks(pc, d, closed, t, &soonest);
    if (q->count <= FEW) {
        found = hbm_search_few(pc->timing.act_ok, q->other_key, closed & ~held, t);
    } else {
        found = self->search(pc->timing.act_ok, q->other_key, closed & ~held, d->banks, t);
    }
    *next = hbm_min(found.next, soonest);
    if (found.key == HBM_NEVER) {
        pc->act_at = hbm_rising(*next);
    }
    return found.key;
}

/* Likewise for the PREpb of a row conflict. */
HBM_INLINE int64_t find_pre(hbm_channel_t *self, hbm_pc_t *pc, uint64_t others, hbm_tick_t t, hbm_tick_t *next,
                            const bool plain)
{
    const hbm_scheduler_t *s = self->policies->scheduler;
    const hbm_queue_t *q = pc->serving;
    const uint64_t hits = plain || s->hits == NULL ? q->hit_banks : s->hits(pc, self->policies, pc->direction);
    const uint64_t conflicts = others & pc->open & ~hits;
    hbm_found_t found;

    if (pc->timing.pre_any > t) {
        pc->pre_at = conflicts != 0 ? pc->timing.pre_any : HBM_NEVER;
        return HBM_NEVER;
    }
    found = hbm_search_few(pc->timing.pre_ok, q->other_key, conflicts, t); /* few rows are open with nothing to hit them */
    *next = found.next;
    if (found.key == HBM_NEVER) {
        pc->pre_at = found.next;
    }
    return found.key;
}

/* What refresh wants, if it may go at t. */
static bool try_refresh(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    int bank;
    const int wanted = hbm_refresh_wanted(pc, &bank);

    if (wanted < 0) {
        pc->refresh_at = HBM_NEVER;
        return false;
    }
    pc->refresh_at = hbm_refresh_earliest(pc, self->device, wanted, bank);
    if (pc->refresh_at > t) {
        return false;
    }
    if (!(t & 1) || (self->device->pre_any_edge && (wanted == HBM_CMD_PREPB || wanted == HBM_CMD_PREAB))) {
        issue_refresh(self, pc, wanted, bank, t);
        return true;
    }
    pc->refresh_at = t + 1;
    return false;
}

/* A REFpb or RFMpb waits for other banks only (tRRD, tFAW): without precedence ACTs, which are legal two ticks before it,
 * would keep it waiting for ever. */
HBM_INLINE bool refresh_holds(const hbm_pc_t *pc, hbm_tick_t t)
{
    const int bank = pc->refresh.target & (HBM_MAX_BANKS - 1);
    return (pc->refresh.target != HBM_REFRESH_NO_TARGET) & ((pc->open & hbm_bit(bank)) == 0) &
           (pc->timing.ref_ok[bank] <= t);
}

/* Class 2: the oldest entry whose ACT or PREpb may go. */
HBM_INLINE bool try_entries(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, bool act_due, bool pre_due,
                            const bool plain)
{
    const hbm_scheduler_t *s = self->policies->scheduler;
    hbm_queue_t *q = pc->serving;
    const uint64_t others =
        (plain || s->others == NULL ? q->other_banks : s->others(pc, self->policies, pc->direction)) & ~pc->blocked;
    int64_t act = HBM_NEVER, pre = HBM_NEVER;
    hbm_tick_t common = HBM_NEVER, next_act = HBM_NEVER, next_pre = HBM_NEVER;

    if (act_due) {
        common = hbm_act_common(&pc->timing, self->device);
        if (refresh_holds(pc, t)) {
            pc->act_at = t + 2;
        } else {
            act = find_act(self, pc, others, common, t, &next_act);
        }
    }
    if (pre_due) {
        pre = find_pre(self, pc, others, t, &next_pre, plain);
    }
    if (act < pre) {
        pc->act_at = next_act;
        issue_act(self, pc, (int)(act & 63), common, t, plain);
        return true;
    }
    if (pre != HBM_NEVER) {
        hbm_entry_t *e = hbm_queue_first_other(q, (int)(pre & 63));
        if (!e->counted) {
            charge_first(self, e, &pc->counters.row_conflicts, offsetof(hbm_operation_result_t, row_conflicts));
        }
        pc->pre_at = next_pre;
        issue_precharge(self, pc, (int)(pre & 63), t, plain);
        return true;
    }
    return false;
}

/* Class 3: rows that the page policy closes. */
HBM_NOINLINE static bool try_page(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, bool pre_edge)
{
    hbm_tick_t soonest = HBM_NEVER;
    const int bank =
        self->policies->page->closes ? idle_row(self, pc, pre_edge ? t : HBM_LONG_AGO * 2, &soonest) : -1;

    if (bank >= 0) {
        issue_precharge(self, pc, bank, t, false);
        return true;
    }
    pc->page_at = hbm_max(soonest, t + 1);
    return false;
}

HBM_INLINE bool try_row(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, const bool plain)
{
    const bool even = (t & 1) == 0, pre_edge = even | (self->device->pre_any_edge != 0);
    bool issued = pc->refresh_at <= t && try_refresh(self, pc, t);

    if (!issued) {
        const bool act_due = even & (pc->act_at <= t), pre_due = pre_edge & (pc->pre_at <= t);
        issued = (act_due | pre_due) && try_entries(self, pc, t, act_due, pre_due, plain);
    }
    if (!plain && !issued && pc->page_at <= t) {
        issued = try_page(self, pc, t, pre_edge);
    }
    self->row_first = issued ? pc->other : self->row_first;
    pc->row_at = hbm_min(plain ? pc->refresh_at : hbm_min(pc->refresh_at, pc->page_at), pc->pre_at);
    pc->row_at = hbm_min(hbm_max(pc->row_at, t + 1), hbm_rising(hbm_max(pc->act_at, t + 1)));
    return issued;
}

#endif

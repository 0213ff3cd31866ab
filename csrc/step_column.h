/* Step 4 of a tick: the column bus.  Part of channel.c. */
#ifndef HBM_STEP_COLUMN_H
#define HBM_STEP_COLUMN_H

#include "account.h"
#include "step_look.h"

/* A lower bound of the next column command in this direction, after one of `bank` at t: tCCDS and the tRCD of the banks with
 * hits.  That of the bank itself is over.  Where rows are used once, the banks wait for tRCD one behind the other, and the
 * next command is known to be that of the first. */
HBM_INLINE hbm_tick_t next_column(hbm_pc_t *pc, const hbm_device_t *d, int bank, hbm_tick_t t, const bool is_write)
{
    const hbm_tick_t *ok = is_write ? pc->timing.wr_ok : pc->timing.rd_ok;
    hbm_tick_t soonest = HBM_NEVER, second = HBM_NEVER;
    int32_t lone = -1;

    if (pc->queue[is_write].hit_banks & hbm_bit(bank)) {
        pc->lone = -1;
        return hbm_rising(t + d->CCDS);
    }
    for (uint64_t m = pc->queue[is_write].hit_banks; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t at = ok[b];
        second = hbm_min(second, hbm_max(at, soonest));
        lone = at < soonest ? b : lone;
        soonest = hbm_min(soonest, at);
    }
    pc->lone = lone;
    pc->others_at = second;
    return hbm_rising(hbm_max(t + d->CCDS, soonest));
}

HBM_INLINE void count_write(hbm_channel_t *self, hbm_pc_t *pc, int bank, const hbm_entry_t *e, hbm_tick_t t,
                            const bool plain)
{
    pc->filter[hbm_filter_slot(bank, e->row, e->column)]--;
    pc->counters.n_wr++;
    pc->bank[bank].n_wr++;
    if (plain || self->epochs != NULL) {
        hbm_epochs_add(self->epochs, t, HBM_EPOCH_WRITE);
    }
}

HBM_INLINE void count_read(hbm_channel_t *self, hbm_pc_t *pc, int bank, const hbm_entry_t *e, hbm_tick_t t,
                           hbm_tick_t done, const bool plain)
{
    const hbm_tick_t latency = done - e->since;

    pc->counters.n_rd++;
    pc->bank[bank].n_rd++;
    pc->counters.read_latency_ticks_sum += latency;
    pc->counters.read_latency_ticks_max = hbm_max(pc->counters.read_latency_ticks_max, latency);
    if (plain || self->histogram != NULL) {
        self->histogram[hbm_bucket(latency)]++;
    }
    if (self->tally != NULL) {
        hbm_operation_result_t *operation = &self->tally[e->tag];
        operation->end_tick = hbm_max(operation->end_tick, done);
    }
    if (plain || self->epochs != NULL) {
        hbm_epochs_add(self->epochs, t, HBM_EPOCH_READ);
    }
}

/* What a column command does.  `plain` and `is_write` are constants where this is called, so that the compiler makes one
 * lean version of each; see is_plain. */
HBM_INLINE void issue_column(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t, const bool plain,
                             const bool is_write)
{
    const hbm_device_t *d = self->device;
    hbm_queue_t *q = &pc->queue[is_write];
    const hbm_entry_t *e = hbm_queue_first_hit(q, bank);
    const bool closes = !plain && self->policies->page->auto_precharge && hbm_queue_last_hit(q, bank);
    const hbm_tick_t done = t + (is_write ? d->WL : d->RL) + d->BL;

    hbm_account_column(pc, d, bank, is_write, t);
    if (is_write) {
        hbm_issue_wr(&pc->timing, d, bank, t);
        count_write(self, pc, bank, e, t, plain);
    } else {
        hbm_issue_rd(&pc->timing, d, bank, t);
        count_read(self, pc, bank, e, t, done, plain);
        if (self->window_binds) {
            if (HBM_UNLIKELY(pc->flight_tail - pc->flight_head > pc->flight_mask)) {
                retire(pc, t); /* the ring holds all that can really be in flight */
            }
            pc->flight[pc->flight_tail++ & pc->flight_mask] = done + self->policies->config.host_ticks;
        }
        if (HBM_UNLIKELY(pc->n_ending > 0)) {
            read_issued(self, pc, e->tag);
        }
    }
    if (!plain) {
        complete(pc, e->tag, done, false);
        pc->columns_since_act[bank]++;
        if (pc->classes != NULL) {
            pc->classes->columns++;
            pc->classes->item[e->traffic_class].waiting[is_write]--;
            if (!is_write) {
                time_class_read(self, pc, e->traffic_class, done - e->since);
            }
        }
        if (self->log.on) {
            const int command = is_write ? (closes ? HBM_CMD_WRA : HBM_CMD_WR) : (closes ? HBM_CMD_RDA : HBM_CMD_RD);
            log_command(self, pc, command, bank, e->row, e->column, t);
        }
    }
    pc->last_use[bank] = t;
    hbm_queue_pop_hit(q, bank);
    self->column_free = t + d->column_busy;
    self->column_first = pc->other;
    pc->look_at = t + 2;
    pc->column_at = next_column(pc, d, bank, t, is_write);
    want_precharge_if((~q->hit_banks & q->other_banks & hbm_bit(bank)) != 0, pc, bank, t);
    if (!plain) {
        if (closes) {
            --*(is_write ? &pc->counters.n_wr : &pc->counters.n_rd);
            ++*(is_write ? &pc->counters.n_wra : &pc->counters.n_rda);
            hbm_precharge_at(&pc->timing, d, bank, pc->timing.pre_ok[bank]);
            close_bank(self, pc, bank, t, pc->timing.pre_ok[bank]);
            want_activate(pc, bank, t);
        }
        if (self->policies->revisit_rows) {
            want_any_row(self, pc, t);
        }
    }
}

HBM_INLINE hbm_tick_t earliest_column(const hbm_pc_t *pc, const hbm_device_t *d, int bank, const bool is_write)
{
    return is_write ? hbm_earliest_wr(&pc->timing, d, bank) : hbm_earliest_rd(&pc->timing, d, bank);
}

/* The oldest hit of `set`, which is not empty; two banks with the oldest become the front. */
HBM_NOINLINE static int64_t oldest_of(hbm_pc_t *pc, const hbm_queue_t *q, uint64_t set)
{
    int64_t first = HBM_NEVER, second = HBM_NEVER, third = HBM_NEVER;

    for (uint64_t m = set; m != 0; m &= m - 1) {
        const int64_t key = q->hit_key[hbm_lowest(m)];
        third = hbm_min(third, hbm_max(second, key));
        second = hbm_min(second, hbm_max(first, key));
        first = hbm_min(first, key);
    }
    pc->front[0] = (int32_t)(first & 63);
    pc->front[1] = (int32_t)(second & 63);
    pc->front_until = set == q->hit_banks ? third : HBM_LONG_AGO;
    return first;
}

/* The oldest hit of `set` that is legal at t, HBM_NEVER if none is; lowers *soonest to when the first of the set is. */
HBM_INLINE int64_t oldest_legal(const hbm_pc_t *pc, const hbm_device_t *d, uint64_t set, hbm_tick_t t, hbm_tick_t *soonest,
                                const bool is_write)
{
    int64_t best = HBM_NEVER;

    for (uint64_t m = set; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t at = earliest_column(pc, d, b, is_write);
        best = at <= t ? hbm_min(best, pc->queue[is_write].hit_key[b]) : best;
        *soonest = hbm_min(*soonest, at);
    }
    return best;
}

/* The oldest legal hit.  Two things spare most searches.  Of streams the same few banks have the oldest hits for a whole row:
 * the front.  Where rows are used once, the next command is that of the lone bank that is through tRCD. */
HBM_INLINE bool choose_column(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, const bool plain, const bool is_write)
{
    const hbm_scheduler_t *s = self->policies->scheduler;
    const hbm_device_t *d = self->device;
    const hbm_queue_t *q = &pc->queue[is_write];
    const uint64_t admitted = (plain || s->hits == NULL ? q->hit_banks : s->hits(pc, self->policies, is_write)) & ~pc->blocked;
    int64_t best = HBM_NEVER;
    hbm_tick_t soonest = HBM_NEVER;

    if (plain && pc->lone >= 0 && pc->others_at > t && (admitted & hbm_bit(pc->lone))) {
        soonest = earliest_column(pc, d, pc->lone, is_write);
        best = soonest <= t ? pc->lone : HBM_NEVER; /* a bank is all that is asked for */
        soonest = hbm_min(soonest, pc->others_at);
    } else if (admitted != 0) {
        best = hbm_min(q->hit_key[pc->front[0]], q->hit_key[pc->front[1]]);
        if (!plain || best >= pc->front_until || !(admitted & hbm_bit((int)(best & 63)))) {
            best = oldest_of(pc, q, admitted);
        }
        if (earliest_column(pc, d, (int)(best & 63), is_write) > t) {
            best = oldest_legal(pc, d, admitted, t, &soonest, is_write); /* the oldest is not yet: is another? */
        }
    }
    if (best == HBM_NEVER) {
        pc->column_at = hbm_rising(soonest);
        return false;
    }
    issue_column(self, pc, (int)(best & 63), t, plain, is_write);
    return true;
}

HBM_INLINE bool try_column(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, const bool plain)
{
    return pc->direction == HBM_WRITE ? choose_column(self, pc, t, plain, true)
                                      : choose_column(self, pc, t, plain, false);
}

#endif

/* Streams.  While no row command and no refresh is near, a pseudo-channel that reads open rows with a full queue does the
 * same every tCCDS: the oldest hit goes, and two ticks later the next request takes its place.  Here both are one step,
 * with nothing else asked.  Whatever is not so simple is left to the steps themselves: they begin where this ends.  Part of
 * channel.c. */
#ifndef HBM_STEP_STREAM_H
#define HBM_STEP_STREAM_H

#include "step_column.h"

/* The next request of the feed is a read that is not forwarded from a waiting write. */
HBM_INLINE bool offers_read(const hbm_pc_t *pc)
{
    const hbm_feed_t *f = &pc->feed;

    return f->valid && !f->is_write &&
           (pc->queue[HBM_WRITE].count == 0 || pc->filter[hbm_filter_slot(f->bank, f->row, f->column)] == 0);
}

/* The bank whose hit goes at t where the oldest is not known or not legal, or -1. */
HBM_NOINLINE static int legal_bank(const hbm_pc_t *pc, const hbm_device_t *d, hbm_tick_t t, const bool is_write)
{
    const hbm_queue_t *q = &pc->queue[is_write];
    int64_t best = HBM_NEVER;

    for (uint64_t m = q->hit_banks & ~pc->blocked; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        best = hbm_min(best, earliest_column(pc, d, b, is_write) <= t ? q->hit_key[b] : HBM_NEVER);
    }
    return best != HBM_NEVER ? (int)(best & 63) : -1;
}

HBM_INLINE int next_bank(const hbm_pc_t *pc, const hbm_device_t *d, hbm_tick_t t, const bool is_write)
{
    const int64_t *key = pc->queue[is_write].hit_key;
    const int64_t oldest = hbm_min(key[pc->front[0]], key[pc->front[1]]);
    const int bank = (int)(oldest & 63);

    return HBM_LIKELY(oldest < pc->front_until && !(pc->blocked & hbm_bit(bank)) &&
                      earliest_column(pc, d, bank, is_write) <= t)
               ? bank
               : legal_bank(pc, d, t, is_write);
}

/* The place of an entry that leaves goes to the next request of the feed. */
HBM_INLINE void replace(hbm_pc_t *pc, hbm_queue_t *q, hbm_list_t *to, uint16_t slot, hbm_tick_t t)
{
    const hbm_feed_t *f = &pc->feed;
    hbm_entry_t *e = &q->entry[slot];

    q->entry[to->tail].next = slot;
    to->tail = slot;
    q->alike |= hbm_bit(f->bank); /* or it is a hit */
    e->key = (pc->age++ << 6) | f->bank;
    e->since = f->timed ? f->arrival : t;
    e->row = f->row;
    e->tag = f->tag;
    e->column = (uint16_t)f->column;
    e->next = HBM_NIL;
    e->counted = 0;
}

/* A look can but put the next read in the place of one that leaves, or, where a write leaves, nothing at all.  That no refresh
 * is chosen follows from there being no look due: a choice that failed fails again until one more is owed, or until a bank
 * has no requests left. */
static bool is_simple(const hbm_pc_t *pc)
{
    return offers_read(pc) && hbm_queue_full(&pc->queue[HBM_READ]) && pc->n_ending == 0;
}

HBM_NOINLINE static void full_look(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t) { look(self, pc, t, true); }

/* The oldest legal hit at t and the look at t + 2; false, with nothing done, if there is none or its bank has no other.
 * *simple: what is_simple said, and says after it. */
HBM_INLINE bool stream_one(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, bool *simple, const bool is_write)
{
    const hbm_device_t *d = self->device;
    const hbm_feed_t *f = &pc->feed;
    hbm_queue_t *q = &pc->queue[is_write];
    hbm_list_t *const to = pc->open_row[f->bank] == f->row ? &q->hits[f->bank] : &q->others[f->bank];
    const hbm_tick_t done = t + (is_write ? d->WL : d->RL) + d->BL;
    const int bank = next_bank(pc, d, t, is_write);
    hbm_entry_t *e;
    bool looked = false;
    uint16_t slot;

    if (bank < 0 || hbm_queue_last_hit(q, bank)) {
        return false;
    }
    *simple = *simple && (is_write ? q->count - 1 > self->policies->config.write_low
                                   : to->head != HBM_NIL && hbm_max(f->arrival, f->open_at) <= t + 2);
    slot = q->hits[bank].head;
    e = &q->entry[slot];
    hbm_account_column(pc, d, bank, is_write, t);
    pc->last_use[bank] = t;
    pc->column_at = hbm_rising(t + d->CCDS);
    self->now = t;
    self->column_free = t + d->column_ticks;
    self->column_first = pc->other;
    if (is_write) {
        hbm_issue_wr(&pc->timing, d, bank, t);
        count_write(self, pc, bank, e, t, true);
        hbm_queue_pop_hit(q, bank);
    } else {
        hbm_issue_rd(&pc->timing, d, bank, t);
        count_read(self, pc, bank, e, t, done, true);
        if (HBM_LIKELY(*simple)) {
            q->hits[bank].head = e->next;
            q->hit_key[bank] = q->entry[e->next].key;
            replace(pc, q, to, slot, t + 2);
            hbm_feed_step(&pc->feed);
            looked = true;
            *simple = pc->feed.gone == 0 && offers_read(pc); /* else more may be accepted */
            if (HBM_UNLIKELY(pc->feed.gone != 0)) {
                last_accepted(self, pc, &pc->feed);
            }
        } else {
            if (pc->n_ending > 0) {
                read_issued(self, pc, e->tag);
            }
            hbm_queue_pop_hit(q, bank);
        }
    }
    pc->looked = *simple ? t + 2 : pc->looked;
    if (HBM_UNLIKELY(!*simple)) {
        pc->look_at = t + 2;
        if (looked || (pc->feed.valid && t + 2 < self->stop)) {
            full_look(self, pc, t + 2);
        }
    }
    return true;
}

/* Goes on for as long as the channel does little but stream. */
HBM_NOINLINE static void stream(hbm_channel_t *self)
{
    bool simple[HBM_MAX_PC], changed = true;
    hbm_tick_t row = HBM_NEVER, until = HBM_NEVER;

    while (self->pc[0].feed.valid | self->pc[1].feed.valid) {
        const hbm_tick_t t = column_due(self);
        hbm_pc_t *const first = self->column_first, *const pc = first->column_at <= t ? first : first->other;

        if (changed) {
            simple[0] = is_simple(&self->pc[0]);
            simple[1] = is_simple(&self->pc[1]);
            row = row_due(self);
            until = hbm_min(look_due(self), self->stop) - 2;
            changed = false;
        }
        if (hbm_min(row, t) >= until || (t & 1) != 0) {
            return;
        }
        if (row < t) {
            self->now = row;
            visit_row(self, row, true);
            changed = true;
            continue;
        }
        if ((row <= t + 1 && pc->row_at <= t + 1) ||
            !(pc->direction == HBM_READ ? stream_one(self, pc, t, &simple[pc->index], false)
                                        : stream_one(self, pc, t, &simple[pc->index], true))) {
            return;
        }
        changed = !simple[pc->index];
        if (row <= t) {
            visit_row(self, t, true);
            changed = true;
        }
    }
}

#endif

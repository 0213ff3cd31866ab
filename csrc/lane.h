/* The fast lane: both pseudo-channels read open rows in turn, every CK of the column bus carries a command, and nothing
 * else is about to happen.  The lane does tick for tick what visit() does in that situation, without asking about what
 * cannot be: it stops before any tick at which a row command, a refresh or a change of direction might be due.  Part
 * of channel.c. */
#ifndef HBM_LANE_H
#define HBM_LANE_H

#include "step_column.h"

/* Nothing but acceptance and column commands can happen before this tick. */
HBM_INLINE hbm_tick_t lane_end(const hbm_channel_t *self)
{
    hbm_tick_t end = HBM_NEVER;
    for (int i = 0; i < HBM_MAX_PC; i++) {
        end = hbm_min(end, hbm_min(self->pc[i].row_at - 1, self->pc[i].refresh.next_due));
    }
    return end;
}

/* True when a look at pc would do nothing but accept: no refresh to choose. */
HBM_INLINE bool lane_fits(const hbm_pc_t *pc)
{
    const hbm_refresh_state_t *r = &pc->refresh;
    return pc->direction == HBM_READ && (r->owed < 1 || r->target != HBM_REFRESH_NO_TARGET || r->pending);
}

/* Accepts one request that changes no candidate and no direction; false: look() must do it. */
HBM_INLINE bool lane_accept_one(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_feed_t *f = &pc->feed;
    hbm_queue_t *reads = &pc->queue[HBM_READ], *writes = &pc->queue[HBM_WRITE];
    const bool hit = pc->open_row[f->bank] == f->row;
    hbm_entry_t *e;

    if (!f->valid || f->arrival > t) {
        return false;
    }
    if (f->is_write) {
        if (writes->count + 1 >= self->policies->config.write_high) {
            return false;
        }
        pc->filter[hbm_filter_slot(f->bank, f->row, f->column)]++;
        if (self->tally != NULL) {
            self->tally[f->tag].end_tick = hbm_max(self->tally[f->tag].end_tick, t + 2);
        }
        e = hbm_queue_push(writes, f->bank, pc->age++, f->row, f->column, hit);
    } else {
        if (!((hit ? reads->hit_banks : reads->other_banks) & hbm_bit(f->bank)) ||
            (writes->count > 0 && pc->filter[hbm_filter_slot(f->bank, f->row, f->column)] != 0)) {
            return false;
        }
        e = hbm_queue_append(reads, hit ? &reads->hits[f->bank] : &reads->others[f->bank], f->bank, pc->age++, f->row,
                             f->column);
    }
    e->since = f->timed ? f->arrival : t;
    e->tag = f->tag;
    hbm_feed_step(&pc->feed);
    return true;
}

/* Runs from even tick t, which must be the next event, and leaves the rest of the first unusual tick to visit(). */
static void run_lane(hbm_channel_t *self, hbm_tick_t t)
{
    hbm_pc_t *a = &self->pc[self->column_turn], *b = &self->pc[1 - self->column_turn];
    const hbm_tick_t end = lane_end(self);

    if (!lane_fits(a) || !lane_fits(b)) {
        return;
    }
    while (t < end && a->look_at > t && a->column_at <= t && self->column_free <= t) {
        const hbm_queue_t *q = &a->queue[HBM_READ];
        hbm_pc_t *const next = b;
        int64_t best = HBM_NEVER;

        if (b->look_at <= t) {
            while (b->feed.is_write || b->queue[HBM_READ].count < b->queue[HBM_READ].capacity) {
                if (!lane_accept_one(self, b, t)) {
                    return;
                }
            }
            b->look_at = hbm_rising(b->refresh.next_due);
        }
        for (uint64_t m = q->hit_banks & ~a->blocked; m != 0; m &= m - 1) {
            best = hbm_min(best, q->hit_key[hbm_lowest(m)]);
        }
        if (best == HBM_NEVER || hbm_earliest_rd(&a->timing, self->device, (int)(best & 63)) > t) {
            return;
        }
        issue_column(self, a, (int)(best & 63), t, true, false);
        self->now = t;
        if (a->row_at - 1 < end) { /* its bank has run out of hits and wants another row */
            return;
        }
        b = a;
        a = next;
        t += 2;
    }
}

#endif

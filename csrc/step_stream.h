/* Streams of reads.  While no row command and no refresh is near, a pseudo-channel that reads open rows with a full queue does
 * the same every tCCDS: the oldest hit goes, and two ticks later the next request takes its place.  Here both are one step,
 * with nothing else asked.  Whatever is not so simple is left to the steps themselves: they begin where this ends.  Part of
 * channel.c. */
#ifndef HBM_STEP_STREAM_H
#define HBM_STEP_STREAM_H

#include "step_column.h"

/* The next request of the feed may be taken at t, is a read, and is not forwarded from a waiting write. */
HBM_INLINE bool offers_read(const hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_feed_t *f = &pc->feed;

    return f->valid && !f->is_write && hbm_max(f->arrival, f->open_at) <= t &&
           (pc->queue[HBM_WRITE].count == 0 || pc->filter[hbm_filter_slot(f->bank, f->row, f->column)] == 0);
}

/* The RD of the oldest hit at t and the look at t + 2; false, with nothing done, if they are not of the simple kind. */
HBM_INLINE bool stream_one(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    const hbm_feed_t *f = &pc->feed;
    hbm_queue_t *q = &pc->queue[HBM_READ];
    const int64_t oldest = hbm_min(q->hit_key[pc->front[0]], q->hit_key[pc->front[1]]);
    const int bank = (int)(oldest & 63), to = f->bank;
    hbm_list_t *const list = pc->open_row[to] == f->row ? &q->hits[to] : &q->others[to];
    const uint16_t slot = q->hits[bank].head;
    hbm_entry_t *e;
    hbm_tick_t latency;

    if (pc->direction != HBM_READ || pc->lone >= 0 || pc->n_ending > 0 || oldest >= pc->front_until ||
        (pc->blocked & hbm_bit(bank)) || !hbm_queue_full(q) || list->head == HBM_NIL || hbm_queue_last_hit(q, bank) ||
        hbm_earliest_rd(&pc->timing, d, bank) > t || !offers_read(pc, t + 2) || !hbm_refresh_quiet(&pc->refresh, t + 2)) {
        return false;
    }
    e = &q->entry[slot];
    hbm_account_column(pc, d, bank, false, t);
    hbm_issue_rd(&pc->timing, d, bank, t);
    latency = t + d->RL + d->BL - e->since;
    pc->counters.n_rd++;
    pc->bank[bank].n_rd++;
    pc->counters.read_latency_ticks_sum += latency;
    pc->counters.read_latency_ticks_max = hbm_max(pc->counters.read_latency_ticks_max, latency);
    self->histogram[hbm_bucket(latency)]++;
    if (self->tally != NULL) {
        hbm_operation_result_t *operation = &self->tally[e->tag];
        operation->end_tick = hbm_max(operation->end_tick, t + d->RL + d->BL);
    }
    hbm_epochs_add(self->epochs, t, HBM_EPOCH_READ);
    pc->last_use[bank] = t;
    pc->column_at = hbm_rising(t + d->CCDS);
    self->now = t;
    self->column_free = t + d->column_ticks;
    self->column_first = pc->other;

    /* the entry that leaves is the one that the next request gets */
    q->hits[bank].head = e->next;
    q->hit_key[bank] = q->entry[e->next].key;
    q->entry[list->tail].next = slot;
    list->tail = slot;
    e->key = (pc->age++ << 6) | to;
    e->since = f->timed ? f->arrival : t + 2;
    e->row = f->row;
    e->tag = f->tag;
    e->column = (uint16_t)f->column;
    e->next = HBM_NIL;
    e->counted = 0;
    pc->looked = t + 2;
    hbm_feed_step(&pc->feed);
    if (HBM_UNLIKELY(pc->feed.gone != 0)) {
        last_accepted(self, pc);
    }
    return true;
}

/* Goes on for as long as the channel does nothing but read streams. */
HBM_NOINLINE static void stream(hbm_channel_t *self)
{
    for (;;) {
        const hbm_tick_t t = column_due(self);
        hbm_pc_t *const first = self->column_first, *const pc = first->column_at <= t ? first : first->other;

        if (row_near(self) <= t + 1 || look_due(self) <= t + 2 || t + 2 >= self->stop || (t & 1) != 0 ||
            !stream_one(self, pc, t)) {
            return;
        }
        if (pc->feed.valid && (pc->feed.is_write || pc->queue[HBM_WRITE].count > 0)) {
            look(self, pc, t + 2, true); /* more may be accepted than one */
        }
        if (!pc->feed.valid) {
            return;
        }
    }
}

#endif

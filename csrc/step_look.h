/* Steps 1 to 3 of an even tick: refresh clock, acceptance, direction.  Part of channel.c. */
#ifndef HBM_STEP_LOOK_H
#define HBM_STEP_LOOK_H

#include "refresh.h"
#include "step_common.h"

/* Forgets the reads that are back at the host by t. */
HBM_INLINE void retire(hbm_pc_t *pc, hbm_tick_t t)
{
    while (pc->flight_head != pc->flight_tail && pc->flight[pc->flight_head & pc->flight_mask] <= t) {
        pc->flight_head++;
    }
}

/* Room in the window for one more read?  If not, *retry_at is when the oldest one will be back. */
HBM_INLINE bool window_allows(hbm_pc_t *pc, int32_t window, hbm_tick_t t, hbm_tick_t *retry_at)
{
    const int64_t waiting = pc->queue[HBM_READ].count;

    if (HBM_LIKELY(waiting + (pc->flight_tail - pc->flight_head) < window)) {
        return true; /* even counting those that may be back by now */
    }
    retire(pc, t);
    if (waiting + (pc->flight_tail - pc->flight_head) < window) {
        return true;
    }
    if (pc->flight_head != pc->flight_tail) {
        *retry_at = pc->flight[pc->flight_head & pc->flight_mask];
    }
    return false;
}

static void complete(hbm_pc_t *pc, int32_t tag, hbm_tick_t done, bool forwarded)
{
    if (pc->record != NULL) {
        pc->record->done[tag] = done;
        pc->record->forwarded[tag] = forwarded;
    }
}

static void time_class_read(hbm_channel_t *self, hbm_pc_t *pc, int traffic_class, hbm_tick_t latency)
{
    hbm_classes_time_read(pc->classes, traffic_class, latency);
    hbm_histogram_of_class(self->histogram, traffic_class)[hbm_bucket(latency)]++;
}

static void forward(hbm_channel_t *self, hbm_pc_t *pc, const hbm_feed_t *f, hbm_tick_t t)
{
    const hbm_tick_t latency = f->timed ? t - f->arrival : 0;

    pc->counters.reads_forwarded++;
    pc->counters.read_latency_ticks_sum += latency;
    pc->counters.read_latency_ticks_max = hbm_max(pc->counters.read_latency_ticks_max, latency);
    if (self->histogram != NULL) {
        self->histogram[hbm_bucket(latency)]++;
    }
    if (self->tally != NULL) {
        self->tally[f->tag].end_tick = hbm_max(self->tally[f->tag].end_tick, t);
    }
    if (pc->classes != NULL) {
        hbm_classes_count(pc->classes, f->traffic_class, false, true);
        time_class_read(self, pc, f->traffic_class, latency);
    }
    pc->forwarded_at = t;
    complete(pc, f->tag, t, true);
}

/* The request starts a list of its bank: it may wake the pseudo-channel, or give a bus a new candidate. */
HBM_NOINLINE static hbm_entry_t *push_first(hbm_pc_t *pc, const hbm_feed_t *f, int direction, bool hit, hbm_tick_t t)
{
    const int bank = f->bank;

    if (hbm_pc_idle(pc)) {
        pc->account.nonempty_since = t;
    }
    if (direction == pc->direction) {
        if (hit) {
            pc->lone = -1;
            pc->front_until = hbm_min(pc->front_until, pc->age << 6);
            pc->column_at = hbm_min(pc->column_at, t);
        } else if (pc->open & hbm_bit(bank)) {
            want_precharge(pc, bank, t);
        } else {
            want_activate(pc, bank, t);
        }
    }
    return hbm_queue_push_first(&pc->queue[direction], hit, bank, pc->age++, f->row, f->column);
}

/* The channel is done with an operation, as far as pc goes: all accepted, all reads issued.  A run in parts ends here. */
static void end_operation(hbm_channel_t *self, hbm_pc_t *pc, int32_t tag)
{
    pc->holding &= ~hbm_flight_bit(tag);
    self->stop = self->in_part ? HBM_LONG_AGO : self->stop;
}

/* All of an operation is accepted: its reads that wait are counted from now on.  False when there are none. */
static bool await_reads(hbm_pc_t *pc, int32_t tag)
{
    const int32_t reads = hbm_queue_count_tag(&pc->queue[HBM_READ], tag);

    if (reads > 0) {
        pc->ending[pc->n_ending++] = (hbm_ending_t){tag, reads};
    }
    return reads > 0;
}

/* The last burst of an operation was accepted. */
HBM_NOINLINE static void last_accepted(hbm_channel_t *self, hbm_pc_t *pc, hbm_feed_t *f)
{
    const int32_t tag = f->gone;

    f->gone = 0;
    if ((pc->holding & hbm_flight_bit(tag)) && !await_reads(pc, tag)) {
        end_operation(self, pc, tag);
    }
}

/* A read of this operation was issued while some operations are ending. */
HBM_NOINLINE static void read_issued(hbm_channel_t *self, hbm_pc_t *pc, int32_t tag)
{
    for (int32_t i = 0; i < pc->n_ending; i++) {
        if (pc->ending[i].tag == tag) {
            if (--pc->ending[i].reads == 0) {
                pc->ending[i] = pc->ending[--pc->n_ending];
                end_operation(self, pc, tag);
            }
            return;
        }
    }
}

/* The burst that f has next, a read, waits as a write. */
HBM_INLINE bool answered_by_write(const hbm_pc_t *pc, const hbm_feed_t *f)
{
    return pc->filter[hbm_filter_slot(f->bank, f->row, f->column)] != 0 &&
           hbm_queue_holds(&pc->queue[HBM_WRITE], f->bank, f->row, f->column);
}

/* The write that f has next is accepted at t: the host is free of it one CK later. */
HBM_INLINE void note_write(hbm_channel_t *self, hbm_pc_t *pc, const hbm_feed_t *f, hbm_tick_t t)
{
    pc->filter[hbm_filter_slot(f->bank, f->row, f->column)]++;
    if (self->tally != NULL) {
        self->tally[f->tag].end_tick = hbm_max(self->tally[f->tag].end_tick, t + 2);
    }
}

/* Puts the burst that f has next into its queue. */
HBM_INLINE void enqueue(hbm_channel_t *self, hbm_pc_t *pc, const hbm_feed_t *f, hbm_tick_t t, const bool plain)
{
    const int direction = f->is_write, bank = f->bank;
    hbm_queue_t *q = &pc->queue[direction];
    hbm_list_t *list;
    hbm_entry_t *e;
    bool hit;

    if (direction == HBM_WRITE) {
        note_write(self, pc, f, t);
    }
    hit = pc->open_row[bank] == f->row;
    list = hit ? &q->hits[bank] : &q->others[bank];
    if (HBM_LIKELY(list->head != HBM_NIL)) {
        e = hbm_queue_append(q, list, bank, pc->age++, f->row, f->column);
        if (!hit) {
            hbm_queue_note(q, bank, f->row);
        }
    } else {
        e = push_first(pc, f, direction, hit, t);
    }
    e->since = f->timed ? f->arrival : t;
    e->tag = f->tag;
    if (!plain && pc->classes != NULL) {
        e->traffic_class = f->traffic_class;
        hbm_classes_count(pc->classes, f->traffic_class, f->is_write, false);
    }
}

/* The burst that f has next was taken at t: moves on to the one behind it. */
HBM_INLINE void taken(hbm_channel_t *self, hbm_pc_t *pc, hbm_feed_t *f, hbm_tick_t t, const bool plain)
{
    if (!plain && pc->record != NULL) {
        pc->record->accept[f->tag] = t;
    }
    if (!plain && pc->feed.gap_256 > 0) {
        hbm_feed_pace(&pc->feed, t);
    }
    hbm_feed_step(f);
    if (HBM_UNLIKELY(f->gone != 0)) {
        last_accepted(self, pc, f);
    }
}

/* False when the next request must wait. */
HBM_INLINE bool accept_one(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, hbm_tick_t *retry_at, const bool plain)
{
    hbm_feed_t *f = &pc->feed;
    const int direction = f->is_write;
    const hbm_queue_t *q = &pc->queue[direction];
    const bool may_forward = direction == HBM_READ && pc->queue[HBM_WRITE].count > 0;

    if (hbm_queue_full(q) && !may_forward) {
        return false;
    }
    if (direction == HBM_READ) {
        if (may_forward && answered_by_write(pc, f)) {
            forward(self, pc, f, t);
            goto accepted;
        }
        if (hbm_queue_full(q) ||
            (self->window_binds && !window_allows(pc, self->policies->config.window, t, retry_at))) {
            return false;
        }
    }
    enqueue(self, pc, f, t, plain);
accepted:
    taken(self, pc, f, t, plain);
    return true;
}

/* Step 2 where classes have quotas; see step_gate.h. */
static hbm_tick_t look_at_gate(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t);

/* Step 3: is it time for the other direction?  Of several programs the one that writes may never pause; so that the reads of
 * another are served, and its writes, each direction then lasts for a drain at most while the other wants the bus, unless
 * it is that of the highest priority. */
HBM_INLINE bool turns(const hbm_pc_t *pc, const hbm_policy_t *c, int32_t reads, int32_t writes, const bool plain)
{
    if (!plain && pc->classes != NULL && pc->classes->n > 1) {
        const bool drained = pc->classes->columns >= c->write_high - c->write_low;
        const bool full = hbm_classes_write_full(pc->classes);
        const int32_t lead = reads > 0 && writes > 0 ? hbm_classes_lead(pc->classes) : 0;
        return pc->direction == HBM_READ
                   ? writes > 0 && (reads == 0 || (lead <= 0 && (drained || lead < 0) && (full || writes >= c->write_high)))
                   : writes == 0 ||
                         (reads > 0 && (lead > 0 || (lead == 0 && drained) || (!full && writes <= c->write_low)));
    }
    return pc->direction == HBM_READ ? writes > 0 && (reads == 0 || writes >= c->write_high)
                                     : writes <= c->write_low && (writes == 0 || reads > 0);
}

HBM_INLINE void look(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, const bool plain)
{
    const hbm_policy_t *c = &self->policies->config;
    hbm_tick_t next, retry_at = HBM_NEVER;
    int32_t reads, writes;

    if (!hbm_refresh_quiet(pc, t)) {
        hbm_refresh_look(pc, self->device, self->policies, t);
    }
    next = hbm_rising(pc->refresh.next_due);
    if (!plain && hbm_pc_gated(pc)) {
        next = hbm_min(next, look_at_gate(self, pc, t));
    }
    while (pc->feed.valid && (plain || !hbm_pc_gated(pc))) {
        const hbm_tick_t from = plain ? hbm_max(pc->feed.arrival, pc->feed.open_at) : hbm_pc_from(pc, &pc->feed);
        if (from > t) {
            next = hbm_min(next, hbm_rising(from));
            break;
        }
        if (!accept_one(self, pc, t, &retry_at, plain)) {
            next = hbm_min(next, hbm_rising(retry_at)); /* a full queue waits for the next column command */
            break;
        }
    }
    pc->look_at = next;
    pc->looked = t;
    writes = pc->queue[HBM_WRITE].count;
    if ((writes | pc->direction) == 0) {
        return; /* reads alone stay so */
    }
    reads = pc->queue[HBM_READ].count;
    if (turns(pc, c, reads, writes, plain)) {
        pc->direction = 1 - pc->direction;
        pc->serving = &pc->queue[pc->direction];
        if (!plain && pc->classes != NULL) {
            pc->classes->columns = 0;
        }
        pc->account.direction_since = t;
        pc->lone = -1;
        pc->front_until = HBM_LONG_AGO;
        pc->column_at = t;
        want_any_row(self, pc, t);
    }
}

#endif

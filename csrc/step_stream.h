/* Streams.  A pseudo-channel that uses open rows with a full queue does the same every tCCDS: the oldest hit goes, and two
 * ticks later the next request takes its place; or, where writes leave and a read comes next, nothing does.  Here both are
 * one step, with nothing else asked, and what only the last burst decides is written when somebody asks.  Row commands
 * are taken on the way; whatever else is not so simple is left to the steps themselves.  Part of channel.c.
 *
 * `i`, a pseudo-channel, and is_write are constants where these are called: what the processor need not look up it need not
 * wait for. */
#ifndef HBM_STEP_STREAM_H
#define HBM_STEP_STREAM_H

#include "step_column.h"

/* What a stream keeps at hand of one pseudo-channel. */
typedef struct {
    bool is_write;
    bool simple;    /* its bursts are of the kind told above */
    bool takes;     /* the place of each is taken by the next request */
    bool told;      /* the timing tables and the account know of its last burst */
    int32_t sid;    /* of the last burst */
    int32_t left;   /* steps of the feed to the end of a row, an interval or a turn */
    int32_t steps;  /* that the feed does not know of */
    hbm_tick_t data_free;         /* behind the last burst */
    hbm_tick_t ready;             /* tCCDS of the last burst */
    const hbm_local_step_t *next; /* of the feed */
} hbm_part_t;

typedef struct {
    hbm_tick_t quiet; /* two ticks from before here on nothing happens but bursts */
    hbm_part_t part[HBM_MAX_PC];
} hbm_run_t;

/* The next request of the feed is a read that is not forwarded from a waiting write. */
HBM_INLINE bool offers_read(const hbm_pc_t *pc)
{
    const hbm_feed_t *f = &pc->feed;

    return f->valid && !f->is_write && (pc->queue[HBM_WRITE].count == 0 || !answered_by_write(pc, f));
}

/* The bank whose hit goes at t where the oldest is not known or not legal; -1: none, and *soonest is when to try again. */
HBM_NOINLINE static int legal_bank(hbm_pc_t *pc, const hbm_device_t *d, hbm_tick_t t, hbm_tick_t *soonest,
                                   const bool is_write)
{
    const hbm_queue_t *q = &pc->queue[is_write];
    const uint64_t set = q->hit_banks & ~pc->blocked;
    int64_t best;

    *soonest = HBM_NEVER;
    if (set != 0 && hbm_min(q->hit_key[pc->front[0]], q->hit_key[pc->front[1]]) >= pc->front_until) {
        const int oldest = (int)(oldest_of(pc, q, set) & 63);
        if (earliest_column(pc, d, oldest, is_write) <= t) {
            return oldest;
        }
    }
    best = oldest_legal(pc, d, set, t, soonest, is_write);
    return best != HBM_NEVER ? (int)(best & 63) : -1;
}

/* The place of an entry that leaves goes to the next request of the feed. */
HBM_INLINE void replace(hbm_pc_t *pc, hbm_queue_t *q, hbm_list_t *to, uint16_t slot, hbm_tick_t t)
{
    const hbm_feed_t *f = &pc->feed;
    hbm_entry_t *e = &q->entry[slot];

    q->entry[to->tail].next = slot;
    to->tail = slot;
    q->alike |= hbm_bit(f->bank); /* or it is a hit */
    hbm_entry_set(e, f->bank, pc->age++, f->row, f->column);
    e->since = t; /* bursts of streams are not timed */
    e->tag = f->tag;
}

/* Likewise where it becomes the first of its list. */
HBM_NOINLINE static void replace_first(hbm_channel_t *self, hbm_pc_t *pc, hbm_queue_t *q, uint16_t slot, hbm_tick_t t)
{
    hbm_queue_give(q, slot);
    enqueue(self, pc, &pc->feed, t, true);
}

/* Tells timing tables and account of the last burst. */
HBM_INLINE void tell(hbm_pc_t *pc, hbm_part_t *c, const hbm_device_t *d)
{
    const hbm_tick_t t = c->data_free - d->BL;

    if (c->told) {
        return;
    }
    c->told = true;
    hbm_account_burst(&pc->account, d, c->is_write, t);
    if (c->is_write) {
        hbm_wr_in_all(&pc->timing, d, t);
    } else {
        hbm_rd_in_all(&pc->timing, d, c->sid, t);
    }
}

HBM_INLINE void tell_feed(hbm_feed_t *f, hbm_part_t *c)
{
    if (c->steps > 0) {
        f->stream[f->turn].at += c->steps;
        f->step += c->steps;
        f->turn_left -= c->steps;
        c->steps = 0;
    }
}

HBM_INLINE void count_left(const hbm_feed_t *f, hbm_part_t *c)
{
    const hbm_stream_t *s = &f->stream[f->turn];
    const int32_t left = (int32_t)hbm_min(s->end - s->at, f->map->block_size - f->step);

    c->left = (f->turn_left > 0 && f->turn_left < left ? f->turn_left : left) - 1;
    c->next = &f->map->step[f->step + 1];
}

/* Simple: a look can but put the next request in the place of one that leaves, or nothing at all. */
HBM_NOINLINE static void begin(const hbm_channel_t *self, hbm_run_t *r, int i)
{
    const hbm_pc_t *pc = &self->pc[i];
    const hbm_feed_t *f = &pc->feed;
    hbm_part_t *c = &r->part[i];

    c->is_write = pc->direction == HBM_WRITE;
    c->told = true;
    c->steps = 0;
    c->takes = c->is_write == f->is_write;
    c->simple = f->n_streams > 0 && hbm_max(f->arrival, f->open_at) <= self->now + 2 &&
                (f->is_write ? c->is_write && hbm_queue_full(&pc->queue[HBM_WRITE])
                             : offers_read(pc) && hbm_queue_full(&pc->queue[HBM_READ]));
    c->sid = pc->timing.rd_sid;
    c->ready = c->is_write ? pc->timing.wr_any : pc->timing.rd_same_sid;
    c->data_free = pc->account.data_free;
    if (c->simple) {
        count_left(f, c);
    }
}

HBM_INLINE void find_quiet(const hbm_channel_t *self, hbm_run_t *r)
{
    r->quiet = hbm_min(hbm_min(row_due(self) - 1, look_due(self) - 2), self->stop - 2);
}

/* The steps themselves, at the next tick; false: the stream is over. */
HBM_NOINLINE static bool in_full(hbm_channel_t *self, hbm_run_t *r)
{
    bool streams;

    for (int i = 0; i < HBM_MAX_PC; i++) {
        tell(&self->pc[i], &r->part[i], self->device);
        tell_feed(&self->pc[i].feed, &r->part[i]);
    }
    if (!visit_tick_apart(self, &streams) || (self->pc[0].lone >= 0 && self->pc[1].lone >= 0)) {
        return false;
    }
    begin(self, r, 0);
    begin(self, r, 1);
    find_quiet(self, r);
    return r->part[0].simple || r->part[1].simple;
}

/* Row commands of t and t + 1, where nothing else happens once a burst has gone at t.  Is the look of its pseudo-channel at t + 2
 * simple then?  last: it was the last hit of its bank. */
HBM_NOINLINE static bool pass_rows(hbm_channel_t *self, hbm_run_t *r, const hbm_pc_t *pc, hbm_tick_t t, bool last)
{
    if (row_due(self) <= t) {
        visit_row(self, t, true, false);
    }
    if (row_due(self) <= t + 1 && self->stop > t + 1) {
        self->now = t + 1;
        visit_row(self, t + 1, true, false);
    }
    find_quiet(self, r);
    return pc->look_at > t + 2 && self->stop > t + 2 && !(last && !hbm_refresh_quiet(pc, t + 2));
}

/* The look at t + 2 where it is not simple, or leaves nothing simple behind.  begun: it has accepted a request. */
HBM_NOINLINE static void full_look(hbm_channel_t *self, hbm_run_t *r, int i, hbm_tick_t t, bool begun)
{
    hbm_pc_t *pc = &self->pc[i];

    tell(pc, &r->part[i], self->device);
    tell_feed(&pc->feed, &r->part[i]);
    pc->look_at = t + 2;
    if (pc->feed.gone != 0) {
        last_accepted(self, pc, &pc->feed);
    }
    if (begun || (pc->feed.valid && t + 2 < self->stop)) {
        look(self, pc, t + 2, true);
    }
    begin(self, r, i);
    find_quiet(self, r);
}

/* The bank whose hit goes at t, or -1 with the next try put off. */
HBM_INLINE int stream_bank(hbm_pc_t *pc, hbm_part_t *c, const hbm_device_t *d, hbm_tick_t t, const bool is_write)
{
    const hbm_timing_t *s = &pc->timing;
    const int64_t *key = pc->queue[is_write].hit_key;
    const int64_t oldest = hbm_min(key[pc->front[0]], key[pc->front[1]]);
    int bank = (int)(oldest & 63);
    const hbm_tick_t own = hbm_max((is_write ? s->wr_ok : s->rd_ok)[bank],
                                   (is_write ? s->wr_group : s->rd_group)[d->group_of[bank]]);

    if (HBM_UNLIKELY(oldest >= pc->front_until || (pc->blocked & hbm_bit(bank)) || hbm_max(own, c->ready) > t ||
                     (!is_write && d->sid_of[bank] != c->sid))) {
        hbm_tick_t soonest;
        tell(pc, c, d);
        bank = legal_bank(pc, d, t, &soonest, is_write);
        pc->column_at = bank >= 0 ? pc->column_at : hbm_rising(soonest);
    }
    return bank;
}

/* A hit of `bank` goes at t; its slot, which is in no list then. */
HBM_INLINE uint16_t pass(hbm_channel_t *self, hbm_part_t *c, const int i, int bank, hbm_tick_t t, const bool is_write)
{
    const hbm_device_t *d = self->device;
    hbm_pc_t *pc = &self->pc[i];
    hbm_queue_t *q = &pc->queue[is_write];
    uint16_t slot;

    if (HBM_UNLIKELY(t > c->data_free)) {
        tell(pc, c, d);
        hbm_account_gap(pc, d, bank, is_write, t);
    }
    c->told = false;
    c->data_free = t + d->BL;
    c->ready = t + d->CCDS;
    pc->column_at = hbm_rising(c->ready);
    pc->last_use[bank] = t;
    self->now = t;
    self->column_free = t + d->column_busy;
    self->column_first = &self->pc[1 - i];
    slot = hbm_queue_unlink_hit(q, bank);
    if (HBM_UNLIKELY(q->hits[bank].head == HBM_NIL)) {
        want_precharge_if((q->other_banks & hbm_bit(bank)) != 0, pc, bank, t);
    }
    return slot;
}

/* The look at t + 2, in which the next request takes a place. */
HBM_INLINE void take(hbm_channel_t *self, hbm_run_t *r, const int i, uint16_t slot, hbm_tick_t t, const bool is_write)
{
    hbm_part_t *c = &r->part[i];
    hbm_pc_t *pc = &self->pc[i];
    hbm_queue_t *q = &pc->queue[is_write];
    hbm_feed_t *f = &pc->feed;
    hbm_list_t *const to = pc->open_row[f->bank] == f->row ? &q->hits[f->bank] : &q->others[f->bank];
    bool simple;

    if (HBM_UNLIKELY(to->head == HBM_NIL)) {
        replace_first(self, pc, q, slot, t + 2);
        find_quiet(self, r);
    } else {
        if (is_write) {
            note_write(self, pc, f, t + 2);
        }
        replace(pc, q, to, slot, t + 2);
    }
    pc->looked = t + 2;
    if (HBM_LIKELY(c->left > 0)) {
        c->left--;
        c->steps++;
        hbm_feed_decode_as(f, c->next++);
        simple = is_write || pc->queue[HBM_WRITE].count == 0 || offers_read(pc);
    } else {
        tell_feed(f, c);
        hbm_feed_step(f);
        simple = f->gone == 0 && f->n_streams > 0 && (is_write ? f->is_write : offers_read(pc));
        if (simple) {
            count_left(f, c);
        }
    }
    if (HBM_UNLIKELY(!simple)) {
        full_look(self, r, i, t, true);
    }
}

/* The burst of `bank` at t, row commands until t + 2, and the look then. */
HBM_INLINE void stream_read(hbm_channel_t *self, hbm_run_t *r, const int i, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_pc_t *pc = &self->pc[i];
    hbm_queue_t *q = &pc->queue[HBM_READ];
    const uint16_t slot = pass(self, &r->part[i], i, bank, t, false);
    const bool last = q->hits[bank].head == HBM_NIL;

    r->part[i].sid = d->sid_of[bank];
    hbm_rd_in_bank(&pc->timing, d, bank, t);
    count_read(self, pc, bank, &q->entry[slot], t, t + d->RL + d->BL, true);
    if (HBM_UNLIKELY(pc->n_ending > 0)) {
        read_issued(self, pc, q->entry[slot].tag);
        find_quiet(self, r);
    }
    if (HBM_UNLIKELY((t >= r->quiet) | last) && !pass_rows(self, r, pc, t, last)) {
        hbm_queue_give(q, slot);
        full_look(self, r, i, t, false);
        return;
    }
    take(self, r, i, slot, t, false);
}

/* Likewise of a write. */
HBM_INLINE void stream_write(hbm_channel_t *self, hbm_run_t *r, const int i, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_pc_t *pc = &self->pc[i];
    hbm_queue_t *q = &pc->queue[HBM_WRITE];
    const uint16_t slot = pass(self, &r->part[i], i, bank, t, true);
    const bool last = q->hits[bank].head == HBM_NIL;

    hbm_wr_in_bank(&pc->timing, d, bank, t);
    count_write(self, pc, bank, &q->entry[slot], t, true);
    if (HBM_UNLIKELY((t >= r->quiet) | last) && !pass_rows(self, r, pc, t, last)) {
        hbm_queue_give(q, slot);
        full_look(self, r, i, t, false);
        return;
    }
    if (r->part[i].takes) {
        take(self, r, i, slot, t, true);
        return;
    }
    hbm_queue_give(q, slot);
    pc->looked = t + 2;
    if (HBM_UNLIKELY(q->count <= self->policies->config.write_low)) {
        full_look(self, r, i, t, false);
    }
}

HBM_INLINE void stream_one(hbm_channel_t *self, hbm_run_t *r, const int i, hbm_tick_t t, const bool is_write)
{
    const int bank = stream_bank(&self->pc[i], &r->part[i], self->device, t, is_write);

    if (HBM_LIKELY(bank >= 0)) {
        self->pc[i].lone = -1;
        if (is_write) {
            stream_write(self, r, i, bank, t);
        } else {
            stream_read(self, r, i, bank, t);
        }
    }
}

/* Goes on for as long as the channel does little but stream. */
HBM_NOINLINE static void stream(hbm_channel_t *self)
{
    hbm_run_t r;

    begin(self, &r, 0);
    begin(self, &r, 1);
    find_quiet(self, &r);
    while (self->pc[0].feed.valid | self->pc[1].feed.valid) {
        const hbm_tick_t t = column_due(self);
        const bool one = self->pc[0].column_at <= t, two = self->pc[1].column_at <= t;
        bool simple = one && !(two && self->column_first == &self->pc[1]) ? r.part[0].simple : r.part[1].simple;

        if (HBM_UNLIKELY(t >= r.quiet)) {
            const hbm_tick_t row = hbm_max(row_due(self), self->now + 1), looks = look_due(self);
            if (hbm_min(hbm_min(row, t), looks) >= self->stop - 2) {
                break;
            }
            if (row < hbm_min(t, looks)) {
                self->now = row;
                visit_row(self, row, true, false);
                find_quiet(self, &r);
                continue;
            }
            simple = simple && looks > t;
        }
        if (HBM_UNLIKELY(!simple)) {
            if (!in_full(self, &r)) {
                return;
            }
        } else if (one && !(two && self->column_first == &self->pc[1])) {
            if (r.part[0].is_write) {
                stream_one(self, &r, 0, t, true);
            } else {
                stream_one(self, &r, 0, t, false);
            }
        } else {
            if (r.part[1].is_write) {
                stream_one(self, &r, 1, t, true);
            } else {
                stream_one(self, &r, 1, t, false);
            }
        }
    }
    for (int i = 0; i < HBM_MAX_PC; i++) {
        tell(&self->pc[i], &r.part[i], self->device);
        tell_feed(&self->pc[i].feed, &r.part[i]);
    }
}

#endif

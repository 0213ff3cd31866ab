/* The event loop of one channel.
 *
 * Exactness.  The contract speaks of every tick; this loop visits only ticks at which something may happen.  Each
 * pseudo-channel keeps three lower bounds: look_at (refresh clock, acceptance, direction), column_at and row_at.  A bound may
 * be too early, never too late: visiting a tick at which nothing happens changes nothing.  Whatever lowers a bound
 * (a new entry, an issued command, a direction change) writes it at once.  With skipping off every tick is visited and every
 * bound ignored; a property test compares both, and both with the reference twin.
 *
 * Speed.  look, try_column and try_row exist twice, made by the compiler from one text: a lean version for runs with the
 * frfcfs scheduler, the open page policy, one class of traffic and no log, and one that asks for everything.  Lean runs also
 * go on with streams in a loop of their own; a property test compares them with logged ones. */
#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include "step_column.h"
#include "step_gate.h"
#include "step_look.h"
#include "step_row.h"
#include "step_sleep.h"

enum { HBM_CACHE_LINE = 64 };

int hbm_channel_init(hbm_channel_t *self, const hbm_device_t *device, const hbm_policies_t *policies,
                     const hbm_map_t *map)
{
    const hbm_policy_t *c = &policies->config;
    const uint64_t most_in_flight = (uint64_t)((device->RL + device->BL + c->host_ticks) / device->CCDS + 2);
    uint32_t ring = 2;
    int ret = 0;

    memset(self, 0, sizeof *self);
    self->device = device;
    self->policies = policies;
    self->search = hbm_search_best();
    self->now = -1;
    self->row_first = self->column_first = self->pc;
    self->stop = HBM_NEVER;
    self->n_pc = (int32_t)device->pseudo_channels;
    self->log.on = c->log_commands;
    self->window_binds = c->window > 0 && (uint64_t)c->window < (uint64_t)c->read_queue + most_in_flight;
    while (ring < most_in_flight) {
        ring *= 2;
    }
    if (policies->power->power_down && policies->refresh->active && c->skip && !c->log_commands && device->RAAIMT == 0) {
        self->cycle = calloc(1, sizeof *self->cycle);
        if (self->cycle == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
        self->cycle->at = HBM_LONG_AGO;
        self->cycle->most_tries = 1;
    }
    for (int i = 0; i < HBM_MAX_PC; i++) { /* the loop always looks at both */
        self->pc[i].look_at = self->pc[i].column_at = self->pc[i].row_at = HBM_NEVER;
        self->pc[i].looked = -2;
        self->pc[i].lone = -1;
        self->pc[i].front_until = HBM_LONG_AGO;
        self->pc[i].other = &self->pc[HBM_MAX_PC - 1 - i];
    }
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        pc->index = i;
        pc->serving = &pc->queue[HBM_READ];
        pc->feed.map = map;
        hbm_timing_init(&pc->timing);
        for (int b = 0; b < HBM_MAX_BANKS; b++) {
            pc->open_row[b] = -1;
            pc->last_use[b] = HBM_LONG_AGO;
            pc->account.refresh_end[b] = pc->account.act[b] = HBM_LONG_AGO;
        }
        pc->account.RFC = policies->refresh->per_bank ? device->RFCpb : device->RFCab;
        pc->account.last_rd = pc->account.last_wr = pc->account.awake = HBM_LONG_AGO;
        hbm_refresh_init(pc, device, policies);
        pc->column_at = pc->row_at = HBM_NEVER;
        pc->refresh_at = pc->act_at = pc->pre_at = pc->page_at = HBM_NEVER;
        pc->look_at = 0;
        pc->flight_mask = ring - 1;
        pc->flight = calloc(ring, sizeof *pc->flight);
        ret = hbm_queue_init(&pc->queue[HBM_READ], c->read_queue);
        ret = ret != 0 ? ret : hbm_queue_init(&pc->queue[HBM_WRITE], c->write_queue);
        if (ret != 0 || pc->flight == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
    }
    return 0;
}

void hbm_channel_free(hbm_channel_t *self)
{
    for (int i = 0; i < HBM_MAX_PC; i++) {
        hbm_queue_free(&self->pc[i].queue[HBM_READ]);
        hbm_queue_free(&self->pc[i].queue[HBM_WRITE]);
        hbm_feed_free(&self->pc[i].feed);
        hbm_classes_free(self->pc[i].classes);
        self->pc[i].classes = NULL;
        free(self->pc[i].flight);
        self->pc[i].flight = NULL;
    }
    free(self->cycle);
    self->cycle = NULL;
    hbm_log_free(&self->log);
}

int hbm_channel_set_classes(hbm_channel_t *self, int32_t n, const hbm_quota_t *quotas, hbm_tick_t slack)
{
    for (int i = 0; i < self->n_pc; i++) {
        self->pc[i].classes = hbm_classes_create(self->pc[i].feed.map, n, quotas, slack);
        if (self->pc[i].classes == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
    }
    return 0;
}

void hbm_channel_wake(hbm_channel_t *self, int pc, hbm_feed_t *feed)
{
    hbm_pc_t *p = &self->pc[pc];

    feed->open_at = hbm_rising(hbm_max(self->position, feed->n_streams == 0 ? feed->requests_from : 0));
    if (feed->valid) {
        p->look_at = hbm_min(p->look_at, hbm_pc_from(p, feed));
    }
}

HBM_INLINE hbm_tick_t next_event(const hbm_channel_t *self)
{
    return hbm_max(hbm_min(hbm_min(column_due(self), row_due(self)), look_due(self)), self->now + 1);
}

/* The second try of a tick, off the fast path. */
static bool column_full(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t) { return try_column(self, pc, t, false); }
static bool column_plain(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t) { return try_column(self, pc, t, true); }

/* The steps of even ticks alone. */
static void visit_even(hbm_channel_t *self, hbm_tick_t t)
{
    for (int i = 0; i < self->n_pc; i++) {
        if (self->pc[i].look_at <= t) {
            look(self, &self->pc[i], t, false);
        }
    }
    if (self->column_free <= t) {
        hbm_pc_t *const first = self->column_first, *const second = first->other;
        if (!(first->column_at <= t && try_column(self, first, t, false)) && second->column_at <= t) {
            column_full(self, second, t);
        }
    }
}

static bool row_full(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t) { return try_row(self, pc, t, false); }
static bool row_plain(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t) { return try_row(self, pc, t, true); }

/* The row step of a tick at which a row command is due.  alone: nothing else is; most of a lean run's time goes there. */
HBM_INLINE void visit_row(hbm_channel_t *self, hbm_tick_t t, const bool plain, const bool alone)
{
    hbm_pc_t *const first = self->row_first, *const second = first->other;
    const bool one = first->row_at <= t, two = second->row_at <= t;
    hbm_pc_t *const pc = one ? first : second;

    if (!(alone ? try_row(self, pc, t, true) : plain ? row_plain(self, pc, t) : row_full(self, pc, t)) && (one & two)) {
        (plain ? row_plain : row_full)(self, second, t);
    }
}

static void visit_full(hbm_channel_t *self, hbm_tick_t t)
{
    self->now = t;
    if ((t & 1) == 0) {
        visit_even(self, t);
    }
    if (row_due(self) <= t) {
        visit_row(self, t, false, false);
    }
}

/* With skipping off: the next tick, and every bound says now. */
static hbm_tick_t next_tick(hbm_channel_t *self)
{
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        pc->look_at = pc->column_at = pc->row_at = pc->refresh_at = pc->act_at = pc->pre_at = pc->page_at = self->now + 1;
        pc->lone = -1;
        pc->front_until = HBM_LONG_AGO;
    }
    return self->now + 1;
}

static bool reached(const hbm_channel_t *self, hbm_until_t until)
{
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *pc = &self->pc[i];
        if (hbm_pc_next_arrival(pc) < HBM_NEVER || (until >= HBM_UNTIL_READ && pc->queue[HBM_READ].count > 0) ||
            (until >= HBM_UNTIL_EMPTY && pc->queue[HBM_WRITE].count > 0)) {
            return false;
        }
    }
    return true;
}

/* When the next request comes; HBM_NEVER if there is none. */
static hbm_tick_t next_arrival(const hbm_channel_t *self)
{
    return hbm_min(hbm_pc_next_arrival(&self->pc[0]), hbm_pc_next_arrival(&self->pc[1]));
}

/* A column command of pc at even t leaves it to be looked at on t + 2.  Nothing that may happen there on t + 1, which is no
 * tick for ACT, depends on that look unless a precharge or a refresh is due, so it can be had at once, which saves a visit. */
HBM_INLINE void look_ahead(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_tick_t odd = hbm_max(hbm_min(pc->pre_at, pc->refresh_at), self->row_free);

    if ((odd > t + 1) & (t + 2 < self->stop) & pc->feed.valid) {
        look(self, pc, t + 2, true);
    }
}

/* The column step of a tick at which a column command is due; the pseudo-channel that issued one, or NULL. */
HBM_INLINE hbm_pc_t *visit_column(hbm_channel_t *self, hbm_tick_t t)
{
    hbm_pc_t *const first = self->column_first, *const second = first->other;
    const bool one = first->column_at <= t, two = second->column_at <= t;
    hbm_pc_t *const pc = one ? first : second;

    if (try_column(self, pc, t, true)) {
        return pc;
    }
    return (one & two) && column_plain(self, second, t) ? second : NULL;
}

/* Everything that is due at the next tick at which something else than a row command is; false when that is not before the end.
 * What is due is hard to predict, so each step is entered by one branch. */
HBM_INLINE bool visit_tick(hbm_channel_t *self, bool *streams)
{
    hbm_tick_t column, row, looks, t;
    hbm_pc_t *issued = NULL;
    bool even;

    for (;;) {
        column = column_due(self);
        looks = look_due(self);
        row = hbm_max(row_due(self), self->now + 1); /* a bound may lie in the past */
        if (row >= hbm_min(column, looks)) {
            break;
        }
        if (row >= hbm_min(self->stop, HBM_NEVER / 2)) {
            return false;
        }
        self->now = row;
        visit_row(self, row, true, true);
    }
    t = hbm_max(hbm_min(column, looks), self->now + 1);
    if (t >= hbm_min(self->stop, HBM_NEVER / 2)) {
        return false;
    }
    self->now = t;
    even = (t & 1) == 0;
    if (even & (looks <= t)) {
        for (int i = 0; i < HBM_MAX_PC; i++) {
            if (self->pc[i].look_at <= t) {
                look(self, &self->pc[i], t, true);
            }
        }
        column = column_due(self);
        row = row_due(self);
    }
    if (even & (column <= t)) {
        issued = visit_column(self, t);
        row = row_due(self);
    }
    if (row <= t) {
        visit_row(self, t, true, false);
    }
    if (issued != NULL) {
        look_ahead(self, issued, t);
    }
    *streams = (issued != NULL) & ((self->pc[0].lone & self->pc[1].lone) < 0);
    return true;
}

HBM_NOINLINE static bool visit_tick_apart(hbm_channel_t *self, bool *streams) { return visit_tick(self, streams); }

#include "step_stream.h"

/* Only then is a stream simple, here or after the next look. */
HBM_INLINE bool backs_up(const hbm_pc_t *pc) { return pc->queue[HBM_READ].count >= pc->queue[HBM_READ].capacity - 1; }

HBM_INLINE bool visit_plain(hbm_channel_t *self)
{
    bool streams;

    if (!visit_tick(self, &streams)) {
        return false;
    }
    if (streams && !self->window_binds && (backs_up(&self->pc[0]) | backs_up(&self->pc[1]))) {
        stream(self);
    }
    return true;
}

/* The event loop itself. */
HBM_INLINE int run(hbm_channel_t *self, hbm_until_t until, const bool plain)
{
    while ((self->pc[0].feed.valid | self->pc[1].feed.valid) || !reached(self, until)) {
        if (HBM_UNLIKELY(self->pc[0].refresh.streak > HBM_MAX_BANKS)) {
            skip_idle(self, next_event(self), hbm_min(next_arrival(self), self->stop));
        }
        if (plain && visit_plain(self)) {
            continue;
        }
        const hbm_tick_t t = next_event(self);
        if (t >= hbm_min(self->stop, HBM_NEVER / 2)) {
            /* Work is left: if nothing stops the run, nothing will ever happen. */
            return self->stop < HBM_NEVER ? 0 : HBM_ERR_INTERNAL;
        }
        visit_full(self, t);
    }
    return 0;
}

static int run_every_tick(hbm_channel_t *self, hbm_until_t until)
{
    while (!reached(self, until) && self->now + 1 < self->stop) {
        visit_full(self, next_tick(self));
    }
    return 0;
}

/* One event of a channel whose policy has power states: false when there is none up to `last`. */
static bool visit_powered(hbm_channel_t *self, hbm_tick_t last)
{
    const hbm_tick_t t = self->policies->config.skip ? hbm_min(next_event(self), self->power.at) : self->now + 1;

    const int64_t refreshed = refreshes(&self->pc[0]) + refreshes(&self->pc[1]);

    if (t > last) {
        return false;
    }
    if (!self->policies->config.skip) {
        next_tick(self);
    }
    power_before(self, t);
    visit_full(self, t);
    power_step(self, t);
    if (self->cycle != NULL) {
        cycle_note(self, t, refreshed);
        if (self->power.state == HBM_POWER_DOWN && self->power.entered == t) {
            skip_sleep(self, t, hbm_min(next_arrival(self), last));
        }
    }
    return true;
}

static int run_powered(hbm_channel_t *self, hbm_until_t until)
{
    while (!reached(self, until)) {
        if (!visit_powered(self, hbm_min(self->stop - 1, HBM_NEVER / 2))) {
            /* Work is left: if nothing stops the run, nothing will ever happen. */
            return self->stop < HBM_NEVER ? 0 : HBM_ERR_INTERNAL;
        }
    }
    return 0;
}

/* Nothing that only some runs ask for: the lean versions of look and try_column apply. */
static bool is_plain(const hbm_channel_t *self)
{
    const hbm_policies_t *p = self->policies;
    return p->scheduler->hits == NULL && p->scheduler->others == NULL && !p->page->closes &&
           !p->page->auto_precharge && !self->log.on && self->histogram != NULL && self->epochs != NULL &&
           self->pc[0].record == NULL && self->pc[0].classes == NULL && self->pc[0].feed.gap_256 == 0;
}

static int run_until(hbm_channel_t *self, hbm_until_t until, hbm_tick_t stop)
{
    int ret;

    self->stop = stop;
    if (self->policies->power->power_down) {
        ret = run_powered(self, until);
    } else if (!self->policies->config.skip) {
        ret = run_every_tick(self, until);
    } else {
        ret = is_plain(self) ? run(self, until, true) : run(self, until, false);
    }
    return ret != 0 ? ret : self->error;
}

/* Streams whose time has come join their feeds; returns when the next ones start. */
static hbm_tick_t join_streams(hbm_channel_t *self)
{
    hbm_tick_t next = HBM_NEVER;

    for (int i = 0; i < self->n_pc; i++) {
        for (int k = 0; k < hbm_pc_feeds(&self->pc[i]); k++) {
            hbm_feed_t *f = hbm_pc_feed(&self->pc[i], k);
            /* An empty feed takes the next ones ahead of time: they arrive at their start. */
            if (f->n_waiting > 0 && hbm_feed_join(f, f->valid ? self->position : hbm_feed_next_start(f))) {
                hbm_channel_wake(self, i, f);
            }
            next = hbm_min(next, hbm_feed_next_start(f));
        }
    }
    return next;
}

/* Behind all that was visited, or looked at ahead of a visit.  (Which ticks are visited where nothing happens depends on
 * skipping; where a run ends does not.) */
static hbm_tick_t behind_last(const hbm_channel_t *self)
{
    return hbm_max(self->now, hbm_max(self->pc[0].looked, self->pc[1].looked)) + 1;
}

/* Runs to `horizon`, letting streams join on the way, or until the channel is done with an operation. */
static int run_to(hbm_channel_t *self, hbm_until_t until, hbm_tick_t horizon)
{
    hbm_tick_t stop;
    int ret;

    do {
        stop = hbm_min(horizon, join_streams(self));
        ret = run_until(self, until, stop);
        /* Where nothing is left to do nothing happens before the next start. */
        self->position = hbm_max(self->position, self->stop == stop && stop < HBM_NEVER ? stop : behind_last(self));
    } while (ret == 0 && self->stop == stop && stop < horizon);
    return ret;
}

int hbm_channel_run(hbm_channel_t *self, hbm_until_t until) { return run_to(self, until, HBM_NEVER); }

int hbm_channel_run_before(hbm_channel_t *self, hbm_tick_t tick)
{
    const hbm_tick_t before = self->position;
    const int ret = run_to(self, HBM_UNTIL_ACCEPTED, tick);

    if (reached(self, HBM_UNTIL_ACCEPTED)) { /* more input may come for now */
        self->position = hbm_max(before, behind_last(self));
    }
    return ret;
}

int hbm_channel_stand_at(hbm_channel_t *self, hbm_tick_t tick)
{
    int ret = 0;

    if (self->position < tick) {
        ret = hbm_channel_advance(self, tick - 1);
        self->position = tick;
    }
    return ret;
}

/* Channels take turns, and the processor's nearest memory holds but a few of them: what a turn is going to use is asked for at
 * once, because to wait for it piece by piece takes longer.  (In line: the compiler drops calls of what has no effect.) */
HBM_INLINE void fetch(const void *from, size_t size)
{
    for (size_t i = 0; i < size; i += HBM_CACHE_LINE) {
        __builtin_prefetch((const char *)from + i, 1);
    }
}

HBM_INLINE void fetch_all(const hbm_channel_t *self)
{
    fetch(self, sizeof *self);
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_queue_t *q = &self->pc[i].queue[HBM_READ];
        fetch(q->entry, (size_t)q->capacity * sizeof *q->entry);
    }
}

int hbm_channel_run_part(hbm_channel_t *self)
{
    int ret;

    fetch_all(self);
    self->in_part = true;
    ret = run_to(self, HBM_UNTIL_READ, self->horizon);
    self->in_part = false;
    return ret;
}

void hbm_channel_hold(hbm_channel_t *self, int pc, int32_t tag)
{
    hbm_pc_t *p = &self->pc[pc];

    if (hbm_pc_gives(p, tag - 1) || await_reads(p, tag)) {
        p->holding |= hbm_flight_bit(tag);
    }
}

int hbm_channel_advance(hbm_channel_t *self, hbm_tick_t tick)
{
    const bool skip = self->policies->config.skip;

    while (self->policies->power->power_down) {
        if (!visit_powered(self, tick)) {
            return self->error;
        }
    }
    for (;;) {
        hbm_tick_t t = skip ? next_event(self) : self->now + 1;
        if (skip && self->pc[0].refresh.streak > HBM_MAX_BANKS && tick > t) {
            skip_idle(self, t, tick);
            t = next_event(self);
        }
        if (t > tick) {
            return self->error;
        }
        if (!skip) {
            next_tick(self);
        }
        visit_full(self, t);
    }
}

void hbm_channel_set_conditions(hbm_channel_t *self, int32_t refresh_scale, hbm_tick_t gap_256)
{
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        pc->feed.gap_256 = gap_256;
        pc->feed.next_256 = gap_256 == 0 ? 0 : pc->feed.next_256;
        pc->look_at = hbm_min(pc->look_at, hbm_rising(hbm_max(self->position, self->now + 1)));
        hbm_refresh_rescale(pc, self->device, self->policies, refresh_scale, self->now < 0);
    }
    if (self->cycle != NULL) {
        self->cycle->at = HBM_LONG_AGO;
    }
}

hbm_tick_t hbm_channel_done(const hbm_channel_t *self)
{
    const hbm_device_t *d = self->device;
    hbm_tick_t done = 0;

    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *pc = &self->pc[i];
        done = hbm_max(done, pc->account.last_rd + d->RL + d->BL);
        done = hbm_max(done, pc->account.last_wr + d->WL + d->BL);
        done = hbm_max(done, pc->forwarded_at);
    }
    return done;
}

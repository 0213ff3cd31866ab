/* Operations in flight: submitted, running side by side in all channels, reported when they end.
 *
 * An operation has ended when all of its reads are back at the controllers and its writes are accepted.  What depends on
 * it starts `delay` later, so a channel may run ahead of the others, but never past the moment at which an operation that
 * is still running elsewhere might end, plus the delay.  For an operation that the channel itself holds that moment is its
 * own part's end, where it stops by itself (hbm_channel_run_part); for the others it is how far the furthest channel that
 * holds the operation has come.  Channels run in rounds between which these bounds are made anew; the furthest holder of
 * the operation that is furthest behind can always move, by `delay` at least, so rounds come to an end. */
#include "expand.h"

#include <stdlib.h>
#include <string.h>

enum { HBM_MAX_OPERATION = 1 << 26 }; /* tallies are kept of all up to the last one */

/* Room for the operation in every worker's tally. */
static int grow_tallies(hbm_system_t *self, int32_t operation)
{
    if (operation >= self->operation_capacity) {
        const int32_t capacity =
            operation >= self->operation_capacity * 2 ? operation + 1 : self->operation_capacity * 2;
        for (int32_t w = 0; w < self->n_workers; w++) {
            hbm_operation_result_t *bigger = realloc(self->worker[w].tally, ((size_t)capacity + 1) * sizeof *bigger);
            const int32_t filled = self->operation_capacity > 0 ? self->operation_capacity + 1 : 0;
            if (bigger == NULL) {
                return HBM_ERR_NO_MEMORY;
            }
            memset(bigger + filled, 0, (size_t)(capacity + 1 - filled) * sizeof *bigger);
            self->worker[w].tally = bigger;
        }
        self->operation_capacity = capacity;
    }
    if (operation >= self->n_operations) {
        self->n_operations = operation + 1;
    }
    return 0;
}

static int64_t bound_of(const hbm_system_t *self, const hbm_access_t *accesses, int32_t n)
{
    int64_t bound = 0;

    for (int32_t i = 0; i < n; i++) {
        bound += hbm_expand_bound(self, &accesses[i]);
    }
    return bound;
}

static bool has_room(const hbm_system_t *self, int64_t intervals, int32_t operation)
{
    int64_t held = 0;

    for (int32_t i = 0; i < HBM_IN_FLIGHT; i++) {
        held += self->in_flight >> i & 1 ? self->flight[i].intervals : 0;
    }
    return self->in_flight == 0 ||
           (!(self->in_flight >> (operation & (HBM_IN_FLIGHT - 1)) & 1) && held + intervals <= HBM_MAX_HELD);
}

bool hbm_system_has_room(const hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation)
{
    return has_room(self, bound_of(self, accesses, n), operation);
}

/* Every pseudo-channel that the operation has bursts in holds it. */
static void hold(hbm_system_t *self, int32_t operation, bool everywhere)
{
    const int32_t n = everywhere ? self->n_channels : self->n_touched;

    for (int32_t i = 0; i < n; i++) {
        hbm_channel_t *channel = &self->channel[everywhere ? i : self->touched[i]];
        for (int32_t p = 0; p < channel->n_pc; p++) {
            hbm_channel_hold(channel, p, operation + 1);
        }
    }
    hbm_system_untouch(self);
}

int64_t hbm_system_next_start(const hbm_system_t *self) { return hbm_rising(self->reported + self->delay); }

int hbm_system_submit(hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int32_t operation, int64_t start,
                      int32_t tile_bursts, bool wrap, int32_t *bad)
{
    hbm_expansion_t x = {.system = self, .operation = operation, .tile = tile_bursts, .wrap = wrap};
    int64_t intervals;
    int ret = 0;

    *bad = -1;
    if (self->finished || start < 0 || start > HBM_NEVER / 2 || tile_bursts < 0 || n < 0 || operation < 0 ||
        operation > HBM_MAX_OPERATION) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    x.start = hbm_rising(start);
    intervals = bound_of(self, accesses, n);
    if ((self->in_flight & hbm_flight_bit(operation + 1)) || x.start < hbm_system_next_start(self) ||
        !has_room(self, intervals, operation)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    ret = grow_tallies(self, operation);
    for (int32_t i = 0; i < n && ret == 0; i++) {
        ret = hbm_expand(&x, &accesses[i]);
        if (ret == HBM_ERR_ADDRESS || ret == HBM_ERR_BAD_ARGUMENT) {
            *bad = i;
        }
    }
    if (ret != 0) {
        self->finished = true; /* half an operation is no result */
        return ret;
    }
    hbm_expand_start(&x);
    hold(self, operation, x.flushed);
    self->flight[operation % HBM_IN_FLIGHT] = (hbm_in_flight_t){operation, x.start, intervals};
    self->in_flight |= hbm_flight_bit(operation + 1);
    return 0;
}

int hbm_system_forget(hbm_system_t *self)
{
    if (self->finished) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->in_flight = 0;
    for (int32_t pc = 0; pc < self->map.n_pc; pc++) {
        hbm_pc_t *p = hbm_system_pc(self, pc);
        p->holding = 0;
        p->n_ending = 0;
        if (hbm_pc_has_input(p)) {
            hbm_system_touch(self, pc);
        }
    }
    return 0;
}

int hbm_system_accept(hbm_system_t *self)
{
    const int ret = hbm_system_forget(self);

    return ret != 0 ? ret : hbm_system_run(self, HBM_UNTIL_ACCEPTED);
}

static hbm_tick_t end_of(const hbm_system_t *self, const hbm_in_flight_t *f)
{
    hbm_tick_t end = f->start;

    for (int32_t w = 0; w < self->n_workers; w++) {
        end = hbm_max(end, self->worker[w].tally[f->operation + 1].end_tick);
    }
    return end;
}

static uint64_t held_by(const hbm_channel_t *c) { return c->pc[0].holding | c->pc[1].holding; }

/* bound[slot]: when the operation ends, if *running says that it has, else a tick before which it does not. */
static void bound_ends(const hbm_system_t *self, hbm_tick_t *bound, uint64_t *running)
{
    *running = 0;
    for (int32_t s = 0; s < HBM_IN_FLIGHT; s++) {
        bound[s] = self->in_flight >> s & 1 ? self->flight[s].start : HBM_NEVER;
    }
    for (int32_t c = 0; c < self->n_channels; c++) {
        const uint64_t held = held_by(&self->channel[c]);
        *running |= held;
        for (uint64_t m = held; m != 0; m &= m - 1) {
            const int s = hbm_lowest(m);
            bound[s] = hbm_max(bound[s], self->channel[c].position);
        }
    }
    for (uint64_t m = self->in_flight & ~*running; m != 0; m &= m - 1) {
        const int s = hbm_lowest(m);
        bound[s] = end_of(self, &self->flight[s]);
    }
}

/* The operation that ended first, if it is sure that none can end before it or with it; else -1. */
static int first_end(const hbm_system_t *self, const hbm_tick_t *bound, uint64_t running)
{
    hbm_tick_t soonest = HBM_NEVER;
    int first = -1;

    for (uint64_t m = running; m != 0; m &= m - 1) {
        soonest = hbm_min(soonest, bound[hbm_lowest(m)]);
    }
    for (uint64_t m = self->in_flight & ~running; m != 0; m &= m - 1) {
        const int s = hbm_lowest(m);
        if (bound[s] < soonest && (first < 0 || bound[s] < bound[first] ||
                                   (bound[s] == bound[first] && self->flight[s].operation < self->flight[first].operation))) {
            first = s;
        }
    }
    return first;
}

enum { HBM_NOTHING_TO_RUN = 1 };

/* HBM_NOTHING_TO_RUN: every channel is as far as it may go. */
static int run_round(hbm_system_t *self, const hbm_tick_t *bound)
{
    const int32_t n = (int32_t)self->device.pseudo_channels;

    for (int32_t c = 0; c < self->n_channels; c++) {
        hbm_channel_t *channel = &self->channel[c];
        const uint64_t held = held_by(channel);
        if (held == 0) {
            continue;
        }
        channel->horizon = self->border;
        for (uint64_t m = self->in_flight & ~held; m != 0; m &= m - 1) {
            channel->horizon = hbm_min(channel->horizon, bound[hbm_lowest(m)] + self->delay);
        }
        if (channel->position < channel->horizon) {
            hbm_system_touch(self, c * n);
        }
    }
    return self->n_touched > 0 ? hbm_system_run_parts(self) : HBM_NOTHING_TO_RUN;
}

int hbm_system_next_end(hbm_system_t *self, int32_t *operation, int64_t *end_tick)
{
    hbm_tick_t bound[HBM_IN_FLIGHT];
    uint64_t running;

    *operation = -1;
    *end_tick = 0;
    if (self->finished || self->in_flight == 0) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    for (;;) {
        int first, ret;
        bound_ends(self, bound, &running);
        first = first_end(self, bound, running);
        if (first >= 0 && bound[first] < self->border) {
            *operation = self->flight[first].operation;
            *end_tick = self->reported = bound[first];
            self->in_flight &= ~(UINT64_C(1) << first);
            return 0;
        }
        ret = run_round(self, bound);
        if (ret == HBM_NOTHING_TO_RUN) {
            if (self->border < HBM_NEVER) {
                *end_tick = self->border;
                return 0;
            }
            ret = HBM_ERR_INTERNAL;
        }
        if (ret != 0) {
            self->finished = true;
            return ret;
        }
    }
}

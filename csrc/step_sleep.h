/* Skipping a long sleep.  A channel that goes down, wakes for refreshes and goes down again repeats itself: at some PDE its
 * state is the one of an earlier PDE, a period later.  From there k periods are taken at once, by moving what the period
 * moved k periods on and adding what it counted k times.  Part of channel.c. */
#ifndef HBM_STEP_SLEEP_H
#define HBM_STEP_SLEEP_H

#include <string.h>

#include "step_power.h"

/* Longer periods are not skipped.  A wake-up that refreshes n of m banks repeats after up to m of them. */
enum { HBM_CYCLE_REFRESHES = 4096, HBM_CYCLE_CHANGES = 8192, HBM_CYCLE_TRIES = 256 };

/* An earlier PDE, and what happened since. */
struct hbm_cycle {
    hbm_tick_t at; /* HBM_LONG_AGO: none */
    int32_t tries, most_tries; /* compared with it; then a later one takes its place, for twice as long */
    const hbm_pc_t *row_first;
    int32_t n;
    int32_t refreshed[HBM_CYCLE_REFRESHES]; /* ticks since `at` */
    hbm_power_t power; /* the latest, of all pseudo-channels */
    int32_t n_changes;
    struct {
        int32_t after; /* ticks since `at` */
        hbm_power_t into;
    } change[HBM_CYCLE_CHANGES];
    struct {
        int64_t accepted;
        hbm_timing_t timing;
        hbm_refresh_state_t refresh;
        hbm_tick_t refresh_end[HBM_MAX_BANKS];
        hbm_tick_t awake;
        hbm_counters_t counters;
        int64_t n_ref_pb[HBM_MAX_BANKS];
    } pc[HBM_MAX_PC];
};

static int64_t accepted(const hbm_pc_t *pc) { return pc->age + pc->counters.reads_forwarded; }

/* Called after every event: notes refreshes and changes of the power state. */
HBM_INLINE void cycle_note(hbm_channel_t *self, hbm_tick_t t, int64_t before)
{
    struct hbm_cycle *c = self->cycle;

    if (refreshes(&self->pc[0]) + refreshes(&self->pc[1]) != before) {
        if (c->n < HBM_CYCLE_REFRESHES && t - c->at <= INT32_MAX) {
            c->refreshed[c->n++] = (int32_t)(t - c->at);
        } else {
            c->n = HBM_CYCLE_REFRESHES + 1;
        }
    }
    if (self->pc[0].power != c->power) {
        c->power = self->pc[0].power;
        if (c->n_changes < HBM_CYCLE_CHANGES && t - c->at <= INT32_MAX) {
            c->change[c->n_changes].after = (int32_t)(t - c->at);
            c->change[c->n_changes++].into = c->power;
        } else {
            c->n = HBM_CYCLE_REFRESHES + 1;
        }
    }
}

static void cycle_begin(hbm_channel_t *self, hbm_tick_t t)
{
    struct hbm_cycle *c = self->cycle;

    c->at = t;
    c->tries = c->n = c->n_changes = 0;
    c->power = self->pc[0].power;
    c->row_first = self->row_first;
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *pc = &self->pc[i];
        c->pc[i].accepted = accepted(pc);
        c->pc[i].timing = pc->timing;
        c->pc[i].refresh = pc->refresh;
        memcpy(c->pc[i].refresh_end, pc->account.refresh_end, sizeof pc->account.refresh_end);
        c->pc[i].awake = pc->account.awake;
        c->pc[i].counters = pc->counters;
        for (int b = 0; b < self->device->banks; b++) {
            c->pc[i].n_ref_pb[b] = pc->bank[b].n_ref_pb;
        }
    }
}

/* A bound in the past forbids nothing, however long ago it was. */
HBM_INLINE bool same_bound(hbm_tick_t now, hbm_tick_t t, hbm_tick_t then, hbm_tick_t at, hbm_tick_t past)
{
    return hbm_max(now - t, -past) == hbm_max(then - at, -past);
}

/* Everything that decides what a sleeping channel without requests does next is as it was at c->at. */
static bool same_state(const hbm_channel_t *self, const hbm_pc_t *pc, int i, hbm_tick_t t)
{
    const struct hbm_cycle *c = self->cycle;
    const hbm_device_t *d = self->device;
    const hbm_timing_t *now = &pc->timing, *then = &c->pc[i].timing;
    const hbm_refresh_state_t *r = &pc->refresh, *q = &c->pc[i].refresh;
    bool same = r->next_due - t == q->next_due - c->at && r->owed == q->owed && r->set == q->set && r->last == q->last &&
                r->behind == q->behind && same_bound(now->refpb_any, t, then->refpb_any, c->at, 0) &&
                same_bound(now->refab_ok, t, then->refab_ok, c->at, 0);

    for (int b = 0; same && b < d->banks; b++) {
        same = same_bound(now->ref_ok[b], t, then->ref_ok[b], c->at, 0) && pc->last_use[b] <= c->at - r->rest;
    }
    for (int g = 0; same && g < d->groups; g++) {
        same = same_bound(now->ref_group[g], t, then->ref_group[g], c->at, 0);
    }
    for (int w = 0; same && w < 4; w++) {
        same = same_bound(now->window[(now->window_at + w) & 3], t, then->window[(then->window_at + w) & 3], c->at, d->FAW);
    }
    return same;
}

/* A period from `from` on, which begins and ends with the PDE, passes in the noted states. */
static void cycle_spend(hbm_channel_t *self, hbm_tick_t from)
{
    const struct hbm_cycle *c = self->cycle;
    hbm_tick_t since = from;
    hbm_power_t power = c->power;

    for (int32_t n = 0; n < c->n_changes; n++) {
        const hbm_tick_t until = from + c->change[n].after;
        for (int i = 0; i < self->n_pc; i++) {
            hbm_epochs_spend(self->epochs, since, until, hbm_power_state(power, false));
        }
        since = until;
        power = c->change[n].into;
    }
}

static void cycle_take(hbm_channel_t *self, hbm_tick_t period, int64_t times)
{
    struct hbm_cycle *c = self->cycle;
    const hbm_tick_t by = times * period;

    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        hbm_tick_t *bound = (hbm_tick_t *)(void *)&pc->timing;
        const hbm_tick_t *old = (const hbm_tick_t *)(const void *)&c->pc[i].timing;
        int64_t *counter = (int64_t *)(void *)&pc->counters;
        const int64_t *before = (const int64_t *)(const void *)&c->pc[i].counters;

        for (size_t n = 0; n < offsetof(hbm_timing_t, window) / sizeof *bound; n++) {
            bound[n] += bound[n] != old[n] ? by : 0;
        }
        for (int w = 0; w < 4; w++) {
            pc->timing.window[w] += pc->timing.window[w] > c->at ? by : 0;
        }
        for (int b = 0; b < self->device->banks; b++) {
            pc->account.refresh_end[b] += pc->account.refresh_end[b] != c->pc[i].refresh_end[b] ? by : 0;
            pc->bank[b].n_ref_pb += times * (pc->bank[b].n_ref_pb - c->pc[i].n_ref_pb[b]);
        }
        pc->account.awake += pc->account.awake != c->pc[i].awake ? by : 0;
        for (size_t n = 0; n < sizeof pc->counters / sizeof *counter; n++) {
            counter[n] += times * (counter[n] - before[n]);
        }
        pc->refresh.next_due += by;
        pc->power_since += by;
        pc->looked += by;
        pc->look_at = self->now + by + 2;
    }
    for (int64_t k = 1; k <= times && self->epochs != NULL; k++) {
        for (int32_t n = 0; n < c->n; n++) {
            hbm_epochs_add(self->epochs, c->at + c->refreshed[n] + k * period, HBM_EPOCH_REF);
        }
        cycle_spend(self, c->at + k * period);
    }
    self->now += by;
    self->power.entered += by;
    c->at = HBM_LONG_AGO;
}

/* After step 6 of t: takes as many periods as end before `horizon`, the next arrival or the end. */
HBM_NOINLINE static void skip_sleep(hbm_channel_t *self, hbm_tick_t t, hbm_tick_t horizon)
{
    struct hbm_cycle *c = self->cycle;
    const hbm_tick_t due = self_refresh_due(self, idle_since(self));
    bool same = c->at > HBM_LONG_AGO && c->n <= HBM_CYCLE_REFRESHES && self->row_first == c->row_first;
    int command, pc;

    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *each = &self->pc[i];
        if (each->open != 0) {
            c->at = HBM_LONG_AGO;
            return;
        }
        if (accepted(each) != c->pc[i].accepted) {
            c->at = HBM_LONG_AGO;
            c->most_tries = 1;
        }
        same = same && c->at > HBM_LONG_AGO && same_state(self, each, i, t);
    }
    if (same && horizon < HBM_NEVER / 4 && (!self->policies->power->self_refresh || due < HBM_NEVER)) {
        const hbm_tick_t period = t - c->at;
        const int64_t times = (hbm_min(horizon, due) - t) / period - 1;
        if (times >= 1) {
            cycle_take(self, period, times);
            self->power.at = next_power(self, self->now, &command, &pc);
            self->power.at = hbm_rising(hbm_max(self->power.at, self->now + 1));
        }
        return;
    }
    if (c->at <= HBM_LONG_AGO || ++c->tries >= c->most_tries) {
        c->most_tries = (int32_t)hbm_min(2 * c->most_tries, HBM_CYCLE_TRIES);
        cycle_begin(self, t);
    }
}

#endif

/* Skipping idle time.  A channel with nothing to do but refresh closed banks repeats itself: after a round of refreshes
 * (every bank once, or one REFab) its state is the same, a period later.  Once a whole round has gone by like that, k more
 * rounds are taken at once by moving every bound that refreshes set k periods on.  Part of channel.c. */
#ifndef HBM_IDLE_H
#define HBM_IDLE_H

#include "channel.h"
#include "refresh.h"

/* Commands of one round of refreshes. */
HBM_INLINE int64_t round_commands(const hbm_channel_t *self)
{
    return self->policies->refresh->per_bank ? self->device->banks : 1;
}

/* Called with every REF: counts those that came on time with no ACT since the one before. */
HBM_INLINE void count_quiet(hbm_pc_t *pc, hbm_tick_t t)
{
    hbm_refresh_state_t *r = &pc->refresh;
    const bool on_time = r->owed == 0 && hbm_rising(r->next_due - r->interval) == t;

    r->streak = on_time && pc->counters.n_act == r->acts_seen ? r->streak + 1 : 0;
    r->acts_seen = pc->counters.n_act;
}

/* No bank was used since `rest` before the last round began: none is busy but with refreshes, and that round took them in the
 * order of the next ones. */
static bool long_unused(const hbm_channel_t *self, const hbm_pc_t *pc)
{
    const hbm_refresh_state_t *r = &pc->refresh;
    const hbm_tick_t before = self->now - r->rest - (round_commands(self) + 1) * r->interval;
    bool unused = true;

    for (int b = 0; b < self->device->banks; b++) {
        unused &= pc->last_use[b] <= before;
    }
    return unused;
}

/* The pseudo-channel is in the middle of a steady stretch of refreshes and has nothing else before `horizon`. */
static bool is_steady(const hbm_channel_t *self, const hbm_pc_t *pc, hbm_tick_t horizon)
{
    const hbm_refresh_state_t *r = &pc->refresh;

    return r->streak > round_commands(self) && r->owed == 0 && r->target == HBM_REFRESH_NO_TARGET && !r->pending &&
           pc->open == 0 && hbm_pc_idle(pc) &&
           hbm_pc_next_arrival(pc) >= horizon && long_unused(self, pc);
}

static void move_on(hbm_tick_t *at, hbm_tick_t by) { *at += *at > HBM_LONG_AGO / 2 ? by : 0; }

static void skip_rounds(hbm_channel_t *self, hbm_pc_t *pc, int64_t rounds, hbm_tick_t period)
{
    const hbm_tick_t by = rounds * period;
    const int64_t n = rounds * round_commands(self);
    hbm_timing_t *s = &pc->timing;
    hbm_refresh_state_t *r = &pc->refresh;

    for (int b = 0; b < self->device->banks; b++) {
        pc->bank[b].n_ref_pb += self->policies->refresh->per_bank ? rounds : 0;
        move_on(&s->act_ok[b], by);
        move_on(&s->ref_ok[b], by);
        move_on(&pc->account.refresh_end[b], by);
    }
    for (int g = 0; g < self->device->groups; g++) {
        move_on(&s->act_group[g], by);
    }
    for (int i = 0; i < 4; i++) {
        move_on(&s->window[i], by);
    }
    move_on(&s->act_groups, by);
    move_on(&s->act_any, by);
    move_on(&s->pre_any, by);
    move_on(&s->refpb_any, by);
    move_on(&s->refab_ok, by);
    if (self->epochs != NULL) {
        hbm_epochs_add_many(self->epochs, r->next_due, r->interval, n, HBM_EPOCH_REF);
    }
    *(self->policies->refresh->per_bank ? &pc->counters.n_ref_pb : &pc->counters.n_ref_ab) += n;
    r->next_due += by;
    pc->look_at = hbm_rising(r->next_due);
    pc->looked += by;
}

/* Takes as many rounds as end before `horizon`, if the channel is steady; `t` is the next event. */
HBM_NOINLINE static void skip_idle(hbm_channel_t *self, hbm_tick_t t, hbm_tick_t horizon)
{
    const hbm_tick_t period = round_commands(self) * self->pc[0].refresh.interval;
    const int64_t rounds = (horizon - t) / period - 1;

    /* An odd period would move refreshes to the other clock edge. */
    if (rounds < 1 || (period & 1) != 0 || self->log.on || self->device->RAAIMT > 0) {
        return;
    }
    for (int i = 0; i < self->n_pc; i++) {
        if (!is_steady(self, &self->pc[i], horizon)) {
            return;
        }
    }
    for (int i = 0; i < self->n_pc; i++) {
        skip_rounds(self, &self->pc[i], rounds, period);
    }
    self->now += rounds * period;
    self->row_free += rounds * period;
}

#endif

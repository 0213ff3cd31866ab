/* Step 2 of an even tick where classes of traffic have quotas: which of their next bursts is taken.  Part of channel.c. */
#ifndef HBM_STEP_GATE_H
#define HBM_STEP_GATE_H

#include "step_look.h"

/* May the next burst of class i be taken at t?  *answered: a waiting write has its data.  If it may not, *next is lowered to
 * when to look again; a full queue waits for the next column command. */
static bool gate_opens(hbm_channel_t *self, hbm_pc_t *pc, int i, hbm_tick_t t, bool *answered, hbm_tick_t *next)
{
    const hbm_class_t *c = &pc->classes->item[i];
    const hbm_feed_t *f = hbm_pc_feed(pc, i);
    const hbm_tick_t from = hbm_pc_from(pc, f), capped = hbm_class_capped(c);
    hbm_tick_t retry_at = HBM_NEVER;

    *answered = false;
    if (!f->valid) {
        return false;
    }
    if (from > t) {
        *next = hbm_min(*next, hbm_rising(from));
        return false;
    }
    if (!f->is_write && answered_by_write(pc, f)) {
        *answered = true;
        return true;
    }
    if (hbm_queue_full(&pc->queue[f->is_write]) ||
        c->waiting[f->is_write] >= (f->is_write ? c->quota.write_entries : c->quota.read_entries)) {
        return false;
    }
    if (capped > t) {
        *next = hbm_min(*next, hbm_rising(capped));
        return false;
    }
    if (!f->is_write && self->window_binds && !window_allows(pc, self->policies->config.window, t, &retry_at)) {
        *next = hbm_min(*next, hbm_rising(retry_at));
        return false;
    }
    return true;
}

/* The class that goes first of those that may be taken from, or -1. */
static int choose_class(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, bool *answered, hbm_tick_t *next)
{
    int best = -1;

    for (int i = 0; i < pc->classes->n; i++) {
        bool by_write;
        if (gate_opens(self, pc, i, t, &by_write, next) &&
            (best < 0 || hbm_class_precedes(&pc->classes->item[i], &pc->classes->item[best], t))) {
            best = i;
            *answered = by_write;
        }
    }
    return best;
}

/* Takes what may be taken at t; returns when to look again, *next at the latest. */
HBM_NOINLINE static hbm_tick_t look_at_gate(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    for (;;) {
        hbm_tick_t next = HBM_NEVER;
        bool answered = false;
        const int i = choose_class(self, pc, t, &answered, &next);
        hbm_feed_t *f;
        if (i < 0) {
            return next;
        }
        f = hbm_pc_feed(pc, i);
        hbm_class_took(pc->classes, &pc->classes->item[i], hbm_pc_from(pc, f), t, !answered);
        if (answered) {
            forward(self, pc, f, t);
        } else {
            enqueue(self, pc, f, t, false);
        }
        taken(self, pc, f, t, false);
    }
}

#endif

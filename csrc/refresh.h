/* Refresh: what is due, which bank gets it, what it blocks.  Rules in docs/model/controller.md.  Must not know how
 * requests are scheduled; of the queues it sees only which banks have entries. */
#ifndef HBM_REFRESH_H
#define HBM_REFRESH_H

#include "policy.h"

enum { HBM_STARVED_REFRESHES = 4096 };

void hbm_refresh_init(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies);
/* tREFI is divided by `scale` from the next refresh due on; at the start of a run from the first one on. */
void hbm_refresh_rescale(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, int32_t scale,
                         bool at_start);

/* A target is chosen only while more than this are owed. */
int64_t hbm_refresh_choose_above(const hbm_device_t *device, const hbm_policies_t *policies);

/* Banks of the round that have no requests. */
HBM_INLINE uint64_t hbm_refresh_resting(const hbm_pc_t *pc)
{
    return pc->refresh.set & ~(hbm_queue_banks(&pc->queue[HBM_READ]) | hbm_queue_banks(&pc->queue[HBM_WRITE]));
}

/* True when step 1 would do nothing: nothing new is due, and there is a target already or nothing to choose. */
HBM_INLINE bool hbm_refresh_quiet(const hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_refresh_state_t *r = &pc->refresh;

    return r->next_due > t &&
           (r->owed <= r->choose_above || r->target != HBM_REFRESH_NO_TARGET || r->pending ||
            (hbm_refresh_resting(pc) == 0 && r->owed < r->forced_from && r->set != 0));
}

/* More are owed than may be postponed. */
HBM_INLINE bool hbm_refresh_forced(const hbm_refresh_state_t *self, const hbm_policies_t *policies)
{
    return self->owed >= hbm_max(policies->config.postpone, 1);
}

/* The row command that refresh wants now (enum hbm_command) and its bank, or -1. */
int hbm_refresh_wanted(const hbm_pc_t *pc, int *bank);
/* Earliest tick of that command by the timing rules, on its clock edge. */
hbm_tick_t hbm_refresh_earliest(const hbm_pc_t *pc, const hbm_device_t *device, int command, int bank);
/* The same of what refresh wants, no sooner than t; HBM_NEVER: nothing. */
hbm_tick_t hbm_refresh_next(const hbm_pc_t *pc, const hbm_device_t *device, hbm_tick_t t);

/* Step 1 of an even tick. */
HBM_INLINE void hbm_refresh_look(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, hbm_tick_t t)
{
    hbm_refresh_state_t *r = &pc->refresh;

    while (r->next_due <= t) {
        r->owed++;
        r->next_due += r->interval;
    }
    if (r->target == HBM_REFRESH_NO_TARGET && !r->pending && r->owed > r->choose_above) {
        policies->refresh->choose(pc, device, policies, t);
        if (r->target != HBM_REFRESH_NO_TARGET || r->pending) {
            pc->refresh_at = hbm_refresh_next(pc, device, t);
            pc->row_at = hbm_min(pc->row_at, pc->refresh_at);
        }
    }
}

/* Bookkeeping after a REF or RFM issued.  HBM_ERR_BAD_POLICY: requests wait, and refresh is all that happens. */
int hbm_refresh_issued(hbm_pc_t *pc, const hbm_device_t *device, int command, int bank);

#endif

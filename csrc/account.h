/* The lost-cycle account.  Between two bursts of a pseudo-channel's data bus lies a gap; when the next column command
 * issues, the gap is cut into pieces, each charged to what held that very command up, in causal order: no request, refresh
 * of its bank, precharge and activate (of which: the activate window), bus turnaround, SID switch, bank group, and
 * what is left, the command bus.  Gaps are taken in command time, so RL and WL shift nothing. */
#ifndef HBM_ACCOUNT_H
#define HBM_ACCOUNT_H

#include "pc.h"

/* Charges [*at, until) to *lost as far as it lies before `end`. */
HBM_INLINE void hbm_charge(hbm_tick_t *at, hbm_tick_t until, hbm_tick_t end, int64_t *lost)
{
    const hbm_tick_t stop = hbm_min(until, end);
    if (stop > *at) {
        *lost += stop - *at;
        *at = stop;
    }
}

HBM_NOINLINE static void hbm_account_gap(hbm_pc_t *pc, const hbm_device_t *d, int bank, bool is_write, hbm_tick_t t)
{
    hbm_account_t *a = &pc->account;
    hbm_counters_t *n = &pc->counters;
    hbm_tick_t at = a->data_free;
    const int group = d->group_of[bank];

    hbm_charge(&at, a->nonempty_since, t, &n->lost_no_request);
    hbm_charge(&at, a->refresh_end[bank], t, &n->lost_refresh);
    hbm_charge(&at, a->window_from[bank], t, &n->lost_activate_precharge);
    hbm_charge(&at, a->window_to[bank], t, &n->lost_activate_window);
    hbm_charge(&at, a->act[bank] + d->act_reference + (is_write ? d->RCDWR : d->RCDRD), t,
               &n->lost_activate_precharge);
    if (is_write) {
        hbm_charge(&at, a->last_rd + d->RTW, t, &n->lost_turnaround);
        hbm_charge(&at, pc->timing.wr_group[group], t, &n->lost_bank_group);
    } else {
        const bool after_write = a->last_wr > a->last_rd;
        hbm_charge(&at, a->last_wr + d->WL + d->BL + d->WTRS, t, &n->lost_turnaround);
        if (pc->timing.rd_sid != d->sid_of[bank]) {
            hbm_charge(&at, a->last_rd + d->CCDR, t, &n->lost_sid);
        }
        hbm_charge(&at, pc->timing.rd_group[group], t, after_write ? &n->lost_turnaround : &n->lost_bank_group);
    }
    hbm_charge(&at, t, t, &n->lost_command_bus);
}

/* Called with every column command, before the timing tables learn of it. */
HBM_INLINE void hbm_account_column(hbm_pc_t *pc, const hbm_device_t *d, int bank, bool is_write, hbm_tick_t t)
{
    hbm_account_t *a = &pc->account;

    if (t > a->data_free) {
        hbm_account_gap(pc, d, bank, is_write, t);
    }
    a->data_free = t + d->BL;
    *(is_write ? &a->last_wr : &a->last_rd) = t;
}

/* An ACT of `bank` at t that the bank itself would have allowed from `bank_ready`; `common` is the bound of the activate
 * windows (tRRD, tFAW, tRREFD) that all banks share. */
HBM_INLINE void hbm_account_act(hbm_pc_t *pc, int bank, hbm_tick_t bank_ready, hbm_tick_t common, hbm_tick_t t)
{
    pc->account.window_from[bank] = hbm_min(bank_ready, common);
    pc->account.window_to[bank] = common;
    pc->account.act[bank] = t;
}

#endif

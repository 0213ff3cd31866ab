/* The lost-cycle account.  Between two bursts of a pseudo-channel's data bus lies a gap; when the next column command
 * issues, the gap is cut up and each piece charged to what held that very command up:
 *
 * - until the pseudo-channel had any request: no request;
 * - until the channel had woken from power-down or self-refresh: power state;
 * - until its row was open: as much as its ACT had waited for the activate window, then for a refresh of its bank, then for
 *   the row bus, and the rest to precharge and activate.  Waiting counts even where it overlaps older bursts, because the
 *   gap would be that much shorter without it: in a chain of ACTs held by tFAW every gap is tFAW's, though each lies in the
 *   tRCD of its own ACT;
 * - after that, in order: bus turnaround, SID switch, bank group; what is left, the command bus.
 *
 * Gaps are taken in command time, so RL and WL shift nothing. */
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

/* Takes at most `wait` ticks off *left for *lost. */
HBM_INLINE void hbm_charge_wait(hbm_tick_t *left, hbm_tick_t wait, int64_t *lost)
{
    const hbm_tick_t part = hbm_min(*left, wait);
    *lost += part;
    *left -= part;
}

HBM_NOINLINE static void hbm_account_gap(hbm_pc_t *pc, const hbm_device_t *d, int bank, bool is_write, hbm_tick_t t)
{
    hbm_account_t *a = &pc->account;
    hbm_counters_t *n = &pc->counters;
    hbm_tick_t at = a->data_free, left;
    const int group = d->group_of[bank];
    const hbm_tick_t row_ready = a->act[bank] + d->act_reference + (is_write ? d->RCDWR : d->RCDRD);

    hbm_charge(&at, a->nonempty_since, t, &n->lost_no_request);
    hbm_charge(&at, a->awake, t, &n->lost_power_state);
    left = hbm_max(hbm_min(row_ready, t) - at, 0);
    at += left;
    hbm_charge_wait(&left, a->window_wait[bank], &n->lost_activate_window);
    if (left > 0) {
        hbm_charge_wait(&left, a->refresh_wait[bank], &n->lost_refresh);
        hbm_charge_wait(&left, a->bus_wait[bank], &n->lost_command_bus);
        n->lost_activate_precharge += left;
    }
    if (at == t) {
        return; /* most often the row was the last to wait for */
    }
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

/* A burst of a column command at t. */
HBM_INLINE void hbm_account_burst(hbm_account_t *a, const hbm_device_t *d, bool is_write, hbm_tick_t t)
{
    a->data_free = t + d->BL;
    *(is_write ? &a->last_wr : &a->last_rd) = t;
}

/* Called with every column command, before the timing tables learn of it. */
HBM_INLINE void hbm_account_column(hbm_pc_t *pc, const hbm_device_t *d, int bank, bool is_write, hbm_tick_t t)
{
    if (t > pc->account.data_free) {
        hbm_account_gap(pc, d, bank, is_write, t);
    }
    hbm_account_burst(&pc->account, d, is_write, t);
}

/* An ACT at t for a request that could be served since `since`.  bank_ready: the bank's own bound; common: that of the
 * activate windows (tRRD, tFAW, tRREFD), which all banks share. */
HBM_INLINE void hbm_account_act(hbm_pc_t *pc, int bank, hbm_tick_t bank_ready, hbm_tick_t common, hbm_tick_t since,
                                hbm_tick_t t)
{
    hbm_account_t *a = &pc->account;
    const hbm_tick_t from = hbm_max(since, a->awake); /* what the channel slept through is charged to that */
    const hbm_tick_t ready = hbm_max(bank_ready, from), windows_open = hbm_min(hbm_max(common, ready), t);

    const hbm_tick_t refresh_begin = a->refresh_end[bank] - a->RFC;

    a->window_wait[bank] = windows_open - ready;
    a->bus_wait[bank] = t - windows_open;
    /* A refresh before the bank's last ACT held up the request of that ACT, not this one. */
    a->refresh_wait[bank] =
        refresh_begin >= a->act[bank] ? hbm_max(a->refresh_end[bank] - hbm_max(from, refresh_begin), 0) : 0;
    a->act[bank] = t;
}

#endif

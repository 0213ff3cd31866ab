/* When is a command legal?  One pseudo-channel's earliest ticks, kept forward: issuing a command pushes the earliest
 * ticks of everything it constrains, so that asking is a few maxima.  The rules are those of docs/model/controller.md.
 * Must not know queues, policies or the time of day: the caller owns the clock. */
#ifndef HBM_TIMING_H
#define HBM_TIMING_H

#include <string.h>

#include "device.h"

typedef struct {
    /* per bank */
    hbm_tick_t act_ok[HBM_MAX_BANKS];
    hbm_tick_t pre_ok[HBM_MAX_BANKS];
    hbm_tick_t ref_ok[HBM_MAX_BANKS];
    hbm_tick_t rd_ok[HBM_MAX_BANKS]; /* tRCD only */
    hbm_tick_t wr_ok[HBM_MAX_BANKS];
    /* per bank group: tRRDL of ACT and of REFpb and RFMpb, tCCDL, tWTRL */
    hbm_tick_t act_group[HBM_MAX_BANKS];
    hbm_tick_t ref_group[HBM_MAX_BANKS];
    hbm_tick_t rd_group[HBM_MAX_BANKS];
    hbm_tick_t wr_group[HBM_MAX_BANKS];
    /* RD of the SID read last (tCCDS, tWTRS) and of the others (tCCDR, tWTRS).  Only the last RD matters: one before it in
     * another SID has already held it back by tCCDR. */
    hbm_tick_t rd_same_sid;
    hbm_tick_t rd_other_sid;
    /* whole pseudo-channel */
    hbm_tick_t act_groups; /* no group but the one held last holds an ACT back from here on */
    hbm_tick_t wr_any;
    hbm_tick_t act_any;
    hbm_tick_t pre_any;
    hbm_tick_t refpb_any;
    hbm_tick_t refab_ok;
    hbm_tick_t window[4]; /* reference edges of the last four ACT or REFpb */
    int32_t window_at;    /* the oldest of them */
    int32_t rd_sid;       /* the SID read last */
    int32_t held_group;   /* the group held last: of the last ACT, REFpb or RFMpb */
} hbm_timing_t;

HBM_INLINE void hbm_timing_init(hbm_timing_t *self)
{
    hbm_tick_t *t = (hbm_tick_t *)(void *)self;
    for (size_t i = 0; i < offsetof(hbm_timing_t, window_at) / sizeof(hbm_tick_t); i++) {
        t[i] = HBM_LONG_AGO;
    }
    self->window_at = 0;
    self->rd_sid = 0;
    self->held_group = 0;
}

/* Always stores, because whether it must is hard to predict. */
HBM_INLINE void hbm_push(hbm_tick_t *at, hbm_tick_t t) { *at = hbm_max(*at, t); }

/* ---- asking: rules only; edges and buses are the caller's (hbm_rising, bus free ticks) ---- */

/* What holds for ACT of every bank alike. */
HBM_INLINE hbm_tick_t hbm_act_common(const hbm_timing_t *s, const hbm_device_t *d)
{
    return hbm_max(s->act_any, s->window[s->window_at] + d->FAW - d->act_reference);
}
HBM_INLINE hbm_tick_t hbm_earliest_act(const hbm_timing_t *s, const hbm_device_t *d, int b)
{
    return hbm_max(hbm_max(s->act_ok[b], s->act_group[d->group_of[b]]), hbm_act_common(s, d));
}
HBM_INLINE hbm_tick_t hbm_earliest_pre(const hbm_timing_t *s, int b) { return hbm_max(s->pre_ok[b], s->pre_any); }
HBM_INLINE hbm_tick_t hbm_earliest_preab(const hbm_timing_t *s, const hbm_device_t *d)
{
    hbm_tick_t t = s->pre_any;
    for (int b = 0; b < d->banks; b++) {
        t = hbm_max(t, s->pre_ok[b]);
    }
    return t;
}
HBM_INLINE hbm_tick_t hbm_earliest_rd(const hbm_timing_t *s, const hbm_device_t *d, int b)
{
    const hbm_tick_t column = d->sid_of[b] == s->rd_sid ? s->rd_same_sid : s->rd_other_sid;
    return hbm_max(hbm_max(s->rd_ok[b], s->rd_group[d->group_of[b]]), column);
}
HBM_INLINE hbm_tick_t hbm_earliest_wr(const hbm_timing_t *s, const hbm_device_t *d, int b)
{
    return hbm_max(hbm_max(s->wr_ok[b], s->wr_group[d->group_of[b]]), s->wr_any);
}
HBM_INLINE hbm_tick_t hbm_earliest_rfmpb(const hbm_timing_t *s, const hbm_device_t *d, int b)
{
    return hbm_max(hbm_max(s->ref_ok[b], s->ref_group[d->group_of[b]]), s->refpb_any);
}
HBM_INLINE hbm_tick_t hbm_earliest_refpb(const hbm_timing_t *s, const hbm_device_t *d, int b)
{
    return hbm_max(hbm_earliest_rfmpb(s, d, b), s->window[s->window_at] + d->FAW);
}

/* ---- issuing ---- */

HBM_INLINE void hbm_window_push(hbm_timing_t *s, hbm_tick_t reference)
{
    s->window[s->window_at] = reference;
    s->window_at = (s->window_at + 1) & 3;
}

/* No ACT in group g before t. */
HBM_INLINE void hbm_hold_group(hbm_timing_t *s, int32_t g, hbm_tick_t t)
{
    s->act_groups = hbm_max(s->act_groups, g == s->held_group ? HBM_LONG_AGO : s->act_group[s->held_group]);
    s->held_group = g;
    hbm_push(&s->act_group[g], t);
}

HBM_INLINE void hbm_issue_act(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    const hbm_tick_t r = t + d->act_reference, RRDS = d->RRDS, RRDL = d->RRDL, RC = d->RC;
    const int32_t g = d->group_of[b];

    hbm_hold_group(s, g, t + RRDL);
    hbm_push(&s->ref_group[g], r + RRDL);
    s->act_ok[b] = t + RC; /* t itself obeyed every older bound */
    hbm_push(&s->ref_ok[b], r + RC);
    s->rd_ok[b] = r + d->RCDRD;
    s->wr_ok[b] = r + d->RCDWR;
    hbm_push(&s->pre_ok[b], r + d->RAS);
    s->act_any = t + RRDS;
    hbm_push(&s->refpb_any, r + RRDS);
    hbm_push(&s->refab_ok, r + RC);
    hbm_window_push(s, r);
}

/* The bank's array starts to precharge at tick p (a PRE, or the internal one of RDA and WRA). */
HBM_INLINE void hbm_precharge_at(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t p)
{
    const hbm_tick_t ready = p + d->RP;

    hbm_push(&s->act_ok[b], ready - d->act_reference);
    hbm_push(&s->ref_ok[b], ready);
    hbm_push(&s->refab_ok, ready);
}

/* RD and WR in two parts: what they hold back in their bank and group, and in the whole pseudo-channel.  Of the latter only the
 * last command matters. */
HBM_INLINE void hbm_rd_in_bank(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    hbm_push(&s->pre_ok[b], t + d->column_reference + d->RTP);
    s->rd_group[d->group_of[b]] = t + d->CCDL; /* t itself obeyed every older bound */
}

HBM_INLINE void hbm_rd_in_all(hbm_timing_t *s, const hbm_device_t *d, int32_t sid, hbm_tick_t t)
{
    s->rd_same_sid = t + d->CCDS;
    s->rd_other_sid = t + d->CCDR;
    s->rd_sid = sid;
    s->wr_any = hbm_max(s->wr_any, t + d->RTW);
}

HBM_INLINE void hbm_issue_rd(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    hbm_rd_in_bank(s, d, b, t);
    hbm_rd_in_all(s, d, d->sid_of[b], t);
}

HBM_INLINE void hbm_wr_in_bank(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    const hbm_tick_t data_end = t + d->WL + d->BL;

    hbm_push(&s->pre_ok[b], data_end + d->column_reference + d->WR);
    s->wr_group[d->group_of[b]] = t + d->CCDL;
    s->rd_group[d->group_of[b]] = hbm_max(s->rd_group[d->group_of[b]], data_end + d->WTRL);
}

HBM_INLINE void hbm_wr_in_all(hbm_timing_t *s, const hbm_device_t *d, hbm_tick_t t)
{
    const hbm_tick_t data_end = t + d->WL + d->BL;

    s->rd_same_sid = hbm_max(s->rd_same_sid, data_end + d->WTRS);
    s->rd_other_sid = hbm_max(s->rd_other_sid, data_end + d->WTRS);
    s->wr_any = t + d->CCDS;
}

HBM_INLINE void hbm_issue_wr(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    hbm_wr_in_bank(s, d, b, t);
    hbm_wr_in_all(s, d, t);
}

HBM_INLINE void hbm_issue_pre(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t)
{
    hbm_precharge_at(s, d, b, t);
    hbm_push(&s->pre_any, t + d->PPD);
}

/* rfc: RFCpb or RFMpb.  Only REFpb enters the four-activate window. */
HBM_INLINE void hbm_issue_refpb(hbm_timing_t *s, const hbm_device_t *d, int b, hbm_tick_t t, hbm_tick_t rfc, bool counts)
{
    hbm_hold_group(s, d->group_of[b], t + d->RRDL - d->act_reference);
    hbm_push(&s->act_ok[b], t + rfc - d->act_reference);
    hbm_push(&s->ref_ok[b], t + rfc);
    hbm_push(&s->act_any, t + d->RREFD - d->act_reference);
    hbm_push(&s->refpb_any, t + d->RREFD);
    hbm_push(&s->refab_ok, t + rfc);
    if (counts) {
        hbm_window_push(s, t);
    }
}

/* rfc: RFCab or RFMab. */
HBM_INLINE void hbm_issue_refab(hbm_timing_t *s, const hbm_device_t *d, hbm_tick_t t, hbm_tick_t rfc)
{
    hbm_push(&s->act_any, t + rfc - d->act_reference);
    hbm_push(&s->pre_any, t + rfc);
    hbm_push(&s->refpb_any, t + rfc);
    hbm_push(&s->refab_ok, t + rfc);
}

/* ---- by command, for co-simulation, probing and policy sets off the fast path ---- */

hbm_tick_t hbm_timing_earliest(const hbm_timing_t *self, const hbm_device_t *device, int command, int bank);
void hbm_timing_issue(hbm_timing_t *self, const hbm_device_t *device, int command, int bank, hbm_tick_t t);

/* True for the commands of the row bus; the others use the column bus. */
HBM_INLINE bool hbm_is_row_command(int command) { return command < HBM_CMD_RD || command > HBM_CMD_WRA; }

#endif

/* What the steps of a tick share: lowering a pseudo-channel's bounds, closing a bank, logging.  Part of channel.c. */
#ifndef HBM_STEP_COMMON_H
#define HBM_STEP_COMMON_H

#include "channel.h"

/* Lower bounds of the next column and of the next row command. */
HBM_INLINE hbm_tick_t column_due(const hbm_channel_t *self)
{
    return hbm_max(hbm_min(self->pc[0].column_at, self->pc[1].column_at), self->column_free);
}
HBM_INLINE hbm_tick_t row_near(const hbm_channel_t *self) { return hbm_min(self->pc[0].row_at, self->pc[1].row_at); }
HBM_INLINE hbm_tick_t row_due(const hbm_channel_t *self)
{
    return hbm_max(row_near(self), self->row_free);
}
HBM_INLINE hbm_tick_t look_due(const hbm_channel_t *self) { return hbm_min(self->pc[0].look_at, self->pc[1].look_at); }

/* Bank `bank` may have become a candidate for ACT, or for PREpb: lowers the bounds, no further than its own rules say. */
HBM_INLINE void want_activate(hbm_pc_t *pc, int bank, hbm_tick_t t)
{
    pc->act_at = hbm_min(pc->act_at, hbm_rising(hbm_max(pc->timing.act_ok[bank], t)));
    pc->row_at = hbm_min(pc->row_at, pc->act_at);
}
HBM_INLINE void want_precharge_if(bool wanted, hbm_pc_t *pc, int bank, hbm_tick_t t)
{
    const hbm_tick_t at = hbm_max(hbm_earliest_pre(&pc->timing, bank), t) | (-(hbm_tick_t)!wanted & HBM_NEVER);

    pc->pre_at = hbm_min(pc->pre_at, at);
    pc->row_at = hbm_min(pc->row_at, at);
}
HBM_INLINE void want_precharge(hbm_pc_t *pc, int bank, hbm_tick_t t) { want_precharge_if(true, pc, bank, t); }
/* Any bank may have become a candidate. */
HBM_INLINE void want_any_row(const hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    pc->act_at = hbm_min(pc->act_at, t);
    pc->pre_at = hbm_min(pc->pre_at, t);
    pc->page_at = self->policies->page->closes ? hbm_min(pc->page_at, t) : HBM_NEVER;
    pc->row_at = hbm_min(pc->row_at, t);
}

/* By a command at t, from which on the row is closed for the controller; the array is at `closed`. */
HBM_INLINE void close_bank(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t, hbm_tick_t closed)
{
    if (pc->open == hbm_bit(bank)) {
        hbm_power_spend(pc, self->epochs, t);
    }
    hbm_pc_closes(pc, bank, closed);
    pc->open &= ~hbm_bit(bank);
    pc->open_row[bank] = -1;
    if ((pc->queue[HBM_READ].hit_banks | pc->queue[HBM_WRITE].hit_banks) & hbm_bit(bank)) {
        hbm_queue_close_row(&pc->queue[HBM_READ], bank);
        hbm_queue_close_row(&pc->queue[HBM_WRITE], bank);
    }
}

static void log_command(hbm_channel_t *self, const hbm_pc_t *pc, int command, int bank, int32_t row, int32_t column,
                        hbm_tick_t t)
{
    const hbm_policy_t *c = &self->policies->config;
    const hbm_logged_t item = {t, row, (uint16_t)column, (uint8_t)pc->index, (uint8_t)bank, (uint8_t)command};
    int ret;

    if (t < c->log_from_tick || (c->log_to_tick != 0 && t >= c->log_to_tick)) {
        return;
    }
    ret = hbm_log_append(&self->log, &item);
    if (ret != 0) {
        self->error = ret;
    }
}

#endif

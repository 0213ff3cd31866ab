/* Runs that stop at a border, a tick at which all channels stand, and what may be looked at and changed there: counters up to
 * it, refresh rate and pace of each stack.  Must not know why anybody would. */
#include "system.h"

int hbm_system_set_border(hbm_system_t *self, int64_t tick)
{
    if (self->finished || tick < 2 || (tick & 1) != 0 || (self->border < HBM_NEVER && tick < self->border)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->border = tick;
    return 0;
}

static bool has_input(const hbm_channel_t *c)
{
    return hbm_pc_has_input(&c->pc[0]) || hbm_pc_has_input(&c->pc[1]);
}

static int run_before(void *context, int32_t worker, int32_t item)
{
    hbm_system_t *self = context;

    return hbm_channel_run_before(hbm_system_lend(self, worker, self->touched[item]), self->border);
}

int hbm_system_run_to_border(hbm_system_t *self, int32_t *busy, int32_t *ahead)
{
    int ret;

    *busy = *ahead = 0;
    if (self->finished) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    hbm_system_untouch(self);
    for (int32_t i = 0; i < self->n_channels; i++) {
        if (has_input(&self->channel[i])) {
            hbm_system_touch(self, i * (int32_t)self->device.pseudo_channels);
        }
    }
    ret = hbm_system_run_round(self, run_before, self, self->n_touched);
    hbm_system_untouch(self);
    for (int32_t i = 0; i < self->n_channels; i++) {
        *busy += has_input(&self->channel[i]);
        *ahead += self->channel[i].position >= self->border;
    }
    return ret;
}

static int stand_at(void *context, int32_t worker, int32_t item)
{
    hbm_system_t *self = context;
    hbm_channel_t *channel = hbm_system_lend(self, worker, item);

    return hbm_channel_stand_at(channel, self->border);
}

int hbm_system_stand_at_border(hbm_system_t *self)
{
    int ret;

    if (self->finished || self->border == HBM_NEVER) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < self->n_channels; i++) {
        const hbm_tick_t position = self->channel[i].position;
        if (position > self->border || (position < self->border && has_input(&self->channel[i]))) {
            return HBM_ERR_BAD_ARGUMENT;
        }
    }
    ret = hbm_system_run_round(self, stand_at, self, self->n_channels);
    for (int32_t i = 0; i < self->map.n_pc && ret == 0; i++) {
        hbm_power_spend(hbm_system_pc(self, i), &self->worker[0].epochs, self->border);
    }
    return ret;
}

int hbm_system_set_conditions(hbm_system_t *self, int32_t stack, int32_t refresh_scale, int64_t gap_256)
{
    const int32_t channels = (int32_t)self->device.channels;

    if (self->finished || stack < 0 || stack >= self->n_channels / channels || gap_256 < 0 || gap_256 > (1 << 24) ||
        (refresh_scale != 1 && refresh_scale != 2 && refresh_scale != 4)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    if (!hbm_policies_refresh_fits(&self->policies, &self->device, refresh_scale)) {
        return HBM_ERR_BAD_POLICY;
    }
    for (int32_t i = stack * channels; i < (stack + 1) * channels; i++) {
        hbm_channel_set_conditions(&self->channel[i], refresh_scale, gap_256);
    }
    return 0;
}

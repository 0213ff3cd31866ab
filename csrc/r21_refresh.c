/* When Ramulator 2.1's refresh managers put a REFab or REFpb into the maintenance list.  Must not know requests, nor
 * when a refresh is issued: these managers look at the clock only. */
#include "r21.h"

/* Its clock counts from 1 where ours counts from 0, and it compares that clock with whole intervals. */
#define CLOCK_OFFSET 1

void hbm_r21_refresh_init(hbm_r21_refresh_t *self, const hbm_device_t *device, int32_t kind)
{
    memset(self, 0, sizeof *self);
    self->device = device;
    self->kind = kind;
    self->due = HBM_NEVER;
    if (kind == HBM_R21_REFRESH_AB) {
        self->due = device->REFI - CLOCK_OFFSET;
    } else if (kind == HBM_R21_REFRESH_PB) {
        self->due = device->REFIpb - CLOCK_OFFSET;
    }
}

static int push(hbm_r21_refresh_t *self, int pc, int command, int bank)
{
    if (self->n == HBM_R21_MAINTENANCE) {
        return HBM_ERR_OVERFLOW;
    }
    self->list[(self->head + self->n) % HBM_R21_MAINTENANCE] = (hbm_r21_maintenance_t){pc, command, bank};
    self->n++;
    self->n_listed++;
    return 0;
}

void hbm_r21_refresh_pop(hbm_r21_refresh_t *self)
{
    self->head = (self->head + 1) % HBM_R21_MAINTENANCE;
    self->n--;
}

/* Earliest tick at which the next bank's SID may begin or go on with its set, in every pseudo-channel. */
static hbm_tick_t round_from(const hbm_r21_refresh_t *self)
{
    hbm_tick_t t = self->due;

    for (int pc = 0; pc < self->device->pseudo_channels; pc++) {
        t = hbm_max(t, self->set_free[pc][self->sid]);
    }
    return t;
}

/* Lists the next pseudo-channel's REFpb of the round; one per tick. */
static int list_one(hbm_r21_refresh_t *self, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    const int pc = (int)d->pseudo_channels - self->n_waiting;
    const int sid = d->sid_of[self->waiting_bank];

    if (self->n == HBM_R21_MAINTENANCE) {
        return 0; /* full: tried again at the next tick */
    }
    self->n_waiting--;
    if (++self->listed[pc][sid] == d->banks_per_sid) {
        self->listed[pc][sid] = 0;
        self->set_free[pc][sid] = t + d->RFCpb;
    }
    return push(self, pc, HBM_CMD_REFPB, self->waiting_bank);
}

static int tick_pb(hbm_r21_refresh_t *self, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;

    if (self->n_waiting > 0) {
        return list_one(self, t);
    }
    if (t < round_from(self)) {
        return 0;
    }
    self->n_waiting = (int32_t)d->pseudo_channels;
    self->waiting_bank = self->sid * d->banks_per_sid + self->bank;
    if (++self->bank == d->banks_per_sid) {
        self->bank = 0;
        self->sid = (self->sid + 1) % (int32_t)d->sids;
    }
    self->due = t + d->REFIpb; /* a round that had to wait delays all later ones */
    return list_one(self, t);
}

int hbm_r21_refresh_tick(hbm_r21_refresh_t *self, hbm_tick_t t)
{
    int ret = 0;

    if (self->kind == HBM_R21_REFRESH_PB) {
        return tick_pb(self, t);
    }
    if (self->kind == HBM_R21_REFRESH_AB && t == self->due) {
        self->due += self->device->REFI;
        for (int pc = 0; ret == 0 && pc < self->device->pseudo_channels; pc++) {
            ret = push(self, pc, HBM_CMD_REFAB, 0);
        }
    }
    return ret;
}

hbm_tick_t hbm_r21_refresh_next(const hbm_r21_refresh_t *self, hbm_tick_t t)
{
    if (self->kind == HBM_R21_REFRESH_PB) {
        return hbm_max(t + 1, self->n_waiting > 0 ? t + 1 : round_from(self));
    }
    return self->due;
}

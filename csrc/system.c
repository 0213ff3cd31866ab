/* Life of a system, its input as requests, and its end; see system.h.  Operations are in flight.c, reading out in
 * readout.c. */
#include "system.h"

#include <stdlib.h>
#include <string.h>

int hbm_system_create(const hbm_device_t *device, const hbm_map_t *map, const hbm_policy_t *policy, int32_t threads,
                      hbm_system_t **out)
{
    int ret = 0;
    hbm_system_t *self = calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->device = *device;
    self->map = *map;
    ret = hbm_policies_init(&self->policies, policy, device);
    if (ret != 0) {
        goto out;
    }
    self->n_channels = map->n_pc / (int32_t)device->pseudo_channels;
    self->delay = hbm_max(2, policy->host_ticks);
    self->reported = -self->delay;
    self->border = HBM_NEVER;
    self->n_workers = threads < 1 ? 1 : threads > self->n_channels ? self->n_channels : threads;
    self->channel = calloc((size_t)self->n_channels, sizeof *self->channel);
    self->worker = calloc((size_t)self->n_workers, sizeof *self->worker);
    self->touched = calloc((size_t)self->n_channels, sizeof *self->touched);
    self->is_touched = calloc((size_t)self->n_channels, sizeof *self->is_touched);
    if (self->channel == NULL || self->worker == NULL || self->touched == NULL || self->is_touched == NULL) {
        ret = HBM_ERR_NO_MEMORY;
        goto out;
    }
    for (int32_t i = 0; i < self->n_channels; i++) {
        ret = hbm_channel_init(&self->channel[i], &self->device, &self->policies, &self->map);
        if (ret != 0) {
            goto out;
        }
    }
    for (int32_t i = 0; i < self->n_workers; i++) {
        self->worker[i].histogram = calloc(HBM_HISTOGRAM_BUCKETS, sizeof *self->worker[i].histogram);
        if (self->worker[i].histogram == NULL) {
            ret = HBM_ERR_NO_MEMORY;
            goto out;
        }
        hbm_epochs_init(&self->worker[i].epochs, policy->epoch_ticks);
    }
    ret = hbm_pool_create(self->n_workers, &self->pool);
out:
    if (ret != 0) {
        hbm_system_free(self);
    } else {
        *out = self;
    }
    return ret;
}

void hbm_system_free(hbm_system_t *self)
{
    if (self == NULL) {
        return;
    }
    hbm_pool_free(self->pool);
    hbm_l2_free(self->l2);
    free(self->writeback);
    for (int32_t i = 0; self->channel != NULL && i < self->n_channels; i++) {
        hbm_channel_free(&self->channel[i]);
    }
    for (int32_t i = 0; self->worker != NULL && i < self->n_workers; i++) {
        free(self->worker[i].histogram);
        free(self->worker[i].tally);
    }
    free(self->channel);
    free(self->worker);
    free(self->touched);
    free(self->is_touched);
    free(self);
}

int hbm_system_set_l2(hbm_system_t *self, int64_t size_bytes, int64_t line_bytes, int32_t ways)
{
    const int64_t burst = self->device.burst_bytes;

    if (self->l2 != NULL || line_bytes < burst || line_bytes > 32 * burst || line_bytes % burst != 0 || size_bytes < 1) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    return hbm_l2_create(size_bytes / burst, (int32_t)(line_bytes / burst), ways, &self->l2);
}

static int add_class_histograms(hbm_worker_t *worker, int32_t n)
{
    const size_t size = HBM_HISTOGRAM_BUCKETS * sizeof *worker->histogram;
    uint64_t *histogram = realloc(worker->histogram, (size_t)(n + 1) * size);

    if (histogram == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    worker->histogram = histogram;
    memset(hbm_histogram_of_class(histogram, 0), 0, (size_t)n * size);
    return 0;
}

int hbm_system_set_classes(hbm_system_t *self, int32_t n, const hbm_quota_t *quotas, int64_t slack_ticks)
{
    int ret = 0;

    if (self->finished || self->n_operations > 0 || self->channel[0].pc[0].classes != NULL || n < 1 ||
        n > HBM_MAX_CLASSES || slack_ticks < 2 || slack_ticks > (1 << 30)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < n && quotas != NULL; i++) {
        if (!hbm_quota_fits(&quotas[i])) {
            return HBM_ERR_BAD_POLICY;
        }
    }
    for (int32_t i = 0; i < self->n_workers && ret == 0; i++) {
        ret = add_class_histograms(&self->worker[i], n);
    }
    for (int32_t i = 0; i < self->n_channels && ret == 0; i++) {
        ret = hbm_channel_set_classes(&self->channel[i], n, quotas, slack_ticks);
    }
    self->finished |= ret != 0; /* some channels with classes and some without are no system */
    return ret;
}

int hbm_system_set_class(hbm_system_t *self, int32_t traffic_class)
{
    const hbm_classes_t *classes = self->channel[0].pc[0].classes;

    if (traffic_class < 0 || traffic_class >= (classes != NULL ? classes->n : 1)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->traffic_class = traffic_class;
    return 0;
}

void hbm_system_set_poll(hbm_system_t *self, hbm_poll_fn poll, void *context)
{
    hbm_pool_set_poll(self->pool, poll, context);
}

/* ---- running channels ---- */

hbm_channel_t *hbm_system_lend(hbm_system_t *self, int32_t worker, int32_t channel)
{
    hbm_channel_t *c = &self->channel[channel];

    c->histogram = self->worker[worker].histogram;
    c->epochs = &self->worker[worker].epochs;
    c->tally = self->n_operations > 0 ? self->worker[worker].tally : NULL;
    return c;
}

static int run_one(void *context, int32_t worker, int32_t item)
{
    hbm_system_t *self = context;
    return hbm_channel_run(hbm_system_lend(self, worker, self->touched[item]), self->until);
}

static int run_part(void *context, int32_t worker, int32_t item)
{
    hbm_system_t *self = context;
    return hbm_channel_run_part(hbm_system_lend(self, worker, self->touched[item]));
}

void hbm_system_touch(hbm_system_t *self, int32_t pc)
{
    const int32_t channel = pc >> ((int32_t)self->device.pseudo_channels - 1); /* of one or two */
    if (!self->is_touched[channel]) {
        self->is_touched[channel] = 1;
        self->touched[self->n_touched++] = channel;
    }
}

void hbm_system_untouch(hbm_system_t *self)
{
    for (int32_t i = 0; i < self->n_touched; i++) {
        self->is_touched[self->touched[i]] = 0;
    }
    self->n_touched = 0;
}

/* An interrupted round leaves channels at different places, so nothing may follow it. */
int hbm_system_run_round(hbm_system_t *self, hbm_work_fn work, void *context, int32_t n)
{
    const int ret = hbm_pool_run(self->pool, work, context, n);
    self->finished |= ret == HBM_ERR_INTERRUPTED;
    return ret;
}

static int run_touched(hbm_system_t *self, hbm_work_fn work)
{
    const int ret = hbm_system_run_round(self, work, self, self->n_touched);
    hbm_system_untouch(self);
    return ret;
}

int hbm_system_run(hbm_system_t *self, hbm_until_t until)
{
    self->until = until;
    return run_touched(self, run_one);
}

int hbm_system_run_parts(hbm_system_t *self) { return run_touched(self, run_part); }

/* ---- explicit requests ---- */

int hbm_system_offer(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write, const int64_t *tick,
                        int64_t n, bool wrap, int64_t *bad)
{
    const hbm_map_t *map = &self->map;
    const uint64_t capacity = hbm_map_capacity_bytes(map), n_bursts = map->n_bursts;

    *bad = -1;
    if (self->finished || n < 0 || n > INT32_MAX) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    for (int64_t i = 0; i < n; i++) {
        if (address[i] >= capacity && !wrap) {
            *bad = i;
            return HBM_ERR_ADDRESS;
        }
        if (tick != NULL && tick[i] >= HBM_NEVER / 2) {
            *bad = i;
            return HBM_ERR_BAD_ARGUMENT;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const uint64_t burst = hbm_map_burst(map, address[i]);
        const hbm_spot_t spot = hbm_map_spot(map, HBM_LIKELY(burst < n_bursts) ? burst : burst % n_bursts);
        const int32_t pc = hbm_spot_pc(spot);
        hbm_system_touch(self, pc);
        if (hbm_feed_request(&hbm_system_pc(self, pc)->feed, spot | (is_write[i] != 0 ? HBM_SPOT_WRITE : 0),
                             tick != NULL ? tick[i] : HBM_LONG_AGO) != 0) {
            return HBM_ERR_NO_MEMORY;
        }
    }
    for (int32_t i = 0; i < self->n_touched; i++) {
        hbm_channel_t *channel = &self->channel[self->touched[i]];
        for (int32_t p = 0; p < channel->n_pc; p++) {
            channel->pc[p].feed.requests_from = hbm_system_next_start(self);
            if (hbm_feed_start_requests(&channel->pc[p].feed)) {
                hbm_channel_wake(channel, p, &channel->pc[p].feed);
            }
        }
    }
    return 0;
}

int hbm_system_requests(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write, const int64_t *tick,
                        int64_t n, bool wrap, int64_t *bad)
{
    const int ret = hbm_system_offer(self, address, is_write, tick, n, wrap, bad);

    return ret != 0 ? ret : hbm_system_run(self, HBM_UNTIL_ACCEPTED);
}

/* ---- the end ---- */

typedef struct {
    hbm_system_t *system;
    hbm_tick_t end;
} finish_t;

static int advance_one(void *context, int32_t worker, int32_t item)
{
    finish_t *finish = context;
    hbm_channel_t *channel = hbm_system_lend(finish->system, worker, item);
    int ret;

    ret = hbm_channel_advance(channel, finish->end);
    for (int p = 0; p < channel->n_pc; p++) {
        hbm_pc_settle(&channel->pc[p], channel->device, channel->epochs, finish->end);
    }
    return ret;
}

int hbm_system_finish(hbm_system_t *self, int64_t *end_tick)
{
    finish_t finish = {self, self->stood};
    int ret;

    *end_tick = 0;
    if (self->finished) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->finished = true;
    for (int32_t i = 0; i < self->n_channels; i++) {
        hbm_system_touch(self, i * (int32_t)self->device.pseudo_channels); /* some may be touched already */
    }
    ret = hbm_system_run(self, HBM_UNTIL_EMPTY);
    if (ret != 0) {
        return ret;
    }
    for (int32_t i = 0; i < self->n_channels; i++) {
        finish.end = hbm_max(finish.end, hbm_channel_done(&self->channel[i]));
    }
    *end_tick = finish.end;
    return hbm_system_run_round(self, advance_one, &finish, self->n_channels);
}

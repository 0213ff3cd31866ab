/* Life of a system, its input as requests or as byte ranges, and its end; see system.h.  Reading out is in readout.c. */
#include "system.h"

#include <stdlib.h>
#include <string.h>

/* Intervals held for one wave at most (16 bytes each); beyond, what is there runs first, which bounds memory. */
#define MAX_HELD_INTERVALS (INT64_C(1) << 21)

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

void hbm_system_set_poll(hbm_system_t *self, hbm_poll_fn poll, void *context)
{
    hbm_pool_set_poll(self->pool, poll, context);
}

/* ---- running channels ---- */

static int run_one(void *context, int32_t worker, int32_t item)
{
    hbm_system_t *self = context;
    hbm_channel_t *channel = &self->channel[self->touched[item]];

    channel->histogram = self->worker[worker].histogram;
    channel->epochs = &self->worker[worker].epochs;
    channel->tally = self->n_operations > 0 ? self->worker[worker].tally : NULL;
    return hbm_channel_run(channel, self->until);
}

static void touch(hbm_system_t *self, int32_t pc)
{
    const int32_t channel = pc / (int32_t)self->device.pseudo_channels;
    if (!self->is_touched[channel]) {
        self->is_touched[channel] = 1;
        self->touched[self->n_touched++] = channel;
    }
}

static hbm_pc_t *pc_of(hbm_system_t *self, int32_t pc)
{
    const int32_t n = (int32_t)self->device.pseudo_channels;
    return &self->channel[pc / n].pc[pc % n];
}

/* An interrupted round leaves channels at different places, so nothing may follow it. */
static int run_round(hbm_system_t *self, hbm_work_fn work, void *context, int32_t n)
{
    const int ret = hbm_pool_run(self->pool, work, context, n);
    self->finished |= ret == HBM_ERR_INTERRUPTED;
    return ret;
}

static int run_touched(hbm_system_t *self, hbm_until_t until)
{
    int ret;

    self->until = until;
    ret = run_round(self, run_one, self, self->n_touched);
    for (int32_t i = 0; i < self->n_touched; i++) {
        self->is_touched[self->touched[i]] = 0;
    }
    self->n_touched = 0;
    return ret;
}

/* ---- explicit requests ---- */

int hbm_system_requests(hbm_system_t *self, const uint64_t *address, const uint8_t *is_write, const int64_t *tick,
                        int64_t n, bool wrap, int64_t *bad)
{
    const uint64_t burst_bytes = (uint64_t)self->device.burst_bytes;

    *bad = -1;
    if (self->finished || n < 0 || n > INT32_MAX) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    for (int64_t i = 0; i < n; i++) {
        if (address[i] / burst_bytes >= self->map.n_bursts && !wrap) {
            *bad = i;
            return HBM_ERR_ADDRESS;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const uint64_t burst = address[i] / burst_bytes;
        const hbm_spot_t spot =
            hbm_map_spot(&self->map, burst < self->map.n_bursts ? burst : burst % self->map.n_bursts);
        const hbm_request_t request = {tick != NULL ? tick[i] : HBM_LONG_AGO, spot.bank, spot.row, spot.column,
                                       is_write[i] != 0};
        touch(self, spot.pc);
        if (hbm_feed_request(&pc_of(self, spot.pc)->feed, &request) != 0) {
            return HBM_ERR_NO_MEMORY;
        }
    }
    for (int32_t i = 0; i < self->n_touched; i++) {
        hbm_channel_t *channel = &self->channel[self->touched[i]];
        for (int32_t p = 0; p < channel->n_pc; p++) {
            hbm_feed_start_requests(&channel->pc[p].feed);
            hbm_channel_wake(channel, p);
        }
    }
    return run_touched(self, HBM_UNTIL_ACCEPTED);
}

/* ---- byte ranges ---- */

typedef struct {
    hbm_system_t *system;
    const hbm_access_t *access;
    int32_t index; /* of the operand stream: the access and, with an l2, its write-backs */
    bool is_write;
    int64_t start;
    int32_t tile;
    bool wrap;
    int64_t last; /* the last burst of the run before, so that runs meeting inside a burst move it once */
    int64_t held;
    bool flushed; /* a part of the wave runs already */
} expansion_t;

static int add_local(expansion_t *x, int32_t pc, int64_t first, int64_t end)
{
    hbm_operation_result_t *o = &x->system->worker[0].tally[x->access->operation + 1];

    *(x->is_write ? &o->bursts_written : &o->bursts_read) += end - first;
    touch(x->system, pc);
    x->held++;
    return hbm_feed_add(&pc_of(x->system, pc)->feed, x->index, x->access->operation, x->is_write, first, end);
}

/* Bursts [first, end) piece by piece: what lies in one granule is contiguous in its pseudo-channel. */
static int add_pieces(expansion_t *x, int64_t first, int64_t end)
{
    const hbm_map_t *map = &x->system->map;
    const int64_t granule = map->granule_bursts;
    int ret = 0;

    while (first < end && ret == 0) {
        const int64_t stop = hbm_min(end, (first / granule + 1) * granule);
        const hbm_place_t place = hbm_map_place(map, (uint64_t)first);
        ret = add_local(x, place.pc, place.local, place.local + (stop - first));
        first = stop;
    }
    return ret;
}

static int add_bursts(expansion_t *x, int64_t first, int64_t end)
{
    const hbm_map_t *map = &x->system->map;
    const int64_t block = map->superblock_bursts;
    const int64_t low = (first + block - 1) / block, high = end / block;
    int ret = 0;

    if (!map->interleaved || high <= low) {
        return add_pieces(x, first, end);
    }
    ret = add_pieces(x, first, low * block);
    for (int32_t pc = 0; pc < map->n_pc && ret == 0; pc++) {
        ret = add_local(x, pc, low * map->granule_bursts, high * map->granule_bursts);
    }
    return ret != 0 ? ret : add_pieces(x, high * block, end);
}

static void start_feeds(hbm_system_t *self, int64_t start, int32_t tile)
{
    for (int32_t i = 0; i < self->n_touched; i++) {
        hbm_channel_t *channel = &self->channel[self->touched[i]];
        for (int32_t p = 0; p < channel->n_pc; p++) {
            if (channel->pc[p].feed.n_streams > 0) {
                hbm_feed_start(&channel->pc[p].feed, start, tile);
                hbm_channel_wake(channel, p);
            }
        }
    }
}

/* What gets through the filter: misses go on at once, write-backs wait for the end of the access, so that each stays one
 * stream. */
static int from_l2(void *context, int64_t first, int64_t end, bool is_write)
{
    expansion_t *x = context;
    hbm_system_t *self = x->system;

    if (!is_write) {
        return add_bursts(x, first, end);
    }
    if (self->n_writebacks == self->writeback_capacity) {
        const int64_t capacity = self->writeback_capacity == 0 ? 1024 : self->writeback_capacity * 2;
        hbm_interval_t *bigger = realloc(self->writeback, (size_t)capacity * sizeof *bigger);
        if (bigger == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
        self->writeback = bigger;
        self->writeback_capacity = capacity;
    }
    self->writeback[self->n_writebacks++] = (hbm_interval_t){first, end};
    return 0;
}

static int add_writebacks(expansion_t *x)
{
    hbm_system_t *self = x->system;
    int ret = 0;

    x->index++;
    x->is_write = true;
    for (int64_t i = 0; i < self->n_writebacks && ret == 0; i++) {
        ret = add_bursts(x, self->writeback[i].first, self->writeback[i].end);
    }
    self->n_writebacks = 0;
    return ret;
}

static int flush_held(expansion_t *x);

static int add_run(expansion_t *x, int64_t byte)
{
    hbm_system_t *self = x->system;
    const int64_t size = self->device.burst_bytes, n = (int64_t)self->map.n_bursts;
    int64_t first = byte / size, end;
    int ret = 0;

    end = (byte + x->access->run_bytes - 1) / size + 1;
    if (end > n && !x->wrap) {
        return HBM_ERR_ADDRESS;
    }
    if (first == x->last) {
        first++;
    }
    x->last = end - 1;
    while (first < end && ret == 0) { /* once, unless the run wraps */
        const int64_t from = first % n, length = hbm_min(end - first, n - from);
        ret = self->l2 != NULL ? hbm_l2_access(self->l2, from, from + length, x->access->is_write, from_l2, x)
                               : add_bursts(x, from, from + length);
        first += length;
    }
    return ret == 0 && x->held + self->n_writebacks > MAX_HELD_INTERVALS ? flush_held(x) : ret;
}

static int flush_held(expansion_t *x)
{
    const bool is_write = x->is_write;
    int ret = x->system->n_writebacks > 0 ? add_writebacks(x) : 0;

    x->is_write = is_write;
    x->index += 2; /* what follows is a new stream */
    x->held = 0;
    x->flushed = true;
    start_feeds(x->system, x->start, x->tile);
    return ret != 0 ? ret : run_touched(x->system, HBM_UNTIL_ACCEPTED);
}

/* Sums of what passes here stay far from overflow: 16 terms of at most this. */
#define FAR (INT64_MAX / 32)

static int check_access(const hbm_access_t *a)
{
    if (a->run_bytes <= 0 || a->n_dims < 0 || a->n_dims > 8 || a->n_offsets < 0 || a->operation < 0) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    if (a->base < 0 || a->base > FAR || a->run_bytes > FAR) {
        return HBM_ERR_ADDRESS;
    }
    for (int d = 0; d < a->n_dims; d++) {
        if (a->count[d] <= 0 || a->stride[d] < 0) {
            return HBM_ERR_BAD_ARGUMENT;
        }
        if (a->stride[d] > FAR / a->count[d]) {
            return HBM_ERR_ADDRESS;
        }
    }
    return 0;
}

static int add_access(expansion_t *x)
{
    const hbm_access_t *a = x->access;
    int64_t at[8] = {0}, byte = a->base;
    int ret = check_access(a), d;

    if (ret != 0) {
        return ret;
    }
    x->last = -1;
    for (int64_t i = 0; i < a->n_offsets && ret == 0; i++) {
        const int64_t offset = a->offsets[i];
        ret = offset < -a->base || offset > FAR ? HBM_ERR_ADDRESS : add_run(x, a->base + offset);
    }
    if (a->n_offsets > 0) {
        return ret;
    }
    do {
        ret = add_run(x, byte);
        for (d = a->n_dims - 1; d >= 0; d--) {
            byte += a->stride[d];
            if (++at[d] < a->count[d]) {
                break;
            }
            byte -= a->stride[d] * a->count[d];
            at[d] = 0;
        }
    } while (ret == 0 && d >= 0);
    return ret;
}

/* Room for operations up to the highest number in the wave, in every worker's tally. */
static int grow_tallies(hbm_system_t *self, const hbm_access_t *accesses, int32_t n)
{
    int32_t most = self->n_operations;

    for (int32_t i = 0; i < n; i++) {
        if (accesses[i].operation < 0 || accesses[i].operation > (1 << 26)) {
            return HBM_ERR_BAD_ARGUMENT;
        }
        most = accesses[i].operation + 1 > most ? accesses[i].operation + 1 : most;
    }
    if (most > self->operation_capacity) {
        const int32_t capacity = most > self->operation_capacity * 2 ? most : self->operation_capacity * 2;
        for (int32_t w = 0; w < self->n_workers; w++) {
            hbm_operation_result_t *bigger = realloc(self->worker[w].tally, ((size_t)capacity + 1) * sizeof *bigger);
            const int32_t filled = self->operation_capacity > 0 ? self->operation_capacity + 1 : 0;
            if (bigger == NULL) {
                return HBM_ERR_NO_MEMORY;
            }
            memset(bigger + filled, 0, (size_t)(capacity + 1 - filled) * sizeof *bigger);
            self->worker[w].tally = bigger;
        }
        self->operation_capacity = capacity;
    }
    self->n_operations = most;
    return 0;
}

int hbm_system_wave(hbm_system_t *self, const hbm_access_t *accesses, int32_t n, int64_t start, int32_t tile_bursts,
                    bool drain, bool wrap, int64_t *end_tick, int32_t *bad)
{
    expansion_t x = {self, NULL, 0, false, start, tile_bursts, wrap, -1, 0, false};
    int ret = 0;

    *bad = -1;
    *end_tick = start;
    if (self->finished || start < 0 || start > HBM_NEVER / 2 || tile_bursts < 0 || n < 0) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    ret = grow_tallies(self, accesses, n);
    for (int32_t i = 0; i < n && ret == 0; i++) {
        x.access = &accesses[i];
        x.is_write = accesses[i].is_write;
        ret = add_access(&x);
        if (ret == 0 && self->n_writebacks > 0) {
            ret = add_writebacks(&x);
        }
        x.index++;
        if (ret == HBM_ERR_ADDRESS || ret == HBM_ERR_BAD_ARGUMENT) {
            *bad = i;
        }
    }
    if (ret != 0) {
        self->finished = true; /* half a wave is no result */
        return ret;
    }
    start_feeds(self, start, tile_bursts);
    for (int32_t i = 0; drain && x.flushed && i < self->map.n_pc; i++) {
        touch(self, i); /* what the first parts of the wave left in other channels must come back too */
    }
    ret = run_touched(self, drain ? HBM_UNTIL_READ : HBM_UNTIL_ACCEPTED);
    for (int32_t w = 0; w < self->n_workers; w++) {
        for (int32_t i = 0; i < n; i++) {
            *end_tick = hbm_max(*end_tick, self->worker[w].tally[accesses[i].operation + 1].end_tick);
        }
    }
    return ret;
}

/* ---- the end ---- */

typedef struct {
    hbm_system_t *system;
    hbm_tick_t end;
} finish_t;

static int advance_one(void *context, int32_t worker, int32_t item)
{
    finish_t *finish = context;
    hbm_channel_t *channel = &finish->system->channel[item];
    int ret;

    channel->histogram = finish->system->worker[worker].histogram;
    channel->epochs = &finish->system->worker[worker].epochs;
    ret = hbm_channel_advance(channel, finish->end);
    for (int p = 0; p < channel->n_pc; p++) {
        hbm_pc_settle(&channel->pc[p], channel->device, finish->end);
    }
    return ret;
}

int hbm_system_finish(hbm_system_t *self, int64_t *end_tick)
{
    finish_t finish = {self, 0};
    int ret;

    *end_tick = 0;
    if (self->finished) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->finished = true;
    for (int32_t i = 0; i < self->n_channels; i++) {
        self->touched[self->n_touched++] = i;
    }
    ret = run_touched(self, HBM_UNTIL_EMPTY);
    if (ret != 0) {
        return ret;
    }
    for (int32_t i = 0; i < self->n_channels; i++) {
        finish.end = hbm_max(finish.end, hbm_channel_done(&self->channel[i]));
    }
    *end_tick = finish.end;
    return run_round(self, advance_one, &finish, self->n_channels);
}

/* See expand.h. */
#include "expand.h"

#include <stdlib.h>

static int add_local(hbm_expansion_t *x, int32_t pc, int64_t first, int64_t end)
{
    hbm_operation_result_t *o = &x->system->worker[0].tally[x->operation + 1];
    hbm_pc_t *p = hbm_system_pc(x->system, pc);
    hbm_feed_t *feed = hbm_pc_feed(p, hbm_pc_gated(p) ? x->system->traffic_class : 0);

    *(x->is_write ? &o->bursts_written : &o->bursts_read) += end - first;
    hbm_system_touch(x->system, pc);
    x->held++;
    feed->adding_class = (uint8_t)x->system->traffic_class;
    return hbm_feed_add(feed, x->index, x->operation, x->is_write, first, end);
}

/* Bursts [first, end) piece by piece: what lies in one granule is contiguous in its pseudo-channel. */
static int add_pieces(hbm_expansion_t *x, int64_t first, int64_t end)
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

static int add_bursts(hbm_expansion_t *x, int64_t first, int64_t end)
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

void hbm_expand_start(hbm_expansion_t *x)
{
    hbm_system_t *self = x->system;

    for (int32_t i = 0; i < self->n_touched; i++) {
        hbm_channel_t *channel = &self->channel[self->touched[i]];
        for (int32_t p = 0; p < channel->n_pc; p++) {
            for (int k = 0; k < hbm_pc_feeds(&channel->pc[p]); k++) {
                hbm_feed_t *feed = hbm_pc_feed(&channel->pc[p], k);
                if (feed->n_waiting > 0 && hbm_feed_start(feed, x->start, x->tile)) {
                    hbm_channel_wake(channel, p, feed);
                }
            }
        }
    }
}

/* What gets through the filter: misses go on at once, write-backs wait for the end of the access, so that each stays one
 * stream. */
static int from_l2(void *context, int64_t first, int64_t end, bool is_write)
{
    hbm_expansion_t *x = context;
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

static int add_writebacks(hbm_expansion_t *x)
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

static int flush_held(hbm_expansion_t *x);

static int add_run(hbm_expansion_t *x, int64_t byte)
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
    return ret == 0 && x->held + self->n_writebacks > HBM_MAX_HELD ? flush_held(x) : ret;
}

static int flush_held(hbm_expansion_t *x)
{
    const bool is_write = x->is_write;
    int ret = x->system->n_writebacks > 0 ? add_writebacks(x) : 0;

    x->is_write = is_write;
    x->index += 2; /* what follows is a new stream */
    x->held = 0;
    x->flushed = true;
    hbm_expand_start(x);
    return ret != 0 ? ret : hbm_system_run(x->system, HBM_UNTIL_ACCEPTED);
}

/* Sums of what passes here stay far from overflow: 16 terms of at most this. */
#define FAR (INT64_MAX / 32)

static int check_access(const hbm_access_t *a)
{
    if (a->run_bytes <= 0 || a->n_dims < 0 || a->n_dims > 8 || a->n_offsets < 0) {
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

static int add_access(hbm_expansion_t *x)
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

int hbm_expand(hbm_expansion_t *x, const hbm_access_t *access)
{
    int ret;

    x->access = access;
    x->is_write = access->is_write;
    ret = add_access(x);
    if (ret == 0 && x->system->n_writebacks > 0) {
        ret = add_writebacks(x);
    }
    x->index++;
    return ret;
}

int64_t hbm_expand_bound(const hbm_system_t *system, const hbm_access_t *access)
{
    const hbm_map_t *map = &system->map;
    const int64_t burst = system->device.burst_bytes;
    int64_t runs = access->n_offsets > 0 ? access->n_offsets : 1, bursts, pieces;

    if (check_access(access) != 0) {
        return 0; /* hbm_expand says why */
    }
    for (int d = 0; d < access->n_dims && runs <= HBM_MAX_HELD; d++) {
        runs *= hbm_min(access->count[d], HBM_MAX_HELD + 1);
    }
    bursts = access->run_bytes / burst + 2;
    pieces = bursts / map->granule_bursts + 2;
    if (map->interleaved) {
        pieces = hbm_min(pieces, map->n_pc + 2 * (map->superblock_bursts / map->granule_bursts));
    }
    if (system->l2 != NULL) {
        pieces += 2 * bursts; /* what misses may lie scattered, and so may what it displaces */
    }
    return hbm_min(runs, HBM_MAX_HELD + 1) * hbm_min(pieces, HBM_MAX_HELD + 1);
}

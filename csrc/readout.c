/* What a finished system counted, copied out; and the single channel with explicit coordinates. */
#include <stdlib.h>
#include <string.h>

#include "system.h"

int32_t hbm_system_n_pseudo_channels(const hbm_system_t *self) { return self->map.n_pc; }

void hbm_system_counters(const hbm_system_t *self, int64_t *out)
{
    const int32_t n = hbm_n_counters();

    for (int32_t i = 0; i < self->map.n_pc; i++) {
        const hbm_channel_t *channel = &self->channel[i / (int32_t)self->device.pseudo_channels];
        memcpy(out + (int64_t)i * n, &channel->pc[i % (int32_t)self->device.pseudo_channels].counters,
               sizeof(hbm_counters_t));
    }
}

void hbm_system_bank_counters(const hbm_system_t *self, int64_t *out)
{
    const int32_t n_pc = (int32_t)self->device.pseudo_channels;
    const size_t n = (size_t)self->device.banks * sizeof(hbm_bank_counters_t);

    for (int32_t i = 0; i < self->map.n_pc; i++) {
        const hbm_pc_t *pc = &self->channel[i / n_pc].pc[i % n_pc];
        hbm_bank_counters_t *to = (hbm_bank_counters_t *)((char *)out + (size_t)i * n);
        memcpy(to, pc->bank, n);
        for (int32_t b = 0; b < self->device.banks && !self->finished; b++) { /* cut at the border */
            to[b].active_ticks += pc->open & hbm_bit(b) ? self->border - pc->account.act[b]
                                                        : -hbm_max(pc->closed_at[b] - self->border, 0);
        }
    }
}

void hbm_system_class_counters(const hbm_system_t *self, int64_t *out)
{
    const int32_t n_pc = (int32_t)self->device.pseudo_channels;

    for (int32_t i = 0; i < self->map.n_pc; i++) {
        const hbm_classes_t *classes = self->channel[i / n_pc].pc[i % n_pc].classes;
        for (int32_t c = 0; classes != NULL && c < classes->n; c++) {
            memcpy(out, &classes->item[c].counters, sizeof classes->item[c].counters);
            out += hbm_n_class_counters();
        }
    }
}

/* Of what the workers hold, `n` counts from `first` on. */
static void add_histograms(const hbm_system_t *self, ptrdiff_t first, ptrdiff_t n, uint64_t *out)
{
    memset(out, 0, (size_t)n * sizeof *out);
    for (int32_t w = 0; w < self->n_workers; w++) {
        for (ptrdiff_t i = 0; i < n; i++) {
            out[i] += self->worker[w].histogram[first + i];
        }
    }
}

void hbm_system_histogram(const hbm_system_t *self, uint64_t *out)
{
    add_histograms(self, 0, HBM_HISTOGRAM_BUCKETS, out);
}

void hbm_system_class_histograms(const hbm_system_t *self, uint64_t *out)
{
    const hbm_classes_t *classes = self->channel[0].pc[0].classes;

    if (classes != NULL) {
        add_histograms(self, HBM_HISTOGRAM_BUCKETS, (ptrdiff_t)classes->n * HBM_HISTOGRAM_BUCKETS, out);
    }
}

void hbm_system_l2_counts(const hbm_system_t *self, int64_t *out)
{
    const hbm_l2_counts_t counts = self->l2 != NULL ? hbm_l2_counts(self->l2) : (hbm_l2_counts_t){0, 0, 0};

    out[0] = counts.hits;
    out[1] = counts.misses;
    out[2] = counts.writebacks;
}

int hbm_system_operations(const hbm_system_t *self, int32_t first, int32_t n, hbm_operation_result_t *out)
{
    if (first < 0 || n < 0 || n > self->n_operations - first) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    memset(out, 0, (size_t)n * sizeof *out);
    for (int32_t w = 0; w < self->n_workers; w++) {
        for (int32_t i = 0; i < n; i++) {
            const hbm_operation_result_t *t = &self->worker[w].tally[first + i + 1];
            out[i].end_tick = hbm_max(out[i].end_tick, t->end_tick);
            out[i].bursts_read += t->bursts_read;
            out[i].bursts_written += t->bursts_written;
            out[i].row_misses += t->row_misses;
            out[i].row_conflicts += t->row_conflicts;
        }
    }
    for (int32_t i = 0; i < n; i++) { /* every burst is one of the three; forwarded reads count as hits here */
        out[i].row_hits = out[i].bursts_read + out[i].bursts_written - out[i].row_misses - out[i].row_conflicts;
    }
    return 0;
}

int64_t hbm_system_epochs(const hbm_system_t *self, int64_t *epoch_ticks)
{
    hbm_tick_t length = 0;
    int64_t used = 0;

    for (int32_t w = 0; w < self->n_workers; w++) {
        length = hbm_max(length, self->worker[w].epochs.length);
    }
    for (int32_t w = 0; w < self->n_workers; w++) {
        const hbm_epochs_t *e = &self->worker[w].epochs;
        const int64_t ratio = length / e->length;
        used = hbm_max(used, (e->used + ratio - 1) / ratio);
    }
    *epoch_ticks = length;
    return used;
}

int hbm_system_epoch_table(hbm_system_t *self, int64_t n, int64_t *out)
{
    hbm_tick_t length = 0;
    const int64_t used = hbm_system_epochs(self, &length);

    if (n != used) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    memset(out, 0, (size_t)(n * HBM_EPOCH_SERIES) * sizeof *out);
    for (int32_t w = 0; w < self->n_workers; w++) {
        const hbm_epochs_t *e = &self->worker[w].epochs;
        const int64_t ratio = length / e->length;
        for (int32_t i = 0; i < e->used; i++) {
            for (int s = 0; s < HBM_EPOCH_SERIES; s++) {
                const int64_t unit = s == HBM_EPOCH_READ || s == HBM_EPOCH_WRITE ? self->device.burst_bytes : 1;
                out[s * n + i / ratio] += (int64_t)e->count[i][s] * unit;
            }
        }
    }
    return 0;
}

int hbm_system_epoch_states(hbm_system_t *self, int64_t n, int64_t *out)
{
    hbm_tick_t length = 0;
    const int64_t used = hbm_system_epochs(self, &length);

    if (n != used) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    memset(out, 0, (size_t)(n * HBM_POWER_STATES) * sizeof *out);
    for (int32_t w = 0; w < self->n_workers; w++) {
        const hbm_epochs_t *e = &self->worker[w].epochs;
        const int64_t ratio = length / e->length;
        for (int32_t i = 0; i < e->used; i++) {
            for (int s = 0; s < HBM_POWER_STATES; s++) {
                out[s * n + i / ratio] += (int64_t)e->ticks[i][s];
            }
        }
    }
    return 0;
}

/* ---- command logs ---- */

static void copy_log(const hbm_channel_t *channel, const hbm_device_t *d, int32_t number, int64_t first, int64_t n,
                     hbm_command_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        const hbm_logged_t *l = &channel->log.item[first + i];
        memset(&out[i], 0, sizeof out[i]);
        out[i].tick = l->tick;
        out[i].stack = (uint16_t)(number / d->channels);
        out[i].channel = (uint16_t)(number % d->channels);
        out[i].pseudo_channel = l->pc;
        out[i].command = l->command;
        out[i].sid = d->sid_of[l->bank];
        out[i].bank_group = (uint8_t)(d->group_of[l->bank] % d->bank_groups);
        out[i].bank = (uint8_t)(l->bank % d->banks_per_group);
        out[i].row = (uint32_t)l->row;
        out[i].column = l->column;
    }
}

int64_t hbm_system_n_commands(const hbm_system_t *self)
{
    int64_t n = 0;
    for (int32_t i = 0; i < self->n_channels; i++) {
        n += self->channel[i].log.n;
    }
    return n;
}

void hbm_system_commands(const hbm_system_t *self, int64_t first, int64_t n, hbm_command_t *out)
{
    for (int32_t i = 0; i < self->n_channels && n > 0; i++) {
        const int64_t here = self->channel[i].log.n;
        if (first < here) {
            const int64_t m = hbm_min(n, here - first);
            copy_log(&self->channel[i], &self->device, i, first, m, out);
            out += m;
            n -= m;
            first = 0;
        } else {
            first -= here;
        }
    }
}

/* ---- one channel ---- */

struct hbm_channel_run {
    hbm_device_t device;
    hbm_policies_t policies;
    hbm_channel_t channel;
    hbm_channel_input_t input[HBM_MAX_PC];
};

int hbm_channel_run_create(const hbm_device_t *device, const hbm_policy_t *policy, const hbm_channel_input_t *inputs,
                           hbm_channel_run_t **out)
{
    int ret = 0;
    hbm_channel_run_t *self = calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->device = *device;
    ret = hbm_policies_init(&self->policies, policy, device);
    if (ret != 0) {
        goto out;
    }
    ret = hbm_channel_init(&self->channel, &self->device, &self->policies, NULL);
    for (int32_t p = 0; p < self->channel.n_pc && ret == 0; p++) {
        const hbm_channel_input_t *in = &inputs[p];
        hbm_feed_t *feed = &self->channel.pc[p].feed;
        self->input[p] = *in;
        self->channel.pc[p].record = &self->input[p];
        feed->number_requests = true;
        for (int64_t i = 0; i < in->n && ret == 0; i++) {
            const int32_t bank = in->bank[i], row = in->row[i], column = in->column[i];
            const bool ok = bank >= 0 && bank < device->banks && row >= 0 && row < device->rows && column >= 0 &&
                            column < device->columns && in->arrival[i] < HBM_NEVER / 4;
            const hbm_spot_t request = hbm_spot(bank, row, column) | (in->is_write[i] != 0 ? HBM_SPOT_WRITE : 0);
            ret = !ok ? HBM_ERR_BAD_ARGUMENT
                      : hbm_feed_request(feed, request, in->arrival[i] < 0 ? HBM_LONG_AGO : in->arrival[i]);
        }
        hbm_feed_start_requests(feed);
        hbm_channel_wake(&self->channel, p, feed);
    }
out:
    if (ret != 0) {
        hbm_channel_run_free(self);
    } else {
        *out = self;
    }
    return ret;
}

int hbm_channel_run_execute(hbm_channel_run_t *self, int64_t *end_tick)
{
    const int ret = hbm_channel_run(&self->channel, HBM_UNTIL_EMPTY);

    *end_tick = hbm_channel_done(&self->channel);
    for (int p = 0; p < self->channel.n_pc && ret == 0; p++) {
        hbm_pc_settle(&self->channel.pc[p], &self->device, NULL, *end_tick);
    }
    return ret;
}

void hbm_channel_run_counters(const hbm_channel_run_t *self, int64_t *out)
{
    for (int p = 0; p < self->channel.n_pc; p++) {
        memcpy(out + (int64_t)p * hbm_n_counters(), &self->channel.pc[p].counters, sizeof(hbm_counters_t));
    }
}

int64_t hbm_channel_run_n_commands(const hbm_channel_run_t *self) { return self->channel.log.n; }

void hbm_channel_run_commands(const hbm_channel_run_t *self, hbm_command_t *out)
{
    copy_log(&self->channel, &self->device, 0, 0, self->channel.log.n, out);
}

void hbm_channel_run_free(hbm_channel_run_t *self)
{
    if (self != NULL) {
        hbm_channel_free(&self->channel);
        free(self);
    }
}

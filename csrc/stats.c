/* Names, edges, epochs and the command log; see stats.h. */
#include "stats.h"

#include <stdlib.h>
#include <string.h>

static const char *counter_name(int32_t i)
{
    static const char *const names[] = {
#define HBM_X(name) #name,
        HBM_COUNTERS(HBM_X)
#undef HBM_X
    };
    return i >= 0 && (size_t)i < sizeof names / sizeof names[0] ? names[i] : NULL;
}

static const char *bank_counter_name(int32_t i)
{
    static const char *const names[] = {
#define HBM_X(name) #name,
        HBM_BANK_COUNTERS(HBM_X)
#undef HBM_X
    };
    return i >= 0 && (size_t)i < sizeof names / sizeof names[0] ? names[i] : NULL;
}

int32_t hbm_n_counters(void) { return (int32_t)(sizeof(hbm_counters_t) / sizeof(int64_t)); }

const char *hbm_counter_name(int32_t i) { return counter_name(i); }

int32_t hbm_n_bank_counters(void) { return (int32_t)(sizeof(hbm_bank_counters_t) / sizeof(int64_t)); }

const char *hbm_bank_counter_name(int32_t i) { return bank_counter_name(i); }

int32_t hbm_histogram_n_buckets(void) { return HBM_HISTOGRAM_BUCKETS; }

int64_t hbm_histogram_lower_edge(int32_t bucket)
{
    const int64_t sub = INT64_C(1) << HBM_HISTOGRAM_SUB;
    const int64_t octave = bucket >> HBM_HISTOGRAM_SUB;

    return octave == 0 ? bucket : ((bucket & (sub - 1)) + sub) << (octave - 1);
}

void hbm_epochs_init(hbm_epochs_t *self, hbm_tick_t length)
{
    memset(self, 0, sizeof *self);
    self->length = length < 2 ? 2 : length;
    self->used = 1;
}

void hbm_epochs_merge(hbm_epochs_t *self)
{
    for (int32_t i = 0; i < HBM_EPOCHS / 2; i++) {
        for (int s = 0; s < HBM_EPOCH_SERIES; s++) {
            self->count[i][s] = self->count[2 * i][s] + self->count[2 * i + 1][s];
        }
        for (int s = 0; s < HBM_POWER_STATES; s++) {
            self->ticks[i][s] = self->ticks[2 * i][s] + self->ticks[2 * i + 1][s];
        }
    }
    memset(self->count[HBM_EPOCHS / 2], 0, sizeof self->count / 2);
    memset(self->ticks[HBM_EPOCHS / 2], 0, sizeof self->ticks / 2);
    self->length *= 2;
    self->used = (self->used + 1) / 2;
}

void hbm_epochs_seek(hbm_epochs_t *self, hbm_tick_t t)
{
    while (t / self->length >= HBM_EPOCHS) {
        hbm_epochs_merge(self);
    }
    self->current = (int32_t)(t / self->length);
    self->begin = self->current * self->length;
    self->used = self->current + 1 > self->used ? self->current + 1 : self->used;
}

void hbm_epochs_add_many(hbm_epochs_t *self, hbm_tick_t first, hbm_tick_t step, int64_t n, int series)
{
    while (n > 0) {
        int64_t here;
        hbm_tick_t last;
        hbm_epochs_seek(self, hbm_rising(first));
        last = (self->begin + self->length - 1) & ~INT64_C(1); /* the last rising edge of this epoch */
        here = hbm_min(n, (last - first) / step + 1);
        self->count[self->current][series] += (uint64_t)here;
        first += here * step;
        n -= here;
    }
}

void hbm_epochs_spend_long(hbm_epochs_t *self, hbm_tick_t from, hbm_tick_t to, int state)
{
    while (from < to) {
        hbm_tick_t stop;
        hbm_epochs_seek(self, from);
        stop = hbm_min(to, self->begin + self->length);
        self->ticks[self->current][state] += (uint64_t)(stop - from);
        from = stop;
    }
}

int hbm_log_append(hbm_log_t *self, const hbm_logged_t *item)
{
    if (self->n == self->capacity) {
        const int64_t capacity = self->capacity == 0 ? 1024 : self->capacity * 2;
        hbm_logged_t *bigger = realloc(self->item, (size_t)capacity * sizeof *bigger);
        if (bigger == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
        self->item = bigger;
        self->capacity = capacity;
    }
    self->item[self->n++] = *item;
    return 0;
}

void hbm_log_free(hbm_log_t *self)
{
    free(self->item);
    memset(self, 0, sizeof *self);
}

/* What happened: counters, the read-latency histogram, the time series, the command log, and the lost-cycle account
 * that charges every tick of a data bus to data or to one cause.  Must not know why anything was scheduled. */
#ifndef HBM_STATS_H
#define HBM_STATS_H

#include "core.h"

/* One list, one order: hbm_counter_name. */
#define HBM_COUNTERS(X)                                                                                                \
    X(n_act) X(n_pre_pb) X(n_pre_ab) X(n_rd) X(n_wr) X(n_rda) X(n_wra) X(n_ref_ab) X(n_ref_pb) X(n_rfm_ab) X(n_rfm_pb) \
    X(row_hits) X(row_misses) X(row_conflicts) X(reads_forwarded) X(requests_in) X(requests_out) X(bytes_read)         \
    X(bytes_written) X(reads_timed) X(read_latency_ticks_sum) X(read_latency_ticks_max) X(data_ticks)                  \
    X(lost_no_request) X(lost_refresh) X(lost_activate_precharge) X(lost_activate_window) X(lost_turnaround)           \
    X(lost_bank_group) X(lost_sid) X(lost_command_bus)                                                                 \
    X(lost_power_state) X(n_pde) X(n_sre) X(ticks_active_standby) X(ticks_precharged_standby)                          \
    X(ticks_active_power_down) X(ticks_precharged_power_down) X(ticks_self_refresh)

typedef struct {
#define HBM_X(name) int64_t name;
    HBM_COUNTERS(HBM_X)
#undef HBM_X
} hbm_counters_t;

/* Likewise per bank, for energy and for maps of temperature: hbm_bank_counter_name.  An RDA is an RD, a WRA a WR; what
 * refreshes all banks at once is counted by the pseudo-channel.  active_ticks: from the ACT's first edge to the precharge. */
#define HBM_BANK_COUNTERS(X) X(n_act) X(n_rd) X(n_wr) X(n_ref_pb) X(n_rfm_pb) X(active_ticks)

typedef struct {
#define HBM_X(name) int64_t name;
    HBM_BANK_COUNTERS(HBM_X)
#undef HBM_X
} hbm_bank_counters_t;

/* Log-linear buckets: exact below 64, then 64 per power of two: relative width <= 1/64. */
#define HBM_HISTOGRAM_SUB 6
#define HBM_HISTOGRAM_BUCKETS ((48 - HBM_HISTOGRAM_SUB) << HBM_HISTOGRAM_SUB)

HBM_INLINE int32_t hbm_bucket(int64_t value)
{
    const uint64_t v = value < 0 ? 0 : (uint64_t)value;
    const int shift = 63 - HBM_HISTOGRAM_SUB - __builtin_clzll(v | (1u << HBM_HISTOGRAM_SUB));
    const int32_t bucket = (shift << HBM_HISTOGRAM_SUB) + (int32_t)(v >> shift);

    return bucket < HBM_HISTOGRAM_BUCKETS ? bucket : HBM_HISTOGRAM_BUCKETS - 1;
}

/* Behind the histogram of all reads lie those of the classes of traffic, where there are any. */
HBM_INLINE uint64_t *hbm_histogram_of_class(uint64_t *histogram, int32_t traffic_class)
{
    return histogram + (ptrdiff_t)(traffic_class + 1) * HBM_HISTOGRAM_BUCKETS;
}

#define HBM_EPOCHS 512

enum { HBM_EPOCH_READ, HBM_EPOCH_WRITE, HBM_EPOCH_ACT, HBM_EPOCH_REF, HBM_EPOCH_SERIES };

/* What the time is counted as; in the order of the counters ticks_active_standby and on. */
enum { HBM_POWER_STATES = 5 };

/* A time series.  When a run outgrows the table neighbours are merged and the epoch doubles. */
typedef struct {
    hbm_tick_t length;
    hbm_tick_t begin; /* of the current epoch */
    int32_t current;
    int32_t used;
    uint64_t count[HBM_EPOCHS][HBM_EPOCH_SERIES];
    uint64_t ticks[HBM_EPOCHS][HBM_POWER_STATES]; /* of all pseudo-channels together */
} hbm_epochs_t;

void hbm_epochs_init(hbm_epochs_t *self, hbm_tick_t length);
void hbm_epochs_seek(hbm_epochs_t *self, hbm_tick_t t);
void hbm_epochs_merge(hbm_epochs_t *self);

HBM_INLINE void hbm_epochs_add(hbm_epochs_t *self, hbm_tick_t t, int series)
{
    if (HBM_UNLIKELY((uint64_t)(t - self->begin) >= (uint64_t)self->length)) {
        hbm_epochs_seek(self, t);
    }
    self->count[self->current][series]++;
}

/* The same n times, at the rising edges at or after first, first + step, ...; costs epochs, not events. */
void hbm_epochs_add_many(hbm_epochs_t *self, hbm_tick_t first, hbm_tick_t step, int64_t n, int series);

/* A pseudo-channel spent [from, to) in a power state. */
void hbm_epochs_spend_long(hbm_epochs_t *self, hbm_tick_t from, hbm_tick_t to, int state);

HBM_INLINE void hbm_epochs_spend(hbm_epochs_t *self, hbm_tick_t from, hbm_tick_t to, int state)
{
    if (from >= self->begin && to - self->begin <= self->length) {
        self->ticks[self->current][state] += (uint64_t)(to - from);
    } else {
        hbm_epochs_spend_long(self, from, to, state);
    }
}

typedef struct {
    hbm_tick_t tick;
    int32_t row;
    uint16_t column;
    uint8_t pc;
    uint8_t bank;
    uint8_t command;
} hbm_logged_t;

typedef struct {
    bool on;
    hbm_logged_t *item;
    int64_t n;
    int64_t capacity;
} hbm_log_t;

int hbm_log_append(hbm_log_t *self, const hbm_logged_t *item);
void hbm_log_free(hbm_log_t *self);

#endif

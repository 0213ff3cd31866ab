/* Classes of traffic in one pseudo-channel: the input of each, what each may still take of the data bus, and what each
 * took.  The contract is docs/model/quotas.md.  Must not know queues or timing. */
#ifndef HBM_QUOTA_H
#define HBM_QUOTA_H

#include "feed.h"

/* Of one class; reads are timed when their RD issues, or when a write answers them. */
#define HBM_CLASS_COUNTERS(X)                                                                                          \
    X(bursts_read) X(bursts_written) X(reads_forwarded) X(read_latency_ticks_sum) X(read_latency_ticks_max)            \
    X(gate_ticks) X(capped_ticks)

typedef struct {
#define HBM_X(name) int64_t name;
    HBM_CLASS_COUNTERS(HBM_X)
#undef HBM_X
} hbm_class_counters_t;

typedef struct {
    hbm_quota_t quota;
    hbm_feed_t own; /* with a gate, the input of every class but 0, whose input is the pseudo-channel's */
    hbm_tick_t capped_256;   /* its cap allows the next burst then, in 1/256 ticks */
    hbm_tick_t reserved_256; /* from then on it is below its reserved share */
    hbm_tick_t taken_at;     /* its last burst */
    int64_t turn;            /* the number of that among the bursts of all classes */
    int32_t waiting[2];      /* its entries in the queues, by direction */
    hbm_class_counters_t counters;
} hbm_class_t;

typedef struct {
    int32_t n;
    bool gate; /* false: classes are only counted, all in one input */
    hbm_tick_t slack;
    int64_t turns; /* taken so far */
    int32_t columns; /* RD or WR since the direction was turned */
    hbm_class_t item[HBM_MAX_CLASSES];
} hbm_classes_t;

/* Quotas that the core can keep? */
bool hbm_quota_fits(const hbm_quota_t *quota);
/* NULL when there is no memory.  quotas NULL: no gate. */
hbm_classes_t *hbm_classes_create(const hbm_map_t *map, int32_t n, const hbm_quota_t *quotas, hbm_tick_t slack);
void hbm_classes_free(hbm_classes_t *self);

/* The first tick at which the cap of c allows its next burst. */
HBM_INLINE hbm_tick_t hbm_class_capped(const hbm_class_t *c)
{
    return c->quota.cap_gap_256 > 0 ? (c->capped_256 + 255) >> 8 : HBM_LONG_AGO;
}

/* True when a, whose turn came before that of b, goes first at t. */
bool hbm_class_precedes(const hbm_class_t *a, const hbm_class_t *b, hbm_tick_t t);
/* The next burst of c was there at `arrived`; it is taken at t, and uses the data bus unless a write answers it. */
void hbm_class_took(hbm_classes_t *self, hbm_class_t *c, hbm_tick_t arrived, hbm_tick_t t, bool uses_bus);

/* Some class has as many writes in the queue as it may. */
HBM_INLINE bool hbm_classes_write_full(const hbm_classes_t *self)
{
    bool full = false;

    for (int i = 0; i < self->n && self->gate; i++) {
        full |= self->item[i].waiting[1] >= self->item[i].quota.write_entries;
    }
    return full;
}

/* Which direction has the class of the highest priority waiting: > 0 reads, < 0 writes, 0 neither more than the other. */
HBM_INLINE int32_t hbm_classes_lead(const hbm_classes_t *self)
{
    int32_t best[2] = {INT32_MIN, INT32_MIN};

    if (!self->gate) {
        return 0;
    }
    for (int i = 0; i < self->n; i++) {
        const hbm_class_t *c = &self->item[i];
        for (int d = 0; d < 2; d++) {
            best[d] = c->waiting[d] > 0 && c->quota.priority > best[d] ? c->quota.priority : best[d];
        }
    }
    return (best[0] > best[1]) - (best[0] < best[1]);
}

/* A burst of class i enters a queue, or a read is answered without. */
HBM_INLINE void hbm_classes_count(hbm_classes_t *self, int i, bool is_write, bool forwarded)
{
    hbm_class_t *c = &self->item[i];

    c->counters.bursts_read += !is_write;
    c->counters.bursts_written += is_write;
    c->counters.reads_forwarded += forwarded;
    c->waiting[is_write] += !forwarded;
}

HBM_INLINE void hbm_classes_time_read(hbm_classes_t *self, int i, hbm_tick_t latency)
{
    hbm_class_counters_t *n = &self->item[i].counters;

    n->read_latency_ticks_sum += latency;
    n->read_latency_ticks_max = hbm_max(n->read_latency_ticks_max, latency);
}

#endif

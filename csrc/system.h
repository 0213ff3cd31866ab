/* All channels of all stacks: distributes input over pseudo-channels, runs channels on threads, gathers what they
 * counted.  Channels meet only between rounds, and what a round does depends on the rounds before alone, so the number of
 * threads cannot change a result.  Must not know file formats. */
#ifndef HBM_SYSTEM_H
#define HBM_SYSTEM_H

#include "channel.h"
#include "l2.h"
#include "pool.h"

/* What one thread counts; sums and maxima, so the order of channels does not matter. */
typedef struct {
    uint64_t *histogram; /* of all reads, and of each class of traffic: hbm_histogram_of_class */
    hbm_epochs_t epochs;
    hbm_operation_result_t *tally; /* operation i at i + 1; 0 is for requests without one */
} hbm_worker_t;

/* An operation between its submission and the report of its end. */
typedef struct {
    int32_t operation;
    hbm_tick_t start;
    int64_t intervals; /* it may take in the feeds */
} hbm_in_flight_t;

struct hbm_system {
    hbm_device_t device;
    hbm_map_t map;
    hbm_policies_t policies;
    int32_t n_channels;
    int32_t n_workers;
    hbm_channel_t *channel;
    hbm_worker_t *worker;
    hbm_pool_t *pool;
    hbm_l2_t *l2; /* NULL: none */
    hbm_interval_t *writeback; /* of the access in progress */
    int64_t n_writebacks;
    int64_t writeback_capacity;
    /* channels with new input */
    int32_t *touched;
    uint8_t *is_touched;
    int32_t n_touched;
    /* operations seen so far */
    int32_t n_operations;
    int32_t operation_capacity;
    int32_t traffic_class; /* of those submitted from now on */
    /* operations in flight; see flight.c */
    hbm_in_flight_t flight[HBM_IN_FLIGHT];
    uint64_t in_flight;  /* slots taken */
    hbm_tick_t delay;    /* from an end to the first request that follows from it */
    hbm_tick_t border;   /* no channel goes past it; see border.c */
    hbm_tick_t stood;    /* the last border at which all channels stood; no run ends before it */
    hbm_tick_t reported; /* the last end that was reported; -delay before the first */
    /* the run in progress */
    hbm_until_t until;
    bool finished;
};

HBM_INLINE hbm_pc_t *hbm_system_pc(hbm_system_t *self, int32_t pc)
{
    const int32_t more = (int32_t)self->device.pseudo_channels - 1; /* 0 or 1 */
    return &self->channel[pc >> more].pc[pc & more];
}

/* The channel of pseudo-channel `pc` takes part in the next run. */
void hbm_system_touch(hbm_system_t *self, int32_t pc);
void hbm_system_untouch(hbm_system_t *self);
/* Runs the touched channels, until none is. */
int hbm_system_run(hbm_system_t *self, hbm_until_t until);
int hbm_system_run_parts(hbm_system_t *self);
/* work(context, worker, item) for items 0 to n - 1, on all threads. */
int hbm_system_run_round(hbm_system_t *self, hbm_work_fn work, void *context, int32_t n);
/* A channel counts into what its worker has. */
hbm_channel_t *hbm_system_lend(hbm_system_t *self, int32_t worker, int32_t channel);

#endif

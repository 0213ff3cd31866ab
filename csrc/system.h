/* All channels of all stacks: distributes input over pseudo-channels, runs channels on threads, gathers what they
 * counted.  Channels meet only between blocks of input, so the number of threads cannot change a result.  Must not know
 * file formats. */
#ifndef HBM_SYSTEM_H
#define HBM_SYSTEM_H

#include "channel.h"
#include "l2.h"
#include "pool.h"

/* What one thread counts; sums and maxima, so the order of channels does not matter. */
typedef struct {
    uint64_t histogram[HBM_HISTOGRAM_BUCKETS];
    hbm_epochs_t epochs;
    hbm_operation_result_t *tally; /* operation i at i + 1; 0 is for requests without one */
} hbm_worker_t;

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
    /* the run in progress */
    hbm_until_t until;
    bool finished;
};

#endif

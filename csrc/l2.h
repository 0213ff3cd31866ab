/* The optional on-chip filter: a set-associative, sectored, write-back cache of bursts.  A read fetches only the bursts it
 * misses; a write allocates without fetching; a line that is evicted writes back its dirty bursts.  Must not know
 * channels: what gets through is handed to a callback. */
#ifndef HBM_L2_H
#define HBM_L2_H

#include "core.h"

typedef struct hbm_l2 hbm_l2_t;

/* Bursts [first, end) that reach the memory. */
typedef int (*hbm_l2_emit_fn)(void *context, int64_t first, int64_t end, bool is_write);

typedef struct {
    int64_t hits;       /* in bursts */
    int64_t misses;
    int64_t writebacks;
} hbm_l2_counts_t;

/* line_bursts: 1..32, a power of two. */
int hbm_l2_create(int64_t size_bursts, int32_t line_bursts, int32_t ways, hbm_l2_t **out);
void hbm_l2_free(hbm_l2_t *self);
/* Passes an access to bursts [first, end) through the filter.  Misses come out in order, joined where they touch. */
int hbm_l2_access(hbm_l2_t *self, int64_t first, int64_t end, bool is_write, hbm_l2_emit_fn emit, void *context);
hbm_l2_counts_t hbm_l2_counts(const hbm_l2_t *self);

#endif

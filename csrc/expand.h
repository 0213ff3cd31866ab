/* Byte ranges of an operation into intervals of local bursts, in the feeds of the pseudo-channels that they touch.  Must
 * not know when anything runs, but for one thing: an operation too long to be held is run piece by piece. */
#ifndef HBM_EXPAND_H
#define HBM_EXPAND_H

#include "system.h"

/* Intervals held for operations in flight at most (16 bytes each), so that memory is bounded. */
#define HBM_MAX_HELD (INT64_C(1) << 21)

typedef struct {
    hbm_system_t *system;
    int32_t operation;
    int64_t start;
    int32_t tile; /* bursts per turn */
    bool wrap;
    /* the rest is the expansion's own */
    const hbm_access_t *access;
    int32_t index; /* of the operand stream: the access and, with an l2, its write-backs */
    bool is_write;
    int64_t last;  /* the last burst of the run before, so that runs meeting inside a burst move it once */
    int64_t held;
    bool flushed;  /* a part of the operation has run already */
} hbm_expansion_t;

/* Appends one operand. */
int hbm_expand(hbm_expansion_t *self, const hbm_access_t *access);
/* The streams added so far are complete: their feeds may take them. */
void hbm_expand_start(hbm_expansion_t *self);
/* Intervals that an operand may take, at most. */
int64_t hbm_expand_bound(const hbm_system_t *system, const hbm_access_t *access);

#endif

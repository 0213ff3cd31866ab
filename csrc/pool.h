/* A few threads that run the same function over a range of items.  Must not know what the items are. */
#ifndef HBM_POOL_H
#define HBM_POOL_H

#include "core.h"

typedef struct hbm_pool hbm_pool_t;

/* work(context, worker, item): worker in 0..threads-1; returns 0 or an error code. */
typedef int (*hbm_work_fn)(void *context, int32_t worker, int32_t item);

int hbm_pool_create(int32_t threads, hbm_pool_t **out);
void hbm_pool_free(hbm_pool_t *self);
/* Worker 0 calls poll(context) before each of its items; nonzero ends the round early with HBM_ERR_INTERRUPTED. */
void hbm_pool_set_poll(hbm_pool_t *self, int (*poll)(void *), void *context);
/* Runs work for items 0..n-1, each once, and waits; returns the error of the lowest failing item, or 0. */
int hbm_pool_run(hbm_pool_t *self, hbm_work_fn work, void *context, int32_t n);

#endif

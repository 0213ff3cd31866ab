/* The search at the heart of the scheduler: among a set of banks, the oldest that is ready, and when the next one will
 * be.  Written for SIMD with a plain C fallback, chosen once per process call; knows nothing but two arrays. */
#ifndef HBM_SEARCH_H
#define HBM_SEARCH_H

#include "core.h"

typedef struct {
    int64_t key;     /* smallest key with ready_at <= now; HBM_NEVER when none */
    hbm_tick_t next; /* when the first of the others is ready (of all, if there is no key): `now` if one is already,
                        HBM_NEVER if there are none */
} hbm_found_t;

/* Both arrays hold HBM_MAX_BANKS entries; only banks below n_banks can be in the set.  (The trip count follows n_banks, not
 * the set, because a loop that ends where the set ends is mispredicted every time.) */
typedef hbm_found_t (*hbm_search_fn)(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, int n_banks,
                                     hbm_tick_t now);

/* later: smallest ready_at above now. */
HBM_INLINE hbm_found_t hbm_found_of(int64_t key, hbm_tick_t later, bool several, hbm_tick_t now)
{
    return (hbm_found_t){key, several ? now : later};
}

/* The same, bank by bank: the fastest where the set has but a few.  No branch but the loop's: which banks are ready is hard
 * to predict. */
HBM_INLINE hbm_found_t hbm_search_few(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, hbm_tick_t now)
{
    int64_t best = HBM_NEVER;
    hbm_tick_t later = HBM_NEVER;
    int n_ready = 0;

    for (; set != 0; set &= set - 1) {
        const int b = hbm_lowest(set);
        const hbm_tick_t at = ready_at[b];
        const int64_t k = key[b], late = -(int64_t)(at > now); /* all ones or zero */
        n_ready += 1 + (int)late;
        best = hbm_min(best, k | (late & HBM_NEVER));
        later = hbm_min(later, (at & late) | (HBM_NEVER & ~late));
    }
    return hbm_found_of(best, later, n_ready > 1, now);
}

/* The best implementation for this machine. */
hbm_search_fn hbm_search_best(void);
/* Named implementations for tests: "plain", "avx2", "avx512"; NULL when this machine lacks it. */
hbm_search_fn hbm_search_named(const char *name);

#endif

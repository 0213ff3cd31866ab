/* The search at the heart of the scheduler: among a set of banks, the oldest that is ready, and when the next one will be;
 * and that of refresh: those used last.  Written for SIMD with a plain C fallback, chosen once per process call; knows nothing
 * but arrays. */
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

/* The oldest of those that are ready, bank by bank. */
HBM_INLINE int64_t hbm_oldest_ready(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, hbm_tick_t now)
{
    int64_t best = HBM_NEVER;

    for (; set != 0; set &= set - 1) {
        const int b = hbm_lowest(set);
        best = hbm_min(best, ready_at[b] <= now ? key[b] : HBM_NEVER);
    }
    return best;
}

/* The same as a search, bank by bank: the fastest where the set has but a few, of which one at most is ready as a rule.  Which
 * banks are ready is hard to predict, so there is no branch on it but for how many. */
HBM_INLINE hbm_found_t hbm_search_few(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, hbm_tick_t now)
{
    hbm_tick_t first = HBM_NEVER, second = HBM_NEVER; /* to be ready */
    int bank = 0;

    for (uint64_t m = set; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t at = ready_at[b];
        second = hbm_min(second, hbm_max(at, first));
        bank = at < first ? b : bank;
        first = hbm_min(first, at);
    }
    if (first > now) {
        return (hbm_found_t){HBM_NEVER, first};
    }
    if (HBM_LIKELY(second > now)) {
        return (hbm_found_t){key[bank], second};
    }
    return (hbm_found_t){hbm_oldest_ready(ready_at, key, set, now), now};
}

/* Of the banks of `set` those with the greatest tick up to `limit`; 0: none has one. */
typedef uint64_t (*hbm_latest_fn)(const hbm_tick_t *tick, uint64_t set, int n_banks, hbm_tick_t limit);

/* The best implementation for this machine. */
hbm_search_fn hbm_search_best(void);
hbm_latest_fn hbm_latest_best(void);
/* Named implementations for tests: "plain", "avx2", "avx512"; NULL when this machine lacks it. */
hbm_search_fn hbm_search_named(const char *name);
hbm_latest_fn hbm_latest_named(const char *name);

#endif

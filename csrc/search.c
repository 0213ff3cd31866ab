/* Implementations of the bank search; see search.h.  All give the same answer; a test compares them. */
#include "search.h"

#include <string.h>

static hbm_found_t search_plain(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, int n_banks,
                                hbm_tick_t now)
{
    hbm_found_t found = {HBM_NEVER, HBM_NEVER};

    (void)n_banks;
    for (; set != 0; set &= set - 1) {
        const int b = hbm_lowest(set);
        const hbm_tick_t at = ready_at[b];
        found.soonest = at < found.soonest ? at : found.soonest;
        found.key = at <= now && key[b] < found.key ? key[b] : found.key;
    }
    return found;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static hbm_found_t search_avx512(const hbm_tick_t *ready_at, const int64_t *key,
                                                                    uint64_t set, int n_banks, hbm_tick_t now)
{
    const __m512i never = _mm512_set1_epi64(HBM_NEVER), limit = _mm512_set1_epi64(now);
    __m512i soonest = never, best = never;
    hbm_found_t found;

    for (int i = 0; i < n_banks; i += 8, set >>= 8) {
        const __m512i at = _mm512_mask_loadu_epi64(never, (__mmask8)(set & 0xff), ready_at + i);
        const __mmask8 ready = _mm512_cmple_epi64_mask(at, limit);
        soonest = _mm512_min_epi64(soonest, at);
        best = _mm512_min_epi64(best, _mm512_mask_loadu_epi64(never, ready, key + i));
    }
    found.key = _mm512_reduce_min_epi64(best);
    found.soonest = _mm512_reduce_min_epi64(soonest);
    return found;
}

__attribute__((target("avx2"))) static inline __m256i min_avx2(__m256i a, __m256i b)
{
    return _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b));
}

__attribute__((target("avx2"))) static int64_t reduce_avx2(__m256i v)
{
    int64_t x[4];
    _mm256_storeu_si256((__m256i *)(void *)x, v);
    return hbm_min(hbm_min(x[0], x[1]), hbm_min(x[2], x[3]));
}

__attribute__((target("avx2"))) static hbm_found_t search_avx2(const hbm_tick_t *ready_at, const int64_t *key,
                                                               uint64_t set, int n_banks, hbm_tick_t now)
{
    const __m256i never = _mm256_set1_epi64x(HBM_NEVER), limit = _mm256_set1_epi64x(now);
    const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);
    __m256i soonest = never, best = never;
    hbm_found_t found;

    for (int i = 0; i < n_banks; i += 4, set >>= 4) {
        const __m256i in =
            _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x((int64_t)(set & 15)), lane), lane);
        const __m256i at =
            _mm256_blendv_epi8(never, _mm256_loadu_si256((const __m256i *)(const void *)(ready_at + i)), in);
        const __m256i late = _mm256_cmpgt_epi64(at, limit);
        const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key + i));
        soonest = min_avx2(soonest, at);
        best = min_avx2(best, _mm256_blendv_epi8(k, never, late));
    }
    found.key = reduce_avx2(best);
    found.soonest = reduce_avx2(soonest);
    return found;
}

hbm_search_fn hbm_search_named(const char *name)
{
    __builtin_cpu_init();
    if (strcmp(name, "plain") == 0) {
        return search_plain;
    }
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2")) {
        return search_avx2;
    }
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f")) {
        return search_avx512;
    }
    return NULL;
}
#else
hbm_search_fn hbm_search_named(const char *name) { return strcmp(name, "plain") == 0 ? search_plain : NULL; }
#endif

hbm_search_fn hbm_search_best(void)
{
    hbm_search_fn best = hbm_search_named("avx512");

    best = best != NULL ? best : hbm_search_named("avx2");
    return best != NULL ? best : search_plain;
}

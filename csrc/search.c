/* Implementations of the bank search; see search.h.  All give the same answer; a test compares them. */
#include "search.h"

#include <string.h>

static hbm_found_t search_plain(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, int n_banks,
                                hbm_tick_t now)
{
    (void)n_banks;
    return hbm_search_few(ready_at, key, set, now);
}

static uint64_t latest_plain(const hbm_tick_t *tick, uint64_t set, int n_banks, hbm_tick_t limit)
{
    hbm_tick_t latest = INT64_MIN;
    uint64_t found = 0;

    (void)n_banks;
    for (; set != 0; set &= set - 1) {
        const hbm_tick_t at = tick[hbm_lowest(set)];
        const uint64_t bit = set & (UINT64_C(0) - set);
        found = at > limit || at < latest ? found : at > latest ? bit : found | bit;
        latest = at > limit ? latest : hbm_max(latest, at);
    }
    return found;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* The rare part: none is ready, or one, and when the next will be is worth knowing. */
HBM_NOINLINE static hbm_tick_t next_ready(const hbm_tick_t *ready_at, uint64_t set, hbm_tick_t now)
{
    hbm_tick_t next = HBM_NEVER;

    for (; set != 0; set &= set - 1) {
        const hbm_tick_t at = ready_at[hbm_lowest(set)];
        next = hbm_min(next, at > now ? at : HBM_NEVER);
    }
    return next;
}

__attribute__((target("avx512f,avx512dq"))) static hbm_found_t search_avx512(const hbm_tick_t *ready_at,
                                                                             const int64_t *key, uint64_t set,
                                                                             int n_banks, hbm_tick_t now)
{
    const __m512i limit = _mm512_set1_epi64(now);
    __m512i best = _mm512_set1_epi64(HBM_NEVER);
    __mmask8 lanes = 0, twice = 0; /* with a bank that is ready, with two */
    uint64_t left = set;
    bool several;

    for (int i = 0; i < n_banks; i += 8, left >>= 8) {
        const __mmask8 ready =
            _mm512_mask_cmple_epi64_mask((__mmask8)left, _mm512_loadu_si512(ready_at + i), limit);
        best = _mm512_mask_min_epi64(best, ready, best, _mm512_loadu_si512(key + i));
        twice = _kor_mask8(twice, _kand_mask8(lanes, ready));
        lanes = _kor_mask8(lanes, ready);
    }
    several = twice != 0 || (lanes & (lanes - 1)) != 0;
    return (hbm_found_t){_mm512_reduce_min_epi64(best), HBM_LIKELY(several) ? now : next_ready(ready_at, set, now)};
}

__attribute__((target("avx512f,avx512dq"))) static uint64_t latest_avx512(const hbm_tick_t *tick, uint64_t set,
                                                                          int n_banks, hbm_tick_t limit)
{
    const __m512i most = _mm512_set1_epi64(limit);
    __m512i best = _mm512_set1_epi64(INT64_MIN);
    uint64_t left = set, found = 0;

    for (int i = 0; i < n_banks; i += 8, left >>= 8) {
        const __m512i at = _mm512_loadu_si512(tick + i);
        best = _mm512_mask_max_epi64(best, _mm512_mask_cmple_epi64_mask((__mmask8)left, at, most), best, at);
    }
    best = _mm512_set1_epi64(_mm512_reduce_max_epi64(best));
    for (int i = (n_banks - 1) & ~7; i >= 0; i -= 8) {
        found = found << 8 | _mm512_cmpeq_epi64_mask(_mm512_loadu_si512(tick + i), best);
    }
    return found & set;
}

__attribute__((target("avx2"))) static inline __m256i choose_avx2(__m256i a, __m256i b, __m256i where)
{
    /* by the sign bit of every lane */
    return _mm256_castpd_si256(
        _mm256_blendv_pd(_mm256_castsi256_pd(a), _mm256_castsi256_pd(b), _mm256_castsi256_pd(where)));
}

__attribute__((target("avx2"))) static inline __m256i min_avx2(__m256i a, __m256i b)
{
    return choose_avx2(a, b, _mm256_cmpgt_epi64(a, b));
}

__attribute__((target("avx2"))) static int64_t reduce_avx2(__m256i v)
{
    int64_t x[4];
    _mm256_storeu_si256((__m256i *)(void *)x, v);
    return hbm_min(hbm_min(x[0], x[1]), hbm_min(x[2], x[3]));
}

__attribute__((target("avx2"))) static int64_t sum_avx2(__m256i v)
{
    int64_t x[4];
    _mm256_storeu_si256((__m256i *)(void *)x, v);
    return x[0] + x[1] + x[2] + x[3];
}

/* From the last four of n banks down, the four's bits of the set in the sign bits of the lanes. */
__attribute__((target("avx2"))) static inline __m256i members_avx2(uint64_t set, int n)
{
    return _mm256_sllv_epi64(_mm256_set1_epi64x((int64_t)set),
                             _mm256_sub_epi64(_mm256_set1_epi64x(67 - n), _mm256_setr_epi64x(0, 1, 2, 3)));
}

__attribute__((target("avx2"))) static hbm_found_t search_avx2(const hbm_tick_t *ready_at, const int64_t *key,
                                                               uint64_t set, int n_banks, hbm_tick_t now)
{
    const __m256i never = _mm256_set1_epi64x(HBM_NEVER), behind = _mm256_set1_epi64x(now + 1);
    const int n = (n_banks + 3) & ~3;
    __m256i in = members_avx2(set, n);
    __m256i best = never, n_ready = _mm256_setzero_si256();
    bool several;

    for (int i = n - 4; i >= 0; i -= 4) {
        const __m256i at = choose_avx2(never, _mm256_loadu_si256((const __m256i *)(const void *)(ready_at + i)), in);
        const __m256i ready = _mm256_cmpgt_epi64(behind, at);
        const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key + i));
        best = min_avx2(best, choose_avx2(never, k, ready));
        n_ready = _mm256_sub_epi64(n_ready, ready); /* -1 each */
        in = _mm256_slli_epi64(in, 4);
    }
    several = sum_avx2(n_ready) > 1;
    return (hbm_found_t){reduce_avx2(best), HBM_LIKELY(several) ? now : next_ready(ready_at, set, now)};
}

__attribute__((target("avx2"))) static uint64_t latest_avx2(const hbm_tick_t *tick, uint64_t set, int n_banks,
                                                            hbm_tick_t limit)
{
    const __m256i least = _mm256_set1_epi64x(INT64_MIN), most = _mm256_set1_epi64x(limit);
    const int n = (n_banks + 3) & ~3;
    __m256i in = members_avx2(set, n);
    __m256i best = least;
    int64_t x[4];
    uint64_t found = 0;

    for (int i = n - 4; i >= 0; i -= 4) {
        __m256i at = choose_avx2(least, _mm256_loadu_si256((const __m256i *)(const void *)(tick + i)), in);
        at = choose_avx2(at, least, _mm256_cmpgt_epi64(at, most));
        best = choose_avx2(best, at, _mm256_cmpgt_epi64(at, best));
        in = _mm256_slli_epi64(in, 4);
    }
    _mm256_storeu_si256((__m256i *)(void *)x, best);
    best = _mm256_set1_epi64x(hbm_max(hbm_max(x[0], x[1]), hbm_max(x[2], x[3])));
    for (int i = n - 4; i >= 0; i -= 4) {
        const __m256i same = _mm256_cmpeq_epi64(_mm256_loadu_si256((const __m256i *)(const void *)(tick + i)), best);
        found = found << 4 | (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(same));
    }
    return found & set;
}

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}
#endif

typedef struct {
    const char *name;
    hbm_search_fn search;
    hbm_latest_fn latest;
} implementation_t;

/* Those of this machine, the best first; NULL past the last. */
static const implementation_t *implementation(int32_t i)
{
    static const implementation_t plain = {"plain", search_plain, latest_plain};
#if defined(__x86_64__) && defined(__GNUC__)
    static const implementation_t avx2 = {"avx2", search_avx2, latest_avx2};
    static const implementation_t avx512 = {"avx512", search_avx512, latest_avx512};

    if (has_avx512() && i-- == 0) {
        return &avx512;
    }
    if (has_avx2() && i-- == 0) {
        return &avx2;
    }
#endif
    return i == 0 ? &plain : NULL;
}

static const implementation_t *named(const char *name)
{
    const implementation_t *found = implementation(0);

    for (int32_t i = 1; found != NULL && strcmp(found->name, name) != 0; i++) {
        found = implementation(i);
    }
    return found;
}

hbm_search_fn hbm_search_named(const char *name) { return named(name) != NULL ? named(name)->search : NULL; }
hbm_latest_fn hbm_latest_named(const char *name) { return named(name) != NULL ? named(name)->latest : NULL; }
hbm_search_fn hbm_search_best(void) { return implementation(0)->search; }
hbm_latest_fn hbm_latest_best(void) { return implementation(0)->latest; }
const char *hbm_simd(void) { return implementation(0)->name; }

/* Implementations of the bank search; see search.h.  All give the same answer; a test compares them. */
#include "search.h"

#include <string.h>

static hbm_found_t search_plain(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, int n_banks,
                                hbm_tick_t now)
{
    (void)n_banks;
    return hbm_search_few(ready_at, key, set, now);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static hbm_found_t search_avx512(const hbm_tick_t *ready_at, const int64_t *key,
                                                                    uint64_t set, int n_banks, hbm_tick_t now)
{
    const __m512i limit = _mm512_set1_epi64(now);
    __m512i later = _mm512_set1_epi64(HBM_NEVER), best = later;
    uint64_t ready = 0;

    for (int i = 0; i < n_banks; i += 8, set >>= 8) {
        const __mmask8 in = (__mmask8)(set & 0xff);
        const __m512i at = _mm512_maskz_loadu_epi64(in, ready_at + i);
        const __mmask8 late = _mm512_cmpgt_epi64_mask(at, limit); /* none outside the set: there `at` is 0 */
        const __mmask8 now_ready = (__mmask8)(in & ~late);
        later = _mm512_mask_min_epi64(later, (__mmask8)(in & late), later, at);
        best = _mm512_mask_min_epi64(best, now_ready, best, _mm512_loadu_si512(key + i));
        ready = ready << 8 | now_ready;
    }
    return (hbm_found_t){_mm512_reduce_min_epi64(best),
                         (ready & (ready - 1)) != 0 ? now : _mm512_reduce_min_epi64(later)};
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

__attribute__((target("avx2"))) static hbm_found_t search_avx2(const hbm_tick_t *ready_at, const int64_t *key,
                                                               uint64_t set, int n_banks, hbm_tick_t now)
{
    const __m256i never = _mm256_set1_epi64x(HBM_NEVER), limit = _mm256_set1_epi64x(now);
    const int n = (n_banks + 3) & ~3;
    /* from the last four banks down, the four's bits of the set in the sign bits of the lanes */
    __m256i in = _mm256_sllv_epi64(_mm256_set1_epi64x((int64_t)set),
                                   _mm256_sub_epi64(_mm256_set1_epi64x(67 - n), _mm256_setr_epi64x(0, 1, 2, 3)));
    __m256i later = never, best = never, n_late = _mm256_setzero_si256();

    for (int i = n - 4; i >= 0; i -= 4) {
        const __m256i at = choose_avx2(never, _mm256_loadu_si256((const __m256i *)(const void *)(ready_at + i)), in);
        const __m256i late = _mm256_cmpgt_epi64(at, limit);
        const __m256i k = _mm256_loadu_si256((const __m256i *)(const void *)(key + i));
        later = min_avx2(later, choose_avx2(never, at, late));
        best = min_avx2(best, choose_avx2(k, never, late));
        n_late = _mm256_add_epi64(n_late, late); /* -1 each */
        in = _mm256_slli_epi64(in, 4);
    }
    return (hbm_found_t){reduce_avx2(best), n + sum_avx2(n_late) > 1 ? now : reduce_avx2(later)};
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

const char *hbm_simd(void)
{
    return hbm_search_named("avx512") != NULL ? "avx512" : hbm_search_named("avx2") != NULL ? "avx2" : "plain";
}

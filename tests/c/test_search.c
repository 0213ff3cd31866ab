/* Every implementation of the bank search that this machine can run gives the answer of the plain definition. */
#include "search.h"

#include "testlib.h"

static hbm_found_t by_definition(const hbm_tick_t *ready_at, const int64_t *key, uint64_t set, hbm_tick_t now)
{
    hbm_found_t found = {HBM_NEVER, HBM_NEVER};
    int n_ready = 0;

    for (int b = 0; b < HBM_MAX_BANKS; b++) {
        if ((set >> b) & 1) {
            if (ready_at[b] <= now) {
                found.key = key[b] < found.key ? key[b] : found.key;
                n_ready++;
            } else {
                found.next = ready_at[b] < found.next ? ready_at[b] : found.next;
            }
        }
    }
    found.next = n_ready > 1 ? now : found.next;
    return found;
}

static void all_implementations_agree(void)
{
    static const char *const names[] = {"plain", "avx2", "avx512"};
    hbm_tick_t ready_at[HBM_MAX_BANKS];
    int64_t key[HBM_MAX_BANKS];
    uint64_t seed = 4242;
    int ran = 0;

    for (int n = 0; n < 3; n++) {
        const hbm_search_fn search = hbm_search_named(names[n]);
        if (search == NULL) {
            continue;
        }
        ran++;
        for (int round = 0; round < 20000; round++) {
            const int spread = 1 + round % 500;
            const int n_banks = round < 2 ? HBM_MAX_BANKS : 1 + test_below(&seed, HBM_MAX_BANKS);
            const uint64_t any = round == 0 ? 0 : round == 1 ? ~UINT64_C(0) : test_random(&seed) & test_random(&seed);
            const uint64_t set = any & hbm_low_bits(n_banks);
            const hbm_tick_t now = 1000 + test_below(&seed, spread);
            hbm_found_t want, got;
            for (int b = 0; b < HBM_MAX_BANKS; b++) {
                ready_at[b] = test_below(&seed, 50) == 0 ? HBM_LONG_AGO : 1000 + test_below(&seed, spread);
                key[b] = test_below(&seed, 20) == 0 ? HBM_NEVER : (int64_t)(test_random(&seed) >> 8 << 6 >> 4) | b;
            }
            want = by_definition(ready_at, key, set, now);
            got = search(ready_at, key, set, n_banks, now);
            CHECK_EQ(got.key, want.key);
            CHECK_EQ(got.next, want.next);
        }
    }
    CHECK(ran >= 1);
}

static void all_find_the_latest_up_to_a_limit(void)
{
    static const char *const names[] = {"plain", "avx2", "avx512"};
    hbm_tick_t tick[HBM_MAX_BANKS];
    uint64_t seed = 77;

    for (int n = 0; n < 3; n++) {
        const hbm_latest_fn latest = hbm_latest_named(names[n]);
        CHECK_EQ(latest == NULL, hbm_search_named(names[n]) == NULL);
        for (int round = 0; latest != NULL && round < 20000; round++) {
            const int spread = 1 + round % 300; /* few: many are equal */
            const int n_banks = 1 + test_below(&seed, HBM_MAX_BANKS);
            const uint64_t any = round == 0 ? 0 : test_random(&seed) & (round % 2 == 0 ? ~UINT64_C(0) : test_random(&seed));
            const uint64_t set = any & hbm_low_bits(n_banks);
            const hbm_tick_t limit = 1000 + test_below(&seed, spread) - (round % 10 == 0 ? 400 : 0);
            hbm_tick_t best = INT64_MIN;
            uint64_t want = 0;
            for (int b = 0; b < HBM_MAX_BANKS; b++) {
                tick[b] = test_below(&seed, 20) == 0 ? HBM_LONG_AGO : 1000 + test_below(&seed, spread);
            }
            for (int b = 0; b < n_banks; b++) {
                best = (set & hbm_bit(b)) && tick[b] <= limit ? hbm_max(best, tick[b]) : best;
            }
            for (int b = 0; b < n_banks; b++) {
                want |= (set & hbm_bit(b)) && tick[b] == best ? hbm_bit(b) : 0;
            }
            CHECK(latest(tick, set, n_banks, limit) == want);
        }
    }
}

static void the_best_one_is_one_of_them(void)
{
    CHECK(hbm_latest_best() != NULL && hbm_latest_named("abacus") == NULL);
    CHECK(hbm_latest_best() == hbm_latest_named(hbm_simd()));
    const hbm_search_fn best = hbm_search_best();
    CHECK(best != NULL);
    CHECK(best == hbm_search_named("plain") || best == hbm_search_named("avx2") || best == hbm_search_named("avx512"));
    CHECK(hbm_search_named("abacus") == NULL);
}

TESTS(T(all_implementations_agree), T(all_find_the_latest_up_to_a_limit), T(the_best_one_is_one_of_them))

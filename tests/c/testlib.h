/* A test harness in one header: named tests, checks that print what they saw, and one closing line that counts.
 * A test file defines functions `static void behaviour(void)`, lists them in TESTS(...) and is a program of its own. */
#ifndef TESTLIB_H
#define TESTLIB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    void (*run)(void);
} test_t;

/* The failed checks of this program. */
static int test_failures;

static inline bool test_check(bool ok, const char *text, const char *file, int line)
{
    if (!ok) {
        test_failures++;
        printf("  %s:%d: %s\n", file, line, text);
    }
    return ok;
}

static inline bool test_check_eq(int64_t got, int64_t want, const char *text, const char *file, int line)
{
    if (got != want) {
        test_failures++;
        printf("  %s:%d: %s: got %lld, want %lld\n", file, line, text, (long long)got, (long long)want);
    }
    return got == want;
}

#define CHECK(cond) test_check((cond), #cond, __FILE__, __LINE__)
#define CHECK_EQ(got, want) test_check_eq((int64_t)(got), (int64_t)(want), #got " == " #want, __FILE__, __LINE__)
/* For what the rest of the test cannot do without. */
#define REQUIRE(cond)                                                                                                  \
    do {                                                                                                               \
        if (!CHECK(cond)) {                                                                                            \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* A small generator with a fixed seed: the same "random" cases on every machine. */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
static inline int32_t test_below(uint64_t *state, int64_t n) { return (int32_t)(test_random(state) % (uint64_t)n); }

static inline int test_main(const char *file, const test_t *tests, size_t n)
{
    int passed = 0, failed = 0;

    for (size_t i = 0; i < n; i++) {
        const int before = test_failures;
        tests[i].run();
        if (test_failures == before) {
            passed++;
        } else {
            failed++;
            printf("FAILED %s: %s\n", file, tests[i].name);
        }
    }
    printf("%s: %d passed, %d failed\n", file, passed, failed);
    return failed != 0;
}

#define T(function) {#function, function}
#define TESTS(...)                                                                                                     \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        static const test_t tests[] = {__VA_ARGS__};                                                                   \
        return test_main(strrchr("/" __FILE__, '/') + 1, tests, sizeof tests / sizeof tests[0]);                       \
    }

#endif

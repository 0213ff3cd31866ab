/* The on-chip filter against a model that knows only lists: per set, lines in order of last use, each with its bursts. */
#include "l2.h"

#include "faults.h"
#include "testlib.h"

enum { SETS = 3, WAYS = 2, LINE = 4, BURSTS = 96, MAX_EVENTS = 64 };

typedef struct {
    int64_t burst;
    bool is_write;
} event_t;

typedef struct {
    event_t event[MAX_EVENTS];
    int n;
    int fail_after; /* the emission with this number fails; -1: none */
} tape_t;

static int record(void *context, int64_t first, int64_t end, bool is_write)
{
    tape_t *tape = context;
    if (tape->fail_after == 0) {
        return HBM_ERR_NO_MEMORY;
    }
    tape->fail_after--;
    CHECK(first < end);
    for (int64_t b = first; b < end && tape->n < MAX_EVENTS; b++) {
        tape->event[tape->n++] = (event_t){b, is_write};
    }
    return 0;
}

typedef struct {
    int64_t line[SETS][WAYS]; /* the most recently used first; -1: empty */
    bool valid[BURSTS], dirty[BURSTS];
    hbm_l2_counts_t counts;
} model_t;

/* Makes `line` the most recently used of its set, evicting the last one if it is new. */
static void touch(model_t *m, int64_t line, tape_t *tape)
{
    int64_t *set = m->line[line % SETS];
    int at = 0;
    while (at < WAYS - 1 && set[at] != line) {
        at++;
    }
    if (set[at] != line && set[at] >= 0) {
        for (int64_t b = set[at] * LINE; b < (set[at] + 1) * LINE; b++) {
            if (m->dirty[b]) {
                tape->event[tape->n++] = (event_t){b, true};
                m->counts.writebacks++;
            }
            m->valid[b] = m->dirty[b] = false;
        }
    }
    for (; at > 0; at--) {
        set[at] = set[at - 1];
    }
    set[0] = line;
}

static void access_model(model_t *m, int64_t first, int64_t end, bool is_write, tape_t *tape)
{
    int64_t line = -1;
    for (int64_t b = first; b < end; b++) {
        if (b / LINE != line) {
            line = b / LINE;
            touch(m, line, tape);
        }
        m->counts.hits += m->valid[b];
        m->counts.misses += !m->valid[b];
        if (!m->valid[b] && !is_write) {
            tape->event[tape->n++] = (event_t){b, false};
        }
        m->valid[b] = true;
        m->dirty[b] = m->dirty[b] || is_write;
    }
}

static void the_filter_behaves_like_lists_of_lines(void)
{
    static model_t m;
    uint64_t seed = 123;
    hbm_l2_t *l2 = NULL;

    memset(m.line, -1, sizeof m.line);
    REQUIRE(hbm_l2_create(SETS * WAYS * LINE, LINE, WAYS, &l2) == 0);
    for (int step = 0; step < 20000 && test_failures == 0; step++) {
        const int64_t first = test_below(&seed, BURSTS - 12), end = first + test_below(&seed, 12);
        const bool is_write = test_below(&seed, 3) == 0;
        tape_t got = {.fail_after = -1}, want = {.n = 0};
        hbm_l2_counts_t counts;
        access_model(&m, first, end, is_write, &want);
        CHECK_EQ(hbm_l2_access(l2, first, end, is_write, record, &got), 0);
        CHECK_EQ(got.n, want.n);
        for (int i = 0; i < got.n && test_failures == 0; i++) {
            CHECK_EQ(got.event[i].burst, want.event[i].burst);
            CHECK_EQ(got.event[i].is_write, want.event[i].is_write);
        }
        counts = hbm_l2_counts(l2);
        CHECK_EQ(counts.hits, m.counts.hits);
        CHECK_EQ(counts.misses, m.counts.misses);
        CHECK_EQ(counts.writebacks, m.counts.writebacks);
    }
    hbm_l2_free(l2);
}

static void the_widest_line_has_all_its_bursts(void)
{
    hbm_l2_t *l2 = NULL;
    tape_t tape = {.fail_after = -1};
    REQUIRE(hbm_l2_create(32, 32, 1, &l2) == 0);
    CHECK_EQ(hbm_l2_access(l2, 0, 32, true, record, &tape), 0);
    CHECK_EQ(tape.n, 0);
    CHECK_EQ(hbm_l2_access(l2, 32, 64, false, record, &tape), 0);
    CHECK_EQ(tape.n, 64); /* 32 written back, 32 fetched */
    CHECK_EQ(tape.event[31].burst, 31);
    CHECK(tape.event[31].is_write && !tape.event[32].is_write);
    hbm_l2_free(l2);
}

static void an_error_behind_it_is_passed_on(void)
{
    for (int fail_after = 0; fail_after < 2; fail_after++) {
        hbm_l2_t *l2 = NULL;
        tape_t quiet = {.fail_after = -1}, tape = {.fail_after = fail_after};
        REQUIRE(hbm_l2_create(LINE, LINE, 1, &l2) == 0);
        CHECK_EQ(hbm_l2_access(l2, 0, 2, true, record, &quiet), 0);
        CHECK_EQ(hbm_l2_access(l2, LINE, LINE + 2, false, record, &tape), HBM_ERR_NO_MEMORY);
        hbm_l2_free(l2);
    }
}

static void shapes_that_make_no_sense_are_refused(void)
{
    static const struct {
        int64_t size;
        int32_t line, ways;
    } bad[] = {{64, 0, 1}, {64, 3, 1}, {64, 64, 1}, {64, 4, 0}, {64, 4, 65}, {15, 4, 4}, {0, 4, 1}, {INT64_MAX, 4, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hbm_l2_t *l2 = NULL;
        CHECK_EQ(hbm_l2_create(bad[i].size, bad[i].line, bad[i].ways, &l2), HBM_ERR_BAD_ARGUMENT);
        CHECK(l2 == NULL);
    }
}

static int create_and_free(void *arg)
{
    hbm_l2_t *l2 = NULL;
    const int ret = hbm_l2_create(64, 4, 4, &l2);
    (void)arg;
    hbm_l2_free(l2);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    CHECK(faults_sweep(create_and_free, NULL) >= 2);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(the_filter_behaves_like_lists_of_lines), T(the_widest_line_has_all_its_bursts),
      T(an_error_behind_it_is_passed_on), T(shapes_that_make_no_sense_are_refused), T(running_out_of_memory_is_reported))

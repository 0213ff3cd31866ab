/* Feeds: the bursts of one pseudo-channel in the right order and at the right coordinates, against a plain expansion. */
#include "feed.h"

#include "faults.h"
#include "fixture.h"
#include "testlib.h"

enum { MAX_OPERANDS = 4, MAX_BURSTS = 4096 };

typedef struct {
    int64_t local[MAX_BURSTS];
    int n;
} operand_t;

static hbm_device_t *device;
static hbm_map_t *map;

/* One stack of the fixture, local order: 4 columns, groups, banks, the other columns, SIDs, rows; one XOR term. */
static bool setup(void)
{
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 4, 1},     {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_BANK_GROUP, 4, 1}, {HBM_BANK, 4, 1},
        {HBM_COLUMN, 8, 4},     {HBM_SID, 2, 1},            {HBM_ROW, 96, 1},
    };
    const hbm_xor_t flip = {HBM_BANK_GROUP, HBM_ROW, 0, 3};
    if (map == NULL) {
        device = fixture_device();
        CHECK(device != NULL && hbm_map_create(device, 1, pieces, 8, &flip, 1, &map) == 0);
    }
    return map != NULL;
}

static void check_place(const hbm_feed_t *feed, int64_t local)
{
    const hbm_block_t b = hbm_map_block(map, local / map->block_size);
    const hbm_local_step_t s = map->step[local % map->block_size];
    CHECK_EQ(feed->bank, (b.bank + s.bank) ^ b.flip ^ s.flip);
    CHECK_EQ(feed->row, b.row);
    CHECK_EQ(feed->column, b.column + s.column);
}

/* Reads the feed to its end and compares it with taking `tile` bursts of each operand in turn. */
static void check_order(hbm_feed_t *feed, operand_t *operands, int n, int tile)
{
    int at[MAX_OPERANDS] = {0}, alive[MAX_OPERANDS], turn = 0;

    for (int i = 0; i < n; i++) {
        alive[i] = i;
    }
    hbm_feed_start(feed, 77, tile);
    while (n > 0 && test_failures == 0) {
        const int o = alive[turn];
        for (int k = 0; (tile == 0 || k < tile) && at[o] < operands[o].n; k++) {
            CHECK(feed->valid);
            CHECK_EQ(feed->arrival, 77);
            CHECK_EQ(feed->tag, 10 + o + 1); /* 0 is for requests without an operation */
            CHECK_EQ(feed->is_write, o == 1);
            check_place(feed, operands[o].local[at[o]++]);
            hbm_feed_step(feed);
        }
        if (at[o] == operands[o].n) {
            n--;
            memmove(&alive[turn], &alive[turn + 1], (size_t)(n - turn) * sizeof alive[0]);
            turn = turn == n ? 0 : turn;
        } else {
            turn = turn + 1 < n ? turn + 1 : 0;
        }
    }
    CHECK(!feed->valid);
}

static void operands_take_turns(void)
{
    static operand_t operands[MAX_OPERANDS];
    static const int tiles[] = {0, 1, 2, 3, 8, 64, 1000};
    uint64_t seed = 31;

    REQUIRE(setup());
    for (int round = 0; round < 200 && test_failures == 0; round++) {
        hbm_feed_t feed = {.map = map};
        const int n = 1 + test_below(&seed, MAX_OPERANDS);
        for (int o = 0; o < n; o++) {
            int64_t local = test_below(&seed, 2000);
            const int intervals = 1 + test_below(&seed, 5);
            operands[o].n = 0;
            for (int i = 0; i < intervals; i++) {
                const int64_t length = 1 + test_below(&seed, round % 3 == 0 ? 600 : 7);
                CHECK_EQ(hbm_feed_add(&feed, o, 10 + o, o == 1, local, local + length), 0);
                for (int64_t k = 0; k < length; k++) {
                    operands[o].local[operands[o].n++] = local + k;
                }
                local += length + test_below(&seed, 3) * 5; /* sometimes adjacent */
            }
        }
        check_order(&feed, operands, n, tiles[round % 7]);
        hbm_feed_free(&feed);
    }
}

static void a_feed_can_be_filled_again(void)
{
    static operand_t operand;
    hbm_feed_t feed = {.map = map};

    REQUIRE(setup());
    feed.map = map;
    for (int round = 0; round < 3; round++) {
        operand.n = 0;
        for (int64_t k = 0; k < 40; k++) {
            operand.local[operand.n++] = round * 100 + k;
        }
        CHECK_EQ(hbm_feed_add(&feed, 0, 10, false, round * 100, round * 100 + 40), 0);
        check_order(&feed, &operand, 1, 8);
    }
    hbm_feed_free(&feed);
}

/* Streams that start later stay out of the turns until they are let in, then come behind the others. */
static void streams_join_at_their_start(void)
{
    static const int64_t order[] = {0, 1, 100, 101, 200, 201, 2, 3, 102, 103, 202, 203, 4, 5, 6, 7};
    hbm_feed_t feed = {.map = map};

    REQUIRE(setup());
    feed.map = map;
    CHECK_EQ(hbm_feed_add(&feed, 0, 1, false, 0, 8), 0);
    CHECK(hbm_feed_start(&feed, 10, 2)); /* it was empty */
    CHECK_EQ(feed.arrival, 10);
    CHECK_EQ(hbm_feed_add(&feed, 0, 2, false, 100, 104), 0); /* the same operand number, of another operation */
    CHECK(!hbm_feed_start(&feed, 20, 2));
    CHECK_EQ(hbm_feed_add(&feed, 0, 3, true, 200, 204), 0);
    CHECK(!hbm_feed_start(&feed, 30, 2));
    CHECK_EQ(hbm_feed_next_start(&feed), 20);
    CHECK(!hbm_feed_join(&feed, 19));
    CHECK_EQ(feed.n_streams, 1);
    for (int i = 0; i < 16; i++) {
        if (i == 1) {
            CHECK(!hbm_feed_join(&feed, 20));
            CHECK_EQ(feed.n_streams, 2);
        } else if (i == 3) {
            CHECK(!hbm_feed_join(&feed, 30));
            CHECK_EQ(hbm_feed_next_start(&feed), HBM_NEVER);
        }
        CHECK(feed.valid);
        CHECK_EQ(feed.arrival, 10);
        check_place(&feed, order[i]);
        CHECK_EQ(feed.gone, 0);
        hbm_feed_step(&feed);
        if (i == 9 || i == 11 || i == 15) { /* the last of operations 2, 3 and 1 */
            CHECK_EQ(feed.gone, i == 9 ? 3 : i == 11 ? 4 : 2);
            feed.gone = 0;
        }
    }
    CHECK(!feed.valid);
    hbm_feed_free(&feed);
}

static void intervals_behind_all_streams_are_forgotten(void)
{
    hbm_feed_t feed = {.map = map};

    REQUIRE(setup());
    feed.map = map;
    for (int i = 0; i < 2000; i++) { /* there is always one stream left */
        CHECK_EQ(hbm_feed_add(&feed, 0, i, false, 4 * i, 4 * i + 2), 0);
        hbm_feed_start(&feed, i, 1);
        hbm_feed_join(&feed, i);
        if (i > 0) {
            hbm_feed_step(&feed);
            hbm_feed_step(&feed);
        }
    }
    CHECK(feed.valid);
    CHECK(feed.interval_capacity <= 64);
    hbm_feed_free(&feed);
}

static void requests_come_out_as_they_went_in(void)
{
    hbm_feed_t feed = {.map = NULL};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 50; i++) {
            const hbm_spot_t spot = hbm_spot(i % 32, i, i % 7) | (i % 2 == 1 ? HBM_SPOT_WRITE : 0);
            CHECK_EQ(hbm_feed_request(&feed, spot, i % 3 == 0 ? HBM_LONG_AGO : i * 10), 0);
        }
        hbm_feed_start_requests(&feed);
        for (int i = 0; i < 50; i++) {
            CHECK(feed.valid);
            CHECK_EQ(feed.timed, i % 3 != 0);
            CHECK_EQ(feed.arrival, i % 3 == 0 ? HBM_LONG_AGO : i * 10);
            CHECK_EQ(feed.bank, i % 32);
            CHECK_EQ(feed.row, i);
            CHECK_EQ(feed.column, i % 7);
            CHECK_EQ(feed.is_write, i % 2 == 1);
            hbm_feed_step(&feed);
        }
        CHECK(!feed.valid);
    }
    hbm_feed_free(&feed);
}

/* Timed and untimed ones, offered while others wait, in blocks of any length. */
static void requests_wait_in_order(void)
{
    enum { N = 3000 };
    uint64_t seed = 3;
    hbm_feed_t feed = {.map = NULL};
    int offered = 0, taken = 0;

    while (taken < N) {
        for (int left = (int)(test_random(&seed) % 60); left > 0 && offered < N; left--, offered++) {
            const bool timed = offered > 200 && offered % 5 < 2;
            CHECK_EQ(hbm_feed_request(&feed, hbm_spot(1, offered, 2), timed ? offered : HBM_LONG_AGO), 0);
        }
        hbm_feed_start_requests(&feed);
        for (int left = (int)(test_random(&seed) % 60); left > 0 && taken < offered; left--, taken++) {
            const bool timed = taken > 200 && taken % 5 < 2;
            CHECK(feed.valid);
            CHECK_EQ(feed.row, taken);
            CHECK_EQ(feed.timed, timed);
            CHECK_EQ(feed.arrival, timed ? taken : HBM_LONG_AGO);
            hbm_feed_step(&feed);
        }
        CHECK_EQ(feed.valid, taken < offered);
    }
    CHECK(feed.request_capacity <= 2048); /* those that are taken are forgotten */
    hbm_feed_free(&feed);
}

static void numbered_requests_carry_their_number(void)
{
    for (int numbered = 0; numbered < 2; numbered++) {
        hbm_feed_t feed = {.map = NULL, .number_requests = numbered == 1};
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(hbm_feed_request(&feed, hbm_spot(0, i, 0), HBM_LONG_AGO), 0);
        }
        hbm_feed_start_requests(&feed);
        for (int i = 0; i < 5; i++) {
            CHECK_EQ(feed.tag, numbered ? i : 0);
            hbm_feed_step(&feed);
        }
        hbm_feed_free(&feed);
    }
}

static int fill(void *arg)
{
    hbm_feed_t feed = {.map = map};
    int ret = 0;
    (void)arg;
    for (int i = 0; i < 40 && ret == 0; i++) {
        ret = hbm_feed_add(&feed, i, i, false, 100 * i, 100 * i + 10);
        ret = ret != 0 ? ret : hbm_feed_add(&feed, i, i, false, 100 * i + 20, 100 * i + 30);
        ret = ret != 0 ? ret : hbm_feed_request(&feed, hbm_spot(0, 0, 0), 0);
    }
    hbm_feed_free(&feed);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    REQUIRE(setup());
    CHECK(faults_sweep(fill, NULL) >= 6);
    hbm_map_free(map);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(operands_take_turns), T(a_feed_can_be_filled_again), T(streams_join_at_their_start),
      T(intervals_behind_all_streams_are_forgotten), T(requests_come_out_as_they_went_in),
      T(requests_wait_in_order), T(numbered_requests_carry_their_number), T(running_out_of_memory_is_reported))

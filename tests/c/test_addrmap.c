/* Address maps: every map that is accepted is a bijection, its fast walk agrees with its plain decoding, and what is no
 * bijection is refused. */
#include "addrmap.h"
#include "faults.h"
#include "fixture.h"
#include "testlib.h"

enum { STACKS = 3 };

/* Small enough to walk whole: 3 stacks, 2 channels, 2 pseudo-channels, 3 SIDs, 2 groups, 2 banks, 6 rows, 4 columns. */
static hbm_device_t *small_device(void)
{
    int64_t values[N_FIELDS];
    fixture_values(values);
    values[F_sids] = 3;
    values[F_bank_groups] = 2;
    values[F_banks_per_group] = 2;
    values[F_rows] = 6;
    values[F_columns] = 4;
    return fixture_device_of(values);
}

typedef struct {
    hbm_piece_t pieces[12];
    int32_t n_pieces;
    hbm_xor_t xors[3];
    int32_t n_xors;
    bool interleaved; /* granule, then stack/channel/pseudo-channel, then the rest */
} map_case_t;

#define P(field, radix, multiplier) {HBM_##field, radix, multiplier}

static const map_case_t cases[] = {
    {{P(COLUMN, 2, 1), P(PSEUDO_CHANNEL, 2, 1), P(CHANNEL, 2, 1), P(STACK, 3, 1), P(COLUMN, 2, 2), P(BANK_GROUP, 2, 1),
      P(BANK, 2, 1), P(SID, 3, 1), P(ROW, 6, 1)},
     9, {{0, 0, 0, 0}}, 0, true},
    {{P(STACK, 3, 1), P(ROW, 6, 1), P(SID, 3, 1), P(CHANNEL, 2, 1), P(BANK, 2, 1), P(COLUMN, 4, 1), P(BANK_GROUP, 2, 1),
      P(PSEUDO_CHANNEL, 2, 1)},
     8, {{0, 0, 0, 0}}, 0, false},
    {{P(ROW, 2, 3), P(COLUMN, 4, 1), P(ROW, 3, 1), P(BANK, 2, 1), P(CHANNEL, 2, 1), P(PSEUDO_CHANNEL, 2, 1),
      P(STACK, 3, 1), P(BANK_GROUP, 2, 1), P(SID, 3, 1)},
     9, {{HBM_BANK_GROUP, HBM_ROW, 1, 1}, {HBM_BANK, HBM_COLUMN, 0, 1}}, 2, true},
    {{P(COLUMN, 2, 1), P(BANK_GROUP, 2, 1), P(CHANNEL, 2, 1), P(PSEUDO_CHANNEL, 2, 1), P(STACK, 3, 1), P(COLUMN, 2, 2),
      P(BANK, 2, 1), P(ROW, 6, 1), P(SID, 3, 1)},
     9, {{HBM_CHANNEL, HBM_ROW, 0, 1}, {HBM_PSEUDO_CHANNEL, HBM_ROW, 1, 1}, {HBM_BANK_GROUP, HBM_ROW, 2, 1}}, 3, true},
    /* flips of banks by columns of the same block */
    {{P(COLUMN, 4, 1), P(BANK, 2, 1), P(CHANNEL, 2, 1), P(PSEUDO_CHANNEL, 2, 1), P(STACK, 3, 1), P(BANK_GROUP, 2, 1),
      P(SID, 3, 1), P(ROW, 6, 1)},
     8, {{HBM_BANK_GROUP, HBM_COLUMN, 1, 1}, {HBM_BANK, HBM_COLUMN, 0, 1}}, 2, true},
    /* a channel flipped by a column within the granule: its parts go to different channels */
    {{P(COLUMN, 4, 1), P(CHANNEL, 2, 1), P(PSEUDO_CHANNEL, 2, 1), P(STACK, 3, 1), P(BANK_GROUP, 2, 1), P(BANK, 2, 1),
      P(SID, 3, 1), P(ROW, 6, 1)},
     8, {{HBM_CHANNEL, HBM_COLUMN, 1, 1}}, 1, false},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static hbm_map_t *create(const hbm_device_t *device, const map_case_t *c)
{
    hbm_map_t *map = NULL;
    CHECK_EQ(hbm_map_create(device, STACKS, c->pieces, c->n_pieces, c->xors, c->n_xors, &map), 0);
    return map;
}

static void every_address_has_its_own_place_and_back(void)
{
    hbm_device_t *device = small_device();
    REQUIRE(device != NULL);
    for (int i = 0; i < N_CASES; i++) {
        static bool seen[STACKS][2][2][3][2][2][6][4];
        hbm_map_t *map = create(device, &cases[i]);
        const uint64_t n = sizeof seen / sizeof(bool);
        REQUIRE(map != NULL);
        memset(seen, 0, sizeof seen);
        CHECK_EQ(hbm_map_capacity_bytes(map), n * 64);
        for (uint64_t burst = 0; burst < n; burst++) {
            const uint64_t address = burst * 64 + 63; /* any byte of the burst */
            uint64_t back = 0;
            int32_t c[8] = {0};
            int64_t bad = 0;
            bool *place;
            CHECK_EQ(hbm_map_decode(map, &address, 1, false, c, &bad), 0);
            place = &seen[c[0]][c[1]][c[2]][c[3]][c[4]][c[5]][c[6]][c[7]];
            CHECK(!*place);
            *place = true;
            CHECK_EQ(hbm_map_encode(map, c, 1, &back, &bad), 0);
            CHECK_EQ(back, burst * 64);
        }
        hbm_map_free(map);
    }
    hbm_device_free(device);
}

static void the_lowest_piece_changes_first(void)
{
    hbm_device_t *device = small_device();
    hbm_map_t *map = device == NULL ? NULL : create(device, &cases[0]);
    const uint64_t address[] = {0, 64, 128, 256, 512, 1536};
    int32_t c[6][8];
    int64_t bad = 0;
    REQUIRE(map != NULL);
    CHECK_EQ(hbm_map_decode(map, address, 6, false, c[0], &bad), 0);
    CHECK_EQ(bad, -1);
    CHECK_EQ(c[1][HBM_COLUMN], 1);
    CHECK_EQ(c[2][HBM_PSEUDO_CHANNEL], 1);
    CHECK_EQ(c[3][HBM_CHANNEL], 1);
    CHECK_EQ(c[4][HBM_STACK], 1);
    CHECK_EQ(c[5][HBM_COLUMN], 2);
    hbm_map_free(map);
    hbm_device_free(device);
}

/* Feeds walk local burst numbers through place, block and step; that walk must be the plain decoding. */
static void the_fast_walk_agrees_with_decode(void)
{
    hbm_device_t *device = small_device();
    REQUIRE(device != NULL);
    for (int i = 0; i < N_CASES; i++) {
        hbm_map_t *map = create(device, &cases[i]);
        REQUIRE(map != NULL);
        CHECK_EQ(map->interleaved, cases[i].interleaved);
        for (uint64_t burst = 0; burst < map->n_bursts; burst++) {
            const uint64_t address = burst * 64;
            const hbm_place_t place = hbm_map_place(map, burst);
            const int64_t block = place.local / map->block_size;
            const hbm_block_t b = hbm_map_block(map, block);
            const hbm_local_step_t s = map->step[place.local - block * map->block_size];
            int32_t c[8] = {0};
            int64_t bad = 0;
            const hbm_spot_t spot = hbm_map_spot(map, burst);
            CHECK_EQ(hbm_map_decode(map, &address, 1, false, c, &bad), 0);
            CHECK_EQ(hbm_spot_pc(spot), (c[HBM_STACK] * 2 + c[HBM_CHANNEL]) * 2 + c[HBM_PSEUDO_CHANNEL]);
            CHECK_EQ(hbm_spot_bank(spot), (c[HBM_SID] * 2 + c[HBM_BANK_GROUP]) * 2 + c[HBM_BANK]);
            CHECK_EQ(hbm_spot_row(spot), c[HBM_ROW]);
            CHECK_EQ(hbm_spot_column(spot), c[HBM_COLUMN]);
            CHECK_EQ(place.pc, hbm_spot_pc(spot));
            CHECK_EQ((b.bank + s.bank) ^ b.flip ^ s.flip, (c[HBM_SID] * 2 + c[HBM_BANK_GROUP]) * 2 + c[HBM_BANK]);
            CHECK_EQ(b.row, c[HBM_ROW]);
            CHECK_EQ(b.column + s.column, c[HBM_COLUMN]);
        }
        hbm_map_free(map);
    }
    hbm_device_free(device);
}

/* An interleaved map gives every pseudo-channel one interval of local numbers out of a run of whole superblocks. */
static void a_superblock_is_one_interval_of_every_pseudo_channel(void)
{
    hbm_device_t *device = small_device();
    REQUIRE(device != NULL);
    for (int i = 0; i < N_CASES; i++) {
        hbm_map_t *map = create(device, &cases[i]);
        REQUIRE(map != NULL);
        for (int64_t first = 0; map->interleaved && first < (int64_t)map->n_bursts; first += map->superblock_bursts) {
            int64_t seen[STACKS * 4] = {0};
            for (int64_t k = 0; k < map->superblock_bursts; k++) {
                const hbm_place_t place = hbm_map_place(map, (uint64_t)(first + k));
                const int64_t base = first / map->superblock_bursts * map->granule_bursts;
                CHECK(place.local >= base && place.local < base + map->granule_bursts);
                seen[place.pc]++;
            }
            for (int pc = 0; pc < STACKS * 4; pc++) {
                CHECK_EQ(seen[pc], map->granule_bursts);
            }
        }
        hbm_map_free(map);
    }
    hbm_device_free(device);
}

static void addresses_outside_are_named_or_wrapped(void)
{
    hbm_device_t *device = small_device();
    hbm_map_t *map = device == NULL ? NULL : create(device, &cases[0]);
    int32_t c[3][8], wrapped[3][8], outside[8] = {0};
    uint64_t address[3] = {0, 0, 64}, back = 0;
    int64_t bad = 0;
    REQUIRE(map != NULL);
    address[1] = hbm_map_capacity_bytes(map);
    CHECK_EQ(hbm_map_decode(map, address, 3, false, c[0], &bad), HBM_ERR_ADDRESS);
    CHECK_EQ(bad, 1);
    CHECK_EQ(hbm_map_decode(map, address, 3, true, wrapped[0], &bad), 0);
    CHECK_EQ(bad, -1);
    CHECK(memcmp(wrapped[1], wrapped[0], sizeof wrapped[0]) == 0);
    address[1] = UINT64_MAX;
    CHECK_EQ(hbm_map_decode(map, address, 3, true, wrapped[0], &bad), 0);
    for (int field = 0; field < 8; field++) {
        const int32_t size[] = {STACKS, 2, 2, 3, 2, 2, 6, 4};
        memset(outside, 0, sizeof outside);
        outside[field] = size[field];
        CHECK_EQ(hbm_map_encode(map, outside, 1, &back, &bad), HBM_ERR_ADDRESS);
        CHECK_EQ(bad, 0);
        outside[field] = -1;
        CHECK_EQ(hbm_map_encode(map, outside, 1, &back, &bad), HBM_ERR_ADDRESS);
    }
    hbm_map_free(map);
    hbm_device_free(device);
}

static void what_is_no_bijection_is_refused(void)
{
    const hbm_piece_t full[] = {P(COLUMN, 4, 1), P(PSEUDO_CHANNEL, 2, 1), P(CHANNEL, 2, 1), P(STACK, 3, 1),
                                P(BANK, 2, 1),   P(BANK_GROUP, 2, 1),     P(SID, 3, 1),     P(ROW, 6, 1)};
    const struct {
        int at; /* this piece of `full` ... */
        hbm_piece_t piece; /* ... replaced by this one */
    } broken[] = {
        {0, P(COLUMN, 2, 1)},            /* half of the columns */
        {0, P(COLUMN, 8, 1)},            /* columns that do not exist */
        {0, P(COLUMN, 4, 2)},            /* every other column */
        {7, P(COLUMN, 6, 4)},            /* no row at all */
        {1, P(CHANNEL, 2, 1)},           /* the same digit twice, no pseudo-channel */
        {6, P(SID, 4, 1)},               /* a fourth SID of a twelve-high stack */
        {7, P(ROW, 0, 1)},  {7, P(ROW, -6, 1)}, {7, P(ROW, 6, 0)},
        {7, {8, 6, 1}},     {7, {-1, 6, 1}},
    };
    hbm_device_t *device = small_device();
    hbm_map_t *map = NULL;
    REQUIRE(device != NULL);
    CHECK_EQ(hbm_map_create(device, STACKS, full, 8, NULL, 0, &map), 0);
    hbm_map_free(map);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        hbm_piece_t pieces[8];
        memcpy(pieces, full, sizeof pieces);
        pieces[broken[i].at] = broken[i].piece;
        CHECK_EQ(hbm_map_create(device, STACKS, pieces, 8, NULL, 0, &map), HBM_ERR_BAD_MAP);
        CHECK(map == NULL);
    }
    CHECK_EQ(hbm_map_create(device, STACKS, full, 7, NULL, 0, &map), HBM_ERR_BAD_MAP);
    CHECK_EQ(hbm_map_create(device, 0, full, 8, NULL, 0, &map), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_map_create(device, STACKS, full, -1, NULL, 0, &map), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_map_create(device, STACKS, full, HBM_MAX_PIECES + 1, NULL, 0, &map), HBM_ERR_BAD_ARGUMENT);
    hbm_device_free(device);
}

static void xors_that_could_leave_their_field_are_refused(void)
{
    static const hbm_xor_t broken[] = {
        {HBM_SID, HBM_ROW, 0, 1},          /* 3 SIDs: 2 ^ 1 does not exist */
        {HBM_STACK, HBM_ROW, 0, 1},        /* 3 stacks */
        {HBM_BANK, HBM_ROW, 0, 2},         /* mask beyond the field */
        {HBM_BANK, HBM_ROW, 0, -1},        {HBM_BANK, HBM_ROW, -1, 1}, {HBM_BANK, HBM_ROW, 32, 1},
        {HBM_ROW, HBM_COLUMN, 0, 1},       /* rows are never flipped */
        {HBM_BANK, HBM_CHANNEL, 0, 1},     /* sources are inside the pseudo-channel */
        {HBM_BANK, HBM_SID, 0, 1},         {8, HBM_ROW, 0, 1},         {HBM_BANK, 8, 0, 1},
    };
    const hbm_xor_t chain[] = {{HBM_BANK_GROUP, HBM_ROW, 0, 1}, {HBM_BANK, HBM_BANK_GROUP, 0, 1}};
    hbm_device_t *device = small_device();
    hbm_map_t *map = NULL;
    REQUIRE(device != NULL);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        CHECK_EQ(hbm_map_create(device, STACKS, cases[0].pieces, 9, &broken[i], 1, &map), HBM_ERR_BAD_MAP);
        CHECK(map == NULL);
    }
    CHECK_EQ(hbm_map_create(device, STACKS, cases[0].pieces, 9, chain, 2, &map), HBM_ERR_BAD_MAP);
    hbm_device_free(device);
}

/* Flat bank numbers are mixed-radix: with three banks to a group a flipped bit of the group is no bit of the number. */
static void xors_work_with_any_number_of_banks(void)
{
    int64_t values[N_FIELDS];
    hbm_device_t *device;
    hbm_map_t *map = NULL;
    const hbm_piece_t pieces[] = {P(COLUMN, 4, 1), P(PSEUDO_CHANNEL, 2, 1), P(CHANNEL, 2, 1), P(BANK, 3, 1),
                                  P(BANK_GROUP, 4, 1), P(SID, 2, 1), P(ROW, 6, 1)};
    const hbm_xor_t flip = {HBM_BANK_GROUP, HBM_ROW, 0, 3};
    int ret;

    fixture_values(values);
    values[F_banks_per_group] = 3;
    values[F_rows] = 6;
    values[F_columns] = 4;
    device = fixture_device_of(values);
    REQUIRE(device != NULL);
    ret = hbm_map_create(device, 1, pieces, 7, &flip, 1, &map);
    if (ret != 0) {
        CHECK_EQ(ret, HBM_ERR_BAD_MAP);
    }
    for (uint64_t burst = 0; map != NULL && burst < map->n_bursts; burst++) {
        const uint64_t address = burst * 64;
        const hbm_place_t place = hbm_map_place(map, burst);
        const int64_t block = place.local / map->block_size;
        const hbm_block_t b = hbm_map_block(map, block);
        const hbm_local_step_t s = map->step[place.local - block * map->block_size];
        int32_t c[8] = {0};
        int64_t bad = 0;
        CHECK_EQ(hbm_map_decode(map, &address, 1, false, c, &bad), 0);
        if (!CHECK_EQ((b.bank + s.bank) ^ b.flip ^ s.flip, (c[HBM_SID] * 4 + c[HBM_BANK_GROUP]) * 3 + c[HBM_BANK])) {
            break;
        }
    }
    hbm_map_free(map);
    hbm_device_free(device);
}

/* The largest device times the most stacks has more bytes than 64 bits can count. */
static void a_system_beyond_64_bits_of_address_is_refused(void)
{
    int64_t values[N_FIELDS];
    hbm_device_t *device;
    hbm_map_t *map = NULL;
    const hbm_piece_t pieces[] = {P(COLUMN, 1024, 1), P(PSEUDO_CHANNEL, 2, 1), P(CHANNEL, 4096, 1), P(STACK, 4096, 1),
                                  P(BANK, 4, 1), P(BANK_GROUP, 4, 1), P(SID, 4, 1), P(ROW, 1048576, 1)};

    fixture_values(values);
    values[F_channels] = 4096;
    values[F_sids] = 4;
    values[F_rows] = 1048576;
    values[F_columns] = 1024;
    values[F_burst_bytes] = 4096;
    device = fixture_device_of(values);
    REQUIRE(device != NULL);
    CHECK(hbm_map_create(device, 4096, pieces, 8, NULL, 0, &map) < 0);
    CHECK(map == NULL);
    hbm_map_free(map);
    hbm_device_free(device);
}

static int create_and_free(void *arg)
{
    hbm_map_t *map = NULL;
    const int ret = hbm_map_create(arg, STACKS, cases[2].pieces, cases[2].n_pieces, cases[2].xors, 2, &map);
    hbm_map_free(map);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    hbm_device_t *device = small_device();
    CHECK(faults_sweep(create_and_free, device) >= 1);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(every_address_has_its_own_place_and_back), T(the_lowest_piece_changes_first),
      T(the_fast_walk_agrees_with_decode), T(a_superblock_is_one_interval_of_every_pseudo_channel),
      T(addresses_outside_are_named_or_wrapped), T(what_is_no_bijection_is_refused),
      T(xors_that_could_leave_their_field_are_refused), T(xors_work_with_any_number_of_banks),
      T(a_system_beyond_64_bits_of_address_is_refused), T(running_out_of_memory_is_reported))

/* Spots: whatever the map, the place of a burst in one number is that of its plain decoding. */
#include "addrmap.h"
#include "fixture.h"
#include "testlib.h"

enum { N_MAPS = 400, N_BURSTS = 200 };

static uint64_t seed;

static int64_t below(int64_t n) { return (int64_t)(test_random(&seed) % (uint64_t)n); }

static int64_t one_of(const int64_t *values, int64_t n) { return values[below(n)]; }

static bool is_power_of_two(int64_t x) { return (x & (x - 1)) == 0; }

/* Cuts a field of some size into digits. */
static int32_t cut(hbm_piece_t *pieces, int32_t n, int32_t field, int64_t size)
{
    int64_t multiplier = 1;

    while (size > 1) {
        int64_t radix = size % 3 == 0 && below(2) == 0 ? 3 : size;
        if (is_power_of_two(size) && below(3) > 0) {
            radix = INT64_C(2) << below(__builtin_ctzll((uint64_t)size));
        }
        pieces[n++] = (hbm_piece_t){field, (int32_t)radix, (int32_t)multiplier};
        multiplier *= radix;
        size /= radix;
    }
    return n;
}

/* Terms that may be refused. */
static int32_t draw_xors(const int64_t *size, hbm_xor_t *xors)
{
    const int32_t n = (int32_t)below(4), source = (int32_t)(below(2) == 0 ? HBM_ROW : HBM_SID + below(5));
    int32_t used = 0;

    for (int32_t i = 0; i < n; i++) {
        const int32_t target = (int32_t)below(HBM_ROW);
        if (target != source && size[target] > 1 && is_power_of_two(size[target])) {
            xors[used++] = (hbm_xor_t){target, source, (int32_t)below(4), (int32_t)below(size[target])};
        }
    }
    return used;
}

static void shuffle(hbm_piece_t *pieces, int32_t n)
{
    for (int32_t i = n - 1; i > 0; i--) {
        const int32_t k = (int32_t)below(i + 1);
        const hbm_piece_t swapped = pieces[i];
        pieces[i] = pieces[k];
        pieces[k] = swapped;
    }
}

static void check_burst(const hbm_map_t *map, const int64_t *size, int64_t burst_bytes, uint64_t burst)
{
    const uint64_t address = burst * (uint64_t)burst_bytes;
    const hbm_spot_t spot = hbm_map_spot(map, burst);
    int32_t c[8] = {0};
    int64_t bad = 0;

    CHECK_EQ(hbm_map_decode(map, &address, 1, false, c, &bad), 0);
    CHECK_EQ(hbm_spot_pc(spot), (c[HBM_STACK] * size[HBM_CHANNEL] + c[HBM_CHANNEL]) * size[HBM_PSEUDO_CHANNEL] +
                                    c[HBM_PSEUDO_CHANNEL]);
    CHECK_EQ(hbm_spot_bank(spot),
             (c[HBM_SID] * size[HBM_BANK_GROUP] + c[HBM_BANK_GROUP]) * size[HBM_BANK] + c[HBM_BANK]);
    CHECK_EQ(hbm_spot_row(spot), c[HBM_ROW]);
    CHECK_EQ(hbm_spot_column(spot), c[HBM_COLUMN]);
    CHECK_EQ(spot & HBM_SPOT_WRITE, 0);
    CHECK_EQ(hbm_spot(hbm_spot_bank(spot), hbm_spot_row(spot), hbm_spot_column(spot)),
             spot & ((UINT64_C(1) << HBM_SPOT_PC_AT) - 1));
}

/* Any sizes, any digits in any order, with and without flips; every way in which a map makes spots is met. */
static void a_spot_is_the_plain_decoding(void)
{
    static const int64_t channels[] = {1, 2, 3, 8, 16, 32}, sids[] = {1, 2, 3, 4}, banks[] = {1, 2, 3, 4};
    static const int64_t rows[] = {1, 2, 7, 96, 12288, 16384, 999983, 1048576}, columns[] = {1, 4, 32, 1024};
    int late_digits = 0, large_digits = 0, flips = 0, apart = 0;

    seed = 20;
    for (int i = 0; i < N_MAPS; i++) {
        int64_t values[N_FIELDS], size[8];
        hbm_piece_t pieces[HBM_MAX_PIECES * 2];
        hbm_xor_t xors[4];
        hbm_device_t *device;
        hbm_map_t *map = NULL;
        int32_t n = 0, n_xors;

        fixture_values(values);
        size[HBM_STACK] = 1 + below(8);
        size[HBM_CHANNEL] = values[F_channels] = one_of(channels, 6);
        size[HBM_PSEUDO_CHANNEL] = values[F_pseudo_channels] = 1 + below(2);
        size[HBM_SID] = values[F_sids] = one_of(sids, 4);
        size[HBM_BANK_GROUP] = values[F_bank_groups] = one_of(banks, 4);
        size[HBM_BANK] = values[F_banks_per_group] = one_of(banks, 4);
        size[HBM_ROW] = values[F_rows] = one_of(rows, 8);
        size[HBM_COLUMN] = values[F_columns] = one_of(columns, 4);
        values[F_burst_bytes] = below(2) == 0 ? 32 : 48;
        device = fixture_device_of(values);
        REQUIRE(device != NULL);
        for (int32_t field = 0; field < 8; field++) {
            n = cut(pieces, n, field, size[field]);
        }
        shuffle(pieces, n);
        n_xors = draw_xors(size, xors);
        if (hbm_map_create(device, (int32_t)size[HBM_STACK], pieces, n, xors, n_xors, &map) == 0) {
            for (int k = 0; k < N_BURSTS; k++) {
                check_burst(map, size, values[F_burst_bytes], (uint64_t)below((int64_t)map->n_bursts));
            }
            check_burst(map, size, values[F_burst_bytes], 0);
            check_burst(map, size, values[F_burst_bytes], map->n_bursts - 1);
            for (int32_t k = 0; k < map->n_digits; k++) {
                large_digits += map->digit[k].radix > HBM_SPOT_TABLE_SIZE;
                late_digits += map->digit[k].radix <= HBM_SPOT_TABLE_SIZE && map->digit[k].table < 0;
            }
            flips += n_xors > 0 && !map->flips_apart;
            apart += map->flips_apart;
        }
        hbm_map_free(map);
        hbm_device_free(device);
    }
    CHECK(late_digits > 0 && large_digits > 0 && flips > 0 && apart > 0);
}

/* The highest values of every coordinate that a device may have do not run into each other. */
static void the_largest_device_fits(void)
{
    const hbm_spot_t spot = hbm_spot(HBM_MAX_BANKS - 1, (1 << 20) - 1, 1023);

    CHECK_EQ(hbm_spot_bank(spot), HBM_MAX_BANKS - 1);
    CHECK_EQ(hbm_spot_row(spot), (1 << 20) - 1);
    CHECK_EQ(hbm_spot_column(spot), 1023);
    CHECK_EQ(hbm_spot_pc(spot), 0);
    CHECK_EQ(hbm_spot_pc(spot | (UINT64_C(4096) * 4096 * 2 - 1) << HBM_SPOT_PC_AT), 4096 * 4096 * 2 - 1);
}

TESTS(T(a_spot_is_the_plain_decoding), T(the_largest_device_fits))

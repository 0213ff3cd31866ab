/* Drives the core for instruction counting: drive_core WORKLOAD BURSTS DEVICE_VALUE...
 * Workloads: stream (one operand), triad (two operands read, one written), random (uniform, 32-byte reads),
 * sparse (random at a tenth of the load).  The device's numbers come from the command line, in the order of
 * hbm_device_field_name, so that this file knows no preset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hbm.h"

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int check(int code, const char *what)
{
    if (code != 0) {
        fprintf(stderr, "%s: %s\n", what, hbm_strerror(code));
        exit(1);
    }
    return code;
}

int main(int argc, char **argv)
{
    const int32_t n_fields = hbm_device_n_fields();
    int64_t values[128] = {0}, n, end = 0, bad = 0, tick_step = 0;
    int32_t bad_field = 0, bad_access = 0, operation = 0;
    hbm_device_t *device = NULL;
    hbm_map_t *map = NULL;
    hbm_system_t *system = NULL;
    const hbm_policy_t policy = {.cap = 16, .timeout_ticks = 100, .postpone = 24, .refresh_scale = 1, .read_queue = 64,
                                 .write_queue = 64, .write_high = 56, .write_low = 8, .window = 512, .host_ticks = 240,
                                 .skip = true, .epoch_ticks = 4000};

    if (argc != 3 + n_fields) {
        fprintf(stderr, "usage: drive_core WORKLOAD BURSTS and %d device values\n", n_fields);
        return 2;
    }
    n = atoll(argv[2]);
    for (int32_t i = 0; i < n_fields; i++) {
        values[i] = atoll(argv[3 + i]);
    }
    check(hbm_device_create(values, n_fields, &device, &bad_field), "device");
    {   /* row sid bank column channel pseudo_channel column[low] bank_group, one stack, 8 bursts per granule */
        const int32_t channels = (int32_t)values[0], pcs = (int32_t)values[1], sids = (int32_t)values[2];
        const int32_t groups = (int32_t)values[3], banks = (int32_t)values[4], rows = (int32_t)values[5];
        const int32_t low = 8 / groups, high = (int32_t)values[6] / low;
        const hbm_piece_t pieces[] = {{HBM_BANK_GROUP, groups, 1}, {HBM_COLUMN, low, 1}, {HBM_PSEUDO_CHANNEL, pcs, 1},
                                      {HBM_CHANNEL, channels, 1},  {HBM_COLUMN, high, low}, {HBM_BANK, banks, 1},
                                      {HBM_SID, sids, 1},          {HBM_ROW, rows, 1}};
        check(hbm_map_create(device, 1, pieces, 8, NULL, 0, &map), "map");
    }
    check(hbm_system_create(device, map, &policy, 1, &system), "system");
    if (strcmp(argv[1], "stream") == 0 || strcmp(argv[1], "triad") == 0) {
        const int32_t operands = argv[1][0] == 's' ? 1 : 3;
        hbm_access_t access[3];
        memset(access, 0, sizeof access);
        for (int32_t i = 0; i < operands; i++) {
            access[i].base = i * (INT64_C(1) << 30) + i * (INT64_C(1) << 18);
            access[i].run_bytes = n / operands * 32;
            access[i].is_write = i == 2;
        }
        check(hbm_system_submit(system, access, operands, 0, 0, 32, false, &bad_access), "submit");
        check(hbm_system_next_end(system, &operation, &end), "operation");
    } else {
        uint64_t state = 88172645463325252u;
        const uint64_t capacity = hbm_map_capacity_bytes(map) / 32;
        const int64_t block = n < (1 << 20) ? n : 1 << 20;
        uint64_t *address = malloc((size_t)block * sizeof *address);
        uint8_t *is_write = calloc((size_t)block, 1);
        int64_t *tick = malloc((size_t)block * sizeof *tick), now = 0;
        if (address == NULL || is_write == NULL || tick == NULL) {
            return 1;
        }
        tick_step = strcmp(argv[1], "sparse") == 0;
        for (int64_t done = 0; done < n; done += block) {
            for (int64_t i = 0; i < block; i++) {
                address[i] = next_random(&state) % capacity * 32;
                now += (int64_t)(next_random(&state) % 2) * tick_step; /* 64 pseudo-channels, 4 ticks a burst: 10 % */
                tick[i] = now * 5 / 4;
            }
            check(hbm_system_requests(system, address, is_write, tick_step ? tick : NULL, block, false, &bad), "requests");
        }
        free(address);
        free(is_write);
        free(tick);
    }
    check(hbm_system_finish(system, &end), "finish");
    printf("%s %lld bursts end_tick %lld\n", argv[1], (long long)n, (long long)end);
    hbm_system_free(system);
    hbm_map_free(map);
    hbm_device_free(device);
    return 0;
}

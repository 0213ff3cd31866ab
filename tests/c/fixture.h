/* Devices for the tests.  Timings are distinct numbers chosen so that each rule of docs/model/controller.md can be told
 * from its neighbours; they describe no product. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stddef.h>

#include "hbm.h"

/* Index of every device field: F_RCDRD, ... */
enum {
#define HBM_FIELD(name, low, high, text) F_##name,
#include "device_fields.def"
#undef HBM_FIELD
    N_FIELDS
};

static inline void fixture_values(int64_t *v)
{
    const int64_t values[N_FIELDS] = {
        [F_channels] = 2, [F_pseudo_channels] = 2, [F_sids] = 2, [F_bank_groups] = 4, [F_banks_per_group] = 4,
        [F_rows] = 96, [F_columns] = 32, [F_burst_bytes] = 64,
        [F_act_ticks] = 3, [F_act_reference] = 2, [F_row_ticks] = 1, [F_column_ticks] = 2, [F_column_reference] = 1,
        [F_pre_any_edge] = 1,
        [F_RL] = 30, [F_WL] = 14, [F_BL] = 4, [F_RCDRD] = 37, [F_RCDWR] = 29, [F_RP] = 31, [F_RAS] = 67, [F_RC] = 104,
        [F_WR] = 41, [F_RTP] = 11, [F_RRDS] = 6, [F_RRDL] = 10, [F_FAW] = 50, [F_CCDS] = 4, [F_CCDL] = 8, [F_CCDR] = 6,
        [F_WTRS] = 7, [F_WTRL] = 13, [F_RTW] = 21, [F_PPD] = 3, [F_RREFD] = 16, [F_REFI] = 7800, [F_REFIpb] = 240,
        [F_RFCab] = 700, [F_RFCpb] = 400, [F_RFMab] = 690, [F_RFMpb] = 390, [F_RAAIMT] = 0, [F_RAAMMT] = 0,
        [F_RAADEC] = 0, [F_XP] = 15, [F_CPDED] = 10, [F_PDmin] = 15, [F_XS] = 720, [F_postpone_max] = 8,
    };
    for (int i = 0; i < N_FIELDS; i++) {
        v[i] = values[i];
    }
}

/* Dies early in a test program if the values are refused: every other test rests on them. */
static inline hbm_device_t *fixture_device_of(const int64_t *values)
{
    hbm_device_t *device = NULL;
    int32_t bad = -1;
    return hbm_device_create(values, N_FIELDS, &device, &bad) == 0 ? device : NULL;
}

static inline hbm_device_t *fixture_device(void)
{
    int64_t values[N_FIELDS];
    fixture_values(values);
    return fixture_device_of(values);
}

/* The policy of a plain controller: FR-FCFS, open pages, no refresh. */
static inline hbm_policy_t fixture_policy(void)
{
    const hbm_policy_t policy = {
        .cap = 16, .timeout_ticks = 800, .refresh_scale = 1, .read_queue = 16, .write_queue = 16, .write_high = 12,
        .write_low = 4, .skip = true, .epoch_ticks = 1 << 12, .refresh = 2,
    };
    return policy;
}

#endif

/* The immutable device: organisation and timing in ticks, with what the core derives from them once.
 * Must not know queues, policies or addresses. */
#ifndef HBM_DEVICE_H
#define HBM_DEVICE_H

#include "core.h"

struct hbm_device {
#define HBM_FIELD(name, low, high, text) int64_t name;
#include "device_fields.def"
#undef HBM_FIELD
    int32_t banks;           /* per pseudo-channel */
    int32_t groups;          /* sids * bank_groups */
    int32_t banks_per_sid;
    int64_t column_busy;     /* column_ticks to the end of their last clock: column commands start on rising edges */
    uint8_t group_of[HBM_MAX_BANKS];
    uint8_t sid_of[HBM_MAX_BANKS];
    uint64_t group_banks[HBM_MAX_BANKS]; /* by group */
};

#endif

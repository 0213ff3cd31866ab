/* Builds and validates a device from its numbers.  Every rule refused here is one that would make the timing tables
 * inconsistent; whether a number is plausible is for the presets to say. */
#include "device.h"

#include <stdlib.h>

typedef struct {
    const char *name;
    const char *text;
    int64_t low;
    int64_t high;
} field_t;

static const field_t *field(int32_t i)
{
    static const field_t table[] = {
#define HBM_FIELD(name, low, high, text) {#name, text, low, high},
#include "device_fields.def"
#undef HBM_FIELD
    };
    return i >= 0 && (size_t)i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

int32_t hbm_device_n_fields(void)
{
    int32_t n = 0;
#define HBM_FIELD(name, low, high, text) n++;
#include "device_fields.def"
#undef HBM_FIELD
    return n;
}

const char *hbm_device_field_name(int32_t i)
{
    const field_t *f = field(i);
    return f ? f->name : NULL;
}

const char *hbm_device_field_text(int32_t i)
{
    const field_t *f = field(i);
    return f ? f->text : NULL;
}

/* Index of the first field that breaks a rule, or -1.  The rules tie values together; ranges were checked before. */
static int32_t first_inconsistent(const hbm_device_t *d)
{
    const struct {
        bool broken;
        const int64_t *at;
    } rule[] = {
        {d->sids * d->bank_groups * d->banks_per_group > HBM_MAX_BANKS, &d->banks_per_group},
        {d->act_reference > d->act_ticks, &d->act_reference},
        {d->RC < d->RAS, &d->RC},
        {d->CCDL < d->CCDS, &d->CCDL},
        {d->CCDR < d->CCDS, &d->CCDR},
        {d->CCDS < d->BL, &d->CCDS},
        {d->CCDS < d->column_ticks, &d->CCDS},
        {d->RTW < d->BL || d->RTW < d->RL + d->BL - d->WL, &d->RTW}, /* read data and write data would overlap */
        {d->RRDL < d->RRDS, &d->RRDL},
        {d->WTRL < d->WTRS, &d->WTRL},
        {d->RP < d->act_reference, &d->RP},
        {d->RFCpb < d->RP || d->RFMpb < d->RP, &d->RFCpb},
        {d->RFCab < d->RP || d->RFMab < d->RP, &d->RFCab},
        {d->RAAIMT == 1, &d->RAAIMT}, /* an RFM after every ACT would leave no time for its column command */
        {d->RAAIMT > 0 && d->RAAMMT < d->RAAIMT, &d->RAAMMT},
        {d->RREFD > d->RFCpb || d->RREFD > d->RFMpb, &d->RREFD},
    };
    const int64_t *first = (const int64_t *)(const void *)d;
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        if (rule[i].broken) {
            return (int32_t)(rule[i].at - first);
        }
    }
    return -1;
}

int hbm_device_create(const int64_t *values, int32_t n, hbm_device_t **out, int32_t *bad_field)
{
    int ret = 0;
    int64_t *to;
    hbm_device_t *d = NULL;

    *out = NULL;
    *bad_field = -1;
    if (n != hbm_device_n_fields()) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    d = calloc(1, sizeof *d);
    if (d == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    to = (int64_t *)(void *)d; /* the fields come first, in the order of device_fields.def */
    for (int32_t i = 0; i < n; i++) {
        if (values[i] < field(i)->low || values[i] > field(i)->high) {
            *bad_field = i;
            ret = HBM_ERR_BAD_DEVICE;
            goto out;
        }
        to[i] = values[i];
    }
    *bad_field = first_inconsistent(d);
    if (*bad_field >= 0) {
        ret = HBM_ERR_BAD_DEVICE;
        goto out;
    }
    d->column_busy = hbm_rising(d->column_ticks);
    d->groups = (int32_t)(d->sids * d->bank_groups);
    d->banks_per_sid = (int32_t)(d->bank_groups * d->banks_per_group);
    d->banks = (int32_t)(d->sids * d->banks_per_sid);
    for (int32_t b = 0; b < d->banks; b++) {
        d->group_of[b] = (uint8_t)(b / d->banks_per_group);
        d->sid_of[b] = (uint8_t)(b / d->banks_per_sid);
        d->group_banks[d->group_of[b]] |= hbm_bit(b);
    }
out:
    if (ret != 0) {
        hbm_device_free(d);
    } else {
        *out = d;
    }
    return ret;
}

void hbm_device_free(hbm_device_t *self) { free(self); }

int64_t hbm_device_least_refresh_interval(const hbm_device_t *self, bool per_bank)
{
    const hbm_device_t *d = self;
    const int64_t read = d->RCDRD + d->column_reference + d->RTP;
    const int64_t write = d->RCDWR + d->column_reference + d->WL + d->BL + d->WR;
    const int64_t row = hbm_max(d->RC, hbm_max(d->RAS, hbm_max(read, write)) + d->RP);
    const int64_t bank = (d->RFCpb + row + d->banks - 1) / d->banks;

    /* REFpb start on rising edges, at most four of them in a tFAW; one tick more, so that what is behind can catch up. */
    return per_bank ? hbm_max(hbm_max(hbm_rising(d->RREFD), (d->FAW + 3) / 4) + 1, bank) : d->RFCab + row;
}

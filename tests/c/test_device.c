/* Devices: what is refused, which field is named, and that the limits themselves are allowed. */
#include "faults.h"
#include "device.h"
#include "fixture.h"
#include "testlib.h"

static int create(const int64_t *values, int32_t *bad)
{
    hbm_device_t *device = NULL;
    const int ret = hbm_device_create(values, N_FIELDS, &device, bad);
    CHECK((device != NULL) == (ret == 0));
    hbm_device_free(device);
    return ret;
}

static void the_fields_have_names_and_meanings(void)
{
    CHECK_EQ(hbm_device_n_fields(), N_FIELDS);
    for (int32_t i = 0; i < N_FIELDS; i++) {
        CHECK(strlen(hbm_device_field_name(i)) > 0);
        CHECK(strlen(hbm_device_field_text(i)) > 0);
    }
    CHECK(strcmp(hbm_device_field_name(F_RCDRD), "RCDRD") == 0);
    CHECK(hbm_device_field_name(-1) == NULL);
    CHECK(hbm_device_field_name(N_FIELDS) == NULL);
    CHECK(hbm_device_field_text(N_FIELDS) == NULL);
}

static void values_arrive_under_their_names(void)
{
    int64_t values[N_FIELDS];
    hbm_device_t *d = fixture_device();
    fixture_values(values);
    REQUIRE(d != NULL);
#define HBM_FIELD(name, low, high, text) CHECK_EQ(d->name, values[F_##name]);
#include "device_fields.def"
#undef HBM_FIELD
    hbm_device_free(d);
}

static void banks_know_their_group_and_sid(void)
{
    hbm_device_t *d = fixture_device();
    REQUIRE(d != NULL);
    CHECK_EQ(d->banks, 2 * 4 * 4);
    CHECK_EQ(d->groups, 2 * 4);
    for (int sid = 0; sid < 2; sid++) {
        for (int group = 0; group < 4; group++) {
            for (int bank = 0; bank < 4; bank++) {
                const int flat = (sid * 4 + group) * 4 + bank;
                CHECK_EQ(d->sid_of[flat], sid);
                CHECK_EQ(d->group_of[flat], sid * 4 + group);
            }
        }
    }
    hbm_device_free(d);
}

static void a_value_outside_its_range_is_named(void)
{
    const int64_t low[] = {
#define HBM_FIELD(name, lo, hi, text) lo,
#include "device_fields.def"
#undef HBM_FIELD
    };
    const int64_t high[] = {
#define HBM_FIELD(name, lo, hi, text) hi,
#include "device_fields.def"
#undef HBM_FIELD
    };
    for (int32_t i = 0; i < N_FIELDS; i++) {
        const int64_t outside[] = {low[i] - 1, high[i] + 1, INT64_MIN, INT64_MAX};
        for (int k = 0; k < 4; k++) {
            int64_t values[N_FIELDS];
            int32_t bad = -1;
            fixture_values(values);
            values[i] = outside[k];
            CHECK_EQ(create(values, &bad), HBM_ERR_BAD_DEVICE);
            CHECK_EQ(bad, i);
        }
    }
}

static void values_that_contradict_each_other_are_named(void)
{
    static const struct {
        int field;
        int64_t value;
        int blamed;
    } rule[] = {
        {F_sids, 4, F_banks_per_group},        /* 64 banks are the most: 4 * 4 * 4 is allowed, 4 * 4 * 5 is not */
        {F_act_reference, 4, F_act_reference}, /* later than the last edge of the command */
        {F_RC, 66, F_RC},                      /* RAS is 67 */
        {F_CCDL, 3, F_CCDL},                   /* CCDS is 4 */
        {F_CCDR, 3, F_CCDR},
        {F_CCDS, 3, F_CCDS},                   /* BL is 4 */
        {F_RRDL, 5, F_RRDL},                   /* RRDS is 6 */
        {F_WTRL, 6, F_WTRL},                   /* WTRS is 7 */
        {F_RFCpb, 30, F_RFCpb},                /* RP is 31 */
        {F_RFCab, 30, F_RFCab},
        {F_RAAIMT, 5, F_RAAMMT},               /* RAAMMT is 0 */
        {F_RAAIMT, 1, F_RAAIMT},               /* nothing but RFM would fit */
    };
    for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
        int64_t values[N_FIELDS];
        int32_t bad = -1;
        fixture_values(values);
        values[rule[i].field] = rule[i].value;
        if (rule[i].field == F_sids) {
            CHECK_EQ(create(values, &bad), 0);
            values[F_banks_per_group] = 5;
        }
        CHECK_EQ(create(values, &bad), HBM_ERR_BAD_DEVICE);
        CHECK_EQ(bad, rule[i].blamed);
    }
}

static void values_that_just_agree_are_allowed(void)
{
    static const int equal[][2] = {
        {F_RC, F_RAS},       {F_CCDL, F_CCDS}, {F_CCDR, F_CCDS},   {F_CCDS, F_BL},         {F_RRDL, F_RRDS},
        {F_WTRL, F_WTRS},    {F_RFCpb, F_RP},  {F_RFMpb, F_RP},    {F_RFCab, F_RP},        {F_RFMab, F_RP},
        {F_RP, F_act_reference}, {F_RREFD, F_RFMpb}, {F_RAAMMT, F_RAAIMT}, {F_act_reference, F_act_ticks},
    };
    for (size_t i = 0; i < sizeof equal / sizeof equal[0]; i++) {
        int64_t values[N_FIELDS];
        int32_t bad = -1;
        fixture_values(values);
        values[F_RAAIMT] = 32;
        values[F_RAAMMT] = 96;
        CHECK_EQ(create(values, &bad), 0);
        values[equal[i][0]] = values[equal[i][1]];
        if (equal[i][1] == F_RP) { /* a refresh may not be shorter than the distance of refreshes */
            values[F_RREFD] = values[F_RP];
        }
        CHECK_EQ(create(values, &bad), 0);
        CHECK_EQ(bad, -1);
    }
    CHECK_EQ(faults_live(), 0);
}

static void the_number_of_values_must_match(void)
{
    int64_t values[N_FIELDS + 1] = {0};
    hbm_device_t *device = NULL;
    int32_t bad = 0;
    fixture_values(values);
    CHECK_EQ(hbm_device_create(values, N_FIELDS - 1, &device, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK(device == NULL);
    CHECK_EQ(hbm_device_create(values, N_FIELDS + 1, &device, &bad), HBM_ERR_BAD_ARGUMENT);
    CHECK(device == NULL);
}

static int create_and_free(void *arg)
{
    int32_t bad = -1;
    hbm_device_t *device = NULL;
    const int ret = hbm_device_create(arg, N_FIELDS, &device, &bad);
    hbm_device_free(device);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    int64_t values[N_FIELDS];
    fixture_values(values);
    CHECK(faults_sweep(create_and_free, values) >= 1);
}

static void free_accepts_nothing(void) { hbm_device_free(NULL); }

TESTS(T(the_fields_have_names_and_meanings), T(values_arrive_under_their_names), T(banks_know_their_group_and_sid),
      T(a_value_outside_its_range_is_named), T(values_that_contradict_each_other_are_named),
      T(values_that_just_agree_are_allowed), T(the_number_of_values_must_match), T(running_out_of_memory_is_reported), T(free_accepts_nothing))

/* Policies: the core describes itself, and a configuration that makes no sense is refused. */
#include "policy.h"

#include "fixture.h"
#include "testlib.h"

static void every_policy_is_named_and_described(void)
{
    int n[4] = {0, 0, 0, 0};
    for (int32_t i = 0; hbm_policy_info(i) != NULL; i++) {
        const hbm_policy_info_t *info = hbm_policy_info(i);
        n[0] += strcmp(info->kind, "scheduler") == 0;
        n[1] += strcmp(info->kind, "page_policy") == 0;
        n[2] += strcmp(info->kind, "refresh") == 0;
        n[3] += strcmp(info->kind, "power") == 0;
        CHECK(strlen(info->name) > 0);
        CHECK(strlen(info->text) > 0);
        CHECK(info->parameters != NULL);
        for (int32_t k = 0; k < i; k++) {
            const hbm_policy_info_t *other = hbm_policy_info(k);
            CHECK(strcmp(info->kind, other->kind) != 0 || strcmp(info->name, other->name) != 0);
        }
        CHECK_EQ(n[0] + n[1] + n[2] + n[3], i + 1); /* no other kinds */
    }
    CHECK(n[0] >= 3 && n[1] >= 3 && n[2] >= 3 && n[3] >= 3);
    CHECK(hbm_policy_info(-1) == NULL);
    CHECK(hbm_scheduler(n[0]) == NULL && hbm_page_policy(n[1]) == NULL && hbm_refresh_policy(n[2]) == NULL);
    CHECK(hbm_power_policy(n[3]) == NULL && hbm_power_policy(-1) == NULL);
    CHECK(hbm_scheduler(-1) == NULL && hbm_page_policy(-1) == NULL && hbm_refresh_policy(-1) == NULL);
}

static int init(hbm_policy_t policy)
{
    hbm_device_t *device = fixture_device();
    hbm_policies_t policies;
    const int ret = hbm_policies_init(&policies, &policy, device);
    hbm_device_free(device);
    return ret;
}

static void a_sound_configuration_is_accepted(void) { CHECK_EQ(init(fixture_policy()), 0); }

static void nonsense_is_refused(void)
{
#define REFUSED(member, value)                                                                                         \
    do {                                                                                                               \
        hbm_policy_t p = fixture_policy();                                                                             \
        p.refresh = 0;                                                                                                 \
        CHECK_EQ(init(p), 0);                                                                                          \
        p.member = value;                                                                                              \
        CHECK_EQ(init(p), HBM_ERR_BAD_POLICY);                                                                         \
    } while (0)

    REFUSED(scheduler, -1);
    REFUSED(scheduler, 99);
    REFUSED(page, 99);
    REFUSED(refresh, -1);
    REFUSED(refresh, 99);
    REFUSED(power, -1);
    REFUSED(power, 99);
    REFUSED(power_down_ticks, -1);
    REFUSED(power_down_ticks, INT64_MAX);
    REFUSED(self_refresh_ticks, -1);
    REFUSED(self_refresh_ticks, INT64_MAX);
    REFUSED(cap, 0);
    REFUSED(timeout_ticks, -1);
    REFUSED(timeout_ticks, INT64_MAX);
    REFUSED(postpone, -1);
    REFUSED(postpone, 8 * 32 + 1); /* the device allows 8 REFab, that is 8 rounds of 32 banks */
    REFUSED(pull_in, -1);
    REFUSED(pull_in, 8 * 32 + 1);
    REFUSED(pull_in, INT64_MAX);
    REFUSED(refresh_scale, 0);
    REFUSED(refresh_scale, 3);
    REFUSED(read_queue, 0);
    REFUSED(read_queue, HBM_MAX_QUEUE + 1);
    REFUSED(write_queue, 0);
    REFUSED(write_high, 17); /* never reached: the queue holds 16 */
    REFUSED(write_low, 12);  /* not below write_high */
    REFUSED(write_low, -1);
    REFUSED(window, -1);
    REFUSED(host_ticks, -1);
    REFUSED(host_ticks, INT64_MAX);
    REFUSED(epoch_ticks, 0);
    REFUSED(log_from_tick, -1);
    REFUSED(log_to_tick, -1);
}

static void a_refresh_interval_that_cannot_be_kept_is_refused(void)
{
    for (int refresh = 0; refresh < 2; refresh++) {
        for (int64_t short_of = 0; short_of < 2; short_of++) {
            hbm_policy_t policy = fixture_policy();
            hbm_policies_t policies;
            int64_t values[N_FIELDS];
            hbm_device_t *device = fixture_device();
            const int64_t least = hbm_device_least_refresh_interval(device, refresh == 0);

            hbm_device_free(device);
            fixture_values(values);
            values[refresh == 0 ? F_REFIpb : F_REFI] = 4 * least - short_of;
            device = fixture_device_of(values);
            policy.refresh = refresh;
            policy.refresh_scale = 4;
            CHECK_EQ(hbm_policies_init(&policies, &policy, device), short_of ? HBM_ERR_BAD_POLICY : 0);
            hbm_device_free(device);
        }
    }
}

TESTS(T(every_policy_is_named_and_described), T(a_sound_configuration_is_accepted), T(nonsense_is_refused),
      T(a_refresh_interval_that_cannot_be_kept_is_refused))

/* Classes of traffic: who goes first, what a burst costs, which input it comes from, and that every allocation may fail. */
#include "system.h"

#include "faults.h"
#include "fixture.h"
#include "testlib.h"

static hbm_device_t *device;
static hbm_map_t *map;

static bool setup(void)
{
    const hbm_piece_t pieces[] = {
        {HBM_COLUMN, 4, 1},     {HBM_PSEUDO_CHANNEL, 2, 1}, {HBM_CHANNEL, 2, 1}, {HBM_BANK_GROUP, 4, 1}, {HBM_BANK, 4, 1},
        {HBM_COLUMN, 8, 4},     {HBM_SID, 2, 1},            {HBM_ROW, 96, 1},
    };
    if (map == NULL) {
        device = fixture_device();
        CHECK(device != NULL && hbm_map_create(device, 1, pieces, 8, NULL, 0, &map) == 0);
    }
    return map != NULL;
}

static const hbm_quota_t ANY = {.read_entries = 64, .write_entries = 64};

static void the_order_of_classes_is_share_then_priority_then_turn(void)
{
    hbm_class_t a = {.quota = ANY, .turn = 5}, b = {.quota = ANY, .turn = 3};

    CHECK(!hbm_class_precedes(&a, &b, 100)); /* b waits longer */
    a.quota.priority = 1;
    CHECK(hbm_class_precedes(&a, &b, 100));
    b.quota.reserved_gap_256 = 1024;
    b.reserved_256 = 100 * 256;
    CHECK(!hbm_class_precedes(&a, &b, 100)); /* b is below its share */
    CHECK(hbm_class_precedes(&a, &b, 99));   /* not yet */
    a.quota.reserved_gap_256 = 1024;
    CHECK(hbm_class_precedes(&a, &b, 100)); /* both are */
}

static void a_cap_spaces_bursts_and_gives_back_what_was_left_unused(void)
{
    hbm_quota_t quota = ANY;
    hbm_classes_t *classes;
    hbm_class_t *c;

    REQUIRE(setup());
    quota.cap_gap_256 = 10 * 256;
    classes = hbm_classes_create(map, 1, &quota, 30);
    REQUIRE(classes != NULL);
    c = &classes->item[0];
    for (int i = 0; i < 4; i++) { /* three intervals are saved up at the start */
        CHECK(hbm_class_capped(c) <= 0);
        hbm_class_took(classes, c, 0, 0, true);
    }
    CHECK_EQ(hbm_class_capped(c), 10);
    hbm_class_took(classes, c, 0, 10, true);
    CHECK_EQ(hbm_class_capped(c), 20);
    CHECK_EQ(c->counters.gate_ticks, 10);
    CHECK_EQ(c->counters.capped_ticks, 10);
    hbm_class_took(classes, c, 1000, 1004, true); /* only the last 30 ticks count */
    CHECK_EQ(hbm_class_capped(c), 1004 - 30 + 10);
    CHECK_EQ(c->counters.gate_ticks, 14);
    CHECK_EQ(c->counters.capped_ticks, 10);
    hbm_class_took(classes, c, 1010, 1010, false); /* a write answers: the bus is not used */
    CHECK_EQ(hbm_class_capped(c), 1004 - 30 + 10);
    hbm_classes_free(classes);
    hbm_classes_free(NULL);
}

/* Class 1 fills the write queue; class 0 reads behind it. */
static int run(hbm_system_t **system, const hbm_quota_t *quotas, int64_t ends[2])
{
    const hbm_access_t bulk = {.base = 1 << 20, .run_bytes = 1 << 18, .is_write = true};
    const hbm_access_t reads = {.base = 0, .run_bytes = 4096};
    hbm_policy_t policy = fixture_policy();
    int32_t bad = -1, which = -1;
    int64_t end = 0;
    int ret;

    policy.refresh = 0;
    policy.host_ticks = 60;
    ret = hbm_system_create(device, map, &policy, 1, system);
    ret = ret != 0 ? ret : hbm_system_set_classes(*system, 2, quotas, 100);
    ret = ret != 0 ? ret : hbm_system_set_class(*system, 1);
    ret = ret != 0 ? ret : hbm_system_submit(*system, &bulk, 1, 0, 0, 0, false, &bad);
    ret = ret != 0 ? ret : hbm_system_set_class(*system, 0);
    ret = ret != 0 ? ret : hbm_system_submit(*system, &reads, 1, 1, 0, 0, false, &bad);
    for (int i = 0; i < 2 && ret == 0; i++) {
        ret = hbm_system_next_end(*system, &which, &end);
        if (ret == 0) {
            ends[which] = end;
        }
    }
    return ret != 0 ? ret : hbm_system_finish(*system, &end);
}

static void a_class_does_not_wait_for_the_queue_of_another(void)
{
    const hbm_quota_t quotas[] = {ANY, ANY};
    int64_t counters[4 * 2 * 16], gated[2], open[2], read = 0, written = 0;
    hbm_system_t *system = NULL;

    REQUIRE(setup());
    REQUIRE(hbm_n_class_counters() <= 16 && hbm_class_counter_name(hbm_n_class_counters()) == NULL);
    CHECK_EQ(run(&system, NULL, open), 0);
    hbm_system_free(system);
    CHECK_EQ(run(&system, quotas, gated), 0);
    CHECK(gated[1] < open[1]); /* the reads need not wait for all writes to be accepted */
    hbm_system_class_counters(system, counters);
    for (int row = 0; row < 4 * 2; row++) {
        const int64_t *n = counters + row * hbm_n_class_counters();
        CHECK_EQ(n[row % 2 == 0], 0); /* bursts written by class 0, read by class 1 */
        read += n[0];
        written += n[1];
    }
    CHECK_EQ(read, 4096 / 64);
    CHECK_EQ(written, (1 << 18) / 64);
    hbm_system_free(system);
}

enum { N_BUCKETS = 3 * HBM_HISTOGRAM_BUCKETS }; /* of all reads, and of two classes */

/* Class 0 reads what a write of its own still waits with, and more; class 1 reads a longer run. */
static void latencies(int32_t threads, const hbm_quota_t *quotas, uint64_t *out)
{
    const hbm_access_t first[] = {{.base = 0, .run_bytes = 1024, .is_write = true}, {.base = 0, .run_bytes = 4096}};
    const hbm_access_t second = {.base = 1 << 20, .run_bytes = 1 << 16};
    const hbm_policy_t policy = fixture_policy();
    hbm_system_t *system = NULL;
    hbm_class_counters_t counters[4][2];
    int32_t bad = -1;
    int64_t end = 0;

    REQUIRE(hbm_system_create(device, map, &policy, threads, &system) == 0);
    CHECK_EQ(hbm_system_set_classes(system, 2, quotas, 100), 0);
    CHECK_EQ(hbm_system_submit(system, first, 2, 0, 0, 0, false, &bad), 0);
    CHECK_EQ(hbm_system_set_class(system, 1), 0);
    CHECK_EQ(hbm_system_submit(system, &second, 1, 1, 0, 0, false, &bad), 0);
    CHECK_EQ(hbm_system_finish(system, &end), 0);
    hbm_system_class_counters(system, &counters[0][0].bursts_read);
    CHECK(counters[0][0].reads_forwarded > 0 && counters[0][1].reads_forwarded == 0);
    hbm_system_histogram(system, out);
    hbm_system_class_histograms(system, out + HBM_HISTOGRAM_BUCKETS);
    hbm_system_free(system);
}

static void the_latencies_of_classes_add_up_to_those_of_all_reads(void)
{
    static uint64_t one[N_BUCKETS], two[N_BUCKETS];
    const hbm_quota_t quotas[] = {ANY, ANY};
    uint64_t reads[2] = {0, 0};

    REQUIRE(setup());
    for (int gate = 0; gate < 2; gate++) {
        reads[0] = reads[1] = 0;
        latencies(1, gate ? quotas : NULL, one);
        latencies(2, gate ? quotas : NULL, two);
        CHECK(memcmp(one, two, sizeof one) == 0);
        for (int i = 0; i < HBM_HISTOGRAM_BUCKETS; i++) {
            CHECK(one[i] == one[HBM_HISTOGRAM_BUCKETS + i] + one[2 * HBM_HISTOGRAM_BUCKETS + i]);
            reads[0] += one[HBM_HISTOGRAM_BUCKETS + i];
            reads[1] += one[2 * HBM_HISTOGRAM_BUCKETS + i];
        }
        CHECK_EQ((int64_t)reads[0], 4096 / 64);
        CHECK_EQ((int64_t)reads[1], (1 << 16) / 64);
    }
}

static void impossible_classes_are_refused(void)
{
    const hbm_policy_t policy = fixture_policy();
    const hbm_access_t access = {.base = 0, .run_bytes = 64};
    hbm_quota_t quota = ANY;
    hbm_system_t *system = NULL;
    int32_t bad = -1;

    REQUIRE(setup());
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_set_class(system, 1), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_class(system, 0), 0);
    CHECK_EQ(hbm_system_set_classes(system, 0, NULL, 2), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_classes(system, HBM_MAX_CLASSES + 1, NULL, 2), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_system_set_classes(system, 1, NULL, 1), HBM_ERR_BAD_ARGUMENT);
    quota.cap_gap_256 = -1;
    CHECK_EQ(hbm_system_set_classes(system, 1, &quota, 2), HBM_ERR_BAD_POLICY);
    quota.cap_gap_256 = INT64_MAX;
    CHECK_EQ(hbm_system_set_classes(system, 1, &quota, 2), HBM_ERR_BAD_POLICY);
    quota = ANY;
    quota.write_entries = 0;
    CHECK_EQ(hbm_system_set_classes(system, 1, &quota, 2), HBM_ERR_BAD_POLICY);
    CHECK_EQ(hbm_system_set_classes(system, 2, NULL, 2), 0);
    CHECK_EQ(hbm_system_set_classes(system, 2, NULL, 2), HBM_ERR_BAD_ARGUMENT); /* once */
    CHECK_EQ(hbm_system_set_class(system, 2), HBM_ERR_BAD_ARGUMENT);
    hbm_system_free(system);
    REQUIRE(hbm_system_create(device, map, &policy, 1, &system) == 0);
    CHECK_EQ(hbm_system_submit(system, &access, 1, 0, 0, 0, false, &bad), 0);
    CHECK_EQ(hbm_system_set_classes(system, 2, NULL, 2), HBM_ERR_BAD_ARGUMENT); /* too late */
    hbm_system_free(system);
}

static int whole_run(void *arg)
{
    const hbm_quota_t quotas[] = {ANY, ANY};
    hbm_system_t *system = NULL;
    int64_t ends[2];
    const int ret = run(&system, quotas, ends);

    (void)arg;
    hbm_system_free(system);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    REQUIRE(setup());
    CHECK(faults_sweep(whole_run, NULL) > 10);
    hbm_map_free(map);
    hbm_device_free(device);
    CHECK_EQ(faults_live(), 0);
}

TESTS(T(the_order_of_classes_is_share_then_priority_then_turn),
      T(a_cap_spaces_bursts_and_gives_back_what_was_left_unused), T(a_class_does_not_wait_for_the_queue_of_another),
      T(the_latencies_of_classes_add_up_to_those_of_all_reads),
      T(impossible_classes_are_refused), T(running_out_of_memory_is_reported))

/* The modal sweep against Gaussian elimination with pivoting of the full matrix, and what it must refuse. */
#include "thermal.h"

#include "faults.h"
#include "testlib.h"

enum { LAYERS = 7, MODES = 150, SOURCES = 3 };

typedef struct {
    double conductance[LAYERS + 1], capacity[LAYERS], sheet[LAYERS], eigenvalue[MODES];
    double power[SOURCES * MODES], state[LAYERS * MODES];
    int32_t source_layer[SOURCES];
} case_t;

static double uniform(uint64_t *seed, double low, double high)
{
    return low + (high - low) * (double)(test_random(seed) >> 11) / 9007199254740992.0;
}

static hbm_thermal_network_t draw(case_t *c, uint64_t seed)
{
    for (int i = 0; i <= LAYERS; i++) {
        c->conductance[i] = uniform(&seed, 0.05, 3.0);
    }
    for (int i = 0; i < LAYERS; i++) {
        c->capacity[i] = uniform(&seed, 1e-4, 1e-2);
        c->sheet[i] = uniform(&seed, 0.0, 2.0);
    }
    for (int i = 0; i < MODES; i++) {
        c->eigenvalue[i] = i == 0 ? 0.0 : uniform(&seed, 0.0, 8.0);
    }
    for (int i = 0; i < SOURCES * MODES; i++) {
        c->power[i] = uniform(&seed, -1.0, 1.0);
    }
    for (int i = 0; i < LAYERS * MODES; i++) {
        c->state[i] = uniform(&seed, -10.0, 10.0);
    }
    for (int i = 0; i < SOURCES; i++) {
        c->source_layer[i] = (2 * i + 5) % LAYERS;
    }
    return (hbm_thermal_network_t){LAYERS,   SOURCES,       MODES,           c->conductance, c->capacity,
                                   c->sheet, c->eigenvalue, c->source_layer};
}

static double magnitude(double x) { return x < 0 ? -x : x; }

/* Solves a x = b in place of b. */
static void gauss(double a[LAYERS][LAYERS], double b[LAYERS])
{
    for (int k = 0; k < LAYERS; k++) {
        int best = k;
        for (int i = k + 1; i < LAYERS; i++) {
            best = magnitude(a[i][k]) > magnitude(a[best][k]) ? i : best;
        }
        for (int j = 0; j < LAYERS; j++) {
            const double t = a[k][j];
            a[k][j] = a[best][j];
            a[best][j] = t;
        }
        const double t = b[k];
        b[k] = b[best];
        b[best] = t;
        for (int i = k + 1; i < LAYERS; i++) {
            const double f = a[i][k] / a[k][k];
            for (int j = k; j < LAYERS; j++) {
                a[i][j] -= f * a[k][j];
            }
            b[i] -= f * b[k];
        }
    }
    for (int k = LAYERS - 1; k >= 0; k--) {
        for (int j = k + 1; j < LAYERS; j++) {
            b[k] -= a[k][j] * b[j];
        }
        b[k] /= a[k][k];
    }
}

/* One step of mode m, the slow way. */
static void expect(const case_t *c, int m, double dt_s, double out[LAYERS])
{
    double a[LAYERS][LAYERS] = {{0}};
    for (int l = 0; l < LAYERS; l++) {
        const double rate = dt_s == 0.0 ? 0.0 : c->capacity[l] / dt_s;
        a[l][l] = rate + c->conductance[l] + c->conductance[l + 1] + c->sheet[l] * c->eigenvalue[m];
        if (l > 0) {
            a[l][l - 1] = a[l - 1][l] = -c->conductance[l];
        }
        out[l] = rate * c->state[l * MODES + m];
    }
    for (int i = 0; i < SOURCES; i++) {
        out[c->source_layer[i]] += c->power[i * MODES + m];
    }
    gauss(a, out);
}

static void a_step_solves_the_equations_of_every_mode(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        static case_t c, before;
        const hbm_thermal_network_t network = draw(&c, seed);
        const double dt_s = seed % 4 == 0 ? 0.0 : 1e-4 * (double)seed;
        hbm_thermal_t *thermal = NULL;
        before = c;
        REQUIRE(hbm_thermal_create(&network, dt_s, &thermal) == 0);
        CHECK_EQ(hbm_thermal_step(thermal, 1, c.power, c.state), 0);
        for (int m = 0; m < MODES; m++) {
            double want[LAYERS];
            expect(&before, m, dt_s, want);
            for (int l = 0; l < LAYERS; l++) {
                CHECK(magnitude(c.state[l * MODES + m] - want[l]) <= 1e-10 * (1.0 + magnitude(want[l])));
            }
        }
        hbm_thermal_free(thermal);
    }
}

static void steps_together_are_steps_one_by_one(void)
{
    static case_t a, b;
    const hbm_thermal_network_t network = draw(&a, 77);
    hbm_thermal_t *thermal = NULL;
    b = a;
    REQUIRE(hbm_thermal_create(&network, 1e-3, &thermal) == 0);
    CHECK_EQ(hbm_thermal_step(thermal, 5, a.power, a.state), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(hbm_thermal_step(thermal, 1, b.power, b.state), 0);
    }
    CHECK(memcmp(a.state, b.state, sizeof a.state) == 0);
    CHECK_EQ(hbm_thermal_step(thermal, 0, b.power, b.state), 0);
    CHECK(memcmp(a.state, b.state, sizeof a.state) == 0);
    hbm_thermal_free(thermal);
}

static void every_implementation_gives_the_same_bits(void)
{
    static const char *const names[] = {"plain", "avx2", "avx512"};
    static case_t want;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static case_t c;
        const hbm_thermal_network_t network = draw(&c, 5);
        const hbm_thermal_sweep_fn sweep = hbm_thermal_sweep_named(names[i]);
        hbm_thermal_t *thermal = NULL;
        if (sweep == NULL) {
            continue;
        }
        REQUIRE(hbm_thermal_create(&network, 2e-3, &thermal) == 0);
        hbm_thermal_use(thermal, sweep);
        CHECK_EQ(hbm_thermal_step(thermal, 3, c.power, c.state), 0);
        if (i == 0) {
            want = c;
        }
        CHECK(memcmp(want.state, c.state, sizeof c.state) == 0);
        hbm_thermal_free(thermal);
    }
    CHECK(hbm_thermal_sweep_named("none such") == NULL);
}

static void networks_that_make_no_sense_are_refused(void)
{
    static case_t c;
    const double bad[] = {-1.0, 1.0 / 0.0 * 0.0, 1.0 / 0.0};
    hbm_thermal_t *thermal = NULL;
    hbm_thermal_network_t n;

#define REFUSED(change, dt)                                                                                            \
    n = draw(&c, 9);                                                                                                   \
    change;                                                                                                            \
    CHECK_EQ(hbm_thermal_create(&n, (dt), &thermal), HBM_ERR_BAD_ARGUMENT);                                            \
    CHECK(thermal == NULL)
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        REFUSED(c.conductance[2] = bad[i], 1e-3);
        REFUSED(c.capacity[3] = bad[i], 1e-3);
        REFUSED(c.sheet[0] = bad[i], 1e-3);
        REFUSED(c.eigenvalue[MODES - 1] = bad[i], 1e-3);
        REFUSED((void)0, bad[i]);
    }
    REFUSED(c.conductance[2] = 0.0, 1e-3);
    REFUSED(c.capacity[2] = 0.0, 1e-3);
    REFUSED(c.source_layer[1] = LAYERS, 1e-3);
    REFUSED(c.source_layer[1] = -1, 1e-3);
    REFUSED(c.source_layer[1] = c.source_layer[0], 1e-3);
    REFUSED(n.layers = 0, 1e-3);
    REFUSED(n.layers = 1 << 20, 1e-3);
    REFUSED(n.modes = 0, 1e-3);
    REFUSED(n.modes = INT64_MAX / 2, 1e-3);
    REFUSED(n.sources = LAYERS + 1, 1e-3);
    REFUSED(c.conductance[0] = c.conductance[LAYERS] = 0.0, 0.0); /* heat has no way out */
#undef REFUSED
    n = draw(&c, 9);
    c.conductance[0] = c.conductance[LAYERS] = 0.0;
    CHECK_EQ(hbm_thermal_create(&n, 1e-3, &thermal), 0); /* a closed box warms up, which is fine */
    CHECK_EQ(hbm_thermal_step(thermal, -1, c.power, c.state), HBM_ERR_BAD_ARGUMENT);
    CHECK_EQ(hbm_thermal_step(thermal, 1, NULL, c.state), HBM_ERR_BAD_ARGUMENT);
    hbm_thermal_free(thermal);
}

static int create_and_free(void *arg)
{
    hbm_thermal_t *thermal = NULL;
    const int ret = hbm_thermal_create(arg, 1e-3, &thermal);
    hbm_thermal_free(thermal);
    return ret;
}

static void running_out_of_memory_is_reported(void)
{
    static case_t c;
    hbm_thermal_network_t network = draw(&c, 3);
    CHECK(faults_sweep(create_and_free, &network) >= 5);
    CHECK_EQ(faults_live(), 0);
    hbm_thermal_free(NULL);
}

TESTS(T(a_step_solves_the_equations_of_every_mode), T(steps_together_are_steps_one_by_one),
      T(every_implementation_gives_the_same_bits), T(networks_that_make_no_sense_are_refused),
      T(running_out_of_memory_is_reported))

/* Thomas' algorithm on all lateral modes of a stack of layers; see thermal.h.
 *
 * Per mode m, with layers l from the top, conductances g between layers, capacities C, sheet conductances s and the
 * eigenvalue e[m] of the lateral operator, one backward-Euler step of length dt solves
 *     (C[l]/dt + g[l] + g[l+1] + s[l] e[m]) x[l] - g[l] x[l-1] - g[l+1] x[l+1] = C[l]/dt x_old[l] + p[l].
 * The matrix is symmetric and diagonally dominant, so elimination without exchange of rows is stable (Golub & Van Loan,
 * Matrix Computations, 4th ed., 4.3.6), and only the inverse pivots depend on the mode.  Modes are independent: they fill the
 * vector lanes, a block of them stays in the first-level cache for all steps. */
#include "thermal.h"

#include <stdlib.h>
#include <string.h>

enum { MODES_PER_BLOCK = 64, MAX_LAYERS = 4096 };
#define MAX_MODES (INT64_C(1) << 20)
#define MAX_UNKNOWNS (INT64_C(1) << 26)
#define LARGEST 1e100 /* of any input: products of a few of them stay finite */

struct hbm_thermal {
    int32_t layers;
    int32_t sources;
    int64_t modes;
    hbm_thermal_sweep_fn sweep;
    double *down;      /* [layers]: conductance to the layer below; the last is not used */
    double *rate;      /* [layers]: C/dt; 0 for the steady state */
    int32_t *source;   /* [layers]: row of `power` that heats the layer; -1: none */
    double *inverse;   /* [layers][modes]: 1 / pivot */
};

/* The sweep of modes [first, first + n), whose width the compiler knows where n is a constant. */
HBM_INLINE void sweep_block(const hbm_thermal_t *self, int64_t first, int n, int64_t steps, const double *power,
                            double *state)
{
    const int64_t stride = self->modes;
    const int last = self->layers - 1;

    for (int64_t step = 0; step < steps; step++) {
        double carry[MODES_PER_BLOCK] = {0};
        double g = 0.0;
        for (int l = 0; l <= last; l++) { /* elimination from the top */
            double *restrict x = state + l * stride + first;
            const double *restrict inverse = self->inverse + l * stride + first;
            const double rate = self->rate[l];
            const int32_t row = self->source[l];
            if (row >= 0) {
                const double *restrict p = power + row * stride + first;
                for (int i = 0; i < n; i++) {
                    carry[i] = ((rate * x[i] + p[i]) + g * carry[i]) * inverse[i];
                    x[i] = carry[i];
                }
            } else {
                for (int i = 0; i < n; i++) {
                    carry[i] = (rate * x[i] + g * carry[i]) * inverse[i];
                    x[i] = carry[i];
                }
            }
            g = self->down[l];
        }
        for (int l = last - 1; l >= 0; l--) { /* substitution from the bottom */
            double *restrict x = state + l * stride + first;
            const double *restrict inverse = self->inverse + l * stride + first;
            const double below = self->down[l];
            for (int i = 0; i < n; i++) {
                carry[i] = x[i] + below * inverse[i] * carry[i];
                x[i] = carry[i];
            }
        }
    }
}

HBM_INLINE void sweep_modes(const hbm_thermal_t *self, int64_t first, int64_t n, int64_t steps, const double *power,
                            double *state)
{
    for (; n >= MODES_PER_BLOCK; first += MODES_PER_BLOCK, n -= MODES_PER_BLOCK) {
        sweep_block(self, first, MODES_PER_BLOCK, steps, power, state);
    }
    if (n > 0) {
        sweep_block(self, first, (int)n, steps, power, state);
    }
}

static void sweep_plain(const hbm_thermal_t *self, int64_t first, int64_t n, int64_t steps, const double *power,
                        double *state)
{
    sweep_modes(self, first, n, steps, power, state);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void sweep_avx2(const hbm_thermal_t *self, int64_t first, int64_t n,
                                                       int64_t steps, const double *power, double *state)
{
    sweep_modes(self, first, n, steps, power, state);
}

__attribute__((target("avx512f,prefer-vector-width=512"))) static void
sweep_avx512(const hbm_thermal_t *self, int64_t first, int64_t n, int64_t steps, const double *power, double *state)
{
    sweep_modes(self, first, n, steps, power, state);
}

hbm_thermal_sweep_fn hbm_thermal_sweep_named(const char *name)
{
    __builtin_cpu_init();
    if (strcmp(name, "plain") == 0) {
        return sweep_plain;
    }
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2")) {
        return sweep_avx2;
    }
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f")) {
        return sweep_avx512;
    }
    return NULL;
}
#else
hbm_thermal_sweep_fn hbm_thermal_sweep_named(const char *name)
{
    return strcmp(name, "plain") == 0 ? sweep_plain : NULL;
}
#endif

static hbm_thermal_sweep_fn best_sweep(void)
{
    hbm_thermal_sweep_fn best = hbm_thermal_sweep_named("avx512");

    best = best != NULL ? best : hbm_thermal_sweep_named("avx2");
    return best != NULL ? best : sweep_plain;
}

void hbm_thermal_use(hbm_thermal_t *self, hbm_thermal_sweep_fn sweep) { self->sweep = sweep; }

/* Neither NaN nor infinite nor absurd; strictly: nor zero. */
static bool is_sane(const double *values, int64_t n, bool strictly)
{
    bool sane = true;

    for (int64_t i = 0; i < n; i++) {
        sane = sane && values[i] <= LARGEST && (strictly ? values[i] > 0.0 : values[i] >= 0.0);
    }
    return sane;
}

static bool is_network_sane(const hbm_thermal_network_t *network, double dt_s)
{
    const int32_t layers = network->layers, sources = network->sources;

    if (layers < 1 || layers > MAX_LAYERS || network->modes < 1 || network->modes > MAX_MODES ||
        layers * network->modes > MAX_UNKNOWNS || sources < 0 || sources > layers) {
        return false;
    }
    for (int32_t i = 0; i < sources; i++) {
        if (network->source_layer[i] < 0 || network->source_layer[i] >= layers) {
            return false;
        }
        for (int32_t j = 0; j < i; j++) {
            if (network->source_layer[j] == network->source_layer[i]) {
                return false;
            }
        }
    }
    if (!is_sane(network->conductance, layers + 1, false) || !is_sane(network->sheet, layers, false) ||
        !is_sane(network->capacity, layers, true) || !is_sane(network->eigenvalue, network->modes, false) ||
        (layers > 1 && !is_sane(network->conductance + 1, layers - 1, true))) {
        return false;
    }
    /* Without time, heat must have a way out. */
    return dt_s == 0.0 ? network->conductance[0] > 0.0 || network->conductance[layers] > 0.0
                       : dt_s > 1e-30 && dt_s <= LARGEST;
}

/* Every pivot is the conductance downwards plus a rest, and every rest a sum of what leaves its layer by other ways:
 * nothing is subtracted, so that even where a stack hardly leaks at all no digit of its leak is lost.  Elimination of an
 * M-matrix by its off-diagonal elements and row sums: Alfa, Xue, Ye, Accurate computation of the smallest eigenvalue of a
 * diagonally dominant M-matrix, Math. Comp. 71 (2002). */
static int factorise(hbm_thermal_t *self, const hbm_thermal_network_t *network)
{
    const int32_t last = self->layers - 1;

    for (int64_t m = 0; m < self->modes; m++) {
        double above = 0.0; /* what the layers above lead away for this one: of its heat, the part that does not return */
        for (int32_t l = 0; l <= last; l++) {
            const double below = l < last ? self->down[l] : 0.0;
            const double face = (l == 0 ? network->conductance[0] : 0.0) + (l == last ? network->conductance[l + 1] : 0.0);
            const double rest = self->rate[l] + network->sheet[l] * network->eigenvalue[m] + face + above;
            const double pivot = rest + below;
            const double inverse = 1.0 / pivot;
            if (!is_sane(&pivot, 1, true) || !is_sane(&inverse, 1, true)) {
                return HBM_ERR_BAD_ARGUMENT;
            }
            self->inverse[l * self->modes + m] = inverse;
            above = below * (rest * inverse);
        }
    }
    return 0;
}

int hbm_thermal_create(const hbm_thermal_network_t *network, double dt_s, hbm_thermal_t **out)
{
    hbm_thermal_t *self = NULL;
    size_t layers;
    int ret = HBM_ERR_NO_MEMORY;

    *out = NULL;
    if (!is_network_sane(network, dt_s)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    layers = (size_t)network->layers;
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        goto out;
    }
    self->layers = network->layers;
    self->sources = network->sources;
    self->modes = network->modes;
    self->sweep = best_sweep();
    self->down = malloc(layers * sizeof *self->down);
    self->rate = malloc(layers * sizeof *self->rate);
    self->source = malloc(layers * sizeof *self->source);
    self->inverse = malloc(layers * (size_t)network->modes * sizeof *self->inverse);
    if (self->down == NULL || self->rate == NULL || self->source == NULL || self->inverse == NULL) {
        goto out;
    }
    for (size_t l = 0; l < layers; l++) {
        self->down[l] = network->conductance[l + 1];
        self->rate[l] = dt_s == 0.0 ? 0.0 : network->capacity[l] / dt_s;
        self->source[l] = -1;
    }
    for (int32_t i = 0; i < network->sources; i++) {
        self->source[network->source_layer[i]] = i;
    }
    ret = factorise(self, network);
    if (ret == 0) {
        *out = self;
        self = NULL;
    }
out:
    hbm_thermal_free(self);
    return ret;
}

void hbm_thermal_free(hbm_thermal_t *self)
{
    if (self != NULL) {
        free(self->down);
        free(self->rate);
        free(self->source);
        free(self->inverse);
        free(self);
    }
}

int hbm_thermal_step(const hbm_thermal_t *self, int64_t steps, const double *power, double *state)
{
    if (steps < 0 || (power == NULL && self->sources > 0)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self->sweep(self, 0, self->modes, steps, power, state);
    return 0;
}

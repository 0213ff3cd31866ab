/* Temperature of a stack of layers, in the space of lateral modes: one symmetric tridiagonal system per mode, factorised
 * once per time step length.  The public functions are in hbm.h; tests choose an implementation by name here.  Must not
 * know geometry, materials, grids or cosines: conductances, capacities and eigenvalues arrive as numbers. */
#ifndef HBM_THERMAL_H
#define HBM_THERMAL_H

#include "core.h"

/* One backward-Euler step (or, factorised without time, one steady solution) of a set of modes. */
typedef void (*hbm_thermal_sweep_fn)(const hbm_thermal_t *self, int64_t first, int64_t n, int64_t steps,
                                     const double *power, double *state);

/* "plain", "avx2", "avx512"; NULL where this machine lacks it.  All give the same bits. */
hbm_thermal_sweep_fn hbm_thermal_sweep_named(const char *name);
/* Replaces the implementation that was chosen at creation. */
void hbm_thermal_use(hbm_thermal_t *self, hbm_thermal_sweep_fn sweep);

#endif

/* The policy set of Ramulator 2.1's HBM3/HBM4 controller on our timing tables, for cross-validation: what its parts
 * share.  One channel, one in-order stream of requests; described in docs/model/ramulator_policies.md.  Must not know
 * our own queues, schedulers and refresh policies; the timing tables must not know it. */
#ifndef HBM_R21_H
#define HBM_R21_H

#include "timing.h"

/* ---- r21_rules.c: the timing tables with named relaxations ---- */

typedef struct {
    const hbm_device_t *device;
    int32_t relaxations; /* sum of enum hbm_r21_relaxation */
    hbm_tick_t row_free;
    hbm_tick_t column_free;
    hbm_timing_t timing[HBM_MAX_PC];
} hbm_r21_rules_t;

void hbm_r21_rules_init(hbm_r21_rules_t *self, const hbm_device_t *device, int32_t relaxations);
/* The first tick, now or later, at which the command could start: rules, command buses and clock edges. */
hbm_tick_t hbm_r21_earliest(const hbm_r21_rules_t *self, int pc, int command, int bank, hbm_tick_t now);
void hbm_r21_issue(hbm_r21_rules_t *self, int pc, int command, int bank, hbm_tick_t t);

/* ---- r21_refresh.c: which refreshes enter the maintenance list, and when ---- */

enum { HBM_R21_MAINTENANCE = 1568 }; /* that simulator's capacity of the list */

typedef struct {
    int32_t pc;
    int32_t command;
    int32_t bank;
} hbm_r21_maintenance_t;

typedef struct {
    const hbm_device_t *device;
    int32_t kind;
    hbm_tick_t due;
    int32_t sid;       /* of the next bank to refresh, in every pseudo-channel alike */
    int32_t bank;      /* its number within the SID */
    int32_t n_waiting; /* pseudo-channels whose REFpb of this round is still to be listed */
    int32_t waiting_bank;
    int32_t listed[HBM_MAX_PC][4]; /* banks of the SID's set that were listed */
    hbm_tick_t set_free[HBM_MAX_PC][4];
    int32_t head, n; /* the list, a ring */
    hbm_r21_maintenance_t list[HBM_R21_MAINTENANCE];
    int64_t n_listed;
} hbm_r21_refresh_t;

void hbm_r21_refresh_init(hbm_r21_refresh_t *self, const hbm_device_t *device, int32_t kind);
int hbm_r21_refresh_tick(hbm_r21_refresh_t *self, hbm_tick_t t);
/* The first tick after t at which hbm_r21_refresh_tick would do something. */
hbm_tick_t hbm_r21_refresh_next(const hbm_r21_refresh_t *self, hbm_tick_t t);
void hbm_r21_refresh_pop(hbm_r21_refresh_t *self);

#endif

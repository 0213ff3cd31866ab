/* The policies of a controller as documented tables of functions.  Python lists them through hbm_policy_info. */
#ifndef HBM_POLICY_H
#define HBM_POLICY_H

#include "pc.h"

typedef struct hbm_policies hbm_policies_t;

/* Which entries of the queue in direction d may be served. */
typedef struct {
    hbm_policy_info_t info;
    /* Banks whose hits are admitted; NULL: all hits. */
    uint64_t (*hits)(const hbm_pc_t *pc, const hbm_policies_t *policies, int direction);
    /* Banks whose oldest other entry may cause ACT or PREpb; NULL: all. */
    uint64_t (*others)(const hbm_pc_t *pc, const hbm_policies_t *policies, int direction);
} hbm_scheduler_t;

/* When an open row without waiting hits is closed. */
typedef struct {
    hbm_policy_info_t info;
    bool auto_precharge; /* the last waiting hit of a row closes it */
    bool closes;         /* PREpb after `timeout` idle ticks */
    bool immediate;      /* that timeout is 0 */
} hbm_page_policy_t;

/* When refresh is due and which bank gets it. */
typedef struct {
    hbm_policy_info_t info;
    bool active;
    bool per_bank;
    /* Chooses a target or goes pending when it is time; called on rising edges when neither is set. */
    void (*choose)(hbm_pc_t *pc, const hbm_device_t *device, const hbm_policies_t *policies, hbm_tick_t t);
} hbm_refresh_policy_t;

/* When an idle channel goes to sleep. */
typedef struct {
    hbm_policy_info_t info;
    bool power_down;
    bool self_refresh;
    bool immediate; /* power-down needs no idle time */
} hbm_power_policy_t;

struct hbm_policies {
    hbm_policy_t config;
    const hbm_scheduler_t *scheduler;
    const hbm_page_policy_t *page;
    const hbm_refresh_policy_t *refresh;
    const hbm_power_policy_t *power;
    hbm_tick_t page_timeout;
    hbm_tick_t power_down_after;
    bool revisit_rows; /* a column command may make any bank a candidate for a row command */
};

/* NULL past the last. */
const hbm_scheduler_t *hbm_scheduler(int32_t i);
const hbm_page_policy_t *hbm_page_policy(int32_t i);
const hbm_refresh_policy_t *hbm_refresh_policy(int32_t i);
const hbm_power_policy_t *hbm_power_policy(int32_t i);

/* Whether refreshing `scale` times as often as tREFI says leaves time for anything else. */
bool hbm_policies_refresh_fits(const hbm_policies_t *self, const hbm_device_t *device, int32_t scale);
int hbm_policies_init(hbm_policies_t *self, const hbm_policy_t *config, const hbm_device_t *device);

#endif

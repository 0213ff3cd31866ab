/* One channel: pseudo-channels that share a row bus and a column bus, driven from event to event.  Must not know other
 * channels.  The behaviour is docs/model/controller.md, tick for tick. */
#ifndef HBM_CHANNEL_H
#define HBM_CHANNEL_H

#include "policy.h"
#include "search.h"

/* Step 6 of a tick; see step_power.h. */
typedef struct {
    enum { HBM_POWER_UP, HBM_POWER_DOWN, HBM_POWER_SELF_REFRESH } state;
    hbm_tick_t entered;
    hbm_tick_t at; /* lower bound of when the state may change */
    int64_t refreshes_needed[HBM_MAX_PC]; /* issued in all, before self-refresh may be entered */
    hbm_tick_t due_in[HBM_MAX_PC];        /* of refresh: what its clock showed when it stopped */
    bool held; /* self-refresh is due: only forced refreshes are chosen */
} hbm_power_state_t;

typedef struct {
    const hbm_device_t *device;
    const hbm_policies_t *policies;
    hbm_search_fn search;
    hbm_tick_t now;      /* the last tick that was visited; -1 before the first */
    hbm_tick_t row_free;
    hbm_tick_t column_free;
    hbm_tick_t stop;     /* the run in progress visits no tick from here on */
    hbm_tick_t position; /* where the last run ended: new input is looked at from here on */
    hbm_tick_t horizon;  /* of the next part */
    bool in_part;        /* the run in progress ends where the channel is done with an operation */
    int32_t n_pc;
    bool window_binds;   /* false: no window, or one that the queue and the data in flight cannot fill */
    hbm_pc_t *row_first;    /* the pseudo-channel to try first; its `other` is second */
    hbm_pc_t *column_first;
    hbm_pc_t pc[HBM_MAX_PC];
    hbm_operation_result_t *tally; /* by tag of an entry, or NULL */
    uint64_t *histogram; /* NULL: reads are not timed; there are no classes then */
    hbm_epochs_t *epochs;
    hbm_power_state_t power;
    struct hbm_cycle *cycle; /* see step_sleep.h; NULL: sleep is not skipped */
    hbm_log_t log;
    int error;           /* sticky: HBM_ERR_NO_MEMORY of the log, HBM_ERR_BAD_POLICY */
} hbm_channel_t;

/* How far a run goes. */
typedef enum {
    HBM_UNTIL_ACCEPTED, /* all input accepted */
    HBM_UNTIL_READ,     /* and every RD issued */
    HBM_UNTIL_EMPTY     /* and every WR issued */
} hbm_until_t;

/* Create/free hold the channel's own memory; histogram, epochs and tally are the owner's. */
int hbm_channel_init(hbm_channel_t *self, const hbm_device_t *device, const hbm_policies_t *policies,
                     const hbm_map_t *map);
void hbm_channel_free(hbm_channel_t *self);
/* Before the first input: n classes of traffic, with a gate unless quotas is NULL. */
int hbm_channel_set_classes(hbm_channel_t *self, int32_t n, const hbm_quota_t *quotas, hbm_tick_t slack);
/* `feed`, one of those of pc, got new input: wake it. */
void hbm_channel_wake(hbm_channel_t *self, int pc, hbm_feed_t *feed);
int hbm_channel_run(hbm_channel_t *self, hbm_until_t until);
/* Runs with operations in flight: up to tick `horizon`, exclusive, but no further than the tick in which this channel is
 * done with one of the operations that it holds: what comes next may depend on that. */
int hbm_channel_run_part(hbm_channel_t *self);
/* Runs until all input is accepted, but visits no tick from `tick` on. */
int hbm_channel_run_before(hbm_channel_t *self, hbm_tick_t tick);
/* Lets the time up to `tick`, exclusive, pass; a channel that stands before it must have no input. */
int hbm_channel_stand_at(hbm_channel_t *self, hbm_tick_t tick);
/* The feed of pc has all of the operation `tag`, maybe already given: the channel holds it until it is done with it. */
void hbm_channel_hold(hbm_channel_t *self, int pc, int32_t tag);
/* Visits everything (refresh, page timeouts) up to and including `tick`; there must be no input. */
int hbm_channel_advance(hbm_channel_t *self, hbm_tick_t tick);
/* From now on: tREFI over `refresh_scale`, from the next refresh due on; a burst taken no sooner than gap_256 / 256 ticks
 * after the one before (0: as early as can be). */
void hbm_channel_set_conditions(hbm_channel_t *self, int32_t refresh_scale, hbm_tick_t gap_256);
/* Latest completion: data back at the controller, write data in the array. */
hbm_tick_t hbm_channel_done(const hbm_channel_t *self);

#endif

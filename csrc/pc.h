/* The state of one pseudo-channel: timing, open rows, queues, refresh bookkeeping and what was counted.  Pure data with
 * the few questions that several rooms ask; decisions live in sched, refresh and channel. */
#ifndef HBM_PC_H
#define HBM_PC_H

#include "queue.h"
#include "quota.h"
#include "search.h"
#include "stats.h"
#include "timing.h"

enum { HBM_READ = 0, HBM_WRITE = 1 };

enum { HBM_REFRESH_NO_TARGET = -1 };

/* Refresh bookkeeping; see refresh.h. */
typedef struct {
    hbm_tick_t interval;
    hbm_tick_t next_due;
    int64_t owed;
    int64_t choose_above; /* a target is chosen only while more than this are owed */
    int64_t forced_from;  /* while fewer are owed only banks without requests are chosen */
    hbm_tick_t rest;  /* a bank left alone for so long is taken to be done with */
    hbm_latest_fn latest;
    uint64_t set;     /* banks not refreshed since the set was last full */
    int32_t last;     /* bank refreshed last; the cyclic order starts behind it */
    int32_t target;   /* bank waiting for its REFpb or RFMpb, or HBM_REFRESH_NO_TARGET */
    bool target_rfm;
    bool pending;     /* all-bank refresh waits */
    bool behind;      /* since a sleep: what is owed waits for empty queues */
    int64_t streak;   /* REF in a row that came on time, with no ACT between; see idle.h */
    int64_t acts_seen;
    int64_t served_seen;
    int64_t unserved; /* REF and RFM in a row while requests wait */
    int32_t raa[HBM_MAX_BANKS];
} hbm_refresh_state_t;

/* What the time is counted as; in standby the open banks decide, see hbm_power_spend. */
typedef enum { HBM_STANDBY, HBM_ACTIVE_POWER_DOWN, HBM_PRECHARGED_POWER_DOWN, HBM_SELF_REFRESH } hbm_power_t;

/* When things happened, for the lost-cycle account only. */
typedef struct {
    hbm_tick_t data_free;     /* command-time end of the last burst */
    hbm_tick_t nonempty_since;
    hbm_tick_t direction_since;
    hbm_tick_t last_rd;
    hbm_tick_t last_wr;
    hbm_tick_t awake; /* no command before it, after power-down or self-refresh */
    hbm_tick_t RFC;   /* of the refresh policy's REFpb or REFab */
    hbm_tick_t refresh_end[HBM_MAX_BANKS];
    /* of the bank's last ACT: its stamp, and what its request had waited for, longest first in line */
    hbm_tick_t act[HBM_MAX_BANKS];
    hbm_tick_t window_wait[HBM_MAX_BANKS];  /* the bank was ready, tRRD or tFAW were not */
    hbm_tick_t refresh_wait[HBM_MAX_BANKS]; /* the bank was being refreshed */
    hbm_tick_t bus_wait[HBM_MAX_BANKS];     /* all were ready, the row bus was taken */
} hbm_account_t;

#define HBM_IN_FLIGHT 64 /* operations that may be in flight at once; their numbers differ modulo this */

/* An operation whose last burst was accepted and that still has reads waiting. */
typedef struct {
    int32_t tag;
    int32_t reads;
} hbm_ending_t;

/* Its bit in a set of operations in flight. */
HBM_INLINE uint64_t hbm_flight_bit(int32_t tag) { return UINT64_C(1) << ((tag - 1) & (HBM_IN_FLIGHT - 1)); }

#define HBM_FILTER 1024 /* counters of the pending-write filter, a power of two */

typedef struct hbm_pc {
    hbm_timing_t timing;
    int32_t index; /* within the channel */
    struct hbm_pc *other; /* the one that shares the buses, or an empty stand-in that never has work */
    int32_t direction;
    uint64_t open;
    uint64_t blocked; /* banks that refresh keeps from ACT, RD and WR */
    int32_t open_row[HBM_MAX_BANKS];
    hbm_queue_t queue[2];
    hbm_queue_t *serving; /* that of the direction */
    int64_t age; /* of the next accepted request */

    /* Cached lower bounds of when something can happen here; see channel.c. */
    hbm_tick_t look_at;   /* refresh clock, acceptance, direction */
    hbm_tick_t looked;    /* the last tick that was looked at */
    hbm_tick_t column_at; /* a column command */
    hbm_tick_t row_at;    /* a row command: the least of the next four */
    hbm_tick_t refresh_at;
    hbm_tick_t act_at;
    hbm_tick_t pre_at;
    hbm_tick_t page_at;
    /* What is known of the next column command in this direction; see choose_column. */
    int32_t lone;         /* until others_at no other bank with hits is through tRCD; -1: not known */
    hbm_tick_t others_at;
    int32_t front[2];     /* no bank but these has hits older than front_until */
    int64_t front_until;

    hbm_feed_t feed;
    hbm_classes_t *classes; /* NULL: there is one */
    uint64_t holding;   /* operations in flight that are not done here; see hbm_channel_run_part */
    int32_t n_ending;
    hbm_ending_t ending[HBM_IN_FLIGHT];
    hbm_tick_t *flight; /* ring: when reads are back at the host */
    uint32_t flight_mask;
    uint32_t flight_head;
    uint32_t flight_tail;

    hbm_refresh_state_t refresh;
    int32_t columns_since_act[HBM_MAX_BANKS];
    hbm_tick_t last_use[HBM_MAX_BANKS]; /* stamp of the last ACT or column command */
    uint16_t filter[HBM_FILTER];

    hbm_account_t account;
    hbm_counters_t counters;
    hbm_bank_counters_t bank[HBM_MAX_BANKS];
    hbm_tick_t closed_at[HBM_MAX_BANKS]; /* of the last precharge, which may be still to come after RDA or WRA */
    hbm_tick_t forwarded_at; /* the last forwarded read */
    hbm_power_t power;
    hbm_tick_t power_since; /* up to here the time is counted */
    const hbm_channel_input_t *record;
} hbm_pc_t;

/* Classes of traffic have an input each. */
HBM_INLINE bool hbm_pc_gated(const hbm_pc_t *self) { return self->classes != NULL && self->classes->gate; }

/* Inputs: hbm_pc_feed(self, 0) and so on. */
HBM_INLINE int hbm_pc_feeds(const hbm_pc_t *self) { return hbm_pc_gated(self) ? self->classes->n : 1; }

HBM_INLINE hbm_feed_t *hbm_pc_feed(hbm_pc_t *self, int i) { return i == 0 ? &self->feed : &self->classes->item[i].own; }

/* The first tick at which f, an input of the pseudo-channel, may be taken from as far as arrival and the host's pace go. */
HBM_INLINE hbm_tick_t hbm_pc_from(const hbm_pc_t *self, const hbm_feed_t *f)
{
    return hbm_max(hbm_max(f->arrival, f->open_at), (self->feed.next_256 + 255) >> 8);
}

/* The least of that over the inputs that have a burst; HBM_NEVER: none has. */
HBM_INLINE hbm_tick_t hbm_pc_next_arrival(const hbm_pc_t *self)
{
    hbm_tick_t at = self->feed.valid ? hbm_pc_from(self, &self->feed) : HBM_NEVER;

    for (int i = 1; i < hbm_pc_feeds(self); i++) {
        const hbm_feed_t *f = &self->classes->item[i].own;
        at = f->valid ? hbm_min(at, hbm_pc_from(self, f)) : at;
    }
    return at;
}

/* Bursts are left that are not taken yet, those included whose start is still to come. */
HBM_INLINE bool hbm_pc_has_input(const hbm_pc_t *self)
{
    bool has = self->feed.valid || self->feed.n_waiting > 0;

    for (int i = 1; i < hbm_pc_feeds(self); i++) {
        has |= self->classes->item[i].own.valid || self->classes->item[i].own.n_waiting > 0;
    }
    return has;
}

/* Bursts of the operation are still to be given. */
HBM_INLINE bool hbm_pc_gives(const hbm_pc_t *self, int32_t operation)
{
    bool gives = hbm_feed_gives(&self->feed, operation);

    for (int i = 1; i < hbm_pc_feeds(self); i++) {
        gives |= hbm_feed_gives(&self->classes->item[i].own, operation);
    }
    return gives;
}

/* Entries that have left the queues. */
HBM_INLINE int64_t hbm_pc_served(const hbm_pc_t *self)
{
    return self->age - self->queue[HBM_READ].count - self->queue[HBM_WRITE].count;
}

HBM_INLINE bool hbm_pc_idle(const hbm_pc_t *self)
{
    return self->queue[HBM_READ].count == 0 && self->queue[HBM_WRITE].count == 0;
}

/* Number of the counter and of the time series. */
HBM_INLINE int hbm_power_state(hbm_power_t power, bool open) { return power == HBM_STANDBY ? !open : 1 + (int)power; }

/* Counts the time up to t, also into the time series if there is one; to be called before the state changes or the number of open banks passes 0. */
HBM_INLINE void hbm_power_spend(hbm_pc_t *self, hbm_epochs_t *epochs, hbm_tick_t t)
{
    hbm_counters_t *n = &self->counters;
    int64_t *const ticks[HBM_POWER_STATES] = {&n->ticks_active_standby, &n->ticks_precharged_standby,
                                              &n->ticks_active_power_down, &n->ticks_precharged_power_down,
                                              &n->ticks_self_refresh};
    const int state = hbm_power_state(self->power, self->open != 0);

    *ticks[state] += t - self->power_since;
    if (epochs != NULL) {
        hbm_epochs_spend(epochs, self->power_since, t, state);
    }
    self->power_since = t;
}

/* A bank that was open closes at t, which may be still to come after RDA or WRA. */
HBM_INLINE void hbm_pc_closes(hbm_pc_t *self, int bank, hbm_tick_t t)
{
    self->bank[bank].active_ticks += t - self->account.act[bank];
    self->closed_at[bank] = t;
}

/* Cuts the time that banks were open at the end of the run. */
HBM_INLINE void hbm_pc_cut_active(hbm_pc_t *self, const hbm_device_t *d, hbm_tick_t end)
{
    for (int b = 0; b < d->banks; b++) {
        if (self->open & hbm_bit(b)) {
            hbm_pc_closes(self, b, end);
        } else {
            self->bank[b].active_ticks -= hbm_max(self->closed_at[b] - end, 0);
        }
    }
}

/* The run is over at `end`: what lies behind the last burst had no request, and the counters that follow from others are
 * made from them (which saves touching them with every burst). */
HBM_INLINE void hbm_pc_settle(hbm_pc_t *self, const hbm_device_t *d, hbm_epochs_t *epochs, hbm_tick_t end)
{
    hbm_counters_t *n = &self->counters;
    const int64_t reads = n->n_rd + n->n_rda, writes = n->n_wr + n->n_wra;

    n->requests_in = self->age + n->reads_forwarded;
    n->requests_out = reads + writes + n->reads_forwarded;
    n->reads_timed = reads + n->reads_forwarded;
    n->bytes_read = n->reads_timed * d->burst_bytes;
    n->bytes_written = writes * d->burst_bytes;
    n->data_ticks = (reads + writes) * d->BL;
    n->row_hits = reads + writes - n->row_misses - n->row_conflicts; /* every served entry is one of the three */
    hbm_power_spend(self, epochs, end);
    hbm_pc_cut_active(self, d, end);
    if (end > self->account.data_free) {
        self->counters.lost_no_request += end - self->account.data_free;
        self->account.data_free = end;
    }
}

HBM_INLINE uint32_t hbm_filter_slot(int bank, int32_t row, int32_t column)
{
    const uint32_t x = ((uint32_t)row * 2654435761u) ^ ((uint32_t)column << 9) ^ ((uint32_t)bank << 20);
    return (x ^ (x >> 15)) & (HBM_FILTER - 1);
}

#endif

/* The input of one pseudo-channel: bursts in order, made one at a time from intervals of local burst numbers (byte
 * ranges of operands, interleaved by turns) or taken from a block of explicit requests.  Nothing is expanded ahead.
 * Must not know timing or queues. */
#ifndef HBM_FEED_H
#define HBM_FEED_H

#include "addrmap.h"

typedef struct {
    int64_t first; /* local bursts [first, end) */
    int64_t end;
} hbm_interval_t;

typedef struct {
    int64_t at;    /* next local burst */
    int64_t end;   /* of the current interval */
    int32_t interval; /* the next interval to take */
    int32_t last;     /* one past this stream's last interval */
    int32_t access;
    int32_t operation;
    hbm_tick_t start; /* joins the turns then; HBM_NEVER: still being added */
    bool is_write;
    uint8_t traffic_class;
} hbm_stream_t;

typedef struct {
    const hbm_map_t *map;
    /* the next burst, decoded */
    bool valid;
    bool is_write;
    bool timed; /* latency counts from arrival, else from acceptance */
    int32_t bank;
    int32_t row;
    int32_t column;
    uint8_t traffic_class;
    int32_t tag;
    hbm_tick_t arrival;
    hbm_tick_t open_at; /* nothing is taken before: when this input came */
    hbm_tick_t gap_256; /* of a throttled host: least time between two bursts, in 1/256 ticks; 0: none */
    hbm_tick_t next_256; /* it offers the next burst then */

    /* explicit requests */
    uint64_t *request; /* the spot of each; if some are timed, the arrival of each behind it */
    bool some_timed;
    hbm_tick_t requests_from; /* none is taken before */
    int64_t request_at;
    int64_t n_requests;
    int64_t request_capacity; /* in numbers, not in requests */
    bool number_requests; /* tag requests by their index (to record each), else 0 */

    /* streams: those that take turns, then those that will join them, in order of their starts */
    hbm_stream_t *stream;
    int32_t n_streams;
    int32_t n_waiting;
    uint8_t adding_class; /* of the streams that are added */
    int32_t stream_capacity;
    hbm_interval_t *interval;
    int32_t n_intervals;
    int32_t interval_capacity;
    int32_t turn;       /* the stream being read */
    int32_t turn_left;  /* bursts left of its turn */
    int32_t tile;       /* bursts per turn; 0: no turns */
    int32_t step;       /* position in the block of the stream being read */
    hbm_block_t block;
    int32_t gone;       /* tag of an operation whose last burst was taken, for the owner to clear; else 0 */
} hbm_feed_t;

void hbm_feed_free(hbm_feed_t *self);

/* Appends local bursts [first, end) to the operand `access`; operands come in ascending order, operations one by one. */
int hbm_feed_add(hbm_feed_t *self, int32_t access, int32_t operation, bool is_write, int64_t first, int64_t end);
/* The streams added since the last call are complete and may be read from tick `start` on, which is never less than that
 * of the call before.  True when the feed was empty: it then takes them at once, and its next burst arrives at `start`. */
bool hbm_feed_start(hbm_feed_t *self, hbm_tick_t start, int32_t tile);
/* HBM_NEVER when no stream waits for its start. */
HBM_INLINE hbm_tick_t hbm_feed_next_start(const hbm_feed_t *self);
/* Streams that start by `tick` join the others at the end of their round of turns.  True when the feed was empty. */
bool hbm_feed_join(hbm_feed_t *self, hbm_tick_t tick);

/* Appends a request; arrival HBM_LONG_AGO: as early as accepted. */
HBM_INLINE int hbm_feed_request(hbm_feed_t *self, hbm_spot_t request, hbm_tick_t arrival);
int hbm_feed_make_room(hbm_feed_t *self, bool timed);
/* True when the feed was empty and has a request now; requests wait behind streams. */
bool hbm_feed_start_requests(hbm_feed_t *self);

/* A burst is taken at even tick t: a throttled host waits with the next one. */
HBM_INLINE void hbm_feed_pace(hbm_feed_t *self, hbm_tick_t t);

/* True while bursts of the operation are still to be given. */
bool hbm_feed_gives(const hbm_feed_t *self, int32_t operation);

/* Moves on to the burst behind the next one. */
void hbm_feed_step_slow(hbm_feed_t *self);
void hbm_feed_next_request(hbm_feed_t *self);
HBM_INLINE void hbm_feed_step(hbm_feed_t *self);

HBM_INLINE int hbm_feed_request(hbm_feed_t *self, hbm_spot_t request, hbm_tick_t arrival)
{
    const bool timed = arrival != HBM_LONG_AGO;

    if (HBM_UNLIKELY((self->n_requests << self->some_timed == self->request_capacity) | (timed > self->some_timed)) &&
        hbm_feed_make_room(self, timed) != 0) {
        return HBM_ERR_NO_MEMORY;
    }
    self->request[self->n_requests << self->some_timed] = request;
    if (self->some_timed) {
        self->request[2 * self->n_requests + 1] = (uint64_t)arrival;
    }
    self->n_requests++;
    return 0;
}

HBM_INLINE hbm_tick_t hbm_feed_next_start(const hbm_feed_t *self)
{
    return self->n_waiting > 0 ? self->stream[self->n_streams].start : HBM_NEVER;
}

/* Even ticks make it wait up to 2 ticks too long; that much may be made up for, so that the mean is exact. */
HBM_INLINE void hbm_feed_pace(hbm_feed_t *self, hbm_tick_t t)
{
    self->next_256 = hbm_max(self->next_256, (t - 2) * 256) + self->gap_256;
}

/* The burst at step s of the current block. */
HBM_INLINE void hbm_feed_decode_as(hbm_feed_t *self, const hbm_local_step_t *s)
{
    self->bank = (self->block.bank + s->bank) ^ self->block.flip ^ s->flip;
    self->column = self->block.column + s->column;
}

HBM_INLINE void hbm_feed_decode(hbm_feed_t *self) { hbm_feed_decode_as(self, &self->map->step[self->step]); }

HBM_INLINE void hbm_feed_step(hbm_feed_t *self)
{
    if (HBM_LIKELY(self->n_streams > 0)) {
        hbm_stream_t *s = &self->stream[self->turn];
        s->at++;
        self->step++;
        self->turn_left--;
        if (HBM_LIKELY(s->at < s->end && self->step < self->map->block_size && self->turn_left != 0)) {
            hbm_feed_decode(self);
            return;
        }
        hbm_feed_step_slow(self);
    } else {
        hbm_feed_next_request(self);
    }
}

#endif

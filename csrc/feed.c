/* The rarer steps of a feed: ends of rows, intervals and turns; explicit requests.  See feed.h. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

void hbm_feed_free(hbm_feed_t *self)
{
    free(self->request);
    free(self->stream);
    free(self->interval);
    memset(self, 0, sizeof *self);
}

/* Makes room for one more item; *items may move. */
static int grow(void **items, int64_t n, int64_t *capacity, size_t size)
{
    if (n == *capacity) {
        const int64_t bigger = *capacity == 0 ? 16 : *capacity * 2;
        void *moved = realloc(*items, (size_t)bigger * size);
        if (moved == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
        *items = moved;
        *capacity = bigger;
    }
    return 0;
}

/* Drops the intervals that all streams are past, when they are most of the table. */
static void forget_intervals(hbm_feed_t *self)
{
    const int32_t n = self->n_streams + self->n_waiting;
    int32_t first = self->n_intervals;

    for (int32_t i = 0; i < n; i++) {
        first = self->stream[i].interval < first ? self->stream[i].interval : first;
    }
    if (first > 0 && first >= self->n_intervals / 2) {
        memmove(self->interval, self->interval + first, (size_t)(self->n_intervals - first) * sizeof *self->interval);
        self->n_intervals -= first;
        for (int32_t i = 0; i < n; i++) {
            self->stream[i].interval -= first;
            self->stream[i].last -= first;
        }
    }
}

int hbm_feed_add(hbm_feed_t *self, int32_t access, int32_t operation, bool is_write, int64_t first, int64_t end)
{
    const int32_t n = self->n_streams + self->n_waiting;
    int64_t capacity = self->stream_capacity;
    void *items = self->stream;
    hbm_stream_t *s = n > 0 ? &self->stream[n - 1] : NULL;

    if (s == NULL || s->start != HBM_NEVER || s->access != access || s->operation != operation) {
        if (grow(&items, n, &capacity, sizeof *self->stream) != 0) {
            return HBM_ERR_NO_MEMORY;
        }
        self->stream = items;
        self->stream_capacity = (int32_t)capacity;
        s = &self->stream[n];
        memset(s, 0, sizeof *s);
        s->interval = s->last = self->n_intervals;
        s->access = access;
        s->operation = operation;
        s->start = HBM_NEVER;
        s->is_write = is_write;
        s->traffic_class = self->adding_class;
        self->n_waiting++;
    } else if (self->interval[s->last - 1].end == first) {
        self->interval[s->last - 1].end = end; /* continues the last interval */
        return 0;
    }
    if (self->n_intervals == self->interval_capacity) {
        forget_intervals(self);
    }
    capacity = self->interval_capacity;
    items = self->interval;
    if (grow(&items, self->n_intervals, &capacity, sizeof *self->interval) != 0) {
        return HBM_ERR_NO_MEMORY;
    }
    self->interval = items;
    self->interval_capacity = (int32_t)capacity;
    self->interval[self->n_intervals++] = (hbm_interval_t){first, end};
    s->last = self->n_intervals;
    return 0;
}

/* Every request gets an arrival. */
static void spread_requests(hbm_feed_t *self)
{
    for (int64_t i = self->n_requests - 1; i >= 0; i--) {
        self->request[2 * i] = self->request[i];
        self->request[2 * i + 1] = (uint64_t)HBM_LONG_AGO;
    }
    self->some_timed = true;
}

/* For one more request. */
int hbm_feed_make_room(hbm_feed_t *self, bool timed)
{
    const int wide = self->some_timed | timed;
    void *items = self->request;

    if (self->request_at > self->n_requests / 2 && !self->number_requests) {
        /* those before it are taken */
        self->n_requests -= self->request_at;
        memmove(self->request, self->request + (self->request_at << self->some_timed),
                ((size_t)self->n_requests << self->some_timed) * sizeof *self->request);
        self->request_at = 0;
    }
    while (self->n_requests << wide >= self->request_capacity) {
        if (grow(&items, self->request_capacity, &self->request_capacity, sizeof *self->request) != 0) {
            return HBM_ERR_NO_MEMORY;
        }
        self->request = items;
    }
    if (wide > self->some_timed) {
        spread_requests(self);
    }
    return 0;
}

static void load_request(hbm_feed_t *self)
{
    const uint64_t *at = &self->request[self->request_at << self->some_timed];
    const hbm_spot_t r = *at;

    self->open_at = hbm_max(self->open_at, self->requests_from);
    self->bank = hbm_spot_bank(r);
    self->row = hbm_spot_row(r);
    self->column = hbm_spot_column(r);
    self->is_write = (r & HBM_SPOT_WRITE) != 0;
    self->arrival = self->some_timed ? (hbm_tick_t)at[1] : HBM_LONG_AGO;
    self->timed = self->arrival != HBM_LONG_AGO;
    self->tag = self->number_requests ? (int32_t)self->request_at : 0;
}

/* No stream is left: what is next is a request, if there is one. */
static void enter_requests(hbm_feed_t *self)
{
    self->valid = self->request_at < self->n_requests;
    if (self->valid) {
        self->traffic_class = 0;
        load_request(self);
    } else {
        self->n_requests = self->request_at = 0;
    }
}

void hbm_feed_next_request(hbm_feed_t *self)
{
    self->request_at++;
    if (HBM_LIKELY(self->request_at < self->n_requests)) {
        load_request(self);
    } else {
        self->valid = false;
        self->n_requests = self->request_at = 0;
    }
}

bool hbm_feed_start_requests(hbm_feed_t *self)
{
    if (self->valid) {
        return false;
    }
    enter_requests(self);
    return self->valid;
}

/* Points the feed at the burst its current stream is at. */
static void enter(hbm_feed_t *self)
{
    const hbm_stream_t *s = &self->stream[self->turn];
    const int64_t block = s->at / self->map->block_size;

    self->step = (int32_t)(s->at - block * self->map->block_size);
    self->block = hbm_map_block(self->map, block);
    self->row = self->block.row;
    self->is_write = s->is_write;
    self->traffic_class = s->traffic_class;
    self->tag = s->operation + 1; /* 0: no operation */
    hbm_feed_decode(self);
}

bool hbm_feed_start(hbm_feed_t *self, hbm_tick_t start, int32_t tile)
{
    self->tile = tile;
    for (int32_t i = self->n_streams + self->n_waiting - 1; i >= self->n_streams; i--) {
        if (self->stream[i].start != HBM_NEVER) {
            break;
        }
        self->stream[i].start = start;
    }
    return !self->valid && hbm_feed_join(self, hbm_feed_next_start(self));
}

bool hbm_feed_join(hbm_feed_t *self, hbm_tick_t tick)
{
    const bool empty = self->n_streams == 0;

    if (self->n_waiting == 0 || self->stream[self->n_streams].start > tick) {
        return false;
    }
    if (empty) {
        self->arrival = self->stream[0].start;
    }
    while (self->n_waiting > 0 && self->stream[self->n_streams].start <= tick) {
        hbm_stream_t *s = &self->stream[self->n_streams];
        s->at = self->interval[s->interval].first;
        s->end = self->interval[s->interval].end;
        s->interval++;
        self->n_streams++;
        self->n_waiting--;
    }
    if (empty) {
        self->valid = true;
        self->timed = false;
        self->turn = 0;
        self->turn_left = self->tile > 0 ? self->tile : -1;
        enter(self);
    }
    return empty;
}

bool hbm_feed_gives(const hbm_feed_t *self, int32_t operation)
{
    for (int32_t i = 0; i < self->n_streams + self->n_waiting; i++) {
        if (self->stream[i].operation == operation) {
            return true;
        }
    }
    return false;
}

/* The stream has given its last burst; so has its operation if it has no other stream here. */
static void drop_stream(hbm_feed_t *self, int32_t i)
{
    const int32_t operation = self->stream[i].operation;

    self->n_streams--;
    memmove(&self->stream[i], &self->stream[i + 1],
            (size_t)(self->n_streams + self->n_waiting - i) * sizeof *self->stream);
    if (!hbm_feed_gives(self, operation)) {
        self->gone = operation + 1;
    }
}

void hbm_feed_step_slow(hbm_feed_t *self)
{
    hbm_stream_t *s = &self->stream[self->turn];

    if (s->at == s->end) {
        if (s->interval < s->last) {
            s->at = self->interval[s->interval].first;
            s->end = self->interval[s->interval].end;
            s->interval++;
        } else {
            drop_stream(self, self->turn);
            if (self->n_streams == 0) {
                self->n_intervals = self->n_waiting > 0 ? self->n_intervals : 0;
                enter_requests(self);
                return;
            }
            if (self->turn == self->n_streams) {
                self->turn = 0;
            }
            self->turn_left = self->tile > 0 ? self->tile : -1;
        }
    } else if (self->turn_left == 0) {
        self->turn = self->turn + 1 < self->n_streams ? self->turn + 1 : 0;
        self->turn_left = self->tile;
    }
    if (self->turn_left == 0) { /* the turn ended together with an interval */
        self->turn = self->turn + 1 < self->n_streams ? self->turn + 1 : 0;
        self->turn_left = self->tile;
    }
    enter(self);
}

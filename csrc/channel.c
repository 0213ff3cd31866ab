/* The event loop of one channel.
 *
 * Exactness.  The contract speaks of every tick; this loop visits only ticks at which something may happen.  Each
 * pseudo-channel keeps three lower bounds: look_at (refresh clock, acceptance, direction), column_at and row_at.  A bound may
 * be too early, never too late: visiting a tick at which nothing happens changes nothing.  Whatever lowers a bound
 * (a new entry, an issued command, a direction change) writes it at once.  With skipping off every tick is visited and every
 * bound ignored; a property test compares both, and both with the reference twin. */
#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "refresh.h"

int hbm_channel_init(hbm_channel_t *self, const hbm_device_t *device, const hbm_policies_t *policies,
                     const hbm_map_t *map)
{
    const hbm_policy_t *c = &policies->config;
    const uint64_t most_in_flight = (uint64_t)((device->RL + device->BL + c->host_ticks) / device->CCDS + 2);
    uint32_t ring = 2;
    int ret = 0;

    memset(self, 0, sizeof *self);
    self->device = device;
    self->policies = policies;
    self->search = hbm_search_best();
    self->now = -1;
    self->n_pc = (int32_t)device->pseudo_channels;
    self->log.on = c->log_commands;
    while (ring < most_in_flight) {
        ring *= 2;
    }
    for (int i = 0; i < self->n_pc; i++) {
        hbm_pc_t *pc = &self->pc[i];
        pc->index = i;
        pc->feed.map = map;
        hbm_timing_init(&pc->timing);
        for (int b = 0; b < HBM_MAX_BANKS; b++) {
            pc->open_row[b] = -1;
            pc->account.group_rd[b] = pc->account.group_wr[b] = HBM_LONG_AGO;
            pc->account.refresh_end[b] = pc->account.act[b] = HBM_LONG_AGO;
            pc->account.window_from[b] = pc->account.window_to[b] = HBM_LONG_AGO;
        }
        pc->account.last_rd = pc->account.last_wr = HBM_LONG_AGO;
        hbm_refresh_init(pc, device, policies);
        pc->column_at = pc->row_at = HBM_NEVER;
        pc->look_at = 0;
        pc->flight_mask = ring - 1;
        pc->flight = calloc(ring, sizeof *pc->flight);
        ret = hbm_queue_init(&pc->queue[HBM_READ], c->read_queue);
        ret = ret != 0 ? ret : hbm_queue_init(&pc->queue[HBM_WRITE], c->write_queue);
        if (ret != 0 || pc->flight == NULL) {
            return HBM_ERR_NO_MEMORY;
        }
    }
    return 0;
}

void hbm_channel_free(hbm_channel_t *self)
{
    for (int i = 0; i < HBM_MAX_PC; i++) {
        hbm_queue_free(&self->pc[i].queue[HBM_READ]);
        hbm_queue_free(&self->pc[i].queue[HBM_WRITE]);
        hbm_feed_free(&self->pc[i].feed);
        free(self->pc[i].flight);
        self->pc[i].flight = NULL;
    }
    hbm_log_free(&self->log);
}

void hbm_channel_wake(hbm_channel_t *self, int pc)
{
    if (self->pc[pc].feed.valid) {
        self->pc[pc].look_at = hbm_min(self->pc[pc].look_at, hbm_max(self->pc[pc].feed.arrival, 0));
    }
}

static void log_command(hbm_channel_t *self, const hbm_pc_t *pc, int command, int bank, int32_t row, int32_t column,
                        hbm_tick_t t)
{
    const hbm_logged_t item = {t, row, (uint16_t)column, (uint8_t)pc->index, (uint8_t)bank, (uint8_t)command};
    const int ret = hbm_log_append(&self->log, &item);
    if (ret != 0) {
        self->error = ret;
    }
}

/* ---- steps 1 to 3 of an even tick ---- */

/* Reads whose data is on its way or not yet back at the host. */
HBM_INLINE int64_t in_flight(hbm_pc_t *pc, hbm_tick_t t)
{
    while (pc->flight_head != pc->flight_tail && pc->flight[pc->flight_head & pc->flight_mask] <= t) {
        pc->flight_head++;
    }
    return (int64_t)(pc->flight_tail - pc->flight_head);
}

static void complete(hbm_pc_t *pc, int32_t tag, hbm_tick_t done, bool forwarded)
{
    if (pc->record != NULL) {
        pc->record->done[tag] = done;
        pc->record->forwarded[tag] = forwarded;
    }
}

static void forward(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_feed_t *f = &pc->feed;
    const hbm_tick_t latency = f->timed ? t - f->arrival : 0;

    pc->counters.reads_forwarded++;
    pc->counters.requests_out++;
    pc->counters.bytes_read += self->device->burst_bytes;
    pc->counters.reads_timed++;
    pc->counters.read_latency_ticks_sum += latency;
    pc->counters.read_latency_ticks_max = hbm_max(pc->counters.read_latency_ticks_max, latency);
    if (self->histogram != NULL) {
        self->histogram[hbm_bucket(latency)]++;
    }
    if (self->tally != NULL) {
        self->tally[f->tag].bursts_read++;
        self->tally[f->tag].end_tick = hbm_max(self->tally[f->tag].end_tick, t);
    }
    pc->done = hbm_max(pc->done, t);
    complete(pc, f->tag, t, true);
}

/* False when the next request must wait. */
HBM_INLINE bool accept_one(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t, hbm_tick_t *retry_at)
{
    const hbm_policy_t *c = &self->policies->config;
    const hbm_feed_t *f = &pc->feed;
    const int direction = f->is_write ? HBM_WRITE : HBM_READ;
    hbm_queue_t *q = &pc->queue[direction];
    const int bank = f->bank;
    hbm_entry_t *e;
    bool hit;

    if (direction == HBM_READ) {
        if (pc->queue[HBM_WRITE].count > 0 && pc->filter[hbm_filter_slot(bank, f->row, f->column)] != 0 &&
            hbm_queue_holds(&pc->queue[HBM_WRITE], bank, f->row, f->column)) {
            forward(self, pc, t);
            goto accepted;
        }
        if (hbm_queue_full(q)) {
            return false;
        }
        if (c->window > 0 && q->count + in_flight(pc, t) >= c->window) {
            if (pc->flight_head != pc->flight_tail) {
                *retry_at = pc->flight[pc->flight_head & pc->flight_mask];
            }
            return false;
        }
    } else {
        if (hbm_queue_full(q)) {
            return false;
        }
        pc->filter[hbm_filter_slot(bank, f->row, f->column)]++;
        if (self->tally != NULL) { /* posted: the host is free of it one CK later */
            self->tally[f->tag].bursts_written++;
            self->tally[f->tag].end_tick = hbm_max(self->tally[f->tag].end_tick, t + 2);
        }
    }
    if (hbm_pc_idle(pc)) {
        pc->account.nonempty_since = t;
    }
    hit = pc->open_row[bank] == f->row;
    e = hbm_queue_push(q, bank, pc->age++, f->row, f->column, hit);
    e->since = f->timed ? f->arrival : t;
    e->tag = f->tag;
    if (direction == pc->direction) {
        if (hit) {
            pc->column_at = hbm_min(pc->column_at, t);
        } else {
            pc->row_at = hbm_min(pc->row_at, t);
        }
    }
accepted:
    pc->counters.requests_in++;
    if (pc->record != NULL) {
        pc->record->accept[f->tag] = t;
    }
    hbm_feed_step(&pc->feed);
    return true;
}

static void look(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_policy_t *c = &self->policies->config;
    hbm_tick_t next = HBM_NEVER, retry_at = HBM_NEVER;
    int32_t reads, writes;

    if (self->policies->refresh->active) {
        hbm_refresh_look(pc, self->device, self->policies, t);
        next = hbm_rising(pc->refresh.next_due);
    }
    while (pc->feed.valid && pc->feed.arrival <= t) {
        if (!accept_one(self, pc, t, &retry_at)) {
            break;
        }
    }
    if (pc->feed.valid && pc->feed.arrival > t) {
        next = hbm_min(next, hbm_rising(pc->feed.arrival));
    }
    next = hbm_min(next, hbm_rising(retry_at)); /* a full queue is looked at again after the next column command */

    reads = pc->queue[HBM_READ].count;
    writes = pc->queue[HBM_WRITE].count;
    if (pc->direction == HBM_READ ? writes >= c->write_high || (reads == 0 && writes > 0)
                                  : writes == 0 || (writes <= c->write_low && reads > 0)) {
        pc->direction = 1 - pc->direction;
        pc->column_at = pc->row_at = HBM_LONG_AGO;
    }
    pc->look_at = next;
}

/* ---- step 4: the column bus ---- */

HBM_INLINE hbm_tick_t earliest_column(const hbm_pc_t *pc, const hbm_device_t *d, int bank)
{
    return pc->direction == HBM_READ ? hbm_earliest_rd(&pc->timing, d, bank) : hbm_earliest_wr(&pc->timing, bank);
}

HBM_INLINE void charge_first(hbm_channel_t *self, hbm_entry_t *e, int64_t *counter, size_t tally)
{
    e->counted = 1;
    ++*counter;
    if (self->tally != NULL) {
        ++*(int64_t *)(void *)((char *)&self->tally[e->tag] + tally);
    }
}

static void close_bank(hbm_pc_t *pc, int bank)
{
    pc->open &= ~hbm_bit(bank);
    pc->open_row[bank] = -1;
    hbm_queue_close_row(&pc->queue[HBM_READ], bank);
    hbm_queue_close_row(&pc->queue[HBM_WRITE], bank);
}

static void issue_column(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    const bool is_write = pc->direction == HBM_WRITE;
    hbm_queue_t *q = &pc->queue[pc->direction];
    hbm_entry_t *e = hbm_queue_first_hit(q, bank);
    const bool closes = self->policies->page->auto_precharge && hbm_queue_last_hit(q, bank);

    hbm_account_column(pc, d, bank, is_write, t);
    if (!e->counted) {
        charge_first(self, e, &pc->counters.row_hits, offsetof(hbm_operation_result_t, row_hits));
    }
    pc->counters.requests_out++;
    if (is_write) {
        const hbm_tick_t done = t + d->WL + d->BL;
        hbm_issue_wr(&pc->timing, d, bank, t);
        pc->counters.bytes_written += d->burst_bytes;
        pc->filter[hbm_filter_slot(bank, e->row, e->column)]--;
        pc->done = hbm_max(pc->done, done);
        complete(pc, e->tag, done, false);
        if (self->epochs != NULL) {
            hbm_epochs_add(self->epochs, t, HBM_EPOCH_WRITE);
        }
    } else {
        const hbm_tick_t done = t + d->RL + d->BL, latency = done - e->since;
        hbm_issue_rd(&pc->timing, d, bank, t);
        pc->counters.bytes_read += d->burst_bytes;
        pc->counters.reads_timed++;
        pc->counters.read_latency_ticks_sum += latency;
        pc->counters.read_latency_ticks_max = hbm_max(pc->counters.read_latency_ticks_max, latency);
        if (self->policies->config.window > 0) {
            in_flight(pc, t); /* frees what is back, so that the ring never overflows */
            pc->flight[pc->flight_tail++ & pc->flight_mask] = done + self->policies->config.host_ticks;
        }
        pc->done = hbm_max(pc->done, done);
        complete(pc, e->tag, done, false);
        if (self->histogram != NULL) {
            self->histogram[hbm_bucket(latency)]++;
        }
        if (self->epochs != NULL) {
            hbm_epochs_add(self->epochs, t, HBM_EPOCH_READ);
        }
        if (self->tally != NULL) {
            self->tally[e->tag].bursts_read++;
            self->tally[e->tag].end_tick = hbm_max(self->tally[e->tag].end_tick, done);
        }
    }
    if (HBM_UNLIKELY(self->log.on)) {
        const int command = is_write ? (closes ? HBM_CMD_WRA : HBM_CMD_WR) : (closes ? HBM_CMD_RDA : HBM_CMD_RD);
        log_command(self, pc, command, bank, e->row, e->column, t);
    }
    pc->columns_since_act[bank]++;
    pc->last_use[bank] = t;
    hbm_queue_pop_hit(q, bank);
    if (closes) {
        pc->counters.n_rda += !is_write;
        pc->counters.n_wra += is_write;
        hbm_precharge_at(&pc->timing, d, bank, pc->timing.pre_ok[bank]);
        close_bank(pc, bank);
    } else {
        pc->counters.n_rd += !is_write;
        pc->counters.n_wr += is_write;
    }
    self->column_free = t + d->column_ticks;
    self->column_turn = pc->index + 1 < self->n_pc ? pc->index + 1 : 0;
    pc->look_at = t + 2;
    pc->column_at = t + 2;
    if (!(q->hit_banks & hbm_bit(bank)) || self->policies->scheduler->hits != NULL || self->policies->page->closes) {
        pc->row_at = hbm_min(pc->row_at, t);
    }
}

static bool try_column(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_scheduler_t *s = self->policies->scheduler;
    const uint64_t admitted = s->hits == NULL ? pc->queue[pc->direction].hit_banks
                                              : s->hits(pc, self->policies, pc->direction);
    const int64_t *key = pc->queue[pc->direction].hit_key;
    int64_t best = HBM_NEVER;
    hbm_tick_t soonest = HBM_NEVER;

    for (uint64_t m = admitted & ~pc->blocked; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t at = earliest_column(pc, self->device, b);
        if (at <= t) {
            best = hbm_min(best, key[b]);
        }
        soonest = hbm_min(soonest, at);
    }
    if (best == HBM_NEVER) {
        pc->column_at = hbm_rising(soonest);
        return false;
    }
    issue_column(self, pc, (int)(best & 63), t);
    return true;
}

/* ---- step 5: the row bus ---- */

static void issue_act(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_entry_t *e = hbm_queue_first_other(&pc->queue[pc->direction], bank);
    const int32_t row = e->row;

    if (!e->counted) {
        charge_first(self, e, &pc->counters.row_misses, offsetof(hbm_operation_result_t, row_misses));
    }
    hbm_account_act(pc, bank, pc->timing.act_ok[bank], hbm_act_common(&pc->timing, d), t);
    hbm_issue_act(&pc->timing, d, bank, t);
    pc->open |= hbm_bit(bank);
    pc->open_row[bank] = row;
    pc->columns_since_act[bank] = 0;
    pc->last_use[bank] = t;
    hbm_queue_open_row(&pc->queue[HBM_READ], bank, row);
    hbm_queue_open_row(&pc->queue[HBM_WRITE], bank, row);
    pc->counters.n_act++;
    if (d->RAAIMT > 0) {
        pc->refresh.raa[bank]++;
        pc->look_at = hbm_min(pc->look_at, t + 2);
    }
    pc->column_at = hbm_min(pc->column_at, t + 2);
    if (self->epochs != NULL) {
        hbm_epochs_add(self->epochs, t, HBM_EPOCH_ACT);
    }
    if (HBM_UNLIKELY(self->log.on)) {
        log_command(self, pc, HBM_CMD_ACT, bank, row, 0, t);
    }
    self->row_free = t + d->act_ticks;
}

static void issue_precharge(hbm_channel_t *self, hbm_pc_t *pc, int bank, hbm_tick_t t)
{
    hbm_issue_pre(&pc->timing, self->device, bank, t);
    close_bank(pc, bank);
    pc->counters.n_pre_pb++;
    if (HBM_UNLIKELY(self->log.on)) {
        log_command(self, pc, HBM_CMD_PREPB, bank, 0, 0, t);
    }
    self->row_free = t + self->device->row_ticks;
}

static void issue_refresh(hbm_channel_t *self, hbm_pc_t *pc, int command, int bank, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    hbm_tick_t end = t;

    switch (command) {
    case HBM_CMD_PREPB:
        issue_precharge(self, pc, bank, t);
        return;
    case HBM_CMD_PREAB:
        for (uint64_t m = pc->open; m != 0; m &= m - 1) {
            hbm_issue_pre(&pc->timing, d, hbm_lowest(m), t);
            close_bank(pc, hbm_lowest(m));
        }
        pc->counters.n_pre_ab++;
        break;
    case HBM_CMD_REFPB:
    case HBM_CMD_RFMPB:
        end = t + (command == HBM_CMD_REFPB ? d->RFCpb : d->RFMpb);
        hbm_issue_refpb(&pc->timing, d, bank, t, end - t, command == HBM_CMD_REFPB);
        pc->account.refresh_end[bank] = end;
        pc->counters.n_ref_pb += command == HBM_CMD_REFPB;
        pc->counters.n_rfm_pb += command == HBM_CMD_RFMPB;
        break;
    default:
        end = t + d->RFCab;
        hbm_issue_refab(&pc->timing, d, t, d->RFCab);
        for (int b = 0; b < d->banks; b++) {
            pc->account.refresh_end[b] = end;
        }
        pc->counters.n_ref_ab++;
        break;
    }
    if (command != HBM_CMD_PREAB) {
        hbm_refresh_issued(pc, d, command, bank);
        pc->look_at = hbm_min(pc->look_at, t + 2);
        pc->column_at = hbm_min(pc->column_at, t + 2);
        if (self->epochs != NULL) {
            hbm_epochs_add(self->epochs, t, HBM_EPOCH_REF);
        }
    }
    if (HBM_UNLIKELY(self->log.on)) {
        log_command(self, pc, command, bank, 0, 0, t);
    }
    self->row_free = t + d->row_ticks;
}

/* Banks at RAAMMT may not be activated. */
static uint64_t below_raammt(const hbm_pc_t *pc, const hbm_device_t *d)
{
    uint64_t mask = ~UINT64_C(0);
    for (int b = 0; d->RAAIMT > 0 && b < d->banks; b++) {
        if (pc->refresh.raa[b] >= d->RAAMMT) {
            mask &= ~hbm_bit(b);
        }
    }
    return mask;
}

/* Class 3: the page policy's precharge.  Returns the bank, or -1 with *soonest lowered. */
static int idle_row(const hbm_channel_t *self, const hbm_pc_t *pc, hbm_tick_t t, hbm_tick_t *soonest)
{
    const uint64_t set = pc->open & ~pc->blocked & ~pc->queue[pc->direction].hit_banks;
    hbm_tick_t first = HBM_NEVER;
    int bank = -1;

    for (uint64_t m = set; m != 0; m &= m - 1) {
        const int b = hbm_lowest(m);
        const hbm_tick_t out = pc->last_use[b] + self->policies->page_timeout;
        hbm_tick_t at = hbm_max(out, hbm_earliest_pre(&pc->timing, b));
        at = self->device->pre_any_edge ? at : hbm_rising(at);
        if (at <= t && out < first) {
            first = out;
            bank = b;
        }
        *soonest = hbm_min(*soonest, at);
    }
    return bank;
}

static bool try_row(hbm_channel_t *self, hbm_pc_t *pc, hbm_tick_t t)
{
    const hbm_device_t *d = self->device;
    const hbm_scheduler_t *s = self->policies->scheduler;
    hbm_queue_t *q = &pc->queue[pc->direction];
    const bool even = (t & 1) == 0, pre_edge = even || d->pre_any_edge;
    hbm_tick_t soonest = HBM_NEVER;
    hbm_found_t act = {HBM_NEVER, HBM_NEVER}, pre = {HBM_NEVER, HBM_NEVER};
    uint64_t others, closed, conflicts;
    int bank;
    const int wanted = hbm_refresh_wanted(pc, &bank);

    if (wanted >= 0) {
        soonest = hbm_refresh_earliest(pc, d, wanted, bank);
        if (soonest <= t && (even || (pre_edge && (wanted == HBM_CMD_PREPB || wanted == HBM_CMD_PREAB)))) {
            issue_refresh(self, pc, wanted, bank, t);
            goto issued;
        }
        soonest = hbm_max(soonest, t + 1);
    }
    others = (s->others == NULL ? q->other_banks : s->others(pc, self->policies, pc->direction)) & ~pc->blocked;
    closed = others & ~pc->open;
    conflicts = others & pc->open & ~(s->hits == NULL ? q->hit_banks : s->hits(pc, self->policies, pc->direction));
    if (closed != 0) {
        const hbm_tick_t common = hbm_act_common(&pc->timing, d);
        closed &= d->RAAIMT > 0 ? below_raammt(pc, d) : closed;
        act = self->search(pc->timing.act_ok, q->other_key, closed, even && common <= t ? t : HBM_LONG_AGO * 2);
        if (closed != 0) {
            hbm_tick_t at = hbm_rising(hbm_max(act.soonest, common));
            soonest = hbm_min(soonest, at > t ? at : hbm_rising(t + 1));
        }
    }
    if (conflicts != 0) {
        hbm_tick_t at;
        pre = self->search(pc->timing.pre_ok, q->other_key, conflicts,
                           pre_edge && pc->timing.pre_any <= t ? t : HBM_LONG_AGO * 2);
        at = hbm_max(pre.soonest, pc->timing.pre_any);
        at = at > t ? at : t + 1;
        soonest = hbm_min(soonest, d->pre_any_edge ? at : hbm_rising(at));
    }
    if (act.key != HBM_NEVER || pre.key != HBM_NEVER) {
        if (act.key < pre.key) {
            issue_act(self, pc, (int)(act.key & 63), t);
        } else {
            hbm_entry_t *e = hbm_queue_first_other(q, (int)(pre.key & 63));
            if (!e->counted) {
                charge_first(self, e, &pc->counters.row_conflicts, offsetof(hbm_operation_result_t, row_conflicts));
            }
            issue_precharge(self, pc, (int)(pre.key & 63), t);
        }
        goto issued;
    }
    if (self->policies->page->closes) {
        hbm_tick_t at = HBM_NEVER;
        bank = idle_row(self, pc, pre_edge ? t : HBM_LONG_AGO * 2, &at);
        if (bank >= 0) {
            issue_precharge(self, pc, bank, t);
            goto issued;
        }
        soonest = hbm_min(soonest, at > t ? at : t + 1);
    }
    pc->row_at = soonest;
    return false;
issued:
    self->row_turn = pc->index + 1 < self->n_pc ? pc->index + 1 : 0;
    pc->row_at = t + 1;
    return true;
}

/* ---- the loop ---- */

HBM_INLINE hbm_tick_t next_event(const hbm_channel_t *self)
{
    hbm_tick_t next = HBM_NEVER;
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *pc = &self->pc[i];
        next = hbm_min(next, pc->look_at);
        next = hbm_min(next, hbm_max(pc->column_at, self->column_free));
        next = hbm_min(next, hbm_max(pc->row_at, self->row_free));
    }
    return hbm_max(next, self->now + 1);
}

HBM_INLINE void visit(hbm_channel_t *self, hbm_tick_t t)
{
    self->now = t;
    if ((t & 1) == 0) {
        for (int i = 0; i < self->n_pc; i++) {
            if (self->pc[i].look_at <= t) {
                look(self, &self->pc[i], t);
            }
        }
        if (self->column_free <= t) {
            for (int i = 0, p = self->column_turn; i < self->n_pc; i++, p = p + 1 < self->n_pc ? p + 1 : 0) {
                if (self->pc[p].column_at <= t && try_column(self, &self->pc[p], t)) {
                    break;
                }
            }
        }
    }
    if (self->row_free <= t) {
        for (int i = 0, p = self->row_turn; i < self->n_pc; i++, p = p + 1 < self->n_pc ? p + 1 : 0) {
            if (self->pc[p].row_at <= t && try_row(self, &self->pc[p], t)) {
                break;
            }
        }
    }
}

/* With skipping off: the next tick, and every bound says now. */
static hbm_tick_t next_tick(hbm_channel_t *self)
{
    for (int i = 0; i < self->n_pc; i++) {
        self->pc[i].look_at = self->pc[i].column_at = self->pc[i].row_at = self->now + 1;
    }
    return self->now + 1;
}

static bool reached(const hbm_channel_t *self, hbm_until_t until)
{
    for (int i = 0; i < self->n_pc; i++) {
        const hbm_pc_t *pc = &self->pc[i];
        if (pc->feed.valid || (until >= HBM_UNTIL_READ && pc->queue[HBM_READ].count > 0) ||
            (until >= HBM_UNTIL_EMPTY && pc->queue[HBM_WRITE].count > 0)) {
            return false;
        }
    }
    return true;
}

int hbm_channel_run(hbm_channel_t *self, hbm_until_t until)
{
    const bool skip = self->policies->config.skip;

    while (!reached(self, until)) {
        const hbm_tick_t t = skip ? next_event(self) : next_tick(self);
        if (t >= HBM_NEVER / 2) {
            return HBM_ERR_INTERNAL; /* work is left, yet nothing will ever happen */
        }
        visit(self, t);
    }
    return self->error;
}

int hbm_channel_advance(hbm_channel_t *self, hbm_tick_t tick)
{
    const bool skip = self->policies->config.skip;

    for (;;) {
        const hbm_tick_t t = skip ? next_event(self) : self->now + 1;
        if (t > tick) {
            break;
        }
        if (!skip) {
            next_tick(self);
        }
        visit(self, t);
    }
    return self->error;
}

hbm_tick_t hbm_channel_done(const hbm_channel_t *self)
{
    hbm_tick_t done = 0;
    for (int i = 0; i < self->n_pc; i++) {
        done = hbm_max(done, self->pc[i].done);
    }
    return done;
}

/* One channel under the policy set of Ramulator 2.1: lists of requests, the choice of commands, the clock.  Tick for
 * tick as in docs/model/ramulator_policies.md, in our ticks (even = rising edge).  Must not know timing rules
 * (r21_rules.c), nor when refreshes fall due (r21_refresh.c). */
#include "r21.h"

#include <stdlib.h>

enum {
    BUFFER_MAX = 1024,
    ACTIVE_MAX = HBM_MAX_PC * HBM_MAX_BANKS,
    ALL_RELAXATIONS = HBM_R21_REFPB_OUTSIDE_FAW | HBM_R21_ACT_REFPB_SHORT,
    CLOSED = -1
};

/* Indices of requests, oldest first: the stream is in order, so an index is an order of arrival. */
typedef struct {
    int32_t n;
    int32_t capacity;
    int64_t *at;
} list_t;

typedef struct {
    const hbm_device_t *device;
    const hbm_r21_policy_t *policy;
    const hbm_r21_requests_t *in;
    int64_t *accept;
    int64_t *done;
    hbm_r21_result_t *result;
    hbm_r21_command_t *commands;
    int64_t command_capacity;
    hbm_r21_rules_t rules;
    hbm_r21_refresh_t refresh;
    bool write_mode;
    list_t read, write, active;
    uint64_t active_banks[HBM_MAX_PC];
    int64_t open_row[HBM_MAX_PC][HBM_MAX_BANKS];
    uint64_t open_banks[HBM_MAX_PC];
    bool *counted;       /* the request's first command was issued */
    int64_t *returning;  /* reads whose data is on the way, in the order in which they will be handed back */
    hbm_tick_t *returns; /* by position in returning */
    int64_t n_returning, n_returned;
    int64_t next;      /* the request to offer */
    int64_t completed;
    bool refused;      /* the last offer */
} r21_t;

/* What the policies chose for a slot. */
typedef struct {
    list_t *list; /* NULL: the maintenance list */
    int32_t position;
    int pc;
    int command;
    int bank;
} choice_t;

/* ---- lists ---- */

static void list_remove(list_t *list, int32_t position)
{
    list->n--;
    memmove(&list->at[position], &list->at[position + 1], (size_t)(list->n - position) * sizeof list->at[0]);
}

static void list_insert(list_t *list, int64_t request)
{
    int32_t i = list->n++;

    for (; i > 0 && list->at[i - 1] > request; i--) {
        list->at[i] = list->at[i - 1];
    }
    list->at[i] = request;
}

static bool holds_address(const r21_t *self, uint64_t address)
{
    for (int32_t i = 0; i < self->write.n; i++) {
        if (self->in->address[self->write.at[i]] == address) {
            return true;
        }
    }
    return false;
}

/* ---- requests come and go ---- */

static void complete(r21_t *self, int64_t request, hbm_tick_t t)
{
    self->done[request] = t;
    self->completed++;
}

static void give_back_later(r21_t *self, int64_t request, hbm_tick_t t)
{
    self->returning[self->n_returning] = request;
    self->returns[self->n_returning++] = t;
}

/* Reads are handed back in the order in which they were lined up, even a forwarded one that is ready sooner. */
static void give_back(r21_t *self, hbm_tick_t t)
{
    while (self->n_returned < self->n_returning && self->returns[self->n_returned] <= t) {
        const int64_t request = self->returning[self->n_returned];

        /* that simulator stamps acceptance with the clock before the tick and the return with the clock after it */
        self->result->read_latency += self->returns[self->n_returned] + 1 - self->accept[request];
        complete(self, request, t);
        self->n_returned++;
    }
}

static void offer(r21_t *self, hbm_tick_t t)
{
    const int64_t i = self->next;
    const bool is_write = i < self->in->n && self->in->is_write[i] != 0;
    list_t *list = is_write ? &self->write : &self->read;

    self->refused = false;
    if (i >= self->in->n || self->in->tick[i] > t) {
        return;
    }
    if (holds_address(self, self->in->address[i])) {
        if (is_write) {
            complete(self, i, t);
            self->result->num_write_reqs_coalesced++;
        } else {
            give_back_later(self, i, t);
            self->result->num_read_reqs_forwarded++;
        }
    } else if (list->n < list->capacity) {
        list->at[list->n++] = i;
    } else {
        self->refused = true;
        return;
    }
    self->accept[i] = t;
    self->next++;
    if (is_write) {
        self->result->num_write_reqs++;
    } else {
        self->result->num_read_reqs++;
    }
}

/* ---- the choice of a command ---- */

static int next_command(const r21_t *self, int64_t request)
{
    const int pc = self->in->pc[request], bank = self->in->bank[request];
    const int64_t row = self->open_row[pc][bank];

    if (row == CLOSED) {
        return HBM_CMD_ACT;
    }
    if (row != self->in->row[request]) {
        return HBM_CMD_PREPB;
    }
    return self->in->is_write[request] ? HBM_CMD_WR : HBM_CMD_RD;
}

static int next_maintenance_command(const r21_t *self, const hbm_r21_maintenance_t *m)
{
    if (m->command == HBM_CMD_REFAB) {
        return self->open_banks[m->pc] != 0 ? HBM_CMD_PREAB : HBM_CMD_REFAB;
    }
    return (self->open_banks[m->pc] & hbm_bit(m->bank)) != 0 ? HBM_CMD_PREPB : HBM_CMD_REFPB;
}

/* No precharge for one request may close a bank under another whose ACT has issued. */
static bool would_close_active(const r21_t *self, int pc, int command, int bank)
{
    return (command == HBM_CMD_PREPB && (self->active_banks[pc] & hbm_bit(bank)) != 0) ||
           (command == HBM_CMD_PREAB && self->active_banks[pc] != 0);
}

static void look_at_write_mode(r21_t *self)
{
    /* 0.8 and 0.2 of the buffer's size, in whole numbers */
    if (!self->write_mode) {
        self->write_mode = self->write.n * 5 > self->write.capacity * 4 || self->read.n == 0;
    } else {
        self->write_mode = !(self->write.n * 5 < self->write.capacity && self->read.n != 0);
    }
}

/* First tick from now on at which the list's entry could issue its next command in this slot, or HBM_NEVER.  `hits`:
 * banks whose open row an older entry of the list hits. */
static hbm_tick_t entry_from(const r21_t *self, int64_t request, bool column, const uint64_t *hits, hbm_tick_t now,
                             int *command)
{
    const int pc = self->in->pc[request], bank = self->in->bank[request];

    *command = next_command(self, request);
    if (hbm_is_row_command(*command) == column || would_close_active(self, pc, *command, bank)) {
        return HBM_NEVER;
    }
    if (*command == HBM_CMD_PREPB && self->policy->scheduler == HBM_R21_FRFCFS_ROW_HIT &&
        (hits[pc] & hbm_bit(bank)) != 0) {
        return HBM_NEVER;
    }
    return hbm_r21_earliest(&self->rules, pc, *command, bank, now);
}

/* First ready, first come; `from` is lowered to the earliest tick of the entries that are not ready. */
static bool choose_in_list(const r21_t *self, list_t *list, bool column, hbm_tick_t t, choice_t *choice,
                           hbm_tick_t *from)
{
    uint64_t hits[HBM_MAX_PC] = {0};

    for (int32_t i = 0; i < list->n; i++) {
        const int64_t request = list->at[i];
        const int pc = self->in->pc[request], bank = self->in->bank[request];
        int command;
        const hbm_tick_t earliest = entry_from(self, request, column, hits, t, &command);

        if (earliest <= t) {
            *choice = (choice_t){list, i, pc, command, bank};
            return true;
        }
        *from = hbm_min(*from, earliest);
        if (command == HBM_CMD_RD || command == HBM_CMD_WR) {
            hits[pc] |= hbm_bit(bank);
        }
    }
    return false;
}

static bool choose_maintenance(const r21_t *self, bool column, hbm_tick_t t, choice_t *choice, hbm_tick_t *from)
{
    const hbm_r21_maintenance_t *m = &self->refresh.list[self->refresh.head];
    const int command = next_maintenance_command(self, m);
    hbm_tick_t earliest;

    if (column || would_close_active(self, m->pc, command, m->bank)) {
        return false;
    }
    earliest = hbm_r21_earliest(&self->rules, m->pc, command, m->bank, t);
    *from = hbm_min(*from, earliest);
    *choice = (choice_t){NULL, 0, m->pc, command, m->bank};
    return earliest <= t;
}

static bool choose(r21_t *self, bool column, hbm_tick_t t, choice_t *choice, hbm_tick_t *from)
{
    if (column && choose_in_list(self, &self->active, column, t, choice, from)) {
        return true;
    }
    if (self->refresh.n > 0) {
        return choose_maintenance(self, column, t, choice, from);
    }
    look_at_write_mode(self);
    return choose_in_list(self, self->write_mode ? &self->write : &self->read, column, t, choice, from);
}

/* ---- its consequences ---- */

static void count_row(r21_t *self, int64_t request, int command)
{
    if (self->counted[request]) {
        return;
    }
    self->counted[request] = true;
    if (command == HBM_CMD_ACT) {
        self->result->row_misses++;
    } else if (command == HBM_CMD_PREPB) {
        self->result->row_conflicts++;
    } else {
        self->result->row_hits++;
    }
}

static void log_command(r21_t *self, const choice_t *c, int64_t request, hbm_tick_t t)
{
    if (self->result->n_commands < self->command_capacity) {
        self->commands[self->result->n_commands] = (hbm_r21_command_t){
            .tick = t,
            .request = request,
            .pc = c->pc,
            .command = c->command,
            .bank = c->bank,
        };
    }
    self->result->n_commands++;
}

static void change_state(r21_t *self, const choice_t *c, int64_t request)
{
    switch (c->command) {
    case HBM_CMD_ACT:
        self->open_row[c->pc][c->bank] = self->in->row[request];
        self->open_banks[c->pc] |= hbm_bit(c->bank);
        break;
    case HBM_CMD_PREPB:
        self->open_row[c->pc][c->bank] = CLOSED;
        self->open_banks[c->pc] &= ~hbm_bit(c->bank);
        break;
    case HBM_CMD_PREAB:
        for (int b = 0; b < self->device->banks; b++) {
            self->open_row[c->pc][b] = CLOSED;
        }
        self->open_banks[c->pc] = 0;
        break;
    default:
        break;
    }
}

static void issue(r21_t *self, const choice_t *c, hbm_tick_t t)
{
    const int64_t request = c->list != NULL ? c->list->at[c->position] : -1;

    log_command(self, c, request, t);
    hbm_r21_issue(&self->rules, c->pc, c->command, c->bank, t);
    change_state(self, c, request);
    if (request < 0) {
        if (c->command == HBM_CMD_REFAB || c->command == HBM_CMD_REFPB) {
            hbm_r21_refresh_pop(&self->refresh);
        }
        return;
    }
    count_row(self, request, c->command);
    if (c->command == HBM_CMD_ACT) {
        list_remove(c->list, c->position);
        list_insert(&self->active, request);
        self->active_banks[c->pc] |= hbm_bit(c->bank);
    } else if (c->command != HBM_CMD_PREPB) {
        list_remove(c->list, c->position);
        if (c->list == &self->active) {
            self->active_banks[c->pc] &= ~hbm_bit(c->bank);
        }
        if (c->command == HBM_CMD_RD) {
            give_back_later(self, request, t + self->device->RL + self->device->BL);
            self->result->num_read_reqs_served++;
        } else {
            complete(self, request, t);
            self->result->num_write_reqs_served++;
        }
    }
}

/* ---- the clock ---- */

static int64_t queue_length(const r21_t *self) { return self->read.n + self->write.n + self->refresh.n; }

/* One tick.  *idle_until: t + 1, or a later tick before which nothing can happen.  After a tick without a command only
 * four things can change the state: an offer (unless refused: room is made by commands only), data that comes back, a
 * refresh that falls due, and a waiting command that becomes legal.  The write mode has settled: it depends on the
 * lengths of the lists only. */
static int tick(r21_t *self, hbm_tick_t t, hbm_tick_t *idle_until)
{
    hbm_tick_t from = HBM_NEVER;
    bool quiet = true;
    choice_t choice;
    int ret;

    offer(self, t);
    self->result->queue_len += queue_length(self);
    give_back(self, t);
    ret = hbm_r21_refresh_tick(&self->refresh, t);
    if (ret != 0) {
        return ret;
    }
    if (choose(self, true, t, &choice, &from)) {
        issue(self, &choice, t);
        quiet = false;
    }
    if (choose(self, false, t, &choice, &from)) {
        issue(self, &choice, t);
        quiet = false;
    }
    *idle_until = t + 1;
    if (quiet && self->policy->skip) {
        if (self->next < self->in->n && !self->refused) {
            from = hbm_min(from, self->in->tick[self->next]);
        }
        if (self->n_returned < self->n_returning) {
            from = hbm_min(from, self->returns[self->n_returned]);
        }
        *idle_until = hbm_max(t + 1, hbm_min(from, hbm_r21_refresh_next(&self->refresh, t)));
    }
    return 0;
}

static int check(const hbm_device_t *d, const hbm_r21_policy_t *p, const hbm_r21_requests_t *in)
{
    if (p->scheduler < HBM_R21_FRFCFS || p->scheduler > HBM_R21_FRFCFS_ROW_HIT || p->refresh < HBM_R21_REFRESH_NONE ||
        p->refresh > HBM_R21_REFRESH_PB || (p->relaxations & ~ALL_RELAXATIONS) != 0 || p->read_buffer < 1 ||
        p->read_buffer > BUFFER_MAX || p->write_buffer < 1 || p->write_buffer > BUFFER_MAX) {
        return HBM_ERR_BAD_POLICY;
    }
    for (int64_t i = 0; i < in->n; i++) {
        if (in->pc[i] < 0 || in->pc[i] >= d->pseudo_channels || in->bank[i] < 0 || in->bank[i] >= d->banks ||
            in->row[i] < 0 || in->tick[i] < 0 || in->tick[i] >= HBM_NEVER) {
            return HBM_ERR_BAD_TRACE;
        }
    }
    return 0;
}

static int allocate(r21_t *self)
{
    const size_t n = (size_t)self->in->n + 1;

    self->read.capacity = self->policy->read_buffer;
    self->write.capacity = self->policy->write_buffer;
    self->active.capacity = ACTIVE_MAX; /* at most one per bank */
    self->read.at = calloc((size_t)self->read.capacity, sizeof self->read.at[0]);
    self->write.at = calloc((size_t)self->write.capacity, sizeof self->write.at[0]);
    self->active.at = calloc((size_t)self->active.capacity, sizeof self->active.at[0]);
    self->counted = calloc(n, sizeof self->counted[0]);
    self->returning = calloc(n, sizeof self->returning[0]);
    self->returns = calloc(n, sizeof self->returns[0]);
    return self->read.at && self->write.at && self->active.at && self->counted && self->returning && self->returns
               ? 0
               : HBM_ERR_NO_MEMORY;
}

int hbm_r21_run(const hbm_device_t *device, const hbm_r21_policy_t *policy, const hbm_r21_requests_t *requests,
                int64_t *accept, int64_t *done, hbm_r21_command_t *commands, int64_t capacity,
                hbm_r21_result_t *result)
{
    int ret = check(device, policy, requests);
    hbm_tick_t t = 0;
    r21_t *self = NULL;

    memset(result, 0, sizeof *result);
    if (ret != 0) {
        return ret;
    }
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->device = device;
    self->policy = policy;
    self->in = requests;
    self->accept = accept;
    self->done = done;
    self->result = result;
    self->commands = commands;
    self->command_capacity = commands != NULL ? capacity : 0;
    ret = allocate(self);
    if (ret != 0) {
        goto out;
    }
    hbm_r21_rules_init(&self->rules, device, policy->relaxations);
    hbm_r21_refresh_init(&self->refresh, device, policy->refresh);
    memset(self->open_row, 0xff, sizeof self->open_row); /* all CLOSED */
    while (self->completed < requests->n) {
        hbm_tick_t until;

        ret = tick(self, t, &until);
        if (ret != 0) {
            goto out;
        }
        if (self->completed < requests->n) {
            if (until >= HBM_NEVER) {
                ret = HBM_ERR_INTERNAL; /* a request waits for something that never comes */
                goto out;
            }
            result->queue_len += queue_length(self) * (until - t - 1);
            t = until - 1;
        }
        result->cycles = ++t;
    }
    result->num_maintenance_reqs = self->refresh.n_listed;
out:
    free(self->read.at);
    free(self->write.at);
    free(self->active.at);
    free(self->counted);
    free(self->returning);
    free(self->returns);
    free(self);
    return ret;
}

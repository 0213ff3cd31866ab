/* The on-chip filter; see l2.h.  Sets are chosen by the line number modulo their count (any number of sets), the victim is
 * the least recently used way. */
#include "l2.h"

#include <stdlib.h>

typedef struct {
    int64_t line;   /* -1: empty */
    uint64_t used;  /* time of the last use */
    uint32_t valid; /* one bit per burst */
    uint32_t dirty;
} way_t;

struct hbm_l2 {
    int64_t sets;
    int32_t ways;
    int32_t line_bursts;
    uint64_t now;
    hbm_l2_counts_t counts;
    way_t *way;
};

int hbm_l2_create(int64_t size_bursts, int32_t line_bursts, int32_t ways, hbm_l2_t **out)
{
    hbm_l2_t *self = NULL;

    *out = NULL;
    if (line_bursts < 1 || line_bursts > 32 || (line_bursts & (line_bursts - 1)) != 0 || ways < 1 || ways > 64 ||
        size_bursts < (int64_t)line_bursts * ways || size_bursts > (INT64_C(1) << 36)) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    self->sets = size_bursts / ((int64_t)line_bursts * ways);
    self->ways = ways;
    self->line_bursts = line_bursts;
    self->way = malloc((size_t)(self->sets * ways) * sizeof *self->way);
    if (self->way == NULL) {
        free(self);
        return HBM_ERR_NO_MEMORY;
    }
    for (int64_t i = 0; i < self->sets * ways; i++) {
        self->way[i] = (way_t){-1, 0, 0, 0};
    }
    *out = self;
    return 0;
}

void hbm_l2_free(hbm_l2_t *self)
{
    if (self != NULL) {
        free(self->way);
        free(self);
    }
}

hbm_l2_counts_t hbm_l2_counts(const hbm_l2_t *self) { return self->counts; }

/* Hands out the runs of set bits of `mask`, bursts of `line`. */
static int emit_mask(const hbm_l2_t *self, int64_t line, uint32_t mask, bool is_write, hbm_l2_emit_fn emit,
                     void *context)
{
    int ret = 0;

    while (mask != 0 && ret == 0) {
        const int low = __builtin_ctz(mask);
        const uint64_t rest = ~((uint64_t)mask >> low);
        const int n = __builtin_ctzll(rest);
        ret = emit(context, line * self->line_bursts + low, line * self->line_bursts + low + n, is_write);
        mask &= n + low >= 32 ? 0 : ~(uint32_t)0 << (n + low);
    }
    return ret;
}

/* The way that holds `line`, made room for if need be. */
static int find_way(hbm_l2_t *self, int64_t line, hbm_l2_emit_fn emit, void *context, way_t **out)
{
    way_t *set = &self->way[(line % self->sets) * self->ways], *victim = set;
    int ret = 0;

    for (int32_t i = 0; i < self->ways; i++) {
        if (set[i].line == line) {
            *out = &set[i];
            return 0;
        }
        victim = set[i].used < victim->used ? &set[i] : victim;
    }
    if (victim->dirty != 0) {
        self->counts.writebacks += __builtin_popcount(victim->dirty);
        ret = emit_mask(self, victim->line, victim->dirty, true, emit, context);
    }
    *victim = (way_t){line, 0, 0, 0};
    *out = victim;
    return ret;
}

static uint64_t bits_below(int64_t n) { return (UINT64_C(1) << n) - 1; }

int hbm_l2_access(hbm_l2_t *self, int64_t first, int64_t end, bool is_write, hbm_l2_emit_fn emit, void *context)
{
    int ret = 0;

    while (first < end && ret == 0) {
        const int64_t line = first / self->line_bursts, base = line * self->line_bursts;
        const int64_t stop = hbm_min(end, base + self->line_bursts);
        const uint32_t mask = (uint32_t)(bits_below(stop - base) & ~bits_below(first - base));
        way_t *way = NULL;
        uint32_t missing;

        ret = find_way(self, line, emit, context, &way);
        if (ret != 0) {
            break;
        }
        way->used = ++self->now;
        missing = mask & ~way->valid;
        way->valid |= mask;
        self->counts.hits += __builtin_popcount(mask & ~missing);
        self->counts.misses += __builtin_popcount(missing);
        if (is_write) {
            way->dirty |= mask; /* the write itself reaches the memory when the line is evicted */
        } else {
            ret = emit_mask(self, line, missing, false, emit, context);
        }
        first = stop;
    }
    return ret;
}

/* Which class goes first, and what a burst costs its class; see quota.h. */
#include "quota.h"

#include <stdlib.h>

enum { HBM_GAP_MAX = 1 << 24 };

int32_t hbm_n_class_counters(void) { return (int32_t)(sizeof(hbm_class_counters_t) / sizeof(int64_t)); }

const char *hbm_class_counter_name(int32_t i)
{
    static const char *const names[] = {
#define HBM_X(name) #name,
        HBM_CLASS_COUNTERS(HBM_X)
#undef HBM_X
    };
    return i >= 0 && (size_t)i < sizeof names / sizeof names[0] ? names[i] : NULL;
}

bool hbm_quota_fits(const hbm_quota_t *quota)
{
    return quota->reserved_gap_256 >= 0 && quota->reserved_gap_256 <= HBM_GAP_MAX && quota->cap_gap_256 >= 0 &&
           quota->cap_gap_256 <= HBM_GAP_MAX && quota->read_entries >= 1 && quota->write_entries >= 1;
}

hbm_classes_t *hbm_classes_create(const hbm_map_t *map, int32_t n, const hbm_quota_t *quotas, hbm_tick_t slack)
{
    hbm_classes_t *self = calloc(1, sizeof *self);

    if (self != NULL) {
        self->n = n;
        self->gate = quotas != NULL;
        self->slack = slack;
        for (int32_t i = 0; i < n; i++) {
            hbm_class_t *c = &self->item[i];
            c->own.map = map;
            c->capped_256 = c->reserved_256 = -256 * slack;
            c->taken_at = HBM_LONG_AGO;
            if (self->gate) {
                c->quota = quotas[i];
            }
        }
    }
    return self;
}

void hbm_classes_free(hbm_classes_t *self)
{
    if (self != NULL) {
        for (int32_t i = 0; i < self->n; i++) {
            hbm_feed_free(&self->item[i].own);
        }
        free(self);
    }
}

static bool below_share(const hbm_class_t *c, hbm_tick_t t)
{
    return c->quota.reserved_gap_256 > 0 && c->reserved_256 <= 256 * t;
}

bool hbm_class_precedes(const hbm_class_t *a, const hbm_class_t *b, hbm_tick_t t)
{
    const bool below_a = below_share(a, t), below_b = below_share(b, t);

    if (below_a != below_b) {
        return below_a;
    }
    return a->quota.priority != b->quota.priority ? a->quota.priority > b->quota.priority : a->turn < b->turn;
}

void hbm_class_took(hbm_classes_t *self, hbm_class_t *c, hbm_tick_t arrived, hbm_tick_t t, bool uses_bus)
{
    const hbm_tick_t ready = hbm_max(arrived, c->taken_at);

    c->counters.gate_ticks += t - ready;
    if (uses_bus) {
        c->counters.capped_ticks += hbm_max(hbm_min(hbm_class_capped(c), t) - ready, 0);
        c->capped_256 = hbm_max(c->capped_256, 256 * (t - self->slack)) + c->quota.cap_gap_256;
        c->reserved_256 = hbm_max(c->reserved_256, 256 * (t - self->slack)) + c->quota.reserved_gap_256;
    }
    c->taken_at = t;
    c->turn = ++self->turns;
}

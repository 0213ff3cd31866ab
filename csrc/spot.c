/* The tables and flips with which a map makes spots; see spot.h. */
#include "addrmap.h"

static bool is_power_of_two(uint64_t x) { return x > 0 && (x & (x - 1)) == 0; }

/* What a coordinate of one adds to a spot. */
static uint64_t unit_of(const hbm_map_t *self, int32_t field)
{
    const uint64_t pc = UINT64_C(1) << HBM_SPOT_PC_AT;

    switch (field) {
    case HBM_STACK:
        return (uint64_t)(self->size[HBM_CHANNEL] * self->size[HBM_PSEUDO_CHANNEL]) * pc;
    case HBM_CHANNEL:
        return (uint64_t)self->size[HBM_PSEUDO_CHANNEL] * pc;
    case HBM_PSEUDO_CHANNEL:
        return pc;
    case HBM_ROW:
        return UINT64_C(1) << HBM_SPOT_ROW_AT;
    case HBM_COLUMN:
        return UINT64_C(1) << HBM_SPOT_COLUMN_AT;
    default:
        return (uint64_t)self->flat_weight[field] << HBM_SPOT_BANK_AT;
    }
}

static uint64_t weight_of(const hbm_map_t *self, const hbm_piece_t *p)
{
    return unit_of(self, p->field) * (uint64_t)p->multiplier;
}

/* The pieces below the highest, as few digits; the highest is what is left of a burst's number then. */
static void build_digits(hbm_map_t *self)
{
    const hbm_piece_t *p = self->piece, *const top = p + (self->n_pieces > 0 ? self->n_pieces - 1 : 0);
    int32_t tables = 0;

    while (p < top) {
        hbm_spot_digit_t *d = &self->digit[self->n_digits++];
        hbm_spot_t *table = self->spot_table[tables];
        *d = (hbm_spot_digit_t){.radix = 1, .weight = weight_of(self, p), .table = -1};
        if (tables < HBM_SPOT_TABLES && p->radix <= HBM_SPOT_TABLE_SIZE) {
            d->table = tables++;
            table[0] = 0;
        }
        do {
            for (uint64_t k = d->radix; d->table >= 0 && k < d->radix * (uint64_t)p->radix; k++) {
                table[k] = table[k - d->radix] + weight_of(self, p);
            }
            d->radix *= (uint64_t)p->radix;
            p++;
        } while (d->table >= 0 && p < top && d->radix * (uint64_t)p->radix <= HBM_SPOT_TABLE_SIZE);
        d->shift = is_power_of_two(d->radix) ? (int32_t)__builtin_ctzll(d->radix) : 0;
    }
    self->top_weight = self->n_pieces > 0 ? weight_of(self, top) : 0;
}

static void build_flips(hbm_map_t *self)
{
    for (int32_t i = 0; i < self->n_xors; i++) {
        const hbm_xor_t *t = &self->xor_term[i];
        const uint64_t source = unit_of(self, t->source), target = unit_of(self, t->target);
        uint64_t bits = 1;
        while (bits < (uint64_t)self->size[t->source]) {
            bits *= 2;
        }
        self->flips_apart = self->flips_apart || !is_power_of_two(source) || !is_power_of_two(target);
        self->flip[i] = (hbm_spot_flip_t){(bits - 1) >> t->shift & (uint64_t)t->mask,
                                          __builtin_ctzll(source) + t->shift, __builtin_ctzll(target)};
    }
}

void hbm_map_build_spots(hbm_map_t *self)
{
    build_digits(self);
    build_flips(self);
}

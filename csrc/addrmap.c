/* Construction, validation and both directions of address maps; see addrmap.h. */
#include "addrmap.h"

#include <stdlib.h>
#include <string.h>

/* So that byte addresses and sums of them fit an int64_t with room to spare. */
#define MAX_BYTES (UINT64_C(1) << 58)

static bool is_power_of_two(int64_t x) { return x > 0 && (x & (x - 1)) == 0; }

static bool selects_pc(int32_t field) { return field <= HBM_PSEUDO_CHANNEL; }

static int32_t xor_of(const hbm_map_t *self, const int32_t *c, int32_t target)
{
    int32_t x = 0;
    for (int32_t i = 0; i < self->n_xors; i++) {
        const hbm_xor_t *t = &self->xor_term[i];
        if (t->target == target) {
            x ^= (c[t->source] >> t->shift) & t->mask;
        }
    }
    return x;
}

static void apply_xors(const hbm_map_t *self, int32_t *c)
{
    for (int32_t i = 0; i < self->n_xors; i++) {
        const hbm_xor_t *t = &self->xor_term[i];
        c[t->target] ^= (c[t->source] >> t->shift) & t->mask;
    }
}

/* Every field must be covered exactly once: its pieces, sorted by multiplier, tile 1, r0, r0*r1, ... up to its size. */
static bool covers(const hbm_map_t *self, int32_t field)
{
    int64_t next = 1;
    int32_t used = 0, total = 0;

    for (int32_t i = 0; i < self->n_pieces; i++) {
        total += self->piece[i].field == field;
    }
    for (int32_t round = 0; round < total; round++) {
        for (int32_t i = 0; i < self->n_pieces; i++) {
            const hbm_piece_t *p = &self->piece[i];
            if (p->field == field && p->multiplier == next) {
                next *= p->radix;
                used++;
                break;
            }
        }
    }
    return used == total && next == self->size[field];
}

static int check(const hbm_map_t *self)
{
    uint32_t targets = 0, sources = 0;

    for (int32_t i = 0; i < self->n_pieces; i++) {
        const hbm_piece_t *p = &self->piece[i];
        if (p->field < 0 || p->field > HBM_COLUMN || p->radix < 2 || p->radix > (1 << 24) || p->multiplier < 1 ||
            p->multiplier > (1 << 24)) {
            return HBM_ERR_BAD_MAP;
        }
    }
    for (int32_t f = 0; f <= HBM_COLUMN; f++) {
        if (!covers(self, f)) {
            return HBM_ERR_BAD_MAP;
        }
    }
    for (int32_t i = 0; i < self->n_xors; i++) {
        const hbm_xor_t *t = &self->xor_term[i];
        const bool known = t->target >= 0 && t->target <= HBM_COLUMN && t->source >= HBM_SID && t->source <= HBM_COLUMN;
        /* The result must stay inside the target's field and its bits of the flat bank number: powers of two. */
        if (!known || t->target == HBM_ROW || t->target == HBM_COLUMN || t->shift < 0 || t->shift > 24 ||
            !is_power_of_two(self->size[t->target]) || t->mask < 0 || t->mask >= self->size[t->target] ||
            (t->source != HBM_ROW && !is_power_of_two(self->size[t->source])) ||
            (t->target >= HBM_SID && !is_power_of_two(self->flat_weight[t->target]))) {
            return HBM_ERR_BAD_MAP;
        }
        targets |= 1u << t->target;
        sources |= 1u << t->source;
    }
    /* A source that is itself flipped would make the inverse depend on the order of the terms. */
    return (targets & sources) != 0 ? HBM_ERR_BAD_MAP : 0;
}

static void find_form(hbm_map_t *self)
{
    int32_t i = 0, low = 0;

    self->granule_bursts = 1;
    while (i < self->n_pieces && !selects_pc(self->piece[i].field)) {
        self->granule_bursts *= self->piece[i++].radix;
    }
    low = i;
    while (i < self->n_pieces && selects_pc(self->piece[i].field)) {
        i++;
    }
    self->interleaved = true;
    for (int32_t k = i; k < self->n_pieces; k++) {
        self->interleaved = self->interleaved && !selects_pc(self->piece[k].field);
    }
    /* A flip of a pseudo-channel coordinate by a field with digits below it would move parts of a granule apart. */
    for (int32_t x = 0; x < self->n_xors; x++) {
        for (int32_t k = 0; k < low; k++) {
            if (selects_pc(self->xor_term[x].target) && self->piece[k].field == self->xor_term[x].source) {
                self->interleaved = false;
                self->granule_bursts = 1;
            }
        }
    }
    self->superblock_bursts = self->granule_bursts * self->n_pc;
}

static void build_local(hbm_map_t *self)
{
    self->n_local = 0;
    self->n_local_bursts = 1;
    for (int32_t i = 0; i < self->n_pieces; i++) {
        if (!selects_pc(self->piece[i].field)) {
            self->local[self->n_local++] = self->piece[i];
            self->n_local_bursts *= self->piece[i].radix;
        }
    }
    self->block_size = 1;
    self->block_pieces = 0;
    while (self->block_pieces < self->n_local) {
        const hbm_piece_t *p = &self->local[self->block_pieces];
        if (p->field == HBM_ROW || self->block_size * (int64_t)p->radix > HBM_MAX_BLOCK) {
            break;
        }
        self->block_size *= p->radix;
        self->block_pieces++;
    }
    for (int32_t k = 0; k < self->block_size; k++) {
        int32_t c[8] = {0}, x = k, bank = 0, flip = 0;
        for (int32_t i = 0; i < self->block_pieces; i++) {
            c[self->local[i].field] += (x % self->local[i].radix) * self->local[i].multiplier;
            x /= self->local[i].radix;
        }
        for (int32_t f = HBM_SID; f <= HBM_BANK; f++) {
            bank += c[f] * self->flat_weight[f];
            flip ^= xor_of(self, c, f) * self->flat_weight[f];
        }
        self->step[k].bank = (uint8_t)bank;
        self->step[k].flip = (uint8_t)flip;
        self->step[k].column = (uint16_t)c[HBM_COLUMN];
    }
}

int hbm_map_create(const hbm_device_t *device, int32_t stacks, const hbm_piece_t *pieces, int32_t n_pieces,
                   const hbm_xor_t *xors, int32_t n_xors, hbm_map_t **out)
{
    int ret = 0;
    hbm_map_t *self = NULL;

    *out = NULL;
    if (stacks < 1 || stacks > 4096 || n_pieces < 0 || n_pieces > HBM_MAX_PIECES || n_xors < 0 ||
        n_xors > HBM_MAX_XORS) {
        return HBM_ERR_BAD_ARGUMENT;
    }
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        return HBM_ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < n_pieces; i++) {
        if (pieces[i].radix != 1) { /* fields of size one need no digit */
            const int32_t radix = pieces[i].radix;
            self->shift[self->n_pieces] = is_power_of_two(radix) ? (uint8_t)__builtin_ctz((uint32_t)radix) : 0;
            self->piece[self->n_pieces++] = pieces[i];
        }
    }
    if (n_xors > 0) {
        memcpy(self->xor_term, xors, (size_t)n_xors * sizeof *xors);
    }
    self->n_xors = n_xors;
    self->burst_bytes = device->burst_bytes;
    self->size[HBM_STACK] = stacks;
    self->size[HBM_CHANNEL] = device->channels;
    self->size[HBM_PSEUDO_CHANNEL] = device->pseudo_channels;
    self->size[HBM_SID] = device->sids;
    self->size[HBM_BANK_GROUP] = device->bank_groups;
    self->size[HBM_BANK] = device->banks_per_group;
    self->size[HBM_ROW] = device->rows;
    self->size[HBM_COLUMN] = device->columns;
    self->flat_weight[HBM_SID] = device->banks_per_sid;
    self->flat_weight[HBM_BANK_GROUP] = (int32_t)device->banks_per_group;
    self->flat_weight[HBM_BANK] = 1;
    self->n_pc = (int32_t)(stacks * device->channels * device->pseudo_channels);
    self->n_bursts = 1;
    for (int32_t f = 0; f <= HBM_COLUMN; f++) {
        if (self->n_bursts > MAX_BYTES / (uint64_t)self->burst_bytes / (uint64_t)self->size[f]) {
            ret = HBM_ERR_BAD_MAP;
            goto out;
        }
        self->n_bursts *= (uint64_t)self->size[f];
    }
    ret = check(self);
    if (ret != 0) {
        goto out;
    }
    self->burst_shift = is_power_of_two(self->burst_bytes) ? (int32_t)__builtin_ctzll((uint64_t)self->burst_bytes) : -1;
    find_form(self);
    build_local(self);
    hbm_map_build_spots(self);
out:
    if (ret != 0) {
        hbm_map_free(self);
    } else {
        *out = self;
    }
    return ret;
}

void hbm_map_free(hbm_map_t *self) { free(self); }

uint64_t hbm_map_capacity_bytes(const hbm_map_t *self) { return self->n_bursts * (uint64_t)self->burst_bytes; }

/* Takes the digit of the i-th piece, the lowest that is left, off *x. */
HBM_INLINE int32_t take_digit(const hbm_map_t *self, int32_t i, uint64_t *x)
{
    const uint64_t r = (uint64_t)(uint32_t)self->piece[i].radix, all = *x;

    if (HBM_LIKELY(self->shift[i] != 0)) {
        *x = all >> self->shift[i];
        return (int32_t)(all & (r - 1));
    }
    *x = all / r;
    return (int32_t)(all % r);
}

HBM_INLINE void coordinates_of(const hbm_map_t *self, uint64_t burst, int32_t *c)
{
    memset(c, 0, 8 * sizeof *c);
    for (int32_t i = 0; i < self->n_pieces; i++) {
        const hbm_piece_t *p = &self->piece[i];
        c[p->field] += take_digit(self, i, &burst) * p->multiplier;
    }
    apply_xors(self, c);
}

HBM_INLINE int32_t pc_number(const hbm_map_t *self, const int32_t *c)
{
    return (int32_t)((c[HBM_STACK] * self->size[HBM_CHANNEL] + c[HBM_CHANNEL]) * self->size[HBM_PSEUDO_CHANNEL] +
                     c[HBM_PSEUDO_CHANNEL]);
}

hbm_spot_t hbm_map_spot_of_digits(const hbm_map_t *self, uint64_t burst)
{
    int32_t c[8];

    coordinates_of(self, burst, c);
    return hbm_spot(c[HBM_SID] * self->flat_weight[HBM_SID] + c[HBM_BANK_GROUP] * self->flat_weight[HBM_BANK_GROUP] +
                        c[HBM_BANK],
                    c[HBM_ROW], c[HBM_COLUMN]) |
           (uint64_t)pc_number(self, c) << HBM_SPOT_PC_AT;
}

hbm_place_t hbm_map_place(const hbm_map_t *self, uint64_t burst)
{
    int32_t c[8] = {0};
    hbm_place_t place = {0, 0};
    int64_t weight = 1;

    for (int32_t i = 0; i < self->n_pieces; i++) {
        const hbm_piece_t *p = &self->piece[i];
        const int32_t digit = take_digit(self, i, &burst);
        c[p->field] += digit * p->multiplier;
        if (!selects_pc(p->field)) {
            place.local += digit * weight;
            weight *= p->radix;
        }
    }
    apply_xors(self, c);
    place.pc = pc_number(self, c);
    return place;
}

hbm_block_t hbm_map_block(const hbm_map_t *self, int64_t block)
{
    hbm_block_t b = {0, 0, 0, 0};
    int32_t c[8] = {0};

    for (int32_t i = self->block_pieces; i < self->n_local; i++) {
        const hbm_piece_t *p = &self->local[i];
        c[p->field] += (int32_t)(block % p->radix) * p->multiplier;
        block /= p->radix;
    }
    for (int32_t f = HBM_SID; f <= HBM_BANK; f++) {
        b.bank += c[f] * self->flat_weight[f];
        b.flip ^= xor_of(self, c, f) * self->flat_weight[f];
    }
    b.row = c[HBM_ROW];
    b.column = c[HBM_COLUMN];
    return b;
}

int hbm_map_decode(const hbm_map_t *self, const uint64_t *address, int64_t n, bool wrap, int32_t *coordinates,
                   int64_t *bad)
{
    *bad = -1;
    for (int64_t i = 0; i < n; i++) {
        uint64_t burst = address[i] / (uint64_t)self->burst_bytes;
        if (burst >= self->n_bursts) {
            if (!wrap) {
                *bad = i;
                return HBM_ERR_ADDRESS;
            }
            burst %= self->n_bursts;
        }
        coordinates_of(self, burst, coordinates + 8 * i);
    }
    return 0;
}

int hbm_map_encode(const hbm_map_t *self, const int32_t *coordinates, int64_t n, uint64_t *address, int64_t *bad)
{
    *bad = -1;
    for (int64_t i = 0; i < n; i++) {
        int32_t c[8];
        uint64_t burst = 0, weight = 1;

        memcpy(c, coordinates + 8 * i, sizeof c);
        for (int32_t f = 0; f <= HBM_COLUMN; f++) {
            if (c[f] < 0 || c[f] >= self->size[f]) {
                *bad = i;
                return HBM_ERR_ADDRESS;
            }
        }
        apply_xors(self, c); /* sources are never targets, so the flips undo themselves */
        for (int32_t k = 0; k < self->n_pieces; k++) {
            const hbm_piece_t *p = &self->piece[k];
            burst += (uint64_t)((c[p->field] / p->multiplier) % p->radix) * weight;
            weight *= (uint64_t)p->radix;
        }
        address[i] = burst * (uint64_t)self->burst_bytes;
    }
    return 0;
}

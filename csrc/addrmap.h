/* Physical address <-> coordinates.  A map is a mixed-radix number system: pieces of fields from the low end of the
 * burst number, any radix (12-high stacks have 3 SIDs, 24 Gb dies 3 * 2^n rows), then XOR terms.  Must not know timing.
 *
 * Two views.  decode: burst number -> all coordinates.  local: the pieces other than stack, channel and pseudo-channel
 * form, in their order, the *local* number of a burst inside its pseudo-channel; feeds walk local numbers. */
#ifndef HBM_ADDRMAP_H
#define HBM_ADDRMAP_H

#include "spot.h"

#define HBM_MAX_PIECES 40
#define HBM_MAX_XORS 16
#define HBM_MAX_BLOCK 512

typedef struct {
    uint8_t bank; /* summed with the block's, then XORed with both flips */
    uint8_t flip;
    uint16_t column;
} hbm_local_step_t;

struct hbm_map {
    hbm_piece_t piece[HBM_MAX_PIECES];
    uint8_t shift[HBM_MAX_PIECES]; /* log2 of the radix, 0 where it is not a power of two */
    hbm_xor_t xor_term[HBM_MAX_XORS];
    int32_t n_pieces;
    int32_t n_xors;
    int64_t size[8];      /* of each field */
    int32_t flat_weight[8]; /* flat bank = sum field * weight; 0 for the others */
    uint64_t n_bursts;
    int64_t burst_bytes;
    int32_t burst_shift;  /* its log2, -1 where it is not a power of two */
    int32_t n_pc;         /* pseudo-channels of the whole system */

    /* From burst numbers to spots; see spot.c. */
    int32_t n_digits;
    hbm_spot_digit_t digit[HBM_MAX_PIECES];
    uint64_t top_weight; /* what a one of the highest piece adds */
    bool flips_apart;    /* some XOR term joins coordinates that are no bits of a spot */
    hbm_spot_flip_t flip[HBM_MAX_XORS];
    hbm_spot_t spot_table[HBM_SPOT_TABLES][HBM_SPOT_TABLE_SIZE];

    /* Interleaved form: low local pieces, then all of stack/channel/pseudo-channel, then high local pieces, with XORs
     * that only permute the pseudo-channels of one superblock.  Then a long byte range is one local interval of every
     * pseudo-channel. */
    bool interleaved;
    int64_t granule_bursts;    /* product of the low pieces */
    int64_t superblock_bursts; /* granule_bursts * n_pc */

    int32_t n_local;
    hbm_piece_t local[HBM_MAX_PIECES];
    int64_t n_local_bursts; /* per pseudo-channel */

    /* The low local pieces of column, bank and bank group as one table. */
    int32_t block_size;
    int32_t block_pieces;
    hbm_local_step_t step[HBM_MAX_BLOCK];
};

typedef struct {
    int32_t pc;   /* (stack * channels + channel) * pseudo_channels + pseudo_channel */
    int64_t local;
} hbm_place_t;

/* What the upper local pieces contribute to every burst of a block. */
typedef struct {
    int32_t bank;
    int32_t flip;
    int32_t row;
    int32_t column;
} hbm_block_t;

HBM_INLINE uint64_t hbm_map_burst(const hbm_map_t *self, uint64_t address)
{
    return self->burst_shift >= 0 ? address >> self->burst_shift : address / (uint64_t)self->burst_bytes;
}

hbm_place_t hbm_map_place(const hbm_map_t *self, uint64_t burst);
hbm_block_t hbm_map_block(const hbm_map_t *self, int64_t block);
void hbm_map_build_spots(hbm_map_t *self);
hbm_spot_t hbm_map_spot_of_digits(const hbm_map_t *self, uint64_t burst);

/* The place of burst [0, n_bursts). */
HBM_INLINE hbm_spot_t hbm_map_spot(const hbm_map_t *self, uint64_t burst)
{
    hbm_spot_t spot = 0;

    if (HBM_UNLIKELY(self->flips_apart)) {
        return hbm_map_spot_of_digits(self, burst);
    }
    for (const hbm_spot_digit_t *d = self->digit, *const end = d + self->n_digits; d < end; d++) {
        const uint64_t above = d->shift != 0 ? burst >> d->shift : burst / d->radix, value = burst - above * d->radix;
        spot += d->table >= 0 ? self->spot_table[d->table][value] : value * d->weight;
        burst = above;
    }
    spot += burst * self->top_weight;
    for (const hbm_spot_flip_t *f = self->flip, *const end = f + self->n_xors; f < end; f++) {
        spot ^= (spot >> f->from & f->mask) << f->to;
    }
    return spot;
}

#endif

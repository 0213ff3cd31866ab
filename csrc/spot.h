/* A burst's place in controller terms as one number.  An address map makes it from the burst's own number with a few
 * small tables, and the requests of a feed are kept in this form.  Must not know timing. */
#ifndef HBM_SPOT_H
#define HBM_SPOT_H

#include "device.h"

/* From the low end: whether a request writes (maps leave it 0), bank, column, row, pseudo-channel of the system. */
typedef uint64_t hbm_spot_t;

enum {
    HBM_SPOT_WRITE = 1,
    HBM_SPOT_BANK_AT = 1,
    HBM_SPOT_COLUMN_AT = HBM_SPOT_BANK_AT + 6,
    HBM_SPOT_ROW_AT = HBM_SPOT_COLUMN_AT + 10,
    HBM_SPOT_PC_AT = HBM_SPOT_ROW_AT + 20,
    HBM_SPOT_TABLES = 4,
    HBM_SPOT_TABLE_SIZE = 512,
};

HBM_INLINE hbm_spot_t hbm_spot(int32_t bank, int32_t row, int32_t column)
{
    return (uint64_t)bank << HBM_SPOT_BANK_AT | (uint64_t)column << HBM_SPOT_COLUMN_AT |
           (uint64_t)row << HBM_SPOT_ROW_AT;
}

/* Bits [from, to). */
HBM_INLINE int32_t hbm_spot_part(hbm_spot_t spot, int32_t from, int32_t to)
{
    return (int32_t)(spot >> from & ((UINT64_C(1) << (to - from)) - 1));
}

HBM_INLINE int32_t hbm_spot_pc(hbm_spot_t spot) { return (int32_t)(spot >> HBM_SPOT_PC_AT); }
HBM_INLINE int32_t hbm_spot_bank(hbm_spot_t spot) { return hbm_spot_part(spot, HBM_SPOT_BANK_AT, HBM_SPOT_COLUMN_AT); }
HBM_INLINE int32_t hbm_spot_column(hbm_spot_t spot) { return hbm_spot_part(spot, HBM_SPOT_COLUMN_AT, HBM_SPOT_ROW_AT); }
HBM_INLINE int32_t hbm_spot_row(hbm_spot_t spot) { return hbm_spot_part(spot, HBM_SPOT_ROW_AT, HBM_SPOT_PC_AT); }

/* Neighbouring pieces of a map that are taken off a burst's number at once, as one digit. */
typedef struct {
    uint64_t radix;
    uint64_t weight; /* what a one adds to the spot, without a table */
    int32_t shift;   /* log2 of the radix, 0 where it is not a power of two */
    int32_t table;   /* what every value of the digit adds to the spot; -1: none */
} hbm_spot_digit_t;

/* An XOR term as an operation on spots. */
typedef struct {
    uint64_t mask;
    int32_t from;
    int32_t to;
} hbm_spot_flip_t;

#endif

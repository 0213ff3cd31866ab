/* Types and small tools that every part of the core shares: ticks, error codes, bit and rounding helpers.
 * Must know nothing of devices, queues or channels. */
#ifndef HBM_CORE_H
#define HBM_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hbm.h"

typedef int64_t hbm_tick_t; /* half a CK */

/* Far enough apart that a sum of a time and any parameter never overflows. */
#define HBM_NEVER (INT64_MAX / 4)
#define HBM_LONG_AGO (-(INT64_C(1) << 40))

#define HBM_MAX_BANKS 64 /* per pseudo-channel: sets of banks are 64-bit masks */
#define HBM_MAX_PC 2     /* pseudo-channels per channel */
#define HBM_MAX_CLASSES 8 /* of traffic */
#define HBM_NIL UINT16_MAX

#if defined(__GNUC__)
#define HBM_INLINE static inline __attribute__((always_inline))
#define HBM_NOINLINE __attribute__((noinline))
#define HBM_LIKELY(x) __builtin_expect(!!(x), 1)
#define HBM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define HBM_INLINE static inline
#define HBM_NOINLINE
#define HBM_LIKELY(x) (x)
#define HBM_UNLIKELY(x) (x)
#endif

HBM_INLINE hbm_tick_t hbm_max(hbm_tick_t a, hbm_tick_t b) { return a > b ? a : b; }
HBM_INLINE hbm_tick_t hbm_min(hbm_tick_t a, hbm_tick_t b) { return a < b ? a : b; }

/* The next rising edge at or after t. */
HBM_INLINE hbm_tick_t hbm_rising(hbm_tick_t t) { return t + (t & 1); }

HBM_INLINE int hbm_lowest(uint64_t mask) { return __builtin_ctzll(mask); }

HBM_INLINE uint64_t hbm_bit(int bank) { return UINT64_C(1) << bank; }

/* Mask of the lowest n banks, n in 1..64. */
HBM_INLINE uint64_t hbm_low_bits(int n) { return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1; }

#endif

/*
 * Binds the vector vocabulary of one ISA folder (its simd.h) to one element type, for the templates beside this file.
 *
 * A stub defines NORMA_DTYPE (f32 or f64), includes its simd.h and then a template. The vocabulary, for vf32 (vf64 alike):
 *
 *     vf32, vf32_width          a native vector and its number of lanes
 *     set1 zero load store      store and load need no alignment; stream does, to the vector's size
 *     load_part store_part      the first `count` lanes, 0 <= count <= width; the rest loads as 0; touches no other byte
 *     first_of(a, b, count)     lanes below count from a, the others from b
 *     add sub mul abs           IEEE, one rounding each
 *     min max(a, b)             a < b ? a : b and a > b ? a : b
 *     fma fnma(a, b, c)         a * b + c and c - a * b, rounded once (twice on generic)
 *     lane0 get0                lane 0 in every lane; lane 0 as a scalar
 *     halves(a, b, lanes, …)    a and b hold runs of `lanes` lanes each, as the last call left them; low and high get the lower
 *                               and the upper half of each run of both
 *     lane_of(i)                the lane of vector i once width vectors have gone through halves() down to one lane each
 *
 * NORMA_REGISTERS, how many vectors the ISA names; NORMA_STREAMS, whether it writes past the caches; and for both types
 * simd_prefetch, simd_prefetch_once (for what is read once and soon) and simd_fence (after stream).
 *
 * The canonical reduction has a virtual width of 64 bytes on every ISA: 16 f32 or 8 f64 lanes, made of NORMA_PARTS native
 * vectors. Element i of a run belongs to lane i mod NORMA_LANES. Lanes never mix before sum_lanes(), so that an ISA with narrow
 * vectors may work on one part after the other.
 */
#ifndef NORMA_VECTOR_H
#define NORMA_VECTOR_H

#include <assert.h>
#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

#define NORMA_PASTE_(a, b) a##b
#define NORMA_PASTE(a, b) NORMA_PASTE_(a, b)

#define NORMA_IS_f32 1
#define NORMA_IS_f64 2
#define NORMA_DTYPE_IS NORMA_PASTE(NORMA_IS_, NORMA_DTYPE)

#if NORMA_DTYPE_IS == NORMA_IS_f32
typedef float real;
#elif NORMA_DTYPE_IS == NORMA_IS_f64
typedef double real;
#else
#error "NORMA_DTYPE must be f32 or f64"
#endif

/* V(add) is vf32_add or vf64_add. */
#define V_(dtype, word) NORMA_PASTE(NORMA_PASTE(v, dtype), NORMA_PASTE(_, word))
#define V(word) V_(NORMA_DTYPE, word)
typedef NORMA_PASTE(v, NORMA_DTYPE) vec;

enum {
    NORMA_LANES = 64 / sizeof(real),
    NORMA_WIDTH = V(width),
    NORMA_PARTS = NORMA_LANES / NORMA_WIDTH,
    LOCKSTEP_MAX = 2,                                  /* rows side by side */
    LOCKSTEP = NORMA_REGISTERS < 32 ? 1 : LOCKSTEP_MAX /* rows that are reduced so: their sums stay in registers */
};

/* norma_rows_moments_f32_avx512 from (rows, moments). */
#define NORMA_KERNEL_NAME_(geometry, statistic, dtype, isa) norma_##geometry##_##statistic##_##dtype##_##isa
#define NORMA_KERNEL_NAME_OF(geometry, statistic, dtype, isa) NORMA_KERNEL_NAME_(geometry, statistic, dtype, isa)
#define NORMA_KERNEL_NAME(geometry, statistic) NORMA_KERNEL_NAME_OF(geometry, statistic, NORMA_DTYPE, NORMA_ISA_NAME)

/* The templates choose variants by constant arguments; a copy that is not inlined would decide at run time. */
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 8")
#define NO_UNROLL _Pragma("GCC unroll 1")
/* Hides where a pointer came from: of sums with it gcc would keep each in a register of its own. */
#define OPAQUE(pointer) __asm__("" : "+r"(pointer))
#define RARELY(condition) __builtin_expect(!!(condition), 0)

#if NORMA_DTYPE_IS == NORMA_IS_f32
#define REAL_MAX FLT_MAX
#else
#define REAL_MAX DBL_MAX
#endif

/* A factor in the type of x. One beyond its range stays finite: times the 0 of a constant row it must give 0. */
INLINE real real_factor(double factor)
{
    return factor > (double)REAL_MAX ? REAL_MAX : (real)factor;
}

/* A factor times a scale; one beyond the type's range must not be folded: times a small difference from the mean it may well
 * come back. NaN fits. */
INLINE double real_product(double factor, double scale)
{
    return (factor > (double)REAL_MAX ? (double)REAL_MAX : factor) * scale;
}

INLINE bool real_product_fits(double factor, double scale)
{
    return !(fabs(real_product(factor, scale)) > (double)REAL_MAX);
}

/* Element `index` of a scale or shift, or what stands for it. */
INLINE double parameter(const void *tensor, int64_t index, double absent)
{
    return tensor ? (double)((const real *)tensor)[index] : absent;
}

/* How many of the lanes [part * WIDTH, (part + 1) * WIDTH) lie below count. */
INLINE int lanes_in_part(int count, int part)
{
    const int left = count - part * NORMA_WIDTH;
    return left < 0 ? 0 : left > NORMA_WIDTH ? NORMA_WIDTH : left;
}

#endif

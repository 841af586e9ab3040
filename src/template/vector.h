/*
 * Binds the vector vocabulary of one ISA folder (its simd.h) to one element type, for the templates beside this file.
 *
 * A stub defines NORMA_DTYPE, the type of elements in memory (f32, f64, bf16, f16, s8 or u8), includes its simd.h and then a
 * template.
 * All arithmetic is in the type of the lanes, f64 for f64 and f32 for the others. The vocabulary, for vf32 (vf64 alike):
 *
 *     vf32, vf32_width          a native vector and its number of lanes
 *     set1 zero load store      store and load need no alignment; stream does, to the vector's size
 *     load_part store_part      the first `count` lanes, 0 <= count <= width; the rest loads as 0; touches no other byte
 *     first_of(a, b, count)     lanes below count from a, the others from b
 *     add sub mul abs           IEEE, one rounding each
 *     min max(a, b)             a < b ? a : b and a > b ? a : b
 *     fma fnma(a, b, c)         a * b + c and c - a * b, rounded once (twice on generic)
 *     div                       IEEE
 *     less(a, b, c, d)          a < b ? c : d
 *     copysign(a, b)            a's magnitude with b's sign
 *     ldexp(a, n)               f32 only: a * 2^n, rounded once; n integral, |n| <= 250, |a| in [1/4, 4], 0 or NaN
 *     raise(a, z)               f32 only: a * 2^n where z = 1.5 * 2^23 + n; a and the result normal, of NaN comes anything
 *     lower(a, z)               f32 only: a * 2^-n, likewise
 *     within(a, b, bound)       f32 only: whether no lane of either has a larger magnitude; with NaN, either answer
 *     lane0 get0                lane 0 in every lane; lane 0 as a scalar
 *     halves(a, b, lanes, …)    a and b hold runs of `lanes` lanes each, as the last call left them; low and high get the lower
 *                               and the upper half of each run of both
 *     lane_of(i)                the lane of vector i once width vectors have gone through halves() down to one lane each
 *
 * For bf16 and f16 in memory there are vbf16_load, load_part, store, store_part, stream and round (vf16_ alike), from and to a
 * vf32 of as many lanes, and store_two and stream_two of neighbouring vectors, which cost less than each alone: loads are
 * exact, the others round to nearest even; denormals are kept, NaN stays NaN (quiet, its sign and upper bits kept). Streams are
 * aligned to one vector of what they write. For s8 and u8 there are vs8_load and load_part (vu8_ alike), and for both v8_store,
 * store_part and stream, of the low bytes of lanes that hold integers.
 *
 * NORMA_REGISTERS, how many vectors the ISA names; NORMA_STREAMS, whether it writes past the caches; NORMA_FMA, whether fma
 * rounds once; and for both types simd_prefetch, simd_prefetch_once (for what is read once and soon) and simd_fence (after
 * stream).
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
#define NORMA_IS_bf16 3
#define NORMA_IS_f16 4
#define NORMA_IS_s8 5
#define NORMA_IS_u8 6
#define NORMA_DTYPE_IS NORMA_PASTE(NORMA_IS_, NORMA_DTYPE)

/* `real`: a lane. `element`: what lies in memory. */
#if NORMA_DTYPE_IS == NORMA_IS_f32
#define NORMA_LANE f32
#define ELEMENT_DTYPE NORMA_F32
typedef float real;
typedef float element;
#elif NORMA_DTYPE_IS == NORMA_IS_f64
#define NORMA_LANE f64
#define ELEMENT_DTYPE NORMA_F64
typedef double real;
typedef double element;
#elif NORMA_DTYPE_IS == NORMA_IS_bf16 || NORMA_DTYPE_IS == NORMA_IS_f16
#define NORMA_LANE f32
#define ELEMENT_DTYPE (NORMA_DTYPE_IS == NORMA_IS_bf16 ? NORMA_BF16 : NORMA_F16)
typedef float real;
typedef uint16_t element;
#elif NORMA_DTYPE_IS == NORMA_IS_s8
#define NORMA_LANE f32
#define ELEMENT_DTYPE NORMA_S8
#define vs8_store v8_store
#define vs8_store_part v8_store_part
#define vs8_stream v8_stream
typedef float real;
typedef int8_t element;
#elif NORMA_DTYPE_IS == NORMA_IS_u8
#define NORMA_LANE f32
#define ELEMENT_DTYPE NORMA_U8
#define vu8_store v8_store
#define vu8_store_part v8_store_part
#define vu8_stream v8_stream
typedef float real;
typedef uint8_t element;
#else
#error "NORMA_DTYPE must be f32, f64, bf16, f16, s8 or u8"
#endif

/* V(add) is vf32_add or vf64_add; M(load) reads elements: vbf16_load where V(load) is vf32_load. */
#define V_(dtype, word) NORMA_PASTE(NORMA_PASTE(v, dtype), NORMA_PASTE(_, word))
#define V(word) V_(NORMA_LANE, word)
#define M(word) V_(NORMA_DTYPE, word)
typedef NORMA_PASTE(v, NORMA_LANE) vec;

enum {
    NORMA_LANES = 64 / sizeof(real),
    NORMA_WIDTH = V(width),
    NORMA_PARTS = NORMA_LANES / NORMA_WIDTH,
    NORMA_NARROW = sizeof(element) < sizeof(real),
    NORMA_INTEGER = sizeof(element) == 1,                    /* y is then of another type, or quantized: always an epilogue's */
    NORMA_LINE_VECTORS = 64 / sizeof(element) / NORMA_WIDTH, /* vectors whose elements fill a cache line */
    AT_A_TIME = sizeof(element) == 2 ? 2 : 1,                /* neighbouring vectors that are stored together */
    LOCKSTEP_MAX = 2,                                        /* rows side by side */
    LOCKSTEP = NORMA_REGISTERS < 32 ? 1 : LOCKSTEP_MAX       /* rows that are reduced so: their sums stay in registers */
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

#if NORMA_DTYPE_IS == NORMA_IS_f64
#define REAL_MAX DBL_MAX
#else
#define REAL_MAX FLT_MAX
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

INLINE real element_at(const element *x, int64_t index)
{
    return NORMA_NARROW ? V(get0)(M(load_part)(x + index, 1)) : (real)x[index];
}

INLINE void set_element(element *y, int64_t index, real value)
{
    M(store_part)(y + index, V(set1)(value), 1);
}

INLINE vec round_to_element(vec a)
{
#if NORMA_DTYPE_IS == NORMA_IS_bf16 || NORMA_DTYPE_IS == NORMA_IS_f16
    return M(round)(a);
#else
    return a;
#endif
}

/* Stores `count` (a constant, 1 or AT_A_TIME) vectors. */
INLINE void store_vectors(element *y, const vec *v, int count, bool stream)
{
#if NORMA_DTYPE_IS == NORMA_IS_bf16 || NORMA_DTYPE_IS == NORMA_IS_f16
    if (count == AT_A_TIME) {
        if (stream) {
            M(stream_two)(y, v[0], v[1]);
        } else {
            M(store_two)(y, v[0], v[1]);
        }
        return;
    }
#endif
    (void)count;
    if (stream) {
        M(stream)(y, *v);
    } else {
        M(store)(y, *v);
    }
}

/* Loads `lanes` lanes; a constant NORMA_WIDTH where the vector is whole. */
INLINE vec load_lanes(const element *p, int lanes)
{
    return lanes == NORMA_WIDTH ? M(load)(p) : M(load_part)(p, lanes);
}

/* A scale or shift: elements or, where `wide`, lanes. One that is absent is the block that stands for it, always from its
 * beginning: so the loops have one form. */
typedef struct parameters {
    const void *at;
    int64_t mask; /* of indices: -1, or 0 for an absent one */
    bool wide;
} parameters;

enum { BLOCK = 128 }; /* elements of what stands for an absent tensor: no loop goes further at once */

/* What stands for an absent tensor: of the type of lanes and, as a type that is narrow has both, of that of elements. */
typedef struct stand_in {
    real lanes[BLOCK];
    element narrow[sizeof(element) == 2 ? BLOCK : 1];
} stand_in;

#if NORMA_DTYPE_IS == NORMA_IS_bf16
#define NARROW_ONE 0x3f80
#define NARROW_NEGATIVE_ZERO 0x8000
#elif NORMA_DTYPE_IS == NORMA_IS_f16
#define NARROW_ONE 0x3c00
#define NARROW_NEGATIVE_ZERO 0x8000
#endif

#define EIGHT(x) x, x, x, x, x, x, x, x
#define SIXTY_FOUR(x) EIGHT(x), EIGHT(x), EIGHT(x), EIGHT(x), EIGHT(x), EIGHT(x), EIGHT(x), EIGHT(x)
#define WHOLE_BLOCK(x)                                                                                                         \
    {                                                                                                                          \
        SIXTY_FOUR(x), SIXTY_FOUR(x)                                                                                           \
    }
#ifdef NARROW_ONE
static const stand_in ones[1] = {{WHOLE_BLOCK(1), WHOLE_BLOCK(NARROW_ONE)}};
static const stand_in negative_zeros[1] = {{WHOLE_BLOCK(-(real)0), WHOLE_BLOCK(NARROW_NEGATIVE_ZERO)}};
#else
static const stand_in ones[1] = {{WHOLE_BLOCK(1), {0}}};
static const stand_in negative_zeros[1] = {{WHOLE_BLOCK(-(real)0), {0}}}; /* added to anything, changes not a bit */
#endif

INLINE parameters parameters_of(const void *tensor, bool wide, const stand_in *absent)
{
    wide = wide || NORMA_INTEGER;
    const void *instead = NORMA_NARROW && !wide ? (const void *)absent->narrow : (const void *)absent->lanes;
    const parameters p = {tensor ? tensor : instead, tensor ? -1 : 0, wide};
    return p;
}

INLINE const void *parameter_address(const parameters *p, int64_t index)
{
    const int64_t size = NORMA_NARROW && !p->wide ? (int64_t)sizeof(element) : (int64_t)sizeof(real);
    return (const char *)p->at + index * size;
}

/* Those from element `index` on. */
INLINE parameters parameters_from(parameters p, int64_t index)
{
    p.at = parameter_address(&p, index & p.mask);
    return p;
}

/* `lanes` lanes of vector k (a constant) from element i on. */
INLINE vec load_parameters(const parameters *p, int64_t i, int k, int lanes)
{
    const void *at = parameter_address(p, (i & p->mask) + k * NORMA_WIDTH);
    if (NORMA_NARROW && !p->wide) {
        return load_lanes(at, lanes);
    }
    return lanes == NORMA_WIDTH ? V(load)(at) : V(load_part)(at, lanes);
}

INLINE real parameter_at(const parameters *p, int64_t index)
{
    const void *at = parameter_address(p, index & p->mask);
    return NORMA_NARROW && !p->wide ? element_at(at, 0) : *(const real *)at;
}

/* `count` of them. */
INLINE void get_parameters(const parameters *p, int64_t index, int64_t count, real *out)
{
    int64_t i = 0;
    for (; i + NORMA_WIDTH <= count; i += NORMA_WIDTH) {
        V(store)(out + i, load_parameters(p, index + i, 0, NORMA_WIDTH));
    }
    if (i < count) {
        V(store_part)(out + i, load_parameters(p, index + i, 0, (int)(count - i)), (int)(count - i));
    }
}

/* Whether samples modulate their channels. */
INLINE bool modulates(const norma_modulator *modulator)
{
    return modulator->scale || modulator->shift;
}

/* Takes in what modulates channel `counted`, counted on over all samples. */
INLINE void modulate(const norma_modulator *modulator, bool wide, int64_t counted, double *scale, double *shift)
{
    const parameters by_scale = parameters_of(modulator->scale, wide, modulator->plain ? ones : negative_zeros);
    const parameters by_shift = parameters_of(modulator->shift, wide, negative_zeros);
    norma_modulate(modulator, (double)parameter_at(&by_scale, counted), (double)parameter_at(&by_shift, counted), scale, shift);
}

/* How many of the lanes [part * WIDTH, (part + 1) * WIDTH) lie below count. */
INLINE int lanes_in_part(int count, int part)
{
    const int left = count - part * NORMA_WIDTH;
    return left < 0 ? 0 : left > NORMA_WIDTH ? NORMA_WIDTH : left;
}

#endif

/*
 * The vector vocabulary in portable C with the vector extension of gcc and clang, which they lower to whatever the
 * baseline has: see template/vector.h for what each word means.
 *
 * vf32_fma() rounds twice here: a baseline without FMA would call libm for each lane.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <stdint.h>
#include <string.h>

#include "half.h"

#define NORMA_ISA_NAME generic
#define NORMA_REGISTERS 16
#define NORMA_STREAMS 0
#define NORMA_FMA 0

/* gcc drops calls of a function that only prefetches, unless there is none to drop. */
static inline __attribute__((always_inline)) void simd_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
static inline __attribute__((always_inline)) void simd_prefetch_once(const void *p) { __builtin_prefetch(p, 0, 0); }
static inline void simd_fence(void) {}

/* f32 */

typedef float vf32 __attribute__((vector_size(16)));
typedef int32_t simd_i32 __attribute__((vector_size(16)));
typedef uint32_t simd_u32 __attribute__((vector_size(16)));
enum { vf32_width = 4 };

static inline vf32 vf32_set1(float a) { return (vf32){a, a, a, a}; }
static inline vf32 vf32_zero(void) { return vf32_set1(0); }
static inline vf32 vf32_add(vf32 a, vf32 b) { return a + b; }
static inline vf32 vf32_sub(vf32 a, vf32 b) { return a - b; }
static inline vf32 vf32_mul(vf32 a, vf32 b) { return a * b; }
static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c) { return a * b + c; }
static inline vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) { return c - a * b; }

static inline vf32 vf32_choose(simd_i32 mask, vf32 a, vf32 b) { return (vf32)((mask & (simd_i32)a) | (~mask & (simd_i32)b)); }

static inline vf32 vf32_min(vf32 a, vf32 b) { return vf32_choose(a < b, a, b); }
static inline vf32 vf32_max(vf32 a, vf32 b) { return vf32_choose(a > b, a, b); }
static inline vf32 vf32_abs(vf32 a) { return (vf32)((simd_i32)a & INT32_MAX); }
static inline vf32 vf32_div(vf32 a, vf32 b) { return a / b; }
static inline vf32 vf32_less(vf32 a, vf32 b, vf32 c, vf32 d) { return vf32_choose(a < b, c, d); }
static inline vf32 vf32_copysign(vf32 a, vf32 b) { return (vf32)(((simd_i32)a & INT32_MAX) | ((simd_i32)b & INT32_MIN)); }
static inline vf32 vf32_raise(vf32 a, vf32 z) { return (vf32)((simd_u32)a + ((simd_u32)z << 23)); }
static inline vf32 vf32_lower(vf32 a, vf32 z) { return (vf32)((simd_u32)a - ((simd_u32)z << 23)); }

static inline int vf32_within(vf32 a, vf32 b, float bound)
{
    const vf32 most = vf32_set1(bound);
    const simd_i32 in = (vf32_abs(a) <= most) & (vf32_abs(b) <= most);
    return (in[0] & in[1] & in[2] & in[3]) != 0;
}

/* Half of n first, which is exact. The low bits of n + 1.5 * 2^23 hold n: no conversion of NaN. */
static inline vf32 vf32_ldexp(vf32 a, vf32 n)
{
    const simd_i32 whole = (simd_i32)(n + 12582912) - (simd_i32)vf32_set1(12582912), half = whole >> 1;
    const simd_u32 first = (simd_u32)(half + 127) << 23, second = (simd_u32)(whole - half + 127) << 23;
    return a * (vf32)first * (vf32)second;
}

static inline vf32 vf32_lane0(vf32 a) { return vf32_set1(a[0]); }
static inline float vf32_get0(vf32 a) { return a[0]; }

static inline vf32 vf32_load_part(const float *p, int count)
{
    vf32 a = vf32_zero();
    memcpy(&a, p, (size_t)count * sizeof(float));
    return a;
}

static inline vf32 vf32_load(const float *p) { return vf32_load_part(p, vf32_width); }
static inline void vf32_store_part(float *p, vf32 a, int count) { memcpy(p, &a, (size_t)count * sizeof(float)); }
static inline void vf32_store(float *p, vf32 a) { memcpy(p, &a, sizeof a); }
static inline void vf32_stream(float *p, vf32 a) { vf32_store(p, a); }

static inline vf32 vf32_first_of(vf32 a, vf32 b, int count)
{
    return vf32_choose((simd_i32){0, 1, 2, 3} < (simd_i32){count, count, count, count}, a, b);
}

static inline int vf32_lane_of(int row) { return row; }

static inline void vf32_halves(vf32 a, vf32 b, int lanes, vf32 *low, vf32 *high)
{
    if (lanes == 4) {
        *low = (vf32){a[0], a[1], b[0], b[1]}, *high = (vf32){a[2], a[3], b[2], b[3]};
    } else {
        *low = (vf32){a[0], a[2], b[0], b[2]}, *high = (vf32){a[1], a[3], b[1], b[3]};
    }
}

/* bf16 and f16 in memory, a lane at a time; out of line, for it would stand in every loop. */

#define SIMD_APART static __attribute__((noinline, unused))

SIMD_APART vf32 vbf16_load_part(const uint16_t *p, int count)
{
    vf32 a = vf32_zero();
    for (int i = 0; i < count; i++) {
        a[i] = norma_bf16_to_f32(p[i]);
    }
    return a;
}

SIMD_APART void vbf16_store_part(uint16_t *p, vf32 a, int count)
{
    for (int i = 0; i < count; i++) {
        p[i] = norma_bf16_from_f32(a[i]);
    }
}

SIMD_APART vf32 vf16_load_part(const uint16_t *p, int count)
{
    vf32 a = vf32_zero();
    for (int i = 0; i < count; i++) {
        a[i] = norma_f16_to_f32(p[i]);
    }
    return a;
}

SIMD_APART void vf16_store_part(uint16_t *p, vf32 a, int count)
{
    for (int i = 0; i < count; i++) {
        p[i] = norma_f16_from_f32(a[i]);
    }
}

SIMD_APART vf32 vbf16_round(vf32 a)
{
    uint16_t halves[vf32_width];
    vbf16_store_part(halves, a, vf32_width);
    return vbf16_load_part(halves, vf32_width);
}

static inline vf32 vbf16_load(const uint16_t *p) { return vbf16_load_part(p, vf32_width); }
static inline void vbf16_store(uint16_t *p, vf32 a) { vbf16_store_part(p, a, vf32_width); }
static inline void vbf16_stream(uint16_t *p, vf32 a) { vbf16_store(p, a); }
static inline void vbf16_store_two(uint16_t *p, vf32 a, vf32 b) { vbf16_store(p, a), vbf16_store(p + vf32_width, b); }
static inline void vbf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vbf16_store_two(p, a, b); }

SIMD_APART vf32 vf16_round(vf32 a)
{
    uint16_t halves[vf32_width];
    vf16_store_part(halves, a, vf32_width);
    return vf16_load_part(halves, vf32_width);
}

static inline vf32 vf16_load(const uint16_t *p) { return vf16_load_part(p, vf32_width); }
static inline void vf16_store(uint16_t *p, vf32 a) { vf16_store_part(p, a, vf32_width); }
static inline void vf16_stream(uint16_t *p, vf32 a) { vf16_store(p, a); }
static inline void vf16_store_two(uint16_t *p, vf32 a, vf32 b) { vf16_store(p, a), vf16_store(p + vf32_width, b); }
static inline void vf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vf16_store_two(p, a, b); }

/* s8 and u8 in memory, likewise */

SIMD_APART vf32 vs8_load_part(const int8_t *p, int count)
{
    vf32 a = vf32_zero();
    for (int i = 0; i < count; i++) {
        a[i] = p[i];
    }
    return a;
}

SIMD_APART vf32 vu8_load_part(const uint8_t *p, int count)
{
    vf32 a = vf32_zero();
    for (int i = 0; i < count; i++) {
        a[i] = p[i];
    }
    return a;
}

SIMD_APART void v8_store_part(void *p, vf32 a, int count)
{
    for (int i = 0; i < count; i++) {
        ((uint8_t *)p)[i] = (uint8_t)(int)a[i];
    }
}

static inline vf32 vs8_load(const int8_t *p) { return vs8_load_part(p, vf32_width); }
static inline vf32 vu8_load(const uint8_t *p) { return vu8_load_part(p, vf32_width); }
static inline void v8_store(void *p, vf32 a) { v8_store_part(p, a, vf32_width); }
static inline void v8_stream(void *p, vf32 a) { v8_store(p, a); }

/* f64 */

typedef double vf64 __attribute__((vector_size(16)));
typedef int64_t simd_i64 __attribute__((vector_size(16)));
enum { vf64_width = 2 };

static inline vf64 vf64_set1(double a) { return (vf64){a, a}; }
static inline vf64 vf64_zero(void) { return vf64_set1(0); }
static inline vf64 vf64_add(vf64 a, vf64 b) { return a + b; }
static inline vf64 vf64_sub(vf64 a, vf64 b) { return a - b; }
static inline vf64 vf64_mul(vf64 a, vf64 b) { return a * b; }
static inline vf64 vf64_fma(vf64 a, vf64 b, vf64 c) { return a * b + c; }
static inline vf64 vf64_fnma(vf64 a, vf64 b, vf64 c) { return c - a * b; }

static inline vf64 vf64_choose(simd_i64 mask, vf64 a, vf64 b) { return (vf64)((mask & (simd_i64)a) | (~mask & (simd_i64)b)); }

static inline vf64 vf64_min(vf64 a, vf64 b) { return vf64_choose(a < b, a, b); }
static inline vf64 vf64_max(vf64 a, vf64 b) { return vf64_choose(a > b, a, b); }
static inline vf64 vf64_abs(vf64 a) { return (vf64)((simd_i64)a & INT64_MAX); }
static inline vf64 vf64_div(vf64 a, vf64 b) { return a / b; }
static inline vf64 vf64_less(vf64 a, vf64 b, vf64 c, vf64 d) { return vf64_choose(a < b, c, d); }
static inline vf64 vf64_copysign(vf64 a, vf64 b) { return (vf64)(((simd_i64)a & INT64_MAX) | ((simd_i64)b & INT64_MIN)); }
static inline vf64 vf64_lane0(vf64 a) { return vf64_set1(a[0]); }
static inline double vf64_get0(vf64 a) { return a[0]; }

static inline vf64 vf64_load_part(const double *p, int count)
{
    vf64 a = vf64_zero();
    memcpy(&a, p, (size_t)count * sizeof(double));
    return a;
}

static inline vf64 vf64_load(const double *p) { return vf64_load_part(p, vf64_width); }
static inline void vf64_store_part(double *p, vf64 a, int count) { memcpy(p, &a, (size_t)count * sizeof(double)); }
static inline void vf64_store(double *p, vf64 a) { memcpy(p, &a, sizeof a); }
static inline void vf64_stream(double *p, vf64 a) { vf64_store(p, a); }

static inline vf64 vf64_first_of(vf64 a, vf64 b, int count)
{
    return vf64_choose((simd_i64){0, 1} < (simd_i64){count, count}, a, b);
}

static inline int vf64_lane_of(int row) { return row; }

static inline void vf64_halves(vf64 a, vf64 b, int lanes, vf64 *low, vf64 *high)
{
    (void)lanes;
    *low = (vf64){a[0], b[0]}, *high = (vf64){a[1], b[1]};
}

#endif

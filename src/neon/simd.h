/*
 * The vector vocabulary on AArch64 Advanced SIMD: see template/vector.h for what each word means.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <arm_neon.h>
#include <string.h>

#include "template/part.h"

#define NORMA_ISA_NAME neon
#define NORMA_REGISTERS 32
#define NORMA_STREAMS 0
#define NORMA_FMA 1

/* gcc drops calls of a function that only prefetches, unless there is none to drop. */
static inline __attribute__((always_inline)) void simd_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
static inline __attribute__((always_inline)) void simd_prefetch_once(const void *p) { __builtin_prefetch(p, 0, 0); }
static inline void simd_fence(void) {}

/* f32 */

typedef float32x4_t vf32;
enum { vf32_width = 4 };

static inline vf32 vf32_zero(void) { return vdupq_n_f32(0); }
static inline vf32 vf32_set1(float a) { return vdupq_n_f32(a); }
static inline vf32 vf32_load(const float *p) { return vld1q_f32(p); }
static inline void vf32_store(float *p, vf32 a) { vst1q_f32(p, a); }
static inline void vf32_stream(float *p, vf32 a) { vst1q_f32(p, a); }
static inline vf32 vf32_add(vf32 a, vf32 b) { return vaddq_f32(a, b); }
static inline vf32 vf32_sub(vf32 a, vf32 b) { return vsubq_f32(a, b); }
static inline vf32 vf32_mul(vf32 a, vf32 b) { return vmulq_f32(a, b); }
static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c) { return vfmaq_f32(c, a, b); }
static inline vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) { return vfmsq_f32(c, a, b); }
static inline vf32 vf32_min(vf32 a, vf32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf32 vf32_max(vf32 a, vf32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf32 vf32_abs(vf32 a) { return vabsq_f32(a); }
static inline vf32 vf32_div(vf32 a, vf32 b) { return vdivq_f32(a, b); }
static inline vf32 vf32_less(vf32 a, vf32 b, vf32 c, vf32 d) { return vbslq_f32(vcltq_f32(a, b), c, d); }
static inline vf32 vf32_copysign(vf32 a, vf32 b) { return vbslq_f32(vdupq_n_u32(UINT32_C(1) << 31), b, a); }

static inline vf32 vf32_raise(vf32 a, vf32 z)
{
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), vshlq_n_u32(vreinterpretq_u32_f32(z), 23)));
}

/* Half of n first, which is exact. */
static inline vf32 vf32_ldexp(vf32 a, vf32 n)
{
    const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
    const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return vmulq_f32(vmulq_f32(a, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

static inline vf32 vf32_lower(vf32 a, vf32 z)
{
    return vreinterpretq_f32_u32(vsubq_u32(vreinterpretq_u32_f32(a), vshlq_n_u32(vreinterpretq_u32_f32(z), 23)));
}

static inline int vf32_within(vf32 a, vf32 b, float bound)
{
    return vmaxvq_f32(vmaxq_f32(vabsq_f32(a), vabsq_f32(b))) <= bound;
}

static inline vf32 vf32_lane0(vf32 a) { return vdupq_laneq_f32(a, 0); }
static inline float vf32_get0(vf32 a) { return vgetq_lane_f32(a, 0); }

static inline vf32 vf32_load_part(const float *p, int count)
{
    float lanes[4] = {0};
    memcpy(lanes, p, (size_t)count * sizeof(float));
    return vld1q_f32(lanes);
}

static inline void vf32_store_part(float *p, vf32 a, int count)
{
    float lanes[4];
    vst1q_f32(lanes, a);
    memcpy(p, lanes, (size_t)count * sizeof(float));
}

static inline vf32 vf32_first_of(vf32 a, vf32 b, int count)
{
    static const uint32_t index[4] = {0, 1, 2, 3};
    return vbslq_f32(vcltq_u32(vld1q_u32(index), vdupq_n_u32((uint32_t)count)), a, b);
}

static inline int vf32_lane_of(int row) { return row; }

static inline void vf32_halves(vf32 a, vf32 b, int lanes, vf32 *low, vf32 *high)
{
    if (lanes == 4) {
        *low = vcombine_f32(vget_low_f32(a), vget_low_f32(b)), *high = vcombine_f32(vget_high_f32(a), vget_high_f32(b));
    } else {
        *low = vuzp1q_f32(a, b), *high = vuzp2q_f32(a, b);
    }
}

/* bf16 and f16 in memory. Parts go through general registers, and are kept out of line: they would stand in every loop. */

#define SIMD_RARELY static __attribute__((noinline, unused))

static inline vf32 simd_from_bf16(uint16x4_t a) { return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(a), 16)); }

/* In the upper half of each lane. */
static inline uint32x4_t simd_round_bf16(vf32 a)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vbslq_u32(vceqq_f32(a, a), rounded, quiet);
}

static inline uint16x4_t simd_to_bf16(vf32 a) { return vshrn_n_u32(simd_round_bf16(a), 16); }

static inline uint16x8_t simd_two_to_bf16(vf32 a, vf32 b)
{
    return vuzp2q_u16(vreinterpretq_u16_u32(simd_round_bf16(a)), vreinterpretq_u16_u32(simd_round_bf16(b)));
}

static inline uint16x4_t simd_load16_first(const uint16_t *p, int count) { return vcreate_u16(simd_load_part16(p, count)); }

static inline void simd_store16_first(uint16_t *p, uint16x4_t a, int count)
{
    simd_store_part16(p, vget_lane_u64(vreinterpret_u64_u16(a), 0), count);
}

static inline vf32 vbf16_round(vf32 a) { return simd_from_bf16(simd_to_bf16(a)); }
static inline vf32 vbf16_load(const uint16_t *p) { return simd_from_bf16(vld1_u16(p)); }
SIMD_RARELY vf32 vbf16_load_part(const uint16_t *p, int count) { return simd_from_bf16(simd_load16_first(p, count)); }
static inline void vbf16_store(uint16_t *p, vf32 a) { vst1_u16(p, simd_to_bf16(a)); }
SIMD_RARELY void vbf16_store_part(uint16_t *p, vf32 a, int count) { simd_store16_first(p, simd_to_bf16(a), count); }
static inline void vbf16_stream(uint16_t *p, vf32 a) { vbf16_store(p, a); }
static inline void vbf16_store_two(uint16_t *p, vf32 a, vf32 b) { vst1q_u16(p, simd_two_to_bf16(a, b)); }
static inline void vbf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vbf16_store_two(p, a, b); }

static inline vf32 simd_from_f16(uint16x4_t a) { return vcvt_f32_f16(vreinterpret_f16_u16(a)); }
static inline uint16x4_t simd_to_f16(vf32 a) { return vreinterpret_u16_f16(vcvt_f16_f32(a)); }

static inline vf32 vf16_round(vf32 a) { return simd_from_f16(simd_to_f16(a)); }
static inline vf32 vf16_load(const uint16_t *p) { return simd_from_f16(vld1_u16(p)); }
SIMD_RARELY vf32 vf16_load_part(const uint16_t *p, int count) { return simd_from_f16(simd_load16_first(p, count)); }
static inline void vf16_store(uint16_t *p, vf32 a) { vst1_u16(p, simd_to_f16(a)); }
SIMD_RARELY void vf16_store_part(uint16_t *p, vf32 a, int count) { simd_store16_first(p, simd_to_f16(a), count); }
static inline void vf16_stream(uint16_t *p, vf32 a) { vf16_store(p, a); }
static inline void vf16_store_two(uint16_t *p, vf32 a, vf32 b) { vst1q_u16(p, vcombine_u16(simd_to_f16(a), simd_to_f16(b))); }
static inline void vf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vf16_store_two(p, a, b); }

/* s8 and u8 in memory, four in a general register */

static inline vf32 simd_from_s8(uint64_t bytes) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes))))); }
static inline vf32 simd_from_u8(uint64_t bytes) { return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))))); }

/* The low bytes of four integers. */
static inline uint64_t simd_to_8(vf32 a)
{
    const int16x4_t narrow = vmovn_s32(vcvtq_s32_f32(a));
    return vget_lane_u64(vreinterpret_u64_s8(vmovn_s16(vcombine_s16(narrow, narrow))), 0);
}

static inline vf32 vs8_load(const int8_t *p) { return simd_from_s8(simd_load_bytes(p, 4)); }
static inline vf32 vu8_load(const uint8_t *p) { return simd_from_u8(simd_load_bytes(p, 4)); }
SIMD_RARELY vf32 vs8_load_part(const int8_t *p, int count) { return simd_from_s8(simd_load_bytes(p, count)); }
SIMD_RARELY vf32 vu8_load_part(const uint8_t *p, int count) { return simd_from_u8(simd_load_bytes(p, count)); }
static inline void v8_store(void *p, vf32 a) { simd_store_bytes(p, simd_to_8(a), 4); }
SIMD_RARELY void v8_store_part(void *p, vf32 a, int count) { simd_store_bytes(p, simd_to_8(a), count); }
static inline void v8_stream(void *p, vf32 a) { v8_store(p, a); }

/* f64 */

typedef float64x2_t vf64;
enum { vf64_width = 2 };

static inline vf64 vf64_zero(void) { return vdupq_n_f64(0); }
static inline vf64 vf64_set1(double a) { return vdupq_n_f64(a); }
static inline vf64 vf64_load(const double *p) { return vld1q_f64(p); }
static inline void vf64_store(double *p, vf64 a) { vst1q_f64(p, a); }
static inline void vf64_stream(double *p, vf64 a) { vst1q_f64(p, a); }
static inline vf64 vf64_add(vf64 a, vf64 b) { return vaddq_f64(a, b); }
static inline vf64 vf64_sub(vf64 a, vf64 b) { return vsubq_f64(a, b); }
static inline vf64 vf64_mul(vf64 a, vf64 b) { return vmulq_f64(a, b); }
static inline vf64 vf64_fma(vf64 a, vf64 b, vf64 c) { return vfmaq_f64(c, a, b); }
static inline vf64 vf64_fnma(vf64 a, vf64 b, vf64 c) { return vfmsq_f64(c, a, b); }
static inline vf64 vf64_min(vf64 a, vf64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
static inline vf64 vf64_max(vf64 a, vf64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
static inline vf64 vf64_abs(vf64 a) { return vabsq_f64(a); }
static inline vf64 vf64_div(vf64 a, vf64 b) { return vdivq_f64(a, b); }
static inline vf64 vf64_less(vf64 a, vf64 b, vf64 c, vf64 d) { return vbslq_f64(vcltq_f64(a, b), c, d); }
static inline vf64 vf64_copysign(vf64 a, vf64 b) { return vbslq_f64(vdupq_n_u64(UINT64_C(1) << 63), b, a); }
static inline vf64 vf64_lane0(vf64 a) { return vdupq_laneq_f64(a, 0); }
static inline double vf64_get0(vf64 a) { return vgetq_lane_f64(a, 0); }

static inline vf64 vf64_load_part(const double *p, int count)
{
    double lanes[2] = {0};
    memcpy(lanes, p, (size_t)count * sizeof(double));
    return vld1q_f64(lanes);
}

static inline void vf64_store_part(double *p, vf64 a, int count)
{
    double lanes[2];
    vst1q_f64(lanes, a);
    memcpy(p, lanes, (size_t)count * sizeof(double));
}

static inline vf64 vf64_first_of(vf64 a, vf64 b, int count)
{
    static const uint64_t index[2] = {0, 1};
    return vbslq_f64(vcltq_u64(vld1q_u64(index), vdupq_n_u64((uint64_t)count)), a, b);
}

static inline int vf64_lane_of(int row) { return row; }

static inline void vf64_halves(vf64 a, vf64 b, int lanes, vf64 *low, vf64 *high)
{
    (void)lanes;
    *low = vzip1q_f64(a, b), *high = vzip2q_f64(a, b);
}

#endif

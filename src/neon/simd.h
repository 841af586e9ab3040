/*
 * The vector vocabulary on AArch64 Advanced SIMD: see template/vector.h for what each word means.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <arm_neon.h>
#include <string.h>

#define NORMA_ISA_NAME neon
#define NORMA_REGISTERS 32
#define NORMA_STREAMS 0

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

/*
 * The vector vocabulary on AVX2 with FMA: see template/vector.h for what each word means.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#if !(defined __AVX2__ && defined __FMA__ && defined __F16C__)
#error "compile this folder with the flags of norma's avx2 list"
#endif

#define NORMA_ISA_NAME avx2
#define NORMA_REGISTERS 16
#define NORMA_STREAMS 1

/* gcc drops calls of a function that only prefetches, unless there is none to drop. */
static inline __attribute__((always_inline)) void simd_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
static inline __attribute__((always_inline)) void simd_prefetch_once(const void *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_NTA);
}
static inline void simd_fence(void) { _mm_sfence(); }

/* Eight words of ones, then eight of zeros: the mask for the first k of n begins n - k words into the last n ones. */
static const int32_t simd_mask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static const int64_t simd_mask64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

/* f32 */

typedef __m256 vf32;
enum { vf32_width = 8 };

static inline __m256i vf32_first(int count) { return _mm256_loadu_si256((const __m256i *)(simd_mask32 + 8 - count)); }

static inline vf32 vf32_zero(void) { return _mm256_setzero_ps(); }
static inline vf32 vf32_set1(float a) { return _mm256_set1_ps(a); }
static inline vf32 vf32_load(const float *p) { return _mm256_loadu_ps(p); }
static inline vf32 vf32_load_part(const float *p, int count) { return _mm256_maskload_ps(p, vf32_first(count)); }
static inline void vf32_store(float *p, vf32 a) { _mm256_storeu_ps(p, a); }
static inline void vf32_store_part(float *p, vf32 a, int count) { _mm256_maskstore_ps(p, vf32_first(count), a); }
static inline void vf32_stream(float *p, vf32 a) { _mm256_stream_ps(p, a); }
static inline vf32 vf32_add(vf32 a, vf32 b) { return _mm256_add_ps(a, b); }
static inline vf32 vf32_sub(vf32 a, vf32 b) { return _mm256_sub_ps(a, b); }
static inline vf32 vf32_mul(vf32 a, vf32 b) { return _mm256_mul_ps(a, b); }
static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf32 vf32_min(vf32 a, vf32 b) { return _mm256_min_ps(a, b); }
static inline vf32 vf32_max(vf32 a, vf32 b) { return _mm256_max_ps(a, b); }
static inline vf32 vf32_abs(vf32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf32 vf32_lane0(vf32 a) { return _mm256_broadcastss_ps(_mm256_castps256_ps128(a)); }
static inline float vf32_get0(vf32 a) { return _mm256_cvtss_f32(a); }

static inline vf32 vf32_first_of(vf32 a, vf32 b, int count)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(vf32_first(count)));
}

static inline int vf32_lane_of(int row) { return row % 2 * 4 + row / 2; }

static inline void vf32_halves(vf32 a, vf32 b, int lanes, vf32 *low, vf32 *high)
{
    switch (lanes) {
    case 8:
        *low = _mm256_permute2f128_ps(a, b, 0x20), *high = _mm256_permute2f128_ps(a, b, 0x31);
        break;
    case 4:
        *low = _mm256_shuffle_ps(a, b, 0x44), *high = _mm256_shuffle_ps(a, b, 0xee);
        break;
    default:
        *low = _mm256_shuffle_ps(a, b, 0x88), *high = _mm256_shuffle_ps(a, b, 0xdd);
    }
}

/* f64 */

typedef __m256d vf64;
enum { vf64_width = 4 };

static inline __m256i vf64_first(int count) { return _mm256_loadu_si256((const __m256i *)(simd_mask64 + 4 - count)); }

static inline vf64 vf64_zero(void) { return _mm256_setzero_pd(); }
static inline vf64 vf64_set1(double a) { return _mm256_set1_pd(a); }
static inline vf64 vf64_load(const double *p) { return _mm256_loadu_pd(p); }
static inline vf64 vf64_load_part(const double *p, int count) { return _mm256_maskload_pd(p, vf64_first(count)); }
static inline void vf64_store(double *p, vf64 a) { _mm256_storeu_pd(p, a); }
static inline void vf64_store_part(double *p, vf64 a, int count) { _mm256_maskstore_pd(p, vf64_first(count), a); }
static inline void vf64_stream(double *p, vf64 a) { _mm256_stream_pd(p, a); }
static inline vf64 vf64_add(vf64 a, vf64 b) { return _mm256_add_pd(a, b); }
static inline vf64 vf64_sub(vf64 a, vf64 b) { return _mm256_sub_pd(a, b); }
static inline vf64 vf64_mul(vf64 a, vf64 b) { return _mm256_mul_pd(a, b); }
static inline vf64 vf64_fma(vf64 a, vf64 b, vf64 c) { return _mm256_fmadd_pd(a, b, c); }
static inline vf64 vf64_fnma(vf64 a, vf64 b, vf64 c) { return _mm256_fnmadd_pd(a, b, c); }
static inline vf64 vf64_min(vf64 a, vf64 b) { return _mm256_min_pd(a, b); }
static inline vf64 vf64_max(vf64 a, vf64 b) { return _mm256_max_pd(a, b); }
static inline vf64 vf64_abs(vf64 a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
static inline vf64 vf64_lane0(vf64 a) { return _mm256_broadcastsd_pd(_mm256_castpd256_pd128(a)); }
static inline double vf64_get0(vf64 a) { return _mm256_cvtsd_f64(a); }

static inline vf64 vf64_first_of(vf64 a, vf64 b, int count)
{
    return _mm256_blendv_pd(b, a, _mm256_castsi256_pd(vf64_first(count)));
}

static inline int vf64_lane_of(int row) { return row % 2 * 2 + row / 2; }

static inline void vf64_halves(vf64 a, vf64 b, int lanes, vf64 *low, vf64 *high)
{
    if (lanes == 4) {
        *low = _mm256_permute2f128_pd(a, b, 0x20), *high = _mm256_permute2f128_pd(a, b, 0x31);
    } else {
        *low = _mm256_unpacklo_pd(a, b), *high = _mm256_unpackhi_pd(a, b);
    }
}

#endif

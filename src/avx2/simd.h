/*
 * The vector vocabulary on AVX2 with FMA: see template/vector.h for what each word means.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <immintrin.h>

#include "template/part.h"
#include <stdint.h>

#if !(defined __AVX2__ && defined __FMA__ && defined __F16C__)
#error "compile this folder with the flags of norma's avx2 list"
#endif

#define NORMA_ISA_NAME avx2
#define NORMA_REGISTERS 16
#define NORMA_STREAMS 1
#define NORMA_FMA 1

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
static inline vf32 vf32_div(vf32 a, vf32 b) { return _mm256_div_ps(a, b); }

static inline vf32 vf32_less(vf32 a, vf32 b, vf32 c, vf32 d) { return _mm256_blendv_ps(d, c, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }

static inline vf32 vf32_copysign(vf32 a, vf32 b)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}

static inline vf32 vf32_raise(vf32 a, vf32 z)
{
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n));
}

/* Half of n first, which is exact. */
static inline vf32 vf32_ldexp(vf32 a, vf32 n)
{
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

static inline vf32 vf32_lower(vf32 a, vf32 z)
{
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), n));
}

static inline int vf32_within(vf32 a, vf32 b, float bound)
{
    const vf32 larger = _mm256_max_ps(vf32_abs(a), vf32_abs(b));
    return _mm256_movemask_ps(_mm256_cmp_ps(larger, _mm256_set1_ps(bound), _CMP_NLE_UQ)) == 0;
}

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

/* bf16 and f16 in memory. Parts go through general registers, and are kept out of line: they would stand in every loop. */

#define SIMD_RARELY static __attribute__((noinline, unused))

static inline __m128i simd_load16(const uint16_t *p) { return _mm_loadu_si128((const __m128i *)p); }

static inline __m128i simd_load16_first(const uint16_t *p, int count)
{
    const uint64_t low = simd_load_part16(p, count);
    return _mm_set_epi64x(count > 4 ? (long long)simd_load_part16(p + 4, count - 4) : 0, (long long)low);
}

static inline void simd_store16_first(uint16_t *p, __m128i a, int count)
{
    simd_store_part16(p, (uint64_t)_mm_cvtsi128_si64(a), count);
    if (count > 4) {
        simd_store_part16(p + 4, (uint64_t)_mm_extract_epi64(a, 1), count - 4);
    }
}

static inline vf32 simd_from_bf16(__m128i a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a), 16)); }

/* In the lower half of each lane; of a NaN it may be anything. */
static inline __m256i simd_round_bf16(vf32 a)
{
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
}

static inline __m128i simd_to_bf16(vf32 a)
{
    const __m256i quiet = _mm256_srli_epi32(_mm256_or_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x400000)), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i whole = _mm256_blendv_epi8(simd_round_bf16(a), quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}

static inline __m256i simd_two_to_bf16(vf32 a, vf32 b)
{
    const __m256 nan = _mm256_cmp_ps(a, b, _CMP_UNORD_Q);
    if (__builtin_expect(!_mm256_testz_si256(_mm256_castps_si256(nan), _mm256_castps_si256(nan)), 0)) {
        return _mm256_inserti128_si256(_mm256_castsi128_si256(simd_to_bf16(a)), simd_to_bf16(b), 1);
    }
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(simd_round_bf16(a), simd_round_bf16(b)), 0xd8);
}

static inline vf32 vbf16_round(vf32 a) { return simd_from_bf16(simd_to_bf16(a)); }
static inline vf32 vbf16_load(const uint16_t *p) { return simd_from_bf16(simd_load16(p)); }
SIMD_RARELY vf32 vbf16_load_part(const uint16_t *p, int count) { return simd_from_bf16(simd_load16_first(p, count)); }
static inline void vbf16_store(uint16_t *p, vf32 a) { _mm_storeu_si128((__m128i *)p, simd_to_bf16(a)); }
SIMD_RARELY void vbf16_store_part(uint16_t *p, vf32 a, int count) { simd_store16_first(p, simd_to_bf16(a), count); }
static inline void vbf16_stream(uint16_t *p, vf32 a) { _mm_stream_si128((__m128i *)p, simd_to_bf16(a)); }
static inline void vbf16_store_two(uint16_t *p, vf32 a, vf32 b) { _mm256_storeu_si256((__m256i *)p, simd_two_to_bf16(a, b)); }
static inline void vbf16_stream_two(uint16_t *p, vf32 a, vf32 b)
{
    const __m256i both = simd_two_to_bf16(a, b);
    _mm_stream_si128((__m128i *)p, _mm256_castsi256_si128(both));
    _mm_stream_si128((__m128i *)p + 1, _mm256_extracti128_si256(both, 1));
}

static inline __m128i simd_to_f16(vf32 a) { return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

static inline vf32 vf16_round(vf32 a) { return _mm256_cvtph_ps(simd_to_f16(a)); }
static inline vf32 vf16_load(const uint16_t *p) { return _mm256_cvtph_ps(simd_load16(p)); }
SIMD_RARELY vf32 vf16_load_part(const uint16_t *p, int count) { return _mm256_cvtph_ps(simd_load16_first(p, count)); }
static inline void vf16_store(uint16_t *p, vf32 a) { _mm_storeu_si128((__m128i *)p, simd_to_f16(a)); }
SIMD_RARELY void vf16_store_part(uint16_t *p, vf32 a, int count) { simd_store16_first(p, simd_to_f16(a), count); }
static inline void vf16_stream(uint16_t *p, vf32 a) { _mm_stream_si128((__m128i *)p, simd_to_f16(a)); }
static inline void vf16_store_two(uint16_t *p, vf32 a, vf32 b) { vf16_store(p, a), vf16_store(p + 8, b); }
static inline void vf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vf16_stream(p, a), vf16_stream(p + 8, b); }

/* s8 and u8 in memory, eight in a general register */

static inline __m128i simd_load8(const void *p) { return _mm_loadl_epi64(p); }
static inline __m128i simd_load_part8(const void *p, int count)
{
    return _mm_cvtsi64_si128((long long)simd_load_bytes(p, count));
}

/* The low bytes of eight integers. */
static inline uint64_t simd_to_8(vf32 a)
{
    const __m128i low = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_cvtps_epi32(a), _mm256_broadcastsi128_si256(low));
    const __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    return (uint64_t)_mm_cvtsi128_si64(both);
}

static inline vf32 vs8_load(const int8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(simd_load8(p))); }
static inline vf32 vu8_load(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(simd_load8(p))); }

SIMD_RARELY vf32 vs8_load_part(const int8_t *p, int count)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(simd_load_part8(p, count)));
}

SIMD_RARELY vf32 vu8_load_part(const uint8_t *p, int count)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(simd_load_part8(p, count)));
}

static inline void v8_store(void *p, vf32 a) { simd_store_bytes(p, simd_to_8(a), 8); }
SIMD_RARELY void v8_store_part(void *p, vf32 a, int count) { simd_store_bytes(p, simd_to_8(a), count); }
static inline void v8_stream(void *p, vf32 a) { v8_store(p, a); }

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
static inline vf64 vf64_div(vf64 a, vf64 b) { return _mm256_div_pd(a, b); }

static inline vf64 vf64_less(vf64 a, vf64 b, vf64 c, vf64 d) { return _mm256_blendv_pd(d, c, _mm256_cmp_pd(a, b, _CMP_LT_OQ)); }

static inline vf64 vf64_copysign(vf64 a, vf64 b)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(sign, a), _mm256_and_pd(sign, b));
}

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

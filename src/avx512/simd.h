/*
 * The vector vocabulary on AVX-512 (F, BW, VL, DQ): see template/vector.h for what each word means.
 */
#ifndef NORMA_SIMD_H
#define NORMA_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#if !(defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VL__ && defined __AVX512DQ__)
#error "compile this folder with the flags of norma's avx512 list"
#endif

#ifndef NORMA_ISA_NAME
#define NORMA_ISA_NAME avx512
#endif
#define NORMA_REGISTERS 32
#define NORMA_STREAMS 1
#define NORMA_FMA 1

/* gcc drops calls of a function that only prefetches, unless there is none to drop. */
static inline __attribute__((always_inline)) void simd_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
static inline __attribute__((always_inline)) void simd_prefetch_once(const void *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_NTA);
}
static inline void simd_fence(void) { _mm_sfence(); }

/* f32 */

typedef __m512 vf32;
enum { vf32_width = 16 };

static inline __mmask16 vf32_first(int count) { return (__mmask16)((1u << count) - 1); }

static inline vf32 vf32_zero(void) { return _mm512_setzero_ps(); }
static inline vf32 vf32_set1(float a) { return _mm512_set1_ps(a); }
static inline vf32 vf32_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf32 vf32_load_part(const float *p, int count) { return _mm512_maskz_loadu_ps(vf32_first(count), p); }
static inline void vf32_store(float *p, vf32 a) { _mm512_storeu_ps(p, a); }
static inline void vf32_store_part(float *p, vf32 a, int count) { _mm512_mask_storeu_ps(p, vf32_first(count), a); }
static inline void vf32_stream(float *p, vf32 a) { _mm512_stream_ps(p, a); }
static inline vf32 vf32_add(vf32 a, vf32 b) { return _mm512_add_ps(a, b); }
static inline vf32 vf32_sub(vf32 a, vf32 b) { return _mm512_sub_ps(a, b); }
static inline vf32 vf32_mul(vf32 a, vf32 b) { return _mm512_mul_ps(a, b); }
static inline vf32 vf32_fma(vf32 a, vf32 b, vf32 c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf32 vf32_min(vf32 a, vf32 b) { return _mm512_min_ps(a, b); }
static inline vf32 vf32_max(vf32 a, vf32 b) { return _mm512_max_ps(a, b); }
static inline vf32 vf32_abs(vf32 a) { return _mm512_abs_ps(a); }
static inline vf32 vf32_div(vf32 a, vf32 b) { return _mm512_div_ps(a, b); }
static inline vf32 vf32_ldexp(vf32 a, vf32 n) { return _mm512_scalef_ps(a, n); }

static inline vf32 vf32_less(vf32 a, vf32 b, vf32 c, vf32 d)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), d, c);
}

static inline vf32 vf32_copysign(vf32 a, vf32 b)
{
    const __m512i sign = _mm512_set1_epi32(INT32_MIN), bits = _mm512_castps_si512(a);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign, _mm512_castps_si512(b), bits, 0xca)); /* sign ? b : a */
}

static inline vf32 vf32_raise(vf32 a, vf32 z)
{
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), n));
}

static inline vf32 vf32_lower(vf32 a, vf32 z)
{
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), n));
}

static inline int vf32_within(vf32 a, vf32 b, float bound)
{
    const vf32 larger = _mm512_range_ps(a, b, 0x0b); /* of their magnitudes */
    return _mm512_cmp_ps_mask(larger, _mm512_set1_ps(bound), _CMP_NLE_UQ) == 0;
}

static inline vf32 vf32_lane0(vf32 a) { return _mm512_broadcastss_ps(_mm512_castps512_ps128(a)); }
static inline float vf32_get0(vf32 a) { return _mm512_cvtss_f32(a); }
static inline vf32 vf32_first_of(vf32 a, vf32 b, int count) { return _mm512_mask_blend_ps(vf32_first(count), b, a); }

static inline int vf32_lane_of(int row) { return row % 4 * 4 + row / 4; }

static inline void vf32_halves(vf32 a, vf32 b, int lanes, vf32 *low, vf32 *high)
{
    switch (lanes) {
    case 16:
        *low = _mm512_shuffle_f32x4(a, b, 0x44), *high = _mm512_shuffle_f32x4(a, b, 0xee);
        break;
    case 8:
        *low = _mm512_shuffle_f32x4(a, b, 0x88), *high = _mm512_shuffle_f32x4(a, b, 0xdd);
        break;
    case 4:
        *low = _mm512_shuffle_ps(a, b, 0x44), *high = _mm512_shuffle_ps(a, b, 0xee);
        break;
    default:
        *low = _mm512_shuffle_ps(a, b, 0x88), *high = _mm512_shuffle_ps(a, b, 0xdd);
    }
}

/* bf16 and f16 in memory */

/* The upper half of each lane, once it is added to, is the rounded number; of a NaN it may be anything. */
static inline __m512i simd_round_bf16(vf32 a)
{
    const __m512i bits = _mm512_castps_si512(a);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    return _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
}

static inline __m256i simd_to_bf16(vf32 a)
{
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_set1_epi32(0x400000);
    const __m512i rounded = _mm512_mask_or_epi32(simd_round_bf16(a), nan, _mm512_castps_si512(a), quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

static inline __m512i simd_two_apart_to_bf16(vf32 a, vf32 b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(simd_to_bf16(a)), simd_to_bf16(b), 1);
}

#if defined __AVX512BF16__ && defined __AVX512VBMI__

/* A byte permutation does both the widening and the shift. */
static inline vf32 simd_from_bf16(__m256i a)
{
    static const uint8_t from[64] = {
#define UPPER(i) 0, 0, 2 * (i), 2 * (i) + 1
        UPPER(0), UPPER(1),  UPPER(2),  UPPER(3),  UPPER(4),  UPPER(5),  UPPER(6), UPPER(7), UPPER(8),
        UPPER(9), UPPER(10), UPPER(11), UPPER(12), UPPER(13), UPPER(14), UPPER(15)
#undef UPPER
    };
    const __m512i upper = _mm512_loadu_si512(from);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi8(0xccccccccccccccccull, upper, _mm512_castsi256_si512(a)));
}

/* The processor's own conversion flushes denormals, so they go the long way. A zero among the results, as one of them would
 * have left, is looked for first: of a pair that is one operation. */
static inline __m512i simd_two_to_bf16(vf32 a, vf32 b)
{
    const __m512i y = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    if (__builtin_expect(_mm512_testn_epi16_mask(y, _mm512_set1_epi16(0x7fff)) != 0, 0)) {
        if (_mm512_fpclass_ps_mask(a, 0x20) | _mm512_fpclass_ps_mask(b, 0x20)) { /* denormals */
            return simd_two_apart_to_bf16(a, b);
        }
    }
    return y;
}

#else

static inline vf32 simd_from_bf16(__m256i a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16)); }

static inline __m512i simd_two_to_bf16(vf32 a, vf32 b)
{
    if (__builtin_expect(_mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q) != 0, 0)) {
        return simd_two_apart_to_bf16(a, b);
    }
    const __m512i upper = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23,
                                           21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(simd_round_bf16(a), upper, simd_round_bf16(b));
}

#endif

static inline __m256i simd_load16(const uint16_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline __m256i simd_load_part16(const uint16_t *p, int count) { return _mm256_maskz_loadu_epi16(vf32_first(count), p); }

static inline vf32 vbf16_round(vf32 a) { return simd_from_bf16(simd_to_bf16(a)); }
static inline vf32 vbf16_load(const uint16_t *p) { return simd_from_bf16(simd_load16(p)); }
static inline vf32 vbf16_load_part(const uint16_t *p, int count) { return simd_from_bf16(simd_load_part16(p, count)); }
static inline void vbf16_store(uint16_t *p, vf32 a) { _mm256_storeu_si256((__m256i *)p, simd_to_bf16(a)); }
static inline void vbf16_store_part(uint16_t *p, vf32 a, int count)
{
    _mm256_mask_storeu_epi16(p, vf32_first(count), simd_to_bf16(a));
}
static inline void vbf16_stream(uint16_t *p, vf32 a) { _mm256_stream_si256((__m256i *)p, simd_to_bf16(a)); }
static inline void vbf16_store_two(uint16_t *p, vf32 a, vf32 b) { _mm512_storeu_si512(p, simd_two_to_bf16(a, b)); }
static inline void vbf16_stream_two(uint16_t *p, vf32 a, vf32 b)
{
    const __m512i both = simd_two_to_bf16(a, b);
    _mm256_stream_si256((__m256i *)p, _mm512_castsi512_si256(both));
    _mm256_stream_si256((__m256i *)p + 1, _mm512_extracti64x4_epi64(both, 1));
}

static inline __m256i simd_to_f16(vf32 a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

static inline vf32 vf16_round(vf32 a) { return _mm512_cvtph_ps(simd_to_f16(a)); }
static inline vf32 vf16_load(const uint16_t *p) { return _mm512_cvtph_ps(simd_load16(p)); }
static inline vf32 vf16_load_part(const uint16_t *p, int count) { return _mm512_cvtph_ps(simd_load_part16(p, count)); }
static inline void vf16_store(uint16_t *p, vf32 a) { _mm256_storeu_si256((__m256i *)p, simd_to_f16(a)); }
static inline void vf16_store_part(uint16_t *p, vf32 a, int count)
{
    _mm256_mask_storeu_epi16(p, vf32_first(count), simd_to_f16(a));
}
static inline void vf16_stream(uint16_t *p, vf32 a) { _mm256_stream_si256((__m256i *)p, simd_to_f16(a)); }
static inline void vf16_store_two(uint16_t *p, vf32 a, vf32 b) { vf16_store(p, a), vf16_store(p + 16, b); }
static inline void vf16_stream_two(uint16_t *p, vf32 a, vf32 b) { vf16_stream(p, a), vf16_stream(p + 16, b); }

/* s8 and u8 in memory */

static inline __m128i simd_load8(const void *p) { return _mm_loadu_si128(p); }
static inline __m128i simd_load_part8(const void *p, int count) { return _mm_maskz_loadu_epi8(vf32_first(count), p); }
static inline __m128i simd_to_8(vf32 a) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)); }

static inline vf32 vs8_load(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(simd_load8(p))); }
static inline vf32 vu8_load(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(simd_load8(p))); }

static inline vf32 vs8_load_part(const int8_t *p, int count)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(simd_load_part8(p, count)));
}

static inline vf32 vu8_load_part(const uint8_t *p, int count)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(simd_load_part8(p, count)));
}

static inline void v8_store(void *p, vf32 a) { _mm_storeu_si128(p, simd_to_8(a)); }
static inline void v8_store_part(void *p, vf32 a, int count) { _mm_mask_storeu_epi8(p, vf32_first(count), simd_to_8(a)); }
static inline void v8_stream(void *p, vf32 a) { _mm_stream_si128(p, simd_to_8(a)); }

/* f64 */

typedef __m512d vf64;
enum { vf64_width = 8 };

static inline __mmask8 vf64_first(int count) { return (__mmask8)((1u << count) - 1); }

static inline vf64 vf64_zero(void) { return _mm512_setzero_pd(); }
static inline vf64 vf64_set1(double a) { return _mm512_set1_pd(a); }
static inline vf64 vf64_load(const double *p) { return _mm512_loadu_pd(p); }
static inline vf64 vf64_load_part(const double *p, int count) { return _mm512_maskz_loadu_pd(vf64_first(count), p); }
static inline void vf64_store(double *p, vf64 a) { _mm512_storeu_pd(p, a); }
static inline void vf64_store_part(double *p, vf64 a, int count) { _mm512_mask_storeu_pd(p, vf64_first(count), a); }
static inline void vf64_stream(double *p, vf64 a) { _mm512_stream_pd(p, a); }
static inline vf64 vf64_add(vf64 a, vf64 b) { return _mm512_add_pd(a, b); }
static inline vf64 vf64_sub(vf64 a, vf64 b) { return _mm512_sub_pd(a, b); }
static inline vf64 vf64_mul(vf64 a, vf64 b) { return _mm512_mul_pd(a, b); }
static inline vf64 vf64_fma(vf64 a, vf64 b, vf64 c) { return _mm512_fmadd_pd(a, b, c); }
static inline vf64 vf64_fnma(vf64 a, vf64 b, vf64 c) { return _mm512_fnmadd_pd(a, b, c); }
static inline vf64 vf64_min(vf64 a, vf64 b) { return _mm512_min_pd(a, b); }
static inline vf64 vf64_max(vf64 a, vf64 b) { return _mm512_max_pd(a, b); }
static inline vf64 vf64_abs(vf64 a) { return _mm512_abs_pd(a); }
static inline vf64 vf64_div(vf64 a, vf64 b) { return _mm512_div_pd(a, b); }

static inline vf64 vf64_less(vf64 a, vf64 b, vf64 c, vf64 d)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), d, c);
}

static inline vf64 vf64_copysign(vf64 a, vf64 b)
{
    const __m512i sign = _mm512_set1_epi64(INT64_MIN), bits = _mm512_castpd_si512(a);
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(sign, _mm512_castpd_si512(b), bits, 0xca)); /* sign ? b : a */
}

static inline vf64 vf64_lane0(vf64 a) { return _mm512_broadcastsd_pd(_mm512_castpd512_pd128(a)); }
static inline double vf64_get0(vf64 a) { return _mm512_cvtsd_f64(a); }
static inline vf64 vf64_first_of(vf64 a, vf64 b, int count) { return _mm512_mask_blend_pd(vf64_first(count), b, a); }
static inline int vf64_lane_of(int row) { return row % 4 * 2 + row / 4; }

static inline void vf64_halves(vf64 a, vf64 b, int lanes, vf64 *low, vf64 *high)
{
    switch (lanes) {
    case 8:
        *low = _mm512_shuffle_f64x2(a, b, 0x44), *high = _mm512_shuffle_f64x2(a, b, 0xee);
        break;
    case 4:
        *low = _mm512_shuffle_f64x2(a, b, 0x88), *high = _mm512_shuffle_f64x2(a, b, 0xdd);
        break;
    default:
        *low = _mm512_unpacklo_pd(a, b), *high = _mm512_unpackhi_pd(a, b);
    }
}

#endif

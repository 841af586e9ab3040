/*
 * The passes of passes.h for one instruction set. Built once per set with that set's flags; BENCH_SIMD names the
 * library's vector vocabulary for it ("avx2/simd.h"), which knows streaming stores.
 */
#include <string.h>

#include "passes.h"
#include BENCH_SIMD

#define REAL float
#define DTYPE f32
#include "passes_template.h"

#define REAL double
#define DTYPE f64
#include "passes_template.h"

/* Floats in flight per step: four vectors of the widest set. */
enum { STEP = 64 };

/* Compilers would make a call of memcpy() out of a bare loop, and that is another path. */
#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

static void copy(void *y_, const void *x_, size_t bytes)
{
    float *y = y_;
    const float *x = x_;
    const size_t count = bytes / sizeof(float) / STEP * STEP;
    for (size_t i = 0; i < count; i += STEP) {
        for (int k = 0; k < STEP; k += vf32_width) {
            vf32_store(y + i + k, vf32_load(x + i + k));
        }
        KEEP_LOOP();
    }
    memcpy(y + count, x + count, bytes - count * sizeof(float));
}

static void copy_streaming(void *y_, const void *x_, size_t bytes)
{
    float *y = y_;
    const float *x = x_;
    const size_t count = bytes / sizeof(float) / STEP * STEP;
    for (size_t i = 0; i < count; i += STEP) {
        for (int k = 0; k < STEP; k += vf32_width) {
            vf32_stream(y + i + k, vf32_load(x + i + k));
        }
    }
    simd_fence();
    memcpy(y + count, x + count, bytes - count * sizeof(float));
}

/* As many sums as hide the latency of adding. */
enum { SUMS = 8, READ_STEP = SUMS * vf32_width };

static float read_all(const void *x_, size_t bytes)
{
    const float *x = x_;
    const size_t count = bytes / sizeof(float) / READ_STEP * READ_STEP;
    vf32 sum[SUMS];
    for (int k = 0; k < SUMS; k++) {
        sum[k] = vf32_zero();
    }
    for (size_t i = 0; i < count; i += READ_STEP) {
        for (int k = 0; k < SUMS; k++) {
            sum[k] = vf32_add(sum[k], vf32_load(x + i + k * vf32_width));
        }
    }
    for (int k = 1; k < SUMS; k++) {
        sum[0] = vf32_add(sum[0], sum[k]);
    }
    return vf32_get0(sum[0]);
}

/* The range of a row, 0 in it. */
static void range_of(const float *x, int64_t length, float *low, float *high)
{
    float lows[vf32_width], highs[vf32_width];
    vf32 least = vf32_zero(), most = vf32_zero();
    int64_t i = 0;
    for (; i + vf32_width <= length; i += vf32_width) {
        least = vf32_min(least, vf32_load(x + i));
        most = vf32_max(most, vf32_load(x + i));
    }
    const vf32 rest = vf32_load_part(x + i, (int)(length - i));
    vf32_store(lows, vf32_min(least, rest));
    vf32_store(highs, vf32_max(most, rest));
    *low = *high = 0;
    for (int k = 0; k < vf32_width; k++) {
        *low = lows[k] < *low ? lows[k] : *low;
        *high = highs[k] > *high ? highs[k] : *high;
    }
}

typedef struct quantizer {
    vf32 scale, zero_point, low, high;
} quantizer;

static inline vf32 quantize(const quantizer *q, vf32 x)
{
    const vf32 magic = vf32_set1(0x1.8p23f); /* rounds to an integer, to nearest even */
    const vf32 v = vf32_add(vf32_sub(vf32_add(vf32_div(x, q->scale), magic), magic), q->zero_point);
    return vf32_min(vf32_max(v, q->low), q->high);
}

static void quantize_rows(const bench_integers *into, const float *x, int64_t rows, int64_t length)
{
    for (int64_t r = 0; r < rows; r++, x += length) {
        uint8_t *y = (uint8_t *)into->y + r * length;
        float low, high;
        range_of(x, length, &low, &high);
        const float range = into->is_signed ? (-low > high ? -low : high) / 127 : (high - low) / 255;
        const float scale = range > 0 ? range : 1;
        const int zero_point = into->is_signed ? 0 : (int)(-low / scale + 0.5f);
        const quantizer q = {vf32_set1(scale), vf32_set1((float)zero_point), vf32_set1(into->is_signed ? -128 : 0),
                             vf32_set1(into->is_signed ? 127 : 255)};
        into->scale[r] = scale;
        into->zero_point[r] = (uint8_t)zero_point;
        int64_t i = 0;
        for (; i + vf32_width <= length; i += vf32_width) {
            v8_store(y + i, quantize(&q, vf32_load(x + i)));
        }
        v8_store_part(y + i, quantize(&q, vf32_load_part(x + i, (int)(length - i))), (int)(length - i));
    }
}

#define TABLE_(isa) bench_passes_##isa
#define TABLE(isa) TABLE_(isa)

const bench_isa_passes TABLE(NORMA_ISA_NAME) = {.copy = copy,
                                                .copy_streaming = copy_streaming,
                                                .read = read_all,
                                                .quantize_rows = quantize_rows,
                                                .f32 = &passes_f32,
                                                .f64 = &passes_f64};

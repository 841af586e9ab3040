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

#define TABLE_(isa) bench_passes_##isa
#define TABLE(isa) TABLE_(isa)

const bench_isa_passes TABLE(NORMA_ISA_NAME) = {
    .copy = copy, .copy_streaming = copy_streaming, .read = read_all, .f32 = &passes_f32, .f64 = &passes_f64};

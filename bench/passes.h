/*
 * Loops over memory that do one thing each: what an unfused normalization and the copies are made of. One table per
 * instruction set, from passes.c built with that set's flags.
 */
#ifndef NORMA_BENCH_PASSES_H
#define NORMA_BENCH_PASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

/* A block of a matrix: rows lie `stride` elements apart, the columns of a row side by side. */
typedef struct bench_block {
    int64_t rows;
    int64_t columns;
    int64_t stride;
} bench_block;

/* For one element type; all pointers are to it. */
typedef struct bench_passes {
    /* y[r][i] *= scale[i] and y[r][i] += shift[i] over dense rows. */
    void (*scale_rows)(void *y, const void *scale, int64_t rows, int64_t length);
    void (*shift_rows)(void *y, const void *shift, int64_t rows, int64_t length);
    /* The mean of each column and the sum of its squared deviations, in one pass. */
    void (*column_moments)(const void *x, bench_block block, void *mean, void *squares);
    /* y[r][i] = (x[r][i] - mean[i]) * factor[i]. */
    void (*normalize_columns)(const void *x, void *y, bench_block block, const void *mean, const void *factor);
    /* y[r][i] *= scale[r] and y[r][i] += shift[r]. */
    void (*scale_columns)(void *y, bench_block block, const void *scale);
    void (*shift_columns)(void *y, bench_block block, const void *shift);
} bench_passes;

/* Rows of integers (signed or not), with a scale and a zero point each: see NORMA_QUANTIZATION_PER_ROW. */
typedef struct bench_integers {
    void *y;
    float *scale;
    uint8_t *zero_point;
    bool is_signed;
} bench_integers;

typedef struct bench_isa_passes {
    const bench_passes *f32, *f64;
    /* `bytes` is a multiple of 64 but for the end of a tensor; x and y lie on 64-byte boundaries. */
    void (*copy)(void *y, const void *x, size_t bytes);
    void (*copy_streaming)(void *y, const void *x, size_t bytes);
    void (*quantize_rows)(const bench_integers *into, const float *x, int64_t rows, int64_t length);
    /* Reads it all, to the whole kilobyte, and returns what only depends on it. */
    float (*read)(const void *x, size_t bytes);
} bench_isa_passes;

extern const bench_isa_passes bench_passes_generic, bench_passes_avx2, bench_passes_avx512, bench_passes_neon;

/* NULL when this build has none. */
const bench_isa_passes *bench_passes_for(norma_isa isa);

#endif

/*
 * Writing rows: y from x once the statistics are known.
 */
#ifndef NORMA_WRITE_H
#define NORMA_WRITE_H

#include "template/epilogue.h"

/* What one vector goes through, chosen by constants. Squares and magnitudes have no center. */
typedef struct write_step {
    norma_statistic statistic;
    bool affine;         /* a scale and, where statistics are centered, a shift for each element */
    bool one_plus_scale; /* with affine */
    bool round;          /* with affine: to the type of y before the scale */
    bool own_shift;      /* one scale and one shift for the whole row, instead of the three above */
    bool channels;       /* with own_shift: for each of the row's channels */
    bool stream;
    bool fetch;   /* prefetch x some way ahead */
    int lockstep; /* rows at a time: a vector of scale and shift, once loaded, serves them all */
    epilogue_kind epilogue;
} write_step;

/* norma_affine in the type of x: y = ((x - center) - low) * factor. The mean is the sum of two reals, so that x - center is
 * exact near it however far from zero it lies. (Two subtractions and a product rather than a subtraction and an fma: the
 * units that add are idle here, and a core may not issue an fma while it stores a whole cache line.) */
typedef struct row_affine {
    real center;
    real low;
    real factor;
    real scale; /* with own_shift, as is the next */
    real shift;
    double exact_factor;
} row_affine;

/* Rows to write; scale and shift start at the same element as x and y, unless rows have channels. */
typedef struct out_rows {
    const element *x;
    void *y; /* elements but with any epilogue, which may have another type */
    int64_t x_stride;
    int64_t y_stride;
    parameters scale;
    parameters shift;
    int64_t ahead;                  /* elements: x is prefetched this far ahead */
    const norma_epilogue *epilogue; /* this and all down to extremes where the step has any */
    norma_companions companions;    /* of row 0 */
    int64_t companion_stride;
    int64_t modulation_stride;
    int64_t modulation_rows;
    int64_t row;
    bool scale_wide; /* of companions, and of the modulator */
    bool own_shift;  /* as in write_step, decided at run time, as are the next three */
    bool round;
    bool one_plus_scale;
    bool stream;
    real *extremes;   /* see epilogue_line */
    int64_t channel;  /* of the first element, counted on over all rows; this and the next three where the step has channels */
    int64_t channels; /* after the last comes the first */
    int64_t per_channel;              /* elements */
    const norma_modulator *modulator; /* or NULL */
} out_rows;

INLINE element *elements_of(const out_rows *rows)
{
    return rows->y;
}

typedef struct row_vectors {
    vec center;
    vec low;
    vec factor;
    vec scale;
    vec shift;
} row_vectors;

/* The affine with a scale and a shift of the row's, or of a channel in it. The product of factor and scale is rounded once. */
INLINE row_affine row_affine_with(row_affine row, double scale, double shift)
{
    const bool fits = real_product_fits(row.exact_factor, scale);
    row.factor = fits ? (real)real_product(row.exact_factor, scale) : real_factor(row.exact_factor);
    row.scale = fits ? 1 : (real)scale;
    row.shift = (real)shift;
    return row;
}

INLINE row_affine row_affine_of(const norma_affine *affine)
{
    const real center = (real)affine->mean;
    const row_affine row = {center, (real)(affine->mean - (double)center), real_factor(affine->factor), 1, 0, affine->factor};
    return affine->own_shift ? row_affine_with(row, affine->scale, affine->shift) : row;
}

/* The affine of a channel; `counted` goes on over all samples. */
INLINE row_affine row_affine_of_channel(const out_rows *rows, const row_affine *affine, int64_t channel, int64_t counted)
{
    double scale = (double)parameter_at(&rows->scale, channel), shift = (double)parameter_at(&rows->shift, channel);
    if (rows->modulator) {
        modulate(rows->modulator, rows->scale_wide, counted, &scale, &shift);
    }
    return row_affine_with(*affine, scale, shift);
}

INLINE row_vectors row_vectors_of(const row_affine *affine)
{
    const row_vectors row = {V(set1)(affine->center), V(set1)(affine->low), V(set1)(affine->factor), V(set1)(affine->scale),
                             V(set1)(affine->shift)};
    return row;
}

/* The rows that follow the first `count`, as far as they lie alike. */
INLINE void rows_advance(write_step step, out_rows *rows, int64_t count)
{
    const bool any = step.epilogue == EPILOGUE_ANY;
    rows->x += count * rows->x_stride;
    rows->y =
        (char *)rows->y + count * rows->y_stride * (int64_t)(any ? norma_dtype_size(rows->epilogue->y_dtype) : sizeof(element));
    if (any) {
        rows->row += count;
    }
}

INLINE vec write_vector(write_step step, const row_vectors *row, vec x, vec scale, vec shift)
{
    if (step.statistic == NORMA_MOMENTS) {
        x = V(sub)(V(sub)(x, row->center), row->low);
    }
    const vec y = V(mul)(x, row->factor);
    if (step.own_shift) {
        return V(fma)(y, row->scale, row->shift);
    }
    if (!step.affine) {
        return y;
    }
    return step.statistic == NORMA_MOMENTS ? V(fma)(y, scale, shift) : V(mul)(step.round ? round_to_element(y) : y, scale);
}

/* What a step adds to what a vector goes through, in the loops that do not take just any epilogue. */
INLINE vec write_clamped(write_step step, const out_rows *rows, vec y)
{
    if (step.epilogue != EPILOGUE_CLAMP) {
        return y;
    }
    return epilogue_clamp(y, V(set1)(epilogue_bound(rows->epilogue->alpha)), V(set1)(epilogue_bound(rows->epilogue->beta)));
}

INLINE vec load_scale(write_step step, const out_rows *rows, int64_t i, int k, int lanes)
{
    if (!step.affine) {
        return V(zero)();
    }
    const vec scale = load_parameters(&rows->scale, i, k, lanes);
    return step.one_plus_scale ? V(add)(scale, V(set1)(1)) : scale;
}

INLINE vec load_shift(write_step step, const out_rows *rows, int64_t i, int k, int lanes)
{
    return step.affine && step.statistic == NORMA_MOMENTS ? load_parameters(&rows->shift, i, k, lanes) : V(zero)();
}

/* `count` (a constant) whole vectors from element i. */
INLINE void write_vectors(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int count)
{
    UNROLL
    for (int k = 0; k < count; k++) {
        const int64_t at = i + k * NORMA_WIDTH;
        const vec scale = load_scale(step, rows, i, k, NORMA_WIDTH), shift = load_shift(step, rows, i, k, NORMA_WIDTH);
        UNROLL
        for (int r = 0; r < step.lockstep; r++) {
            const element *x = rows->x + r * rows->x_stride + at;
            element *y = elements_of(rows) + r * rows->y_stride + at;
            if (step.fetch && k % NORMA_LINE_VECTORS == 0) {
                /* At the pace of lockstep through the rows that follow, which a dense tensor has next to each other. */
                const element *next = rows->x + rows->ahead + step.lockstep * at + r * NORMA_LINE_VECTORS * NORMA_WIDTH;
                if (step.stream) {
                    simd_prefetch_once(next);
                } else {
                    simd_prefetch(next);
                }
            }
            const vec v = write_clamped(step, rows, write_vector(step, &row[r], M(load)(x), scale, shift));
            if (step.stream) {
                M(stream)(y, v);
            } else {
                M(store)(y, v);
            }
        }
    }
}

/* `count` elements, at most a vector, from element i. */
INLINE void write_part(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int count)
{
    const vec scale = load_scale(step, rows, i, 0, count), shift = load_shift(step, rows, i, 0, count);
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        const vec x = M(load_part)(rows->x + r * rows->x_stride + i, count);
        M(store_part)
        (elements_of(rows) + r * rows->y_stride + i, write_clamped(step, rows, write_vector(step, &row[r], x, scale, shift)),
         count);
    }
}

/* Streaming stores want y aligned to the vector: so many of `count` elements of a size lie before that. */
INLINE int64_t head_of(bool stream, uintptr_t y, int64_t size, int64_t count)
{
    const int64_t head = stream ? (int64_t)(-y % (uintptr_t)(NORMA_WIDTH * size)) / size : 0;
    return head < count ? head : count;
}

/* Writes those. Returns where to go on. */
INLINE int64_t write_head(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int64_t end)
{
    const int64_t count = head_of(step.stream, (uintptr_t)(elements_of(rows) + i), sizeof(element), end - i);
    if (count) {
        write_part(step, rows, row, i, (int)count);
    }
    return i + count;
}

/* Elements [i, end), fewer than are worth unrolling for. */
INLINE void write_rest(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int64_t end)
{
    NO_UNROLL
    for (; i + NORMA_WIDTH <= end; i += NORMA_WIDTH) {
        write_vectors(step, rows, row, i, 1);
    }
    if (i < end) {
        write_part(step, rows, row, i, (int)(end - i));
    }
}

/* The affine of any step, in the same bits: what a step leaves out is here a 0 subtracted, a 1 multiplied, a -0 added. */
INLINE vec write_any_vector(const out_rows *rows, const row_vectors *row, int64_t i, int k, int lanes)
{
    const vec x = load_lanes(rows->x + i + k * NORMA_WIDTH, lanes);
    vec y = V(mul)(V(sub)(V(sub)(x, row->center), row->low), row->factor);
    if (rows->own_shift) {
        return V(fma)(y, row->scale, row->shift);
    }
    vec scale = load_parameters(&rows->scale, i, k, lanes);
    scale = rows->one_plus_scale ? V(add)(scale, V(set1)(1)) : scale;
    y = rows->round ? round_to_element(y) : y;
    return V(fma)(y, scale, load_parameters(&rows->shift, i, k, lanes));
}

/* Elements [i, end) of a row, whole pairs of vectors of them as such. */
INLINE void write_any_range(const out_rows *rows, const epilogue_line *line, const row_vectors *row, int64_t i, int64_t end)
{
    NO_UNROLL
    for (; i + EPILOGUE_VECTORS * NORMA_WIDTH <= end; i += EPILOGUE_VECTORS * NORMA_WIDTH) {
        vec v[EPILOGUE_VECTORS];
        UNROLL
        for (int k = 0; k < EPILOGUE_VECTORS; k++) {
            v[k] = write_any_vector(rows, row, i, k, NORMA_WIDTH);
        }
        UNROLL
        for (int k = 0; k < EPILOGUE_VECTORS; k += NORMA_LINE_VECTORS) {
            simd_prefetch(rows->x + i + k * NORMA_WIDTH + rows->ahead);
        }
        epilogue_pair(line, v, i);
    }
    NO_UNROLL
    for (; i < end; i += NORMA_WIDTH) {
        const int lanes = end - i < NORMA_WIDTH ? (int)(end - i) : NORMA_WIDTH;
        epilogue_last(line, write_any_vector(rows, row, i, 0, lanes), i, lanes);
    }
}

/* The line of a row's companions and y. */
INLINE epilogue_line line_of_row(const out_rows *rows)
{
    const norma_epilogue *e = rows->epilogue;
    epilogue_line line = epilogue_line_of(e, &rows->companions, rows->scale_wide, 0);
    const int64_t modulated = rows->row / rows->modulation_rows * rows->modulation_stride;
    line.modulation_scale = parameters_from(line.modulation_scale, modulated);
    line.modulation_shift = parameters_from(line.modulation_shift, modulated);
    line.residual = companion_from(line.residual, e->residual_dtype, rows->row * rows->companion_stride);
    line.gate = companion_from(line.gate, e->gating.dtype, rows->row * rows->companion_stride);
    line.y_scale_along = e->quantization == NORMA_QUANTIZATION_PER_CHANNEL && !rows->own_shift;
    line.y = rows->y;
    line.stream = rows->stream;
    line.extremes = rows->extremes;
    return line;
}

/* Elements [i, end) of a row, whatever its step and epilogue. One copy serves all. */
NOINLINE void write_any(const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    const row_vectors row = row_vectors_of(affine);
    const epilogue_line line = line_of_row(rows);
    const int64_t size = (int64_t)norma_dtype_size(rows->epilogue->y_dtype);
    const int64_t head = head_of(rows->stream, (uintptr_t)rows->y + (uintptr_t)(i * size), size, end - i);
    int64_t stop = head ? i + head : end;
    NO_UNROLL
    for (; i < end; i = stop, stop = end) {
        write_any_range(rows, &line, &row, i, stop);
    }
}

/* Elements [i, end) of step.lockstep rows that have one affine from end to end. */
INLINE void write_plain(write_step step, const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    enum { AT_ONCE = NORMA_PARTS < 4 ? 4 : NORMA_PARTS };
    if (step.epilogue == EPILOGUE_ANY) {
        out_rows one = *rows;
        for (int r = 0; r < step.lockstep; r++) {
            write_any(&one, &affine[r], i, end);
            rows_advance(step, &one, 1);
        }
        return;
    }
    row_vectors row[LOCKSTEP_MAX];
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        row[r] = row_vectors_of(&affine[r]);
    }
    i = write_head(step, rows, row, i, end);
    NO_UNROLL
    for (; i + AT_ONCE / step.lockstep * NORMA_WIDTH <= end; i += AT_ONCE / step.lockstep * NORMA_WIDTH) {
        write_vectors(step, rows, row, i, AT_ONCE / step.lockstep);
    }
    write_rest(step, rows, row, i, end);
}

/* Elements [i, end) of step.lockstep rows, or of one that has channels; they begin and end with one. */
INLINE void write_rows(write_step step, const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    if (!step.channels) {
        write_plain(step, rows, affine, i, end);
        return;
    }
    const int64_t each = rows->per_channel;
    int64_t counted = rows->channel + i / each, channel = counted % rows->channels;
    NO_UNROLL
    for (; i < end; i += each, counted++) {
        const row_affine with = row_affine_of_channel(rows, affine, channel, counted);
        if (step.epilogue == EPILOGUE_ANY && rows->epilogue->quantization == NORMA_QUANTIZATION_PER_CHANNEL) {
            out_rows quantized = *rows;
            quantized.companions.y_scale += channel;
            write_plain(step, &quantized, &with, i, i + each);
        } else {
            write_plain(step, rows, &with, i, i + each);
        }
        channel = channel + 1 < rows->channels ? channel + 1 : 0;
    }
}

#endif

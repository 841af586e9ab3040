/*
 * Writing rows: y from x once the statistics are known.
 *
 * A writer is a cursor over a group of rows, so that a group can be written a few vectors at a time beside the reduction of
 * the next (template/reduce.h): a core overlaps the two only when their instructions stand next to each other.
 */
#ifndef NORMA_WRITE_H
#define NORMA_WRITE_H

#include "template/vector.h"

enum {
    LOCKSTEP_MAX = 2,
    WRITE_VECTORS = 4 /* written at a time */
};

/* What one vector goes through, chosen by constants. Squares and magnitudes have no center. */
typedef struct write_step {
    norma_statistic statistic;
    bool has_scale;
    bool has_shift;
    bool one_plus_scale;
    int lockstep; /* rows at a time: a vector of scale and shift, once loaded, serves them all */
} write_step;

/* norma_affine in the type of x: y = (x - center) * factor + low. The mean is the sum of two reals, so that x - center is
 * exact near it however far from zero it lies, and the rest of it takes part in the product's one rounding. */
typedef struct row_affine {
    real center;
    real factor;
    real low;
} row_affine;

typedef struct writer {
    write_step step;
    const real *x;
    real *y;
    int64_t x_stride;
    int64_t y_stride;
    const real *scale;
    const real *shift;
    const row_affine *affine;
    int64_t length;
    int64_t strip;
    int rows;
    bool stream;
    /* the cursor: rows [row, row + lockstep), elements [at, end) of the strip that begins at `begin` */
    int row;
    int64_t begin;
    int64_t end;
    int64_t at;
    vec center[LOCKSTEP_MAX];
    vec factor[LOCKSTEP_MAX];
    vec low[LOCKSTEP_MAX];
} writer;

INLINE row_affine row_affine_of(const norma_affine *affine)
{
    const real center = (real)affine->mean;
    const real factor = (real)affine->factor;
    const row_affine row = {center, factor, -(real)(affine->mean - (double)center) * factor};
    return row;
}

INLINE vec write_vector(const writer *w, int r, vec x, vec scale, vec shift)
{
    const write_step step = w->step;
    vec y = step.statistic == NORMA_MOMENTS ? V(fma)(V(sub)(x, w->center[r]), w->factor[r], w->low[r])
                                            : V(mul)(x, w->factor[r]);
    if (step.has_scale && step.has_shift) {
        y = V(fma)(y, scale, shift);
    } else if (step.has_scale) {
        y = V(mul)(y, scale);
    } else if (step.has_shift) {
        y = V(add)(y, shift);
    }
    return y;
}

INLINE vec write_scale(write_step step, vec scale)
{
    return step.one_plus_scale ? V(add)(scale, V(set1)(1)) : scale;
}

/* `count` (a constant) whole vectors. */
INLINE void write_vectors(writer *w, int count)
{
    const write_step step = w->step;
    const real *x = w->x + w->row * w->x_stride + w->at;
    real *y = w->y + w->row * w->y_stride + w->at;
    vec v[LOCKSTEP_MAX][WRITE_VECTORS];
    UNROLL
    for (int k = 0; k < count; k++) {
        const vec scale = step.has_scale ? write_scale(step, V(load)(w->scale + w->at + k * NORMA_WIDTH)) : V(zero)();
        const vec shift = step.has_shift ? V(load)(w->shift + w->at + k * NORMA_WIDTH) : V(zero)();
        UNROLL
        for (int r = 0; r < step.lockstep; r++) {
            v[r][k] = write_vector(w, r, V(load)(x + r * w->x_stride + k * NORMA_WIDTH), scale, shift);
        }
    }
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        if (w->stream) {
            UNROLL
            for (int k = 0; k < count; k++) {
                V(stream)(y + r * w->y_stride + k * NORMA_WIDTH, v[r][k]);
            }
        } else {
            UNROLL
            for (int k = 0; k < count; k++) {
                V(store)(y + r * w->y_stride + k * NORMA_WIDTH, v[r][k]);
            }
        }
    }
    w->at += count * NORMA_WIDTH;
}

/* `count` elements, at most a vector. */
INLINE void write_part(writer *w, int count)
{
    const write_step step = w->step;
    const int64_t i = w->at;
    const vec scale = step.has_scale ? write_scale(step, V(load_part)(w->scale + i, count)) : V(zero)();
    const vec shift = step.has_shift ? V(load_part)(w->shift + i, count) : V(zero)();
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        const vec x = V(load_part)(w->x + (w->row + r) * w->x_stride + i, count);
        V(store_part)(w->y + (w->row + r) * w->y_stride + i, write_vector(w, r, x, scale, shift), count);
    }
    w->at += count;
}

/* Puts the cursor on the rows from w->row, at the strip's begin. Streaming stores want y aligned to the vector (which the
 * caller has seen to for all rows but the first): what lies before that is written at once. */
INLINE void writer_enter(writer *w)
{
    UNROLL
    for (int r = 0; r < w->step.lockstep; r++) {
        const row_affine row = w->affine[w->row + r];
        w->center[r] = V(set1)(row.center);
        w->factor[r] = V(set1)(row.factor);
        w->low[r] = V(set1)(row.low);
    }
    w->at = w->begin;
    if (w->stream) {
        const real *y = w->y + w->row * w->y_stride + w->begin;
        const int64_t head = (int64_t)(-(uintptr_t)y % sizeof(vec) / sizeof(real));
        const int64_t left = w->end - w->begin;
        if (head) {
            write_part(w, (int)(head < left ? head : left));
        }
    }
}

INLINE void writer_start(writer *w)
{
    w->row = 0;
    w->begin = 0;
    w->end = w->strip < w->length ? w->strip : w->length;
    writer_enter(w);
}

/* Writes what is left of this strip of these rows and moves on; false after the last. */
INLINE bool writer_next(writer *w)
{
    while (w->at + NORMA_WIDTH <= w->end) {
        write_vectors(w, 1);
    }
    if (w->at < w->end) {
        write_part(w, (int)(w->end - w->at));
    }
    if (w->row + w->step.lockstep < w->rows) {
        w->row += w->step.lockstep;
    } else if (w->end < w->length) {
        w->row = 0;
        w->begin = w->end;
        w->end = w->length - w->end < w->strip ? w->length : w->end + w->strip;
    } else {
        return false;
    }
    writer_enter(w);
    return true;
}

/* About WRITE_VECTORS vectors more; w may be NULL. */
INLINE void writer_advance(writer *w)
{
    if (w && RARELY(w->at + WRITE_VECTORS * NORMA_WIDTH > w->end)) {
        writer_next(w);
    }
    if (w && w->at + WRITE_VECTORS * NORMA_WIDTH <= w->end) {
        write_vectors(w, WRITE_VECTORS);
    }
}

/* All that is left. */
INLINE void writer_finish(writer *w)
{
    do {
        while (w->at + WRITE_VECTORS * NORMA_WIDTH <= w->end) {
            write_vectors(w, WRITE_VECTORS);
        }
    } while (writer_next(w));
}

#endif

/*
 * Rows whose scale and shift lie along them: layer, RMS and L2 norm.
 *
 * One pass over memory: some rows, few enough to stay in L2, are summed up one after the other; then, a few vectors of columns
 * at a time, all of them are written, and their shares of dscale and dshift added up in registers on the way. Of each column
 * the rows of a leaf are one chain in row order, however many go together; leaves are added in double.
 */
#ifndef NORMA_BACKWARD_ROWS_H
#define NORMA_BACKWARD_ROWS_H

#include "template/gradient.h"

enum { ROW_VECTORS = NORMA_REGISTERS / 8 }; /* columns side by side whose sums are in registers */

/* A row at work. */
typedef struct gradient_row {
    source from;
    element *dx;
    real center;
    real rate;
    real lag;
    real of_g;
    real of_x;
    real rest;
} gradient_row;

/* What is done with the rows of a leaf, or of a part of it. */
typedef struct gradient_rows {
    gradient_row row[NORMA_BACKWARD_LEAF];
    int count;
    parameters scale;
    real *dscale; /* of the leaf so far, or NULL */
    real *dshift;
    bool opens; /* the first rows of the leaf */
    bool stream;
    int64_t fetch; /* elements of x that are prefetched ahead, and of dy; 0: none */
    int64_t fetch_dy;
} gradient_rows;

/* `vectors` (a constant) of columns from column `at`, of the last only `lanes` lanes. */
INLINE void write_gradients(bool masked, const gradient_rows *rows, int64_t at, int vectors, int lanes)
{
    vec scale[ROW_VECTORS], dscale[ROW_VECTORS], dshift[ROW_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        const int64_t i = at + v * NORMA_WIDTH;
        scale[v] = load_parameters(&rows->scale, at, v, lanes);
        dscale[v] = dshift[v] = V(zero)();
        if (!rows->opens && rows->dscale) {
            dscale[v] = lanes < NORMA_WIDTH ? V(load_part)(rows->dscale + i, lanes) : V(load)(rows->dscale + i);
            dshift[v] = lanes < NORMA_WIDTH ? V(load_part)(rows->dshift + i, lanes) : V(load)(rows->dshift + i);
        }
    }
    NO_UNROLL
    for (int r = 0; r < rows->count; r++) {
        const gradient_row *row = &rows->row[r];
        const vec center = V(set1)(row->center), rate = V(set1)(row->rate), lag = V(set1)(-row->lag);
        const vec of_g = V(set1)(row->of_g), of_x = V(set1)(row->of_x), rest = V(set1)(row->rest);
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = at + v * NORMA_WIDTH;
            if (rows->fetch && lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                simd_prefetch(row->from.x + rows->fetch + i);
                simd_prefetch(row->from.dy + rows->fetch_dy + i);
            }
            const vec dy = load_dy(masked, &row->from, i, lanes);
            const vec xn = V(fma)(V(sub)(load_lanes(row->from.x + i, lanes), center), rate, lag);
            dscale[v] = V(fma)(dy, xn, dscale[v]);
            dshift[v] = V(add)(dshift[v], dy);
            if (row->dx) {
                vec dx = V(fma)(V(mul)(dy, scale[v]), of_g, V(fma)(xn, of_x, rest));
                if (row->from.dsum) {
                    dx = V(add)(dx, load_lanes(row->from.dsum + i, lanes));
                }
                store_dx(row->dx + i, dx, lanes, rows->stream);
            }
        }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        const int64_t i = at + v * NORMA_WIDTH;
        if (rows->dscale && lanes < NORMA_WIDTH) {
            V(store_part)(rows->dscale + i, dscale[v], lanes);
            V(store_part)(rows->dshift + i, dshift[v], lanes);
        } else if (rows->dscale) {
            V(store)(rows->dscale + i, dscale[v]);
            V(store)(rows->dshift + i, dshift[v]);
        }
    }
}

INLINE void write_gradient_rows(bool masked, const gradient_rows *rows, int64_t length)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + ROW_VECTORS * NORMA_WIDTH <= length; at += ROW_VECTORS * NORMA_WIDTH) {
        write_gradients(masked, rows, at, ROW_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < length; at += NORMA_WIDTH) {
        write_gradients(masked, rows, at, 1, length - at < NORMA_WIDTH ? (int)(length - at) : NORMA_WIDTH);
    }
}

/* Adds a leaf's sums to those in double. */
INLINE void add_leaf(const real *leaf, double *sum, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        sum[i] += (double)leaf[i];
    }
}

INLINE void run_rows(sum_step step, const norma_backward_rows_job *job, int64_t first, int64_t last, const norma_set *sets,
                     bool closes)
{
    assert(last - first <= NORMA_BACKWARD_LEAF);
    gradient_rows rows;
    rows.count = (int)(last - first);
    rows.scale = parameters_of(job->scale, job->wide, ones);
    rows.dscale = job->leaf;
    rows.dshift = job->leaf ? (real *)job->leaf + job->length : NULL;
    rows.opens = first % NORMA_BACKWARD_LEAF == 0;
    rows.fetch = job->fetch ? rows.count * job->x_stride : 0;
    rows.fetch_dy = rows.count * job->y_stride;
    rows.stream = job->stream && job->at.dx && streams_to(dx_at(&job->at, first * job->x_stride), job->x_stride);
    for (int r = 0; r < rows.count; r++) {
        gradient_row *row = &rows.row[r];
        row->from = source_at(&job->at, (first + r) * job->x_stride, (first + r) * job->y_stride, (first + r) * job->dense);
        row->dx = dx_at(&job->at, (first + r) * job->x_stride);
        const lane_set set = lane_set_of(&sets[r]);
        const norma_sums sums = sum_run(step, &row->from, &rows.scale, job->length, set);
        const norma_terms terms = norma_terms_of(job->normalizer, &sets[r], &sums, (double)job->length, false);
        row->center = set.center;
        row->rate = set.rate;
        row->lag = (real)terms.lag;
        row->of_g = real_term(terms.of_g);
        row->of_x = real_term(terms.of_x);
        row->rest = real_term(terms.rest);
    }
    write_gradient_rows(step.masked, &rows, job->length);
    if (closes && job->leaf) {
        add_leaf(rows.dscale, job->dscale, job->length);
        add_leaf(rows.dshift, job->dshift, job->length);
    }
}

#define DEFINE_ROWS(name, centered, masked)                                                                                    \
    NOINLINE void name(const norma_backward_rows_job *job, int64_t first, int64_t last, const norma_set *sets, bool closes)    \
    {                                                                                                                          \
        const sum_step step = {true, centered, masked};                                                                        \
        run_rows(step, job, first, last, sets, closes);                                                                        \
    }

DEFINE_ROWS(rows_centered, true, false)
DEFINE_ROWS(rows_centered_masked, true, true)
DEFINE_ROWS(rows_root, false, false)
DEFINE_ROWS(rows_root_masked, false, true)

static void backward_rows(const norma_backward_rows_job *job, int64_t first, int64_t last, const norma_set *sets, bool closes)
{
    const bool centered = job->normalizer->statistic == NORMA_MOMENTS, masked = is_masked(&job->at);
    (centered ? masked ? rows_centered_masked : rows_centered
     : masked ? rows_root_masked
              : rows_root)(job, first, last, sets, closes);
}

#endif

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
    int64_t fetch; /* elements of x that are prefetched ahead, and of dy */
    int64_t fetch_dy;
} gradient_rows;

/* `vectors` (a constant) of columns from column `at`, of the last only `lanes` lanes. */
INLINE void write_gradients(gradient_step step, bool wanted, const gradient_rows *rows, int64_t at, int vectors, int lanes)
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
    const gradient_row *row = rows->row, *last = row + rows->count;
    const int64_t fetch = rows->fetch, fetch_dy = rows->fetch_dy;
    NO_UNROLL
    for (; row < last; row++) {
        source from = row->from; /* in registers: what is stored may be anywhere, as far as the compiler knows */
        element *to = wanted ? row->dx + at : NULL;
        from.x += at;
        from.dy += at;
        const vec center = V(set1)(row->center), rate = V(set1)(row->rate), lag = V(set1)(-row->lag);
        const vec of_g = V(set1)(row->of_g), of_x = V(set1)(row->of_x), rest = V(set1)(row->rest);
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = v * NORMA_WIDTH;
            if (lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                prefetch_far(from.x + fetch + i);
                prefetch_far(from.dy + fetch_dy + i);
            }
            vec dy = load_lanes(from.dy + i, lanes);
            HOLD(dy);
            if (step.masked) {
                dy = masked_dy(&from, at + i, dy, lanes);
            }
            const vec xn = V(fma)(V(sub)(load_lanes(from.x + i, lanes), center), rate, lag);
            dscale[v] = V(fma)(dy, xn, dscale[v]);
            dshift[v] = V(add)(dshift[v], dy);
            if (wanted) {
                vec dx = V(fma)(V(mul)(dy, scale[v]), of_g, V(fma)(xn, of_x, rest));
                if (step.joined) {
                    dx = V(add)(dx, load_lanes(from.dsum + at + i, lanes));
                }
                store_dx(to + i, dx, lanes, step.stream);
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

INLINE void write_gradient_columns(gradient_step step, bool wanted, const gradient_rows *rows, int64_t length)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + ROW_VECTORS * NORMA_WIDTH <= length; at += ROW_VECTORS * NORMA_WIDTH) {
        write_gradients(step, wanted, rows, at, ROW_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < length; at += NORMA_WIDTH) {
        write_gradients(step, wanted, rows, at, 1, length - at < NORMA_WIDTH ? (int)(length - at) : NORMA_WIDTH);
    }
}

INLINE void write_gradient_rows(bool masked, const gradient_rows *rows, int64_t length)
{
    const bool joined = rows->row[0].from.dsum != NULL;
    const gradient_step plain = {masked, false, false}, streamed = {masked, false, true}, sum = {masked, true, rows->stream};
    if (!rows->row[0].dx) {
        write_gradient_columns(plain, false, rows, length);
    } else if (joined) {
        write_gradient_columns(sum, true, rows, length);
    } else if (rows->stream) {
        write_gradient_columns(streamed, true, rows, length);
    } else {
        write_gradient_columns(plain, true, rows, length);
    }
}

/* Adds a leaf's sums to those in double. */
INLINE void add_leaf(const real *leaf, double *sum, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        sum[i] += (double)leaf[i];
    }
}

/* The sums of each row. A row's end is a long chain of dependent steps: those of all rows go side by side. */
INLINE void sum_rows(sum_step step, const gradient_rows *rows, const lane_set *sets, int64_t length, norma_sums *sums)
{
    gradient_lanes lanes[NORMA_BACKWARD_LEAF];
    if (length > NORMA_RUN_LEAF) {
        for (int r = 0; r < rows->count; r++) {
            sums[r] = sum_run(step, &rows->row[r].from, &rows->scale, length, sets[r]);
        }
        return;
    }
    NO_UNROLL
    for (int r = 0; r < rows->count; r++) {
        sum_leaf_lanes(step, &lanes[r], &rows->row[r].from, &rows->scale, 0, length, sets[r]);
    }
    NO_UNROLL
    for (int r = 0; r < rows->count; r++) {
        sums[r] = join_leaf_lanes(step, &lanes[r]);
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
    rows.fetch = rows.count * job->x_stride;
    rows.fetch_dy = rows.count * job->y_stride;
    rows.stream = job->stream && job->at.dx && streams_to(dx_at(&job->at, first * job->x_stride), job->x_stride);
    lane_set lanes_of[NORMA_BACKWARD_LEAF];
    norma_sums sums[NORMA_BACKWARD_LEAF];
    for (int r = 0; r < rows.count; r++) {
        gradient_row *row = &rows.row[r];
        row->from = source_at(&job->at, (first + r) * job->x_stride, (first + r) * job->y_stride, (first + r) * job->dense);
        row->dx = dx_at(&job->at, (first + r) * job->x_stride);
        lanes_of[r] = lane_set_of(&sets[r]);
    }
    sum_rows(step, &rows, lanes_of, job->length, sums);
    for (int r = 0; r < rows.count; r++) {
        gradient_row *row = &rows.row[r];
        const norma_terms terms = norma_terms_of(job->normalizer, &sets[r], &sums[r], (double)job->length, false);
        row->center = lanes_of[r].center;
        row->rate = lanes_of[r].rate;
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

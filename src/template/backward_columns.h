/*
 * Matrices whose columns are sets, or parts of one: batch, instance and group norm in NHWC and in blocked layouts, L2 norm
 * along an inner axis and, with a scale for each row, channel norm in NCHW.
 *
 * The sums of a column follow the tree of template/strip.h: leaves of NORMA_FIBER_LEAF rows, chunks of ROWS rows in a leaf, row
 * k of a chunk in chain k mod COLUMN_CHAINS; a leaf's chunks are added in lanes, leaves in order in double, then a column's
 * folds.
 */
#ifndef NORMA_BACKWARD_COLUMNS_H
#define NORMA_BACKWARD_COLUMNS_H

#include "template/gradient.h"

enum {
    ROWS = 16,
    COLUMN_VECTORS = NORMA_REGISTERS / 8, /* columns side by side whose terms are in registers */
    NARROW_ROWS = 32,                     /* written at a time of a matrix no wider than that */
    WIDE_ROWS = 8                         /* of others */
};

/* A strip of columns that is summed up. */
typedef struct gradient_strip {
    const norma_backward_columns_job *job;
    int64_t first;
    int64_t own;     /* columns */
    int64_t columns; /* of the matrix: each as often as it is folded */
    _Alignas(64) real center[NORMA_STRIP_MAX];
    _Alignas(64) real rate[NORMA_STRIP_MAX];
    _Alignas(64) real leaf[3][NORMA_STRIP_MAX]; /* sums of the leaf: g, g * xn, xn */
    double sum[3][NORMA_STRIP_MAX];
} gradient_strip;

/* Some rows of one leaf. */
typedef struct gradient_chunk {
    source row[ROWS];
    real scale[ROWS];
    int rows;
    bool opens; /* the leaf */
} gradient_chunk;

/* Elements of the matrix before row `row`. */
INLINE int64_t offset_of_row(const norma_backward_columns_job *job, int64_t row)
{
    int64_t offset = 0;
    for (int k = job->axes_count - 1; k >= 0; k--) {
        const int64_t step = k ? row % job->axes[k].extent : row;
        row = k ? row / job->axes[k].extent : 0;
        offset += step * job->axes[k].x_stride;
    }
    return offset;
}

/* `vectors` (a constant) of columns over the chunk. */
INLINE void sum_vectors(sum_step step, gradient_strip *s, const gradient_chunk *chunk, int64_t at, int vectors, int lanes)
{
    const int64_t ahead = s->job->ahead;
    vec center[COLUMN_VECTORS], rate[COLUMN_VECTORS], sum[3][COLUMN_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        center[v] = V(load)(s->center + at + v * NORMA_WIDTH);
        rate[v] = V(load)(s->rate + at + v * NORMA_WIDTH);
        sum[0][v] = sum[1][v] = sum[2][v] = V(zero)();
    }
    NO_UNROLL
    for (int k = 0; k < chunk->rows; k++) {
        const source *row = &chunk->row[k];
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = at + v * NORMA_WIDTH;
            if (ahead && lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                simd_prefetch(row->x + i + ahead);
                simd_prefetch(row->dy + i + ahead);
            }
            const vec dy = load_dy(step.masked, row, i, lanes);
            const vec g = step.scaled ? V(mul)(dy, V(set1)(chunk->scale[k])) : dy;
            const vec xn = V(mul)(V(sub)(load_lanes(row->x + i, lanes), center[v]), rate[v]);
            sum[0][v] = V(add)(sum[0][v], g);
            sum[1][v] = V(fma)(g, xn, sum[1][v]);
            sum[2][v] = V(add)(sum[2][v], xn);
        }
    }
    UNROLL
    for (int q = 0; q < 3; q++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            real *leaf = s->leaf[q] + at + v * NORMA_WIDTH;
            V(store)(leaf, chunk->opens ? sum[q][v] : V(add)(V(load)(leaf), sum[q][v]));
        }
    }
}

INLINE void sum_chunk(sum_step step, gradient_strip *s, const gradient_chunk *chunk, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + COLUMN_VECTORS * NORMA_WIDTH <= columns; at += COLUMN_VECTORS * NORMA_WIDTH) {
        sum_vectors(step, s, chunk, at, COLUMN_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < columns; at += NORMA_WIDTH) {
        sum_vectors(step, s, chunk, at, 1, columns - at < NORMA_WIDTH ? (int)(columns - at) : NORMA_WIDTH);
    }
}

/* Rows [first, last), one leaf, of the strip's first columns, into the sums. */
INLINE void sum_leaf(sum_step step, gradient_strip *s, int64_t columns, int64_t first, int64_t last)
{
    const norma_backward_columns_job *job = s->job;
    const parameters scale = parameters_of(job->scale, job->wide, ones);
    for (int64_t row = first; row < last; row += ROWS) {
        gradient_chunk chunk = {.rows = last - row < ROWS ? (int)(last - row) : ROWS, .opens = row == first};
        for (int k = 0; k < chunk.rows; k++) {
            const int64_t at = offset_of_row(job, row + k) + s->first;
            chunk.row[k] = source_at(&job->at, at, at, at);
            if (step.scaled) {
                chunk.scale[k] = parameter_at(&scale, row + k);
            }
        }
        sum_chunk(step, s, &chunk, columns);
    }
    for (int q = 0; q < 3; q++) {
        for (int64_t i = 0; i < columns; i++) {
            s->sum[q][i] += (double)s->leaf[q][i];
        }
    }
}

INLINE void sum_columns(sum_step step, const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                        int64_t end, const norma_set *sets, norma_sums *sums)
{
    gradient_strip s;
    s.job = job;
    s.first = first;
    s.own = last - first;
    s.columns = s.own * job->fold;
    assert(s.columns <= NORMA_STRIP_MAX);
    for (int64_t i = 0; i < s.columns; i++) {
        const lane_set set = lane_set_of(&sets[i % s.own]);
        s.center[i] = set.center;
        s.rate[i] = set.rate;
        s.sum[0][i] = s.sum[1][i] = s.sum[2][i] = 0;
    }
    for (int64_t row = begin; row < end; row += NORMA_FIBER_LEAF) {
        sum_leaf(step, &s, s.columns, row, end - row < NORMA_FIBER_LEAF ? end : row + NORMA_FIBER_LEAF);
    }
    if (job->rest && end == job->rows) {
        sum_leaf(step, &s, job->rest, end, end + 1);
    }
    for (int64_t i = 0; i < s.columns; i++) {
        const norma_sums part = {s.sum[0][i], s.sum[1][i], s.sum[2][i]};
        sums[i % s.own] = i < s.own ? part : norma_sums_add(sums[i - s.own * (i / s.own)], part);
    }
}

#define DEFINE_REDUCE(name, scaled)                                                                                            \
    static void name(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,           \
                     const norma_set *sets, norma_sums *sums)                                                                  \
    {                                                                                                                          \
        const sum_step step = {scaled, true, false}, masked_step = {scaled, true, true};                                       \
        if (is_masked(&job->at)) {                                                                                             \
            sum_columns(masked_step, job, first, last, begin, end, sets, sums);                                                \
        } else {                                                                                                               \
            sum_columns(step, job, first, last, begin, end, sets, sums);                                                       \
        }                                                                                                                      \
    }

DEFINE_REDUCE(backward_reduce_columns, false)
DEFINE_REDUCE(backward_reduce_along, true)

/* A strip's terms, each column as often as it is folded. */
typedef struct column_terms {
    const norma_backward_columns_job *job;
    int64_t first;
    int64_t columns;
    bool stream;
    _Alignas(64) real center[NORMA_STRIP_MAX];
    _Alignas(64) real rate[NORMA_STRIP_MAX];
    _Alignas(64) real lag[NORMA_STRIP_MAX];
    _Alignas(64) real of_g[NORMA_STRIP_MAX];
    _Alignas(64) real of_x[NORMA_STRIP_MAX];
    _Alignas(64) real rest[NORMA_STRIP_MAX];
} column_terms;

/* `along`: the lag stays apart, for dscale needs it. */
INLINE void set_column_terms(column_terms *t, const norma_backward_columns_job *job, int64_t first, int64_t last,
                             const norma_terms *terms, bool along)
{
    t->job = job;
    t->first = first;
    t->columns = (last - first) * job->fold;
    for (int64_t i = 0; i < t->columns; i++) {
        const norma_terms *of = &terms[i % (last - first)];
        t->center[i] = (real)of->center;
        t->rate[i] = real_factor(of->rate);
        t->lag[i] = (real)of->lag;
        t->of_g[i] = real_term(of->of_g);
        t->of_x[i] = real_term(of->of_x);
        t->rest[i] = real_term(along ? of->rest : of->rest - of->of_x * of->lag);
    }
    bool aligned = job->stream && streams_to(dx_at(&job->at, first), 0);
    for (int k = 0; k < job->axes_count; k++) {
        aligned = aligned && job->axes[k].x_stride % NORMA_WIDTH == 0;
    }
    t->stream = aligned;
}

/* `vectors` (a constant) of columns from column `at` of the strip, `rows` rows a constant stride apart. */
INLINE void apply_vectors(bool masked, const column_terms *t, int64_t from, int64_t stride, int64_t rows, int64_t at,
                          int vectors, int lanes)
{
    const norma_backward_columns_job *job = t->job;
    vec center[COLUMN_VECTORS], rate[COLUMN_VECTORS], of_g[COLUMN_VECTORS], of_x[COLUMN_VECTORS], rest[COLUMN_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        const int64_t i = at + v * NORMA_WIDTH;
        center[v] = V(load)(t->center + i);
        rate[v] = V(load)(t->rate + i);
        of_g[v] = V(load)(t->of_g + i);
        of_x[v] = V(load)(t->of_x + i);
        rest[v] = V(load)(t->rest + i);
    }
    NO_UNROLL
    for (int64_t k = 0; k < rows; k++) {
        const int64_t row = from + k * stride + at;
        const source s = source_at(&job->at, row, row, row);
        element *dx = (element *)job->at.dx + row;
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = v * NORMA_WIDTH;
            if (job->ahead && lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) { /* rows go backwards */
                simd_prefetch(s.x + i - job->ahead);
                simd_prefetch(s.dy + i - job->ahead);
            }
            const vec xn = V(mul)(V(sub)(load_lanes(s.x + i, lanes), center[v]), rate[v]);
            vec out = V(fma)(load_dy(masked, &s, i, lanes), of_g[v], V(fma)(xn, of_x[v], rest[v]));
            if (s.dsum) {
                out = V(add)(out, load_lanes(s.dsum + i, lanes));
            }
            store_dx(dx + i, out, lanes, t->stream);
        }
    }
}

/* `rows` rows from element `from` on, of the strip's first columns. */
INLINE void apply_some_rows(bool masked, const column_terms *t, int64_t from, int64_t stride, int64_t rows, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + COLUMN_VECTORS * NORMA_WIDTH <= columns; at += COLUMN_VECTORS * NORMA_WIDTH) {
        apply_vectors(masked, t, from, stride, rows, at, COLUMN_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < columns; at += NORMA_WIDTH) {
        apply_vectors(masked, t, from, stride, rows, at, 1, columns - at < NORMA_WIDTH ? (int)(columns - at) : NORMA_WIDTH);
    }
}

INLINE void apply_columns(bool masked, const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                          int64_t end, const norma_terms *terms)
{
    column_terms t;
    set_column_terms(&t, job, first, last, terms, false);
    const norma_axis *inner = &job->axes[job->axes_count - 1];
    const int64_t most = t.columns <= COLUMN_VECTORS * NORMA_WIDTH ? NARROW_ROWS : WIDE_ROWS;
    if (job->rest && end == job->rows) {
        apply_some_rows(masked, &t, offset_of_row(job, end) + first, 0, 1, job->rest);
    }
    while (begin < end) {
        const int64_t in_axis = job->axes_count > 1 ? (end - 1) % inner->extent + 1 : end - begin;
        int64_t count = end - begin < most ? end - begin : most;
        count = count < in_axis ? count : in_axis;
        end -= count;
        apply_some_rows(masked, &t, offset_of_row(job, end) + first, inner->x_stride, count, t.columns);
    }
}

static void backward_apply_columns(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                                   int64_t end, const norma_terms *terms)
{
    if (is_masked(&job->at)) {
        apply_columns(true, job, first, last, begin, end, terms);
    } else {
        apply_columns(false, job, first, last, begin, end, terms);
    }
}

/* One vector of a row: dx, and what dscale and dshift take of it. */
INLINE void apply_along_vector(bool masked, const column_terms *t, const source *s, element *dx, real scale, int64_t at,
                               int lanes, vec *dscale, vec *dshift)
{
    const vec dy = load_dy(masked, s, at, lanes);
    vec xn = V(fma)(V(sub)(load_lanes(s->x + at, lanes), V(load)(t->center + at)), V(load)(t->rate + at),
                    V(sub)(V(zero)(), V(load)(t->lag + at)));
    if (lanes < NORMA_WIDTH) { /* where there is no column, there is no term */
        xn = V(first_of)(xn, V(zero)(), lanes);
    }
    *dscale = V(fma)(dy, xn, *dscale);
    *dshift = V(add)(*dshift, dy);
    if (dx) {
        const vec g = V(mul)(dy, V(set1)(scale));
        vec out = V(fma)(g, V(load)(t->of_g + at), V(fma)(xn, V(load)(t->of_x + at), V(load)(t->rest + at)));
        if (s->dsum) {
            out = V(add)(out, load_lanes(s->dsum + at, lanes));
        }
        store_dx(dx + at, out, lanes, t->stream);
    }
}

INLINE void apply_along(bool masked, const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                        int64_t end, const norma_terms *terms)
{
    column_terms t;
    assert(job->fold == 1 && last - first <= NORMA_BACKWARD_STRIP);
    set_column_terms(&t, job, first, last, terms, true);
    const parameters scale = parameters_of(job->scale, job->wide, ones);
    for (int64_t row = end - 1; row >= begin; row--) {
        const int64_t from = offset_of_row(job, row) + first;
        const source s = source_at(&job->at, from, from, from);
        element *dx = dx_at(&job->at, from);
        const real of_row = parameter_at(&scale, row);
        vec part[2][NORMA_PARTS];
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            part[0][p] = part[1][p] = V(zero)();
        }
        int64_t at = 0;
        NO_UNROLL
        for (; at + NORMA_LANES <= t.columns; at += NORMA_LANES) {
            UNROLL
            for (int p = 0; p < NORMA_PARTS; p++) {
                apply_along_vector(masked, &t, &s, dx, of_row, at + p * NORMA_WIDTH, NORMA_WIDTH, &part[0][p], &part[1][p]);
            }
        }
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            const int lanes = lanes_in_part((int)(t.columns - at), p);
            if (lanes) {
                apply_along_vector(masked, &t, &s, dx, of_row, at + p * NORMA_WIDTH, lanes, &part[0][p], &part[1][p]);
            }
        }
        if (job->dscale) {
            double sum[2];
            join_sums(part, 2, sum);
            job->dscale[row] += sum[0];
            job->dshift[row] += sum[1];
        }
    }
}

static void backward_apply_along(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                                 const norma_terms *terms)
{
    if (is_masked(&job->at)) {
        apply_along(true, job, first, last, begin, end, terms);
    } else {
        apply_along(false, job, first, last, begin, end, terms);
    }
}

#endif

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
    COLUMN_CHAINS = 2,
    COLUMN_VECTORS = NORMA_REGISTERS / 8, /* columns side by side whose terms are in registers */
    NARROW_ROWS = 32,                     /* written at a time of a matrix no wider than that */
    WIDE_ROWS = 2                         /* of others */
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

INLINE void column_add(bool scaled, gradient_chains *c, int chain, const gradient_chunk *chunk, int k, int64_t at, int lanes,
                       vec center, vec rate)
{
    const vec dy = load_dy(&chunk->row[k], at, lanes);
    const vec g = scaled ? V(mul)(dy, V(set1)(chunk->scale[k])) : dy;
    const vec xn = V(mul)(V(sub)(load_lanes(chunk->row[k].x + at, lanes), center), rate);
    c->sum[0][chain] = V(add)(c->sum[0][chain], g);
    c->sum[1][chain] = V(fma)(g, xn, c->sum[1][chain]);
    c->sum[2][chain] = V(add)(c->sum[2][chain], xn);
}

/* One vector of columns over the chunk, whose number of rows is a constant where it is whole. */
INLINE void sum_vector(bool scaled, gradient_strip *s, const gradient_chunk *chunk, int rows, int64_t at, int lanes)
{
    const vec center = V(load)(s->center + at), rate = V(load)(s->rate + at);
    const int64_t ahead = s->job->ahead;
    gradient_chains c;
    UNROLL
    for (int k = 0; k < COLUMN_CHAINS; k++) {
        c.sum[0][k] = c.sum[1][k] = c.sum[2][k] = V(zero)();
    }
    int k = 0;
    for (; k + COLUMN_CHAINS <= rows; k += COLUMN_CHAINS) {
        UNROLL
        for (int j = 0; j < COLUMN_CHAINS; j++) {
            if (ahead && at % (NORMA_LINE_VECTORS * NORMA_WIDTH) == 0) {
                simd_prefetch(chunk->row[k + j].x + at + ahead);
                simd_prefetch(chunk->row[k + j].dy + at + ahead);
            }
            column_add(scaled, &c, j, chunk, k + j, at, lanes, center, rate);
        }
    }
    if (k < rows) {
        column_add(scaled, &c, 0, chunk, k, at, lanes, center, rate);
    }
    UNROLL
    for (int q = 0; q < 3; q++) {
        const vec sum = V(add)(c.sum[q][0], c.sum[q][1]);
        V(store)(s->leaf[q] + at, chunk->opens ? sum : V(add)(V(load)(s->leaf[q] + at), sum));
    }
}

INLINE void sum_chunk(bool scaled, gradient_strip *s, const gradient_chunk *chunk, int rows, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + NORMA_WIDTH <= columns; at += NORMA_WIDTH) {
        sum_vector(scaled, s, chunk, rows, at, NORMA_WIDTH);
    }
    if (at < columns) {
        sum_vector(scaled, s, chunk, rows, at, (int)(columns - at));
    }
}

/* Rows [first, last), one leaf, of the strip's first columns, into the sums. */
INLINE void sum_leaf(bool scaled, gradient_strip *s, int64_t columns, int64_t first, int64_t last)
{
    const norma_backward_columns_job *job = s->job;
    const parameters scale = parameters_of(job->scale, job->wide, ones);
    for (int64_t row = first; row < last; row += ROWS) {
        gradient_chunk chunk = {.rows = last - row < ROWS ? (int)(last - row) : ROWS, .opens = row == first};
        for (int k = 0; k < chunk.rows; k++) {
            const int64_t at = offset_of_row(job, row + k) + s->first;
            chunk.row[k] = source_at(&job->at, at, at, at);
            if (scaled) {
                chunk.scale[k] = parameter_at(&scale, row + k);
            }
        }
        if (chunk.rows == ROWS) {
            sum_chunk(scaled, s, &chunk, ROWS, columns);
        } else {
            sum_chunk(scaled, s, &chunk, chunk.rows, columns);
        }
    }
    for (int q = 0; q < 3; q++) {
        for (int64_t i = 0; i < columns; i++) {
            s->sum[q][i] += (double)s->leaf[q][i];
        }
    }
}

INLINE void sum_columns(bool scaled, const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
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
        sum_leaf(scaled, &s, s.columns, row, end - row < NORMA_FIBER_LEAF ? end : row + NORMA_FIBER_LEAF);
    }
    if (job->rest && end == job->rows) {
        sum_leaf(scaled, &s, job->rest, end, end + 1);
    }
    for (int64_t i = 0; i < s.columns; i++) {
        const norma_sums part = {s.sum[0][i], s.sum[1][i], s.sum[2][i]};
        sums[i % s.own] = i < s.own ? part : norma_sums_add(sums[i - s.own * (i / s.own)], part);
    }
}

static void backward_reduce_columns(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                                    int64_t end, const norma_set *sets, norma_sums *sums)
{
    sum_columns(false, job, first, last, begin, end, sets, sums);
}

static void backward_reduce_along(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                                  int64_t end, const norma_set *sets, norma_sums *sums)
{
    sum_columns(true, job, first, last, begin, end, sets, sums);
}

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
INLINE void apply_vectors(const column_terms *t, int64_t from, int64_t stride, int64_t rows, int64_t at, int vectors, int lanes)
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
            vec out = V(fma)(load_dy(&s, i, lanes), of_g[v], V(fma)(xn, of_x[v], rest[v]));
            if (s.dsum) {
                out = V(add)(out, load_lanes(s.dsum + i, lanes));
            }
            store_dx(dx + i, out, lanes, t->stream);
        }
    }
}

/* `rows` rows from element `from` on, of the strip's first columns. */
INLINE void apply_some_rows(const column_terms *t, int64_t from, int64_t stride, int64_t rows, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + COLUMN_VECTORS * NORMA_WIDTH <= columns; at += COLUMN_VECTORS * NORMA_WIDTH) {
        apply_vectors(t, from, stride, rows, at, COLUMN_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < columns; at += NORMA_WIDTH) {
        apply_vectors(t, from, stride, rows, at, 1, columns - at < NORMA_WIDTH ? (int)(columns - at) : NORMA_WIDTH);
    }
}

static void backward_apply_columns(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                                   int64_t end, const norma_terms *terms)
{
    column_terms t;
    set_column_terms(&t, job, first, last, terms, false);
    const norma_axis *inner = &job->axes[job->axes_count - 1];
    const int64_t most = t.columns <= COLUMN_VECTORS * NORMA_WIDTH ? NARROW_ROWS : WIDE_ROWS;
    if (job->rest && end == job->rows) {
        apply_some_rows(&t, offset_of_row(job, end) + first, 0, 1, job->rest);
    }
    while (begin < end) {
        const int64_t in_axis = job->axes_count > 1 ? (end - 1) % inner->extent + 1 : end - begin;
        int64_t count = end - begin < most ? end - begin : most;
        count = count < in_axis ? count : in_axis;
        end -= count;
        apply_some_rows(&t, offset_of_row(job, end) + first, inner->x_stride, count, t.columns);
    }
}

/* One vector of a row: dx, and what dscale and dshift take of it. */
INLINE void apply_along_vector(const column_terms *t, const source *s, element *dx, real scale, int64_t at, int lanes,
                               vec *dscale, vec *dshift)
{
    const vec dy = load_dy(s, at, lanes);
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

static void backward_apply_along(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                                 const norma_terms *terms)
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
                apply_along_vector(&t, &s, dx, of_row, at + p * NORMA_WIDTH, NORMA_WIDTH, &part[0][p], &part[1][p]);
            }
        }
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            const int lanes = lanes_in_part((int)(t.columns - at), p);
            if (lanes) {
                apply_along_vector(&t, &s, dx, of_row, at + p * NORMA_WIDTH, lanes, &part[0][p], &part[1][p]);
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

#endif

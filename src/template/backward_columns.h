/*
 * Matrices whose columns are sets, or parts of one: batch, instance and group norm in NHWC and in blocked layouts, L2 norm
 * along an inner axis and, with a scale for each row, channel norm in NCHW.
 *
 * The sums of a column: leaves of NORMA_FIBER_LEAF rows as in template/strip.h, each of chunks of ROWS rows, which are one
 * chain each; a leaf's chunks are added in lanes, leaves in order in double, then a column's folds.
 */
#ifndef NORMA_BACKWARD_COLUMNS_H
#define NORMA_BACKWARD_COLUMNS_H

#include "template/gradient.h"

enum {
    ROWS = 16,
    COLUMN_VECTORS = NORMA_REGISTERS / 8, /* columns side by side whose terms are in registers */
    NARROW_ROWS = 128,                    /* written at a time of a matrix no wider than that */
    WIDE_ROWS = 16                        /* of others */
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
    int64_t row; /* the first */
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
INLINE void sum_vectors(sum_step step, gradient_strip *s, const gradient_chunk *chunk, const parameters *scale, int64_t at,
                        int vectors, int lanes)
{
    const norma_gradients *tensors = &s->job->at;
    const norma_axis *inner = &s->job->axes[s->job->axes_count - 1];
    const element *x = (const element *)tensors->x + s->first + at, *dy = (const element *)tensors->dy + s->first + at;
    vec center[COLUMN_VECTORS], rate[COLUMN_VECTORS], sum[3][COLUMN_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        center[v] = V(load)(s->center + at + v * NORMA_WIDTH);
        rate[v] = V(load)(s->rate + at + v * NORMA_WIDTH);
        sum[0][v] = sum[1][v] = sum[2][v] = V(zero)();
    }
    int64_t row = offset_of_row(s->job, chunk->row);
    int64_t left = s->job->axes_count > 1 ? inner->extent - chunk->row % inner->extent : -1;
    const int64_t fetch = ROWS * inner->x_stride; /* the next chunk */
    NO_UNROLL
    for (int k = 0; k < chunk->rows; k++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = v * NORMA_WIDTH;
            if (lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                prefetch_far(x + row + fetch + i);
                prefetch_far(dy + row + fetch + i);
            }
            vec gradient = load_lanes(dy + row + i, lanes);
            HOLD(gradient);
            if (step.masked) {
                const source from = source_at(tensors, row + s->first + at, row + s->first + at, row + s->first + at);
                gradient = masked_dy(&from, i, gradient, lanes);
            }
            const vec g = step.scaled ? V(mul)(gradient, V(set1)(parameter_at(scale, chunk->row + k))) : gradient;
            const vec xn = V(mul)(V(sub)(load_lanes(x + row + i, lanes), center[v]), rate[v]);
            sum[0][v] = V(add)(sum[0][v], g);
            sum[1][v] = V(fma)(g, xn, sum[1][v]);
            sum[2][v] = V(add)(sum[2][v], xn);
        }
        row += inner->x_stride;
        if (RARELY(--left == 0)) {
            row = offset_of_row(s->job, chunk->row + k + 1);
            left = inner->extent;
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

INLINE void sum_chunk(sum_step step, gradient_strip *s, const gradient_chunk *chunk, const parameters *scale, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + COLUMN_VECTORS * NORMA_WIDTH <= columns; at += COLUMN_VECTORS * NORMA_WIDTH) {
        sum_vectors(step, s, chunk, scale, at, COLUMN_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < columns; at += NORMA_WIDTH) {
        sum_vectors(step, s, chunk, scale, at, 1, columns - at < NORMA_WIDTH ? (int)(columns - at) : NORMA_WIDTH);
    }
}

/* Rows [first, last), one leaf, of the strip's first columns, into the sums. */
INLINE void sum_leaf(sum_step step, gradient_strip *s, int64_t columns, int64_t first, int64_t last)
{
    const norma_backward_columns_job *job = s->job;
    const parameters scale = parameters_of(job->scale, job->wide, ones);
    for (int64_t row = first; row < last; row += ROWS) {
        const gradient_chunk chunk = {row, last - row < ROWS ? (int)(last - row) : ROWS, row == first};
        sum_chunk(step, s, &chunk, &scale, columns);
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

/* Rows a constant stride apart that are written together, and how far before them is prefetched. */
typedef struct row_block {
    int64_t from; /* elements before the first */
    int64_t stride;
    int64_t rows;
    int64_t fetch;
} row_block;

/* `vectors` (a constant) of columns from column `at` of the strip. */
INLINE void apply_vectors(gradient_step step, const column_terms *t, const row_block *block, int64_t at, int vectors, int lanes)
{
    const norma_gradients tensors = t->job->at; /* in registers: what is stored may be anywhere, as far as the compiler knows */
    const int64_t stride = block->stride, fetch = block->fetch, last = block->from + at + block->rows * stride;
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
    for (int64_t row = block->from + at; row < last; row += stride) {
        const element *x = (const element *)tensors.x + row, *from = (const element *)tensors.dy + row;
        element *dx = (element *)tensors.dx + row;
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const int64_t i = v * NORMA_WIDTH;
            if (lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                prefetch_far(x + i - fetch);
                prefetch_far(from + i - fetch);
                if (!step.stream) {
                    prefetch_far(dx + i - fetch);
                }
            }
            vec dy = load_lanes(from + i, lanes);
            if (step.masked) {
                const source s = source_at(&tensors, row, row, row);
                dy = masked_dy(&s, i, dy, lanes);
            }
            const vec xn = V(mul)(V(sub)(load_lanes(x + i, lanes), center[v]), rate[v]);
            vec out = V(fma)(dy, of_g[v], V(fma)(xn, of_x[v], rest[v]));
            if (step.joined) {
                out = V(add)(out, load_lanes((const element *)tensors.dsum + row + i, lanes));
            }
            store_dx(dx + i, out, lanes, step.stream);
        }
    }
}

/* A block of the strip's first columns. */
INLINE void apply_block(gradient_step step, const column_terms *t, const row_block *block, int64_t columns)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + COLUMN_VECTORS * NORMA_WIDTH <= columns; at += COLUMN_VECTORS * NORMA_WIDTH) {
        apply_vectors(step, t, block, at, COLUMN_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < columns; at += NORMA_WIDTH) {
        apply_vectors(step, t, block, at, 1, columns - at < NORMA_WIDTH ? (int)(columns - at) : NORMA_WIDTH);
    }
}

/* The last rows first, in blocks. */
INLINE void apply_columns(gradient_step step, const column_terms *t, int64_t begin, int64_t end)
{
    const norma_backward_columns_job *job = t->job;
    const norma_axis *inner = &job->axes[job->axes_count - 1];
    const int64_t most = t->columns <= COLUMN_VECTORS * NORMA_WIDTH ? NARROW_ROWS : WIDE_ROWS;
    if (job->rest && end == job->rows) {
        const row_block block = {offset_of_row(job, end) + t->first, 1, 1, 0};
        apply_block(step, t, &block, job->rest);
    }
    while (begin < end) {
        const int64_t in_axis = job->axes_count > 1 ? (end - 1) % inner->extent + 1 : end - begin;
        int64_t count = end - begin < most ? end - begin : most;
        count = count < in_axis ? count : in_axis;
        end -= count;
        const int64_t fetch = end - begin > most ? most * inner->x_stride : 0;
        const row_block block = {offset_of_row(job, end) + t->first, inner->x_stride, count, fetch};
        apply_block(step, t, &block, t->columns);
    }
}

INLINE void apply_columns_of(bool masked, const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                             int64_t end, const norma_terms *terms)
{
    column_terms t;
    set_column_terms(&t, job, first, last, terms, false);
    const gradient_step plain = {masked, false, false}, streamed = {masked, false, true}, sum = {masked, true, t.stream};
    if (job->at.dsum) {
        apply_columns(sum, &t, begin, end);
    } else if (t.stream) {
        apply_columns(streamed, &t, begin, end);
    } else {
        apply_columns(plain, &t, begin, end);
    }
}

static void backward_apply_columns(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin,
                                   int64_t end, const norma_terms *terms)
{
    if (is_masked(&job->at)) {
        apply_columns_of(true, job, first, last, begin, end, terms);
    } else {
        apply_columns_of(false, job, first, last, begin, end, terms);
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

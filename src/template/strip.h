/*
 * A strip of columns: its canonical reduction, and what the statistics make of each column.
 *
 * A lane is a column, so lanes never mix and no sums go across them. The canonical reduction of a column: leaves of
 * NORMA_FIBER_LEAF rows, in a leaf chunks of ROWS rows by Welford's update (template/welford.h), in a chunk row k to chain
 * k mod CHAINS; leaves merge in order in double, then what comes of the rest, then a column's folds; then segments. Where
 * columns go in groups, a group's columns merge in order as well.
 */
#ifndef NORMA_STRIP_H
#define NORMA_STRIP_H

#include "template/welford.h"

enum { ROWS = 16 }; /* rows of a chunk: their moments are in registers while each column's are loaded and stored once */

/* A strip of columns at work. */
typedef struct strip {
    const norma_fibers_job *job;
    norma_statistic statistic;
    int64_t first;                /* column */
    int64_t own;                  /* columns */
    int64_t columns;              /* of the matrix: each as often as it is folded */
    double count;                 /* rows of the tensor that mean and m2 tell of */
    bool backwards;               /* order of writing */
    bool wide;                    /* a column's factor times its scale leaves the type's range */
    double mean[NORMA_STRIP_MAX]; /* from the origin: sums of f64 near it keep their digits */
    double m2[NORMA_STRIP_MAX];
    real origin[NORMA_STRIP_MAX];
    /* The leaf's moments while it is reduced; center, factor and low of template/write.h's sense when it is written. Aligned,
     * as a load across cache lines costs two. */
    _Alignas(64) real a[NORMA_STRIP_MAX];
    _Alignas(64) real b[NORMA_STRIP_MAX];
    _Alignas(64) real c[NORMA_STRIP_MAX];
    _Alignas(64) float y_scale[NORMA_STRIP_MAX]; /* where that goes by channel */
} strip;

/* Elements of the matrix's row `row` before the strip's first column, in x and y. */
INLINE void row_offset(const norma_fibers_job *job, int64_t row, int64_t *x, int64_t *y)
{
    *x = *y = 0;
    for (int k = job->axes_count - 1; k >= 0; k--) {
        const int64_t step = k ? row % job->axes[k].extent : row;
        row = k ? row / job->axes[k].extent : 0;
        *x += step * job->axes[k].x_stride;
        *y += step * job->axes[k].y_stride;
    }
}

INLINE void chunk_row(norma_statistic statistic, chunk_sums *c, int chain, vec x, vec high)
{
    if (statistic == NORMA_MOMENTS) {
        chunk_add(c, chain, x, high);
    } else if (statistic == NORMA_SQUARES) {
        c->squares[chain] = V(fma)(x, x, c->squares[chain]);
    } else {
        c->squares[chain] = V(add)(c->squares[chain], V(abs)(x));
    }
}

/* One of each column's own elements, which no single outlier decides. */
INLINE vec pivot_of_rows(const element *const *x, int rows, int64_t at, int lanes)
{
    const vec a = load_lanes(x[0] + at, lanes);
    return rows < 3 ? a : median(a, load_lanes(x[1] + at, lanes), load_lanes(x[2] + at, lanes));
}

/* One vector of columns, `rows` rows of them (a constant where the chunk is whole), at column `at` of the strip. */
INLINE void reduce_vector(strip *s, const element *const *x, int rows, int64_t at, int lanes, int64_t before)
{
    chunk_sums c = chunk_begin();
    moments m;
    if (before) {
        m.high = V(load)(s->a + at), m.low = V(load)(s->b + at), m.m2 = V(load)(s->c + at);
    } else {
        m = moments_about(pivot_of_rows(x, rows, at, lanes));
    }
    int k = 0;
    const int64_t ahead = s->job->blocking->ahead;
    for (; k + CHAINS <= rows; k += CHAINS) {
        if (ahead && at % (NORMA_LINE_VECTORS * NORMA_WIDTH) == 0) {
            UNROLL
            for (int j = 0; j < CHAINS; j++) {
                simd_prefetch(x[k + j] + at + ahead);
            }
        }
        UNROLL
        for (int j = 0; j < CHAINS; j++) {
            chunk_row(s->statistic, &c, j, load_lanes(x[k + j] + at, lanes), m.high);
        }
    }
    UNROLL
    for (int j = 0; j < CHAINS - 1; j++) {
        if (k + j < rows) {
            chunk_row(s->statistic, &c, j, load_lanes(x[k + j] + at, lanes), m.high);
        }
    }
    if (s->statistic == NORMA_MOMENTS) {
        m = chunk_end(&c, m, (real)before, (real)rows);
        V(store)(s->a + at, m.high);
        V(store)(s->b + at, m.low);
    } else {
        m.m2 = V(add)(m.m2, sum_of_chains(c.squares));
    }
    V(store)(s->c + at, m.m2);
}

INLINE void reduce_chunk(strip *s, int64_t columns, const element *const *x, int rows, int64_t before)
{
    int64_t at = 0;
    for (; at + NORMA_WIDTH <= columns; at += NORMA_WIDTH) {
        reduce_vector(s, x, rows, at, NORMA_WIDTH, before);
    }
    if (at < columns) {
        reduce_vector(s, x, rows, at, (int)(columns - at), before);
    }
}

/* Rows [first, last), one leaf, into a, b, c of the strip's first columns. */
INLINE void reduce_leaf(strip *s, int64_t columns, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row += ROWS) {
        const int rows = last - row < ROWS ? (int)(last - row) : ROWS;
        const element *x[ROWS];
        for (int k = 0; k < rows; k++) {
            int64_t in_x, in_y;
            row_offset(s->job, row + k, &in_x, &in_y);
            x[k] = (const element *)s->job->x + in_x + s->first;
        }
        if (rows == ROWS) {
            reduce_chunk(s, columns, x, ROWS, row - first);
        } else {
            reduce_chunk(s, columns, x, rows, row - first);
        }
    }
}

/* Merges the leaf in a, b, c into mean and m2, which hold `before` rows. norma_partial_merge(), a vector at a time. */
INLINE void merge_leaf(strip *s, int64_t columns, int64_t before, int64_t count)
{
    const double part = (double)count / (double)(before + count);
    const double weight = (double)before * part;
    const bool centered = s->statistic == NORMA_MOMENTS;
    for (int64_t i = 0; i < columns; i++) {
        if (before == 0) {
            s->origin[i] = centered ? s->a[i] : 0;
        }
        const double mean = centered ? (double)s->a[i] - (double)s->origin[i] + (double)s->b[i] : 0;
        if (before) {
            const double delta = mean - s->mean[i];
            s->mean[i] = s->mean[i] + delta * part;
            s->m2[i] = s->m2[i] + (double)s->c[i] + delta * (delta * weight);
        } else {
            s->mean[i] = mean;
            s->m2[i] = (double)s->c[i];
        }
    }
}

#if NORMA_DTYPE_IS != NORMA_IS_f64

INLINE bool out_of_range(double m2)
{
    return !(m2 >= 1e-30 && m2 <= (double)FLT_MAX);
}

/* Rows [first, last) of columns whose squares leave the range of f32 (see rescue() of template/reduce.h), plainly and in
 * double: a whole strip at a time, since constant columns come in numbers (padding, masks). */
NOINLINE void rescue_strip(strip *s, int64_t first, int64_t last, int64_t rest)
{
    const norma_fibers_job *job = s->job;
    const bool centered = s->statistic == NORMA_MOMENTS;
    double sum[NORMA_STRIP_MAX] = {0}, m2[NORMA_STRIP_MAX] = {0};
    const element *origin = NULL;
    for (int64_t row = first; row < last + (rest > 0); row++) {
        int64_t in_x, in_y;
        row_offset(job, row, &in_x, &in_y);
        const element *x = (const element *)job->x + in_x + s->first;
        origin = row == first ? x : origin;
        for (int64_t i = 0; i < (row < last ? s->columns : rest); i++) {
            sum[i] += (double)element_at(x, i) - (double)element_at(origin, i);
        }
    }
    for (int64_t row = first; row < last + (rest > 0); row++) {
        int64_t in_x, in_y;
        row_offset(job, row, &in_x, &in_y);
        const element *x = (const element *)job->x + in_x + s->first;
        for (int64_t i = 0; i < (row < last ? s->columns : rest); i++) {
            const double mean = sum[i] / (double)(last - first + (i < rest));
            const double d =
                centered ? (double)element_at(x, i) - (double)element_at(origin, i) - mean : (double)element_at(x, i);
            m2[i] += s->statistic == NORMA_MAGNITUDES ? fabs(d) : d * d;
        }
    }
    for (int64_t i = 0; i < s->columns; i++) {
        if (out_of_range(s->m2[i])) {
            s->origin[i] = centered ? element_at(origin, i) : 0;
            s->mean[i] = centered ? sum[i] / (double)(last - first + (i < rest)) : 0;
            s->m2[i] = m2[i];
        }
    }
}

INLINE void keep_in_range(strip *s, int64_t first, int64_t last, int64_t rest)
{
    if (s->statistic == NORMA_MOMENTS && last - first + rest == 1) {
        return; /* a single row is its own mean */
    }
    bool all = true;
    for (int64_t i = 0; i < s->columns; i++) {
        all = all && !out_of_range(s->m2[i]);
    }
    if (RARELY(!all)) {
        rescue_strip(s, first, last, rest);
    }
}

#else

INLINE void keep_in_range(strip *s, int64_t first, int64_t last, int64_t rest)
{
    (void)s, (void)first, (void)last, (void)rest;
}

#endif

INLINE norma_column get_column(const strip *s, int64_t i, double count)
{
    const norma_column column = {count, (double)s->origin[i], s->mean[i], s->m2[i]};
    return column;
}

INLINE void set_column(strip *s, int64_t i, const norma_column *column)
{
    s->origin[i] = (real)column->origin; /* it comes from a real */
    s->mean[i] = column->mean;
    s->m2[i] = column->m2;
}

/* A column's folds, of `rows` rows and the first `more` of one more, merge in order; the strip's own columns then stand for
 * all. */
INLINE void merge_folds(strip *s, int64_t rows, int64_t more)
{
    const int64_t folds = s->columns / s->own;
    for (int64_t k = 1; k < folds; k++) {
        const double before = (double)(k * rows + (k < more ? k : more)), count = (double)(rows + (k < more));
        for (int64_t i = 0; i < s->own; i++) { /* the inner loop: merges of one column wait for each other */
            const norma_column whole = norma_column_merge(get_column(s, i, before), get_column(s, k * s->own + i, count));
            set_column(s, i, &whole);
        }
    }
}

/* Rows [first, last), which are a segment. */
INLINE void reduce_segment(strip *s, int64_t first, int64_t last)
{
    const int64_t rest = last == s->job->rows ? s->job->rest : 0;
    for (int64_t row = first; row < last; row += NORMA_FIBER_LEAF) {
        const int64_t next = last - row < NORMA_FIBER_LEAF ? last : row + NORMA_FIBER_LEAF;
        reduce_leaf(s, s->columns, row, next);
        merge_leaf(s, s->columns, row - first, next - row);
    }
    if (rest) {
        reduce_leaf(s, rest, last, last + 1);
        merge_leaf(s, rest, last - first, 1);
    }
    keep_in_range(s, first, last, rest);
    merge_folds(s, last - first, rest / s->own);
    s->count = (double)((last - first) * (s->columns / s->own) + rest / s->own);
}

INLINE void reduce_strip(strip *s)
{
    const int64_t rows = s->job->rows, segment = norma_fiber_segment_length(rows);
    norma_column whole[NORMA_STRIP_MAX];
    for (int64_t first = 0; first < rows; first += segment) {
        reduce_segment(s, first, rows - first < segment ? rows : first + segment);
        for (int64_t i = 0; segment < rows && i < s->own; i++) {
            const norma_column part = get_column(s, i, s->count);
            whole[i] = first ? norma_column_merge(whole[i], part) : part;
        }
    }
    for (int64_t i = 0; segment < rows && i < s->own; i++) {
        set_column(s, i, &whole[i]);
        s->count = whole[i].count;
    }
}

/* What a strip's column i is, as a part of its reduced set. */
INLINE norma_partial partial_of_column(const strip *s, int64_t i)
{
    const norma_column column = get_column(s, i, s->count);
    return norma_column_partial(&column);
}

/* Each group's columns become alike. (drivers/fibers.c does the same where columns come in pieces.) */
INLINE void merge_groups(strip *s)
{
    const int64_t group = s->job->group;
    for (int64_t i = 1; i < group; i++) {
        for (int64_t first = 0; first < s->own; first += group) { /* the inner loop: merges of one group wait for each other */
            const norma_column whole =
                norma_column_merge(get_column(s, first, s->count * (double)i), get_column(s, first + i, s->count));
            set_column(s, first, &whole);
        }
    }
    for (int64_t first = 0; group > 1 && first < s->own; first += group) {
        const norma_column whole = get_column(s, first, s->count);
        for (int64_t i = first + 1; i < first + group; i++) {
            set_column(s, i, &whole);
        }
    }
    s->count *= (double)group;
}

/* The factor of each column. Where columns are short their ends are most of the work, so the loops down to finish_own() are
 * such as compilers vectorize; here that takes constants instead of the normalizer's choices. */
INLINE void factors_of_strip(const strip *s, double *factor)
{
    const norma_normalizer normalizer = *s->job->normalizer;
    const norma_normalizer usual = {.statistic = NORMA_MOMENTS,
                                    .epsilon_mode = NORMA_EPSILON_INSIDE,
                                    .epsilon = normalizer.epsilon,
                                    .weight = normalizer.weight,
                                    .x_scale = normalizer.x_scale};
    if (normalizer.epsilon_mode == usual.epsilon_mode && normalizer.statistic == usual.statistic) {
        for (int64_t i = 0; i < s->own; i++) {
            factor[i] = norma_normalizer_factor(&usual, s->m2[i] * usual.weight);
        }
        return;
    }
    for (int64_t i = 0; i < s->own; i++) {
        factor[i] = norma_normalizer_factor(&normalizer, s->m2[i] * normalizer.weight);
    }
}

/* Center, factor and low of columns that have no scale and shift of their own. */
INLINE void finish_plain(strip *s, const double *factor)
{
    for (int64_t i = 0; i < s->own; i++) {
        const double origin = (double)s->origin[i];
        const real center = (real)(origin + s->mean[i]);
        const double low = origin - (double)center + s->mean[i];
        s->a[i] = center;
        s->b[i] = real_factor(factor[i]);
        s->c[i] = -(real)low * s->b[i];
    }
}

/* A scale or shift of each of the strip's columns. */
INLINE void parameters_of_strip(const strip *s, parameters tensor, double *of_column)
{
    const norma_fibers_job *job = s->job;
    const int64_t each = job->per_channel;
    const int64_t first = (job->column + s->first) / each;
    if (each == 1) {
        real raw[NORMA_STRIP_MAX];
        get_parameters(&tensor, first, s->own, raw);
        for (int64_t i = 0; i < s->own; i++) {
            of_column[i] = (double)raw[i];
        }
        return;
    }
    int64_t at = (job->column + s->first) % each, index = first;
    for (int64_t i = 0; i < s->own; i++) {
        of_column[i] = (double)parameter_at(&tensor, index);
        at = at + 1 < each ? at + 1 : 0;
        index += at == 0;
    }
}

/* Takes what modulates a sample's channels into scale and shift. */
NOINLINE void modulate_strip(const strip *s, double *scale, double *shift)
{
    const norma_modulator *modulator = &s->job->modulator;
    double by_scale[NORMA_STRIP_MAX], by_shift[NORMA_STRIP_MAX];
    parameters_of_strip(s, parameters_of(modulator->scale, s->job->wide, modulator->plain ? ones : negative_zeros), by_scale);
    parameters_of_strip(s, parameters_of(modulator->shift, s->job->wide, negative_zeros), by_shift);
    for (int64_t i = 0; i < s->own; i++) {
        norma_modulate(modulator, by_scale[i], by_shift[i], &scale[i], &shift[i]);
    }
}

/* y_scale of each column. */
NOINLINE void y_scales_of_strip(strip *s)
{
    const norma_fibers_job *job = s->job;
    for (int64_t i = 0; i < s->own; i++) {
        s->y_scale[i] = job->companions.y_scale[(job->column + s->first + i) / job->per_channel];
    }
    for (int64_t i = s->own; i < s->columns; i++) {
        s->y_scale[i] = s->y_scale[i - s->own];
    }
}

/* The same of columns whose scale and shift are taken in. */
INLINE void finish_own(strip *s, const double *factor)
{
    double scale[NORMA_STRIP_MAX], shift[NORMA_STRIP_MAX];
    parameters_of_strip(s, parameters_of(s->job->scale, s->job->wide, ones), scale);
    parameters_of_strip(s, parameters_of(s->job->shift, s->job->wide, negative_zeros), shift);
    if (modulates(&s->job->modulator)) {
        modulate_strip(s, scale, shift);
    }
    bool fit = true;
    for (int64_t i = 0; i < s->own; i++) {
        const double origin = (double)s->origin[i];
        const real center = (real)(origin + s->mean[i]);
        const double low = origin - (double)center + s->mean[i];
        fit = fit & real_product_fits(factor[i], scale[i]);
        s->a[i] = center;
        s->b[i] = (real)real_product(factor[i], scale[i]);
        s->c[i] = (real)(shift[i] - low * (double)s->b[i]);
    }
    s->wide = !fit;
}

/* mean and m2 become center, factor and low, which takes a shift of the column's own in. */
INLINE void finish_strip(strip *s)
{
    const norma_fibers_job *job = s->job;
    double factor[NORMA_STRIP_MAX];
    factors_of_strip(s, factor);
    s->wide = false;
    if (!job->channels) {
        finish_plain(s, factor);
    } else {
        finish_own(s, factor);
    }
    if (job->epilogue && job->epilogue->quantization == NORMA_QUANTIZATION_PER_CHANNEL && job->channels) {
        y_scales_of_strip(s);
    }
    for (int64_t i = s->own; i < s->columns; i++) {
        s->a[i] = s->a[i - s->own];
        s->b[i] = s->b[i - s->own];
        s->c[i] = s->c[i - s->own];
    }
}

/* What the caller asked for, of the strip's reduced sets. */
INLINE void save_strip(const strip *s)
{
    const norma_fibers_job *job = s->job;
    const int64_t group = job->group;
    if (!job->mean && !job->saved) {
        return;
    }
    int64_t set = s->first / group;
    for (int64_t i = 0; i < s->own; i += group, set++) {
        const norma_partial partial = partial_of_column(s, i);
        if (job->mean) {
            ((real *)job->mean)[set] = (real)norma_normalizer_mean(job->normalizer, &partial);
        }
        if (job->saved) {
            const double factor = norma_normalizer_affine(job->normalizer, &partial).factor;
            ((real *)job->saved)[set] = (real)norma_normalizer_saved(job->normalizer, &partial, factor);
        }
    }
}

#endif

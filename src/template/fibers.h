/*
 * Fibers: each reduced set is a column of a matrix, or some neighbouring ones, and a strip of columns is written while it is
 * still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_fibers_<statistic>_<dtype>_<isa> for
 * every statistic.
 */
#include "template/strip.h"

enum { WRITE_ROWS = 4 }; /* rows written at a time: their scale and shift are in registers */

/* How rows are written, chosen by constants. */
typedef struct fiber_step {
    norma_statistic statistic;
    bool has_scale;
    bool has_shift;
    bool stream;
} fiber_step;

INLINE void write_vector(fiber_step step, const strip *s, const real *const *x, real *const *y, int rows, const vec *scale,
                         const vec *shift, int64_t at, int lanes)
{
    const vec center = V(load)(s->a + at), factor = V(load)(s->b + at), low = V(load)(s->c + at);
    const int64_t ahead = s->job->blocking->ahead;
    if (ahead && at % NORMA_LANES == 0) {
        UNROLL
        for (int k = 0; k < rows; k++) {
            simd_prefetch(x[k] + at - ahead);
        }
    }
    UNROLL
    for (int k = 0; k < rows; k++) {
        const vec in = load_lanes(x[k] + at, lanes);
        vec out = step.statistic == NORMA_MOMENTS ? V(fma)(V(sub)(in, center), factor, low) : V(mul)(in, factor);
        if (step.has_scale && step.has_shift) {
            out = V(fma)(out, scale[k], shift[k]);
        } else if (step.has_scale) {
            out = V(mul)(out, scale[k]);
        } else if (step.has_shift) {
            out = V(add)(out, shift[k]);
        }
        if (lanes < NORMA_WIDTH) {
            V(store_part)(y[k] + at, out, lanes);
        } else if (step.stream) {
            V(stream)(y[k] + at, out);
        } else {
            V(store)(y[k] + at, out);
        }
    }
}

/* `rows` (a constant) rows from `row`. */
INLINE void write_rows(fiber_step step, const strip *s, int64_t row, int rows)
{
    const norma_fibers_job *job = s->job;
    const real *x[WRITE_ROWS];
    real *y[WRITE_ROWS];
    vec scale[WRITE_ROWS], shift[WRITE_ROWS];
    UNROLL
    for (int k = 0; k < rows; k++) {
        int64_t in_x, in_y;
        row_offset(job, row + k, &in_x, &in_y);
        x[k] = (const real *)job->x + in_x + s->first;
        y[k] = (real *)job->y + in_y + s->first;
        scale[k] = step.has_scale ? V(set1)(((const real *)job->scale)[row + k]) : V(zero)();
        shift[k] = step.has_shift ? V(set1)(((const real *)job->shift)[row + k]) : V(zero)();
    }
    int64_t at = 0;
    for (; at + NORMA_WIDTH <= s->columns; at += NORMA_WIDTH) {
        write_vector(step, s, x, y, rows, scale, shift, at, NORMA_WIDTH);
    }
    if (at < s->columns) {
        write_vector(step, s, x, y, rows, scale, shift, at, (int)(s->columns - at));
    }
}

/* From the last rows to the first: the last that were read are those that the caches still hold. */
INLINE void write_strip(fiber_step step, const strip *s)
{
    const int64_t rows = s->job->rows;
    const int64_t whole = rows / WRITE_ROWS * WRITE_ROWS;
    for (int64_t row = whole; row < rows; row++) {
        write_rows(step, s, row, 1);
    }
    for (int64_t row = whole; row > 0; row -= WRITE_ROWS) {
        write_rows(step, s, row - WRITE_ROWS, WRITE_ROWS);
    }
}

/* Streaming stores want every row of y aligned to the vector at the strip's first column. */
INLINE bool can_stream(const norma_fibers_job *job, int64_t first)
{
    bool aligned = (uintptr_t)((const real *)job->y + first) % sizeof(vec) == 0;
    for (int k = 0; k < job->axes_count; k++) {
        aligned = aligned && job->axes[k].y_stride % NORMA_WIDTH == 0;
    }
    return job->blocking->stream && aligned;
}

INLINE void write_with(fiber_step step, const strip *s)
{
    if (can_stream(s->job, s->first)) {
        step.stream = true;
        write_strip(step, s);
        simd_fence();
    } else {
        step.stream = false;
        write_strip(step, s);
    }
}

/* The strip element by element, where a column's factor times its scale leaves the type's range. The others get the bits that
 * write_vector() would give them. */
NOINLINE void write_wide(const strip *s)
{
    const norma_fibers_job *job = s->job;
    for (int64_t i = 0; i < s->columns; i++) {
        const int64_t channel = (job->channel + s->first + i) % job->channels;
        const norma_partial partial = partial_of_column(s, i);
        const double factor = norma_normalizer_affine(job->normalizer, &partial).factor;
        const double scale = parameter(job->scale, channel, 1), shift = parameter(job->shift, channel, 0);
        const bool fits = real_product_fits(factor, scale);
        for (int64_t row = 0; row < job->rows; row++) {
            int64_t x_at, y_at;
            row_offset(job, row, &x_at, &y_at);
            const real x = ((const real *)job->x)[x_at + s->first + i];
            real *y = (real *)job->y + y_at + s->first + i;
            if (fits) {
                const vec d = V(sub)(V(set1)(x), V(set1)(s->a[i]));
                *y = V(get0)(V(fma)(d, V(set1)(s->b[i]), V(set1)(s->c[i])));
            } else {
                *y = (real)(((double)x - partial.mean) * (double)real_factor(factor)) * (real)scale + (real)shift;
            }
        }
    }
}

/* A strip whose statistics are known. Of the ops with fibers only channel norm has scale and shift along the rows. */
INLINE void write_columns(norma_statistic statistic, const strip *s)
{
    const norma_fibers_job *job = s->job;
    const bool along_rows = statistic == NORMA_MOMENTS && !job->channels;
    fiber_step step = {.statistic = statistic};
    if (RARELY(job->channels && s->wide)) {
        write_wide(s);
        return;
    }
    if (along_rows && job->scale && job->shift) {
        step.has_scale = step.has_shift = true;
        write_with(step, s);
    } else if (along_rows && job->scale) {
        step.has_scale = true;
        write_with(step, s);
    } else if (along_rows && job->shift) {
        step.has_shift = true;
        write_with(step, s);
    } else {
        write_with(step, s);
    }
}

/* A group wider than a strip: all of it is reduced, strip by strip, before any of it is written. */
NOINLINE void normalize_wide_group(norma_statistic statistic, strip *s, int64_t first)
{
    const int64_t group = s->job->group;
    norma_partial whole = {0, 0, 0};
    double origin = 0;
    for (int64_t at = 0; at < group; at += s->columns) {
        s->first = first + at;
        s->columns = group - at < NORMA_STRIP_MAX ? group - at : NORMA_STRIP_MAX;
        reduce_strip(s);
        origin = at ? origin : (double)s->origin[0];
        whole = merge_columns(s, 0, s->columns, whole, origin);
    }
    for (int64_t at = 0; at < group; at += s->columns) {
        s->first = first + at;
        s->columns = group - at < NORMA_STRIP_MAX ? group - at : NORMA_STRIP_MAX;
        set_columns(s, 0, s->columns, origin, whole.mean, whole.m2);
        if (at == 0) {
            save_strip(s);
        }
        finish_strip(s);
        write_columns(statistic, s);
    }
}

INLINE void fibers_normalize(norma_statistic statistic, const norma_fibers_job *job, int64_t first, int64_t last)
{
    const int64_t strip_columns = job->blocking->strip;
    const int64_t begin = first;
    strip s; /* not cleared: that would cost as much as a small strip's work */
    s.job = job;
    s.statistic = statistic;
    assert(strip_columns > 0 && job->group > 0);
    if (RARELY(job->group > NORMA_STRIP_MAX)) {
        for (; first < last; first += job->group) {
            normalize_wide_group(statistic, &s, first);
        }
        return;
    }
    assert(strip_columns <= NORMA_STRIP_MAX && strip_columns % job->group == 0);
    for (; first < last; first += strip_columns) {
        s.first = first;
        s.columns = last - first < strip_columns ? last - first : strip_columns;
        reduce_strip(&s);
        merge_groups(&s);
        for (int64_t i = 0; job->partials && i < s.columns; i++) {
            job->partials[first - begin + i] = partial_of_column(&s, i);
        }
        save_strip(&s);
        finish_strip(&s);
        write_columns(statistic, &s);
    }
}

INLINE void fibers_apply(norma_statistic statistic, const norma_fibers_job *job, int64_t first, int64_t last)
{
    assert(last - first <= NORMA_STRIP_MAX);
    strip s;
    s.job = job;
    s.statistic = statistic;
    s.first = first;
    s.columns = last - first;
    for (int64_t i = 0; i < s.columns; i++) {
        const norma_partial partial = job->partials[i];
        s.origin[i] = (real)partial.mean;
        s.mean[i] = partial.mean - (double)s.origin[i];
        s.m2[i] = partial.m2;
    }
    finish_strip(&s);
    write_columns(statistic, &s);
}

#define DEFINE_FIBERS_KERNEL(statistic, value)                                                                                 \
    static void fibers_##statistic##_normalize(const norma_fibers_job *job, int64_t first, int64_t last)                       \
    {                                                                                                                          \
        fibers_normalize(value, job, first, last);                                                                             \
    }                                                                                                                          \
    static void fibers_##statistic##_apply(const norma_fibers_job *job, int64_t first, int64_t last)                           \
    {                                                                                                                          \
        fibers_apply(value, job, first, last);                                                                                 \
    }                                                                                                                          \
    const norma_fibers_kernel NORMA_KERNEL_NAME(fibers, statistic) = {.normalize = fibers_##statistic##_normalize,             \
                                                                      .apply = fibers_##statistic##_apply}

DEFINE_FIBERS_KERNEL(moments, NORMA_MOMENTS);
DEFINE_FIBERS_KERNEL(squares, NORMA_SQUARES);
DEFINE_FIBERS_KERNEL(magnitudes, NORMA_MAGNITUDES);

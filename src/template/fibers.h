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

/* `rows` (a constant) rows from `row`, of the strip's first columns. */
INLINE void write_rows(fiber_step step, const strip *s, int64_t columns, int64_t row, int rows)
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
    for (; at + NORMA_WIDTH <= columns; at += NORMA_WIDTH) {
        write_vector(step, s, x, y, rows, scale, shift, at, NORMA_WIDTH);
    }
    if (at < columns) {
        write_vector(step, s, x, y, rows, scale, shift, at, (int)(columns - at));
    }
}

/* From the last rows to the first: the last that were read are those that the caches still hold. */
INLINE void write_strip(fiber_step step, const strip *s)
{
    const int64_t first = s->job->first_row, rows = s->job->rows;
    const int64_t whole = first + (rows - first) / WRITE_ROWS * WRITE_ROWS;
    if (s->job->rest) {
        write_rows(step, s, s->job->rest, rows, 1);
    }
    for (int64_t row = whole; row < rows; row++) {
        write_rows(step, s, s->columns, row, 1);
    }
    for (int64_t row = whole; row > first; row -= WRITE_ROWS) {
        write_rows(step, s, s->columns, row - WRITE_ROWS, WRITE_ROWS);
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

/* One element where a column's factor times its scale may leave the type's range; else the bits that write_vector() gives. */
INLINE real write_element(const strip *s, int64_t i, real x)
{
    const norma_fibers_job *job = s->job;
    const int64_t channel = (job->channel + s->first + i) % job->channels;
    const norma_partial partial = partial_of_column(s, i);
    const double factor = norma_normalizer_affine(job->normalizer, &partial).factor;
    const double scale = parameter(job->scale, channel, 1), shift = parameter(job->shift, channel, 0);
    if (real_product_fits(factor, scale)) {
        return V(get0)(V(fma)(V(sub)(V(set1)(x), V(set1)(s->a[i])), V(set1)(s->b[i]), V(set1)(s->c[i])));
    }
    return (real)(((double)x - partial.mean) * (double)real_factor(factor)) * (real)scale + (real)shift;
}

/* The strip element by element. */
NOINLINE void write_wide(const strip *s)
{
    const norma_fibers_job *job = s->job;
    for (int64_t row = job->first_row; row < job->rows + (job->rest > 0); row++) {
        int64_t in_x, in_y;
        row_offset(job, row, &in_x, &in_y);
        const real *x = (const real *)job->x + in_x + s->first;
        real *y = (real *)job->y + in_y + s->first;
        for (int64_t i = 0; i < (row < job->rows ? s->columns : job->rest); i++) {
            y[i] = write_element(s, i % s->own, x[i]);
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

INLINE void strip_begin(strip *s, const norma_fibers_job *job, norma_statistic statistic, int64_t first, int64_t last)
{
    s->job = job;
    s->statistic = statistic;
    s->first = first;
    s->own = last - first;
    s->columns = s->own * job->fold;
    assert(s->columns <= NORMA_STRIP_MAX);
}

INLINE void fibers_normalize(norma_statistic statistic, const norma_fibers_job *job, int64_t first, int64_t last)
{
    const int64_t strip_columns = job->blocking->strip;
    strip s; /* not cleared: that would cost as much as a small strip's work */
    assert(strip_columns > 0 && strip_columns % job->group == 0);
    for (; first < last; first += strip_columns) {
        strip_begin(&s, job, statistic, first, last - first < strip_columns ? last : first + strip_columns);
        reduce_strip(&s);
        merge_groups(&s);
        for (int64_t i = 0; job->columns && i < s.own; i++) {
            job->columns[i] = get_column(&s, i, s.count);
        }
        save_strip(&s);
        finish_strip(&s);
        write_columns(statistic, &s);
    }
}

INLINE void fibers_reduce(norma_statistic statistic, const norma_fibers_job *job, int64_t first, int64_t last, int64_t segment)
{
    const int64_t length = norma_fiber_segment_length(job->rows);
    const int64_t begin = segment * length;
    strip s;
    strip_begin(&s, job, statistic, first, last);
    reduce_segment(&s, begin, job->rows - begin < length ? job->rows : begin + length);
    for (int64_t i = 0; i < s.own; i++) {
        job->columns[i] = get_column(&s, i, s.count);
    }
}

INLINE void fibers_apply(norma_statistic statistic, const norma_fibers_job *job, int64_t first, int64_t last)
{
    strip s;
    strip_begin(&s, job, statistic, first, last);
    for (int64_t i = 0; i < s.own; i++) {
        set_column(&s, i, &job->columns[i]);
    }
    s.count = job->columns[0].count;
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
    static void fibers_##statistic##_reduce(const norma_fibers_job *job, int64_t first, int64_t last, int64_t segment)         \
    {                                                                                                                          \
        fibers_reduce(value, job, first, last, segment);                                                                       \
    }                                                                                                                          \
    const norma_fibers_kernel NORMA_KERNEL_NAME(fibers, statistic) = {.normalize = fibers_##statistic##_normalize,             \
                                                                      .reduce = fibers_##statistic##_reduce,                   \
                                                                      .apply = fibers_##statistic##_apply}

DEFINE_FIBERS_KERNEL(moments, NORMA_MOMENTS);
DEFINE_FIBERS_KERNEL(squares, NORMA_SQUARES);
DEFINE_FIBERS_KERNEL(magnitudes, NORMA_MAGNITUDES);

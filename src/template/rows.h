/*
 * Rows: each reduced set is one contiguous run, and is written while it is still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_rows_<statistic>_<dtype>_<isa> for
 * every statistic.
 *
 * Rows go in groups: a group is reduced, then written. Two rows at a time hide the latency of a row's end (sums across
 * lanes, root, divide) behind each other, and share what is loaded of scale and shift. Rereading a group stops the
 * hardware's prefetching, so writing it prefetches what comes next.
 */
#include "template/reduce.h"
#include "template/write.h"

INLINE void store_statistic(void *out, int64_t index, double value)
{
    if (out) {
        ((real *)out)[index] = (real)value;
    }
}

/* Reduces rows [row, row + count), where they are one leaf lockstep by lockstep. */
INLINE void reduce_group(norma_statistic statistic, const norma_rows_job *job, const leaf_shape *shape, int64_t row, int count,
                         norma_partial *partial)
{
    runs x = {(const real *)job->x + row * job->x_stride, job->x_stride, 2};
    int r = 0;
    if (job->blocking->lockstep == 2 && job->length <= NORMA_RUN_LEAF) {
        NO_UNROLL
        for (; r + 2 <= count; r += 2, x.x += 2 * x.stride) {
            reduce_leaf(statistic, partial + r, x, shape);
        }
    }
    NO_UNROLL
    for (; r < count; r++, x.x += x.stride) {
        partial[r] = reduce_leaves(statistic, x.x, job->length);
    }
}

/* What writing the rows takes. Root and divide of several rows overlap here; in the loop above they would not. */
INLINE void finish_group(const norma_rows_job *job, int64_t row, int count, const norma_partial *partial, row_affine *affine)
{
    const norma_normalizer *normalizer = job->normalizer;
    for (int r = 0; r < count; r++) {
        const norma_affine whole = norma_normalizer_affine(normalizer, &partial[r]);
        affine[r] = row_affine_of(&whole);
        store_statistic(job->mean, row + r, partial[r].mean);
        store_statistic(job->saved, row + r, norma_normalizer_saved(normalizer, &partial[r], whole.factor));
    }
}

/* One copy of each serves every step. */
NOINLINE void reduce_group_of(norma_statistic statistic, const norma_rows_job *job, const leaf_shape *shape, int64_t row,
                              int count, row_affine *affine)
{
    norma_partial partial[NORMA_GROUP_MAX];
    if (statistic == NORMA_MOMENTS) {
        reduce_group(NORMA_MOMENTS, job, shape, row, count, partial);
    } else if (statistic == NORMA_SQUARES) {
        reduce_group(NORMA_SQUARES, job, shape, row, count, partial);
    } else {
        reduce_group(NORMA_MAGNITUDES, job, shape, row, count, partial);
    }
    finish_group(job, row, count, partial, affine);
}

/* Elements [begin, end) of a group's rows. */
INLINE void write_strip(write_step step, out_rows out, const norma_blocking *blocking, const row_affine *affine, int count,
                        int64_t begin, int64_t end)
{
    int r = 0;
    if (blocking->lockstep == 2 && !blocking->stream) {
        step.lockstep = 2;
        NO_UNROLL
        for (; r + 2 <= count; r += 2, out.x += 2 * out.x_stride, out.y += 2 * out.y_stride) {
            write_rows(step, &out, affine + r, begin, end);
        }
    }
    step.lockstep = 1;
    NO_UNROLL
    for (; r < count; r++, out.x += out.x_stride, out.y += out.y_stride) {
        if (blocking->stream) {
            step.stream = true;
            write_rows(step, &out, affine + r, begin, end);
        } else {
            step.stream = false;
            write_rows(step, &out, affine + r, begin, end);
        }
    }
}

INLINE void normalize_rows(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    const norma_blocking *blocking = job->blocking;
    const leaf_shape shape = leaf_shape_of(job->length);
    row_affine affine[NORMA_GROUP_MAX];
    for (int64_t row = first; row < last; row += blocking->group) {
        const int rows = (int)(last - row < blocking->group ? last - row : blocking->group);
        const out_rows out = {(const real *)job->x + row * job->x_stride,
                              (real *)job->y + row * job->y_stride,
                              job->x_stride,
                              job->y_stride,
                              job->scale,
                              job->shift,
                              blocking->ahead};
        reduce_group_of(step.statistic, job, &shape, row, rows, affine);
        for (int64_t begin = 0; begin < job->length; begin += blocking->strip) {
            const int64_t left = job->length - begin;
            write_strip(step, out, blocking, affine, rows, begin, left < blocking->strip ? job->length : begin + blocking->strip);
        }
    }
    if (blocking->stream) {
        simd_fence();
    }
}

INLINE void write_run(write_step step, const norma_affine *affine, const real *x, real *y, const real *scale,
                      const real *shift, int64_t count)
{
    const row_affine row = row_affine_of(affine);
    const out_rows out = {x, y, 0, 0, scale, shift, 0};
    step.lockstep = 1;
    write_rows(step, &out, &row, 0, count);
}

/* Calls body(step, ...) with the step's flags as constants. Squares take no shift, magnitudes neither. */
#define WITH_CONSTANT_STEP(statistic_, job, scale, shift, body, ...)                                                           \
    do {                                                                                                                       \
        write_step step = {.statistic = (statistic_)};                                                                         \
        if ((statistic_) == NORMA_MOMENTS && (shift)) {                                                                        \
            step.has_shift = true;                                                                                             \
            if (scale) {                                                                                                       \
                step.has_scale = true;                                                                                         \
                body(step, __VA_ARGS__);                                                                                       \
            } else {                                                                                                           \
                body(step, __VA_ARGS__);                                                                                       \
            }                                                                                                                  \
        } else if ((statistic_) != NORMA_MAGNITUDES && (scale)) {                                                              \
            step.has_scale = true;                                                                                             \
            if ((statistic_) == NORMA_SQUARES && (job)->normalizer->one_plus_scale) {                                          \
                step.one_plus_scale = true;                                                                                    \
                body(step, __VA_ARGS__);                                                                                       \
            } else {                                                                                                           \
                body(step, __VA_ARGS__);                                                                                       \
            }                                                                                                                  \
        } else {                                                                                                               \
            body(step, __VA_ARGS__);                                                                                           \
        }                                                                                                                      \
    } while (0)

INLINE void rows_normalize(norma_statistic statistic, const norma_rows_job *job, int64_t first, int64_t last)
{
    WITH_CONSTANT_STEP(statistic, job, job->scale, job->shift, normalize_rows, job, first, last);
}

INLINE void rows_apply(norma_statistic statistic, const norma_rows_job *job, const norma_affine *affine, const void *x, void *y,
                       const void *scale, const void *shift, int64_t count)
{
    WITH_CONSTANT_STEP(statistic, job, scale, shift, write_run, affine, x, y, scale, shift, count);
}

INLINE norma_partial rows_reduce(norma_statistic statistic, const void *x, int64_t count)
{
    return reduce_leaves(statistic, x, count);
}

#define DEFINE_ROWS_KERNEL(statistic, value)                                                                                   \
    static void rows_##statistic##_normalize(const norma_rows_job *job, int64_t first, int64_t last)                                  \
    {                                                                                                                          \
        rows_normalize(value, job, first, last);                                                                               \
    }                                                                                                                          \
    static norma_partial rows_##statistic##_reduce(const void *x, int64_t count)                                                      \
    {                                                                                                                          \
        return rows_reduce(value, x, count);                                                                                   \
    }                                                                                                                          \
    static void rows_##statistic##_apply(const norma_rows_job *job, const norma_affine *affine, const void *x, void *y,               \
                                  const void *scale, const void *shift, int64_t count)                                         \
    {                                                                                                                          \
        rows_apply(value, job, affine, x, y, scale, shift, count);                                                             \
    }                                                                                                                          \
    const norma_rows_kernel NORMA_KERNEL_NAME(rows, statistic) = {                                                             \
        .normalize = rows_##statistic##_normalize, .reduce = rows_##statistic##_reduce, .apply = rows_##statistic##_apply}

DEFINE_ROWS_KERNEL(moments, NORMA_MOMENTS);
DEFINE_ROWS_KERNEL(squares, NORMA_SQUARES);
DEFINE_ROWS_KERNEL(magnitudes, NORMA_MAGNITUDES);

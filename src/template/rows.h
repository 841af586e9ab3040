/*
 * Rows: each reduced set is one contiguous run, and is written while it is still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_rows_<statistic>_<dtype>_<isa> for
 * every statistic.
 *
 * Rows go in groups. A group is reduced, then written, two rows at a time: they hide the latency of a row's end (sums across
 * lanes, root, divide) behind each other, and share what is loaded of scale and shift. Rereading a group stops the
 * hardware's prefetching, so writing it prefetches what comes next. Wide rows beyond the caches are written beside the
 * reduction of the next group instead (template/beside.h).
 */
#include "template/reduce.h"

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
            reduce_leaf(statistic, partial + r, x, shape, nothing_beside);
        }
    }
    NO_UNROLL
    for (; r < count; r++, x.x += x.stride) {
        partial[r] = reduce_leaves(statistic, x.x, job->length, nothing_beside);
    }
}

/* What writing a row takes, and what the caller asked to keep. Not inlined: compilers vectorize the loop below at any cost. */
NOINLINE void finish_row(const norma_rows_job *job, int64_t row, const norma_partial *partial, row_affine *affine)
{
    const norma_affine whole = norma_normalizer_affine(job->normalizer, partial);
    *affine = row_affine_of(&whole);
    store_statistic(job->mean, row, partial->mean);
    store_statistic(job->saved, row, norma_normalizer_saved(job->normalizer, partial, whole.factor));
}

/* Root and divide of several rows overlap here; in the loops that reduce they would not. */
INLINE void finish_group(const norma_rows_job *job, int64_t row, int count, const norma_partial *partial, row_affine *affine)
{
    for (int r = 0; r < count; r++) {
        finish_row(job, row + r, &partial[r], &affine[r]);
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

INLINE int group_size(const norma_rows_job *job, int64_t row, int64_t last)
{
    const int64_t group = job->blocking->group;
    return (int)(last - row < group ? last - row : group);
}

INLINE out_rows rows_from(const norma_rows_job *job, int64_t row)
{
    const out_rows out = {(const real *)job->x + row * job->x_stride,
                          (real *)job->y + row * job->y_stride,
                          job->x_stride,
                          job->y_stride,
                          job->scale,
                          job->shift,
                          job->blocking->ahead};
    return out;
}

/* Writes `count` rows of a group, side by side as far as step.lockstep goes; returns how many. */
INLINE int write_group(write_step step, out_rows *out, const row_affine *affine, int count, int64_t length)
{
    int r = 0;
    for (; r + step.lockstep <= count; r += step.lockstep) {
        write_rows(step, out, affine + r, 0, length);
        out->x += step.lockstep * out->x_stride;
        out->y += step.lockstep * out->y_stride;
    }
    return r;
}

INLINE void normalize_groups(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    const leaf_shape shape = leaf_shape_of(job->length);
    const bool stream = job->blocking->stream;
    row_affine affine[NORMA_GROUP_MAX];
    int count;
    step.fetch = true;
    for (int64_t row = first; row < last; row += count) {
        count = group_size(job, row, last);
        reduce_group_of(step.statistic, job, &shape, row, count, affine);
        out_rows out = rows_from(job, row);
        int written = 0;
        if (job->blocking->lockstep == 2 && !stream) {
            step.lockstep = 2;
            step.stream = false;
            written = write_group(step, &out, affine, count, job->length);
        }
        step.lockstep = 1;
        if (stream) {
            step.stream = true;
            write_group(step, &out, affine, count, job->length);
        } else {
            step.stream = false;
            write_group(step, &out, affine + written, count - written, job->length);
        }
    }
    if (stream) {
        simd_fence();
    }
}

/* For streaming stores only: in the caches, groups are faster. */
INLINE void normalize_beside(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    const leaf_shape shape = leaf_shape_of(job->length);
    row_affine affine[2][NORMA_GROUP_MAX];
    int now = 0;
    int count = group_size(job, first, last);
    step.lockstep = 1;
    step.stream = true;
    reduce_group_of(step.statistic, job, &shape, first, count, affine[now]);
    for (int64_t row = first; row < last; now = 1 - now) {
        group_writer w = {.first = rows_from(job, row),
                          .affine = affine[now],
                          .count = count,
                          .length = job->length,
                          .strip = job->blocking->strip};
        const beside also = {step, &w};
        group_writer_start(step, &w);
        row += count;
        count = group_size(job, row, last);
        norma_partial partial[NORMA_GROUP_MAX];
        for (int r = 0; r < count; r++) {
            const real *x = (const real *)job->x + (row + r) * job->x_stride;
            w.fetch = x + job->blocking->ahead;
            partial[r] = reduce_leaves(step.statistic, x, job->length, also);
        }
        beside_finish(also);
        finish_group(job, row, count, partial, affine[1 - now]);
    }
    simd_fence();
}

INLINE void normalize_rows(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    if (job->blocking->beside) {
        normalize_beside(step, job, first, last);
    } else {
        normalize_groups(step, job, first, last);
    }
}

INLINE void write_run(write_step step, const norma_affine *affine, const real *x, real *y, const real *scale, const real *shift,
                      int64_t count)
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
    return reduce_leaves(statistic, x, count, nothing_beside);
}

#define DEFINE_ROWS_KERNEL(statistic, value)                                                                                   \
    static void rows_##statistic##_normalize(const norma_rows_job *job, int64_t first, int64_t last)                           \
    {                                                                                                                          \
        rows_normalize(value, job, first, last);                                                                               \
    }                                                                                                                          \
    static norma_partial rows_##statistic##_reduce(const void *x, int64_t count)                                               \
    {                                                                                                                          \
        return rows_reduce(value, x, count);                                                                                   \
    }                                                                                                                          \
    static void rows_##statistic##_apply(const norma_rows_job *job, const norma_affine *affine, const void *x, void *y,        \
                                         const void *scale, const void *shift, int64_t count)                                  \
    {                                                                                                                          \
        rows_apply(value, job, affine, x, y, scale, shift, count);                                                             \
    }                                                                                                                          \
    const norma_rows_kernel NORMA_KERNEL_NAME(rows, statistic) = {                                                             \
        .normalize = rows_##statistic##_normalize, .reduce = rows_##statistic##_reduce, .apply = rows_##statistic##_apply}

DEFINE_ROWS_KERNEL(moments, NORMA_MOMENTS);
DEFINE_ROWS_KERNEL(squares, NORMA_SQUARES);
DEFINE_ROWS_KERNEL(magnitudes, NORMA_MAGNITUDES);

/*
 * Rows: each reduced set is one contiguous run, and is written while it is still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_rows_<statistic>_<dtype>_<isa> for
 * every statistic.
 *
 * Rows go in groups, and each group is written beside the reduction of the next. The latency of a row's end (sums across
 * lanes, root, divide) passes meanwhile, and reads and writes of memory are spread evenly.
 */
#include "template/reduce.h"

INLINE void store_statistic(void *out, int64_t index, double value)
{
    if (out) {
        ((real *)out)[index] = (real)value;
    }
}

/* Reduces `count` rows from `row` and leaves what writing them takes. */
INLINE void reduce_rows(norma_statistic statistic, int lockstep, const norma_rows_job *job, int64_t row, int count,
                        row_affine *affine, writer *beside)
{
    for (int q = 0; q < count; q += lockstep) {
        const runs x = {(const real *)job->x + (row + q) * job->x_stride, job->x_stride, lockstep};
        norma_partial partial[LOCKSTEP_MAX];
        reduce_leaves(statistic, partial, x, job->length, beside);
        UNROLL
        for (int r = 0; r < lockstep; r++) {
            const norma_affine whole = norma_normalizer_affine(job->normalizer, &partial[r]);
            affine[q + r] = row_affine_of(&whole);
            store_statistic(job->mean, row + q + r, partial[r].mean);
            store_statistic(job->saved, row + q + r, norma_normalizer_saved(job->normalizer, &partial[r], whole.factor));
        }
    }
}

/* The first group's reduction has nothing to write beside it; one copy serves every step. */
NOINLINE void reduce_first(norma_statistic statistic, int lockstep, const norma_rows_job *job, int64_t row, int count,
                           row_affine *affine)
{
    if (statistic == NORMA_MOMENTS) {
        if (lockstep == 1) {
            reduce_rows(NORMA_MOMENTS, 1, job, row, count, affine, NULL);
        } else {
            reduce_rows(NORMA_MOMENTS, 2, job, row, count, affine, NULL);
        }
    } else if (statistic == NORMA_SQUARES) {
        reduce_rows(NORMA_SQUARES, 1, job, row, count, affine, NULL);
    } else {
        reduce_rows(NORMA_MAGNITUDES, 1, job, row, count, affine, NULL);
    }
}

INLINE int group_size(const norma_rows_job *job, int64_t row, int64_t last)
{
    const int64_t group = job->blocking->group;
    return (int)(last - row < group ? last - row : group);
}

/* Rows [first, last), a multiple of step.lockstep many. */
INLINE void normalize_rows(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    row_affine affine[2][NORMA_GROUP_MAX];
    int now = 0;
    int64_t row = first;
    int rows = group_size(job, row, last);
    reduce_first(step.statistic, step.lockstep, job, row, rows, affine[now]);
    while (rows > 0) {
        writer w = {.step = step,
                    .x = (const real *)job->x + row * job->x_stride,
                    .y = (real *)job->y + row * job->y_stride,
                    .x_stride = job->x_stride,
                    .y_stride = job->y_stride,
                    .scale = job->scale,
                    .shift = job->shift,
                    .affine = affine[now],
                    .length = job->length,
                    .strip = job->blocking->strip,
                    .rows = rows,
                    .stream = job->blocking->stream};
        writer_start(&w);
        row += rows;
        now = 1 - now;
        rows = group_size(job, row, last);
        reduce_rows(step.statistic, step.lockstep, job, row, rows, affine[now], &w);
        writer_finish(&w);
    }
}

INLINE void normalize_with(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    /* In lockstep, streaming stores want the rows of y aligned alike. */
    const bool pairs = job->blocking->lockstep == 2 && (!job->blocking->stream || job->y_stride % NORMA_WIDTH == 0);
    const int64_t paired = pairs ? first + (last - first) / 2 * 2 : first;
    if (first < paired) {
        step.lockstep = 2;
        normalize_rows(step, job, first, paired);
    }
    if (paired < last) {
        step.lockstep = 1;
        normalize_rows(step, job, paired, last);
    }
    if (job->blocking->stream) {
        simd_fence();
    }
}

INLINE void write_run(write_step step, const norma_affine *affine, const real *x, real *y, const real *scale,
                      const real *shift, int64_t count)
{
    const row_affine row = row_affine_of(affine);
    step.lockstep = 1;
    writer w = {.step = step, .x = x, .y = y, .scale = scale, .shift = shift, .affine = &row, .length = count, .strip = count,
                .rows = 1};
    writer_start(&w);
    writer_finish(&w);
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
    WITH_CONSTANT_STEP(statistic, job, job->scale, job->shift, normalize_with, job, first, last);
}

INLINE void rows_apply(norma_statistic statistic, const norma_rows_job *job, const norma_affine *affine, const void *x, void *y,
                       const void *scale, const void *shift, int64_t count)
{
    WITH_CONSTANT_STEP(statistic, job, scale, shift, write_run, affine, x, y, scale, shift, count);
}

INLINE norma_partial rows_reduce(norma_statistic statistic, const void *x, int64_t count)
{
    const runs run = {x, 0, 1};
    norma_partial partial;
    reduce_leaves(statistic, &partial, run, count, NULL);
    return partial;
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

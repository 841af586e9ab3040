/*
 * The orders in which rows go: what is reduced while what is written.
 *
 * A row's end (sums across lanes, root, divide) is a long chain of dependent steps; rereading a row stops the hardware's
 * prefetching; and memory wants reading and writing at once. Which of these weighs most depends on where the tensor lies and
 * how wide its rows are, so there are three orders (norma_rows_order), all with the same bits. Rows go
 *   - in pairs, one being written while the next goes through the stages of its end;
 *   - abreast, each written beside the reduction of the next;
 *   - in groups, each written beside the reduction of the next, strip by strip.
 *
 * Pairs are compiled once for each statistic, whatever is written: that is called, a piece at a time (row_writers). The other
 * two have writing in the midst of their loops.
 */
#ifndef NORMA_ORDERS_H
#define NORMA_ORDERS_H

#include "template/reduce.h"

INLINE void store_statistic(void *out, int64_t index, double value)
{
    if (out) {
        ((real *)out)[index] = (real)value;
    }
}

/* What writing a row takes, and what the caller asked to keep. */
NOINLINE void finish_row(const norma_rows_job *job, int64_t row, const norma_partial *partial, row_affine *affine)
{
    norma_affine whole = norma_normalizer_affine(job->normalizer, partial);
    const bool one_channel = job->channels && job->per_channel == job->length;
    store_statistic(job->mean, row * job->set_stride, norma_normalizer_mean(job->normalizer, partial));
    store_statistic(job->saved, row * job->set_stride, norma_normalizer_saved(job->normalizer, partial, whole.factor));
    if (one_channel) {
        const parameters scales = parameters_of(job->scale, job->wide, ones),
                         shifts = parameters_of(job->shift, job->wide, negative_zeros);
        double scale = (double)parameter_at(&scales, row % job->channels);
        double shift = (double)parameter_at(&shifts, row % job->channels);
        if (modulates(&job->modulator)) {
            modulate(&job->modulator, job->wide, row, &scale, &shift);
        }
        whole = norma_affine_with(whole, scale, shift);
    }
    *affine = row_affine_of(&whole);
}

/*
 * Two rows on their way to being written. What follows a row's last element (sums across lanes, root, divide) is a long chain
 * of dependent steps, and a core that retires in order runs out of room for other work behind it. So it is done in stages
 * (reduce, join, finish), each well apart from the next, with writing in between.
 */
typedef struct row_pair {
    lane_sums lanes[2];
    norma_partial partial[2];
    row_affine affine[2];
} row_pair;

/* Elements [begin, end) of the first row of `rows`. */
typedef void write_piece(const out_rows *rows, const row_affine *affine, int64_t begin, int64_t end);

/* Of both rows of `count` pairs, which lie there one after the other. */
typedef void write_pieces(const out_rows *rows, const row_pair *pairs, int count, int64_t begin, int64_t end);

/* What a step is compiled into; NULL where there is no such. */
typedef struct row_writers {
    write_piece *one;
    write_pieces *two;
    write_piece *far; /* one, past the caches */
    void (*abreast)(const norma_rows_job *job, int64_t first, int64_t last);
    void (*groups)(const norma_rows_job *job, int64_t first, int64_t last);
    void (*apply)(const norma_rows_job *job, const norma_pieces *pieces);
    bool channels; /* rows have several */
} row_writers;

/* What pairs are compiled for. */
typedef struct pair_order {
    norma_statistic statistic;
    bool far; /* written past the caches */
} pair_order;

INLINE runs runs_from(const norma_rows_job *job, int64_t row, int count)
{
    const runs x = {(const element *)job->x + row * job->x_stride, job->x_stride, count};
    return x;
}

/* What is read from memory is best read in order. */
INLINE void reduce_pair(pair_order order, const norma_rows_job *job, const leaf_shape *shape, int64_t row, row_pair *pair)
{
    const int lockstep = order.far ? 1 : LOCKSTEP;
    NO_UNROLL
    for (int r = 0; r < 2; r += lockstep) {
        reduce_lanes(order.statistic, &pair->lanes[r], runs_from(job, row + r, lockstep), shape, NULL, nothing_beside);
    }
}

INLINE void join_pair(norma_statistic statistic, const norma_rows_job *job, const leaf_shape *shape, int64_t row,
                      row_pair *pair)
{
    join_leaf(statistic, pair->partial, pair->lanes, runs_from(job, row, 2), shape);
}

INLINE norma_partial reduce_whole(norma_statistic statistic, const norma_rows_job *job, int64_t row, beside also)
{
    return reduce_leaves(statistic, runs_from(job, row, 1).x, job->length, also);
}

/* A row that goes alone. One copy serves every step. */
NOINLINE row_affine reduce_row(norma_statistic statistic, const norma_rows_job *job, int64_t row)
{
    const norma_partial partial = statistic == NORMA_MOMENTS   ? reduce_whole(NORMA_MOMENTS, job, row, nothing_beside)
                                  : statistic == NORMA_SQUARES ? reduce_whole(NORMA_SQUARES, job, row, nothing_beside)
                                                               : reduce_whole(NORMA_MAGNITUDES, job, row, nothing_beside);
    row_affine affine;
    finish_row(job, row, &partial, &affine);
    return affine;
}

INLINE void finish_pair(const norma_rows_job *job, int64_t row, row_pair *pair)
{
    finish_row(job, row, &pair->partial[0], &pair->affine[0]);
    finish_row(job, row + 1, &pair->partial[1], &pair->affine[1]);
}

/* What stands for a scale that is absent. */
INLINE const stand_in *absent_scale(const norma_rows_job *job)
{
    return job->normalizer->one_plus_scale ? negative_zeros : ones;
}

/* `several`: rows have several channels. */
INLINE out_rows rows_from(bool several, const norma_rows_job *job, int64_t row)
{
    const norma_epilogue *e = job->epilogue;
    out_rows out; /* field by field: clearing those that most steps do not have costs as much as setting the others */
    out.x = (const element *)job->x + row * job->x_stride;
    out.x_stride = job->x_stride;
    out.y_pitch = job->y_stride * (int64_t)(e ? norma_dtype_size(e->y_dtype) : sizeof(element));
    out.y = (char *)job->y + row * out.y_pitch;
    out.scale = parameters_of(job->scale, job->wide, absent_scale(job));
    out.shift = parameters_of(job->shift, job->wide, negative_zeros);
    out.ahead = job->blocking->ahead;
    out.row = row;
    out.job = e || several ? job : NULL;
    if (e) {
        out.own_shift = job->channels > 0;
    }
    if (several) {
        out.channels = job->channels;
        out.per_channel = job->per_channel;
        out.channel = row * (job->length / job->per_channel);
    }
    return out;
}

/* The rows that follow the first `count`. */
INLINE void rows_skip(bool several, const norma_rows_job *job, out_rows *out, int64_t count)
{
    rows_advance(out, count);
    if (several) {
        out->channel += count * (job->length / job->per_channel);
    }
}

/* Elements [begin, end) of the pairs at `out`. */
INLINE void write_pairs(pair_order order, const row_writers *writers, const norma_rows_job *job, const out_rows *out,
                        const row_pair *pairs, int count, int64_t begin, int64_t end)
{
    if (begin == end) {
        return;
    }
    if (!order.far && writers->two) {
        writers->two(out, pairs, count, begin, end);
        return;
    }
    out_rows row = *out;
    NO_UNROLL
    for (int r = 0; r < 2 * count; r++) {
        (order.far ? writers->far : writers->one)(&row, &pairs[r / 2].affine[r % 2], begin, end);
        rows_skip(writers->channels, job, &row, 1);
    }
}

enum { PIECES = 3 };

/* Elements of a row that are written after each stage of the next. Any epilogue, which has no writer of two, takes much to
 * begin with, and may need the row whole. */
INLINE int64_t piece_of(const row_writers *writers, const norma_rows_job *job)
{
    return !writers->two && !writers->channels ? job->length
           : writers->channels                 ? job->length / job->per_channel / PIECES * job->per_channel
                                               : job->length / (2 * PIECES * NORMA_LANES) * (2 * NORMA_LANES);
}

/* A pair is written while the next goes through its stages, a piece after each. Rows are of one leaf. */
INLINE void normalize_pairs(pair_order order, const row_writers *writers, const norma_rows_job *job, int64_t first,
                            int64_t last)
{
    const leaf_shape shape = leaf_shape_of(job->length);
    const int64_t part = piece_of(writers, job), second = 2 * part < job->length ? 2 * part : job->length;
    row_pair pairs[2];
    int now = 0;
    pairs[now].affine[0] = reduce_row(order.statistic, job, first);
    pairs[now].affine[1] = reduce_row(order.statistic, job, first + 1);
    int64_t row = first;
    for (; row + 2 < last; row += 2, now = 1 - now) {
        const out_rows out = rows_from(writers->channels, job, row);
        row_pair *next = &pairs[1 - now];
        reduce_pair(order, job, &shape, row + 2, next);
        write_pairs(order, writers, job, &out, &pairs[now], 1, 0, part);
        join_pair(order.statistic, job, &shape, row + 2, next);
        write_pairs(order, writers, job, &out, &pairs[now], 1, part, second);
        finish_pair(job, row + 2, next);
        write_pairs(order, writers, job, &out, &pairs[now], 1, second, job->length);
    }
    const out_rows out = rows_from(writers->channels, job, row);
    write_pairs(order, writers, job, &out, &pairs[now], 1, 0, job->length);
}

INLINE int group_size(const norma_rows_job *job, int64_t row, int64_t last)
{
    const int64_t group = job->blocking->group;
    return (int)(last - row < group ? last - row : group);
}

INLINE void reduce_batch(pair_order order, const norma_rows_job *job, const leaf_shape *shape, int64_t row, row_pair *batch,
                         int rows)
{
    NO_UNROLL
    for (int r = 0; r < rows; r += 2) {
        reduce_pair(order, job, shape, row + r, &batch[r / 2]);
    }
    NO_UNROLL
    for (int r = 0; r < rows; r += 2) {
        join_pair(order.statistic, job, shape, row + r, &batch[r / 2]);
    }
}

INLINE void finish_batch(const norma_rows_job *job, int64_t row, row_pair *batch, int rows)
{
    for (int r = 0; r < rows; r += 2) {
        finish_pair(job, row + r, &batch[r / 2]);
    }
}

/* Rows too short to be cut in pieces go through the stages a few pairs at a time. Past the caches there is no room to wait
 * for: what counts is that writing follows reading closely. */
INLINE void normalize_batches(pair_order order, const row_writers *writers, const norma_rows_job *job, int64_t first,
                              int64_t last)
{
    assert(job->blocking->group >= 2 && job->blocking->group % 2 == 0);
    const leaf_shape shape = leaf_shape_of(job->length);
    row_pair batches[2][NORMA_GROUP_MAX / 2];
    row_pair *now = batches[0], *next = batches[1];
    int count = 0;
    for (int64_t row = first; row < last || count;) {
        const int more = group_size(job, row, last);
        reduce_batch(order, job, &shape, row, next, more);
        if (!order.far) {
            const out_rows out = rows_from(writers->channels, job, row - count);
            write_pairs(order, writers, job, &out, now, count / 2, 0, job->length);
        }
        finish_batch(job, row, next, more);
        if (order.far) {
            const out_rows out = rows_from(writers->channels, job, row);
            write_pairs(order, writers, job, &out, next, more / 2, 0, job->length);
        }
        row += more;
        count = more;
        row_pair *written = now;
        now = next;
        next = written;
    }
}

/* In pairs, or one by one what has no partner or is longer than a leaf; of integers, to spare the code, all. */
INLINE void go_in_turn(pair_order order, const row_writers *writers, const norma_rows_job *job, int64_t first, int64_t last)
{
    if (!NORMA_INTEGER && job->length <= NORMA_RUN_LEAF && first + 1 < last) {
        const int64_t even = last - (last - first) % 2;
        if (job->blocking->order == NORMA_PAIRS && (order.far || job->blocking->group > 2)) {
            normalize_batches(order, writers, job, first, even);
        } else {
            normalize_pairs(order, writers, job, first, even);
        }
        first = even;
    }
    for (; first < last; first++) {
        const row_affine affine = reduce_row(order.statistic, job, first);
        const out_rows out = rows_from(writers->channels, job, first);
        (order.far ? writers->far : writers->one)(&out, &affine, 0, job->length);
    }
}

#define DEFINE_IN_TURN(name, statistic)                                                                                        \
    NOINLINE void name##_in_turn(const row_writers *writers, const norma_rows_job *job, int64_t first, int64_t last)           \
    {                                                                                                                          \
        const pair_order near = {statistic, false}, far = {statistic, true};                                                   \
        if (NORMA_STREAMS && job->blocking->stream && writers->far) {                                                          \
            go_in_turn(far, writers, job, first, last);                                                                        \
        } else {                                                                                                               \
            go_in_turn(near, writers, job, first, last);                                                                       \
        }                                                                                                                      \
    }

DEFINE_IN_TURN(moments, NORMA_MOMENTS)
DEFINE_IN_TURN(squares, NORMA_SQUARES)
DEFINE_IN_TURN(magnitudes, NORMA_MAGNITUDES)

INLINE void normalize_in_turn(norma_statistic statistic, const row_writers *writers, const norma_rows_job *job, int64_t first,
                              int64_t last)
{
    (statistic == NORMA_MOMENTS   ? moments_in_turn
     : statistic == NORMA_SQUARES ? squares_in_turn
                                  : magnitudes_in_turn)(writers, job, first, last);
}

/* Each row is written beside the reduction of the next. Rows are of one leaf. */
INLINE void normalize_abreast(write_step step, write_piece *one, const norma_rows_job *job, int64_t first, int64_t last)
{
    assert(first < last);
    const leaf_shape shape = leaf_shape_of(job->length);
    const int64_t done = beside_done(shape.vectors);
    row_affine affine = reduce_row(step.statistic, job, first);
    int64_t row = first;
    for (; row + 1 < last; row++) {
        const row_writer writer = {rows_from(false, job, row), row_vectors_of(&affine)};
        const beside also = {step, NULL, &writer, 0};
        const runs x = runs_from(job, row + 1, 1);
        lane_sums lanes;
        norma_partial partial;
        reduce_lanes(step.statistic, &lanes, x, &shape, NULL, also);
        one(&writer.row, &affine, done, job->length);
        join_leaf(step.statistic, &partial, &lanes, x, &shape);
        finish_row(job, row + 1, &partial, &affine);
    }
    const out_rows out = rows_from(false, job, row);
    one(&out, &affine, 0, job->length);
}

/* Streams: only beyond the caches is this faster. */
INLINE void normalize_groups(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    row_affine affine[2][NORMA_GROUP_MAX];
    int now = 0;
    int count = group_size(job, first, last);
    for (int r = 0; r < count; r++) {
        affine[now][r] = reduce_row(step.statistic, job, first + r);
    }
    for (int64_t row = first; row < last; now = 1 - now) {
        group_writer w = {.first = rows_from(step.channels, job, row),
                          .affine = affine[now],
                          .count = count,
                          .length = job->length,
                          .strip = step.channels ? job->per_channel : job->blocking->strip};
        const beside also = {step, &w, NULL, 0};
        group_writer_start(step, &w);
        row += count;
        count = group_size(job, row, last);
        for (int r = 0; r < count; r++) {
            w.fetch = runs_from(job, row + r, 1).x + job->blocking->ahead;
            const norma_partial partial = reduce_whole(step.statistic, job, row + r, also);
            finish_row(job, row + r, &partial, &affine[1 - now][r]);
        }
        beside_finish(also);
    }
}

#endif

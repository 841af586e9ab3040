/*
 * Rows: each reduced set is one contiguous run, and is written while it is still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_rows_<statistic>_<dtype>_<isa> for
 * every statistic.
 *
 * A row's end (sums across lanes, root, divide) is a long chain of dependent steps; rereading a row stops the hardware's
 * prefetching; and memory wants reading and writing at once. Which of these weighs most depends on where the tensor lies and
 * how wide its rows are, so there are three orders (norma_rows_order), all with the same bits. Rows go
 *   - in pairs, one being written while the next goes through the stages of its end;
 *   - abreast, each written beside the reduction of the next;
 *   - in groups, each written beside the reduction of the next, strip by strip.
 */
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

INLINE runs runs_from(const norma_rows_job *job, int64_t row, int count)
{
    const runs x = {(const element *)job->x + row * job->x_stride, job->x_stride, count};
    return x;
}

/* What is read from memory is best read in order. */
INLINE void reduce_pair(write_step step, const norma_rows_job *job, const leaf_shape *shape, int64_t row, row_pair *pair)
{
    const int lockstep = step.stream ? 1 : LOCKSTEP;
    NO_UNROLL
    for (int r = 0; r < 2; r += lockstep) {
        reduce_lanes(step.statistic, &pair->lanes[r], runs_from(job, row + r, lockstep), shape, NULL, nothing_beside);
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

INLINE out_rows rows_from(write_step step, const norma_rows_job *job, int64_t row)
{
    out_rows out; /* field by field: clearing those that most steps do not have costs as much as setting the others */
    out.x = (const element *)job->x + row * job->x_stride;
    out.y = (char *)job->y + row * job->y_stride * y_size_of(step, job);
    out.x_stride = job->x_stride;
    out.y_stride = job->y_stride;
    out.scale = parameters_of(job->scale, job->wide, absent_scale(job));
    out.shift = parameters_of(job->shift, job->wide, negative_zeros);
    out.ahead = job->blocking->ahead;
    out.row = row;
    out.job = job->epilogue || step.channels ? job : NULL;
    if (job->epilogue) {
        out.own_shift = job->channels > 0;
        out.extremes = NULL;
    }
    if (step.channels) {
        out.channels = job->channels;
        out.per_channel = job->per_channel;
        out.channel = row * (job->length / job->per_channel);
    }
    return out;
}

/* The rows that follow the first `count`. */
INLINE void rows_skip(write_step step, const norma_rows_job *job, out_rows *out, int64_t count)
{
    rows_advance(step, out, count);
    if (step.channels) {
        out->channel += count * (job->length / job->per_channel);
    }
}

/* Elements [begin, end) of the pair at `out`. */
INLINE void write_pair(write_step step, const norma_rows_job *job, const out_rows *out, const row_pair *pair, int64_t begin,
                       int64_t end)
{
    if (step.stream || step.channels) {
        out_rows row = *out;
        NO_UNROLL
        for (int r = 0; r < 2; r++) {
            write_rows(step, &row, &pair->affine[r], begin, end);
            rows_skip(step, job, &row, 1);
        }
    } else {
        step.lockstep = 2;
        write_rows(step, out, pair->affine, begin, end);
    }
}

enum { PIECES = 3 };

/* Elements of a row that are written after each stage of the next. */
INLINE int64_t piece_of(write_step step, const norma_rows_job *job)
{
    return step.channels ? job->length / job->per_channel / PIECES * job->per_channel
                         : job->length / (2 * PIECES * NORMA_LANES) * (2 * NORMA_LANES);
}

/* A pair is written while the next goes through its stages, a piece after each. Rows are of one leaf. */
INLINE void normalize_pairs(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    const leaf_shape shape = leaf_shape_of(job->length);
    const int64_t part = piece_of(step, job);
    row_pair pairs[2];
    int now = 0;
    pairs[now].affine[0] = reduce_row(step.statistic, job, first);
    pairs[now].affine[1] = reduce_row(step.statistic, job, first + 1);
    int64_t row = first;
    for (; row + 2 < last; row += 2, now = 1 - now) {
        const out_rows out = rows_from(step, job, row);
        row_pair *next = &pairs[1 - now];
        reduce_pair(step, job, &shape, row + 2, next);
        write_pair(step, job, &out, &pairs[now], 0, part);
        join_pair(step.statistic, job, &shape, row + 2, next);
        write_pair(step, job, &out, &pairs[now], part, 2 * part);
        finish_pair(job, row + 2, next);
        write_pair(step, job, &out, &pairs[now], 2 * part, job->length);
    }
    const out_rows out = rows_from(step, job, row);
    write_pair(step, job, &out, &pairs[now], 0, job->length);
}

INLINE int group_size(const norma_rows_job *job, int64_t row, int64_t last)
{
    const int64_t group = job->blocking->group;
    return (int)(last - row < group ? last - row : group);
}

INLINE void reduce_batch(write_step step, const norma_rows_job *job, const leaf_shape *shape, int64_t row, row_pair *batch,
                         int rows)
{
    NO_UNROLL
    for (int r = 0; r < rows; r += 2) {
        reduce_pair(step, job, shape, row + r, &batch[r / 2]);
    }
    NO_UNROLL
    for (int r = 0; r < rows; r += 2) {
        join_pair(step.statistic, job, shape, row + r, &batch[r / 2]);
    }
}

INLINE void finish_batch(const norma_rows_job *job, int64_t row, row_pair *batch, int rows)
{
    for (int r = 0; r < rows; r += 2) {
        finish_pair(job, row + r, &batch[r / 2]);
    }
}

INLINE void write_batch(write_step step, const norma_rows_job *job, int64_t row, const row_pair *batch, int rows)
{
    out_rows out = rows_from(step, job, row);
    NO_UNROLL
    for (int r = 0; r < rows; r += 2) {
        write_pair(step, job, &out, &batch[r / 2], 0, job->length);
        rows_skip(step, job, &out, 2);
    }
}

/* Rows too short to be cut in pieces go through the stages a few pairs at a time. Past the caches there is no room to wait
 * for: what counts is that writing follows reading closely. */
INLINE void normalize_batches(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    assert(job->blocking->group >= 2 && job->blocking->group % 2 == 0);
    const leaf_shape shape = leaf_shape_of(job->length);
    row_pair batches[2][NORMA_GROUP_MAX / 2];
    row_pair *now = batches[0], *next = batches[1];
    int count = 0;
    for (int64_t row = first; row < last || count;) {
        const int more = group_size(job, row, last);
        reduce_batch(step, job, &shape, row, next, more);
        if (!step.stream) {
            write_batch(step, job, row - count, now, count);
        }
        finish_batch(job, row, next, more);
        if (step.stream) {
            write_batch(step, job, row, next, more);
        }
        row += more;
        count = more;
        row_pair *written = now;
        now = next;
        next = written;
    }
}

/* Each row is written beside the reduction of the next. Rows are of one leaf. */
INLINE void normalize_abreast(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    assert(first < last);
    const leaf_shape shape = leaf_shape_of(job->length);
    const int64_t done = beside_done(shape.vectors);
    row_affine affine = reduce_row(step.statistic, job, first);
    int64_t row = first;
    for (; row + 1 < last; row++) {
        const row_writer writer = {rows_from(step, job, row), row_vectors_of(&affine)};
        const beside also = {step, NULL, &writer, 0};
        const runs x = runs_from(job, row + 1, 1);
        lane_sums lanes;
        norma_partial partial;
        reduce_lanes(step.statistic, &lanes, x, &shape, NULL, also);
        write_rows(step, &writer.row, &affine, done, job->length);
        join_leaf(step.statistic, &partial, &lanes, x, &shape);
        finish_row(job, row + 1, &partial, &affine);
    }
    const out_rows out = rows_from(step, job, row);
    write_rows(step, &out, &affine, 0, job->length);
}

/* In pairs, or one by one what has no partner or is longer than a leaf; of integers, to spare the code, all. */
INLINE void normalize_in_turn(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    if (!NORMA_INTEGER && job->length <= NORMA_RUN_LEAF && first + 1 < last) {
        const int64_t even = last - (last - first) % 2;
        if (job->blocking->order == NORMA_PAIRS && (step.stream || job->blocking->group > 2)) {
            normalize_batches(step, job, first, even);
        } else {
            normalize_pairs(step, job, first, even);
        }
        first = even;
    }
    for (; first < last; first++) {
        const row_affine affine = reduce_row(step.statistic, job, first);
        const out_rows out = rows_from(step, job, first);
        write_rows(step, &out, &affine, 0, job->length);
    }
}

/* Streams: only beyond the caches is this faster. */
INLINE void normalize_grouped(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    row_affine affine[2][NORMA_GROUP_MAX];
    int now = 0;
    int count = group_size(job, first, last);
    for (int r = 0; r < count; r++) {
        affine[now][r] = reduce_row(step.statistic, job, first + r);
    }
    for (int64_t row = first; row < last; now = 1 - now) {
        group_writer w = {.first = rows_from(step, job, row),
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
    simd_fence();
}

/* One line per step: the statistic; whether there is a scale along the row, one to add 1 to, one after rounding; or a shift of
 * the row's own, or of its channels'. */
#define ROW_STEPS(X)                                                                                                           \
    X(centered, NORMA_MOMENTS, true, false, false, false, false)                                                               \
    X(centered_own_shift, NORMA_MOMENTS, false, false, false, true, false)                                                     \
    X(centered_channels, NORMA_MOMENTS, false, false, false, true, true)                                                       \
    X(root, NORMA_SQUARES, true, false, false, false, false)                                                                   \
    X(root_one_plus_scale, NORMA_SQUARES, true, true, false, false, false)                                                     \
    X(root_rounded, NORMA_SQUARES, true, false, true, false, false)                                                            \
    X(sum, NORMA_MAGNITUDES, false, false, false, false, false)

/* What a step is compiled into. */
typedef struct row_writers {
    void (*normalize)(const norma_rows_job *job, int64_t first, int64_t last);
    void (*apply)(const norma_rows_job *job, const norma_pieces *pieces);
} row_writers;

INLINE void apply_pieces(write_step step, const norma_rows_job *job, const norma_pieces *pieces)
{
    out_rows out = {.x = pieces->x,
                    .y = pieces->y,
                    .x_stride = pieces->x_stride,
                    .y_stride = pieces->y_stride,
                    .scale = parameters_of(pieces->scale, job->wide, absent_scale(job)),
                    .shift = parameters_of(pieces->shift, job->wide, negative_zeros),
                    .ahead = job->blocking->ahead};
    norma_rows_job with = *job;
    if (step.epilogue != EPILOGUE_NONE) {
        with.companions = pieces->companions;
        with.companion_stride = with.modulation_stride = pieces->y_stride;
        with.modulation_rows = 1;
        out.job = &with;
        out.own_shift = pieces->affine->own_shift;
    }
    const bool quantized = step.epilogue == EPILOGUE_ANY && pieces->affine_for_each &&
                           job->epilogue->quantization == NORMA_QUANTIZATION_PER_CHANNEL;
    row_affine row = row_affine_of(pieces->affine);
    NO_UNROLL
    for (int64_t r = 0; r < pieces->runs; r++) {
        if (pieces->affine_for_each) {
            row = row_affine_of(&pieces->affine[r]);
        }
        write_rows(step, &out, &row, 0, pieces->count);
        rows_advance(step, &out, 1);
        if (quantized) {
            with.companions.y_scale++;
        }
    }
}

#define DEFINE_WRITERS(name, statistic_, affine_, one_plus_, round_, own_, channels_)                                          \
    NOINLINE void normalize_##name##_grouped(const norma_rows_job *job, int64_t first, int64_t last)                           \
    {                                                                                                                          \
        const write_step step = {statistic_, affine_, one_plus_, round_, own_, channels_, true, false, 1, EPILOGUE_NONE};      \
        normalize_grouped(step, job, first, last);                                                                             \
    }                                                                                                                          \
    NOINLINE void normalize_##name##_abreast(const norma_rows_job *job, int64_t first, int64_t last)                           \
    {                                                                                                                          \
        const write_step step = {statistic_, affine_, one_plus_, round_, own_, channels_, false, true, 1, EPILOGUE_NONE};      \
        normalize_abreast(step, job, first, last);                                                                             \
    }                                                                                                                          \
    NOINLINE void normalize_##name##_stream(const norma_rows_job *job, int64_t first, int64_t last)                            \
    {                                                                                                                          \
        const write_step step = {statistic_, affine_, one_plus_, round_, own_, channels_, true, true, 1, EPILOGUE_NONE};       \
        normalize_in_turn(step, job, first, last);                                                                             \
        simd_fence();                                                                                                          \
    }                                                                                                                          \
    NOINLINE void normalize_##name##_cached(const norma_rows_job *job, int64_t first, int64_t last)                            \
    {                                                                                                                          \
        const write_step step = {statistic_, affine_, one_plus_, round_, own_, channels_, false, true, 1, EPILOGUE_NONE};      \
        normalize_in_turn(step, job, first, last);                                                                             \
    }                                                                                                                          \
    static void normalize_##name(const norma_rows_job *job, int64_t first, int64_t last)                                       \
    {                                                                                                                          \
        const norma_rows_order order = NORMA_STREAMS ? job->blocking->order : NORMA_PAIRS;                                     \
        const bool one_leaf = job->length <= NORMA_RUN_LEAF;                                                                   \
        (order == NORMA_GROUPS                              ? normalize_##name##_grouped                                       \
         : order == NORMA_ABREAST && one_leaf && !channels_ ? normalize_##name##_abreast                                       \
         : NORMA_STREAMS && job->blocking->stream           ? normalize_##name##_stream                                        \
                                                            : normalize_##name##_cached)(job, first, last);                              \
    }                                                                                                                          \
    static void apply_##name(const norma_rows_job *job, const norma_pieces *pieces)                                            \
    {                                                                                                                          \
        const write_step step = {statistic_, affine_, one_plus_, round_, own_, false, false, false, 1, EPILOGUE_NONE};         \
        const write_step far_step = {statistic_, affine_, one_plus_, round_, own_, false, true, true, 1, EPILOGUE_NONE};       \
        if (NORMA_STREAMS && job->blocking->stream) {                                                                          \
            apply_pieces(far_step, job, pieces);                                                                               \
        } else {                                                                                                               \
            apply_pieces(step, job, pieces);                                                                                   \
        }                                                                                                                      \
    }                                                                                                                          \
    static const row_writers name##_writers = {normalize_##name, apply_##name};

ROW_STEPS(DEFINE_WRITERS)

/* The scale that makes a row's range fit its integers, and the zero point. */
NOINLINE void fit_row(const norma_rows_job *job, int64_t row, const real *extremes, float *y_scale, int *zero_point)
{
    double low = 0, high = 0;
    for (int i = 0; i < NORMA_WIDTH; i++) {
        low = (double)extremes[i] < low ? (double)extremes[i] : low;
        high = (double)extremes[NORMA_WIDTH + i] > high ? (double)extremes[NORMA_WIDTH + i] : high;
    }
    const bool is_signed = job->epilogue->y_dtype == NORMA_S8;
    const double range = is_signed ? (-low > high ? -low : high) / 127 : (high - low) / 255;
    *y_scale = range > (double)FLT_MAX ? FLT_MAX : (float)range;
    *y_scale = *y_scale == 0 ? 1 : *y_scale;
    *zero_point = is_signed ? 0 : (int)rint(-low / (double)*y_scale);
    *zero_point = *zero_point > 255 ? 255 : *zero_point;
    job->y_scale[row * job->set_stride] = *y_scale;
    if (job->y_zero_point) {
        job->y_zero_point[row * job->set_stride] = (uint8_t)*zero_point;
    }
}

/* Each row is gone through once more before it is written, for the range of its y. */
INLINE void quantize_rows(write_step step, const norma_rows_job *job, int64_t first, int64_t last)
{
    for (int64_t row = first; row < last; row++) {
        real extremes[2 * NORMA_WIDTH] = {0};
        norma_rows_job fitted = *job;
        norma_epilogue epilogue = *job->epilogue;
        float y_scale;
        const row_affine affine = reduce_row(step.statistic, job, row);
        out_rows out = rows_from(step, job, row);
        out.extremes = extremes;
        write_rows(step, &out, &affine, 0, job->length);
        fit_row(job, row, extremes, &y_scale, &epilogue.zero_point);
        fitted.epilogue = &epilogue;
        fitted.companions.y_scale = &y_scale;
        out.job = &fitted;
        out.extremes = NULL;
        write_rows(step, &out, &affine, 0, job->length);
    }
}

/* Likewise with any epilogue, in turn whatever the order: the statistic, and whether rows have channels. */
#define ANY_STEPS(X)                                                                                                           \
    X(any_centered, NORMA_MOMENTS, false)                                                                                      \
    X(any_channels, NORMA_MOMENTS, true)                                                                                       \
    X(any_root, NORMA_SQUARES, false)                                                                                          \
    X(any_sum, NORMA_MAGNITUDES, false)

#define DEFINE_ANY_WRITERS(name, statistic_, channels_)                                                                        \
    NOINLINE void normalize_##name(const norma_rows_job *job, int64_t first, int64_t last)                                     \
    {                                                                                                                          \
        const write_step step = {                                                                                              \
            .statistic = statistic_, .own_shift = channels_, .channels = channels_, .lockstep = 1, .epilogue = EPILOGUE_ANY};  \
        if (!channels_ && job->epilogue->quantization == NORMA_QUANTIZATION_PER_ROW) {                                         \
            quantize_rows(step, job, first, last);                                                                             \
        } else {                                                                                                               \
            normalize_in_turn(step, job, first, last);                                                                         \
        }                                                                                                                      \
        simd_fence();                                                                                                          \
    }                                                                                                                          \
    static void apply_##name(const norma_rows_job *job, const norma_pieces *pieces)                                            \
    {                                                                                                                          \
        const write_step step = {.statistic = statistic_, .lockstep = 1, .epilogue = EPILOGUE_ANY};                            \
        apply_pieces(step, job, pieces);                                                                                       \
    }                                                                                                                          \
    static const row_writers name##_writers = {normalize_##name, apply_##name};

ANY_STEPS(DEFINE_ANY_WRITERS)

/* Batch norm and its kin before a ReLU: in the caches a second function call for each run would show. */
static void apply_clamped(const norma_rows_job *job, const norma_pieces *pieces)
{
    const write_step step = {.own_shift = true, .lockstep = 1, .epilogue = EPILOGUE_CLAMP};
    const write_step far_step = {.own_shift = true, .stream = true, .fetch = true, .lockstep = 1, .epilogue = EPILOGUE_CLAMP};
    if (NORMA_STREAMS && job->blocking->stream) {
        apply_pieces(far_step, job, pieces);
    } else {
        apply_pieces(step, job, pieces);
    }
}

static const row_writers clamped_writers = {normalize_any_centered, apply_clamped};

INLINE const row_writers *any_writers_of(norma_statistic statistic, const norma_rows_job *job, bool own)
{
    if (statistic == NORMA_MOMENTS) {
        return job->channels && job->per_channel < job->length ? &any_channels_writers
               : own && job->epilogue->clamps                  ? &clamped_writers
                                                               : &any_centered_writers;
    }
    return statistic == NORMA_SQUARES ? &any_root_writers : &any_sum_writers;
}

INLINE const row_writers *row_writers_of(norma_statistic statistic, const norma_rows_job *job, bool own)
{
    if (NORMA_INTEGER || job->epilogue) {
        return any_writers_of(statistic, job, own);
    }
    const norma_normalizer *normalizer = job->normalizer;
    if (statistic == NORMA_MOMENTS && own) {
        return job->channels && job->per_channel < job->length ? &centered_channels_writers : &centered_own_shift_writers;
    }
    if (statistic == NORMA_SQUARES) {
        return normalizer->one_plus_scale                       ? &root_one_plus_scale_writers
               : NORMA_NARROW && normalizer->round_before_scale ? &root_rounded_writers
                                                                : &root_writers;
    }
    return statistic == NORMA_MOMENTS ? &centered_writers : &sum_writers;
}

INLINE void rows_normalize(norma_statistic statistic, const norma_rows_job *job, int64_t first, int64_t last)
{
    row_writers_of(statistic, job, job->channels)->normalize(job, first, last);
}

INLINE void rows_apply(norma_statistic statistic, const norma_rows_job *job, const norma_pieces *pieces)
{
    row_writers_of(statistic, job, pieces->affine->own_shift)->apply(job, pieces);
}

INLINE norma_partial rows_reduce(norma_statistic statistic, const void *x, int64_t count)
{
    return reduce_leaves(statistic, x, count, nothing_beside);
}

/* A tile of sums: to job->sum and, where that goes past the caches, to its copy. */
INLINE void store_sums(const norma_sum_job *job, int64_t at, const real *tile, int count, element *copy)
{
    store_tile(ELEMENT_DTYPE, job->sum, at, tile, count, copy != NULL);
    if (copy) {
        store_tile(ELEMENT_DTYPE, copy, 0, tile, count, false);
    }
}

/* Elements [at, end), all of one row; copy or NULL, from element `at` on. */
NOINLINE void sum_row(const norma_sum_job *job, int64_t at, int64_t end, element *copy)
{
    _Alignas(64) real tile[TILE], residual[TILE];
    const int64_t first = at, row = at / job->length;
    const parameters bias = parameters_of(job->bias, job->wide, negative_zeros);
    const parameters residual_gate =
        parameters_from(parameters_of(job->residual_gate, job->wide, ones), row / job->gate_rows * job->length);
    for (; at < end; at += TILE) {
        const int count = end - at < TILE ? (int)(end - at) : TILE;
        const int64_t index = at - row * job->length;
        load_tile(job->x_dtype, job->x, at, tile, count);
        if (!job->residual) {
            gate_tile(job->gating, job->gate, at, tile, count);
            store_sums(job, at, tile, count, copy ? copy + (at - first) : NULL);
            continue;
        }
        load_tile(ELEMENT_DTYPE, job->residual, at, residual, count);
        NO_UNROLL
        for (int k = 0; k < count; k += NORMA_WIDTH) {
            const int lanes = count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH;
            const vec gate = load_parameters(&residual_gate, index + k, 0, lanes);
            const vec x = V(fma)(gate, V(load)(residual + k), V(load)(tile + k));
            V(store)(tile + k, V(add)(x, load_parameters(&bias, index + k, 0, lanes)));
        }
        store_sums(job, at, tile, count, copy ? copy + (at - first) : NULL);
    }
}

/* A vector of sums, or its first lanes, likewise. */
INLINE void store_sum(element *sum, element *copy, vec v, int lanes)
{
    if (lanes < NORMA_WIDTH) {
        M(store_part)(sum, v, lanes);
    } else if (copy) {
        M(stream)(sum, v);
    } else {
        M(store)(sum, v);
    }
    if (copy) {
        lanes < NORMA_WIDTH ? M(store_part)(copy, v, lanes) : M(store)(copy, v);
    }
}

/* x + residual and nothing else, of one type. */
INLINE void add(const element *x, const element *residual, element *sum, element *copy, int64_t count)
{
    enum { AT_ONCE = 4 };
    int64_t i = 0;
    NO_UNROLL
    for (; i + AT_ONCE * NORMA_WIDTH <= count; i += AT_ONCE * NORMA_WIDTH) {
        UNROLL
        for (int k = 0; k < AT_ONCE; k++) {
            const int64_t at = i + k * NORMA_WIDTH;
            const vec v = V(add)(M(load)(x + at), M(load)(residual + at));
            store_sum(sum + at, copy ? copy + at : NULL, v, NORMA_WIDTH);
        }
    }
    NO_UNROLL
    for (; i < count; i += NORMA_WIDTH) {
        const int lanes = count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH;
        const vec v = V(add)(M(load_part)(x + i, lanes), M(load_part)(residual + i, lanes));
        store_sum(sum + i, copy ? copy + i : NULL, v, lanes);
    }
}

INLINE void sum_all(const norma_sum_job *job, int64_t first, int64_t last, element *copy)
{
    if (job->residual && !job->residual_gate && !job->bias && job->x_dtype == ELEMENT_DTYPE) {
        add((const element *)job->x + first, (const element *)job->residual + first, (element *)job->sum + first, copy,
            last - first);
        return;
    }
    for (int64_t at = first, end; at < last; at = end) {
        end = (at / job->length + 1) * job->length;
        end = end < last ? end : last;
        sum_row(job, at, end, copy ? copy + (at - first) : NULL);
    }
}

static void sum(const norma_sum_job *job, int64_t first, int64_t last)
{
    if (NORMA_STREAMS && job->copy) {
        sum_all(job, first, last, job->copy);
        simd_fence();
    } else {
        sum_all(job, first, last, NULL);
    }
}

static void settle(void)
{
    simd_fence();
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
    static void rows_##statistic##_reduce_runs(const void *x, int64_t count, int64_t stride, int64_t many,                     \
                                               norma_partial *partials)                                                        \
    {                                                                                                                          \
        const runs from = {x, stride, 1};                                                                                      \
        reduce_short_runs(value, from, count, many, partials);                                                                 \
    }                                                                                                                          \
    static void rows_##statistic##_apply(const norma_rows_job *job, const norma_pieces *pieces)                                \
    {                                                                                                                          \
        rows_apply(value, job, pieces);                                                                                        \
    }                                                                                                                          \
    const norma_rows_kernel NORMA_KERNEL_NAME(rows, statistic) = {.normalize = rows_##statistic##_normalize,                   \
                                                                  .reduce = rows_##statistic##_reduce,                         \
                                                                  .reduce_runs = rows_##statistic##_reduce_runs,               \
                                                                  .apply = rows_##statistic##_apply,                           \
                                                                  .sum = sum,                                                  \
                                                                  .settle = settle}

DEFINE_ROWS_KERNEL(moments, NORMA_MOMENTS);
DEFINE_ROWS_KERNEL(squares, NORMA_SQUARES);
DEFINE_ROWS_KERNEL(magnitudes, NORMA_MAGNITUDES);

/*
 * Rows: each reduced set is one contiguous run, and is written while it is still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_rows_<statistic>_<dtype>_<isa> for
 * every statistic.
 *
 * template/orders.h says in which order rows are reduced and written, template/write.h how one is written, in steps chosen by
 * constants. Here is the list of steps, what each is compiled into, and which of them a job takes.
 */
#include "template/orders.h"
#include "template/sums.h"

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

INLINE void apply_pieces(write_step step, const norma_rows_job *job, const norma_pieces *pieces)
{
    out_rows out = {.x = pieces->x,
                    .y = pieces->y,
                    .x_stride = pieces->x_stride,
                    .y_pitch = pieces->y_stride *
                               (int64_t)(job->epilogue ? norma_dtype_size(job->epilogue->y_dtype) : sizeof(element)),
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
    if (step.epilogue == EPILOGUE_CLAMP) {
        out.least = activation_bound(job->epilogue->alpha);
        out.most = activation_bound(job->epilogue->beta);
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
        rows_advance(&out, 1);
        if (quantized) {
            with.companions.y_scale++;
        }
    }
}

#define WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, channels_, stream_, fetch_, lockstep_)                        \
    {                                                                                                                          \
        .statistic = statistic_, .affine = affine_, .one_plus_scale = one_plus_, .round = round_, .own_shift = own_,           \
        .channels = channels_, .stream = stream_, .fetch = fetch_, .lockstep = lockstep_, .epilogue = EPILOGUE_NONE            \
    }

/* Rows are copied, so that no store to y makes the loops load them again. */
#define DEFINE_WRITERS(name, statistic_, affine_, one_plus_, round_, own_, channels_)                                          \
    static void name##_one(const out_rows *rows, const row_affine *affine, int64_t begin, int64_t end)                         \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, channels_, false, true, 1);           \
        const out_rows here = *rows;                                                                                           \
        write_rows(step, &here, affine, begin, end);                                                                           \
    }                                                                                                                          \
    static void name##_two(const out_rows *rows, const row_pair *pairs, int count, int64_t begin, int64_t end)                 \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, false, false, true, 2);               \
        out_rows now = *rows;                                                                                                  \
        NO_UNROLL                                                                                                              \
        for (int k = 0; k < count; k++) {                                                                                      \
            write_rows(step, &now, pairs[k].affine, begin, end);                                                               \
            rows_advance(&now, 2);                                                                                             \
        }                                                                                                                      \
    }                                                                                                                          \
    static void name##_far(const out_rows *rows, const row_affine *affine, int64_t begin, int64_t end)                         \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, channels_, true, true, 1);            \
        const out_rows here = *rows;                                                                                           \
        write_rows(step, &here, affine, begin, end);                                                                           \
    }                                                                                                                          \
    static void name##_abreast(const norma_rows_job *job, int64_t first, int64_t last)                                         \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, false, false, true, 1);               \
        normalize_abreast(step, name##_one, job, first, last);                                                                 \
    }                                                                                                                          \
    static void name##_groups(const norma_rows_job *job, int64_t first, int64_t last)                                          \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, channels_, true, false, 1);           \
        normalize_groups(step, job, first, last);                                                                              \
    }                                                                                                                          \
    static void name##_apply(const norma_rows_job *job, const norma_pieces *pieces)                                            \
    {                                                                                                                          \
        const write_step step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, false, false, false, 1);              \
        const write_step far_step = WRITE_STEP(statistic_, affine_, one_plus_, round_, own_, false, true, true, 1);            \
        if (NORMA_STREAMS && job->blocking->stream) {                                                                          \
            apply_pieces(far_step, job, pieces);                                                                               \
        } else {                                                                                                               \
            apply_pieces(step, job, pieces);                                                                                   \
        }                                                                                                                      \
    }                                                                                                                          \
    static const row_writers name##_writers = {.one = name##_one,                                                              \
                                               .two = channels_ ? NULL : name##_two,                                           \
                                               .far = NORMA_STREAMS ? name##_far : NULL,                                       \
                                               .abreast = NORMA_STREAMS && !channels_ ? name##_abreast : NULL,                 \
                                               .groups = NORMA_STREAMS ? name##_groups : NULL,                                 \
                                               .apply = name##_apply,                                                          \
                                               .channels = channels_};

ROW_STEPS(DEFINE_WRITERS)

/* Rows with any epilogue: whether they have channels. */
#define DEFINE_ANY_WRITERS(name, channels_)                                                                                    \
    static void name##_one(const out_rows *rows, const row_affine *affine, int64_t begin, int64_t end)                         \
    {                                                                                                                          \
        const write_step step = {.own_shift = channels_, .channels = channels_, .lockstep = 1, .epilogue = EPILOGUE_ANY};      \
        write_rows(step, rows, affine, begin, end);                                                                            \
    }                                                                                                                          \
    static void name##_apply(const norma_rows_job *job, const norma_pieces *pieces)                                            \
    {                                                                                                                          \
        const write_step step = {.lockstep = 1, .epilogue = EPILOGUE_ANY};                                                     \
        apply_pieces(step, job, pieces);                                                                                       \
    }                                                                                                                          \
    static const row_writers name##_writers = {.one = name##_one, .apply = name##_apply, .channels = channels_};

DEFINE_ANY_WRITERS(any, false)
DEFINE_ANY_WRITERS(any_channels, true)

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

enum { KEPT = 8192 }; /* lanes of a row that are kept until its range is known; longer rows are gone through twice */

/* Integers of a row whose y has been kept. */
INLINE void put_kept(const out_rows *rows, const norma_epilogue *e, const float *y_scale, const real *kept, int64_t count)
{
    epilogue_line line = line_of_row(rows);
    line.epilogue = e;
    line.y_scale = y_scale;
    line.fitted = true;
    line.stream = line.stream && (uintptr_t)rows->y % NORMA_WIDTH == 0;
    quantize_tile(&line, 0, kept, (int)count);
}

/* A whole row, with the scale that fits it. */
static void fitted_one(const out_rows *rows, const row_affine *affine, int64_t begin, int64_t end)
{
    assert(begin == 0 && end == rows->job->length);
    _Alignas(64) real kept[KEPT];
    real extremes[2 * NORMA_WIDTH] = {0};
    norma_epilogue lanes = *rows->job->epilogue, integers = lanes;
    epilogue_line line = line_of_row(rows);
    float y_scale;
    if (end <= KEPT) {
        lanes.y_dtype = sizeof(real) == 8 ? NORMA_F64 : NORMA_F32;
        lanes.quantization = NORMA_QUANTIZATION_NONE;
        line.epilogue = &lanes;
        line.y = kept;
        line.stream = false;
        write_line(rows, &line, affine, begin, end);
        measure_tile(extremes, kept, (int)end);
        fit_row(rows->job, rows->row, extremes, &y_scale, &integers.zero_point);
        put_kept(rows, &integers, &y_scale, kept, end);
        return;
    }
    line.extremes = extremes;
    write_line(rows, &line, affine, begin, end);
    fit_row(rows->job, rows->row, extremes, &y_scale, &integers.zero_point);
    line = line_of_row(rows);
    line.epilogue = &integers;
    line.y_scale = &y_scale;
    write_line(rows, &line, affine, begin, end);
}

static const row_writers fitted_writers = {.one = fitted_one};

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

static const row_writers clamped_writers = {.one = any_one, .apply = apply_clamped};

/* Of a job, or of pieces whose scale and shift are their own. */
INLINE const row_writers *row_writers_of(norma_statistic statistic, const norma_rows_job *job, bool own)
{
    const norma_normalizer *normalizer = job->normalizer;
    const bool several = statistic == NORMA_MOMENTS && job->channels && job->per_channel < job->length;
    if (NORMA_INTEGER || job->epilogue) {
        return several                                                      ? &any_channels_writers
               : statistic == NORMA_MOMENTS && own && job->epilogue->clamps ? &clamped_writers
                                                                            : &any_writers;
    }
    if (statistic == NORMA_MOMENTS && own) {
        return several ? &centered_channels_writers : &centered_own_shift_writers;
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
    const bool fitted = job->epilogue && job->epilogue->quantization == NORMA_QUANTIZATION_PER_ROW;
    const row_writers *writers = fitted ? &fitted_writers : row_writers_of(statistic, job, job->channels);
    const norma_rows_order order = job->blocking->order;
    if (order == NORMA_GROUPS && writers->groups) {
        writers->groups(job, first, last);
    } else if (order == NORMA_ABREAST && writers->abreast && job->length <= NORMA_RUN_LEAF) {
        writers->abreast(job, first, last);
    } else {
        normalize_in_turn(statistic, writers, job, first, last);
    }
    if (NORMA_STREAMS && (job->blocking->stream || order == NORMA_GROUPS)) {
        simd_fence(); /* where nothing was streamed it would wait for all that is stored */
    }
}

INLINE void rows_apply(norma_statistic statistic, const norma_rows_job *job, const norma_pieces *pieces)
{
    row_writers_of(statistic, job, pieces->affine->own_shift)->apply(job, pieces);
}

INLINE norma_partial rows_reduce(norma_statistic statistic, const void *x, int64_t count)
{
    return reduce_leaves(statistic, x, count, nothing_beside);
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

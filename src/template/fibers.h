/*
 * Fibers: each reduced set is a column of a matrix, or some neighbouring ones, and a strip of columns is written while it is
 * still in cache.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_fibers_<statistic>_<dtype>_<isa> for
 * every statistic.
 */
#include "template/epilogue.h"
#include "template/strip.h"

enum {
    WRITE_VECTORS = NORMA_REGISTERS / 4, /* columns side by side whose center, factor and low are in registers */
    NARROW_ROWS = 32,                    /* at a time of a matrix no wider than that: one stretch of memory */
    WIDE_ROWS = 2                        /* of others: they share what is loaded, and more would make too many streams */
};

/* How rows are written, chosen by constants. */
typedef struct fiber_step {
    norma_statistic statistic;
    bool affine; /* a scale and a shift for each row */
    bool clamp;  /* an epilogue that only clamps */
    bool stream;
    bool fetch; /* prefetch x some way ahead */
} fiber_step;

/* Rows at work, a constant stride apart. */
typedef struct fiber_rows {
    const element *x;
    element *y;
    parameters scale; /* one per row */
    parameters shift;
    int64_t x_stride;
    int64_t y_stride;
    int64_t count;
    int64_t ahead;
    real least, most; /* of a clamp; held here, since compilers would read the epilogue again after each store */
} fiber_rows;

INLINE vec write_one(fiber_step step, const fiber_rows *rows, int64_t k, vec x, vec center, vec factor, vec low)
{
    const vec out = step.statistic == NORMA_MOMENTS ? V(fma)(V(sub)(x, center), factor, low) : V(mul)(x, factor);
    if (step.clamp) {
        return activate_clamp(out, V(set1)(rows->least), V(set1)(rows->most));
    }
    return step.affine ? V(fma)(out, V(set1)(parameter_at(&rows->scale, k)), V(set1)(parameter_at(&rows->shift, k))) : out;
}

/* `vectors` (a constant) of columns from column `at` of the strip, of the last only `lanes` lanes. */
INLINE void write_vectors(fiber_step step, const strip *s, const fiber_rows *rows, int64_t at, int vectors, int lanes)
{
    const int together = vectors % AT_A_TIME ? 1 : AT_A_TIME;
    vec center[WRITE_VECTORS], factor[WRITE_VECTORS], low[WRITE_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        center[v] = V(load)(s->a + at + v * NORMA_WIDTH);
        factor[v] = V(load)(s->b + at + v * NORMA_WIDTH);
        low[v] = V(load)(s->c + at + v * NORMA_WIDTH);
    }
    const element *x = rows->x + at;
    element *y = rows->y + at;
    NO_UNROLL
    for (int64_t k = 0; k < rows->count; k++) {
        const element *next = x + rows->ahead;
        OPAQUE(next);
        vec out[WRITE_VECTORS];
        UNROLL
        for (int v = 0; v < vectors; v++) {
            if (step.fetch && lanes == NORMA_WIDTH && v % NORMA_LINE_VECTORS == 0) {
                simd_prefetch(next + v * NORMA_WIDTH);
            }
            out[v] = write_one(step, rows, k, load_lanes(x + v * NORMA_WIDTH, lanes), center[v], factor[v], low[v]);
            if (lanes < NORMA_WIDTH) {
                M(store_part)(y + v * NORMA_WIDTH, out[v], lanes);
            } else if ((v + 1) % together == 0) {
                store_vectors(y + (v + 1 - together) * NORMA_WIDTH, &out[v + 1 - together], together, step.stream);
            }
        }
        x += rows->x_stride;
        y += rows->y_stride;
    }
}

/* `count` rows from `row`, of the strip's first columns. */
INLINE void write_rows(fiber_step step, const strip *s, int64_t columns, int64_t row, int64_t count)
{
    const norma_fibers_job *job = s->job;
    const norma_axis *inner = &job->axes[job->axes_count - 1];
    int64_t in_x, in_y;
    row_offset(job, row, &in_x, &in_y);
    fiber_rows rows = {.x = (const element *)job->x + in_x + s->first,
                       .y = (element *)job->y + in_y + s->first,
                       .x_stride = inner->x_stride,
                       .y_stride = inner->y_stride,
                       .count = count,
                       .ahead = s->backwards ? -job->blocking->ahead : job->blocking->ahead};
    if (step.clamp) {
        rows.least = activation_bound(job->epilogue->alpha);
        rows.most = activation_bound(job->epilogue->beta);
    }
    if (step.affine) {
        rows.scale = parameters_from(parameters_of(job->scale, job->wide, ones), row);
        rows.shift = parameters_from(parameters_of(job->shift, job->wide, negative_zeros), row);
    }
    int64_t at = 0;
    for (; at + WRITE_VECTORS * NORMA_WIDTH <= columns; at += WRITE_VECTORS * NORMA_WIDTH) {
        write_vectors(step, s, &rows, at, WRITE_VECTORS, NORMA_WIDTH);
    }
    if (at + WRITE_VECTORS / 2 * NORMA_WIDTH <= columns) {
        write_vectors(step, s, &rows, at, WRITE_VECTORS / 2, NORMA_WIDTH);
        at += WRITE_VECTORS / 2 * NORMA_WIDTH;
    }
    NO_UNROLL
    for (; at + NORMA_WIDTH <= columns; at += NORMA_WIDTH) {
        write_vectors(step, s, &rows, at, 1, NORMA_WIDTH);
    }
    if (at < columns) {
        write_vectors(step, s, &rows, at, 1, (int)(columns - at));
    }
}

INLINE void write_strip(fiber_step step, const strip *s)
{
    const norma_fibers_job *job = s->job;
    const int64_t suits = s->columns <= WRITE_VECTORS * NORMA_WIDTH ? NARROW_ROWS : WIDE_ROWS;
    const int64_t most = job->blocking->rows ? job->blocking->rows : suits;
    const int64_t extent = job->axes[job->axes_count - 1].extent;
    if (job->rest) {
        write_rows(step, s, job->rest, job->rows, 1);
    }
    int64_t first = job->first_row, last = job->rows;
    while (first < last) {
        int64_t count = last - first < most ? last - first : most;
        if (job->axes_count > 1) { /* a division that one axis need not pay for */
            const int64_t in_axis = s->backwards ? (last - 1) % extent + 1 : extent - first % extent;
            count = count < in_axis ? count : in_axis;
        }
        write_rows(step, s, s->columns, s->backwards ? last - count : first, count);
        first += s->backwards ? 0 : count;
        last -= s->backwards ? count : 0;
    }
}

/* Streaming stores want every row of y aligned to the vector at the strip's first column. */
INLINE bool can_stream(const norma_fibers_job *job, int64_t first)
{
    const size_t size = job->epilogue ? norma_dtype_size(job->epilogue->y_dtype) : sizeof(element);
    bool aligned = ((uintptr_t)job->y + (uintptr_t)first * size) % (NORMA_WIDTH * size) == 0;
    for (int k = 0; k < job->axes_count; k++) {
        aligned = aligned && job->axes[k].y_stride % NORMA_WIDTH == 0;
    }
    return job->blocking->stream && aligned;
}

INLINE void write_with(fiber_step step, const strip *s)
{
    if (can_stream(s->job, s->first)) {
        step.stream = step.fetch = true;
        write_strip(step, s);
        simd_fence();
    } else if (s->job->blocking->ahead) {
        step.stream = false;
        step.fetch = true;
        write_strip(step, s);
    } else {
        step.stream = step.fetch = false;
        write_strip(step, s);
    }
}

/* One element where a column's factor times its scale may leave the type's range; else the bits that write_one() gives. */
INLINE real write_element(const strip *s, int64_t i, real x)
{
    const norma_fibers_job *job = s->job;
    const int64_t channel = (job->column + s->first + i) / job->per_channel;
    const norma_partial partial = partial_of_column(s, i);
    const double factor = norma_normalizer_affine(job->normalizer, &partial).factor;
    const parameters scales = parameters_of(job->scale, job->wide, ones),
                     shifts = parameters_of(job->shift, job->wide, negative_zeros);
    double scale = (double)parameter_at(&scales, channel), shift = (double)parameter_at(&shifts, channel);
    if (modulates(&job->modulator)) {
        modulate(&job->modulator, job->wide, channel, &scale, &shift);
    }
    if (real_product_fits(factor, scale)) {
        return V(get0)(V(fma)(V(sub)(V(set1)(x), V(set1)(s->a[i])), V(set1)(s->b[i]), V(set1)(s->c[i])));
    }
    return (real)(((double)x - partial.mean) * (double)real_factor(factor)) * (real)scale + (real)shift;
}

/* The line of a row of the strip, where it goes by what a job has; from element `at` of its companions and of y on. */
INLINE epilogue_line line_of_strip(const strip *s, int64_t at)
{
    const norma_fibers_job *job = s->job;
    const norma_epilogue *e = job->epilogue;
    epilogue_line line = epilogue_line_of(e, &job->companions, job->wide, at);
    line.y = (char *)job->y + at * (int64_t)norma_dtype_size(e->y_dtype);
    if (e->quantization == NORMA_QUANTIZATION_PER_CHANNEL && job->channels) {
        line.y_scale = s->y_scale;
        line.y_scale_along = true;
    }
    return line;
}

/* The strip element by element. */
NOINLINE void write_wide(const strip *s)
{
    const norma_fibers_job *job = s->job;
    for (int64_t row = job->first_row; row < job->rows + (job->rest > 0); row++) {
        int64_t in_x, in_y;
        row_offset(job, row, &in_x, &in_y);
        const element *x = (const element *)job->x + in_x + s->first;
        for (int64_t i = 0; i < (row < job->rows ? s->columns : job->rest); i++) {
            const real out = write_element(s, i % s->own, element_at(x, i));
            if (job->epilogue) {
                _Alignas(64) real tile[TURN] = {0};
                const epilogue_line line = line_of_strip(s, in_y + s->first);
                *target_of(&line, PASS_AFFINE, i, tile).at = out;
                finish_tile(&line, false, i, tile, 1);
            } else {
                set_element((element *)job->y + in_y + s->first, i, out);
            }
        }
    }
}

/* A row of a strip at work with any epilogue. */
typedef struct any_row {
    const element *x;
    real scale;
    real shift;
} any_row;

/* The affine of any step, in the same bits: see affine_vector() of template/affine.h. */
INLINE vec write_any_columns(const strip *s, const any_row *row, int64_t at, int lanes)
{
    const vec x = load_lanes(row->x + at, lanes);
    const vec out = V(fma)(V(sub)(x, V(load)(s->a + at)), V(load)(s->b + at), V(load)(s->c + at));
    return V(fma)(out, V(set1)(row->scale), V(set1)(row->shift));
}

INLINE void write_any_row(const strip *s, const any_row *row, const epilogue_line *line, int64_t columns)
{
    _Alignas(64) real tile[TILE];
    const tile_target to = target_of(line, PASS_AFFINE, 0, tile);
    assert(columns <= TILE);
    NO_UNROLL
    for (int at = 0; at < columns; at += NORMA_WIDTH) {
        const int lanes = columns - at < NORMA_WIDTH ? (int)columns - at : NORMA_WIDTH;
        put_vector(&to, at, write_any_columns(s, row, at, lanes), lanes);
    }
    finish_tile(line, false, 0, tile, (int)columns);
}

/* The scale and shift of a row, where they go by row. */
INLINE void row_parameters(const norma_fibers_job *job, int64_t row, any_row *out)
{
    const parameters scales = parameters_of(job->scale, job->wide, ones);
    const parameters shifts = parameters_of(job->shift, job->wide, negative_zeros);
    double scale = (double)parameter_at(&scales, row), shift = (double)parameter_at(&shifts, row);
    if (modulates(&job->modulator)) {
        modulate(&job->modulator, job->wide, row, &scale, &shift);
    }
    out->scale = (real)scale;
    out->shift = (real)shift;
}

/* A strip with any epilogue. One copy serves all. */
NOINLINE void write_strip_any(const strip *s)
{
    const norma_fibers_job *job = s->job;
    const bool along_rows = !job->channels, stream = can_stream(job, s->first);
    const bool quantized = along_rows && job->epilogue->quantization == NORMA_QUANTIZATION_PER_CHANNEL;
    const int64_t last = job->rows + (job->rest > 0);
    any_row now = {.scale = 1, .shift = -(real)0};
    for (int64_t step = job->first_row; step < last; step++) {
        const int64_t row = s->backwards ? last - 1 - (step - job->first_row) : step;
        int64_t in_x, in_y;
        row_offset(job, row, &in_x, &in_y);
        epilogue_line line = line_of_strip(s, in_y + s->first);
        line.stream = stream;
        line.y_scale = quantized ? line.y_scale + row : line.y_scale;
        now.x = (const element *)job->x + in_x + s->first;
        if (along_rows) {
            row_parameters(job, row, &now);
        }
        write_any_row(s, &now, &line, row < job->rows ? s->columns : job->rest);
    }
    if (stream) {
        simd_fence();
    }
}

/* A strip whose statistics are known. Of the ops with fibers only channel norm has scale and shift along the rows. */
INLINE void write_strip_of(norma_statistic statistic, const strip *s)
{
    const norma_fibers_job *job = s->job;
    fiber_step step = {.statistic = statistic};
    const norma_epilogue *e = job->epilogue;
    if (RARELY(job->channels && s->wide)) {
        write_wide(s);
    } else if (!NORMA_INTEGER && statistic == NORMA_MOMENTS && e && job->channels && e->clamps) {
        step.clamp = true;
        write_with(step, s);
    } else if (NORMA_INTEGER || e) {
        write_strip_any(s);
    } else if (statistic == NORMA_MOMENTS && !job->channels && (job->scale || job->shift)) {
        step.affine = true;
        write_with(step, s);
    } else {
        write_with(step, s);
    }
}

/* One copy serves all who write. */
NOINLINE void write_columns(norma_statistic statistic, const strip *s)
{
    if (statistic == NORMA_MOMENTS) {
        write_strip_of(NORMA_MOMENTS, s);
    } else { /* only moments have more than a factor */
        write_strip_of(NORMA_SQUARES, s);
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
        s.backwards = !job->blocking->forward;
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
    s.backwards = job->backwards;
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

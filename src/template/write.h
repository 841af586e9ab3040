/*
 * Writing rows: y from x once the statistics are known.
 */
#ifndef NORMA_WRITE_H
#define NORMA_WRITE_H

#include "template/epilogue.h"

/* What one vector goes through, chosen by constants. Squares and magnitudes have no center. */
typedef struct write_step {
    norma_statistic statistic;
    bool affine;         /* a scale and, where statistics are centered, a shift for each element */
    bool one_plus_scale; /* with affine */
    bool round;          /* with affine: to the type of y before the scale */
    bool own_shift;      /* one scale and one shift for the whole row, instead of the three above */
    bool channels;       /* with own_shift: for each of the row's channels */
    bool stream;
    bool fetch;   /* prefetch x some way ahead */
    int lockstep; /* rows at a time: a vector of scale and shift, once loaded, serves them all */
    epilogue_kind epilogue;
} write_step;

/* Rows to write; scale and shift start at the same element as x and y, unless rows have channels. */
typedef struct out_rows {
    const element *x;
    void *y; /* elements but with any epilogue, which may have another type */
    int64_t x_stride;
    int64_t y_pitch; /* bytes */
    parameters scale;
    parameters shift;
    int64_t ahead;             /* elements: x is prefetched this far ahead */
    const norma_rows_job *job; /* whose epilogue and companions they have, or NULL for none; or whose channels */
    int64_t row;               /* of the job; this and the next two with any epilogue */
    bool own_shift;            /* as in write_step, decided at run time */
    real least, most;          /* of a clamp; held here, since compilers would read the epilogue again after each store */
    int64_t channel;     /* of the first element, counted on over all rows; this and the next two where the step has channels */
    int64_t channels;    /* after the last comes the first */
    int64_t per_channel; /* elements */
} out_rows;

/* Row r of y. */
INLINE element *elements_of(const out_rows *rows, int r)
{
    return (element *)((char *)rows->y + r * rows->y_pitch);
}

/* The affine of a channel; `counted` goes on over all samples. */
INLINE row_affine row_affine_of_channel(const out_rows *rows, const row_affine *affine, int64_t channel, int64_t counted)
{
    double scale = (double)parameter_at(&rows->scale, channel), shift = (double)parameter_at(&rows->shift, channel);
    if (modulates(&rows->job->modulator)) {
        modulate(&rows->job->modulator, rows->job->wide, counted, &scale, &shift);
    }
    return row_affine_with(*affine, scale, shift);
}

/* The rows that follow the first `count`, as far as they lie alike. */
INLINE void rows_advance(out_rows *rows, int64_t count)
{
    rows->x += count * rows->x_stride;
    rows->y = (char *)rows->y + count * rows->y_pitch;
    rows->row += count;
}

INLINE vec write_vector(write_step step, const row_vectors *row, vec x, vec scale, vec shift)
{
    const vec y = step.statistic == NORMA_MOMENTS ? write_normalized(row, x) : V(mul)(x, row->factor);
    if (step.own_shift) {
        return V(fma)(y, row->scale, row->shift);
    }
    if (!step.affine) {
        return y;
    }
    return step.statistic == NORMA_MOMENTS ? V(fma)(y, scale, shift) : V(mul)(step.round ? round_to_element(y) : y, scale);
}

/* What a step adds to what a vector goes through, in the loops that do not take just any epilogue. */
INLINE vec write_clamped(write_step step, const out_rows *rows, vec y)
{
    if (step.epilogue != EPILOGUE_CLAMP) {
        return y;
    }
    return activate_clamp(y, V(set1)(rows->least), V(set1)(rows->most));
}

INLINE vec load_scale(write_step step, const out_rows *rows, int64_t i, int k, int lanes)
{
    if (!step.affine) {
        return V(zero)();
    }
    const vec scale = load_parameters(&rows->scale, i, k, lanes);
    return step.one_plus_scale ? V(add)(scale, V(set1)(1)) : scale;
}

INLINE vec load_shift(write_step step, const out_rows *rows, int64_t i, int k, int lanes)
{
    return step.affine && step.statistic == NORMA_MOMENTS ? load_parameters(&rows->shift, i, k, lanes) : V(zero)();
}

/* `count` (a constant) whole vectors from element i. */
INLINE void write_vectors(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int count)
{
    const int together = count % AT_A_TIME ? 1 : AT_A_TIME;
    UNROLL
    for (int k = 0; k < count; k += together) {
        const int64_t at = i + k * NORMA_WIDTH;
        vec scale[AT_A_TIME], shift[AT_A_TIME];
        UNROLL
        for (int j = 0; j < together; j++) {
            scale[j] = load_scale(step, rows, i, k + j, NORMA_WIDTH);
            shift[j] = load_shift(step, rows, i, k + j, NORMA_WIDTH);
        }
        UNROLL
        for (int r = 0; r < step.lockstep; r++) {
            const element *x = rows->x + r * rows->x_stride + at;
            element *y = elements_of(rows, r) + at;
            if (step.fetch && k % NORMA_LINE_VECTORS == 0) {
                /* At the pace of lockstep through the rows that follow, which a dense tensor has next to each other. */
                const element *next = rows->x + rows->ahead + step.lockstep * at + r * NORMA_LINE_VECTORS * NORMA_WIDTH;
                if (step.stream) {
                    simd_prefetch_once(next);
                } else {
                    simd_prefetch(next);
                }
            }
            vec v[AT_A_TIME];
            UNROLL
            for (int j = 0; j < together; j++) {
                const vec from = M(load)(x + j * NORMA_WIDTH);
                v[j] = write_clamped(step, rows, write_vector(step, &row[r], from, scale[j], shift[j]));
            }
            store_vectors(y, v, together, step.stream);
        }
    }
}

/* `count` elements, at most a vector, from element i. */
INLINE void write_part(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int count)
{
    const vec scale = load_scale(step, rows, i, 0, count), shift = load_shift(step, rows, i, 0, count);
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        const vec x = M(load_part)(rows->x + r * rows->x_stride + i, count);
        M(store_part)
        (elements_of(rows, r) + i, write_clamped(step, rows, write_vector(step, &row[r], x, scale, shift)), count);
    }
}

/* Streaming stores want y aligned to the vector: so many of `count` elements of a size lie before that. */
INLINE int64_t head_of(bool stream, uintptr_t y, int64_t size, int64_t count)
{
    const int64_t head = stream ? (int64_t)(-y % (uintptr_t)(NORMA_WIDTH * size)) / size : 0;
    return head < count ? head : count;
}

/* Writes those. Returns where to go on. */
INLINE int64_t write_head(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int64_t end)
{
    const int64_t count = head_of(step.stream, (uintptr_t)(elements_of(rows, 0) + i), sizeof(element), end - i);
    if (count) {
        write_part(step, rows, row, i, (int)count);
    }
    return i + count;
}

/* Elements [i, end), fewer than are worth unrolling for. */
INLINE void write_rest(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int64_t end)
{
    NO_UNROLL
    for (; i + NORMA_WIDTH <= end; i += NORMA_WIDTH) {
        write_vectors(step, rows, row, i, 1);
    }
    if (i < end) {
        write_part(step, rows, row, i, (int)(end - i));
    }
}

/* The line of a row's companions and y. */
INLINE epilogue_line line_of_row(const out_rows *rows)
{
    const norma_rows_job *job = rows->job;
    const norma_epilogue *e = job->epilogue;
    epilogue_line line = epilogue_line_of(e, &job->companions, job->wide, 0);
    if (e->modulated) {
        const int64_t modulated = rows->row / job->modulation_rows * job->modulation_stride;
        line.modulation_scale = parameters_from(line.modulation_scale, modulated);
        line.modulation_shift = parameters_from(line.modulation_shift, modulated);
    }
    line.residual = companion_from(line.residual, e->residual_dtype, rows->row * job->companion_stride);
    line.gate = companion_from(line.gate, e->gating.dtype, rows->row * job->companion_stride);
    line.y_scale_along = e->quantization == NORMA_QUANTIZATION_PER_CHANNEL && !rows->own_shift;
    line.y = rows->y;
    line.stream = NORMA_STREAMS && job->blocking->stream;
    return line;
}

/* What the line begins with. A modulation of what has no other scale and shift is just that. (Field by field: a copy of what
 * was just written waits for it.) */
INLINE void start_line(const out_rows *rows, epilogue_line *line, const row_affine *affine, tile_affine *a)
{
    const norma_normalizer *normalizer = rows->job->normalizer;
    const bool instead = line->modulated && !rows->own_shift && !rows->scale.mask && !rows->shift.mask;
    const parameters *scale = instead ? &line->modulation_scale : &rows->scale;
    const parameters *shift = instead ? &line->modulation_shift : &rows->shift;
    const bool plus = instead ? !line->epilogue->modulation_plain : normalizer->one_plus_scale;
    const row_vectors row = row_vectors_of(affine);
    a->row.center = row.center;
    a->row.low = row.low;
    a->row.factor = row.factor;
    a->row.scale = row.scale;
    a->row.shift = row.shift;
    a->scale.at = scale->at;
    a->scale.mask = scale->mask;
    a->scale.wide = scale->wide;
    a->shift.at = shift->at;
    a->shift.mask = shift->mask;
    a->shift.wide = shift->wide;
    a->one = V(set1)(plus ? 1 : -(real)0);
    a->round = normalizer->round_before_scale;
    a->x = rows->x;
    a->ahead = rows->ahead;
    line->modulated = line->modulated && !instead;
}

/* Elements [i, end) of a row up to the end of a line, beginning with those before y is aligned to what streaming stores write.
 * One copy serves all. */
NOINLINE void write_line(const out_rows *rows, epilogue_line *line, const row_affine *affine, int64_t i, int64_t end)
{
    const int64_t size = (int64_t)norma_dtype_size(line->epilogue->y_dtype);
    tile_affine a;
    start_line(rows, line, affine, &a);
    int64_t stop = i + head_of(line->stream, (uintptr_t)line->y + (uintptr_t)(i * size), size, end - i);
    _Alignas(64) real tile[TILE];
    NO_UNROLL
    for (; i < end; i = stop) {
        stop = stop > i ? stop : end - i < TILE ? end : i + TILE;
        start_tile(line, &a, rows->own_shift, i, tile, (int)(stop - i));
        finish_tile(line, starts_activated(line), i, tile, (int)(stop - i));
    }
}

/* Likewise of the line that a row has, whatever its step and epilogue. */
INLINE void write_any(const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    epilogue_line line = line_of_row(rows);
    write_line(rows, &line, affine, i, end);
}

/* Elements [i, end), y aligned as the step wants it. */
INLINE void write_loops(write_step step, const out_rows *rows, const row_vectors *row, int64_t i, int64_t end)
{
    enum { AT_ONCE = NORMA_PARTS < 4 ? 4 : NORMA_PARTS };
    NO_UNROLL
    for (; i + AT_ONCE / step.lockstep * NORMA_WIDTH <= end; i += AT_ONCE / step.lockstep * NORMA_WIDTH) {
        write_vectors(step, rows, row, i, AT_ONCE / step.lockstep);
    }
    write_rest(step, rows, row, i, end);
}

/* Of which scale and shift are of a type known to the compiler: narrow types leave no time to ask for it at every load. */
INLINE out_rows rows_with_parameters(const out_rows *rows, bool wide)
{
    out_rows known = *rows;
    known.scale.wide = known.shift.wide = wide;
    return known;
}

/* Elements [i, end) of step.lockstep rows that have one affine from end to end. */
INLINE void write_plain(write_step step, const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    if (step.epilogue == EPILOGUE_ANY) {
        write_any(rows, affine, i, end);
        return;
    }
    row_vectors row[LOCKSTEP_MAX];
    UNROLL
    for (int r = 0; r < step.lockstep; r++) {
        row[r] = row_vectors_of(&affine[r]);
    }
    i = write_head(step, rows, row, i, end);
    if (NORMA_NARROW && step.affine && rows->scale.wide) {
        const out_rows known = rows_with_parameters(rows, true);
        write_loops(step, &known, row, i, end);
    } else if (NORMA_NARROW && step.affine) {
        const out_rows known = rows_with_parameters(rows, false);
        write_loops(step, &known, row, i, end);
    } else if (NORMA_NARROW && step.own_shift && row_folds(&affine[0]) && row_folds(&affine[step.lockstep - 1])) {
        step.own_shift = false;
        write_loops(step, rows, row, i, end);
    } else {
        write_loops(step, rows, row, i, end);
    }
}

/* Elements [i, end) of step.lockstep rows, or of one that has channels; they begin and end with one. */
INLINE void write_rows(write_step step, const out_rows *rows, const row_affine *affine, int64_t i, int64_t end)
{
    if (!step.channels) {
        write_plain(step, rows, affine, i, end);
        return;
    }
    const int64_t each = rows->per_channel;
    int64_t counted = rows->channel + i / each, channel = counted % rows->channels;
    NO_UNROLL
    for (; i < end; i += each, counted++) {
        const row_affine with = row_affine_of_channel(rows, affine, channel, counted);
        if (step.epilogue == EPILOGUE_ANY && rows->job->epilogue->quantization == NORMA_QUANTIZATION_PER_CHANNEL) {
            norma_rows_job job = *rows->job;
            out_rows quantized = *rows;
            job.companions.y_scale += channel;
            quantized.job = &job;
            write_plain(step, &quantized, &with, i, i + each);
        } else {
            write_plain(step, rows, &with, i, i + each);
        }
        channel = channel + 1 < rows->channels ? channel + 1 : 0;
    }
}

#endif

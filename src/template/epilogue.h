/*
 * What follows the affine on its way to memory: modulation, a residual, an activation, a gate, and the type of y.
 *
 * Which of them is decided at run time, a tile of elements at a time, in L1: what one is lets all go by in a loop of its own,
 * so that one copy of each serves every norm, and a branch costs nothing. What costs next to nothing itself, CLAMP, is compiled
 * into the loops that plain norms have (template/rows.h, template/fibers.h).
 */
#ifndef NORMA_EPILOGUE_H
#define NORMA_EPILOGUE_H

#include "template/activate.h"
#include "template/quantize.h"

/* How a loop is compiled. */
typedef enum epilogue_kind {
    EPILOGUE_NONE,
    EPILOGUE_CLAMP, /* to [alpha, beta] */
    EPILOGUE_ANY    /* whatever the job says */
} epilogue_kind;

/* What an element goes through after its affine, in this order. */
typedef enum epilogue_pass { PASS_AFFINE, PASS_MODULATE, PASS_ADD, PASS_ACTIVATE, PASS_GATE } epilogue_pass;

/* Elements in line on their way to memory; all that is here begins at the same one. */
typedef struct epilogue_line {
    const norma_epilogue *epilogue;
    bool modulated;
    parameters modulation_scale;
    parameters modulation_shift;
    const void *residual; /* these two or NULL */
    const void *gate;
    const float *y_scale;
    bool y_scale_along; /* one for each */
    void *y;
    bool stream;
    real *extremes; /* not NULL: what y would be widens this range instead of being stored */
    bool fitted;    /* y_scale fits all numbers that are quantized */
} epilogue_line;

INLINE const void *companion_from(const void *tensor, norma_dtype dtype, int64_t index)
{
    return tensor ? (const char *)tensor + index * (int64_t)norma_dtype_size(dtype) : NULL;
}

/* The line from element `index` of what begins at the companions. */
INLINE epilogue_line epilogue_line_of(const norma_epilogue *e, const norma_companions *with, bool wide, int64_t index)
{
    epilogue_line line;
    line.epilogue = e;
    line.modulated = e->modulated;
    if (e->modulated) {
        line.modulation_scale =
            parameters_from(parameters_of(with->modulation_scale, wide, e->modulation_plain ? ones : negative_zeros), index);
        line.modulation_shift = parameters_from(parameters_of(with->modulation_shift, wide, negative_zeros), index);
    }
    line.residual = companion_from(with->residual, e->residual_dtype, index);
    line.gate = companion_from(with->gate, e->gating.dtype, index);
    line.y_scale = with->y_scale;
    line.y_scale_along = false;
    line.stream = false;
    line.extremes = NULL;
    line.fitted = false;
    return line;
}

/* The last pass there is before y is converted, if it is. */
INLINE epilogue_pass last_pass(const epilogue_line *line)
{
    return line->gate                                     ? PASS_GATE
           : line->epilogue->activation != NORMA_IDENTITY ? PASS_ACTIVATE
           : line->residual                               ? PASS_ADD
           : line->modulated                              ? PASS_MODULATE
                                                          : PASS_AFFINE;
}

/* Where a pass leaves elements from the i-th on: the last one, in y itself if that is made of lanes. */
INLINE tile_target target_of(const epilogue_line *line, epilogue_pass pass, int64_t i, real *tile)
{
    const bool lanes = line->epilogue->y_dtype == (sizeof(real) == 8 ? NORMA_F64 : NORMA_F32);
    const bool is_y = lanes && !line->extremes && pass == last_pass(line);
    const tile_target to = {is_y ? (real *)line->y + i : tile, is_y, is_y && line->stream};
    return to;
}

/* Lanes times a gate's activation, from element i of it on. */
NOINLINE void gate_tile(const norma_gating *gating, const void *tensor, int64_t i, const real *tile, tile_target to, int count)
{
    _Alignas(64) real gate[TILE];
    const tile_target activated = {gate, false, false};
    const bool lanes = gating->dtype == (sizeof(real) == 8 ? NORMA_F64 : NORMA_F32);
    if (!lanes) {
        load_tile(gating->dtype, tensor, i, gate, count);
    }
    activate_lanes(gating->activation, gating->alpha, gating->beta, lanes ? (const real *)tensor + i : gate, activated, count);
    EACH_VECTOR_FROM(vector_of_lanes, tile, 0, &to, count, V(mul)(x, V(load)(gate + k_)));
}

/* Integers to y, from lanes. */
INLINE void put_integers(const epilogue_line *line, int64_t i, vec v, int lanes)
{
#if NORMA_DTYPE_IS == NORMA_IS_f64
    real lane[NORMA_WIDTH];
    V(store)(lane, v);
    store_tile_slowly(line->epilogue->y_dtype, line->y, i, lane, lanes);
#else
    uint8_t *y = (uint8_t *)line->y + i;
    if (lanes < NORMA_WIDTH) {
        v8_store_part(y, v, lanes);
    } else if (line->stream) {
        v8_stream(y, v);
    } else {
        v8_store(y, v);
    }
#endif
}

INLINE void quantize_loop(const epilogue_line *line, quantizer q, quantizing how, int64_t i, const real *tile, int count)
{
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        const int lanes = count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH;
        put_integers(line, i + k, quantize_vector(&q, how, V(load)(tile + k)), lanes);
    }
}

/* A tile becomes the integers that stand for it, from element i of y on. */
NOINLINE void quantize_tile(const epilogue_line *line, int64_t i, const real *tile, int count)
{
    quantizer q = quantizer_of(line->epilogue);
    if (line->y_scale_along) {
        _Alignas(64) real y_scale[TILE];
        load_tile(NORMA_F32, line->y_scale, i, y_scale, count);
        NO_UNROLL
        for (int k = 0; k < count; k += NORMA_WIDTH) {
            quantizer_scale(&q, V(load)(y_scale + k));
            put_integers(line, i + k, quantize_vector(&q, QUANTIZE_ANY, V(load)(tile + k)),
                         count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH);
        }
        return;
    }
    quantizer_scale(&q, V(set1)((real)line->y_scale[0]));
    if (!division_inverts(line->y_scale[0])) {
        quantize_loop(line, q, QUANTIZE_ANY, i, tile, count);
    } else if (line->fitted && line->epilogue->y_dtype == NORMA_S8) {
        quantize_loop(line, q, QUANTIZE_FITTED, i, tile, count);
    } else {
        quantize_loop(line, q, QUANTIZE_INVERTED, i, tile, count);
    }
}

NOINLINE void modulate_tile(const epilogue_line *line, int64_t i, const real *tile, tile_target to, int count)
{
    const parameters by_scale = line->modulation_scale, by_shift = line->modulation_shift;
    const vec one = V(set1)(line->epilogue->modulation_plain ? -(real)0 : 1);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        const int lanes = count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH;
        const vec scale = V(add)(load_parameters(&by_scale, i + k, 0, lanes), one);
        put_vector(&to, k, V(fma)(V(load)(tile + k), scale, load_parameters(&by_shift, i + k, 0, lanes)), lanes);
    }
}

/* An addend of the type that kernels are compiled for needs no tile of its own. */
NOINLINE void add_to_tile(norma_dtype dtype, const void *tensor, int64_t i, const real *tile, tile_target to, int count)
{
    if (dtype == ELEMENT_DTYPE) {
        const element *addend = (const element *)tensor + i;
        EACH_VECTOR_FROM(vector_of_lanes, tile, 0, &to, count, V(add)(x, load_lanes(addend + k_, lanes_)));
        return;
    }
    _Alignas(64) real addend[TILE];
    load_tile(dtype, tensor, i, addend, count);
    EACH_VECTOR_FROM(vector_of_lanes, tile, 0, &to, count, V(add)(x, V(load)(addend + k_)));
}

/* Widens the range to the tile. NaN does not count. */
NOINLINE void measure_tile(real *extremes, real *tile, int count)
{
    vec low = V(load)(extremes), high = V(load)(extremes + NORMA_WIDTH);
    end_tile(tile, count);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        low = V(min)(V(load)(tile + k), low);
        high = V(max)(V(load)(tile + k), high);
    }
    V(store)(extremes, low);
    V(store)(extremes + NORMA_WIDTH, high);
}

/* Whether a line's activation comes right after the affine, and so can be one pass with it. */
INLINE bool starts_activated(const epilogue_line *line)
{
    return !NORMA_NARROW && !line->modulated && !line->residual;
}

/* `count` elements of a row from element i on, as far as a tile goes: its affine and, if that comes next, the activation. `own`
 * is affine_vector()'s. */
INLINE void start_tile(const epilogue_line *line, const tile_affine *affine, bool own, int64_t i, real *tile, int count)
{
    const norma_epilogue *e = line->epilogue;
    const norma_activation activation = starts_activated(line) ? e->activation : NORMA_IDENTITY;
    const tile_target to = target_of(line, activation == NORMA_IDENTITY ? PASS_AFFINE : PASS_ACTIVATE, i, tile);
    (own ? activate_own : activate_row)(activation, e->alpha, e->beta, affine, i, to, count);
}

/* What follows in the line, up to memory; activated: what starts_activated() says has been done. */
NOINLINE void finish_tile(const epilogue_line *line, bool activated, int64_t i, real *tile, int count)
{
    const norma_epilogue *e = line->epilogue;
    if (line->modulated) {
        modulate_tile(line, i, tile, target_of(line, PASS_MODULATE, i, tile), count);
    }
    if (line->residual) {
        add_to_tile(e->residual_dtype, line->residual, i, tile, target_of(line, PASS_ADD, i, tile), count);
    }
    if (!activated && e->activation != NORMA_IDENTITY) {
        activate_lanes(e->activation, e->alpha, e->beta, tile, target_of(line, PASS_ACTIVATE, i, tile), count);
    }
    if (line->gate) {
        gate_tile(&e->gating, line->gate, i, tile, target_of(line, PASS_GATE, i, tile), count);
    }
    if (line->extremes) {
        measure_tile(line->extremes, tile, count);
    } else if (e->quantization) {
        quantize_tile(line, i, tile, count);
    } else if (!target_of(line, last_pass(line), i, tile).is_y) {
        store_tile(e->y_dtype, line->y, i, tile, count, line->stream);
    }
}

#endif

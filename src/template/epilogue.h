/*
 * What follows the affine on its way to memory: modulation, a residual, an activation, a gate, and the type of y.
 *
 * Which of them is decided at run time, a tile of elements at a time, in L1: what one is lets all go by in a loop of its own,
 * so that one copy of each serves every norm, and a branch costs nothing. What costs next to nothing itself, CLAMP, is compiled
 * into the loops that plain norms have (template/rows.h, template/fibers.h).
 */
#ifndef NORMA_EPILOGUE_H
#define NORMA_EPILOGUE_H

#include "template/typed.h"

#if NORMA_DTYPE_IS != NORMA_IS_f64
#include "template/math.h"
#endif

/* How a loop is compiled. */
typedef enum epilogue_kind {
    EPILOGUE_NONE,
    EPILOGUE_CLAMP, /* to [alpha, beta] */
    EPILOGUE_ANY    /* whatever the job says */
} epilogue_kind;

/* The nearest to x in [low, high]; NaN stays. */
INLINE vec epilogue_clamp(vec x, vec low, vec high)
{
    return V(min)(high, V(max)(low, x));
}

/* Alpha or beta in the type of a lane: bounds of a clip may lie beyond its range. */
INLINE real epilogue_bound(double value)
{
    return value > (double)REAL_MAX ? (real)INFINITY : value < -(double)REAL_MAX ? -(real)INFINITY : (real)value;
}

/* alpha x + beta, in [0, 1]. */
INLINE vec epilogue_hard_sigmoid(vec x, real alpha, real beta)
{
    return epilogue_clamp(V(fma)(x, V(set1)(alpha), V(set1)(beta)), V(zero)(), V(set1)(1));
}

#if NORMA_DTYPE_IS == NORMA_IS_f64

/* One lane. With libm, whose functions are good to about an ulp. */
INLINE real epilogue_lane(norma_activation activation, real x)
{
    switch (activation) {
    case NORMA_SILU:
        x = x < -800 ? -800 : x; /* infinity times 0 is no number */
        return x < 0 ? x * exp(x) / (1 + exp(x)) : x / (1 + exp(-x));
    case NORMA_GELU:
        x = x < -40 ? -40 : x;
        return x * (0.5 * erfc(x * -0.70710678118654752440));
    case NORMA_GELU_TANH: {
        x = x < -40 ? -40 : x;
        const real u = 1.5957691216057307117 * (x + 0.044715 * x * x * x); /* 2 sqrt(2 / pi) */
        return u < 0 ? x * exp(u) / (1 + exp(u)) : x / (1 + exp(-u));
    }
    case NORMA_SIGMOID:
        return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
    case NORMA_TANH:
        return tanh(x);
    case NORMA_MISH:
        x = x < -800 ? -800 : x;
        return x * tanh(x > 36 ? x : log1p(exp(x)));
    default: /* ELU's other half */
        return expm1(x);
    }
}

INLINE vec epilogue_curve(norma_activation activation, vec x)
{
    real lane[NORMA_WIDTH];
    V(store)(lane, x);
    NO_UNROLL
    for (int i = 0; i < NORMA_WIDTH; i++) {
        lane[i] = epilogue_lane(activation, lane[i]);
    }
    return V(load)(lane);
}

#else

INLINE vec epilogue_curve(norma_activation activation, vec x)
{
    switch (activation) {
    case NORMA_SILU:
        return math_silu(x);
    case NORMA_GELU:
        return math_gelu(x);
    case NORMA_GELU_TANH:
        return math_gelu_tanh(x);
    case NORMA_SIGMOID:
        return math_sigmoid(x);
    case NORMA_TANH:
        return math_tanh(x);
    case NORMA_MISH:
        return math_mish(x);
    default: /* ELU's other half */
        return math_expm1_negative(x);
    }
}

#endif

#if NORMA_DTYPE_IS != NORMA_IS_f64
/* SiLU, which looks at a turn's vectors together. */
INLINE void silu_tile(real *tile, int count)
{
    NO_UNROLL
    for (int k = 0; k < count; k += TURN) {
        vec v[2] = {V(load)(tile + k), V(load)(tile + k + NORMA_WIDTH)};
        math_silu_of(v, 2);
        V(store)(tile + k, v[0]);
        V(store)(tile + k + NORMA_WIDTH, v[1]);
    }
}
#else
INLINE void silu_tile(real *tile, int count)
{
    EACH_VECTOR(tile, count, epilogue_curve(NORMA_SILU, x));
}
#endif

/* A tile through an activation; whole turns of it. */
NOINLINE void activate_tile(norma_activation activation, double alpha_, double beta_, real *tile, int count)
{
    const real alpha = epilogue_bound(alpha_), beta = epilogue_bound(beta_);
    const vec a = V(set1)(alpha), b = V(set1)(beta);
    switch (activation) {
    case NORMA_IDENTITY:
        return;
    case NORMA_RELU: /* comes as a clip */
    case NORMA_CLIP:
        EACH_VECTOR(tile, count, epilogue_clamp(x, a, b));
        return;
    case NORMA_LEAKY_RELU:
        EACH_VECTOR(tile, count, V(less)(x, V(zero)(), V(mul)(x, a), x));
        return;
    case NORMA_HARD_SIGMOID:
        EACH_VECTOR(tile, count, epilogue_hard_sigmoid(x, alpha, beta));
        return;
    case NORMA_HARD_SWISH:
        EACH_VECTOR(tile, count, V(mul)(x, epilogue_hard_sigmoid(x, alpha, beta)));
        return;
    case NORMA_ELU:
        EACH_VECTOR(tile, count, V(less)(x, V(zero)(), V(mul)(a, epilogue_curve(NORMA_ELU, x)), x));
        return;
    case NORMA_SILU:
        silu_tile(tile, count);
        return;
    case NORMA_GELU:
        EACH_VECTOR(tile, count, epilogue_curve(NORMA_GELU, x));
        return;
    case NORMA_GELU_TANH:
        EACH_VECTOR(tile, count, epilogue_curve(NORMA_GELU_TANH, x));
        return;
    case NORMA_SIGMOID:
        EACH_VECTOR(tile, count, epilogue_curve(NORMA_SIGMOID, x));
        return;
    case NORMA_TANH:
        EACH_VECTOR(tile, count, epilogue_curve(NORMA_TANH, x));
        return;
    case NORMA_MISH:
        EACH_VECTOR(tile, count, epilogue_curve(NORMA_MISH, x));
        return;
    }
}

/* Elements in line on their way to memory; all that is here begins at the same one. */
typedef struct epilogue_line {
    const norma_epilogue *epilogue;
    parameters modulation_scale;
    parameters modulation_shift;
    const void *residual; /* these two or NULL */
    const void *gate;
    const float *y_scale;
    bool y_scale_along; /* one for each */
    void *y;
    bool stream;
    real *extremes; /* not NULL: what y would be widens this range instead of being stored */
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
    line.modulation_scale =
        parameters_from(parameters_of(with->modulation_scale, wide, e->modulation_plain ? ones : negative_zeros), index);
    line.modulation_shift = parameters_from(parameters_of(with->modulation_shift, wide, negative_zeros), index);
    line.residual = companion_from(with->residual, e->residual_dtype, index);
    line.gate = companion_from(with->gate, e->gating.dtype, index);
    line.y_scale = with->y_scale;
    line.y_scale_along = false;
    line.stream = false;
    line.extremes = NULL;
    return line;
}

/* A tile times a gate's activation, from element i of it on. */
NOINLINE void gate_tile(const norma_gating *gating, const void *tensor, int64_t i, real *tile, int count)
{
    _Alignas(64) real gate[TILE];
    load_tile(gating->dtype, tensor, i, gate, count);
    activate_tile(gating->activation, gating->alpha, gating->beta, gate, whole_turns(count));
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        V(store)(tile + k, V(mul)(V(load)(tile + k), V(load)(gate + k)));
    }
}

/* The integer that stands for v, as a lane: see norma_quantization. */
INLINE vec epilogue_quantize(const norma_epilogue *e, vec v, vec y_scale)
{
    const real magic = sizeof(real) == 8 ? (real)0x1.8p52 : (real)0x1.8p23; /* rounds to an integer, to nearest even */
    const real low = e->y_dtype == NORMA_S8 ? -128 : 0, high = e->y_dtype == NORMA_S8 ? 127 : 255;
    v = V(div)(v, y_scale);
    v = V(min)(V(max)(v, V(set1)(-1024)), V(set1)(1024)); /* saturated either way; NaN is the least */
    v = V(sub)(V(add)(v, V(set1)(magic)), V(set1)(magic));
    v = V(add)(v, V(set1)((real)e->zero_point));
    return V(min)(V(max)(v, V(set1)(low)), V(set1)(high));
}

/* A tile becomes the integers that stand for it, from element i of y on. */
NOINLINE void quantize_tile(const epilogue_line *line, int64_t i, real *tile, int count)
{
    const norma_epilogue *e = line->epilogue;
    if (!line->y_scale_along) {
        const vec y_scale = V(set1)((real)line->y_scale[0]);
        EACH_VECTOR(tile, whole_turns(count), epilogue_quantize(e, x, y_scale));
        return;
    }
    _Alignas(64) real y_scale[TILE];
    load_tile(NORMA_F32, line->y_scale, i, y_scale, count);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        V(store)(tile + k, epilogue_quantize(e, V(load)(tile + k), V(load)(y_scale + k)));
    }
}

NOINLINE void modulate_tile(const epilogue_line *line, int64_t i, real *tile, int count)
{
    const vec one = V(set1)(line->epilogue->modulation_plain ? -(real)0 : 1);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        const int lanes = count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH;
        const vec scale = V(add)(load_parameters(&line->modulation_scale, i + k, 0, lanes), one);
        V(store)(tile + k, V(fma)(V(load)(tile + k), scale, load_parameters(&line->modulation_shift, i + k, 0, lanes)));
    }
}

NOINLINE void add_to_tile(norma_dtype dtype, const void *tensor, int64_t i, real *tile, int count)
{
    _Alignas(64) real addend[TILE];
    load_tile(dtype, tensor, i, addend, count);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        V(store)(tile + k, V(add)(V(load)(tile + k), V(load)(addend + k)));
    }
}

/* Widens the range to the tile, whose zeros at the end it holds anyway. NaN does not count. */
NOINLINE void measure_tile(real *extremes, const real *tile, int count)
{
    vec low = V(load)(extremes), high = V(load)(extremes + NORMA_WIDTH);
    NO_UNROLL
    for (int k = 0; k < count; k += NORMA_WIDTH) {
        low = V(min)(V(load)(tile + k), low);
        high = V(max)(V(load)(tile + k), high);
    }
    V(store)(extremes, low);
    V(store)(extremes + NORMA_WIDTH, high);
}

/* Whether tiles may be y itself, whole turns of it. (A residual may be there.) */
INLINE bool epilogue_is_direct(const epilogue_line *line)
{
    const bool lanes = line->epilogue->y_dtype == (sizeof(real) == 8 ? NORMA_F64 : NORMA_F32);
    return lanes && !line->stream && !line->residual && !line->extremes;
}

/* `count` elements from element i of the line on, which the tile holds after the affine, up to memory. */
NOINLINE void finish_tile(const epilogue_line *line, int64_t i, real *tile, int count)
{
    const norma_epilogue *e = line->epilogue;
    if (count % TURN) {
        end_tile(tile, count);
    }
    if (e->modulated) {
        modulate_tile(line, i, tile, count);
    }
    if (line->residual) {
        add_to_tile(e->residual_dtype, line->residual, i, tile, count);
    }
    activate_tile(e->activation, e->alpha, e->beta, tile, whole_turns(count));
    if (line->gate) {
        gate_tile(&e->gating, line->gate, i, tile, count);
    }
    if (line->extremes) {
        end_tile(tile, count);
        measure_tile(line->extremes, tile, count);
        return;
    }
    if (e->quantization) {
        quantize_tile(line, i, tile, count);
    }
    if (tile != (real *)line->y + i) {
        store_tile(e->y_dtype, line->y, i, tile, count, line->stream);
    }
}

#endif

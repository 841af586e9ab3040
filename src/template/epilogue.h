/*
 * What follows the affine on its way to memory: modulation, a residual, an activation, a gate, and the type of y.
 *
 * Which of them is decided at run time, per pair of vectors: beside the arithmetic of most activations such a branch costs
 * nothing, and one copy of each function serves every norm. What costs next to nothing itself, CLAMP, is compiled into the
 * loops that plain norms have (template/rows.h, template/fibers.h).
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

enum { EPILOGUE_VECTORS = 2 }; /* at a time */

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

/* `count` (a constant) vectors through the activation, a constant in each copy. */
INLINE void epilogue_curves(norma_activation activation, vec *v, int count)
{
    UNROLL
    for (int k = 0; k < count; k++) {
        v[k] = epilogue_curve(activation, v[k]);
    }
}

INLINE void epilogue_activate(norma_activation activation, double alpha_, double beta_, vec *v, int count)
{
    const real alpha = epilogue_bound(alpha_), beta = epilogue_bound(beta_);
    switch (activation) {
    case NORMA_IDENTITY:
        return;
    case NORMA_RELU: /* comes as a clip */
    case NORMA_CLIP:
        for (int k = 0; k < count; k++) {
            v[k] = epilogue_clamp(v[k], V(set1)(alpha), V(set1)(beta));
        }
        return;
    case NORMA_LEAKY_RELU:
        for (int k = 0; k < count; k++) {
            v[k] = V(less)(v[k], V(zero)(), V(mul)(v[k], V(set1)(alpha)), v[k]);
        }
        return;
    case NORMA_HARD_SIGMOID:
        for (int k = 0; k < count; k++) {
            v[k] = epilogue_hard_sigmoid(v[k], alpha, beta);
        }
        return;
    case NORMA_HARD_SWISH:
        for (int k = 0; k < count; k++) {
            v[k] = V(mul)(v[k], epilogue_hard_sigmoid(v[k], alpha, beta));
        }
        return;
    case NORMA_ELU:
        for (int k = 0; k < count; k++) {
            const vec below = V(mul)(V(set1)(alpha), epilogue_curve(NORMA_ELU, v[k]));
            v[k] = V(less)(v[k], V(zero)(), below, v[k]);
        }
        return;
    case NORMA_SILU:
        epilogue_curves(NORMA_SILU, v, count);
        return;
    case NORMA_GELU:
        epilogue_curves(NORMA_GELU, v, count);
        return;
    case NORMA_GELU_TANH:
        epilogue_curves(NORMA_GELU_TANH, v, count);
        return;
    case NORMA_SIGMOID:
        epilogue_curves(NORMA_SIGMOID, v, count);
        return;
    case NORMA_TANH:
        epilogue_curves(NORMA_TANH, v, count);
        return;
    case NORMA_MISH:
        epilogue_curves(NORMA_MISH, v, count);
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

/* EPILOGUE_VECTORS vectors of a gate. Out of line: all activations once more. */
NOINLINE void activate_gate(const norma_gating *gating, vec *gate)
{
    epilogue_activate(gating->activation, gating->alpha, gating->beta, gate, EPILOGUE_VECTORS);
}

/* v times a gate's activation, from element i on. */
INLINE void epilogue_gate(const norma_gating *gating, const void *tensor, vec *v, int64_t i, int count, int lanes)
{
    vec gate[EPILOGUE_VECTORS] = {V(zero)()};
    UNROLL
    for (int k = 0; k < count; k++) {
        gate[k] = load_as(gating->dtype, tensor, i + k * NORMA_WIDTH, lanes);
    }
    activate_gate(gating, gate);
    UNROLL
    for (int k = 0; k < count; k++) {
        v[k] = V(mul)(v[k], gate[k]);
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

/* y_scale of elements from i on. */
INLINE vec load_y_scale(const epilogue_line *line, int64_t i, int lanes)
{
    if (!line->y_scale_along) {
        return V(set1)((real)line->y_scale[0]);
    }
    const vec scale = load_as(NORMA_F32, line->y_scale, i, lanes);
    return V(first_of)(scale, V(set1)(1), lanes);
}

/* `count` (a constant) vectors of `lanes` lanes each from element i on, up to what is stored. */
INLINE void epilogue_vectors(const epilogue_line *line, vec *v, int64_t i, int count, int lanes)
{
    const norma_epilogue *e = line->epilogue;
    if (e->modulated) {
        UNROLL
        for (int k = 0; k < count; k++) {
            const vec scale = load_parameters(&line->modulation_scale, i, k, lanes);
            const vec factor = e->modulation_plain ? scale : V(add)(scale, V(set1)(1));
            v[k] = V(fma)(v[k], factor, load_parameters(&line->modulation_shift, i, k, lanes));
        }
    }
    if (line->residual) {
        UNROLL
        for (int k = 0; k < count; k++) {
            v[k] = V(add)(v[k], load_as(e->residual_dtype, line->residual, i + k * NORMA_WIDTH, lanes));
        }
    }
    epilogue_activate(e->activation, e->alpha, e->beta, v, count);
    if (line->gate) {
        epilogue_gate(&e->gating, line->gate, v, i, count, lanes);
    }
}

/* Widens the range to vectors; lanes that lie outside count as 0, which it holds anyway. NaN does not count. */
INLINE void epilogue_measure(const epilogue_line *line, const vec *v, int count, int lanes)
{
    UNROLL
    for (int k = 0; k < count; k++) {
        const vec some = V(first_of)(v[k], V(zero)(), lanes);
        V(store)(line->extremes, V(min)(some, V(load)(line->extremes)));
        V(store)(line->extremes + NORMA_WIDTH, V(max)(some, V(load)(line->extremes + NORMA_WIDTH)));
    }
}

INLINE void epilogue_store(const epilogue_line *line, vec *v, int64_t i, int count, int lanes)
{
    const norma_epilogue *e = line->epilogue;
    if (line->extremes) {
        epilogue_measure(line, v, count, lanes);
        return;
    }
    UNROLL
    for (int k = 0; k < count; k++) {
        const int64_t at = i + k * NORMA_WIDTH;
        if (e->quantization) {
            v[k] = epilogue_quantize(e, v[k], load_y_scale(line, at, lanes));
        }
        store_as(e->y_dtype, line->y, at, v[k], lanes, line->stream);
    }
}

/* Pairs of whole vectors. */
INLINE void epilogue_pair(const epilogue_line *line, vec *v, int64_t i)
{
    epilogue_vectors(line, v, i, EPILOGUE_VECTORS, NORMA_WIDTH);
    epilogue_store(line, v, i, EPILOGUE_VECTORS, NORMA_WIDTH);
}

/* One vector, or its first lanes, where a run ends. */
NOINLINE void epilogue_last(const epilogue_line *line, vec v, int64_t i, int lanes)
{
    epilogue_vectors(line, &v, i, 1, lanes);
    epilogue_store(line, &v, i, 1, lanes);
}

#endif

/*
 * What follows the affine on its way to memory: a residual, then an activation.
 *
 * Which of them is decided at run time, per pair of vectors: beside the arithmetic of most activations such a branch costs
 * nothing, and one copy of each function serves every norm. What costs next to nothing itself, CLAMP, is compiled into the
 * loops that plain norms have (template/rows.h, template/fibers.h).
 */
#ifndef NORMA_EPILOGUE_H
#define NORMA_EPILOGUE_H

#include "template/vector.h"

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

INLINE void epilogue_activate(const norma_epilogue *e, vec *v, int count)
{
    const real alpha = epilogue_bound(e->alpha), beta = epilogue_bound(e->beta);
    switch (e->activation) {
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

/* Pairs of vectors; `residual` (or NULL) begins at the same element. */
INLINE void epilogue_pair(const norma_epilogue *e, vec *v, const element *residual)
{
    for (int k = 0; residual && k < EPILOGUE_VECTORS; k++) {
        v[k] = V(add)(v[k], M(load)(residual + k * NORMA_WIDTH));
    }
    epilogue_activate(e, v, EPILOGUE_VECTORS);
}

INLINE void store_pair(element *y, const vec *v, bool stream)
{
    UNROLL
    for (int k = 0; k < EPILOGUE_VECTORS; k++) {
        if (stream) {
            M(stream)(y + k * NORMA_WIDTH, v[k]);
        } else {
            M(store)(y + k * NORMA_WIDTH, v[k]);
        }
    }
}

/* One vector, or its first lanes, where a run ends. */
NOINLINE vec epilogue_last(const norma_epilogue *e, vec v, const element *residual, int lanes)
{
    if (residual) {
        v = V(add)(v, load_lanes(residual, lanes));
    }
    epilogue_activate(e, &v, 1);
    return v;
}

#endif

/*
 * Activations, a vector at a time and as passes over lanes: from where they are, or from the affine that makes them.
 */
#ifndef NORMA_ACTIVATE_H
#define NORMA_ACTIVATE_H

#include "template/affine.h"
#include "template/typed.h"

#if NORMA_DTYPE_IS != NORMA_IS_f64
#include "template/math.h"
#endif

/* The nearest to x in [low, high]; NaN stays. */
INLINE vec activate_clamp(vec x, vec low, vec high)
{
    return V(min)(high, V(max)(low, x));
}

/* Alpha or beta in the type of a lane: bounds of a clip may lie beyond its range. */
INLINE real activation_bound(double value)
{
    return value > (double)REAL_MAX ? (real)INFINITY : value < -(double)REAL_MAX ? -(real)INFINITY : (real)value;
}

/* alpha x + beta, in [0, 1]. */
INLINE vec activate_hard_sigmoid(vec x, real alpha, real beta)
{
    return activate_clamp(V(fma)(x, V(set1)(alpha), V(set1)(beta)), V(zero)(), V(set1)(1));
}

#if NORMA_DTYPE_IS == NORMA_IS_f64

/* One lane. With libm, whose functions are good to about an ulp. */
INLINE real activate_lane(norma_activation activation, real x)
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

INLINE vec activate_curve(norma_activation activation, vec x)
{
    real lane[NORMA_WIDTH];
    V(store)(lane, x);
    NO_UNROLL
    for (int i = 0; i < NORMA_WIDTH; i++) {
        lane[i] = activate_lane(activation, lane[i]);
    }
    return V(load)(lane);
}

#else

INLINE vec activate_curve(norma_activation activation, vec x)
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

/* Where the passes over a tile take it from, vector by vector. */
typedef vec tile_source(const void *from, int64_t k, int lanes);

INLINE vec vector_of_lanes(const void *from, int64_t k, int lanes)
{
    const real *at = (const real *)from + k;
    return lanes == NORMA_WIDTH ? V(load)(at) : V(load_part)(at, lanes);
}

INLINE vec vector_of_row(const void *from, int64_t k, int lanes)
{
    return affine_vector(from, false, k, lanes);
}

INLINE vec vector_of_own(const void *from, int64_t k, int lanes)
{
    return affine_vector(from, true, k, lanes);
}

/* And where to: y, if it is made of lanes and nothing follows, else a tile. */
typedef struct tile_target {
    real *at;
    bool is_y;
    bool stream; /* past the caches */
} tile_target;

INLINE void put_vector(const tile_target *to, int64_t k, vec v, int lanes)
{
    if (to->stream && lanes == NORMA_WIDTH) {
        V(stream)(to->at + k, v);
    } else if (!to->is_y || lanes == NORMA_WIDTH) {
        V(store)(to->at + k, v);
    } else {
        V(store_part)(to->at + k, v, lanes);
    }
}

/* Applies `expression` of x, a vector of lanes_ lanes at element k_, to `count` elements from element i of the source on. */
#define EACH_VECTOR_FROM(source, from, i, to, count, expression)                                                               \
    do {                                                                                                                       \
        int64_t turn_ = 0;                                                                                                     \
        NO_UNROLL                                                                                                              \
        for (; turn_ + TURN <= (count); turn_ += TURN) {                                                                       \
            UNROLL                                                                                                             \
            for (int64_t k_ = turn_; k_ < turn_ + TURN; k_ += NORMA_WIDTH) {                                                   \
                enum { lanes_ = NORMA_WIDTH };                                                                                 \
                const vec x = source(from, (i) + k_, lanes_);                                                                  \
                put_vector(to, k_, expression, lanes_);                                                                        \
            }                                                                                                                  \
        }                                                                                                                      \
        NO_UNROLL                                                                                                              \
        for (int64_t k_ = turn_; k_ < (count); k_ += NORMA_WIDTH) {                                                            \
            const int lanes_ = (count)-k_ < NORMA_WIDTH ? (int)((count)-k_) : NORMA_WIDTH;                                     \
            const vec x = source(from, (i) + k_, lanes_);                                                                      \
            put_vector(to, k_, expression, lanes_);                                                                            \
        }                                                                                                                      \
    } while (0)

/* SiLU, which looks at a turn's vectors together. */
INLINE void silu_from(tile_source *source, const void *from, int64_t i, const tile_target *to, int count)
{
#if NORMA_DTYPE_IS == NORMA_IS_f64
    EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_SILU, x));
#else
    int64_t k = 0;
    NO_UNROLL
    for (; k + TURN <= count; k += TURN) {
        vec v[2] = {source(from, i + k, NORMA_WIDTH), source(from, i + k + NORMA_WIDTH, NORMA_WIDTH)};
        math_silu_of(v, 2);
        put_vector(to, k, v[0], NORMA_WIDTH);
        put_vector(to, k + NORMA_WIDTH, v[1], NORMA_WIDTH);
    }
    const tile_target rest = {to->at + k, to->is_y, to->stream};
    EACH_VECTOR_FROM(source, from, i + k, &rest, count - k, math_silu(x));
#endif
}

/* `count` elements from element i of the source on go through an activation. */
INLINE void activate_from(tile_source *source, const void *from, int64_t i, norma_activation activation, double alpha_,
                          double beta_, const tile_target *to, int count)
{
    const real alpha = activation_bound(alpha_), beta = activation_bound(beta_);
    const vec a = V(set1)(alpha), b = V(set1)(beta);
    switch (activation) {
    case NORMA_IDENTITY:
        EACH_VECTOR_FROM(source, from, i, to, count, x);
        return;
    case NORMA_RELU: /* comes as a clip */
    case NORMA_CLIP:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_clamp(x, a, b));
        return;
    case NORMA_LEAKY_RELU:
        EACH_VECTOR_FROM(source, from, i, to, count, V(less)(x, V(zero)(), V(mul)(x, a), x));
        return;
    case NORMA_HARD_SIGMOID:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_hard_sigmoid(x, alpha, beta));
        return;
    case NORMA_HARD_SWISH:
        EACH_VECTOR_FROM(source, from, i, to, count, V(mul)(x, activate_hard_sigmoid(x, alpha, beta)));
        return;
    case NORMA_ELU:
        EACH_VECTOR_FROM(source, from, i, to, count, V(less)(x, V(zero)(), V(mul)(a, activate_curve(NORMA_ELU, x)), x));
        return;
    case NORMA_SILU:
        silu_from(source, from, i, to, count);
        return;
    case NORMA_GELU:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_GELU, x));
        return;
    case NORMA_GELU_TANH:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_GELU_TANH, x));
        return;
    case NORMA_SIGMOID:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_SIGMOID, x));
        return;
    case NORMA_TANH:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_TANH, x));
        return;
    case NORMA_MISH:
        EACH_VECTOR_FROM(source, from, i, to, count, activate_curve(NORMA_MISH, x));
        return;
    }
}

/* Lanes through an activation, to a tile or y. */
NOINLINE void activate_lanes(norma_activation activation, double alpha, double beta, const real *from, tile_target to,
                             int count)
{
    activate_from(vector_of_lanes, from, 0, activation, alpha, beta, &to, count);
}

/* x of a row through its affine and an activation; of narrow types through the affine alone, for their loops ask for the type
 * of scale and shift, and the y of theirs is converted by a pass of its own anyway. */
NOINLINE void activate_row(norma_activation activation, double alpha, double beta, const tile_affine *affine, int64_t i,
                           tile_target to, int count)
{
    tile_affine a = *affine;
    if (!NORMA_NARROW) {
        activate_from(vector_of_row, &a, i, activation, alpha, beta, &to, count);
    } else if (a.scale.wide) {
        a.scale.wide = a.shift.wide = true; /* known to the compiler now */
        EACH_VECTOR_FROM(vector_of_row, &a, i, &to, count, x);
    } else {
        a.scale.wide = a.shift.wide = false;
        EACH_VECTOR_FROM(vector_of_row, &a, i, &to, count, x);
    }
}

NOINLINE void activate_own(norma_activation activation, double alpha, double beta, const tile_affine *affine, int64_t i,
                           tile_target to, int count)
{
    const tile_affine a = *affine;
    if (!NORMA_NARROW) {
        activate_from(vector_of_own, &a, i, activation, alpha, beta, &to, count);
    } else {
        EACH_VECTOR_FROM(vector_of_own, &a, i, &to, count, x);
    }
}

#endif

/*
 * What follows the affine on its way to memory: modulation, a residual, an activation, a gate, and the type of y.
 *
 * Which of them is decided at run time, a tile of elements at a time, in L1: what one is lets all go by in a loop of its own,
 * so that one copy of each serves every norm, and a branch costs nothing. What costs next to nothing itself, CLAMP, is compiled
 * into the loops that plain norms have (template/rows.h, template/fibers.h).
 */
#ifndef NORMA_EPILOGUE_H
#define NORMA_EPILOGUE_H

#include "template/affine.h"
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
    EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_SILU, x));
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
    const real alpha = epilogue_bound(alpha_), beta = epilogue_bound(beta_);
    const vec a = V(set1)(alpha), b = V(set1)(beta);
    switch (activation) {
    case NORMA_IDENTITY:
        EACH_VECTOR_FROM(source, from, i, to, count, x);
        return;
    case NORMA_RELU: /* comes as a clip */
    case NORMA_CLIP:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_clamp(x, a, b));
        return;
    case NORMA_LEAKY_RELU:
        EACH_VECTOR_FROM(source, from, i, to, count, V(less)(x, V(zero)(), V(mul)(x, a), x));
        return;
    case NORMA_HARD_SIGMOID:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_hard_sigmoid(x, alpha, beta));
        return;
    case NORMA_HARD_SWISH:
        EACH_VECTOR_FROM(source, from, i, to, count, V(mul)(x, epilogue_hard_sigmoid(x, alpha, beta)));
        return;
    case NORMA_ELU:
        EACH_VECTOR_FROM(source, from, i, to, count, V(less)(x, V(zero)(), V(mul)(a, epilogue_curve(NORMA_ELU, x)), x));
        return;
    case NORMA_SILU:
        silu_from(source, from, i, to, count);
        return;
    case NORMA_GELU:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_GELU, x));
        return;
    case NORMA_GELU_TANH:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_GELU_TANH, x));
        return;
    case NORMA_SIGMOID:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_SIGMOID, x));
        return;
    case NORMA_TANH:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_TANH, x));
        return;
    case NORMA_MISH:
        EACH_VECTOR_FROM(source, from, i, to, count, epilogue_curve(NORMA_MISH, x));
        return;
    }
}

/* Lanes through an activation, to a tile or y. */
NOINLINE void activate_lanes(norma_activation activation, double alpha, double beta, const real *from, tile_target to,
                             int count)
{
    activate_from(vector_of_lanes, from, 0, activation, alpha, beta, &to, count);
}

/* x of a row through its affine and an activation. */
NOINLINE void activate_row(norma_activation activation, double alpha, double beta, const tile_affine *affine, int64_t i,
                           tile_target to, int count)
{
    const tile_affine a = *affine;
    activate_from(vector_of_row, &a, i, activation, alpha, beta, &to, count);
}

NOINLINE void activate_own(norma_activation activation, double alpha, double beta, const tile_affine *affine, int64_t i,
                           tile_target to, int count)
{
    const tile_affine a = *affine;
    activate_from(vector_of_own, &a, i, activation, alpha, beta, &to, count);
}

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

/* What one integer of y counts, and how to divide by it. */
typedef struct quantizer {
    vec scale;
    vec inverse;
    vec least; /* -128 of them */
    vec most;  /* 1024: more than any integer counts */
    vec low;
    vec high;
    vec zero_point;
} quantizer;

/* What is left out, in constants, where it cannot change the result. */
typedef enum quantizing {
    QUANTIZE_ANY,
    QUANTIZE_INVERTED, /* see division_inverts() */
    QUANTIZE_FITTED    /* likewise, and of signed integers whose scale fits all numbers there are */
} quantizing;

/* Where fma rounds once, two of them make of a product with the inverse what a division gives: but for the one significand
 * whose inverse falls short (Markstein, IBM J. Res. Dev. 34 (1990), 111), and where nothing on the way is denormal. */
INLINE bool division_inverts(float scale)
{
    union {
        float value;
        uint32_t bits;
    } s = {scale};
    return NORMA_FMA && (s.bits & 0x7fffff) != 0x7fffff && scale > 0x1p-90f && scale < 0x1p90f;
}

INLINE void quantizer_scale(quantizer *q, vec scale)
{
    q->scale = scale;
    q->inverse = V(div)(V(set1)(1), scale);
    q->least = V(mul)(scale, V(set1)(-128));
    q->most = V(mul)(scale, V(set1)(1024));
}

INLINE quantizer quantizer_of(const norma_epilogue *e)
{
    quantizer q;
    q.low = V(set1)(e->y_dtype == NORMA_S8 ? -128 : 0);
    q.high = V(set1)(e->y_dtype == NORMA_S8 ? 127 : 255);
    q.zero_point = V(set1)((real)e->zero_point);
    return q;
}

/* The integer that stands for v, as a lane: see norma_quantization. */
INLINE vec quantize_vector(const quantizer *q, quantizing how, vec v)
{
    const vec magic = V(set1)(sizeof(real) == 8 ? (real)0x1.8p52 : (real)0x1.8p23); /* rounds to an integer, to nearest even */
    if (how == QUANTIZE_FITTED) {
        v = V(max)(v, q->least); /* which NaN becomes */
    } else {
        v = V(min)(V(max)(v, V(sub)(V(set1)(-(real)0), q->most)), q->most); /* saturated either way; NaN is the least */
    }
    if (how == QUANTIZE_ANY) {
        v = V(div)(v, q->scale);
    } else {
        const vec about = V(mul)(v, q->inverse);
        v = V(fma)(V(fnma)(about, q->scale, v), q->inverse, about);
    }
    v = V(sub)(V(add)(v, magic), magic);
    return how == QUANTIZE_FITTED ? v : V(min)(V(max)(V(add)(v, q->zero_point), q->low), q->high);
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
    return !line->modulated && !line->residual;
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

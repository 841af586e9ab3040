/* The gate before timing: what a path wrote, against a reference that shares nothing with the library. */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "dtype.h"

/* Sets looked at: the first, the last and some between, and of large ones fewer. All would take longer than the timing. */
enum { SAMPLE = 48, SAMPLE_ELEMENTS = 1 << 22 };

/* The library promises 4e-6 * max(1, |y|) for f32; the unfused passes are held to the same. */
static const double tolerance_f32 = 4e-6;
static const double tolerance_f64 = 1e-12;

/* What is kept of a value by its type. */
static double rounding(norma_dtype dtype)
{
    return dtype == NORMA_BF16 ? 0x1p-8 : dtype == NORMA_F16 ? 0x1p-11 : 0;
}

/* Peers promise nothing: they sum in their own order, and round between steps. */
static double tolerance_of(const bench_problem *problem, bool peer)
{
    const norma_dtype dtype = problem->desc.dtype;
    if (peer) {
        return dtype == NORMA_F64 ? 1e-9 : dtype == NORMA_BF16 ? 3e-2 : dtype == NORMA_F16 ? 5e-3 : 1e-4;
    }
    return (problem->lane_size == sizeof(double) ? tolerance_f64 : tolerance_f32) + rounding(problem->spec.y_dtype);
}

static double element(const void *data, const bench_problem *problem, int64_t index)
{
    const norma_dtype dtype = problem->spec.dtype;
    return norma_dtype_get(dtype, data, index) * (bench_is_integer(dtype) ? CASE_X_SCALE : 1);
}

/* Of scale, shift and statistics. */
static double lane(const void *data, const bench_problem *problem, int64_t index)
{
    return norma_dtype_get(norma_dtype_of_lanes(problem->desc.dtype), data, index);
}

/* What a sample has for column i of element `at`. */
static double of_sample(const void *data, const bench_problem *problem, int64_t at, int64_t i)
{
    return lane(data, problem, at / (problem->elements / problem->samples) * problem->sets.length + i);
}

/* What is normalized. The sum of two in lanes, then in the type of x. */
static double input(const bench_tensors *tensors, const bench_problem *problem, int64_t index)
{
    const norma_dtype dtype = problem->desc.dtype;
    const double x = element(tensors->x, problem, index);
    if (problem->desc.residual != NORMA_RESIDUAL_BEFORE) {
        return x;
    }
    double rounded;
    const double gate =
        problem->spec.residual_gated ? of_sample(tensors->residual_gate, problem, index, index % problem->sets.length) : 1;
    norma_dtype_set(dtype, &rounded, 0, x + gate * element(tensors->residual, problem, index));
    return norma_dtype_get(dtype, &rounded, 0);
}

static double activated(const norma_desc *desc, double y)
{
    const double gate = fmin(fmax(desc->activation_alpha * y + desc->activation_beta, 0), 1);
    switch (desc->activation) {
    case NORMA_IDENTITY:
        return y;
    case NORMA_RELU:
        return fmax(y, 0);
    case NORMA_LEAKY_RELU:
        return y < 0 ? desc->activation_alpha * y : y;
    case NORMA_CLIP:
        return fmin(fmax(y, desc->activation_alpha), desc->activation_beta);
    case NORMA_SILU:
        return y / (1 + exp(-y));
    case NORMA_GELU:
        return y * erfc(-y / sqrt(2)) / 2;
    case NORMA_GELU_TANH:
        return y * (1 + tanh(sqrt(2 / acos(-1)) * (y + 0.044715 * y * y * y))) / 2;
    case NORMA_SIGMOID:
        return 1 / (1 + exp(-y));
    case NORMA_TANH:
        return tanh(y);
    case NORMA_HARD_SWISH:
        return y * gate;
    case NORMA_HARD_SIGMOID:
        return gate;
    case NORMA_MISH:
        return y * tanh(log1p(exp(y)));
    case NORMA_ELU:
        return y < 0 ? desc->activation_alpha * expm1(y) : y;
    }
    return NAN;
}

/* Index of element i of a set that begins at `base`. */
static int64_t place(const bench_sets *sets, int64_t base, int64_t i)
{
    return base + i / sets->length * sets->piece_stride + i % sets->length * sets->step;
}

typedef struct reference {
    double mean;
    double factor;
} reference;

/* Two passes, in double: the textbook's formula, for epsilon as the descriptor has it. */
static reference reference_of(const bench_tensors *tensors, const bench_problem *problem, int64_t base)
{
    const bench_sets *sets = &problem->sets;
    const norma_desc *desc = &problem->desc;
    const int64_t count = sets->pieces * sets->length;
    const bool centered = desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
    double sum = 0;
    for (int64_t i = 0; centered && i < count; i++) {
        sum += input(tensors, problem, place(sets, base, i));
    }
    const double mean = sum / (double)count;
    double squares = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = input(tensors, problem, place(sets, base, i)) - mean;
        squares += d * d;
    }
    const double v = desc->op == NORMA_LP_NORM ? squares : squares / (double)count;
    const bool inside = desc->epsilon_mode == NORMA_EPSILON_INSIDE;
    const reference r = {mean, 1 / (inside ? sqrt(v + desc->epsilon) : sqrt(v) + desc->epsilon)};
    return r;
}

static double expected(const bench_tensors *tensors, const bench_problem *problem, const reference *r, int64_t at, int64_t i)
{
    const case_spec *spec = &problem->spec;
    const double scale = problem->scale ? lane(tensors->scale, problem, i) : 1;
    const double shift = problem->shift ? lane(tensors->shift, problem, i) : 0;
    double y = (input(tensors, problem, at) - r->mean) * r->factor * scale + shift;
    if (spec->modulated) {
        y = y * (1 + of_sample(tensors->modulation_scale, problem, at, i)) +
            of_sample(tensors->modulation_shift, problem, at, i);
    }
    if (spec->residual == NORMA_RESIDUAL_AFTER) {
        y += element(tensors->residual, problem, at);
    }
    y = activated(&problem->desc, y);
    if (spec->gated) {
        const double gate = element(tensors->gate, problem, at);
        y *= gate / (1 + exp(-gate));
    }
    return y;
}

/* Of integers of y: what one counts, and which stands for 0. */
typedef struct integers {
    double scale;
    double zero_point;
    double least;
} integers;

static integers integers_of(const bench_tensors *tensors, const bench_problem *problem, int64_t set)
{
    const bool rows = problem->desc.quantization == NORMA_QUANTIZATION_PER_ROW, is_u8 = problem->spec.y_dtype == NORMA_U8;
    const integers q = {norma_dtype_get(NORMA_F32, tensors->y_scale, rows ? set : 0),
                        rows && is_u8 ? norma_dtype_get(NORMA_U8, tensors->y_zero_point, set) : 0, is_u8 ? 0 : -128};
    return q;
}

/* What y should have been for integers to fit it: they are within half of one, or the last of their range. */
static double quantized(const integers *q, double want, double got)
{
    const double number = (got - q->zero_point) * q->scale, high = (q->least + 255 - q->zero_point) * q->scale;
    const double low = (q->least - q->zero_point) * q->scale, bound = fmin(fmax(want, low), high);
    return fabs(number - bound) <= 0.5001 * q->scale ? want : number;
}

/* A row's integers reach the end of their range, or half of one short of it. */
static bool reaches(const integers *q, const bench_tensors *tensors, const bench_problem *problem, int64_t base)
{
    const double high = q->least + 255;
    double least = high, most = q->least;
    for (int64_t i = 0; i < problem->sets.length; i++) {
        const double got = norma_dtype_get(problem->spec.y_dtype, tensors->y, base + i);
        least = fmin(least, got);
        most = fmax(most, got);
    }
    return most >= high - 1 || least <= q->least + 2;
}

/* Given statistics, one per set. */
static reference given_reference(const bench_tensors *tensors, const bench_problem *problem, int64_t set)
{
    const double v = lane(tensors->variance, problem, set);
    const reference r = {lane(tensors->mean, problem, set), 1 / sqrt(v + problem->desc.epsilon)};
    return r;
}

/* Means over a set of g, which is dy times scale, and of g times what was normalized (Lp norm: their sum). */
typedef struct gradient_means {
    double g;
    double gx;
    double most; /* the largest |g| */
} gradient_means;

static double gradient_of_output(const bench_tensors *tensors, const bench_problem *problem, int64_t at, int64_t i)
{
    return element(tensors->residual, problem, at) * (problem->scale ? lane(tensors->scale, problem, i) : 1);
}

static gradient_means gradient_means_of(const bench_tensors *tensors, const bench_problem *problem, const reference *r,
                                        int64_t base)
{
    const bench_sets *sets = &problem->sets;
    const norma_op op = problem->desc.op;
    const double count = (double)(sets->pieces * sets->length);
    gradient_means m = {0, 0, 0};
    for (int64_t i = 0; i < sets->pieces * sets->length; i++) {
        const int64_t at = place(sets, base, i);
        const double g = gradient_of_output(tensors, problem, at, i % sets->length);
        m.g += op == NORMA_RMS_NORM || op == NORMA_LP_NORM ? 0 : g / count;
        m.gx += g * (input(tensors, problem, at) - r->mean) * r->factor / (op == NORMA_LP_NORM ? 1 : count);
        m.most = fmax(m.most, fabs(g));
    }
    return m;
}

/* The gradient of x; with given statistics that of an affine. */
static bool check_gradient(const bench_tensors *tensors, const bench_problem *problem, const reference *r, int64_t set,
                           int64_t base, double tolerance, char *sentence)
{
    const bench_sets *sets = &problem->sets;
    gradient_means m = gradient_means_of(tensors, problem, r, base);
    m.g = problem->given ? 0 : m.g;
    m.gx = problem->given ? 0 : m.gx;
    for (int64_t i = 0; i < sets->pieces * sets->length; i++) {
        const int64_t at = place(sets, base, i);
        const double g = gradient_of_output(tensors, problem, at, i % sets->length);
        const double want = r->factor * (g - m.g - (input(tensors, problem, at) - r->mean) * r->factor * m.gx);
        const double got = element(tensors->y, problem, at);
        if (!(fabs(got - want) <= tolerance * fmax(r->factor * m.most, fabs(want)))) {
            snprintf(sentence, BENCH_SENTENCE_MAX, "the gradient of element %lld of set %lld is %.9g, should be %.9g",
                     (long long)i, (long long)set, got, want);
            return false;
        }
    }
    return true;
}

static bool check_set(const bench_tensors *tensors, const bench_problem *problem, int64_t set, bool peer, char *sentence)
{
    const bench_sets *sets = &problem->sets;
    const double tolerance = tolerance_of(problem, peer);
    /* An Lp norm's results are as small as the set is long, so "1" is their root mean square instead. */
    const double unit = problem->desc.op == NORMA_LP_NORM ? 1 / sqrt((double)(sets->pieces * sets->length)) : 1;
    const int64_t base = set / sets->inner * sets->outer_stride + set % sets->inner * sets->inner_stride;
    const reference r = problem->given ? given_reference(tensors, problem, set) : reference_of(tensors, problem, base);
    if (problem->backward) {
        return check_gradient(tensors, problem, &r, set, base, tolerance, sentence);
    }
    const bool whole = bench_is_integer(problem->spec.y_dtype);
    const integers q = whole ? integers_of(tensors, problem, set) : (integers){1, 0, 0};
    if (problem->desc.quantization == NORMA_QUANTIZATION_PER_ROW && !reaches(&q, tensors, problem, base)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "the integers of row %lld do not fill their range", (long long)set);
        return false;
    }
    for (int64_t i = 0; i < sets->pieces * sets->length; i++) {
        const int64_t at = place(sets, base, i);
        const double want = expected(tensors, problem, &r, at, i % sets->length);
        const double stored = norma_dtype_get(problem->spec.y_dtype, tensors->y, at);
        const double got = whole ? quantized(&q, want, stored) : stored;
        if (!(fabs(got - want) <= tolerance * fmax(unit, fabs(want)))) {
            snprintf(sentence, BENCH_SENTENCE_MAX, "element %lld of set %lld is %.9g, should be %.9g", (long long)i,
                     (long long)set, got, want);
            return false;
        }
    }
    return true;
}

bool bench_check(const bench_tensors *tensors, const bench_problem *problem, bool peer, char *sentence)
{
    const int64_t count = problem->sets.count;
    const int64_t affordable = SAMPLE_ELEMENTS / (problem->sets.pieces * problem->sets.length);
    const int64_t most = affordable < 2 ? 2 : affordable < SAMPLE ? affordable : SAMPLE;
    const int64_t sample = count < most ? count : most;
    for (int64_t k = 0; k < sample; k++) {
        if (!check_set(tensors, problem, sample == 1 ? 0 : k * (count - 1) / (sample - 1), peer, sentence)) {
            return false;
        }
    }
    return true;
}

bool bench_check_copy(const bench_tensors *tensors, const bench_problem *problem, char *sentence)
{
    const bench_copy_side side = bench_copy_sides(tensors, problem), rest = bench_copy_rest(tensors, problem);
    if (memcmp(side.from, side.into, side.bytes) != 0 || (rest.bytes && memcmp(rest.from, rest.into, rest.bytes) != 0)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "the copy differs from what was copied");
        return false;
    }
    return true;
}

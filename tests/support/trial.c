#include "support/trial.h"

#include <math.h>

#include "support/compare.h"
#include "support/element.h"
#include "support/suite.h"

enum {
    X,
    Y,
    SCALE,
    SHIFT,
    MEAN,
    RSTD,
    GIVEN_MEAN,
    GIVEN_VARIANCE,
    RESIDUAL,
    SUM,
    RESIDUAL_GATE,
    RESIDUAL_BIAS,
    MODULATION_SCALE,
    MODULATION_SHIFT,
    GATE,
    Y_SCALE,
    Y_ZERO_POINT,
    TENSORS
};

static const char *const names[TENSORS] = {"x",
                                           "y",
                                           "scale",
                                           "shift",
                                           "mean",
                                           "rstd",
                                           "given_mean",
                                           "given_variance",
                                           "residual",
                                           "sum",
                                           "residual_gate",
                                           "residual_bias",
                                           "modulation_scale",
                                           "modulation_shift",
                                           "gate",
                                           "y_scale",
                                           "y_zero_point"};

/* Tensors that a run reads and that trials only copy. */
enum { FIRST_INPUT = RESIDUAL_GATE, INPUTS_END = Y_SCALE };

static void *random_tensor(norma_dtype dtype, int64_t count, random_state *random, double offset, double spread)
{
    void *tensor = suite_alloc((size_t)count, element_size(dtype));
    for (int64_t i = 0; i < count; i++) {
        element_set(dtype, tensor, i, offset + spread * random_normal(random));
    }
    return tensor;
}

static void *random_x(const trial *t, random_state *random)
{
    const norma_dtype dtype = t->desc.dtype;
    void *x = suite_alloc((size_t)t->x_extent, element_size(dtype));
    const bool integer = element_is_integer(dtype);
    for (int64_t i = 0; i < t->x_extent; i++) {
        element_set(dtype, x, i, integer ? 99 : NAN);
    }
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        const double value = t->inputs.offset + t->inputs.spread * random_normal(random);
        element_set(dtype, x, t->want->x_at[i], integer ? value / t->desc.x_scale + t->desc.x_zero_point : value);
    }
    return x;
}

static norma_dtype tensor_dtype(const norma_desc *desc, int which)
{
    switch (which) {
    case X:
    case GATE:
        return desc->dtype;
    case Y:
        return element_y(desc);
    case Y_SCALE:
        return NORMA_F32;
    case Y_ZERO_POINT:
        return NORMA_U8;
    case RESIDUAL:
        return element_residual(desc);
    case SUM:
        return element_normalized(desc);
    case SCALE:
    case SHIFT:
    case RESIDUAL_GATE:
    case RESIDUAL_BIAS:
    case MODULATION_SCALE:
    case MODULATION_SHIFT:
        return element_parameter(desc);
    default:
        return element_statistic(element_normalized(desc));
    }
}

static int64_t modulation_count(const trial *t, norma_modulation modulation)
{
    return modulation == NORMA_MODULATION_PER_SAMPLE ? t->desc.shape[0] * t->want->params : t->want->sets * t->want->length;
}

static int64_t tensor_count(const trial *t, int which)
{
    const norma_quantization quantization = t->desc.quantization;
    switch (which) {
    case X:
        return t->x_extent;
    case Y:
        return t->y_extent;
    case SCALE:
    case SHIFT:
    case RESIDUAL_BIAS:
        return t->want->params;
    case RESIDUAL:
    case SUM:
    case GATE:
        return t->want->sets * t->want->length;
    case RESIDUAL_GATE:
        return modulation_count(t, t->desc.residual_gate);
    case MODULATION_SCALE:
    case MODULATION_SHIFT:
        return modulation_count(t, t->desc.modulation);
    case Y_SCALE:
        return quantization == NORMA_QUANTIZATION_PER_ROW       ? t->want->sets
               : quantization == NORMA_QUANTIZATION_PER_CHANNEL ? t->want->params
                                                                : 1;
    default:
        return t->want->sets;
    }
}

/* Whether the descriptor asks for one of the inputs that trials only copy. */
static bool has_input(const norma_desc *desc, int which)
{
    switch (which) {
    case RESIDUAL_GATE:
        return desc->residual_gate != NORMA_MODULATION_NONE;
    case RESIDUAL_BIAS: /* with some of those that are not plain sums */
        return desc->residual_gate == NORMA_MODULATION_PER_ELEMENT ||
               (desc->residual == NORMA_RESIDUAL_BEFORE && desc->residual_dtype && desc->op == NORMA_RMS_NORM);
    case GATE:
        return desc->gate != NORMA_GATE_NONE;
    default:
        return desc->modulation != NORMA_MODULATION_NONE;
    }
}

trial *trial_create(const norma_desc *desc, trial_inputs inputs, random_state *random)
{
    trial *t = suite_alloc(1, sizeof *t);
    t->desc = *desc;
    t->inputs = inputs;
    t->want = oracle_layout(desc);
    t->x_extent = oracle_x_extent(t->want);
    t->y_extent = oracle_y_extent(t->want);
    t->x = random_x(t, random);
    t->scale = inputs.scale ? random_tensor(element_parameter(desc), t->want->params, random, 1, 0.25) : NULL;
    t->shift = inputs.shift ? random_tensor(element_parameter(desc), t->want->params, random, 0, 0.5) : NULL;
    if (desc->statistics == NORMA_STATISTICS_GIVEN) {
        const norma_dtype dtype = tensor_dtype(desc, GIVEN_MEAN);
        t->given_mean = random_tensor(dtype, t->want->sets, random, inputs.offset, inputs.spread);
        t->given_variance = random_tensor(dtype, t->want->sets, random, 2, 0.1);
    }
    if (desc->residual) {
        t->residual = random_tensor(element_residual(desc), t->want->sets * t->want->length, random, 0.5, 1);
    }
    for (int i = FIRST_INPUT; i < INPUTS_END; i++) {
        t->input[i - FIRST_INPUT] =
            has_input(desc, i) ? random_tensor(tensor_dtype(desc, i), tensor_count(t, i), random, 0.25, 0.5) : NULL;
    }
    if (desc->quantization && desc->quantization != NORMA_QUANTIZATION_PER_ROW) {
        t->y_scale = random_tensor(NORMA_F32, tensor_count(t, Y_SCALE), random, 0.05, 0.002);
    }
    for (int i = 0; i < TENSORS; i++) {
        t->guards[i] = guard_create((size_t)tensor_count(t, i) * element_size(tensor_dtype(desc, i)) + 4096);
    }
    trial_expect(t);
    return t;
}

trial *trial_of(norma_desc desc, bool scale, bool shift, double offset, double spread)
{
    const bool given = desc.statistics == NORMA_STATISTICS_GIVEN;
    const bool moments = desc.op != NORMA_LP_NORM && desc.op != NORMA_RMS_NORM;
    const trial_inputs inputs = {scale, shift, moments && !given, !given, offset, spread};
    random_state random = random_begin((uint64_t)desc.shape[0]);
    return trial_create(&desc, inputs, &random);
}

void trial_destroy(trial *t)
{
    if (t) {
        for (int i = 0; i < TENSORS; i++) {
            guard_destroy(&t->guards[i]);
        }
        oracle_destroy(t->want);
        free(t->x);
        free(t->scale);
        free(t->shift);
        free(t->given_mean);
        free(t->given_variance);
        free(t->residual);
        for (int i = FIRST_INPUT; i < INPUTS_END; i++) {
            free(t->input[i - FIRST_INPUT]);
        }
        free(t->y_scale);
        free(t);
    }
}

void trial_set_x(trial *t, int64_t set, int64_t i, double value)
{
    element_set(t->desc.dtype, t->x, t->want->x_at[set * t->want->length + i], value);
}

static oracle_inputs inputs_of(const trial *t)
{
    const oracle_inputs inputs = {.x = t->x,
                                  .scale = t->scale,
                                  .shift = t->shift,
                                  .given_mean = t->given_mean,
                                  .given_variance = t->given_variance,
                                  .residual = t->residual,
                                  .residual_gate = t->input[RESIDUAL_GATE - FIRST_INPUT],
                                  .residual_bias = t->input[RESIDUAL_BIAS - FIRST_INPUT],
                                  .modulation_scale = t->input[MODULATION_SCALE - FIRST_INPUT],
                                  .modulation_shift = t->input[MODULATION_SHIFT - FIRST_INPUT],
                                  .gate = t->input[GATE - FIRST_INPUT]};
    return inputs;
}

void trial_expect(trial *t)
{
    oracle *want = oracle_create(&t->desc, inputs_of(t));
    oracle_destroy(t->want);
    t->want = want;
    t->scale_max = 1;
    for (int64_t i = 0; t->scale && i < want->params; i++) {
        t->scale_max = fmax(t->scale_max, fabs(element_get(element_parameter(&t->desc), t->scale, i)));
    }
}

/* Whether sums come with errors: then they are looked at by themselves, and y as what they should give. */
static bool sums_are_inexact(const norma_desc *desc)
{
    return desc->gate == NORMA_GATE_BEFORE || desc->residual_gate ||
           (desc->residual_dtype && desc->residual == NORMA_RESIDUAL_BEFORE);
}

/* Places one tensor and copies `from` into it, when it has a source. */
static void *place(trial *t, int which, const void *from)
{
    const size_t size = element_size(tensor_dtype(&t->desc, which)), bytes = (size_t)tensor_count(t, which) * size;
    const size_t distance = t->spot.distance ? (size_t)t->spot.distance + 3 * (size_t)which : 0;
    guard_place(&t->guards[which], bytes, t->spot.side, distance * size);
    if (from) {
        memcpy(t->guards[which].data, from, bytes);
    }
    return t->guards[which].data;
}

void trial_place(trial *t, trial_spot spot)
{
    t->spot = spot;
    memset(&t->args, 0, sizeof t->args);
    t->args.struct_size = sizeof t->args;
    void *x = place(t, X, t->x), *y = place(t, Y, NULL);
    t->args.x = x;
    t->args.y = spot.in_place ? x : y;
    t->args.scale = t->scale ? place(t, SCALE, t->scale) : NULL;
    t->args.shift = t->shift ? place(t, SHIFT, t->shift) : NULL;
    t->args.given_mean = t->given_mean ? place(t, GIVEN_MEAN, t->given_mean) : NULL;
    t->args.given_variance = t->given_variance ? place(t, GIVEN_VARIANCE, t->given_variance) : NULL;
    t->args.residual = t->residual ? place(t, RESIDUAL, t->residual) : NULL;
    const bool sums = t->desc.residual == NORMA_RESIDUAL_BEFORE || t->desc.gate == NORMA_GATE_BEFORE;
    const bool needed = element_y(&t->desc) != element_normalized(&t->desc) || sums_are_inexact(&t->desc);
    t->args.sum = sums && (needed || spot.side == GUARD_END) ? place(t, SUM, NULL) : NULL;
    const void **const inputs[] = {&t->args.residual_gate, &t->args.residual_bias, &t->args.modulation_scale,
                                   &t->args.modulation_shift, &t->args.gate};
    for (int i = FIRST_INPUT; i < INPUTS_END; i++) {
        const void *from = t->input[i - FIRST_INPUT];
        *inputs[i - FIRST_INPUT] = from ? place(t, i, from) : NULL;
    }
    const bool per_row = t->desc.quantization == NORMA_QUANTIZATION_PER_ROW;
    t->args.y_scale = t->y_scale || per_row ? place(t, Y_SCALE, t->y_scale) : NULL;
    t->args.y_zero_point = per_row && t->desc.y_dtype == NORMA_U8 ? place(t, Y_ZERO_POINT, NULL) : NULL;
    t->args.mean = t->inputs.mean ? place(t, MEAN, NULL) : NULL;
    t->args.rstd = t->inputs.rstd ? place(t, RSTD, NULL) : NULL;
}

static bool same_bytes(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* Gaps between rows, both sides of every buffer, and the inputs. */
static void check_surroundings(const trial *t)
{
    const size_t size = element_size(element_y(&t->desc));
    unsigned char *expected = suite_alloc((size_t)t->y_extent, size);
    if (t->spot.in_place) {
        memcpy(expected, t->x, (size_t)t->y_extent * size);
    } else {
        memset(expected, GUARD_FILL, (size_t)t->y_extent * size);
        check(same_bytes(t->args.x, t->x, (size_t)t->x_extent * element_size(t->desc.dtype)));
    }
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        const size_t at = (size_t)t->want->y_at[i] * size;
        memcpy(expected + at, (const unsigned char *)t->args.y + at, size);
    }
    check(same_bytes(expected, t->args.y, (size_t)t->y_extent * size)); /* nothing between the rows of y was written */
    free(expected);
    const void *placed[TENSORS] = {t->args.x,
                                   t->spot.in_place ? NULL : t->args.y,
                                   t->args.scale,
                                   t->args.shift,
                                   t->args.mean,
                                   t->args.rstd,
                                   t->args.given_mean,
                                   t->args.given_variance,
                                   t->args.residual,
                                   t->args.sum,
                                   t->args.residual_gate,
                                   t->args.residual_bias,
                                   t->args.modulation_scale,
                                   t->args.modulation_shift,
                                   t->args.gate,
                                   t->args.y_scale,
                                   t->args.y_zero_point};
    const void *inputs[TENSORS] = {[SCALE] = t->scale, [SHIFT] = t->shift, [RESIDUAL] = t->residual, [Y_SCALE] = t->y_scale};
    memcpy(inputs + FIRST_INPUT, t->input, sizeof t->input);
    for (int i = 0; i < TENSORS; i++) {
        if (placed[i] && !guard_intact(&t->guards[i])) {
            suite_fail("bytes beside %s were written", names[i]);
        }
        const size_t bytes = (size_t)tensor_count(t, i) * element_size(tensor_dtype(&t->desc, i));
        if (placed[i] && inputs[i] && !same_bytes(placed[i], inputs[i], bytes)) {
            suite_fail("%s was written", names[i]);
        }
    }
}

/* What rounding to a narrow type may add. Rounded twice, what lies near the middle of two numbers may be either: a step of the
 * type, times scale. */
static double rounding_of(const norma_desc *desc, double want)
{
    const norma_dtype dtype = element_y(desc);
    const double ulp = element_is_narrow(dtype) && isfinite(want) ? element_ulp(dtype, want) : 0;
    return desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE ? 2.5 * ulp : ulp / 2;
}

/* Where nothing is subtracted or added, y is as good relative to its own size; Lp norms of long rows are far below 1. */
static double error_of(const trial *t, double got, double want)
{
    const double rounding = rounding_of(&t->desc, want);
    if (rounding > 0 && isfinite(got)) {
        got = fabs(got - want) <= rounding ? want : got > want ? got - rounding : got + rounding;
    }
    const bool alone = t->desc.activation == NORMA_IDENTITY && t->desc.residual != NORMA_RESIDUAL_AFTER && !t->desc.modulation;
    const bool product = alone && (t->desc.op == NORMA_RMS_NORM || t->desc.op == NORMA_LP_NORM);
    return product ? compare_relative_error(got, want) : compare_error(got, want);
}

/* An f64 mean has no wider type to be kept in: half an ulp of it and as much again at each merge of leaves, in units of the
 * deviation, is in every y and in the variance. A few are allowed. f32 has no such excuse. */
static double tolerance_of_set(const trial *t, int64_t set, double tolerance)
{
    const bool counts =
        element_normalized(&t->desc) == NORMA_F64 && isfinite(t->want->mean[set]) && isfinite(t->want->rstd[set]);
    return counts ? tolerance + 1e-15 * fabs(t->want->mean[set]) * t->want->rstd[set] * t->scale_max : tolerance;
}

/* The scale and zero point of an element of a set, as the run had or made them. */
static void quantization_of(const trial *t, int64_t at, double *scale, double *zero_point)
{
    const norma_quantization quantization = t->desc.quantization;
    const int64_t set = at / t->want->length;
    const int64_t index = quantization == NORMA_QUANTIZATION_PER_ROW       ? set
                          : quantization == NORMA_QUANTIZATION_PER_CHANNEL ? t->want->param_at[at]
                                                                           : 0;
    *scale = (double)((const float *)t->args.y_scale)[index];
    *zero_point = t->args.y_zero_point ? ((const uint8_t *)t->args.y_zero_point)[set] : t->desc.y_zero_point;
}

/* What was made of each set's range. */
static void check_ranges(const trial *t, double tolerance)
{
    for (int64_t set = 0; set < t->want->sets; set++) {
        double low = 0, high = 0, scale, zero_point;
        for (int64_t i = 0; i < t->want->length; i++) {
            low = fmin(low, t->want->y[set * t->want->length + i]);
            high = fmax(high, t->want->y[set * t->want->length + i]);
        }
        quantization_of(t, set * t->want->length, &scale, &zero_point);
        const bool is_signed = t->desc.y_dtype == NORMA_S8;
        const double range = is_signed ? fmax(-low, high) / 127 : (high - low) / 255, want = range == 0 ? 1 : range;
        if (!(fabs(scale - want) <= 2 * tolerance * fmax(want, 1e-2)) ||
            (!is_signed && !(fabs(zero_point + low / scale) <= 0.501))) {
            suite_fail("y_scale of set %lld: got %.9g, want %.9g, zero point %g", (long long)set, scale, want, zero_point);
        }
    }
}

/* Integers: half a step, and what of the error before is left. */
static void check_integers(const trial *t, double tolerance)
{
    const double least = t->desc.y_dtype == NORMA_S8 ? -128 : 0;
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        double scale, zero_point;
        quantization_of(t, i, &scale, &zero_point);
        const double value = t->want->y[i], steps = fmin(fmax(value / scale + zero_point, least), least + 255);
        const double got = element_get(t->desc.y_dtype, t->args.y, t->want->y_at[i]);
        const double allowed = 0.5 + 2 * tolerance * (fmax(1, fabs(value)) / scale + 256);
        if (!(fabs(got - steps) <= allowed)) {
            suite_fail("y of set %lld element %lld: got %g, want %.9g / %g", (long long)(i / t->want->length),
                       (long long)(i % t->want->length), got, value, scale);
        }
    }
}

static void check_y(const trial *t, double tolerance)
{
    if (t->desc.quantization == NORMA_QUANTIZATION_PER_ROW) {
        check_ranges(t, tolerance);
    }
    if (t->desc.quantization) {
        check_integers(t, tolerance);
        return;
    }
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        const int64_t set = i / t->want->length;
        const double got = element_get(element_y(&t->desc), t->args.y, t->want->y_at[i]), want = t->want->y[i];
        const double allowed = tolerance_of_set(t, set, tolerance);
        if (!(error_of(t, got, want) <= allowed)) {
            suite_fail("y of set %lld element %lld: got %.17g, want %.17g, error %.3g, allowed %.3g", (long long)set,
                       (long long)(i % t->want->length), got, want, error_of(t, got, want), allowed);
        }
    }
}

static void check_saved(const trial *t, double tolerance)
{
    const norma_dtype dtype = tensor_dtype(&t->desc, RSTD);
    const norma_saved saved = t->desc.saved;
    for (int64_t set = 0; set < t->want->sets; set++) {
        if (t->args.mean) {
            const double got = element_get(dtype, t->args.mean, set), want = t->want->mean[set];
            /* a mean is as good as the data are wide, or as its type can tell */
            const double width = fmax(sqrt(t->want->v[set]), fabs(want));
            if (!(fabs(got - want) <= tolerance * width) && compare_error(got, want) != 0) {
                suite_fail("mean of set %lld: got %.17g, want %.17g", (long long)set, got, want);
            }
        }
        if (t->args.rstd) {
            const double got = element_get(dtype, t->args.rstd, set);
            const double rstd = t->want->rstd[set];
            const double want = saved == NORMA_SAVE_VARIANCE  ? t->want->v[set]
                                : saved == NORMA_SAVE_DIVISOR ? rstd == 0 ? 0 : 1 / rstd
                                                              : rstd;
            if (!(compare_relative_error(got, want) <= tolerance_of_set(t, set, tolerance))) {
                suite_fail("saved statistic %d of set %lld: got %.17g, want %.17g", (int)saved, (long long)set, got, want);
            }
        }
    }
}

/* To the bit, or where there is more to them than an addition to the last bit of f32 and of their type. */
static void check_sum(const trial *t)
{
    const norma_dtype dtype = element_normalized(&t->desc);
    const oracle_inputs inputs = inputs_of(t);
    const bool inexact = sums_are_inexact(&t->desc);
    for (int64_t i = 0; t->args.sum && i < t->want->sets * t->want->length; i++) {
        const int64_t at = t->want->dense_at[i];
        const double exact = (double)oracle_sum(t->want, &t->desc, &inputs, i / t->want->length, i % t->want->length);
        const double want = dtype == NORMA_F64 ? exact : element_round(dtype, (double)(float)exact);
        const double got = element_get(dtype, t->args.sum, at);
        const double last = element_is_narrow(dtype) ? element_ulp(dtype, exact) : 0;
        const double allowed = (dtype == NORMA_F64 ? 1e-15 : 1e-6) * fmax(1, fabs(exact)) + 0.5 * last;
        if (inexact ? !(fabs(got - exact) <= allowed) : compare_bits(NORMA_F64, &got, &want, 1) >= 0) {
            suite_fail("sum of element %lld: got %.17g, want %.17g", (long long)at, got, want);
        }
    }
}

/* What is left to do once the sum is made. */
static norma_desc after_sum(const norma_desc *desc)
{
    norma_desc rest = *desc;
    rest.parameter_dtype = element_parameter(desc);
    rest.y_dtype = element_y(desc);
    rest.dtype = element_normalized(desc);
    rest.residual = desc->residual == NORMA_RESIDUAL_BEFORE ? NORMA_RESIDUAL_NONE : desc->residual;
    rest.residual_gate = NORMA_MODULATION_NONE;
    rest.gate = desc->gate == NORMA_GATE_BEFORE ? NORMA_GATE_NONE : desc->gate;
    return rest;
}

void trial_check(const trial *t, double tolerance)
{
    check_sum(t);
    if (t->args.sum && sums_are_inexact(&t->desc)) {
        trial rest = *t;
        rest.desc = after_sum(&t->desc);
        oracle_inputs inputs = inputs_of(t);
        inputs.x = t->args.sum;
        inputs.residual_gate = inputs.residual_bias = NULL;
        rest.want = oracle_create(&rest.desc, inputs);
        check_y(&rest, tolerance);
        check_saved(&rest, tolerance);
        oracle_destroy(rest.want);
    } else {
        check_y(t, tolerance);
        check_saved(t, tolerance);
    }
    check_surroundings(t);
}

void trial_check_untouched(const trial *t)
{
    for (int i = 0; i <= RSTD; i++) {
        const void *const outputs[] = {NULL, t->args.y, NULL, NULL, t->args.mean, t->args.rstd};
        for (size_t at = 0; outputs[i] && !t->spot.in_place && at < t->guards[i].size; at++) {
            check(((const unsigned char *)outputs[i])[at] == GUARD_FILL);
        }
    }
    check(same_bytes(t->args.x, t->x, (size_t)t->x_extent * element_size(t->desc.dtype)));
}

outcome trial_outcome(const trial *t)
{
    const int64_t elements = t->want->sets * t->want->length;
    outcome o = {elements, t->want->length, NULL};
    o.elements = suite_alloc((size_t)(elements + 3 * t->want->sets), sizeof *o.elements);
    for (int64_t i = 0; i < elements; i++) {
        o.elements[i] = element_get(element_y(&t->desc), t->args.y, t->want->y_at[i]);
    }
    const void *const saved[2] = {t->args.mean, t->args.rstd};
    for (int k = 0; k < 2; k++) {
        for (int64_t set = 0; saved[k] && set < t->want->sets; set++) {
            o.elements[o.count++] = element_get(tensor_dtype(&t->desc, RSTD), saved[k], set);
        }
    }
    for (int64_t set = 0; t->desc.quantization == NORMA_QUANTIZATION_PER_ROW && set < t->want->sets; set++) {
        o.elements[o.count++] = (double)((const float *)t->args.y_scale)[set];
    }
    return o;
}

void outcome_destroy(outcome *o)
{
    free(o->elements);
    o->elements = NULL;
}

void outcome_check_same(const outcome *a, const outcome *b, const char *what)
{
    check(a->count == b->count);
    const int64_t at = compare_bits(NORMA_F64, a->elements, b->elements, a->count);
    if (at >= 0) {
        suite_fail("%s: bits differ first in set %lld element %lld: %.17g against %.17g", what, (long long)(at / a->length),
                   (long long)(at % a->length), a->elements[at], b->elements[at]);
    }
}

void trial_check_same(const trial *t, const outcome *want, const char *what)
{
    outcome now = trial_outcome(t);
    outcome_check_same(&now, want, what);
    outcome_destroy(&now);
}

double trial_tolerance(const trial *t)
{
    return element_normalized(&t->desc) == NORMA_F64 && element_y(&t->desc) == NORMA_F64 ? 2e-14 : 4e-6;
}

#include "support/trial.h"

#include <math.h>

#include "support/compare.h"
#include "support/element.h"
#include "support/suite.h"

enum { X, Y, SCALE, SHIFT, MEAN, RSTD, GIVEN_MEAN, GIVEN_VARIANCE, RESIDUAL, SUM, TENSORS };

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
    for (int64_t i = 0; i < t->x_extent; i++) {
        element_set(dtype, x, i, NAN);
    }
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        element_set(dtype, x, t->want->x_at[i], t->inputs.offset + t->inputs.spread * random_normal(random));
    }
    return x;
}

static norma_dtype tensor_dtype(const norma_desc *desc, int which)
{
    return which == X || which == Y || which == RESIDUAL || which == SUM ? desc->dtype
           : which == SCALE || which == SHIFT                            ? element_parameter(desc)
                                                                         : element_statistic(desc->dtype);
}

static int64_t tensor_count(const trial *t, int which)
{
    const int64_t dense = t->want->sets * t->want->length;
    const int64_t counts[TENSORS] = {t->x_extent,   t->y_extent,   t->want->params, t->want->params, t->want->sets,
                                     t->want->sets, t->want->sets, t->want->sets,   dense,           dense};
    return counts[which];
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
        t->given_mean = random_tensor(element_statistic(desc->dtype), t->want->sets, random, inputs.offset, inputs.spread);
        t->given_variance = random_tensor(element_statistic(desc->dtype), t->want->sets, random, 2, 0.1);
    }
    if (desc->residual) {
        t->residual = random_tensor(desc->dtype, t->want->sets * t->want->length, random, 0.5, 1);
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
        free(t);
    }
}

void trial_set_x(trial *t, int64_t set, int64_t i, double value)
{
    element_set(t->desc.dtype, t->x, t->want->x_at[set * t->want->length + i], value);
}

void trial_expect(trial *t)
{
    const oracle_inputs inputs = {t->x, t->scale, t->shift, t->given_mean, t->given_variance, t->residual};
    oracle *want = oracle_create(&t->desc, inputs);
    oracle_destroy(t->want);
    t->want = want;
    t->scale_max = 1;
    for (int64_t i = 0; t->scale && i < want->params; i++) {
        t->scale_max = fmax(t->scale_max, fabs(element_get(element_parameter(&t->desc), t->scale, i)));
    }
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
    t->args.sum = t->desc.residual == NORMA_RESIDUAL_BEFORE && spot.side == GUARD_END ? place(t, SUM, NULL) : NULL;
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
    const size_t size = element_size(t->desc.dtype);
    unsigned char *expected = suite_alloc((size_t)t->y_extent, size);
    if (t->spot.in_place) {
        memcpy(expected, t->x, (size_t)t->y_extent * size);
    } else {
        memset(expected, GUARD_FILL, (size_t)t->y_extent * size);
        check(same_bytes(t->args.x, t->x, (size_t)t->x_extent * size));
    }
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        const size_t at = (size_t)t->want->y_at[i] * size;
        memcpy(expected + at, (const unsigned char *)t->args.y + at, size);
    }
    check(same_bytes(expected, t->args.y, (size_t)t->y_extent * size)); /* nothing between the rows of y was written */
    free(expected);
    const size_t parameters = (size_t)t->want->params * element_size(element_parameter(&t->desc));
    check(!t->args.scale || same_bytes(t->args.scale, t->scale, parameters));
    check(!t->args.shift || same_bytes(t->args.shift, t->shift, parameters));
    const void *placed[TENSORS] = {t->args.x,          t->spot.in_place ? NULL : t->args.y,
                                   t->args.scale,      t->args.shift,
                                   t->args.mean,       t->args.rstd,
                                   t->args.given_mean, t->args.given_variance,
                                   t->args.residual,   t->args.sum};
    for (int i = 0; i < TENSORS; i++) {
        if (placed[i] && !guard_intact(&t->guards[i])) {
            static const char *const names[TENSORS] = {"x",    "y",          "scale",          "shift",    "mean",
                                                       "rstd", "given_mean", "given_variance", "residual", "sum"};
            suite_fail("bytes beside %s were written", names[i]);
        }
    }
}

/* What rounding to a narrow type may add. Rounded twice, what lies near the middle of two numbers may be either: a step of the
 * type, times scale. */
static double rounding_of(const norma_desc *desc, double want)
{
    const double ulp = element_is_narrow(desc->dtype) && isfinite(want) ? element_ulp(desc->dtype, want) : 0;
    return desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE ? 2.5 * ulp : ulp / 2;
}

/* Where nothing is subtracted or added, y is as good relative to its own size; Lp norms of long rows are far below 1. */
static double error_of(const trial *t, double got, double want)
{
    const double rounding = rounding_of(&t->desc, want);
    if (rounding > 0 && isfinite(got)) {
        got = fabs(got - want) <= rounding ? want : got > want ? got - rounding : got + rounding;
    }
    const bool alone = t->desc.activation == NORMA_IDENTITY && t->desc.residual != NORMA_RESIDUAL_AFTER;
    const bool product = alone && (t->desc.op == NORMA_RMS_NORM || t->desc.op == NORMA_LP_NORM);
    return product ? compare_relative_error(got, want) : compare_error(got, want);
}

/* An f64 mean has no wider type to be kept in: half an ulp of it and as much again at each merge of leaves, in units of the
 * deviation, is in every y and in the variance. A few are allowed. f32 has no such excuse. */
static double tolerance_of_set(const trial *t, int64_t set, double tolerance)
{
    const bool counts = t->desc.dtype == NORMA_F64 && isfinite(t->want->mean[set]) && isfinite(t->want->rstd[set]);
    return counts ? tolerance + 1e-15 * fabs(t->want->mean[set]) * t->want->rstd[set] * t->scale_max : tolerance;
}

static void check_y(const trial *t, double tolerance)
{
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        const int64_t set = i / t->want->length;
        const double got = element_get(t->desc.dtype, t->args.y, t->want->y_at[i]), want = t->want->y[i];
        const double allowed = tolerance_of_set(t, set, tolerance);
        if (!(error_of(t, got, want) <= allowed)) {
            suite_fail("y of set %lld element %lld: got %.17g, want %.17g, error %.3g, allowed %.3g", (long long)set,
                       (long long)(i % t->want->length), got, want, error_of(t, got, want), allowed);
        }
    }
}

static void check_saved(const trial *t, double tolerance)
{
    const norma_dtype dtype = element_statistic(t->desc.dtype);
    const bool variance = t->desc.saved == NORMA_SAVE_VARIANCE;
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
            const double want = variance ? t->want->v[set] : t->want->rstd[set];
            if (!(compare_relative_error(got, want) <= tolerance_of_set(t, set, tolerance))) {
                suite_fail("%s of set %lld: got %.17g, want %.17g", variance ? "variance" : "rstd", (long long)set, got, want);
            }
        }
    }
}

/* To the bit. */
static void check_sum(const trial *t)
{
    const norma_dtype dtype = t->desc.dtype;
    for (int64_t i = 0; t->args.sum && i < t->want->sets * t->want->length; i++) {
        const int64_t at = t->want->dense_at[i];
        const double want = element_add(dtype, element_get(dtype, t->x, t->want->x_at[i]), element_get(dtype, t->residual, at));
        const double got = element_get(dtype, t->args.sum, at);
        if (compare_bits(NORMA_F64, &got, &want, 1) >= 0) {
            suite_fail("sum of element %lld: got %.17g, want %.17g", (long long)at, got, want);
        }
    }
}

void trial_check(const trial *t, double tolerance)
{
    check_sum(t);
    check_y(t, tolerance);
    check_saved(t, tolerance);
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
    o.elements = suite_alloc((size_t)(elements + 2 * t->want->sets), sizeof *o.elements);
    for (int64_t i = 0; i < elements; i++) {
        o.elements[i] = element_get(t->desc.dtype, t->args.y, t->want->y_at[i]);
    }
    const void *const saved[2] = {t->args.mean, t->args.rstd};
    for (int k = 0; k < 2; k++) {
        for (int64_t set = 0; saved[k] && set < t->want->sets; set++) {
            o.elements[o.count++] = element_get(element_statistic(t->desc.dtype), saved[k], set);
        }
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
    return t->desc.dtype == NORMA_F64 ? 2e-14 : 4e-6;
}

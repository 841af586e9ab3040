/*
 * What follows a norm: every activation and residual on every geometry, type and instruction set against the formulas, and the
 * edges that only they have.
 */
#include <math.h>
#include <string.h>

#include "support/element.h"
#include "support/geometries.h"
#include "support/isa.h"
#include "support/suite.h"

static const norma_dtype dtypes[] = {NORMA_F32, NORMA_F64, NORMA_BF16, NORMA_F16};

static void try_all(norma_residual residual)
{
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
            for (norma_activation activation = NORMA_IDENTITY; activation <= NORMA_ELU; activation++) {
                norma_desc desc = geometries_get(turn, dtypes[d]);
                norma_desc_activate(&desc, activation);
                desc.residual = residual;
                const bool scale = desc.op != NORMA_LP_NORM && desc.op != NORMA_MVN && activation % 3 != 2;
                trial *t = trial_of(desc, scale, scale && desc.op != NORMA_RMS_NORM, 0.5, 2);
                isa_check_each(t);
                trial_destroy(t);
            }
        }
    }
}

static void every_activation(void **state)
{
    (void)state;
    try_all(NORMA_RESIDUAL_NONE);
}

static void every_activation_after_a_residual(void **state)
{
    (void)state;
    try_all(NORMA_RESIDUAL_AFTER);
}

static void every_activation_of_a_sum(void **state)
{
    (void)state;
    try_all(NORMA_RESIDUAL_BEFORE);
}

/* Gaps between rows: the residual has none. */
static void strided_rows(void **state)
{
    (void)state;
    const int64_t shape[] = {7, 61};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_desc_activate(&desc, NORMA_SILU);
    desc.x_row_stride = 64;
    desc.y_row_stride = 70;
    desc.residual = NORMA_RESIDUAL_AFTER;
    trial *t = trial_of(desc, true, true, 0, 1);
    isa_check_each(t);
    trial_destroy(t);
    desc.residual = NORMA_RESIDUAL_BEFORE;
    norma_plan *plan;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.residual");
}

/* Alpha and beta are the caller's. */
static void parameters_of_activations(void **state)
{
    (void)state;
    static const struct {
        norma_activation activation;
        double alpha, beta;
    } with[] = {{NORMA_CLIP, -0.5, 0.25},       {NORMA_CLIP, -INFINITY, 0},   {NORMA_CLIP, 1, 1},
                {NORMA_LEAKY_RELU, 1.5, 0},     {NORMA_LEAKY_RELU, -1, 0},    {NORMA_ELU, 0.3, 0},
                {NORMA_HARD_SIGMOID, 0.2, 0.5}, {NORMA_HARD_SWISH, 0.25, 0.4}};
    for (size_t i = 0; i < COUNT_OF(with); i++) {
        for (int turn = 0; turn < GEOMETRIES; turn += 3) {
            norma_desc desc = geometries_get(turn, NORMA_F32);
            desc.activation = with[i].activation;
            desc.activation_alpha = with[i].alpha;
            desc.activation_beta = with[i].beta;
            trial *t = trial_of(desc, false, false, 0, 1);
            isa_check_each(t);
            trial_destroy(t);
        }
    }
}

/* The sum may take the place of x or of the residual, y that of a residual which joins last; without a sum y takes it. */
static void in_place(void **state)
{
    (void)state;
    enum { ROWS = 9, LENGTH = 300, COUNT = ROWS * LENGTH };
    static float x[COUNT], r[COUNT], y[COUNT], other_x[COUNT], other_r[COUNT], other_y[COUNT];
    random_state random = random_begin(3);
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)random_normal(&random);
        r[i] = (float)random_normal(&random);
    }
    const int64_t shape[] = {ROWS, LENGTH};
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (int turn = 0; turn < 6; turn++) {
            norma_desc desc = turn < 5 ? norma_layer_norm_desc(2, shape, -1, NORMA_F32)
                                       : norma_channel_norm_desc(1, ROWS, LENGTH, NORMA_NCHW, NORMA_F32);
            desc.residual = turn == 4 ? NORMA_RESIDUAL_AFTER : NORMA_RESIDUAL_BEFORE;
            memcpy(other_x, x, sizeof x);
            memcpy(other_r, r, sizeof r);
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .residual = r});
            norma_args args = {.x = other_x, .y = other_y, .residual = other_r};
            const float *result = other_y;
            if (turn == 0 || turn == 5) {
                args.sum = other_r;
            } else if (turn == 1) {
                args.sum = other_x;
            } else if (turn == 2) {
                args.sum = other_r;
                args.y = other_x;
                result = other_x;
            } else if (turn == 3) {
                args.y = other_x;
                result = other_x;
            } else {
                args.y = other_r;
                result = other_r;
            }
            suite_case("turn %d on %s", turn, norma_isa_name(isa));
            isa_run_args(isa, &desc, args);
            check(memcmp(result, y, sizeof y) == 0);
            for (int i = 0; args.sum && i < COUNT; i++) {
                check(((const float *)args.sum)[i] == x[i] + r[i]);
            }
        }
    }
}

/* NaN stays NaN through every activation, and infinities go where the functions go. */
static void special_values(void **state)
{
    (void)state;
    enum { C = 40 };
    static float x[C], y[C], mean[C], variance[C];
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (norma_activation activation = NORMA_IDENTITY; activation <= NORMA_ELU; activation++) {
            norma_desc desc = norma_batch_norm_desc(1, C, 1, NORMA_NHWC, NORMA_F32);
            desc.statistics = NORMA_STATISTICS_GIVEN;
            norma_desc_activate(&desc, activation);
            for (int i = 0; i < C; i++) {
                static const float values[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0, 88, -88, -100, 5};
                x[i] = values[i % (int)COUNT_OF(values)];
                mean[i] = 0;
                variance[i] = 1;
            }
            desc.epsilon_mode = NORMA_EPSILON_NONE;
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .given_mean = mean, .given_variance = variance});
            for (int i = 0; i < C; i++) {
                const bool vanishes = activation == NORMA_SILU || activation == NORMA_GELU || activation == NORMA_GELU_TANH ||
                                      activation == NORMA_MISH;
                long double want =
                    oracle_activation(activation, desc.activation_alpha, desc.activation_beta, (long double)x[i]);
                want = vanishes && x[i] < -50 ? 0 : want;
                suite_case("activation %d of %g on %s", (int)activation, (double)x[i], norma_isa_name(isa));
                if (isnan(x[i])) {
                    check(isnan(y[i]));
                } else if (!(activation == NORMA_HARD_SWISH && isinf(x[i]) &&
                             x[i] < 0)) { /* -infinity * 0 is NaN by its formula */
                    check(fabsl(y[i] - want) <= 4e-6L * fmaxl(1, fabsl(want)) || (long double)y[i] == want);
                }
            }
        }
    }
}

static void mistakes(void **state)
{
    (void)state;
    const int64_t shape[] = {4, 8};
    norma_plan *plan;
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.activation = (norma_activation)(NORMA_ELU + 1);
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.activation");
    norma_desc_activate(&desc, NORMA_ELU);
    desc.activation_alpha = NAN;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.activation_alpha");
    norma_desc_activate(&desc, NORMA_CLIP);
    desc.activation_beta = -1;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.activation_alpha");
    norma_desc_activate(&desc, NORMA_IDENTITY);
    desc.residual = (norma_residual)3;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.residual");

    static float x[32], y[32], r[40];
    norma_args args = {.struct_size = sizeof args, .x = x, .y = y};
    desc.residual = NORMA_RESIDUAL_NONE;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args.residual = r;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.residual");
    norma_plan_destroy(plan);
    desc.residual = NORMA_RESIDUAL_BEFORE;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args.residual = NULL;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.residual");
    args.residual = y;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y: overlaps args.residual");
    args.residual = r;
    args.sum = r + 1;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "overlaps");
    args.sum = y;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "overlaps");
    args.y = args.sum = x;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y: overlaps args.sum");
    args.y = args.sum = r;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "overlaps");
    norma_plan_destroy(plan);
    desc.residual = NORMA_RESIDUAL_AFTER;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args.sum = NULL;
    args.y = r;
    args.residual = args.scale = r;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y: overlaps args.scale");
    norma_plan_destroy(plan);
    norma_desc_activate(&desc, NORMA_HARD_SWISH);
    desc.activation_alpha = 1e39;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.activation_alpha");
}

/* A residual of infinity, where formulas have infinity times 0. */
static void infinite_residuals(void **state)
{
    (void)state;
    const int64_t shape[] = {1, 40};
    static double x[40], r[40], y[40];
    static const norma_activation vanishing[] = {NORMA_SILU, NORMA_GELU, NORMA_GELU_TANH, NORMA_MISH};
    for (size_t k = 0; k < COUNT_OF(vanishing); k++) {
        norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F64);
        norma_desc_activate(&desc, vanishing[k]);
        desc.residual = NORMA_RESIDUAL_AFTER;
        for (int i = 0; i < 40; i++) {
            x[i] = i;
            r[i] = i % 2 ? -INFINITY : INFINITY;
        }
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .residual = r});
            for (int i = 0; i < 40; i++) {
                check(i % 2 ? fabs(y[i]) < 1e-300 : y[i] == INFINITY);
            }
        }
    }
}

/* An absent shift adds nothing, not even the sign of a zero, however rows are split. */
static void zeros_keep_their_sign(void **state)
{
    (void)state;
    enum { CHANNELS = 8, SPATIAL = 9000, COUNT = CHANNELS * SPATIAL };
    static float x[COUNT], one[COUNT], many[COUNT], scale[CHANNELS];
    for (int i = 0; i < COUNT; i++) {
        x[i] = 3;
    }
    for (int c = 0; c < CHANNELS; c++) {
        scale[c] = c % 2 ? -1 : 1;
    }
    const norma_desc desc = norma_group_norm_desc(1, CHANNELS, SPATIAL, 4, NORMA_NCHW, NORMA_F32);
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (int threads = 1; threads <= 8; threads += 7) {
            norma_context *context = isa_context(isa, threads, NULL, NULL);
            norma_plan *plan;
            check_success(norma_plan_create(&plan, context, &desc));
            const norma_args args = {.struct_size = sizeof args, .x = x, .y = threads == 1 ? one : many, .scale = scale};
            check_success(norma_run(plan, &args));
            norma_plan_destroy(plan);
            norma_context_destroy(context);
        }
        check(memcmp(one, many, sizeof one) == 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation),
        cmocka_unit_test(every_activation_after_a_residual),
        cmocka_unit_test(every_activation_of_a_sum),
        cmocka_unit_test(strided_rows),
        cmocka_unit_test(parameters_of_activations),
        cmocka_unit_test(in_place),
        cmocka_unit_test(special_values),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(infinite_residuals),
        cmocka_unit_test(zeros_keep_their_sign),
    };
    return suite_main("epilogue", tests, COUNT_OF(tests), argc, argv);
}

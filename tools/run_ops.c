#include "run_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "run_build.h"

#define EPSILON_OPTIONS (OPTION_BIT(OPTION_EPSILON) | OPTION_BIT(OPTION_EPSILON_MODE))
#define AFFINE_OPTIONS (OPTION_BIT(OPTION_SCALE) | OPTION_BIT(OPTION_BIAS))
#define SAVE_OPTIONS (OPTION_BIT(OPTION_SAVE_RSTD) | OPTION_BIT(OPTION_SAVE_VARIANCE))
#define RUNNING_OPTIONS                                                                                                        \
    (OPTION_BIT(OPTION_MEAN) | OPTION_BIT(OPTION_VARIANCE) | OPTION_BIT(OPTION_TRAIN) | OPTION_BIT(OPTION_MOMENTUM) |          \
     OPTION_BIT(OPTION_MOMENTUM_MODE) | OPTION_BIT(OPTION_RUNNING_VARIANCE) | OPTION_BIT(OPTION_RUNNING_MEAN_OUT) |            \
     OPTION_BIT(OPTION_RUNNING_VARIANCE_OUT))
#define RUNNING_DEFAULTS [OPTION_MOMENTUM] = "0.9", [OPTION_MOMENTUM_MODE] = "running", [OPTION_RUNNING_VARIANCE] = "biased"

static bool settle_epsilon(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const bool has_epsilon = options->text[OPTION_EPSILON];
    const bool has_mode = options->text[OPTION_EPSILON_MODE];
    if (has_mode && options->value[OPTION_EPSILON_MODE] == NORMA_EPSILON_NONE) {
        desc->epsilon = 0;
        desc->epsilon_mode = NORMA_EPSILON_NONE;
        return !has_epsilon || fail(failure, EXIT_USER, "--epsilon-mode none leaves no place for --epsilon");
    }
    if (has_mode && !has_epsilon && desc->epsilon_mode == NORMA_EPSILON_NONE) {
        return fail(failure, EXIT_USER, "--epsilon-mode %s needs --epsilon, which has no default for this op",
                    options->text[OPTION_EPSILON_MODE]);
    }
    if (has_epsilon) {
        desc->epsilon = options->epsilon;
        if (desc->epsilon_mode == NORMA_EPSILON_NONE) {
            desc->epsilon_mode = NORMA_EPSILON_FLOOR;
        }
    }
    if (has_mode) {
        desc->epsilon_mode = (norma_epsilon_mode)options->value[OPTION_EPSILON_MODE];
    }
    return true;
}

/* What alpha and beta an activation has. */
static bool settle_activation(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const norma_activation activation = (norma_activation)options->value[OPTION_ACTIVATION];
    const bool hard = activation == NORMA_HARD_SWISH || activation == NORMA_HARD_SIGMOID;
    const bool has_beta = hard || activation == NORMA_CLIP;
    const bool has_alpha = has_beta || activation == NORMA_LEAKY_RELU || activation == NORMA_ELU;
    if ((options->text[OPTION_ALPHA] && !has_alpha) || (options->text[OPTION_BETA] && !has_beta)) {
        return fail(failure, EXIT_USER, "--%s goes with %s", options->text[OPTION_BETA] && !has_beta ? "beta" : "alpha",
                    options->text[OPTION_BETA] && !has_beta ? "--activation clip, hard-swish or hard-sigmoid"
                                                            : "--activation leaky-relu, elu, clip, hard-swish or hard-sigmoid");
    }
    norma_desc_activate(desc, activation);
    desc->activation_alpha = options->text[OPTION_ALPHA] ? options->alpha : desc->activation_alpha;
    desc->activation_beta = options->text[OPTION_BETA] ? options->beta : desc->activation_beta;
    if (activation == NORMA_CLIP && desc->activation_alpha > desc->activation_beta) {
        return fail(failure, EXIT_USER, "--activation clip: expected an alpha of at most beta, got %g and %g",
                    desc->activation_alpha, desc->activation_beta);
    }
    return true;
}

static bool settle_residual(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    if (!options->text[OPTION_RESIDUAL]) {
        const run_option idle = options->text[OPTION_RESIDUAL_AT]    ? OPTION_RESIDUAL_AT
                                : options->text[OPTION_RESIDUAL_OUT] ? OPTION_RESIDUAL_OUT
                                                                     : OPTION_GRAD_RESIDUAL;
        return !options->text[idle] || fail(failure, EXIT_USER, "--%s needs --residual", run_option_name(idle));
    }
    desc->residual =
        options->text[OPTION_RESIDUAL_AT] ? (norma_residual)options->value[OPTION_RESIDUAL_AT] : NORMA_RESIDUAL_BEFORE;
    if (options->text[OPTION_RESIDUAL_OUT] && desc->residual != NORMA_RESIDUAL_BEFORE) {
        return fail(failure, EXIT_USER, "--residual-out goes with --residual-at before: a residual after joins y only");
    }
    if (options->text[OPTION_GRAD_RESIDUAL] && desc->residual != NORMA_RESIDUAL_AFTER) {
        return fail(failure, EXIT_USER, "--grad-residual goes with --residual-at after: before, it is --grad-input");
    }
    return true;
}

static const run_op ops[] = {
    {
        .name = "layer_norm",
        .summary = "layer norm over the axes from K to the last (ONNX LayerNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count). scale and bias have the shape of the normalized axes.",
        .example = "layer_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "layer_norm --input x.npy --output y.npy --axis 1 --save-mean m.npy --save-rstd r.npy",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_AXIS) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_layer_norm,
    },
    {
        .name = "rms_norm",
        .summary = "RMS norm over the axes from K to the last (ONNX RMSNormalization)",
        .formula = "y = x / sqrt(v + E) * scale\n"
                   "v is the mean of the squares. scale has the shape of the normalized axes.",
        .example = "rms_norm --input x.npy --output y.npy --scale g.npy\n"
                   "rms_norm --input x.npy --output y.npy --scale g.npy --epsilon 1e-6 --rms-mode one-plus-scale",
        .takes =
            OPTION_BIT(OPTION_SCALE) | OPTION_BIT(OPTION_AXIS) | EPSILON_OPTIONS | OPTION_BIT(OPTION_RMS_MODE) | SAVE_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1",
                     [OPTION_EPSILON] = "1e-5",
                     [OPTION_EPSILON_MODE] = "inside",
                     [OPTION_RMS_MODE] = "scale-then-round"},
        .build = run_build_rms_norm,
    },
    {
        .name = "lp_norm",
        .summary = "division by the Lp norm along axis K (ONNX LpNormalization)",
        .formula = "y = x / ||x||_p\n"
                   "v is the sum of the squares; with p = 1 the sum of the magnitudes, and no root is taken of it. "
                   "A zero norm gives 0.",
        .example = "lp_norm --input x.npy --output y.npy --axis 1 --p 1\n"
                   "lp_norm --input x.npy --output y.npy --epsilon 1e-12",
        .takes = OPTION_BIT(OPTION_AXIS) | OPTION_BIT(OPTION_P) | EPSILON_OPTIONS | SAVE_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1",
                     [OPTION_P] = "2",
                     [OPTION_EPSILON] = "no epsilon",
                     [OPTION_EPSILON_MODE] = "floor with --epsilon, none without"},
        .build = run_build_lp_norm,
    },
    {
        .name = "channel_norm",
        .summary = "layer norm over the channels alone (LayerNorm2d)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "for each batch item and position; v is the variance (division by the count). The input has 2 or more "
                   "dimensions, the first being the batch. scale and bias have one element per channel.",
        .example = "channel_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "channel_norm --input x.npy --output y.npy --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_channel_norm,
    },
    {
        .name = "batch_norm",
        .summary = "each channel over batch and space (ONNX BatchNormalization)",
        .formula =
            "y = (x - mean) / sqrt(v + E) * scale + bias\n"
            "mean and v are --mean and --variance; with --train those of the input (v divided by the count). The input has "
            "2 or more dimensions, the first being the batch. scale, bias, mean and variance have one element per channel.",
        .example = "batch_norm --input x.npy --output y.npy --mean m.npy --variance v.npy --scale g.npy --bias b.npy\n"
                   "batch_norm --input x.npy --output y.npy --train --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS |
                 RUNNING_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside", RUNNING_DEFAULTS},
        .build = run_build_batch_norm,
    },
    {
        .name = "instance_norm",
        .summary = "each channel of each batch item over space (ONNX InstanceNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count); with --mean and --variance, but without --train, these are "
                   "mean and v. The input has 2 or more dimensions, the first being the batch. scale, bias, mean and variance "
                   "have one element per channel.",
        .example = "instance_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "instance_norm --input x.npy --output y.npy --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS |
                 RUNNING_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside", RUNNING_DEFAULTS},
        .build = run_build_instance_norm,
    },
    {
        .name = "group_norm",
        .summary = "each group of channels of each batch item, over them and space (ONNX GroupNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count). The input has 2 or more dimensions, the first being the batch. "
                   "scale and bias have one element per channel, or with --affine group per group; saved statistics have the "
                   "shape (batch, groups).",
        .example = "group_norm --input x.npy --output y.npy --groups 32 --scale g.npy --bias b.npy\n"
                   "group_norm --input x.npy --output y.npy --groups 8 --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | OPTION_BIT(OPTION_GROUPS) | OPTION_BIT(OPTION_AFFINE) |
                 EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw",
                     [OPTION_AFFINE] = "channel",
                     [OPTION_EPSILON] = "1e-5",
                     [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_group_norm,
    },
    {
        .name = "mvn",
        .summary = "mean-variance normalization over any axes (ONNX MeanVarianceNormalization)",
        .formula = "y = (x - mean) / (sqrt(v) + E)\n"
                   "v is the variance (division by the count).",
        .example = "mvn --input x.npy --output y.npy\n"
                   "mvn --input x.npy --output y.npy --axes -1,-2 --epsilon 1e-5 --epsilon-mode inside",
        .takes = OPTION_BIT(OPTION_AXES) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_AXES] = "0,2,3", [OPTION_EPSILON] = "1e-9", [OPTION_EPSILON_MODE] = "outside"},
        .build = run_build_mvn,
    },
};

uint64_t run_common_options(void)
{
    return OPTION_BIT(OPTION_INPUT) | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_ACTIVATION) | OPTION_BIT(OPTION_ALPHA) |
           OPTION_BIT(OPTION_BETA) | OPTION_BIT(OPTION_RESIDUAL) | OPTION_BIT(OPTION_RESIDUAL_AT) |
           OPTION_BIT(OPTION_RESIDUAL_OUT) | OPTION_BIT(OPTION_BACKWARD) | OPTION_BIT(OPTION_GRAD_OUTPUT) |
           OPTION_BIT(OPTION_GRAD_INPUT) | OPTION_BIT(OPTION_GRAD_RESIDUAL) | OPTION_BIT(OPTION_DTYPE) |
           OPTION_BIT(OPTION_ISA) | OPTION_BIT(OPTION_THREADS) | OPTION_BIT(OPTION_TIME) | OPTION_BIT(OPTION_VERBOSE) |
           OPTION_BIT(OPTION_HELP);
}

uint64_t run_op_options(const run_op *op)
{
    uint64_t options = op->takes | run_common_options();
    options |= op->takes & OPTION_BIT(OPTION_SCALE) ? OPTION_BIT(OPTION_GRAD_SCALE) : 0;
    options |= op->takes & OPTION_BIT(OPTION_BIAS) ? OPTION_BIT(OPTION_GRAD_BIAS) : 0;
    return options;
}

const run_op *run_op_at(int index)
{
    return index >= 0 && (size_t)index < sizeof ops / sizeof ops[0] ? &ops[index] : NULL;
}

const run_op *run_op_find(const char *name)
{
    for (int i = 0; run_op_at(i); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

/* What --backward needs, and what needs it. */
static bool check_backward(const run_op *op, const run_options *options, tool_failure *failure)
{
    const run_option gradients[] = {OPTION_GRAD_INPUT, OPTION_GRAD_SCALE, OPTION_GRAD_BIAS, OPTION_GRAD_RESIDUAL,
                                    OPTION_GRAD_OUTPUT};
    enum { COUNT = sizeof gradients / sizeof gradients[0] };
    bool wanted = false;
    for (int i = 0; i < COUNT; i++) {
        if (options->text[gradients[i]] && !options->text[OPTION_BACKWARD]) {
            return fail(failure, EXIT_USER, "--%s goes with --backward", run_option_name(gradients[i]));
        }
        wanted = wanted || (i < COUNT - 1 && options->text[gradients[i]]);
    }
    if (!options->text[OPTION_BACKWARD]) {
        return options->text[OPTION_OUTPUT] || fail(failure, EXIT_USER, "%s needs --output FILE", op->name);
    }
    if (!options->text[OPTION_GRAD_OUTPUT] || !wanted) {
        return fail(failure, EXIT_USER, "--backward needs --grad-output FILE and a gradient to write: --grad-input FILE%s",
                    op->takes & OPTION_BIT(OPTION_SCALE) ? ", --grad-scale FILE or another" : "");
    }
    return true;
}

bool run_op_check_options(const run_op *op, const run_options *options, tool_failure *failure)
{
    for (int k = 0; k < OPTION_COUNT; k++) {
        if (options->text[k] && !(run_op_options(op) & OPTION_BIT(k))) {
            return fail(failure, EXIT_USER, "--%s does not apply to %s (see norma run %s --help)",
                        run_option_name((run_option)k), op->name, op->name);
        }
    }
    if (!options->text[OPTION_INPUT]) {
        return fail(failure, EXIT_USER, "%s needs --input FILE", op->name);
    }
    if (!check_backward(op, options, failure)) {
        return false;
    }
    if (options->text[OPTION_SAVE_RSTD] && options->text[OPTION_SAVE_VARIANCE]) {
        return fail(failure, EXIT_USER, "--save-rstd and --save-variance exclude each other: a run saves one of them");
    }
    return true;
}

bool run_op_build(const run_op *op, const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                  tool_failure *failure)
{
    memset(problem, 0, sizeof *problem);
    if (!op->build(options, input, dtype, problem, failure) || !settle_epsilon(options, &problem->desc, failure) ||
        !settle_activation(options, &problem->desc, failure) || !settle_residual(options, &problem->desc, failure)) {
        return false;
    }
    if (options->text[OPTION_SAVE_VARIANCE]) {
        problem->desc.saved = NORMA_SAVE_VARIANCE;
    }
    if (problem->saved_rank == 0) {
        problem->saved_rank = input->rank;
        for (int k = 0; k < input->rank; k++) {
            problem->saved_shape[k] = problem->reduced >> k & 1 ? 1 : input->shape[k];
        }
    }
    for (int k = 0; k < input->rank; k++) {
        if ((problem->reduced >> k & 1) && input->shape[k] == 0 && problem->desc.statistics != NORMA_STATISTICS_GIVEN) {
            fail(failure, EXIT_USER, "its shape %s has nothing along axis %d, which %s normalizes over",
                 npy_describe_shape(input->rank, input->shape).text, k, op->name);
            return fail_about(failure, "--input '%s': ", options->text[OPTION_INPUT]);
        }
    }
    return true;
}

#include "run_settle.h"

#include <math.h>
#include <string.h>

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
        desc->epsilon = options->number[OPTION_EPSILON];
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
    for (int i = 0; i < 2; i++) {
        const run_option option = i ? OPTION_BETA : OPTION_ALPHA;
        if (activation != NORMA_CLIP && isinf(options->number[option])) {
            return fail(failure, EXIT_USER, "--%s %s: only --activation clip takes infinity, give a finite number",
                        run_option_name(option), options->text[option]);
        }
    }
    norma_desc_activate(desc, activation);
    desc->activation_alpha = options->text[OPTION_ALPHA] ? options->number[OPTION_ALPHA] : desc->activation_alpha;
    desc->activation_beta = options->text[OPTION_BETA] ? options->number[OPTION_BETA] : desc->activation_beta;
    if (activation == NORMA_CLIP && desc->activation_alpha > desc->activation_beta) {
        return fail(failure, EXIT_USER, "--activation clip: expected an alpha of at most beta, got %g and %g",
                    desc->activation_alpha, desc->activation_beta);
    }
    return true;
}

static bool settle_residual_and_gate(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const bool gated = options->text[OPTION_GATE], at_before = options->value[OPTION_GATE_AT] == NORMA_GATE_BEFORE;
    if (options->text[OPTION_RESIDUAL]) {
        desc->residual =
            options->text[OPTION_RESIDUAL_AT] ? (norma_residual)options->value[OPTION_RESIDUAL_AT] : NORMA_RESIDUAL_BEFORE;
        desc->residual_dtype = (norma_dtype)options->value[OPTION_RESIDUAL_DTYPE];
    }
    if (gated) {
        desc->gate = at_before ? NORMA_GATE_BEFORE : NORMA_GATE_AFTER;
        desc->gate_activation =
            options->text[OPTION_GATE_ACTIVATION] ? (norma_activation)options->value[OPTION_GATE_ACTIVATION] : NORMA_SILU;
    }
    const bool before = desc->residual == NORMA_RESIDUAL_BEFORE;
    if (gated && at_before && before) {
        return fail(failure, EXIT_USER, "--gate-at before does not go with --residual-at before: give one of them as after");
    }
    if (options->text[OPTION_RESIDUAL_OUT] && !before && !(gated && at_before)) {
        return fail(failure, EXIT_USER,
                    "--residual-out needs --residual before the norm (--residual-at before) or --gate-at before: what comes "
                    "after joins y only");
    }
    const run_option idle = options->text[OPTION_RESIDUAL_GATE] ? OPTION_RESIDUAL_GATE : OPTION_RESIDUAL_BIAS;
    if (options->text[idle] && !before) {
        return fail(failure, EXIT_USER, "--%s goes with --residual-at before", run_option_name(idle));
    }
    if (options->text[OPTION_GRAD_RESIDUAL] && before) {
        return fail(failure, EXIT_USER, "--grad-residual goes with --residual-at after: before, it is --grad-input");
    }
    if (!options->text[OPTION_OUTPUT] && !options->text[OPTION_BACKWARD] &&
        (desc->residual == NORMA_RESIDUAL_AFTER || (gated && !at_before))) {
        return fail(failure, EXIT_USER, "--%s after needs --output FILE", gated && !at_before ? "gate-at" : "residual-at");
    }
    return true;
}

static bool fits(norma_dtype dtype, int value)
{
    return dtype == NORMA_S8 ? value >= -128 && value <= 127 : value >= 0 && value <= 255;
}

/* A zero point is a number of the type that it belongs to. */
static bool check_zero_point(const run_options *options, run_option option, norma_dtype dtype, tool_failure *failure)
{
    return !options->text[option] || fits(dtype, options->value[option]) ||
           fail(failure, EXIT_USER, "--%s %s: %s holds %s", run_option_name(option), options->text[option],
                norma_dtype_name(dtype), dtype == NORMA_S8 ? "-128 to 127" : "0 to 255");
}

static bool is_integer(norma_dtype dtype)
{
    return dtype == NORMA_S8 || dtype == NORMA_U8;
}

/* What integers in the input stand for. */
static bool settle_input(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const char *name = norma_dtype_name(desc->dtype);
    if (!is_integer(desc->dtype)) {
        const run_option idle = options->text[OPTION_INPUT_SCALE] ? OPTION_INPUT_SCALE : OPTION_INPUT_ZERO_POINT;
        return !options->text[idle] || fail(failure, EXIT_USER, "--%s goes with an --input of int8 or uint8, but '%s' holds %s",
                                            run_option_name(idle), options->text[OPTION_INPUT], name);
    }
    if (!options->text[OPTION_INPUT_SCALE]) {
        return fail(failure, EXIT_USER, "--input '%s': it holds %s, which needs --input-scale S to stand for numbers",
                    options->text[OPTION_INPUT], name);
    }
    if (options->text[OPTION_GATE] || desc->residual == NORMA_RESIDUAL_BEFORE) {
        // A gate would have x's type and no scale of its own, and a sum is one of what x holds, not of what it stands for.
        return fail(failure, EXIT_USER, "--%s does not go with integers: '%s' holds %s",
                    options->text[OPTION_GATE] ? "gate" : "residual-at before", options->text[OPTION_INPUT], name);
    }
    desc->x_scale = options->number[OPTION_INPUT_SCALE];
    desc->x_zero_point = options->value[OPTION_INPUT_ZERO_POINT];
    return check_zero_point(options, OPTION_INPUT_ZERO_POINT, desc->dtype, failure);
}

/* A scale per row wants rows: the axes normalized over are the last of the tensor. */
static bool check_rows(const norma_desc *desc, const run_options *options, tool_failure *failure)
{
    const uint32_t kept = (((uint32_t)1 << desc->rank) - 1) & ~desc->axes;
    return (kept & (kept + 1)) == 0 ||
           fail(failure, EXIT_USER, "--output-scale-out '%s': there is a scale per row where the last axes are normalized%s",
                options->text[OPTION_OUTPUT_SCALE_OUT], desc->op == NORMA_CHANNEL_NORM ? " (--layout nhwc)" : "");
}

/* What is rounded before it is scaled is rounded to the type of y, which is that of what is normalized. */
static bool check_rms_mode(const norma_desc *desc, tool_failure *failure)
{
    const norma_dtype normalized = run_normalized_dtype(desc), y = run_output_dtype(desc);
    if (desc->op != NORMA_RMS_NORM || desc->rms_mode != NORMA_RMS_ROUND_THEN_SCALE) {
        return true;
    }
    if (is_integer(normalized)) {
        return fail(failure, EXIT_USER, "--rms-mode round-then-scale does not go with integers: the input holds %s",
                    norma_dtype_name(normalized));
    }
    return y == normalized ||
           fail(failure, EXIT_USER,
                "--rms-mode round-then-scale writes the type that is normalized: expected --output-dtype %s, "
                "got %s",
                norma_dtype_name(normalized), norma_dtype_name(y));
}

/* The type of the output, and what integers in it stand for. (A static scale's shape tells whether it goes by channel.) */
static bool settle_output(const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const run_option scales[] = {OPTION_OUTPUT_SCALE, OPTION_OUTPUT_SCALE_OUT};
    const norma_dtype dtype = (norma_dtype)options->value[OPTION_OUTPUT_DTYPE];
    const char *name = options->text[OPTION_OUTPUT_DTYPE];
    const bool found = options->text[OPTION_OUTPUT_SCALE_OUT], points = options->text[OPTION_OUTPUT_ZERO_POINT_OUT];
    desc->y_dtype = dtype;
    for (int i = 0; i < 2; i++) {
        if (options->text[scales[i]] && !is_integer(dtype)) {
            return fail(failure, EXIT_USER, "--%s goes with --output-dtype s8 or u8, not %s", run_option_name(scales[i]), name);
        }
    }
    if (!check_rms_mode(desc, failure)) {
        return false;
    }
    if (!is_integer(dtype)) {
        return true;
    }
    if (!found && !options->text[OPTION_OUTPUT_SCALE]) {
        return fail(failure, EXIT_USER, "--output-dtype %s needs --output-scale FILE, or --output-scale-out FILE", name);
    }
    if (found && points != (dtype == NORMA_U8)) {
        return fail(failure, EXIT_USER,
                    points ? "--output-zero-point-out goes with --output-dtype u8: the zero points of %s are 0"
                           : "--output-dtype %s with --output-scale-out needs --output-zero-point-out FILE",
                    name);
    }
    desc->y_zero_point = options->value[OPTION_OUTPUT_ZERO_POINT];
    desc->quantization = found ? NORMA_QUANTIZATION_PER_ROW : NORMA_QUANTIZATION_PER_TENSOR;
    return check_zero_point(options, OPTION_OUTPUT_ZERO_POINT, dtype, failure) &&
           (!found || check_rows(desc, options, failure));
}

norma_dtype run_residual_dtype(const norma_desc *desc)
{
    return desc->residual_dtype ? desc->residual_dtype : is_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
}

norma_dtype run_normalized_dtype(const norma_desc *desc)
{
    return desc->residual == NORMA_RESIDUAL_BEFORE ? run_residual_dtype(desc) : desc->dtype;
}

norma_dtype run_output_dtype(const norma_desc *desc)
{
    return desc->y_dtype ? desc->y_dtype : is_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
}

/* The way back knows one type. */
static bool settle_backward(const run_options *options, const norma_desc *desc, tool_failure *failure)
{
    const norma_dtype y = run_output_dtype(desc), residual = run_residual_dtype(desc);
    if (!options->text[OPTION_BACKWARD] || (y == desc->dtype && residual == desc->dtype)) {
        return true;
    }
    if (is_integer(desc->dtype)) {
        return fail(failure, EXIT_USER, "--backward does not go with integers: '%s' holds %s", options->text[OPTION_INPUT],
                    norma_dtype_name(desc->dtype));
    }
    return fail(failure, EXIT_USER, "--backward wants one type for all: expected --%s %s, got %s",
                run_option_name(y != desc->dtype ? OPTION_OUTPUT_DTYPE : OPTION_RESIDUAL_DTYPE), norma_dtype_name(desc->dtype),
                norma_dtype_name(y != desc->dtype ? y : residual));
}

norma_dtype run_parameter_dtype(const norma_desc *desc)
{
    return run_normalized_dtype(desc) == NORMA_F64 ? NORMA_F64 : NORMA_F32;
}

/* What shape saved statistics have, where the op has not said so, and that there is something to take them of. */
static bool settle_shapes(const run_op *op, run_option option, const run_options *options, const npy_array *input,
                          run_problem *problem, tool_failure *failure)
{
    if (problem->saved_rank == 0) {
        problem->saved_rank = input->rank;
        for (int k = 0; k < input->rank; k++) {
            problem->saved_shape[k] = problem->reduced >> k & 1 ? 1 : input->shape[k];
        }
    }
    for (int k = 0; k < input->rank; k++) {
        if ((problem->reduced >> k & 1) && input->shape[k] == 0 && problem->desc.statistics != NORMA_STATISTICS_GIVEN) {
            return fail(failure, EXIT_USER, "--%s '%s': its shape %s has nothing along axis %d, which %s normalizes over",
                        run_option_name(option), options->text[option], npy_describe_shape(input->rank, input->shape).text, k,
                        op->name);
        }
    }
    return true;
}

bool run_settle(const run_op *op, const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                tool_failure *failure)
{
    norma_desc *desc = &problem->desc;
    memset(problem, 0, sizeof *problem);
    if (!op->build(options, input, dtype, problem, failure) || !settle_epsilon(options, desc, failure) ||
        !settle_activation(options, desc, failure) || !settle_residual_and_gate(options, desc, failure) ||
        !settle_input(options, desc, failure) || !settle_output(options, desc, failure) ||
        !settle_backward(options, desc, failure)) {
        return false;
    }
    desc->parameter_dtype = run_parameter_dtype(desc);
    desc->unbiased = options->text[OPTION_UNBIASED] != NULL;
    desc->modulation_plain = options->text[OPTION_MODULATION_PLAIN] || options->text[OPTION_STYLE];
    desc->saved = options->text[OPTION_SAVE_VARIANCE]  ? NORMA_SAVE_VARIANCE
                  : options->text[OPTION_SAVE_DIVISOR] ? NORMA_SAVE_DIVISOR
                                                       : NORMA_SAVE_RSTD;
    return settle_shapes(op, OPTION_INPUT, options, input, problem, failure);
}

bool run_settle_style(const run_op *op, const run_options *options, const npy_array *style, norma_dtype dtype,
                      run_problem *problem, tool_failure *failure)
{
    memset(problem, 0, sizeof *problem);
    if (!op->build(options, style, dtype, problem, failure) || !settle_epsilon(options, &problem->desc, failure)) {
        return fail_about(failure, "--style '%s': ", options->text[OPTION_STYLE]);
    }
    problem->desc.unbiased = options->text[OPTION_UNBIASED] != NULL;
    problem->desc.saved = NORMA_SAVE_DIVISOR;
    return settle_shapes(op, OPTION_STYLE, options, style, problem, failure);
}

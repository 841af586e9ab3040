#include "run_ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EPSILON_OPTIONS (OPTION_BIT(OPTION_EPSILON) | OPTION_BIT(OPTION_EPSILON_MODE))
#define AFFINE_OPTIONS (OPTION_BIT(OPTION_SCALE) | OPTION_BIT(OPTION_BIAS))
#define SAVE_OPTIONS (OPTION_BIT(OPTION_SAVE_RSTD) | OPTION_BIT(OPTION_SAVE_VARIANCE))

/* Turns an axis of either sign into one that counts from 0. */
static bool settle_axis(const npy_array *input, const char *option, const char *text, int *axis, tool_failure *failure)
{
    if (*axis < -input->rank || *axis >= input->rank) {
        return fail(failure, EXIT_USER, "--%s %s: an input of shape %s has axes %d to %d", option, text,
                    npy_describe_shape(input->rank, input->shape).text, -input->rank, input->rank - 1);
    }
    *axis += *axis < 0 ? input->rank : 0;
    return true;
}

static bool settle_single_axis(const run_options *options, const npy_array *input, int *axis, tool_failure *failure)
{
    const char *text = options->text[OPTION_AXIS];
    *axis = text ? options->value[OPTION_AXIS] : -1;
    return settle_axis(input, "axis", text ? text : "-1 (the default)", axis, failure);
}

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

/* scale and bias have the shape of the axes from `axis` on. */
static void set_trailing_params(run_problem *problem, const npy_array *input, int axis)
{
    problem->param_rank = input->rank - axis;
    memcpy(problem->param_shape, input->shape + axis, (size_t)problem->param_rank * sizeof input->shape[0]);
}

static bool build_layer_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                             tool_failure *failure)
{
    int axis;
    if (!settle_single_axis(options, input, &axis, failure)) {
        return false;
    }
    problem->desc = norma_layer_norm_desc(input->rank, input->shape, axis, dtype);
    problem->reduced = problem->desc.axes;
    set_trailing_params(problem, input, axis);
    return true;
}

static bool build_rms_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                           tool_failure *failure)
{
    int axis;
    if (!settle_single_axis(options, input, &axis, failure)) {
        return false;
    }
    problem->desc = norma_rms_norm_desc(input->rank, input->shape, axis, dtype);
    if (options->text[OPTION_RMS_MODE]) {
        problem->desc.rms_mode = (norma_rms_mode)options->value[OPTION_RMS_MODE];
    }
    problem->reduced = problem->desc.axes;
    set_trailing_params(problem, input, axis);
    return true;
}

static bool build_lp_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                          tool_failure *failure)
{
    int axis;
    if (!settle_single_axis(options, input, &axis, failure)) {
        return false;
    }
    const int p = options->text[OPTION_P] ? options->value[OPTION_P] : 2;
    problem->desc = norma_lp_norm_desc(input->rank, input->shape, axis, p, dtype);
    problem->reduced = problem->desc.axes;
    return true;
}

/* An input as (n, c, spatial) or (n, spatial, c). */
typedef struct run_image {
    int64_t n, c, spatial;
    norma_layout layout;
    int channel_axis; /* of the input's array */
} run_image;

static bool build_image(const char *op, const run_options *options, const npy_array *input, run_image *image,
                        run_problem *problem, tool_failure *failure)
{
    if (input->rank < 2) {
        return fail(failure, EXIT_USER, "%s takes an input of 2 or more dimensions, but its shape is %s", op,
                    npy_describe_shape(input->rank, input->shape).text);
    }
    const bool is_nhwc = options->value[OPTION_LAYOUT] == NORMA_NHWC;
    image->layout = is_nhwc ? NORMA_NHWC : NORMA_NCHW;
    image->channel_axis = is_nhwc ? input->rank - 1 : 1;
    image->n = input->shape[0];
    image->c = input->shape[image->channel_axis];
    image->spatial = 1;
    for (int k = 1; k < input->rank; k++) {
        image->spatial *= k == image->channel_axis ? 1 : input->shape[k];
    }
    problem->param_rank = 1;
    problem->param_shape[0] = image->c;
    return true;
}

/* All axes of the input but the first and the channels'. */
static uint32_t spatial_axes(const npy_array *input, const run_image *image)
{
    return (((uint32_t)1 << input->rank) - 1) & ~((uint32_t)1 << image->channel_axis) & ~(uint32_t)1;
}

static bool build_channel_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                               tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("channel_norm", options, input, &image, problem, failure)) {
        return false;
    }
    problem->desc = norma_channel_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    problem->reduced = (uint32_t)1 << image.channel_axis;
    return true;
}

static bool build_batch_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                             tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("batch_norm", options, input, &image, problem, failure)) {
        return false;
    }
    const bool train = options->text[OPTION_TRAIN], has_mean = options->text[OPTION_MEAN];
    const bool updates = options->text[OPTION_RUNNING_MEAN_OUT];
    if (!has_mean != !options->text[OPTION_VARIANCE] || (!train && !has_mean)) {
        return fail(failure, EXIT_USER, "batch_norm needs --mean FILE and --variance FILE%s",
                    train ? " together" : ", or --train");
    }
    if (updates != (options->text[OPTION_RUNNING_VARIANCE_OUT] != NULL) || updates != (train && has_mean)) {
        return fail(failure, EXIT_USER,
                    "--running-mean-out and --running-variance-out go together with --train, --mean and --variance");
    }
    problem->desc = norma_batch_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    norma_desc *desc = &problem->desc;
    desc->statistics = train ? NORMA_STATISTICS_OF_BATCH : NORMA_STATISTICS_GIVEN;
    desc->momentum_mode = NORMA_MOMENTUM_OF_RUNNING;
    desc->momentum = options->text[OPTION_MOMENTUM] ? options->momentum : 0.9;
    if (options->text[OPTION_MOMENTUM_MODE]) {
        desc->momentum_mode = (norma_momentum_mode)options->value[OPTION_MOMENTUM_MODE];
    }
    desc->running_unbiased = options->value[OPTION_RUNNING_VARIANCE];
    problem->reduced = spatial_axes(input, &image) | 1;
    if (!train && (options->text[OPTION_SAVE_MEAN] || options->text[OPTION_SAVE_RSTD] || options->text[OPTION_SAVE_VARIANCE])) {
        return fail(failure, EXIT_USER, "without --train batch_norm computes no statistics to save");
    }
    return true;
}

static bool build_instance_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                                tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("instance_norm", options, input, &image, problem, failure)) {
        return false;
    }
    problem->desc = norma_instance_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    problem->reduced = spatial_axes(input, &image);
    return true;
}

static bool build_group_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                             tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("group_norm", options, input, &image, problem, failure)) {
        return false;
    }
    const int groups = options->value[OPTION_GROUPS];
    if (!options->text[OPTION_GROUPS] || image.c % groups != 0) {
        return fail(failure, EXIT_USER, "group_norm needs --groups G with a divisor of the input's %" PRId64 " channels%s%s",
                    image.c, options->text[OPTION_GROUPS] ? ", not " : "",
                    options->text[OPTION_GROUPS] ? options->text[OPTION_GROUPS] : "");
    }
    problem->desc = norma_group_norm_desc(image.n, image.c, image.spatial, groups, image.layout, dtype);
    problem->reduced = spatial_axes(input, &image) | (uint32_t)1 << image.channel_axis;
    problem->saved_rank = 2;
    problem->saved_shape[0] = image.n;
    problem->saved_shape[1] = groups;
    return true;
}

static bool build_mvn(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                      tool_failure *failure)
{
    const int default_axes[] = {0, 2, 3};
    const char *text = options->text[OPTION_AXES];
    const int *given = text ? options->axes : default_axes;
    const int count = text ? options->axes_count : (int)(sizeof default_axes / sizeof default_axes[0]);
    int axes[NORMA_MAX_RANK];
    for (int i = 0; i < count; i++) {
        axes[i] = given[i];
        if (!settle_axis(input, "axes", text ? text : "0,2,3 (the default)", &axes[i], failure)) {
            return false;
        }
        for (int k = 0; k < i; k++) {
            if (axes[k] == axes[i]) {
                return fail(failure, EXIT_USER, "--axes %s: axis %d is named twice", text ? text : "", axes[i]);
            }
        }
    }
    problem->desc = norma_mvn_desc(input->rank, input->shape, count, axes, dtype);
    problem->reduced = problem->desc.axes;
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
        .build = build_layer_norm,
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
        .build = build_rms_norm,
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
        .build = build_lp_norm,
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
        .build = build_channel_norm,
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
                 OPTION_BIT(OPTION_MEAN) | OPTION_BIT(OPTION_VARIANCE) | OPTION_BIT(OPTION_TRAIN) |
                 OPTION_BIT(OPTION_MOMENTUM) | OPTION_BIT(OPTION_MOMENTUM_MODE) | OPTION_BIT(OPTION_RUNNING_VARIANCE) |
                 OPTION_BIT(OPTION_RUNNING_MEAN_OUT) | OPTION_BIT(OPTION_RUNNING_VARIANCE_OUT),
        .defaults = {[OPTION_LAYOUT] = "nchw",
                     [OPTION_EPSILON] = "1e-5",
                     [OPTION_EPSILON_MODE] = "inside",
                     [OPTION_MOMENTUM] = "0.9",
                     [OPTION_MOMENTUM_MODE] = "running",
                     [OPTION_RUNNING_VARIANCE] = "biased"},
        .build = build_batch_norm,
    },
    {
        .name = "instance_norm",
        .summary = "each channel of each batch item over space (ONNX InstanceNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count). The input has 2 or more dimensions, the first being the batch. "
                   "scale and bias have one element per channel.",
        .example = "instance_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "instance_norm --input x.npy --output y.npy --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = build_instance_norm,
    },
    {
        .name = "group_norm",
        .summary = "each group of channels of each batch item, over them and space (ONNX GroupNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count). The input has 2 or more dimensions, the first being the batch. "
                   "scale and bias have one element per channel; saved statistics have the shape (batch, groups).",
        .example = "group_norm --input x.npy --output y.npy --groups 32 --scale g.npy --bias b.npy\n"
                   "group_norm --input x.npy --output y.npy --groups 8 --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | OPTION_BIT(OPTION_GROUPS) | EPSILON_OPTIONS |
                 OPTION_BIT(OPTION_SAVE_MEAN) | SAVE_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = build_group_norm,
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
        .build = build_mvn,
    },
};

uint32_t run_common_options(void)
{
    return OPTION_BIT(OPTION_INPUT) | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_DTYPE) | OPTION_BIT(OPTION_ISA) |
           OPTION_BIT(OPTION_THREADS) | OPTION_BIT(OPTION_TIME) | OPTION_BIT(OPTION_VERBOSE) | OPTION_BIT(OPTION_HELP);
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

bool run_op_check_options(const run_op *op, const run_options *options, tool_failure *failure)
{
    for (int k = 0; k < OPTION_COUNT; k++) {
        if (options->text[k] && !((op->takes | run_common_options()) & OPTION_BIT(k))) {
            return fail(failure, EXIT_USER, "--%s does not apply to %s (see norma run %s --help)",
                        run_option_name((run_option)k), op->name, op->name);
        }
    }
    const run_option needed[] = {OPTION_INPUT, OPTION_OUTPUT};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!options->text[needed[i]]) {
            return fail(failure, EXIT_USER, "%s needs --%s FILE", op->name, run_option_name(needed[i]));
        }
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
    if (!op->build(options, input, dtype, problem, failure) || !settle_epsilon(options, &problem->desc, failure)) {
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

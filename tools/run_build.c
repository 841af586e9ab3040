#include "run_build.h"

#include <inttypes.h>
#include <string.h>

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

/* scale and bias have the shape of the axes from `axis` on. */
static void set_trailing_params(run_problem *problem, const npy_array *input, int axis)
{
    problem->param_rank = input->rank - axis;
    memcpy(problem->param_shape, input->shape + axis, (size_t)problem->param_rank * sizeof input->shape[0]);
}

bool run_build_layer_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
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

bool run_build_rms_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
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

bool run_build_lp_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
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
    uint32_t channel_axes; /* of the input's array: two where channels are blocked */
} run_image;

static bool build_image(const char *op, const run_options *options, const npy_array *input, run_image *image,
                        run_problem *problem, tool_failure *failure)
{
    if (input->rank < 2) {
        return fail(failure, EXIT_USER, "%s takes an input of 2 or more dimensions, but its shape is %s", op,
                    npy_describe_shape(input->rank, input->shape).text);
    }
    image->layout = options->text[OPTION_LAYOUT] ? (norma_layout)options->value[OPTION_LAYOUT] : NORMA_NCHW;
    const int last = input->rank - 1;
    const int64_t block = image->layout == NORMA_NCHW16C ? 16 : image->layout == NORMA_NCHW8C ? 8 : 1;
    if (block > 1 && (input->rank < 3 || input->shape[last] != block)) {
        return fail(failure, EXIT_USER,
                    "--layout %s takes an input of shape (batch, channels / %d, ..., %d), but its shape is %s",
                    options->text[OPTION_LAYOUT], (int)block, (int)block, npy_describe_shape(input->rank, input->shape).text);
    }
    image->channel_axes = image->layout == NORMA_NHWC ? (uint32_t)1 << last : 2;
    if (block > 1) {
        image->channel_axes |= (uint32_t)1 << last;
    }
    image->n = input->shape[0];
    image->c = image->spatial = 1;
    for (int k = 1; k < input->rank; k++) {
        *(image->channel_axes >> k & 1 ? &image->c : &image->spatial) *= input->shape[k];
    }
    problem->param_rank = 1;
    problem->param_shape[0] = image->c;
    return true;
}

/* All axes of the input but the first and the channels'. */
static uint32_t spatial_axes(const npy_array *input, const run_image *image)
{
    return (((uint32_t)1 << input->rank) - 1) & ~image->channel_axes & ~(uint32_t)1;
}

bool run_build_channel_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                            tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("channel_norm", options, input, &image, problem, failure)) {
        return false;
    }
    problem->desc = norma_channel_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    problem->reduced = image.channel_axes;
    return true;
}

/* Statistics that are given or kept; `own`: those of the input unless others are given. */
static bool build_running(const char *op, bool own, const run_options *options, norma_desc *desc, tool_failure *failure)
{
    const bool has_mean = options->text[OPTION_MEAN];
    const bool train = options->text[OPTION_TRAIN] || (own && !has_mean);
    const bool updates = options->text[OPTION_RUNNING_MEAN_OUT];
    if (!has_mean != !options->text[OPTION_VARIANCE] || (!train && !has_mean)) {
        return fail(failure, EXIT_USER, "%s needs --mean FILE and --variance FILE%s", op,
                    train || own ? " together" : ", or --train");
    }
    if (updates != (options->text[OPTION_RUNNING_VARIANCE_OUT] != NULL) || updates != (train && has_mean)) {
        return fail(failure, EXIT_USER,
                    "--running-mean-out and --running-variance-out go together with --train, --mean and --variance");
    }
    if (!updates &&
        (options->text[OPTION_MOMENTUM] || options->text[OPTION_MOMENTUM_MODE] || options->text[OPTION_RUNNING_VARIANCE])) {
        return fail(failure, EXIT_USER, "--momentum, --momentum-mode and --running-variance go with --running-mean-out");
    }
    if (!train && (options->text[OPTION_SAVE_MEAN] || options->text[OPTION_SAVE_RSTD] || options->text[OPTION_SAVE_VARIANCE] ||
                   options->text[OPTION_SAVE_DIVISOR])) {
        return fail(failure, EXIT_USER, "without --train %s computes no statistics to save", op);
    }
    if (!train && options->text[OPTION_UNBIASED]) {
        return fail(failure, EXIT_USER, "--unbiased is for variances of the input, but --variance gives them: add --train");
    }
    desc->statistics = train ? NORMA_STATISTICS_OF_BATCH : NORMA_STATISTICS_GIVEN;
    desc->momentum_mode = NORMA_MOMENTUM_OF_RUNNING;
    desc->momentum = options->text[OPTION_MOMENTUM] ? options->number[OPTION_MOMENTUM] : 0.9;
    if (options->text[OPTION_MOMENTUM_MODE]) {
        desc->momentum_mode = (norma_momentum_mode)options->value[OPTION_MOMENTUM_MODE];
    }
    desc->running_unbiased = options->value[OPTION_RUNNING_VARIANCE];
    return true;
}

bool run_build_batch_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                          tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("batch_norm", options, input, &image, problem, failure)) {
        return false;
    }
    problem->desc = norma_batch_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    problem->reduced = spatial_axes(input, &image) | 1;
    return build_running("batch_norm", false, options, &problem->desc, failure);
}

bool run_build_instance_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                             tool_failure *failure)
{
    run_image image = {0};
    if (!build_image("instance_norm", options, input, &image, problem, failure)) {
        return false;
    }
    problem->desc = norma_instance_norm_desc(image.n, image.c, image.spatial, image.layout, dtype);
    problem->reduced = spatial_axes(input, &image);
    return build_running("instance_norm", true, options, &problem->desc, failure);
}

bool run_build_group_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
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
    problem->reduced = spatial_axes(input, &image) | image.channel_axes;
    problem->desc.affine_of_groups = options->value[OPTION_AFFINE];
    problem->param_shape[0] = options->value[OPTION_AFFINE] ? groups : image.c;
    problem->saved_rank = 2;
    problem->saved_shape[0] = image.n;
    problem->saved_shape[1] = groups;
    return true;
}

bool run_build_mvn(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
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

#include <string.h>

#include "commands.h"
#include "fold_options.h"
#include "outputs.h"
#include "weight_files.h"

enum { OUTPUT_WEIGHT, OUTPUT_BIAS, OUTPUT_PADDING, OUTPUTS };

/* All that one `norma fold` holds; freed together whatever happens. */
typedef struct fold_job {
    fold_options options;
    npy_array weight, bias, scale, shift, mean, variance;
    tool_output outputs[OUTPUTS];
    int output_count;
    norma_fold_desc desc;
    tool_failure failure;
} fold_job;

static bool read_file(fold_job *job, fold_option option, npy_array *array)
{
    return weight_read(fold_option_name(option), job->options.text[option], job->options.bf16, array, &job->failure);
}

/* An array of one element per channel, as `type`. */
static bool read_channels(fold_job *job, fold_option option, int64_t channels, npy_type type, npy_array *array)
{
    if (!job->options.text[option]) {
        return true;
    }
    if (!array->data && !read_file(job, option, array)) {
        return false;
    }
    if (array->count != channels || array->shape[array->rank - 1] != channels) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but a --weight of shape %s in %s group%s needs (%lld,)",
             npy_describe_shape(array->rank, array->shape).text, npy_describe_shape(job->weight.rank, job->weight.shape).text,
             job->options.text[FOLD_GROUPS] ? job->options.text[FOLD_GROUPS] : "1", job->options.groups == 1 ? "" : "s",
             (long long)channels);
        return fail_about(&job->failure, "--%s '%s': ", fold_option_name(option), job->options.text[option]);
    }
    return npy_convert(array, type, &job->failure);
}

static bool make_desc(fold_job *job)
{
    const npy_array *weight = &job->weight;
    const bool linear = job->options.layer == NORMA_FOLD_LINEAR, norm = job->options.layer == NORMA_FOLD_BATCH_NORM;
    if (linear ? weight->rank != 2 : norm ? weight->rank != 1 : weight->rank < 2) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but a %s layer's weight has %s%d dimension%s",
             npy_describe_shape(weight->rank, weight->shape).text, job->options.text[FOLD_KIND],
             linear || norm ? "" : "at least ", norm ? 1 : 2, norm ? "" : "s");
        return fail_about(&job->failure, "--weight '%s': ", job->options.text[FOLD_WEIGHT]);
    }
    if (weight->count == 0 || weight->shape[0] % job->options.groups != 0) {
        fail(&job->failure, EXIT_USER, "its shape is %s, whose first extent has to be a multiple of %lld group%s, and none 0",
             npy_describe_shape(weight->rank, weight->shape).text, (long long)job->options.groups,
             job->options.groups == 1 ? "" : "s");
        return fail_about(&job->failure, "--weight '%s': ", job->options.text[FOLD_WEIGHT]);
    }
    /* One function's descriptor serves: they differ in the layer alone. */
    job->desc = norma_fold_conv_desc(weight->rank, weight->shape, job->options.groups, weight_dtype(weight->type));
    job->desc.layer = job->options.layer;
    job->desc.norm_dtype = NORMA_F64;
    job->desc.norm_first = job->options.text[FOLD_BN_FIRST] != NULL;
    job->desc.padded = job->options.padded;
    return true;
}

/* Beside a narrow weight a bias of another type is f32. */
static npy_type bias_type(const fold_job *job)
{
    const npy_type lanes = job->weight.type == NPY_F64 ? NPY_F64 : NPY_F32;
    return job->bias.data && job->bias.type != job->weight.type ? lanes : job->weight.type;
}

static bool read_inputs(fold_job *job)
{
    if (!read_file(job, FOLD_WEIGHT, &job->weight) || !make_desc(job) ||
        (job->options.text[FOLD_BIAS] && !read_file(job, FOLD_BIAS, &job->bias))) {
        return false;
    }
    const int64_t *shape = job->weight.shape;
    const int64_t across = job->weight.rank > 1 ? shape[1] * job->options.groups : shape[0];
    const bool transpose = job->options.layer == NORMA_FOLD_CONV_TRANSPOSE;
    const int64_t outputs = transpose ? across : shape[0], inputs = transpose ? shape[0] : across;
    const int64_t channels = job->desc.norm_first ? inputs : outputs;
    const npy_type of_bias = bias_type(job);
    job->desc.bias_dtype = weight_dtype(of_bias);
    return read_channels(job, FOLD_BIAS, outputs, of_bias, &job->bias) &&
           read_channels(job, FOLD_SCALE, channels, NPY_F64, &job->scale) &&
           read_channels(job, FOLD_SHIFT, channels, NPY_F64, &job->shift) &&
           read_channels(job, FOLD_MEAN, channels, NPY_F64, &job->mean) &&
           read_channels(job, FOLD_VARIANCE, channels, NPY_F64, &job->variance);
}

static bool make_output(fold_job *job, int index, npy_type type, int rank, const int64_t *shape)
{
    npy_array *array = &job->outputs[index].array;
    array->type = type;
    npy_set_shape(array, rank, shape);
    return npy_allocate(array, &job->failure);
}

static bool compute(fold_job *job)
{
    const bool transpose = job->options.layer == NORMA_FOLD_CONV_TRANSPOSE, pads = job->output_count == OUTPUTS;
    const int64_t across = job->weight.rank > 1 ? job->weight.shape[1] * job->options.groups : job->weight.shape[0];
    const int64_t outputs = transpose ? across : job->weight.shape[0];
    if (!make_output(job, OUTPUT_WEIGHT, job->weight.type, job->weight.rank, job->weight.shape) ||
        !make_output(job, OUTPUT_BIAS, weight_type(job->desc.bias_dtype), 1, &outputs) ||
        (pads && !make_output(job, OUTPUT_PADDING, NPY_F64, 1, &across))) {
        return false;
    }
    const norma_fold_norm norm = {.struct_size = sizeof norm,
                                  .scale = job->scale.data,
                                  .shift = job->shift.data,
                                  .mean = job->mean.data,
                                  .variance = job->variance.data,
                                  .epsilon = job->options.epsilon};
    const norma_fold_args args = {.struct_size = sizeof args,
                                  .weight = job->weight.data,
                                  .bias = job->bias.data,
                                  .norms = &norm,
                                  .norms_count = 1,
                                  .output_weight = job->outputs[OUTPUT_WEIGHT].array.data,
                                  .output_bias = job->outputs[OUTPUT_BIAS].array.data,
                                  .output_padding = job->outputs[OUTPUT_PADDING].array.data};
    const norma_status status = norma_fold(&job->desc, &args);
    return status == NORMA_SUCCESS || fail_library(&job->failure, status);
}

static bool perform(fold_job *job)
{
    const fold_option places[OUTPUTS] = {FOLD_OUTPUT_WEIGHT, FOLD_OUTPUT_BIAS, FOLD_OUTPUT_PADDING};
    for (int i = 0; i < OUTPUTS && job->options.text[places[i]]; i++) {
        job->outputs[i].option = fold_option_name(places[i]);
        job->outputs[i].path = job->options.text[places[i]];
        job->output_count++;
    }
    return outputs_resolve(job->outputs, job->output_count, &job->failure) && read_inputs(job) && compute(job) &&
           outputs_write(job->outputs, job->output_count, &job->failure);
}

int command_fold(int argc, char **argv)
{
    fold_job job;
    memset(&job, 0, sizeof job);
    bool ok = fold_options_parse(&job.options, argc, argv, &job.failure);
    if (ok && job.options.text[FOLD_HELP]) {
        fold_print_help();
    } else {
        ok = ok && perform(&job);
    }
    outputs_free(job.outputs, job.output_count);
    npy_array *const arrays[] = {&job.weight, &job.bias, &job.scale, &job.shift, &job.mean, &job.variance};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        npy_free(arrays[i]);
    }
    return ok ? 0 : failure_report(&job.failure, "fold");
}

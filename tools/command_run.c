#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "run_backward.h"

enum { MOST_OUTPUTS = 10 };

/* All that one `norma run` holds; freed together whatever happens. */
typedef struct run_job {
    const run_op *op;
    run_options options;
    npy_array input, scale, bias, mean, variance, residual, grad_output;
    run_problem problem;
    norma_context *context;
    norma_plan *plan;
    norma_args args;
    run_gradients gradients;
    tool_output outputs[MOST_OUTPUTS];
    int output_count;
    double seconds; /* of one run, with --time */
    tool_failure failure;
} run_job;

static npy_type type_of_dtype(norma_dtype dtype)
{
    switch (dtype) {
    case NORMA_F64:
        return NPY_F64;
    case NORMA_BF16:
        return NPY_BF16;
    case NORMA_F16:
        return NPY_F16;
    default:
        return NPY_F32;
    }
}

static norma_dtype dtype_of_type(npy_type type)
{
    switch (type) {
    case NPY_F64:
        return NORMA_F64;
    case NPY_F16:
        return NORMA_F16;
    default:
        return NORMA_F32;
    }
}

/* Of parameters and statistics, which are f32 beside narrow types. */
static npy_type type_of_lanes(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? NPY_F64 : NPY_F32;
}

static bool read_option_file(run_job *job, run_option option, npy_array *array)
{
    const char *path = job->options.text[option];
    bool ok = npy_read(path, array, &job->failure);
    if (ok && array->type == NPY_BF16 && job->options.value[OPTION_DTYPE] != NORMA_BF16) {
        ok = fail(&job->failure, EXIT_USER, "it holds uint16, which is taken as bf16 with --dtype bf16 only");
    }
    return ok || fail_about(&job->failure, "--%s '%s': ", run_option_name(option), path);
}

static bool read_param(run_job *job, run_option option, npy_array *array)
{
    const run_problem *problem = &job->problem;
    if (!job->options.text[option]) {
        return true;
    }
    if (!read_option_file(job, option, array)) {
        return false;
    }
    // Leading ones change nothing about how the elements line up.
    const int extra = array->rank - problem->param_rank;
    bool fits = extra >= 0;
    for (int k = 0; fits && k < array->rank; k++) {
        fits = array->shape[k] == (k < extra ? 1 : problem->param_shape[k - extra]);
    }
    if (!fits) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but %s of an input of shape %s takes %s",
             npy_describe_shape(array->rank, array->shape).text, job->op->name,
             npy_describe_shape(job->input.rank, job->input.shape).text,
             npy_describe_shape(problem->param_rank, problem->param_shape).text);
        return fail_about(&job->failure, "--%s '%s': ", run_option_name(option), job->options.text[option]);
    }
    return npy_convert(array, type_of_lanes(problem->desc.dtype), &job->failure);
}

/* An array of the input's shape, into its type. */
static bool read_like_input(run_job *job, run_option option, npy_array *array)
{
    if (!job->options.text[option]) {
        return true;
    }
    if (!read_option_file(job, option, array)) {
        return false;
    }
    const npy_array *input = &job->input;
    if (array->rank != input->rank || memcmp(array->shape, input->shape, (size_t)input->rank * sizeof *input->shape) != 0) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but the input's is %s",
             npy_describe_shape(array->rank, array->shape).text, npy_describe_shape(input->rank, input->shape).text);
        return fail_about(&job->failure, "--%s '%s': ", run_option_name(option), job->options.text[option]);
    }
    return npy_convert(array, type_of_dtype(job->problem.desc.dtype), &job->failure);
}

static bool read_inputs(run_job *job)
{
    if (!read_option_file(job, OPTION_INPUT, &job->input)) {
        return false;
    }
    norma_dtype dtype = (norma_dtype)job->options.value[OPTION_DTYPE];
    if (!job->options.text[OPTION_DTYPE]) {
        dtype = dtype_of_type(job->input.type);
    }
    if (!run_op_build(job->op, &job->options, &job->input, dtype, &job->problem, &job->failure)) {
        return false;
    }
    job->problem.desc.parameter_dtype = dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
    return read_param(job, OPTION_SCALE, &job->scale) && read_param(job, OPTION_BIAS, &job->bias) &&
           read_param(job, OPTION_MEAN, &job->mean) && read_param(job, OPTION_VARIANCE, &job->variance) &&
           read_like_input(job, OPTION_RESIDUAL, &job->residual) && read_like_input(job, OPTION_GRAD_OUTPUT, &job->grad_output);
}

static void add_output(run_job *job, run_option option)
{
    if (job->options.text[option]) {
        tool_output *output = &job->outputs[job->output_count++];
        output->option = run_option_name(option);
        output->path = job->options.text[option];
    }
}

/* Allocates the array of the output that an option asked for; NULL when it was not given, or on failure. */
static void *make_output(run_job *job, run_option option, npy_type type, int rank, const int64_t *shape, bool *ok)
{
    for (int i = 0; *ok && i < job->output_count; i++) {
        npy_array *array = &job->outputs[i].array;
        if (strcmp(job->outputs[i].option, run_option_name(option)) == 0) {
            array->type = type;
            npy_set_shape(array, rank, shape);
            *ok = npy_allocate(array, &job->failure);
            return array->data;
        }
    }
    return NULL;
}

/* An output that begins as what was read from another option's file. */
static void *make_updated(run_job *job, run_option option, const npy_array *before, bool *ok)
{
    void *data =
        make_output(job, option, type_of_lanes(job->problem.desc.dtype), job->problem.param_rank, job->problem.param_shape, ok);
    if (data && before->count) {
        memcpy(data, before->data, (size_t)before->count * npy_type_size(before->type));
    }
    return data;
}

static bool make_plan(run_job *job)
{
    norma_context_options options = {.struct_size = sizeof options};
    options.threads = job->options.value[OPTION_THREADS];
    options.isa = (norma_isa)job->options.value[OPTION_ISA];
    norma_status status = norma_context_create(&job->context, &options);
    if (status != NORMA_SUCCESS) {
        return fail_library(&job->failure, status);
    }
    norma_context_info info = {.struct_size = sizeof info};
    status = norma_context_get_info(job->context, &info);
    if (status != NORMA_SUCCESS) {
        return fail_library(&job->failure, status);
    }
    if (options.isa != NORMA_ISA_BEST && info.isa != options.isa) {
        // Who names an instruction set wants that one measured or tested, not the next best.
        return fail(&job->failure, EXIT_USER, "--isa %s is not to be had here, at most %s: %s", norma_isa_name(options.isa),
                    norma_isa_name(info.isa), info.isa_reason);
    }
    status = norma_plan_create(&job->plan, job->context, &job->problem.desc);
    return status == NORMA_SUCCESS || fail_library(&job->failure, status);
}

/* Room for the gradients, and for what they take from the forward run. */
static bool prepare_backward(run_job *job)
{
    const run_problem *problem = &job->problem;
    const npy_array *input = &job->input;
    const npy_type type = input->type, parameter = type_of_lanes(problem->desc.dtype);
    norma_backward_args *args = &job->gradients.args;
    bool ok = true;
    args->dx = make_output(job, OPTION_GRAD_INPUT, type, input->rank, input->shape, &ok);
    args->dresidual = make_output(job, OPTION_GRAD_RESIDUAL, type, input->rank, input->shape, &ok);
    args->dscale = make_output(job, OPTION_GRAD_SCALE, parameter, problem->param_rank, problem->param_shape, &ok);
    args->dshift = make_output(job, OPTION_GRAD_BIAS, parameter, problem->param_rank, problem->param_shape, &ok);
    return ok && run_backward_prepare(&job->gradients, problem, input, &job->args, &job->failure);
}

static bool measure(run_job *job)
{
    if (job->options.text[OPTION_BACKWARD]) {
        return run_measure_backward(job->plan, &job->gradients.args, &job->seconds, &job->failure);
    }
    norma_args again = job->args; /* running statistics are updated once */
    again.running_mean = again.running_variance = NULL;
    return run_measure(job->plan, &again, &job->seconds, &job->failure);
}

static bool compute(run_job *job)
{
    const run_option saved = job->options.text[OPTION_SAVE_VARIANCE] ? OPTION_SAVE_VARIANCE : OPTION_SAVE_RSTD;
    const npy_type type = type_of_dtype(job->problem.desc.dtype), statistic = type_of_lanes(job->problem.desc.dtype);
    bool ok = make_plan(job) && npy_convert(&job->input, type, &job->failure);
    job->args.struct_size = sizeof job->args;
    job->args.x = job->input.data;
    job->args.scale = job->scale.data;
    job->args.shift = job->bias.data;
    const run_problem *problem = &job->problem;
    job->args.residual = job->residual.data;
    job->args.sum = make_output(job, OPTION_RESIDUAL_OUT, type, job->input.rank, job->input.shape, &ok);
    job->args.y = make_output(job, OPTION_OUTPUT, type, job->input.rank, job->input.shape, &ok);
    job->args.mean = make_output(job, OPTION_SAVE_MEAN, statistic, problem->saved_rank, problem->saved_shape, &ok);
    job->args.rstd = make_output(job, saved, statistic, problem->saved_rank, problem->saved_shape, &ok);
    if (problem->desc.statistics == NORMA_STATISTICS_GIVEN) {
        job->args.given_mean = job->mean.data;
        job->args.given_variance = job->variance.data;
    } else {
        job->args.running_mean = make_updated(job, OPTION_RUNNING_MEAN_OUT, &job->mean, &ok);
        job->args.running_variance = make_updated(job, OPTION_RUNNING_VARIANCE_OUT, &job->variance, &ok);
    }
    const bool backward = job->options.text[OPTION_BACKWARD];
    if (!ok || (backward && !prepare_backward(job))) {
        return false;
    }
    const norma_status status = norma_run(job->plan, &job->args);
    if (status != NORMA_SUCCESS) {
        return fail_library(&job->failure, status);
    }
    if (backward &&
        !run_backward_compute(&job->gradients, job->plan, problem, &job->args, job->grad_output.data, &job->failure)) {
        return false;
    }
    return !job->options.text[OPTION_TIME] || measure(job);
}

static void print_report(const run_job *job)
{
    if (job->options.text[OPTION_VERBOSE]) {
        char line[1024] = "";
        norma_plan_describe(job->plan, line, sizeof line);
        printf("%s\n", line);
    }
    if (job->options.text[OPTION_TIME]) {
        norma_context_info info = {.struct_size = sizeof info};
        norma_context_get_info(job->context, &info);
        const double bytes = (job->options.text[OPTION_BACKWARD] ? 3.0 : 2.0) * (double)job->input.count *
                             (double)npy_type_size(job->input.type);
        printf("%s%s %s %s %s %d thread%s: %.3f us, %.2f GB/s\n", job->op->name,
               job->options.text[OPTION_BACKWARD] ? " backward" : "",
               npy_describe_shape(job->input.rank, job->input.shape).text, npy_type_name(job->input.type),
               norma_isa_name(info.isa), info.threads, info.threads == 1 ? "" : "s", 1e6 * job->seconds,
               job->seconds > 0 ? 1e-9 * bytes / job->seconds : 0.0);
    }
}

static bool perform(run_job *job)
{
    if (!run_op_check_options(job->op, &job->options, &job->failure)) {
        return false;
    }
    add_output(job, OPTION_OUTPUT);
    add_output(job, OPTION_RESIDUAL_OUT);
    add_output(job, OPTION_SAVE_MEAN);
    add_output(job, OPTION_SAVE_RSTD);
    add_output(job, OPTION_SAVE_VARIANCE);
    add_output(job, OPTION_RUNNING_MEAN_OUT);
    add_output(job, OPTION_RUNNING_VARIANCE_OUT);
    add_output(job, OPTION_GRAD_INPUT);
    add_output(job, OPTION_GRAD_SCALE);
    add_output(job, OPTION_GRAD_BIAS);
    add_output(job, OPTION_GRAD_RESIDUAL);
    if (!outputs_resolve(job->outputs, job->output_count, &job->failure) || !read_inputs(job)) {
        return false;
    }
    if (!compute(job) || !outputs_write(job->outputs, job->output_count, &job->failure)) {
        return false;
    }
    print_report(job);
    return true;
}

static void free_job(run_job *job)
{
    norma_plan_destroy(job->plan);
    norma_context_destroy(job->context);
    outputs_free(job->outputs, job->output_count);
    npy_free(&job->input);
    npy_free(&job->scale);
    npy_free(&job->bias);
    npy_free(&job->mean);
    npy_free(&job->variance);
    npy_free(&job->residual);
    npy_free(&job->grad_output);
    run_backward_free(&job->gradients);
}

static bool find_op(run_job *job)
{
    const char *name = job->options.op;
    if (!name) {
        return job->options.text[OPTION_HELP] || fail(&job->failure, EXIT_USER, "give an op (see norma run --help)");
    }
    job->op = run_op_find(name);
    return job->op || fail(&job->failure, EXIT_USER, "unknown op '%s' (see norma run --help)", name);
}

int command_run(int argc, char **argv)
{
    run_job job;
    memset(&job, 0, sizeof job);
    bool ok = run_options_parse(&job.options, argc, argv, &job.failure) && find_op(&job);
    if (ok && job.options.text[OPTION_HELP]) {
        run_print_help(job.op);
    } else {
        ok = ok && perform(&job);
    }
    free_job(&job);
    return ok ? 0 : failure_report(&job.failure, "run");
}

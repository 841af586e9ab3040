#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "run_job.h"

static const run_option output_options[RUN_OUTPUTS_MAX] = {
    OPTION_OUTPUT,
    OPTION_OUTPUT_SCALE_OUT,
    OPTION_OUTPUT_ZERO_POINT_OUT,
    OPTION_RESIDUAL_OUT,
    OPTION_SAVE_MEAN,
    OPTION_SAVE_RSTD,
    OPTION_SAVE_VARIANCE,
    OPTION_SAVE_DIVISOR,
    OPTION_RUNNING_MEAN_OUT,
    OPTION_RUNNING_VARIANCE_OUT,
    OPTION_GRAD_INPUT,
    OPTION_GRAD_SCALE,
    OPTION_GRAD_BIAS,
    OPTION_GRAD_RESIDUAL,
    OPTION_GRAD_MODULATION_SCALE,
    OPTION_GRAD_MODULATION_SHIFT,
};

static void add_outputs(run_job *job)
{
    for (int i = 0; i < RUN_OUTPUTS_MAX; i++) {
        const run_option option = output_options[i];
        if (job->options.text[option]) {
            tool_output *output = &job->outputs[job->output_count++];
            output->option = run_option_name(option);
            output->path = job->options.text[option];
        }
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

/* As saved statistics are. */
static void *make_statistic(run_job *job, run_option option, npy_type type, bool *ok)
{
    return make_output(job, option, type, job->problem.saved_rank, job->problem.saved_shape, ok);
}

/* An output that begins as what was read from another option's file. */
static void *make_updated(run_job *job, run_option option, const npy_array *before, bool *ok)
{
    void *data = make_output(job, option, before->type, job->problem.param_rank, job->problem.param_shape, ok);
    if (data && before->count) {
        memcpy(data, before->data, (size_t)before->count * npy_type_size(before->type));
    }
    return data;
}

static bool make_context(run_job *job)
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
    return true;
}

/* A sentence of the library begins with the field that it is about: the option that set it goes before. */
static bool fail_about_field(run_job *job, norma_status status)
{
    static const struct {
        const char *field;
        run_option option;
    } fields[] = {{"desc.quantization:", OPTION_OUTPUT_SCALE_OUT},
                  {"desc.activation_alpha:", OPTION_ALPHA},
                  {"desc.activation_alpha:", OPTION_BETA},
                  {"args.y_scale:", OPTION_OUTPUT_SCALE},
                  {"desc.unbiased:", OPTION_UNBIASED},
                  {"desc.layout:", OPTION_LAYOUT},
                  {"args.given_variance:", OPTION_VARIANCE},
                  {"args.running_variance:", OPTION_RUNNING_VARIANCE}};
    fail_library(&job->failure, status);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *text = job->options.text[fields[i].option];
        if (text && strncmp(job->failure.text, fields[i].field, strlen(fields[i].field)) == 0) {
            return text[0] ? run_fail_about(job, fields[i].option)
                           : fail_about(&job->failure, "--%s: ", run_option_name(fields[i].option));
        }
    }
    return false;
}

static bool add_step(run_job *job, const norma_desc *desc, const norma_args *args)
{
    run_step *step = &job->steps[job->step_count++];
    step->args = *args;
    const norma_status status = norma_plan_create(&step->plan, job->context, desc);
    return status == NORMA_SUCCESS || fail_about_field(job, status);
}

/* The statistics of a style are the modulation of the norm after it. */
static bool add_style(run_job *job)
{
    norma_args args = {.struct_size = sizeof args};
    args.x = job->files[OPTION_STYLE].data;
    args.mean = job->files[OPTION_MODULATION_SHIFT].data;
    args.rstd = job->files[OPTION_MODULATION_SCALE].data;
    return !job->options.text[OPTION_STYLE] || add_step(job, &job->style.desc, &args);
}

/* Where the library needs a sum that nobody wants: y then cannot hold it on the way. */
static void *make_unwanted_sum(run_job *job, bool *ok)
{
    const norma_desc *desc = &job->problem.desc;
    const npy_array *input = &job->files[OPTION_INPUT];
    const bool sums = desc->residual == NORMA_RESIDUAL_BEFORE || desc->gate == NORMA_GATE_BEFORE;
    const bool held = job->options.text[OPTION_OUTPUT] && run_output_dtype(desc) == run_normalized_dtype(desc);
    if (*ok && sums && !held && !job->options.text[OPTION_RESIDUAL_OUT]) {
        job->sum.type = run_type_of(run_normalized_dtype(desc));
        npy_set_shape(&job->sum, input->rank, input->shape);
        *ok = npy_allocate(&job->sum, &job->failure);
    }
    return job->sum.data;
}

/* Room for the gradients, and for what they take from the forward run. */
static bool prepare_backward(run_job *job, norma_args *forward)
{
    const run_problem *problem = &job->problem;
    const npy_array *input = &job->files[OPTION_INPUT];
    const npy_type parameter = run_type_of(run_parameter_dtype(&problem->desc));
    norma_backward_args *args = &job->gradients.args;
    const npy_array *by_scale = &job->files[OPTION_MODULATION_SCALE], *by_shift = &job->files[OPTION_MODULATION_SHIFT];
    bool ok = true;
    args->dmodulation_scale = make_output(job, OPTION_GRAD_MODULATION_SCALE, parameter, by_scale->rank, by_scale->shape, &ok);
    args->dmodulation_shift = make_output(job, OPTION_GRAD_MODULATION_SHIFT, parameter, by_shift->rank, by_shift->shape, &ok);
    args->dx = make_output(job, OPTION_GRAD_INPUT, input->type, input->rank, input->shape, &ok);
    args->dresidual = make_output(job, OPTION_GRAD_RESIDUAL, input->type, input->rank, input->shape, &ok);
    args->dscale = make_output(job, OPTION_GRAD_SCALE, parameter, problem->param_rank, problem->param_shape, &ok);
    args->dshift = make_output(job, OPTION_GRAD_BIAS, parameter, problem->param_rank, problem->param_shape, &ok);
    return ok && run_backward_prepare(&job->gradients, problem, input, forward, &job->failure);
}

static bool add_norm(run_job *job)
{
    const norma_desc *desc = &job->problem.desc;
    const npy_array *files = job->files, *input = &files[OPTION_INPUT];
    const npy_type statistic = run_type_of(run_parameter_dtype(desc)), summed = run_type_of(run_normalized_dtype(desc));
    const run_option saved = desc->saved == NORMA_SAVE_VARIANCE  ? OPTION_SAVE_VARIANCE
                             : desc->saved == NORMA_SAVE_DIVISOR ? OPTION_SAVE_DIVISOR
                                                                 : OPTION_SAVE_RSTD;
    bool ok = true;
    norma_args args = {.struct_size = sizeof args};
    args.x = input->data;
    args.scale = files[OPTION_SCALE].data;
    args.shift = files[OPTION_BIAS].data;
    args.residual = files[OPTION_RESIDUAL].data;
    args.residual_gate = files[OPTION_RESIDUAL_GATE].data;
    args.residual_bias = files[OPTION_RESIDUAL_BIAS].data;
    args.gate = files[OPTION_GATE].data;
    args.modulation_scale = files[OPTION_MODULATION_SCALE].data;
    args.modulation_shift = files[OPTION_MODULATION_SHIFT].data;
    args.y = make_output(job, OPTION_OUTPUT, run_type_of(run_output_dtype(desc)), input->rank, input->shape, &ok);
    args.sum = job->options.text[OPTION_RESIDUAL_OUT]
                   ? make_output(job, OPTION_RESIDUAL_OUT, summed, input->rank, input->shape, &ok)
                   : make_unwanted_sum(job, &ok);
    args.mean = make_statistic(job, OPTION_SAVE_MEAN, statistic, &ok);
    args.rstd = make_statistic(job, saved, statistic, &ok);
    args.y_scale = job->options.text[OPTION_OUTPUT_SCALE] ? files[OPTION_OUTPUT_SCALE].data
                                                          : make_statistic(job, OPTION_OUTPUT_SCALE_OUT, NPY_F32, &ok);
    args.y_zero_point = make_statistic(job, OPTION_OUTPUT_ZERO_POINT_OUT, NPY_U8, &ok);
    if (desc->statistics == NORMA_STATISTICS_GIVEN) {
        args.given_mean = files[OPTION_MEAN].data;
        args.given_variance = files[OPTION_VARIANCE].data;
    } else {
        args.running_mean = make_updated(job, OPTION_RUNNING_MEAN_OUT, &files[OPTION_MEAN], &ok);
        args.running_variance = make_updated(job, OPTION_RUNNING_VARIANCE_OUT, &files[OPTION_VARIANCE], &ok);
    }
    ok = ok && (!job->options.text[OPTION_BACKWARD] || prepare_backward(job, &args));
    return ok && add_step(job, desc, &args);
}

static bool compute(run_job *job)
{
    const bool timed = job->options.text[OPTION_TIME];
    if (!make_context(job) || !add_style(job) || !add_norm(job)) {
        return false;
    }
    const norma_status status = run_steps(job->steps, job->step_count);
    if (status != NORMA_SUCCESS) {
        return fail_about_field(job, status);
    }
    run_step *norm = &job->steps[job->step_count - 1];
    if (job->options.text[OPTION_BACKWARD]) {
        run_gradients *gradients = &job->gradients;
        return run_backward_compute(gradients, norm->plan, &job->problem, &norm->args, job->files[OPTION_GRAD_OUTPUT].data,
                                    &job->failure) &&
               (!timed || run_measure_backward(norm->plan, &gradients->args, &job->seconds, &job->failure));
    }
    norm->args.running_mean = norm->args.running_variance = NULL; // which are updated once
    return !timed || run_measure(job->steps, job->step_count, &job->seconds, &job->failure);
}

static double bytes_of(const npy_array *array)
{
    return array->data ? (double)array->count * (double)npy_type_size(array->type) : 0;
}

/* What a run has to read and write: each tensor of the size of x or y once. On the way back all are of one type. */
static double bytes_of_run(const run_job *job)
{
    if (job->options.text[OPTION_BACKWARD]) {
        const norma_backward_args *args = &job->gradients.args;
        const int tensors = 2 + (args->y != NULL) + (args->dx != NULL) + (args->dresidual != NULL);
        return tensors * bytes_of(&job->files[OPTION_INPUT]);
    }
    const run_option whole[] = {
        OPTION_INPUT,           OPTION_STYLE, OPTION_RESIDUAL, OPTION_GATE, OPTION_RESIDUAL_GATE, OPTION_MODULATION_SCALE,
        OPTION_MODULATION_SHIFT};
    double bytes = bytes_of(&job->sum);
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        const npy_array *array = &job->files[whole[i]];
        const bool large = whole[i] == OPTION_STYLE || array->count == job->files[OPTION_INPUT].count;
        bytes += large ? bytes_of(array) : 0;
    }
    for (int i = 0; i < job->output_count; i++) {
        const char *option = job->outputs[i].option;
        const bool large =
            strcmp(option, run_option_name(OPTION_OUTPUT)) == 0 || strcmp(option, run_option_name(OPTION_RESIDUAL_OUT)) == 0;
        bytes += large ? bytes_of(&job->outputs[i].array) : 0;
    }
    return bytes;
}

static void print_report(const run_job *job)
{
    for (int i = 0; job->options.text[OPTION_VERBOSE] && i < job->step_count; i++) {
        char line[1024] = "";
        norma_plan_describe(job->steps[i].plan, line, sizeof line);
        printf("%s\n", line);
    }
    if (job->options.text[OPTION_TIME]) {
        norma_context_info info = {.struct_size = sizeof info};
        norma_context_get_info(job->context, &info);
        const npy_array *input = &job->files[OPTION_INPUT];
        printf("%s%s %s %s %s %d thread%s: %.3f us, %.2f GB/s\n", job->op->name,
               job->options.text[OPTION_BACKWARD] ? " backward" : "", npy_describe_shape(input->rank, input->shape).text,
               npy_type_name(input->type), norma_isa_name(info.isa), info.threads, info.threads == 1 ? "" : "s",
               1e6 * job->seconds, job->seconds > 0 ? 1e-9 * bytes_of_run(job) / job->seconds : 0.0);
    }
}

static bool perform(run_job *job)
{
    if (!run_op_check_options(job->op, &job->options, &job->failure)) {
        return false;
    }
    add_outputs(job);
    if (!outputs_resolve(job->outputs, job->output_count, &job->failure) || !run_read_tensors(job) || !compute(job) ||
        !outputs_write(job->outputs, job->output_count, &job->failure)) {
        return false;
    }
    print_report(job);
    return true;
}

static void free_job(run_job *job)
{
    for (int i = 0; i < job->step_count; i++) {
        norma_plan_destroy(job->steps[i].plan);
    }
    norma_context_destroy(job->context);
    outputs_free(job->outputs, job->output_count);
    for (int k = 0; k < OPTION_COUNT; k++) {
        npy_free(&job->files[k]);
    }
    npy_free(&job->sum);
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

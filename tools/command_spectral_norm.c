#include <stdio.h>
#include <string.h>

#include <norma/weights.h>

#include "commands.h"
#include "option_list.h"
#include "weight_files.h"

enum { INPUT, U, V, AXIS, ORDER, ITERATIONS, EPSILON, SEED, DTYPE, OUTPUT, OUTPUT_U, OUTPUT_V, HELP, OPTIONS };

static const listed_option options[OPTIONS] = {
    [INPUT] = {"input", "FILE", true, "The weight."},
    [U] = {"u", "FILE", false, "The left singular vector so far, with --v. Without both, random ones from --seed."},
    [V] = {"v", "FILE", false, "The right one."},
    [AXIS] =
        {"axis", "A", false,
         "The axis of the outputs, negative from the end: of transposed convolutions 1. The others count as one. Default: 0."},
    [ORDER] = {"order", "u_first|v_first", false, "Which vector an iteration makes first. Default: u_first."},
    [ITERATIONS] = {"iterations", "N", false,
                    "Of the power iteration. 0: with the vectors as they are. Default: 1, and 15 without --u and --v."},
    [EPSILON] = {"epsilon", "E", false, "The least that a vector is divided by. Default: 1e-12."},
    [SEED] = {"seed", "S", false, "Of random vectors. Default: 0."},
    [DTYPE] = {"dtype", "bf16", false, "Files of uint16 are bf16."},
    [OUTPUT] = {"output", "FILE", false, "Where the weight divided by sigma goes, in its shape and type."},
    [OUTPUT_U] = {"output-u", "FILE", false, "Where u goes: f64 where the weight is, else f32."},
    [OUTPUT_V] = {"output-v", "FILE", false, "Where v goes."},
    [HELP] = {"help", "", false, "Print this text."},
};

enum { OUTPUTS = 3 };

typedef struct spectral_norm_job {
    const char *text[OPTIONS];
    npy_array weight, u, v;
    tool_output outputs[OUTPUTS];
    int output_count;
    npy_array *w;
    norma_spectral_norm_desc desc;
    long seed;
    bool starts;
    double sigma;
    tool_failure failure;
} spectral_norm_job;

static bool parse_numbers(spectral_norm_job *job)
{
    const char *iterations = job->text[ITERATIONS], *epsilon = job->text[EPSILON], *seed = job->text[SEED], *end;
    long value = job->starts ? 15 : 1;
    if (iterations && (!parse_whole(iterations, &end, 0, &value) || *end)) {
        return fail(&job->failure, EXIT_USER, "--iterations '%s': give an integer, 0 or more", iterations);
    }
    job->desc.iterations = (int)value;
    if (epsilon && !parse_epsilon(epsilon, &job->desc.epsilon)) {
        return fail(&job->failure, EXIT_USER, "--epsilon '%s': give a number, 0 or more", epsilon);
    }
    if (seed && (!parse_whole(seed, &end, 0, &job->seed) || *end)) {
        return fail(&job->failure, EXIT_USER, "--seed '%s': give an integer, 0 or more", seed);
    }
    return true;
}

static bool make_desc(spectral_norm_job *job)
{
    const char *order = job->text[ORDER];
    int axis;
    if (job->weight.rank < 2) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but a matrix has at least 2 dimensions",
             npy_describe_shape(job->weight.rank, job->weight.shape).text);
        return fail_about(&job->failure, "--input '%s': ", job->text[INPUT]);
    }
    if (!weight_parse_axis(job->text[AXIS] ? job->text[AXIS] : "0", &job->weight, &axis, &job->failure)) {
        return false;
    }
    job->desc = norma_spectral_norm_desc_of(job->weight.rank, job->weight.shape, axis, weight_dtype(job->weight.type));
    if (order && strcmp(order, "v_first") == 0) {
        job->desc.order = NORMA_SPECTRAL_V_FIRST;
    } else if (order && strcmp(order, "u_first") != 0) {
        return fail(&job->failure, EXIT_USER, "--order '%s': give one of %s", order, options[ORDER].metavar);
    }
    return parse_numbers(job);
}

static bool read_inputs(spectral_norm_job *job)
{
    bool bf16;
    if (!job->text[U] != !job->text[V]) {
        return fail(&job->failure, EXIT_USER, "--u and --v go together");
    }
    job->starts = !job->text[U];
    if (!weight_parse_dtype(job->text[DTYPE], &bf16, &job->failure) ||
        !weight_read("input", job->text[INPUT], bf16, &job->weight, &job->failure) || !make_desc(job)) {
        return false;
    }
    const npy_type lanes = job->weight.type == NPY_F64 ? NPY_F64 : NPY_F32;
    const int64_t height = job->weight.shape[job->desc.axis], width = height ? job->weight.count / height : 0;
    if (job->starts) {
        return weight_make(&job->u, lanes, 1, &height, &job->failure) && weight_make(&job->v, lanes, 1, &width, &job->failure);
    }
    return weight_read_vector("u", job->text[U], bf16, height, lanes, &job->u, &job->failure) &&
           weight_read_vector("v", job->text[V], bf16, width, lanes, &job->v, &job->failure);
}

static bool compute(spectral_norm_job *job)
{
    if (job->w && !weight_make(job->w, job->weight.type, job->weight.rank, job->weight.shape, &job->failure)) {
        return false;
    }
    const norma_spectral_norm_args args = {.struct_size = sizeof args,
                                           .weight = job->weight.data,
                                           .u = job->u.data,
                                           .v = job->v.data,
                                           .w = job->w ? job->w->data : NULL,
                                           .sigma = &job->sigma};
    norma_status status = NORMA_SUCCESS;
    if (job->starts) {
        status = norma_spectral_norm_start(NULL, &job->desc, &args, (uint64_t)job->seed);
        job->desc.iterations = 0; /* it has been through them */
    }
    if (status == NORMA_SUCCESS) {
        status = norma_spectral_norm(NULL, &job->desc, &args);
    }
    return status == NORMA_SUCCESS || fail_library(&job->failure, status);
}

static tool_output *add_output(spectral_norm_job *job, int option)
{
    tool_output *output = &job->outputs[job->output_count++];
    output->option = options[option].name;
    output->path = job->text[option];
    return output;
}

/* The vectors, once they are computed, become their outputs' arrays. */
static bool perform(spectral_norm_job *job)
{
    tool_output *w = job->text[OUTPUT] ? add_output(job, OUTPUT) : NULL;
    tool_output *u = job->text[OUTPUT_U] ? add_output(job, OUTPUT_U) : NULL;
    tool_output *v = job->text[OUTPUT_V] ? add_output(job, OUTPUT_V) : NULL;
    job->w = w ? &w->array : NULL;
    if (!outputs_resolve(job->outputs, job->output_count, &job->failure) || !read_inputs(job) || !compute(job)) {
        return false;
    }
    const npy_array none = {0};
    if (u) {
        u->array = job->u;
        job->u = none;
    }
    if (v) {
        v->array = job->v;
        job->v = none;
    }
    if (!outputs_write(job->outputs, job->output_count, &job->failure)) {
        return false;
    }
    printf("sigma %.9g\n", job->sigma);
    return true;
}

static void print_help(void)
{
    printf("Usage: norma spectral_norm --input FILE [--u FILE --v FILE] --output FILE [option]...\n\n");
    print_wrapped("Spectral norm: a weight divided by sigma, its largest singular value as power iteration finds it, which is "
                  "printed (torch.nn.utils.parametrizations.spectral_norm: --axis is dim).",
                  0);
    option_list_print(options, OPTIONS);
    printf("\nExamples:\n"
           "    norma spectral_norm --input w.npy --output w2.npy --output-u u.npy --output-v v.npy\n"
           "    norma spectral_norm --input w.npy --u u.npy --v v.npy --iterations 0 --output w2.npy\n");
}

int command_spectral_norm(int argc, char **argv)
{
    spectral_norm_job job;
    memset(&job, 0, sizeof job);
    bool ok = option_list_parse("spectral_norm", options, OPTIONS, job.text, argc, argv, &job.failure);
    if (ok && job.text[HELP]) {
        print_help();
    } else {
        ok = ok && perform(&job);
    }
    outputs_free(job.outputs, job.output_count);
    npy_free(&job.weight);
    npy_free(&job.u);
    npy_free(&job.v);
    return ok ? 0 : failure_report(&job.failure, "spectral_norm");
}

#include <stdio.h>
#include <string.h>

#include <norma/weights.h>

#include "commands.h"
#include "option_list.h"
#include "weight_files.h"

enum { INPUT, SCALE, AXIS, ZERO_NORM, DTYPE, OUTPUT, OUTPUT_NORMS, GRAD_OUTPUT, GRAD_INPUT, GRAD_SCALE, HELP, OPTIONS };

static const listed_option options[OPTIONS] = {
    [INPUT] = {"input", "FILE", true, "The direction v."},
    [SCALE] = {"scale", "FILE", false, "The lengths g, one per slice, in any shape. Without it, those of v: w is v."},
    [AXIS] = {"axis", "A|none", false,
              "The axis that slices are counted along, negative from the end: each slice has a length of its own. none: one "
              "length for all. Default: 0."},
    [ZERO_NORM] = {"zero-norm", "error|nan|zero", false,
                   "What becomes of a slice of zeros, which has no direction. Default: error."},
    [DTYPE] = {"dtype", "bf16", false, "Files of uint16 are bf16."},
    [OUTPUT] = {"output", "FILE", false, "Where w = g * v / ||v|| goes, in the shape and type of v."},
    [OUTPUT_NORMS] = {"output-norms", "FILE", false, "Where the norms ||v|| go: f64 where v is, else f32."},
    [GRAD_OUTPUT] = {"grad-output", "FILE", false, "The gradient of w, in v's shape: with it, the way back."},
    [GRAD_INPUT] = {"grad-input", "FILE", false, "Where the gradient of v goes."},
    [GRAD_SCALE] = {"grad-scale", "FILE", false, "Where the gradient of g goes."},
    [HELP] = {"help", "", false, "Print this text."},
};

/* The outputs, in the order of their options. */
enum { OUTPUTS = 4 };
static const int places[OUTPUTS] = {OUTPUT, OUTPUT_NORMS, GRAD_INPUT, GRAD_SCALE};

typedef struct weight_norm_job {
    const char *text[OPTIONS];
    npy_array v, g, dw;
    npy_array *made[OPTIONS]; /* of the outputs that are wanted */
    tool_output outputs[OUTPUTS];
    int output_count;
    norma_weight_norm_desc desc;
    int64_t slices;
    bool bf16;
    tool_failure failure;
} weight_norm_job;

static bool check_together(weight_norm_job *job)
{
    const char *const *text = job->text;
    if (!text[OUTPUT] && !text[OUTPUT_NORMS] && !text[GRAD_INPUT] && !text[GRAD_SCALE]) {
        return fail(&job->failure, EXIT_USER, "give --output FILE, or another output (see norma weight_norm --help)");
    }
    if (!text[GRAD_OUTPUT] != (!text[GRAD_INPUT] && !text[GRAD_SCALE])) {
        return fail(&job->failure, EXIT_USER, "--grad-output goes with --grad-input or --grad-scale, or both");
    }
    return true;
}

static bool parse_zero_norm(weight_norm_job *job)
{
    static const char *const names[] = {"error", "nan", "zero"};
    const char *text = job->text[ZERO_NORM];
    for (int i = 0; text && i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            job->desc.zero_norm = (norma_zero_norm)(NORMA_ZERO_NORM_ERROR + i);
            return true;
        }
    }
    return !text || fail(&job->failure, EXIT_USER, "--zero-norm '%s': give one of %s", text, options[ZERO_NORM].metavar);
}

static bool make_desc(weight_norm_job *job)
{
    const char *text = job->text[AXIS] ? job->text[AXIS] : "0";
    int axis = NORMA_NO_AXIS;
    if (strcmp(text, "none") != 0 && !weight_parse_axis(text, &job->v, &axis, &job->failure)) {
        return false;
    }
    job->desc = norma_weight_norm_desc_of(job->v.rank, job->v.shape, axis, weight_dtype(job->v.type));
    job->slices = axis == NORMA_NO_AXIS ? 1 : job->v.shape[axis];
    return parse_zero_norm(job);
}

static bool read_inputs(weight_norm_job *job)
{
    const char *const *text = job->text;
    return weight_parse_dtype(text[DTYPE], &job->bf16, &job->failure) &&
           weight_read("input", text[INPUT], job->bf16, &job->v, &job->failure) && make_desc(job) &&
           (!text[SCALE] ||
            weight_read_vector("scale", text[SCALE], job->bf16, job->slices, job->v.type, &job->g, &job->failure)) &&
           (!text[GRAD_OUTPUT] || weight_read_vector("grad-output", text[GRAD_OUTPUT], job->bf16, job->v.count, job->v.type,
                                                     &job->dw, &job->failure));
}

static bool make_outputs(weight_norm_job *job)
{
    const npy_type norms = job->v.type == NPY_F64 ? NPY_F64 : NPY_F32;
    bool good = true;
    for (int i = 0; good && i < job->output_count; i++) {
        npy_array *array = &job->outputs[i].array;
        const bool whole = array == job->made[OUTPUT] || array == job->made[GRAD_INPUT];
        good = whole
                   ? weight_make(array, job->v.type, job->v.rank, job->v.shape, &job->failure)
                   : weight_make(array, array == job->made[OUTPUT_NORMS] ? norms : job->v.type, 1, &job->slices, &job->failure);
    }
    return good;
}

static void *data_of(const weight_norm_job *job, int option)
{
    return job->made[option] ? job->made[option]->data : NULL;
}

/* Without --scale: the norms of v, rounded as a scale of v's type would be. */
static bool measure_scale(weight_norm_job *job)
{
    npy_array ones = {0}, w = {0};
    bool good = weight_make(&ones, NPY_F64, 1, &job->slices, &job->failure);
    for (int64_t i = 0; good && i < job->slices; i++) {
        ((double *)ones.data)[i] = 1;
    }
    good = good && npy_convert(&ones, job->v.type, &job->failure) &&
           weight_make(&w, job->v.type, job->v.rank, job->v.shape, &job->failure) &&
           weight_make(&job->g, job->v.type == NPY_F64 ? NPY_F64 : NPY_F32, 1, &job->slices, &job->failure);
    if (good) {
        const norma_weight_norm_args args = {
            .struct_size = sizeof args, .v = job->v.data, .g = ones.data, .w = w.data, .norms = job->g.data};
        const norma_status status = norma_weight_norm(NULL, &job->desc, &args);
        good = status == NORMA_SUCCESS ? npy_convert(&job->g, job->v.type, &job->failure) : fail_library(&job->failure, status);
    }
    npy_free(&ones);
    npy_free(&w);
    return good;
}

static bool go_forward(weight_norm_job *job)
{
    npy_array unasked = {0};
    norma_status status = NORMA_SUCCESS;
    bool good = job->made[OUTPUT] || weight_make(&unasked, job->v.type, job->v.rank, job->v.shape, &job->failure);
    if (good) {
        const norma_weight_norm_args args = {.struct_size = sizeof args,
                                             .v = job->v.data,
                                             .g = job->g.data,
                                             .w = job->made[OUTPUT] ? job->made[OUTPUT]->data : unasked.data,
                                             .norms = data_of(job, OUTPUT_NORMS)};
        status = norma_weight_norm(NULL, &job->desc, &args);
        good = status == NORMA_SUCCESS || fail_library(&job->failure, status);
    }
    npy_free(&unasked);
    return good;
}

static bool go_back(weight_norm_job *job)
{
    const norma_weight_norm_gradients args = {.struct_size = sizeof args,
                                              .grad_w = job->dw.data,
                                              .v = job->v.data,
                                              .g = job->g.data,
                                              .grad_v = data_of(job, GRAD_INPUT),
                                              .grad_g = data_of(job, GRAD_SCALE)};
    const norma_status status = norma_weight_norm_backward(NULL, &job->desc, &args);
    return status == NORMA_SUCCESS || fail_library(&job->failure, status);
}

static bool perform(weight_norm_job *job)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (job->text[places[i]]) {
            tool_output *output = &job->outputs[job->output_count++];
            output->option = options[places[i]].name;
            output->path = job->text[places[i]];
            job->made[places[i]] = &output->array;
        }
    }
    return check_together(job) && outputs_resolve(job->outputs, job->output_count, &job->failure) && read_inputs(job) &&
           (job->text[SCALE] || measure_scale(job)) && make_outputs(job) &&
           ((!job->made[OUTPUT] && !job->made[OUTPUT_NORMS]) || go_forward(job)) && (!job->text[GRAD_OUTPUT] || go_back(job)) &&
           outputs_write(job->outputs, job->output_count, &job->failure);
}

static void print_help(void)
{
    printf("Usage: norma weight_norm --input FILE --scale FILE --output FILE [option]...\n\n");
    print_wrapped(
        "Weight norm: w = g * v / ||v||, for each slice of a weight, and its gradients (torch.nn.utils.parametrizations."
        "weight_norm: --axis is dim).",
        0);
    option_list_print(options, OPTIONS);
    printf("\nExamples:\n"
           "    norma weight_norm --input v.npy --scale g.npy --output w.npy\n"
           "    norma weight_norm --input v.npy --scale g.npy --grad-output dw.npy \\\n"
           "        --grad-input dv.npy --grad-scale dg.npy\n");
}

int command_weight_norm(int argc, char **argv)
{
    weight_norm_job job;
    memset(&job, 0, sizeof job);
    bool ok = option_list_parse("weight_norm", options, OPTIONS, job.text, argc, argv, &job.failure);
    if (ok && job.text[HELP]) {
        print_help();
    } else {
        ok = ok && perform(&job);
    }
    outputs_free(job.outputs, job.output_count);
    npy_free(&job.v);
    npy_free(&job.g);
    npy_free(&job.dw);
    return ok ? 0 : failure_report(&job.failure, "weight_norm");
}

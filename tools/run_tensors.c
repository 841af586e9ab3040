#include <stdio.h>
#include <string.h>

#include "run_job.h"

static const struct {
    npy_type type;
    norma_dtype dtype;
} types[] = {{NPY_F32, NORMA_F32}, {NPY_F64, NORMA_F64}, {NPY_BF16, NORMA_BF16},
             {NPY_F16, NORMA_F16}, {NPY_S8, NORMA_S8},   {NPY_U8, NORMA_U8}};

enum { TYPES = sizeof types / sizeof types[0] };

npy_type run_type_of(norma_dtype dtype)
{
    int i = 0;
    while (i < TYPES - 1 && types[i].dtype != dtype) {
        i++;
    }
    return types[i].type;
}

static norma_dtype dtype_of(npy_type type)
{
    int i = 0;
    while (i < TYPES - 1 && types[i].type != type) {
        i++;
    }
    return types[i].dtype;
}

bool run_fail_about(run_job *job, run_option option)
{
    return fail_about(&job->failure, "--%s '%s': ", run_option_name(option), job->options.text[option]);
}

static npy_shape_text shape_of(const npy_array *array)
{
    return npy_describe_shape(array->rank, array->shape);
}

/* What the files of options hold: the input may be integers, and uint16 is bf16 where that was said. */
static bool check_type(run_job *job, run_option option, npy_type type)
{
    const int *value = job->options.value;
    if (npy_type_is_integer(type) && option != OPTION_INPUT) {
        return fail(&job->failure, EXIT_USER, "it holds %s, but only --input may be integers: give f16, f32, f64 or bf16",
                    npy_type_name(type));
    }
    const bool of_residual = option == OPTION_RESIDUAL && value[OPTION_RESIDUAL_DTYPE];
    const run_option telling = of_residual ? OPTION_RESIDUAL_DTYPE : OPTION_DTYPE;
    return type != NPY_BF16 || value[telling] == NORMA_BF16 || value[OPTION_DTYPE] == NORMA_BF16 ||
           fail(&job->failure, EXIT_USER, "it holds uint16, which is taken as bf16 with --%s bf16 only",
                run_option_name(telling));
}

/* Reads the file of an option that was given. */
static bool read_file(run_job *job, run_option option)
{
    const char *path = job->options.text[option];
    npy_array *array = &job->files[option];
    return (npy_read(path, array, &job->failure) && check_type(job, option, array->type)) || run_fail_about(job, option);
}

/* Leading ones change nothing about how the elements line up. */
static bool has_shape(const npy_array *array, int rank, const int64_t *shape)
{
    const int extra = array->rank - rank;
    bool fits = extra >= 0;
    for (int k = 0; fits && k < array->rank; k++) {
        fits = array->shape[k] == (k < extra ? 1 : shape[k - extra]);
    }
    return fits;
}

static bool has_shape_of_input(const run_job *job, const npy_array *array)
{
    const npy_array *input = &job->files[OPTION_INPUT];
    return array->rank == input->rank && memcmp(array->shape, input->shape, (size_t)input->rank * sizeof *input->shape) == 0;
}

/* `takes` completes the sentence. */
static bool fail_shape(run_job *job, run_option option, const char *takes)
{
    fail(&job->failure, EXIT_USER, "its shape is %s, but %s of an input of shape %s takes %s",
         shape_of(&job->files[option]).text, job->op->name, shape_of(&job->files[OPTION_INPUT]).text, takes);
    return run_fail_about(job, option);
}

/* An array with an element for each that scale has. */
static bool read_parameter(run_job *job, run_option option)
{
    const run_problem *problem = &job->problem;
    npy_array *array = &job->files[option];
    if (!job->options.text[option]) {
        return true;
    }
    if (!read_file(job, option)) {
        return false;
    }
    if (!has_shape(array, problem->param_rank, problem->param_shape)) {
        return fail_shape(job, option, npy_describe_shape(problem->param_rank, problem->param_shape).text);
    }
    return npy_convert(array, run_type_of(run_parameter_dtype(&problem->desc)), &job->failure);
}

/* An array of the input's shape. */
static bool read_companion(run_job *job, run_option option, norma_dtype dtype)
{
    npy_array *array = &job->files[option];
    if (!job->options.text[option]) {
        return true;
    }
    if (!read_file(job, option)) {
        return false;
    }
    if (!has_shape_of_input(job, array)) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but the input's is %s", shape_of(array).text,
             shape_of(&job->files[OPTION_INPUT]).text);
        return run_fail_about(job, option);
    }
    return npy_convert(array, run_type_of(dtype), &job->failure);
}

/* An array with what scale has for each item of the batch, or of the input's shape. Sets kind; where it has been set by another
 * option's file, the two must agree. */
static bool read_modulation(run_job *job, run_option option, run_option other, norma_modulation *kind)
{
    const run_problem *problem = &job->problem;
    const npy_array *input = &job->files[OPTION_INPUT];
    npy_array *array = &job->files[option];
    if (!job->options.text[option]) {
        return true;
    }
    if (!read_file(job, option)) {
        return false;
    }
    // A norm over trailing axes may leave none for samples.
    const bool trailing = problem->desc.op == NORMA_LAYER_NORM || problem->desc.op == NORMA_RMS_NORM;
    const bool by_sample = !trailing || !(problem->reduced & 1);
    int64_t shape[NORMA_MAX_RANK] = {input->shape[0]};
    const int rank = by_sample ? 1 + problem->param_rank : 0;
    if (by_sample) {
        memcpy(shape + 1, problem->param_shape, (size_t)problem->param_rank * sizeof *shape);
    }
    const bool per_sample = by_sample && has_shape(array, rank, shape);
    if (!per_sample && !has_shape_of_input(job, array)) {
        char takes[3 * sizeof(npy_shape_text)];
        const npy_shape_text of_samples = npy_describe_shape(rank, shape), of_elements = shape_of(input);
        const bool differ = by_sample && strcmp(of_samples.text, of_elements.text) != 0;
        snprintf(takes, sizeof takes, "%s%s%s", differ ? of_samples.text : "", differ ? ", by sample, or " : "",
                 of_elements.text);
        return fail_shape(job, option, takes);
    }
    const norma_modulation found = per_sample ? NORMA_MODULATION_PER_SAMPLE : NORMA_MODULATION_PER_ELEMENT;
    if (*kind && *kind != found) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but that of --%s is %s: give both by sample or both by element",
             shape_of(array).text, run_option_name(other), shape_of(&job->files[other]).text);
        return run_fail_about(job, option);
    }
    *kind = found;
    return npy_convert(array, run_type_of(run_parameter_dtype(&problem->desc)), &job->failure);
}

/* The scale of an integer output: of the whole, or by channel. */
static bool read_output_scale(run_job *job)
{
    run_problem *problem = &job->problem;
    npy_array *array = &job->files[OPTION_OUTPUT_SCALE];
    if (!job->options.text[OPTION_OUTPUT_SCALE]) {
        return true;
    }
    if (!read_file(job, OPTION_OUTPUT_SCALE)) {
        return false;
    }
    if (problem->param_rank && has_shape(array, problem->param_rank, problem->param_shape)) {
        problem->desc.quantization = NORMA_QUANTIZATION_PER_CHANNEL;
    } else if (array->count != 1) {
        char takes[2 * sizeof(npy_shape_text)];
        snprintf(takes, sizeof takes, "one number%s%s", problem->param_rank ? ", or " : "",
                 problem->param_rank ? npy_describe_shape(problem->param_rank, problem->param_shape).text : "");
        return fail_shape(job, OPTION_OUTPUT_SCALE, takes);
    }
    return npy_convert(array, NPY_F32, &job->failure);
}

/* The image whose statistics become the modulation. */
static bool read_style(run_job *job)
{
    npy_array *style = &job->files[OPTION_STYLE];
    norma_desc *desc = &job->problem.desc;
    const norma_dtype normalized = run_normalized_dtype(desc);
    const norma_dtype dtype = normalized == NORMA_S8 || normalized == NORMA_U8 ? NORMA_F32 : normalized;
    if (!job->options.text[OPTION_STYLE]) {
        return true;
    }
    if (!read_file(job, OPTION_STYLE) || !run_settle_style(job->op, &job->options, style, dtype, &job->style, &job->failure)) {
        return false;
    }
    const npy_array *input = &job->files[OPTION_INPUT];
    if (style->shape[0] != input->shape[0] || job->style.param_shape[0] != job->problem.param_shape[0]) {
        fail(&job->failure, EXIT_USER, "its shape is %s, but its batch and channels have to be those of the input's, %s",
             shape_of(style).text, shape_of(input).text);
        return run_fail_about(job, OPTION_STYLE);
    }
    const run_option made[] = {OPTION_MODULATION_SCALE, OPTION_MODULATION_SHIFT};
    for (int i = 0; i < 2; i++) {
        npy_array *array = &job->files[made[i]];
        array->type = run_type_of(run_parameter_dtype(desc));
        if (!npy_set_shape(array, 2, (const int64_t[]){style->shape[0], job->style.param_shape[0]}) ||
            !npy_allocate(array, &job->failure)) {
            return false;
        }
    }
    desc->modulation = NORMA_MODULATION_PER_SAMPLE;
    return npy_convert(style, run_type_of(dtype), &job->failure);
}

/* The type that the input is taken in: the file's or that of --dtype. Integers stay what they are. */
static bool settle_dtype(run_job *job, norma_dtype *dtype)
{
    const npy_type held = job->files[OPTION_INPUT].type;
    const norma_dtype wanted = (norma_dtype)job->options.value[OPTION_DTYPE];
    *dtype = wanted ? wanted : dtype_of(held);
    const npy_type taken = run_type_of(*dtype);
    if (taken == held || !(npy_type_is_integer(held) || npy_type_is_integer(taken))) {
        return true;
    }
    if (npy_type_is_integer(held)) {
        fail(&job->failure, EXIT_USER, "it holds %s, which is taken as it is: expected --dtype %s or none, got %s",
             npy_type_name(held), npy_type_name(held), job->options.text[OPTION_DTYPE]);
    } else {
        fail(&job->failure, EXIT_USER, "it holds %s, but --dtype %s takes an array of that type ('%s') only",
             npy_type_name(held), npy_type_name(taken), npy_type_code(taken));
    }
    return run_fail_about(job, OPTION_INPUT);
}

bool run_read_tensors(run_job *job)
{
    norma_dtype dtype;
    norma_desc *desc = &job->problem.desc;
    npy_array *input = &job->files[OPTION_INPUT];
    if (!read_file(job, OPTION_INPUT) || !settle_dtype(job, &dtype) ||
        !run_settle(job->op, &job->options, input, dtype, &job->problem, &job->failure)) {
        return false;
    }
    const run_option parameters[] = {OPTION_SCALE, OPTION_BIAS, OPTION_MEAN, OPTION_VARIANCE, OPTION_RESIDUAL_BIAS};
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        if (!read_parameter(job, parameters[i])) {
            return false;
        }
    }
    return read_companion(job, OPTION_RESIDUAL, run_residual_dtype(desc)) && read_companion(job, OPTION_GATE, dtype) &&
           read_companion(job, OPTION_GRAD_OUTPUT, dtype) &&
           read_modulation(job, OPTION_RESIDUAL_GATE, OPTION_RESIDUAL_GATE, &desc->residual_gate) &&
           read_modulation(job, OPTION_MODULATION_SCALE, OPTION_MODULATION_SHIFT, &desc->modulation) &&
           read_modulation(job, OPTION_MODULATION_SHIFT, OPTION_MODULATION_SCALE, &desc->modulation) &&
           read_output_scale(job) && read_style(job) && npy_convert(input, run_type_of(dtype), &job->failure);
}

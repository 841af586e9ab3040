/*
 * A norm and what stands around it, each a pass over memory, as a graph of separate operators does: x of a narrower type is
 * converted first, x + residual comes next, then the norm alone; in place modulation, the sum with a residual, the activation
 * and the gate; at last y of a narrower type.
 *
 * Every step runs on the library's own vectorized kernels: what is no norm is batch norm with a mean of 0 and a variance of 1,
 * which costs what reading and writing the tensor costs, or the sum that norms have before them. Only integers with a scale
 * for each row are made by a pass of the bench's.
 */
#include <stdlib.h>

#include "bench.h"
#include "dtype.h"
#include "kernels.h"
#include "passes.h"

typedef enum step_kind { STEP_PLAN, STEP_SUM, STEP_QUANTIZE } step_kind;

typedef struct step {
    step_kind kind;
    norma_plan *plan;
    norma_args args;
    norma_sum_job sum;
    const void *from; /* to be quantized */
} step;

enum { STEPS_MAX = 8 };

typedef struct steps_state {
    const bench_problem *problem;
    const bench_tensors *tensors;
    int threads;
    norma_isa isa;
    norma_dtype dtype; /* between steps */
    const norma_rows_kernel *kernel;
    norma_context *context;
    void *zeros, *ones; /* lanes, one for each column */
    norma_gating gating;
    step steps[STEPS_MAX];
    int count;
} steps_state;

bool bench_steps_exists(const bench_path *path, const bench_problem *problem)
{
    (void)path;
    return bench_has_epilogue(problem) && !problem->backward;
}

static bool add_plan(steps_state *s, const norma_desc *desc, const norma_args *args)
{
    step *next = &s->steps[s->count++];
    next->kind = STEP_PLAN;
    next->args = *args;
    return norma_plan_create(&next->plan, s->context, desc) == NORMA_SUCCESS;
}

/* What leaves numbers as they are, of that type. */
static norma_desc identity_desc(const steps_state *s, norma_dtype dtype)
{
    norma_desc desc = norma_batch_norm_desc(1, 1, s->problem->elements, NORMA_NCHW, dtype);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    desc.epsilon_mode = NORMA_EPSILON_NONE;
    desc.x_scale = bench_is_integer(dtype) ? CASE_X_SCALE : desc.x_scale;
    return desc;
}

static norma_args identity_args(const steps_state *s, const void *from, void *into)
{
    const norma_args args = {
        .struct_size = sizeof args, .x = from, .y = into, .given_mean = s->zeros, .given_variance = s->ones};
    return args;
}

static bool add_conversion(steps_state *s, norma_dtype dtype, const void *from, norma_dtype y_dtype, void *into)
{
    norma_desc desc = identity_desc(s, dtype);
    norma_args args = identity_args(s, from, into);
    desc.y_dtype = y_dtype;
    if (bench_is_integer(y_dtype)) {
        desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
        args.y_scale = s->tensors->y_scale;
    }
    return add_plan(s, &desc, &args);
}

static bool add_activation(steps_state *s, void *y)
{
    const norma_desc *whole = &s->problem->desc;
    norma_desc desc = identity_desc(s, s->dtype);
    const norma_args args = identity_args(s, y, y);
    desc.activation = whole->activation;
    desc.activation_alpha = whole->activation_alpha;
    desc.activation_beta = whole->activation_beta;
    return add_plan(s, &desc, &args);
}

/* As for a channel of an image: samples modulate each column of theirs. */
static bool add_modulation(steps_state *s, void *y)
{
    const bench_problem *problem = s->problem;
    const int64_t columns = problem->sets.length, tokens = problem->sets.count / problem->samples;
    norma_desc desc = norma_batch_norm_desc(problem->samples, columns, tokens, NORMA_NHWC, s->dtype);
    norma_args args = identity_args(s, y, y);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    desc.epsilon_mode = NORMA_EPSILON_NONE;
    desc.modulation = NORMA_MODULATION_PER_SAMPLE;
    desc.parameter_dtype = problem->desc.parameter_dtype;
    args.modulation_scale = s->tensors->modulation_scale;
    args.modulation_shift = s->tensors->modulation_shift;
    return add_plan(s, &desc, &args);
}

static void add_sum(steps_state *s, const void *from, void *into)
{
    const bench_problem *problem = s->problem;
    step *next = &s->steps[s->count++];
    next->kind = STEP_SUM;
    next->sum = (norma_sum_job){.x = from,
                                .x_dtype = s->dtype,
                                .sum = into,
                                .residual = s->tensors->residual,
                                .residual_gate = s->tensors->residual_gate,
                                .wide = true,
                                .gate_rows = s->tensors->residual_gate ? problem->sets.count / problem->samples : 1,
                                .length = s->tensors->residual_gate ? problem->sets.length : problem->elements};
}

static void add_gate(steps_state *s, void *y)
{
    step *next = &s->steps[s->count++];
    next->kind = STEP_SUM;
    s->gating = (norma_gating){.dtype = s->dtype, .activation = s->problem->desc.gate_activation};
    next->sum = (norma_sum_job){
        .x = y, .x_dtype = s->dtype, .sum = y, .gate = s->tensors->gate, .gating = &s->gating, .length = s->problem->elements};
}

static bool add_norm(steps_state *s, const void *from, void *into)
{
    const bench_problem *problem = s->problem;
    const bench_tensors *tensors = s->tensors;
    norma_desc desc = problem->desc;
    const norma_args args = {.struct_size = sizeof args,
                             .x = from,
                             .y = into,
                             .scale = problem->scale ? tensors->scale : NULL,
                             .shift = problem->shift ? tensors->shift : NULL,
                             .given_mean = problem->given ? tensors->mean : NULL,
                             .given_variance = problem->given ? tensors->variance : NULL};
    desc.dtype = desc.y_dtype = s->dtype;
    desc.x_scale = 0;
    desc.activation = desc.gate_activation = NORMA_IDENTITY;
    desc.residual = NORMA_RESIDUAL_NONE;
    desc.residual_gate = desc.modulation = NORMA_MODULATION_NONE;
    desc.gate = NORMA_GATE_NONE;
    desc.quantization = NORMA_QUANTIZATION_NONE;
    return add_plan(s, &desc, &args);
}

/* Integers with a scale for each row, or any other type. */
static bool add_end(steps_state *s, const void *from)
{
    const norma_desc *desc = &s->problem->desc;
    if (desc->quantization != NORMA_QUANTIZATION_PER_ROW) {
        return add_conversion(s, s->dtype, from, desc->y_dtype, s->tensors->y);
    }
    step *next = &s->steps[s->count++];
    next->kind = STEP_QUANTIZE;
    next->from = from;
    return s->dtype == NORMA_F32;
}

static bool add_steps(steps_state *s)
{
    const case_spec *spec = &s->problem->spec;
    const bench_tensors *tensors = s->tensors;
    const void *x = tensors->x;
    bool good = true;
    if (s->dtype != spec->dtype) {
        good = add_conversion(s, spec->dtype, x, s->dtype, tensors->between);
        x = tensors->between;
    }
    if (spec->residual == NORMA_RESIDUAL_BEFORE) {
        add_sum(s, x, tensors->sum);
        x = tensors->sum;
    }
    void *y = spec->y_dtype == s->dtype ? tensors->y : tensors->between;
    good = good && add_norm(s, x, y) && (!spec->modulated || add_modulation(s, y));
    if (spec->residual == NORMA_RESIDUAL_AFTER) {
        add_sum(s, y, y);
    }
    good = good && (spec->activation == NORMA_IDENTITY || add_activation(s, y));
    if (spec->gated) {
        add_gate(s, y);
    }
    return good && (spec->y_dtype == s->dtype || add_end(s, y));
}

static bool make_columns(steps_state *s)
{
    const int64_t columns = s->problem->sets.length;
    const norma_dtype lane = norma_dtype_of_lanes(s->dtype);
    s->zeros = calloc((size_t)columns, s->problem->lane_size);
    s->ones = calloc((size_t)columns, s->problem->lane_size);
    for (int64_t i = 0; s->ones && i < columns; i++) {
        norma_dtype_set(lane, s->ones, i, 1);
    }
    return s->zeros && s->ones;
}

bench_ready bench_steps_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                const bench_tensors *tensors, int threads, char *label, char *sentence)
{
    (void)path;
    steps_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory");
        return BENCH_BROKEN;
    }
    const norma_context_options options = {.struct_size = sizeof options, .threads = threads};
    const bool widens = problem->y_size > problem->element_size;
    s->isa = bench_isa();
    s->problem = problem;
    s->tensors = tensors;
    s->threads = bench_threads_worth(problem, threads);
    s->dtype = widens ? problem->spec.y_dtype : problem->spec.dtype;
    s->kernel = norma_kernel_find(NORMA_ROWS, NORMA_MOMENTS, s->dtype)->kernel[s->isa];
    if (!make_columns(s) || norma_context_create(&s->context, &options) != NORMA_SUCCESS || !add_steps(s)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "%s", s->context ? norma_last_error() : "out of memory");
        return BENCH_BROKEN;
    }
    snprintf(label, BENCH_SENTENCE_MAX, "%s", norma_isa_name(s->isa));
    return BENCH_READY;
}

typedef struct step_share {
    const steps_state *state;
    const step *step;
} step_share;

static void sum_share(void *argument, int index, int count)
{
    const step_share *share = argument;
    int64_t first, last;
    bench_share(share->state->problem->elements, 1024, index, count, &first, &last);
    share->state->kernel->sum(&share->step->sum, first, last);
}

static void quantize_share(void *argument, int index, int count)
{
    const step_share *share = argument;
    const steps_state *s = share->state;
    const bench_tensors *tensors = s->tensors;
    const int64_t columns = s->problem->sets.length;
    int64_t first, last;
    bench_share(s->problem->sets.count, 1, index, count, &first, &last);
    const bench_integers into = {(uint8_t *)tensors->y + first * columns, (float *)tensors->y_scale + first,
                                 (uint8_t *)tensors->y_zero_point + first, s->problem->spec.y_dtype == NORMA_S8};
    bench_passes_for(s->isa)->quantize_rows(&into, (const float *)share->step->from + first * columns, last - first, columns);
}

bool bench_steps_run(void *state)
{
    steps_state *s = state;
    bool good = true;
    for (int i = 0; i < s->count; i++) {
        step_share share = {s, &s->steps[i]};
        if (share.step->kind == STEP_PLAN) {
            good = good && norma_run(share.step->plan, &share.step->args) == NORMA_SUCCESS;
        } else {
            bench_parallel(s->threads, share.step->kind == STEP_SUM ? sum_share : quantize_share, &share);
        }
    }
    return good;
}

void bench_steps_release(void *state)
{
    steps_state *s = state;
    if (s) {
        for (int i = 0; i < s->count; i++) {
            norma_plan_destroy(s->steps[i].plan);
        }
        norma_context_destroy(s->context);
        free(s->zeros);
        free(s->ones);
        free(s);
    }
}

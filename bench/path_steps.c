/*
 * A norm and what stands around it, each a pass over memory, as a graph of separate operators does: x + residual, then the norm
 * (with all that norma fuses of it), then its sum with a residual, then the activation, in place.
 *
 * Every step runs on the library's own vectorized kernels: an activation alone is batch norm's with a mean of 0 and a variance
 * of 1, which costs what reading and writing the tensor costs.
 */
#include <stdlib.h>

#include "bench.h"
#include "dtype.h"
#include "kernels.h"

typedef struct steps_state {
    const bench_problem *problem;
    const bench_tensors *tensors;
    int threads;
    const norma_rows_kernel *kernel;
    norma_context *context;
    norma_plan *norm, *activation;
    norma_args norm_args, activation_args;
    double zero, one; /* f32 or f64 */
    const void *addend;
    const void *from;
    void *into;
} steps_state;

bool bench_steps_exists(const bench_path *path, const bench_problem *problem)
{
    (void)path;
    return bench_has_epilogue(problem) && !problem->backward;
}

static bool make_activation(steps_state *s, const bench_problem *problem)
{
    const norma_desc *whole = &problem->desc;
    if (whole->activation == NORMA_IDENTITY) {
        return true;
    }
    norma_desc desc = norma_batch_norm_desc(1, 1, problem->elements, NORMA_NCHW, whole->dtype);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    desc.epsilon_mode = NORMA_EPSILON_NONE;
    desc.activation = whole->activation;
    desc.activation_alpha = whole->activation_alpha;
    desc.activation_beta = whole->activation_beta;
    norma_dtype_set(norma_dtype_of_lanes(whole->dtype), &s->zero, 0, 0);
    norma_dtype_set(norma_dtype_of_lanes(whole->dtype), &s->one, 0, 1);
    s->activation_args = (norma_args){.struct_size = sizeof(norma_args),
                                      .x = s->tensors->y,
                                      .y = s->tensors->y,
                                      .given_mean = &s->zero,
                                      .given_variance = &s->one};
    return norma_plan_create(&s->activation, s->context, &desc) == NORMA_SUCCESS;
}

static bool make_norm(steps_state *s, const bench_problem *problem)
{
    const bench_tensors *tensors = s->tensors;
    norma_desc desc = problem->desc;
    const bool before = desc.residual == NORMA_RESIDUAL_BEFORE;
    desc.activation = NORMA_IDENTITY;
    desc.residual = NORMA_RESIDUAL_NONE;
    s->norm_args = (norma_args){.struct_size = sizeof(norma_args),
                                .x = before ? tensors->sum : tensors->x,
                                .y = tensors->y,
                                .scale = problem->scale ? tensors->scale : NULL,
                                .shift = problem->shift ? tensors->shift : NULL,
                                .given_mean = problem->given ? tensors->mean : NULL,
                                .given_variance = problem->given ? tensors->variance : NULL};
    s->addend = tensors->residual;
    s->from = before ? tensors->x : tensors->y;
    s->into = before ? tensors->sum : tensors->y;
    return norma_plan_create(&s->norm, s->context, &desc) == NORMA_SUCCESS;
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
    const norma_isa isa = bench_isa();
    s->problem = problem;
    s->tensors = tensors;
    s->threads = bench_threads_worth(problem, threads);
    s->kernel = norma_kernel_find(NORMA_ROWS, NORMA_MOMENTS, problem->desc.dtype)->kernel[isa];
    if (norma_context_create(&s->context, &options) != NORMA_SUCCESS || !make_norm(s, problem) ||
        !make_activation(s, problem)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "%s", norma_last_error());
        return BENCH_BROKEN;
    }
    snprintf(label, BENCH_SENTENCE_MAX, "%s", norma_isa_name(isa));
    return BENCH_READY;
}

static void add_share(void *argument, int index, int count)
{
    const steps_state *s = argument;
    int64_t first, last;
    bench_share(s->problem->elements, 1024, index, count, &first, &last);
    const norma_sum_job job = {
        .x = s->from, .x_dtype = s->problem->desc.dtype, .residual = s->addend, .sum = s->into, .length = s->problem->elements};
    s->kernel->sum(&job, first, last);
}

bool bench_steps_run(void *state)
{
    steps_state *s = state;
    const norma_residual residual = s->problem->desc.residual;
    if (residual == NORMA_RESIDUAL_BEFORE) {
        bench_parallel(s->threads, add_share, s);
    }
    bool ok = norma_run(s->norm, &s->norm_args) == NORMA_SUCCESS;
    if (residual == NORMA_RESIDUAL_AFTER) {
        bench_parallel(s->threads, add_share, s);
    }
    return ok && (!s->activation || norma_run(s->activation, &s->activation_args) == NORMA_SUCCESS);
}

void bench_steps_release(void *state)
{
    steps_state *s = state;
    if (s) {
        norma_plan_destroy(s->norm);
        norma_plan_destroy(s->activation);
        norma_context_destroy(s->context);
        free(s);
    }
}

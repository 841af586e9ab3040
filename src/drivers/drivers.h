/*
 * Drivers: one per geometry. Each splits a run of a plan into tasks for the context's threads and calls serial kernels on
 * its share of them. They allocate nothing.
 */
#ifndef NORMA_DRIVERS_H
#define NORMA_DRIVERS_H

#include "dtype.h"
#include "plan.h"

void norma_drive_rows(const norma_plan *plan, const norma_args *args);
void norma_drive_planes(const norma_plan *plan, const norma_args *args);
void norma_drive_fibers(const norma_plan *plan, const norma_args *args);

/* Makes all of x + residual, or of x times a gate, in args->sum or, without one, in y; returns the arguments of what is left to
 * do. */
norma_args norma_drive_sum(const norma_plan *plan, const norma_args *args);

/* What makes it, for a kernel. */
norma_sum_job norma_sum_job_of(const norma_plan *plan, const norma_args *args);

/* Calls task(argument, i) for i in [0, count) on the plan's threads. */
static inline void norma_drive_tasks(const norma_plan *plan, const norma_args *args, int64_t count, norma_task task,
                                     void *argument)
{
    norma_parallel_run(&plan->context->parallel, args->pool, (size_t)count, task, argument);
}

/* The begin of part `index` when `total` items are split evenly into `parts`. */
static inline int64_t norma_part_begin(int64_t total, int64_t parts, int64_t index)
{
    return total / parts * index + (index < total % parts ? index : total % parts);
}

static inline int64_t norma_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Stores what the caller asked for of set `index`. */
static inline void norma_store_statistics(const norma_plan *plan, const norma_args *args, int64_t index,
                                          const norma_partial *whole)
{
    const norma_normalizer *normalizer = &plan->problem.normalizer;
    if (args->mean) {
        norma_dtype_set(plan->problem.statistic_dtype, args->mean, index, norma_normalizer_mean(normalizer, whole));
    }
    if (args->rstd) {
        const double factor = norma_normalizer_affine(normalizer, whole).factor;
        norma_dtype_set(plan->problem.statistic_dtype, args->rstd, index, norma_normalizer_saved(normalizer, whole, factor));
    }
}

/* Whether this run has anything that goes by channel. */
static inline bool norma_by_channel(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const bool modulated = problem->modulated == NORMA_MODULATED_CHANNELS && (args->modulation_scale || args->modulation_shift);
    const bool quantized = problem->epilogue.quantization == NORMA_QUANTIZATION_PER_CHANNEL;
    return problem->channels && (args->scale || args->shift || modulated || quantized);
}

/* What follows the affine, NULL for nothing. */
static inline const norma_epilogue *norma_epilogue_of(const norma_plan *plan)
{
    return plan->problem.epilogue.any ? &plan->problem.epilogue : NULL;
}

/* Whether scale and shift are lanes where x and y are narrower elements. */
static inline bool norma_wide(const norma_plan *plan)
{
    return plan->problem.parameter_dtype != plan->problem.dtype;
}

/* Element `index` of a tensor of the given type; NULL stays NULL. */
static inline const void *norma_element(norma_dtype dtype, const void *tensor, int64_t index)
{
    return tensor ? (const char *)tensor + index * (int64_t)norma_dtype_size(dtype) : NULL;
}

static inline void *norma_out_element(norma_dtype dtype, void *tensor, int64_t index)
{
    return tensor ? (char *)tensor + index * (int64_t)norma_dtype_size(dtype) : NULL;
}

/* Of x, of y, of scale and shift, and of mean and rstd. */
static inline const void *norma_at(const norma_plan *plan, const void *x, int64_t index)
{
    return norma_element(plan->problem.dtype, x, index);
}

static inline void *norma_out_at(const norma_plan *plan, void *y, int64_t index)
{
    return norma_out_element(plan->problem.epilogue.y_dtype, y, index);
}

static inline const void *norma_parameter_at(const norma_plan *plan, const void *parameters, int64_t index)
{
    return norma_element(plan->problem.parameter_dtype, parameters, index);
}

static inline void *norma_statistic_at(const norma_plan *plan, void *statistics, int64_t index)
{
    return norma_out_element(plan->problem.statistic_dtype, statistics, index);
}

/* What modulates the channels, or the rows of fibers, of sample `sample`. */
static inline norma_modulator norma_modulator_of(const norma_plan *plan, const norma_args *args, int64_t sample)
{
    const norma_problem *problem = &plan->problem;
    norma_modulator modulator = {NULL, NULL, problem->epilogue.modulation_plain};
    const bool along = problem->modulated == NORMA_MODULATED_ALONG && problem->geometry == NORMA_FIBERS;
    if (along || problem->modulated == NORMA_MODULATED_CHANNELS) {
        const int64_t at = sample * norma_problem_parameters(problem);
        modulator.scale = norma_parameter_at(plan, args->modulation_scale, at);
        modulator.shift = norma_parameter_at(plan, args->modulation_shift, at);
    }
    return modulator;
}

/* What an epilogue takes, from element `at` on of tensors of x's shape; y_scale is whole. */
static inline norma_companions norma_companions_at(const norma_plan *plan, const norma_args *args, int64_t at)
{
    const norma_problem *problem = &plan->problem;
    const norma_epilogue *e = &problem->epilogue;
    const int64_t modulation = problem->modulated == NORMA_MODULATED_ELEMENTS ? at : 0;
    norma_companions with = {.y_scale = args->y_scale};
    if (e->modulated) {
        with.modulation_scale = norma_parameter_at(plan, args->modulation_scale, modulation);
        with.modulation_shift = norma_parameter_at(plan, args->modulation_shift, modulation);
    }
    if (e->residual) {
        with.residual = norma_element(e->residual_dtype, args->residual, at);
    }
    if (e->gated) {
        with.gate = norma_element(e->gating.dtype, args->gate, at);
    }
    return with;
}

#endif

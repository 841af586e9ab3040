/* What is normalized instead of x, as a pass of its own, where the elements of a reduced set do not stay near. */
#include "drivers/drivers.h"

typedef struct sum_share {
    norma_sum_job job;
    const norma_rows_kernel *kernel;
    int64_t elements;
    int64_t line; /* elements of a cache line: what tasks share out */
    int64_t tasks;
} sum_share;

static void sum_share_of(void *argument, size_t task)
{
    const sum_share *share = argument;
    const int64_t lines = norma_divide_up(share->elements, share->line);
    const int64_t first = norma_part_begin(lines, share->tasks, (int64_t)task) * share->line;
    const int64_t end = norma_part_begin(lines, share->tasks, (int64_t)task + 1) * share->line;
    share->kernel->sum(&share->job, first, end < share->elements ? end : share->elements);
}

norma_sum_job norma_sum_job_of(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const bool rows = problem->geometry == NORMA_ROWS, per_sample = problem->residual_gate == NORMA_MODULATION_PER_SAMPLE;
    const norma_sum_job job = {.x = args->x,
                               .x_dtype = problem->x_dtype,
                               .sum = args->sum ? args->sum : args->y,
                               .residual = problem->gates ? NULL : args->residual,
                               .gate = problem->gates ? args->gate : NULL,
                               .gating = &problem->epilogue.gating,
                               .residual_gate = args->residual_gate,
                               .bias = args->residual_bias,
                               .wide = norma_wide(plan),
                               .gate_rows = per_sample ? problem->outer / problem->samples : 1,
                               .length = rows ? problem->length : norma_problem_elements(problem)};
    return job;
}

norma_args norma_drive_sum(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    sum_share share = {.job = norma_sum_job_of(plan, args),
                       .kernel = norma_kernel_find(NORMA_ROWS, NORMA_MOMENTS, problem->dtype)->kernel[plan->blocking.isa],
                       .elements = problem->x_span,
                       .line = 64 / (int64_t)norma_dtype_size(problem->dtype),
                       .tasks = plan->blocking.threads};
    norma_drive_tasks(plan, args, share.tasks, sum_share_of, &share);
    norma_args rest = *args;
    rest.x = share.job.sum;
    if (problem->gates) {
        rest.gate = NULL;
    } else {
        rest.residual = NULL;
    }
    return rest;
}

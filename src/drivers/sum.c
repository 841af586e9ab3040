/* x + residual as a pass of its own, for the geometries where the sums of a reduced set do not stay near. */
#include "drivers/drivers.h"

typedef struct sum_share {
    const norma_plan *plan;
    const norma_args *args;
    void *sum;
    int64_t elements;
    int64_t tasks;
} sum_share;

static void add_share(void *argument, size_t task)
{
    const sum_share *share = argument;
    const norma_plan *plan = share->plan;
    const norma_problem *problem = &plan->problem;
    const norma_rows_kernel *kernel = norma_kernel_find(NORMA_ROWS, NORMA_MOMENTS, problem->dtype)->kernel[plan->blocking.isa];
    const int64_t line = 64 / (int64_t)norma_dtype_size(problem->dtype);
    const int64_t lines = norma_divide_up(share->elements, line);
    const int64_t first = norma_part_begin(lines, share->tasks, (int64_t)task) * line;
    const int64_t end = norma_part_begin(lines, share->tasks, (int64_t)task + 1) * line;
    kernel->add(norma_at(plan, share->args->x, first), norma_at(plan, share->args->residual, first),
                norma_out_at(plan, share->sum, first), (end < share->elements ? end : share->elements) - first);
}

norma_args norma_drive_sum(const norma_plan *plan, const norma_args *args)
{
    sum_share share = {.plan = plan,
                       .args = args,
                       .sum = args->sum ? args->sum : args->y,
                       .elements = plan->problem.x_span,
                       .tasks = plan->blocking.threads};
    norma_drive_tasks(plan, args, share.tasks, add_share, &share);
    norma_args rest = *args;
    rest.x = share.sum;
    rest.residual = NULL;
    return rest;
}

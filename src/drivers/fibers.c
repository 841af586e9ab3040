/* Fibers: strips of columns are shared out among the threads. */
#include "drivers/drivers.h"

typedef struct fibers_share {
    const norma_plan *plan;
    const norma_args *args;
    int64_t strip;  /* columns */
    int64_t strips; /* of one matrix */
    int64_t tasks;
} fibers_share;

/* Strips [first, last) of matrix `outer`. */
static void normalize_strips(const fibers_share *share, int64_t outer, int64_t first, int64_t last)
{
    const norma_plan *plan = share->plan;
    const norma_problem *problem = &plan->problem;
    const norma_fibers_kernel *kernel = plan->kernel;
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, outer, &x, &y);
    const norma_fibers_job job = {
        .x = norma_at(plan, share->args->x, x),
        .y = norma_out_at(plan, share->args->y, y),
        .scale = share->args->scale,
        .shift = share->args->shift,
        .mean = norma_out_at(plan, share->args->mean, outer * problem->length),
        .saved = norma_out_at(plan, share->args->rstd, outer * problem->length),
        .axes = problem->reduced,
        .axes_count = problem->reduced_count,
        .rows = problem->runs,
        .normalizer = &problem->normalizer,
        .blocking = &plan->blocking,
    };
    const int64_t end = last * share->strip;
    kernel->normalize(&job, first * share->strip, end < problem->length ? end : problem->length);
}

static void normalize_share(void *argument, size_t task)
{
    const fibers_share *share = argument;
    const int64_t total = share->plan->problem.outer * share->strips;
    int64_t first = norma_part_begin(total, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(total, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t outer = first / share->strips;
        const int64_t begin = first - outer * share->strips;
        const int64_t left = last - first;
        const int64_t end = share->strips - begin < left ? share->strips : begin + left;
        normalize_strips(share, outer, begin, end);
        first += end - begin;
    }
}

void norma_drive_fibers(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    fibers_share share = {.plan = plan, .args = args, .strip = plan->blocking.strip};
    share.strips = (problem->length + share.strip - 1) / share.strip;
    const int64_t total = problem->outer * share.strips;
    share.tasks = total < plan->blocking.threads ? total : plan->blocking.threads;
    norma_drive_tasks(plan, args, share.tasks, normalize_share, &share);
}

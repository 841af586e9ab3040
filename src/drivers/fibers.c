/* Fibers: strips of columns are shared out among the threads. */
#include "drivers/drivers.h"
#include "running.h"

typedef struct fibers_share {
    const norma_plan *plan;
    const norma_args *args;
    int64_t strip;  /* columns */
    int64_t strips; /* of one matrix */
    int64_t tasks;
} fibers_share;

static norma_fibers_job job_of(const fibers_share *share, int64_t outer)
{
    const norma_plan *plan = share->plan;
    const norma_problem *problem = &plan->problem;
    const norma_args *args = share->args;
    const bool by_channel = norma_by_channel(plan, args);
    const int64_t set = outer * (problem->length / problem->group);
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, outer, &x, &y);
    const norma_fibers_job job = {
        .x = norma_at(plan, args->x, x),
        .y = norma_out_at(plan, args->y, y),
        .scale = args->scale,
        .shift = args->shift,
        .channels = by_channel ? problem->channels : 0,
        .channel = by_channel ? outer * problem->length % problem->channels : 0,
        .group = problem->group,
        .mean = norma_out_at(plan, args->mean, set),
        .saved = norma_out_at(plan, args->rstd, set),
        .axes = problem->reduced,
        .axes_count = problem->reduced_count,
        .rows = problem->runs,
        .normalizer = &problem->normalizer,
        .blocking = &plan->blocking,
    };
    return job;
}

/* Columns [first, last), whose statistics are given, or go into running ones. */
static void normalize_with_partials(const fibers_share *share, norma_fibers_job job, int64_t first, int64_t last)
{
    const norma_plan *plan = share->plan;
    const norma_fibers_kernel *kernel = plan->kernel;
    norma_partial partials[NORMA_STRIP_MAX];
    job.partials = partials;
    for (; first < last; first += share->strip) {
        const int64_t end = last - first < share->strip ? last : first + share->strip;
        if (plan->problem.given) {
            for (int64_t i = first; i < end; i++) {
                partials[i - first] = norma_running_given(plan, share->args, i);
            }
            kernel->apply(&job, first, end);
        } else {
            kernel->normalize(&job, first, end);
            for (int64_t i = first; i < end; i++) {
                norma_running_update(plan, share->args, i, &partials[i - first]);
            }
        }
    }
}

/* Strips [first, last) of matrix `outer`. */
static void normalize_strips(const fibers_share *share, int64_t outer, int64_t first, int64_t last)
{
    const norma_problem *problem = &share->plan->problem;
    const norma_fibers_kernel *kernel = share->plan->kernel;
    const norma_fibers_job job = job_of(share, outer);
    const int64_t columns = last * share->strip < problem->length ? last * share->strip : problem->length;
    if (problem->given || share->args->running_mean) {
        normalize_with_partials(share, job, first * share->strip, columns);
    } else {
        kernel->normalize(&job, first * share->strip, columns);
    }
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

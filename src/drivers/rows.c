/* Rows: whole rows are shared out among the threads; rows too long or too few for that go the way of planes. */
#include "blocking.h"
#include "drivers/drivers.h"

/* Bytes of sums at a time. */
enum { NEAR = 64 * 1024 };

typedef struct rows_share {
    const norma_plan *plan;
    const norma_args *args;
    norma_rows_job job;
    int64_t rows;
    int64_t turns; /* every so many rows have the same scale and shift along them */
    int64_t tasks;
    bool sums; /* what is normalized is made first, by */
    norma_sum_job sum;
} rows_share;

/* Rows whose sums go past the caches, and a copy of them to where they are normalized from. */
static void sum_far_and_normalize(const rows_share *share, int64_t first, int64_t last)
{
    const norma_rows_kernel *kernel = share->plan->kernel;
    const int64_t length = share->job.length, row = length * (int64_t)norma_dtype_size(share->plan->problem.dtype);
    _Alignas(64) char copy[NEAR];
    norma_blocking blocking = *share->job.blocking;
    norma_rows_job job = share->job;
    norma_sum_job sum = share->sum;
    sum.copy = copy;
    blocking.order = NORMA_PAIRS;
    blocking.ahead = 0;
    job.blocking = &blocking;
    for (const int64_t some = NEAR / row; first < last; first += some) {
        const int64_t end = last - first < some ? last : first + some;
        kernel->sum(&sum, first * length, end * length);
        job.x = (const void *)((uintptr_t)copy - (uintptr_t)(first * row)); /* rows are counted from 0 */
        kernel->normalize(&job, first, end);
    }
}

/* Whether that is how to: streams are whole vectors, aligned, and a pair of rows finds room. */
static bool sums_go_far(const rows_share *share)
{
    const norma_plan *plan = share->plan;
    const int64_t row = share->job.length * (int64_t)norma_dtype_size(plan->problem.dtype);
    return plan->blocking.stream && norma_isa_streams(plan->blocking.isa) && row <= NEAR / 2 && row % 64 == 0 &&
           (uintptr_t)share->sum.sum % 64 == 0;
}

/* Sums are made, some rows at a time, just before they are normalized: they are still in the caches then. */
static void sum_and_normalize(const rows_share *share, int64_t first, int64_t last)
{
    const norma_plan *plan = share->plan;
    const norma_rows_kernel *kernel = plan->kernel;
    const int64_t length = share->job.length;
    const int64_t fits = NEAR / (length * (int64_t)norma_dtype_size(plan->problem.dtype));
    const int64_t some = fits < 2 ? 2 : fits / 2 * 2;
    norma_rows_job job = share->job;
    job.x = share->sum.sum;
    for (; first < last; first += some) {
        const int64_t end = last - first < some ? last : first + some;
        kernel->sum(&share->sum, first * length, end * length);
        kernel->normalize(&job, first, end);
    }
}

static void normalize_share(void *argument, size_t index)
{
    const rows_share *share = argument;
    const norma_plan *plan = share->plan;
    const norma_rows_kernel *kernel = plan->kernel;
    const int64_t first = norma_part_begin(share->rows, share->tasks, (int64_t)index);
    const int64_t last = norma_part_begin(share->rows, share->tasks, (int64_t)index + 1);
    if (share->sums) {
        (sums_go_far(share) ? sum_far_and_normalize : sum_and_normalize)(share, first, last);
        return;
    }
    for (int64_t turn = 0; turn < share->turns; turn++) {
        norma_rows_job job = share->job;
        const int64_t at = turn * job.length;
        job.x = norma_at(plan, job.x, at);
        job.y = norma_out_at(plan, job.y, at);
        job.scale = norma_parameter_at(plan, job.scale, at);
        job.shift = norma_parameter_at(plan, job.shift, at);
        job.mean = norma_statistic_at(plan, job.mean, turn);
        job.saved = norma_statistic_at(plan, job.saved, turn);
        job.companions = norma_companions_at(plan, share->args, at);
        if (plan->problem.epilogue.quantization == NORMA_QUANTIZATION_PER_CHANNEL && share->turns > 1) {
            job.companions.y_scale += at;
        }
        kernel->normalize(&job, first, last);
    }
}

void norma_drive_rows(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const int threads = plan->blocking.threads;
    const bool by_channel = norma_by_channel(plan, args);
    const bool along = by_channel && norma_channels_along(problem);
    const int64_t turns = along ? problem->channels / problem->length : 1;
    const int64_t rows = problem->outer / turns;
    const bool others = args->running_mean || !args->y; /* which planes alone know */
    if (others || norma_rows_as_planes(problem, rows, threads)) {
        norma_drive_planes(plan, args);
        return;
    }
    rows_share share = {
        .plan = plan,
        .args = args,
        .job = {.x = args->x,
                .y = args->y,
                .scale = args->scale,
                .shift = args->shift,
                .wide = norma_wide(plan),
                .mean = args->mean,
                .saved = args->rstd,
                .length = problem->length,
                .x_stride = turns * problem->kept[0].x_stride,
                .y_stride = turns * problem->kept[0].y_stride,
                .set_stride = turns,
                .channels = by_channel && !along ? problem->channels : 0,
                .per_channel = problem->per_channel,
                .modulator = norma_modulator_of(plan, args, 0),
                .companions = norma_companions_at(plan, args, 0),
                .companion_stride = turns * problem->length,
                .modulation_stride = turns * problem->length,
                .modulation_rows = problem->modulated == NORMA_MODULATED_ALONG ? rows / problem->samples : 1,
                .y_scale = args->y_scale,
                .y_zero_point = args->y_zero_point,
                .epilogue = norma_epilogue_of(plan),
                .normalizer = &problem->normalizer,
                .blocking = &plan->blocking},
        .rows = rows,
        .turns = turns,
        .tasks = rows < threads ? rows : threads,
        .sums = problem->sums && (problem->gates ? args->gate : args->residual), /* unless that was a pass of its own */
    };
    if (share.sums) {
        share.sum = norma_sum_job_of(plan, args);
    }
    norma_drive_tasks(plan, args, share.tasks, normalize_share, &share);
}

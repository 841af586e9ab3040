/*
 * Rows whose scale and shift lie along them, a block that stays in L2 at a time. dscale and dshift are summed up over segments
 * of whole leaves of rows, which follow from the number of rows alone; segments are then added in order.
 */
#include <string.h>

#include "cpu.h"
#include "drivers/backward.h"

/* Rows come in turns where neighbouring rows have scales and shifts of their own: see norma_drive_rows(). */
typedef struct rows_shape {
    int64_t turns;
    int64_t rows;    /* of a turn */
    int64_t segment; /* rows of one */
    int64_t segments;
} rows_shape;

static rows_shape shape_of(const norma_problem *problem)
{
    rows_shape s;
    s.turns = norma_channels_along(problem) ? problem->channels / problem->length : 1;
    s.rows = problem->outer / s.turns;
    const int64_t leaves = norma_divide_up(s.rows, NORMA_BACKWARD_LEAF);
    s.segment = norma_divide_up(leaves, NORMA_BACKWARD_SEGMENTS_MAX) * NORMA_BACKWARD_LEAF;
    s.segments = norma_divide_up(s.rows, s.segment);
    return s;
}

typedef struct rows_share {
    const norma_backward_run *run;
    rows_shape shape;
    norma_backward_rows_job job;
    int64_t unit; /* rows of one unit */
    int64_t units_of_turn;
    int64_t units;
    int64_t tasks;
    int64_t block; /* rows at a time, a divisor of a leaf */
    bool parameters;
    char *leaves;
} rows_share;

norma_backward_space norma_backward_rows_space(const norma_problem *problem)
{
    const rows_shape shape = shape_of(problem);
    const int64_t lane = (int64_t)norma_dtype_size(norma_dtype_of_lanes(problem->dtype));
    const int64_t sums = problem->takes_scale ? 2 * problem->length * shape.segments * shape.turns : 0;
    const norma_backward_space space = {
        .parameters = sums * (int64_t)sizeof(double),
        .leaves = sums * lane,
        .scale = problem->normalizer.one_plus_scale ? problem->length * lane : 0,
    };
    return space;
}

/* The sums of a unit. Those of the first task's units after the first are at home with the second: they are taken in at once.
 */
static double *sums_of_unit(const rows_share *share, int64_t unit)
{
    return share->run->parameters + 2 * share->job.length * unit;
}

/* Sets of the rows [first, last) of a turn. */
static void find_sets(const rows_share *share, int64_t turn, int64_t first, int64_t last, norma_set *sets)
{
    const norma_backward_run *run = share->run;
    const norma_plan *plan = run->plan;
    const norma_rows_kernel *forward = plan->kernel;
    for (int64_t row = first; row < last; row++) {
        const int64_t set = row * share->shape.turns + turn;
        if (run->args->rstd) {
            sets[row - first] = norma_backward_set(run, set, 0);
        } else {
            const norma_partial partial =
                forward->reduce(norma_at(plan, run->at.x, set * plan->problem.kept[0].x_stride), share->job.length);
            sets[row - first] = norma_set_of_partial(&plan->problem.normalizer, &partial);
        }
    }
}

static void run_unit(const rows_share *share, int64_t unit, double *sums)
{
    const norma_backward_run *run = share->run;
    const norma_plan *plan = run->plan;
    const int64_t turn = unit / share->units_of_turn, from = unit % share->units_of_turn * share->unit;
    const int64_t to = norma_least(from + share->unit, share->shape.rows);
    norma_backward_rows_job job = share->job;
    const int64_t lane = (int64_t)norma_dtype_size(norma_dtype_of_lanes(plan->problem.dtype));
    job.at = norma_gradients_at(plan, job.at, turn * job.length, turn * job.length, turn * job.length);
    job.scale = norma_parameter_at(plan, job.scale, turn * job.length);
    if (share->parameters) {
        job.dscale = sums;
        job.dshift = sums + job.length;
        job.leaf = share->leaves + (sums - run->parameters) * lane;
        memset(sums, 0, (size_t)(2 * job.length) * sizeof *sums);
    }
    for (int64_t first = from; first < to; first += share->block) {
        norma_set sets[NORMA_BACKWARD_LEAF];
        const int64_t last = norma_least(first + share->block, to);
        find_sets(share, turn, first, last, sets);
        run->kernel->rows(&job, first, last, sets, last == to || last % NORMA_BACKWARD_LEAF == 0);
    }
}

/* How many of a turn's first units are summed up in the first: those of the first task, whose sums thus stay in cache. */
static int64_t taken_in(const rows_share *share)
{
    return norma_least(norma_part_begin(share->units, share->tasks, 1), share->units_of_turn);
}

static void run_share(void *argument, size_t task)
{
    const rows_share *share = argument;
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(share->units, share->tasks, (int64_t)task); unit < last; unit++) {
        const bool taken = share->parameters && unit > 0 && unit < taken_in(share);
        double *sums = share->parameters ? sums_of_unit(share, taken ? 1 : unit) : NULL;
        run_unit(share, unit, sums);
        double *all = share->run->parameters;
        for (int64_t i = 0; taken && i < 2 * share->job.length; i++) {
            all[i] += sums[i];
        }
    }
    share->run->kernel->settle();
}

/* dscale and dshift of a share of the columns of all turns. */
static void merge_share(void *argument, size_t task)
{
    const rows_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t length = share->job.length;
    const int64_t first = norma_part_begin(length, share->tasks, (int64_t)task);
    const int64_t count = norma_part_begin(length, share->tasks, (int64_t)task + 1) - first;
    for (int64_t turn = 0; turn < share->shape.turns; turn++) {
        double *sums = sums_of_unit(share, turn * share->units_of_turn) + first;
        for (int64_t s = turn ? 1 : taken_in(share); s < share->units_of_turn; s++) {
            const double *more = sums_of_unit(share, turn * share->units_of_turn + s) + first;
            for (int64_t i = 0; i < count; i++) {
                sums[i] += more[i];
                sums[length + i] += more[length + i];
            }
        }
        norma_store_along(run, turn * length + first, count, sums, sums + length);
    }
}

/* As many rows as L1 keeps until they are written, or where it does not keep two, L2 beside what else is at work. */
static int64_t block_of(const norma_problem *problem)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l1 = cpu->l1_size > 16 * 1024 ? cpu->l1_size : 16 * 1024;
    const int64_t l2 = cpu->l2_size > 128 * 1024 ? cpu->l2_size : 128 * 1024;
    const int64_t row = 2 * problem->length * (int64_t)norma_dtype_size(problem->dtype);
    const int64_t near = l1 / 2 / row, most = near >= 2 ? near : l2 / 8 / row;
    int64_t block = NORMA_BACKWARD_LEAF;
    while (block > 1 && block > most) {
        block /= 2;
    }
    return block;
}

/* 1 + scale takes the place of scale. */
static const void *scale_plus_one(const norma_backward_run *run, void *sums)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_dtype lanes = norma_dtype_of_lanes(problem->dtype);
    for (int64_t i = 0; i < problem->length; i++) {
        norma_dtype_set(lanes, sums, i, norma_backward_scale(run, i));
    }
    return sums;
}

void norma_backward_by_rows(norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_backward_args *args = run->args;
    const norma_backward_space space = norma_backward_rows_space(problem);
    const bool one_plus = problem->normalizer.one_plus_scale && args->scale && !run->totals;
    const int threads = run->plan->blocking.threads;
    rows_share share = {.run = run, .shape = shape_of(problem), .parameters = norma_wants_parameters(run)};
    share.leaves = (char *)run->parameters + space.parameters;
    share.block = block_of(problem);
    /* Without sums over rows these may be shared out as one likes. */
    share.unit = share.parameters ? share.shape.segment : norma_divide_up(share.shape.rows, threads);
    share.units_of_turn = norma_divide_up(share.shape.rows, share.unit);
    share.units = share.units_of_turn * share.shape.turns;
    share.tasks = norma_least(share.units, threads);
    const norma_backward_rows_job job = {
        .at = run->at,
        .scale = one_plus ? scale_plus_one(run, run->lanes_of_scale) : run->scale,
        .wide = one_plus || run->wide,
        .length = problem->length,
        .x_stride = share.shape.turns * problem->kept[0].x_stride,
        .y_stride = share.shape.turns * problem->kept[0].y_stride,
        .dense = share.shape.turns * problem->length,
        .normalizer = &problem->normalizer,
        .stream = run->plan->blocking.stream,
    };
    share.job = job;
    norma_backward_tasks(run, share.tasks, run_share, &share);
    if (share.parameters) {
        rows_share merge = share;
        norma_backward_tasks(run, share.tasks, merge_share, &merge);
    }
}

/*
 * Which way a backward pass goes, what it needs of the workspace, and how samples that modulate are taken apart first: those of
 * channels into cells of their own, those along rows one by one.
 */
#include <assert.h>
#include <stdalign.h>

#include "drivers/backward.h"

norma_backward_way norma_backward_way_of(const norma_problem *problem)
{
    if (problem->geometry == NORMA_FIBERS) {
        return problem->takes_scale && !problem->channels ? NORMA_ALONG_ROWS : NORMA_BY_COLUMNS;
    }
    const bool along =
        problem->geometry == NORMA_ROWS && !problem->given && (!problem->channels || norma_channels_along(problem));
    return along ? NORMA_BY_ROWS : NORMA_BY_RUNS;
}

/* Samples that modulate channels have cells of their own, even where they share their sets: as those of instance norm. */
static void divide_cells(norma_plan *part)
{
    norma_problem *problem = &part->problem;
    const norma_problem whole = *problem;
    norma_desc desc = part->desc;
    desc.op = NORMA_INSTANCE_NORM;
    desc.axes = desc.layout == NORMA_NHWC ? 2 : 4;
    desc.statistics = NORMA_STATISTICS_OF_BATCH;
    desc.unbiased = 0;
    const norma_status status = norma_problem_init(problem, &desc);
    assert(status == NORMA_SUCCESS);
    (void)status;
    problem->normalizer = whole.normalizer;
    problem->given = whole.given;
    problem->count = whole.count;
    if (problem->fold > 1) {
        part->blocking.strip = problem->length; /* a folded matrix is one strip */
    }
}

/* Samples that modulate rows go one by one: what is left is one of them. */
static void divide_rows(norma_problem *problem)
{
    problem->outer /= problem->samples;
    problem->sets /= problem->samples;
    problem->kept[0].extent = problem->outer;
}

/* The plan that drivers see: the caller's, or a part of it, made in `part`. */
static const norma_plan *divided(const norma_plan *plan, norma_plan *part)
{
    const norma_modulated modulated = norma_backward_modulated(&plan->problem);
    const bool batch = plan->problem.given || plan->desc.op == NORMA_BATCH_NORM;
    const bool cells = modulated == NORMA_MODULATED_CHANNELS && batch;
    if (plan->problem.empty || (!cells && modulated != NORMA_MODULATED_ALONG)) {
        return plan;
    }
    *part = *plan;
    if (cells) {
        divide_cells(part);
    } else {
        divide_rows(&part->problem);
    }
    return part;
}

static norma_backward_space space_of_way(const norma_problem *problem)
{
    switch (norma_backward_way_of(problem)) {
    case NORMA_BY_ROWS:
        return norma_backward_rows_space(problem);
    case NORMA_BY_RUNS:
        return norma_backward_runs_space(problem);
    case NORMA_BY_COLUMNS:
        return norma_backward_columns_space(problem);
    default:
        return norma_backward_along_space(problem);
    }
}

/* `part`: of the plan, as drivers see it. */
static norma_backward_space space_of(const norma_plan *plan, const norma_plan *part)
{
    const norma_backward_space none = {0, 0, 0, 0, 0, 0};
    const norma_problem *problem = &part->problem;
    const norma_modulated modulated = norma_backward_modulated(&plan->problem);
    if (problem->empty) {
        return none;
    }
    norma_backward_space space = space_of_way(problem);
    if (modulated == NORMA_MODULATED_ELEMENTS && !problem->given) {
        space.sets = problem->sets * (int64_t)sizeof(norma_set);
    } else if (modulated == NORMA_MODULATED_ALONG) {
        const int64_t parameters = norma_problem_parameters(problem);
        space.totals = 2 * parameters * (int64_t)sizeof(double);
        space.scale = parameters * (int64_t)norma_dtype_size(norma_dtype_of_lanes(problem->dtype));
    } else if (part != plan && !problem->given) {
        space.totals = problem->channels * (int64_t)sizeof(norma_sums);
    }
    return space;
}

size_t norma_backward_workspace(const norma_plan *plan)
{
    if (!plan) {
        return 0;
    }
    norma_plan part;
    const norma_backward_space space = space_of(plan, divided(plan, &part));
    const int64_t bytes = space.sets + space.totals + space.sums + space.parameters + space.leaves + space.scale;
    return (size_t)norma_divide_up(bytes, alignof(double)) * alignof(double);
}

/* The driver that suits the problem. */
static void drive_way(norma_backward_run *run, norma_set *sets)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_backward_way way = norma_backward_way_of(problem);
    const bool again = !problem->given && !run->args->rstd && !run->sets;
    switch (way) {
    case NORMA_BY_ROWS: /* computes statistics again as it goes */
        norma_backward_by_rows(run);
        return;
    case NORMA_BY_RUNS:
        if (again) {
            norma_backward_sets_again(run, sets);
        }
        norma_backward_by_runs(run);
        return;
    case NORMA_BY_COLUMNS:
    case NORMA_ALONG_ROWS:
        if (again) {
            norma_backward_sets_again(run, sets);
        }
        (way == NORMA_BY_COLUMNS ? norma_backward_by_columns : norma_backward_along_rows)(run);
    }
}

/* What a sample multiplies dy with along its rows, in lanes. */
static void modulate_scale(norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_dtype lanes = norma_dtype_of_lanes(problem->dtype);
    for (int64_t i = 0; i < norma_problem_parameters(problem); i++) {
        const double scale = norma_backward_scale(run, i) * norma_backward_factor(run, run->sample, i);
        norma_dtype_set(lanes, run->lanes_of_scale, i, scale);
    }
    run->scale = run->lanes_of_scale;
    run->wide = true;
}

/* Sample by sample. */
static void drive_samples(const norma_backward_run *run, const norma_plan *part, norma_set *sets)
{
    const norma_problem *problem = &part->problem;
    const bool rows = problem->geometry == NORMA_ROWS;
    const int64_t elements = norma_problem_elements(problem);
    const int64_t x = rows ? problem->outer * problem->kept[0].x_stride : elements;
    const int64_t y = rows ? problem->outer * problem->kept[0].y_stride : elements;
    for (int64_t n = 0; n < problem->samples; n++) {
        norma_backward_run of_sample = *run;
        norma_backward_args args = *run->args;
        args.mean = norma_element(problem->statistic_dtype, args.mean, n * problem->sets);
        args.rstd = norma_element(problem->statistic_dtype, args.rstd, n * problem->sets);
        of_sample.plan = part;
        of_sample.args = &args;
        of_sample.at = norma_gradients_at(part, run->at, n * x, n * y, n * elements);
        of_sample.sample = n;
        modulate_scale(&of_sample);
        drive_way(&of_sample, sets);
    }
}

/* Joint work of all drivers, then the one that suits the problem or its parts. */
void norma_backward_drive(norma_backward_run *run)
{
    norma_plan room;
    const norma_plan *plan = run->plan, *part = divided(plan, &room);
    const norma_backward_space space = space_of(plan, part);
    char *at = run->args->workspace;
    norma_set *sets = (norma_set *)(void *)at;
    void *totals = at + space.sets;
    run->cells.sums = (norma_sums *)(void *)(at + space.sets + space.totals);
    run->parameters = (double *)(void *)(at + space.sets + space.totals + space.sums);
    run->lanes_of_scale = (char *)run->parameters + space.parameters + space.leaves;
    run->modulated = norma_backward_modulated(&plan->problem);
    run->scale = run->args->scale;
    run->wide = norma_wide(plan);
    if (run->args->dresidual) {
        norma_backward_residual(run);
    }
    if (run->modulated == NORMA_MODULATED_ELEMENTS) {
        if (run->args->dmodulation_scale || run->args->dmodulation_shift) {
            norma_backward_modulation(run, sets);
        }
        run->at.modulation = run->args->modulation_scale;
        run->at.modulation_wide = run->wide;
        run->at.modulation_plain = plan->problem.epilogue.modulation_plain;
    }
    if (!run->args->dx && !norma_wants_parameters(run)) {
        return;
    }
    if (run->modulated == NORMA_MODULATED_ALONG) {
        run->totals = totals;
        drive_samples(run, part, sets);
        return;
    }
    if (part != plan && !plan->problem.given) {
        if (!run->args->rstd) {
            norma_backward_sets_again(run, sets);
        }
        run->whole = totals;
    }
    run->plan = part;
    drive_way(run, sets);
}

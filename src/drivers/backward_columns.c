/*
 * Columns of matrices: strips of whole groups are summed up and then written, an item's strips by themselves; where these are
 * fewer than threads, segments of rows are shared out to be summed up, then rows to be written.
 */
#include "drivers/backward.h"

static int64_t segments_of(const norma_problem *problem)
{
    return norma_divide_up(problem->runs, norma_fiber_segment_length(problem->runs));
}

static norma_cells cells_of(const norma_problem *problem)
{
    const norma_cells cells = {
        .items = problem->outer * problem->length / problem->width,
        .parts = segments_of(problem),
        .per_item = problem->width,
        .group = problem->group,
        .per_parameter = problem->per_channel,
    };
    return cells;
}

norma_backward_space norma_backward_columns_space(const norma_problem *problem)
{
    const norma_cells cells = cells_of(problem);
    const norma_backward_space space = {
        .sets = problem->given ? 0 : problem->sets * (int64_t)sizeof(norma_set),
        .sums = cells.items * cells.parts * cells.per_item * (int64_t)sizeof(norma_sums),
        .parameters = problem->takes_scale ? 2 * problem->channels * (int64_t)sizeof(double) : 0,
    };
    return space;
}

/* Columns [first, last) of one matrix, at most a strip: cells from `cell` of an item on. */
typedef struct strip_place {
    int64_t item;
    int64_t cell;
    int64_t outer;
    int64_t first;
    int64_t last;
} strip_place;

typedef struct columns_share {
    const norma_backward_run *run;
    int64_t strip; /* most columns */
    int64_t unit;  /* cells that are one strip, or of one group */
    int64_t units; /* of an item */
    int64_t tasks;
    bool reduces; /* units are summed up, */
    bool applies; /* and written */
} columns_share;

/* The part of cells [cell, last) of an item that is one strip. */
static strip_place strip_from(const columns_share *share, int64_t item, int64_t cell, int64_t last)
{
    const norma_problem *problem = &share->run->plan->problem;
    const int64_t matrices = problem->width / problem->length;
    strip_place place = {.item = item, .cell = cell, .outer = item * matrices + cell / problem->length};
    place.first = cell % problem->length;
    place.last = norma_least(problem->length, place.first + norma_least(share->strip, last - cell));
    return place;
}

static norma_backward_columns_job job_of(const columns_share *share, const strip_place *place)
{
    const norma_plan *plan = share->run->plan;
    const norma_problem *problem = &plan->problem;
    int64_t at, y;
    norma_axes_offset(problem->kept, problem->kept_count, place->outer, &at, &y);
    norma_backward_columns_job job = {
        .at = share->run->at,
        .axes = problem->reduced,
        .axes_count = problem->reduced_count,
        .rows = problem->runs,
        .fold = problem->fold,
        .rest = problem->rest,
        .ahead = plan->blocking.ahead,
        .stream = plan->blocking.stream,
    };
    job.at = norma_gradients_at(plan, job.at, at, at, at);
    return job;
}

static void reduce_segments(const columns_share *share, const strip_place *place, int64_t begin, int64_t end)
{
    const norma_backward_run *run = share->run;
    const norma_problem *problem = &run->plan->problem;
    const int64_t segment = norma_fiber_segment_length(problem->runs), count = place->last - place->first;
    const norma_backward_columns_job job = job_of(share, place);
    norma_set sets[NORMA_STRIP_MAX];
    norma_cells_sets(run, place->item, place->cell, place->cell + count, sets);
    for (int64_t s = begin; s < end; s++) {
        run->kernel->reduce_columns(&job, place->first, place->last, s * segment, norma_least((s + 1) * segment, problem->runs),
                                    sets, norma_cell(&run->cells, place->item, s, place->cell));
    }
}

static void apply_rows(const columns_share *share, const strip_place *place, int64_t begin, int64_t end)
{
    const norma_backward_run *run = share->run;
    const norma_backward_columns_job job = job_of(share, place);
    norma_terms terms[NORMA_STRIP_MAX];
    norma_cells_terms(run, place->item, place->cell, place->cell + place->last - place->first, terms);
    run->kernel->apply_columns(&job, place->first, place->last, begin, end, terms);
}

static bool needs_sums(const norma_backward_run *run)
{
    return !run->plan->problem.given || norma_wants_parameters(run);
}

/* Units of all items. */
static void run_units(void *argument, size_t task)
{
    const columns_share *share = argument;
    const norma_backward_run *run = share->run;
    const norma_problem *problem = &run->plan->problem;
    const int64_t units = share->units * run->cells.items;
    const int64_t last_unit = norma_part_begin(units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(units, share->tasks, (int64_t)task); unit < last_unit; unit++) {
        const int64_t item = unit / share->units, first = unit % share->units * share->unit;
        const int64_t last = norma_least(first + share->unit, problem->width);
        for (int64_t cell = first; share->reduces && cell < last;) {
            const strip_place place = strip_from(share, item, cell, last);
            reduce_segments(share, &place, 0, run->cells.parts);
            cell += place.last - place.first;
        }
        for (int64_t cell = first; share->applies && cell < last;) {
            const strip_place place = strip_from(share, item, cell, last);
            apply_rows(share, &place, 0, problem->runs);
            cell += place.last - place.first;
        }
    }
    run->kernel->settle();
}

/* Segments of each strip of each item, strip by strip. */
static void reduce_share(void *argument, size_t task)
{
    const columns_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t first = norma_part_begin(run->cells.parts, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(run->cells.parts, share->tasks, (int64_t)task + 1);
    for (int64_t item = 0; item < run->cells.items; item++) {
        for (int64_t cell = 0; first < last && cell < run->cells.per_item;) {
            const strip_place place = strip_from(share, item, cell, run->cells.per_item);
            reduce_segments(share, &place, first, last);
            cell += place.last - place.first;
        }
    }
}

static void apply_share(void *argument, size_t task)
{
    const columns_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t rows = run->plan->problem.runs;
    const int64_t first = norma_part_begin(rows, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(rows, share->tasks, (int64_t)task + 1);
    for (int64_t item = 0; item < run->cells.items; item++) {
        for (int64_t cell = 0; first < last && cell < run->cells.per_item;) {
            const strip_place place = strip_from(share, item, cell, run->cells.per_item);
            apply_rows(share, &place, first, last);
            cell += place.last - place.first;
        }
    }
    run->kernel->settle();
}

/* Calls `reduce` and `apply`, or one for both, on as many tasks. */
static void run_phases(columns_share *share, norma_task reduce, norma_task apply)
{
    const norma_backward_run *run = share->run;
    const bool reduces = needs_sums(run), applies = run->at.dx;
    const bool at_once = reduce == apply && !run->whole;
    share->reduces = reduces;
    share->applies = applies && at_once;
    if (share->reduces || share->applies) {
        norma_backward_tasks(run, share->tasks, reduce, share);
    }
    if (run->whole) {
        norma_cells_join(run);
    }
    share->reduces = false;
    share->applies = applies;
    if (applies && !at_once) {
        norma_backward_tasks(run, share->tasks, apply, share);
    }
}

void norma_backward_by_columns(norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    norma_sums *sums = run->cells.sums;
    run->cells = cells_of(problem);
    run->cells.sums = sums;
    const int64_t threads = run->plan->blocking.threads, most = NORMA_STRIP_MAX / problem->fold;
    const bool whole_groups = problem->group <= most && problem->length % problem->group == 0;
    columns_share share = {.run = run, .strip = most, .unit = problem->group};
    if (whole_groups) { /* blocks of channels are narrower than a strip: no unit lies in two */
        share.strip = norma_least(run->plan->blocking.strip, problem->length);
        share.unit = share.strip;
    }
    share.units = norma_divide_up(problem->width, share.unit);
    share.tasks = norma_least(share.units * run->cells.items, threads);
    if (share.tasks < threads && problem->runs > NORMA_FIBER_LEAF) {
        share.tasks = threads;
        run_phases(&share, reduce_share, apply_share);
    } else {
        run_phases(&share, run_units, run_units);
    }
    norma_cells_parameters(run);
}

typedef struct again_share {
    columns_share columns;
    norma_set *sets;
} again_share;

/* The statistics of columns of a matrix, with their groups' columns merged as far as they go. */
static void reduce_strip_again(const columns_share *share, const strip_place *place, norma_column *columns)
{
    const norma_plan *plan = share->run->plan;
    const norma_problem *problem = &plan->problem;
    const norma_fibers_kernel *forward = plan->kernel;
    const int64_t count = place->last - place->first;
    int64_t x, y;
    norma_column part[NORMA_STRIP_MAX];
    norma_axes_offset(problem->kept, problem->kept_count, place->outer, &x, &y);
    const norma_fibers_job job = {.x = norma_at(plan, share->run->at.x, x),
                                  .group = problem->group,
                                  .columns = part,
                                  .axes = problem->reduced,
                                  .axes_count = problem->reduced_count,
                                  .rows = problem->runs,
                                  .fold = problem->fold,
                                  .rest = problem->rest,
                                  .normalizer = &problem->normalizer,
                                  .blocking = &plan->blocking};
    for (int64_t s = 0; s < segments_of(problem); s++) {
        forward->reduce(&job, place->first, place->last, s);
        for (int64_t i = 0; i < count; i++) {
            columns[i] = s ? norma_column_merge(columns[i], part[i]) : part[i];
        }
    }
}

static void reduce_again(void *argument, size_t task)
{
    const again_share *again = argument;
    const columns_share *share = &again->columns;
    const norma_problem *problem = &share->run->plan->problem;
    const int64_t sets_of_item = problem->width / problem->group;
    const int64_t last_unit = norma_part_begin(problem->sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(problem->sets, share->tasks, (int64_t)task); set < last_unit;) {
        /* As many sets of an item as make one strip, or one of any width. */
        const int64_t item = set / sets_of_item, first = set % sets_of_item * problem->group;
        const int64_t left = norma_least(last_unit - set, sets_of_item - set % sets_of_item);
        int64_t count = norma_least(share->strip / problem->group, left);
        count = norma_least(count, (problem->length - first % problem->length) / problem->group);
        count = count < 1 ? 1 : count;
        norma_column columns[NORMA_STRIP_MAX], whole = {0, 0, 0, 0};
        for (int64_t cell = first; cell < first + count * problem->group;) {
            const strip_place place = strip_from(share, item, cell, first + count * problem->group);
            reduce_strip_again(share, &place, columns);
            for (int64_t i = 0; i < place.last - place.first; i++, cell++) {
                whole = cell % problem->group ? norma_column_merge(whole, columns[i]) : columns[i];
                if (cell % problem->group == problem->group - 1) {
                    const norma_partial partial = norma_column_partial(&whole);
                    again->sets[item * sets_of_item + cell / problem->group] =
                        norma_set_of_partial(&problem->normalizer, &partial);
                }
            }
        }
        set += count;
    }
}

void norma_backward_sets_of_columns(norma_backward_run *run, norma_set *sets)
{
    const norma_problem *problem = &run->plan->problem;
    again_share share = {.columns = {.run = run,
                                     .strip = NORMA_STRIP_MAX / problem->fold,
                                     .tasks = norma_least(run->plan->blocking.threads, problem->sets)},
                         .sets = sets};
    if (problem->fold > 1) {
        share.columns.tasks = 1; /* a folded matrix is reduced as a whole */
    }
    norma_backward_tasks(run, share.columns.tasks, reduce_again, &share);
    run->sets = sets;
}

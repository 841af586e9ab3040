/*
 * Runs of one channel each: rows and planes whose scale and shift go by channel, or that have none. Neighbouring sets, as many
 * as stay in L2 together, are summed up and then written run by run; where sets are fewer than threads, their runs are shared
 * out instead, first to be summed up, then to be written.
 */
#include "cpu.h"
#include "drivers/backward.h"

enum { CELLS_MAX = 64 }; /* at work together */

/* How the elements of sets fall into cells and their parts. */
typedef struct runs_shape {
    int64_t pieces;   /* of a run: its channels */
    int64_t length;   /* of a piece */
    int64_t segment;  /* elements of a part of one */
    int64_t segments; /* of one */
} runs_shape;

static runs_shape shape_of(const norma_problem *problem)
{
    const bool several = problem->channels && problem->per_channel < problem->length;
    runs_shape s;
    s.length = several ? problem->per_channel : problem->length;
    s.pieces = problem->length / s.length;
    s.segment = norma_segment_length(s.length);
    s.segments = norma_divide_up(s.length, s.segment);
    return s;
}

static norma_cells cells_of(const norma_problem *problem)
{
    const runs_shape shape = shape_of(problem);
    const norma_cells cells = {
        .items = problem->channels ? problem->sets * shape.pieces / problem->channels : 1,
        .parts = problem->runs * shape.segments,
        .per_item = problem->channels ? problem->channels : problem->sets * shape.pieces,
        .group = shape.pieces,
        .per_parameter = 1,
    };
    return cells;
}

norma_backward_space norma_backward_runs_space(const norma_problem *problem)
{
    const norma_cells cells = cells_of(problem);
    const norma_backward_space space = {
        .sets = problem->given ? 0 : problem->sets * (int64_t)sizeof(norma_set),
        .sums = cells.items * cells.parts * cells.per_item * (int64_t)sizeof(norma_sums),
        .parameters = problem->takes_scale ? 2 * problem->channels * (int64_t)sizeof(double) : 0,
    };
    return space;
}

typedef struct runs_share {
    const norma_backward_run *run;
    runs_shape shape;
    int64_t tasks;
    int64_t together; /* sets */
    bool reduces;     /* sets are summed up, */
    bool applies;     /* and written */
} runs_share;

/* The tensors from the first element of a cell's run on. */
static norma_gradients run_at(const runs_share *share, int64_t item, int64_t cell, int64_t run)
{
    const norma_plan *plan = share->run->plan;
    const norma_problem *problem = &plan->problem;
    const int64_t index = item * share->run->cells.per_item + cell;
    int64_t set, in_run, y;
    norma_axes_offset(problem->kept, problem->kept_count, index / share->shape.pieces, &set, &y);
    norma_axes_offset(problem->reduced, problem->reduced_count, run, &in_run, &y);
    const int64_t at = set + in_run + index % share->shape.pieces * share->shape.length;
    return norma_gradients_at(plan, share->run->at, at, at, at);
}

/* `count` cells, which lie next to each other, of one run or of part of it. */
static norma_backward_runs_job job_of(const runs_share *share, norma_gradients at, int64_t segment, int64_t count)
{
    const norma_plan *plan = share->run->plan;
    const int64_t first = segment * share->shape.segment;
    const norma_backward_runs_job job = {
        .at = norma_gradients_at(plan, at, first, first, first),
        .count = norma_least(share->shape.segment, share->shape.length - first),
        .stride = share->shape.length,
        .runs = count,
        .stream = plan->blocking.stream,
    };
    return job;
}

static void reduce_cells(const runs_share *share, int64_t item, int64_t first, int64_t last)
{
    const norma_backward_run *run = share->run;
    const int64_t segments = share->shape.segments;
    norma_set sets[CELLS_MAX];
    norma_cells_sets(run, item, first, last, sets);
    for (int64_t r = 0; r < run->plan->problem.runs; r++) {
        const norma_gradients at = run_at(share, item, first, r);
        for (int64_t s = 0; s < segments; s++) {
            const norma_backward_runs_job job = job_of(share, at, s, last - first);
            run->kernel->reduce(&job, sets, true, norma_cell(&run->cells, item, r * segments + s, first));
        }
    }
}

/* From the last run to the first: those that were read last are still in cache. */
static void apply_cells(const runs_share *share, int64_t item, int64_t first, int64_t last)
{
    const norma_backward_run *run = share->run;
    norma_terms terms[CELLS_MAX];
    norma_cells_terms(run, item, first, last, terms);
    for (int64_t r = run->plan->problem.runs - 1; r >= 0; r--) {
        norma_backward_runs_job job = job_of(share, run_at(share, item, first, r), 0, last - first);
        job.count = share->shape.length;
        run->kernel->apply(&job, terms, true);
    }
}

/* Whether sums are needed: of given statistics only where parameters have gradients. */
static bool needs_sums(const norma_backward_run *run)
{
    return !run->plan->problem.given || norma_wants_parameters(run);
}

/* How many of the sets from `first` on lie next to each other, of those that go together. */
static int64_t neighbours(const runs_share *share, int64_t first, int64_t last)
{
    const norma_problem *problem = &share->run->plan->problem;
    const int64_t per_item = share->run->cells.per_item / share->shape.pieces;
    const norma_axis *inner = &problem->kept[problem->kept_count - 1];
    const int64_t of_axis = inner->extent - first % inner->extent, of_item = per_item - first % per_item;
    return norma_least(norma_least(of_axis, of_item), norma_least(share->together, last - first));
}

static void run_sets(void *argument, size_t task)
{
    const runs_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t sets = run->plan->problem.sets, pieces = share->shape.pieces;
    const int64_t last = norma_part_begin(sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(sets, share->tasks, (int64_t)task); set < last;) {
        const int64_t count = neighbours(share, set, last);
        const int64_t item = set * pieces / run->cells.per_item;
        const int64_t begin = set * pieces % run->cells.per_item, end = begin + count * pieces;
        for (int64_t i = begin; share->reduces && i < end; i += CELLS_MAX) {
            reduce_cells(share, item, i, norma_least(i + CELLS_MAX, end));
        }
        for (int64_t i = begin; share->applies && i < end; i += CELLS_MAX) {
            apply_cells(share, item, i, norma_least(i + CELLS_MAX, end));
        }
        set += count;
    }
    run->kernel->settle();
}

/* One part of one cell. Units go through the parts of a cell before the next. */
typedef struct runs_unit {
    int64_t item;
    int64_t cell;
    int64_t part;
} runs_unit;

static runs_unit unit_of(const norma_cells *cells, int64_t index)
{
    const int64_t cell = index / cells->parts;
    const runs_unit unit = {cell / cells->per_item, cell % cells->per_item, index % cells->parts};
    return unit;
}

static norma_backward_runs_job job_of_unit(const runs_share *share, runs_unit unit)
{
    const norma_gradients at = run_at(share, unit.item, unit.cell, unit.part / share->shape.segments);
    return job_of(share, at, unit.part % share->shape.segments, 1);
}

static void reduce_units(void *argument, size_t task)
{
    const runs_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t units = run->cells.items * run->cells.per_item * run->cells.parts;
    const int64_t last = norma_part_begin(units, share->tasks, (int64_t)task + 1);
    for (int64_t i = norma_part_begin(units, share->tasks, (int64_t)task); i < last; i++) {
        const runs_unit unit = unit_of(&run->cells, i);
        const norma_backward_runs_job job = job_of_unit(share, unit);
        const norma_set set = norma_cell_set(run, unit.item, unit.cell);
        run->kernel->reduce(&job, &set, false, norma_cell(&run->cells, unit.item, unit.part, unit.cell));
    }
}

static void apply_units(void *argument, size_t task)
{
    const runs_share *share = argument;
    const norma_backward_run *run = share->run;
    const int64_t units = run->cells.items * run->cells.per_item * run->cells.parts;
    const int64_t first = norma_part_begin(units, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(units, share->tasks, (int64_t)task + 1);
    norma_terms terms = {0, 0, 0, 0, 0, 0};
    for (int64_t i = first; i < last; i++) {
        const runs_unit unit = unit_of(&run->cells, i);
        if (i == first || unit.part == 0) {
            norma_cells_terms(run, unit.item, unit.cell, unit.cell + 1, &terms);
        }
        const norma_backward_runs_job job = job_of_unit(share, unit);
        run->kernel->apply(&job, &terms, false);
    }
    run->kernel->settle();
}

/* Sets whose x and dy find room in L2. */
static int64_t together_of(const norma_problem *problem, int64_t pieces)
{
    const int64_t l2 = norma_cpu()->l2_size > 128 * 1024 ? norma_cpu()->l2_size : 128 * 1024;
    const int64_t set = 2 * problem->runs * problem->length * (int64_t)norma_dtype_size(problem->dtype);
    const int64_t most = norma_least(l2 / set, CELLS_MAX / pieces);
    return most < 1 ? 1 : most;
}

void norma_backward_by_runs(norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    norma_sums *sums = run->cells.sums;
    run->cells = cells_of(problem);
    run->cells.sums = sums;
    const int64_t threads = run->plan->blocking.threads;
    runs_share share = {.run = run, .shape = shape_of(problem), .tasks = threads};
    share.together = together_of(problem, share.shape.pieces);
    const bool by_sets = problem->sets >= threads, at_once = by_sets && !run->whole;
    share.reduces = needs_sums(run);
    share.applies = run->at.dx && at_once;
    if (share.reduces || share.applies) {
        norma_backward_tasks(run, share.tasks, by_sets ? run_sets : reduce_units, &share);
    }
    if (run->whole) {
        norma_cells_join(run);
    }
    share.reduces = false;
    share.applies = run->at.dx;
    if (share.applies && !at_once) {
        norma_backward_tasks(run, share.tasks, by_sets ? run_sets : apply_units, &share);
    }
    norma_cells_parameters(run);
}

typedef struct again_share {
    const norma_backward_run *run;
    norma_set *sets;
    int64_t tasks;
} again_share;

static void reduce_again(void *argument, size_t task)
{
    const again_share *share = argument;
    const norma_plan *plan = share->run->plan;
    const norma_problem *problem = &plan->problem;
    const norma_rows_kernel *forward = plan->kernel;
    const int64_t last = norma_part_begin(problem->sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(problem->sets, share->tasks, (int64_t)task); set < last; set++) {
        norma_partial whole = {0, 0, 0};
        int64_t at, in_run, y;
        norma_axes_offset(problem->kept, problem->kept_count, set, &at, &y);
        for (int64_t r = 0; r < problem->runs; r++) {
            norma_axes_offset(problem->reduced, problem->reduced_count, r, &in_run, &y);
            const norma_partial part = forward->reduce(norma_at(plan, share->run->at.x, at + in_run), problem->length);
            whole = r ? norma_partial_merge(whole, part) : part;
        }
        share->sets[set] = norma_set_of_partial(&problem->normalizer, &whole);
    }
}

void norma_backward_sets_of_runs(norma_backward_run *run, norma_set *sets)
{
    again_share share = {run, sets, norma_least(run->plan->blocking.threads, run->plan->problem.sets)};
    norma_backward_tasks(run, share.tasks, reduce_again, &share);
    run->sets = sets;
}

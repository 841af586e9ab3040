/*
 * Planes: a reduced set is several runs. Each set is reduced in units, which then merge in order, and written run by run.
 *
 * Units follow from the shape alone: the segments of a run where the set is one run (as for rows too long or too few to be
 * shared out whole), otherwise groups of whole runs. So threads may share out sets or units and the bits stay the same.
 */
#include "drivers/drivers.h"
#include "running.h"

/* One set at work. */
typedef struct planes_set {
    const norma_plan *plan;
    const norma_args *args;
    const void *x;
    void *y;
    int64_t runs_per_unit; /* where the set has several runs */
    int64_t unit_length;   /* where it is one */
    int64_t units;
    int64_t tasks;
    int64_t channel; /* of its first element, where scale and shift go by channel */
    norma_affine affine;
    norma_partial *partial; /* one per unit */
} planes_set;

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static norma_partial reduce_run(const norma_rows_kernel *kernel, const norma_plan *plan, const void *x, int64_t length)
{
    if (length <= NORMA_RUN_LEAF) {
        return kernel->reduce(x, length);
    }
    const int64_t segment = norma_segment_length(length);
    norma_partial partial = {0, 0, 0};
    for (int64_t done = 0; done < length; done += segment) {
        const int64_t next = length - done < segment ? length - done : segment;
        const norma_partial part = kernel->reduce(norma_at(plan, x, done), next);
        partial = done ? norma_partial_merge(partial, part) : part;
    }
    return partial;
}

static norma_partial reduce_unit(const planes_set *set, int64_t unit)
{
    const norma_problem *problem = &set->plan->problem;
    const norma_rows_kernel *kernel = set->plan->kernel;
    if (problem->runs == 1) {
        const int64_t first = unit * set->unit_length;
        const int64_t left = problem->length - first;
        return kernel->reduce(norma_at(set->plan, set->x, first), left < set->unit_length ? left : set->unit_length);
    }
    const int64_t first = unit * set->runs_per_unit;
    const int64_t left = problem->runs - first;
    const int64_t last = first + (left < set->runs_per_unit ? left : set->runs_per_unit);
    norma_partial partial = {0, 0, 0};
    for (int64_t run = first; run < last; run++) {
        int64_t x, y;
        norma_axes_offset(problem->reduced, problem->reduced_count, run, &x, &y);
        const norma_partial part = reduce_run(kernel, set->plan, norma_at(set->plan, set->x, x), problem->length);
        partial = run > first ? norma_partial_merge(partial, part) : part;
    }
    return partial;
}

static void reduce_units(void *argument, size_t task)
{
    planes_set *set = argument;
    const int64_t last = norma_part_begin(set->units, set->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(set->units, set->tasks, (int64_t)task); unit < last; unit++) {
        set->partial[unit] = reduce_unit(set, unit);
    }
}

/* The affine of a set with a channel's scale and shift. */
static norma_affine affine_of_channel(const norma_plan *plan, const norma_args *args, norma_affine affine, int64_t channel)
{
    const norma_dtype dtype = plan->problem.dtype;
    return norma_affine_with(affine, args->scale ? norma_dtype_get(dtype, args->scale, channel) : 1,
                             args->shift ? norma_dtype_get(dtype, args->shift, channel) : 0);
}

/* Where `count` elements of the set lie, and the scale and shift along them, or NULL. */
typedef struct planes_piece {
    const void *x;
    void *y;
    const void *scale;
    const void *shift;
    int64_t count;
} planes_piece;

static void write_piece(const planes_set *set, const norma_affine *affine, planes_piece piece)
{
    const norma_rows_kernel *kernel = set->plan->kernel;
    const norma_rows_job job = {.normalizer = &set->plan->problem.normalizer, .blocking = &set->plan->blocking};
    kernel->apply(&job, affine, piece.x, piece.y, piece.scale, piece.shift, piece.count);
}

/* Elements [first, last) of a run. */
static void write_range(const planes_set *set, int64_t run, int64_t first, int64_t last)
{
    const norma_plan *plan = set->plan;
    const norma_problem *problem = &plan->problem;
    const norma_args *args = set->args;
    int64_t x, y;
    norma_axes_offset(problem->reduced, problem->reduced_count, run, &x, &y);
    const bool by_channel = norma_by_channel(plan, args);
    /* A channel of one element in a run of many: the parameters lie along the run. */
    const bool along = !by_channel || (problem->per_channel == 1 && problem->length > 1);
    if (along || set->affine.own_shift) {
        const int64_t at = first + set->channel;
        const planes_piece piece = {norma_at(plan, set->x, x + first), norma_out_at(plan, set->y, y + first),
                                    along ? norma_at(plan, args->scale, at) : NULL,
                                    along ? norma_at(plan, args->shift, at) : NULL, last - first};
        write_piece(set, &set->affine, piece);
        return;
    }
    while (first < last) {
        const int64_t channel = first / problem->per_channel;
        const int64_t end = (channel + 1) * problem->per_channel;
        const norma_affine affine = affine_of_channel(plan, args, set->affine, set->channel + channel);
        const planes_piece piece = {norma_at(plan, set->x, x + first), norma_out_at(plan, set->y, y + first), NULL, NULL,
                                    (end < last ? end : last) - first};
        write_piece(set, &affine, piece);
        first += piece.count;
    }
}

static void write_share(void *argument, size_t task)
{
    const planes_set *set = argument;
    const norma_problem *problem = &set->plan->problem;
    const int64_t total = problem->runs * problem->length;
    int64_t first = norma_part_begin(total, set->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(total, set->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t run = first / problem->length;
        const int64_t begin = first - run * problem->length;
        const int64_t left = last - first;
        const int64_t end = problem->length - begin < left ? problem->length : begin + left;
        write_range(set, run, begin, end);
        first += end - begin;
    }
    const norma_rows_kernel *kernel = set->plan->kernel;
    kernel->settle();
}

static void store_statistic(const norma_plan *plan, void *tensor, int64_t index, double value)
{
    if (tensor) {
        norma_dtype_set(plan->problem.dtype, tensor, index, value);
    }
}

/* The statistics of a whole set. */
static norma_partial reduce_set(planes_set *set, int64_t tasks)
{
    const norma_problem *problem = &set->plan->problem;
    norma_partial partial[NORMA_SEGMENTS_MAX];
    set->partial = partial;
    if (problem->runs == 1) {
        set->unit_length = norma_segment_length(problem->length);
        set->units = divide_up(problem->length, set->unit_length);
    } else {
        set->runs_per_unit = divide_up(problem->runs, NORMA_SEGMENTS_MAX);
        set->units = divide_up(problem->runs, set->runs_per_unit);
    }
    set->tasks = tasks < set->units ? tasks : set->units;
    norma_drive_tasks(set->plan, set->args, set->tasks, reduce_units, set);
    norma_partial whole = partial[0];
    for (int64_t unit = 1; unit < set->units; unit++) {
        whole = norma_partial_merge(whole, partial[unit]);
    }
    return whole;
}

static void normalize_set(const norma_plan *plan, const norma_args *args, int64_t index, int64_t tasks)
{
    const norma_problem *problem = &plan->problem;
    planes_set set = {.plan = plan, .args = args};
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, index, &x, &y);
    set.x = norma_at(plan, args->x, x);
    set.y = norma_out_at(plan, args->y, y);
    if (problem->channels) {
        set.channel = index * (problem->length / problem->per_channel) % problem->channels;
    }
    const norma_partial whole = problem->given ? norma_running_given(plan, args, set.channel) : reduce_set(&set, tasks);
    set.affine = norma_normalizer_affine(&problem->normalizer, &whole);
    store_statistic(plan, args->mean, index, whole.mean);
    store_statistic(plan, args->rstd, index, norma_normalizer_saved(&problem->normalizer, &whole, set.affine.factor));
    if (norma_by_channel(plan, args) && problem->per_channel == problem->length) {
        set.affine = affine_of_channel(plan, args, set.affine, set.channel); /* one channel for all of it */
    }
    set.tasks = tasks;
    norma_drive_tasks(plan, args, set.tasks, write_share, &set);
    norma_running_update(plan, args, set.channel, &whole);
}

/* Several sets to a task. */
typedef struct planes_share {
    const norma_plan *plan;
    const norma_args *args;
    int64_t tasks;
} planes_share;

static void normalize_sets(void *argument, size_t task)
{
    const planes_share *share = argument;
    const int64_t sets = share->plan->problem.outer;
    const int64_t last = norma_part_begin(sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(sets, share->tasks, (int64_t)task); set < last; set++) {
        normalize_set(share->plan, share->args, set, 1);
    }
}

/* Planes whose statistics are given, one after the other as they lie in memory. */
static void apply_given(void *argument, size_t task)
{
    const planes_share *share = argument;
    const norma_plan *plan = share->plan;
    const norma_args *args = share->args;
    const norma_problem *problem = &plan->problem;
    const norma_rows_kernel *kernel = plan->kernel;
    const norma_rows_job job = {.normalizer = &problem->normalizer, .blocking = &plan->blocking};
    const int64_t first = norma_part_begin(problem->outer, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(problem->outer, share->tasks, (int64_t)task + 1);
    int64_t channel = first % problem->channels;
    for (int64_t plane = first; plane < last; plane++) {
        const norma_partial given = norma_running_given(plan, args, channel);
        norma_affine affine = norma_normalizer_affine(&problem->normalizer, &given);
        if (norma_by_channel(plan, args)) {
            affine = affine_of_channel(plan, args, affine, channel);
        }
        const int64_t at = plane * problem->length;
        kernel->apply(&job, &affine, norma_at(plan, args->x, at), norma_out_at(plan, args->y, at), NULL, NULL, problem->length);
        channel = channel + 1 < problem->channels ? channel + 1 : 0;
    }
    kernel->settle();
}

void norma_drive_planes(const norma_plan *plan, const norma_args *args)
{
    const int64_t sets = plan->problem.outer;
    const int64_t threads = plan->blocking.threads;
    if (sets >= threads) {
        planes_share share = {plan, args, threads};
        const bool in_order = plan->problem.given && plan->problem.geometry == NORMA_ROWS;
        norma_drive_tasks(plan, args, threads, in_order ? apply_given : normalize_sets, &share);
    } else {
        for (int64_t set = 0; set < sets; set++) {
            normalize_set(plan, args, set, threads);
        }
    }
}

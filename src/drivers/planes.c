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
    int64_t dense;         /* elements of tensors without gaps before it */
    int64_t runs_per_unit; /* where the set has several runs */
    int64_t unit_length;   /* where it is one */
    int64_t units;
    int64_t tasks;
    int64_t channel; /* of its first element, where scale and shift go by channel */
    int64_t counted; /* the same, counted on over all samples */
    norma_affine affine;
    norma_partial *partial; /* one per unit */
} planes_set;

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

/* The affine of a set with a channel's scale and shift; `counted` goes on over all samples. */
static norma_affine affine_of_channel(const norma_plan *plan, const norma_args *args, norma_affine affine, int64_t channel,
                                      int64_t counted)
{
    const norma_dtype dtype = plan->problem.parameter_dtype;
    double scale = args->scale ? norma_dtype_get(dtype, args->scale, channel) : 1;
    double shift = args->shift ? norma_dtype_get(dtype, args->shift, channel) : -0.0;
    if (plan->problem.modulated == NORMA_MODULATED_CHANNELS) {
        const norma_modulator modulator = {NULL, NULL, plan->problem.epilogue.modulation_plain};
        const void *by_scale = args->modulation_scale, *by_shift = args->modulation_shift;
        norma_modulate(&modulator,
                       by_scale          ? norma_dtype_get(dtype, by_scale, counted)
                       : modulator.plain ? 1
                                         : -0.0,
                       by_shift ? norma_dtype_get(dtype, by_shift, counted) : -0.0, &scale, &shift);
    }
    return norma_affine_with(affine, scale, shift);
}

/* Whether a set's runs differ in their affine: they are samples', each of which modulates its channels. */
static bool runs_differ(const norma_problem *problem)
{
    return problem->modulated == NORMA_MODULATED_CHANNELS && problem->geometry == NORMA_PLANES;
}

/* What a set's epilogue takes from its element `at` of memory without gaps, channel by channel or not. */
static norma_companions companions_of(const norma_plan *plan, const norma_args *args, int64_t at, int64_t channel)
{
    norma_companions with = norma_companions_at(plan, args, at);
    if (plan->problem.epilogue.quantization == NORMA_QUANTIZATION_PER_CHANNEL) {
        with.y_scale += channel;
    }
    return with;
}

static void write_pieces(const norma_plan *plan, const norma_pieces *pieces)
{
    const norma_rows_kernel *kernel = plan->kernel;
    const norma_rows_job job = {.wide = norma_wide(plan),
                                .epilogue = norma_epilogue_of(plan),
                                .normalizer = &plan->problem.normalizer,
                                .blocking = &plan->blocking};
    kernel->apply(&job, pieces);
}

/* Elements [first, last) of a run. Where it has several channels, each has its own affine. */
static void write_range(const planes_set *set, int64_t run, int64_t first, int64_t last)
{
    const norma_plan *plan = set->plan;
    const norma_problem *problem = &plan->problem;
    const norma_args *args = set->args;
    const bool by_channel = norma_by_channel(plan, args) && !norma_channels_along(problem);
    const bool several = by_channel && (problem->per_channel < problem->length || runs_differ(problem));
    const int64_t each = several ? problem->per_channel : problem->length;
    const int64_t item = runs_differ(problem) ? run * problem->channels : 0;
    int64_t x, y;
    norma_axes_offset(problem->reduced, problem->reduced_count, run, &x, &y);
    while (first < last) {
        const int64_t index = first / each;
        const int64_t end = (index + 1) * each < last ? (index + 1) * each : last;
        const norma_affine affine =
            several ? affine_of_channel(plan, args, set->affine, set->channel + index, item + set->counted + index)
                    : set->affine;
        const bool along = !affine.own_shift;
        norma_pieces pieces = {.x = norma_at(plan, set->x, x + first),
                               .y = norma_out_at(plan, set->y, y + first),
                               .companions = companions_of(plan, args, set->dense + y + first,
                                                           set->channel + (several ? index
                                                                           : along ? first
                                                                                   : 0)),
                               .count = end - first,
                               .runs = 1,
                               .affine = &affine};
        if (along) {
            pieces.scale = norma_parameter_at(plan, args->scale, set->channel + first);
            pieces.shift = norma_parameter_at(plan, args->shift, set->channel + first);
        }
        if (problem->modulated == NORMA_MODULATED_ALONG) {
            const int64_t sample = set->dense / problem->length / (problem->outer / problem->samples);
            const int64_t at = sample * problem->length + first;
            pieces.companions.modulation_scale = norma_parameter_at(plan, args->modulation_scale, at);
            pieces.companions.modulation_shift = norma_parameter_at(plan, args->modulation_shift, at);
        }
        write_pieces(plan, &pieces);
        first = end;
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

/* The statistics of a whole set. */
static norma_partial reduce_set(planes_set *set, int64_t tasks)
{
    const norma_problem *problem = &set->plan->problem;
    norma_partial partial[NORMA_SEGMENTS_MAX];
    set->partial = partial;
    if (problem->runs == 1) {
        set->unit_length = norma_segment_length(problem->length);
        set->units = norma_divide_up(problem->length, set->unit_length);
    } else {
        set->runs_per_unit = norma_divide_up(problem->runs, NORMA_SEGMENTS_MAX);
        set->units = norma_divide_up(problem->runs, set->runs_per_unit);
    }
    set->tasks = tasks < set->units ? tasks : set->units;
    norma_drive_tasks(set->plan, set->args, set->tasks, reduce_units, set);
    norma_partial whole = partial[0];
    for (int64_t unit = 1; unit < set->units; unit++) {
        whole = norma_partial_merge(whole, partial[unit]);
    }
    return whole;
}

/* The first element's channel, counted on over all samples. */
static int64_t channel_of_set(const norma_problem *problem, int64_t index)
{
    return problem->channels ? index * (problem->length / problem->per_channel) : 0;
}

/* Stores what the statistics of a set are to be stored in; what is applied to the set, with scale and shift where it has one
 * channel. */
static norma_affine finish_set(const norma_plan *plan, const norma_args *args, int64_t index, const norma_partial *whole)
{
    const norma_problem *problem = &plan->problem;
    const norma_affine affine = norma_normalizer_affine(&problem->normalizer, whole);
    const int64_t counted = channel_of_set(problem, index), channel = problem->channels ? counted % problem->channels : 0;
    norma_store_statistics(plan, args, index, whole);
    if (problem->instances == 1) {
        norma_running_update(plan, args, channel, whole);
    }
    const bool one = norma_by_channel(plan, args) && problem->per_channel == problem->length && !runs_differ(problem);
    return one ? affine_of_channel(plan, args, affine, channel, counted) : affine;
}

static norma_partial normalize_set(const norma_plan *plan, const norma_args *args, int64_t index, int64_t tasks)
{
    const norma_problem *problem = &plan->problem;
    const int64_t counted = channel_of_set(problem, index);
    planes_set set = {
        .plan = plan, .args = args, .channel = problem->channels ? counted % problem->channels : 0, .counted = counted};
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, index, &x, &y);
    set.x = norma_at(plan, args->x, x);
    set.y = norma_out_at(plan, args->y, y);
    set.dense = problem->geometry == NORMA_ROWS ? index * problem->length : y;
    const norma_partial whole = problem->given ? norma_running_given(plan, args, set.channel) : reduce_set(&set, tasks);
    set.affine = finish_set(plan, args, index, &whole);
    set.tasks = tasks;
    if (args->y) {
        norma_drive_tasks(plan, args, set.tasks, write_share, &set);
    }
    return whole;
}

/* Several sets to a task. */
typedef struct planes_share {
    const norma_plan *plan;
    const norma_args *args;
    int64_t tasks;
} planes_share;

/* How many of the sets from `first` on lie next to each other, run by run, of those that go together. */
static int64_t neighbours(const norma_plan *plan, int64_t first, int64_t last)
{
    const norma_problem *problem = &plan->problem;
    const norma_axis *inner = &problem->kept[problem->kept_count - 1];
    if (problem->runs == 1 || problem->length > NORMA_RUN_LEAF) {
        return 1;
    }
    const int64_t of_axis = inner->extent - first % inner->extent;
    int64_t count = plan->blocking.group < last - first ? plan->blocking.group : last - first;
    count = count < of_axis ? count : of_axis;
    return count < NORMA_SETS_MAX ? count : NORMA_SETS_MAX;
}

/* The whole statistics of `count` neighbouring sets, by the same tree as reduce_set(). */
static void reduce_together(const norma_plan *plan, const void *x, int64_t count, norma_partial *whole)
{
    const norma_problem *problem = &plan->problem;
    const norma_rows_kernel *kernel = plan->kernel;
    const int64_t stride = problem->kept[problem->kept_count - 1].x_stride;
    const int64_t per_unit = norma_divide_up(problem->runs, NORMA_SEGMENTS_MAX);
    norma_partial part[NORMA_SETS_MAX], unit[NORMA_SETS_MAX];
    for (int64_t run = 0; run < problem->runs; run++) {
        int64_t in_x, in_y;
        norma_axes_offset(problem->reduced, problem->reduced_count, run, &in_x, &in_y);
        kernel->reduce_runs(norma_at(plan, x, in_x), problem->length, stride, count, part);
        const bool opens = run % per_unit == 0, closes = run % per_unit == per_unit - 1 || run == problem->runs - 1;
        for (int64_t i = 0; i < count; i++) {
            unit[i] = opens ? part[i] : norma_partial_merge(unit[i], part[i]);
            if (closes) {
                whole[i] = run < per_unit ? unit[i] : norma_partial_merge(whole[i], unit[i]);
            }
        }
    }
}

/* From the last run to the first, unless the blocking says otherwise. */
static void write_together(const norma_plan *plan, const norma_args *args, int64_t first, int64_t count,
                           const norma_affine *affine)
{
    const norma_problem *problem = &plan->problem;
    const int64_t channel = problem->channels ? channel_of_set(problem, first) % problem->channels : 0;
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, first, &x, &y);
    const norma_axis *sets = &problem->kept[problem->kept_count - 1];
    for (int64_t step = 0; step < problem->runs; step++) {
        const int64_t run = plan->blocking.forward ? step : problem->runs - 1 - step;
        int64_t in_x, in_y;
        norma_axes_offset(problem->reduced, problem->reduced_count, run, &in_x, &in_y);
        norma_affine of_run[NORMA_SETS_MAX];
        for (int64_t i = 0; runs_differ(problem) && i < count; i++) {
            of_run[i] = affine_of_channel(plan, args, affine[i], channel + i, run * problem->channels + channel + i);
        }
        const norma_pieces pieces = {.x = norma_at(plan, args->x, x + in_x),
                                     .y = norma_out_at(plan, args->y, y + in_y),
                                     .companions = companions_of(plan, args, y + in_y, channel),
                                     .count = problem->length,
                                     .runs = count,
                                     .x_stride = sets->x_stride,
                                     .y_stride = sets->y_stride,
                                     .affine = runs_differ(problem) ? of_run : affine,
                                     .affine_for_each = true};
        write_pieces(plan, &pieces);
    }
}

/* Neighbouring sets of several runs: run by run they are one stretch of memory. */
static void normalize_together(const norma_plan *plan, const norma_args *args, int64_t first, int64_t count)
{
    const norma_problem *problem = &plan->problem;
    norma_partial whole[NORMA_SETS_MAX];
    norma_affine affine[NORMA_SETS_MAX];
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, first, &x, &y);
    reduce_together(plan, norma_at(plan, args->x, x), count, whole);
    for (int64_t i = 0; i < count; i++) {
        affine[i] = finish_set(plan, args, first + i, &whole[i]);
    }
    if (args->y) {
        write_together(plan, args, first, count, affine);
    }
}

static void normalize_sets(void *argument, size_t task)
{
    const planes_share *share = argument;
    const norma_plan *plan = share->plan;
    const int64_t sets = plan->problem.outer;
    const int64_t last = norma_part_begin(sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(sets, share->tasks, (int64_t)task); set < last;) {
        const int64_t count = neighbours(plan, set, last);
        if (count > 1) {
            normalize_together(plan, share->args, set, count);
        } else {
            normalize_set(plan, share->args, set, 1);
        }
        set += count;
    }
    const norma_rows_kernel *kernel = plan->kernel;
    kernel->settle();
}

/* Channel by channel, its instances together: their averages go into running statistics. */
static void normalize_instances(void *argument, size_t task)
{
    const planes_share *share = argument;
    const norma_problem *problem = &share->plan->problem;
    const int64_t last = norma_part_begin(problem->channels, share->tasks, (int64_t)task + 1);
    for (int64_t c = norma_part_begin(problem->channels, share->tasks, (int64_t)task); c < last; c++) {
        norma_running_sums sums = {0, 0};
        for (int64_t n = 0; n < problem->instances; n++) {
            const norma_partial whole = normalize_set(share->plan, share->args, n * problem->channels + c, 1);
            norma_running_add(&sums, share->plan, &whole);
        }
        norma_running_take(share->plan, share->args, c, &sums);
    }
    const norma_rows_kernel *kernel = share->plan->kernel;
    kernel->settle();
}

/* Channels whose affines are made at a time, for all their planes. */
enum { AFFINES_MAX = 512 };

/* Those of channels [begin, end) of the image whose first channel is `image`, counted on over all. */
static void affines_of_channels(const norma_plan *plan, const norma_args *args, int64_t image, int64_t begin, int64_t end,
                                norma_affine *affine)
{
    for (int64_t channel = begin; channel < end; channel++) {
        const norma_partial given = norma_running_given(plan, args, channel);
        norma_affine *of_channel = &affine[channel - begin];
        *of_channel = norma_normalizer_affine(&plan->problem.normalizer, &given);
        if (norma_by_channel(plan, args)) {
            *of_channel = affine_of_channel(plan, args, *of_channel, channel, image + channel);
        }
    }
}

/* Planes [first, last) whose statistics are given, as they lie in memory: of channels [begin, end), image by image. */
static void apply_to_channels(const planes_share *share, int64_t first, int64_t last, int64_t begin, int64_t end)
{
    const norma_plan *plan = share->plan;
    const norma_args *args = share->args;
    const norma_problem *problem = &plan->problem;
    norma_affine affine[AFFINES_MAX];
    bool known = false;
    for (int64_t image = first / problem->channels * problem->channels; image < last; image += problem->channels) {
        const int64_t from = image + begin < first ? first : image + begin;
        const int64_t to = image + end < last ? image + end : last;
        if (from >= to) {
            continue;
        }
        if (!known || problem->modulated == NORMA_MODULATED_CHANNELS) {
            affines_of_channels(plan, args, image, begin, end, affine);
            known = true;
        }
        const norma_pieces pieces = {.x = norma_at(plan, args->x, from * problem->length),
                                     .y = norma_out_at(plan, args->y, from * problem->length),
                                     .companions = companions_of(plan, args, from * problem->length, from - image),
                                     .count = problem->length,
                                     .runs = to - from,
                                     .x_stride = problem->length,
                                     .y_stride = problem->length,
                                     .affine = &affine[from - image - begin],
                                     .affine_for_each = true};
        write_pieces(plan, &pieces);
    }
}

static void apply_given(void *argument, size_t task)
{
    const planes_share *share = argument;
    const norma_problem *problem = &share->plan->problem;
    const int64_t first = norma_part_begin(problem->outer, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(problem->outer, share->tasks, (int64_t)task + 1);
    for (int64_t begin = 0; begin < problem->channels; begin += AFFINES_MAX) {
        const int64_t left = problem->channels - begin;
        apply_to_channels(share, first, last, begin, begin + (left < AFFINES_MAX ? left : AFFINES_MAX));
    }
    const norma_rows_kernel *kernel = share->plan->kernel;
    kernel->settle();
}

void norma_drive_planes(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const int64_t threads = plan->blocking.threads;
    planes_share share = {plan, args, threads};
    if (args->running_mean && problem->instances > 1) {
        norma_drive_tasks(plan, args, share.tasks, normalize_instances, &share);
    } else if (problem->outer >= threads) {
        const bool in_order = problem->given && problem->geometry == NORMA_ROWS;
        norma_drive_tasks(plan, args, share.tasks, in_order ? apply_given : normalize_sets, &share);
    } else {
        for (int64_t set = 0; set < problem->outer; set++) {
            normalize_set(plan, args, set, threads);
        }
    }
}

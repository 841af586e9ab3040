/*
 * Fibers: strips of columns are shared out among the threads. What that does not suit goes in pieces: statistics that are given
 * need no strip, fewer strips than threads are split by rows, and a group may be wider than a strip, or lie in several blocks
 * of channels.
 */
#include <string.h>

#include "drivers/drivers.h"
#include "running.h"

/* The statistics of a piece's columns, of each segment, are on the stack, 128 KB: pieces are as wide as that allows. Narrower
 * ones read rows in bits (measured: two threads reach 93 GB/s with 160 columns, 118 with all 320). */
enum { PARTS_MAX = 4096 };

typedef struct fibers_share {
    const norma_plan *plan;
    const norma_args *args;
    int64_t units; /* what is shared out: strips, rows, or groups */
    int64_t tasks;
} fibers_share;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static norma_fibers_job job_of(const norma_plan *plan, const norma_args *args, int64_t outer)
{
    const norma_problem *problem = &plan->problem;
    const bool by_channel = norma_by_channel(plan, args);
    const int64_t set = outer * problem->length / problem->group;
    const int64_t sample = problem->samples_in_rows ? 0 : outer * problem->length / problem->width;
    int64_t x, y;
    norma_axes_offset(problem->kept, problem->kept_count, outer, &x, &y);
    const norma_fibers_job job = {
        .x = norma_at(plan, args->x, x),
        .y = norma_out_at(plan, args->y, y),
        .scale = args->scale,
        .shift = args->shift,
        .wide = norma_wide(plan),
        .channels = by_channel,
        .column = outer * problem->length % problem->width,
        .per_channel = problem->per_channel,
        .group = problem->group,
        .mean = norma_statistic_at(plan, args->mean, set),
        .saved = norma_statistic_at(plan, args->rstd, set),
        .axes = problem->reduced,
        .axes_count = problem->reduced_count,
        .rows = problem->runs,
        .fold = problem->fold,
        .rest = problem->rest,
        .modulator = norma_modulator_of(plan, args, sample),
        .companions = norma_companions_at(plan, args, y),
        .epilogue = norma_epilogue_of(plan),
        .normalizer = &problem->normalizer,
        .blocking = &plan->blocking,
    };
    return job;
}

/* Rows of the tensor that a sample has of a matrix, where each matrix has all samples'. */
static int64_t rows_of_sample(const norma_problem *problem)
{
    return (problem->runs * problem->fold + problem->rest / problem->length) / problem->samples;
}

/* Columns of a matrix whose statistics are given: rows [first, last) and, with the last of them, the rest. */
static void apply_given_to(const norma_plan *plan, const norma_args *args, int64_t outer, int64_t first, int64_t last)
{
    const norma_problem *problem = &plan->problem;
    const norma_fibers_kernel *kernel = plan->kernel;
    norma_column columns[NORMA_STRIP_MAX];
    norma_fibers_job job = job_of(plan, args, outer);
    job.columns = columns;
    job.rest = last == job.rows ? job.rest : 0;
    job.first_row = first;
    job.rows = last;
    if (problem->samples_in_rows) {
        job.modulator = norma_modulator_of(plan, args, first / rows_of_sample(problem));
    }
    for (int64_t begin = 0; begin < problem->length; begin += NORMA_STRIP_MAX) {
        const int64_t end = smaller(begin + NORMA_STRIP_MAX, problem->length);
        const int64_t each = problem->per_channel;
        for (int64_t i = begin; i < end; i++) {
            if (i > begin && (job.column + i) % each != 0) {
                columns[i - begin] = columns[i - begin - 1];
                continue;
            }
            const norma_partial given = norma_running_given(plan, args, (job.column + i) / each);
            const norma_column column = {given.count, given.mean, 0, given.m2};
            columns[i - begin] = column;
        }
        kernel->apply(&job, begin, end);
    }
}

/* A task's share of all matrices' rows. */
static void apply_given(void *argument, size_t task)
{
    const fibers_share *share = argument;
    const norma_problem *problem = &share->plan->problem;
    const int64_t rows = problem->runs, of_sample = rows_of_sample(problem);
    int64_t first = norma_part_begin(share->units, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t outer = first / rows, begin = first % rows;
        const int64_t to = problem->samples_in_rows ? (begin / of_sample + 1) * of_sample : rows;
        const int64_t end = smaller(to, begin + last - first);
        apply_given_to(share->plan, share->args, outer, begin, end);
        first += end - begin;
    }
}

static int64_t strips_of_matrix(const norma_plan *plan)
{
    return norma_divide_up(plan->problem.length, plan->blocking.strip);
}

/* Strips [first, last) of matrix `outer`. */
static void normalize_strips(const fibers_share *share, int64_t outer, int64_t first, int64_t last)
{
    const norma_plan *plan = share->plan;
    const norma_problem *problem = &plan->problem;
    const norma_fibers_kernel *kernel = plan->kernel;
    const int64_t strip = plan->blocking.strip;
    const int64_t end = smaller(last * strip, problem->length);
    norma_fibers_job job = job_of(plan, share->args, outer);
    if (!share->args->running_mean) {
        kernel->normalize(&job, first * strip, end);
        return;
    }
    norma_column columns[NORMA_STRIP_MAX];
    job.columns = columns;
    for (int64_t begin = first * strip; begin < end; begin += strip) {
        const int64_t next = smaller(begin + strip, end);
        kernel->normalize(&job, begin, next);
        for (int64_t i = begin; i < next; i += problem->group) {
            const norma_partial whole = norma_column_partial(&columns[i - begin]);
            norma_running_update(plan, share->args, (job.column + i) / problem->per_channel, &whole);
        }
    }
}

/* Strips [first, last) of the columns of one item, the matrices of all items in turn: their averages go into running
 * statistics. */
static void normalize_instances(void *argument, size_t task)
{
    const fibers_share *share = argument;
    const norma_plan *plan = share->plan;
    const norma_problem *problem = &plan->problem;
    const norma_fibers_kernel *kernel = plan->kernel;
    const int64_t matrices = problem->width / problem->length, strip = plan->blocking.strip;
    const int64_t strips = strips_of_matrix(plan);
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(share->units, share->tasks, (int64_t)task); unit < last; unit++) {
        const int64_t first = unit % strips * strip, end = smaller(first + strip, problem->length);
        norma_column columns[NORMA_STRIP_MAX];
        norma_running_sums sums[NORMA_STRIP_MAX] = {{0, 0}};
        for (int64_t n = 0; n < problem->instances; n++) {
            norma_fibers_job job = job_of(plan, share->args, n * matrices + unit / strips);
            job.columns = columns;
            kernel->normalize(&job, first, end);
            for (int64_t i = 0; i < end - first; i++) {
                const norma_partial whole = norma_column_partial(&columns[i]);
                norma_running_add(&sums[i], plan, &whole);
            }
        }
        for (int64_t i = 0; i < end - first; i++) {
            norma_running_take(plan, share->args, unit / strips * problem->length + first + i, &sums[i]);
        }
    }
}

static void normalize_share(void *argument, size_t task)
{
    const fibers_share *share = argument;
    const int64_t strips = strips_of_matrix(share->plan);
    int64_t first = norma_part_begin(share->units, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t outer = first / strips, begin = first % strips;
        const int64_t end = smaller(strips, begin + last - first);
        normalize_strips(share, outer, begin, end);
        first += end - begin;
    }
}

/* Columns [first, last) of a matrix at work on several threads. */
typedef struct fibers_piece {
    const norma_plan *plan;
    const norma_args *args;
    norma_fibers_job job;
    const norma_fibers_kernel *kernel;
    int64_t first;
    int64_t last;
    int64_t segments;
    int64_t tasks;
    norma_column *parts; /* segment by segment */
} fibers_piece;

static int64_t segments_of(const norma_problem *problem)
{
    return norma_divide_up(problem->runs, norma_fiber_segment_length(problem->runs));
}

/* The most columns of a piece. */
static int64_t room_of(const norma_problem *problem)
{
    return smaller(NORMA_STRIP_MAX, PARTS_MAX / segments_of(problem));
}

/* Columns of an item (the matrices of one image, or of all) from `first` on, as far as one piece goes. */
static fibers_piece piece_from(const norma_plan *plan, const norma_args *args, int64_t item, int64_t first, int64_t last)
{
    const norma_problem *problem = &plan->problem;
    const int64_t matrices = problem->width / problem->length;
    const int64_t begin = first % problem->length;
    const int64_t end = smaller(problem->length, begin + smaller(last - first, room_of(problem)));
    const fibers_piece piece = {.plan = plan,
                                .args = args,
                                .job = job_of(plan, args, item * matrices + first / problem->length),
                                .kernel = plan->kernel,
                                .first = begin,
                                .last = end,
                                .segments = segments_of(problem)};
    return piece;
}

static void reduce_segments(void *argument, size_t task)
{
    const fibers_piece *piece = argument;
    norma_fibers_job job = piece->job;
    /* From the back: the last segment is a short one, and the first tasks get one more where they do not divide evenly. */
    const int64_t end = piece->segments - norma_part_begin(piece->segments, piece->tasks, (int64_t)task);
    for (int64_t s = piece->segments - norma_part_begin(piece->segments, piece->tasks, (int64_t)task + 1); s < end; s++) {
        job.columns = piece->parts + s * (piece->last - piece->first);
        piece->kernel->reduce(&job, piece->first, piece->last, s);
    }
}

static void reduce_piece(const norma_plan *plan, const norma_args *args, fibers_piece *piece, int64_t tasks,
                         norma_column *columns)
{
    const int64_t count = piece->last - piece->first;
    norma_column parts[PARTS_MAX];
    piece->parts = parts;
    piece->tasks = smaller(tasks, piece->segments);
    norma_drive_tasks(plan, args, piece->tasks, reduce_segments, piece);
    memcpy(columns, parts, (size_t)count * sizeof *columns);
    for (int64_t s = 1; s < piece->segments; s++) {
        for (int64_t i = 0; i < count; i++) { /* the inner loop: merges of one column wait for each other */
            columns[i] = norma_column_merge(columns[i], parts[s * count + i]);
        }
    }
}

static void apply_rows(void *argument, size_t task)
{
    const fibers_piece *piece = argument;
    norma_fibers_job job = piece->job;
    /* From the back here too: what a thread has reduced is in its cache. */
    job.first_row = piece->job.rows - norma_part_begin(piece->job.rows, piece->tasks, (int64_t)task + 1);
    job.rows = piece->job.rows - norma_part_begin(piece->job.rows, piece->tasks, (int64_t)task);
    job.rest = job.rows == piece->job.rows ? job.rest : 0;
    job.backwards = !job.blocking->forward;
    piece->kernel->apply(&job, piece->first, piece->last);
}

/* The same sample by sample, each of which modulates its channels: not folded, for a fold may hold two. */
static void apply_samples(void *argument, size_t task)
{
    const fibers_piece *piece = argument;
    const norma_problem *problem = &piece->plan->problem;
    const int64_t each = rows_of_sample(problem), rows = each * problem->samples;
    const int64_t last = norma_part_begin(rows, piece->tasks, (int64_t)task + 1);
    norma_axis axes[NORMA_MAX_RANK];
    memcpy(axes, problem->reduced, sizeof axes);
    norma_axis *inner = &axes[problem->reduced_count - 1];
    inner->x_stride /= problem->fold;
    inner->y_stride /= problem->fold;
    inner->extent = inner->extent * problem->fold + problem->rest / problem->length;
    norma_fibers_job job = piece->job;
    job.axes = axes;
    job.fold = 1;
    job.rest = 0;
    for (int64_t first = norma_part_begin(rows, piece->tasks, (int64_t)task); first < last; first = job.rows) {
        job.first_row = first;
        job.rows = smaller((first / each + 1) * each, last);
        job.modulator = norma_modulator_of(piece->plan, piece->args, first / each);
        piece->kernel->apply(&job, piece->first, piece->last);
    }
}

/* Stores what is to be stored of the piece's sets that begin at column `first` of the item or later, and writes its columns. */
static void finish_piece(const norma_plan *plan, const norma_args *args, int64_t item, int64_t first, fibers_piece *piece,
                         int64_t tasks, norma_column *columns)
{
    const norma_problem *problem = &plan->problem;
    for (int64_t i = 0; i < piece->last - piece->first; i++) {
        const norma_partial whole = norma_column_partial(&columns[i]);
        if ((first + i) % problem->group == 0) {
            norma_store_statistics(plan, args, (item * problem->width + first + i) / problem->group, &whole);
            norma_running_update(plan, args, (first + i) / problem->per_channel, &whole);
        }
    }
    piece->job.columns = columns;
    piece->tasks = smaller(tasks, piece->job.rows);
    if (args->y) {
        norma_drive_tasks(plan, args, piece->tasks, problem->samples_in_rows ? apply_samples : apply_rows, piece);
    }
}

/* Each group's columns become alike, by the tree of template/strip.h. */
static void merge_groups(norma_column *columns, int64_t count, int64_t group)
{
    for (int64_t first = 0; group > 1 && first < count; first += group) {
        for (int64_t i = first + 1; i < first + group; i++) {
            columns[first] = norma_column_merge(columns[first], columns[i]);
        }
        for (int64_t i = first + 1; i < first + group; i++) {
            columns[i] = columns[first];
        }
    }
}

/* Columns [first, last) of an item: whole groups that are one piece, or one group. */
static void normalize_columns(const norma_plan *plan, const norma_args *args, int64_t item, int64_t first, int64_t last,
                              int64_t tasks)
{
    const norma_problem *problem = &plan->problem;
    norma_column columns[NORMA_STRIP_MAX], whole = {0, 0, 0, 0};
    fibers_piece piece = piece_from(plan, args, item, first, last);
    if (piece.last - piece.first == last - first) {
        reduce_piece(plan, args, &piece, tasks, columns);
        merge_groups(columns, last - first, problem->group);
        finish_piece(plan, args, item, first, &piece, tasks, columns);
        return;
    }
    for (int64_t at = first; at < last; at += piece.last - piece.first) {
        piece = piece_from(plan, args, item, at, last);
        reduce_piece(plan, args, &piece, tasks, columns);
        for (int64_t i = 0; i < piece.last - piece.first; i++) {
            whole = at + i == first ? columns[i] : norma_column_merge(whole, columns[i]);
        }
    }
    for (int64_t i = 0; i < NORMA_STRIP_MAX; i++) {
        columns[i] = whole;
    }
    for (int64_t at = first; at < last; at += piece.last - piece.first) {
        piece = piece_from(plan, args, item, at, last);
        finish_piece(plan, args, item, at, &piece, tasks, columns);
    }
}

/* Groups one by one. */
static void normalize_groups(void *argument, size_t task)
{
    const fibers_share *share = argument;
    const norma_problem *problem = &share->plan->problem;
    const int64_t group = problem->group, of_item = problem->width / group;
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(share->units, share->tasks, (int64_t)task); unit < last; unit++) {
        const int64_t first = unit % of_item * group;
        normalize_columns(share->plan, share->args, unit / of_item, first, first + group, 1);
    }
}

/* All columns piece by piece, each split by rows. */
static void normalize_split(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const int64_t pieces = norma_divide_up(problem->length, room_of(problem));
    const int64_t line = 64 / (int64_t)norma_dtype_size(problem->dtype);
    const int64_t even = norma_divide_up(norma_divide_up(problem->length, pieces), line) * line;
    const int64_t room = smaller(smaller(even, room_of(problem)), problem->length); /* whole lines: others do not stream */
    const bool whole_groups = problem->group <= room && problem->length % problem->group == 0;
    const int64_t step = whole_groups ? room / problem->group * problem->group : problem->group;
    for (int64_t item = 0; item < problem->outer * problem->length / problem->width; item++) {
        for (int64_t first = 0; first < problem->width; first += step) {
            const int64_t matrix_end = first / problem->length * problem->length + problem->length;
            const int64_t end = whole_groups ? smaller(first + step, matrix_end) : first + step;
            normalize_columns(plan, args, item, first, end, plan->blocking.threads);
        }
    }
}

void norma_drive_fibers(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const int64_t threads = plan->blocking.threads;
    fibers_share share = {.plan = plan, .args = args};
    if (problem->given) {
        share.units = problem->outer * problem->runs;
        share.tasks = smaller(share.units, threads);
        norma_drive_tasks(plan, args, share.tasks, apply_given, &share);
        return;
    }
    if (args->running_mean && problem->instances > 1 && args->y) {
        share.units = problem->width / problem->length * strips_of_matrix(plan);
        share.tasks = smaller(share.units, threads);
        norma_drive_tasks(plan, args, share.tasks, normalize_instances, &share);
        return;
    }
    const bool strips = problem->group <= NORMA_STRIP_MAX && problem->length % problem->group == 0;
    share.units = strips ? problem->outer * strips_of_matrix(plan) : problem->sets;
    share.tasks = smaller(share.units, threads);
    /* Sharing out the columns of a matrix instead would read its rows in bits: half as fast. */
    const bool apart = problem->samples_in_rows || !args->y; /* what is written is not just what was reduced */
    if (apart || (problem->outer < threads && problem->runs > NORMA_FIBER_LEAF)) {
        normalize_split(plan, args);
    } else {
        norma_drive_tasks(plan, args, share.tasks, strips ? normalize_share : normalize_groups, &share);
    }
}

/*
 * The same result without fusion: each step reads its input from memory and writes its output back, as a graph of
 * separate operators does. Statistics, then y = (x - mean) * factor, then y *= scale, then y += shift; an op
 * without scale or shift has fewer steps.
 *
 * Every step is as fast as its kind gets, so that the ratio to the fused path tells what fusion gains and nothing else: on rows
 * and planes the first two steps are the library's own kernels, on fibers (whose kernels are fused by nature) and for
 * scale and shift loops that the compiler vectorizes for the best instruction set. Work is split over threads by sets.
 */
#include <stdlib.h>

#include "bench.h"
#include "kernels.h"
#include "passes.h"

typedef struct unfused_state {
    const bench_problem *problem;
    const bench_tensors *tensors;
    int threads;
    const bench_passes *passes;
    norma_normalizer normalizer;
    norma_blocking blocking;
    /* rows and planes */
    const norma_rows_kernel *kernel;
    norma_rows_job job;
    norma_affine *affine;
    /* fibers: one per set, of the tensor's type */
    void *mean, *factor;
} unfused_state;

static bool is_fibers(const bench_problem *problem)
{
    return problem->sets.step != 1;
}

static bool is_centered(const bench_problem *problem)
{
    return problem->desc.op != NORMA_RMS_NORM && problem->desc.op != NORMA_LP_NORM;
}

/* There are no passes yet for sums of squares over fibers, nor for columns of few channels; given statistics leave one pass. */
bool bench_unfused_exists(const bench_path *path, const bench_problem *problem)
{
    (void)path;
    const norma_op op = problem->desc.op;
    const bool by_channel = op == NORMA_BATCH_NORM || op == NORMA_INSTANCE_NORM || op == NORMA_GROUP_NORM;
    const bool columns = by_channel && problem->layout == CASE_NHWC;
    const bool plain = !bench_has_epilogue(problem) && !problem->backward && problem->element_size == problem->lane_size;
    return plain && bench_passes_for(bench_isa()) && !columns && !problem->given &&
           (is_centered(problem) || !is_fibers(problem));
}

static norma_normalizer normalizer_of(const bench_problem *problem)
{
    const norma_desc *desc = &problem->desc;
    const double count = (double)(problem->sets.pieces * problem->sets.length);
    const norma_normalizer normalizer = {.statistic = is_centered(problem) ? NORMA_MOMENTS : NORMA_SQUARES,
                                         .epsilon_mode = desc->epsilon_mode,
                                         .saved = desc->saved,
                                         .epsilon = desc->epsilon,
                                         .weight = desc->op == NORMA_LP_NORM ? 1 : 1 / count,
                                         .x_scale = 1};
    return normalizer;
}

static bool allocate(unfused_state *s, const bench_problem *problem)
{
    const size_t sets = (size_t)problem->sets.count;
    if (is_fibers(problem)) {
        s->mean = calloc(sets, problem->element_size);
        s->factor = calloc(sets, problem->element_size);
        return s->mean && s->factor;
    }
    s->affine = calloc(sets, sizeof *s->affine);
    return s->affine != NULL;
}

bench_ready bench_unfused_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                  const bench_tensors *tensors, int threads, char *label, char *sentence)
{
    (void)path;
    unfused_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s || !allocate(s, problem)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory");
        return BENCH_BROKEN;
    }
    const norma_isa isa = bench_isa();
    const bench_isa_passes *passes = bench_passes_for(isa);
    s->problem = problem;
    s->tensors = tensors;
    s->threads = bench_threads_worth(problem, threads);
    s->passes = problem->element_size == sizeof(double) ? passes->f64 : passes->f32;
    s->normalizer = normalizer_of(problem);
    const norma_blocking blocking = {.strip = problem->sets.length, .threads = 1};
    s->blocking = blocking;
    s->job.normalizer = &s->normalizer;
    s->job.blocking = &s->blocking;
    s->job.length = problem->sets.length;
    const norma_kernel_entry *entry = norma_kernel_find(NORMA_ROWS, s->normalizer.statistic, problem->desc.dtype);
    if (!entry || !entry->kernel[isa]) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "no rows kernel for its statistics");
        return BENCH_BROKEN;
    }
    s->kernel = entry->kernel[isa];
    snprintf(label, BENCH_SENTENCE_MAX, "%s", norma_isa_name(isa));
    return BENCH_READY;
}

/* Rows and planes */

typedef struct piece {
    const char *x;
    char *y;
} piece;

static piece piece_at(const unfused_state *s, int64_t set, int64_t p)
{
    const bench_sets *sets = &s->problem->sets;
    const int64_t at = set / sets->inner * sets->outer_stride + set % sets->inner * sets->inner_stride + p * sets->piece_stride;
    const int64_t offset = at * (int64_t)s->problem->element_size;
    const piece found = {(const char *)s->tensors->x + offset, (char *)s->tensors->y + offset};
    return found;
}

static void rows_statistics(void *argument, int index, int count)
{
    unfused_state *s = argument;
    const bench_sets *sets = &s->problem->sets;
    int64_t first, last;
    bench_share(sets->count, 1, index, count, &first, &last);
    for (int64_t set = first; set < last; set++) {
        norma_partial whole = {0, 0, 0};
        for (int64_t p = 0; p < sets->pieces; p++) {
            whole = norma_partial_merge(whole, s->kernel->reduce(piece_at(s, set, p).x, sets->length));
        }
        s->affine[set] = norma_normalizer_affine(&s->normalizer, &whole);
    }
}

static void rows_normalize(void *argument, int index, int count)
{
    unfused_state *s = argument;
    const bench_sets *sets = &s->problem->sets;
    int64_t first, last;
    bench_share(sets->count, 1, index, count, &first, &last);
    for (int64_t set = first; set < last; set++) {
        for (int64_t p = 0; p < sets->pieces; p++) {
            const piece at = piece_at(s, set, p);
            const norma_pieces whole = {.x = at.x, .y = at.y, .count = sets->length, .runs = 1, .affine = &s->affine[set]};
            s->kernel->apply(&s->job, &whole);
        }
    }
}

static void rows_scale(void *argument, int index, int count)
{
    unfused_state *s = argument;
    const bench_sets *sets = &s->problem->sets;
    int64_t first, last;
    bench_share(sets->count, 1, index, count, &first, &last);
    s->passes->scale_rows(piece_at(s, first, 0).y, s->tensors->scale, last - first, sets->length);
}

static void rows_shift(void *argument, int index, int count)
{
    unfused_state *s = argument;
    const bench_sets *sets = &s->problem->sets;
    int64_t first, last;
    bench_share(sets->count, 1, index, count, &first, &last);
    s->passes->shift_rows(piece_at(s, first, 0).y, s->tensors->shift, last - first, sets->length);
}

/* Fibers */

typedef enum fibers_step { FIBERS_STATISTICS, FIBERS_NORMALIZE, FIBERS_SCALE, FIBERS_SHIFT } fibers_step;

/* Columns worked on together. Rows of usual feature maps go whole: narrower strips lose the hardware's prefetch. */
enum { STRIP = 8192 };

static void fibers_factors(const unfused_state *s, int64_t first, int64_t columns)
{
    for (int64_t i = first; i < first + columns; i++) {
        if (s->problem->element_size == sizeof(double)) {
            double *factor = (double *)s->factor + i;
            *factor = norma_normalizer_factor(&s->normalizer, *factor * s->normalizer.weight);
        } else {
            float *factor = (float *)s->factor + i;
            *factor = (float)norma_normalizer_factor(&s->normalizer, (double)*factor * s->normalizer.weight);
        }
    }
}

/* One step on the columns [set, set + columns) of one matrix. */
static void fibers_block(const unfused_state *s, fibers_step step, int64_t set, int64_t columns)
{
    const bench_block block = {s->problem->sets.length, columns, s->problem->sets.step};
    const piece at = piece_at(s, set, 0);
    const size_t offset = (size_t)set * s->problem->element_size;
    char *mean = (char *)s->mean + offset, *factor = (char *)s->factor + offset;
    if (step == FIBERS_STATISTICS) {
        s->passes->column_moments(at.x, block, mean, factor);
        fibers_factors(s, set, columns);
    } else if (step == FIBERS_NORMALIZE) {
        s->passes->normalize_columns(at.x, at.y, block, mean, factor);
    } else if (step == FIBERS_SCALE) {
        s->passes->scale_columns(at.y, block, s->tensors->scale);
    } else {
        s->passes->shift_columns(at.y, block, s->tensors->shift);
    }
}

static void fibers_share(const unfused_state *s, fibers_step step, int index, int count)
{
    const int64_t spatial = s->problem->sets.inner;
    int64_t first, last;
    bench_share(s->problem->sets.count, 16, index, count, &first, &last);
    while (first < last) {
        int64_t end = (first / spatial + 1) * spatial;
        end = end < last ? end : last;
        end = end - first < STRIP ? end : first + STRIP;
        fibers_block(s, step, first, end - first);
        first = end;
    }
}

static void fibers_statistics(void *argument, int index, int count)
{
    fibers_share(argument, FIBERS_STATISTICS, index, count);
}

static void fibers_normalize(void *argument, int index, int count)
{
    fibers_share(argument, FIBERS_NORMALIZE, index, count);
}

static void fibers_scale(void *argument, int index, int count)
{
    fibers_share(argument, FIBERS_SCALE, index, count);
}

static void fibers_shift(void *argument, int index, int count)
{
    fibers_share(argument, FIBERS_SHIFT, index, count);
}

bool bench_unfused_run(void *state)
{
    unfused_state *s = state;
    const bool fibers = is_fibers(s->problem);
    bench_parallel(s->threads, fibers ? fibers_statistics : rows_statistics, s);
    bench_parallel(s->threads, fibers ? fibers_normalize : rows_normalize, s);
    if (s->problem->scale) {
        bench_parallel(s->threads, fibers ? fibers_scale : rows_scale, s);
    }
    if (s->problem->shift) {
        bench_parallel(s->threads, fibers ? fibers_shift : rows_shift, s);
    }
    return true;
}

void bench_unfused_release(void *state)
{
    unfused_state *s = state;
    if (s) {
        free(s->affine);
        free(s->mean);
        free(s->factor);
        free(s);
    }
}

/*
 * Columns of matrices with a scale and a shift for each row: channel norm in NCHW. Strips of NORMA_BACKWARD_STRIP columns are
 * summed up and written; each row's share of dscale and dshift is added up over the strips of a segment in order, and the
 * segments, which follow from the number of strips alone, in order as well.
 */
#include <string.h>

#include "drivers/backward.h"

typedef struct along_shape {
    int64_t of_matrix; /* strips */
    int64_t strips;
    int64_t segment; /* strips of one */
    int64_t segments;
} along_shape;

static along_shape shape_of(const norma_problem *problem)
{
    along_shape s;
    s.of_matrix = norma_divide_up(problem->length, NORMA_BACKWARD_STRIP);
    s.strips = s.of_matrix * problem->outer;
    s.segment = norma_divide_up(s.strips, NORMA_BACKWARD_SEGMENTS_MAX);
    s.segments = norma_divide_up(s.strips, s.segment);
    return s;
}

norma_backward_space norma_backward_along_space(const norma_problem *problem)
{
    const norma_backward_space space = {
        .sets = problem->sets * (int64_t)sizeof(norma_set),
        .parameters = 2 * shape_of(problem).segments * problem->runs * (int64_t)sizeof(double),
    };
    return space;
}

typedef struct along_share {
    const norma_backward_run *run;
    along_shape shape;
    int64_t tasks;
} along_share;

static void run_strip(const along_share *share, norma_backward_columns_job job, int64_t strip)
{
    const norma_backward_run *run = share->run;
    const norma_plan *plan = run->plan;
    const norma_problem *problem = &plan->problem;
    const int64_t outer = strip / share->shape.of_matrix;
    const int64_t first = strip % share->shape.of_matrix * NORMA_BACKWARD_STRIP;
    const int64_t last = norma_least(first + NORMA_BACKWARD_STRIP, problem->length);
    norma_set sets[NORMA_BACKWARD_STRIP];
    norma_sums sums[NORMA_BACKWARD_STRIP];
    norma_terms terms[NORMA_BACKWARD_STRIP];
    int64_t at, y;
    norma_axes_offset(problem->kept, problem->kept_count, outer, &at, &y);
    job.at = norma_gradients_at(plan, job.at, at, at, at);
    norma_cells_sets(run, outer, first, last, sets);
    run->kernel->reduce_along(&job, first, last, 0, job.rows, sets, sums);
    for (int64_t i = 0; i < last - first; i++) {
        terms[i] = norma_terms_of(&problem->normalizer, &sets[i], &sums[i], (double)problem->count, false);
    }
    run->kernel->apply_along(&job, first, last, 0, job.rows, terms);
}

static void run_segments(void *argument, size_t task)
{
    const along_share *share = argument;
    const norma_backward_run *run = share->run;
    const norma_problem *problem = &run->plan->problem;
    norma_backward_columns_job job = {
        .at = run->at,
        .axes = problem->reduced,
        .axes_count = problem->reduced_count,
        .rows = problem->runs,
        .fold = 1,
        .scale = run->scale,
        .wide = run->wide,
        .stream = run->plan->blocking.stream,
    };
    const int64_t last = norma_part_begin(share->shape.segments, share->tasks, (int64_t)task + 1);
    for (int64_t s = norma_part_begin(share->shape.segments, share->tasks, (int64_t)task); s < last; s++) {
        if (norma_wants_parameters(run)) {
            job.dscale = run->parameters + 2 * s * problem->runs;
            job.dshift = job.dscale + problem->runs;
            memset(job.dscale, 0, (size_t)(2 * problem->runs) * sizeof *job.dscale);
        }
        const int64_t end = norma_least((s + 1) * share->shape.segment, share->shape.strips);
        for (int64_t strip = s * share->shape.segment; strip < end; strip++) {
            run_strip(share, job, strip);
        }
    }
    run->kernel->settle();
}

void norma_backward_along_rows(norma_backward_run *run)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_cells columns = {.items = problem->outer, .per_item = problem->length, .group = 1, .per_parameter = 1};
    along_share share = {.run = run, .shape = shape_of(problem)};
    run->cells = columns;
    share.tasks = norma_least(share.shape.segments, run->plan->blocking.threads);
    norma_backward_tasks(run, share.tasks, run_segments, &share);
    if (!norma_wants_parameters(run)) {
        return;
    }
    double *sums = run->parameters;
    for (int64_t s = 1; s < share.shape.segments; s++) {
        for (int64_t i = 0; i < 2 * problem->runs; i++) {
            sums[i] += sums[2 * s * problem->runs + i];
        }
    }
    norma_store_along(run, 0, problem->runs, sums, sums + problem->runs);
}

/* From cases to problems: where the reduced sets lie. */
#include <string.h>

#include "bench.h"
#include "dtype.h"

static bench_sets sets_of_rows(int64_t rows, int64_t cols)
{
    const bench_sets sets = {.count = rows, .inner = 1, .outer_stride = cols, .pieces = 1, .length = cols, .step = 1};
    return sets;
}

/* Channels of (n, c, spatial). */
static bench_sets sets_of_channels(int64_t n, int64_t c, int64_t spatial)
{
    const bench_sets planes = {.count = c,
                               .inner = c,
                               .inner_stride = spatial,
                               .pieces = n,
                               .piece_stride = c * spatial,
                               .length = spatial,
                               .step = 1};
    return planes;
}

static bench_sets sets_of_fibers(int64_t n, int64_t c, int64_t spatial)
{
    const bench_sets fibers = {.count = n * spatial,
                               .inner = spatial,
                               .outer_stride = c * spatial,
                               .inner_stride = 1,
                               .pieces = 1,
                               .length = c,
                               .step = spatial};
    return fibers;
}

/* Columns of each item. */
static bench_sets sets_of_columns(int64_t n, int64_t c, int64_t rows)
{
    const bench_sets columns = {
        .count = n * c, .inner = c, .outer_stride = c * rows, .inner_stride = 1, .pieces = 1, .length = rows, .step = c};
    return columns;
}

/* Groups of them. */
static bench_sets sets_of_groups(int64_t n, int64_t c, int64_t rows)
{
    const bench_sets groups = {.count = n * CASE_GROUPS,
                               .inner = CASE_GROUPS,
                               .outer_stride = c * rows,
                               .inner_stride = c / CASE_GROUPS,
                               .pieces = rows,
                               .piece_stride = c,
                               .length = c / CASE_GROUPS,
                               .step = 1};
    return groups;
}

static bench_sets sets_of(const case_spec *spec)
{
    const int64_t n = spec->extent[0], c = spec->extent[1], spatial = case_spatial(spec);
    const bool last = spec->layout == CASE_NHWC;
    if (spec->layout == CASE_ROWS) {
        return sets_of_rows(case_rows(spec), case_columns(spec));
    }
    switch (spec->op) {
    case NORMA_CHANNEL_NORM:
        return last ? sets_of_rows(n * spatial, c) : sets_of_fibers(n, c, spatial);
    case NORMA_INSTANCE_NORM:
        return last ? sets_of_columns(n, c, spatial) : sets_of_rows(n * c, spatial);
    case NORMA_GROUP_NORM:
        return last ? sets_of_groups(n, c, spatial) : sets_of_rows(n * CASE_GROUPS, c / CASE_GROUPS * spatial);
    default: /* whole channels */
        return last ? sets_of_columns(1, c, n * spatial) : sets_of_channels(n, c, spatial);
    }
}

void bench_problem_make(bench_problem *problem, const case_spec *spec)
{
    memset(problem, 0, sizeof *problem);
    memcpy(problem->name, spec->name, sizeof problem->name);
    problem->spec = *spec;
    problem->desc = case_desc(spec);
    problem->layout = spec->layout;
    problem->quick = spec->quick;
    problem->given = spec->given;
    problem->backward = spec->backward;
    const bool own = !spec->modulated; /* where samples have a scale and a shift, models have no others */
    problem->scale = own && (spec->op == NORMA_LAYER_NORM || spec->op == NORMA_RMS_NORM || spec->op == NORMA_CHANNEL_NORM);
    problem->shift = own && (spec->op == NORMA_LAYER_NORM || spec->op == NORMA_CHANNEL_NORM);
    problem->sets = sets_of(spec);
    problem->elements = problem->sets.count * problem->sets.pieces * problem->sets.length;
    problem->element_size = norma_dtype_size(spec->dtype);
    problem->y_size = norma_dtype_size(spec->y_dtype);
    problem->lane_size = norma_dtype_size(norma_dtype_of_lanes(spec->dtype));
    problem->samples = spec->extent[0];
    const size_t residual = problem->element_size * (spec->residual == NORMA_RESIDUAL_BEFORE                    ? 2
                                                     : spec->residual == NORMA_RESIDUAL_AFTER || spec->backward ? 1
                                                                                                                : 0);
    const size_t gate = spec->gated ? problem->element_size : 0;
    problem->useful_bytes = (double)problem->elements * (double)(problem->element_size + problem->y_size + residual + gate);
}

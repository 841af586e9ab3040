/* From the lists of cases to problems: name, descriptor, and where the reduced sets lie. */
#include <stdarg.h>
#include <string.h>

#include "bench.h"

static const char *const layout_names[] = {[BENCH_ROWS] = "rows", [BENCH_NCHW] = "nchw", [BENCH_NHWC] = "nhwc"};

/* All lists of all files, as one. */
static const bench_list *list_at(size_t index)
{
    if (index < bench_rows_lists_count) {
        return &bench_rows_lists[index];
    }
    index -= bench_rows_lists_count;
    if (index < bench_fibers_lists_count) {
        return &bench_fibers_lists[index];
    }
    index -= bench_fibers_lists_count;
    return index < bench_images_lists_count ? &bench_images_lists[index] : NULL;
}

size_t bench_problem_count(void)
{
    size_t count = 0;
    for (size_t i = 0; list_at(i); i++) {
        count += list_at(i)->count;
    }
    return count;
}

static void append(char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *name, const char *format, ...)
{
    const size_t used = strlen(name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name + used, BENCH_NAME_MAX - used, format, arguments);
    va_end(arguments);
}

static void name_problem(bench_problem *problem, const bench_list *list, const bench_shape *shape)
{
    problem->name[0] = '\0';
    append(problem->name, "%s%s/%s/%s/", norma_op_name(list->op), list->given ? "_given" : "", norma_dtype_name(list->dtype),
           layout_names[list->layout]);
    for (int k = 0; k < BENCH_RANK_MAX && shape->extent[k]; k++) {
        append(problem->name, "%s%lld", k ? "x" : "", (long long)shape->extent[k]);
    }
}

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

static void describe_rows(bench_problem *problem, norma_op op, norma_dtype dtype, const int64_t *shape)
{
    const int last = -1;
    problem->sets = sets_of_rows(shape[0], shape[1]);
    if (op == NORMA_LAYER_NORM) {
        problem->desc = norma_layer_norm_desc(2, shape, last, dtype);
    } else if (op == NORMA_RMS_NORM) {
        problem->desc = norma_rms_norm_desc(2, shape, last, dtype);
    } else if (op == NORMA_LP_NORM) {
        problem->desc = norma_lp_norm_desc(2, shape, last, 2, dtype);
    } else {
        problem->desc = norma_mvn_desc(2, shape, 1, &last, dtype);
    }
}

static void describe_channels(bench_problem *problem, norma_op op, norma_dtype dtype, const int64_t *shape)
{
    const int64_t n = shape[0], c = shape[1], spatial = shape[2] * shape[3];
    if (op == NORMA_MVN) {
        const int axes[] = {0, 2, 3};
        problem->desc = norma_mvn_desc(4, shape, 3, axes, dtype);
        problem->sets = sets_of_channels(n, c, spatial);
        return;
    }
    problem->desc = norma_channel_norm_desc(n, c, spatial, problem->layout == BENCH_NHWC ? NORMA_NHWC : NORMA_NCHW, dtype);
    const bench_sets fibers = {.count = n * spatial,
                               .inner = spatial,
                               .outer_stride = c * spatial,
                               .inner_stride = 1,
                               .pieces = 1,
                               .length = c,
                               .step = spatial};
    problem->sets = problem->layout == BENCH_NHWC ? sets_of_rows(n * spatial, c) : fibers;
}

/* Whole channels, channels of an item, or 32 groups of them. */
static void describe_image(bench_problem *problem, norma_op op, norma_dtype dtype, const int64_t *shape)
{
    const int64_t n = shape[0], c = shape[1], spatial = shape[2] * shape[3];
    const bool last = problem->layout == BENCH_NHWC;
    const norma_layout layout = last ? NORMA_NHWC : NORMA_NCHW;
    if (op == NORMA_BATCH_NORM) {
        problem->desc = norma_batch_norm_desc(n, c, spatial, layout, dtype);
        const bench_sets columns = {.count = c, .inner = c, .inner_stride = 1, .pieces = 1, .length = n * spatial, .step = c};
        problem->sets = last ? columns : sets_of_channels(n, c, spatial);
    } else if (op == NORMA_INSTANCE_NORM) {
        problem->desc = norma_instance_norm_desc(n, c, spatial, layout, dtype);
        const bench_sets columns = {.count = n * c,
                                    .inner = c,
                                    .outer_stride = c * spatial,
                                    .inner_stride = 1,
                                    .pieces = 1,
                                    .length = spatial,
                                    .step = c};
        problem->sets = last ? columns : sets_of_rows(n * c, spatial);
    } else {
        const int64_t groups = 32;
        problem->desc = norma_group_norm_desc(n, c, spatial, groups, layout, dtype);
        const bench_sets columns = {.count = n * groups,
                                    .inner = groups,
                                    .outer_stride = c * spatial,
                                    .inner_stride = c / groups,
                                    .pieces = spatial,
                                    .piece_stride = c,
                                    .length = c / groups,
                                    .step = 1};
        problem->sets = last ? columns : sets_of_rows(n * groups, c / groups * spatial);
    }
}

void bench_problem_make(bench_problem *problem, size_t index)
{
    size_t i = 0;
    for (; index >= list_at(i)->count; i++) {
        index -= list_at(i)->count;
    }
    const bench_list *list = list_at(i);
    const bench_shape *shape = &list->shapes[index];
    memset(problem, 0, sizeof *problem);
    name_problem(problem, list, shape);
    problem->layout = list->layout;
    problem->quick = list->quick && shape->quick;
    problem->given = list->given;
    problem->scale = list->op == NORMA_LAYER_NORM || list->op == NORMA_RMS_NORM || list->op == NORMA_CHANNEL_NORM;
    problem->shift = list->op == NORMA_LAYER_NORM || list->op == NORMA_CHANNEL_NORM;
    if (list->layout == BENCH_ROWS) {
        describe_rows(problem, list->op, list->dtype, shape->extent);
    } else if (list->op == NORMA_BATCH_NORM || list->op == NORMA_INSTANCE_NORM || list->op == NORMA_GROUP_NORM) {
        describe_image(problem, list->op, list->dtype, shape->extent);
    } else {
        describe_channels(problem, list->op, list->dtype, shape->extent);
    }
    if (list->given) {
        problem->desc.statistics = NORMA_STATISTICS_GIVEN;
    }
    problem->elements = problem->sets.count * problem->sets.pieces * problem->sets.length;
    problem->element_size = list->dtype == NORMA_F64 ? sizeof(double) : sizeof(float);
    problem->useful_bytes = 2.0 * (double)problem->elements * (double)problem->element_size;
}

#include <string.h>

#include "drivers/drivers.h"
#include "error.h"
#include "running.h"

/* A tensor of a run, as bytes. */
typedef struct range {
    const char *name;
    const void *data;
    int64_t bytes;
} range;

static bool overlap(const range *a, const range *b)
{
    const uintptr_t a_begin = (uintptr_t)a->data, b_begin = (uintptr_t)b->data;
    return a->data && b->data && a_begin < b_begin + (uintptr_t)b->bytes && b_begin < a_begin + (uintptr_t)a->bytes;
}

/* Rows of x and of y may interleave, as columns of one wider matrix do. */
static bool rows_interleave(const norma_problem *problem, const range *x, const range *y)
{
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    if (problem->geometry != NORMA_ROWS || problem->kept[0].x_stride != problem->kept[0].y_stride) {
        return false;
    }
    const int64_t stride = problem->kept[0].x_stride * size;
    const int64_t row = problem->length * size;
    const uintptr_t a = (uintptr_t)x->data, b = (uintptr_t)y->data;
    const int64_t apart = (int64_t)((a > b ? a - b : b - a) % (uintptr_t)stride);
    return apart >= row && stride - apart >= row;
}

static bool same_place(const norma_problem *problem, const norma_args *args)
{
    return args->x == args->y &&
           (problem->geometry != NORMA_ROWS || problem->outer <= 1 || problem->kept[0].x_stride == problem->kept[0].y_stride);
}

static norma_status check_overlap(const norma_problem *problem, const norma_args *args)
{
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t sets = problem->sets, channels = problem->channels;
    const int64_t parameters = norma_problem_parameters(problem);
    /* Outputs first. */
    const range tensors[] = {
        {"y", args->y, problem->y_span * size},
        {"mean", args->mean, sets * size},
        {"rstd", args->rstd, sets * size},
        {"running_mean", args->running_mean, channels * size},
        {"running_variance", args->running_variance, channels * size},
        {"updates", args->updates, sizeof *args->updates},
        {"x", args->x, problem->x_span * size},
        {"scale", args->scale, parameters * size},
        {"shift", args->shift, parameters * size},
        {"given_mean", args->given_mean, channels * size},
        {"given_variance", args->given_variance, channels * size},
    };
    enum { Y = 0, OUTPUTS = 6, X = OUTPUTS, COUNT = sizeof tensors / sizeof tensors[0] };
    for (int a = 0; a < OUTPUTS; a++) {
        for (int b = a + 1; b < COUNT; b++) {
            if (!overlap(&tensors[a], &tensors[b])) {
                continue;
            }
            if (a == Y && b == X && (same_place(problem, args) || rows_interleave(problem, &tensors[X], &tensors[Y]))) {
                continue;
            }
            return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: overlaps args.%s%s", tensors[a].name, tensors[b].name,
                              a == Y && b == X ? "; y may be x itself, with the same strides, or apart from it" : "");
        }
    }
    return NORMA_SUCCESS;
}

static norma_status check_tensor(const norma_problem *problem, const char *name, const void *data, bool taken, bool needed)
{
    if (!data && needed) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected a tensor, got NULL", name);
    }
    if (data && !taken) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: this plan takes none (its op, or desc.statistics), expected NULL",
                          name);
    }
    if ((uintptr_t)data % norma_dtype_size(problem->dtype) != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected an address aligned to its element of %zu bytes, got %p",
                          name, norma_dtype_size(problem->dtype), data);
    }
    return NORMA_SUCCESS;
}

static norma_status check_args(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    const bool needed = !problem->empty;
    const struct {
        const char *name;
        const void *data;
        bool taken;
        bool needed;
    } tensors[] = {
        {"x", args->x, true, needed},
        {"y", args->y, true, needed},
        {"scale", args->scale, problem->takes_scale, false},
        {"shift", args->shift, problem->takes_shift, false},
        {"mean", args->mean, problem->takes_mean, false},
        {"rstd", args->rstd, !problem->given, false},
        {"given_mean", args->given_mean, problem->given, needed && problem->given},
        {"given_variance", args->given_variance, problem->given, needed && problem->given},
        {"running_mean", args->running_mean, problem->updates, false},
        {"running_variance", args->running_variance, problem->updates, false},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const norma_status status =
            check_tensor(problem, tensors[i].name, tensors[i].data, tensors[i].taken, tensors[i].needed);
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    const norma_status status = norma_running_check(plan, args);
    return status == NORMA_SUCCESS && needed ? check_overlap(problem, args) : status;
}

norma_status norma_run(const norma_plan *plan, const norma_args *args)
{
    if (!plan) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "plan: expected a plan, got NULL (did norma_plan_create() fail?)");
    }
    if (!args) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args: expected the tensors of this run, got NULL");
    }
    norma_args known;
    norma_status status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    if (status == NORMA_SUCCESS) {
        status = check_args(plan, &known);
    }
    if (status != NORMA_SUCCESS || plan->problem.empty) {
        return status;
    }
    switch (plan->problem.geometry) {
    case NORMA_ROWS:
        norma_drive_rows(plan, &known);
        break;
    case NORMA_PLANES:
        norma_drive_planes(plan, &known);
        break;
    case NORMA_FIBERS:
        norma_drive_fibers(plan, &known);
        break;
    }
    norma_running_count(&known);
    return NORMA_SUCCESS;
}

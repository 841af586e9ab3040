#include "drivers/drivers.h"
#include "error.h"
#include "running.h"

/* A tensor of a run, as bytes. */
typedef struct range {
    const char *name;
    size_t field; /* in norma_args */
    const void *data;
    int64_t bytes;
    bool output;
} range;

static bool overlap(const range *a, const range *b)
{
    return norma_bytes_overlap(a->data, a->bytes, b->data, b->bytes);
}

static bool same_place(const norma_problem *problem, const norma_args *args)
{
    return args->x == args->y && problem->x_dtype == problem->epilogue.y_dtype &&
           (problem->geometry != NORMA_ROWS || problem->outer <= 1 || problem->kept[0].x_stride == problem->kept[0].y_stride);
}

/* What is read and written element by element may be one tensor: sum and what is added, or a dense y and a residual that joins
 * last. */
static bool adds_in_place(const norma_problem *problem, const range *out, const range *in)
{
    const bool with_residual = in->field == offsetof(norma_args, residual);
    const bool with_x = in->field == offsetof(norma_args, x) && problem->x_dtype == problem->dtype;
    const bool sum = out->field == offsetof(norma_args, sum) && (with_residual || with_x);
    const norma_epilogue *e = &problem->epilogue;
    const bool last = e->residual && e->residual_dtype == e->y_dtype && out->field == offsetof(norma_args, y) &&
                      with_residual && problem->y_span == norma_problem_elements(problem);
    return out->data == in->data && (sum || last);
}

static norma_status check_overlap(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    range tensors[NORMA_OPERANDS_MAX + 1];
    int count = 0; /* only those that are there: of a small norm this check is a good part */
    for (int i = 0; i < plan->operands_count; i++) {
        const norma_operand *o = &plan->operands[i];
        const void *data = norma_operand_get(o, args);
        if (data) {
            tensors[count++] = (range){o->name, o->field, data, norma_operand_bytes(o), o->output};
        }
    }
    if (args->updates) {
        tensors[count++] = (range){"updates", offsetof(norma_args, updates), args->updates, sizeof *args->updates, true};
    }
    for (int a = 0; a < count; a++) {
        for (int b = 0; tensors[a].output && b < count; b++) {
            const range *out = &tensors[a], *other = &tensors[b];
            if (a == b || (other->output && b < a) || !overlap(out, other)) {
                continue;
            }
            const bool y_and_x = out->field == offsetof(norma_args, y) && other->field == offsetof(norma_args, x);
            if (adds_in_place(problem, out, other)) {
                continue;
            }
            if (y_and_x && (same_place(problem, args) || norma_rows_interleave(problem, other->data, out->data))) {
                continue;
            }
            return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: overlaps args.%s%s", out->name, other->name,
                              y_and_x ? "; y may be x itself, with the same strides, or apart from it" : "");
        }
    }
    return NORMA_SUCCESS;
}

/* What depends on which tensors there are. */
static norma_status check_outputs(const norma_problem *problem, const norma_args *args)
{
    const norma_epilogue *e = &problem->epilogue;
    if (!args->y && !args->mean && !args->rstd && !args->running_mean) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.y: expected a tensor, or statistics to be wanted, got NULL");
    }
    if (problem->sums && !args->sum && (!args->y || e->y_dtype != problem->dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.sum: expected a tensor for the sum, as y %s, got NULL",
                          args->y ? "has another type" : "is not there to hold it");
    }
    const bool given = e->quantization == NORMA_QUANTIZATION_PER_TENSOR || e->quantization == NORMA_QUANTIZATION_PER_CHANNEL;
    const int64_t count = e->quantization == NORMA_QUANTIZATION_PER_CHANNEL ? norma_problem_parameters(problem) : 1;
    for (int64_t i = 0; given && i < count; i++) {
        const float y_scale = ((const float *)args->y_scale)[i];
        if (!(y_scale > 0) || isinf(y_scale)) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "args.y_scale: expected positive finite numbers, got %g for element %lld",
                              (double)y_scale, (long long)i);
        }
    }
    return NORMA_SUCCESS;
}

static norma_status check_args(const norma_plan *plan, const norma_args *args)
{
    for (int i = 0; i < plan->operands_count; i++) {
        const norma_operand *operand = &plan->operands[i];
        const void *data = norma_operand_get(operand, args);
        if (!data && !operand->needed) { /* most: of a small norm calls are a good part */
            continue;
        }
        const norma_status status = norma_operand_check(operand, data);
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    norma_status status = norma_running_check(plan, args);
    if (status == NORMA_SUCCESS && !plan->problem.empty) {
        status = check_outputs(&plan->problem, args);
    }
    return status == NORMA_SUCCESS && !plan->problem.empty ? check_overlap(plan, args) : status;
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
    const norma_problem *problem = &plan->problem;
    const bool sums_apart =
        norma_sums_apart(problem, plan->blocking.threads) || (problem->sums && (known.running_mean || !known.y));
    if (sums_apart) {
        known = norma_drive_sum(plan, &known);
    }
    switch (problem->geometry) {
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

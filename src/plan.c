#include "plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "error.h"

norma_limits norma_plan_limits(const norma_plan *plan)
{
    const norma_limits limits = {plan->context->isa, plan->context->parallel.threads};
    return limits;
}

void norma_plan_set_blocking(norma_plan *plan, norma_blocking blocking)
{
    plan->blocking = blocking;
    plan->kernel = plan->entry->kernel[blocking.isa];
}

void norma_plan_choose_blocking(norma_plan *plan)
{
    norma_tuning *tuning = &plan->context->tuning;
    norma_plan_set_blocking(plan, norma_tuning_choose(tuning, &plan->problem, norma_plan_limits(plan), &plan->tuned_by));
}

norma_status norma_plan_init(norma_plan *plan, norma_context *context, const norma_desc *desc)
{
    if (!desc) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc: expected a descriptor, got NULL");
    }
    norma_status status = norma_read_struct("desc", &plan->desc, sizeof plan->desc, sizeof plan->desc, desc);
    if (status == NORMA_SUCCESS) {
        status = norma_problem_init(&plan->problem, &plan->desc);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_context_hold(&plan->context, context);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const norma_problem *problem = &plan->problem;
    plan->operands_count = norma_operands_of(problem, plan->operands);
    plan->entry = norma_kernel_find(problem->geometry, problem->normalizer.statistic, problem->dtype);
    plan->kernel = plan->entry ? plan->entry->kernel[plan->context->isa] : NULL;
    if (!plan->kernel) {
        status = norma_fail(NORMA_UNSUPPORTED, "%s: this build has no kernel for %s on %s", norma_op_name(plan->desc.op),
                            norma_dtype_name(problem->dtype), norma_isa_name(plan->context->isa));
        norma_plan_fini(plan);
        return status;
    }
    norma_plan_choose_blocking(plan);
    return NORMA_SUCCESS;
}

void norma_plan_fini(norma_plan *plan)
{
    norma_context_destroy(plan->context);
}

static const char *geometry_name(norma_geometry geometry)
{
    return geometry == NORMA_ROWS ? "rows" : geometry == NORMA_PLANES ? "planes" : "fibers";
}

/* What is not done in the one pass on vectors that one would expect. */
static const char *notes_of(const norma_plan *plan)
{
    const norma_problem *problem = &plan->problem;
    const norma_activation activation = problem->epilogue.activation;
    const bool curve = activation >= NORMA_SILU && activation != NORMA_HARD_SWISH && activation != NORMA_HARD_SIGMOID;
    if (norma_sums_apart(problem, plan->blocking.threads)) {
        return ", a pass of its own for the sums";
    }
    return curve && problem->dtype == NORMA_F64 ? ", the activation by libm" : "";
}

size_t norma_plan_describe(const norma_plan *plan, char *buffer, size_t size)
{
    if (size > 0 && buffer) {
        buffer[0] = '\0';
    }
    if (!plan) {
        return 0;
    }
    char shape[NORMA_MAX_RANK * 21] = "";
    int used = 0;
    for (int k = 0; k < plan->desc.rank; k++) {
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%" PRId64, k ? "x" : "", plan->desc.shape[k]);
    }
    char blocking[256];
    int64_t knob[NORMA_KNOB_COUNT];
    norma_knobs_of(knob, &plan->problem, &plan->blocking);
    norma_knobs_describe(knob, blocking, sizeof blocking);
    const norma_activation activation = plan->desc.activation;
    const int length = snprintf(buffer, buffer ? size : 0, "%s%s%s%s%s %s %s axes 0x%x: %s, kernel %s, %s%s, tuning %s",
                                plan->desc.residual == NORMA_RESIDUAL_BEFORE ? "add+" : "", norma_op_name(plan->desc.op),
                                plan->desc.residual == NORMA_RESIDUAL_AFTER ? "+add" : "", activation ? "+" : "",
                                activation ? norma_activation_name(activation) : "", norma_dtype_name(plan->desc.dtype), shape,
                                (unsigned)plan->desc.axes, geometry_name(plan->problem.geometry), plan->entry->name, blocking,
                                notes_of(plan), plan->tuned_by);
    return length < 0 ? 0 : (size_t)length;
}

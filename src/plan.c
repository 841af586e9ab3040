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

/* Whether an activation takes more than a few operations. */
static bool is_curve(norma_activation activation)
{
    return activation >= NORMA_SILU && activation != NORMA_HARD_SWISH && activation != NORMA_HARD_SIGMOID;
}

static const char *geometry_name(norma_geometry geometry)
{
    return geometry == NORMA_ROWS ? "rows" : geometry == NORMA_PLANES ? "planes" : "fibers";
}

/* What is not done in the one pass on vectors that one would expect. */
static const char *notes_of(const norma_plan *plan)
{
    const norma_problem *problem = &plan->problem;
    const norma_epilogue *e = &problem->epilogue;
    const norma_dtype others[] = {e->y_dtype, e->residual ? e->residual_dtype : problem->dtype,
                                  e->gated ? e->gating.dtype : problem->dtype, problem->x_dtype};
    const norma_activation activation = e->activation,
                           gate = e->gated || problem->gates ? e->gating.activation : NORMA_IDENTITY;
    bool by_lane = false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        by_lane = by_lane || (others[i] == NORMA_F64) != (problem->dtype == NORMA_F64);
    }
    const bool libm = problem->dtype == NORMA_F64 && (is_curve(activation) || is_curve(gate));
    if (norma_sums_apart(problem, plan->blocking.threads)) {
        return libm ? ", a pass of its own for the sums, activations by libm" : ", a pass of its own for the sums";
    }
    if (e->quantization == NORMA_QUANTIZATION_PER_ROW) {
        return ", rows once more for their range";
    }
    return libm ? ", activations by libm" : by_lane ? ", f64 beside other types lane by lane" : "";
}

/* What stands around the norm, for its name. */
static void describe_epilogue(const norma_desc *desc, char *before, char *after, size_t size)
{
    const norma_dtype y = norma_desc_y_dtype(desc);
    snprintf(before, size, "%s%s", desc->residual == NORMA_RESIDUAL_BEFORE ? "add+" : "",
             desc->gate == NORMA_GATE_BEFORE ? "gate+" : "");
    snprintf(after, size, "%s%s%s%s%s%s%s", desc->modulation ? "+modulation" : "",
             desc->residual == NORMA_RESIDUAL_AFTER ? "+add" : "", desc->activation ? "+" : "",
             desc->activation ? norma_activation_name(desc->activation) : "", desc->gate == NORMA_GATE_AFTER ? "+gate" : "",
             y != desc->dtype ? ">" : "", y != desc->dtype ? norma_dtype_name(y) : "");
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
    char before[64], after[64];
    describe_epilogue(&plan->desc, before, after, sizeof after);
    const int length =
        snprintf(buffer, buffer ? size : 0, "%s%s%s %s %s axes 0x%x: %s, kernel %s, %s%s, tuning %s", before,
                 norma_op_name(plan->desc.op), after, norma_dtype_name(plan->desc.dtype), shape, (unsigned)plan->desc.axes,
                 geometry_name(plan->problem.geometry), plan->entry->name, blocking, notes_of(plan), plan->tuned_by);
    return length < 0 ? 0 : (size_t)length;
}

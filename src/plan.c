#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "blocking.h"
#include "error.h"

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
    plan->entry = norma_kernel_find(problem->geometry, problem->normalizer.statistic, problem->dtype);
    plan->kernel = plan->entry ? plan->entry->kernel[plan->context->isa] : NULL;
    if (!plan->kernel) {
        status = norma_fail(NORMA_UNSUPPORTED, "%s: this build has no kernel for %s on %s", norma_op_name(plan->desc.op),
                            norma_dtype_name(problem->dtype), norma_isa_name(plan->context->isa));
        norma_plan_fini(plan);
        return status;
    }
    plan->blocking = norma_tuning_choose(&plan->context->tuning, problem, plan->context->isa, plan->context->parallel.threads);
    return NORMA_SUCCESS;
}

void norma_plan_fini(norma_plan *plan)
{
    norma_context_destroy(plan->context);
}

norma_status norma_plan_create(norma_plan **plan, norma_context *context, const norma_desc *desc)
{
    if (!plan) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "plan: expected where to store it, got NULL");
    }
    *plan = NULL;
    norma_plan *made = malloc(sizeof *made);
    if (!made) {
        return norma_fail(NORMA_OUT_OF_MEMORY, "norma_plan_create: no memory for a plan");
    }
    const norma_status status = norma_plan_init(made, context, desc);
    if (status != NORMA_SUCCESS) {
        free(made);
        return status;
    }
    if (made->context->verbose) {
        char line[512];
        norma_plan_describe(made, line, sizeof line);
        fprintf(stderr, "norma: %s\n", line);
    }
    *plan = made;
    return NORMA_SUCCESS;
}

void norma_plan_destroy(norma_plan *plan)
{
    if (plan) {
        norma_plan_fini(plan);
        free(plan);
    }
}

static const char *geometry_name(norma_geometry geometry)
{
    return geometry == NORMA_ROWS ? "rows" : geometry == NORMA_PLANES ? "planes" : "fibers";
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
    char blocking[128];
    norma_blocking_describe(&plan->problem, &plan->blocking, blocking, sizeof blocking);
    const int length =
        snprintf(buffer, buffer ? size : 0, "%s %s %s axes 0x%x: %s, kernel %s on %s, %s, threads %d, tuning %s",
                 norma_op_name(plan->desc.op), norma_dtype_name(plan->desc.dtype), shape, (unsigned)plan->desc.axes,
                 geometry_name(plan->problem.geometry), plan->entry->name, norma_isa_name(plan->context->isa), blocking,
                 plan->blocking.threads, plan->context->tuning.random ? "by chance" : "built-in");
    return length < 0 ? 0 : (size_t)length;
}

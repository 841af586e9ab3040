/* Plans as callers make them: on the heap, and measured where that is asked for. */
#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "tuning/search.h"

static norma_status measure(const norma_plan *plan)
{
    const double seconds = plan->desc.measure_seconds > 0 ? plan->desc.measure_seconds : 1;
    const norma_search search = {.effort = NORMA_EFFORT_QUICK, .deadline = norma_clock() + seconds};
    norma_record record;
    const norma_search_end end = norma_search_run(&search, plan, &record);
    if (end == NORMA_SEARCH_NO_MEMORY || (end == NORMA_SEARCH_DONE && !norma_tuning_add(&plan->context->tuning, &record))) {
        return norma_fail(NORMA_OUT_OF_MEMORY, "desc.planning: no memory for the tensors to measure with");
    }
    return NORMA_SUCCESS;
}

/* With NORMA_MEASURE, unless the context knows this very problem. */
static norma_status measure_once(norma_plan *plan)
{
    norma_tuning *tuning = &plan->context->tuning;
    if (plan->desc.planning != NORMA_MEASURE || plan->problem.empty || tuning->source.state == NORMA_TUNING_RANDOM) {
        return NORMA_SUCCESS;
    }
    pthread_mutex_lock(&tuning->measure);
    const bool known = norma_tuning_knows(tuning, &plan->problem, norma_plan_limits(plan));
    const norma_status status = known ? NORMA_SUCCESS : measure(plan);
    pthread_mutex_unlock(&tuning->measure);
    norma_plan_choose_blocking(plan);
    return status;
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
    norma_status status = norma_plan_init(made, context, desc);
    if (status == NORMA_SUCCESS) {
        status = measure_once(made);
        if (status != NORMA_SUCCESS) {
            norma_plan_fini(made);
        }
    }
    if (status != NORMA_SUCCESS) {
        free(made);
        return status;
    }
    if (made->context->verbose) {
        char line[1024];
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

/* A plan: a problem, and all that running it needs. Immutable once made. */
#ifndef NORMA_PLAN_H
#define NORMA_PLAN_H

#include "context.h"
#include "operands.h"

struct norma_plan {
    norma_context *context;
    norma_desc desc;
    norma_problem problem;
    norma_operand operands[NORMA_OPERANDS_MAX]; /* what a run checks its tensors by */
    int operands_count;
    const norma_kernel_entry *entry;
    const void *kernel; /* norma_<geometry>_kernel; planes run on the rows kernels */
    norma_blocking blocking;
    char tuned_by[NORMA_RECORD_NAME]; /* where that comes from */
};

/* What the plan's context allows. */
norma_limits norma_plan_limits(const norma_plan *plan);

/* These two before the plan is shared. By what the context knows: */
void norma_plan_choose_blocking(norma_plan *plan);
void norma_plan_set_blocking(norma_plan *plan, norma_blocking blocking);

/* Makes a plan in place: norma_plan_create() without the allocation, for the one-call forms. norma_plan_fini() ends it. */
norma_status norma_plan_init(norma_plan *plan, norma_context *context, const norma_desc *desc);
void norma_plan_fini(norma_plan *plan);

#endif

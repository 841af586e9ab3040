/* Timing for `norma run --time`. */
#ifndef NORMA_TOOLS_RUN_MEASURE_H
#define NORMA_TOOLS_RUN_MEASURE_H

#include "failure.h"

typedef struct run_step {
    norma_plan *plan;
    norma_args args;
} run_step;

/* Runs the steps once. */
norma_status run_steps(const run_step *steps, int count);

/* Seconds that they take at best, and those that the way back of a plan takes. */
bool run_measure(const run_step *steps, int count, double *seconds, tool_failure *failure);
bool run_measure_backward(const norma_plan *plan, const norma_backward_args *args, double *seconds, tool_failure *failure);

#endif

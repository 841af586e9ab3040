/* The way back of `norma run --backward`: what the forward run must leave for it, and the gradients. */
#ifndef NORMA_TOOLS_RUN_BACKWARD_H
#define NORMA_TOOLS_RUN_BACKWARD_H

#include "run_ops.h"

typedef struct run_gradients {
    norma_backward_args args; /* its outputs are set by the caller */
    npy_array kept[4];        /* what the forward run is not asked for and leaves here: y, sum, mean, rstd */
    void *workspace;
} run_gradients;

/* Gives a forward run room for all that the way back takes from it. */
bool run_backward_prepare(run_gradients *gradients, const run_problem *problem, const npy_array *input, norma_args *forward,
                          tool_failure *failure);

/* Computes the gradients after the forward run. */
bool run_backward_compute(run_gradients *gradients, const norma_plan *plan, const run_problem *problem,
                          const norma_args *forward, const void *grad_output, tool_failure *failure);

void run_backward_free(run_gradients *gradients);

#endif

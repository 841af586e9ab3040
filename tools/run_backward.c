#include "run_backward.h"

#include <stdlib.h>

#include "run_job.h"

/* An array that nobody asked for, where there is none yet. */
static bool keep(npy_array *array, npy_type type, int rank, const int64_t *shape, void **at, tool_failure *failure)
{
    if (*at) {
        return true;
    }
    array->type = type;
    npy_set_shape(array, rank, shape);
    const bool ok = npy_allocate(array, failure);
    *at = array->data;
    return ok;
}

bool run_backward_prepare(run_gradients *gradients, const run_problem *problem, const npy_array *input, norma_args *forward,
                          tool_failure *failure)
{
    const norma_desc *desc = &problem->desc;
    const npy_type statistic = run_type_of(run_parameter_dtype(desc));
    const bool given = desc->statistics == NORMA_STATISTICS_GIVEN;
    const bool mean = !given && desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
    npy_array *kept = gradients->kept;
    return keep(&kept[0], input->type, input->rank, input->shape, &forward->y, failure) &&
           (desc->residual != NORMA_RESIDUAL_BEFORE ||
            keep(&kept[1], input->type, input->rank, input->shape, &forward->sum, failure)) &&
           (!mean || keep(&kept[2], statistic, problem->saved_rank, problem->saved_shape, &forward->mean, failure)) &&
           (given || keep(&kept[3], statistic, problem->saved_rank, problem->saved_shape, &forward->rstd, failure));
}

bool run_backward_compute(run_gradients *gradients, const norma_plan *plan, const run_problem *problem,
                          const norma_args *forward, const void *grad_output, tool_failure *failure)
{
    const size_t bytes = norma_backward_workspace(plan);
    gradients->workspace = malloc(bytes ? bytes : 1);
    if (!gradients->workspace) {
        return fail(failure, EXIT_MACHINE, "out of memory");
    }
    norma_backward_args *args = &gradients->args;
    args->struct_size = sizeof *args;
    args->x = problem->desc.residual == NORMA_RESIDUAL_BEFORE ? forward->sum : forward->x;
    args->dy = grad_output;
    args->y = problem->desc.activation == NORMA_RELU ? forward->y : NULL;
    args->scale = forward->scale;
    args->shift = problem->desc.modulation ? forward->shift : NULL;
    args->modulation_scale = forward->modulation_scale;
    args->mean = forward->mean;
    args->rstd = forward->rstd;
    args->given_mean = forward->given_mean;
    args->given_variance = forward->given_variance;
    args->workspace = gradients->workspace;
    const norma_status status = norma_backward(plan, args);
    return status == NORMA_SUCCESS || fail_library(failure, status);
}

void run_backward_free(run_gradients *gradients)
{
    for (size_t i = 0; i < sizeof gradients->kept / sizeof gradients->kept[0]; i++) {
        npy_free(&gradients->kept[i]);
    }
    free(gradients->workspace);
}

/*
 * The backward pass: one kernel for a type on an instruction set, see src/gradients.h for what it computes.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_backward_<dtype>_<isa>.
 */
#include "template/gradient.h"

#include "template/backward_columns.h"
#include "template/backward_rows.h"
#include "template/backward_runs.h"

#define BACKWARD_NAME(dtype, isa) norma_backward_##dtype##_##isa
#define BACKWARD_NAME_OF(dtype, isa) BACKWARD_NAME(dtype, isa)

static void settle(void)
{
    simd_fence();
}

const norma_backward_kernel BACKWARD_NAME_OF(NORMA_DTYPE, NORMA_ISA_NAME) = {
    .rows = backward_rows,
    .reduce = backward_reduce,
    .apply = backward_apply,
    .reduce_columns = backward_reduce_columns,
    .reduce_along = backward_reduce_along,
    .apply_columns = backward_apply_columns,
    .apply_along = backward_apply_along,
    .pass = backward_pass,
    .settle = settle,
};

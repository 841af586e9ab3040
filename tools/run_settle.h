/* From the options and the input to all of a descriptor: what its op says, and what every op may have around it. What the shape
 * of another file decides (modulation, residual gate, scale of the output) is left to run_tensors.c. */
#ifndef NORMA_TOOLS_RUN_SETTLE_H
#define NORMA_TOOLS_RUN_SETTLE_H

#include "run_ops.h"

bool run_settle(const run_op *op, const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                tool_failure *failure);

/* The statistics of a style image. */
bool run_settle_style(const run_op *op, const run_options *options, const npy_array *style, norma_dtype dtype,
                      run_problem *problem, tool_failure *failure);

/* The types of a residual; of what is normalized, the input or its sum with a residual; and of the output. */
norma_dtype run_residual_dtype(const norma_desc *desc);
norma_dtype run_normalized_dtype(const norma_desc *desc);
norma_dtype run_output_dtype(const norma_desc *desc);

/* The type of parameters and statistics, which are f32 beside narrow types. */
norma_dtype run_parameter_dtype(const norma_desc *desc);

#endif

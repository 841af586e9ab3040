/* From the options and the input to a descriptor: one function per op, for the table of run_ops.c. */
#ifndef NORMA_TOOLS_RUN_BUILD_H
#define NORMA_TOOLS_RUN_BUILD_H

#include "run_ops.h"

bool run_build_layer_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                          tool_failure *failure);
bool run_build_rms_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                        tool_failure *failure);
bool run_build_lp_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                       tool_failure *failure);
bool run_build_channel_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                            tool_failure *failure);
bool run_build_batch_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                          tool_failure *failure);
bool run_build_instance_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                             tool_failure *failure);
bool run_build_group_norm(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                          tool_failure *failure);
bool run_build_mvn(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                   tool_failure *failure);

#endif

/* All that one `norma run` holds. */
#ifndef NORMA_TOOLS_RUN_JOB_H
#define NORMA_TOOLS_RUN_JOB_H

#include "outputs.h"
#include "run_backward.h"
#include "run_measure.h"
#include "run_settle.h"

enum { RUN_OUTPUTS_MAX = 16 };

typedef struct run_job {
    const run_op *op;
    run_options options;
    npy_array files[OPTION_COUNT]; /* what was read for each option that names an input; no data elsewhere */
    run_problem problem;
    run_problem style; /* of --style */
    norma_context *context;
    run_step steps[2]; /* the statistics of a style, where there is one, and the norm */
    int step_count;
    run_gradients gradients; /* with --backward */
    npy_array sum;           /* where a sum goes that the library needs, but nobody wants */
    tool_output outputs[RUN_OUTPUTS_MAX];
    int output_count;
    double seconds; /* of one run, with --time */
    tool_failure failure;
} run_job;

/* Reads the input and makes a descriptor for it, then reads all that goes with it, checked and in the types that the plan
 * takes. In run_tensors.c. */
bool run_read_tensors(run_job *job);

npy_type run_type_of(norma_dtype dtype);

/* Puts an option and its value before the sentence of a failure. */
bool run_fail_about(run_job *job, run_option option);

#endif

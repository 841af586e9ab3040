/* The ops of `norma run`: a table with one row each. A new op is a new row and a function that makes its descriptor. */
#ifndef NORMA_TOOLS_RUN_OPS_H
#define NORMA_TOOLS_RUN_OPS_H

#include "npy.h"
#include "run_options.h"

/* An op on an input of a given shape. */
typedef struct run_problem {
    norma_desc desc;
    uint32_t reduced; /* bit k set: axis k of the input's array (not of desc.shape) is normalized over */
    int param_rank;   /* what scale and bias must have */
    int64_t param_shape[NORMA_MAX_RANK];
    int saved_rank; /* what saved statistics have */
    int64_t saved_shape[NORMA_MAX_RANK];
} run_problem;

typedef struct run_op {
    const char *name;
    const char *summary;
    const char *formula;                /* in lines of their own, indented by four */
    const char *example;                /* what follows `norma run`, a line each */
    uint64_t takes;                     /* options beyond those that every op takes */
    const char *defaults[OPTION_COUNT]; /* for --help */
    bool (*build)(const run_options *options, const npy_array *input, norma_dtype dtype, run_problem *problem,
                  tool_failure *failure);
} run_op;

/* Options that every op takes. */
uint64_t run_common_options(void);

/* All that an op takes. */
uint64_t run_op_options(const run_op *op);

/* The ops in order; NULL past the last. */
const run_op *run_op_at(int index);

/* NULL when there is none of that name. */
const run_op *run_op_find(const char *name);

/* Checks the options against the op and against each other, as far as that goes without the files. */
bool run_op_check_options(const run_op *op, const run_options *options, tool_failure *failure);

#endif

/* The command line of `norma run`, parsed by the table of options in run_option_table.c. */
#ifndef NORMA_TOOLS_RUN_OPTIONS_H
#define NORMA_TOOLS_RUN_OPTIONS_H

#include <stdint.h>

#include "failure.h"

typedef enum run_option {
    OPTION_INPUT,
    OPTION_OUTPUT,
    OPTION_SCALE,
    OPTION_BIAS,
    OPTION_MEAN,
    OPTION_VARIANCE,
    OPTION_STYLE,
    OPTION_AXIS,
    OPTION_AXES,
    OPTION_P,
    OPTION_LAYOUT,
    OPTION_GROUPS,
    OPTION_AFFINE,
    OPTION_TRAIN,
    OPTION_MOMENTUM,
    OPTION_MOMENTUM_MODE,
    OPTION_RUNNING_VARIANCE,
    OPTION_RUNNING_MEAN_OUT,
    OPTION_RUNNING_VARIANCE_OUT,
    OPTION_EPSILON,
    OPTION_EPSILON_MODE,
    OPTION_RMS_MODE,
    OPTION_UNBIASED,
    OPTION_SAVE_MEAN,
    OPTION_SAVE_RSTD,
    OPTION_SAVE_VARIANCE,
    OPTION_SAVE_DIVISOR,
    OPTION_MODULATION_SCALE,
    OPTION_MODULATION_SHIFT,
    OPTION_MODULATION_PLAIN,
    OPTION_ACTIVATION,
    OPTION_ALPHA,
    OPTION_BETA,
    OPTION_RESIDUAL,
    OPTION_RESIDUAL_AT,
    OPTION_RESIDUAL_OUT,
    OPTION_RESIDUAL_DTYPE,
    OPTION_RESIDUAL_GATE,
    OPTION_RESIDUAL_BIAS,
    OPTION_GATE,
    OPTION_GATE_AT,
    OPTION_GATE_ACTIVATION,
    OPTION_BACKWARD,
    OPTION_GRAD_OUTPUT,
    OPTION_GRAD_INPUT,
    OPTION_GRAD_SCALE,
    OPTION_GRAD_BIAS,
    OPTION_GRAD_RESIDUAL,
    OPTION_GRAD_MODULATION_SCALE,
    OPTION_GRAD_MODULATION_SHIFT,
    OPTION_DTYPE,
    OPTION_INPUT_SCALE,
    OPTION_INPUT_ZERO_POINT,
    OPTION_OUTPUT_DTYPE,
    OPTION_OUTPUT_SCALE,
    OPTION_OUTPUT_ZERO_POINT,
    OPTION_OUTPUT_SCALE_OUT,
    OPTION_OUTPUT_ZERO_POINT_OUT,
    OPTION_ISA,
    OPTION_THREADS,
    OPTION_TIME,
    OPTION_VERBOSE,
    OPTION_HELP,
    OPTION_COUNT
} run_option;

/* A set of options, as bits. */
#define OPTION_BIT(option) ((uint64_t)1 << (option))

typedef struct run_options {
    const char *op;                 /* NULL when none was given */
    const char *text[OPTION_COUNT]; /* as given; NULL: not given */
    int value[OPTION_COUNT];        /* of options that take an integer or a word (then the enumerator's) */
    double number[OPTION_COUNT];    /* of options that take a number */
    int axes_count;
    int axes[NORMA_MAX_RANK];
} run_options;

/* Parses argv; argv[0] is skipped. Strings stay those of argv. */
bool run_options_parse(run_options *options, int argc, char **argv, tool_failure *failure);

const char *run_option_name(run_option option);

/* "FILE", "inside|outside"; "" for a flag. */
const char *run_option_metavar(run_option option);

/* What the option does, without defaults that differ between ops. */
const char *run_option_help(run_option option);

#endif

/* The command line of `norma fold`: one table of options, read by the parser and by --help. */
#ifndef NORMA_TOOLS_FOLD_OPTIONS_H
#define NORMA_TOOLS_FOLD_OPTIONS_H

#include <stdint.h>

#include <norma/weights.h>

#include "failure.h"

typedef enum fold_option {
    FOLD_KIND,
    FOLD_WEIGHT,
    FOLD_BIAS,
    FOLD_SCALE,
    FOLD_SHIFT,
    FOLD_MEAN,
    FOLD_VARIANCE,
    FOLD_EPSILON,
    FOLD_GROUPS,
    FOLD_BN_FIRST,
    FOLD_PADDING,
    FOLD_DTYPE,
    FOLD_OUTPUT_WEIGHT,
    FOLD_OUTPUT_BIAS,
    FOLD_OUTPUT_PADDING,
    FOLD_HELP,
    FOLD_OPTION_COUNT
} fold_option;

typedef struct fold_options {
    const char *text[FOLD_OPTION_COUNT]; /* as given; "" for a flag; NULL where absent */
    norma_fold_layer layer;
    int64_t groups; /* 1 by default */
    double epsilon; /* 1e-5 by default */
    bool padded;
    bool bf16;
} fold_options;

const char *fold_option_name(fold_option option);

bool fold_options_parse(fold_options *options, int argc, char **argv, tool_failure *failure);

void fold_print_help(void);

#endif

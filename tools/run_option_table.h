/* The options of `norma run`, a row each: the parser, the checks and --help go by it. */
#ifndef NORMA_TOOLS_RUN_OPTION_TABLE_H
#define NORMA_TOOLS_RUN_OPTION_TABLE_H

#include "run_options.h"

typedef enum option_kind {
    KIND_FLAG,
    KIND_FILE,
    KIND_INTEGER,
    KIND_WORD,
    KIND_AXES,
    KIND_NOT_NEGATIVE, /* the kinds of numbers */
    KIND_POSITIVE,
    KIND_SHARE, /* 0 to 1 */
    KIND_NUMBER /* any, infinities too */
} option_kind;

typedef struct option_word {
    const char *text;
    int value;
} option_word;

typedef struct option_row {
    const char *name;
    option_kind kind;
    const char *metavar;
    const char *help;
    const option_word *words; /* KIND_WORD */
    int least, most;          /* KIND_INTEGER */
} option_row;

extern const option_row option_rows[OPTION_COUNT];

#endif

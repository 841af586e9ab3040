/* Command lines that are one list of options: parsing and help of `norma fold` and the commands of weights. */
#ifndef NORMA_TOOLS_OPTION_LIST_H
#define NORMA_TOOLS_OPTION_LIST_H

#include "failure.h"

typedef struct listed_option {
    const char *name;
    const char *metavar; /* "" for a flag */
    bool needed;
    const char *help;
} listed_option;

/* text[k] becomes what is given for option k: "" for a flag, NULL where it is absent. The last option is help, also known as
 * -h, with which nothing is needed. */
bool option_list_parse(const char *command, const listed_option *options, int count, const char **text, int argc, char **argv,
                       tool_failure *failure);

void option_list_print(const listed_option *options, int count);

/* A whole number in digits alone; *end is what stands behind it. */
bool parse_whole(const char *text, const char **end, long least, long *value);

/* A number of at least 0. */
bool parse_epsilon(const char *text, double *value);

#endif

/* How a command fails: a sentence and an exit status, carried up to the one place that prints it. */
#ifndef NORMA_TOOLS_FAILURE_H
#define NORMA_TOOLS_FAILURE_H

#include <stdbool.h>

#include <norma/norma.h>

enum {
    EXIT_MACHINE = 1, /* memory, disk, input or output errors: the same command may work another time */
    EXIT_USER = 2     /* the command line or an input file has to change */
};

/* text has room for a path of PATH_MAX bytes and the sentence around it. */
typedef struct tool_failure {
    int status;
    char text[8192];
} tool_failure;

/* Both return false, so that a check can end in `return fail(…)`. */
bool fail(tool_failure *failure, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool fail_library(tool_failure *failure, norma_status status);

/* Puts words before the sentence of a failure, as in "--input 'x.npy': ". */
bool fail_about(tool_failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line to stderr whatever the text holds (file names and headers may hold line breaks); returns the exit status.
 * command may be NULL. */
int failure_report(const tool_failure *failure, const char *command);

#endif

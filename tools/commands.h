/* The subcommands. Each takes its own argv (argv[0] is the subcommand) and returns the exit status. */
#ifndef NORMA_TOOLS_COMMANDS_H
#define NORMA_TOOLS_COMMANDS_H

#include "run_ops.h"

int command_fold(int argc, char **argv);
int command_info(int argc, char **argv);
int command_run(int argc, char **argv);
int command_spectral_norm(int argc, char **argv);
int command_weight_norm(int argc, char **argv);

/* Prints text in lines that fit a terminal, each indented; a line break in the text stays one. */
void print_wrapped(const char *text, int indent);

/* Help of `norma run`; op may be NULL. */
void run_print_help(const run_op *op);

#endif

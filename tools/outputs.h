/* The files that a command writes: all of them complete, or none touched. */
#ifndef NORMA_TOOLS_OUTPUTS_H
#define NORMA_TOOLS_OUTPUTS_H

#include "npy.h"

typedef struct tool_output {
    const char *option; /* for sentences: "output" */
    const char *path;   /* as the user gave it */
    npy_array array;    /* owned */
    char *target;       /* the path with links followed; owned */
    char *temporary;    /* written first, in the target's folder; NULL once renamed or removed; owned */
} tool_output;

/* To be called before the long work: finds the targets; refuses folders that are not there, targets that are no plain
 * files, and two outputs to one file. */
bool outputs_resolve(tool_output *outputs, int count, tool_failure *failure);

/* Writes all to temporary files, then renames them to their targets. On failure the temporary files are gone. */
bool outputs_write(tool_output *outputs, int count, tool_failure *failure);

void outputs_free(tool_output *outputs, int count);

#endif

/* What plans share: instruction set, threads, settings of the environment. */
#ifndef NORMA_CONTEXT_H
#define NORMA_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "parallel.h"
#include "tuning/tuning.h"

#define NORMA_THREADS_MAX 1024

struct norma_context {
    atomic_int holders; /* the creator and each plan */
    norma_isa isa;
    char isa_reason[160];
    norma_parallel parallel;
    norma_tuning tuning;
    bool verbose;
};

/* Takes hold of context, or of the process's default context when it is NULL. */
norma_status norma_context_hold(norma_context **held, norma_context *context);

#endif

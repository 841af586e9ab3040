/* Parallel loops, on whatever threads a context has. */
#ifndef NORMA_PARALLEL_H
#define NORMA_PARALLEL_H

#include "norma/norma.h"

/* How a context runs its tasks. */
typedef struct norma_parallel {
    int threads;
    norma_parallel_for loop; /* the caller's, or NULL: OpenMP, or serial when built without it */
    void *pool;
} norma_parallel;

/* Calls task(argument, i) once for each i in [0, count) and returns when all have returned. */
void norma_parallel_run(const norma_parallel *parallel, void *pool, size_t count, norma_task task, void *argument);

/* "openmp", "caller" or "serial". */
const char *norma_parallel_name(const norma_parallel *parallel);

/* Threads a run may use when nobody said; 1 when nothing could run more. */
int norma_parallel_default_threads(norma_parallel_for loop, int cores);

#endif

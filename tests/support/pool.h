/* A parallel_for as an engine might bring it: threads of its own that take the tasks in random order. */
#ifndef NORMA_TEST_POOL_H
#define NORMA_TEST_POOL_H

#include <stdatomic.h>
#include <stddef.h>

#include "norma/norma.h"

enum { POOL_TASKS_MAX = 4096 };

typedef struct pool {
    int threads;
    uint64_t seed;
    atomic_size_t calls;      /* of pool_parallel_for */
    atomic_size_t most_tasks; /* in one call */
} pool;

/* The norma_parallel_for; its first argument is a pool, which any number of loops may share. */
void pool_parallel_for(void *pool, size_t count, norma_task task, void *argument);

/* Threads of this process now, 0 where the system does not tell. */
int pool_threads_of_process(void);

#endif

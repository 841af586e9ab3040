/* The only file that knows OpenMP. */
#include "parallel.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static void run_serial(size_t count, norma_task task, void *argument)
{
    for (size_t i = 0; i < count; i++) {
        task(argument, i);
    }
}

#ifdef _OPENMP

/* The team has the context's size however few tasks there are: a smaller one would end threads that the next run needs. */
static void run_openmp(int threads, size_t count, norma_task task, void *argument)
{
    /* Inside the caller's own parallel region the cores are taken: a nested team would only fight for them. */
    if (omp_in_parallel()) {
        run_serial(count, task, argument);
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (size_t i = 0; i < count; i++) {
        task(argument, i);
    }
}

#endif

void norma_parallel_run(const norma_parallel *parallel, void *pool, size_t count, norma_task task, void *argument)
{
    if (count <= 1 || parallel->threads == 1) {
        run_serial(count, task, argument);
    } else if (parallel->loop) {
        parallel->loop(pool ? pool : parallel->pool, count, task, argument);
    } else {
#ifdef _OPENMP
        run_openmp(parallel->threads, count, task, argument);
#else
        run_serial(count, task, argument);
#endif
    }
}

const char *norma_parallel_name(const norma_parallel *parallel)
{
    if (parallel->threads == 1) {
        return "serial";
    }
    if (parallel->loop) {
        return "caller";
    }
#ifdef _OPENMP
    return "openmp";
#else
    return "serial";
#endif
}

int norma_parallel_default_threads(norma_parallel_for loop, int cores)
{
    if (loop) {
        return cores;
    }
#ifdef _OPENMP
    /* Heeds OMP_NUM_THREADS, as users of OpenMP expect. */
    const int most = omp_get_max_threads();
    return most < cores ? most : cores;
#else
    return 1;
#endif
}

/* Threads for the paths that are not norma's: the library's own loop, so that all paths run on the same OpenMP team and
 * none pays for waking a second one. */
#include <string.h>

#include "parallel.h"

#include "bench.h"

typedef struct indexed_task {
    bench_task task;
    void *argument;
    int count;
} indexed_task;

static void run_indexed(void *argument, size_t index)
{
    const indexed_task *indexed = argument;
    indexed->task(indexed->argument, (int)index, indexed->count);
}

void bench_parallel(int count, bench_task task, void *argument)
{
    const norma_parallel parallel = {.threads = count};
    indexed_task indexed = {task, argument, count};
    norma_parallel_run(&parallel, NULL, (size_t)count, run_indexed, &indexed);
}

int bench_threads_worth(const bench_problem *problem, int threads)
{
    const double worth = problem->useful_bytes / (64 * 1024);
    return worth < 1 ? 1 : worth < threads ? (int)worth : threads;
}

bool bench_threaded(void)
{
    const norma_parallel parallel = {.threads = 2};
    return strcmp(norma_parallel_name(&parallel), "serial") != 0;
}

int bench_cores(void)
{
    norma_cpu_info info = {.struct_size = sizeof info};
    return norma_get_cpu_info(&info) == NORMA_SUCCESS ? norma_parallel_default_threads(NULL, info.cores) : 1;
}

void bench_share(int64_t total, int64_t grain, int index, int count, int64_t *first, int64_t *last)
{
    const int64_t grains = (total + grain - 1) / grain;
    *first = grains * index / count * grain;
    *last = grains * (index + 1) / count * grain;
    *last = *last < total ? *last : total;
    *first = *first < total ? *first : total;
}

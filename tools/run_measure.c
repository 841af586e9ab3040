#define _XOPEN_SOURCE 700

#include "commands.h"

#include <time.h>

/* A batch of runs lasts at least this long, so that neither the clock's step nor reading it shows. */
#define BATCH_SECONDS 0.02
enum { BATCHES = 7 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

typedef norma_status (*run_once)(const norma_plan *plan, const void *args);

static norma_status forward(const norma_plan *plan, const void *args)
{
    return norma_run(plan, args);
}

static norma_status backward(const norma_plan *plan, const void *args)
{
    return norma_backward(plan, args);
}

static bool measure(run_once once, const norma_plan *plan, const void *args, double *seconds, tool_failure *failure)
{
    double best = 0;
    int64_t runs = 1;
    for (int batch = 0; batch < BATCHES;) {
        const double start = now();
        for (int64_t i = 0; i < runs; i++) {
            const norma_status status = once(plan, args);
            if (status != NORMA_SUCCESS) {
                return fail_library(failure, status);
            }
        }
        const double elapsed = now() - start;
        if (elapsed < BATCH_SECONDS && runs < INT64_MAX / 2) {
            runs *= 2;
            continue;
        }
        const double one = elapsed / (double)runs;
        best = batch == 0 || one < best ? one : best;
        batch++;
    }
    *seconds = best;
    return true;
}

bool run_measure(const norma_plan *plan, const norma_args *args, double *seconds, tool_failure *failure)
{
    return measure(forward, plan, args, seconds, failure);
}

bool run_measure_backward(const norma_plan *plan, const norma_backward_args *args, double *seconds, tool_failure *failure)
{
    return measure(backward, plan, args, seconds, failure);
}

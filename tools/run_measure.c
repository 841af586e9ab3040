#define _XOPEN_SOURCE 700

#include "run_measure.h"

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

norma_status run_steps(const run_step *steps, int count)
{
    norma_status status = NORMA_SUCCESS;
    for (int i = 0; i < count && status == NORMA_SUCCESS; i++) {
        status = norma_run(steps[i].plan, &steps[i].args);
    }
    return status;
}

/* What is measured: steps, or where there are args a way back. */
typedef struct measured {
    const run_step *steps;
    int count;
    const norma_plan *plan;
    const norma_backward_args *args;
} measured;

static bool measure(const measured *what, double *seconds, tool_failure *failure)
{
    double best = 0;
    int64_t runs = 1;
    for (int batch = 0; batch < BATCHES;) {
        const double start = now();
        for (int64_t i = 0; i < runs; i++) {
            const norma_status status =
                what->args ? norma_backward(what->plan, what->args) : run_steps(what->steps, what->count);
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

bool run_measure(const run_step *steps, int count, double *seconds, tool_failure *failure)
{
    return measure(&(measured){.steps = steps, .count = count}, seconds, failure);
}

bool run_measure_backward(const norma_plan *plan, const norma_backward_args *args, double *seconds, tool_failure *failure)
{
    return measure(&(measured){.plan = plan, .args = args}, seconds, failure);
}

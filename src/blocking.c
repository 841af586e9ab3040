#include "blocking.h"

#include <stdio.h>

#include "cpu.h"

/* Less work than this costs more to hand to another thread (about 2 us a hand-over) than it takes. */
#define WORK_PER_THREAD_MIN (64 * 1024)

static int64_t at_least(int64_t value, int64_t least)
{
    return value < least ? least : value;
}

static void set_rows(norma_blocking *blocking, const norma_problem *problem, int64_t l1)
{
    const int64_t row = problem->length * (int64_t)norma_dtype_size(problem->dtype);
    blocking->lockstep = row * 8 <= l1 ? 2 : 1;
    blocking->group = blocking->lockstep;
    blocking->strip = problem->length;
    if (blocking->stream) {
        blocking->lockstep = blocking->group = 1;
        if (row * 4 > l1) {
            blocking->group = 8;
            blocking->strip = 1024;
        }
    }
}

norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l1 = at_least(cpu->l1_size, 16 * 1024);
    const int64_t l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t elements = problem->outer * problem->runs * problem->length;
    const int64_t bytes = 2 * elements * size;
    (void)isa;
    norma_blocking blocking = {.lockstep = 1, .group = 1, .strip = problem->length, .stream = bytes > l3, .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = NORMA_STRIP_MAX;
    } else if (problem->geometry == NORMA_ROWS) {
        set_rows(&blocking, problem, l1);
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size)
{
    const char *stores = blocking->stream ? "streaming stores" : "plain stores";
    if (problem->geometry == NORMA_ROWS) {
        snprintf(buffer, size, "lockstep %d, group %d, strip %lld, %s", blocking->lockstep, blocking->group,
                 (long long)blocking->strip, stores);
    } else if (problem->geometry == NORMA_FIBERS) {
        snprintf(buffer, size, "strip %lld, %s", (long long)blocking->strip, stores);
    } else {
        snprintf(buffer, size, "plain stores");
    }
}

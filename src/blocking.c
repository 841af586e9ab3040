#include "blocking.h"

#include <stdio.h>

#include "cpu.h"

/* Less work than this costs more to hand to another thread (about 2 us a hand-over) than it takes. */
#define WORK_PER_THREAD_MIN (64 * 1024)

static int64_t at_least(int64_t value, int64_t least)
{
    return value < least ? least : value;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value > most ? most : value;
}

/* Measured on Zen 5 (docs/performance.md). A group stays in a share of L1 until it is written; beyond the caches, what
 * counts is that reads of the next rows never stop, some 16 KB ahead. */
static void set_rows(norma_blocking *blocking, const norma_problem *problem, norma_isa isa, int64_t l1, int64_t bytes)
{
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t row = problem->length * size;
    const int64_t window = 16 * 1024;
    blocking->strip = problem->length;
    blocking->lockstep = blocking->stream ? (row <= 4096 ? 2 : 1) : (isa == NORMA_ISA_AVX2 && row >= 4096 ? 1 : 2);
    if (blocking->stream && blocking->lockstep == 1) {
        blocking->group = 1;
    } else {
        const int64_t fit = l1 / 8 / row / 2 * 2;
        blocking->group = (int)at_most(at_least(bytes <= l1 ? at_least(fit, 4) : fit, 2), blocking->stream ? 8 : NORMA_GROUP_MAX);
    }
    if (!blocking->stream) {
        blocking->ahead = blocking->group * problem->kept[0].x_stride;
    } else {
        blocking->ahead = row >= 2 * window ? window / size : at_least(window / size, problem->length);
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
    norma_blocking blocking = {.lockstep = 1, .group = 1, .strip = problem->length, .stream = bytes >= l3 / 2, .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = NORMA_STRIP_MAX;
    } else if (problem->geometry == NORMA_ROWS) {
        set_rows(&blocking, problem, isa, l1, bytes);
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size)
{
    const char *stores = blocking->stream ? "streaming stores" : "plain stores";
    if (problem->geometry == NORMA_ROWS) {
        snprintf(buffer, size, "lockstep %d, group %d, strip %lld, ahead %lld, %s", blocking->lockstep, blocking->group,
                 (long long)blocking->strip, (long long)blocking->ahead, stores);
    } else if (problem->geometry == NORMA_FIBERS) {
        snprintf(buffer, size, "strip %lld, %s", (long long)blocking->strip, stores);
    } else {
        snprintf(buffer, size, "plain stores");
    }
}

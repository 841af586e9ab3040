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

/* Measured on Zen 5 (docs/performance.md). In the caches, and beyond them with rows of up to a page, a group stays in a
 * share of L1 until it is written. Wider rows beyond the caches stay in L2, are written in strips whose scale and shift stay
 * in L1, and reading runs 8 KB ahead. */
static void set_rows(norma_blocking *blocking, const norma_problem *problem, norma_isa isa, int64_t bytes)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l1 = at_least(cpu->l1_size, 16 * 1024);
    const int64_t l2 = at_least(cpu->l2_size, 128 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t row = problem->length * size;
    const int64_t page = 4096;
    blocking->beside = blocking->stream && row > page;
    if (blocking->beside) {
        blocking->lockstep = 1;
        blocking->group = (int)at_most(at_least(l2 / 4 / row, 1), 8);
        blocking->strip = 2048 / size;
        blocking->ahead = 2 * page / size;
        return;
    }
    const int64_t fit = l1 / 8 / row / 2 * 2;
    blocking->lockstep = isa == NORMA_ISA_AVX2 && row >= page ? 1 : 2;
    blocking->group = (int)at_most(at_least(bytes <= l1 ? at_least(fit, 4) : fit, 2), blocking->stream ? 8 : NORMA_GROUP_MAX);
    blocking->strip = problem->length;
    blocking->ahead = blocking->stream ? 4 * page / size : blocking->group * at_most(problem->kept[0].x_stride, page * page);
}

norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t elements = problem->outer * problem->runs * problem->length;
    const int64_t bytes = 2 * elements * size;
    norma_blocking blocking = {
        .lockstep = 1, .group = 1, .strip = problem->length, .stream = bytes >= l3 / 2, .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = NORMA_STRIP_MAX;
    } else if (problem->geometry == NORMA_ROWS) {
        set_rows(&blocking, problem, isa, bytes);
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size)
{
    const char *stores = blocking->stream ? "streaming stores" : "plain stores";
    if (problem->geometry == NORMA_ROWS) {
        snprintf(buffer, size, "lockstep %d, group %d%s, strip %lld, ahead %lld, %s", blocking->lockstep, blocking->group,
                 blocking->beside ? " beside" : "", (long long)blocking->strip, (long long)blocking->ahead, stores);
    } else if (problem->geometry == NORMA_FIBERS) {
        snprintf(buffer, size, "strip %lld, %s", (long long)blocking->strip, stores);
    } else {
        snprintf(buffer, size, "plain stores");
    }
}

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

/* Measured on Zen 5 (docs/performance.md). Past the caches, rows wider than a page go in groups that stay in L2, are written in
 * strips whose scale and shift stay in L1, and reading runs 8 KB ahead. In L3, and where four rows would crowd L1, a row is
 * written abreast of the next, as long as both, y, scale and shift find room in L1. Otherwise rows go in pairs. */
static void set_rows(norma_blocking *blocking, const norma_problem *problem, int64_t bytes)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l1 = at_least(cpu->l1_size, 16 * 1024);
    const int64_t l2 = at_least(cpu->l2_size, 128 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t row = problem->length * size;
    const int64_t page = 4096;
    const int64_t pitch = at_most(problem->kept[0].x_stride, page * page);
    if (blocking->stream && row > page) {
        blocking->order = NORMA_GROUPS;
        blocking->group = (int)at_most(at_least(l2 / 4 / row, 1), NORMA_GROUP_MAX);
        blocking->strip = 2048 / size;
        blocking->ahead = 2 * page / size;
    } else if (blocking->stream) {
        blocking->group = row <= page / 4 ? 8 : 2;
        blocking->ahead = 4 * page / size;
    } else if (row <= page / 4) {
        blocking->group = row <= 3 * page / 16 ? 8 : 4;
        blocking->ahead = 12 * pitch;
    } else if (5 * row <= l1 && row > (bytes > l2 ? page / 2 : page)) {
        blocking->order = NORMA_ABREAST;
        blocking->ahead = pitch + page / 2 / size;
    } else {
        blocking->ahead = 3 * pitch; /* the next pair has been read */
    }
}

norma_blocking norma_blocking_default(const norma_problem *problem, int threads)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t elements = problem->outer * problem->runs * problem->length;
    const int64_t bytes = 2 * elements * size;
    norma_blocking blocking = {
        .order = NORMA_PAIRS, .group = 2, .strip = problem->length, .stream = bytes >= l3 / 2, .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = NORMA_STRIP_MAX;
    } else if (problem->geometry == NORMA_ROWS) {
        set_rows(&blocking, problem, bytes);
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size)
{
    const char *stores = blocking->stream ? "streaming stores" : "plain stores";
    if (problem->geometry == NORMA_ROWS) {
        char order[64];
        if (blocking->order == NORMA_GROUPS) {
            snprintf(order, sizeof(order), "groups of %d, strip %lld", blocking->group, (long long)blocking->strip);
        } else {
            snprintf(order, sizeof(order), "%s", blocking->order == NORMA_PAIRS ? "pairs" : "abreast");
        }
        snprintf(buffer, size, "%s, ahead %lld, %s", order, (long long)blocking->ahead, stores);
    } else if (problem->geometry == NORMA_FIBERS) {
        snprintf(buffer, size, "strip %lld, %s", (long long)blocking->strip, stores);
    } else {
        snprintf(buffer, size, "plain stores");
    }
}

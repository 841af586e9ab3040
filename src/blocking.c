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
 * strips whose scale and shift stay in L1, and reading runs 8 KB ahead. Rows wider than a page, in L3 than half of one, go
 * abreast, as long as two, y, scale and shift find room in L1. Otherwise rows go in pairs, short ones several pairs at once. */
static void set_rows(norma_blocking *blocking, const norma_problem *problem, int64_t bytes, bool streams)
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
    } else if (row <= l1 / 5 && row > (bytes > l2 ? page / 2 : page) && streams) {
        blocking->order = NORMA_ABREAST;
        blocking->ahead = pitch + page / 2 / size;
    } else {
        blocking->ahead = 3 * pitch; /* measured: half of it has been read and may have left L1 */
    }
}

/* Strips of whole groups; where scale and shift go by channel (tall matrices of few columns), so many columns that a strip
 * stays in L2 from being reduced to being written, where that leaves a cache line a row, and as many strips as threads. */
static int64_t strip_of(const norma_problem *problem, int threads)
{
    const int64_t group = problem->group;
    int64_t strip = NORMA_STRIP_MAX;
    if (problem->channels) {
        const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
        const int64_t line = 64 / size;
        const int64_t fit = at_least(norma_cpu()->l2_size, 128 * 1024) / 2 / at_least(problem->runs * size, 1) / line * line;
        const int64_t share = (problem->length * problem->outer + threads - 1) / threads;
        strip = fit >= line ? at_most(strip, fit) : strip;
        strip = at_most(strip, at_least((share + line - 1) / line * line, line));
    }
    return at_least(strip / group * group, group);
}

norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t elements = problem->outer * problem->runs * problem->length;
    const int64_t bytes = 2 * elements * size;
    const bool streams = isa == NORMA_ISA_AVX2 || isa == NORMA_ISA_AVX512; /* the others' kernels have no way past the caches */
    norma_blocking blocking = {
        .order = NORMA_PAIRS, .group = 2, .strip = problem->length, .stream = streams && bytes >= l3 / 2, .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = strip_of(problem, threads);
    } else if (problem->geometry == NORMA_ROWS) {
        set_rows(&blocking, problem, bytes, streams);
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size)
{
    const char *stores = blocking->stream ? "streaming stores" : "plain stores";
    if (problem->geometry == NORMA_ROWS) {
        char order[64] = "abreast";
        if (blocking->order == NORMA_GROUPS) {
            snprintf(order, sizeof order, "groups of %d, strip %lld", blocking->group, (long long)blocking->strip);
        } else if (blocking->order == NORMA_PAIRS) {
            snprintf(order, sizeof order, "pairs, %d rows a turn", blocking->group);
        }
        snprintf(buffer, size, "%s, ahead %lld, %s", order, (long long)blocking->ahead, stores);
    } else if (problem->geometry == NORMA_FIBERS) {
        snprintf(buffer, size, "strip %lld, %s", (long long)blocking->strip, stores);
    } else {
        snprintf(buffer, size, "plain stores");
    }
}

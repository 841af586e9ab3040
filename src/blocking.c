#include "blocking.h"

#include "cpu.h"
#include "dtype.h"

/* Less work than this costs more to hand to another thread (about 2 us a hand-over) than it takes. */
#define WORK_PER_THREAD_MIN (64 * 1024)

#define PAGE ((int64_t)4096)

static int64_t at_least(int64_t value, int64_t least)
{
    return value < least ? least : value;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value > most ? most : value;
}

static bool several_channels(const norma_problem *problem)
{
    return problem->geometry == NORMA_ROWS && problem->channels && problem->per_channel < problem->length;
}

/* Elements between rows, as far as it is worth prefetching. */
static int64_t pitch_of(const norma_problem *problem)
{
    return at_most(problem->kept[0].x_stride, PAGE * PAGE);
}

void norma_blocking_set_order(norma_blocking *blocking, const norma_problem *problem, norma_rows_order order)
{
    const int64_t l2 = at_least(norma_cpu()->l2_size, 128 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t row = problem->length * size;
    blocking->order = order;
    blocking->group = 2;
    blocking->strip = problem->length;
    if (order == NORMA_GROUPS) {
        blocking->group = (int)at_most(at_least(l2 / 4 / row, 1), NORMA_GROUP_MAX);
        blocking->strip = at_most(2048 / size, problem->length);
        blocking->ahead = 2 * PAGE / size;
    } else if (order == NORMA_ABREAST) {
        blocking->ahead = pitch_of(problem) + PAGE / 2 / size;
    } else if (blocking->stream) {
        blocking->group = row <= PAGE / 4 ? 8 : 2;
        blocking->ahead = 4 * PAGE / size;
    } else if (row <= PAGE / 4) {
        blocking->group = row <= 3 * PAGE / 16 ? 8 : 4;
        blocking->ahead = 12 * pitch_of(problem);
    } else {
        blocking->ahead = 3 * pitch_of(problem); /* measured: half of it has been read and may have left L1 */
    }
}

/* Measured on Zen 5 (docs/performance.md). Past the caches, rows wider than a page go in groups that stay in L2, are written in
 * strips whose scale and shift stay in L1, and reading runs 8 KB ahead. Rows wider than a page, in L3 than half of one, go
 * abreast, as long as two, y, scale and shift find room in L1. Otherwise rows go in pairs, short ones several pairs at once. */
static norma_rows_order order_of(const norma_problem *problem, int64_t bytes, bool streams, bool stream)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l1 = at_least(cpu->l1_size, 16 * 1024);
    const int64_t l2 = at_least(cpu->l2_size, 128 * 1024);
    const int64_t row = problem->length * (int64_t)norma_dtype_size(problem->dtype);
    const int64_t tenants =
        problem->takes_scale && !problem->channels ? 5 : 3; /* of L1, abreast: two rows of x, y, and these */
    if (stream) {
        return row > PAGE ? NORMA_GROUPS : NORMA_PAIRS;
    }
    const bool fits = row <= l1 / tenants && row > (bytes > l2 ? PAGE / 2 : PAGE);
    return fits && streams && !several_channels(problem) ? NORMA_ABREAST : NORMA_PAIRS;
}

/* Strips of whole groups, as many as threads where that leaves each a cache line of every row. Wide ones are best even where
 * a strip does not stay in L2 (measured): narrow ones read rows in bits, and conflict in the caches where rows lie a power of
 * two apart. */
static int64_t strip_of(const norma_problem *problem, int threads)
{
    if (problem->fold > 1) {
        return problem->length;
    }
    const int64_t line = 64 / (int64_t)norma_dtype_size(problem->dtype);
    const int64_t all = at_least(problem->length * problem->outer, 1);
    const int64_t share = ((all + threads - 1) / threads + line - 1) / line * line;
    const int64_t strip = at_most(NORMA_STRIP_MAX, at_least(share, line));
    return at_least(strip / problem->group * problem->group, problem->group);
}

/* Tall matrices read whole rows ahead, past the caches 16 KB and in them 4. Narrow ones, which are one stretch of memory, read
 * ahead past the caches only. */
static int64_t ahead_of(const norma_problem *problem, bool stream)
{
    if (!problem->channels || problem->reduced_count != 1 || (!stream && problem->fold > 1)) {
        return 0;
    }
    const int64_t most = (stream ? 16 : 4) * 1024 / (int64_t)norma_dtype_size(problem->dtype); /* elements */
    const int64_t stride = problem->reduced[0].x_stride;
    return stride < most ? most / stride * stride : most;
}

norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads)
{
    if (problem->empty) {
        const norma_blocking none = {.isa = isa, .order = NORMA_PAIRS, .group = 2, .strip = 1, .threads = 1};
        return none;
    }
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024);
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    const int64_t elements = problem->sets * problem->count;
    const int64_t bytes = 2 * elements * size;
    const bool streams = isa == NORMA_ISA_AVX2 || isa == NORMA_ISA_AVX512;
    norma_blocking blocking = {.isa = isa,
                               .order = NORMA_PAIRS,
                               .group = 2,
                               .strip = problem->length,
                               .stream = streams && bytes >= l3 / 2,
                               .threads = threads};
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = strip_of(problem, threads);
        blocking.ahead = ahead_of(problem, blocking.stream);
    } else if (problem->geometry == NORMA_ROWS) {
        norma_blocking_set_order(&blocking, problem, order_of(problem, bytes, streams, blocking.stream));
    }
    if (problem->geometry == NORMA_PLANES) {
        const int64_t set = at_least(problem->runs * problem->length * size, 1);
        blocking.group = (int)at_most(at_least(at_least(cpu->l2_size, 128 * 1024) / 2 / set, 1), NORMA_SETS_MAX);
        blocking.ahead = 16 * 1024 / size; /* of streams; in the caches it gains nothing */
    }
    const int64_t most = at_least(bytes / WORK_PER_THREAD_MIN, 1);
    blocking.threads = most < threads ? (int)most : threads;
    return blocking;
}

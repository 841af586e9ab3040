#include "blocking.h"

#include "cpu.h"
#include "dtype.h"

/* Less work than this costs more to hand to another thread than it takes: half a microsecond for each time threads start. A row
 * that is split starts them twice. */
#define WORK_PER_THREAD_MIN (64 * 1024)
#define SPLIT_PER_THREAD_MIN (128 * 1024)

#define PAGE ((int64_t)4096)

static int64_t at_least(int64_t value, int64_t least)
{
    return value < least ? least : value;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value > most ? most : value;
}

/* What the rules go by, in bytes. */
typedef struct sizes {
    int64_t l1, l2, l3; /* where the system does not tell, small ones */
    int64_t element;
    int64_t tensors; /* x and y, and what is added to them */
    int64_t work;    /* x and y as the lanes that are computed with */
    int64_t row;     /* of rows and planes: a run */
} sizes;

static sizes sizes_of(const norma_problem *problem)
{
    const norma_cpu_info *cpu = norma_cpu();
    const int64_t element = (int64_t)norma_dtype_size(problem->dtype);
    const sizes s = {.l1 = at_least(cpu->l1_size, 16 * 1024),
                     .l2 = at_least(cpu->l2_size, 128 * 1024),
                     .l3 = at_least(cpu->l3_size ? cpu->l3_size : cpu->l2_size, 1024 * 1024),
                     .element = element,
                     .tensors = (problem->sums                ? 4
                                 : problem->epilogue.residual ? 3
                                                              : 2) *
                                problem->sets * problem->count * element,
                     .work =
                         2 * problem->sets * problem->count * (int64_t)norma_dtype_size(norma_dtype_of_lanes(problem->dtype)),
                     .row = problem->length * element};
    return s;
}

bool norma_isa_streams(norma_isa isa)
{
    return isa >= NORMA_ISA_AVX2 && isa <= NORMA_ISA_AVX512_BF16;
}

static int threads_of(const norma_problem *problem, const sizes *s, int threads)
{
    const bool split = problem->geometry == NORMA_ROWS && problem->outer < threads;
    const int64_t most = at_least(s->work / (split ? SPLIT_PER_THREAD_MIN : WORK_PER_THREAD_MIN), 1);
    return (int)at_most(most, threads);
}

/* Several threads together get more out of the last cache than one, but not out of memory: they write past it later. One that
 * reads everything twice does so sooner. */
static bool stream_of(const norma_problem *problem, const sizes *s, norma_isa isa, int threads)
{
    const bool rows = problem->geometry == NORMA_ROWS && !problem->given;
    return norma_isa_streams(isa) && s->tensors >= (threads > 1 ? s->l3 : rows ? s->l3 / 2 : s->l3 / 8 * 5);
}

/* With given statistics a long row is little but loads and stores. Loads wait for stores of 64 bytes at the same place of
 * another page; AVX2's are as fast in the caches, and on Zen 4 past L2 up to 1.2 times faster, 1.5 times where x and y lie that
 * way. */
static norma_isa isa_of(const norma_problem *problem, const sizes *s, norma_isa isa)
{
    const bool wide = isa == NORMA_ISA_AVX512 || isa == NORMA_ISA_AVX512_BF16;
    const bool clamps = !problem->epilogue.any || problem->epilogue.clamps;
    const bool copies = problem->given && problem->geometry == NORMA_ROWS && problem->dtype == NORMA_F32 && clamps;
    const bool far = s->row > PAGE / 2 && s->tensors > at_least(s->l2, 1024 * 1024);
    return wide && copies && far ? NORMA_ISA_AVX2 : isa;
}

/* How far pairs of rows that stay in the caches are prefetched: not past the last, and not out of L1. */
static int64_t ahead_of_pairs(const norma_problem *problem, const sizes *s, int threads)
{
    const int64_t pitch = at_most(problem->kept[0].x_stride, PAGE * PAGE);
    /* Of three rows half has been read and may have left L1 (measured). */
    const int64_t rows = (s->row <= PAGE / 4 ? 12 : 3) * pitch;
    const int64_t ahead = at_most(rows, 4 * PAGE / s->element);
    if (threads > 1 && s->row > s->l1 / 3) {
        return 0;
    }
    return 2 * ahead * s->element >= s->tensors / 2 ? 0 : ahead;
}

void norma_blocking_set_order(norma_blocking *blocking, const norma_problem *problem, norma_rows_order order)
{
    const sizes s = sizes_of(problem);
    blocking->order = order;
    blocking->group = 2;
    blocking->strip = problem->length;
    if (order == NORMA_GROUPS) {
        blocking->group = (int)at_most(at_least(s.l2 / 8 / s.row, 1), NORMA_GROUP_MAX);
        blocking->strip = at_most(PAGE / 2 / s.element, problem->length);
        blocking->ahead = 2 * PAGE / s.element;
    } else if (order == NORMA_ABREAST) { /* a row and half a page, 8 KB at most */
        blocking->ahead = at_most(problem->kept[0].x_stride + PAGE / 2 / s.element, 2 * PAGE / s.element);
    } else if (blocking->stream) {
        blocking->group = s.row <= PAGE / 4 ? 8 : 2;
        blocking->ahead = 4 * PAGE / s.element;
    } else {
        blocking->group = s.row <= 3 * PAGE / 16 ? 8 : s.row <= PAGE / 4 ? 4 : 2;
        blocking->ahead = ahead_of_pairs(problem, &s, blocking->threads);
    }
}

/* Measured on Zen 5 (docs/performance.md). Past the caches, rows wider than a page go in groups that stay in L2, are written in
 * strips whose scale and shift stay in L1, and reading runs 8 KB ahead. In the caches, rows wider than a page go abreast as
 * long as two, y, scale and shift find room in L1; past L2 from half a page on, and where no mean is taken from a quarter.
 * Otherwise rows go in pairs, short ones several pairs at once. */
static norma_rows_order order_of(const norma_problem *problem, const sizes *s, const norma_blocking *blocking)
{
    if (norma_rows_take_turns(problem)) {
        return NORMA_PAIRS;
    }

    if (blocking->stream) {
        return s->row > PAGE ? NORMA_GROUPS : NORMA_PAIRS;
    }
    const bool along = problem->takes_scale && !problem->channels;
    const bool moments = problem->normalizer.statistic == NORMA_MOMENTS, far = s->tensors / blocking->threads >= 2 * s->l2;
    const int64_t least = !moments ? PAGE / 4 : far ? PAGE / 2 : PAGE;
    const bool fits = s->row <= s->l1 / (along ? 5 : 3) && problem->length <= NORMA_RUN_LEAF;
    return norma_isa_streams(blocking->isa) && fits && s->row > least && !norma_rows_have_channels(problem) ? NORMA_ABREAST
                                                                                                            : NORMA_PAIRS;
}

/* The least number of columns that is whole groups and whole cache lines. */
static int64_t unit_of(const norma_problem *problem, const sizes *s)
{
    const int64_t line = 64 / s->element;
    int64_t unit = problem->group;
    while (unit % line != 0 && unit <= NORMA_STRIP_MAX) {
        unit += problem->group;
    }
    return unit <= NORMA_STRIP_MAX ? unit : problem->group;
}

/* Strips of whole groups and cache lines and of equal width, as many as threads at least. Wide ones are best even where a strip
 * does not stay in L2 (measured): narrow ones read rows in bits, and conflict in the caches where rows lie a power of two
 * apart. Only those of groups are as narrow as L2 wants them, down to half a kilobyte. */
static int64_t strip_of(const norma_problem *problem, const sizes *s, int threads)
{
    if (problem->fold > 1) {
        return problem->length;
    }
    const int64_t unit = unit_of(problem, s), fits = s->l2 / problem->runs / s->element;
    const bool stays = problem->group > 1 && fits >= PAGE / 8 / s->element;
    const int64_t wide = stays ? at_most(fits, NORMA_STRIP_MAX) : NORMA_STRIP_MAX;
    const int64_t most = at_least(wide / unit * unit, unit);
    const int64_t of_matrix = (problem->length + most - 1) / most;
    const int64_t strips = at_least(of_matrix, (threads + problem->outer - 1) / problem->outer);
    const int64_t even = ((problem->length + strips - 1) / strips + unit - 1) / unit * unit;
    return at_most(even, most);
}

/* Tall matrices read whole rows ahead, past the caches 16 KB and in them 4, unless rows are so wide that the processor sees by
 * itself where they go on, or so narrow that they are one stretch of memory. */
static int64_t ahead_of_fibers(const norma_problem *problem, const sizes *s, bool stream)
{
    const int64_t stride = problem->reduced[0].x_stride;
    const bool narrow = problem->fold > 1 || stride * s->element <= PAGE / 8;
    const bool alone = !stream && (narrow || stride * s->element > PAGE / 2);
    if (!problem->channels || problem->reduced_count != 1 || alone) {
        return 0;
    }
    const int64_t most = (stream ? 4 : 1) * PAGE / s->element;
    return stride < most ? most / stride * stride : most;
}

norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads)
{
    norma_blocking blocking = {.isa = isa, .order = NORMA_PAIRS, .group = 2, .strip = 1, .threads = 1};
    if (problem->empty) {
        return blocking;
    }
    const sizes s = sizes_of(problem);
    blocking.threads = threads_of(problem, &s, threads);
    blocking.stream = stream_of(problem, &s, isa, blocking.threads);
    blocking.isa = blocking.stream ? isa : isa_of(problem, &s, isa);
    blocking.strip = problem->length;
    if (problem->geometry == NORMA_FIBERS) {
        blocking.strip = strip_of(problem, &s, threads);
        blocking.ahead = ahead_of_fibers(problem, &s, blocking.stream);
        blocking.rows = problem->given && blocking.ahead && !blocking.stream && s.row <= PAGE / 4 ? 16 : 0; /* measured */
    } else if (problem->geometry == NORMA_ROWS) {
        norma_blocking_set_order(&blocking, problem, order_of(problem, &s, &blocking));
    } else {
        const int64_t set = at_least(problem->runs * s.row, 1);
        blocking.group = (int)at_most(at_least(s.l2 / 2 / set, 1), NORMA_SETS_MAX);
        blocking.ahead = 4 * PAGE / s.element; /* of streams; in the caches it gains nothing */
    }
    return blocking;
}

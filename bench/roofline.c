/*
 * What reading, copying and copying with streaming stores reach at each level of the memory hierarchy: the roofline that a
 * norm, which reads its input once and writes its output once, runs into.
 *
 * After Williams, Waterman and Patterson, "Roofline", 2009, and McCalpin's STREAM for what counts as a byte: read or written by
 * the program, not what the processor moves besides.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "passes.h"

const char *bench_level_name(bench_level level)
{
    static const char *const names[] = {"L1", "L2", "L3", "memory"};
    return names[level];
}

const char *bench_pass_name(bench_pass pass)
{
    static const char *const names[] = {"read", "copy", "streaming"};
    return names[pass];
}

int64_t bench_level_size(bench_level level)
{
    norma_cpu_info info = {.struct_size = sizeof info};
    norma_get_cpu_info(&info);
    return level == BENCH_L1 ? info.l1_size : level == BENCH_L2 ? info.l2_size : level == BENCH_L3 ? info.l3_size : 0;
}

/* Cores have their own L1 and L2, and share L3. */
static double capacity(bench_level level, int threads)
{
    return (double)bench_level_size(level) * (level == BENCH_L3 ? 1 : threads);
}

bench_level bench_level_of(double bytes, int threads)
{
    bench_level level = BENCH_L1;
    while (level < BENCH_MEMORY && bytes > capacity(level, threads)) {
        level++;
    }
    return level;
}

double bench_roofline_at(const bench_roofline *roofline, bench_level level)
{
    const double *speed = roofline->speed[level];
    return speed[BENCH_COPY] > speed[BENCH_STREAM] ? speed[BENCH_COPY] : speed[BENCH_STREAM];
}

typedef struct passage {
    const bench_isa_passes *passes;
    bench_pass pass;
    char *x, *y;
    size_t bytes; /* of x, and of y, for each thread */
    int64_t times;
    float *sums; /* of each thread */
} passage;

static void pass_share(void *argument, int index, int count)
{
    const passage *p = argument;
    char *x = p->x + (size_t)index * p->bytes, *y = p->y + (size_t)index * p->bytes;
    (void)count;
    for (int64_t i = 0; i < p->times; i++) {
        if (p->pass == BENCH_READ) {
            p->sums[index * 64] += p->passes->read(x, p->bytes);
        } else if (p->pass == BENCH_COPY) {
            p->passes->copy(y, x, p->bytes);
        } else {
            p->passes->copy_streaming(y, x, p->bytes);
        }
    }
}

/* Each thread its own pages, so that they lie where it runs. */
static void touch_share(void *argument, int index, int count)
{
    const passage *p = argument;
    (void)count;
    memset(p->x + (size_t)index * p->bytes, 0, p->bytes);
    memset(p->y + (size_t)index * p->bytes, 0, p->bytes);
}

static double seconds_of(passage *p, int threads)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    bench_parallel(threads, pass_share, p);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

/* The best of some: a ceiling is what can be reached, not what is usual. */
static double speed_of(passage *p, int threads)
{
    enum { TRIES = 7 };
    const double wanted = 3e-3;
    double best = 0;
    p->times = 1;
    /* How often is found with one thread: of several one may wait for a processor, which tells nothing. */
    while (seconds_of(p, 1) < wanted && p->times < INT64_C(1) << 40) {
        p->times *= 2;
    }
    for (int i = 0; i < TRIES; i++) {
        const double seconds = seconds_of(p, threads);
        best = best == 0 || seconds < best ? seconds : best;
    }
    return (p->pass == BENCH_READ ? 1 : 2) * (double)p->bytes * threads * (double)p->times / best;
}

/* Bytes of x, and of y, for each thread: half the level in all, or four times the last cache. */
static size_t bytes_at(bench_level level, int threads)
{
    const size_t grain = 4096, least_of_memory = (size_t)16 << 20, most = (size_t)512 << 20;
    const bench_level last = bench_level_size(BENCH_L3) ? BENCH_L3 : BENCH_L2;
    const double whole = level == BENCH_MEMORY ? 2 * capacity(last, threads) : capacity(level, threads) / 4;
    size_t bytes = (size_t)((whole < (double)most ? whole : (double)most) / threads) / grain * grain;
    if (level == BENCH_MEMORY && bytes < least_of_memory) {
        bytes = least_of_memory;
    }
    return bytes ? bytes : grain;
}

bool bench_roofline_measure(bench_roofline *roofline, int threads, char *sentence)
{
    memset(roofline, 0, sizeof *roofline);
    roofline->threads = threads;
    const norma_isa isa = bench_isa();
    const size_t room = bytes_at(BENCH_MEMORY, threads) * (size_t)threads;
    passage p = {.passes = bench_passes_for(isa),
                 .x = aligned_alloc(4096, room),
                 .y = aligned_alloc(4096, room),
                 .sums = calloc((size_t)threads, 64 * sizeof(float))};
    const bool good = p.passes && p.x && p.y && p.sums;
    if (good) {
        p.bytes = bytes_at(BENCH_MEMORY, threads);
        bench_parallel(threads, touch_share, &p);
    } else {
        snprintf(sentence, BENCH_SENTENCE_MAX, "the roofline needs %zu MiB of memory", room >> 19);
    }
    for (bench_level level = BENCH_L1; good && level < BENCH_LEVELS; level++) {
        p.bytes = bytes_at(level, threads);
        for (p.pass = BENCH_READ; p.pass < BENCH_PASSES; p.pass++) {
            const bool streams = isa == NORMA_ISA_AVX2 || isa == NORMA_ISA_AVX512;
            if ((level == BENCH_MEMORY || bench_level_size(level)) && (p.pass != BENCH_STREAM || streams)) {
                roofline->speed[level][p.pass] = speed_of(&p, threads);
            }
        }
    }
    free(p.x);
    free(p.y);
    free(p.sums);
    return good;
}

/* Copies of the same bytes: the yardstick. Nothing that reads x and writes y can be expected to be faster. Where more is read
 * than written, half of all is copied. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "passes.h"

typedef struct copy_state {
    void (*copy)(void *y, const void *x, size_t bytes);
    bench_copy_side sides[2];
    int threads;
} copy_state;

static void copy_libc(void *y, const void *x, size_t bytes)
{
    memcpy(y, x, bytes);
}

bench_copy_side bench_copy_sides(const bench_tensors *tensors, const bench_problem *problem)
{
    const size_t x = (size_t)problem->elements * problem->element_size, y = (size_t)problem->elements * problem->y_size;
    const bench_copy_side side = {y > x ? tensors->between : tensors->x, x > y ? tensors->between : tensors->y, (x + y) / 2};
    return side;
}

bench_copy_side bench_copy_rest(const bench_tensors *tensors, const bench_problem *problem)
{
    const size_t all = (size_t)problem->useful_bytes / 2, x = (size_t)problem->elements * problem->element_size;
    const size_t left = all - bench_copy_sides(tensors, problem).bytes;
    const void *from = tensors->residual ? tensors->residual : tensors->gate;
    void *into = tensors->residual ? tensors->sum : tensors->between;
    const bench_copy_side side = {from, into, left < x ? left : x};
    return side;
}

/* Only some instruction sets have streaming stores; elsewhere it would be the plain copy again. */
bool bench_copy_exists(const bench_path *path, const bench_problem *problem)
{
    (void)problem;
    const norma_isa isa = bench_isa();
    return path->argument != BENCH_COPY_STREAMING || (isa >= NORMA_ISA_AVX2 && isa <= NORMA_ISA_AVX512_BF16);
}

bench_ready bench_copy_prepare(void **state, const bench_path *path, const bench_problem *problem, const bench_tensors *tensors,
                               int threads, char *label, char *sentence)
{
    (void)label;
    copy_state *s = calloc(1, sizeof *s);
    *state = s;
    const bench_isa_passes *passes = bench_passes_for(bench_isa());
    if (!s || !passes) {
        snprintf(sentence, BENCH_SENTENCE_MAX, s ? "no passes for this instruction set" : "out of memory");
        return BENCH_BROKEN;
    }
    s->copy = path->argument == BENCH_COPY_STREAMING ? passes->copy_streaming
              : path->argument == BENCH_COPY_PLAIN   ? passes->copy
                                                     : copy_libc;
    s->sides[0] = bench_copy_sides(tensors, problem);
    s->sides[1] = bench_copy_rest(tensors, problem);
    s->threads = bench_threads_worth(problem, threads);
    return BENCH_READY;
}

static void copy_share(void *argument, int index, int count)
{
    const copy_state *s = argument;
    for (int k = 0; k < 2; k++) {
        const bench_copy_side *side = &s->sides[k];
        int64_t first, last;
        bench_share((int64_t)side->bytes, 4096, index, count, &first, &last);
        s->copy((char *)side->into + first, (const char *)side->from + first, (size_t)(last - first));
    }
}

bool bench_copy_run(void *state)
{
    copy_state *s = state;
    bench_parallel(s->threads, copy_share, s);
    return true;
}

void bench_copy_release(void *state)
{
    free(state);
}

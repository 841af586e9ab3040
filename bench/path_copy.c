/* Copies of the same bytes: the yardstick. Nothing that reads x and writes y can be expected to be faster. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "passes.h"

typedef struct copy_state {
    void (*copy)(void *y, const void *x, size_t bytes);
    const bench_tensors *tensors;
    size_t bytes;
    bool twice; /* a residual to a sum as well */
    int threads;
} copy_state;

static void copy_libc(void *y, const void *x, size_t bytes)
{
    memcpy(y, x, bytes);
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
    s->tensors = tensors;
    s->bytes = (size_t)problem->elements * problem->element_size;
    s->twice = problem->desc.residual == NORMA_RESIDUAL_BEFORE;
    s->threads = bench_threads_worth(problem, threads);
    return BENCH_READY;
}

static void copy_share(void *argument, int index, int count)
{
    const copy_state *s = argument;
    int64_t first, last;
    bench_share((int64_t)s->bytes, 4096, index, count, &first, &last);
    s->copy((char *)s->tensors->y + first, (const char *)s->tensors->x + first, (size_t)(last - first));
    if (s->twice) {
        s->copy((char *)s->tensors->sum + first, (const char *)s->tensors->residual + first, (size_t)(last - first));
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

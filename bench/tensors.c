/* Memory for a case: there before it is timed, and refused in words rather than by the kernel's killer. */
#define _DEFAULT_SOURCE /* madvise */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "dtype.h"

/* What Linux says can be had without swapping; SIZE_MAX where nothing tells. */
static size_t available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) {
        return SIZE_MAX;
    }
    char line[256];
    size_t bytes = SIZE_MAX;
    while (fgets(line, sizeof line, file)) {
        unsigned long long kilobytes;
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1) {
            bytes = (size_t)kilobytes * 1024;
            break;
        }
    }
    fclose(file);
    return bytes;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/*
 * On huge pages where the system has them, as it gives them to large tensors of its own accord in most distributions. On pages
 * of 4 KB it is chance which of them share the sets of L2: layer norm 512x1024 took 67 or 93 us then, for as long as a tensor
 * lived.
 */
static void *tensor_alloc(size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t page = (size_t)2 << 20, whole = (bytes + page - 1) / page * page;
    void *memory = aligned_alloc(page, whole);
    if (memory) {
        madvise(memory, whole, MADV_HUGEPAGE); /* a wish: nothing depends on it */
    }
    return memory;
#else
    return aligned_alloc(64, bytes);
#endif
}

/* A value from an element's index alone, so that threads can fill: near N(0.5, 1), the sum of four uniform variates. */
static double value_at(uint64_t index)
{
    uint64_t z = (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    const int sum = (int)(z & 0xffff) + (int)(z >> 16 & 0xffff) + (int)(z >> 32 & 0xffff) + (int)(z >> 48);
    return (sum - 131070) * (1.0 / 37837) + 0.5;
}

typedef struct fill {
    void *out;
    int64_t count;
    norma_dtype dtype;
    uint64_t seed;
    bool nan;      /* all of them, instead of values */
    bool positive; /* their squares and a little more */
} fill;

static void fill_share(void *argument, int index, int count)
{
    const fill *f = argument;
    int64_t first, last;
    bench_share(f->count, 1024, index, count, &first, &last);
    for (int64_t i = first; i < last; i++) {
        const double any = f->nan ? (double)NAN : value_at(f->seed + (uint64_t)i);
        const double value = f->positive ? any * any + 0.1 : any;
        norma_dtype_set(f->dtype, f->out, i, value);
    }
}

bool bench_tensors_create(bench_tensors *tensors, const bench_problem *problem, int threads, char *sentence)
{
    memset(tensors, 0, sizeof *tensors);
    const size_t bytes = round_up((size_t)problem->elements * problem->element_size);
    const size_t parameters = round_up((size_t)problem->sets.length * problem->lane_size);
    const size_t statistics = round_up((size_t)problem->sets.count * problem->lane_size);
    const norma_dtype dtype = problem->desc.dtype, lane = norma_dtype_of_lanes(dtype);
    const bool residual = problem->desc.residual != NORMA_RESIDUAL_NONE || problem->backward;
    /* Statistics come on top, given or the unfused path's: at most two doubles per set. */
    const size_t needed = (residual ? 4 : 2) * bytes + 2 * parameters + (size_t)problem->sets.count * 16;
    const size_t available = available_bytes();
    const size_t margin = (size_t)64 << 20;
    if (available < margin || needed > available - margin) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "needs %.0f MiB of memory; %.0f MiB are available", (double)needed / (1 << 20),
                 (double)available / (1 << 20));
        return false;
    }
    tensors->x = tensor_alloc(bytes);
    tensors->y = tensor_alloc(bytes);
    tensors->scale = aligned_alloc(64, parameters);
    tensors->shift = aligned_alloc(64, parameters);
    tensors->mean = aligned_alloc(64, statistics);
    tensors->variance = aligned_alloc(64, statistics);
    tensors->residual = residual ? tensor_alloc(bytes) : NULL;
    tensors->sum = residual ? tensor_alloc(bytes) : NULL;
    if ((residual && (!tensors->residual || !tensors->sum)) || !tensors->x || !tensors->y || !tensors->scale ||
        !tensors->shift || !tensors->mean || !tensors->variance) {
        bench_tensors_destroy(tensors);
        snprintf(sentence, BENCH_SENTENCE_MAX, "needs %.0f MiB of memory; the system gives less to this process",
                 (double)needed / (1 << 20));
        return false;
    }
    fill x = {tensors->x, problem->elements, dtype, 0, false, false};
    fill scale = {tensors->scale, problem->sets.length, lane, (uint64_t)1 << 40, false, false};
    fill shift = {tensors->shift, problem->sets.length, lane, (uint64_t)1 << 41, false, false};
    fill mean = {tensors->mean, problem->sets.count, lane, (uint64_t)1 << 42, false, false};
    fill variance = {tensors->variance, problem->sets.count, lane, (uint64_t)1 << 43, false, true};
    bench_parallel(threads, fill_share, &x);
    if (residual) {
        fill r = {tensors->residual, problem->elements, dtype, (uint64_t)1 << 44, false, false};
        fill sum = {tensors->sum, problem->elements, dtype, 0, true, false};
        bench_parallel(threads, fill_share, &r);
        bench_parallel(threads, fill_share, &sum);
    }
    bench_parallel(1, fill_share, &scale);
    bench_parallel(1, fill_share, &shift);
    bench_parallel(1, fill_share, &mean);
    bench_parallel(1, fill_share, &variance);
    bench_tensors_spoil(tensors, problem);
    return true;
}

void bench_tensors_destroy(bench_tensors *tensors)
{
    free(tensors->x);
    free(tensors->y);
    free(tensors->scale);
    free(tensors->shift);
    free(tensors->mean);
    free(tensors->variance);
    free(tensors->residual);
    free(tensors->sum);
    memset(tensors, 0, sizeof *tensors);
}

void bench_tensors_spoil(const bench_tensors *tensors, const bench_problem *problem)
{
    fill y = {tensors->y, problem->elements, problem->desc.dtype, 0, true, false};
    bench_parallel(1, fill_share, &y);
}

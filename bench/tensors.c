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

/* What stands for NaN in integers: few results are that. */
enum { SPOILT = 99 };

typedef struct fill {
    void *out;
    int64_t count;
    norma_dtype dtype;
    uint64_t seed;
    bool nan;      /* all of them (or what stands for it), instead of values */
    bool positive; /* their squares and a little more */
} fill;

static void fill_share(void *argument, int index, int count)
{
    const fill *f = argument;
    int64_t first, last;
    bench_share(f->count, 1024, index, count, &first, &last);
    const bool integer = bench_is_integer(f->dtype);
    const double unit = integer ? CASE_X_SCALE : 1, nothing = integer ? SPOILT * CASE_X_SCALE : (double)NAN;
    const double least = f->dtype == NORMA_S8 ? -128 : 0;
    for (int64_t i = first; i < last; i++) {
        const double any = f->nan ? nothing : value_at(f->seed + (uint64_t)i);
        const double value = (f->positive ? any * any + 0.1 : any) / unit;
        norma_dtype_set(f->dtype, f->out, i, integer ? rint(fmin(fmax(value, least), least + 255)) : value);
    }
}

/* What a problem needs, as a list: where it goes, how long it is, and of what. Those that are not filled get NaN. */
typedef struct tensor {
    void **at;
    int64_t count;
    norma_dtype dtype;
    bool filled;
    bool positive;
} tensor;

enum { TENSORS_MAX = 16 };

static int tensors_of(tensor *list, bench_tensors *t, const bench_problem *problem)
{
    const case_spec *spec = &problem->spec;
    const norma_dtype dtype = spec->dtype, lane = norma_dtype_of_lanes(dtype);
    const int64_t all = problem->elements, length = problem->sets.length, sets = problem->sets.count;
    int count = 0;
    list[count++] = (tensor){&t->x, all, dtype, true, false};
    list[count++] = (tensor){&t->y, all, spec->y_dtype, false, false};
    list[count++] = (tensor){&t->scale, length, lane, true, false};
    list[count++] = (tensor){&t->shift, length, lane, true, false};
    list[count++] = (tensor){&t->mean, sets, lane, true, false};
    list[count++] = (tensor){&t->variance, sets, lane, true, true};
    if (spec->residual != NORMA_RESIDUAL_NONE || spec->backward) {
        list[count++] = (tensor){&t->residual, all, dtype, true, false};
        list[count++] = (tensor){&t->sum, all, dtype, false, false};
    }
    if (spec->residual_gated) {
        list[count++] = (tensor){&t->residual_gate, problem->samples * length, lane, true, false};
    }
    if (spec->modulated) {
        list[count++] = (tensor){&t->modulation_scale, problem->samples * length, lane, true, false};
        list[count++] = (tensor){&t->modulation_shift, problem->samples * length, lane, true, false};
    }
    if (spec->gated) {
        list[count++] = (tensor){&t->gate, all, dtype, true, false};
    }
    if (bench_is_integer(spec->y_dtype)) {
        list[count++] = (tensor){&t->y_scale, sets, NORMA_F32, true, true};
        list[count++] = (tensor){&t->y_zero_point, sets, spec->y_dtype, false, false};
    }
    if (spec->y_dtype != dtype || spec->gated) {
        list[count++] = (tensor){&t->between, all, lane, false, false};
    }
    return count;
}

bool bench_tensors_create(bench_tensors *tensors, const bench_problem *problem, int threads, char *sentence)
{
    tensor list[TENSORS_MAX];
    memset(tensors, 0, sizeof *tensors);
    const int count = tensors_of(list, tensors, problem);
    /* Statistics come on top, the unfused path's: at most two doubles per set. */
    size_t needed = (size_t)problem->sets.count * 16;
    for (int i = 0; i < count; i++) {
        needed += round_up((size_t)list[i].count * norma_dtype_size(list[i].dtype));
    }
    const size_t available = available_bytes();
    const size_t margin = (size_t)64 << 20;
    if (available < margin || needed > available - margin) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "needs %.0f MiB of memory; %.0f MiB are available", (double)needed / (1 << 20),
                 (double)available / (1 << 20));
        return false;
    }
    for (int i = 0; i < count; i++) {
        const tensor *t = &list[i];
        const size_t bytes = round_up((size_t)t->count * norma_dtype_size(t->dtype));
        *t->at = t->count == problem->elements ? tensor_alloc(bytes) : aligned_alloc(64, bytes);
        if (!*t->at) {
            bench_tensors_destroy(tensors);
            snprintf(sentence, BENCH_SENTENCE_MAX, "needs %.0f MiB of memory; the system gives less to this process",
                     (double)needed / (1 << 20));
            return false;
        }
        fill f = {*t->at, t->count, t->dtype, (uint64_t)i << 40, !t->filled, t->positive};
        bench_parallel(t->count == problem->elements ? threads : 1, fill_share, &f);
    }
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
    free(tensors->residual_gate);
    free(tensors->modulation_scale);
    free(tensors->modulation_shift);
    free(tensors->gate);
    free(tensors->y_scale);
    free(tensors->y_zero_point);
    free(tensors->between);
    memset(tensors, 0, sizeof *tensors);
}

void bench_tensors_spoil(const bench_tensors *tensors, const bench_problem *problem)
{
    fill y = {tensors->y, problem->elements, problem->spec.y_dtype, 0, true, false};
    bench_parallel(1, fill_share, &y);
}

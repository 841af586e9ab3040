/* Spectral norm: what comes in and goes out, around the power iteration of spectral_power.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "cpu.h"
#include "error.h"
#include "weights/spectral.h"
#include "weights/tensors.h"

/* Where a task has less to do than this, in bytes, starting it costs more than it takes. */
enum { WORK_MIN = 128 * 1024 };

/* Segments of rows have sums of their own, which merge in order. */
enum { SEGMENTS_MAX = 16 };

/* ------------------------------------------------------------------------------------------------------------
 * Whole weights
 * ------------------------------------------------------------------------------------------------------------ */

/* W in memory order, its axis first. */
static void copy_rows(void *argument, size_t task)
{
    const spectral *s = argument;
    const size_t size = norma_dtype_size(s->desc.dtype), run = (size_t)s->inner * size;
    const int64_t last = norma_part_begin(s->slices, s->tasks, (int64_t)task + 1);
    for (int64_t slice = norma_part_begin(s->slices, s->tasks, (int64_t)task); slice < last; slice++) {
        for (int64_t k = 0; k < s->outer; k++) {
            memcpy((char *)s->copy + (size_t)(slice * s->outer + k) * run,
                   (const char *)s->weight + (size_t)(k * s->slices + slice) * run, run);
        }
    }
}

/* w = weight / sigma. */
typedef struct division {
    const spectral *s;
    void *w;
    double sigma;
    bool stream;
} division;

static void divide_share(void *argument, size_t task)
{
    const division *d = argument;
    const spectral *s = d->s;
    const int64_t total = s->height * s->width;
    const int64_t first = norma_part_begin(total, s->tasks, (int64_t)task);
    _Alignas(double) unsigned char factor[sizeof(double)]; /* a number of lane_dtype */
    norma_dtype_set(s->lane_dtype, factor, 0, 1 / d->sigma);
    const norma_combination job = {.a = norma_element(s->desc.dtype, s->weight, first),
                                   .y = norma_out_element(s->desc.dtype, d->w, first),
                                   .rows = 1,
                                   .count = norma_part_begin(total, s->tasks, (int64_t)task + 1) - first,
                                   .p = factor,
                                   .ahead = 1024,
                                   .stream = d->stream};
    s->products->combine(&job);
}

static void divide(const spectral *s, void *w, double sigma)
{
    const int64_t bytes = 2 * s->height * s->width * (int64_t)norma_dtype_size(s->desc.dtype), cache = norma_cpu()->l3_size;
    division d = {s, w, sigma, norma_isa_streams(s->isa) && bytes >= (s->tasks > 1 ? cache : cache / 2)};
    run_tasks(s, s->tasks, divide_share, &d);
}

/* ------------------------------------------------------------------------------------------------------------
 * Calls
 * ------------------------------------------------------------------------------------------------------------ */

static norma_status check_desc(const norma_spectral_norm_desc *desc)
{
    const norma_status status = norma_check_dtypes(desc->dtype, "dtype", 0);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    if (desc->rank < 2 || desc->rank > NORMA_MAX_RANK) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.rank: expected 2 to %d extents (and a shape that is not NULL), got %d",
                          NORMA_MAX_RANK, desc->rank);
    }
    if (desc->axis < -desc->rank || desc->axis >= desc->rank) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axis: expected %d to %d, got %d", -desc->rank, desc->rank - 1,
                          desc->axis);
    }
    if (desc->order != NORMA_SPECTRAL_U_FIRST && desc->order != NORMA_SPECTRAL_V_FIRST) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.order: expected a norma_spectral_order, got %d", (int)desc->order);
    }
    if (desc->iterations < 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.iterations: expected at least 0, got %d", desc->iterations);
    }
    if (!(desc->epsilon >= 0) || isinf(desc->epsilon)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.epsilon: expected a finite number of at least 0, got %g",
                          desc->epsilon);
    }
    return norma_check_shape(desc->rank, desc->shape, desc->dtype, 1);
}

/* Segments of whole leaves, at most SEGMENTS_MAX: they follow from the shape alone. */
static void set_segments(spectral *s)
{
    const int64_t leaves = norma_divide_up(s->height, NORMA_POWER_LEAF);
    s->segment = norma_divide_up(leaves, SEGMENTS_MAX) * NORMA_POWER_LEAF;
    s->segments = norma_divide_up(s->height, s->segment);
}

norma_status norma_spectral_begin(spectral *s, const norma_spectral_norm_desc *desc)
{
    if (!desc) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc: expected a descriptor, got NULL");
    }
    norma_status status = norma_read_struct("desc", &s->desc, sizeof s->desc, sizeof s->desc, desc);
    if (status == NORMA_SUCCESS) {
        status = check_desc(&s->desc);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const int axis = s->desc.axis < 0 ? s->desc.axis + s->desc.rank : s->desc.axis;
    s->lane_dtype = norma_dtype_of_lanes(s->desc.dtype);
    s->outer = s->slices = s->inner = 1;
    for (int k = 0; k < s->desc.rank; k++) {
        *(k < axis ? &s->outer : k == axis ? &s->slices : &s->inner) *= s->desc.shape[k];
    }
    s->swapped = s->outer > 1 && s->inner == 1;
    s->copied = s->outer > 1 && s->inner > 1;
    s->height = s->swapped ? s->outer : s->slices;
    s->width = s->swapped ? s->slices : s->outer * s->inner;
    set_segments(s);
    return NORMA_SUCCESS;
}

/* Where the parts of the workspace lie; returns its size. With no room yet only that counts. */
static size_t lay_out(spectral *s, char *room)
{
    const int64_t columns = columns_with_room(s);
    const struct {
        void *pointer; /* to one, of whatever type */
        int64_t bytes;
    } parts[] = {
        {&s->copy, s->copied ? s->height * s->width * (int64_t)norma_dtype_size(s->desc.dtype) : 0},
        {&s->down, s->height * lane_size(s)},
        {&s->across, columns * lane_size(s)},
        {&s->in, columns * lane_size(s)},
        {&s->out, s->height * lane_size(s)},
        {&s->leaf, s->segments * columns * lane_size(s)},
        {&s->sums, s->segments * columns * (int64_t)sizeof(double)},
    };
    size_t size = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *const part = room ? room + size : NULL;
        memcpy(parts[i].pointer, &part, sizeof part);
        size += (size_t)norma_divide_up(parts[i].bytes, 64) * 64;
    }
    return size;
}

size_t norma_spectral_norm_workspace(const norma_spectral_norm_desc *desc)
{
    spectral s = {.weight = NULL};
    return norma_spectral_begin(&s, desc) == NORMA_SUCCESS ? lay_out(&s, NULL) : 0;
}

static norma_status check_args(const spectral *s, const norma_spectral_norm_args *args)
{
    const int64_t elements = s->height * s->width;
    spectral laid_out = *s;
    const norma_tensor tensors[] = {
        {"workspace", args->workspace, NORMA_U8, (int64_t)lay_out(&laid_out, NULL), NORMA_TENSOR_OUT_OPTIONAL, NULL},
        {"weight", args->weight, s->desc.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"u", args->u, s->lane_dtype, s->slices, NORMA_TENSOR_OUT, NULL},
        {"v", args->v, s->lane_dtype, s->outer * s->inner, NORMA_TENSOR_OUT, NULL},
        {"w", args->w, s->desc.dtype, elements, NORMA_TENSOR_OUT_OPTIONAL, "weight"},
        {"sigma", args->sigma, NORMA_F64, 1, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    if ((uintptr_t)args->workspace % 64 != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.workspace: expected an address aligned to 64 bytes, got %p",
                          args->workspace);
    }
    return norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
}

void norma_spectral_set_threads(spectral *s, const norma_context *context)
{
    const int64_t bytes = s->height * s->width * (int64_t)norma_dtype_size(s->desc.dtype);
    const int64_t worth = bytes / WORK_MIN;
    s->parallel = context->parallel;
    s->isa = context->isa;
    s->tasks = smaller(s->parallel.threads, worth < 1 ? 1 : worth);
    s->power = norma_weights_find(NORMA_POWER, s->desc.dtype, context->isa);
    s->products = norma_weights_find(NORMA_PRODUCTS, s->desc.dtype, context->isa);
}

/* Computes in the workspace, then writes: u and v are as they were where something fails. */
static norma_status run(spectral *s, const norma_spectral_norm_args *args)
{
    void *const down = s->swapped ? args->v : args->u, *const across = s->swapped ? args->u : args->v;
    const size_t down_bytes = (size_t)(s->height * lane_size(s)), across_bytes = (size_t)(s->width * lane_size(s));
    s->weight = args->weight;
    s->matrix = s->copied ? s->copy : s->weight;
    if (s->copied) {
        run_tasks(s, s->tasks, copy_rows, s);
    }
    memset(s->in, 0, (size_t)(columns_with_room(s) * lane_size(s)));
    memset(s->across, 0, (size_t)(columns_with_room(s) * lane_size(s)));
    memcpy(s->down, down, down_bytes);
    memcpy(s->across, across, across_bytes);
    const double sigma = norma_spectral_iterate(s);
    if (sigma == 0 && args->w) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.weight: its largest singular value came out as 0, by which nothing is "
                                                  "divided; expected a weight (or u and v) that is not all zeros");
    }
    if (s->desc.iterations > 0) {
        memcpy(down, s->down, down_bytes);
        memcpy(across, s->across, across_bytes);
    }
    if (args->sigma) {
        *args->sigma = sigma;
    }
    if (args->w) {
        divide(s, args->w, sigma);
    }
    return NORMA_SUCCESS;
}

/* With the caller's workspace or one of this call's. */
static norma_status run_in_workspace(spectral *s, const norma_spectral_norm_args *args)
{
    const size_t size = lay_out(s, NULL);
    void *const own = args->workspace ? NULL : aligned_alloc(64, size);
    if (!args->workspace && !own) {
        return norma_fail(NORMA_OUT_OF_MEMORY, "args.workspace: no memory for the %zu bytes of one", size);
    }
    lay_out(s, args->workspace ? args->workspace : own);
    const norma_status status = run(s, args);
    free(own);
    return status;
}

norma_status norma_spectral_norm(norma_context *context, const norma_spectral_norm_desc *desc,
                                 const norma_spectral_norm_args *args)
{
    spectral s = {.weight = NULL};
    norma_spectral_norm_args known;
    norma_context *held;
    norma_status status = norma_spectral_begin(&s, desc);
    if (status == NORMA_SUCCESS && !args) {
        status = norma_fail(NORMA_INVALID_ARGUMENT, "args: expected the tensors of this call, got NULL");
    }
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    }
    if (status == NORMA_SUCCESS) {
        status = check_args(&s, &known);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_context_hold(&held, context);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    s.pool = known.pool;
    norma_spectral_set_threads(&s, held);
    status = run_in_workspace(&s, &known);
    norma_context_destroy(held);
    return status;
}

/* (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.) */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Twelve uniform numbers in the place of a normal one: no function of libm's, whose bits are its own. */
static void fill_random(norma_dtype dtype, void *vector, int64_t count, uint64_t *state)
{
    for (int64_t i = 0; i < count; i++) {
        double sum = -6;
        for (int k = 0; k < 12; k++) {
            sum += (double)(next_random(state) >> 11) * 0x1p-53;
        }
        norma_dtype_set(dtype, vector, i, sum);
    }
    const double norm = norma_spectral_length(dtype, vector, count);
    for (int64_t i = 0; i < count; i++) {
        norma_dtype_set(dtype, vector, i, norma_dtype_get(dtype, vector, i) / norm);
    }
}

norma_status norma_spectral_norm_start(norma_context *context, const norma_spectral_norm_desc *desc,
                                       const norma_spectral_norm_args *args, uint64_t seed)
{
    spectral s = {.weight = NULL};
    norma_spectral_norm_args known;
    norma_status status = norma_spectral_begin(&s, desc);
    if (status == NORMA_SUCCESS && !args) {
        status = norma_fail(NORMA_INVALID_ARGUMENT, "args: expected the tensors of this call, got NULL");
    }
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    }
    if (status == NORMA_SUCCESS) {
        status = check_args(&s, &known);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    fill_random(s.lane_dtype, known.u, s.slices, &seed);
    fill_random(s.lane_dtype, known.v, s.outer * s.inner, &seed);
    known.w = NULL;
    return norma_spectral_norm(context, &s.desc, &known);
}

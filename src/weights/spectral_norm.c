/*
 * Spectral norm, forward and backward.
 *
 * The weight is a matrix M of `height` rows in memory order: W itself where its axis is the first, W transposed where it is the
 * last, a copy of W where it is in between. Of M, `down` has one element per row and `across` one per column: u and v, or v and
 * u. M times across, then its transpose times that, is one pass over M (template/power.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "norma/weights.h"

#include "blocking.h"
#include "context.h"
#include "cpu.h"
#include "drivers/drivers.h"
#include "error.h"
#include "weights/registry.h"
#include "weights/tensors.h"

/* Where a task has less to do than this, in bytes, starting it costs more than it takes. */
enum { WORK_MIN = 128 * 1024 };

/* Segments of rows have sums of their own, which merge in order. */
enum { SEGMENTS_MAX = 16 };

/* One call at work. */
typedef struct spectral {
    norma_spectral_norm_desc desc;
    norma_dtype lane_dtype;
    int64_t outer, slices, inner; /* of the weight: before the axis, along it, after it */
    bool swapped;                 /* M is W transposed */
    bool copied;
    int64_t height, width; /* of M */
    int64_t segment;       /* rows */
    int64_t segments;
    const void *weight;
    const void *matrix; /* M */
    const norma_power_kernel *power;
    const norma_products_kernel *products;
    norma_isa isa;
    norma_parallel parallel;
    void *pool;
    int64_t tasks;
    /* In the workspace: */
    void *copy;   /* M, where it is copied */
    void *down;   /* lanes */
    void *across; /* lanes */
    void *in;     /* lanes: across, scaled */
    void *out;    /* lanes: the products, one per row */
    void *leaf;   /* lanes, one per column and segment */
    double *sums; /* one per column and segment */
    norma_power_job job;
} spectral;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t lane_size(const spectral *s)
{
    return (int64_t)norma_dtype_size(s->lane_dtype);
}

static void run_tasks(const spectral *s, int64_t count, norma_task task, void *argument)
{
    norma_parallel_run(&s->parallel, s->pool, (size_t)count, task, argument);
}

/* ------------------------------------------------------------------------------------------------------------
 * Passes over M
 * ------------------------------------------------------------------------------------------------------------ */

static int64_t columns_with_room(const spectral *s)
{
    return norma_divide_up(s->width + NORMA_POWER_ROOM, 16) * 16;
}

/* The columns' sums of segment i, in place `at` of those that there is room for. */
static void pass_segment(const spectral *s, int64_t i, int64_t at)
{
    const int64_t room = columns_with_room(s);
    norma_power_job job = s->job;
    job.leaf = norma_out_element(s->lane_dtype, s->leaf, at * room);
    job.sums = s->job.sums ? s->sums + at * room : NULL;
    s->power->pass(&job, i * s->segment, smaller(s->height, (i + 1) * s->segment));
}

static void pass_segments(void *argument, size_t task)
{
    const spectral *s = argument;
    const int64_t last = norma_part_begin(s->segments, s->tasks, (int64_t)task + 1);
    for (int64_t i = norma_part_begin(s->segments, s->tasks, (int64_t)task); i < last; i++) {
        pass_segment(s, i, i);
    }
}

/* Those in place `at` join those in the first. */
static void join_segment(const spectral *s, int64_t at)
{
    const double *from = s->sums + at * columns_with_room(s);
    for (int64_t c = 0; c < s->width; c++) {
        s->sums[c] += from[c];
    }
}

/* A pass over all rows. The columns' sums are then in the first place. */
static void pass(spectral *s, const void *in, void *products, double gain, bool sums)
{
    const norma_power_job job = {
        .matrix = s->matrix, .columns = s->width, .in = in, .gain = gain, .products = products, .sums = sums ? s->sums : NULL};
    s->job = job;
    if (s->tasks > 1) {
        run_tasks(s, smaller(s->tasks, s->segments), pass_segments, s);
    }
    for (int64_t i = 0; i < s->segments; i++) {
        const int64_t at = s->tasks > 1 || i == 0 ? i : 1; /* two places stay near */
        if (s->tasks == 1) {
            pass_segment(s, i, at);
        }
        if (sums && i > 0) {
            join_segment(s, at);
        }
    }
}

/* Sums of squares in double neither overflow nor lose f32's small ones. */
static double norm_of_f32(const float *vector, int64_t count)
{
    double part[8] = {0}; /* a loop that waits for one sum alone would show beside a pass */
    for (int64_t i = 0; i < count; i++) {
        part[i % 8] += (double)vector[i] * (double)vector[i];
    }
    return sqrt(((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])));
}

static double norm_of_f64(const double *vector, int64_t count)
{
    double part[8] = {0};
    for (int64_t i = 0; i < count; i++) {
        part[i % 8] += vector[i] * vector[i];
    }
    return sqrt(((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])));
}

static double norm_of(norma_dtype dtype, const void *vector, int64_t count)
{
    return dtype == NORMA_F64 ? norm_of_f64(vector, count) : norm_of_f32(vector, count);
}

/* to = from * factor, to lanes. Loops of their own for each pair of types: compilers vectorize these. */
static void scale_vector(const spectral *s, norma_dtype dtype, const void *from, void *to, int64_t count, double factor)
{
    const double *wide = from;
    const float *narrow = from;
    double *wide_to = to;
    float *narrow_to = to;
    if (s->lane_dtype == NORMA_F64) {
        for (int64_t i = 0; i < count; i++) {
            wide_to[i] = wide[i] * factor;
        }
    } else if (dtype == NORMA_F64) {
        for (int64_t i = 0; i < count; i++) {
            narrow_to[i] = (float)(wide[i] * factor);
        }
    } else {
        for (int64_t i = 0; i < count; i++) {
            narrow_to[i] = (float)((double)narrow[i] * factor);
        }
    }
}

/* Whether products and sums of f32 had room enough in it. */
static bool in_range(const spectral *s, double norm)
{
    return s->lane_dtype == NORMA_F64 || (norm >= 1e-12 && norm <= 1e12);
}

/* The power of two of the largest element of M that is a number; 0 for none. */
static int exponent_of_matrix(const spectral *s)
{
    double most = 0;
    for (int64_t i = 0; i < s->height * s->width; i++) {
        const double value = fabs(norma_dtype_get(s->desc.dtype, s->matrix, i));
        most = isfinite(value) && value > most ? value : most;
    }
    return most > 0 ? ilogb(most) : 0;
}

/* What a pass gave: multiplied by `scale`, a power of two, and of what norm then. */
typedef struct product {
    double scale;
    double norm;
} product;

/* M times across into out and, with sums, its transpose times that. Sums are of the order of M's elements squared: where these
 * do not fit f32, half of their exponent is taken out of the one and the other half out of the other. */
static product times_across(spectral *s, bool sums)
{
    product p = {1, 0};
    pass(s, s->across, s->out, 1, sums);
    p.norm = norm_of(s->lane_dtype, s->out, s->height);
    if (!in_range(s, p.norm)) {
        const int exponent = exponent_of_matrix(s), half = exponent / 2;
        scale_vector(s, s->lane_dtype, s->across, s->in, s->width, ldexp(1, -half));
        pass(s, s->in, s->out, ldexp(1, -exponent), sums);
        p.scale = ldexp(1, -half - exponent);
        p.norm = norm_of(s->lane_dtype, s->out, s->height);
    }
    return p;
}

/* The transpose of M times down into the sums, likewise. */
static product times_down(spectral *s)
{
    product p = {1, 0};
    pass(s, NULL, s->down, 1, true);
    p.norm = norm_of(NORMA_F64, s->sums, s->width);
    if (!in_range(s, p.norm)) {
        p.scale = ldexp(1, -exponent_of_matrix(s) / 2);
        scale_vector(s, s->lane_dtype, s->down, s->out, s->height, p.scale);
        pass(s, NULL, s->out, 1, true);
        p.norm = norm_of(NORMA_F64, s->sums, s->width);
    }
    return p;
}

/* ------------------------------------------------------------------------------------------------------------
 * Iterations
 * ------------------------------------------------------------------------------------------------------------ */

static double floored(const spectral *s, double norm)
{
    return norm < s->desc.epsilon ? s->desc.epsilon : norm; /* NaN stays */
}

/* u^T W v, where one of the two is the other's product with W, of that norm, normalized. */
static double sigma_of(const spectral *s, double norm)
{
    return norm * (norm / floored(s, norm));
}

/* down = normalize(M across). */
static double iterate_down(spectral *s)
{
    const product p = times_across(s, false);
    const double norm = p.norm / p.scale;
    scale_vector(s, s->lane_dtype, s->out, s->down, s->height, 1 / (floored(s, norm) * p.scale));
    return sigma_of(s, norm);
}

/* across = normalize(M^T down). */
static void iterate_across(spectral *s)
{
    const product p = times_down(s);
    scale_vector(s, NORMA_F64, s->sums, s->across, s->width, 1 / (floored(s, p.norm / p.scale) * p.scale));
}

/* Both, down first, in one pass: the sums are those of M across before it is normalized. */
static double iterate_both(spectral *s)
{
    const product p = times_across(s, true);
    const double length = floored(s, p.norm / p.scale) * p.scale;
    const double norm = norm_of(NORMA_F64, s->sums, s->width) / length;
    scale_vector(s, s->lane_dtype, s->out, s->down, s->height, 1 / length);
    scale_vector(s, NORMA_F64, s->sums, s->across, s->width, 1 / (floored(s, norm) * length));
    return sigma_of(s, norm);
}

/* u^T W v of vectors that were given. */
static double evaluate(spectral *s)
{
    const product p = times_across(s, false);
    double sigma = 0;
    for (int64_t i = 0; i < s->height; i++) {
        sigma += norma_dtype_get(s->lane_dtype, s->down, i) * (norma_dtype_get(s->lane_dtype, s->out, i) / p.scale);
    }
    return sigma;
}

/* All iterations; returns sigma. Across first, all but the first and the last half are still one pass for two. */
static double iterate(spectral *s)
{
    const bool down_first = (s->desc.order == NORMA_SPECTRAL_U_FIRST) != s->swapped;
    double sigma = 0;
    if (s->desc.iterations == 0) {
        return evaluate(s);
    }
    for (int i = 0; i < s->desc.iterations; i++) {
        if (!down_first && i == 0) {
            iterate_across(s);
        } else {
            sigma = iterate_both(s);
        }
    }
    return down_first ? sigma : iterate_down(s);
}

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

static norma_status begin(spectral *s, const norma_spectral_norm_desc *desc)
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
    return begin(&s, desc) == NORMA_SUCCESS ? lay_out(&s, NULL) : 0;
}

static norma_status check_args(const spectral *s, const norma_spectral_norm_args *args)
{
    const int64_t elements = s->height * s->width;
    const norma_tensor tensors[] = {
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

static void set_threads(spectral *s, const norma_context *context)
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
    const double sigma = iterate(s);
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
    norma_status status = begin(&s, desc);
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
    set_threads(&s, held);
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
    const double norm = norm_of(dtype, vector, count);
    for (int64_t i = 0; i < count; i++) {
        norma_dtype_set(dtype, vector, i, norma_dtype_get(dtype, vector, i) / norm);
    }
}

norma_status norma_spectral_norm_start(norma_context *context, const norma_spectral_norm_desc *desc,
                                       const norma_spectral_norm_args *args, uint64_t seed)
{
    spectral s = {.weight = NULL};
    norma_spectral_norm_args known;
    norma_status status = begin(&s, desc);
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

/* ------------------------------------------------------------------------------------------------------------
 * Backward
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct spectral_backward {
    spectral s;
    norma_spectral_norm_gradients args;
    int64_t units;
    double part[NORMA_SEGMENTS_MAX];
    double share; /* <grad_w, weight> / sigma */
} spectral_backward;

static void dot_share(void *argument, size_t task)
{
    spectral_backward *b = argument;
    const int64_t total = b->s.height * b->s.width, segment = norma_segment_length(total);
    const int64_t last = norma_part_begin(b->units, b->s.tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(b->units, b->s.tasks, (int64_t)task); unit < last; unit++) {
        const int64_t first = unit * segment;
        b->part[unit] =
            b->s.products->dot(norma_element(b->s.desc.dtype, b->args.grad_w, first),
                               norma_element(b->s.desc.dtype, b->args.weight, first), smaller(segment, total - first));
    }
}

/* Runs of the weight, in memory order: each has one element of one of the vectors, and all or a stretch of the other. */
static void deflate_share(void *argument, size_t task)
{
    const spectral_backward *b = argument;
    const spectral *s = &b->s;
    const int64_t length = s->inner > 1 ? s->inner : s->slices;
    const int64_t runs = s->height * s->width / length, last = norma_part_begin(runs, s->tasks, (int64_t)task + 1);
    for (int64_t run = norma_part_begin(runs, s->tasks, (int64_t)task); run < last; run++) {
        const int64_t outer = s->inner > 1 ? run / s->slices : run, slice = s->inner > 1 ? run % s->slices : 0;
        const void *along = s->inner > 1 ? norma_element(s->lane_dtype, b->args.v, outer * s->inner) : b->args.u;
        const double one =
            s->inner > 1 ? norma_dtype_get(s->lane_dtype, b->args.u, slice) : norma_dtype_get(s->lane_dtype, b->args.v, outer);
        s->power->deflate(norma_element(s->desc.dtype, b->args.grad_w, run * length), along,
                          norma_out_element(s->desc.dtype, b->args.grad_weight, run * length), length, 1 / b->args.sigma,
                          -b->share * one);
    }
}

static norma_status check_gradients(const spectral_backward *b)
{
    const spectral *s = &b->s;
    const norma_spectral_norm_gradients *args = &b->args;
    const int64_t elements = s->height * s->width;
    const norma_tensor tensors[] = {
        {"grad_w", args->grad_w, s->desc.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"weight", args->weight, s->desc.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"u", args->u, s->lane_dtype, s->slices, NORMA_TENSOR_IN, NULL},
        {"v", args->v, s->lane_dtype, s->outer * s->inner, NORMA_TENSOR_IN, NULL},
        {"grad_weight", args->grad_weight, s->desc.dtype, elements, NORMA_TENSOR_OUT, "grad_w"},
    };
    if (args->sigma == 0 || !isfinite(args->sigma)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.sigma: expected what norma_spectral_norm() gave, not 0, got %g",
                          args->sigma);
    }
    return norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
}

norma_status norma_spectral_norm_backward(norma_context *context, const norma_spectral_norm_desc *desc,
                                          const norma_spectral_norm_gradients *args)
{
    spectral_backward b = {.units = 0};
    norma_context *held;
    norma_status status = begin(&b.s, desc);
    if (status == NORMA_SUCCESS && !args) {
        status = norma_fail(NORMA_INVALID_ARGUMENT, "args: expected the tensors of this call, got NULL");
    }
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &b.args, sizeof b.args, sizeof b.args, args);
    }
    if (status == NORMA_SUCCESS) {
        status = check_gradients(&b);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_context_hold(&held, context);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const int64_t total = b.s.height * b.s.width;
    b.s.pool = b.args.pool;
    set_threads(&b.s, held);
    b.units = norma_divide_up(total, norma_segment_length(total));
    run_tasks(&b.s, b.s.tasks, dot_share, &b);
    for (int64_t unit = 0; unit < b.units; unit++) {
        b.share += b.part[unit];
    }
    b.share /= b.args.sigma;
    run_tasks(&b.s, b.s.tasks, deflate_share, &b);
    norma_context_destroy(held);
    return NORMA_SUCCESS;
}

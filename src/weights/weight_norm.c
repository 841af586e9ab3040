/*
 * Weight norm, forward and backward.
 *
 * A weight is (outer, slices, inner): a slice is `outer` runs of `inner` elements. Where runs are long, slices go one by one,
 * as planes do. Where they are short, all of it is a matrix of `outer` rows, and a slice `inner` neighbouring columns of it, as
 * fibers are. Which of the two follows from the shape alone, as does the tree of each sum.
 */
#include <math.h>
#include <stdatomic.h>

#include "norma/weights.h"

#include "blocking.h"
#include "context.h"
#include "cpu.h"
#include "drivers/drivers.h"
#include "error.h"
#include "weights/registry.h"
#include "weights/tensors.h"

/* Runs shorter than this are columns of a matrix. */
enum { RUN_MIN = 64 };

/* Where a task has less to do than this, in bytes, starting it costs more than it takes. */
enum { WORK_MIN = 128 * 1024 };

/* Rows up to so many bytes are written while the next is summed, and memory is read so many bytes ahead. */
enum { ROW_MAX = 128 * 1024, FETCH_AHEAD = 4096 };

/* One direction of one call. */
typedef struct weight_norm {
    norma_dtype dtype;
    norma_dtype scale_dtype;
    norma_dtype lane_dtype;
    norma_zero_norm zero_norm;
    int64_t outer, slices, inner;
    bool columns;
    bool backward;
    const void *v, *g;
    const void *grad_w;      /* backward */
    const void *given_norms; /* backward, or NULL */
    void *norms;             /* forward, or NULL */
    void *out;               /* w or grad_v, or NULL */
    void *grad_g;            /* backward, or NULL */
    bool only_look;          /* for slices of zeros, and write nothing */
    _Atomic int64_t zeros;   /* the first slice of zeros that was seen, or -1 */
    const norma_products_kernel *products;
    norma_parallel parallel;
    void *pool;
    bool stream; /* write past the caches */
    int64_t tasks;
} weight_norm;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const void *element_of(const weight_norm *w, const void *tensor, int64_t index)
{
    return norma_element(w->dtype, tensor, index);
}

static void run_tasks(const weight_norm *w, int64_t count, norma_task task, void *argument)
{
    norma_parallel_run(&w->parallel, w->pool, (size_t)count, task, argument);
}

/* What follows from a slice's sums. */
typedef struct slice_factors {
    double p; /* out = v * p, or (grad_w + v * q) * p: of a large or small v both keep within f32 */
    double q;
} slice_factors;

/* The same as lanes: numbers of lane_dtype, in room for any. */
typedef struct lane_factors {
    _Alignas(double) unsigned char p[sizeof(double)];
    _Alignas(double) unsigned char q[sizeof(double)];
} lane_factors;

static lane_factors lanes_of(const weight_norm *w, slice_factors factors)
{
    lane_factors lanes;
    norma_dtype_set(w->lane_dtype, lanes.p, 0, factors.p);
    norma_dtype_set(w->lane_dtype, lanes.q, 0, factors.q);
    return lanes;
}

static void note_zeros(weight_norm *w, int64_t slice)
{
    int64_t seen = atomic_load(&w->zeros);
    while ((seen < 0 || slice < seen) && !atomic_compare_exchange_weak(&w->zeros, &seen, slice)) {
    }
}

/* Whether the slice's norm has to be computed; else it is given. */
static bool computes_norms(const weight_norm *w)
{
    return !w->given_norms;
}

/* Stores what the caller asked for of a slice. `sum` is of squares or, where norms are given, ignored; `dot` is of grad_w * v.
 */
static slice_factors finish_slice(weight_norm *w, int64_t slice, double sum, double dot)
{
    const double n = computes_norms(w) ? sqrt(sum) : norma_dtype_get(w->lane_dtype, w->given_norms, slice);
    slice_factors factors = {0, 0};
    if (n == 0 && w->zero_norm == NORMA_ZERO_NORM_ERROR) {
        note_zeros(w, slice);
    }
    if (w->only_look) {
        return factors;
    }
    const double g = norma_dtype_get(w->scale_dtype, w->g, slice);
    const double zero = w->zero_norm == NORMA_ZERO_NORM_NAN ? NAN : 0;
    factors.p = n == 0 ? zero : g / n;
    factors.q = n == 0 ? zero : -(dot / n) / n;
    if (w->norms) {
        norma_dtype_set(w->lane_dtype, w->norms, slice, n);
    }
    if (w->grad_g) {
        norma_dtype_set(w->scale_dtype, w->grad_g, slice, n == 0 ? zero : dot / n);
    }
    return factors;
}

/* ------------------------------------------------------------------------------------------------------------
 * Slices of long runs
 * ------------------------------------------------------------------------------------------------------------ */

/* A slice at work on several threads. */
typedef struct slice_share {
    weight_norm *w;
    int64_t slice;
    bool dot; /* of grad_w * v, else of squares */
    int64_t units;
    int64_t tasks;
    double *part; /* one per unit */
    lane_factors lanes;
} slice_share;

static double sum_of_range(const weight_norm *w, bool dot, int64_t at, int64_t count)
{
    const void *v = element_of(w, w->v, at);
    return w->products->dot(dot ? element_of(w, w->grad_w, at) : v, v, count);
}

static int64_t run_begin(const weight_norm *w, int64_t slice, int64_t run)
{
    return (run * w->slices + slice) * w->inner;
}

static double sum_of_run(const weight_norm *w, bool dot, int64_t at)
{
    const int64_t segment = norma_segment_length(w->inner);
    double sum = 0;
    for (int64_t done = 0; done < w->inner; done += segment) {
        sum += sum_of_range(w, dot, at + done, smaller(segment, w->inner - done));
    }
    return sum;
}

/* The units of drivers/planes.c: segments where the slice is one run, else groups of whole runs. */
static int64_t runs_per_unit(const weight_norm *w)
{
    return norma_divide_up(w->outer, NORMA_SEGMENTS_MAX);
}

static int64_t units_of(const weight_norm *w)
{
    return w->outer == 1 ? norma_divide_up(w->inner, norma_segment_length(w->inner))
                         : norma_divide_up(w->outer, runs_per_unit(w));
}

static double sum_of_unit(const weight_norm *w, bool dot, int64_t slice, int64_t unit)
{
    if (w->outer == 1) {
        const int64_t segment = norma_segment_length(w->inner), first = unit * segment;
        return sum_of_range(w, dot, run_begin(w, slice, 0) + first, smaller(segment, w->inner - first));
    }
    const int64_t last = smaller(w->outer, (unit + 1) * runs_per_unit(w));
    double sum = 0;
    for (int64_t run = unit * runs_per_unit(w); run < last; run++) {
        sum += sum_of_run(w, dot, run_begin(w, slice, run));
    }
    return sum;
}

static void sum_share(void *argument, size_t task)
{
    const slice_share *share = argument;
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(share->units, share->tasks, (int64_t)task); unit < last; unit++) {
        share->part[unit] = sum_of_unit(share->w, share->dot, share->slice, unit);
    }
}

/* A whole slice's sum, by the same tree on any number of tasks. */
static double sum_of_slice(weight_norm *w, bool dot, int64_t slice, int64_t tasks)
{
    double part[NORMA_SEGMENTS_MAX], sum = 0;
    slice_share share = {.w = w, .slice = slice, .dot = dot, .units = units_of(w), .part = part};
    share.tasks = smaller(tasks, share.units);
    run_tasks(w, share.tasks, sum_share, &share);
    for (int64_t unit = 0; unit < share.units; unit++) {
        sum += part[unit];
    }
    return sum;
}

/* Elements of a run of the slice, from element `at` of the weight on. */
static norma_combination range_of(const weight_norm *w, const lane_factors *lanes, int64_t at, int64_t count)
{
    const norma_combination job = {.a = element_of(w, w->backward ? w->grad_w : w->v, at),
                                   .b = w->backward ? element_of(w, w->v, at) : NULL,
                                   .y = norma_out_element(w->dtype, w->out, at),
                                   .rows = 1,
                                   .count = count,
                                   .p = lanes->p,
                                   .q = lanes->q,
                                   .stream = w->stream};
    return job;
}

static void write_share(void *argument, size_t task)
{
    const slice_share *share = argument;
    const weight_norm *w = share->w;
    const int64_t total = w->outer * w->inner;
    int64_t first = norma_part_begin(total, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(total, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t run = first / w->inner, begin = first % w->inner;
        const int64_t count = smaller(w->inner - begin, last - first);
        const norma_combination job = range_of(w, &share->lanes, run_begin(w, share->slice, run) + begin, count);
        w->products->combine(&job);
        first += count;
    }
}

static void do_slice(weight_norm *w, int64_t slice, int64_t tasks)
{
    const double sum = computes_norms(w) ? sum_of_slice(w, false, slice, tasks) : 0;
    const double dot = w->backward && !w->only_look ? sum_of_slice(w, true, slice, tasks) : 0;
    slice_share share = {.w = w, .slice = slice, .tasks = tasks};
    share.lanes = lanes_of(w, finish_slice(w, slice, sum, dot));
    if (w->out && !w->only_look) {
        run_tasks(w, tasks, write_share, &share);
    }
}

/* Slices [first, last) of one run each, which is written while the next one is summed. */
static void do_rows(weight_norm *w, int64_t first, int64_t last)
{
    const int64_t ahead = FETCH_AHEAD / (int64_t)norma_dtype_size(w->dtype);
    lane_factors lanes;
    norma_combination before = {.rows = 0};
    for (int64_t slice = first; slice < last; slice++) {
        const int64_t at = run_begin(w, slice, 0);
        const void *v = element_of(w, w->v, at), *other = w->backward ? element_of(w, w->grad_w, at) : v;
        const double again = w->backward && computes_norms(w) ? w->products->dot(v, v, w->inner) : 0;
        const double sum =
            before.rows ? w->products->dot_beside(other, v, w->inner, &before) : w->products->dot(other, v, w->inner);
        lanes = lanes_of(w, finish_slice(w, slice, w->backward ? again : sum, sum));
        before = range_of(w, &lanes, at, w->inner);
        before.ahead = ahead;
    }
    before.ahead = 0;
    w->products->combine(&before);
    w->products->settle();
}

/* Rows of which a few stay in L2; and no more than one leaf to a segment, or the sums would be another tree. */
static bool rows_abreast(const weight_norm *w)
{
    const int64_t bytes = w->inner * (int64_t)norma_dtype_size(w->dtype);
    return w->outer == 1 && bytes <= ROW_MAX && norma_segment_length(w->inner) == NORMA_RUN_LEAF && w->out && !w->only_look;
}

static void do_slices(void *argument, size_t task)
{
    weight_norm *w = argument;
    const int64_t first = norma_part_begin(w->slices, w->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(w->slices, w->tasks, (int64_t)task + 1);
    if (first < last && rows_abreast(w)) {
        do_rows(w, first, last);
        return;
    }
    for (int64_t slice = first; slice < last; slice++) {
        do_slice(w, slice, 1);
    }
}

/* ------------------------------------------------------------------------------------------------------------
 * Slices of neighbouring columns
 * ------------------------------------------------------------------------------------------------------------ */

/* Columns [first, last) of the matrix: whole slices, at most NORMA_COLUMNS_MAX columns. */
typedef struct column_strip {
    int64_t first;
    int64_t last;
    double squares[NORMA_COLUMNS_MAX];
    double dots[NORMA_COLUMNS_MAX];
    _Alignas(64) unsigned char p[NORMA_COLUMNS_MAX * sizeof(double)]; /* lanes, as in lane_factors */
    _Alignas(64) unsigned char q[NORMA_COLUMNS_MAX * sizeof(double)];
} column_strip;

static double sum_of_group(const double *sums, int64_t count)
{
    double sum = sums[0];
    for (int64_t i = 1; i < count; i++) {
        sum += sums[i];
    }
    return sum;
}

static void finish_columns(weight_norm *w, column_strip *strip)
{
    for (int64_t first = strip->first; first < strip->last; first += w->inner) {
        const int64_t at = first - strip->first;
        const double sum = computes_norms(w) ? sum_of_group(strip->squares + at, w->inner) : 0;
        const double dot = w->backward ? sum_of_group(strip->dots + at, w->inner) : 0;
        const slice_factors factors = finish_slice(w, first / w->inner, sum, dot);
        for (int64_t i = at; i < at + w->inner; i++) {
            norma_dtype_set(w->lane_dtype, strip->p, i, factors.p);
            norma_dtype_set(w->lane_dtype, strip->q, i, factors.q);
        }
    }
}

static void do_strip(weight_norm *w, column_strip *strip)
{
    const int64_t width = w->slices * w->inner, count = strip->last - strip->first;
    const void *v = element_of(w, w->v, strip->first), *grad_w = element_of(w, w->grad_w, strip->first);
    if (computes_norms(w)) {
        w->products->dot_columns(v, v, w->outer, count, width, strip->squares);
    }
    if (w->backward) {
        w->products->dot_columns(grad_w, v, w->outer, count, width, strip->dots);
    }
    finish_columns(w, strip);
    if (!w->out || w->only_look) {
        return;
    }
    const norma_combination job = {.a = w->backward ? grad_w : v,
                                   .b = w->backward ? v : NULL,
                                   .y = norma_out_element(w->dtype, w->out, strip->first),
                                   .rows = w->outer,
                                   .count = count,
                                   .stride = width,
                                   .p = strip->p,
                                   .q = strip->q,
                                   .by_column = true,
                                   .stream = w->stream};
    w->products->combine(&job);
}

/* Whole slices, whole cache lines where slices allow, and at least as many strips as tasks. */
static int64_t strip_columns(const weight_norm *w)
{
    const int64_t line = 64 / (int64_t)norma_dtype_size(w->dtype), most = NORMA_COLUMNS_MAX / w->inner * w->inner;
    const int64_t even = norma_divide_up(w->slices, w->tasks) * w->inner;
    const int64_t lines = norma_divide_up(even, line * w->inner) * line * w->inner;
    return lines <= most ? lines : smaller(even, most);
}

static void do_strips(void *argument, size_t task)
{
    weight_norm *w = argument;
    const int64_t width = w->slices * w->inner, columns = strip_columns(w), strips = norma_divide_up(width, columns);
    const int64_t last = norma_part_begin(strips, w->tasks, (int64_t)task + 1);
    column_strip strip;
    for (int64_t i = norma_part_begin(strips, w->tasks, (int64_t)task); i < last; i++) {
        strip.first = i * columns;
        strip.last = smaller(strip.first + columns, width);
        do_strip(w, &strip);
    }
}

/* ------------------------------------------------------------------------------------------------------------
 * Calls
 * ------------------------------------------------------------------------------------------------------------ */

static norma_status check_desc(const norma_weight_norm_desc *desc)
{
    const norma_status status = norma_check_dtypes(desc->dtype, "scale_dtype", desc->scale_dtype);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    if (desc->rank < 1 || desc->rank > NORMA_MAX_RANK) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.rank: expected 1 to %d extents (and a shape that is not NULL), got %d",
                          NORMA_MAX_RANK, desc->rank);
    }
    if (desc->axis != NORMA_NO_AXIS && (desc->axis < -desc->rank || desc->axis >= desc->rank)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axis: expected %d to %d, or NORMA_NO_AXIS, got %d", -desc->rank,
                          desc->rank - 1, desc->axis);
    }
    if (desc->zero_norm < NORMA_ZERO_NORM_ERROR || desc->zero_norm > NORMA_ZERO_NORM_ZERO) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.zero_norm: expected a norma_zero_norm, got %d", (int)desc->zero_norm);
    }
    return norma_check_shape(desc->rank, desc->shape, desc->dtype, 1);
}

static void set_shape(weight_norm *w, const norma_weight_norm_desc *desc)
{
    const int axis = desc->axis == NORMA_NO_AXIS ? -1 : desc->axis < 0 ? desc->axis + desc->rank : desc->axis;
    w->dtype = desc->dtype;
    w->scale_dtype = desc->scale_dtype ? desc->scale_dtype : desc->dtype;
    w->lane_dtype = norma_dtype_of_lanes(desc->dtype);
    w->zero_norm = desc->zero_norm;
    w->outer = w->slices = w->inner = 1;
    for (int k = 0; k < desc->rank; k++) {
        *(k < axis ? &w->outer : k == axis ? &w->slices : &w->inner) *= desc->shape[k];
    }
    w->columns = w->outer > 1 && w->inner < RUN_MIN;
}

static void set_blocking(weight_norm *w, const norma_context *context)
{
    const int64_t elements = w->outer * w->slices * w->inner;
    const int64_t bytes = (w->backward ? 3 : 2) * elements * (int64_t)norma_dtype_size(w->dtype);
    const int64_t cache = norma_cpu()->l3_size;
    const int64_t worth = bytes / WORK_MIN;
    w->parallel = context->parallel;
    w->tasks = smaller(w->parallel.threads, worth < 1 ? 1 : worth);
    w->stream = norma_isa_streams(context->isa) && bytes >= (w->tasks > 1 ? cache : cache / 2);
    w->products = norma_weights_find(NORMA_PRODUCTS, w->dtype, context->isa);
}

/* All slices once. Fewer long ones than threads are split one after the other. */
static void go(weight_norm *w)
{
    if (w->columns) {
        run_tasks(w, w->tasks, do_strips, w);
    } else if (w->slices < w->tasks) {
        for (int64_t slice = 0; slice < w->slices; slice++) {
            do_slice(w, slice, w->tasks);
        }
    } else {
        run_tasks(w, w->tasks, do_slices, w);
    }
}

/* Where a slice of zeros is an error, nothing may be written before all have been looked at. */
static norma_status look_for_zeros(weight_norm *w)
{
    if (w->zero_norm != NORMA_ZERO_NORM_ERROR) {
        return NORMA_SUCCESS;
    }
    w->only_look = true;
    atomic_store(&w->zeros, -1);
    if (w->given_norms) {
        for (int64_t slice = 0; slice < w->slices; slice++) {
            finish_slice(w, slice, 0, 0);
        }
    } else {
        go(w);
    }
    w->only_look = false;
    const int64_t zeros = atomic_load(&w->zeros);
    if (zeros >= 0) {
        return norma_fail(
            NORMA_INVALID_ARGUMENT,
            "args.v: slice %lld is all zeros, which has no direction (see desc.zero_norm for other ways to take it)",
            (long long)zeros);
    }
    return NORMA_SUCCESS;
}

static norma_status run(weight_norm *w, norma_context *context)
{
    norma_context *held;
    norma_status status = norma_context_hold(&held, context);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    set_blocking(w, held);
    status = look_for_zeros(w);
    if (status == NORMA_SUCCESS) {
        go(w);
    }
    norma_context_destroy(held);
    return status;
}

/* Reads a descriptor of the caller's. */
static norma_status begin(weight_norm *w, const norma_weight_norm_desc *given, const void *args)
{
    norma_weight_norm_desc desc;
    if (!given || !args) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "%s, got NULL",
                          given ? "args: expected the tensors of this call" : "desc: expected a descriptor");
    }
    norma_status status = norma_read_struct("desc", &desc, sizeof desc, sizeof desc, given);
    if (status == NORMA_SUCCESS) {
        status = check_desc(&desc);
    }
    if (status == NORMA_SUCCESS) {
        set_shape(w, &desc);
    }
    return status;
}

norma_status norma_weight_norm(norma_context *context, const norma_weight_norm_desc *desc, const norma_weight_norm_args *args)
{
    weight_norm w = {.backward = false};
    norma_weight_norm_args known;
    norma_status status = begin(&w, desc, args);
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const int64_t elements = w.outer * w.slices * w.inner;
    const norma_tensor tensors[] = {
        {"v", known.v, w.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"g", known.g, w.scale_dtype, w.slices, NORMA_TENSOR_IN, NULL},
        {"w", known.w, w.dtype, elements, NORMA_TENSOR_OUT, "v"},
        {"norms", known.norms, w.lane_dtype, w.slices, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    status = norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
    w.v = known.v;
    w.g = known.g;
    w.out = known.w;
    w.norms = known.norms;
    w.pool = known.pool;
    return status == NORMA_SUCCESS ? run(&w, context) : status;
}

norma_status norma_weight_norm_backward(norma_context *context, const norma_weight_norm_desc *desc,
                                        const norma_weight_norm_gradients *args)
{
    weight_norm w = {.backward = true};
    norma_weight_norm_gradients known;
    norma_status status = begin(&w, desc, args);
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const int64_t elements = w.outer * w.slices * w.inner;
    const norma_tensor tensors[] = {
        {"grad_w", known.grad_w, w.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"v", known.v, w.dtype, elements, NORMA_TENSOR_IN, NULL},
        {"g", known.g, w.scale_dtype, w.slices, NORMA_TENSOR_IN, NULL},
        {"norms", known.norms, w.lane_dtype, w.slices, NORMA_TENSOR_OPTIONAL, NULL},
        {"grad_v", known.grad_v, w.dtype, elements, NORMA_TENSOR_OUT_OPTIONAL, "grad_w"},
        {"grad_g", known.grad_g, w.scale_dtype, w.slices, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    status = norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
    w.grad_w = known.grad_w;
    w.v = known.v;
    w.g = known.g;
    w.given_norms = known.norms;
    w.out = known.grad_v;
    w.grad_g = known.grad_g;
    w.pool = known.pool;
    return status == NORMA_SUCCESS ? run(&w, context) : status;
}

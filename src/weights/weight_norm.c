/* Weight norm, forward and backward: what its tensors must be, and which driver runs. */
#include <math.h>

#include "blocking.h"
#include "context.h"
#include "cpu.h"
#include "error.h"
#include "weights/weight_norm.h"

/* Runs shorter than this are columns of a matrix. */
enum { RUN_MIN = 64 };

/* Where a task has less to do than this, in bytes, starting it costs more than it takes. */
enum { WORK_MIN = 128 * 1024 };

static int64_t elements_of(const norma_weight_call *w)
{
    return w->outer * w->slices * w->inner;
}

static void note_zeros(norma_weight_call *w, int64_t slice)
{
    int64_t seen = atomic_load(&w->zeros);
    while ((seen < 0 || slice < seen) && !atomic_compare_exchange_weak(&w->zeros, &seen, slice)) {
    }
}

norma_slice_factors norma_finish_slice(norma_weight_call *w, int64_t slice, double sum, double dot)
{
    const double n = norma_computes_norms(w) ? sqrt(sum) : norma_dtype_get(w->lane_dtype, w->given_norms, slice);
    norma_slice_factors factors = {0, 0};
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

static void set_shape(norma_weight_call *w, const norma_weight_norm_desc *desc)
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

static void set_blocking(norma_weight_call *w, const norma_context *context)
{
    const int64_t bytes = (w->backward ? 3 : 2) * elements_of(w) * (int64_t)norma_dtype_size(w->dtype);
    const int64_t cache = norma_cpu()->l3_size;
    const int64_t worth = bytes / WORK_MIN;
    w->parallel = context->parallel;
    w->tasks = norma_smaller(w->parallel.threads, worth < 1 ? 1 : worth);
    w->stream = norma_isa_streams(context->isa) && bytes >= (w->tasks > 1 ? cache : cache / 2);
    w->products = norma_weights_find(NORMA_PRODUCTS, w->dtype, context->isa);
}

/* All slices once. Fewer long ones than threads are split one after the other. */
static void go(norma_weight_call *w)
{
    if (w->columns) {
        norma_weight_tasks(w, w->tasks, norma_weight_columns, w);
    } else if (w->slices < w->tasks) {
        for (int64_t slice = 0; slice < w->slices; slice++) {
            norma_weight_slice(w, slice, w->tasks);
        }
    } else {
        norma_weight_tasks(w, w->tasks, norma_weight_slices, w);
    }
}

/* Where a slice of zeros is an error, nothing may be written before all have been looked at. */
static norma_status look_for_zeros(norma_weight_call *w)
{
    if (w->zero_norm != NORMA_ZERO_NORM_ERROR) {
        return NORMA_SUCCESS;
    }
    w->only_look = true;
    atomic_store(&w->zeros, -1);
    if (w->given_norms) {
        for (int64_t slice = 0; slice < w->slices; slice++) {
            norma_finish_slice(w, slice, 0, 0);
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

static norma_status check_and_run(norma_weight_call *w, norma_context *context, const norma_tensor *tensors, size_t count)
{
    norma_context *held;
    norma_status status = norma_check_tensors(tensors, count);
    if (status == NORMA_SUCCESS) {
        status = norma_context_hold(&held, context);
    }
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

/* Reads a descriptor and the tensors of a call, which are `size` bytes, into `known`. */
static norma_status begin(norma_weight_call *w, const norma_weight_norm_desc *given, const void *args, void *known, size_t size)
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
        status = norma_read_struct("args", known, size, size, args);
    }
    return status;
}

norma_status norma_weight_norm(norma_context *context, const norma_weight_norm_desc *desc, const norma_weight_norm_args *args)
{
    norma_weight_norm_args known;
    norma_weight_call w = {.backward = false};
    norma_status status = begin(&w, desc, args, &known, sizeof known);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const norma_tensor tensors[] = {
        {"v", known.v, w.dtype, elements_of(&w), NORMA_TENSOR_IN, NULL},
        {"g", known.g, w.scale_dtype, w.slices, NORMA_TENSOR_IN, NULL},
        {"w", known.w, w.dtype, elements_of(&w), NORMA_TENSOR_OUT, "v"},
        {"norms", known.norms, w.lane_dtype, w.slices, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    w.v = known.v;
    w.g = known.g;
    w.out = known.w;
    w.norms = known.norms;
    w.pool = known.pool;
    return check_and_run(&w, context, tensors, sizeof tensors / sizeof *tensors);
}

norma_status norma_weight_norm_backward(norma_context *context, const norma_weight_norm_desc *desc,
                                        const norma_weight_norm_gradients *args)
{
    norma_weight_norm_gradients known;
    norma_weight_call w = {.backward = true};
    norma_status status = begin(&w, desc, args, &known, sizeof known);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const norma_tensor tensors[] = {
        {"grad_w", known.grad_w, w.dtype, elements_of(&w), NORMA_TENSOR_IN, NULL},
        {"v", known.v, w.dtype, elements_of(&w), NORMA_TENSOR_IN, NULL},
        {"g", known.g, w.scale_dtype, w.slices, NORMA_TENSOR_IN, NULL},
        {"norms", known.norms, w.lane_dtype, w.slices, NORMA_TENSOR_OPTIONAL, NULL},
        {"grad_v", known.grad_v, w.dtype, elements_of(&w), NORMA_TENSOR_OUT_OPTIONAL, "grad_w"},
        {"grad_g", known.grad_g, w.scale_dtype, w.slices, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    w.grad_w = known.grad_w;
    w.v = known.v;
    w.g = known.g;
    w.given_norms = known.norms;
    w.out = known.grad_v;
    w.grad_g = known.grad_g;
    w.pool = known.pool;
    return check_and_run(&w, context, tensors, sizeof tensors / sizeof *tensors);
}

/* The backward pass of spectral norm: a dot product, and a matrix of rank one taken away. */
#include <math.h>

#include "error.h"
#include "weights/spectral.h"
#include "weights/tensors.h"

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
    norma_status status = norma_spectral_begin(&b.s, desc);
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
    norma_spectral_set_threads(&b.s, held);
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

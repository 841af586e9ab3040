/*
 * Weight norm at work: what its calls and their two drivers share.
 *
 * A weight is (outer, slices, inner): a slice is `outer` runs of `inner` elements. Where runs are long, slices go one by one,
 * as planes do. Where they are short, all of it is a matrix of `outer` rows, and a slice `inner` neighbouring columns of it, as
 * fibers are. Which of the two follows from the shape alone, as does the tree of each sum.
 */
#ifndef NORMA_WEIGHT_NORM_H
#define NORMA_WEIGHT_NORM_H

#include <stdatomic.h>

#include "norma/weights.h"

#include "drivers/drivers.h"
#include "weights/registry.h"
#include "weights/tensors.h"

/* One direction of one call. */
typedef struct norma_weight_call {
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
} norma_weight_call;

/* What follows from a slice's sums. */
typedef struct norma_slice_factors {
    double p; /* out = v * p, or (grad_w + v * q) * p: of a large or small v both keep within f32 */
    double q;
} norma_slice_factors;

/* The same as lanes: numbers of lane_dtype, in room for any. */
typedef struct norma_lane_factors {
    _Alignas(double) unsigned char p[sizeof(double)];
    _Alignas(double) unsigned char q[sizeof(double)];
} norma_lane_factors;

static inline int64_t norma_smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline const void *norma_weight_element(const norma_weight_call *w, const void *tensor, int64_t index)
{
    return norma_element(w->dtype, tensor, index);
}

static inline void norma_weight_tasks(const norma_weight_call *w, int64_t count, norma_task task, void *argument)
{
    norma_parallel_run(&w->parallel, w->pool, (size_t)count, task, argument);
}

/* Whether the slices' norms have to be computed; else they are given. */
static inline bool norma_computes_norms(const norma_weight_call *w)
{
    return !w->given_norms;
}

/* Stores what the caller asked for of a slice. `sum` is of squares or, where norms are given, ignored; `dot` is of grad_w * v.
 */
norma_slice_factors norma_finish_slice(norma_weight_call *w, int64_t slice, double sum, double dot);

/* A task of w->tasks: its share of all slices of long runs; */
void norma_weight_slices(void *w, size_t task);
/* of one such slice after the other, each on several tasks of its own; */
void norma_weight_slice(norma_weight_call *w, int64_t slice, int64_t tasks);
/* of slices that are columns. */
void norma_weight_columns(void *w, size_t task);

#endif

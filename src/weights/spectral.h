/*
 * Spectral norm at work: what its files share.
 *
 * The weight is a matrix M of `height` rows in memory order: W itself where its axis is the first, W transposed where it is the
 * last, a copy of W where it is in between. Of M, `down` has one element per row and `across` one per column: u and v, or v and
 * u.
 */
#ifndef NORMA_SPECTRAL_H
#define NORMA_SPECTRAL_H

#include "norma/weights.h"

#include "context.h"
#include "drivers/drivers.h"
#include "weights/registry.h"

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

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t lane_size(const spectral *s)
{
    return (int64_t)norma_dtype_size(s->lane_dtype);
}

static inline void run_tasks(const spectral *s, int64_t count, norma_task task, void *argument)
{
    norma_parallel_run(&s->parallel, s->pool, (size_t)count, task, argument);
}

/* Elements of a vector of one per column. */
static inline int64_t columns_with_room(const spectral *s)
{
    return norma_divide_up(s->width + NORMA_POWER_ROOM, 16) * 16;
}

/* All iterations of desc; returns sigma. (spectral_power.c) */
double norma_spectral_iterate(spectral *s);

/* The Euclidean norm of a vector of f32 or f64, in double. */
double norma_spectral_length(norma_dtype dtype, const void *vector, int64_t count);

/* Checks a descriptor and takes its shape; then what runs it. (spectral_norm.c) */
norma_status norma_spectral_begin(spectral *s, const norma_spectral_norm_desc *desc);
void norma_spectral_set_threads(spectral *s, const norma_context *context);

#endif

/*
 * x + residual [+ bias], each gated if asked: what is normalized where a residual comes before the norm.
 */
#ifndef NORMA_SUMS_H
#define NORMA_SUMS_H

#include "template/epilogue.h"

/* A tile of sums: to job->sum and, where that goes past the caches, to its copy. */
INLINE void store_sums(const norma_sum_job *job, int64_t at, const real *tile, int count, element *copy)
{
    store_tile(ELEMENT_DTYPE, job->sum, at, tile, count, copy != NULL);
    if (copy) {
        store_tile(ELEMENT_DTYPE, copy, 0, tile, count, false);
    }
}

/* A vector of sums, or its first lanes, likewise. */
INLINE void store_sum(element *sum, element *copy, vec v, int lanes)
{
    if (lanes < NORMA_WIDTH) {
        M(store_part)(sum, v, lanes);
    } else if (copy) {
        M(stream)(sum, v);
    } else {
        M(store)(sum, v);
    }
    if (copy) {
        lanes < NORMA_WIDTH ? M(store_part)(copy, v, lanes) : M(store)(copy, v);
    }
}

/* Elements [at, end) of a row, with x of the residual's type: in one pass. */
NOINLINE void sum_alike(const norma_sum_job *job, parameters bias, parameters gate, int64_t at, int64_t end, element *copy)
{
    const int64_t row = at / job->length * job->length, first = at;
    const element *x = job->x, *residual = job->residual;
    element *sum = job->sum;
    NO_UNROLL
    for (; at < end; at += NORMA_WIDTH) {
        const int lanes = end - at < NORMA_WIDTH ? (int)(end - at) : NORMA_WIDTH;
        const vec by = load_parameters(&gate, at - row, 0, lanes);
        const vec v = V(fma)(by, load_lanes(residual + at, lanes), load_lanes(x + at, lanes));
        store_sum(sum + at, copy ? copy + (at - first) : NULL, V(add)(v, load_parameters(&bias, at - row, 0, lanes)), lanes);
    }
}

/* Elements [at, end), all of one row; copy or NULL, from element `at` on. */
NOINLINE void sum_row(const norma_sum_job *job, int64_t at, int64_t end, element *copy)
{
    _Alignas(64) real tile[TILE], residual[TILE];
    const int64_t first = at, row = at / job->length;
    const parameters bias = parameters_of(job->bias, job->wide, negative_zeros);
    const parameters residual_gate =
        parameters_from(parameters_of(job->residual_gate, job->wide, ones), row / job->gate_rows * job->length);
    if (job->residual && job->x_dtype == ELEMENT_DTYPE) {
        sum_alike(job, bias, residual_gate, at, end, copy);
        return;
    }
    for (; at < end; at += TILE) {
        const int count = end - at < TILE ? (int)(end - at) : TILE;
        const int64_t index = at - row * job->length;
        load_tile(job->x_dtype, job->x, at, tile, count);
        if (!job->residual) {
            const tile_target here = {tile, false, false};
            gate_tile(job->gating, job->gate, at, tile, here, count);
            store_sums(job, at, tile, count, copy ? copy + (at - first) : NULL);
            continue;
        }
        load_tile(ELEMENT_DTYPE, job->residual, at, residual, count);
        NO_UNROLL
        for (int k = 0; k < count; k += NORMA_WIDTH) {
            const int lanes = count - k < NORMA_WIDTH ? count - k : NORMA_WIDTH;
            const vec gate = load_parameters(&residual_gate, index + k, 0, lanes);
            const vec x = V(fma)(gate, V(load)(residual + k), V(load)(tile + k));
            V(store)(tile + k, V(add)(x, load_parameters(&bias, index + k, 0, lanes)));
        }
        store_sums(job, at, tile, count, copy ? copy + (at - first) : NULL);
    }
}

/* x + residual and nothing else, of one type. */
INLINE void add(const element *x, const element *residual, element *sum, element *copy, int64_t count)
{
    enum { AT_ONCE = 4 };
    int64_t i = 0;
    NO_UNROLL
    for (; i + AT_ONCE * NORMA_WIDTH <= count; i += AT_ONCE * NORMA_WIDTH) {
        UNROLL
        for (int k = 0; k < AT_ONCE; k++) {
            const int64_t at = i + k * NORMA_WIDTH;
            const vec v = V(add)(M(load)(x + at), M(load)(residual + at));
            store_sum(sum + at, copy ? copy + at : NULL, v, NORMA_WIDTH);
        }
    }
    NO_UNROLL
    for (; i < count; i += NORMA_WIDTH) {
        const int lanes = count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH;
        const vec v = V(add)(M(load_part)(x + i, lanes), M(load_part)(residual + i, lanes));
        store_sum(sum + i, copy ? copy + i : NULL, v, lanes);
    }
}

INLINE void sum_all(const norma_sum_job *job, int64_t first, int64_t last, element *copy)
{
    if (job->residual && !job->residual_gate && !job->bias && job->x_dtype == ELEMENT_DTYPE) {
        add((const element *)job->x + first, (const element *)job->residual + first, (element *)job->sum + first, copy,
            last - first);
        return;
    }
    for (int64_t at = first, end; at < last; at = end) {
        end = (at / job->length + 1) * job->length;
        end = end < last ? end : last;
        sum_row(job, at, end, copy ? copy + (at - first) : NULL);
    }
}

static void sum(const norma_sum_job *job, int64_t first, int64_t last)
{
    if (NORMA_STREAMS && job->copy) {
        sum_all(job, first, last, job->copy);
        simd_fence();
    } else {
        sum_all(job, first, last, NULL);
    }
}

#endif

/*
 * The canonical reduction of a run: the one place where a run's elements become statistics.
 *
 * A leaf (NORMA_RUN_LEAF elements) is reduced in the lanes of template/vector.h: element i belongs to lane i mod
 * NORMA_LANES, and within a chunk vector j to chain j mod CHAINS. The lanes then join in double, leaves merge in order
 * within segments, segments in order (kernels.h). Moments go by template/welford.h; squares and magnitudes are plain sums
 * in the same lanes and chains.
 */
#ifndef NORMA_REDUCE_H
#define NORMA_REDUCE_H

#include "template/write.h"
#include "template/welford.h"

/* How elements are read: as they are, or by rescue() as (x * before - origin) * after. */
typedef struct leaf_scale {
    real before;
    real origin;
    real after;
} leaf_scale;

INLINE vec scaled(vec x, const leaf_scale *scale)
{
    if (!scale) {
        return x;
    }
    return V(mul)(V(sub)(V(mul)(x, V(set1)(scale->before)), V(set1)(scale->origin)), V(set1)(scale->after));
}

/* The same range of several runs, reduced side by side: `rows` is a constant, 1 or 2. */
typedef struct runs {
    const real *x;
    int64_t stride;
    int rows;
} runs;

/* The vectors [first, last) of one part as one chunk. */
INLINE void moments_add_chunk(moments *m, runs x, int64_t first, int64_t last, const leaf_scale *scale, writer *beside)
{
    chunk_sums c[LOCKSTEP_MAX];
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        c[r] = chunk_begin();
    }
    int64_t i = first;
    for (; i + CHAINS <= last; i += CHAINS) {
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            UNROLL
            for (int r = 0; r < x.rows; r++) {
                chunk_add(&c[r], k, scaled(V(load)(x.x + r * x.stride + (i + k) * NORMA_LANES), scale), m[r].high);
            }
        }
        writer_advance(beside);
    }
    UNROLL
    for (int k = 0; k < CHAINS - 1; k++) {
        if (i + k < last) {
            UNROLL
            for (int r = 0; r < x.rows; r++) {
                chunk_add(&c[r], k, scaled(V(load)(x.x + r * x.stride + (i + k) * NORMA_LANES), scale), m[r].high);
            }
        }
    }
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        m[r] = chunk_end(&c[r], m[r], (real)first, (real)(last - first));
    }
}

/* All of a leaf that falls to one part: whole vectors, then one element more in the part's first `rest` lanes. */
INLINE void moments_of_part(moments *m, runs x, int64_t vectors, int rest, const leaf_scale *scale, writer *beside)
{
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        const real *run = x.x + r * x.stride;
        m[r] = moments_about(scaled(vectors ? V(load)(run) : V(load_part)(run, rest), scale));
    }
    for (int64_t first = 0; first < vectors; first += CHUNK) {
        moments_add_chunk(m, x, first, vectors - first < CHUNK ? vectors : first + CHUNK, scale, beside);
    }
    if (rest && vectors) {
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            const vec last = scaled(V(load_part)(x.x + r * x.stride + vectors * NORMA_LANES, rest), scale);
            const vec d = V(sub)(last, m[r].high);
            m[r] = moments_first_of(moments_join(m[r], d, V(mul)(d, d), (real)vectors, 1), m[r], rest);
        }
    }
}

/* The lanes become one partial. Means are taken from lane 0's; the square of their mean is taken off in double, where it
 * is harmless: it is at most `count` times the variance. */
INLINE norma_partial moments_of_lanes(const vec *high, const vec *low, const vec *m2, int64_t count)
{
    const double vectors = (double)(count / NORMA_LANES);
    const int rest = (int)(count % NORMA_LANES);
    const vec origin = V(lane0)(high[0]);
    vec mean[NORMA_PARTS];
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        mean[p] = V(add)(V(sub)(high[p], origin), low[p]);
    }
    double sum = vectors * V(sum)(mean);
    double squares = vectors * V(sum_squares)(mean);
    if (rest) {
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            mean[p] = V(first_of)(mean[p], V(zero)(), lanes_in_part(rest, p));
        }
        sum += V(sum)(mean);
        squares += V(sum_squares)(mean);
    }
    const double shift = sum * (1 / (double)count);
    const double between = squares - sum * shift;
    const norma_partial partial = {(double)count, (double)V(get0)(origin) + shift, V(sum)(m2) + (between < 0 ? 0 : between)};
    return partial;
}

INLINE void moments_reduce(norma_partial *partial, runs x, int64_t count, const leaf_scale *scale, writer *beside)
{
    const int64_t vectors = count / NORMA_LANES;
    vec high[LOCKSTEP_MAX][NORMA_PARTS], low[LOCKSTEP_MAX][NORMA_PARTS], m2[LOCKSTEP_MAX][NORMA_PARTS];
    NO_UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const int rest = lanes_in_part((int)(count % NORMA_LANES), p);
        const runs part = {x.x + (vectors || rest ? p * NORMA_WIDTH : 0), x.stride, x.rows};
        moments m[LOCKSTEP_MAX];
        moments_of_part(m, part, vectors, rest, scale, beside);
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            high[r][p] = m[r].high;
            low[r][p] = m[r].low;
            m2[r][p] = m[r].m2;
        }
    }
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        partial[r] = moments_of_lanes(high[r], low[r], m2[r], count);
    }
}

INLINE vec power(norma_statistic statistic, vec x, vec sum)
{
    return statistic == NORMA_SQUARES ? V(fma)(x, x, sum) : V(add)(sum, V(abs)(x));
}

INLINE void powers_reduce(norma_statistic statistic, norma_partial *partial, runs x, int64_t count, const leaf_scale *scale,
                          writer *beside)
{
    const int64_t vectors = count / NORMA_LANES;
    vec total[LOCKSTEP_MAX][NORMA_PARTS];
    NO_UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const int rest = lanes_in_part((int)(count % NORMA_LANES), p);
        const real *part = x.x + (vectors || rest ? p * NORMA_WIDTH : 0);
        vec sum[LOCKSTEP_MAX][CHAINS];
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            UNROLL
            for (int k = 0; k < CHAINS; k++) {
                sum[r][k] = V(zero)();
            }
        }
        int64_t i = 0;
        for (; i + CHAINS <= vectors; i += CHAINS) {
            UNROLL
            for (int k = 0; k < CHAINS; k++) {
                UNROLL
                for (int r = 0; r < x.rows; r++) {
                    const vec v = scaled(V(load)(part + r * x.stride + (i + k) * NORMA_LANES), scale);
                    sum[r][k] = power(statistic, v, sum[r][k]);
                }
            }
            writer_advance(beside);
        }
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            if (i + k < vectors || (i + k == vectors && rest)) {
                UNROLL
                for (int r = 0; r < x.rows; r++) {
                    const real *at = part + r * x.stride + (i + k) * NORMA_LANES;
                    const vec v = scaled(i + k < vectors ? V(load)(at) : V(load_part)(at, rest), scale);
                    sum[r][k] = power(statistic, v, sum[r][k]);
                }
            }
        }
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            total[r][p] = sum_of_chains(sum[r]);
        }
    }
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        const norma_partial sums = {(double)count, 0, V(sum)(total[r])};
        partial[r] = sums;
    }
}

INLINE void reduce_lanes(norma_statistic statistic, norma_partial *partial, runs x, int64_t count, const leaf_scale *scale,
                         writer *beside)
{
    if (statistic == NORMA_MOMENTS) {
        moments_reduce(partial, x, count, scale, beside);
    } else {
        powers_reduce(statistic, partial, x, count, scale, beside);
    }
}

#if NORMA_DTYPE_IS == NORMA_IS_f32

/* Squares of f32 overflow from 1e19 and lose digits below 1e-15. Such a leaf, or one with infinities or NaN, or all equal,
 * shows by its m2 and is reduced again in a scale where they do neither. (f64 reaches to 1e154: no model does.) */
NOINLINE norma_partial rescue(norma_statistic statistic, const real *x, int64_t count, bool large)
{
    const bool centered = statistic == NORMA_MOMENTS && !large;
    const leaf_scale scale = {large ? 0x1p-96f : 1, centered ? x[0] : 0, large ? 1 : 0x1p96f};
    const double inverse = large ? 0x1p96 : 0x1p-96;
    const runs run = {x, 0, 1};
    norma_partial partial;
    reduce_lanes(statistic, &partial, run, count, &scale, NULL);
    partial.mean = partial.mean * inverse + (double)scale.origin;
    partial.m2 *= statistic == NORMA_MAGNITUDES ? inverse : inverse * inverse;
    return partial;
}

INLINE norma_partial in_range(norma_statistic statistic, norma_partial partial, const real *x, int64_t count)
{
    const bool large = !(partial.m2 <= (double)FLT_MAX);
    return RARELY(large || partial.m2 < 1e-30) ? rescue(statistic, x, count, large) : partial;
}

#else

INLINE norma_partial in_range(norma_statistic statistic, norma_partial partial, const real *x, int64_t count)
{
    (void)statistic, (void)x, (void)count;
    return partial;
}

#endif

INLINE void reduce_leaf(norma_statistic statistic, norma_partial *partial, runs x, int64_t count, writer *beside)
{
    reduce_lanes(statistic, partial, x, count, NULL, beside);
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        partial[r] = in_range(statistic, partial[r], x.x + r * x.stride, count);
    }
}

/* Leaves in order; `count` elements that begin at a leaf boundary of their runs. */
INLINE void reduce_leaves(norma_statistic statistic, norma_partial *partial, runs x, int64_t count, writer *beside)
{
    int64_t done = 0;
    do {
        const int64_t next = count - done < NORMA_RUN_LEAF ? count - done : NORMA_RUN_LEAF;
        const runs leaf = {x.x + done, x.stride, x.rows};
        norma_partial part[LOCKSTEP_MAX];
        reduce_leaf(statistic, part, leaf, next, beside);
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            if (done == 0) {
                partial[r] = part[r];
            } else {
                partial[r] = norma_partial_merge(partial[r], part[r]);
            }
        }
        done += next;
    } while (RARELY(done < count));
}

#endif

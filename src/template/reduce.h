/*
 * The canonical reduction of a run: the one place where a run's elements become statistics.
 *
 * A leaf (NORMA_RUN_LEAF elements) is reduced in the lanes of template/vector.h: element i belongs to lane i mod
 * NORMA_LANES, and within a chunk vector j to chain j mod CHAINS. The lanes then join in one tree (sum_lanes()); leaves merge
 * in double, in order within segments, and segments in order (kernels.h). Moments go by template/welford.h; squares and
 * magnitudes are plain sums in the same lanes and chains.
 */
#ifndef NORMA_REDUCE_H
#define NORMA_REDUCE_H

#include "template/beside.h"
#include "template/welford.h"

_Static_assert((int)ADVANCE == (int)CHAINS && (int)CHUNK % (int)CHAINS == 0,
               "what is written beside a reduction keeps its pace");

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
    const element *x;
    int64_t stride;
    int rows;
} runs;

/* How many elements a leaf has, and what follows from that alone. */
typedef struct leaf_shape {
    int64_t count;
    int64_t vectors;         /* whole ones: elements in every lane */
    int64_t opening;         /* vectors of the first chunk */
    int rest;                /* lanes that have one element more */
    real share;              /* 1 / opening */
    double inverse;          /* 1 / count */
    vec weight[NORMA_PARTS]; /* elements of each lane */
} leaf_shape;

INLINE leaf_shape leaf_shape_of(int64_t count)
{
    const int64_t vectors = count / NORMA_LANES;
    const int64_t opening = vectors < CHUNK ? vectors : CHUNK;
    leaf_shape shape = {
        .count = count,
        .vectors = vectors,
        .opening = opening,
        .rest = (int)(count % NORMA_LANES),
        .share = 1 / (real)opening,
        .inverse = 1 / (double)count,
    };
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const vec one_more = V(set1)((real)(vectors + 1));
        shape.weight[p] = V(first_of)(one_more, V(set1)((real)vectors), lanes_in_part(shape.rest, p));
    }
    return shape;
}

/* The vectors [first, last) of one part as one chunk, summed about m[r].high. */
INLINE void chunk_of_part(chunk_sums *c, const moments *m, runs x, int64_t first, int64_t last, const leaf_scale *scale,
                          beside also)
{
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        c[r] = chunk_begin();
    }
    int64_t i = first;
    NO_UNROLL
    for (; i + CHAINS <= last; i += CHAINS) {
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            UNROLL
            for (int r = 0; r < x.rows; r++) {
                chunk_add(&c[r], k, scaled(M(load)(x.x + r * x.stride + (i + k) * NORMA_LANES), scale), m[r].high);
            }
        }
        beside_advance(also, i);
    }
    UNROLL
    for (int k = 0; k < CHAINS - 1; k++) {
        if (i + k < last) {
            UNROLL
            for (int r = 0; r < x.rows; r++) {
                chunk_add(&c[r], k, scaled(M(load)(x.x + r * x.stride + (i + k) * NORMA_LANES), scale), m[r].high);
            }
        }
    }
}

/* One element more in a part's first `rest` lanes. */
INLINE void moments_add_rest(moments *m, runs x, int64_t vectors, int rest, const leaf_scale *scale)
{
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        const vec last = scaled(M(load_part)(x.x + r * x.stride + vectors * NORMA_LANES, rest), scale);
        const vec d = V(sub)(last, m[r].high);
        m[r] = moments_first_of(moments_join(m[r], d, V(mul)(d, d), (real)vectors, 1), m[r], rest);
    }
}

/* What a part's first chunk is summed about: one of its elements. */
INLINE vec pivot_of_part(const element *x, const leaf_shape *shape, int rest, const leaf_scale *scale)
{
    if (shape->vectors == 0) { /* lanes without an element stay 0, whatever the scale */
        return V(first_of)(scaled(M(load_part)(x, rest), scale), V(zero)(), rest);
    }
    if (shape->vectors < 3) {
        return scaled(M(load)(x), scale);
    }
    return median(scaled(M(load)(x), scale), scaled(M(load)(x + NORMA_LANES), scale),
                  scaled(M(load)(x + 2 * NORMA_LANES), scale));
}

/* All of a leaf that falls to one part, `rest` of its lanes having one element more. */
INLINE void moments_of_part(moments *m, runs x, const leaf_shape *shape, int rest, const leaf_scale *scale, beside also)
{
    chunk_sums c[LOCKSTEP_MAX];
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        m[r] = moments_about(pivot_of_part(x.x + r * x.stride, shape, rest, scale));
    }
    if (shape->vectors == 0) {
        return;
    }
    chunk_of_part(c, m, x, 0, shape->opening, scale, also);
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        m[r] = moments_open(m[r].high, sum_of_chains(c[r].sum), sum_of_chains(c[r].squares), shape->share);
    }
    for (int64_t first = CHUNK; first < shape->vectors; first += CHUNK) {
        const int64_t last = shape->vectors - first < CHUNK ? shape->vectors : first + CHUNK;
        chunk_of_part(c, m, x, first, last, scale, also);
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            m[r] = chunk_end(&c[r], m[r], (real)first, (real)(last - first));
        }
    }
    if (rest) {
        moments_add_rest(m, x, shape->vectors, rest, scale);
    }
}

/*
 * The lanes of a run join. With lane means v taken from an origin in the data, n elements in all and n_i in lane i,
 *
 *     t = sum(n_i v_i),  u = sum(m2_i + n_i v_i^2),  mean = origin + t / n,  M2 = u - t^2 / n
 *
 * (Chan, Golub, LeVeque 1983, many-way). The difference is harmless: the origin is lane 0's mean, whose own n_0 elements make
 * M2 at least n_0 times the square of t / n.
 */
typedef struct lane_sums {
    vec u[NORMA_PARTS];
    vec t[NORMA_PARTS]; /* of moments only, as is the origin */
    vec origin;
} lane_sums;

INLINE void lane_sums_of_moments(lane_sums *s, int part, moments m, const leaf_shape *shape)
{
    s->origin = part == 0 ? V(lane0)(m.high) : s->origin;
    const vec mean = V(add)(V(sub)(m.high, s->origin), m.low);
    s->t[part] = V(mul)(mean, shape->weight[part]);
    s->u[part] = V(fma)(s->t[part], mean, m.m2);
}

/* The parts added: lane i with lane i + n/2, then n/4, as far as parts go. */
INLINE vec sum_of_parts(const vec *part)
{
    vec v[NORMA_PARTS];
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        v[p] = part[p];
    }
    for (int half = NORMA_PARTS / 2; half > 0; half /= 2) {
        UNROLL
        for (int p = 0; p < half; p++) {
            v[p] = V(add)(v[p], v[p + half]);
        }
    }
    return v[0];
}

/* The sums of the lanes of `count` (a constant, at most NORMA_WIDTH) vectors, on by the same tree. Summing one vector alone
 * would leave most lanes idle: at each level two become one that holds the half sums of both. */
INLINE void sum_lanes(vec *v, int count, real *sum)
{
    UNROLL
    for (int lanes = NORMA_WIDTH; lanes > 1; lanes /= 2) {
        UNROLL
        for (int i = 0; i < count; i += 2) {
            vec low, high;
            V(halves)(v[i], v[i + 1 < count ? i + 1 : i], lanes, &low, &high);
            v[i / 2] = V(add)(low, high);
        }
        count = (count + 1) / 2;
    }
    V(store)(sum, v[0]);
}

/* Joins x.rows (a constant) runs of one shape. f64 on NEON has vectors of 2: one run at a time. */
INLINE void join_lanes(norma_statistic statistic, norma_partial *partial, const lane_sums *s, int rows, const leaf_shape *shape)
{
    const bool centered = statistic == NORMA_MOMENTS;
    enum { AT_ONCE = NORMA_WIDTH / 2 < LOCKSTEP_MAX ? 1 : LOCKSTEP_MAX };
    UNROLL
    for (int first = 0; first < rows; first += AT_ONCE) {
        const int some = rows - first < AT_ONCE ? rows - first : AT_ONCE;
        vec v[2 * LOCKSTEP_MAX];
        real sum[NORMA_WIDTH];
        UNROLL
        for (int r = 0; r < some; r++) {
            v[r] = sum_of_parts(s[first + r].u);
            if (centered) {
                v[some + r] = sum_of_parts(s[first + r].t);
            }
        }
        sum_lanes(v, centered ? 2 * some : some, sum);
        UNROLL
        for (int r = 0; r < some; r++) {
            const double t = centered ? (double)sum[V(lane_of)(some + r)] : 0;
            const double m2 = (double)sum[V(lane_of)(r)] - t * (t * shape->inverse);
            const double origin = centered ? (double)V(get0)(s[first + r].origin) : 0;
            const norma_partial joined = {(double)shape->count, origin + t * shape->inverse, m2 < 0 ? 0 : m2};
            partial[first + r] = joined;
        }
    }
}

INLINE void moments_lanes(lane_sums *s, runs x, const leaf_shape *shape, const leaf_scale *scale, beside also)
{
    NO_UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const int rest = lanes_in_part(shape->rest, p);
        const runs part = {x.x + (shape->vectors || rest ? p * NORMA_WIDTH : 0), x.stride, x.rows};
        moments m[LOCKSTEP_MAX];
        moments_of_part(m, part, shape, rest, scale, beside_part(also, p, shape->vectors));
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            lane_sums_of_moments(&s[r], p, m[r], shape);
        }
    }
}

INLINE vec power(norma_statistic statistic, vec x, vec sum)
{
    return statistic == NORMA_SQUARES ? V(fma)(x, x, sum) : V(add)(sum, V(abs)(x));
}

INLINE void powers_lanes(norma_statistic statistic, lane_sums *s, runs x, const leaf_shape *shape, const leaf_scale *scale,
                         beside also)
{
    const int64_t vectors = shape->vectors;
    NO_UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const int rest = lanes_in_part(shape->rest, p);
        const element *part = x.x + (vectors || rest ? p * NORMA_WIDTH : 0);
        const beside now = beside_part(also, p, vectors);
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
                    const vec v = scaled(M(load)(part + r * x.stride + (i + k) * NORMA_LANES), scale);
                    sum[r][k] = power(statistic, v, sum[r][k]);
                }
            }
            beside_advance(now, i);
        }
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            if (i + k < vectors || (i + k == vectors && rest)) {
                UNROLL
                for (int r = 0; r < x.rows; r++) {
                    const element *at = part + r * x.stride + (i + k) * NORMA_LANES;
                    const vec v = scaled(i + k < vectors ? M(load)(at) : M(load_part)(at, rest), scale);
                    sum[r][k] = power(statistic, v, sum[r][k]);
                }
            }
        }
        UNROLL
        for (int r = 0; r < x.rows; r++) {
            s[r].u[p] = sum_of_chains(sum[r]);
        }
    }
}

/* A leaf, lane by lane. */
INLINE void reduce_lanes(norma_statistic statistic, lane_sums *s, runs x, const leaf_shape *shape, const leaf_scale *scale,
                         beside also)
{
    if (statistic == NORMA_MOMENTS) {
        moments_lanes(s, x, shape, scale, also);
    } else {
        powers_lanes(statistic, s, x, shape, scale, also);
    }
}

#if NORMA_DTYPE_IS != NORMA_IS_f64

/* Squares of f32 overflow from 1e19 and lose digits below 1e-15. Such a leaf, or one with infinities or NaN, or all equal,
 * shows by its m2 and is reduced again in a scale where they do neither. (f64 reaches to 1e154: no model does.) */
NOINLINE norma_partial rescue(norma_statistic statistic, const element *x, const leaf_shape *shape, bool large)
{
    const bool centered = statistic == NORMA_MOMENTS && !large;
    const leaf_scale scale = {large ? 0x1p-96f : 1, centered ? element_at(x, 0) : 0, large ? 1 : 0x1p96f};
    const double inverse = large ? 0x1p96 : 0x1p-96;
    const runs run = {x, 0, 1};
    lane_sums lanes = {0};
    norma_partial partial;
    reduce_lanes(statistic, &lanes, run, shape, &scale, nothing_beside);
    join_lanes(statistic, &partial, &lanes, 1, shape);
    partial.mean = partial.mean * inverse + (double)scale.origin;
    partial.m2 *= statistic == NORMA_MAGNITUDES ? inverse : inverse * inverse;
    return partial;
}

INLINE norma_partial in_range(norma_statistic statistic, norma_partial partial, const element *x, const leaf_shape *shape)
{
    if (RARELY(!(partial.m2 >= 1e-30 && partial.m2 <= (double)FLT_MAX))) {
        return rescue(statistic, x, shape, !(partial.m2 < 1e-30));
    }
    return partial;
}

#else

INLINE norma_partial in_range(norma_statistic statistic, norma_partial partial, const element *x, const leaf_shape *shape)
{
    (void)statistic, (void)x, (void)shape;
    return partial;
}

#endif

/* The lanes of x.rows leaves join. */
INLINE void join_leaf(norma_statistic statistic, norma_partial *partial, const lane_sums *lanes, runs x,
                      const leaf_shape *shape)
{
    join_lanes(statistic, partial, lanes, x.rows, shape);
    UNROLL
    for (int r = 0; r < x.rows; r++) {
        partial[r] = in_range(statistic, partial[r], x.x + r * x.stride, shape);
    }
}

/* Runs of one leaf each. They go through the stages of their end a few pairs at a time: see template/rows.h. */
INLINE void reduce_short_runs(norma_statistic statistic, runs x, int64_t count, int64_t many, norma_partial *partials)
{
    enum { BATCH = 8 };
    const leaf_shape shape = leaf_shape_of(count);
    lane_sums lanes[BATCH];
    for (; many >= BATCH; many -= BATCH, partials += BATCH) {
        NO_UNROLL
        for (int r = 0; r < BATCH; r += LOCKSTEP) {
            const runs some = {x.x + r * x.stride, x.stride, LOCKSTEP};
            reduce_lanes(statistic, &lanes[r], some, &shape, NULL, nothing_beside);
        }
        NO_UNROLL
        for (int r = 0; r < BATCH; r += LOCKSTEP_MAX) {
            const runs some = {x.x + r * x.stride, x.stride, LOCKSTEP_MAX};
            join_leaf(statistic, &partials[r], &lanes[r], some, &shape);
        }
        x.x += BATCH * x.stride;
    }
    x.rows = 1;
    NO_UNROLL
    for (; many > 0; many--, partials++, x.x += x.stride) {
        reduce_lanes(statistic, lanes, x, &shape, NULL, nothing_beside);
        join_leaf(statistic, partials, lanes, x, &shape);
    }
}

/* Leaves in order; `count` elements that begin at a leaf boundary of their run. */
INLINE norma_partial reduce_leaves(norma_statistic statistic, const element *x, int64_t count, beside also)
{
    norma_partial partial = {0, 0, 0};
    for (int64_t done = 0; done < count; done += NORMA_RUN_LEAF) {
        const leaf_shape shape = leaf_shape_of(count - done < NORMA_RUN_LEAF ? count - done : NORMA_RUN_LEAF);
        const runs leaf = {x + done, 0, 1};
        lane_sums lanes = {0};
        norma_partial part;
        reduce_lanes(statistic, &lanes, leaf, &shape, NULL, also);
        join_leaf(statistic, &part, &lanes, leaf, &shape);
        partial = done ? norma_partial_merge(partial, part) : part;
    }
    return partial;
}

#endif

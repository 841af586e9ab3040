/*
 * Welford's update, a chunk at a time: the lanes' running moments, and the only way a chunk of elements joins them.
 *
 * Each lane holds the mean and M2 of its elements. A chunk is summed as deviations from the mean so far,
 *
 *     s = sum(x - mean),  q = sum((x - mean)^2),
 *     mean' = mean + s / n',  M2' = M2 + q - s * s / n',  n' = n + chunk,
 *
 * which for a chunk of one is Welford's recurrence (Welford 1962; for chunks, Chan, Golub, LeVeque 1983, eq. 2.1 with the
 * sums taken about the first mean). Three operations a vector, and nothing cancels: s * s / n' is at most chunk / n' of q.
 * The first chunk, which has no mean yet, takes one of its elements; of a run's lanes, the median of three, so that one
 * outlier cannot be it.
 *
 * The mean is a sum of two reals, high + low, so that x - high is exact near it however far from zero it lies.
 */
#ifndef NORMA_WELFORD_H
#define NORMA_WELFORD_H

#include "template/vector.h"

enum {
    CHUNK = 64, /* vectors: few enough elements per sum, and few enough updates */
    CHAINS = 4  /* sums in flight: with two rows at once, enough to hide the latency of an fma */
};

typedef struct moments {
    vec high;
    vec low;
    vec m2;
} moments;

INLINE vec median(vec a, vec b, vec c)
{
    return V(max)(V(min)(a, b), V(min)(V(max)(a, b), c));
}

INLINE moments moments_about(vec first)
{
    const moments m = {first, V(zero)(), V(zero)()};
    return m;
}

/* Joins a chunk of `count` elements a lane, given their sum and their sum of squares about m.high; `before` are in m. */
INLINE moments moments_join(moments m, vec sum, vec squares, real before, real count)
{
    const vec share = V(set1)(1 / (before + count));
    const vec s = V(fnma)(V(set1)(count), m.low, sum);
    const vec q = V(fnma)(m.low, V(add)(sum, s), squares);
    const vec step = V(mul)(s, share);
    const vec low = V(add)(m.low, step);
    const vec high = V(add)(m.high, low);
    const moments joined = {high, V(sub)(low, V(sub)(high, m.high)), V(add)(m.m2, V(fnma)(s, step, q))};
    return joined;
}

/* The first chunk, summed about `first`, one of its elements: what moments_join() makes of it when nothing came before, in
 * fewer operations. `share` is 1 / count. */
INLINE moments moments_open(vec first, vec sum, vec squares, real share)
{
    const vec step = V(mul)(sum, V(set1)(share));
    const vec high = V(add)(first, step);
    const moments opened = {high, V(sub)(step, V(sub)(high, first)), V(fnma)(sum, step, squares)};
    return opened;
}

INLINE moments moments_first_of(moments a, moments b, int count)
{
    const moments m = {V(first_of)(a.high, b.high, count), V(first_of)(a.low, b.low, count), V(first_of)(a.m2, b.m2, count)};
    return m;
}

/* Sums of a chunk as it is read. */
typedef struct chunk_sums {
    vec sum[CHAINS];
    vec squares[CHAINS];
} chunk_sums;

INLINE chunk_sums chunk_begin(void)
{
    chunk_sums c;
    UNROLL
    for (int k = 0; k < CHAINS; k++) {
        c.sum[k] = c.squares[k] = V(zero)();
    }
    return c;
}

INLINE void chunk_add(chunk_sums *c, int chain, vec x, vec high)
{
    const vec d = V(fnma)(V(set1)(1), high, x);
    c->sum[chain] = V(add)(c->sum[chain], d);
    c->squares[chain] = V(fma)(d, d, c->squares[chain]);
}

INLINE vec sum_of_chains(const vec *v)
{
    return V(add)(V(add)(v[0], v[2]), V(add)(v[1], v[3]));
}

INLINE moments chunk_end(const chunk_sums *c, moments m, real before, real count)
{
    return moments_join(m, sum_of_chains(c->sum), sum_of_chains(c->squares), before, count);
}

#endif

/*
 * What every backward loop is made of: gradients as they are loaded, what of a set's terms stands in lanes, and the canonical
 * sums of a run.
 *
 * Sums of a run follow the tree of template/reduce.h: element i in lane i mod NORMA_LANES, vector j of a lane in chain j mod
 * CHAINS, lanes joined by one tree at the end of a leaf, leaves in order in double.
 */
#ifndef NORMA_GRADIENT_H
#define NORMA_GRADIENT_H

#include "gradients.h"
#include "template/reduce.h"

/* The inputs from one element on. */
typedef struct source {
    const element *x;
    const element *dy;
    const element *y;    /* these two as in norma_gradients */
    const uint8_t *mask; /* with bit, below 8 */
    const element *dsum;
    const void *modulation; /* these three as in norma_gradients */
    bool modulation_wide;
    bool modulation_plain;
    int bit;
} source;

/* Elements `x` and `y` on in tensors of either stride, `dense` on in those without gaps. */
INLINE source source_at(const norma_gradients *at, int64_t x, int64_t y, int64_t dense)
{
    const int64_t size = NORMA_NARROW && !at->modulation_wide ? (int64_t)sizeof(element) : (int64_t)sizeof(real);
    const source s = {(const element *)at->x + x,
                      (const element *)at->dy + y,
                      at->y ? (const element *)at->y + y : NULL,
                      at->mask ? at->mask + ((at->bit + dense) >> 3) : NULL,
                      at->dsum ? (const element *)at->dsum + dense : NULL,
                      at->modulation ? (const char *)at->modulation + dense * size : NULL,
                      at->modulation_wide,
                      at->modulation_plain,
                      (int)((at->bit + dense) & 7)};
    return s;
}

INLINE element *dx_at(const norma_gradients *at, int64_t x)
{
    return at->dx ? (element *)at->dx + x : NULL;
}

/* `lanes` bits from element i on, as 1 and 0. Bytes that hold none of them are not read. */
NOINLINE vec load_mask(const source *s, int64_t i, int lanes)
{
    const int64_t first = s->bit + i, last = first + lanes - 1;
    uint64_t bits = 0;
    for (int64_t byte = first >> 3; byte <= last >> 3; byte++) {
        bits |= (uint64_t)s->mask[byte] << (8 * (byte - (first >> 3)));
    }
    bits >>= first & 7;
    real lane[NORMA_WIDTH];
    for (int k = 0; k < NORMA_WIDTH; k++) {
        lane[k] = (real)(bits >> k & 1);
    }
    return V(load)(lane);
}

/* Holds a vector in a register: gcc would rather load it for each use anew, and loads are what these loops wait for. */
#if defined __AVX512F__
#define HOLD(v) __asm__("" : "+v"(v))
#elif defined __AVX2__
#define HOLD(v) __asm__("" : "+x"(v))
#else
#define HOLD(v) (void)0
#endif

/* dy by what modulated it. */
INLINE vec modulated_dy(const source *s, int64_t i, vec dy, int lanes)
{
    const parameters modulation = {s->modulation, -1, s->modulation_wide};
    const vec one = V(set1)(s->modulation_plain ? -(real)0 : 1);
    return V(mul)(dy, V(add)(load_parameters(&modulation, i, 0, lanes), one));
}

/* Of dy what counts. Where y is NaN it passes, as from a max that does not drop NaN. */
INLINE vec masked_dy(const source *s, int64_t i, vec dy, int lanes)
{
#if NORMA_DTYPE_IS == NORMA_IS_f64
    const vec least = V(set1)(DBL_TRUE_MIN);
#else
    const vec least = V(set1)(FLT_TRUE_MIN);
#endif
    if (s->y || s->mask) {
        const vec y = s->y ? load_lanes(s->y + i, lanes) : load_mask(s, i, lanes);
        dy = V(less)(y, least, V(zero)(), dy);
    }
    return s->modulation ? modulated_dy(s, i, dy, lanes) : dy;
}

/* `masked` is a constant: a loop with the branch, which calls a function, would keep its sums in memory. */
INLINE vec load_dy(bool masked, const source *s, int64_t i, int lanes)
{
    vec dy = load_lanes(s->dy + i, lanes);
    HOLD(dy);
    return masked ? masked_dy(s, i, dy, lanes) : dy;
}

/* Whether dy does not count as it lies. */
INLINE bool is_masked(const norma_gradients *at)
{
    return at->y || at->mask || at->modulation;
}

INLINE void store_dx(element *dx, vec v, int lanes, bool stream)
{
    if (lanes < NORMA_WIDTH) {
        M(store_part)(dx, v, lanes);
    } else if (stream) {
        M(stream)(dx, v);
    } else {
        M(store)(dx, v);
    }
}

/* Into L2: what is read later than L1 remembers. */
INLINE void prefetch_far(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}

/* How gradients are written: constants, so that no loop asks for each vector. */
typedef struct gradient_step {
    bool masked;
    bool joined; /* dsum is added */
    bool stream;
} gradient_step;

/* Whether streaming stores find what they need there. */
INLINE bool streams_to(const void *dx, int64_t stride)
{
    const size_t vector = NORMA_WIDTH * sizeof(element);
    return NORMA_STREAMS && (uintptr_t)dx % vector == 0 && stride % NORMA_WIDTH == 0;
}

/* A term in lanes: finite where it can be, as in real_factor(). */
INLINE real real_term(double term)
{
    const double most = (double)REAL_MAX;
    return (real)(term > most ? most : term < -most ? -most : term);
}

/* What a set's xn is made with. */
typedef struct lane_set {
    real center;
    real rate;
} lane_set;

INLINE lane_set lane_set_of(const norma_set *set)
{
    const lane_set lanes = {(real)set->mean, real_factor(set->factor)};
    return lanes;
}

/* The sums of a leaf, lane by lane: g, g * xn, xn. */
typedef struct gradient_lanes {
    vec sum[3][NORMA_PARTS];
} gradient_lanes;

/* Chains of one part. */
typedef struct gradient_chains {
    vec sum[3][CHAINS];
} gradient_chains;

/* A constant each: whether there is a scale, a mean to set right, and a mask. */
typedef struct sum_step {
    bool scaled;
    bool centered;
    bool masked;
} sum_step;

/* Adds `lanes` lanes from element i on to chain k. */
INLINE void chain_add(sum_step step, gradient_chains *c, int k, const source *s, const parameters *scale, int64_t i, int lanes,
                      vec center, vec rate)
{
    const vec dy = load_dy(step.masked, s, i, lanes);
    const vec g = step.scaled ? V(mul)(dy, load_parameters(scale, i, 0, lanes)) : dy;
    vec xn = V(mul)(V(sub)(load_lanes(s->x + i, lanes), center), rate);
    if (lanes < NORMA_WIDTH) { /* where there is no element, a 0 is no deviation */
        xn = V(first_of)(xn, V(zero)(), lanes);
    }
    c->sum[1][k] = V(fma)(g, xn, c->sum[1][k]);
    if (step.centered) {
        c->sum[0][k] = V(add)(c->sum[0][k], g);
        c->sum[2][k] = V(add)(c->sum[2][k], xn);
    }
}

/* All of a leaf of `count` elements that falls to part p. */
INLINE void sum_part(sum_step step, gradient_lanes *lanes, int p, const source *s, const parameters *scale, int64_t first,
                     int64_t count, lane_set set)
{
    const vec center = V(set1)(set.center), rate = V(set1)(set.rate);
    const int64_t vectors = count / NORMA_LANES, at = first + p * NORMA_WIDTH;
    const int rest = lanes_in_part((int)(count % NORMA_LANES), p);
    gradient_chains c;
    UNROLL
    for (int k = 0; k < CHAINS; k++) {
        c.sum[0][k] = c.sum[1][k] = c.sum[2][k] = V(zero)();
    }
    int64_t j = 0;
    NO_UNROLL
    for (; j + CHAINS <= vectors; j += CHAINS) {
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            chain_add(step, &c, k, s, scale, at + (j + k) * NORMA_LANES, NORMA_WIDTH, center, rate);
        }
    }
    UNROLL
    for (int k = 0; k < CHAINS; k++) {
        if (j + k < vectors) {
            chain_add(step, &c, k, s, scale, at + (j + k) * NORMA_LANES, NORMA_WIDTH, center, rate);
        } else if (j + k == vectors && rest) {
            chain_add(step, &c, k, s, scale, at + vectors * NORMA_LANES, rest, center, rate);
        }
    }
    UNROLL
    for (int q = 0; q < 3; q++) {
        lanes->sum[q][p] = sum_of_chains(c.sum[q]);
    }
}

/* The lanes of `count` (a constant, at most 3) sums join. Vectors of 2 hold no more than two at a time. */
INLINE void join_sums(const vec (*part)[NORMA_PARTS], int count, double *sum)
{
    enum { AT_ONCE = NORMA_WIDTH < 4 ? 1 : 3 };
    UNROLL
    for (int first = 0; first < count; first += AT_ONCE) {
        const int some = count - first < AT_ONCE ? count - first : AT_ONCE;
        vec v[AT_ONCE];
        real joined[NORMA_WIDTH];
        UNROLL
        for (int q = 0; q < some; q++) {
            v[q] = sum_of_parts(part[first + q]);
        }
        sum_lanes(v, some, joined);
        UNROLL
        for (int q = 0; q < some; q++) {
            sum[first + q] = (double)joined[V(lane_of)(q)];
        }
    }
}

/* The lanes of a leaf: `count` elements from `first` on. */
INLINE void sum_leaf_lanes(sum_step step, gradient_lanes *lanes, const source *s, const parameters *scale, int64_t first,
                           int64_t count, lane_set set)
{
    NO_UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        sum_part(step, lanes, p, s, scale, first, count, set);
    }
}

INLINE norma_sums join_leaf_lanes(sum_step step, const gradient_lanes *lanes)
{
    double sum[3] = {0, 0, 0};
    if (step.centered) {
        join_sums(lanes->sum, 3, sum);
    } else {
        join_sums(lanes->sum + 1, 1, sum + 1);
    }
    const norma_sums joined = {sum[0], sum[1], sum[2]};
    return joined;
}

/* The sums of `count` elements that begin at a leaf boundary of their run. */
INLINE norma_sums sum_run(sum_step step, const source *s, const parameters *scale, int64_t count, lane_set set)
{
    norma_sums total = {0, 0, 0};
    for (int64_t first = 0; first < count; first += NORMA_RUN_LEAF) {
        gradient_lanes lanes;
        sum_leaf_lanes(step, &lanes, s, scale, first, count - first < NORMA_RUN_LEAF ? count - first : NORMA_RUN_LEAF, set);
        const norma_sums part = join_leaf_lanes(step, &lanes);
        total = first ? norma_sums_add(total, part) : part;
    }
    return total;
}

#endif

/*
 * From statistics to what is applied: partial results of a reduction, how two merge, and the divisor that an op makes of
 * the whole. Everything here is scalar double and the same on every ISA, so that its bits are too.
 *
 * Only static inline functions: ISA files include this header, and no copy built for one ISA may serve another.
 */
#ifndef NORMA_NORMALIZER_H
#define NORMA_NORMALIZER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "norma/norma.h"

typedef enum norma_statistic {
    NORMA_MOMENTS,   /* mean and M2, the sum of squared deviations from it */
    NORMA_SQUARES,   /* sum of squares */
    NORMA_MAGNITUDES /* sum of magnitudes */
} norma_statistic;

/* The statistics of `count` elements. For squares and magnitudes the mean is 0 and m2 the sum: deviations from zero. */
typedef struct norma_partial {
    double count;
    double mean;
    double m2;
} norma_partial;

/* How an op turns the whole reduction into a divisor. */
typedef struct norma_normalizer {
    norma_statistic statistic;
    norma_epsilon_mode epsilon_mode;
    norma_saved saved;
    bool one_plus_scale;     /* multiply by 1 + scale */
    bool round_before_scale; /* to the type of y */
    double epsilon;
    double weight;  /* v = m2 * weight: 1 / count for a mean, 1 for a sum; of integers, times what x_scale makes of it */
    double x_scale; /* x stands for x_scale * (x - x_zero_point): 1 and 0 but for integers */
    double x_zero_point;
} norma_normalizer;

/* y = (x - mean) * factor * scale + shift, of x as it lies in memory. Scale and shift lie along the set, element by element;
 * or, with own_shift, these two serve all of it. */
typedef struct norma_affine {
    double mean;
    double factor;
    double scale;
    double shift;
    bool own_shift;
} norma_affine;

/* Merges b, which follows a. (Chan, Golub, LeVeque: Algorithms for Computing the Sample Variance, 1983, eq. 2.1.) */
static inline norma_partial norma_partial_merge(norma_partial a, norma_partial b)
{
    const double count = a.count + b.count;
    const double delta = b.mean - a.mean;
    const double part = b.count / count;
    const norma_partial merged = {count, a.mean + delta * part, a.m2 + b.m2 + delta * (delta * (a.count * part))};
    return merged;
}

/* The statistics of a column of a matrix, or of a part of one. The mean counts from an origin, one of the column's elements:
 * sums of f64 near it keep their digits. */
typedef struct norma_column {
    double count;
    double origin;
    double mean;
    double m2;
} norma_column;

/* Merges b, which follows a. */
static inline norma_column norma_column_merge(norma_column a, norma_column b)
{
    const norma_partial first = {a.count, a.mean, a.m2}, second = {b.count, b.origin - a.origin + b.mean, b.m2};
    const norma_partial merged = norma_partial_merge(first, second);
    const norma_column column = {merged.count, a.origin, merged.mean, merged.m2};
    return column;
}

static inline norma_partial norma_column_partial(const norma_column *column)
{
    const norma_partial partial = {column->count, column->origin + column->mean, column->m2};
    return partial;
}

/* The factor for v, see norma_epsilon_mode; of x as it lies in memory. */
static inline double norma_normalizer_factor(const norma_normalizer *normalizer, double v)
{
    const bool root = normalizer->statistic != NORMA_MAGNITUDES;
    const double epsilon = normalizer->epsilon;
    double divisor;
    if (normalizer->epsilon_mode == NORMA_EPSILON_INSIDE) {
        divisor = root ? sqrt(v + epsilon) : v + epsilon;
    } else {
        divisor = root ? sqrt(v) : v;
        if (normalizer->epsilon_mode == NORMA_EPSILON_OUTSIDE) {
            divisor += epsilon;
        } else if (normalizer->epsilon_mode == NORMA_EPSILON_FLOOR) {
            divisor = divisor < epsilon ? epsilon : divisor;
        }
    }
    return divisor == 0 ? 0 : normalizer->x_scale / divisor;
}

static inline norma_affine norma_normalizer_affine(const norma_normalizer *normalizer, const norma_partial *partial)
{
    const norma_affine affine = {partial->mean, norma_normalizer_factor(normalizer, partial->m2 * normalizer->weight), 1, 0,
                                 false};
    return affine;
}

/* The affine with a scale and a shift of the whole set's. */
static inline norma_affine norma_affine_with(norma_affine affine, double scale, double shift)
{
    const norma_affine with = {affine.mean, affine.factor, scale, shift, true};
    return with;
}

/* What args.mean receives. */
static inline double norma_normalizer_mean(const norma_normalizer *normalizer, const norma_partial *partial)
{
    return (partial->mean - normalizer->x_zero_point) * normalizer->x_scale;
}

/* What args.rstd receives. */
static inline double norma_normalizer_saved(const norma_normalizer *normalizer, const norma_partial *partial, double factor)
{
    const double rstd = factor / normalizer->x_scale;
    switch (normalizer->saved) {
    case NORMA_SAVE_VARIANCE:
        return partial->m2 * normalizer->weight;
    case NORMA_SAVE_DIVISOR:
        return rstd == 0 ? 0 : 1 / rstd;
    default:
        return rstd;
    }
}

#endif

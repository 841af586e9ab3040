/*
 * The backward pass: what its kernels and their drivers share, and from sums to gradients in scalar double, the same on every
 * instruction set. Only static inline functions, as in normalizer.h.
 *
 * With xn = (x - mean) * factor, g = dy * scale, D the divisor and v what it is made of (norma_epsilon_mode), means and sums
 * over a reduced set,
 *
 *     dx = factor * (g - mean(g) - xn * slope * weight * sum(g * xn)),   slope = 2 * dD/dv * D,
 *     dscale = sum of dy * xn, dshift = sum of dy over all that share the parameter,
 *
 * where without a mean the second term, and with given statistics the second and the third, are left out. slope is 1 for an
 * epsilon inside the root or none. (The chain rule on y = (x - mean) / D(v) * scale + shift; for the usual case Ioffe, Szegedy,
 * arXiv 1502.03167, section 3.)
 */
#ifndef NORMA_GRADIENTS_H
#define NORMA_GRADIENTS_H

#include "kernels.h"

/* The statistics of one set, as saved, given or computed again. */
typedef struct norma_set {
    double mean;
    double factor;
    double slope;
} norma_set;

/* Sums over a set or a part of one, with xn about the mean as it was saved. Its own sum tells how far that lies from the true
 * mean: an f32 at 1e4 keeps no more than three digits behind the point. */
typedef struct norma_sums {
    double g;
    double gx; /* g * xn */
    double x;  /* xn */
} norma_sums;

/* dx = of_g * g + of_x * (xn - lag) + rest. */
typedef struct norma_terms {
    double center; /* xn = (x - center) * rate */
    double rate;
    double lag; /* the mean of xn */
    double of_g;
    double of_x;
    double rest;
} norma_terms;

static inline norma_sums norma_sums_add(norma_sums a, norma_sums b)
{
    const norma_sums sum = {a.g + b.g, a.gx + b.gx, a.x + b.x};
    return sum;
}

/* 2 * dD/dv * D, of a root. */
static inline double norma_backward_slope(const norma_normalizer *normalizer, double root, double divisor)
{
    switch (normalizer->epsilon_mode) {
    case NORMA_EPSILON_OUTSIDE:
        return root > 0 ? divisor / root : 0; /* a set of equal elements: xn is 0 */
    case NORMA_EPSILON_FLOOR:
        return root > normalizer->epsilon ? 1 : 0;
    default:
        return 1;
    }
}

static inline norma_set norma_set_of_partial(const norma_normalizer *normalizer, const norma_partial *partial)
{
    const double v = partial->m2 * normalizer->weight, factor = norma_normalizer_factor(normalizer, v);
    const norma_set set = {partial->mean, factor, factor == 0 ? 0 : norma_backward_slope(normalizer, sqrt(v), 1 / factor)};
    return set;
}

/* From what args.mean and args.rstd of a run received; `single` where that is f32. */
static inline norma_set norma_set_of_saved(const norma_normalizer *normalizer, double mean, double saved, bool single)
{
    if (normalizer->saved == NORMA_SAVE_VARIANCE) {
        const norma_partial partial = {1, mean, saved / normalizer->weight};
        return norma_set_of_partial(normalizer, &partial);
    }
    const bool inverted = normalizer->saved == NORMA_SAVE_DIVISOR;
    const double floor = inverted ? normalizer->epsilon : 1 / normalizer->epsilon;
    const double kept = single ? (double)(float)floor : floor; /* compared as it was rounded, before anything else rounds */
    const bool above = inverted ? saved > kept : saved < kept;
    if (inverted) {
        saved = saved == 0 ? 0 : 1 / saved;
    }
    norma_set set = {mean, saved, 1};
    if (saved == 0) {
        set.slope = 0;
    } else if (normalizer->epsilon_mode == NORMA_EPSILON_FLOOR) {
        set.slope = above ? 1 : 0;
    } else if (normalizer->epsilon_mode == NORMA_EPSILON_OUTSIDE) {
        set.slope = norma_backward_slope(normalizer, 1 / saved - normalizer->epsilon, 1 / saved);
    }
    return set;
}

/* What dx takes of a set of `count` elements whose sums are known; of_g without a scale. */
static inline norma_terms norma_terms_of(const norma_normalizer *normalizer, const norma_set *set, const norma_sums *sums,
                                         double count, bool given)
{
    const bool centered = normalizer->statistic == NORMA_MOMENTS && !given;
    const double lag = centered ? sums->x / count : 0;
    const double mean = centered ? sums->g / count : 0;
    const double of_x = given ? 0 : set->slope * normalizer->weight * (sums->gx - lag * sums->g);
    const norma_terms terms = {set->mean, set->factor, lag, set->factor, -set->factor * of_x, -set->factor * mean};
    return terms;
}

/* The tensors, from the element on that a kernel begins with. */
typedef struct norma_gradients {
    const void *x;
    const void *dy;
    const void *y;          /* dy counts where y is above 0 only; NULL: everywhere */
    const uint8_t *mask;    /* or where a bit is set, */
    int64_t bit;            /* of which this is the first */
    const void *dsum;       /* is added to dx; or NULL */
    void *dx;               /* or NULL */
    const void *modulation; /* dy counts 1 + this times, element by element; or NULL */
    bool modulation_wide;   /* it is of lanes, whatever x is */
    bool modulation_plain;  /* dy counts this many times, without the 1 + */
} norma_gradients;

/* Rows whose scale and shift lie along them. */
typedef struct norma_backward_rows_job {
    norma_gradients at; /* row 0 */
    const void *scale;  /* or NULL */
    bool wide;          /* scale is of f32, whatever x is */
    int64_t length;
    int64_t x_stride; /* elements from one row to the next, of x and dx, */
    int64_t y_stride; /* of dy and y, */
    int64_t dense;    /* and of what has no gaps: mask, dsum and modulation */
    const norma_normalizer *normalizer;
    void *leaf;     /* lanes: dscale, then dshift of the rows of a leaf so far; NULL: not wanted */
    double *dscale; /* whole leaves are added */
    double *dshift;
    bool stream; /* write dx past the caches */
} norma_backward_rows_job;

/* Runs of one channel each, at equal distances. */
typedef struct norma_backward_runs_job {
    norma_gradients at; /* the first */
    int64_t count;      /* elements of a run */
    int64_t stride;     /* elements from one to the next */
    int64_t runs;
    bool stream;
} norma_backward_runs_job;

/* A matrix whose columns are reduced sets or parts of them: see norma_fibers_job. All tensors lie alike. */
typedef struct norma_backward_columns_job {
    norma_gradients at;
    const norma_axis *axes;
    int axes_count;
    int64_t rows;
    int64_t fold;
    int64_t rest;
    const void *scale; /* one per row, for reduce_along() and apply_along(); or NULL */
    bool wide;
    double *dscale; /* one per row: apply_along() adds; or NULL */
    double *dshift;
    int64_t ahead; /* elements that are prefetched ahead; 0: none */
    bool stream;
} norma_backward_columns_job;

/* Rows that lanes sum up before the sums go on in double; so are the columns of one strip along rows. */
#define NORMA_BACKWARD_LEAF 32
#define NORMA_BACKWARD_STRIP 256
/* Most parts, each summed in order and merged in order, that the rows of dscale and dshift fall into. */
#define NORMA_BACKWARD_SEGMENTS_MAX 32

typedef struct norma_backward_kernel {
    /* Rows [first, last), at most a leaf and of one: dx and, into the leaf's sums, dscale and dshift. `last` ends the leaf
     * where `closes`. */
    void (*rows)(const norma_backward_rows_job *job, int64_t first, int64_t last, const norma_set *sets, bool closes);
    /* Sums of each run, which is of one leaf or begins at a leaf boundary, without scale; one set for all, or `each` its own.
     */
    void (*reduce)(const norma_backward_runs_job *job, const norma_set *sets, bool each, norma_sums *sums);
    /* dx of each run. */
    void (*apply)(const norma_backward_runs_job *job, const norma_terms *terms, bool each);
    /* Sums of columns [first, last), at most NORMA_STRIP_MAX with their folds, over rows [begin, end), a segment; a set and
     * sums for each column. Without scale: */
    void (*reduce_columns)(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                           const norma_set *sets, norma_sums *sums);
    /* with that of each row: */
    void (*reduce_along)(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                         const norma_set *sets, norma_sums *sums);
    /* dx of the same, the last rows first; */
    void (*apply_columns)(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                          const norma_terms *terms);
    /* and with scale, dscale and dshift of each row, of at most NORMA_BACKWARD_STRIP columns. */
    void (*apply_along)(const norma_backward_columns_job *job, int64_t first, int64_t last, int64_t begin, int64_t end,
                        const norma_terms *terms);
    /* to = what counts of dy, `count` elements. */
    void (*pass)(const norma_gradients *at, void *to, int64_t count);
    /* See norma_rows_kernel. */
    void (*settle)(void);
} norma_backward_kernel;

#define X(dtype)                                                                                                               \
    extern const norma_backward_kernel norma_backward_##dtype##_generic, norma_backward_##dtype##_avx2,                        \
        norma_backward_##dtype##_avx512, norma_backward_##dtype##_neon;
#include "backward.def"
#undef X

/* The kernel of a type on an instruction set, NULL where this build has none. */
const norma_backward_kernel *norma_backward_find(norma_dtype dtype, norma_isa isa);

#endif

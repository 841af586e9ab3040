/*
 * The affine that normalizes a row, in the types that kernels work in.
 */
#ifndef NORMA_AFFINE_H
#define NORMA_AFFINE_H

#include "template/vector.h"

/* norma_affine in the type of x: y = ((x - center) - low) * factor. The mean is the sum of two reals, so that x - center is
 * exact near it however far from zero it lies. (Two subtractions and a product rather than a subtraction and an fma: the
 * units that add are idle here, and a core may not issue an fma while it stores a whole cache line. Narrow types have no idle
 * units, and are stored in half as many lines: see row_vectors.) */
typedef struct row_affine {
    real center;
    real low;
    real factor;
    real scale; /* with own_shift, as is the next */
    real shift;
    double exact_factor;
} row_affine;

/* Of narrow types low is such that y = (x - center) * factor + low; a shift of the row's is in it, too, where the factor has
 * its scale: then the row is folded, and scale and shift change nothing more. */
typedef struct row_vectors {
    vec center;
    vec low;
    vec factor;
    vec scale;
    vec shift;
} row_vectors;

/* The affine with a scale and a shift of the row's, or of a channel in it. The product of factor and scale is rounded once. */
INLINE row_affine row_affine_with(row_affine row, double scale, double shift)
{
    const bool fits = real_product_fits(row.exact_factor, scale);
    row.factor = fits ? (real)real_product(row.exact_factor, scale) : real_factor(row.exact_factor);
    row.scale = fits ? 1 : (real)scale;
    row.shift = (real)shift;
    return row;
}

INLINE row_affine row_affine_of(const norma_affine *affine)
{
    const real center = (real)affine->mean;
    const row_affine row = {center,        (real)(affine->mean - (double)center), real_factor(affine->factor), 1, -(real)0,
                            affine->factor};
    return affine->own_shift ? row_affine_with(row, affine->scale, affine->shift) : row;
}

INLINE bool row_folds(const row_affine *affine)
{
    return NORMA_NARROW && affine->scale == 1;
}

INLINE row_vectors row_vectors_of(const row_affine *affine)
{
    const bool folds = row_folds(affine);
    const real offset = (folds ? affine->shift : -(real)0) - affine->low * affine->factor;
    const row_vectors row = {V(set1)(affine->center), V(set1)(NORMA_NARROW ? offset : affine->low), V(set1)(affine->factor),
                             V(set1)(affine->scale), V(set1)(folds ? -(real)0 : affine->shift)};
    return row;
}

/* y before any scale and shift but those that are folded. */
INLINE vec write_normalized(const row_vectors *row, vec x)
{
    const vec from_center = V(sub)(x, row->center);
    return NORMA_NARROW ? V(fma)(from_center, row->factor, row->low) : V(mul)(V(sub)(from_center, row->low), row->factor);
}

/* What any epilogue begins with: x of a row, and the affine of its step. Copies, so that no store makes loops load them
 * again. */
typedef struct tile_affine {
    row_vectors row;
    parameters scale;
    parameters shift;
    vec one; /* added to scale */
    bool round;
    const element *x;
    int64_t ahead;
} tile_affine;

/* The affine of any step, in the same bits: what a step leaves out is here a 0 subtracted, a 1 multiplied, a -0 added. `own` (a
 * constant): the row has a scale and a shift of its own. */
INLINE vec affine_vector(const tile_affine *a, bool own, int64_t i, int lanes)
{
    simd_prefetch(a->x + i + a->ahead);
    const vec y = write_normalized(&a->row, load_lanes(a->x + i, lanes));
    if (own) {
        return V(fma)(y, a->row.scale, a->row.shift);
    }
    const vec scale = V(add)(load_parameters(&a->scale, i, 0, lanes), a->one);
    return V(fma)(NORMA_NARROW && a->round ? round_to_element(y) : y, scale, load_parameters(&a->shift, i, 0, lanes));
}

#endif

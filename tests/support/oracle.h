/*
 * What the norms are, in long double and two passes, straight from the formulas of norma.h. It shares no code with src/, and is
 * compiled without any flag that lets a compiler reorder arithmetic.
 */
#ifndef NORMA_TEST_ORACLE_H
#define NORMA_TEST_ORACLE_H

#include <stdint.h>

#include "norma/norma.h"

/* The reduced sets are numbered in memory order of the kept axes, their elements in memory order of the reduced ones; y and the
 * positions run through all elements of set 0, then of set 1, … */
typedef struct oracle {
    int64_t sets;
    int64_t length; /* elements of a set */
    int64_t params; /* elements of scale and of shift */
    double *y;
    double *mean; /* one per set, as are the next two */
    double *rstd;
    double *v;     /* see norma_epsilon_mode */
    int64_t *x_at; /* where the element lies in x, and in y */
    int64_t *y_at;
    int64_t *param_at;  /* its scale and shift */
    int64_t *dense_at;  /* where it lies without gaps between rows: its residual, … */
    int64_t *sample_at; /* which item of axis 0 it belongs to */
} oracle;

/* What goes into a run. scale and shift may be NULL; given statistics are there when the descriptor says so. */
typedef struct oracle_inputs {
    const void *x;
    const void *scale;
    const void *shift;
    const void *given_mean;
    const void *given_variance;
    const void *residual; /* dense, in x's order; these too may be NULL where the descriptor does not need them */
    const void *residual_gate;
    const void *residual_bias;
    const void *modulation_scale;
    const void *modulation_shift;
    const void *gate;
} oracle_inputs;

/* What is normalized, as `in` and desc make it of element i of a set: x, or the sum, not rounded to its type. */
long double oracle_sum(const oracle *o, const norma_desc *desc, const oracle_inputs *in, int64_t set, int64_t i);

/* An activation, straight from its formula. */
long double oracle_activation(norma_activation activation, long double alpha, long double beta, long double y);

/* The descriptor must be a legal one. y is not quantized. */
oracle *oracle_create(const norma_desc *desc, oracle_inputs inputs);
void oracle_destroy(oracle *o);

/* Where elements lie, without their values: y, mean, rstd and v are zero. */
oracle *oracle_layout(const norma_desc *desc);

/* Elements from the first of x (y) to the last, gaps between rows included. */
int64_t oracle_x_extent(const oracle *o);
int64_t oracle_y_extent(const oracle *o);

#endif

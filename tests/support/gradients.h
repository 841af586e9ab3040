/*
 * A backward trial: one descriptor with random data in guarded buffers, and what its gradients are, in long double and straight
 * from the formulas of norma.h. As oracle.h, it shares no code with src/.
 */
#ifndef NORMA_TEST_GRADIENTS_H
#define NORMA_TEST_GRADIENTS_H

#include "support/guard.h"
#include "support/oracle.h"
#include "support/random.h"

typedef enum gradients_mask { MASK_NONE, MASK_FROM_Y, MASK_BITS } gradients_mask;

/* What there is, and how x is distributed: N(offset, spread). */
typedef struct gradients_inputs {
    bool scale;
    bool saved; /* else statistics are computed again */
    bool dsum;
    bool shift; /* where the descriptor modulates; there too: */
    bool modulation_scale;
    bool in_place; /* dx is dy */
    bool no_dx;    /* these are not wanted */
    bool no_dscale;
    bool no_dshift;
    bool no_dmodulation_scale;
    bool no_dmodulation_shift;
    gradients_mask mask;
    guard_side side;
    int distance; /* elements from the guard page at that end */
    double offset;
    double spread;
} gradients_inputs;

enum { GRADIENTS_TENSORS = 20 };

typedef struct gradients {
    norma_desc desc;
    gradients_inputs inputs;
    oracle *layout; /* where elements lie */
    norma_backward_args args;
    void *data[GRADIENTS_TENSORS]; /* the inputs, as they are placed before each run */
    guard guards[GRADIENTS_TENSORS];
    long double *dx; /* expected, set by set as in the oracle; and of each its scale of error */
    long double *unit;
    long double *dscale;
    long double *dshift;
    long double *share; /* the root of the sum of squares of what each dscale is the sum of */
    long double *dmodulation_scale;
    long double *dmodulation_shift;
    long double *modulation_share; /* likewise */
} gradients;

/* Random tensors and what comes of them. desc.activation is set as the mask wants it. */
gradients *gradients_create(const norma_desc *desc, const gradients_inputs *inputs, random_state *random);
void gradients_destroy(gradients *g);

/* Changes an element of dy or x by its place in a set; then gradients_expect() computes what is expected again. */
void gradients_set_x(gradients *g, int64_t set, int64_t i, double value);
void gradients_set_dy(gradients *g, int64_t set, int64_t i, double value);
void gradients_expect(gradients *g);

/* Fresh copies of the inputs, and args for a plan of desc. */
void gradients_place(gradients *g, const norma_plan *plan);

/* Places them and runs them on a context. */
void gradients_run(gradients *g, norma_context *context);

/* The same on a serial context of an instruction set. */
void gradients_run_serial(gradients *g, norma_isa isa);

/* Fails unless every gradient is within tolerance of what is expected, in units of the terms it is made of, and half an ulp of
 * a narrow type, and nothing else was written. */
void gradients_check(const gradients *g, double tolerance);

/* Some ulps of what is computed in. */
double gradients_tolerance(const gradients *g);

/* All gradients as they lie: a copy, and how many bytes. */
void *gradients_outcome(const gradients *g, size_t *size);

#endif

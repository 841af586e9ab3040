/*
 * A trial: one descriptor with random data in guarded buffers, run as often as wanted and compared with the oracle or with
 * another run. It does not say how to run: through the API (isa.h) or straight on a kernel (direct.h).
 */
#ifndef NORMA_TEST_TRIAL_H
#define NORMA_TEST_TRIAL_H

#include <stdbool.h>

#include "support/guard.h"
#include "support/oracle.h"
#include "support/random.h"

/* Which tensors there are, and how x is distributed: N(offset, spread). */
typedef struct trial_inputs {
    bool scale;
    bool shift;
    bool mean;
    bool rstd;
    double offset;
    double spread;
} trial_inputs;

/* Where the tensors lie: how many elements from the guard page at that end. Every tensor of the run gets another distance when
 * the distance is not 0, so that no two are aligned alike by accident. */
typedef struct trial_spot {
    guard_side side;
    int distance;
    bool in_place;
} trial_spot;

typedef struct trial {
    norma_desc desc;
    trial_inputs inputs;
    trial_spot spot;
    norma_args args; /* the tensors where trial_place() put them */
    oracle *want;
    void *x; /* what x, scale and shift hold before each run */
    void *scale;
    void *shift;
    void *given_mean; /* as the descriptor says */
    void *given_variance;
    void *residual;
    void *input[5]; /* residual_gate, residual_bias, modulation_scale, modulation_shift, gate: as the descriptor says */
    void *y_scale;
    double scale_max; /* the largest magnitude in scale, 1 without */
    int64_t x_extent;
    int64_t y_extent;
    guard guards[17];
} trial;

/* Random x, scale around 1 and shift around 0. Gaps between the rows of x hold NaN: whoever reads them shows it. */
trial *trial_create(const norma_desc *desc, trial_inputs inputs, random_state *random);

/* The same with every output that the op has. */
trial *trial_of(norma_desc desc, bool scale, bool shift, double offset, double spread);
void trial_destroy(trial *t);

/* Sets element i of a reduced set; then trial_expect() computes the oracle again. */
void trial_set_x(trial *t, int64_t set, int64_t i, double value);
void trial_expect(trial *t);

/* Fresh copies of the inputs and filled outputs at that spot. */
void trial_place(trial *t, trial_spot spot);

/* Fails unless y is within tolerance * max(1, |y|) (RMS and Lp norm: tolerance * |y|) and half an ulp of a narrow type, the
 * saved statistics are as near, and nothing else was written. */
void trial_check(const trial *t, double tolerance);

/* Fails unless no output was written. */
void trial_check_untouched(const trial *t);

/* All that a run has written, densely: y, mean, rstd. */
typedef struct outcome {
    int64_t count;
    int64_t length; /* elements of y in one reduced set */
    double *elements;
} outcome;

outcome trial_outcome(const trial *t);
void outcome_destroy(outcome *o);

/* Fails with the first difference in bits; `what` says what was compared. */
void outcome_check_same(const outcome *a, const outcome *b, const char *what);

/* As above, with what the trial's buffers hold now. */
void trial_check_same(const trial *t, const outcome *want, const char *what);

/* The bound that norma.h states for f32, and about as many ulps of f64. */
double trial_tolerance(const trial *t);

#endif

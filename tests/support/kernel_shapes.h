/* Shapes that reach every path of a kernel, and descriptors that lead to it. */
#ifndef NORMA_TEST_KERNEL_SHAPES_H
#define NORMA_TEST_KERNEL_SHAPES_H

#include "kernels.h"
#include "support/trial.h"

/* Lengths of a run: all that end differently in up to two tiles (a tile is four 64-byte vectors) and one more, then what real
 * models have, and both sides of a leaf. */
extern const int64_t *const shape_lengths;
extern const size_t shape_lengths_count;

/* Matrices of fibers: columns up to two vectors and one more, rows around chunks and leaves, and larger ones. */
typedef struct shape_matrix {
    int64_t rows;
    int64_t columns;
} shape_matrix;

extern const shape_matrix *const shape_matrices;
extern const size_t shape_matrices_count;

/* A problem whose sets are rows: layer, RMS or Lp norm as the kernel's statistic wants. `mix` chooses strides, and `choice`
 * modes of epsilon, rounding and what is saved. */
norma_desc shape_of_rows(const norma_kernel_entry *entry, int64_t rows, int64_t length, int64_t mix, int64_t choice);
norma_desc shape_of_fibers(const norma_kernel_entry *entry, shape_matrix matrix, int64_t choice);

/* Which of the op's tensors there are, by turns; shape_variants() turns show all combinations of scale and shift. */
trial_inputs shape_inputs(const norma_desc *desc, int64_t turn);
int shape_variants(const norma_desc *desc);

#endif

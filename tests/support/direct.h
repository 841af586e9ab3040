/* Kernels called as the drivers call them, with any blocking. */
#ifndef NORMA_TEST_DIRECT_H
#define NORMA_TEST_DIRECT_H

#include "kernels.h"
#include "support/trial.h"

/* What the op makes of its statistics, derived here from norma.h and not from src/. */
norma_normalizer direct_normalizer(const norma_desc *desc);

/* What kernels of integers write: y in f32. NULL for others. */
const norma_epilogue *direct_epilogue(const norma_desc *desc);

/* Runs the trial on the kernel of that instruction set; the descriptor must fit the kernel's geometry. */
void direct_run(trial *t, const norma_kernel_entry *entry, norma_isa isa, const norma_blocking *blocking);

#endif

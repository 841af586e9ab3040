/* The default blocking: rules from the cache sizes, for shapes that nobody has tuned. */
#ifndef NORMA_BLOCKING_H
#define NORMA_BLOCKING_H

#include "problem.h"

/* Whether the kernels of an instruction set write past the caches. */
bool norma_isa_streams(norma_isa isa);

/* `threads` is the most that a run may use. */
norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads);

/* Sets the order of rows, and what goes with it by default: group, strip and ahead. */
void norma_blocking_set_order(norma_blocking *blocking, const norma_problem *problem, norma_rows_order order);

#endif

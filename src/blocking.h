/* The default blocking: rules from the cache sizes, for shapes that nobody has tuned. */
#ifndef NORMA_BLOCKING_H
#define NORMA_BLOCKING_H

#include "problem.h"

/* Whether the kernels of an instruction set write past the caches. */
bool norma_isa_streams(norma_isa isa);

/* `threads` is the most that a run may use. */
norma_blocking norma_blocking_default(const norma_problem *problem, norma_isa isa, int threads);

/* "pairs, ahead 2304, …": the knobs that bear on the problem's geometry. */
void norma_blocking_describe(const norma_problem *problem, const norma_blocking *blocking, char *buffer, size_t size);

#endif

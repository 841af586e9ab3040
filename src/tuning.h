/* Where a plan's knobs come from: the built-in rules, or for tests chance. */
#ifndef NORMA_TUNING_H
#define NORMA_TUNING_H

#include "problem.h"

typedef struct norma_tuning {
    bool random;
    uint64_t seed;
    char source[80]; /* a sentence for people */
} norma_tuning;

/* From a setting: NULL for the built-in rules; "random:SEED" for legal knobs by chance and all threads, the same for the same
 * seed and problem. */
norma_status norma_tuning_init(norma_tuning *tuning, const char *setting);

/* `threads` is the most that a run may use. */
norma_blocking norma_tuning_choose(const norma_tuning *tuning, const norma_problem *problem, norma_isa isa, int threads);

#endif

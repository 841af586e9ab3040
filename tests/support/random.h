/* Random test data from one seed: NORMA_TEST_SEED in the environment, else fixed. */
#ifndef NORMA_TEST_RANDOM_H
#define NORMA_TEST_RANDOM_H

#include <stdint.h>

#include "norma/norma.h"

typedef struct random_state {
    uint64_t word;
} random_state;

uint64_t random_seed(void);

/* A stream of its own for each salt. */
random_state random_begin(uint64_t salt);

uint64_t random_bits(random_state *random);

/* Uniform in [0, count). */
uint64_t random_below(random_state *random, uint64_t count);

/* Uniform in [low, high). */
double random_between(random_state *random, double low, double high);

double random_normal(random_state *random);

#endif

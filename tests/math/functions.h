/* The functions of template/math.h on each instruction set, and what they should give. */
#ifndef NORMA_TEST_MATH_FUNCTIONS_H
#define NORMA_TEST_MATH_FUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

typedef void math_run(const float *x, float *y, size_t count);

typedef struct math_function {
    const char *name;
    math_run *run;
} math_function;

enum {
#define X(name, ulps, ulps_generic, checksum) MATH_##name,
#include "math/functions.def"
#undef X
    MATH_FUNCTIONS
};

/* NULL where this build lacks the instruction set; the processor may lack it still. */
const math_function *math_functions(norma_isa isa);

typedef struct math_wanted {
    double (*exact)(double x);
    double ulps;
    double ulps_generic;
    uint64_t checksum;
} math_wanted;

extern const math_wanted math_wanted_of[MATH_FUNCTIONS];

/* |got - want| in units of the last place of a float near want; 0 for NaN against NaN, infinite for NaN against a number. What
 * overflows is taken for 2^128. */
double math_error(float got, double want);

/* What a result of `function` at x may be wrong by. */
double math_bound(int function, norma_isa isa, float x);

float math_float_of(uint32_t bits);

#endif

/* Comparisons of results: with the oracle within a tolerance, and of two results bit for bit. */
#ifndef NORMA_TEST_COMPARE_H
#define NORMA_TEST_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

/* |got - want| / max(1, |want|); 0 for NaN against NaN or equal infinities, infinite for NaN against a number. */
double compare_error(double got, double want);

/* |got - want| / |want|, for saved statistics; 0 for 0 against 0. */
double compare_relative_error(double got, double want);

/* The first element in which the two differ, -1 for none. A NaN equals any NaN; 0 and -0 differ. */
int64_t compare_bits(norma_dtype dtype, const void *a, const void *b, int64_t count);

#endif

/* Tensors of a test, and the doubles that they are made of. */
#ifndef NORMA_TEST_TENSORS_H
#define NORMA_TEST_TENSORS_H

#include "norma/norma.h"
#include "support/random.h"

/* `count` elements of a type, allocated: the numbers, or with NULL zeros. */
void *tensor_of_numbers(norma_dtype dtype, const double *from, int64_t count);

/* Normal ones about an offset, allocated, each as the type can hold it. */
double *random_numbers(norma_dtype dtype, int64_t count, double offset, double spread, random_state *random);

#endif

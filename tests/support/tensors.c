#include "support/tensors.h"

#include "support/element.h"
#include "support/suite.h"

void *tensor_of_numbers(norma_dtype dtype, const double *from, int64_t count)
{
    void *made = suite_alloc((size_t)count, element_size(dtype));
    for (int64_t i = 0; from && i < count; i++) {
        element_set(dtype, made, i, from[i]);
    }
    return made;
}

double *random_numbers(norma_dtype dtype, int64_t count, double offset, double spread, random_state *random)
{
    double *made = suite_alloc((size_t)count, sizeof *made);
    for (int64_t i = 0; i < count; i++) {
        made[i] = element_round(dtype, offset + spread * random_normal(random));
    }
    return made;
}

/* Elements of either dtype, read and written as double. */
#ifndef NORMA_TEST_ELEMENT_H
#define NORMA_TEST_ELEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

static inline size_t element_size(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? sizeof(double) : sizeof(float);
}

static inline double element_get(norma_dtype dtype, const void *from, int64_t index)
{
    return dtype == NORMA_F64 ? ((const double *)from)[index] : (double)((const float *)from)[index];
}

static inline void element_set(norma_dtype dtype, void *to, int64_t index, double value)
{
    if (dtype == NORMA_F64) {
        ((double *)to)[index] = value;
    } else {
        ((float *)to)[index] = (float)value;
    }
}

#endif

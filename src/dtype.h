/* Data types, where a program picks them at run time: everything outside the kernels. */
#ifndef NORMA_DTYPE_H
#define NORMA_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

/* Bytes of an element. */
static inline size_t norma_dtype_size(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? sizeof(double) : sizeof(float);
}

static inline double norma_dtype_get(norma_dtype dtype, const void *tensor, int64_t index)
{
    return dtype == NORMA_F64 ? ((const double *)tensor)[index] : (double)((const float *)tensor)[index];
}

/* Rounded once. */
static inline void norma_dtype_set(norma_dtype dtype, void *tensor, int64_t index, double value)
{
    if (dtype == NORMA_F64) {
        ((double *)tensor)[index] = value;
    } else {
        ((float *)tensor)[index] = (float)value;
    }
}

#endif

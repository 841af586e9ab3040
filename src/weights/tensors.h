/* The tensors of a call on weights: what is checked before anything is written. */
#ifndef NORMA_TENSORS_H
#define NORMA_TENSORS_H

#include <stddef.h>

#include "norma/norma.h"

typedef enum norma_tensor_use {
    NORMA_TENSOR_IN,
    NORMA_TENSOR_OPTIONAL, /* read, and may be NULL */
    NORMA_TENSOR_OUT,
    NORMA_TENSOR_OUT_OPTIONAL
} norma_tensor_use;

typedef struct norma_tensor {
    const char *name; /* its field in args */
    const void *data;
    norma_dtype dtype;
    int64_t count;
    norma_tensor_use use;
    const char *in_place; /* the name of the tensor that an output may also be, or NULL */
} norma_tensor;

/* That tensors are there and aligned, and that no output overlaps another tensor but the one it may be. */
norma_status norma_check_tensors(const norma_tensor *tensors, size_t count);

/* A weight's shape: rank is at most NORMA_MAX_RANK already. Extents of at least `least`, whose product fits. */
norma_status norma_check_shape(int rank, const int64_t *shape, norma_dtype dtype, int64_t least);

/* desc.dtype, and one beside it that is 0, the same, or f32 beside a narrow type. */
norma_status norma_check_dtypes(norma_dtype dtype, const char *name, norma_dtype beside);

#endif

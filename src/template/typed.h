/*
 * Elements of a type known at run time: of tensors beside the one that is normalized, which a kernel is compiled for.
 */
#ifndef NORMA_TYPED_H
#define NORMA_TYPED_H

#include "dtype.h"
#include "template/vector.h"

/* `lanes` elements (a constant NORMA_WIDTH where the vector is whole) from element `index` on. */
INLINE vec load_as(norma_dtype dtype, const void *tensor, int64_t index, int lanes);

/* Likewise. Integers are stored from lanes that hold such. `stream`: past the caches, aligned to what is written. */
INLINE void store_as(norma_dtype dtype, void *tensor, int64_t index, vec v, int lanes, bool stream);

#if NORMA_DTYPE_IS == NORMA_IS_f64

INLINE vec load_as(norma_dtype dtype, const void *tensor, int64_t index, int lanes)
{
    real lane[NORMA_WIDTH] = {0};
    if (dtype == NORMA_F64) {
        return load_lanes((const double *)tensor + index, lanes);
    }
    NO_UNROLL
    for (int i = 0; i < lanes; i++) {
        lane[i] = norma_dtype_get(dtype, tensor, index + i);
    }
    return V(load)(lane);
}

INLINE void store_as(norma_dtype dtype, void *tensor, int64_t index, vec v, int lanes, bool stream)
{
    if (dtype == NORMA_F64) {
        double *y = (double *)tensor + index;
        if (lanes < NORMA_WIDTH) {
            V(store_part)(y, v, lanes);
        } else if (stream) {
            V(stream)(y, v);
        } else {
            V(store)(y, v);
        }
        return;
    }
    real lane[NORMA_WIDTH];
    V(store)(lane, v);
    NO_UNROLL
    for (int i = 0; i < lanes; i++) {
        norma_dtype_set(dtype, tensor, index + i, lane[i]);
    }
}

#else

#define LOAD_AS(type, word)                                                                                                    \
    (lanes == NORMA_WIDTH ? word##_load((const type *)tensor + index) : word##_load_part((const type *)tensor + index, lanes))

INLINE vec load_as(norma_dtype dtype, const void *tensor, int64_t index, int lanes)
{
    switch (dtype) {
    case NORMA_BF16:
        return LOAD_AS(uint16_t, vbf16);
    case NORMA_F16:
        return LOAD_AS(uint16_t, vf16);
    case NORMA_S8:
        return LOAD_AS(int8_t, vs8);
    case NORMA_U8:
        return LOAD_AS(uint8_t, vu8);
    case NORMA_F64: { /* rare, and stated: by the lane */
        real lane[NORMA_WIDTH] = {0};
        NO_UNROLL
        for (int i = 0; i < lanes; i++) {
            lane[i] = (real)((const double *)tensor)[index + i];
        }
        return V(load)(lane);
    }
    default:
        return LOAD_AS(float, vf32);
    }
}

#define STORE_AS(type, word)                                                                                                   \
    if (lanes < NORMA_WIDTH) {                                                                                                 \
        word##_store_part((type *)tensor + index, v, lanes);                                                                   \
    } else if (stream) {                                                                                                       \
        word##_stream((type *)tensor + index, v);                                                                              \
    } else {                                                                                                                   \
        word##_store((type *)tensor + index, v);                                                                               \
    }

INLINE void store_as(norma_dtype dtype, void *tensor, int64_t index, vec v, int lanes, bool stream)
{
    switch (dtype) {
    case NORMA_BF16:
        STORE_AS(uint16_t, vbf16)
        return;
    case NORMA_F16:
        STORE_AS(uint16_t, vf16)
        return;
    case NORMA_S8:
    case NORMA_U8:
        STORE_AS(uint8_t, v8)
        return;
    case NORMA_F64: {
        real lane[NORMA_WIDTH];
        V(store)(lane, v);
        NO_UNROLL
        for (int i = 0; i < lanes; i++) {
            ((double *)tensor)[index + i] = (double)lane[i];
        }
        return;
    }
    default:
        STORE_AS(float, vf32)
    }
}

#endif

#endif

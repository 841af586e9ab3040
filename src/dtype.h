/* Data types, where a program picks them at run time: everything outside the kernels. */
#ifndef NORMA_DTYPE_H
#define NORMA_DTYPE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "half.h"
#include "norma/norma.h"

static inline bool norma_dtype_known(norma_dtype dtype)
{
    return dtype >= NORMA_F32 && dtype <= NORMA_U8;
}

static inline bool norma_dtype_integer(norma_dtype dtype)
{
    return dtype == NORMA_S8 || dtype == NORMA_U8;
}

/* Bytes of an element. */
static inline size_t norma_dtype_size(norma_dtype dtype)
{
    return dtype == NORMA_F64           ? sizeof(double)
           : dtype == NORMA_F32         ? sizeof(float)
           : norma_dtype_integer(dtype) ? sizeof(uint8_t)
                                        : sizeof(uint16_t);
}

/* What statistics are told in, and what arithmetic is done in. */
static inline norma_dtype norma_dtype_of_lanes(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
}

static inline double norma_dtype_get(norma_dtype dtype, const void *tensor, int64_t index)
{
    switch (dtype) {
    case NORMA_F64:
        return ((const double *)tensor)[index];
    case NORMA_BF16:
        return (double)norma_bf16_to_f32(((const uint16_t *)tensor)[index]);
    case NORMA_F16:
        return (double)norma_f16_to_f32(((const uint16_t *)tensor)[index]);
    case NORMA_S8:
        return (double)((const int8_t *)tensor)[index];
    case NORMA_U8:
        return (double)((const uint8_t *)tensor)[index];
    default:
        return (double)((const float *)tensor)[index];
    }
}

/* To f32 by rounding to odd: what is then rounded to a narrower type is as if rounded once. */
static inline float norma_f32_to_odd(double value)
{
    const float nearest = (float)value;
    const bool exact = (double)nearest == value || isnan(value) || isinf(nearest);
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof bits);
    if (exact || (bits & 1)) {
        return nearest;
    }
    return nextafterf(nearest, value > (double)nearest ? INFINITY : -INFINITY);
}

/* Rounded once. Integers are set from values that are such and fit. */
static inline void norma_dtype_set(norma_dtype dtype, void *tensor, int64_t index, double value)
{
    switch (dtype) {
    case NORMA_F64:
        ((double *)tensor)[index] = value;
        break;
    case NORMA_BF16:
        ((uint16_t *)tensor)[index] = norma_bf16_from_f32(norma_f32_to_odd(value));
        break;
    case NORMA_F16:
        ((uint16_t *)tensor)[index] = norma_f16_from_f32(norma_f32_to_odd(value));
        break;
    case NORMA_S8:
        ((int8_t *)tensor)[index] = (int8_t)value;
        break;
    case NORMA_U8:
        ((uint8_t *)tensor)[index] = (uint8_t)value;
        break;
    default:
        ((float *)tensor)[index] = (float)value;
    }
}

#endif

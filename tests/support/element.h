/* Elements of any dtype, read and written as double; by arithmetic, not by the bit tricks of src/. */
#ifndef NORMA_TEST_ELEMENT_H
#define NORMA_TEST_ELEMENT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

static inline bool element_is_narrow(norma_dtype dtype)
{
    return dtype == NORMA_BF16 || dtype == NORMA_F16;
}

static inline bool element_is_integer(norma_dtype dtype)
{
    return dtype == NORMA_S8 || dtype == NORMA_U8;
}

static inline size_t element_size(norma_dtype dtype)
{
    return element_is_integer(dtype) ? 1 : dtype == NORMA_F64 ? sizeof(double) : dtype == NORMA_F32 ? sizeof(float) : 2;
}

/* Of statistics, for x of this type. */
static inline norma_dtype element_statistic(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
}

/* Explicit bits of a narrow type's significand, and its least exponent. */
static inline int element_bits(norma_dtype dtype)
{
    return dtype == NORMA_BF16 ? 7 : 10;
}

static inline int element_exponent_min(norma_dtype dtype)
{
    return dtype == NORMA_BF16 ? -126 : -14;
}

/* As it stands in the bits: all ones. */
static inline int element_exponent_of_infinity(norma_dtype dtype)
{
    return 3 - 2 * element_exponent_min(dtype);
}

/* The distance of the type's numbers around a value. */
static inline double element_ulp(norma_dtype dtype, double value)
{
    const int least = element_exponent_min(dtype);
    const int exponent = value == 0 || ilogb(value) < least ? least : ilogb(value);
    return ldexp(1, exponent - element_bits(dtype));
}

static inline double element_narrow_get(norma_dtype dtype, uint16_t bits)
{
    const int width = element_bits(dtype), least = element_exponent_min(dtype);
    const int exponent = (bits & 0x7fff) >> width, fraction = bits & ((1 << width) - 1);
    double value =
        exponent == 0 ? ldexp(fraction, least - width) : ldexp((1 << width) + fraction, least + exponent - 1 - width);
    if (exponent == element_exponent_of_infinity(dtype)) {
        value = fraction ? NAN : INFINITY;
    }
    return bits & 0x8000 ? -value : value;
}

/* To nearest, ties to even, as rint() does by default. */
static inline uint16_t element_narrow_set(norma_dtype dtype, double value)
{
    const int width = element_bits(dtype), least = element_exponent_min(dtype);
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const int infinity = element_exponent_of_infinity(dtype) << width;
    if (isnan(value)) {
        return (uint16_t)(sign | infinity | 1 << (width - 1));
    }
    if (isinf(value)) {
        return (uint16_t)(sign | infinity);
    }
    const double ulp = element_ulp(dtype, value);
    const double steps = rint(fabs(value) / ulp);
    const int exponent = ilogb(ulp) + width - least;    /* of the binade, 0 for the least */
    const double bits = ldexp(exponent, width) + steps; /* steps count the hidden bit where there is one */
    return (uint16_t)(sign | (bits > infinity ? infinity : (int)bits));
}

static inline double element_get(norma_dtype dtype, const void *from, int64_t index)
{
    return element_is_narrow(dtype) ? element_narrow_get(dtype, ((const uint16_t *)from)[index])
           : dtype == NORMA_S8      ? ((const int8_t *)from)[index]
           : dtype == NORMA_U8      ? ((const uint8_t *)from)[index]
           : dtype == NORMA_F64     ? ((const double *)from)[index]
                                    : (double)((const float *)from)[index];
}

/* Integers saturate. */
static inline void element_set(norma_dtype dtype, void *to, int64_t index, double value)
{
    if (element_is_integer(dtype)) {
        const double low = dtype == NORMA_S8 ? -128 : 0, whole = rint(fmin(fmax(value, low), low + 255));
        ((uint8_t *)to)[index] = (uint8_t)(int)whole;
    } else if (element_is_narrow(dtype)) {
        ((uint16_t *)to)[index] = element_narrow_set(dtype, value);
    } else if (dtype == NORMA_F64) {
        ((double *)to)[index] = value;
    } else {
        ((float *)to)[index] = (float)value;
    }
}

/* A value rounded to the type. */
static inline double element_round(norma_dtype dtype, double value)
{
    double wide;
    element_set(dtype, &wide, 0, value);
    return element_get(dtype, &wide, 0);
}

/* A sum as kernels add it: in lanes, then rounded to the type. */
static inline double element_add(norma_dtype dtype, double a, double b)
{
    return dtype == NORMA_F32 ? (double)((float)a + (float)b)
                              : element_round(dtype, dtype == NORMA_F64 ? a + b : (double)((float)a + (float)b));
}

/* Of a residual, and of a sum that it joins. */
static inline norma_dtype element_residual(const norma_desc *desc)
{
    return desc->residual_dtype ? desc->residual_dtype : element_is_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
}

/* Of what is normalized. */
static inline norma_dtype element_normalized(const norma_desc *desc)
{
    return desc->residual == NORMA_RESIDUAL_BEFORE ? element_residual(desc) : desc->dtype;
}

static inline norma_dtype element_y(const norma_desc *desc)
{
    return desc->y_dtype ? desc->y_dtype : element_is_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
}

/* The type of scale and shift. */
static inline norma_dtype element_parameter(const norma_desc *desc)
{
    const norma_dtype normalized = element_normalized(desc);
    return desc->parameter_dtype ? desc->parameter_dtype : element_is_integer(normalized) ? NORMA_F32 : normalized;
}

#endif

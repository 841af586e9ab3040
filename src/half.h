/* IEEE 754 binary16 (f16) and bfloat16 (bf16) one at a time, without help from the compiler or the CPU. */
#ifndef NORMA_HALF_H
#define NORMA_HALF_H

#include <stdint.h>
#include <string.h>

/* Exact. The payload of a NaN is kept. */
static inline float norma_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 0x1fu;
    uint32_t fraction = half & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else if (fraction == 0) {
        bits = sign;
    } else {
        /* A denormal of binary16 is a normal number of binary32: shift until its leading 1 is the hidden bit. */
        uint32_t shifted_exponent = 113;
        while (!(fraction & 0x400u)) {
            fraction <<= 1;
            shifted_exponent--;
        }
        bits = sign | shifted_exponent << 23 | (fraction & 0x3ffu) << 13;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even; past 65504 + half a step gives infinity, a NaN stays one. */
static inline uint16_t norma_f16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        /* The quiet bit, for a payload whose upper bits are zero would read as infinity. */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    }
    if (magnitude >= 0x47800000u) { /* 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    }

    uint32_t exponent = magnitude >> 23;
    uint32_t shift = 13;
    uint32_t fraction = magnitude & 0x7fffffu;
    uint32_t half;
    if (exponent >= 113) {
        half = (exponent - 112) << 10 | fraction >> 13;
    } else if (exponent >= 102) { /* 2^-25, of which the least denormal is twice: below it all goes to zero */
        fraction |= 0x800000u;
        shift = 126 - exponent;
        half = fraction >> shift;
    } else {
        return sign;
    }
    /* A carry out of the fraction goes into the exponent, up to infinity, as it should. */
    const uint32_t rest = fraction & ((1u << shift) - 1);
    const uint32_t middle = 1u << (shift - 1);
    half += rest > middle || (rest == middle && (half & 1));
    return (uint16_t)(sign | half);
}

/* Exact. */
static inline float norma_bf16_to_f32(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even; a NaN stays one, and becomes quiet. */
static inline uint16_t norma_bf16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif

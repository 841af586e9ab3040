/*
 * From lanes to 8-bit integers, which stand for them: see norma_quantization.
 */
#ifndef NORMA_QUANTIZE_H
#define NORMA_QUANTIZE_H

#include "template/vector.h"

/* What one integer of y counts, and how to divide by it. */
typedef struct quantizer {
    vec scale;
    vec inverse;
    vec least; /* -128 of them */
    vec most;  /* 1024: more than any integer counts */
    vec low;
    vec high;
    vec zero_point;
} quantizer;

/* What is left out, in constants, where it cannot change the result. */
typedef enum quantizing {
    QUANTIZE_ANY,
    QUANTIZE_INVERTED, /* see division_inverts() */
    QUANTIZE_FITTED    /* likewise, and of signed integers whose scale fits all numbers there are */
} quantizing;

/* Where fma rounds once, two of them make of a product with the inverse what a division gives: but for the one significand
 * whose inverse falls short (Markstein, IBM J. Res. Dev. 34 (1990), 111), and where nothing on the way is denormal. */
INLINE bool division_inverts(float scale)
{
    union {
        float value;
        uint32_t bits;
    } s = {scale};
    return NORMA_FMA && (s.bits & 0x7fffff) != 0x7fffff && scale > 0x1p-90f && scale < 0x1p90f;
}

INLINE void quantizer_scale(quantizer *q, vec scale)
{
    q->scale = scale;
    q->inverse = V(div)(V(set1)(1), scale);
    q->least = V(mul)(scale, V(set1)(-128));
    q->most = V(mul)(scale, V(set1)(1024));
}

INLINE quantizer quantizer_of(const norma_epilogue *e)
{
    quantizer q;
    q.low = V(set1)(e->y_dtype == NORMA_S8 ? -128 : 0);
    q.high = V(set1)(e->y_dtype == NORMA_S8 ? 127 : 255);
    q.zero_point = V(set1)((real)e->zero_point);
    return q;
}

/* The integer that stands for v, as a lane: see norma_quantization. */
INLINE vec quantize_vector(const quantizer *q, quantizing how, vec v)
{
    const vec magic = V(set1)(sizeof(real) == 8 ? (real)0x1.8p52 : (real)0x1.8p23); /* rounds to an integer, to nearest even */
    if (how == QUANTIZE_FITTED) {
        v = V(max)(v, q->least); /* which NaN becomes */
    } else {
        v = V(min)(V(max)(v, V(sub)(V(set1)(-(real)0), q->most)), q->most); /* saturated either way; NaN is the least */
    }
    if (how == QUANTIZE_ANY) {
        v = V(div)(v, q->scale);
    } else {
        const vec about = V(mul)(v, q->inverse);
        v = V(fma)(V(fnma)(about, q->scale, v), q->inverse, about);
    }
    v = V(sub)(V(add)(v, magic), magic);
    return how == QUANTIZE_FITTED ? v : V(min)(V(max)(V(add)(v, q->zero_point), q->low), q->high);
}

#endif

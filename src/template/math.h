/*
 * Elementary functions of a vector of f32, for activations.
 *
 * They are made of words that round alike everywhere, so that all instruction sets with FMA give the same bits: no estimates of
 * reciprocals, and one division at most. NaN gives NaN; denormals count, as arguments and as results.
 *
 * The core is x = n ln(2) + r, |r| <= ln(2) / 2, and e^(br) by a polynomial in r. Where others divide by 1 + e^-x, both sides
 * are multiplied by 2^n here: 2^n itself is exact. Results that may be denormal come out of a division whose both sides are
 * 2^64 times too large, and are rounded there alone.
 *
 * Largest errors over all floats, in units of the last place (tests/walk_math.c): exp 0.9, sigmoid 2.0, silu 2.0, tanh 1.9,
 * mish 3.8, expm1_negative 1.3, gelu 5.3; gelu_tanh 1.9 above -1 and 2 + 2 |2u| below, 2u being the exponent: 4 at -2, 22 at
 * -5, 120 at -10. Without FMA, exp has 1.2 and mish 4.2, and tails lose more to the rounding of exponents: gelu_tanh up to
 * 180, gelu up to 110.
 *
 * Coefficients were found by Remez exchange, the leading ones rounded first and the others fitted again.
 */
#ifndef NORMA_MATH_H
#define NORMA_MATH_H

#include "template/vector.h"

#if NORMA_DTYPE_IS == NORMA_IS_f64
#error "f32 only"
#endif

#define MATH_LOG2_E 1.44269504088896340736
#define MATH_LN2 0.693147180559945309417
#define MATH_LN2_HIGH 0x1.62e4p-1 /* 16 bits: n times this is exact, and so is x less that */
#define MATH_LN2_LOW (MATH_LN2 - MATH_LN2_HIGH)

/* What is divided is 2^64 times too large. */
enum { MATH_LIFT = 64 };
#define MATH_LIFTED(a) V(set1)((real)(0x1p64 * (a)))

/* z = 1.5 * 2^23 + lift + n, for V(raise). */
typedef struct math_power {
    vec z;
    vec n;
} math_power;

/* n = x * factor, rounded to an integer. */
INLINE math_power math_round(vec x, vec factor, int lift)
{
    const vec magic = V(set1)((real)(0x1.8p23 + lift)), z = V(fma)(x, factor, magic);
    const math_power power = {z, V(sub)(z, magic)};
    return power;
}

INLINE math_power math_power_of(vec x, int lift)
{
    return math_round(x, V(set1)((real)MATH_LOG2_E), lift);
}

/* r = x - n ln(2). */
INLINE vec math_rest(vec x, vec n)
{
    const vec exact = V(fnma)(n, V(set1)((real)MATH_LN2_HIGH), x);
    return V(fnma)(n, V(set1)((real)MATH_LN2_LOW), exact);
}

/* scale * (e^(br) - 1) / r for |br| <= ln(2) / 2: 1 + r times this is e^(br) but for a relative error of 4e-9. */
INLINE vec math_slope(vec r, double b, double scale)
{
    const double b2 = b * b, b3 = b2 * b;
    vec p = V(set1)((real)(0x1.6aa574p-10 * b3 * b3 * scale));
    p = V(fma)(p, r, V(set1)((real)(0x1.123a12p-7 * b2 * b3 * scale)));
    p = V(fma)(p, r, V(set1)((real)(0x1.555886p-5 * b2 * b2 * scale)));
    p = V(fma)(p, r, V(set1)((real)(0x1.555494p-3 * b3 * scale)));
    p = V(fma)(p, r, V(set1)((real)(0x1.fffffcp-2 * b2 * scale)));
    return V(fma)(p, r, V(set1)((real)(b * scale)));
}

/* The nearest to x in [low, high]; NaN stays. */
INLINE vec math_clamp(vec x, double low, double high)
{
    return V(max)(V(set1)((real)low), V(min)(V(set1)((real)high), x));
}

INLINE vec math_exp(vec x)
{
    const vec in_range = math_clamp(x, -104, 89);
    const math_power power = math_power_of(in_range, 0);
    const vec r = math_rest(in_range, power.n);
    return V(ldexp)(V(fma)(r, math_slope(r, 1, 1), V(set1)(1)), power.n);
}

/* 2^n + e^(br) times 2^64. The 1 of e^(br) joins last: with 2^n, it would hide a small one. */
INLINE vec math_divisor(vec two_to_n, vec r, double b)
{
    return V(add)(MATH_LIFTED(1), V(fma)(r, math_slope(r, b, 0x1p64), two_to_n));
}

/* 1 / (1 + e^-x) = 2^n / (2^n + e^-r). */
INLINE vec math_sigmoid(vec x)
{
    const vec in_range = math_clamp(x, -105, 18);
    const math_power power = math_power_of(in_range, MATH_LIFT);
    const vec r = math_rest(in_range, power.n), two_to_n = V(raise)(V(set1)(1), power.z);
    return V(div)(two_to_n, math_divisor(two_to_n, r, -1));
}

/* x / (1 + e^-x); -0 for -infinity. Out of line, where it takes no registers from math_silu_near(). */
NOINLINE vec math_silu_anywhere(vec x)
{
    const vec in_range = V(max)(V(set1)(-110), x);
    const math_power power = math_power_of(in_range, MATH_LIFT);
    const vec r = math_rest(in_range, power.n), two_to_n = V(raise)(V(set1)(1), power.z);
    const vec y = V(div)(V(mul)(in_range, two_to_n), math_divisor(two_to_n, r, -1));
    return V(less)(V(set1)(18), x, x, y); /* from there on y is x, or nonsense */
}

/* The same, bit for bit, for |x| <= MATH_SILU_NEAR: nothing is lifted, and 2^n goes to the divisor, which is never 0 or
 * denormal, in an addition of integers. */
enum { MATH_SILU_NEAR = 86 };

INLINE vec math_silu_near(vec x)
{
    const vec one = V(set1)(1);
    const math_power power = math_power_of(x, 0);
    const vec r = math_rest(x, power.n);
    const vec divisor = V(add)(one, V(fma)(r, math_slope(r, -1, 1), V(raise)(one, power.z)));
    return V(div)(x, V(lower)(divisor, power.z));
}

/* SiLU of `count` (a constant, 1 or 2) vectors: rarely is one of them far from 0. */
INLINE void math_silu_of(vec *v, int count)
{
    if (RARELY(!V(within)(v[0], v[count - 1], MATH_SILU_NEAR))) {
        for (int k = 0; k < count; k++) {
            v[k] = math_silu_anywhere(v[k]);
        }
        return;
    }
    for (int k = 0; k < count; k++) {
        v[k] = math_silu_near(v[k]);
    }
}

INLINE vec math_silu(vec x)
{
    math_silu_of(&x, 1);
    return x;
}

/* x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3): as above, with 2u = (n + f) ln(2); -0 for -infinity. That u is rounded
 * before it becomes an exponent shows far below 0, where the result is small. */
INLINE vec math_gelu_tanh(vec x)
{
    const double linear = 1.5957691216057308 * MATH_LOG2_E; /* 2 sqrt(2 / pi) log2(e) */
    const vec in_range = V(max)(V(set1)((real)-10.9), x);
    const vec factor = V(fma)(V(mul)(in_range, in_range), V(set1)((real)(0.044715 * linear)), V(set1)((real)linear));
    const math_power power = math_round(in_range, factor, MATH_LIFT);
    const vec minus_f = V(fnma)(in_range, factor, power.n), two_to_n = V(raise)(V(set1)(1), power.z);
    const vec y = V(div)(V(mul)(in_range, two_to_n), math_divisor(two_to_n, minus_f, MATH_LN2));
    return V(less)(V(set1)((real)5.5), x, x, y);
}

/* x Phi(x) = max(x, 0) - a Phi(-a), a = |x|, which keeps the digits of the tail; 0 for -infinity. Phi(-a) is e^(-a^2 / 2) times
 * a rational function. What a^2 loses in rounding joins the exponent later; what log2(e) / 2 does is in the coefficients. */
INLINE vec math_gelu(vec x)
{
    const vec half_log2_e = V(set1)((real)(MATH_LOG2_E / 2)), a = V(min)(V(set1)((real)14.5), V(abs)(x));
    const vec square = V(mul)(a, a), excess = V(fnma)(a, a, square);
    const math_power power = math_round(square, V(set1)((real)(-MATH_LOG2_E / 2)), MATH_LIFT);
    const vec minus_f = V(fnma)(excess, half_log2_e, V(fma)(square, half_log2_e, power.n));
    const vec less_one = V(mul)(minus_f, math_slope(minus_f, -MATH_LN2, 1));
    vec above =
        V(fma)(square, V(set1)((real)0x1.c68abcp-8), V(fma)(a, V(set1)((real)0x1.13648cp-4), V(set1)((real)0x1.320d26p-2)));
    above = V(fma)(square, above, V(fma)(a, V(set1)((real)0x1.698624p-1), V(set1)((real)0x1.955556p-1)));
    vec below = V(fma)(a, MATH_LIFTED(0x1.1cd7cep-6), MATH_LIFTED(0x1.592906p-3));
    below = V(fma)(square, below, V(fma)(a, MATH_LIFTED(0x1.88686cp-1), MATH_LIFTED(0x1.f0dab2p+0)));
    below = V(fma)(square, below, V(fma)(a, MATH_LIFTED(0x1.56777ap+1), MATH_LIFTED(0x1.955556p+0)));
    above = V(raise)(V(fma)(above, less_one, above), power.z);
    return V(sub)(V(max)(V(zero)(), x), V(div)(V(mul)(a, above), below));
}

/* tanh(a + b) = (tanh(a) + tanh(b)) / (1 + tanh(a) tanh(b)) for |x| = n ln(2) / 2 + t, t from about 0 to ln(2) / 2: so n = 0
 * takes in all that is small, and no difference is small elsewhere. tanh(n ln(2) / 2) is (2^n - 1) / (2^n + 1). The divisor is
 * made from the dividend, whose rounding then nearly cancels. */
INLINE vec math_tanh(vec x)
{
    const vec half = V(set1)((real)0.5), a = V(min)(V(set1)(10), V(abs)(x));
    const vec centred = V(sub)(a, V(set1)((real)0.173)); /* less than ln(2) / 4: n is not -1 for 0 */
    const math_power power = math_round(centred, V(set1)((real)(2 * MATH_LOG2_E)), 0);
    const vec t = V(fnma)(power.n, V(set1)((real)(MATH_LN2 / 2)), a), square = V(mul)(t, t);
    vec p = V(fma)(square, V(set1)((real)-0x1.9353bep-5), V(set1)((real)0x1.1067bap-3));
    p = V(fma)(p, square, V(set1)((real)-0x1.5553acp-2));
    const vec tanh_t = V(fma)(V(mul)(t, square), p, t), half_power = V(raise)(half, power.z);
    const vec above = V(fma)(V(add)(half_power, half), tanh_t, V(sub)(half_power, half));
    return V(copysign)(V(div)(above, V(add)(above, V(sub)(V(set1)(1), tanh_t))), x);
}

/* x tanh(ln(1 + e)) = x (e + e^2 / 2) / (1 + e + e^2 / 2) for e = e^x; -0 for -infinity. */
INLINE vec math_mish(vec x)
{
    const vec in_range = V(max)(V(set1)(-110), x);
    const math_power power = math_power_of(in_range, MATH_LIFT);
    const vec r = math_rest(in_range, power.n);
    const vec e = V(raise)(V(fma)(r, math_slope(r, 1, 1), V(set1)(1)), power.z);
    const vec sum = V(fma)(e, V(mul)(e, V(set1)((real)0x1p-65)), e);
    const vec y = V(div)(V(mul)(in_range, sum), V(add)(sum, MATH_LIFTED(1)));
    return V(less)(V(set1)(10), x, x, y);
}

/* e^x - 1 for x < 0; of other x comes anything. */
INLINE vec math_expm1_negative(vec x)
{
    const vec in_range = V(max)(V(set1)(-18), x), one = V(set1)(1);
    const math_power power = math_power_of(in_range, 0);
    const vec r = math_rest(in_range, power.n), two_to_n = V(raise)(one, power.z);
    return V(fma)(two_to_n, V(mul)(r, math_slope(r, 1, 1)), V(sub)(two_to_n, one));
}

#endif

#include "math/functions.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

extern const math_function math_on_generic[], math_on_avx2[], math_on_avx512[], math_on_neon[];

const math_function *math_functions(norma_isa isa)
{
    switch (isa) {
    case NORMA_ISA_GENERIC:
        return math_on_generic;
#ifdef NORMA_HAVE_AVX2
    case NORMA_ISA_AVX2:
        return math_on_avx2;
#endif
#ifdef NORMA_HAVE_AVX512
    case NORMA_ISA_AVX512:
    case NORMA_ISA_AVX512_BF16: /* has these of f32 */
        return math_on_avx512;
#endif
#ifdef NORMA_HAVE_NEON
    case NORMA_ISA_NEON:
        return math_on_neon;
#endif
    default:
        return NULL;
    }
}

/* Where a formula below loses digits in double, it is where a float has none left: at 1e-8 ulp of it. */

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double exact_silu(double x)
{
    return isinf(x) && x < 0 ? -0.0 : x / (1 + exp(-x));
}

/* 2u = 2 sqrt(2 / pi) (x + 0.044715 x^3). */
static double gelu_tanh_exponent(double x)
{
    return 1.5957691216057307117597842397375 * (x + 0.044715 * x * x * x);
}

static double exact_gelu_tanh(double x)
{
    return isinf(x) && x < 0 ? -0.0 : x / (1 + exp(-gelu_tanh_exponent(x)));
}

static double exact_gelu(double x)
{
    return isinf(x) && x < 0 ? 0 : 0.5 * x * erfc(x * -0.70710678118654752440084436210485);
}

static double exact_mish(double x)
{
    return isinf(x) && x < 0 ? -0.0 : x * tanh(log1p(exp(x)));
}

static double exact_elu(double x)
{
    return x < 0 ? expm1(x) : x;
}

#define exact_exp exp
#define exact_tanh tanh

const math_wanted math_wanted_of[MATH_FUNCTIONS] = {
#define X(name, ulps, ulps_generic, checksum) {exact_##name, ulps, ulps_generic, checksum},
#include "math/functions.def"
#undef X
};

float math_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A float's last place near `value`: 2^-149 to 2^104. */
static double last_place(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    bits = (uint64_t)((exponent < -126 ? -126 : exponent > 127 ? 127 : exponent) - 23 + 1023) << 52;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double within_range(double value)
{
    return value > 0x1p128 ? 0x1p128 : value < -0x1p128 ? -0x1p128 : value;
}

double math_error(float got, double want)
{
    if (isnan(got) || isnan(want)) {
        return isnan(got) && isnan(want) ? 0 : (double)INFINITY;
    }
    return fabs(within_range((double)got) - within_range(want)) / last_place(want);
}

/* What becomes an exponent, and how much of it counts as ulps: where it is rounded. */
static double exponent_error(int function, bool fused, double x)
{
    switch (function) {
    case MATH_gelu_tanh:
        return (fused ? 2 : 3) * -gelu_tanh_exponent(x < -11 ? -11 : x);
    case MATH_gelu:
        return fused ? 0 : 0.8 * x * x;
    default:
        return 0;
    }
}

double math_bound(int function, norma_isa isa, float x)
{
    const math_wanted *wanted = &math_wanted_of[function];
    const bool fused = isa != NORMA_ISA_GENERIC;
    return (fused ? wanted->ulps : wanted->ulps_generic) + (x < 0 ? exponent_error(function, fused, (double)x) : 0);
}

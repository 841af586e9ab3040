/* One instruction set's functions, as arrays of floats see them: the body of math_<isa>.c. */
#include "template/vector.h"
#include "template/math.h"

#include "math/functions.h"

INLINE vec math_elu(vec x)
{
    return V(less)(x, V(zero)(), math_expm1_negative(x), x);
}

#define X(name, ulps, ulps_generic, checksum)                                                                                  \
    static void run_##name(const float *x, float *y, size_t count)                                                             \
    {                                                                                                                          \
        for (size_t i = 0; i < count; i += NORMA_WIDTH) {                                                                      \
            const int lanes = count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH;                                        \
            V(store_part)(y + i, math_##name(V(load_part)(x + i, lanes)), lanes);                                              \
        }                                                                                                                      \
    }
#include "math/functions.def"
#undef X

extern const math_function NORMA_PASTE(math_on_, NORMA_ISA_NAME)[MATH_FUNCTIONS];

const math_function NORMA_PASTE(math_on_, NORMA_ISA_NAME)[MATH_FUNCTIONS] = {
#define X(name, ulps, ulps_generic, checksum) {#name, run_##name},
#include "math/functions.def"
#undef X
};

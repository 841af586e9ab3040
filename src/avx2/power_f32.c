/* The power kernel for f32 on avx2. */
#define NORMA_DTYPE f32
#include "avx2/simd.h"
#include "template/power.h"

#define NORMA_DTYPE f32
#include "avx512/simd.h"

#include "math/body.h"

#define NORMA_DTYPE f32
#include "avx2/simd.h"

#include "math/body.h"

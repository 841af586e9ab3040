#define NORMA_DTYPE f32
#include "neon/simd.h"

#include "math/body.h"

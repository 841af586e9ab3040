#define NORMA_DTYPE f32
#include "generic/simd.h"

#include "math/body.h"

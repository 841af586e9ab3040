/* The backward kernels for f32 on neon. */
#define NORMA_DTYPE f32
#include "neon/simd.h"
#include "template/backward.h"

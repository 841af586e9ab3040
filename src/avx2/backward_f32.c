/* The backward kernels for f32 on avx2. */
#define NORMA_DTYPE f32
#include "avx2/simd.h"
#include "template/backward.h"

/* The backward kernels for f32 on avx512. */
#define NORMA_DTYPE f32
#include "avx512/simd.h"
#include "template/backward.h"

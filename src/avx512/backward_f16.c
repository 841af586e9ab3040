/* The backward kernels for f16 on avx512. */
#define NORMA_DTYPE f16
#include "avx512/simd.h"
#include "template/backward.h"

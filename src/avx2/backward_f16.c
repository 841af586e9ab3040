/* The backward kernels for f16 on avx2. */
#define NORMA_DTYPE f16
#include "avx2/simd.h"
#include "template/backward.h"

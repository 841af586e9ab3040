/* The backward kernels for f64 on avx2. */
#define NORMA_DTYPE f64
#include "avx2/simd.h"
#include "template/backward.h"

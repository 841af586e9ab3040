/* The backward kernels for f64 on avx512. */
#define NORMA_DTYPE f64
#include "avx512/simd.h"
#include "template/backward.h"

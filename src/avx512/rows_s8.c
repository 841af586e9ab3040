/* The rows kernels for s8 on avx512. */
#define NORMA_DTYPE s8
#include "avx512/simd.h"
#include "template/rows.h"

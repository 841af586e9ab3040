/* The rows kernels for u8 on avx512. */
#define NORMA_DTYPE u8
#include "avx512/simd.h"
#include "template/rows.h"

/* The rows kernels for u8 on avx2. */
#define NORMA_DTYPE u8
#include "avx2/simd.h"
#include "template/rows.h"

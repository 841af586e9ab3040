/* The rows kernels for bf16 on avx512_bf16. */
#define NORMA_DTYPE bf16
#include "avx512_bf16/simd.h"
#include "template/rows.h"

/* The backward kernels for bf16 on avx512. */
#define NORMA_DTYPE bf16
#include "avx512/simd.h"
#include "template/backward.h"

/* The backward kernels for bf16 on avx2. */
#define NORMA_DTYPE bf16
#include "avx2/simd.h"
#include "template/backward.h"

/* The backward kernels for bf16 on neon. */
#define NORMA_DTYPE bf16
#include "neon/simd.h"
#include "template/backward.h"

/* The backward kernels for f16 on neon. */
#define NORMA_DTYPE f16
#include "neon/simd.h"
#include "template/backward.h"

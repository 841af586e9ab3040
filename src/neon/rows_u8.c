/* The rows kernels for u8 on neon. */
#define NORMA_DTYPE u8
#include "neon/simd.h"
#include "template/rows.h"

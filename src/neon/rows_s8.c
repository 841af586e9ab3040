/* The rows kernels for s8 on neon. */
#define NORMA_DTYPE s8
#include "neon/simd.h"
#include "template/rows.h"

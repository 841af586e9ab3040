/* The fibers kernels for s8 on avx2. */
#define NORMA_DTYPE s8
#include "avx2/simd.h"
#include "template/fibers.h"

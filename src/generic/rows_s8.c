/* The rows kernels for s8 on generic. */
#define NORMA_DTYPE s8
#include "generic/simd.h"
#include "template/rows.h"

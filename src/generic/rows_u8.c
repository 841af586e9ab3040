/* The rows kernels for u8 on generic. */
#define NORMA_DTYPE u8
#include "generic/simd.h"
#include "template/rows.h"

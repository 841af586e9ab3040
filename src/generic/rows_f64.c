/* The rows kernels for f64 on generic. */
#define NORMA_DTYPE f64
#include "generic/simd.h"
#include "template/rows.h"

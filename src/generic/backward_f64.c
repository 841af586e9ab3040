/* The backward kernels for f64 on generic. */
#define NORMA_DTYPE f64
#include "generic/simd.h"
#include "template/backward.h"

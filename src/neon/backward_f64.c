/* The backward kernels for f64 on neon. */
#define NORMA_DTYPE f64
#include "neon/simd.h"
#include "template/backward.h"

/* The backward kernels for f16 on generic. */
#define NORMA_DTYPE f16
#include "generic/simd.h"
#include "template/backward.h"

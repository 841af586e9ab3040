/* The backward kernels for f32 on generic. */
#define NORMA_DTYPE f32
#include "generic/simd.h"
#include "template/backward.h"

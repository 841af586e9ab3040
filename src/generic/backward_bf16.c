/* The backward kernels for bf16 on generic. */
#define NORMA_DTYPE bf16
#include "generic/simd.h"
#include "template/backward.h"

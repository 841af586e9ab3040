/* The power kernel for f32 on generic. */
#define NORMA_DTYPE f32
#include "generic/simd.h"
#include "template/power.h"

/* The power kernel for f64 on generic. */
#define NORMA_DTYPE f64
#include "generic/simd.h"
#include "template/power.h"

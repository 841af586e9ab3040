/* The power kernel for f64 on neon. */
#define NORMA_DTYPE f64
#include "neon/simd.h"
#include "template/power.h"

/* The power kernel for bf16 on generic. */
#define NORMA_DTYPE bf16
#include "generic/simd.h"
#include "template/power.h"

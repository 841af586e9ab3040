#include "support/compare.h"

#include <math.h>
#include <string.h>

#include "support/element.h"

double compare_error(double got, double want)
{
    if (isnan(got) || isnan(want)) {
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    }
    return got == want ? 0 : fabs(got - want) / fmax(1, fabs(want));
}

double compare_relative_error(double got, double want)
{
    if (isnan(got) || isnan(want)) {
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    }
    return got == want ? 0 : fabs(got - want) / fabs(want);
}

int64_t compare_bits(norma_dtype dtype, const void *a, const void *b, int64_t count)
{
    const size_t size = element_size(dtype);
    for (int64_t i = 0; i < count; i++) {
        const unsigned char *p = (const unsigned char *)a + (size_t)i * size, *q = (const unsigned char *)b + (size_t)i * size;
        if (memcmp(p, q, size) != 0 && !(isnan(element_get(dtype, a, i)) && isnan(element_get(dtype, b, i)))) {
            return i;
        }
    }
    return -1;
}

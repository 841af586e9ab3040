#include "kernels.h"

#include "built.h"

/* By type: what an instruction set adds for bf16 does nothing for the others. */
#define AVX512_BF16_KERNEL_f32 AVX512_KERNEL
#define AVX512_BF16_KERNEL_f64 AVX512_KERNEL
#define AVX512_BF16_KERNEL_f16 AVX512_KERNEL
#define AVX512_BF16_KERNEL_s8 AVX512_KERNEL
#define AVX512_BF16_KERNEL_u8 AVX512_KERNEL
#define AVX512_BF16_KERNEL_bf16 AVX512_BF16_KERNEL

/* Names in kernels.def, as enumerators. */
#define GEOMETRY_rows NORMA_ROWS
#define GEOMETRY_fibers NORMA_FIBERS
#define STATISTIC_moments NORMA_MOMENTS
#define STATISTIC_squares NORMA_SQUARES
#define STATISTIC_magnitudes NORMA_MAGNITUDES

#define X(geometry_, statistic_, dtype_)                                                                                       \
    {.name = #geometry_ "_" #statistic_ "_" #dtype_,                                                                           \
     .geometry = GEOMETRY_##geometry_,                                                                                         \
     .statistic = STATISTIC_##statistic_,                                                                                      \
     .dtype = DTYPE_##dtype_,                                                                                                  \
     .kernel = {[NORMA_ISA_GENERIC] = &norma_##geometry_##_##statistic_##_##dtype_##_generic,                                  \
                [NORMA_ISA_AVX2] = AVX2_KERNEL(norma_##geometry_##_##statistic_##_##dtype_),                                   \
                [NORMA_ISA_AVX512] = AVX512_KERNEL(norma_##geometry_##_##statistic_##_##dtype_),                               \
                [NORMA_ISA_AVX512_BF16] = AVX512_BF16_KERNEL_##dtype_(norma_##geometry_##_##statistic_##_##dtype_),            \
                [NORMA_ISA_NEON] = NEON_KERNEL(norma_##geometry_##_##statistic_##_##dtype_)}},
const norma_kernel_entry norma_kernel_table[] = {
#include "kernels.def"
};
#undef X

const size_t norma_kernel_count = sizeof norma_kernel_table / sizeof *norma_kernel_table;

const norma_kernel_entry *norma_kernel_find(norma_geometry geometry, norma_statistic statistic, norma_dtype dtype)
{
    const norma_geometry home = geometry == NORMA_PLANES ? NORMA_ROWS : geometry;
    for (size_t i = 0; i < norma_kernel_count; i++) {
        const norma_kernel_entry *entry = &norma_kernel_table[i];
        if (entry->geometry == home && entry->statistic == statistic && entry->dtype == dtype) {
            return entry;
        }
    }
    return NULL;
}

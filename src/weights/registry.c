#include "weights/registry.h"

#include "built.h"

/* Names in registry.def, as enumerators. */
#define ALGORITHM_products NORMA_PRODUCTS
#define ALGORITHM_power NORMA_POWER

#define X(algorithm_, dtype_)                                                                                                  \
    {.name = #algorithm_ "_" #dtype_,                                                                                          \
     .algorithm = ALGORITHM_##algorithm_,                                                                                      \
     .dtype = DTYPE_##dtype_,                                                                                                  \
     .kernel = {[NORMA_ISA_GENERIC] = &norma_##algorithm_##_##dtype_##_generic,                                                \
                [NORMA_ISA_AVX2] = AVX2_KERNEL(norma_##algorithm_##_##dtype_),                                                 \
                [NORMA_ISA_AVX512] = AVX512_KERNEL(norma_##algorithm_##_##dtype_),                                             \
                [NORMA_ISA_AVX512_BF16] = AVX512_KERNEL(norma_##algorithm_##_##dtype_),                                        \
                [NORMA_ISA_NEON] = NEON_KERNEL(norma_##algorithm_##_##dtype_)}},
const norma_weights_entry norma_weights_table[] = {
#include "weights/registry.def"
};
#undef X

const size_t norma_weights_count = sizeof norma_weights_table / sizeof *norma_weights_table;

const void *norma_weights_find(norma_weights_algorithm algorithm, norma_dtype dtype, norma_isa isa)
{
    for (size_t i = 0; i < norma_weights_count; i++) {
        if (norma_weights_table[i].algorithm == algorithm && norma_weights_table[i].dtype == dtype) {
            return norma_weights_table[i].kernel[isa];
        }
    }
    return NULL;
}

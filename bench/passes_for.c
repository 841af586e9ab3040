/* Which passes this build holds. */
#include "passes.h"

const bench_isa_passes *bench_passes_for(norma_isa isa)
{
    switch (isa) {
#ifdef NORMA_HAVE_AVX2
    case NORMA_ISA_AVX2:
        return &bench_passes_avx2;
#endif
#ifdef NORMA_HAVE_AVX512
    case NORMA_ISA_AVX512:
    case NORMA_ISA_AVX512_BF16:
        return &bench_passes_avx512;
#endif
#ifdef NORMA_HAVE_NEON
    case NORMA_ISA_NEON:
        return &bench_passes_neon;
#endif
    case NORMA_ISA_GENERIC:
        return &bench_passes_generic;
    default:
        return NULL;
    }
}

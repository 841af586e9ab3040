/*
 * The vector vocabulary on AVX-512 with BF16 and VBMI: avx512's, which converts bf16 by these where the compiler has them.
 */
#define NORMA_ISA_NAME avx512_bf16
#include "avx512/simd.h"

#if !(defined __AVX512BF16__ && defined __AVX512VBMI__)
#error "compile this folder with the flags of norma's avx512_bf16 list"
#endif

/* What the registries of kernels (kernels.def, backward.def, weights/registry.def) are expanded with. */
#ifndef NORMA_BUILT_H
#define NORMA_BUILT_H

/* Which ISA folders this build holds, from the build system's lists. */
#ifdef NORMA_HAVE_AVX2
#define AVX2_KERNEL(name) &name##_avx2
#else
#define AVX2_KERNEL(name) NULL
#endif
#ifdef NORMA_HAVE_AVX512
#define AVX512_KERNEL(name) &name##_avx512
#else
#define AVX512_KERNEL(name) NULL
#endif
#ifdef NORMA_HAVE_AVX512_BF16
#define AVX512_BF16_KERNEL(name) &name##_avx512_bf16
#else
#define AVX512_BF16_KERNEL(name) NULL
#endif
#ifdef NORMA_HAVE_NEON
#define NEON_KERNEL(name) &name##_neon
#else
#define NEON_KERNEL(name) NULL
#endif

/* Names of types in the registries, as enumerators. */
#define DTYPE_f32 NORMA_F32
#define DTYPE_f64 NORMA_F64
#define DTYPE_bf16 NORMA_BF16
#define DTYPE_f16 NORMA_F16
#define DTYPE_s8 NORMA_S8
#define DTYPE_u8 NORMA_U8

#endif

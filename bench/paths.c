/* The paths a problem is computed by. A peer is one line here and one file with its four functions. */
#include <string.h>

#include "bench.h"
#include "peers/peers.h"

#define NORMA_PATH(name, isa, tuning, fuller)                                                                                  \
    {                                                                                                                          \
        name, NULL, isa, tuning, false, fuller, bench_norma_exists, bench_norma_prepare, bench_norma_run, bench_norma_release, \
            false, NULL                                                                                                        \
    }
#define COPY_PATH(variant, kind)                                                                                               \
    {                                                                                                                          \
        "copy", variant, kind, NULL, true, false, bench_copy_exists, bench_copy_prepare, bench_copy_run, bench_copy_release,   \
            false, NULL                                                                                                        \
    }
#define UNFUSED_PATH(way)                                                                                                      \
    {                                                                                                                          \
        "unfused", NULL, 0, NULL, false, false, bench_##way##_exists, bench_##way##_prepare, bench_##way##_run,                \
            bench_##way##_release, false, NULL                                                                                 \
    }

#define PEER_PATH(peer, variant, way, collect)                                                                                 \
    {                                                                                                                          \
#peer, variant, way, NULL, false, false, bench_##peer##_exists, bench_##peer##_prepare, bench_##peer##_run,            \
            bench_##peer##_release, true, collect                                                                              \
    }

const bench_path bench_paths[] = {
    COPY_PATH("memcpy", BENCH_COPY_LIBC),
    COPY_PATH("plain", BENCH_COPY_PLAIN),
    COPY_PATH("streaming", BENCH_COPY_STREAMING),
    UNFUSED_PATH(unfused),
    UNFUSED_PATH(steps),
    NORMA_PATH("fused", NORMA_ISA_BEST, NULL, false),
    NORMA_PATH("untuned", NORMA_ISA_BEST, "off", true),
    NORMA_PATH("generic", NORMA_ISA_GENERIC, NULL, true),
    NORMA_PATH("avx2", NORMA_ISA_AVX2, NULL, true),
    NORMA_PATH("avx512", NORMA_ISA_AVX512, NULL, true),
    NORMA_PATH("avx512_bf16", NORMA_ISA_AVX512_BF16, NULL, true),
    NORMA_PATH("neon", NORMA_ISA_NEON, NULL, true),
#ifdef BENCH_HAVE_ONEDNN
    PEER_PATH(onednn, "one primitive", 0, NULL),
    PEER_PATH(onednn, "primitives", 1, NULL),
#endif
#ifdef BENCH_HAVE_PYTORCH
    PEER_PATH(pytorch, NULL, 0, bench_pytorch_collect),
#endif
#ifdef BENCH_HAVE_ONNXRUNTIME
    PEER_PATH(onnxruntime, NULL, 0, NULL),
#endif
#ifdef BENCH_HAVE_GGML
    PEER_PATH(ggml, NULL, 0, NULL),
#endif
};
const size_t bench_path_count = sizeof bench_paths / sizeof *bench_paths;

_Static_assert(sizeof bench_paths / sizeof *bench_paths <= BENCH_PATHS_MAX, "a line of the table has a cell per path");

bool bench_path_leads(size_t index)
{
    return index == 0 || strcmp(bench_paths[index].name, bench_paths[index - 1].name) != 0;
}

/*
 * Peers as paths of norma-bench: other libraries' way to compute a problem, on the same tensors, checked by the same gate,
 * timed in the same shuffle. Only with NORMA_BENCH_PEERS, and each only where it is installed. bench.h says what the functions
 * do; what is common to all of them is here.
 */
#ifndef NORMA_BENCH_PEERS_H
#define NORMA_BENCH_PEERS_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_PEER(peer)                                                                                                       \
    bool bench_##peer##_exists(const bench_path *path, const bench_problem *problem);                                          \
    bench_ready bench_##peer##_prepare(void **state, const bench_path *path, const bench_problem *problem,                     \
                                       const bench_tensors *tensors, int threads, char *label, char *sentence);                \
    bool bench_##peer##_run(void *state);                                                                                      \
    void bench_##peer##_release(void *state)

BENCH_PEER(onednn);
BENCH_PEER(onnxruntime);
BENCH_PEER(ggml);
BENCH_PEER(pytorch);
void bench_pytorch_collect(void *state);

/* oneDNN and PyTorch take as many threads as OpenMP would give them. */
void bench_peer_threads(int threads);

#ifdef __cplusplus
}
#endif

#endif

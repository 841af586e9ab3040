#include <omp.h>

#include "peers.h"

void bench_peer_threads(int threads)
{
    omp_set_num_threads(threads);
}

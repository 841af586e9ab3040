/* Channel norm, whose sets run across an NCHW tensor, and MVN over whole channels. */
#include "bench.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The four stages of ConvNeXt-T at batch 8. */
static const bench_shape convnext[] = {
    {{8, 96, 56, 56}, true}, {{8, 192, 28, 28}, false}, {{8, 384, 14, 14}, false}, {{8, 768, 7, 7}, true}};

static const bench_shape channels[] = {{{8, 64, 56, 56}, true}};
static const bench_shape first_stage[] = {{{8, 96, 56, 56}, false}};

const bench_list bench_fibers_lists[] = {
    {NORMA_CHANNEL_NORM, NORMA_F32, BENCH_NCHW, true, convnext, COUNT(convnext), false},
    {NORMA_CHANNEL_NORM, NORMA_F32, BENCH_NHWC, true, convnext, COUNT(convnext), false},
    {NORMA_CHANNEL_NORM, NORMA_F64, BENCH_NCHW, false, first_stage, COUNT(first_stage), false},
    {NORMA_MVN, NORMA_F32, BENCH_NCHW, true, channels, COUNT(channels), false},
};
const size_t bench_fibers_lists_count = COUNT(bench_fibers_lists);

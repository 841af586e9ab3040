/* The way back, where models are trained: norma_backward(), all gradients, with saved statistics. norma-bench times these;
 * norma-tune has nothing to choose in them. */
#include "lists.h"

static const case_shape transformer[] = {
    {{512, 1024}, true}, {{2048, 4096}, false}, {{128, 768}, false}, {{8192, 1024}, false}};
static const case_shape convnext[] = {{{8, 96, 56, 56}, false}, {{8, 768, 7, 7}, false}};
static const case_shape resnet[] = {
    {{32, 64, 56, 56}, false}, {{16, 128, 28, 28}, true}, {{32, 256, 14, 14}, false}, {{32, 512, 7, 7}, false}};
static const case_shape diffusion[] = {{{2, 320, 64, 64}, false}, {{2, 640, 32, 32}, true}, {{2, 1280, 16, 16}, false}};

#define BACKWARD(op, dtype, layout, shapes) CASE_LIST(op, dtype, layout, shapes, .quick = true)

const case_list case_backward_lists[] = {
    BACKWARD(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, transformer),
    BACKWARD(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, transformer),
    BACKWARD(NORMA_LP_NORM, NORMA_F32, CASE_ROWS, transformer),
    BACKWARD(NORMA_LAYER_NORM, NORMA_BF16, CASE_ROWS, transformer),
    BACKWARD(NORMA_CHANNEL_NORM, NORMA_F32, CASE_NCHW, convnext),
    BACKWARD(NORMA_CHANNEL_NORM, NORMA_F32, CASE_NHWC, convnext),
    BACKWARD(NORMA_BATCH_NORM, NORMA_F32, CASE_NCHW, resnet),
    BACKWARD(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, resnet),
    BACKWARD(NORMA_INSTANCE_NORM, NORMA_F32, CASE_NCHW, diffusion),
    BACKWARD(NORMA_INSTANCE_NORM, NORMA_F32, CASE_NHWC, diffusion),
    BACKWARD(NORMA_GROUP_NORM, NORMA_F32, CASE_NCHW, diffusion),
    BACKWARD(NORMA_GROUP_NORM, NORMA_F32, CASE_NHWC, diffusion),
};
const size_t case_backward_lists_count = COUNT(case_backward_lists);

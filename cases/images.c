/* Batch, instance and group norm of vision and diffusion models, without scale and shift (which cost nothing beside the rest).
 * Batch norm with the batch's statistics, and with given ones. */
#include "lists.h"

/* ResNet-50's and DenseNet-121's stages at batch 32, and one at batch 8. */
static const case_shape resnet[] = {{{8, 64, 56, 56}, true},    {{32, 64, 56, 56}, false}, {{32, 128, 28, 28}, false},
                                    {{32, 256, 14, 14}, false}, {{32, 512, 7, 7}, false},  {{32, 60, 56, 56}, false}};

/* Stable Diffusion's UNet and VAE; groups of channels by 32. */
static const case_shape diffusion[] = {{{1, 320, 64, 64}, true},  {{2, 640, 32, 32}, false},   {{2, 1280, 16, 16}, false},
                                       {{2, 512, 64, 64}, false}, {{1, 128, 256, 256}, false}, {{8, 64, 56, 56}, false}};

/* Style transfer. */
static const case_shape style[] = {{{1, 128, 128, 128}, true}, {{1, 32, 256, 256}, false}, {{32, 256, 14, 14}, false}};

const case_list case_images_lists[] = {
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NCHW, resnet, .quick = true, .given = true),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, resnet, .quick = true, .given = true),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NCHW, resnet, .quick = true),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, resnet, .quick = true),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_F32, CASE_NCHW, diffusion, .quick = true),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_F32, CASE_NHWC, diffusion, .quick = true),
    CASE_LIST(NORMA_INSTANCE_NORM, NORMA_F32, CASE_NCHW, style, .quick = true),
    CASE_LIST(NORMA_INSTANCE_NORM, NORMA_F32, CASE_NHWC, style),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_F32, CASE_NCHW, diffusion, .quick = true, .activation = NORMA_SILU),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_F32, CASE_NHWC, diffusion, .quick = true, .activation = NORMA_SILU),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_BF16, CASE_NCHW, diffusion),
    CASE_LIST(NORMA_GROUP_NORM, NORMA_BF16, CASE_NHWC, diffusion),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NCHW, resnet, .quick = true, .given = true, .activation = NORMA_RELU),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, resnet, .quick = true, .given = true, .activation = NORMA_RELU),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, resnet, .given = true, .activation = NORMA_RELU,
              .residual = NORMA_RESIDUAL_AFTER),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_S8, CASE_NCHW, style, .given = true),
    CASE_LIST(NORMA_BATCH_NORM, NORMA_F32, CASE_NHWC, style, .given = true, .y_dtype = NORMA_S8),
};
const size_t case_images_lists_count = COUNT(case_images_lists);

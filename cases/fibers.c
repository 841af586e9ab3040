/* Channel norm, whose sets run across an NCHW tensor, and MVN over whole channels. */
#include "lists.h"

/* The four stages of ConvNeXt-T at batch 8. */
static const case_shape convnext[] = {
    {{8, 96, 56, 56}, true}, {{8, 192, 28, 28}, false}, {{8, 384, 14, 14}, false}, {{8, 768, 7, 7}, true}};

static const case_shape channels[] = {{{8, 64, 56, 56}, true}};
static const case_shape first_stage[] = {{{8, 96, 56, 56}, false}};

const case_list case_fibers_lists[] = {
    CASE_LIST(NORMA_CHANNEL_NORM, NORMA_F32, CASE_NCHW, convnext, .quick = true),
    CASE_LIST(NORMA_CHANNEL_NORM, NORMA_F32, CASE_NHWC, convnext, .quick = true),
    CASE_LIST(NORMA_CHANNEL_NORM, NORMA_F64, CASE_NCHW, first_stage),
    CASE_LIST(NORMA_MVN, NORMA_F32, CASE_NCHW, channels, .quick = true),
};
const size_t case_fibers_lists_count = COUNT(case_fibers_lists);

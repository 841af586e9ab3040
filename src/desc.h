/* Descriptors: what of them is legal. */
#ifndef NORMA_DESC_H
#define NORMA_DESC_H

#include <stdbool.h>

#include "norma/norma.h"

/* NORMA_SUCCESS, or a sentence that names the field. */
norma_status norma_desc_check(const norma_desc *desc);

/* Whether statistics, scale and shift go by channel or group of channels, in any layout. */
static inline bool norma_desc_by_channel(const norma_desc *desc)
{
    return desc->op == NORMA_BATCH_NORM || desc->op == NORMA_INSTANCE_NORM || desc->op == NORMA_GROUP_NORM;
}

/* How many channels the layout keeps together, innermost; 1: none. */
static inline int64_t norma_channel_block(const norma_desc *desc)
{
    return desc->layout == NORMA_NCHW16C ? 16 : desc->layout == NORMA_NCHW8C ? 8 : 1;
}

/* The channel axis of (n, c, spatial) and of (n, spatial, c). */
static inline int norma_channel_axis(const norma_desc *desc)
{
    return desc->layout == NORMA_NHWC ? 2 : 1;
}

#endif

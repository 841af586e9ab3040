/* Descriptors: what of them is legal. */
#ifndef NORMA_DESC_H
#define NORMA_DESC_H

#include <stdbool.h>

#include "dtype.h"

/* NORMA_SUCCESS, or a sentence that names the field. */
norma_status norma_desc_check(const norma_desc *desc);

/* Whether statistics, scale and shift go by channel or group of channels, in any layout. */
static inline bool norma_desc_by_channel(const norma_desc *desc)
{
    return desc->op == NORMA_BATCH_NORM || desc->op == NORMA_INSTANCE_NORM || desc->op == NORMA_GROUP_NORM;
}

/* Of args.residual, and of a sum that it joins. */
static inline norma_dtype norma_desc_residual_dtype(const norma_desc *desc)
{
    return desc->residual_dtype ? desc->residual_dtype : norma_dtype_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
}

/* Of what is normalized: x, or the sum. */
static inline norma_dtype norma_desc_normalized_dtype(const norma_desc *desc)
{
    return desc->residual == NORMA_RESIDUAL_BEFORE ? norma_desc_residual_dtype(desc) : desc->dtype;
}

static inline norma_dtype norma_desc_parameter_dtype(const norma_desc *desc)
{
    const norma_dtype normalized = norma_desc_normalized_dtype(desc);
    return desc->parameter_dtype ? desc->parameter_dtype : norma_dtype_integer(normalized) ? NORMA_F32 : normalized;
}

static inline norma_dtype norma_desc_y_dtype(const norma_desc *desc)
{
    return desc->y_dtype ? desc->y_dtype : norma_dtype_integer(desc->dtype) ? NORMA_F32 : desc->dtype;
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

/* Descriptors: what of them is legal. */
#ifndef NORMA_DESC_H
#define NORMA_DESC_H

#include "norma/norma.h"

/* NORMA_SUCCESS, or a sentence that names the field. */
norma_status norma_desc_check(const norma_desc *desc);

/* The channel axis of (n, c, spatial) and of (n, spatial, c). */
static inline int norma_channel_axis(const norma_desc *desc)
{
    return desc->layout == NORMA_NHWC ? 2 : 1;
}

#endif

#include "desc.h"

#include <float.h>
#include <math.h>

#include "dtype.h"
#include "error.h"
#include "kernels.h"

static norma_status check_planning(const norma_desc *desc)
{
    if (desc->planning != NORMA_ESTIMATE && desc->planning != NORMA_MEASURE) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.planning: expected a norma_planning, got %d", (int)desc->planning);
    }
    if (!(desc->measure_seconds >= 0) || isinf(desc->measure_seconds)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.measure_seconds: expected a finite number of at least 0, got %g",
                          desc->measure_seconds);
    }
    return NORMA_SUCCESS;
}

static norma_status check_epilogue(const norma_desc *desc)
{
    const double alpha = desc->activation_alpha, beta = desc->activation_beta;
    if (desc->activation < NORMA_IDENTITY || desc->activation > NORMA_ELU) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.activation: expected a norma_activation, got %d",
                          (int)desc->activation);
    }
    const double most = desc->dtype == NORMA_F64 ? DBL_MAX : (double)FLT_MAX;
    if (desc->activation == NORMA_CLIP ? !(alpha <= beta) : !(fabs(alpha) <= most && fabs(beta) <= most)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.activation_alpha: expected %s, got %g and %g",
                          desc->activation == NORMA_CLIP ? "at most desc.activation_beta"
                                                         : "finite numbers of the type that is computed in",
                          alpha, beta);
    }
    if (desc->residual < NORMA_RESIDUAL_NONE || desc->residual > NORMA_RESIDUAL_AFTER) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.residual: expected a norma_residual, got %d", (int)desc->residual);
    }
    if (desc->residual == NORMA_RESIDUAL_BEFORE && (desc->x_row_stride || desc->y_row_stride)) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.residual: NORMA_RESIDUAL_BEFORE takes dense tensors, expected row strides of 0");
    }
    return NORMA_SUCCESS;
}

static norma_status check_enumerators(const norma_desc *desc)
{
    if (desc->op < NORMA_LAYER_NORM || desc->op > NORMA_GROUP_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.op: expected a norma_op, got %d", (int)desc->op);
    }
    if (!norma_dtype_known(desc->dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.dtype: expected NORMA_F32, NORMA_F64, NORMA_BF16 or NORMA_F16, got %d",
                          (int)desc->dtype);
    }
    if (desc->parameter_dtype != 0 && desc->parameter_dtype != desc->dtype &&
        desc->parameter_dtype != norma_dtype_of_lanes(desc->dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.parameter_dtype: expected 0, desc.dtype (%s) or %s, got %d",
                          norma_dtype_name(desc->dtype), norma_dtype_name(norma_dtype_of_lanes(desc->dtype)),
                          (int)desc->parameter_dtype);
    }
    if (desc->layout < NORMA_NCHW || desc->layout > NORMA_NCHW16C) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.layout: expected a norma_layout, got %d", (int)desc->layout);
    }
    if (desc->epsilon_mode < NORMA_EPSILON_INSIDE || desc->epsilon_mode > NORMA_EPSILON_NONE) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.epsilon_mode: expected a norma_epsilon_mode, got %d",
                          (int)desc->epsilon_mode);
    }
    if (desc->rms_mode < NORMA_RMS_SCALE_THEN_ROUND || desc->rms_mode > NORMA_RMS_ONE_PLUS_SCALE) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.rms_mode: expected a norma_rms_mode, got %d", (int)desc->rms_mode);
    }
    if (desc->saved != NORMA_SAVE_RSTD && desc->saved != NORMA_SAVE_VARIANCE) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.saved: expected NORMA_SAVE_RSTD or NORMA_SAVE_VARIANCE, got %d",
                          (int)desc->saved);
    }
    if (desc->statistics != NORMA_STATISTICS_OF_BATCH && desc->statistics != NORMA_STATISTICS_GIVEN) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.statistics: expected a norma_statistics_source, got %d",
                          (int)desc->statistics);
    }
    if (desc->statistics == NORMA_STATISTICS_GIVEN && desc->op != NORMA_BATCH_NORM && desc->op != NORMA_INSTANCE_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.statistics: only batch_norm and instance_norm take given ones, not %s",
                          norma_op_name(desc->op));
    }
    if (desc->affine_of_groups != 0 && (desc->affine_of_groups != 1 || desc->op != NORMA_GROUP_NORM)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.affine_of_groups: expected 0, or 1 for group_norm, got %d",
                          desc->affine_of_groups);
    }
    if (desc->momentum_mode < NORMA_MOMENTUM_OF_BATCH || desc->momentum_mode > NORMA_MOMENTUM_CUMULATIVE) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.momentum_mode: expected a norma_momentum_mode, got %d",
                          (int)desc->momentum_mode);
    }
    if (!(desc->momentum >= 0 && desc->momentum <= 1)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.momentum: expected a number from 0 to 1, got %g", desc->momentum);
    }
    if (desc->running_unbiased != 0 && desc->running_unbiased != 1) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.running_unbiased: expected 0 or 1, got %d", desc->running_unbiased);
    }
    if (desc->op == NORMA_LP_NORM && desc->p != 1 && desc->p != 2) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.p: expected 1 or 2, got %d", desc->p);
    }
    if (!(desc->epsilon >= 0) || isinf(desc->epsilon)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.epsilon: expected a finite number of at least 0, got %g",
                          desc->epsilon);
    }
    return NORMA_SUCCESS;
}

static norma_status check_shape(const norma_desc *desc)
{
    if (desc->rank < 1 || desc->rank > NORMA_MAX_RANK) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.rank: expected 1 to %d extents (and a shape that is not NULL), got %d",
                          NORMA_MAX_RANK, desc->rank);
    }
    /* Twice over, for x and y together. */
    int64_t bytes = 2 * (int64_t)norma_dtype_size(desc->dtype);
    for (int k = 0; k < desc->rank; k++) {
        const int64_t extent = desc->shape[k];
        if (extent < 0) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape[%d]: expected an extent of at least 0, got %lld", k,
                              (long long)extent);
        }
        /* An extent of 0 does not excuse the others: their product stands in offsets. */
        if (extent > 0 && __builtin_mul_overflow(bytes, extent, &bytes)) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape: the product of its extents, in bytes, overflows 64 bits");
        }
    }
    return NORMA_SUCCESS;
}

/* Channel, batch, instance and group norm: rank 3, and the axes that the op reduces. */
static norma_status check_image(const norma_desc *desc)
{
    const uint32_t c = 1u << norma_channel_axis(desc), n = 1, spatial = 6u & ~c;
    const uint32_t axes = desc->op == NORMA_CHANNEL_NORM    ? c
                          : desc->op == NORMA_BATCH_NORM    ? n | spatial
                          : desc->op == NORMA_INSTANCE_NORM ? spatial
                                                            : c | spatial;
    if (desc->rank != 3 || desc->axes != axes) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: %s reduces axes 0x%x of %s, rank 3, got 0x%x of rank %d",
                          norma_op_name(desc->op), (unsigned)axes,
                          desc->layout == NORMA_NHWC ? "(n, spatial, c)" : "(n, c, spatial)", (unsigned)desc->axes, desc->rank);
    }
    const int64_t channels = desc->shape[norma_channel_axis(desc)];
    const int64_t block = norma_channel_block(desc);
    if (block > 1 && desc->op == NORMA_CHANNEL_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.layout: channel_norm has nchw and nhwc (NORMA_NCHW, NORMA_NHWC), no blocked layout");
    }
    if (channels % block != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape[1]: expected a multiple of the layout's %lld channels, got %lld",
                          (long long)block, (long long)channels);
    }
    if (desc->op == NORMA_GROUP_NORM && (desc->groups < 1 || channels % desc->groups != 0)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.groups: expected a divisor of the %lld channels, got %lld",
                          (long long)channels, (long long)desc->groups);
    }
    return NORMA_SUCCESS;
}

static bool axes_are_trailing(const norma_desc *desc)
{
    const uint32_t all = ((uint32_t)1 << desc->rank) - 1;
    const uint32_t kept = all & ~desc->axes;
    return (kept & (kept + 1)) == 0;
}

static norma_status check_axes(const norma_desc *desc)
{
    if (desc->axes >> desc->rank) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: expected axes from %d to %d, got one outside", -desc->rank,
                          desc->rank - 1);
    }
    if (desc->axes == 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: expected at least one axis to reduce, got none");
    }
    for (int k = 0; k < desc->rank; k++) {
        if (desc->axes >> k & 1 && desc->shape[k] == 0 && desc->statistics != NORMA_STATISTICS_GIVEN) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape[%d]: expected at least 1 along a reduced axis, got 0", k);
        }
    }
    const bool one = (desc->axes & (desc->axes - 1)) == 0;
    switch (desc->op) {
    case NORMA_LAYER_NORM:
    case NORMA_RMS_NORM:
        if (!axes_are_trailing(desc)) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: %s reduces trailing axes, got 0x%x for rank %d",
                              norma_op_name(desc->op), (unsigned)desc->axes, desc->rank);
        }
        break;
    case NORMA_LP_NORM:
        if (!one) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: lp_norm reduces one axis, got 0x%x", (unsigned)desc->axes);
        }
        break;
    case NORMA_CHANNEL_NORM:
    case NORMA_BATCH_NORM:
    case NORMA_INSTANCE_NORM:
    case NORMA_GROUP_NORM:
        return check_image(desc);
    case NORMA_MVN:
        break;
    }
    return NORMA_SUCCESS;
}

static norma_status check_row_stride(const norma_desc *desc, const char *name, int64_t stride, int64_t rows, int64_t length)
{
    if (stride == 0) {
        return NORMA_SUCCESS;
    }
    if (norma_desc_by_channel(desc)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: %s takes dense tensors, expected 0, got %lld", name,
                          norma_op_name(desc->op), (long long)stride);
    }
    if (!axes_are_trailing(desc)) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.%s: row strides go with trailing reduced axes only, got 0x%x for rank %d", name,
                          (unsigned)desc->axes, desc->rank);
    }
    if (stride < length) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: rows of %lld elements would overlap at a stride of %lld", name,
                          (long long)length, (long long)stride);
    }
    int64_t bytes;
    /* Some rows more than there are: a turn's last rows are addressed before they are counted. */
    if (__builtin_mul_overflow(rows + NORMA_GROUP_MAX, stride, &bytes) ||
        __builtin_mul_overflow(bytes, (int64_t)norma_dtype_size(desc->dtype), &bytes)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: %lld rows at a stride of %lld overflow 64 bits", name,
                          (long long)rows, (long long)stride);
    }
    return NORMA_SUCCESS;
}

static norma_status check_row_strides(const norma_desc *desc)
{
    int64_t rows = 1, length = 1;
    for (int k = 0; k < desc->rank; k++) {
        if (desc->axes >> k & 1) {
            length *= desc->shape[k];
        } else {
            rows *= desc->shape[k];
        }
    }
    const norma_status status = check_row_stride(desc, "x_row_stride", desc->x_row_stride, rows, length);
    return status == NORMA_SUCCESS ? check_row_stride(desc, "y_row_stride", desc->y_row_stride, rows, length) : status;
}

norma_status norma_desc_check(const norma_desc *desc)
{
    norma_status status = check_enumerators(desc);
    if (status == NORMA_SUCCESS) {
        status = check_planning(desc);
    }
    if (status == NORMA_SUCCESS) {
        status = check_epilogue(desc);
    }
    if (status == NORMA_SUCCESS) {
        status = check_shape(desc);
    }
    if (status == NORMA_SUCCESS) {
        status = check_axes(desc);
    }
    return status == NORMA_SUCCESS ? check_row_strides(desc) : status;
}

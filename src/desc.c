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
    const double most = norma_desc_normalized_dtype(desc) == NORMA_F64 ? DBL_MAX : (double)FLT_MAX;
    if (desc->activation == NORMA_CLIP ? !(alpha <= beta) : !(fabs(alpha) <= most && fabs(beta) <= most)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.activation_alpha: expected %s, got %g and %g",
                          desc->activation == NORMA_CLIP ? "at most desc.activation_beta"
                                                         : "finite numbers of the type that is computed in",
                          alpha, beta);
    }
    return NORMA_SUCCESS;
}

/* Residuals and gates. */
static norma_status check_companions(const norma_desc *desc)
{
    const bool before = desc->residual == NORMA_RESIDUAL_BEFORE, gates = desc->gate == NORMA_GATE_BEFORE;
    const bool rows = desc->op == NORMA_LAYER_NORM || desc->op == NORMA_RMS_NORM;
    if (desc->residual < NORMA_RESIDUAL_NONE || desc->residual > NORMA_RESIDUAL_AFTER) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.residual: expected a norma_residual, got %d", (int)desc->residual);
    }
    if (desc->gate < NORMA_GATE_NONE || desc->gate > NORMA_GATE_AFTER) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.gate: expected a norma_gate, got %d", (int)desc->gate);
    }
    if (desc->gate_activation < NORMA_IDENTITY || desc->gate_activation > NORMA_ELU) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.gate_activation: expected a norma_activation, got %d",
                          (int)desc->gate_activation);
    }
    if (gates && before) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.gate: NORMA_GATE_BEFORE does not go with NORMA_RESIDUAL_BEFORE");
    }
    if (norma_dtype_integer(desc->dtype) && (before || desc->gate != NORMA_GATE_NONE)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: does not go with integers in x",
                          before ? "residual: NORMA_RESIDUAL_BEFORE" : "gate");
    }
    if ((before || gates) && (desc->x_row_stride || desc->y_row_stride)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: what comes before takes dense tensors, expected row strides of 0",
                          before ? "residual" : "gate");
    }
    if (desc->residual_gate < NORMA_MODULATION_NONE || desc->residual_gate > NORMA_MODULATION_PER_ELEMENT ||
        (desc->residual_gate && !(before && rows))) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.residual_gate: expected a norma_modulation of layer or RMS norm with NORMA_RESIDUAL_BEFORE, or "
                          "none, got %d",
                          (int)desc->residual_gate);
    }
    return NORMA_SUCCESS;
}

static norma_status check_modulation(const norma_desc *desc)
{
    const norma_modulation modulation = desc->modulation;
    const bool scales = desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
    const bool rows = desc->op == NORMA_LAYER_NORM || desc->op == NORMA_RMS_NORM;
    if (modulation < NORMA_MODULATION_NONE || modulation > NORMA_MODULATION_PER_ELEMENT || (modulation && !scales)) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.modulation: expected a norma_modulation, of a norm that has a scale, got %d for %s",
                          (int)modulation, norma_op_name(desc->op));
    }
    if (desc->modulation_plain != 0 && desc->modulation_plain != 1) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.modulation_plain: expected 0 or 1, got %d", desc->modulation_plain);
    }
    const bool per_sample = modulation == NORMA_MODULATION_PER_SAMPLE || desc->residual_gate == NORMA_MODULATION_PER_SAMPLE;
    if (per_sample && rows && desc->axes & 1) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: axis 0, that of samples, is normalized",
                          modulation == NORMA_MODULATION_PER_SAMPLE ? "modulation" : "residual_gate");
    }
    return NORMA_SUCCESS;
}

static bool in_range_of(norma_dtype dtype, int value)
{
    return dtype == NORMA_S8 ? value >= -128 && value <= 127 : value >= 0 && value <= 255;
}

/* Integers: what they stand for. */
static norma_status check_quantization(const norma_desc *desc)
{
    const norma_dtype y = norma_desc_y_dtype(desc);
    const bool integer = norma_dtype_integer(desc->dtype), mean = desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
    if (integer ? !(desc->x_scale > 0) || isinf(desc->x_scale) : desc->x_scale != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.x_scale: expected %s, got %g",
                          integer ? "a positive finite number, as x holds integers" : "0, as x holds no integers",
                          desc->x_scale);
    }
    if (desc->x_zero_point && !(integer && mean && in_range_of(desc->dtype, desc->x_zero_point))) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.x_zero_point: expected %s, got %d",
                          !integer ? "0, as x holds no integers"
                          : !mean  ? "0 for a norm without a mean"
                                   : "a number that x can hold",
                          desc->x_zero_point);
    }
    if (desc->quantization < NORMA_QUANTIZATION_NONE || desc->quantization > NORMA_QUANTIZATION_PER_ROW ||
        norma_dtype_integer(y) != (desc->quantization != NORMA_QUANTIZATION_NONE)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.quantization: expected %s, got %d",
                          norma_dtype_integer(y) ? "how y's integers stand for numbers"
                                                 : "NORMA_QUANTIZATION_NONE, as desc.y_dtype is no integer",
                          (int)desc->quantization);
    }
    if (desc->y_zero_point &&
        (!norma_dtype_integer(y) || desc->quantization == NORMA_QUANTIZATION_PER_ROW || !in_range_of(y, desc->y_zero_point))) {
        return norma_fail(
            NORMA_INVALID_ARGUMENT, "desc.y_zero_point: expected %s, got %d",
            norma_dtype_integer(y) && desc->quantization != NORMA_QUANTIZATION_PER_ROW ? "a number that y can hold" : "0",
            desc->y_zero_point);
    }
    if (desc->quantization == NORMA_QUANTIZATION_PER_CHANNEL && (desc->op == NORMA_LP_NORM || desc->op == NORMA_MVN)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.quantization: %s has no scale for its channels to go by",
                          norma_op_name(desc->op));
    }
    return NORMA_SUCCESS;
}

static norma_status check_types(const norma_desc *desc)
{
    const struct {
        const char *name;
        norma_dtype dtype;
        bool needed;
        bool integer; /* may be one */
    } types[] = {{"dtype", desc->dtype, true, true},
                 {"y_dtype", desc->y_dtype, false, true},
                 {"residual_dtype", desc->residual_dtype, false, false}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const bool absent = !types[i].needed && types[i].dtype == 0;
        if (!absent && (!norma_dtype_known(types[i].dtype) || (norma_dtype_integer(types[i].dtype) && !types[i].integer))) {
            return norma_fail(NORMA_INVALID_ARGUMENT,
                              "desc.%s: expected %sNORMA_F32, NORMA_F64, NORMA_BF16%s NORMA_F16%s, got %d", types[i].name,
                              types[i].needed ? "" : "0, ", types[i].integer ? "," : " or",
                              types[i].integer ? ", NORMA_S8 or NORMA_U8" : "", (int)types[i].dtype);
        }
    }
    const norma_dtype normalized = norma_desc_normalized_dtype(desc), parameter = norma_desc_parameter_dtype(desc);
    if ((parameter != normalized || norma_dtype_integer(normalized)) && parameter != norma_dtype_of_lanes(normalized)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.parameter_dtype: expected 0, %s%s%s, got %d",
                          norma_dtype_integer(normalized) ? "" : norma_dtype_name(normalized),
                          norma_dtype_integer(normalized) ? "" : " (of what is normalized) or ",
                          norma_dtype_name(norma_dtype_of_lanes(normalized)), (int)desc->parameter_dtype);
    }
    if (desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE && norma_desc_y_dtype(desc) != normalized) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.y_dtype: NORMA_RMS_ROUND_THEN_SCALE writes the type of what is normalized, %s, not %s",
                          norma_dtype_name(normalized), norma_dtype_name(norma_desc_y_dtype(desc)));
    }
    return NORMA_SUCCESS;
}

static norma_status check_enumerators(const norma_desc *desc)
{
    if (desc->op < NORMA_LAYER_NORM || desc->op > NORMA_GROUP_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.op: expected a norma_op, got %d", (int)desc->op);
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
    if (desc->saved < NORMA_SAVE_RSTD || desc->saved > NORMA_SAVE_DIVISOR) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.saved: expected a norma_saved, got %d", (int)desc->saved);
    }
    const bool variance = desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM && desc->statistics != NORMA_STATISTICS_GIVEN;
    if (desc->unbiased != 0 && (desc->unbiased != 1 || !variance)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.unbiased: expected 0, or 1 for a norm that takes a variance, got %d",
                          desc->unbiased);
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

/* Bytes of an element of the widest tensor. */
static size_t widest_size(const norma_desc *desc)
{
    const size_t x = norma_dtype_size(desc->dtype), y = norma_dtype_size(norma_desc_y_dtype(desc));
    const size_t sum = norma_dtype_size(norma_desc_residual_dtype(desc)), most = x > y ? x : y;
    return most > sum ? most : sum;
}

static norma_status check_shape(const norma_desc *desc)
{
    if (desc->rank < 1 || desc->rank > NORMA_MAX_RANK) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.rank: expected 1 to %d extents (and a shape that is not NULL), got %d",
                          NORMA_MAX_RANK, desc->rank);
    }
    /* Twice over, for x and y together. */
    int64_t bytes = 2 * (int64_t)widest_size(desc);
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
        __builtin_mul_overflow(bytes, (int64_t)widest_size(desc), &bytes)) {
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
    static norma_status (*const checks[])(const norma_desc *) = {
        check_enumerators, check_types, check_planning,    check_epilogue,   check_companions,
        check_shape,       check_axes,  check_row_strides, check_modulation, check_quantization};
    norma_status status = NORMA_SUCCESS;
    for (size_t i = 0; i < sizeof checks / sizeof *checks && status == NORMA_SUCCESS; i++) {
        status = checks[i](desc);
    }
    return status;
}

#include "problem.h"

#include <math.h>
#include <string.h>

#include "error.h"

static norma_status check_enumerators(const norma_desc *desc)
{
    if (desc->op < NORMA_LAYER_NORM || desc->op > NORMA_GROUP_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.op: expected a norma_op, got %d", (int)desc->op);
    }
    if (desc->dtype != NORMA_F32 && desc->dtype != NORMA_F64) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.dtype: expected NORMA_F32 or NORMA_F64, got %d", (int)desc->dtype);
    }
    if (desc->layout != NORMA_NCHW && desc->layout != NORMA_NHWC) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.layout: expected NORMA_NCHW or NORMA_NHWC, got %d", (int)desc->layout);
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
    if (desc->statistics == NORMA_STATISTICS_GIVEN && desc->op != NORMA_BATCH_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.statistics: only batch_norm takes given ones, not %s",
                          norma_op_name(desc->op));
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

/* The channel axis of (n, c, spatial) and of (n, spatial, c). */
static int channel_axis(const norma_desc *desc)
{
    return desc->layout == NORMA_NHWC ? 2 : 1;
}

/* Channel, batch, instance and group norm: rank 3, and the axes that the op reduces. */
static norma_status check_image(const norma_desc *desc)
{
    const uint32_t c = 1u << channel_axis(desc), n = 1, spatial = 6u & ~c;
    const uint32_t axes = desc->op == NORMA_CHANNEL_NORM    ? c
                          : desc->op == NORMA_BATCH_NORM    ? n | spatial
                          : desc->op == NORMA_INSTANCE_NORM ? spatial
                                                            : c | spatial;
    if (desc->rank != 3 || desc->axes != axes) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.axes: %s reduces axes 0x%x of %s, rank 3, got 0x%x of rank %d",
                          norma_op_name(desc->op), (unsigned)axes,
                          desc->layout == NORMA_NHWC ? "(n, spatial, c)" : "(n, c, spatial)", (unsigned)desc->axes, desc->rank);
    }
    const int64_t channels = desc->shape[channel_axis(desc)];
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

/* The tensor's axes as the geometry sees them: with the channels as groups and channels of a group where that matters. */
typedef struct expanded_shape {
    int rank;
    int64_t shape[NORMA_MAX_RANK + 1];
    uint32_t axes;   /* reduced */
    bool as_columns; /* each element is a column of one row: rows of one element would be slow */
} expanded_shape;

static expanded_shape expand_shape(const norma_desc *desc)
{
    expanded_shape e = {.rank = desc->rank, .axes = desc->axes};
    memcpy(e.shape, desc->shape, sizeof desc->shape);
    if (desc->statistics == NORMA_STATISTICS_GIVEN && desc->layout == NORMA_NCHW && desc->shape[2] > 1) {
        e.axes = 4; /* nothing is reduced: planes in memory order */
    } else if (desc->op == NORMA_INSTANCE_NORM && desc->shape[3 - channel_axis(desc)] == 1) {
        const expanded_shape columns = {3, {desc->shape[0], 1, desc->shape[channel_axis(desc)]}, 2, true};
        return columns;
    } else if (desc->op == NORMA_GROUP_NORM && desc->layout == NORMA_NHWC && desc->shape[1] > 1) {
        e.axes = 2; /* each channel by itself; a group's columns then merge */
    } else if (desc->op == NORMA_GROUP_NORM) {
        const int c = channel_axis(desc);
        const expanded_shape groups = {
            4, {desc->shape[0], desc->groups, desc->shape[c] / desc->groups, desc->shape[3 - c]}, 12, false};
        return groups;
    }
    return e;
}

/* An axis, and whether it is reduced. */
typedef struct kind_axis {
    norma_axis axis;
    bool reduced;
} kind_axis;

/* The tensor's axes with neighbours of one kind merged. Reduced axes of extent 1 are dropped; kept ones are not, though they
 * add nothing: the order of a reduction must not depend on how many sets lie beside it. */
static int merge_axes(const expanded_shape *desc, kind_axis *merged)
{
    int count = 0;
    int64_t stride = 1;
    for (int k = desc->rank - 1; k >= 0; k--) {
        const int64_t extent = desc->shape[k];
        const bool reduced = desc->axes >> k & 1;
        if (count > 0 && merged[count - 1].reduced == reduced) {
            merged[count - 1].axis.extent *= extent;
        } else if (!reduced || extent != 1 || desc->as_columns) {
            merged[count++] = (kind_axis){{extent, stride, stride}, reduced};
        }
        stride *= extent;
    }
    for (int i = 0; i < count / 2; i++) {
        const kind_axis last = merged[count - 1 - i];
        merged[count - 1 - i] = merged[i];
        merged[i] = last;
    }
    return count;
}

/* Rows with strides of the caller's: one axis of rows, dense or not. */
static void set_row_axis(norma_problem *problem, const norma_desc *desc)
{
    const int64_t count = norma_axes_extent(problem->kept, problem->kept_count);
    norma_axis rows = {count, problem->length, problem->length};
    if (count > 1) { /* a single row has no next, whatever its stride */
        rows.x_stride = desc->x_row_stride ? desc->x_row_stride : problem->length;
        rows.y_stride = desc->y_row_stride ? desc->y_row_stride : problem->length;
    }
    problem->kept[0] = rows;
    problem->kept_count = 1;
}

static void set_geometry(norma_problem *problem, const norma_desc *desc)
{
    kind_axis axes[NORMA_MAX_RANK + 1];
    const expanded_shape shape = expand_shape(desc);
    const int count = merge_axes(&shape, axes);
    bool any_reduced = false;
    for (int i = 0; i < count; i++) {
        any_reduced = any_reduced || axes[i].reduced;
    }
    /* The innermost axis is a run, or the columns; without a reduced axis every element is a run of its own. */
    const bool runs_of_one = !any_reduced;
    const int inner = runs_of_one || count == 0 ? count : count - 1;
    for (int i = 0; i < inner; i++) {
        if (axes[i].reduced) {
            problem->reduced[problem->reduced_count++] = axes[i].axis;
        } else {
            problem->kept[problem->kept_count++] = axes[i].axis;
        }
    }
    problem->length = inner < count ? axes[inner].axis.extent : 1;
    if (runs_of_one || axes[inner].reduced) {
        problem->geometry = problem->reduced_count ? NORMA_PLANES : NORMA_ROWS;
    } else {
        problem->geometry = NORMA_FIBERS;
    }
    if (problem->geometry == NORMA_ROWS) {
        set_row_axis(problem, desc);
    }
}

/* Where scale and shift go by channel. */
static void set_channels(norma_problem *problem, const norma_desc *desc)
{
    problem->group = 1;
    if (desc->op != NORMA_BATCH_NORM && desc->op != NORMA_INSTANCE_NORM && desc->op != NORMA_GROUP_NORM) {
        return;
    }
    const int64_t channels = desc->shape[channel_axis(desc)];
    problem->channels = channels;
    problem->per_channel = desc->layout == NORMA_NHWC ? 1 : desc->shape[2];
    if (problem->geometry == NORMA_FIBERS && desc->op == NORMA_GROUP_NORM) {
        problem->group = channels / desc->groups;
    }
}

static int64_t span_of(const norma_problem *problem, bool of_y)
{
    int64_t span = problem->length;
    for (int k = 0; k < problem->kept_count; k++) {
        span += (problem->kept[k].extent - 1) * (of_y ? problem->kept[k].y_stride : problem->kept[k].x_stride);
    }
    for (int k = 0; k < problem->reduced_count; k++) {
        span += (problem->reduced[k].extent - 1) * (of_y ? problem->reduced[k].y_stride : problem->reduced[k].x_stride);
    }
    return span;
}

static void set_normalizer(norma_problem *problem, const norma_desc *desc)
{
    const bool moments = desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
    problem->takes_scale = desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
    problem->takes_shift = problem->takes_scale && moments;
    problem->takes_mean = moments && desc->statistics == NORMA_STATISTICS_OF_BATCH;
    problem->given = desc->statistics == NORMA_STATISTICS_GIVEN;
    problem->updates = desc->op == NORMA_BATCH_NORM && !problem->given;
    norma_normalizer *normalizer = &problem->normalizer;
    normalizer->statistic = moments ? NORMA_MOMENTS : NORMA_SQUARES;
    if (desc->op == NORMA_LP_NORM && desc->p == 1) {
        normalizer->statistic = NORMA_MAGNITUDES;
    }
    normalizer->epsilon_mode = desc->epsilon_mode;
    normalizer->epsilon = desc->epsilon;
    normalizer->saved = desc->saved;
    normalizer->one_plus_scale = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ONE_PLUS_SCALE;
    normalizer->weight = desc->op == NORMA_LP_NORM || problem->given ? 1 : 1 / (double)problem->count;
}

norma_status norma_problem_init(norma_problem *problem, const norma_desc *desc)
{
    norma_status status = check_enumerators(desc);
    if (status == NORMA_SUCCESS) {
        status = check_shape(desc);
    }
    if (status == NORMA_SUCCESS) {
        status = check_axes(desc);
    }
    if (status == NORMA_SUCCESS) {
        status = check_row_strides(desc);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    memset(problem, 0, sizeof *problem);
    problem->dtype = desc->dtype;
    set_geometry(problem, desc);
    problem->outer = norma_axes_extent(problem->kept, problem->kept_count);
    problem->runs = norma_axes_extent(problem->reduced, problem->reduced_count);
    set_channels(problem, desc);
    problem->count = problem->geometry == NORMA_FIBERS ? problem->runs * problem->group : problem->runs * problem->length;
    problem->sets = problem->geometry == NORMA_FIBERS ? problem->outer * (problem->length / problem->group) : problem->outer;
    problem->empty = problem->outer == 0 || problem->length == 0 || problem->runs == 0;
    problem->x_span = problem->empty ? 0 : span_of(problem, false);
    problem->y_span = problem->empty ? 0 : span_of(problem, true);
    set_normalizer(problem, desc);
    return NORMA_SUCCESS;
}

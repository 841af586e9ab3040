#include "problem.h"

#include <math.h>
#include <string.h>

#include "desc.h"
#include "dtype.h"
#include "error.h"

/* The tensor's axes as the geometry sees them: with the channels as groups and channels of a group where that matters. */
typedef struct expanded_shape {
    int rank;
    int64_t shape[NORMA_MAX_RANK + 1];
    uint32_t axes;  /* reduced */
    bool keep_ones; /* reduced axes of extent 1 stay, so that the geometry does not depend on it */
} expanded_shape;

/* Batch norm's planes of a few elements are ends of runs more than runs: each position is a column then, and a channel a group
 * of them. What is given does not depend on the batch, so neither may the geometry, for its formula rounds in its own way. */
static bool planes_as_columns(const norma_desc *desc)
{
    enum { SMALL = 16, IMAGES_MIN = 4 };
    const bool given = desc->statistics == NORMA_STATISTICS_GIVEN;
    const bool several = given || (desc->op == NORMA_BATCH_NORM && desc->shape[0] >= IMAGES_MIN);
    return several && desc->layout == NORMA_NCHW && desc->shape[2] > 1 && desc->shape[2] <= SMALL;
}

static expanded_shape expand_shape(const norma_desc *desc)
{
    expanded_shape e = {.rank = desc->rank, .axes = desc->axes};
    memcpy(e.shape, desc->shape, sizeof desc->shape);
    if (!norma_desc_by_channel(desc)) {
        return e;
    }
    const bool given = desc->statistics == NORMA_STATISTICS_GIVEN, group = desc->op == NORMA_GROUP_NORM;
    const int axis = norma_channel_axis(desc);
    const int64_t n = desc->shape[0], c = desc->shape[axis], spatial = desc->shape[3 - axis];
    const int64_t block = norma_channel_block(desc);
    if (planes_as_columns(desc)) {
        const expanded_shape columns = {2, {n, c * spatial}, 1, true};
        e = columns;
    } else if (given && desc->layout == NORMA_NCHW && spatial != 1) {
        e.axes = 4; /* nothing is reduced: planes in memory order */
    } else if (desc->op == NORMA_INSTANCE_NORM && !given && spatial == 1) {
        const expanded_shape columns = {3, {n, 1, c}, 2, true}; /* rows of one element would be slow */
        e = columns;
    } else if (group && (desc->layout == NORMA_NCHW || spatial == 1)) {
        const expanded_shape groups = {4, {n, desc->groups, c / desc->groups, spatial}, 12, false};
        e = groups;
    } else if (block > 1) {
        const uint32_t axes = desc->op == NORMA_BATCH_NORM || given ? 5 : 4;
        const expanded_shape blocks = {4, {n, c / block, spatial, block}, axes, given};
        e = blocks;
    } else if (group) {
        e.axes = 2; /* each channel by itself; a group's columns then merge */
    } else if (given) {
        e.axes = desc->layout == NORMA_NHWC ? 3 : 1;
        e.keep_ones = true;
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
        } else if (!reduced || extent != 1 || desc->keep_ones) {
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
    problem->per_channel = 1;
    problem->instances = 1;
    problem->width = problem->length;
    if (!norma_desc_by_channel(desc)) {
        return;
    }
    const int64_t channels = desc->shape[norma_channel_axis(desc)];
    problem->channels = channels;
    problem->width = channels;
    if (problem->geometry == NORMA_FIBERS) {
        problem->per_channel = planes_as_columns(desc) ? desc->shape[2] : 1;
        problem->group = desc->op == NORMA_GROUP_NORM ? channels / desc->groups : problem->per_channel;
        problem->width = channels * problem->per_channel;
    } else {
        problem->per_channel = desc->layout == NORMA_NCHW ? desc->shape[2] : 1;
    }
    if (desc->affine_of_groups) {
        problem->channels = desc->groups;
        problem->per_channel *= channels / desc->groups;
    }
    if (desc->op == NORMA_INSTANCE_NORM && desc->statistics == NORMA_STATISTICS_OF_BATCH) {
        problem->instances = desc->shape[0];
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
    const bool keeps = desc->op == NORMA_BATCH_NORM || desc->op == NORMA_INSTANCE_NORM;
    problem->updates = keeps && !problem->given && !norma_dtype_integer(desc->dtype);
    norma_normalizer *normalizer = &problem->normalizer;
    normalizer->statistic = moments ? NORMA_MOMENTS : NORMA_SQUARES;
    if (desc->op == NORMA_LP_NORM && desc->p == 1) {
        normalizer->statistic = NORMA_MAGNITUDES;
    }
    normalizer->epsilon_mode = desc->epsilon_mode;
    normalizer->epsilon = desc->epsilon;
    normalizer->saved = desc->saved;
    normalizer->round_before_scale = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE;
    normalizer->one_plus_scale = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ONE_PLUS_SCALE;
    normalizer->weight = desc->op == NORMA_LP_NORM || problem->given ? 1 : 1 / (double)(problem->count - desc->unbiased);
    const bool integer = norma_dtype_integer(problem->dtype);
    normalizer->x_scale = integer ? desc->x_scale : 1;
    normalizer->x_zero_point = integer ? desc->x_zero_point : 0;
    if (!problem->given) {
        normalizer->weight *= normalizer->x_scale * (normalizer->statistic == NORMA_MAGNITUDES ? 1 : normalizer->x_scale);
    }
}

/* An activation as kernels know it: ReLU comes as a clip. */
static void set_activation(norma_activation activation, double alpha, double beta, norma_epilogue *e)
{
    const bool relu = activation == NORMA_RELU;
    e->activation = relu ? NORMA_CLIP : activation;
    e->alpha = relu ? 0 : alpha;
    e->beta = relu ? INFINITY : beta;
}

static norma_gating gating_of(const norma_desc *desc)
{
    norma_desc usual = *desc;
    norma_epilogue e;
    norma_desc_activate(&usual, desc->gate_activation);
    set_activation(usual.activation, usual.activation_alpha, usual.activation_beta, &e);
    const norma_gating gating = {desc->dtype, e.activation, e.alpha, e.beta};
    return gating;
}

static void set_epilogue(norma_problem *problem, const norma_desc *desc)
{
    norma_epilogue *e = &problem->epilogue;
    set_activation(desc->activation, desc->activation_alpha, desc->activation_beta, e);
    e->residual = desc->residual == NORMA_RESIDUAL_AFTER;
    e->residual_dtype = norma_desc_residual_dtype(desc);
    e->gated = desc->gate == NORMA_GATE_AFTER;
    e->gating = gating_of(desc);
    e->modulated = problem->modulated == NORMA_MODULATED_ELEMENTS ||
                   (problem->modulated == NORMA_MODULATED_ALONG && problem->geometry == NORMA_ROWS);
    e->modulation_plain = desc->modulation_plain;
    e->y_dtype = norma_desc_y_dtype(desc);
    e->quantization = desc->quantization;
    e->zero_point = desc->y_zero_point;
    const bool more = e->modulated || e->residual || e->gated || e->quantization || e->y_dtype != problem->dtype;
    e->any = more || e->activation != NORMA_IDENTITY || problem->modulated == NORMA_MODULATED_ALONG;
    e->clamps = !more && e->activation == NORMA_CLIP;
    problem->gates = desc->gate == NORMA_GATE_BEFORE;
    problem->sums = desc->residual == NORMA_RESIDUAL_BEFORE || problem->gates;
    problem->residual_gate = desc->residual_gate;
}

static void set_modulation(norma_problem *problem, const norma_desc *desc)
{
    problem->samples = desc->shape[0];
    problem->modulated = NORMA_MODULATED_NOT;
    if (desc->modulation == NORMA_MODULATION_NONE) {
        return;
    }
    const int axis = norma_channel_axis(desc);
    const bool by_channel = norma_desc_by_channel(desc);
    const bool positions = !by_channel || desc->shape[3 - axis] != 1 || desc->affine_of_groups;
    if (desc->modulation == NORMA_MODULATION_PER_ELEMENT || !positions) {
        problem->modulated = NORMA_MODULATED_ELEMENTS;
    } else if (by_channel) {
        problem->modulated = NORMA_MODULATED_CHANNELS;
        problem->samples_in_rows = problem->geometry == NORMA_FIBERS && (problem->given || desc->op == NORMA_BATCH_NORM);
    } else {
        problem->modulated = NORMA_MODULATED_ALONG;
    }
}

/* What is legal only in some geometries. */
static norma_status check_geometry(const norma_problem *problem, const norma_desc *desc)
{
    const bool rows = problem->geometry == NORMA_ROWS && !norma_desc_by_channel(desc);
    if (desc->quantization == NORMA_QUANTIZATION_PER_ROW &&
        (!rows || problem->length > (int64_t)NORMA_RUN_LEAF * NORMA_SEGMENTS_MAX)) {
        return norma_fail(
            NORMA_UNSUPPORTED,
            "desc.quantization: per row goes with norms of contiguous rows of up to %d elements (layer, RMS and Lp "
            "norm over the last axes, channel norm in NHWC)",
            NORMA_RUN_LEAF * NORMA_SEGMENTS_MAX);
    }
    if (desc->unbiased && !problem->empty && problem->count < 2) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.unbiased: one element has no unbiased variance; expected two or more in a reduced set, or 0");
    }
    return NORMA_SUCCESS;
}

/* How many rows make one, so that it is whole cache lines and a few vectors wide. Follows from the shape alone: it is part of
 * the canonical reduction. */
static int64_t fold_of(const norma_problem *problem)
{
    enum { WIDE = 128, ROWS_MIN = 8 };
    const int64_t columns = problem->length;
    const int64_t line = 64 / (int64_t)norma_dtype_size(problem->dtype);
    const norma_axis *rows = &problem->reduced[problem->reduced_count - 1];
    const bool samples = problem->samples_in_rows && problem->given; /* nothing is reduced, and each has its own scale */
    if (!problem->channels || samples || columns >= WIDE || rows->x_stride != columns || columns % problem->group != 0) {
        return 1;
    }
    int64_t fold = 1;
    while (fold * columns < WIDE || (fold * columns % line != 0 && 2 * fold * columns <= NORMA_STRIP_MAX)) {
        fold *= 2;
    }
    while (fold > 1 && (rows->extent < ROWS_MIN * fold || (problem->reduced_count > 1 && rows->extent % fold != 0))) {
        fold /= 2;
    }
    return fold;
}

static void fold_rows(norma_problem *problem)
{
    problem->fold = 1;
    if (problem->geometry != NORMA_FIBERS || problem->empty) {
        return;
    }
    norma_axis *rows = &problem->reduced[problem->reduced_count - 1];
    const int64_t fold = fold_of(problem);
    problem->fold = fold;
    problem->rest = rows->extent % fold * problem->length;
    rows->extent /= fold;
    rows->x_stride *= fold;
    rows->y_stride *= fold;
    problem->runs = norma_axes_extent(problem->reduced, problem->reduced_count);
}

norma_status norma_problem_init(norma_problem *problem, const norma_desc *desc)
{
    const norma_status status = norma_desc_check(desc);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    memset(problem, 0, sizeof *problem);
    problem->dtype = norma_desc_normalized_dtype(desc);
    problem->x_dtype = desc->dtype;
    problem->parameter_dtype = norma_desc_parameter_dtype(desc);
    problem->statistic_dtype = norma_dtype_of_lanes(problem->dtype);
    set_geometry(problem, desc);
    problem->outer = norma_axes_extent(problem->kept, problem->kept_count);
    problem->runs = norma_axes_extent(problem->reduced, problem->reduced_count);
    set_channels(problem, desc);
    problem->count = problem->geometry == NORMA_FIBERS ? problem->runs * problem->group : problem->runs * problem->length;
    problem->sets = problem->geometry == NORMA_FIBERS ? problem->outer * problem->length / problem->group : problem->outer;
    problem->empty = problem->outer == 0 || problem->length == 0 || problem->runs == 0;
    problem->x_span = problem->empty ? 0 : span_of(problem, false);
    problem->y_span = problem->empty ? 0 : span_of(problem, true);
    set_normalizer(problem, desc);
    set_modulation(problem, desc);
    set_epilogue(problem, desc);
    fold_rows(problem);
    return check_geometry(problem, desc);
}

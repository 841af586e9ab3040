#include "support/cases.h"

#include "support/suite.h"

typedef norma_desc (*make_desc)(norma_dtype dtype);

static norma_desc rows(norma_dtype dtype)
{
    const int64_t shape[] = {37, 2000};
    return norma_layer_norm_desc(2, shape, -1, dtype);
}

static norma_desc short_rows(norma_dtype dtype)
{
    const int64_t shape[] = {5000, 13};
    return norma_layer_norm_desc(2, shape, -1, dtype);
}

static norma_desc image_rows(norma_dtype dtype)
{
    const int64_t shape[] = {6, 5, 50, 61};
    return norma_layer_norm_desc(4, shape, 1, dtype);
}

static norma_desc strided_rows(norma_dtype dtype)
{
    norma_desc desc = rows(dtype);
    desc.x_row_stride = 2005;
    desc.y_row_stride = 2016;
    return desc;
}

static norma_desc rms(norma_dtype dtype)
{
    const int64_t shape[] = {41, 1801};
    return norma_rms_norm_desc(2, shape, -1, dtype);
}

static norma_desc rms_one_plus(norma_dtype dtype)
{
    norma_desc desc = rms(dtype);
    desc.rms_mode = NORMA_RMS_ONE_PLUS_SCALE;
    return desc;
}

static norma_desc lp_1(norma_dtype dtype)
{
    const int64_t shape[] = {41, 1801};
    return norma_lp_norm_desc(2, shape, -1, 1, dtype);
}

static norma_desc lp_2(norma_dtype dtype)
{
    const int64_t shape[] = {41, 1801};
    return norma_lp_norm_desc(2, shape, -1, 2, dtype);
}

static norma_desc lp_1_fibers(norma_dtype dtype)
{
    const int64_t shape[] = {3, 45, 1100};
    return norma_lp_norm_desc(3, shape, 1, 1, dtype);
}

static norma_desc lp_2_fibers(norma_dtype dtype)
{
    const int64_t shape[] = {3, 45, 1100};
    return norma_lp_norm_desc(3, shape, 1, 2, dtype);
}

static norma_desc channel_nchw(norma_dtype dtype)
{
    return norma_channel_norm_desc(3, 45, 1100, NORMA_NCHW, dtype);
}

static norma_desc channel_nhwc(norma_dtype dtype)
{
    return norma_channel_norm_desc(3, 45, 1100, NORMA_NHWC, dtype);
}

static norma_desc mvn_planes(norma_dtype dtype)
{
    const int64_t shape[] = {70, 3, 30, 31};
    const int axes[] = {0, 2, 3};
    return norma_mvn_desc(4, shape, 3, axes, dtype);
}

static norma_desc mvn_many_planes(norma_dtype dtype)
{
    const int64_t shape[] = {5, 30, 30, 31};
    const int axes[] = {0, 2, 3};
    return norma_mvn_desc(4, shape, 3, axes, dtype);
}

static norma_desc mvn_rows(norma_dtype dtype)
{
    const int64_t shape[] = {5, 9, 50, 61};
    const int axes[] = {2, 3};
    return norma_mvn_desc(4, shape, 2, axes, dtype);
}

static norma_desc mvn_fibers(norma_dtype dtype)
{
    const int64_t shape[] = {60, 1, 1300};
    const int axes[] = {0};
    return norma_mvn_desc(3, shape, 1, axes, dtype);
}

static norma_desc mvn_fibers_of_two_axes(norma_dtype dtype)
{
    const int64_t shape[] = {6, 5, 11, 600};
    const int axes[] = {0, 2};
    return norma_mvn_desc(4, shape, 2, axes, dtype);
}

static norma_desc batch_nchw(norma_dtype dtype)
{
    return norma_batch_norm_desc(6, 5, 1717, NORMA_NCHW, dtype);
}

static norma_desc batch_nhwc(norma_dtype dtype)
{
    return norma_batch_norm_desc(6, 70, 515, NORMA_NHWC, dtype);
}

static norma_desc batch_given_nchw(norma_dtype dtype)
{
    norma_desc desc = norma_batch_norm_desc(6, 21, 515, NORMA_NCHW, dtype);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    return desc;
}

static norma_desc batch_given_nhwc(norma_dtype dtype)
{
    norma_desc desc = norma_batch_norm_desc(6, 70, 515, NORMA_NHWC, dtype);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    return desc;
}

static norma_desc instance_nchw(norma_dtype dtype)
{
    return norma_instance_norm_desc(7, 13, 515, NORMA_NCHW, dtype);
}

static norma_desc instance_nhwc(norma_dtype dtype)
{
    return norma_instance_norm_desc(7, 37, 515, NORMA_NHWC, dtype);
}

static norma_desc group_nchw(norma_dtype dtype)
{
    return norma_group_norm_desc(5, 24, 515, 4, NORMA_NCHW, dtype);
}

static norma_desc group_nhwc(norma_dtype dtype)
{
    return norma_group_norm_desc(5, 24, 515, 4, NORMA_NHWC, dtype);
}

static norma_desc group_wide_nhwc(norma_dtype dtype)
{
    return norma_group_norm_desc(2, 1200, 33, 2, NORMA_NHWC, dtype);
}

/* Fewer matrices than threads: split by rows. */
static norma_desc instance_few_nhwc(norma_dtype dtype)
{
    return norma_instance_norm_desc(1, 8, 9001, NORMA_NHWC, dtype);
}

static norma_desc channel_few_nchw(norma_dtype dtype)
{
    return norma_channel_norm_desc(1, 600, 100, NORMA_NCHW, dtype);
}

static norma_desc lp_few_fibers(norma_dtype dtype)
{
    const int64_t shape[] = {1100, 21};
    return norma_lp_norm_desc(2, shape, 0, 2, dtype);
}

/* Rows of several channels that are split. */
static norma_desc group_few_nchw(norma_dtype dtype)
{
    return norma_group_norm_desc(1, 12, 3001, 2, NORMA_NCHW, dtype);
}

static norma_desc batch_few_positions(norma_dtype dtype)
{
    return norma_batch_norm_desc(530, 21, 9, NORMA_NCHW, dtype);
}

static norma_desc batch_given_many_channels(norma_dtype dtype)
{
    norma_desc desc = norma_batch_norm_desc(2, 1100, 20, NORMA_NCHW, dtype);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    return desc;
}

static norma_desc batch_wide_nhwc(norma_dtype dtype)
{
    return norma_batch_norm_desc(1, 520, 600, NORMA_NHWC, dtype);
}

static norma_desc group_few_nhwc(norma_dtype dtype)
{
    return norma_group_norm_desc(1, 40, 2401, 5, NORMA_NHWC, dtype);
}

static norma_desc group_one_nhwc(norma_dtype dtype)
{
    return norma_group_norm_desc(1, 520, 514, 1, NORMA_NHWC, dtype);
}

static norma_desc batch_blocked(norma_dtype dtype)
{
    return norma_batch_norm_desc(3, 32, 704, NORMA_NCHW16C, dtype);
}

static norma_desc instance_blocked(norma_dtype dtype)
{
    return norma_instance_norm_desc(1, 8, 9001, NORMA_NCHW8C, dtype);
}

/* Groups across blocks. */
static norma_desc group_blocked(norma_dtype dtype)
{
    return norma_group_norm_desc(2, 48, 301, 4, NORMA_NCHW16C, dtype);
}

static norma_desc group_blocked_few(norma_dtype dtype)
{
    return norma_group_norm_desc(1, 48, 700, 2, NORMA_NCHW8C, dtype);
}

static norma_desc with(norma_desc desc, norma_activation activation, norma_residual residual)
{
    norma_desc_activate(&desc, activation);
    desc.residual = residual;
    return desc;
}

static norma_desc rows_gelu(norma_dtype dtype)
{
    return with(rows(dtype), NORMA_GELU, NORMA_RESIDUAL_AFTER);
}

static norma_desc rows_added(norma_dtype dtype)
{
    return with(rows(dtype), NORMA_IDENTITY, NORMA_RESIDUAL_BEFORE);
}

static norma_desc rms_added(norma_dtype dtype)
{
    return with(rms(dtype), NORMA_TANH, NORMA_RESIDUAL_BEFORE);
}

static norma_desc channel_nchw_mish(norma_dtype dtype)
{
    return with(channel_nchw(dtype), NORMA_MISH, NORMA_RESIDUAL_AFTER);
}

static norma_desc group_nchw_silu(norma_dtype dtype)
{
    return with(group_nchw(dtype), NORMA_SILU, NORMA_RESIDUAL_NONE);
}

static norma_desc group_nhwc_silu(norma_dtype dtype)
{
    return with(group_nhwc(dtype), NORMA_SILU, NORMA_RESIDUAL_BEFORE);
}

static norma_desc batch_nchw_relu(norma_dtype dtype)
{
    return with(batch_nchw(dtype), NORMA_RELU, NORMA_RESIDUAL_AFTER);
}

static norma_desc batch_given_nchw_relu(norma_dtype dtype)
{
    return with(batch_given_nchw(dtype), NORMA_RELU, NORMA_RESIDUAL_NONE);
}

static norma_desc batch_given_nhwc_relu(norma_dtype dtype)
{
    return with(batch_given_nhwc(dtype), NORMA_RELU, NORMA_RESIDUAL_NONE);
}

static norma_desc instance_few_nhwc_leaky(norma_dtype dtype)
{
    return with(instance_few_nhwc(dtype), NORMA_LEAKY_RELU, NORMA_RESIDUAL_AFTER);
}

static norma_desc group_few_nchw_elu(norma_dtype dtype)
{
    return with(group_few_nchw(dtype), NORMA_ELU, NORMA_RESIDUAL_AFTER);
}

static norma_desc mvn_planes_hard_swish(norma_dtype dtype)
{
    return with(mvn_planes(dtype), NORMA_HARD_SWISH, NORMA_RESIDUAL_BEFORE);
}

static const struct {
    const char *name;
    make_desc make;
} kinds[] = {
    {"layer_norm", rows},
    {"layer_norm_short", short_rows},
    {"layer_norm_image", image_rows},
    {"layer_norm_strided", strided_rows},
    {"rms_norm", rms},
    {"rms_norm_one_plus", rms_one_plus},
    {"lp_norm_1_rows", lp_1},
    {"lp_norm_2_rows", lp_2},
    {"lp_norm_1_fibers", lp_1_fibers},
    {"lp_norm_2_fibers", lp_2_fibers},
    {"channel_norm_nchw", channel_nchw},
    {"channel_norm_nhwc", channel_nhwc},
    {"mvn_planes", mvn_planes},
    {"mvn_many_planes", mvn_many_planes},
    {"mvn_rows", mvn_rows},
    {"mvn_fibers", mvn_fibers},
    {"mvn_fibers_of_two_axes", mvn_fibers_of_two_axes},
    {"batch_norm_nchw", batch_nchw},
    {"batch_norm_nhwc", batch_nhwc},
    {"batch_norm_given_nchw", batch_given_nchw},
    {"batch_norm_given_nhwc", batch_given_nhwc},
    {"instance_norm_nchw", instance_nchw},
    {"instance_norm_nhwc", instance_nhwc},
    {"group_norm_nchw", group_nchw},
    {"group_norm_nhwc", group_nhwc},
    {"group_norm_wide_nhwc", group_wide_nhwc},
    {"instance_norm_few_nhwc", instance_few_nhwc},
    {"channel_norm_few_nchw", channel_few_nchw},
    {"lp_norm_few_fibers", lp_few_fibers},
    {"group_norm_few_nchw", group_few_nchw},
    {"batch_norm_few_positions", batch_few_positions},
    {"batch_norm_given_many_channels", batch_given_many_channels},
    {"batch_norm_wide_nhwc", batch_wide_nhwc},
    {"group_norm_few_nhwc", group_few_nhwc},
    {"group_norm_one_nhwc", group_one_nhwc},
    {"batch_norm_blocked", batch_blocked},
    {"instance_norm_blocked", instance_blocked},
    {"group_norm_blocked", group_blocked},
    {"group_norm_blocked_few", group_blocked_few},
    {"layer_norm_gelu", rows_gelu},
    {"layer_norm_added", rows_added},
    {"rms_norm_added", rms_added},
    {"channel_norm_nchw_mish", channel_nchw_mish},
    {"group_norm_nchw_silu", group_nchw_silu},
    {"group_norm_nhwc_silu", group_nhwc_silu},
    {"batch_norm_nchw_relu", batch_nchw_relu},
    {"batch_norm_given_nchw_relu", batch_given_nchw_relu},
    {"batch_norm_given_nhwc_relu", batch_given_nhwc_relu},
    {"instance_norm_few_nhwc_leaky", instance_few_nhwc_leaky},
    {"group_norm_few_nchw_elu", group_few_nchw_elu},
    {"mvn_planes_hard_swish", mvn_planes_hard_swish},
};

/* Every kind in f32; in f64, and in one of the narrow types; where time is short, in one of the three. */
enum { DTYPES = SUITE_QUICK ? 2 : 3 };

size_t cases_count(void)
{
    return DTYPES * COUNT_OF(kinds);
}

test_case cases_get(size_t index)
{
    static const norma_dtype others[] = {NORMA_F64, NORMA_BF16, NORMA_F16};
    const size_t kind = index / DTYPES, turn = index % DTYPES;
    const norma_dtype narrow = kind % 2 ? NORMA_F16 : NORMA_BF16;
    const norma_dtype dtype = turn == 0     ? NORMA_F32
                              : SUITE_QUICK ? others[kind % COUNT_OF(others)]
                              : turn == 1   ? NORMA_F64
                                            : narrow;
    test_case c = {.desc = kinds[kind].make(dtype)};
    c.desc.parameter_dtype = kind % 3 && dtype != NORMA_F64 ? NORMA_F32 : 0;
    snprintf(c.name, sizeof c.name, "%s_%s", kinds[kind].name, norma_dtype_name(dtype));
    const norma_op op = c.desc.op;
    c.inputs.scale = op != NORMA_LP_NORM && op != NORMA_MVN;
    c.inputs.shift = c.inputs.scale && op != NORMA_RMS_NORM;
    const bool given = c.desc.statistics == NORMA_STATISTICS_GIVEN;
    c.inputs.mean = op != NORMA_LP_NORM && op != NORMA_RMS_NORM && !given;
    c.inputs.rstd = !given;
    c.inputs.offset = 10;
    c.inputs.spread = 1;
    return c;
}

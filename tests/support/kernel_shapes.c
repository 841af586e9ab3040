#include "support/kernel_shapes.h"

#include "support/element.h"
#include "support/suite.h"

enum {
    ALL_UP_TO = SUITE_QUICK ? 130 : 300, /* an f32 tile is 64 elements, two and one more 129; f64's loops end sooner */
    LANES = 16,
    LENGTHS_MAX = ALL_UP_TO + 16,
    MATRICES_MAX = 1024
};

static int64_t lengths[LENGTHS_MAX];
static shape_matrix matrices[MATRICES_MAX];
const int64_t *const shape_lengths = lengths;
const shape_matrix *const shape_matrices = matrices;
const size_t shape_lengths_count = ALL_UP_TO + (SUITE_QUICK ? 7 : 10);

static const int64_t few_rows[] = {1, 2, 3, 5, 16, 17, 33};
static const int64_t few_columns[] = {1, 3, 17, 40};
static const shape_matrix larger[] = {
    {511, 9},  {512, 9},  {513, 9},  {1025, 20}, {2000, 33}, {96, 511},
    {96, 512}, {96, 513}, {7, 1030}, {65, 784},  {768, 49},  {64, 3136},
};
enum {
    CHUNKS_UP_TO = SUITE_QUICK ? 40 : 100, /* chunks have 16 rows */
    SMALL_MATRICES = 7 * (2 * LANES + 1) + 4 * CHUNKS_UP_TO
};
const size_t shape_matrices_count = SMALL_MATRICES + COUNT_OF(larger) - (SUITE_QUICK ? 1 : 0);

/* Filled before main(): the lists follow from the numbers above. */
__attribute__((constructor)) static void fill_lists(void)
{
    static const int64_t large[] = {767, 768, 1000, 1024, 4096, 8191, 8193, 8192, 20000, 100000};
    for (int64_t i = 0; i < ALL_UP_TO; i++) {
        lengths[i] = i + 1;
    }
    memcpy(lengths + ALL_UP_TO, large, sizeof large);
    size_t count = 0;
    for (size_t r = 0; r < COUNT_OF(few_rows); r++) {
        for (int64_t columns = 1; columns <= 2 * LANES + 1; columns++) {
            matrices[count++] = (shape_matrix){few_rows[r], columns};
        }
    }
    for (size_t c = 0; c < COUNT_OF(few_columns); c++) {
        for (int64_t rows = 1; rows <= CHUNKS_UP_TO; rows++) {
            matrices[count++] = (shape_matrix){rows, few_columns[c]};
        }
    }
    memcpy(matrices + count, larger, sizeof larger);
}

static void choose_modes(norma_desc *desc, int64_t choice)
{
    desc->saved = choice / 2 % 2 ? NORMA_SAVE_VARIANCE : NORMA_SAVE_RSTD;
    desc->epsilon_mode = (norma_epsilon_mode)(NORMA_EPSILON_INSIDE + choice % 4);
    desc->epsilon = choice % 3 ? 1e-5 : 0.25;
    desc->parameter_dtype = choice % 5 < 3 ? element_statistic(desc->dtype) : desc->dtype;
    desc->rms_mode = (norma_rms_mode)(NORMA_RMS_SCALE_THEN_ROUND + choice % 3);
    if (element_is_integer(desc->dtype)) {
        const bool moments = desc->op != NORMA_LP_NORM && desc->op != NORMA_RMS_NORM;
        desc->parameter_dtype = NORMA_F32;
        desc->rms_mode = choice % 2 ? NORMA_RMS_SCALE_THEN_ROUND : NORMA_RMS_ONE_PLUS_SCALE;
        desc->x_scale = desc->dtype == NORMA_U8 && !moments ? 0.03 : 0.06;
        desc->x_zero_point = !moments ? 0 : desc->dtype == NORMA_U8 ? 120 : -9;
    }
}

norma_desc shape_of_rows(const norma_kernel_entry *entry, int64_t rows, int64_t length, int64_t mix, int64_t choice)
{
    const int64_t shape[] = {rows, length};
    norma_desc desc;
    if (entry->statistic == NORMA_MOMENTS) {
        desc = norma_layer_norm_desc(2, shape, -1, entry->dtype);
    } else if (entry->statistic == NORMA_SQUARES && choice % 4) {
        desc = norma_rms_norm_desc(2, shape, -1, entry->dtype);
    } else {
        desc = norma_lp_norm_desc(2, shape, -1, entry->statistic == NORMA_SQUARES ? 2 : 1, entry->dtype);
    }
    choose_modes(&desc, choice);
    static const int gaps[][2] = {{0, 0}, {7, 7}, {5, 0}, {0, 16}, {16, 32}};
    const int *gap = gaps[mix % (int64_t)COUNT_OF(gaps)];
    desc.x_row_stride = gap[0] ? length + gap[0] : 0;
    desc.y_row_stride = gap[1] ? length + gap[1] : 0;
    return desc;
}

norma_desc shape_of_fibers(const norma_kernel_entry *entry, shape_matrix matrix, int64_t choice)
{
    const int64_t outer = matrix.rows * matrix.columns < 2000 ? 2 : 1;
    const int64_t shape[] = {outer, matrix.rows, matrix.columns};
    norma_desc desc = norma_channel_norm_desc(outer, matrix.rows, matrix.columns, NORMA_NCHW, entry->dtype);
    if (entry->statistic != NORMA_MOMENTS) {
        desc = norma_lp_norm_desc(3, shape, 1, entry->statistic == NORMA_SQUARES ? 2 : 1, entry->dtype);
    }
    choose_modes(&desc, choice);
    return desc;
}

int shape_variants(const norma_desc *desc)
{
    return desc->op == NORMA_LP_NORM || desc->op == NORMA_MVN ? 1 : desc->op == NORMA_RMS_NORM ? 2 : 4;
}

trial_inputs shape_inputs(const norma_desc *desc, int64_t turn)
{
    const int variant = (int)(turn % shape_variants(desc));
    const bool has_mean = desc->op != NORMA_LP_NORM && desc->op != NORMA_RMS_NORM;
    const trial_inputs inputs = {
        .scale = variant & 1,
        .shift = variant >> 1 & 1,
        .mean = has_mean && turn % 3,
        .rstd = turn % 5,
        .offset = 0.5,
        .spread = 2,
    };
    return inputs;
}

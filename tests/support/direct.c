#include "support/direct.h"

#include "support/element.h"
#include "support/suite.h"

norma_normalizer direct_normalizer(const norma_desc *desc)
{
    double length = 1;
    for (int k = 0; k < desc->rank; k++) {
        length *= desc->axes >> k & 1 ? (double)desc->shape[k] : 1;
    }
    norma_normalizer normalizer = {
        .statistic = desc->op == NORMA_RMS_NORM                  ? NORMA_SQUARES
                     : desc->op == NORMA_LP_NORM && desc->p == 1 ? NORMA_MAGNITUDES
                     : desc->op == NORMA_LP_NORM                 ? NORMA_SQUARES
                                                                 : NORMA_MOMENTS,
        .epsilon_mode = desc->epsilon_mode,
        .saved = desc->saved,
        .one_plus_scale = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ONE_PLUS_SCALE,
        .round_before_scale = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE,
        .epsilon = desc->epsilon,
        .weight = desc->op == NORMA_LP_NORM ? 1 : 1 / length,
        .x_scale = element_is_integer(desc->dtype) ? desc->x_scale : 1,
        .x_zero_point = desc->x_zero_point,
    };
    if (normalizer.statistic != NORMA_MAGNITUDES) {
        normalizer.weight *= normalizer.x_scale;
    }
    normalizer.weight *= normalizer.x_scale;
    return normalizer;
}

const norma_epilogue *direct_epilogue(const norma_desc *desc)
{
    static const norma_epilogue to_f32 = {.y_dtype = NORMA_F32, .any = true};
    return element_is_integer(desc->dtype) ? &to_f32 : NULL;
}

static void run_rows(const trial *t, const norma_rows_kernel *kernel, const norma_normalizer *normalizer,
                     const norma_blocking *blocking)
{
    const norma_rows_job job = {
        .x = t->args.x,
        .y = t->args.y,
        .scale = t->args.scale,
        .shift = t->args.shift,
        .wide = element_parameter(&t->desc) != t->desc.dtype,
        .mean = t->args.mean,
        .saved = t->args.rstd,
        .set_stride = 1,
        .length = t->want->length,
        .x_stride = t->desc.x_row_stride ? t->desc.x_row_stride : t->want->length,
        .y_stride = t->desc.y_row_stride ? t->desc.y_row_stride : t->want->length,
        .modulation_rows = 1,
        .epilogue = direct_epilogue(&t->desc),
        .normalizer = normalizer,
        .blocking = blocking,
    };
    kernel->normalize(&job, 0, t->want->sets);
}

/* Columns: what the kept axes behind the last reduced one enumerate. The other kept axes give one matrix each; its place is
 * that of its first element. */
static void run_fibers(const trial *t, const norma_fibers_kernel *kernel, const norma_normalizer *normalizer,
                       const norma_blocking *blocking)
{
    const norma_desc *desc = &t->desc;
    const size_t size = element_size(desc->dtype);
    norma_axis axes[NORMA_MAX_RANK];
    int axes_count = 0;
    int64_t columns = 1, step = 1;
    for (int k = desc->rank - 1; k >= 0; k--) {
        if (desc->axes >> k & 1) {
            const norma_axis axis = {desc->shape[k], step, step};
            axes[NORMA_MAX_RANK - ++axes_count] = axis;
        } else if (axes_count == 0) {
            columns *= desc->shape[k];
        }
        step *= desc->shape[k];
    }
    for (int64_t set = 0; set < t->want->sets; set += columns) {
        const size_t at = (size_t)t->want->x_at[set * t->want->length],
                     saved_at = (size_t)set * element_size(element_statistic(desc->dtype));
        const norma_fibers_job job = {
            .group = 1,
            .x = (const char *)t->args.x + at * size,
            .y = (char *)t->args.y + at * element_size(element_y(desc)),
            .scale = t->args.scale,
            .shift = t->args.shift,
            .wide = element_parameter(desc) != desc->dtype,
            .mean = t->args.mean ? (char *)t->args.mean + saved_at : NULL,
            .saved = t->args.rstd ? (char *)t->args.rstd + saved_at : NULL,
            .axes = axes + NORMA_MAX_RANK - axes_count,
            .axes_count = axes_count,
            .fold = 1,
            .rows = t->want->length,
            .epilogue = direct_epilogue(desc),
            .normalizer = normalizer,
            .blocking = blocking,
        };
        kernel->normalize(&job, 0, columns);
    }
}

void direct_run(trial *t, const norma_kernel_entry *entry, norma_isa isa, const norma_blocking *blocking)
{
    const norma_normalizer normalizer = direct_normalizer(&t->desc);
    check(normalizer.statistic == entry->statistic && t->desc.dtype == entry->dtype && entry->kernel[isa]);
    if (entry->geometry == NORMA_ROWS) {
        run_rows(t, entry->kernel[isa], &normalizer, blocking);
    } else {
        run_fibers(t, entry->kernel[isa], &normalizer, blocking);
    }
}

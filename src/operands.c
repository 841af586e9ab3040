#include "operands.h"

#include <assert.h>

#include "error.h"

typedef struct operand_list {
    norma_operand *operands;
    int count;
} operand_list;

static void append(operand_list *list, norma_operand operand)
{
    assert(list->count < NORMA_OPERANDS_MAX);
    list->operands[list->count++] = operand;
}

#define FIELD(member) #member, offsetof(norma_args, member)

int norma_operands_of(const norma_problem *problem, norma_operand operands[NORMA_OPERANDS_MAX])
{
    operand_list list = {operands, 0};
    const bool some = !problem->empty, given = problem->given;
    const norma_dtype parameter = problem->parameter_dtype, statistic = problem->statistic_dtype;
    const int64_t parameters = norma_problem_parameters(problem), sets = problem->sets, channels = problem->channels;
    const int64_t elements = norma_problem_elements(problem), samples = problem->samples;
    const norma_epilogue *e = &problem->epilogue;
    append(&list, (norma_operand){FIELD(x), problem->x_dtype, problem->x_span, false, true, some});
    append(&list, (norma_operand){FIELD(y), e->y_dtype, problem->y_span, true, true, some && given});
    append(&list, (norma_operand){FIELD(scale), parameter, parameters, false, problem->takes_scale, false});
    append(&list, (norma_operand){FIELD(shift), parameter, parameters, false, problem->takes_shift, false});
    const bool residual = (problem->sums && !problem->gates) || e->residual, gate = problem->gates || e->gated;
    append(&list, (norma_operand){FIELD(residual), e->residual_dtype, elements, false, residual, some && residual});
    append(&list, (norma_operand){FIELD(sum), problem->dtype, elements, true, problem->sums, false});
    append(&list, (norma_operand){FIELD(gate), problem->x_dtype, elements, false, gate, some && gate});
    const bool gated = problem->residual_gate != NORMA_MODULATION_NONE;
    const int64_t gates = problem->residual_gate == NORMA_MODULATION_PER_SAMPLE ? samples * problem->length : elements;
    const bool biased = problem->sums && !problem->gates && problem->geometry == NORMA_ROWS && !channels;
    append(&list, (norma_operand){FIELD(residual_gate), parameter, some ? gates : 0, false, gated, some && gated});
    append(&list, (norma_operand){FIELD(residual_bias), parameter, parameters, false, biased, false});
    const bool modulated = problem->modulated != NORMA_MODULATED_NOT;
    const int64_t modulations = problem->modulated == NORMA_MODULATED_ELEMENTS ? elements : samples * parameters;
    append(&list, (norma_operand){FIELD(modulation_scale), parameter, modulations, false, modulated, false});
    append(&list, (norma_operand){FIELD(modulation_shift), parameter, modulations, false, modulated, false});
    const bool quantized = e->quantization != NORMA_QUANTIZATION_NONE, per_row = e->quantization == NORMA_QUANTIZATION_PER_ROW;
    const int64_t y_scales = per_row ? sets : e->quantization == NORMA_QUANTIZATION_PER_CHANNEL ? parameters : 1;
    append(&list, (norma_operand){FIELD(y_scale), NORMA_F32, y_scales, per_row, quantized, some && quantized});
    const bool points = per_row && e->y_dtype == NORMA_U8;
    append(&list, (norma_operand){FIELD(y_zero_point), NORMA_U8, sets, true, points, some && points});
    append(&list, (norma_operand){FIELD(mean), statistic, sets, true, problem->takes_mean, false});
    append(&list, (norma_operand){FIELD(rstd), statistic, sets, true, !given, false});
    append(&list, (norma_operand){FIELD(given_mean), statistic, channels, false, given, some && given});
    append(&list, (norma_operand){FIELD(given_variance), statistic, channels, false, given, some && given});
    append(&list, (norma_operand){FIELD(running_mean), statistic, channels, true, problem->updates, false});
    append(&list, (norma_operand){FIELD(running_variance), statistic, channels, true, problem->updates, false});
    return list.count;
}

norma_status norma_operand_check(const norma_operand *operand, const void *data)
{
    const size_t size = norma_dtype_size(operand->dtype);
    if (!data && operand->needed) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected a tensor, got NULL", operand->name);
    }
    if (data && !operand->taken) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: this plan takes none (its op, or desc.statistics), expected NULL",
                          operand->name);
    }
    if ((uintptr_t)data & (size - 1)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected an address aligned to its element of %zu bytes, got %p",
                          operand->name, size, data);
    }
    return NORMA_SUCCESS;
}

bool norma_rows_interleave(const norma_problem *problem, const void *a, const void *b)
{
    const int64_t size = (int64_t)norma_dtype_size(problem->dtype);
    if (problem->epilogue.y_dtype != problem->dtype) {
        return false;
    }
    if (problem->geometry != NORMA_ROWS || problem->kept[0].x_stride != problem->kept[0].y_stride) {
        return false;
    }
    const int64_t stride = problem->kept[0].x_stride * size;
    const int64_t row = problem->length * size;
    const uintptr_t first = (uintptr_t)a, second = (uintptr_t)b;
    const int64_t apart = (int64_t)((first > second ? first - second : second - first) % (uintptr_t)stride);
    return apart >= row && stride - apart >= row;
}

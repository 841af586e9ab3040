#include "operands.h"

#include <assert.h>

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
    append(&list, (norma_operand){FIELD(x), problem->dtype, problem->x_span, false, true, some});
    append(&list, (norma_operand){FIELD(y), problem->dtype, problem->y_span, true, true, some});
    append(&list, (norma_operand){FIELD(scale), parameter, parameters, false, problem->takes_scale, false});
    append(&list, (norma_operand){FIELD(shift), parameter, parameters, false, problem->takes_shift, false});
    const int64_t elements = some ? sets * problem->count : 0;
    const bool residual = problem->sums || problem->epilogue.residual;
    append(&list, (norma_operand){FIELD(residual), problem->dtype, elements, false, residual, some && residual});
    append(&list, (norma_operand){FIELD(sum), problem->dtype, elements, true, problem->sums, false});
    append(&list, (norma_operand){FIELD(mean), statistic, sets, true, problem->takes_mean, false});
    append(&list, (norma_operand){FIELD(rstd), statistic, sets, true, !given, false});
    append(&list, (norma_operand){FIELD(given_mean), statistic, channels, false, given, some && given});
    append(&list, (norma_operand){FIELD(given_variance), statistic, channels, false, given, some && given});
    append(&list, (norma_operand){FIELD(running_mean), statistic, channels, true, problem->updates, false});
    append(&list, (norma_operand){FIELD(running_variance), statistic, channels, true, problem->updates, false});
    return list.count;
}

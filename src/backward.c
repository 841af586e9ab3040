/* norma_backward(): what its tensors must be, and which driver runs. */
#include <stdalign.h>

#include "built.h"
#include "drivers/backward.h"
#include "error.h"

#define X(dtype)                                                                                                               \
    [DTYPE_##dtype] = {[NORMA_ISA_GENERIC] = &norma_backward_##dtype##_generic,                                                \
                       [NORMA_ISA_AVX2] = AVX2_KERNEL(norma_backward_##dtype),                                                 \
                       [NORMA_ISA_AVX512] = AVX512_KERNEL(norma_backward_##dtype),                                             \
                       [NORMA_ISA_AVX512_BF16] = AVX512_KERNEL(norma_backward_##dtype),                                        \
                       [NORMA_ISA_NEON] = NEON_KERNEL(norma_backward_##dtype)},
static const norma_backward_kernel *const kernels[NORMA_F16 + 1][NORMA_ISA_NEON + 1] = {
#include "backward.def"
};
#undef X

const norma_backward_kernel *norma_backward_find(norma_dtype dtype, norma_isa isa)
{
    return kernels[dtype][isa];
}

/* What there are gradients of: of activations those that follow from y. */
static norma_status check_plan(const norma_plan *plan)
{
    const norma_problem *problem = &plan->problem;
    const norma_epilogue *e = &problem->epilogue;
    if (plan->desc.gate || plan->desc.residual_gate) {
        return norma_fail(NORMA_UNSUPPORTED, "plan: norma_backward goes through no gates, the plan has a %s",
                          plan->desc.gate ? "gate" : "residual_gate");
    }
    if (norma_dtype_integer(problem->dtype) || problem->x_dtype != problem->dtype || e->y_dtype != problem->dtype ||
        (e->residual && e->residual_dtype != problem->dtype)) {
        return norma_fail(NORMA_UNSUPPORTED, "plan: norma_backward wants x, y and residual of one type, f32, f64, bf16 or f16");
    }
    if (plan->desc.activation != NORMA_IDENTITY && plan->desc.activation != NORMA_RELU) {
        return norma_fail(NORMA_UNSUPPORTED, "plan: norma_backward goes through no activation but relu, the plan has %s",
                          norma_activation_name(plan->desc.activation));
    }
    if (problem->normalizer.statistic == NORMA_MAGNITUDES) {
        return norma_fail(NORMA_UNSUPPORTED, "plan: norma_backward has no lp_norm with p = 1, which has no gradient at 0");
    }
    return NORMA_SUCCESS;
}

enum { TENSORS_MAX = 20, TENSOR_X = 0, TENSOR_DY = 1, TENSOR_Y = 2, TENSOR_DSUM = 3, TENSOR_DX = 4, TENSOR_DRESIDUAL = 5 };

#define FIELD(member) #member, offsetof(norma_backward_args, member)

/* Elements of a modulation. */
static int64_t modulations_of(const norma_problem *problem)
{
    return problem->modulated == NORMA_MODULATED_ELEMENTS ? norma_problem_elements(problem)
                                                          : problem->samples * norma_problem_parameters(problem);
}

/* The tensors, those above first, and the mask and the workspace, which are bytes, last. */
static int tensors_of(const norma_plan *plan, const norma_backward_args *args, norma_operand *tensors)
{
    const norma_problem *problem = &plan->problem;
    const bool some = !problem->empty, given = problem->given, relu = plan->desc.activation == NORMA_RELU;
    const norma_dtype x = problem->dtype, parameter = problem->parameter_dtype, statistic = problem->statistic_dtype;
    const int64_t parameters = norma_problem_parameters(problem), sets = problem->sets;
    const int64_t elements = norma_problem_elements(problem);
    const bool modulated = problem->modulated != NORMA_MODULATED_NOT;
    const int64_t modulations = modulations_of(problem);
    const norma_operand all[] = {
        {FIELD(x), x, problem->x_span, false, true, some},
        {FIELD(dy), x, problem->y_span, false, true, some},
        {FIELD(y), x, problem->y_span, false, relu, false},
        {FIELD(dsum), x, elements, false, problem->sums, false},
        {FIELD(dx), x, problem->x_span, true, true, false},
        {FIELD(dresidual), x, elements, true, problem->epilogue.residual, false},
        {FIELD(dscale), parameter, parameters, true, problem->takes_scale, false},
        {FIELD(dshift), parameter, parameters, true, problem->takes_shift, false},
        {FIELD(scale), parameter, parameters, false, problem->takes_scale, false},
        {FIELD(mean), statistic, sets, false, problem->takes_mean, some && args->rstd && problem->takes_mean},
        {FIELD(rstd), statistic, sets, false, !given, some && args->mean},
        {FIELD(given_mean), statistic, problem->channels, false, given, some && given},
        {FIELD(given_variance), statistic, problem->channels, false, given, some && given},
        {FIELD(shift), parameter, parameters, false, modulated && problem->takes_shift, false},
        {FIELD(modulation_scale), parameter, modulations, false, modulated, false},
        {FIELD(dmodulation_scale), parameter, modulations, true, modulated, false},
        {FIELD(dmodulation_shift), parameter, modulations, true, modulated, false},
    };
    const int count = sizeof all / sizeof *all;
    memcpy(tensors, all, sizeof all);
    return count;
}

/* dx may be dy or dsum, and dresidual a dense dy: they are read and written element by element. */
static bool in_place(const norma_problem *problem, int out, int in)
{
    const bool alike =
        problem->geometry != NORMA_ROWS || problem->outer <= 1 || problem->kept[0].x_stride == problem->kept[0].y_stride;
    const bool dense = problem->y_span == norma_problem_elements(problem);
    return (out == TENSOR_DX && ((in == TENSOR_DY && alike) || in == TENSOR_DSUM)) ||
           (out == TENSOR_DRESIDUAL && in == TENSOR_DY && dense);
}

typedef struct bytes {
    const char *name;
    const void *data;
    int64_t size;
    bool output;
} bytes;

static norma_status check_overlap(const norma_plan *plan, const norma_backward_args *args, const norma_operand *tensors,
                                  int count)
{
    const norma_problem *problem = &plan->problem;
    bytes all[TENSORS_MAX];
    for (int i = 0; i < count; i++) {
        const norma_operand *o = &tensors[i];
        all[i] = (bytes){o->name, norma_operand_get(o, args), norma_operand_bytes(o), o->output};
    }
    all[count++] = (bytes){"mask", args->mask, (problem->sets * problem->count + 7) / 8, false};
    all[count++] = (bytes){"workspace", args->workspace, (int64_t)norma_backward_workspace(plan), true};
    for (int a = 0; a < count; a++) {
        for (int b = 0; all[a].output && b < count; b++) {
            const bytes *out = &all[a], *other = &all[b];
            if (a == b || (other->output && b < a) || !norma_bytes_overlap(out->data, out->size, other->data, other->size)) {
                continue;
            }
            if (out->data == other->data && in_place(problem, a, b)) {
                continue;
            }
            if (a == TENSOR_DX && b <= TENSOR_Y && norma_rows_interleave(problem, out->data, other->data)) {
                continue;
            }
            return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: overlaps args.%s%s", out->name, other->name,
                              a == TENSOR_DX ? "; dx may be dy or dsum itself, with the same strides, or apart" : "");
        }
    }
    return NORMA_SUCCESS;
}

static norma_status check_mask(const norma_plan *plan, const norma_backward_args *args)
{
    const bool relu = plan->desc.activation == NORMA_RELU;
    if (args->mask && !relu) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.mask: this plan has no relu, expected NULL");
    }
    if (relu && !plan->problem.empty && !args->y == !args->mask) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.y: after a relu expected either y or args.mask, got %s",
                          args->y ? "both" : "neither");
    }
    return NORMA_SUCCESS;
}

static norma_status check_outputs(const norma_plan *plan, const norma_backward_args *args)
{
    const bool modulation = args->dmodulation_scale || args->dmodulation_shift;
    if (!args->dx && !args->dscale && !args->dshift && !args->dresidual && !modulation) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.dx: expected dx, dscale, dshift, dresidual or a gradient of modulation, got none of them");
    }
    const size_t least = norma_backward_workspace(plan);
    if (least > 0 && !args->workspace) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.workspace: expected the %zu bytes that norma_backward_workspace() tells, got NULL", least);
    }
    if ((uintptr_t)args->workspace % alignof(double) != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.workspace: expected an address aligned to %zu bytes, got %p",
                          alignof(double), args->workspace);
    }
    return NORMA_SUCCESS;
}

static norma_status check_args(const norma_plan *plan, const norma_backward_args *args, const norma_args *given)
{
    norma_operand tensors[TENSORS_MAX];
    const int count = tensors_of(plan, args, tensors);
    for (int i = 0; i < count; i++) {
        const norma_status status = norma_operand_check(&tensors[i], norma_operand_get(&tensors[i], args));
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    norma_status status = check_mask(plan, args);
    if (status == NORMA_SUCCESS) {
        status = check_outputs(plan, args);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_running_check(plan, given);
    }
    return status == NORMA_SUCCESS && !plan->problem.empty ? check_overlap(plan, args, tensors, count) : status;
}

/* Gradients of parameters that no element has a share in are 0. */
static void clear_parameters(const norma_plan *plan, const norma_backward_args *args)
{
    const norma_problem *problem = &plan->problem;
    const size_t size = norma_dtype_size(problem->parameter_dtype);
    const size_t parameters = (size_t)norma_problem_parameters(problem) * size;
    const size_t modulations = (size_t)modulations_of(problem) * size;
    void *const tensors[] = {args->dscale, args->dshift, args->dmodulation_scale, args->dmodulation_shift};
    for (int i = 0; i < 4; i++) {
        const size_t count = i < 2 ? parameters : modulations;
        if (tensors[i] && count > 0) {
            memset(tensors[i], 0, count);
        }
    }
}

norma_status norma_backward(const norma_plan *plan, const norma_backward_args *args)
{
    if (!plan) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "plan: expected a plan, got NULL (did norma_plan_create() fail?)");
    }
    if (!args) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args: expected the tensors of this run, got NULL");
    }
    norma_backward_args known;
    norma_status status = norma_read_struct("args", &known, sizeof known, sizeof known, args);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    norma_backward_run run = {.plan = plan, .args = &known};
    run.given.given_mean = known.given_mean;
    run.given.given_variance = known.given_variance;
    status = check_plan(plan);
    if (status == NORMA_SUCCESS) {
        status = check_args(plan, &known, &run.given);
    }
    if (status != NORMA_SUCCESS) {
        return status;
    }
    if (plan->problem.empty) {
        clear_parameters(plan, &known);
        return NORMA_SUCCESS;
    }
    run.kernel = norma_backward_find(plan->problem.dtype, plan->blocking.isa);
    const norma_gradients at = {
        .x = known.x, .dy = known.dy, .y = known.y, .mask = known.mask, .dsum = known.dsum, .dx = known.dx};
    run.at = at;
    norma_backward_drive(&run);
    return NORMA_SUCCESS;
}

norma_status norma_relu_mask(norma_dtype dtype, const void *y, int64_t count, uint8_t *mask)
{
    if (!norma_dtype_known(dtype) || norma_dtype_integer(dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "dtype: expected NORMA_F32, NORMA_F64, NORMA_BF16 or NORMA_F16, got %d",
                          (int)dtype);
    }
    if (count < 0 || (count > 0 && (!y || !mask))) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "%s: expected %s",
                          count < 0 ? "count"
                          : y       ? "mask"
                                    : "y",
                          count < 0 ? "at least 0" : "a tensor, got NULL");
    }
    for (int64_t first = 0; first < count; first += 8) {
        unsigned bits = 0;
        for (int64_t i = first; i < count && i < first + 8; i++) {
            bits |= (unsigned)!(norma_dtype_get(dtype, y, i) <= 0) << (i - first);
        }
        mask[first / 8] = (uint8_t)bits;
    }
    return NORMA_SUCCESS;
}

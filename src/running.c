#include "running.h"

#include "dtype.h"
#include "error.h"

static norma_status check_given(const norma_plan *plan, const norma_args *args)
{
    const norma_problem *problem = &plan->problem;
    if (!problem->given || problem->empty) {
        return NORMA_SUCCESS;
    }
    for (int64_t c = 0; c < problem->channels; c++) {
        const double variance = norma_dtype_get(problem->statistic_dtype, args->given_variance, c);
        if (!(variance >= 0)) {
            return norma_fail(NORMA_INVALID_ARGUMENT,
                              "args.given_variance: expected numbers of at least 0, got %g for channel %lld", variance,
                              (long long)c);
        }
    }
    return NORMA_SUCCESS;
}

norma_status norma_running_check(const norma_plan *plan, const norma_args *args)
{
    const norma_desc *desc = &plan->desc;
    if (!args->running_mean != !args->running_variance) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected a tensor beside args.%s, got NULL",
                          args->running_mean ? "running_variance" : "running_mean",
                          args->running_mean ? "running_mean" : "running_variance");
    }
    if (!plan->problem.updates && args->updates) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.updates: this op updates no running statistics, expected NULL");
    }
    if (args->updates && ((uintptr_t)args->updates % sizeof *args->updates != 0 || *args->updates == INT64_MAX)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.updates: expected an aligned counter that can go on counting, got %p",
                          (const void *)args->updates);
    }
    if (args->running_mean && desc->momentum_mode == NORMA_MOMENTUM_CUMULATIVE && (!args->updates || *args->updates < 0)) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.updates: a cumulative average needs the count of updates so far, 0 at first, got %s",
                          args->updates ? "a negative one" : "NULL");
    }
    if (args->running_mean && desc->running_unbiased && plan->problem.count < 2 && !plan->problem.empty) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.running_variance: one element per channel has no unbiased variance; expected "
                          "two or more, or desc.running_unbiased 0");
    }
    return check_given(plan, args);
}

norma_partial norma_running_given(const norma_plan *plan, const norma_args *args, int64_t channel)
{
    const norma_dtype dtype = plan->problem.statistic_dtype;
    const norma_normalizer *normalizer = &plan->problem.normalizer;
    const double mean = norma_dtype_get(dtype, args->given_mean, channel);
    const norma_partial given = {1, mean / normalizer->x_scale + normalizer->x_zero_point,
                                 norma_dtype_get(dtype, args->given_variance, channel)};
    return given;
}

void norma_running_take(const norma_plan *plan, const norma_args *args, int64_t channel, const norma_running_sums *sums)
{
    const norma_desc *desc = &plan->desc;
    double share = desc->momentum; /* of this batch */
    if (desc->momentum_mode == NORMA_MOMENTUM_OF_RUNNING) {
        share = 1 - desc->momentum;
    } else if (desc->momentum_mode == NORMA_MOMENTUM_CUMULATIVE) {
        share = 1 / ((double)*args->updates + 1);
    }
    const norma_dtype dtype = plan->problem.statistic_dtype;
    const double instances = (double)plan->problem.instances;
    /* With a share of 1 what was there before does not count, be it NaN. */
    const double mean_before = share == 1 ? 0 : norma_dtype_get(dtype, args->running_mean, channel);
    const double variance_before = share == 1 ? 0 : norma_dtype_get(dtype, args->running_variance, channel);
    norma_dtype_set(dtype, args->running_mean, channel, (1 - share) * mean_before + share * (sums->mean / instances));
    norma_dtype_set(dtype, args->running_variance, channel,
                    (1 - share) * variance_before + share * (sums->variance / instances));
}

void norma_running_count(const norma_args *args)
{
    if (args->running_mean && args->updates) {
        ++*args->updates;
    }
}

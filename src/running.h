/*
 * Statistics that a caller keeps by channel: given to batch norm for inference, or kept up to date while training.
 */
#ifndef NORMA_RUNNING_H
#define NORMA_RUNNING_H

#include "plan.h"

/* Refuses tensors of running or given statistics that do not fit the plan, or hold a negative variance. */
norma_status norma_running_check(const norma_plan *plan, const norma_args *args);

/* The given statistics of a channel, as a reduction that came out so. */
norma_partial norma_running_given(const norma_plan *plan, const norma_args *args, int64_t channel);

/* What running statistics take in of a channel: its statistics, or where it has several instances their averages. */
typedef struct norma_running_sums {
    double mean;
    double variance;
} norma_running_sums;

static inline void norma_running_add(norma_running_sums *sums, const norma_plan *plan, const norma_partial *whole)
{
    sums->mean += whole->mean;
    sums->variance += whole->m2 / (plan->desc.running_unbiased ? whole->count - 1 : whole->count);
}

/* Takes a channel's sums into its running statistics, when the run has any. Channels are independent: any threads may do
 * theirs. */
void norma_running_take(const norma_plan *plan, const norma_args *args, int64_t channel, const norma_running_sums *sums);

/* The same for a channel of one instance. */
static inline void norma_running_update(const norma_plan *plan, const norma_args *args, int64_t channel,
                                        const norma_partial *whole)
{
    if (args->running_mean) {
        norma_running_sums sums = {0, 0};
        norma_running_add(&sums, plan, whole);
        norma_running_take(plan, args, channel, &sums);
    }
}

/* Ends an update of all channels. */
void norma_running_count(const norma_args *args);

#endif

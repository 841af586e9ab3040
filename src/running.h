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

/* Takes the batch's statistics of a channel into the running ones, when the run has any. Channels are independent: any threads
 * may do theirs. */
void norma_running_update(const norma_plan *plan, const norma_args *args, int64_t channel, const norma_partial *partial);

/* Ends an update of all channels. */
void norma_running_count(const norma_args *args);

#endif

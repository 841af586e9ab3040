/* Runs that are of one channel each: batch, instance and group norm of planes. */
#ifndef NORMA_BACKWARD_RUNS_H
#define NORMA_BACKWARD_RUNS_H

#include "template/gradient.h"

INLINE void reduce_runs_of(bool masked, const norma_backward_runs_job *job, const norma_set *sets, bool each, norma_sums *sums)
{
    const sum_step step = {false, true, masked};
    const parameters none = parameters_of(NULL, true, ones);
    for (int64_t r = 0; r < job->runs; r++) {
        const source from = source_at(&job->at, r * job->stride, r * job->stride, r * job->stride);
        sums[r] = sum_run(step, &from, &none, job->count, lane_set_of(&sets[each ? r : 0]));
    }
}

static void backward_reduce(const norma_backward_runs_job *job, const norma_set *sets, bool each, norma_sums *sums)
{
    if (is_masked(&job->at)) {
        reduce_runs_of(true, job, sets, each, sums);
    } else {
        reduce_runs_of(false, job, sets, each, sums);
    }
}

/* The terms of a set in lanes, with the lag in the rest. */
typedef struct lane_terms {
    vec center;
    vec rate;
    vec of_g;
    vec of_x;
    vec rest;
} lane_terms;

INLINE lane_terms lane_terms_of(const norma_terms *terms)
{
    const lane_terms lanes = {V(set1)((real)terms->center), V(set1)(real_factor(terms->rate)), V(set1)(real_term(terms->of_g)),
                              V(set1)(real_term(terms->of_x)), V(set1)(real_term(terms->rest - terms->of_x * terms->lag))};
    return lanes;
}

INLINE vec gradient_of(gradient_step step, const lane_terms *t, const source *from, int64_t i, int lanes)
{
    const vec xn = V(mul)(V(sub)(load_lanes(from->x + i, lanes), t->center), t->rate);
    const vec dx = V(fma)(load_dy(step.masked, from, i, lanes), t->of_g, V(fma)(xn, t->of_x, t->rest));
    return step.joined ? V(add)(dx, load_lanes(from->dsum + i, lanes)) : dx;
}

INLINE void apply_run(gradient_step step, const lane_terms *terms, const source *from, element *dx, int64_t count)
{
    enum { AT_ONCE = 4 };
    int64_t i = 0;
    NO_UNROLL
    for (; i + AT_ONCE * NORMA_WIDTH <= count; i += AT_ONCE * NORMA_WIDTH) {
        UNROLL
        for (int k = 0; k < AT_ONCE; k++) {
            const vec v = gradient_of(step, terms, from, i + k * NORMA_WIDTH, NORMA_WIDTH);
            store_dx(dx + i + k * NORMA_WIDTH, v, NORMA_WIDTH, step.stream);
        }
    }
    NO_UNROLL
    for (; i < count; i += NORMA_WIDTH) {
        const int lanes = count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH;
        store_dx(dx + i, gradient_of(step, terms, from, i, lanes), lanes, false);
    }
}

INLINE void apply_runs_of(bool masked, const norma_backward_runs_job *job, const norma_terms *terms, bool each)
{
    const gradient_step plain = {masked, false, false}, streamed = {masked, false, true};
    for (int64_t r = 0; r < job->runs; r++) {
        const source from = source_at(&job->at, r * job->stride, r * job->stride, r * job->stride);
        const lane_terms lanes = lane_terms_of(&terms[each ? r : 0]);
        element *dx = dx_at(&job->at, r * job->stride);
        const bool stream = job->stream && streams_to(dx, 0);
        if (job->at.dsum) {
            const gradient_step joined = {masked, true, stream};
            apply_run(joined, &lanes, &from, dx, job->count);
        } else if (stream) {
            apply_run(streamed, &lanes, &from, dx, job->count);
        } else {
            apply_run(plain, &lanes, &from, dx, job->count);
        }
    }
}

static void backward_apply(const norma_backward_runs_job *job, const norma_terms *terms, bool each)
{
    if (is_masked(&job->at)) {
        apply_runs_of(true, job, terms, each);
    } else {
        apply_runs_of(false, job, terms, each);
    }
}

static void backward_pass(const norma_gradients *at, void *to, int64_t count)
{
    const source from = source_at(at, 0, 0, 0);
    NO_UNROLL
    for (int64_t i = 0; i < count; i += NORMA_WIDTH) {
        const int lanes = count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH;
        const vec dy = is_masked(at) ? load_dy(true, &from, i, lanes) : load_dy(false, &from, i, lanes);
        store_dx((element *)to + i, dy, lanes, false);
    }
}

#endif

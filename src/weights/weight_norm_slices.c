/* Weight norm of slices of long runs. */
#include "weights/weight_norm.h"

/* Rows up to so many bytes are written while the next is summed, and memory is read so many bytes ahead. */
enum { ROW_MAX = 128 * 1024, FETCH_AHEAD = 4096 };

static norma_lane_factors norma_lane_factors_of(const norma_weight_call *w, norma_slice_factors factors)
{
    norma_lane_factors lanes;
    norma_dtype_set(w->lane_dtype, lanes.p, 0, factors.p);
    norma_dtype_set(w->lane_dtype, lanes.q, 0, factors.q);
    return lanes;
}

/* A slice at work on several threads. */
typedef struct slice_share {
    norma_weight_call *w;
    int64_t slice;
    bool dot; /* of grad_w * v, else of squares */
    int64_t units;
    int64_t tasks;
    double *part; /* one per unit */
    norma_lane_factors lanes;
} slice_share;

static double sum_of_range(const norma_weight_call *w, bool dot, int64_t at, int64_t count)
{
    const void *v = norma_weight_element(w, w->v, at);
    return w->products->dot(dot ? norma_weight_element(w, w->grad_w, at) : v, v, count);
}

static int64_t run_begin(const norma_weight_call *w, int64_t slice, int64_t run)
{
    return (run * w->slices + slice) * w->inner;
}

static double sum_of_run(const norma_weight_call *w, bool dot, int64_t at)
{
    const int64_t segment = norma_segment_length(w->inner);
    double sum = 0;
    for (int64_t done = 0; done < w->inner; done += segment) {
        sum += sum_of_range(w, dot, at + done, norma_smaller(segment, w->inner - done));
    }
    return sum;
}

/* The units of drivers/planes.c: segments where the slice is one run, else groups of whole runs. */
static int64_t runs_per_unit(const norma_weight_call *w)
{
    return norma_divide_up(w->outer, NORMA_SEGMENTS_MAX);
}

static int64_t units_of(const norma_weight_call *w)
{
    return w->outer == 1 ? norma_divide_up(w->inner, norma_segment_length(w->inner))
                         : norma_divide_up(w->outer, runs_per_unit(w));
}

static double sum_of_unit(const norma_weight_call *w, bool dot, int64_t slice, int64_t unit)
{
    if (w->outer == 1) {
        const int64_t segment = norma_segment_length(w->inner), first = unit * segment;
        return sum_of_range(w, dot, run_begin(w, slice, 0) + first, norma_smaller(segment, w->inner - first));
    }
    const int64_t last = norma_smaller(w->outer, (unit + 1) * runs_per_unit(w));
    double sum = 0;
    for (int64_t run = unit * runs_per_unit(w); run < last; run++) {
        sum += sum_of_run(w, dot, run_begin(w, slice, run));
    }
    return sum;
}

static void sum_share(void *argument, size_t task)
{
    const slice_share *share = argument;
    const int64_t last = norma_part_begin(share->units, share->tasks, (int64_t)task + 1);
    for (int64_t unit = norma_part_begin(share->units, share->tasks, (int64_t)task); unit < last; unit++) {
        share->part[unit] = sum_of_unit(share->w, share->dot, share->slice, unit);
    }
}

/* A whole slice's sum, by the same tree on any number of tasks. */
static double sum_of_slice(norma_weight_call *w, bool dot, int64_t slice, int64_t tasks)
{
    double part[NORMA_SEGMENTS_MAX], sum = 0;
    slice_share share = {.w = w, .slice = slice, .dot = dot, .units = units_of(w), .part = part};
    share.tasks = norma_smaller(tasks, share.units);
    norma_weight_tasks(w, share.tasks, sum_share, &share);
    for (int64_t unit = 0; unit < share.units; unit++) {
        sum += part[unit];
    }
    return sum;
}

/* Elements of a run of the slice, from element `at` of the weight on. */
static norma_combination range_of(const norma_weight_call *w, const norma_lane_factors *lanes, int64_t at, int64_t count)
{
    const norma_combination job = {.a = norma_weight_element(w, w->backward ? w->grad_w : w->v, at),
                                   .b = w->backward ? norma_weight_element(w, w->v, at) : NULL,
                                   .y = norma_out_element(w->dtype, w->out, at),
                                   .rows = 1,
                                   .count = count,
                                   .p = lanes->p,
                                   .q = lanes->q,
                                   .stream = w->stream};
    return job;
}

static void write_share(void *argument, size_t task)
{
    const slice_share *share = argument;
    const norma_weight_call *w = share->w;
    const int64_t total = w->outer * w->inner;
    int64_t first = norma_part_begin(total, share->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(total, share->tasks, (int64_t)task + 1);
    while (first < last) {
        const int64_t run = first / w->inner, begin = first % w->inner;
        const int64_t count = norma_smaller(w->inner - begin, last - first);
        const norma_combination job = range_of(w, &share->lanes, run_begin(w, share->slice, run) + begin, count);
        w->products->combine(&job);
        first += count;
    }
}

void norma_weight_slice(norma_weight_call *w, int64_t slice, int64_t tasks)
{
    const double sum = norma_computes_norms(w) ? sum_of_slice(w, false, slice, tasks) : 0;
    const double dot = w->backward && !w->only_look ? sum_of_slice(w, true, slice, tasks) : 0;
    slice_share share = {.w = w, .slice = slice, .tasks = tasks};
    share.lanes = norma_lane_factors_of(w, norma_finish_slice(w, slice, sum, dot));
    if (w->out && !w->only_look) {
        norma_weight_tasks(w, tasks, write_share, &share);
    }
}

/* Slices [first, last) of one run each, which is written while the next one is summed. */
static void do_rows(norma_weight_call *w, int64_t first, int64_t last)
{
    const int64_t ahead = FETCH_AHEAD / (int64_t)norma_dtype_size(w->dtype);
    norma_lane_factors lanes;
    norma_combination before = {.rows = 0};
    for (int64_t slice = first; slice < last; slice++) {
        const int64_t at = run_begin(w, slice, 0);
        const void *v = norma_weight_element(w, w->v, at), *other = w->backward ? norma_weight_element(w, w->grad_w, at) : v;
        const double again = w->backward && norma_computes_norms(w) ? w->products->dot(v, v, w->inner) : 0;
        const double sum =
            before.rows ? w->products->dot_beside(other, v, w->inner, &before) : w->products->dot(other, v, w->inner);
        lanes = norma_lane_factors_of(w, norma_finish_slice(w, slice, w->backward ? again : sum, sum));
        before = range_of(w, &lanes, at, w->inner);
        before.ahead = ahead;
    }
    before.ahead = 0;
    w->products->combine(&before);
    w->products->settle();
}

/* Rows of which a few stay in L2; and no more than one leaf to a segment, or the sums would be another tree. */
static bool rows_abreast(const norma_weight_call *w)
{
    const int64_t bytes = w->inner * (int64_t)norma_dtype_size(w->dtype);
    return w->outer == 1 && bytes <= ROW_MAX && norma_segment_length(w->inner) == NORMA_RUN_LEAF && w->out && !w->only_look;
}

void norma_weight_slices(void *argument, size_t task)
{
    norma_weight_call *w = argument;
    const int64_t first = norma_part_begin(w->slices, w->tasks, (int64_t)task);
    const int64_t last = norma_part_begin(w->slices, w->tasks, (int64_t)task + 1);
    if (first < last && rows_abreast(w)) {
        do_rows(w, first, last);
        return;
    }
    for (int64_t slice = first; slice < last; slice++) {
        norma_weight_slice(w, slice, 1);
    }
}

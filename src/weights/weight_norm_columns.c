/* Weight norm of slices that are neighbouring columns of a matrix. */
#include "weights/weight_norm.h"

/* Columns [first, last) of the matrix: whole slices, at most NORMA_COLUMNS_MAX columns. */
typedef struct column_strip {
    int64_t first;
    int64_t last;
    double squares[NORMA_COLUMNS_MAX];
    double dots[NORMA_COLUMNS_MAX];
    _Alignas(64) unsigned char p[NORMA_COLUMNS_MAX * sizeof(double)]; /* lanes, as in norma_lane_factors */
    _Alignas(64) unsigned char q[NORMA_COLUMNS_MAX * sizeof(double)];
} column_strip;

static double sum_of_group(const double *sums, int64_t count)
{
    double sum = sums[0];
    for (int64_t i = 1; i < count; i++) {
        sum += sums[i];
    }
    return sum;
}

static void finish_columns(norma_weight_call *w, column_strip *strip)
{
    for (int64_t first = strip->first; first < strip->last; first += w->inner) {
        const int64_t at = first - strip->first;
        const double sum = norma_computes_norms(w) ? sum_of_group(strip->squares + at, w->inner) : 0;
        const double dot = w->backward ? sum_of_group(strip->dots + at, w->inner) : 0;
        const norma_slice_factors factors = norma_finish_slice(w, first / w->inner, sum, dot);
        for (int64_t i = at; i < at + w->inner; i++) {
            norma_dtype_set(w->lane_dtype, strip->p, i, factors.p);
            norma_dtype_set(w->lane_dtype, strip->q, i, factors.q);
        }
    }
}

static void do_strip(norma_weight_call *w, column_strip *strip)
{
    const int64_t width = w->slices * w->inner, count = strip->last - strip->first;
    const void *v = norma_weight_element(w, w->v, strip->first), *grad_w = norma_weight_element(w, w->grad_w, strip->first);
    if (norma_computes_norms(w)) {
        w->products->dot_columns(v, v, w->outer, count, width, strip->squares);
    }
    if (w->backward) {
        w->products->dot_columns(grad_w, v, w->outer, count, width, strip->dots);
    }
    finish_columns(w, strip);
    if (!w->out || w->only_look) {
        return;
    }
    const norma_combination job = {.a = w->backward ? grad_w : v,
                                   .b = w->backward ? v : NULL,
                                   .y = norma_out_element(w->dtype, w->out, strip->first),
                                   .rows = w->outer,
                                   .count = count,
                                   .stride = width,
                                   .p = strip->p,
                                   .q = strip->q,
                                   .by_column = true,
                                   .stream = w->stream};
    w->products->combine(&job);
}

/* Whole slices, whole cache lines where slices allow, and at least as many strips as tasks. */
static int64_t strip_columns(const norma_weight_call *w)
{
    const int64_t line = 64 / (int64_t)norma_dtype_size(w->dtype), most = NORMA_COLUMNS_MAX / w->inner * w->inner;
    const int64_t even = norma_divide_up(w->slices, w->tasks) * w->inner;
    const int64_t lines = norma_divide_up(even, line * w->inner) * line * w->inner;
    return lines <= most ? lines : norma_smaller(even, most);
}

void norma_weight_columns(void *argument, size_t task)
{
    norma_weight_call *w = argument;
    const int64_t width = w->slices * w->inner, columns = strip_columns(w), strips = norma_divide_up(width, columns);
    const int64_t last = norma_part_begin(strips, w->tasks, (int64_t)task + 1);
    column_strip strip;
    for (int64_t i = norma_part_begin(strips, w->tasks, (int64_t)task); i < last; i++) {
        strip.first = i * columns;
        strip.last = norma_smaller(strip.first + columns, width);
        do_strip(w, &strip);
    }
}

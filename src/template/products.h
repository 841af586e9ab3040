/*
 * Two tensors at a time: sums of their products, by the canonical reduction, and sums of their multiples.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_products_<dtype>_<isa>.
 */
#include "template/reduce.h"
#include "weights/registry.h"

enum { COMBINE_VECTORS = 4, DOT_ROWS = 4 };

/* A sum of products in f32 that has left the range of f32, or is so small that products may have: again, plainly and in double.
 */
NOINLINE double dot_rescue(const element *a, const element *b, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)element_at(a, i * stride) * (double)element_at(b, i * stride);
    }
    return sum;
}

INLINE bool dot_in_range(double sum)
{
    return NORMA_DTYPE_IS == NORMA_IS_f64 || (fabs(sum) >= 1e-30 && fabs(sum) <= (double)FLT_MAX);
}

/* How rows are combined, chosen by constants. */
typedef struct combine_step {
    bool two; /* there is a b */
    bool by_column;
    bool stream;
} combine_step;

typedef struct combine_row {
    const element *a;
    const element *b;
    element *y;
    const real *p; /* by_column, as is the next */
    const real *q;
    vec all_p; /* otherwise */
    vec all_q;
    int64_t ahead;
} combine_row;

INLINE vec combine_vector(combine_step step, const combine_row *row, int64_t i, int lanes)
{
    const bool whole = lanes == NORMA_WIDTH;
    const vec p = !step.by_column ? row->all_p : whole ? V(load)(row->p + i) : V(load_part)(row->p + i, lanes);
    const vec a = load_lanes(row->a + i, lanes);
    if (!step.two) {
        return V(mul)(a, p);
    }
    const vec q = !step.by_column ? row->all_q : whole ? V(load)(row->q + i) : V(load_part)(row->q + i, lanes);
    return V(mul)(V(fma)(load_lanes(row->b + i, lanes), q, a), p);
}

INLINE void combine_part(combine_step step, const combine_row *row, int64_t i, int lanes)
{
    M(store_part)(row->y + i, combine_vector(step, row, i, lanes), lanes);
}

/* Elements of a row up to where y is aligned, where it streams. */
INLINE int64_t combine_head(combine_step step, const combine_row *row, int64_t count)
{
    if (!step.stream) {
        return 0;
    }
    const int64_t past = (int64_t)((uintptr_t)row->y % (NORMA_WIDTH * sizeof(element)) / sizeof(element));
    const int64_t head = past ? NORMA_WIDTH - past : 0, some = head < count ? head : count;
    combine_part(step, row, 0, (int)some);
    return some;
}

/* COMBINE_VECTORS vectors from element i on. */
INLINE void combine_some(combine_step step, const combine_row *row, int64_t i)
{
    UNROLL
    for (int k = 0; k < COMBINE_VECTORS; k++) {
        const vec y = combine_vector(step, row, i + k * NORMA_WIDTH, NORMA_WIDTH);
        if (step.stream) {
            M(stream)(row->y + i + k * NORMA_WIDTH, y);
        } else {
            M(store)(row->y + i + k * NORMA_WIDTH, y);
        }
    }
}

INLINE void combine_fetch(combine_step step, const combine_row *row, int64_t i)
{
    UNROLL
    for (int k = 0; k < COMBINE_VECTORS; k += NORMA_LINE_VECTORS) {
        simd_prefetch(row->a + i + row->ahead + k * NORMA_WIDTH);
        if (step.two) {
            simd_prefetch(row->b + i + row->ahead + k * NORMA_WIDTH);
        }
    }
}

/* Elements [i, count). */
INLINE void combine_rest(combine_step step, const combine_row *row, int64_t i, int64_t count)
{
    NO_UNROLL
    for (; i + COMBINE_VECTORS * NORMA_WIDTH <= count; i += COMBINE_VECTORS * NORMA_WIDTH) {
        if (row->ahead) {
            combine_fetch(step, row, i);
        }
        combine_some(step, row, i);
    }
    NO_UNROLL
    for (; i < count; i += NORMA_WIDTH) {
        combine_part(step, row, i, count - i < NORMA_WIDTH ? (int)(count - i) : NORMA_WIDTH);
    }
}

INLINE combine_row combine_row_of(combine_step step, const norma_combination *job, int64_t r)
{
    const int64_t at = r * job->stride;
    const combine_row row = {.a = (const element *)job->a + at,
                             .b = step.two ? (const element *)job->b + at : NULL,
                             .y = (element *)job->y + at,
                             .p = job->p,
                             .q = job->q,
                             .all_p = V(set1)(*(const real *)job->p),
                             .all_q = V(set1)(step.two ? *(const real *)job->q : 0),
                             .ahead = job->ahead};
    return row;
}

INLINE void combine_rows(combine_step step, const norma_combination *job)
{
    for (int64_t r = 0; r < job->rows; r++) {
        const combine_row row = combine_row_of(step, job, r);
        combine_rest(step, &row, combine_head(step, &row, job->count), job->count);
    }
    if (step.stream) {
        simd_fence();
    }
}

/* The eight ways are chosen once. */
INLINE void combine_with(bool two, bool by_column, const norma_combination *job)
{
    if (NORMA_STREAMS && job->stream) {
        const combine_step step = {two, by_column, true};
        combine_rows(step, job);
    } else {
        const combine_step step = {two, by_column, false};
        combine_rows(step, job);
    }
}

static void combine(const norma_combination *job)
{
    if (job->b && job->by_column) {
        combine_with(true, true, job);
    } else if (job->b) {
        combine_with(true, false, job);
    } else if (job->by_column) {
        combine_with(false, true, job);
    } else {
        combine_with(false, false, job);
    }
}

/* A row that is combined beside a sum: so many vectors of it for as many of the sum. */
typedef struct dot_beside_row {
    combine_step step;
    combine_row row;
    int64_t at; /* what is done */
    int64_t count;
} dot_beside_row;

/* The lanes, chains and parts of powers_lanes(), all parts of a vector in turn. `also` may be NULL, a constant. */
INLINE double dot_leaf(const element *a, const element *b, int64_t count, int64_t ahead, dot_beside_row *also)
{
    const int64_t vectors = count / NORMA_LANES;
    const int rest = (int)(count % NORMA_LANES);
    vec sum[NORMA_PARTS][CHAINS], parts[NORMA_PARTS];
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            sum[p][k] = V(zero)();
        }
    }
    int64_t i = 0;
    NO_UNROLL
    for (; i + CHAINS <= vectors; i += CHAINS) {
        UNROLL
        for (int k = 0; k < CHAINS; k++) {
            const int64_t at = (i + k) * NORMA_LANES;
            if (also && (k * NORMA_LANES * (int)sizeof(element)) % 64 == 0) {
                simd_prefetch(a + at + ahead);
                if (a != b) {
                    simd_prefetch(b + at + ahead);
                }
            }
            UNROLL
            for (int p = 0; p < NORMA_PARTS; p++) {
                const int64_t lane = at + p * NORMA_WIDTH;
                sum[p][k] = V(fma)(M(load)(a + lane), M(load)(b + lane), sum[p][k]);
            }
        }
        if (also) {
            UNROLL
            for (int p = 0; p < NORMA_PARTS; p++) {
                if (also->at + COMBINE_VECTORS * NORMA_WIDTH <= also->count) {
                    combine_some(also->step, &also->row, also->at);
                    also->at += COMBINE_VECTORS * NORMA_WIDTH;
                }
            }
        }
    }
    UNROLL
    for (int k = 0; k < CHAINS; k++) {
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            const int lanes = i + k < vectors ? NORMA_WIDTH : i + k == vectors ? lanes_in_part(rest, p) : 0;
            if (lanes > 0) {
                const int64_t lane = (i + k) * NORMA_LANES + p * NORMA_WIDTH;
                sum[p][k] = V(fma)(M(load_part)(a + lane, lanes), M(load_part)(b + lane, lanes), sum[p][k]);
            }
        }
    }
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        parts[p] = sum_of_chains(sum[p]);
    }
    vec whole = sum_of_parts(parts);
    real lanes[NORMA_WIDTH];
    sum_lanes(&whole, 1, lanes);
    return (double)lanes[0];
}

/* Leaves in order. */
INLINE double dot_leaves(const element *a, const element *b, int64_t count, int64_t ahead, dot_beside_row *also)
{
    double whole = 0;
    for (int64_t done = 0; done < count; done += NORMA_RUN_LEAF) {
        const int64_t some = count - done < NORMA_RUN_LEAF ? count - done : NORMA_RUN_LEAF;
        const double sum = dot_leaf(a + done, b + done, some, ahead, also);
        whole += RARELY(!dot_in_range(sum)) ? dot_rescue(a + done, b + done, some, 1) : sum;
    }
    return whole;
}

static double dot(const void *a, const void *b, int64_t count)
{
    return dot_leaves(a, b, count, 0, NULL);
}

INLINE double dot_and_combine(combine_step step, const void *a, const void *b, int64_t count, const norma_combination *job)
{
    dot_beside_row also = {step, combine_row_of(step, job, 0), 0, job->count};
    also.row.ahead = 0;
    also.at = combine_head(step, &also.row, job->count);
    const double sum = dot_leaves(a, b, count, job->ahead, &also);
    combine_rest(step, &also.row, also.at, job->count);
    return sum;
}

/* Both in one loop, so that memory is read and written all the while. */
static double dot_beside(const void *a, const void *b, int64_t count, const norma_combination *job)
{
    const bool stream = NORMA_STREAMS && job->stream;
    assert(job->rows == 1 && !job->by_column);
    if (job->b && stream) {
        const combine_step step = {true, false, true};
        return dot_and_combine(step, a, b, count, job);
    }
    if (job->b) {
        const combine_step step = {true, false, false};
        return dot_and_combine(step, a, b, count, job);
    }
    if (stream) {
        const combine_step step = {false, false, true};
        return dot_and_combine(step, a, b, count, job);
    }
    const combine_step step = {false, false, false};
    return dot_and_combine(step, a, b, count, job);
}

static void settle(void)
{
    simd_fence();
}

/* `rows` rows (a constant), one vector of columns: summed by themselves first, for fewer roundings of the large sum. */
INLINE void dot_vector(const element *a, const element *b, int64_t stride, int rows, int lanes, real *sum)
{
    vec s = V(zero)();
    UNROLL
    for (int r = 0; r < rows; r++) {
        s = V(fma)(load_lanes(a + r * stride, lanes), load_lanes(b + r * stride, lanes), s);
    }
    V(store)(sum, V(add)(V(load)(sum), s));
}

INLINE void dot_some_rows(const element *a, const element *b, int64_t columns, int64_t stride, int rows, real *sum)
{
    int64_t i = 0;
    NO_UNROLL
    for (; i + NORMA_WIDTH <= columns; i += NORMA_WIDTH) {
        dot_vector(a + i, b + i, stride, rows, NORMA_WIDTH, sum + i);
    }
    if (i < columns) {
        dot_vector(a + i, b + i, stride, rows, (int)(columns - i), sum + i);
    }
}

/* A lane is a column; in a leaf DOT_ROWS rows at a time are added in order, and leaves in order, in double. */
static void dot_columns(const void *a_, const void *b_, int64_t rows, int64_t columns, int64_t stride, double *sums)
{
    const element *a = a_, *b = b_;
    real sum[NORMA_COLUMNS_MAX + NORMA_LANES]; /* whole vectors of it are loaded and stored */
    assert(columns <= NORMA_COLUMNS_MAX);
    for (int64_t i = 0; i < columns; i++) {
        sums[i] = 0;
    }
    for (int64_t first = 0; first < rows; first += NORMA_FIBER_LEAF) {
        const int64_t last = rows - first < NORMA_FIBER_LEAF ? rows : first + NORMA_FIBER_LEAF;
        int64_t row = first;
        for (int64_t i = 0; i < columns + NORMA_LANES; i++) {
            sum[i] = 0;
        }
        for (; row + DOT_ROWS <= last; row += DOT_ROWS) {
            dot_some_rows(a + row * stride, b + row * stride, columns, stride, DOT_ROWS, sum);
        }
        for (; row < last; row++) {
            dot_some_rows(a + row * stride, b + row * stride, columns, stride, 1, sum);
        }
        for (int64_t i = 0; i < columns; i++) {
            sums[i] += (double)sum[i];
        }
    }
    for (int64_t i = 0; i < columns; i++) {
        if (RARELY(!dot_in_range(sums[i]))) {
            sums[i] = dot_rescue(a + i, b + i, rows, stride);
        }
    }
}

#define PRODUCTS_NAME_(dtype, isa) norma_products_##dtype##_##isa
#define PRODUCTS_NAME(dtype, isa) PRODUCTS_NAME_(dtype, isa)

const norma_products_kernel PRODUCTS_NAME(NORMA_DTYPE, NORMA_ISA_NAME) = {
    .dot = dot, .dot_beside = dot_beside, .dot_columns = dot_columns, .combine = combine, .settle = settle};

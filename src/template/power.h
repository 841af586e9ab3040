/*
 * Power iteration: a matrix W times a vector, its transpose times another, and both in one pass over W.
 *
 * Of a row's product with `in`, element i belongs to lane i mod NORMA_LANES and its vector j to chain j mod POWER_CHAINS; lanes
 * join as those of a run do (template/reduce.h), leaves of NORMA_RUN_LEAF columns in order, in double. What rows add to the
 * columns' sums is added row by row, in lanes within NORMA_POWER_LEAF rows, and leaves in order, in double. How many rows go
 * together changes no bit of it.
 *
 * A block of rows is multiplied, and then, while it is in L2, added to the sums, some columns at a time over all of its rows,
 * so that the sums stay in registers. All the while the block that follows is fetched: memory is what a pass waits for.
 *
 * Parameters, see template/vector.h: NORMA_DTYPE, and the ISA's simd.h. Defines norma_power_<dtype>_<isa>.
 */
#include "template/reduce.h"
#include "weights/registry.h"

enum {
    POWER_CHAINS = 2,
    POWER_ROWS = NORMA_REGISTERS < 32 ? 2 : 4, /* multiplied abreast: their sums stay in registers */
    POWER_BLOCK = 16,
    POWER_VECTORS = 8 /* columns added to at a time */
};

_Static_assert((int)NORMA_POWER_LEAF % (int)POWER_BLOCK == 0 && (int)POWER_BLOCK % (int)POWER_ROWS == 0,
               "the rows of a block are of one leaf");

typedef vec power_sums[POWER_ROWS][POWER_CHAINS][NORMA_PARTS];

/* Into L2: what L1 is full of is needed first. */
INLINE void power_fetch(const element *p, int64_t bytes)
{
    UNROLL
    for (int64_t at = 0; at < bytes; at += 64) {
        __builtin_prefetch((const char *)p + at, 0, 2);
    }
}

/* One vector of all parts of `rows` (a constant) rows, of the last one only `lanes` lanes where that is fewer. */
INLINE void power_vector(const norma_power_job *job, const element *row, power_sums sum, int rows, int chain, int64_t i,
                         int lanes)
{
    UNROLL
    for (int p = 0; p < NORMA_PARTS; p++) {
        const int64_t at = i + p * NORMA_WIDTH;
        const int some = lanes == NORMA_LANES ? NORMA_WIDTH : lanes_in_part(lanes, p);
        const vec in = V(load)((const real *)job->in + at);
        UNROLL
        for (int r = 0; r < rows; r++) {
            sum[r][chain][p] = V(fma)(load_lanes(row + r * job->columns + at, some), in, sum[r][chain][p]);
        }
    }
}

/* Columns [begin, begin + count), one leaf of a row. Of the block that follows half of the rows are fetched here, the other
 * half by power_add_vectors(). */
INLINE void power_leaf(const norma_power_job *job, const element *row, double *total, int rows, int64_t begin, int64_t count)
{
    power_sums sum;
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int k = 0; k < POWER_CHAINS * NORMA_PARTS; k++) {
            sum[r][k / NORMA_PARTS][k % NORMA_PARTS] = V(zero)();
        }
    }
    int64_t i = begin;
    const int64_t end = begin + count;
    NO_UNROLL
    for (; i + POWER_CHAINS * NORMA_LANES <= end; i += POWER_CHAINS * NORMA_LANES) {
        UNROLL
        for (int r = 0; r < rows / 2; r++) {
            power_fetch(row + (POWER_BLOCK + 2 * r) * job->columns + i, POWER_CHAINS * NORMA_LANES * (int64_t)sizeof(element));
        }
        UNROLL
        for (int k = 0; k < POWER_CHAINS; k++) {
            power_vector(job, row, sum, rows, k, i + k * NORMA_LANES, NORMA_LANES);
        }
    }
    UNROLL
    for (int k = 0; k < POWER_CHAINS; k++) {
        const int64_t left = end - i - k * NORMA_LANES;
        if (left > 0) {
            power_vector(job, row, sum, rows, k, i + k * NORMA_LANES, left < NORMA_LANES ? (int)left : NORMA_LANES);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        vec parts[NORMA_PARTS];
        real lanes[NORMA_WIDTH];
        UNROLL
        for (int p = 0; p < NORMA_PARTS; p++) {
            parts[p] = V(add)(sum[r][0][p], sum[r][1][p]);
        }
        vec whole = sum_of_parts(parts);
        sum_lanes(&whole, 1, lanes);
        total[r] += (double)lanes[0];
    }
}

/* The products of `rows` (a constant) rows from `first` on. */
INLINE void power_multiply_rows(const norma_power_job *job, int64_t first, int rows)
{
    const element *row = (const element *)job->matrix + first * job->columns;
    double total[POWER_ROWS] = {0};
    for (int64_t begin = 0; begin < job->columns; begin += NORMA_RUN_LEAF) {
        const int64_t count = job->columns - begin < NORMA_RUN_LEAF ? job->columns - begin : NORMA_RUN_LEAF;
        power_leaf(job, row, total, rows, begin, count);
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        ((real *)job->products)[first + r] = (real)(total[r] * job->gain);
    }
}

NOINLINE void power_multiply(const norma_power_job *job, int64_t first, int64_t last)
{
    int64_t row = first;
    for (; row + POWER_ROWS <= last; row += POWER_ROWS) {
        power_multiply_rows(job, row, POWER_ROWS);
    }
    for (; row < last; row++) {
        power_multiply_rows(job, row, 1);
    }
}

/* `vectors` (a constant) vectors of columns, of a single one only `lanes` lanes, over the rows [first, last). */
INLINE void power_add_vectors(const norma_power_job *job, int64_t first, int64_t last, int64_t at, int vectors, int lanes)
{
    const element *row = (const element *)job->matrix + first * job->columns + at;
    real *leaf = (real *)job->leaf + at;
    vec z[POWER_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        z[v] = V(load)(leaf + v * NORMA_WIDTH);
    }
    NO_UNROLL
    for (int64_t r = first; r < last; r++, row += job->columns) {
        if (r & 1) {
            power_fetch(row + POWER_BLOCK * job->columns, vectors * NORMA_WIDTH * (int64_t)sizeof(element));
        }
        const vec factor = V(set1)(((const real *)job->products)[r]);
        UNROLL
        for (int v = 0; v < vectors; v++) {
            z[v] = V(fma)(factor, load_lanes(row + v * NORMA_WIDTH, lanes), z[v]);
        }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        V(store)(leaf + v * NORMA_WIDTH, z[v]);
    }
}

/* Rows [first, last) of one leaf times their products, into the columns' sums. */
NOINLINE void power_add(const norma_power_job *job, int64_t first, int64_t last)
{
    int64_t at = 0;
    NO_UNROLL
    for (; at + POWER_VECTORS * NORMA_WIDTH <= job->columns; at += POWER_VECTORS * NORMA_WIDTH) {
        power_add_vectors(job, first, last, at, POWER_VECTORS, NORMA_WIDTH);
    }
    NO_UNROLL
    for (; at < job->columns; at += NORMA_WIDTH) {
        power_add_vectors(job, first, last, at, 1, job->columns - at < NORMA_WIDTH ? (int)(job->columns - at) : NORMA_WIDTH);
    }
}

/* The leaf that ends with row `end` joins the sums, and the next one begins. */
static void power_join(const norma_power_job *job, int64_t end, int64_t last)
{
    real *leaf = job->leaf;
    if (end % NORMA_POWER_LEAF != 0 && end != last) {
        return;
    }
    for (int64_t i = 0; i < job->columns; i++) {
        job->sums[i] += (double)leaf[i];
        leaf[i] = 0;
    }
}

static void power_begin(const norma_power_job *job)
{
    real *leaf = job->leaf;
    for (int64_t i = 0; i < job->columns + NORMA_LANES; i++) {
        leaf[i] = 0;
    }
    for (int64_t i = 0; i < job->columns; i++) {
        job->sums[i] = 0;
    }
}

static void power_pass(const norma_power_job *job, int64_t first, int64_t last)
{
    assert(first % NORMA_POWER_LEAF == 0);
    if (job->sums) {
        power_begin(job);
    }
    for (int64_t row = first; row < last; row += POWER_BLOCK) {
        const int64_t end = last - row < POWER_BLOCK ? last : row + POWER_BLOCK;
        if (job->in) {
            power_multiply(job, row, end);
        }
        if (job->sums) {
            power_add(job, row, end);
            power_join(job, end, last);
        }
    }
}

/* y = (a + b * q) * p, b lanes. */
static void power_deflate(const void *a_, const void *b_, void *y_, int64_t count, double p, double q)
{
    const element *a = a_;
    const real *b = b_;
    element *y = y_;
    const vec all_p = V(set1)((real)p), all_q = V(set1)((real)q);
    int64_t i = 0;
    NO_UNROLL
    for (; i + NORMA_WIDTH <= count; i += NORMA_WIDTH) {
        M(store)(y + i, V(mul)(V(fma)(V(load)(b + i), all_q, M(load)(a + i)), all_p));
    }
    if (i < count) {
        const int lanes = (int)(count - i);
        const vec sum = V(fma)(V(load_part)(b + i, lanes), all_q, M(load_part)(a + i, lanes));
        M(store_part)(y + i, V(mul)(sum, all_p), lanes);
    }
}

#define POWER_NAME_(dtype, isa) norma_power_##dtype##_##isa
#define POWER_NAME(dtype, isa) POWER_NAME_(dtype, isa)

const norma_power_kernel POWER_NAME(NORMA_DTYPE, NORMA_ISA_NAME) = {.pass = power_pass, .deflate = power_deflate};

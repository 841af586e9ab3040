/*
 * What a kernel for weights is: two tensors at a time, where those of kernels.h reduce and write one. Serial, stateless,
 * allocation-free, as those are.
 */
#ifndef NORMA_WEIGHTS_REGISTRY_H
#define NORMA_WEIGHTS_REGISTRY_H

#include "kernels.h"

/* y = (a + b * q) * p for the rows of matrices that lie alike; p and q are lanes. */
typedef struct norma_combination {
    const void *a;
    const void *b; /* or NULL: y = a * p */
    void *y;       /* may be a or b */
    int64_t rows;
    int64_t count;  /* elements of a row */
    int64_t stride; /* elements from one row to the next */
    const void *p;  /* one for all or, by_column, one per element of a row */
    const void *q;  /* likewise */
    bool by_column;
    int64_t ahead; /* elements that a and b are prefetched ahead; 0 for not at all */
    bool stream;   /* write y past the caches */
} norma_combination;

/* Whole rows of most matrices: what is read piece by piece is read slowly. Bounds the kernels' stack. */
#define NORMA_COLUMNS_MAX 2048

typedef struct norma_products_kernel {
    /* The sum of a * b over `count` elements of a run; they begin at a leaf boundary of it. */
    double (*dot)(const void *a, const void *b, int64_t count);
    /* The same, beside the combination of one row by numbers of its own: job->ahead is then that of a and b. What is written
     * past the caches others see after settle() on the same thread. */
    double (*dot_beside)(const void *a, const void *b, int64_t count, const norma_combination *job);
    /* The sums of each of the columns of matrices that lie alike, at most NORMA_COLUMNS_MAX. */
    void (*dot_columns)(const void *a, const void *b, int64_t rows, int64_t columns, int64_t stride, double *sums);
    void (*combine)(const norma_combination *job);
    void (*settle)(void);
} norma_products_kernel;

/* A pass over a dense matrix of `columns` columns. Vectors are of lanes; those of a column each have room for NORMA_POWER_ROOM
 * more, which are 0. */
typedef struct norma_power_job {
    const void *matrix;
    int64_t columns;
    const void *in; /* one per column: products = (matrix times in) * gain; or NULL: products are given */
    double gain;
    void *products; /* one per row */
    double *sums;   /* one per column: the transposed matrix times products; or NULL: not wanted */
    void *leaf;     /* one per column, to work with */
} norma_power_job;

/* Rows whose contributions are added in lanes. */
#define NORMA_POWER_LEAF 128
#define NORMA_POWER_ROOM 16

typedef struct norma_power_kernel {
    /* Rows [first, last), which begin a leaf of rows; sums are of these alone. */
    void (*pass)(const norma_power_job *job, int64_t first, int64_t last);
    /* y = (a + b * q) * p for `count` elements, b being lanes. */
    void (*deflate)(const void *a, const void *b, void *y, int64_t count, double p, double q);
} norma_power_kernel;

#define X(algorithm, dtype)                                                                                                    \
    extern const norma_##algorithm##_kernel norma_##algorithm##_##dtype##_generic, norma_##algorithm##_##dtype##_avx2,         \
        norma_##algorithm##_##dtype##_avx512, norma_##algorithm##_##dtype##_neon;
#include "weights/registry.def"
#undef X

typedef enum norma_weights_algorithm { NORMA_PRODUCTS, NORMA_POWER } norma_weights_algorithm;

typedef struct norma_weights_entry {
    const char *name; /* "products_f32" */
    norma_weights_algorithm algorithm;
    norma_dtype dtype;
    const void *kernel[NORMA_ISA_NEON + 1]; /* by norma_isa; NULL where this build has none */
} norma_weights_entry;

/* All kernels, for tests. */
extern const norma_weights_entry norma_weights_table[];
extern const size_t norma_weights_count;

const void *norma_weights_find(norma_weights_algorithm algorithm, norma_dtype dtype, norma_isa isa);

#endif

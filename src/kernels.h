/*
 * What a kernel is: the interface between the drivers above and the templates below, and the registry that joins them.
 *
 * Kernels are serial, stateless, allocation-free functions over a range. The API has validated what they get; they assert.
 */
#ifndef NORMA_KERNELS_H
#define NORMA_KERNELS_H

#include <stdbool.h>

#include "normalizer.h"
#include "norma/norma.h"

typedef enum norma_geometry { NORMA_ROWS, NORMA_PLANES, NORMA_FIBERS } norma_geometry;

/* How rows take turns at being reduced and written. */
typedef enum norma_rows_order {
    NORMA_PAIRS,  /* pairs of rows take turns at being reduced and written, one ahead of the other */
    NORMA_GROUPS, /* a group of rows is written beside the reduction of the next, strip by strip, past the caches */
    NORMA_ABREAST /* a row is written beside the reduction of the next, vector by vector, where it is of one leaf and has no
                     channels of its own */
} norma_rows_order;

/* A knob may change which loop runs and in what order, never the reduction tree: results keep their bits. */
typedef struct norma_blocking {
    norma_isa isa; /* whose kernels run */
    norma_rows_order order;
    int group;     /* rows: how many take a turn, at most NORMA_GROUP_MAX, in pairs an even number;
                      planes: neighbouring sets at work together, at most NORMA_SETS_MAX */
    int64_t strip; /* rows, in groups: elements of each row of a group written in turn, so that their scale and shift stay near;
                      fibers: columns reduced before they are written, whole groups; at most NORMA_STRIP_MAX, or one
                      group */
    int64_t ahead; /* elements that x is prefetched ahead; of fibers and planes 0 for not at all */
    int rows;      /* fibers: rows written at a time, at most NORMA_ROWS_MAX; 0: as many as suit the kernel */
    bool forward;  /* fibers, planes: write from the first row or run on, not from the last, which the caches still hold */
    bool stream;   /* write y past the caches */
    int threads;   /* most tasks that a run is split into */
} norma_blocking;

/* These bound the kernels' stack. */
#define NORMA_GROUP_MAX 8
#define NORMA_STRIP_MAX 512
#define NORMA_SETS_MAX 64
#define NORMA_ROWS_MAX 64

/* One axis of a tensor: how many steps, and elements per step in x and in y. */
typedef struct norma_axis {
    int64_t extent;
    int64_t x_stride;
    int64_t y_stride;
} norma_axis;

/* A gate: its type, and what it goes through. */
typedef struct norma_gating {
    norma_dtype dtype;
    norma_activation activation;
    double alpha;
    double beta;
} norma_gating;

/* What follows the affine, in this order; its tensors come with the job. */
typedef struct norma_epilogue {
    bool modulated;        /* element by element: y * (1 + scale) + shift */
    bool modulation_plain; /* y * scale + shift */
    bool residual;         /* is added */
    norma_dtype residual_dtype;
    norma_activation activation;
    double alpha; /* ReLU is a clip at 0 and infinity */
    double beta;
    bool gated; /* multiplied by the activation of a gate */
    norma_gating gating;
    norma_quantization quantization;
    int zero_point;
    norma_dtype y_dtype;
    bool any;    /* there is something to do */
    bool clamps; /* and that is a clip */
} norma_epilogue;

/* What an epilogue takes, from the element on that y begins with, and as y lies; NULL where it takes none. */
typedef struct norma_companions {
    const void *modulation_scale; /* lanes or elements, as scale and shift are */
    const void *modulation_shift;
    const void *residual;
    const void *gate;
    const float *y_scale; /* where quantized; one, or as many as scale has (see own_shift and channels) */
} norma_companions;

/* What a sample's channels are modulated with, taken into the affine: scale * (1 + modulation_scale) and so on. One for each
 * channel of each sample; lanes or elements as scale and shift are; NULL for none. */
typedef struct norma_modulator {
    const void *scale;
    const void *shift;
    bool plain;
} norma_modulator;

/* Scale and shift of a channel, modulated. Absent ones are NaN-free: a scale of 1 and a shift of -0, modulations of 0. */
static inline void norma_modulate(const norma_modulator *modulator, double by_scale, double by_shift, double *scale,
                                  double *shift)
{
    const double factor = modulator->plain ? by_scale : 1 + by_scale;
    *scale *= factor;
    *shift = *shift * factor + by_shift;
}

/* Rows: each reduced set is one contiguous run. */
typedef struct norma_rows_job {
    const void *x;
    void *y;
    const void *scale; /* one per element of a run (see channels), or NULL */
    const void *shift;
    bool wide;  /* scale and shift are f32, whatever x is */
    void *mean; /* one per row, or NULL */
    void *saved;
    int64_t length;   /* of a run */
    int64_t x_stride; /* elements from one row to the next */
    int64_t y_stride;
    int64_t set_stride;          /* likewise of mean and saved */
    int64_t channels;            /* not 0: scale and shift go by channel, not along the run; after the last comes the first */
    int64_t per_channel;         /* elements of a run that share a channel: all of them, or a part */
    norma_modulator modulator;   /* of channels, counted on over all rows */
    norma_companions companions; /* of row 0 */
    int64_t companion_stride;    /* elements from one row to the next */
    int64_t modulation_stride;   /* likewise of modulation, */
    int64_t modulation_rows;     /* of which so many rows share each */
    float *y_scale;              /* out, with NORMA_QUANTIZATION_PER_ROW: one per row, set_stride apart, as is the next */
    uint8_t *y_zero_point;       /* or NULL */
    const norma_epilogue *epilogue; /* or NULL */
    const norma_normalizer *normalizer;
    const norma_blocking *blocking;
} norma_rows_job;

/* Some runs, or parts of them, that the statistics of one set or of several are applied to. */
typedef struct norma_pieces {
    const void *x;
    void *y;
    const void *scale; /* or NULL, as where affine->own_shift; these two start at the same element as x and y */
    const void *shift;
    int64_t count; /* elements of each */
    int64_t runs;
    int64_t x_stride; /* elements from one run to the next */
    int64_t y_stride;
    norma_companions companions; /* runs lie as in y */
    const norma_affine *affine;  /* one for all, or one for each */
    bool affine_for_each;        /* and a y_scale, if they go by channel */
} norma_pieces;

/* What is normalized instead of x, where that is made first: s = x + residual, x + residual_gate * residual + bias, or
 * x * activation(gate). s has the kernel's element type, and so has a residual. */
typedef struct norma_sum_job {
    const void *x;
    norma_dtype x_dtype; /* and of a gate */
    void *sum;
    void *copy; /* not NULL: a second sum, of the same elements from its beginning on; the first goes past the caches */
    const void *residual; /* or NULL: then there is a gate */
    const void *gate;
    const norma_gating *gating;
    const void *residual_gate; /* lanes or elements as scale and shift are, as is the next; NULL: 1 */
    const void *bias;          /* one for each element of a row; NULL: 0 */
    bool wide;
    int64_t gate_rows; /* how many rows share those of a residual_gate */
    int64_t length;    /* of a row */
} norma_sum_job;

typedef struct norma_rows_kernel {
    /* Rows [first, last): statistics and y, one after the other while the row is in cache. */
    void (*normalize)(const norma_rows_job *job, int64_t first, int64_t last);
    /* The partial of `count` elements of a run; they begin at a leaf boundary of it. */
    norma_partial (*reduce)(const void *x, int64_t count);
    /* The partials of `runs` whole runs of one leaf each, `stride` elements apart. */
    void (*reduce_runs)(const void *x, int64_t count, int64_t stride, int64_t runs, norma_partial *partials);
    /* Elements [first, last), all rows counted on. */
    void (*sum)(const norma_sum_job *job, int64_t first, int64_t last);
    /* What is written past the caches others see after settle() on the same thread. */
    void (*apply)(const norma_rows_job *job, const norma_pieces *pieces);
    void (*settle)(void);
} norma_rows_kernel;

/*
 * Fibers: a matrix whose columns are the reduced sets. Its rows may be enumerated by several axes, outermost first.
 *
 * Narrow matrices are folded: `fold` rows of the tensor, which lie next to each other, make one row of the matrix, so that
 * vectors and cache lines are full. A column then lies in the matrix `fold` times; `rest` elements may be left for one row
 * more. Ranges count columns once, and with a fold are the whole matrix.
 */
typedef struct norma_fibers_job {
    const void *x;
    void *y;
    const void *scale; /* one per row of the matrix (see channels), or NULL */
    const void *shift;
    bool wide;     /* scale and shift are f32, whatever x is */
    bool channels; /* scale and shift go by column, column i taking element (column + i) / per_channel */
    int64_t column;
    int64_t per_channel;
    int64_t group; /* neighbouring columns that make one reduced set; a range begins and ends with a group */
    void *mean;    /* one per reduced set, or NULL */
    void *saved;
    norma_column *columns; /* one per column, from the first of the range: normalize() stores, unless NULL; reduce() stores;
                              apply() reads */
    const norma_axis *axes;
    int axes_count;
    int64_t first_row; /* apply() writes from here on */
    bool backwards;    /* and begins at the last: the rows that were read last are those that the caches still hold */
    int64_t rows;      /* of the matrix, without the rest: the product of the axes' extents */
    int64_t fold;
    int64_t rest;
    norma_modulator modulator;      /* of the job's channels or, where scale goes by row, rows */
    norma_companions companions;    /* lie as y */
    const norma_epilogue *epilogue; /* or NULL */
    const norma_normalizer *normalizer;
    const norma_blocking *blocking;
} norma_fibers_job;

typedef struct norma_fibers_kernel {
    /* Columns [first, last): statistics and y, a strip of columns at a time. With job->columns at most a strip. */
    void (*normalize)(const norma_fibers_job *job, int64_t first, int64_t last);
    /* The statistics of columns [first, last), at most a strip, over one segment of their rows; no groups. */
    void (*reduce)(const norma_fibers_job *job, int64_t first, int64_t last, int64_t segment);
    /* y of columns [first, last), at most a strip, rows [job->first_row, job->rows) and the rest. */
    void (*apply)(const norma_fibers_job *job, int64_t first, int64_t last);
} norma_fibers_kernel;

/* Elements of a run in one leaf, and rows of a matrix in one: the canonical reduction merges f32 lanes up to here and goes
 * on in double. Leaves of one reduction fall into at most NORMA_SEGMENTS_MAX segments of equal length, those of a matrix into
 * NORMA_FIBER_SEGMENTS_MAX; leaves merge in order within a segment, then segments in order. Both follow from the length alone,
 * so that threads can take whole segments. */
#define NORMA_RUN_LEAF 8192
#define NORMA_FIBER_LEAF 512
#define NORMA_SEGMENTS_MAX 64
#define NORMA_FIBER_SEGMENTS_MAX 16

/* Elements per segment of a run of the given length. */
static inline int64_t norma_segment_length(int64_t length)
{
    const int64_t leaves = (length + NORMA_RUN_LEAF - 1) / NORMA_RUN_LEAF;
    return (leaves + NORMA_SEGMENTS_MAX - 1) / NORMA_SEGMENTS_MAX * NORMA_RUN_LEAF;
}

/* Rows per segment of a matrix of so many. */
static inline int64_t norma_fiber_segment_length(int64_t rows)
{
    const int64_t leaves = (rows + NORMA_FIBER_LEAF - 1) / NORMA_FIBER_LEAF;
    return (leaves + NORMA_FIBER_SEGMENTS_MAX - 1) / NORMA_FIBER_SEGMENTS_MAX * NORMA_FIBER_LEAF;
}

#define X(geometry, statistic, dtype)                                                                                          \
    extern const norma_##geometry##_kernel norma_##geometry##_##statistic##_##dtype##_generic,                                 \
        norma_##geometry##_##statistic##_##dtype##_avx2, norma_##geometry##_##statistic##_##dtype##_avx512,                    \
        norma_##geometry##_##statistic##_##dtype##_avx512_bf16, norma_##geometry##_##statistic##_##dtype##_neon;
#include "kernels.def"
#undef X

typedef struct norma_kernel_entry {
    const char *name; /* "rows_moments_f32" */
    norma_geometry geometry;
    norma_statistic statistic;
    norma_dtype dtype;
    const void *kernel[NORMA_ISA_NEON + 1]; /* by norma_isa; NULL where this build has none */
} norma_kernel_entry;

/* All kernels, for tests, benches and the tuner. */
extern const norma_kernel_entry norma_kernel_table[];
extern const size_t norma_kernel_count;

/* The kernel for a geometry (planes run on the rows kernels), NULL when this build has none. */
const norma_kernel_entry *norma_kernel_find(norma_geometry geometry, norma_statistic statistic, norma_dtype dtype);

#endif

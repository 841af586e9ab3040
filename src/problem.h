/*
 * A descriptor, checked and turned into geometry: which elements share statistics, in the few forms that have kernels.
 */
#ifndef NORMA_PROBLEM_H
#define NORMA_PROBLEM_H

#include "desc.h"
#include "kernels.h"

/* Where modulation goes. */
typedef enum norma_modulated {
    NORMA_MODULATED_NOT,
    NORMA_MODULATED_ELEMENTS, /* its tensors lie as x does */
    NORMA_MODULATED_ALONG,    /* along the run of rows, or the rows of fibers, as scale does: one for each sample */
    NORMA_MODULATED_CHANNELS  /* taken into the affine of a sample's channel */
} norma_modulated;

/*
 * The tensor is a set of axes, outermost first, of which some are reduced. Neighbours of one kind are merged; what is left
 * tells the geometry:
 *
 *     rows    kept, reduced                        each set is one contiguous run
 *     planes  …, reduced, kept, reduced            each set is several runs: one per step of the reduced axes before the last
 *     fibers  …, reduced, kept                     each set is a column of a matrix whose rows the reduced axes enumerate
 */
typedef struct norma_problem {
    norma_geometry geometry;
    norma_dtype dtype;           /* of what is normalized, which kernels are made for: x, or the sum that is made of it first */
    norma_dtype x_dtype;         /* y's and others' are in the epilogue */
    norma_dtype parameter_dtype; /* of scale and shift, modulation, and of what is multiplied with or added to a residual */
    norma_dtype statistic_dtype; /* of mean, rstd, given and running statistics */
    norma_normalizer normalizer;
    bool takes_scale;
    bool takes_shift;
    bool takes_mean;
    norma_epilogue epilogue;
    bool sums;  /* x + residual, or x times a gate, is made first */
    bool gates; /* the latter */
    norma_modulation residual_gate;
    norma_modulated modulated;
    bool samples_in_rows;            /* fibers: samples, which modulate their channels, are rows of the matrix, not matrices */
    int64_t samples;                 /* extent of axis 0 */
    bool given;                      /* statistics come with the run */
    bool updates;                    /* a run may update running statistics */
    int64_t channels;                /* scale and shift go by channel, this many; 0: along a run, or along the rows of fibers */
    int64_t per_channel;             /* elements of a run, or columns, that share one of these channels */
    int64_t instances;               /* reduced sets of a channel, whose averages go into running statistics */
    int64_t width;                   /* fibers: columns of an item, in one matrix or, where channels are blocked, in several */
    int64_t group;                   /* fibers: neighbouring columns that make one reduced set */
    int64_t fold;                    /* fibers: rows of the tensor that make one of the matrix, see norma_fibers_job */
    int64_t rest;                    /* elements left over */
    norma_axis kept[NORMA_MAX_RANK]; /* but the columns of fibers */
    int kept_count;
    norma_axis reduced[NORMA_MAX_RANK]; /* but the run of rows and planes */
    int reduced_count;
    int64_t length; /* rows, planes: of a run; fibers: columns of a matrix */
    int64_t outer;  /* product of the kept axes */
    int64_t runs;   /* product of the reduced axes: runs of a set, or rows of a matrix, folded */
    int64_t count;  /* elements of a reduced set */
    int64_t sets;
    bool empty;     /* nothing to compute */
    int64_t x_span; /* elements from the first to one past the last */
    int64_t y_span;
} norma_problem;

/* Checks desc and fills problem. On failure the sentence names the field. */
norma_status norma_problem_init(norma_problem *problem, const norma_desc *desc);

/* Whether rows have several channels each. */
static inline bool norma_rows_have_channels(const norma_problem *problem)
{
    return problem->geometry == NORMA_ROWS && problem->channels && problem->per_channel < problem->length;
}

/* Whether rows only go in pairs, or one by one: not one beside another. */
static inline bool norma_rows_take_turns(const norma_problem *problem)
{
    return problem->sums || problem->epilogue.any;
}

/* Whether scales and shifts that go by channel lie along the run all the same: one element of it per channel. */
static inline bool norma_channels_along(const norma_problem *problem)
{
    return problem->channels && problem->per_channel == 1 && problem->length > 1;
}

/* Rows too long, or too few for the threads, go in units of a part of a row or several: the way of planes. */
static inline bool norma_rows_as_planes(const norma_problem *problem, int64_t rows, int threads)
{
    /* A row beyond NORMA_SEGMENTS_MAX leaves has segments, which only planes know, as they alone know given statistics. */
    const bool segmented = problem->length > (int64_t)NORMA_RUN_LEAF * NORMA_SEGMENTS_MAX;
    const bool whole = problem->epilogue.quantization == NORMA_QUANTIZATION_PER_ROW; /* a row's range is known when all is */
    return segmented || problem->given || (rows < threads && problem->length > NORMA_RUN_LEAF && !whole);
}

/* Whether x + residual (x times a gate) is a pass of its own: where the sums of a reduced set do not stay near. (With running
 * statistics, and where statistics are all that is wanted, it is always one.) */
static inline bool norma_sums_apart(const norma_problem *problem, int threads)
{
    const bool fused = problem->geometry == NORMA_ROWS && !norma_channels_along(problem) &&
                       !norma_rows_as_planes(problem, problem->outer, threads);
    return problem->sums && !fused;
}

/* Elements of scale and of shift. */
static inline int64_t norma_problem_parameters(const norma_problem *problem)
{
    return problem->channels ? problem->channels : problem->geometry == NORMA_FIBERS ? problem->runs : problem->length;
}

/* Elements of x, without gaps between rows. */
static inline int64_t norma_problem_elements(const norma_problem *problem)
{
    return problem->empty ? 0 : problem->sets * problem->count;
}

/* Product of extents. */
static inline int64_t norma_axes_extent(const norma_axis *axes, int count)
{
    int64_t extent = 1;
    for (int k = 0; k < count; k++) {
        extent *= axes[k].extent;
    }
    return extent;
}

/* Where step `index` of the axes lies in x and in y, counted with the last axis fastest. */
static inline void norma_axes_offset(const norma_axis *axes, int count, int64_t index, int64_t *x, int64_t *y)
{
    *x = *y = 0;
    for (int k = count - 1; k >= 0; k--) {
        const int64_t step = k ? index % axes[k].extent : index; /* divisions cost as much as a short run */
        index = k ? index / axes[k].extent : 0;
        *x += step * axes[k].x_stride;
        *y += step * axes[k].y_stride;
    }
}

#endif

/*
 * Drivers of the backward pass: one per geometry, as drivers.h has them for the forward. What they need besides their stack
 * lies in the caller's workspace, whose parts follow from the problem alone.
 *
 * Sums by channel are kept in cells: one for each channel of an item (each column of a matrix where those are sets), and that
 * for each part of the cell's elements that is summed up by itself, so that threads may take parts. A set is `group`
 * neighbouring cells; `per_parameter` neighbouring cells share a parameter.
 */
#ifndef NORMA_DRIVERS_BACKWARD_H
#define NORMA_DRIVERS_BACKWARD_H

#include "drivers/drivers.h"
#include "gradients.h"
#include "running.h"

typedef struct norma_cells {
    int64_t items;
    int64_t parts;
    int64_t per_item;
    int64_t group;
    int64_t per_parameter;
    norma_sums *sums; /* [items][parts][per_item] */
} norma_cells;

/* A backward pass at work. */
typedef struct norma_backward_run {
    const norma_plan *plan;
    const norma_backward_args *args;
    norma_args given; /* the statistics that come with the run, as a forward run has them */
    const norma_backward_kernel *kernel;
    norma_gradients at;
    const norma_set *sets; /* computed again; NULL where they are saved or given */
    norma_cells cells;
    double *parameters;        /* see each driver */
    void *lanes_of_scale;      /* room for a scale in lanes */
    const void *scale;         /* along rows: what multiplies */
    bool wide;                 /* it is of lanes, whatever x is */
    norma_modulated modulated; /* elements' modulation is in `at` */
    int64_t sample;            /* along rows: whose rows these are, where samples modulate, */
    double *totals;            /* and dscale and dshift of those up to it; else NULL */
    norma_sums *whole;         /* cells: sums of each set, where all items share their sets; else NULL */
} norma_backward_run;

/* How the workspace is used: bytes of each part, in this order. */
typedef struct norma_backward_space {
    int64_t sets;       /* norma_set of each set */
    int64_t totals;     /* of samples that modulate: dscale and dshift, or the sums of sets */
    int64_t sums;       /* of cells */
    int64_t parameters; /* partial sums of dscale and dshift, in double */
    int64_t leaves;     /* the same in lanes */
    int64_t scale;      /* scale in lanes, with the 1 + or modulated */
} norma_backward_space;

/* Whether the problem goes by rows with scale and shift along them, by runs of one channel each, by columns, or by columns with
 * scale and shift along the rows. */
typedef enum norma_backward_way { NORMA_BY_ROWS, NORMA_BY_RUNS, NORMA_BY_COLUMNS, NORMA_ALONG_ROWS } norma_backward_way;

norma_backward_way norma_backward_way_of(const norma_problem *problem);

/* Computes all gradients of a run whose plan, arguments, kernel and tensors are set. */
void norma_backward_drive(norma_backward_run *run);

void norma_backward_by_rows(norma_backward_run *run);
void norma_backward_by_runs(norma_backward_run *run);
void norma_backward_by_columns(norma_backward_run *run);
void norma_backward_along_rows(norma_backward_run *run);

/* The workspace of each. */
norma_backward_space norma_backward_rows_space(const norma_problem *problem);
norma_backward_space norma_backward_runs_space(const norma_problem *problem);
norma_backward_space norma_backward_columns_space(const norma_problem *problem);
norma_backward_space norma_backward_along_space(const norma_problem *problem);

/* Computes the statistics of all sets again, into `sets`: of runs, and of columns. */
void norma_backward_sets_of_runs(norma_backward_run *run, norma_set *sets);
void norma_backward_sets_of_columns(norma_backward_run *run, norma_set *sets);

static inline void norma_backward_sets_again(norma_backward_run *run, norma_set *sets)
{
    (run->plan->problem.geometry == NORMA_FIBERS ? norma_backward_sets_of_columns : norma_backward_sets_of_runs)(run, sets);
}

/* args->dresidual. */
void norma_backward_residual(const norma_backward_run *run);

/* args->dmodulation_scale and dmodulation_shift of a modulation of elements; `sets` has room for all of them. */
void norma_backward_modulation(const norma_backward_run *run, norma_set *sets);

/* How the backward pass takes a plan's modulation: as the forward pass but that rows of a sample each are elements. */
static inline norma_modulated norma_backward_modulated(const norma_problem *problem)
{
    const bool rows = problem->modulated == NORMA_MODULATED_ALONG && problem->geometry == NORMA_ROWS;
    return rows && problem->outer == problem->samples ? NORMA_MODULATED_ELEMENTS : problem->modulated;
}

/* The tensors from element `x` of x and dx on, `y` of dy and y, `dense` of those without gaps. */
static inline norma_gradients norma_gradients_at(const norma_plan *plan, norma_gradients from, int64_t x, int64_t y,
                                                 int64_t dense)
{
    from.x = norma_at(plan, from.x, x);
    from.dy = norma_at(plan, from.dy, y);
    from.y = norma_at(plan, from.y, y);
    from.bit += dense;
    from.dsum = norma_at(plan, from.dsum, dense);
    from.dx = norma_out_at(plan, from.dx, x);
    from.modulation = norma_parameter_at(plan, from.modulation, dense);
    return from;
}

static inline int64_t norma_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline void norma_backward_tasks(const norma_backward_run *run, int64_t count, norma_task task, void *argument)
{
    norma_parallel_run(&run->plan->context->parallel, run->args->pool, (size_t)count, task, argument);
}

/* Whether gradients are wanted that are sums: of scale and shift, of samples' modulation. */
static inline bool norma_wants_parameters(const norma_backward_run *run)
{
    const norma_backward_args *args = run->args;
    const bool samples = run->modulated == NORMA_MODULATED_ALONG || run->modulated == NORMA_MODULATED_CHANNELS;
    return args->dscale || args->dshift || (samples && (args->dmodulation_scale || args->dmodulation_shift));
}

/* The statistics of a set; `channel` is its first, where they are given. */
norma_set norma_backward_set(const norma_backward_run *run, int64_t set, int64_t channel);

/* What a scale multiplies with; 1 where there is none. */
static inline double norma_backward_scale(const norma_backward_run *run, int64_t parameter)
{
    const double one = run->plan->problem.normalizer.one_plus_scale ? 1 : 0;
    return run->args->scale ? norma_dtype_get(run->plan->problem.parameter_dtype, run->args->scale, parameter) + one : 1;
}

/* A shift; 0 where there is none. */
static inline double norma_backward_shift(const norma_backward_run *run, int64_t parameter)
{
    return run->args->shift ? norma_dtype_get(run->plan->problem.parameter_dtype, run->args->shift, parameter) : 0;
}

/* What a sample multiplies dy with, at an element of its modulation. */
static inline double norma_backward_factor(const norma_backward_run *run, int64_t sample, int64_t parameter)
{
    const norma_problem *problem = &run->plan->problem;
    const int64_t at = sample * norma_problem_parameters(problem) + parameter;
    const double one = problem->epilogue.modulation_plain ? 0 : 1;
    const void *modulation = run->args->modulation_scale;
    return modulation ? norma_dtype_get(problem->parameter_dtype, modulation, at) + one : 1;
}

/* Stores the gradients of a sample's modulation that follow from those that scale and shift would have without it. */
void norma_store_modulation(const norma_backward_run *run, int64_t sample, int64_t parameter, double dscale, double dshift);

/* The sums of one part of a cell of an item. */
static inline norma_sums *norma_cell(const norma_cells *cells, int64_t item, int64_t part, int64_t cell)
{
    return &cells->sums[(item * cells->parts + part) * cells->per_item + cell];
}

/* The parameter of a cell. */
static inline int64_t norma_cell_parameter(const norma_cells *cells, int64_t cell)
{
    return cell / cells->per_parameter;
}

/* The statistics of the set that a cell of an item is in. */
norma_set norma_cell_set(const norma_backward_run *run, int64_t item, int64_t cell);

/* What dx takes of the set that the cell is in, whose sums are known; of_g without a scale. */
norma_terms norma_cell_terms(const norma_backward_run *run, int64_t item, int64_t cell);

/* For cells [first, last) of an item: the set of each, and its terms with its scale. */
void norma_cells_sets(const norma_backward_run *run, int64_t item, int64_t first, int64_t last, norma_set *sets);
void norma_cells_terms(const norma_backward_run *run, int64_t item, int64_t first, int64_t last, norma_terms *terms);

/* run->whole, from all cells' sums. */
void norma_cells_join(const norma_backward_run *run);

/* dscale and dshift from all cells' sums. */
void norma_cells_parameters(norma_backward_run *run);

/* What becomes of sums for scales and shifts [first, first + count) along rows, without modulation. */
void norma_store_along(const norma_backward_run *run, int64_t first, int64_t count, const double *dscale, const double *dshift);

/* Stores sums as parameters [first, first + count), NULL: nowhere. */
void norma_store_parameters(const norma_backward_run *run, void *parameters, int64_t first, int64_t count, const double *sums);

#endif

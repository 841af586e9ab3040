/* Sums by channel, and what becomes of them: the terms of each set, and gradients of scale and shift. */
#include "drivers/backward.h"

norma_set norma_backward_set(const norma_backward_run *run, int64_t set, int64_t channel)
{
    const norma_problem *problem = &run->plan->problem;
    if (problem->given) {
        const norma_partial given = norma_running_given(run->plan, &run->given, channel);
        return norma_set_of_partial(&problem->normalizer, &given);
    }
    if (run->sets) {
        return run->sets[set];
    }
    const norma_dtype dtype = problem->statistic_dtype;
    return norma_set_of_saved(&problem->normalizer, run->args->mean ? norma_dtype_get(dtype, run->args->mean, set) : 0,
                              norma_dtype_get(dtype, run->args->rstd, set), dtype == NORMA_F32);
}

norma_set norma_cell_set(const norma_backward_run *run, int64_t item, int64_t cell)
{
    const norma_cells *cells = &run->cells;
    const int64_t index = run->whole ? cell : item * cells->per_item + cell;
    return norma_backward_set(run, index / cells->group, norma_cell_parameter(cells, cell));
}

/* What multiplies dy of a cell. */
static double cell_scale(const norma_backward_run *run, int64_t item, int64_t cell)
{
    const int64_t parameter = norma_cell_parameter(&run->cells, cell);
    const bool modulated = run->modulated == NORMA_MODULATED_CHANNELS;
    const double scale = norma_backward_scale(run, parameter);
    return modulated ? scale * norma_backward_factor(run, item, parameter) : scale;
}

/* The sums of a whole cell. */
static norma_sums cell_sums(const norma_cells *cells, int64_t item, int64_t cell)
{
    norma_sums sums = *norma_cell(cells, item, 0, cell);
    for (int64_t part = 1; part < cells->parts; part++) {
        sums = norma_sums_add(sums, *norma_cell(cells, item, part, cell));
    }
    return sums;
}

static norma_sums scaled_sums(const norma_backward_run *run, int64_t item, int64_t cell)
{
    const norma_sums sums = cell_sums(&run->cells, item, cell);
    const double scale = cell_scale(run, item, cell);
    const norma_sums scaled = {scale * sums.g, scale * sums.gx, sums.x};
    return scaled;
}

norma_terms norma_cell_terms(const norma_backward_run *run, int64_t item, int64_t cell)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_cells *cells = &run->cells;
    const norma_set set = norma_cell_set(run, item, cell);
    norma_sums whole = {0, 0, 0};
    const int64_t first = cell / cells->group * cells->group;
    for (int64_t i = first; !problem->given && !run->whole && i < first + cells->group; i++) {
        whole = norma_sums_add(whole, scaled_sums(run, item, i));
    }
    if (run->whole) {
        whole = run->whole[cell / cells->group];
    }
    return norma_terms_of(&problem->normalizer, &set, &whole, (double)problem->count, problem->given);
}

void norma_cells_sets(const norma_backward_run *run, int64_t item, int64_t first, int64_t last, norma_set *sets)
{
    for (int64_t i = first; i < last; i++) {
        sets[i - first] = i > first && i % run->cells.group != 0 ? sets[i - first - 1] : norma_cell_set(run, item, i);
    }
}

void norma_cells_terms(const norma_backward_run *run, int64_t item, int64_t first, int64_t last, norma_terms *terms)
{
    norma_terms of_set = {0, 0, 0, 0, 0, 0};
    for (int64_t i = first; i < last; i++) {
        if (i == first || i % run->cells.group == 0) {
            of_set = norma_cell_terms(run, item, i);
        }
        terms[i - first] = of_set;
        terms[i - first].of_g *= cell_scale(run, item, i);
    }
}

typedef struct join_share {
    const norma_backward_run *run;
    int64_t tasks;
} join_share;

static void join_sets(void *argument, size_t task)
{
    const join_share *share = argument;
    const norma_cells *cells = &share->run->cells;
    const int64_t sets = cells->per_item / cells->group;
    const int64_t last = norma_part_begin(sets, share->tasks, (int64_t)task + 1);
    for (int64_t set = norma_part_begin(sets, share->tasks, (int64_t)task); set < last; set++) {
        norma_sums whole = {0, 0, 0};
        for (int64_t i = 0; i < cells->items * cells->group; i++) {
            const int64_t cell = set * cells->group + i % cells->group;
            whole = norma_sums_add(whole, scaled_sums(share->run, i / cells->group, cell));
        }
        share->run->whole[set] = whole;
    }
}

void norma_cells_join(const norma_backward_run *run)
{
    const int64_t sets = run->cells.per_item / run->cells.group;
    join_share share = {run, norma_least(run->plan->blocking.threads, sets)};
    norma_backward_tasks(run, share.tasks, join_sets, &share);
}

/* Adds what the cells of set `index` of an item give to the sums of their parameters. */
static void add_set(const norma_backward_run *run, int64_t item, int64_t index)
{
    const norma_problem *problem = &run->plan->problem;
    const norma_cells *cells = &run->cells;
    const int64_t first = index * cells->group;
    double *dscale = run->parameters, *dshift = dscale + problem->channels;
    const bool centered = problem->normalizer.statistic == NORMA_MOMENTS && !problem->given;
    double x = 0;
    for (int64_t i = first; centered && !run->whole && i < first + cells->group; i++) {
        x += cell_sums(cells, item, i).x;
    }
    if (centered && run->whole) {
        x = run->whole[index].x;
    }
    norma_sums share = {0, 0, 0}; /* of the cells of one parameter */
    for (int64_t i = first; i < first + cells->group; i++) {
        const norma_sums sums = cell_sums(cells, item, i);
        const int64_t parameter = norma_cell_parameter(cells, i);
        const double of_scale = sums.gx - x / (double)problem->count * sums.g;
        if (run->modulated != NORMA_MODULATED_CHANNELS) {
            dscale[parameter] += of_scale;
            dshift[parameter] += sums.g;
            continue;
        }
        const double factor = norma_backward_factor(run, item, parameter);
        dscale[parameter] += factor * of_scale;
        dshift[parameter] += factor * sums.g;
        share.gx += of_scale;
        share.g += sums.g;
        if (i + 1 == first + cells->group || norma_cell_parameter(cells, i + 1) != parameter) {
            norma_store_modulation(run, item, parameter, share.gx, share.g);
            share.gx = share.g = 0;
        }
    }
}

typedef struct parameters_share {
    const norma_backward_run *run;
    int64_t tasks;
} parameters_share;

/* A share of the sets of an item, of all items in turn: no other has their parameters. */
static void add_sets(void *argument, size_t task)
{
    const parameters_share *share = argument;
    const norma_backward_run *run = share->run;
    const norma_cells *cells = &run->cells;
    const int64_t sets = cells->per_item / cells->group;
    const int64_t begin = norma_part_begin(sets, share->tasks, (int64_t)task);
    const int64_t end = norma_part_begin(sets, share->tasks, (int64_t)task + 1);
    if (begin == end) {
        return;
    }
    const int64_t first = norma_cell_parameter(cells, begin * cells->group);
    const int64_t count = norma_cell_parameter(cells, end * cells->group - 1) + 1 - first;
    double *dscale = run->parameters + first, *dshift = dscale + run->plan->problem.channels;
    memset(dscale, 0, (size_t)count * sizeof *dscale);
    memset(dshift, 0, (size_t)count * sizeof *dshift);
    for (int64_t item = 0; item < cells->items; item++) {
        for (int64_t set = begin; set < end; set++) {
            add_set(run, item, set);
        }
    }
    norma_store_parameters(run, run->args->dscale, first, count, dscale);
    norma_store_parameters(run, run->args->dshift, first, count, dshift);
}

void norma_cells_parameters(norma_backward_run *run)
{
    const int64_t sets = run->cells.per_item / run->cells.group;
    parameters_share share = {run, norma_least(run->plan->blocking.threads, sets)};
    if (norma_wants_parameters(run)) {
        norma_backward_tasks(run, share.tasks, add_sets, &share);
    }
}

void norma_store_modulation(const norma_backward_run *run, int64_t sample, int64_t parameter, double dscale, double dshift)
{
    const norma_problem *problem = &run->plan->problem;
    const int64_t at = sample * norma_problem_parameters(problem) + parameter;
    if (run->args->dmodulation_scale) {
        const double sum = norma_backward_scale(run, parameter) * dscale + norma_backward_shift(run, parameter) * dshift;
        norma_dtype_set(problem->parameter_dtype, run->args->dmodulation_scale, at, sum);
    }
    if (run->args->dmodulation_shift) {
        norma_dtype_set(problem->parameter_dtype, run->args->dmodulation_shift, at, dshift);
    }
}

void norma_store_along(const norma_backward_run *run, int64_t first, int64_t count, const double *dscale, const double *dshift)
{
    const norma_problem *problem = &run->plan->problem;
    if (run->totals) {
        double *of_scale = run->totals + first, *of_shift = of_scale + norma_problem_parameters(problem);
        for (int64_t i = 0; i < count; i++) {
            const double factor = norma_backward_factor(run, run->sample, first + i);
            of_scale[i] = (run->sample ? of_scale[i] : 0) + factor * dscale[i];
            of_shift[i] = (run->sample ? of_shift[i] : 0) + factor * dshift[i];
            norma_store_modulation(run, run->sample, first + i, dscale[i], dshift[i]);
        }
        if (run->sample + 1 < problem->samples) {
            return;
        }
        dscale = of_scale;
        dshift = of_shift;
    }
    norma_store_parameters(run, run->args->dscale, first, count, dscale);
    norma_store_parameters(run, run->args->dshift, first, count, dshift);
}

void norma_store_parameters(const norma_backward_run *run, void *parameters, int64_t first, int64_t count, const double *sums)
{
    const norma_dtype dtype = run->plan->problem.parameter_dtype;
    if (!parameters) {
        return;
    }
    if (dtype == NORMA_F32) { /* the usual type, without a choice for each */
        for (int64_t i = 0; i < count; i++) {
            ((float *)parameters)[first + i] = (float)sums[i];
        }
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        norma_dtype_set(dtype, parameters, first + i, sums[i]);
    }
}

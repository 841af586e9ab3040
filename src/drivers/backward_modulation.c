/*
 * Gradients of a modulation that has one element for each of x: no sums, but what scale and shift make of the set at hand once
 * more. In scalar double: the tensors' types, and where an element's set and parameter are, differ too much for one vector
 * loop.
 */
#include "drivers/backward.h"

enum { AXES_MAX = NORMA_MAX_RANK + 1 };

/* An axis of the tensor, outermost first, and what a step along it adds to the number of an element's item and channel. */
typedef struct numbered_axis {
    int64_t extent;
    int64_t item;
    int64_t channel;
} numbered_axis;

/* Where sets and parameters are. Of norms without channels the item is the set, and the channel the parameter. */
typedef struct modulation_shape {
    numbered_axis axes[AXES_MAX];
    int count;
    int64_t sets_per_item; /* set = item * sets_per_item + channel / channels_per_set */
    int64_t channels_per_set;
    int64_t channels_per_parameter;
    int64_t length; /* of a row; rows are so far apart in x, and in y: */
    int64_t x_stride;
    int64_t y_stride;
} modulation_shape;

static void set_axes(modulation_shape *s, const norma_desc *desc)
{
    int64_t item = 1, channel = 1;
    s->count = desc->rank;
    for (int k = desc->rank - 1; k >= 0; k--) {
        const bool reduced = desc->axes >> k & 1;
        const numbered_axis axis = {desc->shape[k], reduced ? 0 : item, reduced ? channel : 0};
        s->axes[k] = axis;
        *(reduced ? &channel : &item) *= desc->shape[k];
    }
    s->sets_per_item = 1;
    s->channels_per_set = channel;
    s->channels_per_parameter = 1;
}

static void set_image_axes(modulation_shape *s, const norma_desc *desc)
{
    const int axis = norma_channel_axis(desc);
    const int64_t n = desc->shape[0], c = desc->shape[axis], spatial = desc->shape[3 - axis];
    const int64_t block = norma_channel_block(desc);
    const bool nhwc = desc->layout == NORMA_NHWC, group = desc->op == NORMA_GROUP_NORM;
    const numbered_axis channels = {c / block, 0, block}, positions = {spatial, 0, 0};
    const numbered_axis axes[] = {{n, 1, 0}, nhwc ? positions : channels, nhwc ? channels : positions, {block, 0, 1}};
    s->count = block > 1 ? 4 : 3;
    memcpy(s->axes, axes, sizeof axes);
    s->channels_per_set = group ? c / desc->groups : 1;
    s->sets_per_item = desc->op == NORMA_BATCH_NORM ? 0 : c / s->channels_per_set;
    s->channels_per_parameter = desc->affine_of_groups ? s->channels_per_set : 1;
}

static modulation_shape shape_of(const norma_plan *plan)
{
    const norma_problem *problem = &plan->problem;
    modulation_shape s;
    if (norma_desc_by_channel(&plan->desc)) {
        set_image_axes(&s, &plan->desc);
    } else {
        set_axes(&s, &plan->desc);
    }
    const bool rows = problem->geometry == NORMA_ROWS;
    s.length = rows ? problem->length : norma_problem_elements(problem);
    s.x_stride = rows ? problem->kept[0].x_stride : 0;
    s.y_stride = rows ? problem->kept[0].y_stride : 0;
    return s;
}

typedef struct modulation_share {
    const norma_backward_run *run;
    modulation_shape shape;
    int64_t tasks;
} modulation_share;

/* Elements of one step of all axes but the last, which lie next to each other. */
typedef struct modulation_line {
    int64_t first; /* of all elements */
    int64_t count;
    int64_t item; /* of the first element */
    int64_t channel;
} modulation_line;

/* From element `first` on, at most up to `last`. */
static modulation_line line_from(const modulation_shape *s, int64_t first, int64_t last)
{
    modulation_line line = {.first = first};
    int64_t rest = first;
    for (int k = s->count - 1; k >= 0; k--) {
        const int64_t step = rest % s->axes[k].extent;
        rest /= s->axes[k].extent;
        line.item += step * s->axes[k].item;
        line.channel += step * s->axes[k].channel;
        if (k == s->count - 1) {
            line.count = norma_least(s->axes[k].extent - step, last - first);
        }
    }
    return line;
}

/* Whether dy of an element passed a relu. */
static bool passed(const norma_gradients *at, norma_dtype dtype, int64_t y, int64_t dense)
{
    const bool by_bit = !at->mask || at->mask[(at->bit + dense) >> 3] >> ((at->bit + dense) & 7) & 1;
    return at->y ? !(norma_dtype_get(dtype, at->y, y) <= 0) : by_bit;
}

static void run_line(const modulation_share *share, const modulation_line *line)
{
    const norma_backward_run *run = share->run;
    const norma_problem *problem = &run->plan->problem;
    const modulation_shape *s = &share->shape;
    const numbered_axis *axis = &s->axes[s->count - 1];
    const norma_dtype dtype = problem->dtype, parameters = problem->parameter_dtype;
    void *of_scale = run->args->dmodulation_scale, *of_shift = run->args->dmodulation_shift;
    const int64_t row = line->first / s->length, in_row = line->first % s->length;
    const int64_t x = row * s->x_stride + in_row, y = row * s->y_stride + in_row;
    norma_set set = {0, 0, 0};
    int64_t set_before = -1, parameter_before = -1;
    double scale = 1, shift = 0;
    for (int64_t i = 0; i < line->count; i++) {
        const int64_t item = line->item + i * axis->item, channel = line->channel + i * axis->channel;
        const int64_t index = item * s->sets_per_item + channel / s->channels_per_set;
        const int64_t parameter = channel / s->channels_per_parameter;
        const double dy = passed(&run->at, dtype, y + i, line->first + i) ? norma_dtype_get(dtype, run->at.dy, y + i) : 0;
        if (of_scale) {
            if (index != set_before) {
                set = norma_backward_set(run, index, channel);
                set_before = index;
            }
            if (parameter != parameter_before) {
                scale = norma_backward_scale(run, parameter);
                shift = norma_backward_shift(run, parameter);
                parameter_before = parameter;
            }
            const double xn = (norma_dtype_get(dtype, run->at.x, x + i) - set.mean) * set.factor;
            norma_dtype_set(parameters, of_scale, line->first + i, dy * (xn * scale + shift));
        }
        if (of_shift) {
            norma_dtype_set(parameters, of_shift, line->first + i, dy);
        }
    }
}

static void run_share(void *argument, size_t task)
{
    const modulation_share *share = argument;
    const int64_t elements = norma_problem_elements(&share->run->plan->problem);
    const int64_t last = norma_part_begin(elements, share->tasks, (int64_t)task + 1);
    for (int64_t first = norma_part_begin(elements, share->tasks, (int64_t)task); first < last;) {
        const modulation_line line = line_from(&share->shape, first, last);
        run_line(share, &line);
        first += line.count;
    }
}

void norma_backward_modulation(const norma_backward_run *run, norma_set *sets)
{
    const norma_problem *problem = &run->plan->problem;
    norma_backward_run whole = *run;
    /* A saved f32 mean is not exact enough far from zero, and here are no sums to set it right. */
    if (run->args->dmodulation_scale && !problem->given && (problem->takes_mean || !run->args->rstd)) {
        norma_backward_sets_again(&whole, sets);
    }
    modulation_share share = {&whole, shape_of(run->plan), run->plan->blocking.threads};
    norma_backward_tasks(run, share.tasks, run_share, &share);
}

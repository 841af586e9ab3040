#include "support/oracle.h"

#include <math.h>

#include "support/element.h"
#include "support/suite.h"

/* Either the reduced axes of a shape or the kept ones, with steps in x and y. */
typedef struct axes_of {
    int count;
    int64_t extent[NORMA_MAX_RANK];
    int64_t x_step[NORMA_MAX_RANK];
    int64_t y_step[NORMA_MAX_RANK];
} axes_of;

static axes_of choose_axes(const norma_desc *desc, bool reduced)
{
    axes_of chosen = {0};
    int64_t step = 1, kept = 1;
    for (int k = desc->rank - 1; k >= 0; k--) {
        const bool is_reduced = desc->axes >> k & 1;
        if (is_reduced == reduced) {
            const int i = chosen.count++;
            chosen.extent[i] = desc->shape[k];
            chosen.x_step[i] = reduced || !desc->x_row_stride ? step : desc->x_row_stride * kept;
            chosen.y_step[i] = reduced || !desc->y_row_stride ? step : desc->y_row_stride * kept;
        }
        step *= desc->shape[k];
        kept *= is_reduced ? 1 : desc->shape[k];
    }
    return chosen;
}

static int64_t size_of(const axes_of *axes)
{
    int64_t size = 1;
    for (int i = 0; i < axes->count; i++) {
        size *= axes->extent[i];
    }
    return size;
}

static void locate(const axes_of *axes, int64_t index, int64_t *x_at, int64_t *y_at)
{
    for (int i = 0; i < axes->count; i++) { /* innermost first */
        const int64_t along = index % axes->extent[i];
        *x_at += along * axes->x_step[i];
        *y_at += along * axes->y_step[i];
        index /= axes->extent[i];
    }
}

static bool is_image(const norma_desc *desc)
{
    return desc->op == NORMA_BATCH_NORM || desc->op == NORMA_INSTANCE_NORM || desc->op == NORMA_GROUP_NORM;
}

static int64_t channels_of(const norma_desc *desc)
{
    return desc->shape[desc->layout == NORMA_NHWC ? 2 : 1];
}

/* The channel of an element of (n, c, spatial) or (n, spatial, c). */
static int64_t channel_of(const norma_desc *desc, int64_t at)
{
    return (desc->layout == NORMA_NHWC ? at : at / desc->shape[2]) % channels_of(desc);
}

/* Where element `at` of (n, c, spatial) lies where channels are blocked. */
static int64_t block_at(const norma_desc *desc, int64_t at)
{
    const int64_t block = desc->layout == NORMA_NCHW16C ? 16 : desc->layout == NORMA_NCHW8C ? 8 : 1;
    const int64_t spatial = desc->rank == 3 ? desc->shape[2] : 1;
    const int64_t plane = at / spatial;
    return (plane / block * spatial + at % spatial) * block + plane % block;
}

/* Which of scale and shift goes with an element of (n, c, spatial) or (n, spatial, c). */
static int64_t parameter_of(const norma_desc *desc, int64_t at)
{
    return desc->affine_of_groups ? channel_of(desc, at) / (channels_of(desc) / desc->groups) : channel_of(desc, at);
}

/* With the channels split in groups and channels of a group: then groups are kept and the rest is reduced. */
static norma_desc split_groups(const norma_desc *desc)
{
    norma_desc split = *desc;
    if (desc->op == NORMA_GROUP_NORM) {
        const bool last = desc->layout == NORMA_NHWC;
        split.rank = 4;
        split.shape[1] = last ? desc->shape[1] : desc->groups;
        split.shape[2] = last ? desc->groups : channels_of(desc) / desc->groups;
        split.shape[3] = last ? channels_of(desc) / desc->groups : desc->shape[2];
        split.axes = last ? 10 : 12;
    }
    return split;
}

oracle *oracle_layout(const norma_desc *desc)
{
    const norma_desc split = split_groups(desc);
    norma_desc dense = split; /* rows without gaps */
    dense.x_row_stride = dense.y_row_stride = 0;
    const axes_of dense_kept = choose_axes(&dense, false), dense_reduced = choose_axes(&dense, true);
    const axes_of kept = choose_axes(&split, false), reduced = choose_axes(&split, true);
    oracle *o = suite_alloc(1, sizeof *o);
    o->sets = size_of(&kept);
    o->length = size_of(&reduced);
    o->params = desc->affine_of_groups ? desc->groups : is_image(desc) ? channels_of(desc) : o->length;
    const size_t sets = (size_t)o->sets, elements = (size_t)(o->sets * o->length);
    o->y = suite_alloc(elements, sizeof *o->y);
    o->x_at = suite_alloc(elements, sizeof *o->x_at);
    o->y_at = suite_alloc(elements, sizeof *o->y_at);
    o->param_at = suite_alloc(elements, sizeof *o->param_at);
    o->dense_at = suite_alloc(elements, sizeof *o->dense_at);
    o->sample_at = suite_alloc(elements, sizeof *o->sample_at);
    const int64_t of_sample = o->sets * o->length / (desc->shape[0] ? desc->shape[0] : 1);
    o->mean = suite_alloc(sets, sizeof *o->mean);
    o->rstd = suite_alloc(sets, sizeof *o->rstd);
    o->v = suite_alloc(sets, sizeof *o->v);
    for (int64_t set = 0; set < o->sets; set++) {
        int64_t x_base = 0, y_base = 0, dense_base = 0, same = 0;
        locate(&kept, set, &x_base, &y_base);
        locate(&dense_kept, set, &dense_base, &same);
        for (int64_t i = 0; i < o->length; i++) {
            int64_t x_at = x_base, y_at = y_base, dense_at = dense_base;
            locate(&reduced, i, &x_at, &y_at);
            locate(&dense_reduced, i, &dense_at, &same);
            o->dense_at[set * o->length + i] = block_at(desc, dense_at);
            o->sample_at[set * o->length + i] = dense_at / of_sample;
            o->x_at[set * o->length + i] = block_at(desc, x_at);
            o->y_at[set * o->length + i] = block_at(desc, y_at);
            o->param_at[set * o->length + i] = is_image(desc) ? parameter_of(desc, x_at) : i;
        }
    }
    return o;
}

static long double divisor_of(const norma_desc *desc, long double v)
{
    const long double epsilon = desc->epsilon;
    const bool root = !(desc->op == NORMA_LP_NORM && desc->p == 1);
    switch (desc->epsilon_mode) {
    case NORMA_EPSILON_INSIDE:
        return root ? sqrtl(v + epsilon) : v + epsilon;
    case NORMA_EPSILON_OUTSIDE:
        return (root ? sqrtl(v) : v) + epsilon;
    case NORMA_EPSILON_FLOOR:
        return fmaxl(root ? sqrtl(v) : v, epsilon);
    default:
        return root ? sqrtl(v) : v;
    }
}

static bool has_mean(const norma_desc *desc)
{
    return desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
}

long double oracle_activation(norma_activation activation, long double alpha, long double beta, long double y)
{
    const long double gate = fminl(fmaxl(alpha * y + beta, 0), 1);
    if (isnan(y)) {
        return y;
    }
    switch (activation) {
    case NORMA_IDENTITY:
        return y;
    case NORMA_RELU:
        return fmaxl(y, 0);
    case NORMA_LEAKY_RELU:
        return y < 0 ? alpha * y : y;
    case NORMA_CLIP:
        return fminl(fmaxl(y, alpha), beta);
    case NORMA_SILU:
        return y / (1 + expl(-y));
    case NORMA_GELU:
        return y * erfcl(-y / sqrtl(2)) / 2;
    case NORMA_GELU_TANH:
        return y * (1 + tanhl(sqrtl(2 / acosl(-1)) * (y + 0.044715L * y * y * y))) / 2;
    case NORMA_SIGMOID:
        return 1 / (1 + expl(-y));
    case NORMA_TANH:
        return tanhl(y);
    case NORMA_HARD_SWISH:
        return y * gate;
    case NORMA_HARD_SIGMOID:
        return gate;
    case NORMA_MISH:
        return y * tanhl(log1pl(expl(y)));
    case NORMA_ELU:
        return y < 0 ? alpha * expm1l(y) : y;
    }
    return NAN;
}

/* Element of a tensor that goes as `modulation` says. */
static long double modulation_of(const oracle *o, const norma_desc *desc, norma_modulation modulation, const void *tensor,
                                 int64_t at)
{
    const int64_t per_sample = o->sample_at[at] * o->params + o->param_at[at];
    return element_get(element_parameter(desc), tensor,
                       modulation == NORMA_MODULATION_PER_SAMPLE ? per_sample : o->dense_at[at]);
}

static long double gate_of(const oracle *o, const norma_desc *desc, const void *tensor, int64_t at)
{
    norma_desc usual = *desc;
    norma_desc_activate(&usual, desc->gate_activation);
    return oracle_activation(usual.activation, usual.activation_alpha, usual.activation_beta,
                             element_get(desc->dtype, tensor, o->dense_at[at]));
}

long double oracle_sum(const oracle *o, const norma_desc *desc, const oracle_inputs *in, int64_t set, int64_t i)
{
    const int64_t at = set * o->length + i;
    long double x = element_get(desc->dtype, in->x, o->x_at[at]);
    if (element_is_integer(desc->dtype) && desc->residual != NORMA_RESIDUAL_BEFORE) {
        x = desc->x_scale * (x - desc->x_zero_point);
    }
    if (desc->residual == NORMA_RESIDUAL_BEFORE) {
        const long double residual = element_get(element_residual(desc), in->residual, o->dense_at[at]);
        x += in->residual_gate ? modulation_of(o, desc, desc->residual_gate, in->residual_gate, at) * residual : residual;
        x += in->residual_bias ? element_get(element_parameter(desc), in->residual_bias, o->param_at[at]) : 0;
    }
    return desc->gate == NORMA_GATE_BEFORE ? x * gate_of(o, desc, in->gate, at) : x;
}

/* Element i of a set as it is normalized: x, or the rounded sum of it and a residual. */
static long double element_of_set(const oracle *o, int64_t set, int64_t i, const norma_desc *desc, oracle_inputs in)
{
    const norma_dtype dtype = element_normalized(desc);
    const long double sum = oracle_sum(o, desc, &in, set, i);
    if (desc->residual != NORMA_RESIDUAL_BEFORE && desc->gate != NORMA_GATE_BEFORE) {
        return sum;
    }
    return dtype == NORMA_F64 ? (double)sum : element_round(dtype, (double)(float)sum);
}

/* The mean of a set, and its v. */
static void reduce_set(const oracle *o, int64_t set, const norma_desc *desc, oracle_inputs in, long double *mean,
                       long double *v)
{
    const bool magnitudes = desc->op == NORMA_LP_NORM && desc->p == 1;
    long double sum = 0;
    for (int64_t i = 0; has_mean(desc) && i < o->length; i++) {
        sum += element_of_set(o, set, i, desc, in);
    }
    *mean = sum / o->length;
    *v = 0;
    for (int64_t i = 0; i < o->length; i++) {
        const long double d = element_of_set(o, set, i, desc, in) - *mean;
        *v += magnitudes ? fabsl(d) : d * d;
    }
    *v = desc->op == NORMA_LP_NORM ? *v : *v / (o->length - desc->unbiased);
}

static void normalize_set(oracle *o, int64_t set, const norma_desc *desc, oracle_inputs in)
{
    const int64_t *param_at = o->param_at + set * o->length;
    long double mean, v;
    if (desc->statistics == NORMA_STATISTICS_GIVEN) {
        mean = element_get(element_statistic(element_normalized(desc)), in.given_mean, set % channels_of(desc));
        v = element_get(element_statistic(element_normalized(desc)), in.given_variance, set % channels_of(desc));
    } else {
        reduce_set(o, set, desc, in, &mean, &v);
    }
    const long double divisor = divisor_of(desc, v);
    const long double factor = divisor == 0 ? 0 : 1 / divisor;
    o->mean[set] = (double)mean;
    o->rstd[set] = (double)factor;
    o->v[set] = (double)v;
    const bool one_plus = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ONE_PLUS_SCALE;
    for (int64_t i = 0; i < o->length; i++) {
        long double y = divisor == 0 ? 0 : (element_of_set(o, set, i, desc, in) - mean) / divisor;
        if (desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ROUND_THEN_SCALE && element_is_narrow(element_y(desc))) {
            y = element_round(element_y(desc), (double)(float)y); /* kernels have it in f32 */
        }
        if (in.scale) {
            y *= element_get(element_parameter(desc), in.scale, param_at[i]) + (one_plus ? 1.0L : 0.0L);
        }
        if (in.shift) {
            y += element_get(element_parameter(desc), in.shift, param_at[i]);
        }
        const int64_t at = set * o->length + i;
        if (in.modulation_scale) {
            y *= modulation_of(o, desc, desc->modulation, in.modulation_scale, at) + (desc->modulation_plain ? 0.0L : 1.0L);
        }
        if (in.modulation_shift) {
            y += modulation_of(o, desc, desc->modulation, in.modulation_shift, at);
        }
        if (desc->residual == NORMA_RESIDUAL_AFTER) {
            y += element_get(element_residual(desc), in.residual, o->dense_at[at]);
        }
        y = oracle_activation(desc->activation, desc->activation_alpha, desc->activation_beta, y);
        o->y[at] = (double)(desc->gate == NORMA_GATE_AFTER ? y * gate_of(o, desc, in.gate, at) : y);
    }
}

oracle *oracle_create(const norma_desc *desc, oracle_inputs inputs)
{
    oracle *o = oracle_layout(desc);
    for (int64_t set = 0; set < o->sets; set++) {
        normalize_set(o, set, desc, inputs);
    }
    return o;
}

void oracle_destroy(oracle *o)
{
    if (o) {
        free(o->y);
        free(o->x_at);
        free(o->y_at);
        free(o->param_at);
        free(o->dense_at);
        free(o->sample_at);
        free(o->mean);
        free(o->rstd);
        free(o->v);
        free(o);
    }
}

static int64_t extent_of(const int64_t *at, int64_t count)
{
    int64_t extent = 0;
    for (int64_t i = 0; i < count; i++) {
        extent = at[i] >= extent ? at[i] + 1 : extent;
    }
    return extent;
}

int64_t oracle_x_extent(const oracle *o)
{
    return extent_of(o->x_at, o->sets * o->length);
}

int64_t oracle_y_extent(const oracle *o)
{
    return extent_of(o->y_at, o->sets * o->length);
}

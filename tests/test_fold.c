/* Folding: layers and batch norms against the one layer that norma_fold() makes of them, by convolutions in double. */
#include <math.h>

#include "norma/weights.h"
#include "support/conv.h"
#include "support/element.h"
#include "support/random.h"
#include "support/suite.h"

enum { CHANNELS_MAX = 16, NORMS_MAX = 3, ELEMENTS_MAX = 4096 };

static const norma_dtype dtypes[] = {NORMA_F32, NORMA_F64, NORMA_BF16, NORMA_F16};

/* Layer, norms and data of one trial, as doubles that are numbers of the types that they lie in. */
typedef struct model {
    conv_layer layer;
    norma_fold_desc desc;
    bool has_bias;
    int norms;
    double weight[ELEMENTS_MAX], bias[CHANNELS_MAX];
    double norm[NORMS_MAX][4][CHANNELS_MAX]; /* scale, shift, mean, variance */
    double x[ELEMENTS_MAX];
} model;

/* What a fold gives, as doubles. */
typedef struct folded {
    double weight[ELEMENTS_MAX], bias[CHANNELS_MAX], padding[CHANNELS_MAX];
} folded;

/* A tensor of some type. */
typedef struct tensor {
    _Alignas(8) unsigned char bytes[ELEMENTS_MAX * sizeof(double)];
} tensor;

static void *put(tensor *to, norma_dtype dtype, const double *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        element_set(dtype, to->bytes, i, from[i]);
    }
    return to->bytes;
}

static void take(double *to, norma_dtype dtype, const tensor *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] = element_get(dtype, from->bytes, i);
    }
}

static void fill(double *to, norma_dtype dtype, int64_t count, double offset, double spread, random_state *random)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] = element_round(dtype, offset + spread * random_normal(random));
    }
}

static norma_dtype bias_dtype(const norma_fold_desc *desc)
{
    return desc->bias_dtype ? desc->bias_dtype : desc->dtype;
}

static norma_fold_desc desc_of(const conv_layer *layer, norma_dtype dtype)
{
    const int64_t conv[] = {layer->out, layer->in / layer->groups, layer->kernel, layer->kernel};
    const int64_t transpose[] = {layer->in, layer->out / layer->groups, layer->kernel, layer->kernel};
    return layer->transpose ? norma_fold_conv_transpose_desc(4, transpose, layer->groups, dtype)
                            : norma_fold_conv_desc(4, conv, layer->groups, dtype);
}

static model *model_create(conv_layer layer, norma_fold_desc desc, int norms, random_state *random)
{
    model *m = suite_alloc(1, sizeof *m);
    m->layer = layer;
    m->desc = desc;
    m->has_bias = true;
    m->norms = norms;
    check(conv_weight_count(&layer) <= ELEMENTS_MAX && layer.in <= CHANNELS_MAX && layer.out <= CHANNELS_MAX);
    fill(m->weight, desc.dtype, conv_weight_count(&layer), 0.1, 1, random);
    fill(m->bias, bias_dtype(&desc), layer.out, 1, 1, random);
    fill(m->x, NORMA_F64, layer.in * layer.size * layer.size, 0.5, 1, random);
    for (int i = 0; i < norms; i++) {
        fill(m->norm[i][0], desc.norm_dtype, CHANNELS_MAX, 1, 0.5, random);
        fill(m->norm[i][1], desc.norm_dtype, CHANNELS_MAX, 0.5, 1, random);
        fill(m->norm[i][2], desc.norm_dtype, CHANNELS_MAX, -0.5, 1, random);
        for (int c = 0; c < CHANNELS_MAX; c++) {
            m->norm[i][3][c] = element_round(desc.norm_dtype, random_between(random, 0.1, 3));
        }
    }
    return m;
}

static conv_norm norm_of(const model *m, int index)
{
    const conv_norm norm = {m->norm[index][0], m->norm[index][1], m->norm[index][2], m->norm[index][3], 0.25};
    return norm;
}

/* The fold of all the model's norms. */
static norma_status fold_model(const model *m, folded *f)
{
    const norma_fold_desc *desc = &m->desc;
    const int64_t weights = conv_weight_count(&m->layer), in = m->layer.in, out = m->layer.out;
    const int64_t channels = desc->norm_first ? in : out;
    tensor *room = suite_alloc(5 + 4 * NORMS_MAX, sizeof *room);
    norma_fold_norm norms[NORMS_MAX];
    for (int i = 0; i < m->norms; i++) {
        tensor *at = &room[5 + 4 * i];
        norms[i] = (norma_fold_norm){sizeof norms[i],
                                     put(&at[0], desc->norm_dtype, m->norm[i][0], channels),
                                     put(&at[1], desc->norm_dtype, m->norm[i][1], channels),
                                     put(&at[2], desc->norm_dtype, m->norm[i][2], channels),
                                     put(&at[3], desc->norm_dtype, m->norm[i][3], channels),
                                     0.25};
    }
    const norma_fold_args args = {.struct_size = sizeof args,
                                  .weight = put(&room[0], desc->dtype, m->weight, weights),
                                  .bias = m->has_bias ? put(&room[1], bias_dtype(desc), m->bias, out) : NULL,
                                  .norms = norms,
                                  .norms_count = m->norms,
                                  .output_weight = room[2].bytes,
                                  .output_bias = room[3].bytes,
                                  .output_padding = desc->norm_first && desc->padded ? room[4].bytes : NULL};
    const norma_status status = norma_fold(desc, &args);
    take(f->weight, desc->dtype, &room[2], weights);
    take(f->bias, bias_dtype(desc), &room[3], out);
    take(f->padding, desc->norm_dtype, &room[4], in);
    free(room);
    return status;
}

/* Layer and norms one after the other. */
static void run_model(const model *m, double *y)
{
    double x[ELEMENTS_MAX];
    const int64_t size = conv_output_size(&m->layer);
    memcpy(x, m->x, sizeof x);
    for (int i = 0; i < m->norms && m->desc.norm_first; i++) {
        const conv_norm norm = norm_of(m, i);
        conv_normalize(&norm, m->layer.in, m->layer.size * m->layer.size, x);
    }
    conv_run(&m->layer, m->weight, m->has_bias ? m->bias : NULL, NULL, x, y);
    for (int i = 0; i < m->norms && !m->desc.norm_first; i++) {
        const conv_norm norm = norm_of(m, i);
        conv_normalize(&norm, m->layer.out, size * size, y);
    }
}

/* Half a unit in the last place of a number near 1. */
static double unit_of(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? 0x1p-53 : dtype == NORMA_F32 ? 0x1p-24 : element_ulp(dtype, 1) / 2;
}

/* The largest difference of two results in units of what rounding each weight, bias and padding may do to an output. */
static double worst_error(const model *m, const folded *f, const double *padding, const double *want, bool inner)
{
    const int64_t size = conv_output_size(&m->layer), count = m->layer.out * size * size;
    double got[ELEMENTS_MAX], bound[ELEMENTS_MAX], weight[ELEMENTS_MAX], x[ELEMENTS_MAX], bias[CHANNELS_MAX], pad[CHANNELS_MAX];
    check(count <= ELEMENTS_MAX);
    for (int64_t i = 0; i < ELEMENTS_MAX; i++) {
        weight[i] = fabs(f->weight[i]), x[i] = fabs(m->x[i]);
    }
    for (int64_t c = 0; c < CHANNELS_MAX; c++) { /* the bias is a sum: in double, but of terms larger than itself */
        bias[c] = fabs(f->bias[c]) + 10;
        pad[c] = padding ? fabs(padding[c]) : 0;
    }
    conv_run(&m->layer, f->weight, f->bias, padding, m->x, got);
    conv_run(&m->layer, weight, bias, pad, x, bound);
    double worst = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = i / size % size, column = i % size;
        if (!inner || (row > 0 && column > 0 && row < size - 1 && column < size - 1)) {
            const double error = fabs(got[i] - want[i]) / (2 * bound[i] * unit_of(m->desc.dtype) + 1e-13);
            worst = fmax(worst, error);
        }
    }
    return worst;
}

static void check_model(const model *m)
{
    folded *f = suite_alloc(1, sizeof *f);
    double want[ELEMENTS_MAX];
    const bool pads = m->desc.norm_first && m->desc.padded;
    check_success(fold_model(m, f));
    run_model(m, want);
    const double worst = worst_error(m, f, pads ? f->padding : NULL, want, false);
    if (!(worst <= 1)) {
        suite_fail("the folded layer is off by %g times what rounding allows", worst);
    }
    free(f);
}

/* Plain, grouped, depthwise; linear ones are 1x1 on images of one element. */
static const conv_layer convolutions[] = {
    {false, 6, 8, 1, 3, 1, 0, 6}, {false, 6, 8, 2, 3, 2, 1, 7}, {false, 8, 8, 8, 3, 1, 1, 5},
    {false, 4, 8, 4, 2, 1, 0, 5}, {false, 3, 5, 1, 1, 1, 0, 4}, {false, 12, 7, 1, 1, 1, 0, 1},
};
static const conv_layer transposed[] = {
    {true, 6, 8, 1, 3, 2, 1, 4}, {true, 6, 8, 2, 3, 2, 1, 4}, {true, 8, 8, 8, 2, 2, 0, 3}, {true, 4, 8, 4, 3, 1, 0, 4}};

static void check_layers(const conv_layer *layers, size_t count, bool norm_first, int norms)
{
    random_state random = random_begin(count + (uint64_t)norms);
    for (size_t i = 0; i < count * COUNT_OF(dtypes) * 2; i++) {
        const conv_layer *layer = &layers[i / 2 / COUNT_OF(dtypes)];
        norma_fold_desc desc = desc_of(layer, dtypes[i / 2 % COUNT_OF(dtypes)]);
        desc.norm_first = norm_first;
        desc.padded = !layer->transpose && layer->padding > 0;
        desc.norm_dtype = i % 3 ? desc.norm_dtype : NORMA_F64;
        desc.bias_dtype = i % 5 || desc.dtype == NORMA_F64 ? 0 : NORMA_F32;
        suite_case("layer %zu, %s, bias %d", i / 2 / COUNT_OF(dtypes), norma_dtype_name(desc.dtype), (int)(i % 2));
        model *m = model_create(*layer, desc, norms, &random);
        m->has_bias = i % 2;
        check_model(m);
        free(m);
    }
}

static void conv_then_norm(void **state)
{
    (void)state;
    check_layers(convolutions, COUNT_OF(convolutions), false, 1);
}

static void conv_transpose_then_norm(void **state)
{
    (void)state;
    check_layers(transposed, COUNT_OF(transposed), false, 1);
}

static void norm_then_conv(void **state)
{
    (void)state;
    check_layers(convolutions, COUNT_OF(convolutions), true, 1);
}

static void chains_of_norms(void **state)
{
    (void)state;
    check_layers(convolutions, COUNT_OF(convolutions), false, 3);
    check_layers(convolutions, COUNT_OF(convolutions), true, 2);
    check_layers(transposed, COUNT_OF(transposed), false, 2);
}

/* What one finds written: the factors of the first output channels, broadcast over the weight's second axis. */
static void naive_fold_of_grouped_transpose_is_wrong(void **state)
{
    (void)state;
    random_state random = random_begin(1);
    model *m = model_create(transposed[1], desc_of(&transposed[1], NORMA_F32), 1, &random);
    folded *f = suite_alloc(1, sizeof *f);
    double want[ELEMENTS_MAX];
    const conv_norm norm = norm_of(m, 0);
    const int64_t each = m->layer.out / m->layer.groups, taps = m->layer.kernel * m->layer.kernel;
    check_success(fold_model(m, f));
    run_model(m, want);
    check(worst_error(m, f, NULL, want, false) <= 1);
    for (int64_t i = 0; i < conv_weight_count(&m->layer); i++) {
        const int64_t c = i / taps % each;
        f->weight[i] = m->weight[i] * norm.scale[c] / sqrt(norm.variance[c] + norm.epsilon);
    }
    check(worst_error(m, f, NULL, want, false) > 1e4);
    free(f);
    free(m);
}

/* The same weight and bias, padded with zeros as before: right inside, wrong at the border. */
static void naive_padding_is_wrong(void **state)
{
    (void)state;
    random_state random = random_begin(2);
    const conv_layer layer = {false, 6, 8, 2, 3, 1, 1, 7};
    norma_fold_desc desc = desc_of(&layer, NORMA_F32);
    desc.norm_first = desc.padded = 1;
    model *m = model_create(layer, desc, 1, &random);
    folded *f = suite_alloc(1, sizeof *f);
    double want[ELEMENTS_MAX];
    check_success(fold_model(m, f));
    run_model(m, want);
    check(worst_error(m, f, f->padding, want, false) <= 1);
    check(worst_error(m, f, NULL, want, true) <= 1);
    check(worst_error(m, f, NULL, want, false) > 1e4);
    free(f);
    free(m);
}

/* conv, ReLU, norm, conv: the norm is no part of the first convolution, only of the second. */
static void no_fold_across_an_activation(void **state)
{
    (void)state;
    random_state random = random_begin(3);
    const conv_layer first = {false, 3, 6, 1, 3, 1, 0, 8}, second = {false, 6, 4, 1, 3, 1, 1, 6};
    norma_fold_desc desc = desc_of(&second, NORMA_F64);
    desc.norm_first = desc.padded = 1;
    model *a = model_create(first, desc_of(&first, NORMA_F64), 1, &random), *b = model_create(second, desc, 1, &random);
    folded *f = suite_alloc(1, sizeof *f);
    double want[ELEMENTS_MAX], wrong[ELEMENTS_MAX];
    memcpy(a->norm, b->norm, sizeof a->norm);
    conv_run(&first, a->weight, a->bias, NULL, a->x, b->x);
    check_success(fold_model(a, f));
    conv_run(&first, f->weight, f->bias, NULL, a->x, wrong); /* the norm before the ReLU */
    double largest = 0;
    for (int64_t i = 0; i < first.out * 36; i++) {
        double right = fmax(b->x[i], 0);
        const int64_t c = i / 36;
        right = (right - b->norm[0][2][c]) / sqrt(b->norm[0][3][c] + 0.25) * b->norm[0][0][c] + b->norm[0][1][c];
        largest = fmax(largest, fabs(right - fmax(wrong[i], 0)));
        b->x[i] = fmax(b->x[i], 0);
    }
    check(largest > 0.1);
    run_model(b, want);
    check_success(fold_model(b, f));
    check(worst_error(b, f, f->padding, want, false) <= 1);
    free(f);
    free(b);
    free(a);
}

/* A norm into a norm, and both into a convolution in either way. */
static void norm_into_norm(void **state)
{
    (void)state;
    random_state random = random_begin(4);
    const conv_layer layer = {false, 5, 8, 1, 3, 1, 0, 6};
    model *m = model_create(layer, desc_of(&layer, NORMA_F64), 2, &random);
    folded *at_once = suite_alloc(1, sizeof *at_once), *in_turn = suite_alloc(1, sizeof *in_turn);
    double scale[8], shift[8];
    check_success(fold_model(m, at_once));
    const norma_fold_desc desc = norma_fold_batch_norm_desc(8, NORMA_F64);
    const norma_fold_norm second = {sizeof second, m->norm[1][0], m->norm[1][1], m->norm[1][2], m->norm[1][3], 0.25};
    const norma_fold_args args = {.struct_size = sizeof args,
                                  .weight = m->norm[0][0],
                                  .bias = m->norm[0][1],
                                  .norms = &second,
                                  .norms_count = 1,
                                  .output_weight = scale,
                                  .output_bias = shift};
    check_success(norma_fold(&desc, &args));
    memcpy(m->norm[0][0], scale, sizeof scale);
    memcpy(m->norm[0][1], shift, sizeof shift);
    m->norms = 1;
    check_success(fold_model(m, in_turn));
    for (int64_t i = 0; i < conv_weight_count(&layer); i++) {
        check(fabs(in_turn->weight[i] - at_once->weight[i]) <= 1e-14 * (1 + fabs(at_once->weight[i])));
    }
    for (int64_t o = 0; o < 8; o++) {
        check(fabs(in_turn->bias[o] - at_once->bias[o]) <= 1e-13);
    }
    free(in_turn);
    free(at_once);
    free(m);
}

/* Small numbers worked by hand: s = a = 3 / 2. */
static void by_hand(void **state)
{
    (void)state;
    const double weight = 2, bias = 1, scale = 3, shift = 4, mean = 5, variance = 3;
    double w = 0, b = 0, padding = 0;
    const norma_fold_norm norm = {sizeof norm, &scale, &shift, &mean, &variance, 1};
    const int64_t shape[] = {1, 1, 1};
    norma_fold_desc desc = norma_fold_conv_desc(3, shape, 1, NORMA_F64);
    norma_fold_args args = {.struct_size = sizeof args,
                            .weight = &weight,
                            .bias = &bias,
                            .norms = &norm,
                            .norms_count = 1,
                            .output_weight = &w,
                            .output_bias = &b};
    check_success(norma_fold(&desc, &args));
    check(w == 3 && b == -2); /* (1 - 5) * 3 / 2 + 4 */
    args.bias = NULL;
    check_success(norma_fold(&desc, &args));
    check(w == 3 && b == -3.5);
    args.bias = &bias;
    desc.norm_first = desc.padded = 1;
    args.output_padding = &padding;
    check_success(norma_fold(&desc, &args));
    check(w == 3 && b == -6 && padding == 3.5 / 1.5); /* t = 4 - 5 * 3 / 2 = -3.5 */
}

/* A channel without variance and epsilon has x - mean = 0, and 0 / 0 counts as 0 in norma. */
static void no_variance(void **state)
{
    (void)state;
    const double weight[] = {2, 3}, shift[] = {4, 5}, mean[] = {1, 2}, variance[] = {0, 4};
    double w[2], b[2];
    const norma_fold_norm norm = {sizeof norm, NULL, shift, mean, variance, 0};
    const norma_fold_desc desc = norma_fold_linear_desc(2, 1, NORMA_F64);
    const norma_fold_args args = {
        .struct_size = sizeof args, .weight = weight, .norms = &norm, .norms_count = 1, .output_weight = w, .output_bias = b};
    check_success(norma_fold(&desc, &args));
    check(w[0] == 0 && b[0] == 4 && w[1] == 1.5 && b[1] == 4);
}

/* A product a little above the middle between two numbers of a narrow type goes up; by way of f32 it would go to even, down. */
static void narrow_types_round_once(void **state)
{
    (void)state;
    const norma_dtype narrow[] = {NORMA_BF16, NORMA_F16};
    for (size_t i = 0; i < COUNT_OF(narrow); i++) {
        const double ulp = element_ulp(narrow[i], 1);
        const double scale = 1 + ulp / 2 + 0x1p-40, zero = 0, one = 1;
        tensor w, b;
        element_set(narrow[i], w.bytes, 0, 1);
        const norma_fold_norm norm = {sizeof norm, &scale, &scale, &zero, &one, 0};
        norma_fold_desc desc = norma_fold_linear_desc(1, 1, narrow[i]);
        desc.norm_dtype = NORMA_F64;
        const norma_fold_args args = {.struct_size = sizeof args,
                                      .weight = w.bytes,
                                      .norms = &norm,
                                      .norms_count = 1,
                                      .output_weight = w.bytes,
                                      .output_bias = b.bytes};
        check_success(norma_fold(&desc, &args));
        check(element_get(narrow[i], w.bytes, 0) == 1 + ulp && element_get(narrow[i], b.bytes, 0) == 1 + ulp);
    }
}

static void in_place(void **state)
{
    (void)state;
    random_state random = random_begin(6);
    for (int first = 0; first < 2; first++) {
        const conv_layer layer = {false, 4, 6, 2, 3, 1, 0, 5};
        norma_fold_desc desc = desc_of(&layer, NORMA_F64);
        desc.norm_first = first;
        model *m = model_create(layer, desc, 1, &random);
        folded *f = suite_alloc(1, sizeof *f);
        check_success(fold_model(m, f));
        const norma_fold_norm norm = {sizeof norm, m->norm[0][0], m->norm[0][1], m->norm[0][2], m->norm[0][3], 0.25};
        const norma_fold_args args = {.struct_size = sizeof args,
                                      .weight = m->weight,
                                      .bias = m->bias,
                                      .norms = &norm,
                                      .norms_count = 1,
                                      .output_weight = m->weight,
                                      .output_bias = m->bias};
        check_success(norma_fold(&desc, &args));
        check(memcmp(m->weight, f->weight, (size_t)conv_weight_count(&layer) * sizeof(double)) == 0);
        check(memcmp(m->bias, f->bias, 6 * sizeof(double)) == 0);
        free(f);
        free(m);
    }
}

/* A fold of one weight of f32 between one channel and another, to be spoiled. */
typedef struct small {
    float weight[4], bias[2], scale[2], shift[2], mean[2], variance[2], w[4], b[2], padding[2];
    norma_fold_norm norm;
    norma_fold_desc desc;
    norma_fold_args args;
} small;

static void small_make(small *s)
{
    const small made = {.weight = {1, 2, 3, 4},
                        .bias = {1, 2},
                        .scale = {1, 2},
                        .shift = {1, 1},
                        .mean = {1, 1},
                        .variance = {1, 1},
                        .w = {9, 9, 9, 9},
                        .b = {9, 9},
                        .padding = {9, 9}};
    *s = made;
    const norma_fold_norm norm = {sizeof norm, s->scale, s->shift, s->mean, s->variance, 0};
    s->norm = norm;
    const int64_t shape[] = {2, 2, 1, 1};
    s->desc = norma_fold_conv_desc(4, shape, 1, NORMA_F32);
    const norma_fold_args args = {.struct_size = sizeof args,
                                  .weight = s->weight,
                                  .bias = s->bias,
                                  .norms = &s->norm,
                                  .norms_count = 1,
                                  .output_weight = s->w,
                                  .output_bias = s->b};
    s->args = args;
}

static void check_small_refused(const small *s, norma_status status, const char *word)
{
    check_refused(norma_fold(&s->desc, &s->args), status, word);
    for (int i = 0; i < 4; i++) {
        check(s->w[i] == 9 && s->b[i % 2] == 9 && s->padding[i % 2] == 9);
    }
}

#define REFUSED(change, status, word)                                                                                          \
    do {                                                                                                                       \
        small s;                                                                                                               \
        small_make(&s);                                                                                                        \
        change;                                                                                                                \
        check_small_refused(&s, status, word);                                                                                 \
    } while (0)

static void no_exact_fold(void **state)
{
    (void)state;
    REFUSED((s.desc.layer = NORMA_FOLD_CONV_TRANSPOSE, s.desc.norm_first = 1), NORMA_UNSUPPORTED, "transposed");
    REFUSED((s.desc = norma_fold_batch_norm_desc(2, NORMA_F32), s.desc.norm_first = 1), NORMA_UNSUPPORTED, "earlier");
    REFUSED((s.desc.norm_first = s.desc.padded = 1, s.args.output_padding = s.padding, s.scale[1] = 0), NORMA_UNSUPPORTED,
            "channel 1");
    REFUSED((s.desc.norm_first = s.desc.padded = 1, s.args.output_padding = s.padding, s.scale[1] = 1e-38f, s.shift[1] = 1e8f),
            NORMA_UNSUPPORTED, "padding");
    REFUSED((s.scale[0] = 1e38f, s.weight[1] = 10), NORMA_UNSUPPORTED, "output_weight: element 1");
    REFUSED((s.scale[1] = 1e38f, s.mean[1] = 1e6f, s.weight[2] = s.weight[3] = 0), NORMA_UNSUPPORTED, "output_bias: element 1");
    small s; /* a channel that is 0 throughout can be padded with anything */
    small_make(&s);
    s.desc.norm_first = s.desc.padded = 1;
    s.args.output_padding = s.padding;
    s.scale[1] = 0, s.shift[1] = 0;
    check_success(norma_fold(&s.desc, &s.args));
    check(s.w[1] == 0 && s.padding[1] == 0 && !signbit(s.padding[1]) && s.padding[0] == 0);
}

static void bad_input(void **state)
{
    (void)state;
    small none;
    small_make(&none);
    check_refused(norma_fold(NULL, &none.args), NORMA_INVALID_ARGUMENT, "desc");
    check_refused(norma_fold(&none.desc, NULL), NORMA_INVALID_ARGUMENT, "args");
    REFUSED(s.desc.struct_size = 3, NORMA_INVALID_ARGUMENT, "struct_size");
    REFUSED(s.args.struct_size = 3, NORMA_INVALID_ARGUMENT, "struct_size");
    REFUSED(s.norm.struct_size = 0, NORMA_INVALID_ARGUMENT, "struct_size");
    REFUSED(s.desc.layer = (norma_fold_layer)9, NORMA_INVALID_ARGUMENT, "layer");
    REFUSED(s.desc.dtype = (norma_dtype)9, NORMA_INVALID_ARGUMENT, "desc.dtype");
    REFUSED(s.desc.dtype = NORMA_U8, NORMA_INVALID_ARGUMENT, "desc.dtype");
    REFUSED(s.desc.bias_dtype = NORMA_F64, NORMA_INVALID_ARGUMENT, "bias_dtype");
    REFUSED(s.desc.norm_dtype = NORMA_BF16, NORMA_INVALID_ARGUMENT, "norm_dtype");
    REFUSED(s.desc.norm_first = 2, NORMA_INVALID_ARGUMENT, "norm_first");
    REFUSED(s.desc.padded = 2, NORMA_INVALID_ARGUMENT, "padded");
    REFUSED((s.desc.layer = NORMA_FOLD_LINEAR, s.desc.rank = 2, s.desc.padded = 1), NORMA_INVALID_ARGUMENT, "padded");
    REFUSED(s.desc.rank = 1, NORMA_INVALID_ARGUMENT, "rank");
    REFUSED(s.desc.rank = 9, NORMA_INVALID_ARGUMENT, "rank");
    REFUSED(s.desc.layer = NORMA_FOLD_LINEAR, NORMA_INVALID_ARGUMENT, "rank");
    REFUSED(s.desc.shape[3] = -1, NORMA_INVALID_ARGUMENT, "shape[3]");
    REFUSED(s.desc.shape[3] = INT64_MAX, NORMA_INVALID_ARGUMENT, "overflow");
    REFUSED(s.desc.groups = 0, NORMA_INVALID_ARGUMENT, "groups");
    REFUSED(s.desc.groups = 3, NORMA_INVALID_ARGUMENT, "groups");
    REFUSED((s.desc.layer = NORMA_FOLD_LINEAR, s.desc.rank = 2, s.desc.groups = 2), NORMA_INVALID_ARGUMENT, "groups");
    REFUSED(s.args.weight = NULL, NORMA_INVALID_ARGUMENT, "args.weight");
    REFUSED(s.args.norms = NULL, NORMA_INVALID_ARGUMENT, "args.norms");
    REFUSED(s.args.norms_count = 0, NORMA_INVALID_ARGUMENT, "args.norms");
    REFUSED(s.args.output_weight = NULL, NORMA_INVALID_ARGUMENT, "output_weight");
    REFUSED(s.args.output_bias = NULL, NORMA_INVALID_ARGUMENT, "output_bias");
    REFUSED(s.args.output_bias = s.w, NORMA_INVALID_ARGUMENT, "overlaps");
    REFUSED(s.args.output_weight = s.weight + 1, NORMA_INVALID_ARGUMENT, "overlaps");
    REFUSED(s.args.output_bias = s.mean, NORMA_INVALID_ARGUMENT, "overlaps");
    REFUSED(s.args.output_weight = (char *)s.w + 1, NORMA_INVALID_ARGUMENT, "aligned");
    REFUSED(s.args.output_padding = s.padding, NORMA_INVALID_ARGUMENT, "output_padding");
    REFUSED(s.desc.norm_first = s.desc.padded = 1, NORMA_INVALID_ARGUMENT, "output_padding");
    REFUSED(s.norm.mean = NULL, NORMA_INVALID_ARGUMENT, "mean");
    REFUSED(s.norm.variance = NULL, NORMA_INVALID_ARGUMENT, "variance");
    REFUSED(s.norm.epsilon = -1, NORMA_INVALID_ARGUMENT, "epsilon");
    REFUSED(s.norm.epsilon = NAN, NORMA_INVALID_ARGUMENT, "epsilon");
    REFUSED(s.variance[1] = -1, NORMA_INVALID_ARGUMENT, "channel 1");
    REFUSED(s.variance[0] = NAN, NORMA_INVALID_ARGUMENT, "variance");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_then_norm),
        cmocka_unit_test(conv_transpose_then_norm),
        cmocka_unit_test(norm_then_conv),
        cmocka_unit_test(chains_of_norms),
        cmocka_unit_test(naive_fold_of_grouped_transpose_is_wrong),
        cmocka_unit_test(naive_padding_is_wrong),
        cmocka_unit_test(no_fold_across_an_activation),
        cmocka_unit_test(norm_into_norm),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(no_variance),
        cmocka_unit_test(narrow_types_round_once),
        cmocka_unit_test(in_place),
        cmocka_unit_test(no_exact_fold),
        cmocka_unit_test(bad_input),
    };
    return suite_main("fold", tests, COUNT_OF(tests), argc, argv);
}

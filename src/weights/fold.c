/* Batch norm folded into the layer beside it: in double, every result rounded once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "norma/weights.h"

#include "dtype.h"
#include "error.h"
#include "weights/tensors.h"

/* A fold at work. The norms together are x * factor + offset, channel by channel. */
typedef struct fold {
    norma_fold_desc desc;
    norma_fold_args args;
    int64_t outputs;
    int64_t inputs;
    int64_t kernel;   /* elements of a weight per pair of channels */
    int64_t channels; /* of the norms */
    double *factor;
    double *offset;
    double *bias; /* of the result, one per output */
} fold;

/* The output and the input channel of row `row` of the weight, whose first two axes are taken as one. */
typedef struct fold_channels {
    int64_t output;
    int64_t input;
} fold_channels;

static int64_t second_extent(const fold *f)
{
    return f->desc.rank > 1 ? f->desc.shape[1] : 1;
}

static int64_t rows_of(const fold *f)
{
    return f->desc.shape[0] * second_extent(f);
}

static fold_channels channels_of_row(const fold *f, int64_t row)
{
    const int64_t second = second_extent(f);
    const int64_t first = row / second, in_group = row % second;
    const int64_t group = first / (f->desc.shape[0] / f->desc.groups);
    const int64_t other = group * second + in_group; /* of both kinds of convolution the second axis counts within a group */
    const fold_channels of_conv = {first, other}, of_transpose = {other, first};
    return f->desc.layer == NORMA_FOLD_CONV_TRANSPOSE ? of_transpose : of_conv;
}

static norma_status check_enumerators(const norma_fold_desc *desc)
{
    if (desc->layer < NORMA_FOLD_CONV || desc->layer > NORMA_FOLD_BATCH_NORM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.layer: expected a norma_fold_layer, got %d", (int)desc->layer);
    }
    const norma_status status = norma_check_dtypes(desc->dtype, "bias_dtype", desc->bias_dtype);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    if (desc->norm_dtype != NORMA_F32 && desc->norm_dtype != NORMA_F64) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.norm_dtype: expected NORMA_F32 or NORMA_F64, got %d",
                          (int)desc->norm_dtype);
    }
    if (desc->norm_first != 0 && desc->norm_first != 1) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.norm_first: expected 0 or 1, got %d", desc->norm_first);
    }
    if (desc->padded != 0 && (desc->padded != 1 || desc->layer != NORMA_FOLD_CONV)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.padded: expected 0, or 1 for a convolution, got %d", desc->padded);
    }
    return NORMA_SUCCESS;
}

static norma_status check_shape(const norma_fold_desc *desc)
{
    const bool conv = desc->layer == NORMA_FOLD_CONV || desc->layer == NORMA_FOLD_CONV_TRANSPOSE;
    const int rank = desc->layer == NORMA_FOLD_BATCH_NORM ? 1 : 2;
    if (conv ? desc->rank < rank || desc->rank > NORMA_MAX_RANK : desc->rank != rank) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.rank: expected %s%d for the weight of this layer (and a shape that is not NULL), got %d",
                          conv ? "at least " : "", rank, desc->rank);
    }
    const norma_status status = norma_check_shape(desc->rank, desc->shape, desc->dtype, 1);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    if (desc->groups < 1 || (!conv && desc->groups != 1) || (conv && desc->shape[0] % desc->groups != 0)) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "desc.groups: expected a divisor of the %lld channels of the first axis, got %lld",
                          (long long)(conv ? desc->shape[0] : 1), (long long)desc->groups);
    }
    return NORMA_SUCCESS;
}

static norma_status check_first(const norma_fold_desc *desc)
{
    if (desc->norm_first && desc->layer == NORMA_FOLD_CONV_TRANSPOSE) {
        return norma_fail(NORMA_UNSUPPORTED,
                          "desc.norm_first: what a norm before a transposed convolution adds reaches outputs "
                          "by as many kernel elements as each sees, which no bias can stand for");
    }
    if (desc->norm_first && desc->layer == NORMA_FOLD_BATCH_NORM) {
        return norma_fail(NORMA_UNSUPPORTED,
                          "desc.norm_first: of two batch norms the later is folded into the earlier; expected "
                          "0, with the earlier one's scale as the weight");
    }
    return NORMA_SUCCESS;
}

static norma_status check_desc(const norma_fold_desc *desc)
{
    norma_status status = check_enumerators(desc);
    if (status == NORMA_SUCCESS) {
        status = check_shape(desc);
    }
    return status == NORMA_SUCCESS ? check_first(desc) : status;
}

static void set_extents(fold *f)
{
    const norma_fold_desc *desc = &f->desc;
    const int64_t across = second_extent(f) * desc->groups;
    const bool transpose = desc->layer == NORMA_FOLD_CONV_TRANSPOSE;
    f->outputs = transpose ? across : desc->shape[0];
    f->inputs = transpose ? desc->shape[0] : desc->layer == NORMA_FOLD_BATCH_NORM ? desc->shape[0] : across;
    f->kernel = 1;
    for (int k = 2; k < desc->rank; k++) {
        f->kernel *= desc->shape[k];
    }
    f->channels = desc->norm_first ? f->inputs : f->outputs;
}

/* Norm `index` of the caller's array, whose elements are as long as its first one says. */
static norma_status read_norm(const fold *f, int index, norma_fold_norm *norm)
{
    size_t stride;
    memcpy(&stride, f->args.norms, sizeof stride);
    const char *at = (const char *)f->args.norms + (size_t)index * stride;
    norma_status status = norma_read_struct("args.norms", norm, sizeof *norm, sizeof *norm, at);
    if (status == NORMA_SUCCESS && norm->struct_size != stride) {
        status = norma_fail(NORMA_INVALID_ARGUMENT, "args.norms[%d]: struct_size is %zu, expected %zu as in the first", index,
                            norm->struct_size, stride);
    }
    return status;
}

static norma_status check_norm(const fold *f, int index)
{
    norma_fold_norm norm;
    const norma_status status = read_norm(f, index, &norm);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const norma_dtype dtype = f->desc.norm_dtype;
    const norma_tensor tensors[] = {
        {"norms.scale", norm.scale, dtype, f->channels, NORMA_TENSOR_OPTIONAL, NULL},
        {"norms.shift", norm.shift, dtype, f->channels, NORMA_TENSOR_OPTIONAL, NULL},
        {"norms.mean", norm.mean, dtype, f->channels, NORMA_TENSOR_IN, NULL},
        {"norms.variance", norm.variance, dtype, f->channels, NORMA_TENSOR_IN, NULL},
        {"output_weight", f->args.output_weight, f->desc.dtype, rows_of(f) * f->kernel, NORMA_TENSOR_OUT, "weight"},
        {"output_bias", f->args.output_bias, f->desc.bias_dtype, f->outputs, NORMA_TENSOR_OUT, "bias"},
        {"output_padding", f->args.output_padding, dtype, f->inputs, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    if (!(norm.epsilon >= 0) || isinf(norm.epsilon)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.norms[%d].epsilon: expected a finite number of at least 0, got %g",
                          index, norm.epsilon);
    }
    const norma_status good = norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
    for (int64_t c = 0; good == NORMA_SUCCESS && c < f->channels; c++) {
        const double variance = norma_dtype_get(dtype, norm.variance, c);
        if (!(variance >= 0)) {
            return norma_fail(NORMA_INVALID_ARGUMENT,
                              "args.norms[%d].variance: expected numbers of at least 0, got %g for channel %lld", index,
                              variance, (long long)c);
        }
    }
    return good;
}

static norma_status check_args(const fold *f)
{
    const norma_fold_args *args = &f->args;
    const bool pads = f->desc.norm_first && f->desc.padded;
    const norma_tensor tensors[] = {
        {"weight", args->weight, f->desc.dtype, rows_of(f) * f->kernel, NORMA_TENSOR_IN, NULL},
        {"bias", args->bias, f->desc.bias_dtype, f->outputs, NORMA_TENSOR_OPTIONAL, NULL},
        {"output_weight", args->output_weight, f->desc.dtype, rows_of(f) * f->kernel, NORMA_TENSOR_OUT, "weight"},
        {"output_bias", args->output_bias, f->desc.bias_dtype, f->outputs, NORMA_TENSOR_OUT, "bias"},
        {"output_padding", args->output_padding, f->desc.norm_dtype, f->inputs, NORMA_TENSOR_OUT_OPTIONAL, NULL},
    };
    if (pads && !args->output_padding) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.output_padding: a padded convolution after a norm is exact only when padded with other values "
                          "than zero; expected where to store them, got NULL");
    }
    if (!pads && args->output_padding) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "args.output_padding: goes with desc.norm_first and desc.padded, expected NULL otherwise");
    }
    if (!args->norms || args->norms_count < 1) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.norms: expected at least one batch norm, got %s",
                          args->norms ? "a norms_count below 1" : "NULL");
    }
    norma_status status = norma_check_tensors(tensors, sizeof tensors / sizeof *tensors);
    for (int i = 0; status == NORMA_SUCCESS && i < args->norms_count; i++) {
        status = check_norm(f, i);
    }
    return status;
}

/* The norms as one: the product of their factors, and where they take `offset`, which may hold a bias. A norm goes by
 * (x - mean) * s + shift, so that a mean cancels as it would in the norm itself. */
static void compose_norms(fold *f)
{
    const norma_dtype dtype = f->desc.norm_dtype;
    for (int i = 0; i < f->args.norms_count; i++) {
        norma_fold_norm norm;
        (void)read_norm(f, i, &norm); /* was checked */
        for (int64_t c = 0; c < f->channels; c++) {
            const double root = sqrt(norma_dtype_get(dtype, norm.variance, c) + norm.epsilon);
            const double scale = norm.scale ? norma_dtype_get(dtype, norm.scale, c) : 1;
            const double shift = norm.shift ? norma_dtype_get(dtype, norm.shift, c) : 0;
            const double s = root == 0 ? 0 : scale / root;
            f->factor[c] *= s;
            f->offset[c] = (f->offset[c] - norma_dtype_get(dtype, norm.mean, c)) * s + shift;
        }
    }
}

/* Norms before the layer: what their offsets add to each output. */
static void add_offsets(fold *f)
{
    for (int64_t row = 0; row < rows_of(f); row++) {
        const fold_channels channels = channels_of_row(f, row);
        double sum = 0;
        for (int64_t k = 0; k < f->kernel; k++) {
            sum += norma_dtype_get(f->desc.dtype, f->args.weight, row * f->kernel + k);
        }
        f->bias[channels.output] += sum * f->offset[channels.input];
    }
}

static void compute(fold *f)
{
    const bool first = f->desc.norm_first;
    for (int64_t o = 0; o < f->outputs; o++) {
        f->bias[o] = f->args.bias ? norma_dtype_get(f->desc.bias_dtype, f->args.bias, o) : 0;
    }
    for (int64_t c = 0; c < f->channels; c++) {
        f->factor[c] = 1;
        f->offset[c] = first ? 0 : f->bias[c];
    }
    compose_norms(f);
    if (first) {
        add_offsets(f);
    } else {
        memcpy(f->bias, f->offset, (size_t)f->outputs * sizeof *f->bias);
    }
}

static double weight_at(const fold *f, int64_t row, int64_t k)
{
    const fold_channels channels = channels_of_row(f, row);
    return norma_dtype_get(f->desc.dtype, f->args.weight, row * f->kernel + k) *
           f->factor[f->desc.norm_first ? channels.input : channels.output];
}

/* What zero was after the norms; 0 for -0. */
static double padding_at(const fold *f, int64_t c)
{
    return f->offset[c] == 0 ? 0 : -f->offset[c] / f->factor[c];
}

/* Whether a number that came of finite ones has none near it in its type. */
static bool lost(norma_dtype dtype, double value)
{
    double rounded = 0;
    norma_dtype_set(dtype, &rounded, 0, value);
    return isinf(norma_dtype_get(dtype, &rounded, 0));
}

static norma_status check_padding(const fold *f)
{
    for (int64_t c = 0; f->args.output_padding && c < f->inputs; c++) {
        if (f->factor[c] == 0 && f->offset[c] != 0) {
            return norma_fail(
                NORMA_UNSUPPORTED,
                "desc.padded: channel %lld is %g whatever comes in (its scale is 0), but 0 in the padding: no value "
                "to pad with makes up for that",
                (long long)c, f->offset[c]);
        }
        if (lost(f->desc.norm_dtype, padding_at(f, c))) {
            return norma_fail(NORMA_UNSUPPORTED, "args.output_padding: for channel %lld it would be infinite in %s",
                              (long long)c, norma_dtype_name(f->desc.norm_dtype));
        }
    }
    return NORMA_SUCCESS;
}

static norma_status check_results(const fold *f)
{
    for (int64_t row = 0; row < rows_of(f); row++) {
        for (int64_t k = 0; k < f->kernel; k++) {
            const int64_t at = row * f->kernel + k;
            if (lost(f->desc.dtype, weight_at(f, row, k)) && isfinite(norma_dtype_get(f->desc.dtype, f->args.weight, at))) {
                return norma_fail(NORMA_UNSUPPORTED, "args.output_weight: element %lld would be infinite in %s", (long long)at,
                                  norma_dtype_name(f->desc.dtype));
            }
        }
    }
    for (int64_t o = 0; o < f->outputs; o++) {
        if (lost(f->desc.bias_dtype, f->bias[o])) {
            return norma_fail(NORMA_UNSUPPORTED, "args.output_bias: element %lld would be infinite in %s", (long long)o,
                              norma_dtype_name(f->desc.bias_dtype));
        }
    }
    return check_padding(f);
}

/* Padding and bias do not read the weight any more, which may be where its result goes. */
static void write_results(const fold *f)
{
    for (int64_t row = 0; row < rows_of(f); row++) {
        for (int64_t k = 0; k < f->kernel; k++) {
            norma_dtype_set(f->desc.dtype, f->args.output_weight, row * f->kernel + k, weight_at(f, row, k));
        }
    }
    for (int64_t o = 0; o < f->outputs; o++) {
        norma_dtype_set(f->desc.bias_dtype, f->args.output_bias, o, f->bias[o]);
    }
    for (int64_t c = 0; f->args.output_padding && c < f->inputs; c++) {
        norma_dtype_set(f->desc.norm_dtype, f->args.output_padding, c, padding_at(f, c));
    }
}

static norma_status fold_checked(fold *f)
{
    double *const room = malloc((size_t)(2 * f->channels + f->outputs + 1) * sizeof *room);
    if (!room) {
        return norma_fail(NORMA_OUT_OF_MEMORY, "norma_fold: no memory for %lld channels", (long long)f->channels);
    }
    f->factor = room;
    f->offset = room + f->channels;
    f->bias = f->offset + f->channels;
    compute(f);
    const norma_status status = check_results(f);
    if (status == NORMA_SUCCESS) {
        write_results(f);
    }
    free(room);
    return status;
}

norma_status norma_fold(const norma_fold_desc *desc, const norma_fold_args *args)
{
    fold f = {0};
    if (!desc || !args) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "%s, got NULL",
                          desc ? "args: expected the tensors of this fold" : "desc: expected a descriptor");
    }
    norma_status status = norma_read_struct("desc", &f.desc, sizeof f.desc, sizeof f.desc, desc);
    if (status == NORMA_SUCCESS) {
        status = norma_read_struct("args", &f.args, sizeof f.args, sizeof f.args, args);
    }
    if (status == NORMA_SUCCESS) {
        status = check_desc(&f.desc);
    }
    if (status == NORMA_SUCCESS) {
        f.desc.bias_dtype = f.desc.bias_dtype ? f.desc.bias_dtype : f.desc.dtype;
        set_extents(&f);
        status = check_args(&f);
    }
    return status == NORMA_SUCCESS ? fold_checked(&f) : status;
}

#include "support/conv.h"

#include <math.h>
#include <stddef.h>

int64_t conv_weight_count(const conv_layer *layer)
{
    return layer->in * layer->out / layer->groups * layer->kernel * layer->kernel;
}

int64_t conv_output_size(const conv_layer *layer)
{
    return layer->transpose ? (layer->size - 1) * layer->stride - 2 * layer->padding + layer->kernel
                            : (layer->size + 2 * layer->padding - layer->kernel) / layer->stride + 1;
}

/* The weight between an input and an output channel, or NULL where they are of different groups. */
static const double *weight_between(const conv_layer *layer, const double *weight, int64_t in, int64_t out)
{
    const int64_t in_each = layer->in / layer->groups, out_each = layer->out / layer->groups;
    const int64_t taps = layer->kernel * layer->kernel;
    if (in / in_each != out / out_each) {
        return NULL;
    }
    return weight + (layer->transpose ? in * out_each + out % out_each : out * in_each + in % in_each) * taps;
}

/* What one input channel gives to one output channel. */
static void add_channel(const conv_layer *layer, const double *weight, double pad, const double *x, double *y)
{
    const int64_t size = conv_output_size(layer);
    for (int64_t row = 0; row < size; row++) {
        for (int64_t column = 0; column < size; column++) {
            for (int64_t k = 0; k < layer->kernel; k++) {
                for (int64_t l = 0; l < layer->kernel; l++) {
                    const int64_t i = row * layer->stride - layer->padding + k, j = column * layer->stride - layer->padding + l;
                    const bool inside = i >= 0 && j >= 0 && i < layer->size && j < layer->size;
                    y[row * size + column] += weight[k * layer->kernel + l] * (inside ? x[i * layer->size + j] : pad);
                }
            }
        }
    }
}

static void add_channel_transposed(const conv_layer *layer, const double *weight, const double *x, double *y)
{
    const int64_t size = conv_output_size(layer);
    for (int64_t i = 0; i < layer->size; i++) {
        for (int64_t j = 0; j < layer->size; j++) {
            for (int64_t k = 0; k < layer->kernel; k++) {
                for (int64_t l = 0; l < layer->kernel; l++) {
                    const int64_t row = i * layer->stride - layer->padding + k, column = j * layer->stride - layer->padding + l;
                    if (row >= 0 && column >= 0 && row < size && column < size) {
                        y[row * size + column] += weight[k * layer->kernel + l] * x[i * layer->size + j];
                    }
                }
            }
        }
    }
}

void conv_run(const conv_layer *layer, const double *weight, const double *bias, const double *pad, const double *x, double *y)
{
    const int64_t size = conv_output_size(layer), image = layer->size * layer->size;
    for (int64_t out = 0; out < layer->out; out++) {
        double *to = y + out * size * size;
        for (int64_t i = 0; i < size * size; i++) {
            to[i] = bias ? bias[out] : 0;
        }
        for (int64_t in = 0; in < layer->in; in++) {
            const double *between = weight_between(layer, weight, in, out);
            if (between && layer->transpose) {
                add_channel_transposed(layer, between, x + in * image, to);
            } else if (between) {
                add_channel(layer, between, pad ? pad[in] : 0, x + in * image, to);
            }
        }
    }
}

void conv_normalize(const conv_norm *norm, int64_t channels, int64_t spatial, double *x)
{
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t i = 0; i < spatial; i++) {
            double *at = x + c * spatial + i;
            const double normalized = (*at - norm->mean[c]) / sqrt(norm->variance[c] + norm->epsilon);
            *at = normalized * (norm->scale ? norm->scale[c] : 1) + (norm->shift ? norm->shift[c] : 0);
        }
    }
}

/* Convolutions, transposed ones and batch norm, straight from their definitions, in double. */
#ifndef NORMA_TEST_CONV_H
#define NORMA_TEST_CONV_H

#include <stdbool.h>
#include <stdint.h>

/* A layer on images of one batch item. A linear layer has kernel 1 and images of 1x1. */
typedef struct conv_layer {
    bool transpose;
    int64_t in, out, groups;
    int64_t kernel; /* extent of both axes */
    int64_t stride;
    int64_t padding; /* zeros on each side; of a transposed one, what is cut off */
    int64_t size;    /* of the input, both axes */
} conv_layer;

int64_t conv_weight_count(const conv_layer *layer);

/* Of the output, both axes. */
int64_t conv_output_size(const conv_layer *layer);

/* y of (out, size, size) from x of (in, size, size) and a weight of (out, in / groups, kernel, kernel), transposed (in,
 * out / groups, kernel, kernel). bias may be NULL. pad, which may be NULL, has what each input channel is padded with. */
void conv_run(const conv_layer *layer, const double *weight, const double *bias, const double *pad, const double *x, double *y);

/* A batch norm with given statistics, channel by channel, in place. scale and shift may be NULL. */
typedef struct conv_norm {
    const double *scale, *shift, *mean, *variance;
    double epsilon;
} conv_norm;

void conv_normalize(const conv_norm *norm, int64_t channels, int64_t spatial, double *x);

#endif

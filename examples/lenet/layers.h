/*
 * The layers of a LeNet, forward and back: convolutions and linear layers in plain loops, pooling, and batch norm with a ReLU
 * by norma. Tensors are dense, NCHW.
 */
#ifndef LENET_LAYERS_H
#define LENET_LAYERS_H

#include <stdbool.h>

#include <norma/norma.h>

enum { KERNEL = 5 }; /* of convolutions, without padding */

/* Weights out x in x KERNEL x KERNEL, or out x in. */
typedef struct weights {
    int in;
    int out;
    int side; /* of the input image; 0: linear */
    float *w, *b, *dw, *db;
} weights;

bool weights_create(weights *layer, int in, int out, int side, unsigned *state);
void weights_destroy(weights *layer);

/* y = w * x + b of n items; room for one image's patches, in * 25 * (side - 4)^2, where it is a convolution. */
void weights_forward(const weights *layer, int n, const float *x, float *y, float *room);
/* dw and db; dx unless NULL. */
void weights_backward(weights *layer, int n, const float *x, const float *dy, float *dx, float *room);
void weights_step(weights *layer, float rate);

/* The mean of each 2 x 2 square, of n planes. */
void pool_forward(int n, int side, const float *x, float *y);
void pool_backward(int n, int side, const float *dy, float *dx);

/* Batch norm (or, without it, nothing) and a ReLU. */
typedef struct norm {
    bool on;
    int count; /* elements of a batch */
    int channels;
    double epsilon;
    norma_plan *train, *infer;
    void *workspace;
    float *gamma, *beta, *dgamma, *dbeta;
    float *mean, *rstd; /* of the batch, for the way back */
    float *running_mean, *running_variance;
} norm;

bool norm_create(norm *layer, norma_context *context, bool on, int n, int channels, int spatial);
void norm_destroy(norm *layer);
bool norm_forward(norm *layer, bool training, const float *x, float *y);
/* dy becomes dx, in place. */
bool norm_backward(norm *layer, const float *x, const float *y, float *dy);
void norm_step(norm *layer, float rate);

/* Takes a norm into the layer before it. */
bool norm_fold(norm *layer, weights *before);

#endif

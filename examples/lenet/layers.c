#include "layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* With as many sums at once as a compiler makes vectors of. */
static float dot(const float *a, const float *b, int count)
{
    float sum[16] = {0}, rest = 0;
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        for (int k = 0; k < 16; k++) {
            sum[k] += a[i + k] * b[i + k];
        }
    }
    for (; i < count; i++) {
        rest += a[i] * b[i];
    }
    for (int k = 0; k < 16; k++) {
        rest += sum[k];
    }
    return rest;
}

/* y += a * x */
static void add_scaled(float *restrict y, float a, const float *restrict x, int count)
{
    for (int i = 0; i < count; i++) {
        y[i] += a * x[i];
    }
}

static int inputs_of(const weights *layer)
{
    return layer->side ? layer->in * KERNEL * KERNEL : layer->in;
}

static float uniform(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 16777216;
}

bool weights_create(weights *layer, int in, int out, int side, unsigned *state)
{
    const weights made = {.in = in, .out = out, .side = side};
    *layer = made;
    const size_t count = (size_t)inputs_of(layer) * (size_t)out;
    layer->w = calloc(count, sizeof(float));
    layer->dw = calloc(count, sizeof(float));
    layer->b = calloc((size_t)out, sizeof(float));
    layer->db = calloc((size_t)out, sizeof(float));
    if (!layer->w || !layer->dw || !layer->b || !layer->db) {
        return false;
    }
    const float bound = sqrtf(6 / (float)inputs_of(layer)); /* He et al., arXiv 1502.01852 */
    for (size_t i = 0; i < count; i++) {
        layer->w[i] = bound * (2 * uniform(state) - 1);
    }
    return true;
}

void weights_destroy(weights *layer)
{
    free(layer->w);
    free(layer->dw);
    free(layer->b);
    free(layer->db);
}

/* Where the patches' elements for weight k begin in an image. */
static int patch_at(const weights *layer, int k)
{
    const int side = layer->side;
    return k / (KERNEL * KERNEL) * side * side + k / KERNEL % KERNEL * side + k % KERNEL;
}

/* The patches of an image as rows: one for each weight, one element for each position. */
static void take_patches(const weights *layer, const float *image, float *rows)
{
    const int side = layer->side, out = side - KERNEL + 1;
    for (int k = 0; k < inputs_of(layer); k++) {
        for (int y = 0; y < out; y++, rows += out) {
            memcpy(rows, image + patch_at(layer, k) + y * side, (size_t)out * sizeof *rows);
        }
    }
}

/* The other way: adds them up. */
static void add_patches(const weights *layer, float *image, const float *rows)
{
    const int side = layer->side, out = side - KERNEL + 1;
    for (int k = 0; k < inputs_of(layer); k++) {
        for (int y = 0; y < out; y++, rows += out) {
            add_scaled(image + patch_at(layer, k) + y * side, 1, rows, out);
        }
    }
}

static void convolve(const weights *layer, const float *x, float *y, float *room)
{
    const int inputs = inputs_of(layer), out = layer->side - KERNEL + 1, positions = out * out;
    take_patches(layer, x, room);
    for (int o = 0; o < layer->out; o++) {
        for (int p = 0; p < positions; p++) {
            y[o * positions + p] = layer->b[o];
        }
        for (int k = 0; k < inputs; k++) {
            add_scaled(y + o * positions, layer->w[o * inputs + k], room + k * positions, positions);
        }
    }
}

void weights_forward(const weights *layer, int n, const float *x, float *y, float *room)
{
    const int out = layer->side - KERNEL + 1;
    for (int i = 0; i < n; i++) {
        if (layer->side) {
            convolve(layer, x + i * layer->in * layer->side * layer->side, y + i * layer->out * out * out, room);
            continue;
        }
        for (int o = 0; o < layer->out; o++) {
            y[i * layer->out + o] = layer->b[o] + dot(x + i * layer->in, layer->w + o * layer->in, layer->in);
        }
    }
}

static void convolve_back(weights *layer, const float *x, const float *dy, float *dx, float *room)
{
    const int inputs = inputs_of(layer), out = layer->side - KERNEL + 1, positions = out * out;
    take_patches(layer, x, room);
    for (int o = 0; o < layer->out; o++) {
        for (int p = 0; p < positions; p++) {
            layer->db[o] += dy[o * positions + p];
        }
        for (int k = 0; k < inputs; k++) {
            layer->dw[o * inputs + k] += dot(dy + o * positions, room + k * positions, positions);
        }
    }
    if (dx) {
        memset(room, 0, (size_t)(inputs * positions) * sizeof *room);
        for (int o = 0; o < layer->out; o++) {
            for (int k = 0; k < inputs; k++) {
                add_scaled(room + k * positions, layer->w[o * inputs + k], dy + o * positions, positions);
            }
        }
        memset(dx, 0, (size_t)(layer->in * layer->side * layer->side) * sizeof *dx);
        add_patches(layer, dx, room);
    }
}

void weights_backward(weights *layer, int n, const float *x, const float *dy, float *dx, float *room)
{
    const int inputs = inputs_of(layer), image = layer->in * layer->side * layer->side, out = layer->side - KERNEL + 1;
    memset(layer->dw, 0, (size_t)(inputs * layer->out) * sizeof *layer->dw);
    memset(layer->db, 0, (size_t)layer->out * sizeof *layer->db);
    for (int i = 0; i < n; i++) {
        if (layer->side) {
            convolve_back(layer, x + i * image, dy + i * layer->out * out * out, dx ? dx + i * image : NULL, room);
            continue;
        }
        memset(dx + i * layer->in, 0, (size_t)layer->in * sizeof *dx);
        for (int o = 0; o < layer->out; o++) {
            const float d = dy[i * layer->out + o];
            layer->db[o] += d;
            add_scaled(layer->dw + o * layer->in, d, x + i * layer->in, layer->in);
            add_scaled(dx + i * layer->in, d, layer->w + o * layer->in, layer->in);
        }
    }
}

void weights_step(weights *layer, float rate)
{
    add_scaled(layer->w, -rate, layer->dw, inputs_of(layer) * layer->out);
    add_scaled(layer->b, -rate, layer->db, layer->out);
}

void pool_forward(int n, int side, const float *x, float *y)
{
    const int half = side / 2;
    for (int i = 0; i < n * half * half; i++) {
        const float *at = x + i / (half * half) * side * side + i / half % half * 2 * side + i % half * 2;
        y[i] = (at[0] + at[1] + at[side] + at[side + 1]) / 4;
    }
}

void pool_backward(int n, int side, const float *dy, float *dx)
{
    const int half = side / 2;
    for (int i = 0; i < n * side * side; i++) {
        dx[i] = dy[i / (side * side) * half * half + i / side % side / 2 * half + i % side / 2] / 4;
    }
}

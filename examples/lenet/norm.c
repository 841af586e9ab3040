/* Batch norm and ReLU: what norma does in this program. */
#include <stdio.h>
#include <stdlib.h>

#include <norma/weights.h>

#include "layers.h"

static bool report(norma_status status)
{
    if (status != NORMA_SUCCESS) {
        fprintf(stderr, "lenet: %s\n", norma_last_error());
    }
    return status == NORMA_SUCCESS;
}

static float *filled(int count, float value)
{
    float *made = malloc((size_t)count * sizeof *made);
    for (int i = 0; made && i < count; i++) {
        made[i] = value;
    }
    return made;
}

bool norm_create(norm *layer, norma_context *context, bool on, int n, int channels, int spatial)
{
    const norm made = {.on = on, .count = n * channels * spatial, .channels = channels};
    *layer = made;
    if (!on) {
        return true;
    }
    norma_desc desc = norma_batch_norm_desc(n, channels, spatial, NORMA_NCHW, NORMA_F32);
    norma_desc_activate(&desc, NORMA_RELU);
    bool good = report(norma_plan_create(&layer->train, context, &desc));
    desc.statistics = NORMA_STATISTICS_GIVEN;
    layer->epsilon = desc.epsilon;
    good = good && report(norma_plan_create(&layer->infer, context, &desc));
    layer->workspace = good ? malloc(norma_backward_workspace(layer->train)) : NULL;
    float **all[] = {&layer->gamma,  &layer->running_variance,
                     &layer->beta,   &layer->running_mean,
                     &layer->dgamma, &layer->dbeta,
                     &layer->mean,   &layer->rstd};
    for (int i = 0; i < 8; i++) {
        *all[i] = filled(channels, i < 2 ? 1 : 0);
        good = good && *all[i];
    }
    return good && layer->workspace;
}

void norm_destroy(norm *layer)
{
    norma_plan_destroy(layer->train);
    norma_plan_destroy(layer->infer);
    float *all[] = {layer->gamma, layer->beta, layer->dgamma,       layer->dbeta,
                    layer->mean,  layer->rstd, layer->running_mean, layer->running_variance};
    for (int i = 0; i < 8; i++) {
        free(all[i]);
    }
    free(layer->workspace);
}

bool norm_forward(norm *layer, bool training, const float *x, float *y)
{
    if (!layer->on) {
        for (int i = 0; i < layer->count; i++) {
            y[i] = x[i] > 0 ? x[i] : 0;
        }
        return true;
    }
    norma_args args = {.struct_size = sizeof args, .x = x, .y = y, .scale = layer->gamma, .shift = layer->beta};
    if (training) {
        args.mean = layer->mean;
        args.rstd = layer->rstd;
        args.running_mean = layer->running_mean;
        args.running_variance = layer->running_variance;
    } else {
        args.given_mean = layer->running_mean;
        args.given_variance = layer->running_variance;
    }
    return report(norma_run(training ? layer->train : layer->infer, &args));
}

bool norm_backward(norm *layer, const float *x, const float *y, float *dy)
{
    if (!layer->on) {
        for (int i = 0; i < layer->count; i++) {
            dy[i] = y[i] > 0 ? dy[i] : 0;
        }
        return true;
    }
    const norma_backward_args args = {.struct_size = sizeof args,
                                      .x = x,
                                      .dy = dy,
                                      .dx = dy,
                                      .dscale = layer->dgamma,
                                      .dshift = layer->dbeta,
                                      .scale = layer->gamma,
                                      .mean = layer->mean,
                                      .rstd = layer->rstd,
                                      .y = y,
                                      .workspace = layer->workspace};
    return report(norma_backward(layer->train, &args));
}

void norm_step(norm *layer, float rate)
{
    for (int c = 0; layer->on && c < layer->channels; c++) {
        layer->gamma[c] -= rate * layer->dgamma[c];
        layer->beta[c] -= rate * layer->dbeta[c];
    }
}

bool norm_fold(norm *layer, weights *before)
{
    if (!layer->on) {
        return true;
    }
    const int64_t kernel[] = {before->out, before->in, KERNEL, KERNEL};
    const norma_fold_desc desc = before->side ? norma_fold_conv_desc(4, kernel, 1, NORMA_F32)
                                              : norma_fold_linear_desc(before->out, before->in, NORMA_F32);
    const norma_fold_norm of = {.struct_size = sizeof of,
                                .scale = layer->gamma,
                                .shift = layer->beta,
                                .mean = layer->running_mean,
                                .variance = layer->running_variance,
                                .epsilon = layer->epsilon};
    const norma_fold_args args = {.struct_size = sizeof args,
                                  .weight = before->w,
                                  .bias = before->b,
                                  .norms = &of,
                                  .norms_count = 1,
                                  .output_weight = before->w,
                                  .output_bias = before->b};
    layer->on = false;
    return report(norma_fold(&desc, &args));
}

/* The one-call forms: a plan on the stack, run once. */
#include "plan.h"

static norma_status run_once(const norma_desc *desc, const void *x, void *y, const void *scale, const void *shift)
{
    norma_plan plan;
    norma_status status = norma_plan_init(&plan, NULL, desc);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const norma_args args = {.struct_size = sizeof args, .x = x, .y = y, .scale = scale, .shift = shift};
    status = norma_run(&plan, &args);
    norma_plan_fini(&plan);
    return status;
}

static norma_status layer_norm(const void *x, void *y, const void *scale, const void *shift, int64_t rows, int64_t cols,
                               double epsilon, norma_dtype dtype)
{
    const int64_t shape[] = {rows, cols};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, dtype);
    desc.epsilon = epsilon;
    return run_once(&desc, x, y, scale, shift);
}

static norma_status rms_norm(const void *x, void *y, const void *scale, int64_t rows, int64_t cols, double epsilon,
                             norma_dtype dtype)
{
    const int64_t shape[] = {rows, cols};
    norma_desc desc = norma_rms_norm_desc(2, shape, -1, dtype);
    desc.epsilon = epsilon;
    return run_once(&desc, x, y, scale, NULL);
}

static norma_status lp_norm(const void *x, void *y, int64_t rows, int64_t cols, int p, double epsilon, norma_dtype dtype)
{
    const int64_t shape[] = {rows, cols};
    norma_desc desc = norma_lp_norm_desc(2, shape, -1, p, dtype);
    desc.epsilon = epsilon;
    desc.epsilon_mode = NORMA_EPSILON_FLOOR;
    return run_once(&desc, x, y, NULL, NULL);
}

static norma_status channel_norm(const void *x, void *y, const void *scale, const void *shift, int64_t n, int64_t c,
                                 int64_t spatial, norma_layout layout, double epsilon, norma_dtype dtype)
{
    norma_desc desc = norma_channel_norm_desc(n, c, spatial, layout, dtype);
    desc.epsilon = epsilon;
    return run_once(&desc, x, y, scale, shift);
}

norma_status norma_layer_norm_f32(const float *x, float *y, const float *scale, const float *shift, int64_t rows, int64_t cols,
                                  double epsilon)
{
    return layer_norm(x, y, scale, shift, rows, cols, epsilon, NORMA_F32);
}

norma_status norma_layer_norm_f64(const double *x, double *y, const double *scale, const double *shift, int64_t rows,
                                  int64_t cols, double epsilon)
{
    return layer_norm(x, y, scale, shift, rows, cols, epsilon, NORMA_F64);
}

norma_status norma_rms_norm_f32(const float *x, float *y, const float *scale, int64_t rows, int64_t cols, double epsilon)
{
    return rms_norm(x, y, scale, rows, cols, epsilon, NORMA_F32);
}

norma_status norma_rms_norm_f64(const double *x, double *y, const double *scale, int64_t rows, int64_t cols, double epsilon)
{
    return rms_norm(x, y, scale, rows, cols, epsilon, NORMA_F64);
}

norma_status norma_lp_norm_f32(const float *x, float *y, int64_t rows, int64_t cols, int p, double epsilon)
{
    return lp_norm(x, y, rows, cols, p, epsilon, NORMA_F32);
}

norma_status norma_lp_norm_f64(const double *x, double *y, int64_t rows, int64_t cols, int p, double epsilon)
{
    return lp_norm(x, y, rows, cols, p, epsilon, NORMA_F64);
}

norma_status norma_channel_norm_f32(const float *x, float *y, const float *scale, const float *shift, int64_t n, int64_t c,
                                    int64_t spatial, norma_layout layout, double epsilon)
{
    return channel_norm(x, y, scale, shift, n, c, spatial, layout, epsilon, NORMA_F32);
}

norma_status norma_channel_norm_f64(const double *x, double *y, const double *scale, const double *shift, int64_t n, int64_t c,
                                    int64_t spatial, norma_layout layout, double epsilon)
{
    return channel_norm(x, y, scale, shift, n, c, spatial, layout, epsilon, NORMA_F64);
}

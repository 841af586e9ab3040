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

oracle *oracle_layout(const norma_desc *desc)
{
    const axes_of kept = choose_axes(desc, false), reduced = choose_axes(desc, true);
    oracle *o = suite_alloc(1, sizeof *o);
    o->sets = size_of(&kept);
    o->length = size_of(&reduced);
    const size_t sets = (size_t)o->sets, elements = (size_t)(o->sets * o->length);
    o->y = suite_alloc(elements, sizeof *o->y);
    o->x_at = suite_alloc(elements, sizeof *o->x_at);
    o->y_at = suite_alloc(elements, sizeof *o->y_at);
    o->mean = suite_alloc(sets, sizeof *o->mean);
    o->rstd = suite_alloc(sets, sizeof *o->rstd);
    o->v = suite_alloc(sets, sizeof *o->v);
    for (int64_t set = 0; set < o->sets; set++) {
        int64_t x_base = 0, y_base = 0;
        locate(&kept, set, &x_base, &y_base);
        for (int64_t i = 0; i < o->length; i++) {
            int64_t x_at = x_base, y_at = y_base;
            locate(&reduced, i, &x_at, &y_at);
            o->x_at[set * o->length + i] = x_at;
            o->y_at[set * o->length + i] = y_at;
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

static void normalize_set(oracle *o, int64_t set, const norma_desc *desc, const void *x, const void *scale, const void *shift)
{
    const int64_t *x_at = o->x_at + set * o->length;
    const bool magnitudes = desc->op == NORMA_LP_NORM && desc->p == 1;
    long double sum = 0;
    for (int64_t i = 0; has_mean(desc) && i < o->length; i++) {
        sum += element_get(desc->dtype, x, x_at[i]);
    }
    const long double mean = sum / o->length;
    long double v = 0;
    for (int64_t i = 0; i < o->length; i++) {
        const long double d = element_get(desc->dtype, x, x_at[i]) - mean;
        v += magnitudes ? fabsl(d) : d * d;
    }
    v = desc->op == NORMA_LP_NORM ? v : v / o->length;
    const long double divisor = divisor_of(desc, v);
    const long double factor = divisor == 0 ? 0 : 1 / divisor;
    o->mean[set] = (double)mean;
    o->rstd[set] = (double)factor;
    o->v[set] = (double)v;
    const bool one_plus = desc->op == NORMA_RMS_NORM && desc->rms_mode == NORMA_RMS_ONE_PLUS_SCALE;
    for (int64_t i = 0; i < o->length; i++) {
        long double y = divisor == 0 ? 0 : (element_get(desc->dtype, x, x_at[i]) - mean) / divisor;
        if (scale) {
            y *= element_get(desc->dtype, scale, i) + (one_plus ? 1.0L : 0.0L);
        }
        if (shift) {
            y += element_get(desc->dtype, shift, i);
        }
        o->y[set * o->length + i] = (double)y;
    }
}

oracle *oracle_create(const norma_desc *desc, const void *x, const void *scale, const void *shift)
{
    oracle *o = oracle_layout(desc);
    for (int64_t set = 0; set < o->sets; set++) {
        normalize_set(o, set, desc, x, scale, shift);
    }
    return o;
}

void oracle_destroy(oracle *o)
{
    if (o) {
        free(o->y);
        free(o->x_at);
        free(o->y_at);
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

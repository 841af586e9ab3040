#include "support/gradients.h"

#include <math.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

enum {
    X,
    DY,
    DX,
    SCALE,
    DSCALE,
    DSHIFT,
    MEAN,
    RSTD,
    GIVEN_MEAN,
    GIVEN_VARIANCE,
    Y,
    BITS,
    DSUM,
    DRESIDUAL,
    SHIFT,
    MODULATION,
    DMODULATION_SCALE,
    DMODULATION_SHIFT,
    WORKSPACE
};

static bool has_mean(const norma_desc *desc)
{
    return desc->op != NORMA_RMS_NORM && desc->op != NORMA_LP_NORM;
}

static bool takes_scale(const norma_desc *desc)
{
    return desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
}

static int64_t elements_of(const gradients *g)
{
    return g->layout->sets * g->layout->length;
}

static int64_t modulations_of(const gradients *g)
{
    return g->desc.modulation == NORMA_MODULATION_PER_ELEMENT ? elements_of(g) : g->desc.shape[0] * g->layout->params;
}

static int64_t count_of(const gradients *g, int which)
{
    switch (which) {
    case X:
    case DX:
        return oracle_x_extent(g->layout);
    case DY:
    case Y:
        return oracle_y_extent(g->layout);
    case SCALE:
    case SHIFT:
    case DSCALE:
    case DSHIFT:
        return g->layout->params;
    case MODULATION:
    case DMODULATION_SCALE:
    case DMODULATION_SHIFT:
        return modulations_of(g);
    case BITS:
        return (elements_of(g) + 7) / 8;
    case DSUM:
    case DRESIDUAL:
        return elements_of(g);
    default:
        return g->layout->sets;
    }
}

static norma_dtype dtype_of(const gradients *g, int which)
{
    switch (which) {
    case SCALE:
    case SHIFT:
    case DSCALE:
    case DSHIFT:
    case MODULATION:
    case DMODULATION_SCALE:
    case DMODULATION_SHIFT:
        return element_parameter(&g->desc);
    case MEAN:
    case RSTD:
    case GIVEN_MEAN:
    case GIVEN_VARIANCE:
        return element_statistic(g->desc.dtype);
    default:
        return g->desc.dtype;
    }
}

static size_t size_of(const gradients *g, int which)
{
    return which == BITS ? 1 : element_size(dtype_of(g, which));
}

static void make(gradients *g, int which, random_state *random, double offset, double spread)
{
    const int64_t count = count_of(g, which);
    g->data[which] = suite_alloc((size_t)count, size_of(g, which));
    for (int64_t i = 0; i < count; i++) {
        element_set(dtype_of(g, which), g->data[which], i, offset + spread * random_normal(random));
    }
}

/* Gaps between rows hold NaN: whoever reads them shows it. */
static void clear_gaps(gradients *g, int which)
{
    const int64_t count = count_of(g, which);
    const int64_t *at = which == X ? g->layout->x_at : g->layout->y_at;
    bool *used = suite_alloc((size_t)count, sizeof *used);
    for (int64_t i = 0; i < elements_of(g); i++) {
        used[at[i]] = true;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!used[i]) {
            element_set(dtype_of(g, which), g->data[which], i, NAN);
        }
    }
    free(used);
}

static void make_mask(gradients *g, random_state *random)
{
    g->data[BITS] = suite_alloc((size_t)count_of(g, BITS), 1);
    make(g, Y, random, 0, 1);
    for (int64_t i = 0; i < elements_of(g); i++) {
        const double y = fmax(0, element_get(g->desc.dtype, g->data[Y], g->layout->y_at[i]));
        element_set(g->desc.dtype, g->data[Y], g->layout->y_at[i], y);
        const int64_t at = g->layout->dense_at[i];
        ((unsigned char *)g->data[BITS])[at / 8] |= (unsigned char)((y > 0) << (at % 8));
    }
    clear_gaps(g, Y);
}

gradients *gradients_create(const norma_desc *desc, const gradients_inputs *inputs, random_state *random)
{
    gradients *g = suite_alloc(1, sizeof *g);
    g->desc = *desc;
    g->inputs = *inputs;
    g->desc.activation = inputs->mask == MASK_NONE ? NORMA_IDENTITY : NORMA_RELU;
    g->layout = oracle_layout(desc);
    make(g, X, random, inputs->offset, inputs->spread);
    make(g, DY, random, 0.25, 1);
    clear_gaps(g, X);
    clear_gaps(g, DY);
    if (inputs->scale) {
        make(g, SCALE, random, 1, 0.25);
    }
    if (desc->statistics == NORMA_STATISTICS_GIVEN) {
        make(g, GIVEN_MEAN, random, inputs->offset, inputs->spread);
        make(g, GIVEN_VARIANCE, random, 2, 0.1);
    } else if (inputs->saved) {
        make(g, RSTD, random, 0, 0);
        if (has_mean(desc)) {
            make(g, MEAN, random, 0, 0);
        }
    }
    if (inputs->mask != MASK_NONE) {
        make_mask(g, random);
    }
    if (inputs->dsum) {
        make(g, DSUM, random, 0, 1);
    }
    if (inputs->shift) {
        make(g, SHIFT, random, 0.5, 0.5);
    }
    if (inputs->modulation_scale) {
        make(g, MODULATION, random, 0.25, 0.5);
    }
    const size_t elements = (size_t)elements_of(g), params = (size_t)g->layout->params;
    const size_t modulations = (size_t)modulations_of(g);
    g->dmodulation_scale = suite_alloc(modulations, sizeof *g->dmodulation_scale);
    g->dmodulation_shift = suite_alloc(modulations, sizeof *g->dmodulation_shift);
    g->modulation_share = suite_alloc(modulations, sizeof *g->modulation_share);
    g->dx = suite_alloc(elements, sizeof *g->dx);
    g->unit = suite_alloc(elements, sizeof *g->unit);
    g->dscale = suite_alloc(params, sizeof *g->dscale);
    g->dshift = suite_alloc(params, sizeof *g->dshift);
    g->share = suite_alloc(params, sizeof *g->share);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &g->desc));
    for (int i = 0; i < WORKSPACE; i++) {
        g->guards[i] = guard_create((size_t)count_of(g, i) * size_of(g, i) + 8192);
    }
    g->guards[WORKSPACE] = guard_create(norma_backward_workspace(plan) + 64);
    norma_plan_destroy(plan);
    gradients_expect(g);
    return g;
}

void gradients_destroy(gradients *g)
{
    for (int i = 0; i < GRADIENTS_TENSORS; i++) {
        free(g->data[i]);
        guard_destroy(&g->guards[i]);
    }
    oracle_destroy(g->layout);
    free(g->dx);
    free(g->unit);
    free(g->dscale);
    free(g->dshift);
    free(g->share);
    free(g->dmodulation_scale);
    free(g->dmodulation_shift);
    free(g->modulation_share);
    free(g);
}

void gradients_set_x(gradients *g, int64_t set, int64_t i, double value)
{
    element_set(g->desc.dtype, g->data[X], g->layout->x_at[set * g->layout->length + i], value);
}

void gradients_set_dy(gradients *g, int64_t set, int64_t i, double value)
{
    element_set(g->desc.dtype, g->data[DY], g->layout->y_at[set * g->layout->length + i], value);
}

/* Element `at` of what is expected. */
static long double dy_of(const gradients *g, int64_t at)
{
    const long double dy = element_get(g->desc.dtype, g->data[DY], g->layout->y_at[at]);
    return g->inputs.mask != MASK_NONE && element_get(g->desc.dtype, g->data[Y], g->layout->y_at[at]) <= 0 ? 0 : dy;
}

static long double scale_of(const gradients *g, int64_t at)
{
    const bool one_plus = g->desc.op == NORMA_RMS_NORM && g->desc.rms_mode == NORMA_RMS_ONE_PLUS_SCALE;
    const long double scale =
        g->data[SCALE] ? (long double)element_get(element_parameter(&g->desc), g->data[SCALE], g->layout->param_at[at]) : 1;
    return g->data[SCALE] && one_plus ? 1 + scale : scale;
}

static long double shift_of(const gradients *g, int64_t at)
{
    return g->data[SHIFT] ? (long double)element_get(element_parameter(&g->desc), g->data[SHIFT], g->layout->param_at[at]) : 0;
}

/* Which element of a modulation is that of element `at`. */
static int64_t modulation_at(const gradients *g, int64_t at)
{
    const bool per_sample = g->desc.modulation == NORMA_MODULATION_PER_SAMPLE;
    const oracle *layout = g->layout;
    return per_sample ? layout->sample_at[at] * layout->params + layout->param_at[at] : layout->dense_at[at];
}

/* What dy of element `at` is multiplied with. */
static long double factor_of(const gradients *g, int64_t at)
{
    if (!g->data[MODULATION]) {
        return 1;
    }
    const long double m = element_get(element_parameter(&g->desc), g->data[MODULATION], modulation_at(g, at));
    return g->desc.modulation_plain ? m : 1 + m;
}

static long double x_of(const gradients *g, int64_t at)
{
    return element_get(g->desc.dtype, g->data[X], g->layout->x_at[at]);
}

/* The derivative of the divisor by v. */
static long double divisor_derivative(const norma_desc *desc, long double v)
{
    const long double root = sqrtl(v), epsilon = desc->epsilon;
    switch (desc->epsilon_mode) {
    case NORMA_EPSILON_INSIDE:
        return 1 / (2 * sqrtl(v + epsilon));
    case NORMA_EPSILON_FLOOR:
        return root > epsilon ? 1 / (2 * root) : 0;
    default:
        return root > 0 ? 1 / (2 * root) : 0;
    }
}

static long double divisor_of(const norma_desc *desc, long double v)
{
    const long double root = sqrtl(v), epsilon = desc->epsilon;
    return desc->epsilon_mode == NORMA_EPSILON_INSIDE    ? sqrtl(v + epsilon)
           : desc->epsilon_mode == NORMA_EPSILON_OUTSIDE ? root + epsilon
           : desc->epsilon_mode == NORMA_EPSILON_FLOOR   ? fmaxl(root, epsilon)
                                                         : root;
}

/* What element `at`, xn normalized, adds to the gradients of its modulation. */
static void expect_modulation(gradients *g, int64_t at, long double xn)
{
    const long double dy = dy_of(g, at), scaled = xn * scale_of(g, at), shift = shift_of(g, at);
    const int64_t modulation = modulation_at(g, at);
    g->dmodulation_scale[modulation] += dy * (scaled + shift);
    g->dmodulation_shift[modulation] += dy;
    g->modulation_share[modulation] += dy * dy * (1 + scaled * scaled + shift * shift);
}

/* dL/dx_i by the chain rule: directly, through the mean, through the divisor. */
static void expect_set(gradients *g, int64_t set)
{
    const norma_desc *desc = &g->desc;
    const int64_t length = g->layout->length, first = set * length;
    const bool given = desc->statistics == NORMA_STATISTICS_GIVEN;
    const long double divided_by = desc->op == NORMA_LP_NORM ? 1 : length - desc->unbiased;
    long double mean = 0, v = 0, sum_g = 0, sum_gd = 0, most = 0;
    for (int64_t i = 0; has_mean(desc) && i < length; i++) {
        mean += x_of(g, first + i) / length;
    }
    for (int64_t i = 0; i < length; i++) {
        const long double d = x_of(g, first + i) - mean;
        v += d * d / divided_by;
    }
    if (given) {
        const int64_t channel = set % g->layout->params;
        mean = element_get(element_statistic(desc->dtype), g->data[GIVEN_MEAN], channel);
        v = element_get(element_statistic(desc->dtype), g->data[GIVEN_VARIANCE], channel);
    }
    const long double divisor = divisor_of(desc, v), factor = divisor > 0 ? 1 / divisor : 0;
    if (g->data[RSTD]) {
        element_set(element_statistic(desc->dtype), g->data[RSTD], set,
                    (double)(desc->saved == NORMA_SAVE_VARIANCE  ? v
                             : desc->saved == NORMA_SAVE_DIVISOR ? factor == 0 ? 0 : 1 / factor
                                                                 : factor));
    }
    if (g->data[MEAN]) {
        element_set(element_statistic(desc->dtype), g->data[MEAN], set, (double)mean);
    }
    for (int64_t i = 0; i < length; i++) {
        const long double gi = dy_of(g, first + i) * factor_of(g, first + i) * scale_of(g, first + i);
        const long double d = x_of(g, first + i) - mean;
        sum_g += gi;
        sum_gd += gi * d;
        most = fmaxl(most, fabsl(gi));
    }
    const long double dv = 2 / divided_by; /* times x_i - mean is dv/dx_i */
    for (int64_t i = 0; i < length; i++) {
        const long double dy = dy_of(g, first + i) * factor_of(g, first + i), d = x_of(g, first + i) - mean;
        long double dx = dy * scale_of(g, first + i) * factor;
        if (!given) {
            dx -= has_mean(desc) ? factor * sum_g / length : 0;
            dx -= factor * factor * divisor_derivative(desc, v) * dv * d * sum_gd;
        }
        g->dx[first + i] = dx;
        g->unit[first + i] = factor * most;
        if (g->data[DSUM]) {
            g->dx[first + i] += element_get(desc->dtype, g->data[DSUM], g->layout->dense_at[first + i]);
        }
        if (takes_scale(desc)) {
            const int64_t parameter = g->layout->param_at[first + i];
            g->dscale[parameter] += dy * d * factor;
            g->dshift[parameter] += dy;
            g->share[parameter] += dy * dy * (1 + d * d * factor * factor);
        }
        if (desc->modulation) {
            expect_modulation(g, first + i, d * factor);
        }
    }
}

void gradients_expect(gradients *g)
{
    for (int64_t i = 0; i < g->layout->params; i++) {
        g->dscale[i] = g->dshift[i] = g->share[i] = 0;
    }
    for (int64_t i = 0; i < modulations_of(g); i++) {
        g->dmodulation_scale[i] = g->dmodulation_shift[i] = g->modulation_share[i] = 0;
    }
    for (int64_t set = 0; set < g->layout->sets; set++) {
        expect_set(g, set);
    }
    for (int64_t i = 0; i < modulations_of(g); i++) {
        g->modulation_share[i] = sqrtl(g->modulation_share[i]);
    }
    for (int64_t i = 0; i < g->layout->params; i++) {
        g->share[i] = sqrtl(g->share[i]);
    }
}

static void *place(gradients *g, int which)
{
    const size_t bytes = (size_t)count_of(g, which) * size_of(g, which);
    const size_t distance = g->inputs.distance ? (size_t)(g->inputs.distance + 3 * which) * size_of(g, which) : 0;
    guard_place(&g->guards[which], bytes, g->inputs.side, distance);
    if (g->data[which]) {
        memcpy(g->guards[which].data, g->data[which], bytes);
    }
    return g->guards[which].data;
}

void gradients_place(gradients *g, const norma_plan *plan)
{
    const norma_desc *desc = &g->desc;
    memset(&g->args, 0, sizeof g->args);
    norma_backward_args *a = &g->args;
    a->struct_size = sizeof *a;
    void *dy = place(g, DY), *dx = place(g, DX), *dscale = place(g, DSCALE), *dshift = place(g, DSHIFT);
    void *dresidual = place(g, DRESIDUAL);
    a->x = place(g, X);
    a->dy = dy;
    a->dx = g->inputs.no_dx ? NULL : g->inputs.in_place ? dy : dx;
    a->scale = g->data[SCALE] ? place(g, SCALE) : NULL;
    a->dscale = takes_scale(desc) && !g->inputs.no_dscale ? dscale : NULL;
    a->dshift = takes_scale(desc) && has_mean(desc) && !g->inputs.no_dshift ? dshift : NULL;
    a->mean = g->data[MEAN] ? place(g, MEAN) : NULL;
    a->rstd = g->data[RSTD] ? place(g, RSTD) : NULL;
    a->given_mean = g->data[GIVEN_MEAN] ? place(g, GIVEN_MEAN) : NULL;
    a->given_variance = g->data[GIVEN_VARIANCE] ? place(g, GIVEN_VARIANCE) : NULL;
    a->y = g->inputs.mask == MASK_FROM_Y ? place(g, Y) : NULL;
    a->mask = g->inputs.mask == MASK_BITS ? place(g, BITS) : NULL;
    a->dsum = g->data[DSUM] ? place(g, DSUM) : NULL;
    a->dresidual = desc->residual == NORMA_RESIDUAL_AFTER ? dresidual : NULL;
    void *dmodulation_scale = place(g, DMODULATION_SCALE), *dmodulation_shift = place(g, DMODULATION_SHIFT);
    a->shift = g->data[SHIFT] ? place(g, SHIFT) : NULL;
    a->modulation_scale = g->data[MODULATION] ? place(g, MODULATION) : NULL;
    a->dmodulation_scale = desc->modulation && !g->inputs.no_dmodulation_scale ? dmodulation_scale : NULL;
    a->dmodulation_shift = desc->modulation && !g->inputs.no_dmodulation_shift ? dmodulation_shift : NULL;
    const size_t workspace = norma_backward_workspace(plan);
    check(workspace % sizeof(double) == 0);
    guard_place(&g->guards[WORKSPACE], workspace, g->inputs.side, 0);
    a->workspace = g->guards[WORKSPACE].data;
}

void gradients_run(gradients *g, norma_context *context)
{
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &g->desc));
    gradients_place(g, plan);
    check_success(norma_backward(plan, &g->args));
    norma_plan_destroy(plan);
}

void gradients_run_serial(gradients *g, norma_isa isa)
{
    norma_context *context = isa_context(isa, 1, NULL, NULL);
    gradients_run(g, context);
    norma_context_destroy(context);
}

double gradients_tolerance(const gradients *g)
{
    return g->desc.dtype == NORMA_F64 ? 2e-14 : 4e-6;
}

static void compare(const gradients *g, int which, const void *tensor, int64_t at, long double want, long double unit,
                    double tolerance)
{
    static const char *const names[] = {[DX] = "dx",
                                        [DSCALE] = "dscale",
                                        [DSHIFT] = "dshift",
                                        [DRESIDUAL] = "dresidual",
                                        [DMODULATION_SCALE] = "dmodulation_scale",
                                        [DMODULATION_SHIFT] = "dmodulation_shift"};
    const norma_dtype dtype = dtype_of(g, which);
    const double got = element_get(dtype, tensor, at);
    long double allowed = tolerance * fmaxl(fabsl(want), unit);
    if (element_is_narrow(dtype)) {
        allowed += 0.51L * element_ulp(dtype, (double)want);
    }
    const bool both_nan = isnan(got) && isnan((double)want);
    if (!both_nan && !(fabsl(got - want) <= allowed)) {
        suite_fail("%s[%lld]: expected %.9Lg, got %.9g, off by %.3Lg of %.3Lg", names[which], (long long)at, want, got,
                   fabsl(got - want), allowed);
    }
}

void gradients_check(const gradients *g, double tolerance)
{
    for (int64_t i = 0; g->args.dx && i < elements_of(g); i++) {
        compare(g, DX, g->args.dx, g->layout->x_at[i], g->dx[i], g->unit[i], tolerance);
    }
    for (int64_t i = 0; i < g->layout->params; i++) {
        if (g->args.dscale) {
            compare(g, DSCALE, g->args.dscale, i, g->dscale[i], g->share[i], tolerance);
        }
        if (g->args.dshift) {
            compare(g, DSHIFT, g->args.dshift, i, g->dshift[i], g->share[i], tolerance);
        }
    }
    for (int64_t i = 0; i < modulations_of(g); i++) {
        const long double share = g->modulation_share[i];
        if (g->args.dmodulation_scale) {
            compare(g, DMODULATION_SCALE, g->args.dmodulation_scale, i, g->dmodulation_scale[i], share, tolerance);
        }
        if (g->args.dmodulation_shift) {
            compare(g, DMODULATION_SHIFT, g->args.dmodulation_shift, i, g->dmodulation_shift[i], share, tolerance);
        }
    }
    for (int64_t i = 0; g->args.dresidual && i < elements_of(g); i++) {
        compare(g, DRESIDUAL, g->args.dresidual, g->layout->dense_at[i], dy_of(g, i), 0, 0);
    }
    for (int i = 0; i <= WORKSPACE; i++) {
        if (g->guards[i].data && !guard_intact(&g->guards[i])) {
            suite_fail("tensor %d: bytes beside it were written", i);
        }
    }
    /* Inputs are only read. */
    for (int i = 0; i < WORKSPACE; i++) {
        const bool placed = g->guards[i].data && g->data[i] && !(i == DY && g->inputs.in_place);
        const bool used = i != Y && i != BITS ? placed : (placed && g->inputs.mask == (i == Y ? MASK_FROM_Y : MASK_BITS));
        if (used && memcmp(g->guards[i].data, g->data[i], g->guards[i].size) != 0) {
            suite_fail("tensor %d: an input was written", i);
        }
    }
}

void *gradients_outcome(const gradients *g, size_t *size)
{
    const int outputs[] = {DX, DSCALE, DSHIFT, DMODULATION_SCALE, DMODULATION_SHIFT};
    const void *from[] = {g->args.dx, g->args.dscale, g->args.dshift, g->args.dmodulation_scale, g->args.dmodulation_shift};
    *size = 0;
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        *size += from[i] ? (size_t)count_of(g, outputs[i]) * size_of(g, outputs[i]) : 0;
    }
    char *copy = suite_alloc(*size, 1);
    for (size_t i = 0, at = 0; i < COUNT_OF(outputs); i++) {
        const size_t bytes = from[i] ? (size_t)count_of(g, outputs[i]) * size_of(g, outputs[i]) : 0;
        if (bytes) {
            memcpy(copy + at, from[i], bytes);
        }
        at += bytes;
    }
    return copy;
}

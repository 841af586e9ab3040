/*
 * Gradients through modulation, per sample and per element: against the formulas in long double and central differences, the
 * same bits whatever runs them, and any subset of them.
 */
#include <math.h>

#include "support/element.h"
#include "support/gradients.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

static const norma_dtype dtypes[] = {NORMA_F32, NORMA_F64, NORMA_BF16, NORMA_F16};

static norma_desc given(norma_desc desc)
{
    desc.statistics = NORMA_STATISTICS_GIVEN;
    return desc;
}

/* Every geometry that the backward pass treats in its own way, where it meets a modulation; `turn` chooses. */
static norma_desc geometry(int turn, norma_dtype dtype)
{
    const int64_t tokens[] = {3, 13, 83}, flat[] = {37, 83}, deep[] = {2, 3, 5, 21}, wide[] = {2, 2, 1041},
                  many[] = {2, 70, 19};
    norma_desc desc;
    switch (turn) {
    case 0:
        return norma_layer_norm_desc(3, tokens, -1, dtype);
    case 1:
        return norma_rms_norm_desc(3, tokens, -1, dtype);
    case 2:
        desc = norma_rms_norm_desc(3, tokens, -1, dtype);
        desc.rms_mode = NORMA_RMS_ONE_PLUS_SCALE;
        return desc;
    case 3:
        return norma_layer_norm_desc(2, flat, -1, dtype); /* a row for each sample */
    case 4:
        return norma_layer_norm_desc(4, deep, 2, dtype);
    case 5:
        desc = norma_layer_norm_desc(3, tokens, -1, dtype);
        desc.x_row_stride = 89;
        desc.y_row_stride = 85;
        return desc;
    case 6:
        return norma_rms_norm_desc(3, wide, -1, dtype);
    case 7:
        return norma_layer_norm_desc(3, many, -1, dtype); /* leaves of rows in a sample */
    case 8:
        return norma_channel_norm_desc(2, 37, 29, NORMA_NCHW, dtype);
    case 9:
        return norma_channel_norm_desc(3, 20, 300, NORMA_NCHW, dtype);
    case 10:
        return norma_channel_norm_desc(2, 37, 29, NORMA_NHWC, dtype);
    case 11:
        return norma_channel_norm_desc(3, 1, 29, NORMA_NCHW, dtype);
    case 12:
        return norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype);
    case 13:
        return norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype);
    case 14:
        return norma_batch_norm_desc(7, 5, 4, NORMA_NCHW, dtype); /* planes as columns */
    case 15:
        return norma_batch_norm_desc(41, 9, 1, NORMA_NCHW, dtype); /* a matrix */
    case 16:
        return norma_batch_norm_desc(3, 32, 11, NORMA_NCHW16C, dtype);
    case 17:
        return norma_batch_norm_desc(2, 530, 35, NORMA_NHWC, dtype); /* more than one strip */
    case 18:
        return norma_batch_norm_desc(3, 6, 515, NORMA_NHWC, dtype); /* folds, and several leaves */
    case 19:
        return given(norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype));
    case 20:
        return given(norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype));
    case 21:
        return given(norma_batch_norm_desc(6, 5, 3, NORMA_NCHW, dtype));
    case 22:
        return given(norma_instance_norm_desc(3, 5, 47, NORMA_NCHW, dtype));
    case 23:
        return given(norma_batch_norm_desc(2, 16, 11, NORMA_NCHW8C, dtype));
    case 24:
        return norma_instance_norm_desc(3, 7, 33, NORMA_NCHW, dtype);
    case 25:
        return norma_instance_norm_desc(3, 7, 33, NORMA_NHWC, dtype);
    case 26:
        return norma_instance_norm_desc(2, 16, 35, NORMA_NCHW8C, dtype);
    case 27:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NCHW, dtype);
    case 28:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NHWC, dtype);
    case 29:
        return norma_group_norm_desc(2, 48, 11, 4, NORMA_NCHW16C, dtype); /* groups across blocks */
    case 30:
        return norma_group_norm_desc(2, 600, 9, 1, NORMA_NHWC, dtype); /* wider than a strip */
    case 31:
        return norma_group_norm_desc(3, 12, 1, 4, NORMA_NCHW, dtype); /* channels along the run */
    case 32:
        desc = norma_group_norm_desc(2, 12, 23, 4, NORMA_NCHW, dtype);
        desc.affine_of_groups = 1;
        return desc;
    case 33:
        desc = norma_group_norm_desc(2, 12, 23, 4, NORMA_NHWC, dtype);
        desc.affine_of_groups = 1;
        return desc;
    case 34:
        desc = norma_group_norm_desc(3, 12, 1, 4, NORMA_NHWC, dtype);
        desc.affine_of_groups = 1;
        return desc;
    default:
        desc = norma_batch_norm_desc(3, 5, 21, NORMA_NHWC, dtype);
        desc.unbiased = 1;
        return desc;
    }
}
enum { GEOMETRIES = 36 };

static norma_desc modulated(norma_desc desc, int variant)
{
    desc.modulation = variant % 2 ? NORMA_MODULATION_PER_ELEMENT : NORMA_MODULATION_PER_SAMPLE;
    desc.modulation_plain = variant % 5 == 2;
    return desc;
}

/* What varies beside geometry and type, in turn. */
static gradients_inputs inputs_of(int turn, const norma_desc *desc, int variant)
{
    const bool strided = desc->x_row_stride != desc->y_row_stride;
    const gradients_inputs inputs = {.scale = (variant + turn) % 4 != 3,
                                     .shift = desc->op != NORMA_RMS_NORM && (variant + turn) % 5 != 4,
                                     .modulation_scale = (variant + turn) % 7 != 6,
                                     .saved = (variant / 2 + turn) % 3 != 2,
                                     .mask = (gradients_mask)((turn + variant / 2) % 3),
                                     .in_place = variant / 2 % 2 && !strided,
                                     .side = variant / 2 % 2 ? GUARD_START : GUARD_END,
                                     .distance = variant % 5,
                                     .offset = 0.5,
                                     .spread = 2};
    return inputs;
}

/* Runs it on every instruction set; those with fused multiply-add give the same bits. */
static void check_each(int turn, int variant, gradients *g, double tolerance)
{
    void *first = NULL;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        size_t size;
        suite_case("geometry %d, variant %d, %s, %s, offset %g", turn, variant, norma_dtype_name(g->desc.dtype),
                   norma_isa_name(isa), g->inputs.offset);
        gradients_run_serial(g, isa);
        gradients_check(g, tolerance);
        void *got = gradients_outcome(g, &size);
        if (first && memcmp(first, got, size) != 0) {
            suite_fail("other bits than the instruction set before");
        }
        if (isa_shares_bits(isa) && !first) {
            first = got;
        } else {
            free(got);
        }
    }
    free(first);
}

static void every_geometry(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
            const int first = SUITE_QUICK ? 2 * (((int)d + turn) % 3) : 0;
            for (int variant = first; variant < (SUITE_QUICK ? first + 2 : 8); variant++) {
                norma_desc desc = modulated(geometry(turn, dtypes[d]), variant);
                desc.parameter_dtype = (variant + turn) % 3 && dtypes[d] != NORMA_F64 ? NORMA_F32 : 0;
                desc.saved = (norma_saved)(NORMA_SAVE_RSTD + (variant + turn) % 3);
                const gradients_inputs inputs = inputs_of(turn, &desc, variant);
                random_state random = random_begin((uint64_t)(turn * 100 + variant));
                gradients *g = gradients_create(&desc, &inputs, &random);
                check_each(turn, variant, g, gradients_tolerance(g));
                gradients_destroy(g);
            }
        }
    }
}

/* Far from zero a saved f32 mean is off by more than the gradients may be. */
static void any_offset(void **state)
{
    (void)state;
    const double offsets[] = {0, 1e3, 1e4};
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (int variant = 0; variant < 2; variant++) {
            for (size_t i = 0; i < COUNT_OF(offsets); i++) {
                const norma_desc desc = modulated(geometry(turn, NORMA_F32), variant);
                const bool near = desc.op == NORMA_RMS_NORM || desc.statistics == NORMA_STATISTICS_GIVEN;
                gradients_inputs inputs = inputs_of(0, &desc, variant);
                inputs.offset = near ? 0 : offsets[i]; /* these do not subtract what they keep */
                inputs.spread = 1;
                random_state random = random_begin((uint64_t)turn);
                gradients *g = gradients_create(&desc, &inputs, &random);
                check_each(turn, variant, g, 1e-5);
                gradients_destroy(g);
            }
        }
    }
}

/* With residuals, before (whose sum has a gradient from elsewhere) and after. */
static void residuals(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (int variant = 0; variant < 4; variant++) {
            norma_desc desc = modulated(geometry(turn, NORMA_F32), variant);
            const bool before = variant < 2;
            if (before && desc.x_row_stride) {
                continue;
            }
            desc.residual = before ? NORMA_RESIDUAL_BEFORE : NORMA_RESIDUAL_AFTER;
            gradients_inputs inputs = inputs_of(turn, &desc, variant);
            inputs.dsum = before;
            random_state random = random_begin((uint64_t)(turn * 10 + variant));
            gradients *g = gradients_create(&desc, &inputs, &random);
            check_each(turn, variant, g, gradients_tolerance(g));
            gradients_destroy(g);
        }
    }
}

/* Large enough to be shared out among threads. */
static norma_desc large(int turn)
{
    const norma_dtype dtype = turn % 2 ? NORMA_F64 : NORMA_F32; /* what rounding to f32 hides, f64 shows */
    const int64_t tokens[] = {2, 350, 513}, one[] = {1, 700, 129}, flat[] = {700, 129}, wide[] = {2, 3, 70000};
    const norma_desc all[] = {
        norma_layer_norm_desc(3, tokens, -1, dtype),
        norma_rms_norm_desc(3, one, -1, dtype),
        norma_layer_norm_desc(2, flat, -1, dtype),
        norma_layer_norm_desc(3, wide, -1, dtype),
        norma_batch_norm_desc(6, 5, 3001, NORMA_NCHW, dtype),
        norma_batch_norm_desc(1, 3, 30001, NORMA_NCHW, dtype),
        norma_batch_norm_desc(3, 70, 1100, NORMA_NHWC, dtype),
        norma_batch_norm_desc(2, 6, 5000, NORMA_NHWC, dtype),
        norma_batch_norm_desc(530, 21, 9, NORMA_NCHW, dtype),
        norma_batch_norm_desc(3, 32, 704, NORMA_NCHW16C, dtype),
        norma_group_norm_desc(1, 12, 30001, 2, NORMA_NCHW, dtype),
        norma_group_norm_desc(1, 520, 1030, 1, NORMA_NHWC, dtype),
        norma_instance_norm_desc(1, 8, 9001, NORMA_NHWC, dtype),
        norma_channel_norm_desc(3, 45, 1100, NORMA_NCHW, dtype),
        given(norma_batch_norm_desc(6, 21, 515, NORMA_NCHW, dtype)),
        given(norma_batch_norm_desc(6, 70, 515, NORMA_NHWC, dtype)),
    };
    return all[turn];
}
enum { LARGE = 16 };

static void check_threads(gradients *g, norma_isa isa, int turn)
{
    const int threads[] = {1, 2, 3, 7};
    void *first = NULL;
    for (size_t i = 0; i < 2 * COUNT_OF(threads); i++) {
        const int count = threads[i % COUNT_OF(threads)];
        pool workers = {.threads = count, .seed = (uint64_t)turn};
        const bool own = i >= COUNT_OF(threads);
        norma_context *context = isa_context(isa, count, own ? pool_parallel_for : NULL, own ? &workers : NULL);
        size_t size;
        suite_case("large %d, modulation %d, %d threads, %s", turn, (int)g->desc.modulation, count,
                   own ? "the caller's" : "norma's");
        gradients_run(g, context);
        norma_context_destroy(context);
        if (i == 0) {
            gradients_check(g, gradients_tolerance(g));
        }
        void *got = gradients_outcome(g, &size);
        if (first && memcmp(first, got, size) != 0) {
            suite_fail("other bits than with one thread");
        }
        if (first) {
            free(got);
        } else {
            first = got;
        }
    }
    free(first);
}

static void same_for_any_threads(void **state)
{
    (void)state;
    norma_isa best = NORMA_ISA_GENERIC;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        best = isa;
    }
    for (int turn = 0; turn < LARGE; turn++) {
        for (int variant = 0; variant < 2; variant++) {
            const norma_desc desc = modulated(large(turn), variant);
            gradients_inputs inputs = inputs_of(0, &desc, turn % 2 ? 4 : 0);
            random_state random = random_begin((uint64_t)turn);
            gradients *g = gradients_create(&desc, &inputs, &random);
            check_threads(g, best, turn);
            gradients_destroy(g);
        }
    }
}

/* What else is asked for does not change what is computed. */
static void any_subset(void **state)
{
    (void)state;
    enum { OUTPUTS = 5 };
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (int variant = 0; variant < 2; variant++) {
            const norma_desc desc = modulated(geometry(turn, NORMA_F32), variant);
            gradients_inputs inputs = inputs_of(0, &desc, variant);
            random_state random = random_begin(5);
            gradients *g = gradients_create(&desc, &inputs, &random);
            gradients_run_serial(g, NORMA_ISA_GENERIC);
            const norma_backward_args whole = g->args;
            const int64_t dx_count = oracle_x_extent(g->layout), params = g->layout->params;
            const int64_t elements = g->layout->sets * g->layout->length;
            const int64_t modulations = variant ? elements : desc.shape[0] * params;
            const void *from[OUTPUTS] = {whole.dx, whole.dscale, whole.dshift, whole.dmodulation_scale,
                                         whole.dmodulation_shift};
            const int64_t counts[OUTPUTS] = {dx_count, params, params, modulations, modulations};
            float *want[OUTPUTS];
            for (int i = 0; i < OUTPUTS; i++) {
                want[i] = suite_alloc((size_t)counts[i], sizeof *want[i]);
                if (from[i]) {
                    memcpy(want[i], from[i], (size_t)counts[i] * sizeof *want[i]);
                }
            }
            for (int wanted = 1; wanted < 1 << OUTPUTS; wanted++) {
                g->inputs.no_dx = !(wanted & 1);
                g->inputs.no_dscale = !(wanted & 2);
                g->inputs.no_dshift = !(wanted & 4);
                g->inputs.no_dmodulation_scale = !(wanted & 8);
                g->inputs.no_dmodulation_shift = !(wanted & 16);
                if (wanted == 4 && !whole.dshift) {
                    continue;
                }
                suite_case("geometry %d, modulation %d, outputs %d", turn, (int)desc.modulation, wanted);
                gradients_run_serial(g, NORMA_ISA_GENERIC);
                const norma_backward_args *a = &g->args;
                const void *got[OUTPUTS] = {a->dx, a->dscale, a->dshift, a->dmodulation_scale, a->dmodulation_shift};
                for (int i = 0; i < OUTPUTS; i++) {
                    check(!got[i] == (!(wanted >> i & 1) || !from[i]));
                    check(!got[i] || memcmp(got[i], want[i], (size_t)counts[i] * sizeof *want[i]) == 0);
                }
            }
            for (int i = 0; i < OUTPUTS; i++) {
                free(want[i]);
            }
            gradients_destroy(g);
        }
    }
}

/* The loss of a forward run in double: the sum of weights times y. */
static double loss_of(const norma_plan *plan, const norma_args *args, const double *weights, int64_t count)
{
    double sum = 0;
    check_success(norma_run(plan, args));
    for (int64_t i = 0; i < count; i++) {
        sum += weights[i] * ((const double *)args->y)[i];
    }
    return sum;
}

static void check_slopes(const norma_plan *plan, const norma_args *args, const double *weights, int64_t count, double *at,
                         const double *want, int64_t slopes)
{
    const double step = 1e-5;
    for (int64_t i = 0; i < slopes; i++) {
        const double here = at[i];
        at[i] = here + step;
        const double above = loss_of(plan, args, weights, count);
        at[i] = here - step;
        const double below = loss_of(plan, args, weights, count);
        at[i] = here;
        check(fabs((above - below) / (2 * step) - want[i]) < 1e-7);
    }
}

/* Independent of any formula: forward runs a little to both sides, of every input that has a gradient. */
static void central_differences(void **state)
{
    (void)state;
    enum { MOST = 64 };
    const int64_t rows[] = {2, 2, 6}, flat[] = {4, 6};
    const norma_desc descs[] = {norma_layer_norm_desc(3, rows, -1, NORMA_F64),
                                norma_layer_norm_desc(2, flat, -1, NORMA_F64),
                                norma_rms_norm_desc(3, rows, -1, NORMA_F64),
                                norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F64),
                                norma_batch_norm_desc(3, 2, 5, NORMA_NCHW, NORMA_F64),
                                norma_batch_norm_desc(3, 2, 5, NORMA_NHWC, NORMA_F64),
                                norma_batch_norm_desc(2, 8, 3, NORMA_NCHW8C, NORMA_F64),
                                norma_batch_norm_desc(5, 2, 2, NORMA_NCHW, NORMA_F64),
                                norma_instance_norm_desc(2, 3, 5, NORMA_NCHW, NORMA_F64),
                                norma_instance_norm_desc(2, 3, 5, NORMA_NHWC, NORMA_F64),
                                norma_group_norm_desc(2, 4, 5, 2, NORMA_NCHW, NORMA_F64),
                                norma_group_norm_desc(2, 4, 5, 2, NORMA_NHWC, NORMA_F64)};
    random_state random = random_begin(8);
    for (size_t d = 0; d < 3 * COUNT_OF(descs); d++) {
        norma_desc desc = modulated(descs[d / 3], d % 3 == 1);
        desc.modulation_plain = d % 3 == 2;
        double x[MOST], y[MOST], weights[MOST], m[MOST], t[MOST], dx[MOST], dm[MOST], dt[MOST], mean[MOST], rstd[MOST];
        double scale[8], shift[8], dscale[8], dshift[8];
        _Alignas(16) static char workspace[65536];
        oracle *layout = oracle_layout(&desc);
        const int64_t count = layout->sets * layout->length, parameters = layout->params;
        const int64_t modulations = desc.modulation == NORMA_MODULATION_PER_ELEMENT ? count : desc.shape[0] * parameters;
        const bool shifts = desc.op != NORMA_RMS_NORM;
        for (int64_t i = 0; i < MOST; i++) {
            x[i] = random_normal(&random);
            weights[i] = random_normal(&random);
            m[i] = 0.5 * random_normal(&random);
            t[i] = random_normal(&random);
        }
        for (int64_t i = 0; i < 8; i++) {
            scale[i] = 1 + 0.25 * random_normal(&random);
            shift[i] = random_normal(&random);
        }
        norma_plan *plan;
        check_success(norma_plan_create(&plan, NULL, &desc));
        check(norma_backward_workspace(plan) <= sizeof workspace);
        const norma_args args = {.struct_size = sizeof args,
                                 .x = x,
                                 .y = y,
                                 .scale = scale,
                                 .shift = shifts ? shift : NULL,
                                 .mean = shifts ? mean : NULL,
                                 .rstd = rstd,
                                 .modulation_scale = m,
                                 .modulation_shift = t};
        check_success(norma_run(plan, &args));
        const norma_backward_args back = {.struct_size = sizeof back,
                                          .x = x,
                                          .dy = weights,
                                          .dx = dx,
                                          .dscale = dscale,
                                          .dshift = shifts ? dshift : NULL,
                                          .scale = scale,
                                          .shift = args.shift,
                                          .mean = args.mean,
                                          .rstd = rstd,
                                          .modulation_scale = m,
                                          .dmodulation_scale = dm,
                                          .dmodulation_shift = dt,
                                          .workspace = workspace};
        check_success(norma_backward(plan, &back));
        suite_case("desc %zu", d);
        check_slopes(plan, &args, weights, count, x, dx, count);
        check_slopes(plan, &args, weights, count, scale, dscale, parameters);
        check_slopes(plan, &args, weights, count, shift, dshift, shifts ? parameters : 0);
        check_slopes(plan, &args, weights, count, m, dm, modulations);
        check_slopes(plan, &args, weights, count, t, dt, modulations);
        norma_plan_destroy(plan);
        oracle_destroy(layout);
    }
}

/* Without positions, the gradients of what all share are 0. */
static void empty(void **state)
{
    (void)state;
    const int64_t shape[] = {2, 0, 3};
    const norma_desc desc = modulated(norma_layer_norm_desc(3, shape, -1, NORMA_F32), 0);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check(norma_backward_workspace(plan) == 0);
    float dscale[] = {1, 2, 3}, dmodulation_scale[] = {1, 2, 3, 4, 5, 6}, dmodulation_shift[] = {1, 2, 3, 4, 5, 6};
    const norma_backward_args args = {.struct_size = sizeof args,
                                      .dscale = dscale,
                                      .dmodulation_scale = dmodulation_scale,
                                      .dmodulation_shift = dmodulation_shift};
    check_success(norma_backward(plan, &args));
    for (int i = 0; i < 6; i++) {
        check(dscale[i / 2] == 0 && dmodulation_scale[i] == 0 && dmodulation_shift[i] == 0);
    }
    norma_plan_destroy(plan);
}

/* Bad input is refused with a sentence. */
static void refusals(void **state)
{
    (void)state;
    enum { SAMPLES = 2, ROWS = 3, LENGTH = 8, COUNT = SAMPLES * ROWS * LENGTH };
    static float x[COUNT], dy[COUNT], dx[COUNT], m[SAMPLES * LENGTH], dm[SAMPLES * LENGTH], dt[SAMPLES * LENGTH], shift[LENGTH];
    _Alignas(16) static char workspace[65536];
    const int64_t shape[] = {SAMPLES, ROWS, LENGTH};
    const norma_desc plain = norma_layer_norm_desc(3, shape, -1, NORMA_F32), desc = modulated(plain, 0);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check(norma_backward_workspace(plan) <= sizeof workspace);
    const norma_backward_args good = {.struct_size = sizeof good,
                                      .x = x,
                                      .dy = dy,
                                      .dx = dx,
                                      .workspace = workspace,
                                      .shift = shift,
                                      .modulation_scale = m,
                                      .dmodulation_scale = dm,
                                      .dmodulation_shift = dt};
    norma_backward_args bad = good;
    check_success(norma_backward(plan, &good));
    bad.dmodulation_scale = dx;
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "args.dmodulation_scale");
    bad = good;
    bad.dmodulation_shift = m;
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "overlaps");
    bad = good;
    bad.modulation_scale = (const char *)m + 2;
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "args.modulation_scale");
    bad = good;
    bad.dx = NULL;
    bad.dmodulation_scale = bad.dmodulation_shift = NULL;
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "args.dx");
    bad = good;
    bad.struct_size = offsetof(norma_backward_args, shift);
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "struct_size");
    norma_plan_destroy(plan);
    check_success(norma_plan_create(&plan, NULL, &plain));
    check_refused(norma_backward(plan, &good), NORMA_INVALID_ARGUMENT, "args.shift");
    bad = good;
    bad.shift = NULL;
    check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, "args.modulation_scale");
    norma_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_geometry), cmocka_unit_test(any_offset),
        cmocka_unit_test(residuals),      cmocka_unit_test(same_for_any_threads),
        cmocka_unit_test(any_subset),     cmocka_unit_test(central_differences),
        cmocka_unit_test(empty),          cmocka_unit_test(refusals),
    };
    return suite_main("backward_modulated", tests, COUNT_OF(tests), argc, argv);
}

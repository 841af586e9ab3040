/*
 * Gradients: every geometry, type and instruction set against the formulas in long double, the same bits whatever runs them,
 * and the edges of the backward pass.
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

/* Small ones of every kind that kernels or drivers treat in their own way; `turn` chooses. */
static norma_desc geometry(int turn, norma_dtype dtype)
{
    const int64_t rows[] = {37, 83}, wide[] = {5, 1041}, image[] = {3, 4, 7, 9}, tall[] = {3, 37, 29}, planes[] = {3, 4, 41};
    const int64_t few[] = {1100, 21};
    const int outer_and_inner[] = {0, 2};
    norma_desc desc;
    switch (turn) {
    case 0:
        return norma_layer_norm_desc(2, rows, -1, dtype);
    case 1:
        return norma_rms_norm_desc(2, wide, -1, dtype);
    case 2:
        desc = norma_rms_norm_desc(2, rows, -1, dtype);
        desc.rms_mode = NORMA_RMS_ONE_PLUS_SCALE;
        return desc;
    case 3:
        return norma_lp_norm_desc(2, rows, -1, 2, dtype);
    case 4:
        return norma_lp_norm_desc(3, tall, 1, 2, dtype);
    case 5:
        return norma_layer_norm_desc(4, image, 1, dtype);
    case 6:
        desc = norma_layer_norm_desc(2, rows, -1, dtype);
        desc.x_row_stride = 89;
        desc.y_row_stride = 85;
        return desc;
    case 7:
        return norma_channel_norm_desc(2, 37, 29, NORMA_NCHW, dtype);
    case 8:
        return norma_channel_norm_desc(3, 20, 300, NORMA_NCHW, dtype);
    case 9:
        return norma_channel_norm_desc(2, 37, 29, NORMA_NHWC, dtype);
    case 10:
        return norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype);
    case 11:
        return norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype);
    case 12:
        return norma_batch_norm_desc(7, 5, 4, NORMA_NCHW, dtype); /* planes as columns */
    case 13:
        return norma_batch_norm_desc(41, 9, 1, NORMA_NCHW, dtype); /* a matrix */
    case 14:
        return norma_batch_norm_desc(3, 32, 11, NORMA_NCHW16C, dtype);
    case 15:
        return norma_batch_norm_desc(1, 530, 70, NORMA_NHWC, dtype); /* more than one strip, folds of none */
    case 16:
        return given(norma_batch_norm_desc(3, 5, 47, NORMA_NCHW, dtype));
    case 17:
        return given(norma_batch_norm_desc(3, 19, 21, NORMA_NHWC, dtype));
    case 18:
        return given(norma_batch_norm_desc(6, 5, 3, NORMA_NCHW, dtype));
    case 19:
        return given(norma_instance_norm_desc(3, 5, 47, NORMA_NCHW, dtype));
    case 20:
        return norma_instance_norm_desc(3, 7, 33, NORMA_NCHW, dtype);
    case 21:
        return norma_instance_norm_desc(3, 7, 33, NORMA_NHWC, dtype);
    case 22:
        return norma_instance_norm_desc(2, 16, 35, NORMA_NCHW8C, dtype);
    case 23:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NCHW, dtype);
    case 24:
        return norma_group_norm_desc(2, 12, 23, 4, NORMA_NHWC, dtype);
    case 25:
        return norma_group_norm_desc(2, 32, 11, 4, NORMA_NCHW8C, dtype);
    case 26:
        return norma_group_norm_desc(2, 48, 11, 4, NORMA_NCHW16C, dtype); /* groups across blocks */
    case 27:
        return norma_group_norm_desc(2, 600, 9, 1, NORMA_NHWC, dtype); /* wider than a strip */
    case 28:
        return norma_group_norm_desc(3, 12, 1, 4, NORMA_NCHW, dtype); /* channels along the run */
    case 29:
        desc = norma_group_norm_desc(2, 12, 23, 4, NORMA_NCHW, dtype);
        desc.affine_of_groups = 1;
        return desc;
    case 30:
        desc = norma_group_norm_desc(2, 12, 23, 4, NORMA_NHWC, dtype);
        desc.affine_of_groups = 1;
        return desc;
    case 31:
        return norma_mvn_desc(3, planes, 2, outer_and_inner, dtype);
    case 32:
        return norma_lp_norm_desc(2, few, 0, 2, dtype);
    case 33:
        return norma_group_norm_desc(2, 140, 5, 2, NORMA_NCHW, dtype); /* more channels than go together */
    default:
        return norma_batch_norm_desc(1, 3, 20000, NORMA_NCHW, dtype); /* runs of several leaves */
    }
}
enum { GEOMETRIES = 35 };

static bool scaled(const norma_desc *desc)
{
    return desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
}

static void describe(int turn, const gradients *g, norma_isa isa)
{
    suite_case("geometry %d, %s, %s, scale %d, saved %d, mask %d, dsum %d, in place %d, distance %d, offset %g", turn,
               norma_dtype_name(g->desc.dtype), norma_isa_name(isa), g->inputs.scale, g->inputs.saved, (int)g->inputs.mask,
               g->inputs.dsum, g->inputs.in_place, g->inputs.distance, g->inputs.offset);
}

/* Runs it on every instruction set; those with fused multiply-add give the same bits. */
static void check_each(int turn, gradients *g, double tolerance)
{
    void *first = NULL;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        size_t size;
        describe(turn, g, isa);
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

/* What varies beside geometry and type, in turn: each value meets each geometry in some type. */
static gradients_inputs inputs_of(int turn, const norma_desc *desc, int variant)
{
    const bool strided = desc->x_row_stride != desc->y_row_stride;
    const gradients_inputs inputs = {.scale = scaled(desc) && variant % 4 != 3,
                                     .saved = variant % 3 != 2,
                                     .mask = (gradients_mask)((turn + variant) % 3),
                                     .in_place = variant % 2 && !strided,
                                     .side = variant % 2 ? GUARD_START : GUARD_END,
                                     .distance = variant % 5,
                                     .offset = 0.5,
                                     .spread = 2};
    return inputs;
}

static void every_geometry(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
            for (int variant = SUITE_QUICK ? (int)d % 2 : 0; variant < 6; variant += SUITE_QUICK ? 3 : 1) {
                norma_desc desc = geometry(turn, dtypes[d]);
                desc.parameter_dtype = variant % 2 && dtypes[d] != NORMA_F64 ? NORMA_F32 : 0;
                desc.saved = (norma_saved)(NORMA_SAVE_RSTD + (variant + turn) % 3);
                const gradients_inputs inputs = inputs_of(turn, &desc, variant);
                random_state random = random_begin((uint64_t)(turn * 100 + variant));
                gradients *g = gradients_create(&desc, &inputs, &random);
                check_each(turn, g, gradients_tolerance(g));
                gradients_destroy(g);
            }
        }
    }
}

/* Far from zero a saved f32 mean is off by more than the gradients may be. */
static void any_offset(void **state)
{
    (void)state;
    const double offsets[] = {0, 10, 1e3, 1e4};
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t i = 0; i < COUNT_OF(offsets); i++) {
            const norma_desc desc = geometry(turn, NORMA_F32);
            const bool far = desc.op == NORMA_RMS_NORM || desc.op == NORMA_LP_NORM || desc.statistics == NORMA_STATISTICS_GIVEN;
            gradients_inputs inputs = inputs_of(turn, &desc, 0);
            inputs.offset = far ? 0 : offsets[i]; /* these do not subtract what they keep */
            inputs.spread = 1;
            random_state random = random_begin((uint64_t)turn);
            gradients *g = gradients_create(&desc, &inputs, &random);
            check_each(turn, g, 1e-5);
            gradients_destroy(g);
        }
    }
}

/* Large enough to be shared out among threads. */
static norma_desc large(int turn)
{
    const int64_t rows[] = {700, 513}, wide[] = {9, 70000}, deep[] = {2500, 50};
    const norma_desc all[] = {
        norma_layer_norm_desc(2, rows, -1, NORMA_F32),
        norma_rms_norm_desc(2, rows, -1, NORMA_F32),
        norma_layer_norm_desc(2, wide, -1, NORMA_F32),
        norma_lp_norm_desc(2, deep, 0, 2, NORMA_F32),
        norma_batch_norm_desc(6, 5, 3001, NORMA_NCHW, NORMA_F32),
        norma_batch_norm_desc(6, 70, 515, NORMA_NHWC, NORMA_F32),
        norma_batch_norm_desc(530, 21, 9, NORMA_NCHW, NORMA_F32),
        norma_group_norm_desc(1, 12, 30001, 2, NORMA_NCHW, NORMA_F32),
        norma_group_norm_desc(5, 24, 515, 4, NORMA_NHWC, NORMA_F32),
        norma_group_norm_desc(1, 520, 1030, 1, NORMA_NHWC, NORMA_F32),
        norma_instance_norm_desc(1, 8, 9001, NORMA_NHWC, NORMA_F32),
        norma_channel_norm_desc(3, 45, 1100, NORMA_NCHW, NORMA_F32),
        norma_channel_norm_desc(3, 45, 1100, NORMA_NHWC, NORMA_F32),
        given(norma_batch_norm_desc(6, 21, 515, NORMA_NCHW, NORMA_F32)),
        given(norma_batch_norm_desc(6, 70, 515, NORMA_NHWC, NORMA_F32)),
        norma_batch_norm_desc(3, 32, 704, NORMA_NCHW16C, NORMA_F32),
        norma_batch_norm_desc(1, 3, 900001, NORMA_NCHW, NORMA_F32), /* segments of several leaves */
        norma_group_norm_desc(2000, 12, 1, 4, NORMA_NCHW, NORMA_F32),
    };
    return all[turn];
}
enum { LARGE = 18 };

static void same_for_any_threads(void **state)
{
    (void)state;
    const int threads[] = {1, 2, 3, 7};
    norma_isa best = NORMA_ISA_GENERIC;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        best = isa;
    }
    for (int turn = 0; turn < LARGE; turn++) {
        const norma_desc desc = large(turn);
        gradients_inputs inputs = inputs_of(turn, &desc, turn % 2 ? 2 : 0);
        random_state random = random_begin((uint64_t)turn);
        gradients *g = gradients_create(&desc, &inputs, &random);
        void *first = NULL;
        for (size_t i = 0; i < 2 * COUNT_OF(threads); i++) {
            const int count = threads[i % COUNT_OF(threads)];
            pool workers = {.threads = count, .seed = (uint64_t)turn};
            const bool own = i >= COUNT_OF(threads);
            norma_context *context = isa_context(best, count, own ? pool_parallel_for : NULL, own ? &workers : NULL);
            size_t size;
            suite_case("large %d, %d threads, %s", turn, count, own ? "the caller's" : "norma's");
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
        gradients_destroy(g);
    }
}

/* What else is asked for does not change what is computed. */
static void any_subset(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        const norma_desc desc = geometry(turn, NORMA_F32);
        gradients_inputs inputs = inputs_of(turn, &desc, 0);
        random_state random = random_begin(5);
        gradients *g = gradients_create(&desc, &inputs, &random);
        gradients_run_serial(g, NORMA_ISA_GENERIC);
        const int64_t dx_count = oracle_x_extent(g->layout), parameters = g->layout->params;
        float *dx = suite_alloc((size_t)dx_count, sizeof *dx), *dscale = suite_alloc((size_t)parameters, sizeof *dscale);
        float *dshift = suite_alloc((size_t)parameters, sizeof *dshift);
        const bool takes_scale = g->args.dscale, takes_shift = g->args.dshift;
        memcpy(dx, g->args.dx, (size_t)dx_count * sizeof *dx);
        if (takes_scale) {
            memcpy(dscale, g->args.dscale, (size_t)parameters * sizeof *dscale);
        }
        if (takes_shift) {
            memcpy(dshift, g->args.dshift, (size_t)parameters * sizeof *dshift);
        }
        for (int wanted = 1; wanted < 8; wanted++) {
            g->inputs.no_dx = !(wanted & 1);
            g->inputs.no_dscale = !(wanted & 2);
            g->inputs.no_dshift = !(wanted & 4);
            if (g->inputs.no_dx && (g->inputs.no_dscale || !takes_scale) && (g->inputs.no_dshift || !takes_shift)) {
                continue;
            }
            suite_case("geometry %d, outputs %d", turn, wanted);
            gradients_run_serial(g, NORMA_ISA_GENERIC);
            check(!g->args.dx || memcmp(g->args.dx, dx, (size_t)dx_count * sizeof *dx) == 0);
            check(!g->args.dscale || memcmp(g->args.dscale, dscale, (size_t)parameters * sizeof *dscale) == 0);
            check(!g->args.dshift || memcmp(g->args.dshift, dshift, (size_t)parameters * sizeof *dshift) == 0);
        }
        free(dx);
        free(dscale);
        free(dshift);
        gradients_destroy(g);
    }
}

/* A residual that joins last has a gradient; one that is added first adds what its sum has from elsewhere. */
static void residuals(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
            for (int variant = SUITE_QUICK ? turn % 2 : 0; variant < 4; variant += SUITE_QUICK ? 3 : 1) {
                norma_desc desc = geometry(turn, dtypes[d]);
                const bool before = variant % 2;
                if (before && desc.x_row_stride) {
                    continue;
                }
                desc.residual = before ? NORMA_RESIDUAL_BEFORE : NORMA_RESIDUAL_AFTER;
                gradients_inputs inputs = inputs_of(turn, &desc, variant);
                inputs.dsum = before;
                random_state random = random_begin((uint64_t)(turn * 10 + variant));
                gradients *g = gradients_create(&desc, &inputs, &random);
                check_each(turn, g, gradients_tolerance(g));
                gradients_destroy(g);
            }
        }
    }
}

static void epsilon_modes(void **state)
{
    (void)state;
    const int rows_and_more[] = {0, 3, 4, 7, 11, 20, 24, 31};
    for (size_t i = 0; i < COUNT_OF(rows_and_more); i++) {
        for (norma_epsilon_mode mode = NORMA_EPSILON_INSIDE; mode <= NORMA_EPSILON_NONE; mode++) {
            for (int variant = 0; variant < 8; variant++) {
                static const norma_saved saved[] = {NORMA_SAVE_RSTD, NORMA_SAVE_VARIANCE, NORMA_SAVE_DIVISOR, NORMA_SAVE_RSTD};
                norma_desc desc = geometry(rows_and_more[i], NORMA_F32);
                desc.epsilon_mode = mode;
                /* Of Lp norm the root is some ten times as large. The floor is met or not; as an f32 it is larger than here. */
                desc.epsilon = (variant < 4 ? 0.1 : 3.2) * (desc.op == NORMA_LP_NORM ? 12 : 1);
                desc.saved = saved[variant % 4];
                const gradients_inputs inputs = {
                    .scale = scaled(&desc), .saved = variant % 4 < 3, .offset = desc.op == NORMA_LP_NORM ? 0 : 1, .spread = 1};
                random_state random = random_begin((uint64_t)variant);
                gradients *g = gradients_create(&desc, &inputs, &random);
                suite_case("mode %d", (int)mode);
                check_each(rows_and_more[i], g, 1e-5);
                gradients_destroy(g);
            }
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

static double slope_at(const norma_plan *plan, const norma_args *args, const double *weights, int64_t count, double *at)
{
    const double step = 1e-5, here = *at;
    *at = here + step;
    const double above = loss_of(plan, args, weights, count);
    *at = here - step;
    const double below = loss_of(plan, args, weights, count);
    *at = here;
    return (above - below) / (2 * step);
}

/* Independent of any formula: forward runs a little to both sides. */
static void central_differences(void **state)
{
    (void)state;
    enum { MOST = 64 };
    const int64_t rows[] = {4, 6};
    const norma_desc descs[] = {norma_layer_norm_desc(2, rows, -1, NORMA_F64),
                                norma_rms_norm_desc(2, rows, -1, NORMA_F64),
                                norma_lp_norm_desc(2, rows, -1, 2, NORMA_F64),
                                norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F64),
                                norma_batch_norm_desc(3, 2, 5, NORMA_NCHW, NORMA_F64),
                                norma_batch_norm_desc(3, 2, 5, NORMA_NHWC, NORMA_F64),
                                norma_instance_norm_desc(2, 3, 5, NORMA_NCHW, NORMA_F64),
                                norma_instance_norm_desc(2, 3, 5, NORMA_NHWC, NORMA_F64),
                                norma_group_norm_desc(2, 4, 5, 2, NORMA_NCHW, NORMA_F64),
                                norma_group_norm_desc(2, 4, 5, 2, NORMA_NHWC, NORMA_F64)};
    random_state random = random_begin(8);
    for (size_t d = 0; d < COUNT_OF(descs); d++) {
        double x[MOST], y[MOST], weights[MOST], dx[MOST], scale[8], shift[8], dscale[8], dshift[8], mean[MOST], rstd[MOST];
        _Alignas(16) static char workspace[65536];
        oracle *layout = oracle_layout(&descs[d]);
        const int64_t count = layout->sets * layout->length, parameters = layout->params;
        const bool takes = scaled(&descs[d]), shifts = takes && descs[d].op != NORMA_RMS_NORM;
        for (int64_t i = 0; i < count; i++) {
            x[i] = random_normal(&random);
            weights[i] = random_normal(&random);
        }
        for (int64_t i = 0; i < 8; i++) {
            scale[i] = 1 + 0.25 * random_normal(&random);
            shift[i] = random_normal(&random);
        }
        norma_plan *plan;
        check_success(norma_plan_create(&plan, NULL, &descs[d]));
        check(norma_backward_workspace(plan) <= sizeof workspace);
        norma_args args = {.struct_size = sizeof args, .x = x, .y = y};
        args.scale = takes ? scale : NULL;
        args.shift = shifts ? shift : NULL;
        args.mean = shifts ? mean : NULL;
        args.rstd = rstd;
        check_success(norma_run(plan, &args));
        const norma_backward_args back = {.struct_size = sizeof back,
                                          .x = x,
                                          .dy = weights,
                                          .dx = dx,
                                          .dscale = takes ? dscale : NULL,
                                          .dshift = shifts ? dshift : NULL,
                                          .scale = args.scale,
                                          .mean = args.mean,
                                          .rstd = rstd,
                                          .workspace = workspace};
        check_success(norma_backward(plan, &back));
        suite_case("desc %zu", d);
        for (int64_t i = 0; i < count; i++) {
            check(fabs(slope_at(plan, &args, weights, count, &x[i]) - dx[i]) < 1e-7);
        }
        for (int64_t i = 0; takes && i < parameters; i++) {
            check(fabs(slope_at(plan, &args, weights, count, &scale[i]) - dscale[i]) < 1e-7);
            check(!shifts || fabs(slope_at(plan, &args, weights, count, &shift[i]) - dshift[i]) < 1e-7);
        }
        norma_plan_destroy(plan);
        oracle_destroy(layout);
    }
}

/* Fifty norms one upon the other, forward and back, in f32 and in f64. */
enum { STACK = 50, STACK_ROWS = 6, STACK_LENGTH = 96, STACK_COUNT = STACK_ROWS * STACK_LENGTH };

static void run_stack(norma_dtype dtype, double *dx_out)
{
    const size_t size = element_size(dtype);
    const int64_t shape[] = {STACK_ROWS, STACK_LENGTH};
    char *x = suite_alloc((STACK + 1) * STACK_COUNT, size), *scale = suite_alloc(STACK * STACK_LENGTH, size);
    char *mean = suite_alloc(STACK * STACK_ROWS, size), *rstd = suite_alloc(STACK * STACK_ROWS, size);
    char *d = suite_alloc(STACK_COUNT, size), *dscale = suite_alloc(STACK_LENGTH, size);
    norma_plan *plans[2];
    const norma_desc descs[] = {norma_layer_norm_desc(2, shape, -1, dtype), norma_rms_norm_desc(2, shape, -1, dtype)};
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        check_success(norma_plan_create(&plans[i], NULL, &descs[i]));
        most = norma_backward_workspace(plans[i]) > most ? norma_backward_workspace(plans[i]) : most;
    }
    void *workspace = suite_alloc(most, 1);
    random_state random = random_begin(50);
    for (int i = 0; i < STACK_COUNT; i++) {
        element_set(dtype, x, i, (float)random_normal(&random));
        element_set(dtype, d, i, (float)random_normal(&random));
    }
    for (int i = 0; i < STACK * STACK_LENGTH; i++) {
        element_set(dtype, scale, i, (float)(1 + 0.1 * random_normal(&random)));
    }
    for (int k = 0; k < STACK; k++) {
        const norma_args args = {.struct_size = sizeof args,
                                 .x = x + (size_t)k * STACK_COUNT * size,
                                 .y = x + (size_t)(k + 1) * STACK_COUNT * size,
                                 .scale = scale + (size_t)k * STACK_LENGTH * size,
                                 .mean = k % 2 ? NULL : mean + (size_t)k * STACK_ROWS * size,
                                 .rstd = rstd + (size_t)k * STACK_ROWS * size};
        check_success(norma_run(plans[k % 2], &args));
    }
    for (int k = STACK - 1; k >= 0; k--) {
        const norma_backward_args args = {.struct_size = sizeof args,
                                          .x = x + (size_t)k * STACK_COUNT * size,
                                          .dy = d,
                                          .dx = d,
                                          .dscale = dscale,
                                          .scale = scale + (size_t)k * STACK_LENGTH * size,
                                          .mean = k % 2 ? NULL : mean + (size_t)k * STACK_ROWS * size,
                                          .rstd = rstd + (size_t)k * STACK_ROWS * size,
                                          .workspace = workspace};
        check_success(norma_backward(plans[k % 2], &args));
    }
    for (int i = 0; i < STACK_COUNT; i++) {
        dx_out[i] = element_get(dtype, d, i);
    }
    for (int i = 0; i < 2; i++) {
        norma_plan_destroy(plans[i]);
    }
    free(x);
    free(scale);
    free(mean);
    free(rstd);
    free(d);
    free(dscale);
    free(workspace);
}

static void fifty_norms(void **state)
{
    (void)state;
    static double single[STACK_COUNT], twice[STACK_COUNT];
    run_stack(NORMA_F32, single);
    run_stack(NORMA_F64, twice);
    double most = 0;
    for (int i = 0; i < STACK_COUNT; i++) {
        most = fmax(most, fabs(twice[i]));
    }
    for (int i = 0; i < STACK_COUNT; i++) {
        check(isfinite(single[i]));
        check(fabs(single[i] - twice[i]) <= 1e-5 * most);
    }
}

/* BatchNorm1d on a column: mean 0.375, biased variance 0.691875. With dy = 1, 0, 0, 0 the gradients
 * follow by hand. */
static void known_column(void **state)
{
    (void)state;
    const double x[] = {1.2, 0.8, -1.0, 0.5}, dy[] = {1, 0, 0, 0}, scale[] = {1};
    double dx[4], dscale[1], dshift[1];
    char workspace[4096] __attribute__((aligned(16)));
    const norma_desc desc = norma_batch_norm_desc(4, 1, 1, NORMA_NCHW, NORMA_F64);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check(norma_backward_workspace(plan) <= sizeof workspace);
    const norma_backward_args args = {.struct_size = sizeof args,
                                      .x = x,
                                      .dy = dy,
                                      .dx = dx,
                                      .dscale = dscale,
                                      .dshift = dshift,
                                      .scale = scale,
                                      .workspace = workspace};
    check_success(norma_backward(plan, &args));
    norma_plan_destroy(plan);
    const double rstd = 1 / sqrt(0.691875 + 1e-5);
    check(fabs(dscale[0] - 0.991829) < 1e-6 && dshift[0] == 1);
    for (int i = 0; i < 4; i++) {
        const double xn = (x[i] - 0.375) * rstd;
        check(fabs(dx[i] - rstd * ((i == 0) - 0.25 - xn * dscale[0] / 4)) < 1e-14);
    }
}

/* A NaN or infinity stays inside its set, and inside the parameters that it shares. */
static void nan_stays_inside(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        const norma_desc desc = geometry(turn, NORMA_F32);
        gradients_inputs inputs = inputs_of(turn, &desc, 0);
        inputs.mask = MASK_NONE;
        inputs.saved = false;
        random_state random = random_begin(6);
        gradients *g = gradients_create(&desc, &inputs, &random);
        if (desc.statistics == NORMA_STATISTICS_GIVEN || g->layout->sets < 2) {
            gradients_destroy(g);
            continue;
        }
        gradients_run_serial(g, NORMA_ISA_GENERIC);
        const int64_t extent = oracle_x_extent(g->layout), length = g->layout->length;
        float *before = suite_alloc((size_t)extent, sizeof *before);
        memcpy(before, g->args.dx, (size_t)extent * sizeof *before);
        gradients_set_x(g, 1, length / 2, NAN);
        gradients_run_serial(g, NORMA_ISA_GENERIC);
        suite_case("geometry %d", turn);
        for (int64_t i = 0; i < g->layout->sets * length; i++) {
            const float got = ((const float *)g->args.dx)[g->layout->x_at[i]];
            check(i / length == 1 ? isnan(got) : got == before[g->layout->x_at[i]]);
        }
        for (int64_t i = 0; g->args.dscale && i < g->layout->params; i++) {
            bool shares = false;
            for (int64_t k = length; k < 2 * length; k++) {
                shares = shares || g->layout->param_at[k] == i;
            }
            check(shares == (bool)isnan(((const float *)g->args.dscale)[i]));
        }
        free(before);
        gradients_destroy(g);
    }
}

/* Equal elements, one element per set, data of any magnitude. */
static void edges(void **state)
{
    (void)state;
    const double magnitudes[] = {1e30, 1e-30};
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (int variant = 0; variant < 4; variant++) {
            norma_desc desc = geometry(turn, NORMA_F32);
            gradients_inputs inputs = inputs_of(turn, &desc, 0);
            if (variant < 2 && desc.statistics == NORMA_STATISTICS_GIVEN) {
                continue;
            }
            desc.epsilon = variant < 2 ? 0 : desc.epsilon;
            inputs.saved = variant % 2; /* 1 / 1e-30 and 1 / 1e30 both are f32 */
            inputs.spread = variant < 2 ? magnitudes[variant] : 0;
            inputs.offset = variant < 2 ? 0 : 2;
            random_state random = random_begin(7);
            gradients *g = gradients_create(&desc, &inputs, &random);
            check_each(turn, g, 1e-5);
            gradients_destroy(g);
        }
    }
    const int64_t ones[] = {5, 1};
    const norma_desc single[] = {norma_layer_norm_desc(2, ones, -1, NORMA_F32),
                                 norma_batch_norm_desc(1, 5, 1, NORMA_NCHW, NORMA_F32),
                                 norma_instance_norm_desc(2, 3, 1, NORMA_NCHW, NORMA_F32)};
    for (size_t i = 0; i < COUNT_OF(single); i++) {
        const gradients_inputs inputs = {.scale = true, .saved = i % 2, .offset = 3, .spread = 1};
        random_state random = random_begin(i);
        gradients *g = gradients_create(&single[i], &inputs, &random);
        check_each(GEOMETRIES, g, 1e-5);
        gradients_destroy(g);
    }
}

/* Without elements, gradients of parameters are 0. */
static void empty(void **state)
{
    (void)state;
    const int64_t shape[] = {0, 3};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check(norma_backward_workspace(plan) == 0);
    float dscale[] = {1, 2, 3}, dshift[] = {4, 5, 6};
    const norma_backward_args args = {.struct_size = sizeof args, .dscale = dscale, .dshift = dshift};
    check_success(norma_backward(plan, &args));
    for (int i = 0; i < 3; i++) {
        check(dscale[i] == 0 && dshift[i] == 0);
    }
    norma_plan_destroy(plan);
}

static void mask_of_y(void **state)
{
    (void)state;
    float y[19];
    uint8_t mask[3] = {0xff, 0xff, 0xff};
    for (int i = 0; i < 19; i++) {
        y[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? 1e-45f : -1;
    }
    y[17] = NAN;
    check_success(norma_relu_mask(NORMA_F32, y, 19, mask));
    for (int i = 0; i < 24; i++) {
        check((mask[i / 8] >> (i % 8) & 1) == (i < 19 && (i % 3 == 1 || i == 17)));
    }
    check_refused(norma_relu_mask((norma_dtype)9, y, 19, mask), NORMA_INVALID_ARGUMENT, "dtype");
    check_refused(norma_relu_mask(NORMA_F32, y, -1, mask), NORMA_INVALID_ARGUMENT, "count");
    check_refused(norma_relu_mask(NORMA_F32, NULL, 1, mask), NORMA_INVALID_ARGUMENT, "y");
    check_refused(norma_relu_mask(NORMA_F32, y, 1, NULL), NORMA_INVALID_ARGUMENT, "mask");
}

/* Bad input is refused with a sentence, and nothing is written. */
static void refusals(void **state)
{
    (void)state;
    enum { ROWS = 3, LENGTH = 8, COUNT = ROWS * LENGTH };
    static float x[COUNT + 1], dy[COUNT], dx[COUNT + 8], dscale[LENGTH], mean[ROWS], rstd[ROWS];
    _Alignas(16) static char workspace[65536];
    const int64_t shape[] = {ROWS, LENGTH};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    const norma_backward_args good = {.struct_size = sizeof good,
                                      .x = x,
                                      .dy = dy,
                                      .dx = dx,
                                      .dscale = dscale,
                                      .mean = mean,
                                      .rstd = rstd,
                                      .workspace = workspace};
    check_success(norma_backward(plan, &good));
    memset(dx, 0x5a, sizeof dx);
    memset(dscale, 0x5a, sizeof dscale);
    norma_backward_args bad;
#define REFUSED(change, word)                                                                                                  \
    do {                                                                                                                       \
        bad = good;                                                                                                            \
        change;                                                                                                                \
        check_refused(norma_backward(plan, &bad), NORMA_INVALID_ARGUMENT, word);                                               \
        for (size_t i = 0; i < sizeof dx; i++) {                                                                               \
            check(((const char *)dx)[i] == 0x5a);                                                                              \
        }                                                                                                                      \
    } while (0)
    check_refused(norma_backward(NULL, &good), NORMA_INVALID_ARGUMENT, "plan");
    check_refused(norma_backward(plan, NULL), NORMA_INVALID_ARGUMENT, "args");
    REFUSED(bad.struct_size = 3, "struct_size");
    REFUSED(bad.x = NULL, "args.x");
    REFUSED(bad.dy = NULL, "args.dy");
    REFUSED((bad.dx = NULL, bad.dscale = NULL), "args.dx");
    REFUSED(bad.mean = NULL, "args.mean");
    REFUSED(bad.rstd = NULL, "args.rstd");
    REFUSED(bad.workspace = NULL, "args.workspace");
    REFUSED(bad.workspace = workspace + 2, "args.workspace");
    REFUSED(bad.x = (const char *)x + 2, "args.x");
    REFUSED(bad.dx = x, "args.dx");
    REFUSED(bad.dx = dy + 1, "args.dx");
    REFUSED(bad.dscale = dx + 2, "overlaps");
    REFUSED(bad.dsum = dy, "args.dsum");
    REFUSED(bad.dresidual = dy, "args.dresidual");
    REFUSED(bad.y = dy, "args.y");
    REFUSED(bad.mask = (const uint8_t *)dy, "args.mask");
    REFUSED(bad.given_mean = mean, "args.given_mean");
#undef REFUSED
    norma_plan_destroy(plan);
    desc.activation = NORMA_RELU;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_backward(plan, &good), NORMA_INVALID_ARGUMENT, "args.y");
    norma_plan_destroy(plan);
    norma_desc_activate(&desc, NORMA_SILU);
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_backward(plan, &good), NORMA_UNSUPPORTED, "silu");
    norma_plan_destroy(plan);
    const norma_desc magnitudes = norma_lp_norm_desc(2, shape, -1, 1, NORMA_F32);
    check_success(norma_plan_create(&plan, NULL, &magnitudes));
    check_refused(norma_backward(plan, &good), NORMA_UNSUPPORTED, "p = 1");
    norma_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_geometry),      cmocka_unit_test(any_offset),  cmocka_unit_test(same_for_any_threads),
        cmocka_unit_test(any_subset),          cmocka_unit_test(residuals),   cmocka_unit_test(epsilon_modes),
        cmocka_unit_test(central_differences), cmocka_unit_test(fifty_norms), cmocka_unit_test(known_column),
        cmocka_unit_test(nan_stays_inside),    cmocka_unit_test(edges),       cmocka_unit_test(empty),
        cmocka_unit_test(mask_of_y),           cmocka_unit_test(refusals),
    };
    return suite_main("backward", tests, COUNT_OF(tests), argc, argv);
}

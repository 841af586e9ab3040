/*
 * Batch, instance and group norm: every shape against the oracle, what one layout or one op says of another, and running
 * statistics.
 */
#include <math.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

static const trial_spot plain_spot = {GUARD_END, 0, false};

/* (n, c, spatial, groups): sizes around a vector, a strip, a leaf; one of each; no round number. */
static const int64_t shapes[][4] = {
    {1, 1, 1, 1},    {1, 3, 1, 3},     {2, 1, 5, 1},     {3, 4, 1, 2},    {2, 3, 49, 1},    {2, 60, 49, 4},   {1, 64, 256, 32},
    {3, 17, 33, 17}, {2, 6, 8193, 2},  {5, 30, 77, 15},  {1, 520, 9, 1},  {2, 1100, 3, 2},  {4, 16, 700, 1},  {70, 3, 65, 3},
    {2, 513, 20, 9}, {1, 8, 20000, 1}, {600, 20, 1, 10}, {2, 48, 530, 6}, {2, 48, 40, 4},   {1, 320, 30, 32}, {3, 16, 1, 4},
    {4, 3, 2, 3},    {5, 24, 9, 6},    {6, 100, 16, 10}, {40, 600, 7, 1}, {3, 1100, 20, 1},
};
static const norma_layout layouts[] = {NORMA_NCHW, NORMA_NHWC, NORMA_NCHW8C, NORMA_NCHW16C};

/* Whether the layout takes so many channels. */
static bool layout_takes(norma_layout layout, int64_t channels)
{
    return channels % (layout == NORMA_NCHW16C ? 16 : layout == NORMA_NCHW8C ? 8 : 1) == 0;
}

static norma_desc desc_of(norma_op op, const int64_t *s, norma_layout layout, norma_dtype dtype)
{
    return op == NORMA_BATCH_NORM      ? norma_batch_norm_desc(s[0], s[1], s[2], layout, dtype)
           : op == NORMA_INSTANCE_NORM ? norma_instance_norm_desc(s[0], s[1], s[2], layout, dtype)
                                       : norma_group_norm_desc(s[0], s[1], s[2], s[3], layout, dtype);
}

static void check_desc(norma_desc desc, double offset)
{
    for (int affine = 0; affine < 4; affine++) {
        trial *t = trial_of(desc, affine & 1, affine & 2, offset, 1);
        isa_check_each(t);
        trial_destroy(t);
    }
}

static void sweep(norma_op op, bool given, bool affine_of_groups)
{
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        for (size_t k = 0; k < 2 * COUNT_OF(layouts); k++) {
            const norma_layout layout = layouts[k / 2];
            if (!layout_takes(layout, shapes[i][1])) {
                continue;
            }
            norma_desc desc = desc_of(op, shapes[i], layout, k % 2 ? NORMA_F64 : NORMA_F32);
            desc.statistics = given ? NORMA_STATISTICS_GIVEN : NORMA_STATISTICS_OF_BATCH;
            desc.affine_of_groups = affine_of_groups;
            suite_case("n %lld, c %lld, spatial %lld, groups %lld, layout %d, %s", (long long)shapes[i][0],
                       (long long)shapes[i][1], (long long)shapes[i][2], (long long)shapes[i][3], (int)layout,
                       k % 2 ? "f64" : "f32");
            check_desc(desc, 0.5);
        }
    }
}

static void batch_norm_of_every_shape(void **state)
{
    (void)state;
    sweep(NORMA_BATCH_NORM, false, false);
}

static void batch_norm_with_given_statistics(void **state)
{
    (void)state;
    sweep(NORMA_BATCH_NORM, true, false);
}

static void instance_norm_with_given_statistics(void **state)
{
    (void)state;
    sweep(NORMA_INSTANCE_NORM, true, false);
}

static void instance_norm_of_every_shape(void **state)
{
    (void)state;
    sweep(NORMA_INSTANCE_NORM, false, false);
}

static void group_norm_of_every_shape(void **state)
{
    (void)state;
    sweep(NORMA_GROUP_NORM, false, false);
}

static void group_norm_with_affine_of_groups(void **state)
{
    (void)state;
    sweep(NORMA_GROUP_NORM, false, true);
}

static void accuracy_at_offsets(void **state)
{
    (void)state;
    static const double offsets[] = {0, 1e2, 1e4, 1e6};
    static const int64_t images[][4] = {{2, 16, 3000, 4}, {1, 48, 1024, 6}};
    for (size_t i = 0; i < COUNT_OF(offsets) * COUNT_OF(images); i++) {
        for (int k = 0; k < 12; k++) {
            const norma_op op = k / 4 == 0 ? NORMA_BATCH_NORM : k / 4 == 1 ? NORMA_INSTANCE_NORM : NORMA_GROUP_NORM;
            const norma_desc desc = desc_of(op, images[i % COUNT_OF(images)], layouts[k % 4], NORMA_F32);
            trial *t = trial_of(desc, false, false, offsets[i / COUNT_OF(images)], 1);
            suite_case("%s, layout %d, offset %g", norma_op_name(op), k % 4, offsets[i / COUNT_OF(images)]);
            isa_check_each(t);
            trial_destroy(t);
        }
    }
}

/* Constant channels give exactly shift. */
static void constant_channels(void **state)
{
    (void)state;
    for (int k = 0; k < 12; k++) {
        const norma_op op = k / 4 == 0 ? NORMA_BATCH_NORM : k / 4 == 1 ? NORMA_INSTANCE_NORM : NORMA_GROUP_NORM;
        const int64_t image[] = {2, 48, 300, 4};
        const norma_desc desc = desc_of(op, image, layouts[k % 4], NORMA_F32);
        trial *t = trial_of(desc, true, true, 0, 1);
        for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
            element_set(NORMA_F32, t->x, t->want->x_at[i], 1234.567);
        }
        trial_expect(t);
        isa_check_each(t);
        for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
            check(element_get(NORMA_F32, t->args.y, t->want->y_at[i]) ==
                  element_get(NORMA_F32, t->shift, t->want->param_at[i]));
        }
        trial_destroy(t);
    }
}

/* Runs desc on the first trial's x, scale and shift. */
static outcome run_like(const trial *first, norma_desc desc, norma_isa isa)
{
    random_state random = random_begin(0);
    trial *t = trial_create(&desc, first->inputs, &random);
    const size_t size = element_size(desc.dtype);
    memcpy(t->x, first->x, (size_t)t->x_extent * size);
    if (t->scale && t->want->params == first->want->params) {
        memcpy(t->scale, first->scale, (size_t)t->want->params * size);
        memcpy(t->shift, first->shift, (size_t)t->want->params * size);
    }
    trial_place(t, plain_spot);
    isa_run_serial(t, isa);
    outcome o = {t->y_extent, t->y_extent, suite_alloc((size_t)t->y_extent, sizeof(double))};
    for (int64_t i = 0; i < t->y_extent; i++) {
        o.elements[i] = element_get(desc.dtype, t->args.y, i);
    }
    trial_destroy(t);
    return o;
}

static void check_alike(norma_desc a, norma_desc b, bool affine, const char *what)
{
    trial *t = trial_of(a, affine, affine, 3, 1);
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        outcome first = run_like(t, a, isa), second = run_like(t, b, isa);
        outcome_check_same(&first, &second, what);
        outcome_destroy(&first);
        outcome_destroy(&second);
    }
    trial_destroy(t);
}

static void one_group_is_layer_norm_over_channels_and_space(void **state)
{
    (void)state;
    static const int64_t images[][3] = {{3, 7, 111}, {2, 32, 1024}, {1, 5, 300000}};
    for (size_t i = 0; i < COUNT_OF(images); i++) {
        const int64_t *s = images[i];
        check_alike(norma_group_norm_desc(s[0], s[1], s[2], 1, NORMA_NCHW, NORMA_F32),
                    norma_layer_norm_desc(3, s, 1, NORMA_F32), false, "layer norm");
    }
}

static void as_many_groups_as_channels_is_instance_norm(void **state)
{
    (void)state;
    static const int64_t images[][3] = {{3, 7, 111}, {2, 32, 1024}, {2, 112, 49}, {3, 16, 1}};
    for (size_t i = 0; i < COUNT_OF(images); i++) {
        for (int k = 0; k < 8; k++) {
            const int64_t *s = images[i];
            const norma_layout layout = layouts[k % 4];
            if (!layout_takes(layout, s[1])) {
                continue;
            }
            check_alike(norma_group_norm_desc(s[0], s[1], s[2], s[1], layout, NORMA_F32),
                        norma_instance_norm_desc(s[0], s[1], s[2], layout, NORMA_F32), k / 4, "instance norm");
        }
    }
}

/* Within 2 ulp of the largest output. */
static void both_layouts_agree(void **state)
{
    (void)state;
    const int64_t s[] = {3, 24, 515, 6};
    for (int op = 0; op < 3; op++) {
        const norma_op ops[] = {NORMA_BATCH_NORM, NORMA_INSTANCE_NORM, NORMA_GROUP_NORM};
        trial *nchw = trial_of(desc_of(ops[op], s, NORMA_NCHW, NORMA_F32), true, true, 5, 1);
        trial *nhwc = trial_of(desc_of(ops[op], s, NORMA_NHWC, NORMA_F32), true, true, 5, 1);
        const int64_t plane = s[2], channels = s[1];
        memcpy(nhwc->scale, nchw->scale, (size_t)channels * sizeof(float));
        memcpy(nhwc->shift, nchw->shift, (size_t)channels * sizeof(float));
        for (int64_t i = 0; i < s[0] * channels * plane; i++) {
            const int64_t item = i / (channels * plane), c = i / plane % channels, at = i % plane;
            element_set(NORMA_F32, nhwc->x, (item * plane + at) * channels + c, element_get(NORMA_F32, nchw->x, i));
        }
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            trial_place(nchw, plain_spot);
            trial_place(nhwc, plain_spot);
            isa_run_serial(nchw, isa);
            isa_run_serial(nhwc, isa);
            double largest = 0;
            for (int64_t i = 0; i < s[0] * channels * plane; i++) {
                const double size = fabs(element_get(NORMA_F32, nchw->args.y, i));
                if (size > largest) {
                    largest = size;
                }
            }
            for (int64_t i = 0; i < s[0] * channels * plane; i++) {
                const int64_t item = i / (channels * plane), c = i / plane % channels, at = i % plane;
                const double a = element_get(NORMA_F32, nchw->args.y, i);
                const double b = element_get(NORMA_F32, nhwc->args.y, (item * plane + at) * channels + c);
                check(fabs(a - b) <= 2 * ldexp(largest, -23));
            }
        }
        trial_destroy(nchw);
        trial_destroy(nhwc);
    }
}

/* The last of several images, alone and behind others. */
static void check_alone(norma_op op, norma_layout layout, int64_t batch, int64_t spatial, bool given)
{
    const int64_t many_of[] = {batch, 48, spatial, 6}, one_of[] = {1, 48, spatial, 6};
    norma_desc desc = desc_of(op, many_of, layout, NORMA_F32), alone = desc_of(op, one_of, layout, NORMA_F32);
    desc.statistics = alone.statistics = given ? NORMA_STATISTICS_GIVEN : NORMA_STATISTICS_OF_BATCH;
    trial *many = trial_of(desc, true, true, 2, 1), *one = trial_of(alone, true, true, 2, 1);
    const size_t image = 48 * (size_t)spatial * sizeof(float), channels = 48 * sizeof(float);
    const size_t last = (size_t)(batch - 1) * image;
    memcpy(one->x, (char *)many->x + last, image);
    memcpy(one->scale, many->scale, channels);
    memcpy(one->shift, many->shift, channels);
    if (given) {
        memcpy(one->given_mean, many->given_mean, channels);
        memcpy(one->given_variance, many->given_variance, channels);
    }
    suite_case("%s, layout %d, the last of %lld images of %lld positions, %s statistics", norma_op_name(op), (int)layout,
               (long long)batch, (long long)spatial, given ? "given" : "own");
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        trial_place(many, plain_spot);
        trial_place(one, plain_spot);
        isa_run_serial(many, isa);
        isa_run_serial(one, isa);
        check(memcmp((char *)many->args.y + last, one->args.y, image) == 0);
    }
    trial_destroy(many);
    trial_destroy(one);
}

static void an_image_alone_or_in_a_batch(void **state)
{
    (void)state;
    static const int64_t spatials[] = {1, 9, 16, 17, 515}, batches[] = {2, 5};
    for (size_t i = 0; i < COUNT_OF(spatials) * COUNT_OF(batches) * COUNT_OF(layouts); i++) {
        const norma_layout layout = layouts[i % 4];
        const int64_t batch = batches[i / 4 % 2], spatial = spatials[i / 8];
        check_alone(NORMA_INSTANCE_NORM, layout, batch, spatial, false);
        check_alone(NORMA_GROUP_NORM, layout, batch, spatial, false);
        check_alone(NORMA_INSTANCE_NORM, layout, batch, spatial, true);
        check_alone(NORMA_BATCH_NORM, layout, batch, spatial, true);
    }
}

/* BatchNorm1d on a column: mean 0.375, biased variance 0.691875, first output 0.991829. */
static void known_column(void **state)
{
    (void)state;
    const float x[] = {1.2F, 0.8F, -1.0F, 0.5F};
    float y[4], mean, rstd, running_mean = 0, running_variance = 1;
    norma_desc desc = norma_batch_norm_desc(4, 1, 1, NORMA_NCHW, NORMA_F32);
    desc.saved = NORMA_SAVE_VARIANCE;
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    norma_args args = {.struct_size = sizeof args, .x = x, .y = y, .mean = &mean, .rstd = &rstd};
    args.running_mean = &running_mean;
    args.running_variance = &running_variance;
    check_success(norma_run(plan, &args));
    check(fabs(y[0] - 0.991829) < 1e-6 && fabs(mean - 0.375) < 1e-6 && fabs(rstd - 0.691875) < 1e-6);
    check(fabs(running_mean - 0.0375) < 1e-6 && fabs(running_variance - (0.9 + 0.1 * 0.9225)) < 1e-6);
    norma_plan_destroy(plan);
}

/* x from U[0, 1e4), epsilon 0: the plain double computation. */
static void known_uniform(void **state)
{
    (void)state;
    for (int k = 0; k < 6; k++) {
        const int64_t images[][4] = {{10, 3, 25, 3}, {10, 20, 25, 4}};
        const norma_op op = k / 2 == 0 ? NORMA_BATCH_NORM : k / 2 == 1 ? NORMA_INSTANCE_NORM : NORMA_GROUP_NORM;
        norma_desc desc = desc_of(op, images[op == NORMA_GROUP_NORM], k % 2 ? NORMA_NHWC : NORMA_NCHW, NORMA_F32);
        desc.epsilon = 0;
        trial *t = trial_of(desc, false, false, 0, 1);
        random_state random = random_begin(11);
        for (int64_t i = 0; i < t->x_extent; i++) {
            element_set(NORMA_F32, t->x, i, (double)random_below(&random, 1000000) / 100);
        }
        trial_expect(t);
        isa_check_each(t);
        trial_destroy(t);
    }
}

/* One way of keeping running statistics, after two batches. */
static void check_running(norma_op op, norma_momentum_mode mode, double momentum, int unbiased, norma_layout layout, int S,
                          int threads)
{
    enum { N = 5, C = 48 };
    const int64_t shape[] = {N, C, S, 1};
    norma_desc desc = desc_of(op, shape, layout, NORMA_F32);
    desc.momentum_mode = mode;
    desc.momentum = momentum;
    desc.running_unbiased = unbiased;
    float mean[C], variance[C];
    double want_mean[C], want_variance[C];
    for (int c = 0; c < C; c++) {
        mean[c] = (float)(want_mean[c] = c * 0.25);
        variance[c] = (float)(want_variance[c] = 1 + c * 0.5);
    }
    norma_context *context;
    const norma_context_options options = {.struct_size = sizeof options, .threads = threads};
    check_success(norma_context_create(&context, &options));
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    int64_t updates = 0;
    for (int batch = 0; batch < 2; batch++) {
        trial *t = trial_of(desc, true, true, batch, 1 + batch);
        trial_place(t, plain_spot);
        t->args.running_mean = mean;
        t->args.running_variance = variance;
        t->args.updates = &updates;
        check_success(norma_run(plan, &t->args));
        trial_check(t, trial_tolerance(t));
        const double share = mode == NORMA_MOMENTUM_OF_BATCH     ? momentum
                             : mode == NORMA_MOMENTUM_OF_RUNNING ? 1 - momentum
                                                                 : 1.0 / (batch + 1);
        for (int c = 0; c < C; c++) {
            double m = 0, v = 0; /* averages over the channel's sets */
            const int sets = op == NORMA_BATCH_NORM ? 1 : N, count = N * S / sets;
            for (int set = 0; set < sets; set++) {
                m += t->want->mean[set * C + c] / sets;
                v += t->want->v[set * C + c] * (unbiased ? (double)count / (count - 1) : 1) / sets;
            }
            want_mean[c] += share * (m - want_mean[c]);
            want_variance[c] += share * (v - want_variance[c]);
            check(fabs(mean[c] - want_mean[c]) <= 1e-6 * (1 + fabs(want_mean[c])));
            check(fabs(variance[c] - want_variance[c]) <= 1e-6 * (1 + want_variance[c]));
        }
        trial_destroy(t);
    }
    check(updates == 2);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

static void running_statistics(void **state)
{
    (void)state;
    for (int k = 0; k < 48; k++) {
        const norma_op op = k & 1 ? NORMA_INSTANCE_NORM : NORMA_BATCH_NORM;
        check_running(op, (norma_momentum_mode)(1 + k / 16), k / 16 == 1 ? 0.9 : 0.1, k / 8 % 2, layouts[k / 2 % 4], 9, 1);
        check_running(op, (norma_momentum_mode)(1 + k / 16), k / 16 == 1 ? 0.9 : 0.1, k / 8 % 2, layouts[k / 2 % 4], 700,
                      1 + k % 3);
    }
}

/* Refused, and the buffers stay as they are. */
static void running_statistics_refused(void **state)
{
    (void)state;
    float x[4] = {1, 2, 3, 4}, y[4] = {0}, mean[2] = {5, 6}, variance[2] = {7, 8};
    int64_t updates = 3;
    norma_args args = {.struct_size = sizeof args, .x = x, .y = y};
    args.running_mean = mean;
    args.running_variance = variance;
    norma_plan *plan;
    norma_desc desc = norma_batch_norm_desc(1, 2, 1, NORMA_NCHW, NORMA_F32);
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.running_variance");
    norma_plan_destroy(plan);

    desc = norma_batch_norm_desc(2, 2, 1, NORMA_NCHW, NORMA_F32);
    desc.momentum_mode = NORMA_MOMENTUM_CUMULATIVE;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.updates");
    int64_t last = INT64_MAX;
    args.updates = &last;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.updates");
    args.updates = (int64_t *)((char *)y + 1);
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.updates");
    args.updates = &updates;
    args.running_variance = NULL;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.running_variance");
    args.running_variance = y + 1;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "overlaps");
    norma_plan_destroy(plan);

    args.running_variance = variance;
    desc = norma_instance_norm_desc(2, 2, 1, NORMA_NCHW, NORMA_F32);
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.running_variance: one element per channel");
    norma_plan_destroy(plan);
    desc = norma_group_norm_desc(2, 2, 1, 2, NORMA_NCHW, NORMA_F32);
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.running_mean");
    norma_plan_destroy(plan);

    desc = norma_batch_norm_desc(2, 2, 1, NORMA_NCHW, NORMA_F32);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    const float given[2] = {1, -1};
    const norma_args missing = {.struct_size = sizeof args, .x = x, .y = y, .given_mean = given};
    const norma_args negative = {.struct_size = sizeof args, .x = x, .y = y, .given_mean = given, .given_variance = given};
    check_success(norma_plan_create(&plan, NULL, &desc));
    check_refused(norma_run(plan, &missing), NORMA_INVALID_ARGUMENT, "args.given_variance");
    check_refused(norma_run(plan, &negative), NORMA_INVALID_ARGUMENT, "args.given_variance");
    norma_plan_destroy(plan);
    check(mean[0] == 5 && mean[1] == 6 && variance[0] == 7 && variance[1] == 8 && updates == 3 && y[0] == 0 && y[3] == 0);
}

/* Scales that times 1 / deviation leave the range of f32, though the result does not. */
static void scales_beyond_the_factor(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        const norma_layout layout = k & 1 ? NORMA_NHWC : NORMA_NCHW;
        norma_desc desc =
            k & 2 ? norma_group_norm_desc(1, 2, 2, 2, layout, NORMA_F32) : norma_instance_norm_desc(1, 2, 2, layout, NORMA_F32);
        desc.epsilon = 0;
        desc.epsilon_mode = NORMA_EPSILON_NONE;
        trial *t = trial_of(desc, true, true, 0, 1);
        for (int64_t i = 0; i < 4; i++) {
            element_set(NORMA_F32, t->x, t->want->x_at[i], i % 2 ? 1e-37 : -1e-37);
        }
        element_set(NORMA_F32, t->scale, 0, 100);
        trial_expect(t);
        isa_check_each(t);
        trial_destroy(t);
    }
}

/* An extent of 0 where nothing is reduced over: such a plan's run writes nothing. */
static void no_images(void **state)
{
    (void)state;
    norma_plan *plan;
    const norma_args nothing = {.struct_size = sizeof nothing};
    static const int64_t none[][4] = {{0, 48, 5, 3}, {2, 48, 0, 3}, {2, 0, 5, 1}, {0, 48, 0, 3}};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        for (int k = 0; k < 16; k++) {
            const norma_op op = k / 4 == 0 ? NORMA_BATCH_NORM : k / 4 == 3 ? NORMA_GROUP_NORM : NORMA_INSTANCE_NORM;
            norma_desc desc = desc_of(op, none[i], layouts[k % 4], NORMA_F32);
            desc.statistics = k / 4 < 2 ? NORMA_STATISTICS_GIVEN : NORMA_STATISTICS_OF_BATCH;
            suite_case("%s of %lldx%lldx%lld, layout %d, statistics %d", norma_op_name(op), (long long)none[i][0],
                       (long long)none[i][1], (long long)none[i][2], (int)layouts[k % 4], (int)desc.statistics);
            const bool empty_reduction = desc.statistics == NORMA_STATISTICS_OF_BATCH &&
                                         (none[i][2] == 0 || (op == NORMA_GROUP_NORM && none[i][1] == 0));
            if (empty_reduction) {
                check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.shape[");
                continue;
            }
            check_success(norma_plan_create(&plan, NULL, &desc));
            check_success(norma_run(plan, &nothing));
            norma_plan_destroy(plan);
        }
    }
    const norma_desc desc = norma_batch_norm_desc(0, 12, 5, NORMA_NCHW, NORMA_F32);
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.shape[0]");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norm_of_every_shape),
        cmocka_unit_test(batch_norm_with_given_statistics),
        cmocka_unit_test(instance_norm_of_every_shape),
        cmocka_unit_test(instance_norm_with_given_statistics),
        cmocka_unit_test(group_norm_of_every_shape),
        cmocka_unit_test(group_norm_with_affine_of_groups),
        cmocka_unit_test(accuracy_at_offsets),
        cmocka_unit_test(constant_channels),
        cmocka_unit_test(one_group_is_layer_norm_over_channels_and_space),
        cmocka_unit_test(as_many_groups_as_channels_is_instance_norm),
        cmocka_unit_test(both_layouts_agree),
        cmocka_unit_test(an_image_alone_or_in_a_batch),
        cmocka_unit_test(known_column),
        cmocka_unit_test(known_uniform),
        cmocka_unit_test(running_statistics),
        cmocka_unit_test(running_statistics_refused),
        cmocka_unit_test(scales_beyond_the_factor),
        cmocka_unit_test(no_images),
    };
    return suite_main("images", tests, COUNT_OF(tests), argc, argv);
}

/* The one-call forms: the bits of a plan with the same descriptor, and the same refusals. */
#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

typedef norma_status (*one_call)(const norma_desc *desc, const norma_args *a);

static norma_status layer(const norma_desc *d, const norma_args *a)
{
    const int64_t rows = d->shape[0], cols = d->shape[1];
    return d->dtype == NORMA_F64 ? norma_layer_norm_f64(a->x, a->y, a->scale, a->shift, rows, cols, d->epsilon)
                                 : norma_layer_norm_f32(a->x, a->y, a->scale, a->shift, rows, cols, d->epsilon);
}

static norma_status rms(const norma_desc *d, const norma_args *a)
{
    const int64_t rows = d->shape[0], cols = d->shape[1];
    return d->dtype == NORMA_F64 ? norma_rms_norm_f64(a->x, a->y, a->scale, rows, cols, d->epsilon)
                                 : norma_rms_norm_f32(a->x, a->y, a->scale, rows, cols, d->epsilon);
}

static norma_status lp(const norma_desc *d, const norma_args *a)
{
    const int64_t rows = d->shape[0], cols = d->shape[1];
    return d->dtype == NORMA_F64 ? norma_lp_norm_f64(a->x, a->y, rows, cols, d->p, d->epsilon)
                                 : norma_lp_norm_f32(a->x, a->y, rows, cols, d->p, d->epsilon);
}

static norma_status channel(const norma_desc *d, const norma_args *a)
{
    const bool nhwc = d->layout == NORMA_NHWC;
    const int64_t n = d->shape[0], c = d->shape[nhwc ? 2 : 1], spatial = d->shape[nhwc ? 1 : 2];
    return d->dtype == NORMA_F64 ? norma_channel_norm_f64(a->x, a->y, a->scale, a->shift, n, c, spatial, d->layout, d->epsilon)
                                 : norma_channel_norm_f32(a->x, a->y, a->scale, a->shift, n, c, spatial, d->layout, d->epsilon);
}

static void compare_with_plan(norma_desc desc, one_call call, bool scale, bool shift)
{
    const trial_inputs inputs = {.scale = scale, .shift = shift, .offset = 1, .spread = 1};
    random_state random = random_begin((uint64_t)desc.op);
    trial *t = trial_create(&desc, inputs, &random);
    for (int in_place = 0; in_place < 2; in_place++) {
        const trial_spot spot = {GUARD_END, 1, in_place};
        suite_case("%s %s, scale %d, shift %d", norma_op_name(desc.op), norma_dtype_name(desc.dtype), scale, shift);
        trial_place(t, spot);
        isa_run(t, NULL);
        outcome planned = trial_outcome(t);
        trial_place(t, spot);
        check_success(call(&desc, &t->args));
        trial_check(t, trial_tolerance(t));
        trial_check_same(t, &planned, "the one-call form against a plan");
        outcome_destroy(&planned);
    }
    trial_destroy(t);
}

static void layer_norm(void **state)
{
    (void)state;
    const int64_t shape[] = {11, 130};
    for (int which = 0; which < 8; which++) {
        norma_desc desc = norma_layer_norm_desc(2, shape, -1, which & 4 ? NORMA_F64 : NORMA_F32);
        desc.epsilon = 0.125;
        compare_with_plan(desc, layer, which & 1, which >> 1 & 1);
    }
}

static void rms_norm(void **state)
{
    (void)state;
    const int64_t shape[] = {11, 130};
    for (int which = 0; which < 4; which++) {
        norma_desc desc = norma_rms_norm_desc(2, shape, -1, which & 2 ? NORMA_F64 : NORMA_F32);
        desc.epsilon = 0.125;
        compare_with_plan(desc, rms, which & 1, false);
    }
}

static void lp_norm(void **state)
{
    (void)state;
    const int64_t shape[] = {11, 130};
    static const double epsilons[] = {0, 1e-12, 100}; /* the last is above the norms and so is what divides */
    for (int which = 0; which < 12; which++) {
        norma_desc desc = norma_lp_norm_desc(2, shape, -1, 1 + (which & 1), which & 2 ? NORMA_F64 : NORMA_F32);
        desc.epsilon = epsilons[which / 4];
        desc.epsilon_mode = NORMA_EPSILON_FLOOR;
        compare_with_plan(desc, lp, false, false);
    }
}

static void channel_norm(void **state)
{
    (void)state;
    for (int which = 0; which < 16; which++) {
        const norma_layout layout = which & 8 ? NORMA_NHWC : NORMA_NCHW;
        norma_desc desc = norma_channel_norm_desc(3, 70, 33, layout, which & 4 ? NORMA_F64 : NORMA_F32);
        desc.epsilon = 0.125;
        compare_with_plan(desc, channel, which & 1, which >> 1 & 1);
    }
}

static void zero_rows_write_nothing(void **state)
{
    (void)state;
    float x[4] = {1, 2, 3, 4}, y[4] = {9, 9, 9, 9};
    check_success(norma_layer_norm_f32(x, y, NULL, NULL, 0, 4, 1e-5));
    check_success(norma_rms_norm_f32(x, y, NULL, 0, 4, 1e-5));
    check_success(norma_lp_norm_f32(x, y, 0, 4, 2, 0));
    check_success(norma_channel_norm_f32(x, y, NULL, NULL, 0, 4, 4, NORMA_NCHW, 1e-5));
    check_success(norma_channel_norm_f32(x, y, NULL, NULL, 1, 4, 0, NORMA_NCHW, 1e-5));
    for (int i = 0; i < 4; i++) {
        check(y[i] == 9);
    }
}

static void bad_input(void **state)
{
    (void)state;
    float x[4] = {1, 2, 3, 4}, y[4] = {9, 9, 9, 9};
    double xd[4] = {1, 2, 3, 4}, yd[4] = {9, 9, 9, 9};
    check_refused(norma_layer_norm_f32(NULL, y, NULL, NULL, 1, 4, 1e-5), NORMA_INVALID_ARGUMENT, "x");
    check_refused(norma_layer_norm_f32(x, NULL, NULL, NULL, 1, 4, 1e-5), NORMA_INVALID_ARGUMENT, "y");
    check_refused(norma_layer_norm_f32(x, y, NULL, NULL, -1, 4, 1e-5), NORMA_INVALID_ARGUMENT, "shape");
    check_refused(norma_layer_norm_f32(x, y, NULL, NULL, 1, 0, 1e-5), NORMA_INVALID_ARGUMENT, "shape");
    check_refused(norma_layer_norm_f64(xd, yd, NULL, NULL, 1, 4, -1), NORMA_INVALID_ARGUMENT, "epsilon");
    check_refused(norma_rms_norm_f32(x, y, NULL, 1, INT64_MAX, 1e-5), NORMA_INVALID_ARGUMENT, "shape");
    check_refused(norma_rms_norm_f64(xd, yd, NULL, 1, -4, 1e-5), NORMA_INVALID_ARGUMENT, "shape");
    check_refused(norma_lp_norm_f32(x, y, 1, 4, 3, 0), NORMA_INVALID_ARGUMENT, "p");
    check_refused(norma_lp_norm_f64(xd, yd, 1, 4, 2, -1), NORMA_INVALID_ARGUMENT, "epsilon");
    check_refused(norma_channel_norm_f32(x, y, NULL, NULL, 1, 2, 2, (norma_layout)7, 1e-5), NORMA_INVALID_ARGUMENT, "layout");
    check_refused(norma_channel_norm_f64(xd, yd, NULL, NULL, 1, -2, 2, NORMA_NHWC, 1e-5), NORMA_INVALID_ARGUMENT, "shape");
    check_refused(norma_layer_norm_f32(x, x + 1, NULL, NULL, 1, 3, 1e-5), NORMA_INVALID_ARGUMENT, "overlap");
    for (int i = 0; i < 4; i++) {
        check(y[i] == 9 && yd[i] == 9 && x[i] == (float)(i + 1));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(rms_norm),
        cmocka_unit_test(lp_norm),
        cmocka_unit_test(channel_norm),
        cmocka_unit_test(zero_rows_write_nothing),
        cmocka_unit_test(bad_input),
    };
    return suite_main("one_call", tests, COUNT_OF(tests), argc, argv);
}

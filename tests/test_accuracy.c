/*
 * How near to the oracle results must be, on every instruction set of this machine: the bounds of norma.h at offsets far from
 * zero, with outliers, and where squares of f32 overflow or vanish.
 */
#include <math.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

static const int64_t row_lengths[] = {768, 1000, 1024, 4096, 8192, 8193, 20000, 100000};

/* What the tests below vary. */
typedef struct accuracy_case {
    norma_desc desc;
    trial_inputs inputs;
    double first; /* the first element of each set, unless NaN */
} accuracy_case;

static void run_case(const accuracy_case *c)
{
    random_state random = random_begin(1);
    trial *t = trial_create(&c->desc, c->inputs, &random);
    for (int64_t set = 0; set < t->want->sets && !isnan(c->first); set++) {
        trial_set_x(t, set, 0, c->first);
    }
    trial_expect(t);
    isa_check_each(t);
    trial_destroy(t);
}

static void run_desc(norma_desc desc, double offset, double spread, double epsilon, double first)
{
    const bool moments = desc.op == NORMA_LAYER_NORM || desc.op == NORMA_CHANNEL_NORM || desc.op == NORMA_MVN;
    desc.epsilon = epsilon;
    const accuracy_case c = {desc, {.mean = moments, .rstd = true, .offset = offset, .spread = spread}, first};
    run_case(&c);
}

static void layer_norm(norma_dtype dtype, double offset, double spread, double epsilon, double first)
{
    for (size_t i = 0; i < COUNT_OF(row_lengths); i++) {
        const int64_t shape[] = {2, row_lengths[i]};
        run_desc(norma_layer_norm_desc(2, shape, -1, dtype), offset, spread, epsilon, first);
    }
}

static void layer_norm_offset_0(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 0, 1, 1e-5, NAN);
}

static void layer_norm_offset_1e2(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 1e2, 1, 1e-5, NAN);
}

static void layer_norm_offset_1e4(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 1e4, 1, 1e-5, NAN);
}

static void layer_norm_offset_1e6(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 1e6, 1, 1e-5, NAN);
}

static void layer_norm_first_element_1e4(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 0, 1, 1e-5, 1e4);
    for (int64_t length = 2; length < 5000; length += 1 + length / 4) {
        const int64_t shape[] = {8, length};
        run_desc(norma_layer_norm_desc(2, shape, -1, NORMA_F32), 0, 1, 1e-5, 1e4);
    }
}

/* The same anywhere else, so that no choice of pivot is at an advantage. */
static void layer_norm_any_element_1e4(void **state)
{
    (void)state;
    const int64_t shape[] = {200, 1024};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    const trial_inputs inputs = {.mean = true, .rstd = true, .spread = 1};
    random_state random = random_begin(4);
    trial *t = trial_create(&desc, inputs, &random);
    for (int64_t set = 0; set < shape[0]; set++) {
        trial_set_x(t, set, set < 100 ? set : (int64_t)random_below(&random, 1024), 1e4);
    }
    trial_expect(t);
    isa_check_each(t);
    trial_destroy(t);
}

static void layer_norm_size_1e30(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 0, 1e30, 1e-5, NAN);
    layer_norm(NORMA_F32, 1e30, 1e27, 1e-5, NAN);
}

static void layer_norm_size_1e_minus_30(void **state)
{
    (void)state;
    layer_norm(NORMA_F32, 0, 1e-30, 0, NAN);
    layer_norm(NORMA_F32, 1e-30, 1e-33, 0, NAN);
    layer_norm(NORMA_F32, 1, 1e-30, 1e-5, NAN);
}

/* Sizes at which squares leave the range of f32, from below and above, and sums of them do; as far as norma.h promises. */
static void sizes_around_the_range_of_squares(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 777};
    for (int exponent = -37; exponent <= 37; exponent++) {
        const double size = pow(10, exponent);
        run_desc(norma_layer_norm_desc(2, shape, -1, NORMA_F32), 0, size, 0, NAN);
        run_desc(norma_rms_norm_desc(2, shape, -1, NORMA_F32), 0, size, 0, NAN);
        run_desc(norma_channel_norm_desc(1, 777, 20, NORMA_NCHW, NORMA_F32), 0, size, 0, NAN);
        const double wide = pow(10, exponent * 4);
        run_desc(norma_layer_norm_desc(2, shape, -1, NORMA_F64), 0, wide, 0, NAN);
        run_desc(norma_rms_norm_desc(2, shape, -1, NORMA_F64), 0, wide, 0, NAN);
        run_desc(norma_channel_norm_desc(1, 777, 20, NORMA_NCHW, NORMA_F64), 0, wide, 0, NAN);
    }
}

static void layer_norm_f64_offsets(void **state)
{
    (void)state;
    layer_norm(NORMA_F64, 0, 1, 1e-5, NAN);
    layer_norm(NORMA_F64, 1e2, 1, 1e-5, NAN);
    layer_norm(NORMA_F64, 1e4, 1, 1e-5, NAN);
    layer_norm(NORMA_F64, 1e6, 1, 1e-5, NAN);
}

static void layer_norm_f64_first_element_1e4(void **state)
{
    (void)state;
    layer_norm(NORMA_F64, 0, 1, 1e-5, 1e4);
}

/* Scale and shift as models have them. */
static void layer_norm_scale_and_shift(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        const int64_t shape[] = {5, 1024};
        const accuracy_case c = {norma_layer_norm_desc(2, shape, -1, NORMA_F32),
                                 {.scale = which & 1, .shift = which >> 1, .offset = 1e4, .spread = 1},
                                 NAN};
        run_case(&c);
    }
}

/* Half the row at one offset and half at another: a pivot, or a first chunk, tells nothing of the rest. */
static void layer_norm_two_offsets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(row_lengths); i++) {
        const int64_t length = row_lengths[i], shape[] = {1, length};
        const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
        const trial_inputs inputs = {.mean = true, .rstd = true, .offset = 1e4, .spread = 1};
        random_state random = random_begin(2);
        trial *t = trial_create(&desc, inputs, &random);
        for (int64_t k = 0; k < length / 2; k++) {
            trial_set_x(t, 0, k, -100 + random_normal(&random));
        }
        trial_expect(t);
        isa_check_each(t);
        trial_destroy(t);
    }
}

/* Norms without a mean. */
static void products(norma_dtype dtype, double offset, double spread, double epsilon)
{
    for (size_t i = 0; i < COUNT_OF(row_lengths); i++) {
        const int64_t shape[] = {2, row_lengths[i]};
        run_desc(norma_rms_norm_desc(2, shape, -1, dtype), offset, spread, epsilon, NAN);
        run_desc(norma_lp_norm_desc(2, shape, -1, 1, dtype), offset, spread, epsilon, NAN);
        run_desc(norma_lp_norm_desc(2, shape, -1, 2, dtype), offset, spread, epsilon, NAN);
    }
}

static void rms_and_lp_norm_offsets(void **state)
{
    (void)state;
    products(NORMA_F32, 0, 1, 1e-5);
    products(NORMA_F32, 1e2, 1, 1e-5);
    products(NORMA_F32, 1e6, 1, 1e-5);
    products(NORMA_F64, 0, 1, 1e-5);
}

static void rms_and_lp_norm_size_1e30(void **state)
{
    (void)state;
    products(NORMA_F32, 0, 1e30, 1e-5);
}

static void rms_and_lp_norm_size_1e_minus_30(void **state)
{
    (void)state;
    products(NORMA_F32, 0, 1e-30, 0);
}

/* Fibers: channels at each position. */
static void channel_norm(norma_layout layout, norma_dtype dtype, double offset, double spread, double epsilon, double first)
{
    static const int64_t channels[] = {3, 64, 96, 768, 2048};
    for (size_t i = 0; i < COUNT_OF(channels); i++) {
        run_desc(norma_channel_norm_desc(2, channels[i], 49, layout, dtype), offset, spread, epsilon, first);
    }
}

static void channel_norm_offsets(void **state)
{
    (void)state;
    for (norma_layout layout = NORMA_NCHW; layout <= NORMA_NHWC; layout++) {
        channel_norm(layout, NORMA_F32, 0, 1, 1e-5, NAN);
        channel_norm(layout, NORMA_F32, 1e2, 1, 1e-5, NAN);
        channel_norm(layout, NORMA_F32, 1e4, 1, 1e-5, NAN);
        channel_norm(layout, NORMA_F32, 1e6, 1, 1e-5, NAN);
        channel_norm(layout, NORMA_F64, 1e4, 1, 1e-5, NAN);
    }
}

static void channel_norm_first_element_1e4(void **state)
{
    (void)state;
    channel_norm(NORMA_NCHW, NORMA_F32, 0, 1, 1e-5, 1e4);
    channel_norm(NORMA_NHWC, NORMA_F32, 0, 1, 1e-5, 1e4);
}

static void channel_norm_sizes(void **state)
{
    (void)state;
    channel_norm(NORMA_NCHW, NORMA_F32, 0, 1e30, 1e-5, NAN);
    channel_norm(NORMA_NCHW, NORMA_F32, 0, 1e-30, 0, NAN);
    channel_norm(NORMA_NHWC, NORMA_F32, 0, 1e30, 1e-5, NAN);
    channel_norm(NORMA_NHWC, NORMA_F32, 0, 1e-30, 0, NAN);
}

/* Fibers without a mean. */
static void lp_norm_along_any_axis(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 60, 5, 40};
    for (int axis = 0; axis < 4; axis++) {
        for (int p = 1; p <= 2; p++) {
            run_desc(norma_lp_norm_desc(4, shape, axis, p, NORMA_F32), 0, 1, 0, NAN);
            run_desc(norma_lp_norm_desc(4, shape, axis, p, NORMA_F32), 0, 1e30, 0, NAN);
            run_desc(norma_lp_norm_desc(4, shape, axis, p, NORMA_F32), 0, 1e-30, 0, NAN);
            run_desc(norma_lp_norm_desc(4, shape, axis, p, NORMA_F64), 0, 1, 0, NAN);
        }
    }
}

/* Every subset of the axes, so that rows, planes and fibers, and several outer and inner axes of each, all occur. */
static void mvn_over_every_set_of_axes(void **state)
{
    (void)state;
    const int64_t shape[] = {4, 3, 5, 2, 21};
    for (int subset = 1; subset < 32; subset++) {
        int axes[5], count = 0;
        for (int k = 0; k < 5; k++) {
            if (subset >> k & 1) {
                axes[count++] = k;
            }
        }
        run_desc(norma_mvn_desc(5, shape, count, axes, NORMA_F32), 1e4, 1, 1e-9, NAN);
        run_desc(norma_mvn_desc(5, shape, count, axes, NORMA_F64), 1e2, 1, 1e-9, NAN);
    }
}

static void mvn_default_axes_offsets(void **state)
{
    (void)state;
    const int64_t shape[] = {8, 6, 30, 40};
    const int axes[] = {0, 2, 3};
    static const double offsets[] = {0, 1e2, 1e4, 1e6};
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        run_desc(norma_mvn_desc(4, shape, 3, axes, NORMA_F32), offsets[i], 1, 1e-9, NAN);
    }
}

/* Rows longer than 64 leaves have segments of several. */
static void layer_norm_row_of_a_million(void **state)
{
    (void)state;
    const int64_t shape[] = {1, SUITE_QUICK ? 550000 : 1234567};
    run_desc(norma_layer_norm_desc(2, shape, -1, NORMA_F32), 1e4, 1, 1e-5, NAN);
    run_desc(norma_rms_norm_desc(2, shape, -1, NORMA_F32), 1, 1, 1e-5, NAN);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_offset_0),
        cmocka_unit_test(layer_norm_offset_1e2),
        cmocka_unit_test(layer_norm_offset_1e4),
        cmocka_unit_test(layer_norm_offset_1e6),
        cmocka_unit_test(layer_norm_first_element_1e4),
        cmocka_unit_test(layer_norm_any_element_1e4),
        cmocka_unit_test(layer_norm_size_1e30),
        cmocka_unit_test(layer_norm_size_1e_minus_30),
        cmocka_unit_test(sizes_around_the_range_of_squares),
        cmocka_unit_test(layer_norm_f64_offsets),
        cmocka_unit_test(layer_norm_f64_first_element_1e4),
        cmocka_unit_test(layer_norm_scale_and_shift),
        cmocka_unit_test(layer_norm_two_offsets),
        cmocka_unit_test(layer_norm_row_of_a_million),
        cmocka_unit_test(rms_and_lp_norm_offsets),
        cmocka_unit_test(rms_and_lp_norm_size_1e30),
        cmocka_unit_test(rms_and_lp_norm_size_1e_minus_30),
        cmocka_unit_test(channel_norm_offsets),
        cmocka_unit_test(channel_norm_first_element_1e4),
        cmocka_unit_test(channel_norm_sizes),
        cmocka_unit_test(lp_norm_along_any_axis),
        cmocka_unit_test(mvn_over_every_set_of_axes),
        cmocka_unit_test(mvn_default_axes_offsets),
    };
    return suite_main("accuracy", tests, COUNT_OF(tests), argc, argv);
}

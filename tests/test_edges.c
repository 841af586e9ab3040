/* The edge cases of the norms, on every instruction set. */
#include <math.h>

#include "support/cases.h"
#include "support/compare.h"
#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

static const trial_spot plain_spot = {GUARD_END, 0, false};

static void run(trial *t, norma_isa isa)
{
    trial_place(t, plain_spot);
    isa_run_serial(t, isa);
}

/* N = 0 and every other extent outside the reduction. */
static void an_empty_tensor_writes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        random_state random = random_begin(i);
        trial *t = trial_create(&c.desc, c.inputs, &random);
        for (int k = 0; k < c.desc.rank; k++) {
            norma_desc empty = c.desc;
            empty.shape[k] = 0;
            if (!(c.desc.axes >> k & 1)) {
                norma_plan *plan;
                suite_case("%s, extent %d is 0", c.name, k);
                check_success(norma_plan_create(&plan, NULL, &empty));
                trial_place(t, plain_spot);
                check_success(norma_run(plan, &t->args));
                trial_check_untouched(t);
                norma_plan_destroy(plan);
            }
        }
        trial_destroy(t);
    }
}

static void one_element_gives_the_shift(void **state)
{
    (void)state;
    const int64_t shape[] = {29, 1};
    const int axes[] = {1};
    for (norma_dtype dtype = NORMA_F32; dtype <= NORMA_F64; dtype++) {
        const norma_desc descs[] = {
            norma_layer_norm_desc(2, shape, -1, dtype),
            norma_channel_norm_desc(2, 1, 29, NORMA_NCHW, dtype),
            norma_channel_norm_desc(2, 1, 29, NORMA_NHWC, dtype),
            norma_mvn_desc(2, shape, 1, axes, dtype),
        };
        for (size_t i = 0; i < COUNT_OF(descs); i++) {
            const bool affine = descs[i].op != NORMA_MVN;
            trial *t = trial_of(descs[i], affine, affine, 1e3, 1e3);
            isa_check_each(t);
            const double beta = t->shift ? element_get(dtype, t->shift, 0) : 0;
            for (int64_t set = 0; set < t->want->sets; set++) {
                check(element_get(dtype, t->args.y, set) == beta);
                check(element_get(dtype, t->args.mean, set) == element_get(dtype, t->x, set));
            }
            trial_destroy(t);
        }
    }
}

static void fill(trial *t, double value)
{
    for (int64_t set = 0; set < t->want->sets; set++) {
        for (int64_t i = 0; i < t->want->length; i++) {
            trial_set_x(t, set, i, value);
        }
    }
}

/* y is the shift, bit for bit; the mean is the value, the variance 0. */
static void check_constant(trial *t, double value)
{
    const norma_dtype dtype = t->desc.dtype;
    fill(t, value);
    const double x = element_get(dtype, t->x, t->want->x_at[0]); /* value, rounded */
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        suite_case("%s %s on %s, length %lld of %.9g", norma_op_name(t->desc.op), norma_dtype_name(dtype), norma_isa_name(isa),
                   (long long)t->want->length, value);
        run(t, isa);
        for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
            const double beta = t->shift ? element_get(dtype, t->shift, i % t->want->length) : 0;
            const double y = element_get(dtype, t->args.y, t->want->y_at[i]);
            if (y != beta) {
                suite_fail("element %lld: expected exactly %.9g, got %.9g", (long long)i, beta, y);
            }
        }
        for (int64_t set = 0; set < t->want->sets; set++) {
            check(element_get(dtype, t->args.mean, set) == x);
            check(element_get(dtype, t->args.rstd, set) == 0);
        }
    }
}

/* Values that sums of floats do not hit by luck. */
static const double odd_values[] = {0.1, -1.0 / 3, 16777213, 123456.789, 1e30, -1e-30, 3e38, 1e-40, 0};

static void constant(norma_desc desc, bool affine, double epsilon)
{
    desc.saved = NORMA_SAVE_VARIANCE;
    desc.epsilon = epsilon;
    trial *t = trial_of(desc, affine, affine, 0, 1);
    for (size_t i = 0; i < COUNT_OF(odd_values); i++) {
        check_constant(t, odd_values[i]);
    }
    trial_destroy(t);
}

static void constant_rows_give_the_shift(void **state)
{
    (void)state;
    for (int64_t length = 1; length <= 200; length += SUITE_QUICK ? 7 : 1) {
        const int64_t shape[] = {2, length};
        constant(norma_layer_norm_desc(2, shape, -1, NORMA_F32), true, 1e-5);
        constant(norma_layer_norm_desc(2, shape, -1, NORMA_F32), false, length % 2 ? 0 : 1e-12);
        constant(norma_layer_norm_desc(2, shape, -1, NORMA_F64), length % 2, 1e-5);
    }
    static const int64_t longer[] = {768, 1000, 8191, 8192, 8193, 20000};
    for (size_t i = 0; i < COUNT_OF(longer); i++) {
        const int64_t shape[] = {1, longer[i]};
        constant(norma_layer_norm_desc(2, shape, -1, NORMA_F32), true, 1e-5);
    }
}

static void constant_channels_give_the_shift(void **state)
{
    (void)state;
    for (int64_t channels = 1; channels <= 600; channels += 1 + channels / 8) {
        constant(norma_channel_norm_desc(1, channels, 21, NORMA_NCHW, NORMA_F32), true, 1e-5);
        constant(norma_channel_norm_desc(1, channels, 21, NORMA_NCHW, NORMA_F32), false, 0);
        constant(norma_channel_norm_desc(1, channels, 5, NORMA_NHWC, NORMA_F32), true, 1e-5);
        constant(norma_channel_norm_desc(1, channels, 5, NORMA_NCHW, NORMA_F64), true, 1e-5);
    }
}

static void constant_planes_give_zero(void **state)
{
    (void)state;
    const int axes[] = {0, 2};
    for (int64_t length = 1; length <= 100; length += 3) {
        const int64_t shape[] = {3, 2, length};
        constant(norma_mvn_desc(3, shape, 2, axes, NORMA_F32), false, 1e-9);
        constant(norma_mvn_desc(3, shape, 2, axes, NORMA_F64), false, 0);
    }
}

/* Zero variance or norm with epsilon 0 divides nothing, whatever the mode. */
static void a_zero_divisor_divides_nothing(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 77}, cube[] = {2, 35, 19};
    for (norma_epsilon_mode mode = NORMA_EPSILON_INSIDE; mode <= NORMA_EPSILON_NONE; mode++) {
        norma_desc descs[] = {
            norma_layer_norm_desc(2, shape, -1, NORMA_F32), norma_rms_norm_desc(2, shape, -1, NORMA_F32),
            norma_lp_norm_desc(2, shape, -1, 1, NORMA_F32), norma_lp_norm_desc(2, shape, -1, 2, NORMA_F64),
            norma_lp_norm_desc(3, cube, 1, 1, NORMA_F64),   norma_lp_norm_desc(3, cube, 1, 2, NORMA_F32),
        };
        for (size_t i = 0; i < COUNT_OF(descs); i++) {
            descs[i].epsilon_mode = mode;
            descs[i].epsilon = 0;
            trial *t = trial_of(descs[i], false, false, 0, 1);
            fill(t, 0);
            trial_expect(t);
            isa_check_each(t);
            for (int64_t k = 0; k < t->want->sets * t->want->length; k++) {
                check(element_get(descs[i].dtype, t->args.y, t->want->y_at[k]) == 0);
            }
            trial_destroy(t);
        }
    }
}

/* One set holds the value at one place; all others keep the bits they have without it. */
static void contain(const test_case *c, double value, bool becomes_nan)
{
    random_state random = random_begin(9);
    trial *t = trial_create(&c->desc, c->inputs, &random);
    const int64_t sets = t->want->sets, length = t->want->length, bad = sets / 3;
    const double before = element_get(c->desc.dtype, t->x, t->want->x_at[bad * length + length / 2]);
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        suite_case("%s on %s, one %g", c->name, norma_isa_name(isa), value);
        trial_set_x(t, bad, length / 2, before);
        run(t, isa);
        outcome clean = trial_outcome(t);
        trial_set_x(t, bad, length / 2, value);
        run(t, isa);
        outcome now = trial_outcome(t);
        for (int64_t i = 0; i < now.count; i++) {
            const int64_t set = i < sets * length ? i / length : (i - sets * length) % sets;
            if (set != bad) {
                check(compare_bits(NORMA_F64, &now.elements[i], &clean.elements[i], 1) < 0);
            } else if (becomes_nan && (c->desc.statistics != NORMA_STATISTICS_GIVEN || i == bad * length + length / 2)) {
                check(isnan(now.elements[i]));
            }
        }
        outcome_destroy(&clean);
        outcome_destroy(&now);
    }
    trial_destroy(t);
}

static void nan_stays_in_its_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        contain(&c, NAN, true);
    }
}

static void infinity_stays_in_its_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        contain(&c, i % 2 ? INFINITY : -INFINITY, false);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tensor_writes_nothing), cmocka_unit_test(one_element_gives_the_shift),
        cmocka_unit_test(constant_rows_give_the_shift),   cmocka_unit_test(constant_channels_give_the_shift),
        cmocka_unit_test(constant_planes_give_zero),      cmocka_unit_test(a_zero_divisor_divides_nothing),
        cmocka_unit_test(nan_stays_in_its_set),           cmocka_unit_test(infinity_stays_in_its_set),
    };
    return suite_main("edges", tests, COUNT_OF(tests), argc, argv);
}

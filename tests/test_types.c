/*
 * Narrow types: what is read and written is what the types say, bit for bit and on every instruction set.
 */
#include <math.h>
#include <string.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

static const norma_dtype narrow[] = {NORMA_BF16, NORMA_F16};

/* With a mean of 0 and a variance of 1, y is x: every number that the type has is read and written exactly. */
static void every_number_there_and_back(void **state)
{
    (void)state;
    enum { NUMBERS = 1 << 16 };
    static uint16_t x[NUMBERS], y[NUMBERS];
    static float mean[NUMBERS], variance[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        x[i] = (uint16_t)i;
        mean[i] = 0;
        variance[i] = 1;
    }
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (size_t k = 0; k < 2 * COUNT_OF(narrow); k++) {
            const norma_dtype dtype = narrow[k / 2];
            const norma_layout layout = k % 2 ? NORMA_NHWC : NORMA_NCHW;
            norma_desc desc = norma_batch_norm_desc(1, 256, 256, layout, dtype);
            desc.statistics = NORMA_STATISTICS_GIVEN;
            desc.epsilon_mode = NORMA_EPSILON_NONE;
            suite_case("%s on %s, layout %d", norma_dtype_name(dtype), norma_isa_name(isa), (int)layout);
            memset(y, 0xff, sizeof y);
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .given_mean = mean, .given_variance = variance});
            for (int i = 0; i < NUMBERS; i++) {
                if (isnan(element_get(dtype, x, i))) {
                    check(isnan(element_get(dtype, y, i)));
                } else if (x[i] != y[i] && !(x[i] == 0x8000 && y[i] == 0)) { /* x * 1 + 0 is a positive zero */
                    suite_fail("0x%04x came out as 0x%04x", x[i], y[i]);
                }
            }
        }
    }
}

/* f32 numbers that are hard to round: one in 4099 of all, and those next to the middle of any two of the type. */
static float hard_to_round(norma_dtype dtype, uint32_t i)
{
    enum { SPREAD = 1 << 20 };
    uint32_t bits = i * 4099u;
    if (i >= SPREAD) {
        const uint32_t turn = i - SPREAD, number = turn / 4;
        const double step = element_narrow_get(dtype, (uint16_t)number);
        const float middle = (float)((step + element_narrow_get(dtype, (uint16_t)(number + 1))) / 2);
        memcpy(&bits, &middle, sizeof bits);
        bits += turn % 4 - 1;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A constant row gives the shift exactly, so that f32 shifts show how y is rounded. */
static void every_rounding(void **state)
{
    (void)state;
    enum { NUMBERS = (1 << 20) + (4 << 16) };
    float *shift = suite_alloc(NUMBERS, sizeof *shift);
    uint16_t *x = suite_alloc(NUMBERS, sizeof *x), *y = suite_alloc(NUMBERS, sizeof *y);
    for (size_t k = 0; k < 2 * COUNT_OF(narrow); k++) {
        const norma_dtype dtype = narrow[k / 2];
        for (uint32_t i = 0; i < NUMBERS; i++) {
            shift[i] = hard_to_round(dtype, i);
            element_set(dtype, x, i, 1);
        }
        const int64_t shape[] = {1, NUMBERS};
        norma_desc desc =
            k % 2 ? norma_instance_norm_desc(1, NUMBERS / 8, 8, NORMA_NHWC, dtype) : norma_layer_norm_desc(2, shape, -1, dtype);
        desc.parameter_dtype = NORMA_F32;
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            suite_case("%s on %s, %s", norma_dtype_name(dtype), norma_isa_name(isa), norma_op_name(desc.op));
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .shift = shift});
            for (uint32_t i = 0; i < NUMBERS; i++) {
                const float from = shift[k % 2 ? i % (NUMBERS / 8) : i];
                const uint16_t want = element_narrow_set(dtype, from);
                const bool same = isnan(from) ? isnan(element_get(dtype, y, i)) : y[i] == want || (y[i] | want) == 0x8000;
                if (!same) {
                    suite_fail("%a became 0x%04x, want 0x%04x", (double)from, y[i], want);
                }
            }
        }
    }
    free(shift);
    free(x);
    free(y);
}

/* x whose squares sum up exactly in f32, so that the reference has the very same reciprocal root. */
static double exact_number(int i)
{
    return (double)((i * 7919 + i * i % 31) % 65 - 32) / 16;
}

/* RMS norm in double with each rounding written out: to f32 where kernels have f32, and to the type where the mode says so. */
static double rms_reference(norma_rms_mode mode, norma_dtype dtype, double x, double factor, double scale)
{
    const double normalized = (float)(x * factor);
    switch (mode) {
    case NORMA_RMS_ROUND_THEN_SCALE:
        return element_round(dtype, (float)(element_round(dtype, normalized) * scale));
    case NORMA_RMS_ONE_PLUS_SCALE:
        return element_round(dtype, (float)(normalized * (float)(1 + scale)));
    default:
        return element_round(dtype, (float)(normalized * scale));
    }
}

static void rms_rounding_modes_bit_for_bit(void **state)
{
    (void)state;
    enum { ROWS = 3, LENGTH = 1024 };
    static uint16_t x[ROWS * LENGTH], y[ROWS * LENGTH], narrow_scale[LENGTH];
    static float scale[LENGTH];
    const int64_t shape[] = {ROWS, LENGTH};
    int64_t differ = 0;
    for (int turn = 0; turn < 12; turn++) {
        const norma_dtype dtype = narrow[turn % 2];
        const norma_rms_mode mode = (norma_rms_mode)(NORMA_RMS_SCALE_THEN_ROUND + turn / 2 % 3);
        const bool wide = turn / 6;
        norma_desc desc = norma_rms_norm_desc(2, shape, -1, dtype);
        desc.rms_mode = mode;
        desc.parameter_dtype = wide ? NORMA_F32 : dtype;
        for (int i = 0; i < ROWS * LENGTH; i++) {
            element_set(dtype, x, i, exact_number(i));
        }
        for (int i = 0; i < LENGTH; i++) {
            scale[i] = (float)(0.5 + (double)(i * 37 % 1000) / 999);
            element_set(dtype, narrow_scale, i, (double)scale[i]);
        }
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            suite_case("%s on %s, mode %d, f32 scale %d", norma_dtype_name(dtype), norma_isa_name(isa), (int)mode, wide);
            isa_run_args(isa, &desc, (norma_args){.x = x, .y = y, .scale = wide ? (const void *)scale : narrow_scale});
            for (int i = 0; i < ROWS * LENGTH; i++) {
                double sum = 0;
                for (int j = 0; j < LENGTH; j++) {
                    const double v = exact_number(i / LENGTH * LENGTH + j);
                    sum += v * v;
                }
                const double factor = (float)(1 / sqrt(sum / LENGTH + 1e-5));
                const double by = wide ? (double)scale[i % LENGTH] : element_get(dtype, narrow_scale, i % LENGTH);
                const double want = rms_reference(mode, dtype, exact_number(i), factor, by);
                differ += want != rms_reference(NORMA_RMS_SCALE_THEN_ROUND, dtype, exact_number(i), factor, by);
                if (element_get(dtype, y, i) != want) {
                    suite_fail("element %d: got %.9g, want %.9g", i, element_get(dtype, y, i), want);
                }
            }
        }
    }
    check(differ > 1000); /* or the modes would be told apart by nothing */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_there_and_back),
        cmocka_unit_test(every_rounding),
        cmocka_unit_test(rms_rounding_modes_bit_for_bit),
    };
    return suite_main("types", tests, COUNT_OF(tests), argc, argv);
}

/* The options of descriptors, shapes of every kind, and answers known from elsewhere, on every instruction set. */
#include <math.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

/* Every place epsilon can stand in, every op, both things to save, both geometries. */
static void epsilon_modes_and_saved_statistics(void **state)
{
    (void)state;
    const int64_t shape[] = {7, 50}, cube[] = {2, 30, 11};
    const int axes[] = {0, 2};
    for (norma_epsilon_mode mode = NORMA_EPSILON_INSIDE; mode <= NORMA_EPSILON_NONE; mode++) {
        for (int turn = 0; turn < 4; turn++) {
            const norma_dtype dtype = turn & 1 ? NORMA_F64 : NORMA_F32;
            norma_desc descs[] = {
                norma_layer_norm_desc(2, shape, -1, dtype),
                norma_rms_norm_desc(2, shape, -1, dtype),
                norma_lp_norm_desc(2, shape, -1, 1, dtype),
                norma_lp_norm_desc(2, shape, -1, 2, dtype),
                norma_lp_norm_desc(3, cube, 1, 1, dtype),
                norma_lp_norm_desc(3, cube, 1, 2, dtype),
                norma_mvn_desc(3, cube, 2, axes, dtype),
                norma_channel_norm_desc(2, 30, 11, NORMA_NCHW, dtype),
                norma_channel_norm_desc(2, 30, 11, NORMA_NHWC, dtype),
            };
            for (size_t i = 0; i < COUNT_OF(descs); i++) {
                static const double epsilons[] = {1e-5, 0.25, 3, 1000}; /* below, near and above what is divided by */
                for (size_t e = 0; e < COUNT_OF(epsilons); e++) {
                    descs[i].epsilon_mode = mode;
                    descs[i].epsilon = epsilons[e];
                    descs[i].saved = turn & 2 ? NORMA_SAVE_VARIANCE : NORMA_SAVE_RSTD;
                    trial *t = trial_of(descs[i], false, false, 0.5, 1);
                    isa_check_each(t);
                    trial_destroy(t);
                }
            }
        }
    }
}

static void rms_modes(void **state)
{
    (void)state;
    const int64_t shape[] = {5, 333};
    for (norma_rms_mode mode = NORMA_RMS_SCALE_THEN_ROUND; mode <= NORMA_RMS_ONE_PLUS_SCALE; mode++) {
        for (int turn = 0; turn < 4; turn++) {
            norma_desc desc = norma_rms_norm_desc(2, shape, -1, turn & 1 ? NORMA_F64 : NORMA_F32);
            desc.rms_mode = mode;
            trial *t = trial_of(desc, turn >> 1, false, 1, 1); /* without scale there is no 1 + scale */
            isa_check_each(t);
            trial_destroy(t);
        }
    }
}

static void scale_or_shift_alone(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        for (norma_dtype dtype = NORMA_F32; dtype <= NORMA_F64; dtype++) {
            const int64_t shape[] = {4, 3, 45};
            const norma_desc descs[] = {
                norma_layer_norm_desc(3, shape, -1, dtype),
                norma_layer_norm_desc(3, shape, 1, dtype),
                norma_layer_norm_desc(3, shape, 0, dtype),
                norma_channel_norm_desc(2, 70, 45, NORMA_NCHW, dtype),
                norma_channel_norm_desc(2, 70, 45, NORMA_NHWC, dtype),
            };
            for (size_t i = 0; i < COUNT_OF(descs); i++) {
                trial *t = trial_of(descs[i], which & 1, which >> 1, 1, 1);
                isa_check_each(t);
                trial_destroy(t);
            }
        }
    }
}

/* Axes of one element anywhere, and as many axes as there may be. */
static void extents_of_one_and_every_rank(void **state)
{
    (void)state;
    for (int rank = 1; rank <= NORMA_MAX_RANK; rank++) {
        for (int pattern = 0; pattern < 1 << rank; pattern += 1 + pattern / 5) {
            for (int subset = 1; subset < 1 << rank; subset += 1 + subset / 3) {
                int64_t shape[NORMA_MAX_RANK];
                int axes[NORMA_MAX_RANK], count = 0;
                for (int k = 0; k < rank; k++) {
                    shape[k] = pattern >> k & 1 ? 1 : 2 + (k + rank) % 3;
                    if (subset >> k & 1) {
                        axes[count++] = k;
                    }
                }
                trial *t = trial_of(norma_mvn_desc(rank, shape, count, axes, NORMA_F32), false, false, 1, 1);
                isa_check_each(t);
                trial_destroy(t);
            }
        }
    }
}

static void one_channel_and_one_position(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1}, {5, 1, 1}, {1, 37, 1}, {4, 37, 1}, {1, 1, 37}, {4, 1, 37}, {4, 2, 2}};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        for (norma_layout layout = NORMA_NCHW; layout <= NORMA_NHWC; layout++) {
            const norma_desc desc = norma_channel_norm_desc(shapes[i][0], shapes[i][1], shapes[i][2], layout, NORMA_F32);
            trial *t = trial_of(desc, true, true, 1, 1);
            isa_check_each(t);
            trial_destroy(t);
        }
    }
}

/* U[0, 1e4), shape (10, 3, 5, 5), no epsilon: batch, layer and instance norm. */
static void known_answer_uniform_images(void **state)
{
    (void)state;
    const int64_t shape[] = {10, 3, 5, 5};
    static const int axes[3][3] = {{0, 2, 3}, {1, 2, 3}, {2, 3}};
    static const int counts[3] = {3, 3, 2};
    for (int which = 0; which < 3; which++) {
        norma_desc desc = norma_mvn_desc(4, shape, counts[which], axes[which], NORMA_F32);
        desc.epsilon = 0;
        trial *t = trial_of(desc, false, false, 0, 1);
        random_state random = random_begin(5);
        for (int64_t i = 0; i < 750; i++) {
            trial_set_x(t, i / t->want->length, i % t->want->length, random_between(&random, 0, 1e4));
        }
        trial_expect(t);
        isa_check_each(t);
        trial_destroy(t);
    }
}

/* One column of a batch norm: mean 0.375, biased variance 0.691875, first output 0.991829. */
static void known_answer_batch_norm_column(void **state)
{
    (void)state;
    static const double column[] = {1.2, 0.8, -1.0, 0.5};
    const int64_t shape[] = {4, 1};
    const int axes[] = {0};
    norma_desc desc = norma_mvn_desc(2, shape, 1, axes, NORMA_F64);
    desc.epsilon = 1e-5;
    desc.epsilon_mode = NORMA_EPSILON_INSIDE;
    desc.saved = NORMA_SAVE_VARIANCE;
    trial *t = trial_of(desc, false, false, 0, 1);
    for (int i = 0; i < 4; i++) {
        trial_set_x(t, 0, i, column[i]);
    }
    trial_expect(t);
    isa_check_each(t);
    check(fabs(element_get(NORMA_F64, t->args.mean, 0) - 0.375) < 1e-15);
    check(fabs(element_get(NORMA_F64, t->args.rstd, 0) - 0.691875) < 1e-15);
    check(fabs(element_get(NORMA_F64, t->args.y, 0) - 0.991829) < 5e-7);
    trial_destroy(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epsilon_modes_and_saved_statistics),
        cmocka_unit_test(rms_modes),
        cmocka_unit_test(scale_or_shift_alone),
        cmocka_unit_test(extents_of_one_and_every_rank),
        cmocka_unit_test(one_channel_and_one_position),
        cmocka_unit_test(known_answer_uniform_images),
        cmocka_unit_test(known_answer_batch_norm_column),
    };
    return suite_main("options", tests, COUNT_OF(tests), argc, argv);
}

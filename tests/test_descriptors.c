/* What norma_plan_create() refuses: a status, a sentence that names the field, and NULL stored. What it takes: the rest. */
#include <math.h>

#include "support/suite.h"

#define ANY_PLAN ((norma_plan *)(void *)&any_byte)
static char any_byte;

static norma_desc layer(void)
{
    const int64_t shape[] = {4, 3, 8};
    return norma_layer_norm_desc(3, shape, -1, NORMA_F32);
}

static norma_desc lp(void)
{
    const int64_t shape[] = {4, 3, 8};
    return norma_lp_norm_desc(3, shape, 1, 2, NORMA_F32);
}

static norma_desc mvn(void)
{
    const int64_t shape[] = {4, 3, 8};
    const int axes[] = {0, 2};
    return norma_mvn_desc(3, shape, 2, axes, NORMA_F32);
}

static void refuse_as(norma_status status, norma_desc desc, const char *word)
{
    norma_plan *plan = ANY_PLAN;
    check_refused(norma_plan_create(&plan, NULL, &desc), status, word);
    check(plan == NULL);
}

static void refuse(norma_desc desc, const char *word)
{
    refuse_as(NORMA_INVALID_ARGUMENT, desc, word);
}

static void take(norma_desc desc)
{
    norma_plan *plan = NULL;
    check_success(norma_plan_create(&plan, NULL, &desc));
    check(plan != NULL);
    norma_plan_destroy(plan);
}

static void null_pointers(void **state)
{
    (void)state;
    norma_desc desc = layer();
    norma_plan *plan = ANY_PLAN;
    check_refused(norma_plan_create(NULL, NULL, &desc), NORMA_INVALID_ARGUMENT, "plan");
    check_refused(norma_plan_create(&plan, NULL, NULL), NORMA_INVALID_ARGUMENT, "desc");
    check(plan == NULL);
    norma_plan_destroy(NULL);
    refuse(norma_layer_norm_desc(2, NULL, -1, NORMA_F32), "shape");
}

static void unknown_enumerators(void **state)
{
    (void)state;
    static const int unknown[] = {0, 99, -1};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        norma_desc desc = layer();
        desc.op = (norma_op)unknown[i];
        refuse(desc, "desc.op");
        desc = layer();
        desc.dtype = (norma_dtype)unknown[i];
        refuse(desc, "desc.dtype");
        desc = norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F32);
        desc.layout = (norma_layout)unknown[i];
        refuse(desc, "desc.layout");
        desc = layer();
        desc.epsilon_mode = (norma_epsilon_mode)unknown[i];
        refuse(desc, "desc.epsilon_mode");
        desc = layer();
        desc.rms_mode = (norma_rms_mode)unknown[i];
        refuse(desc, "desc.rms_mode");
        desc = layer();
        desc.saved = (norma_saved)unknown[i];
        refuse(desc, "desc.saved");
    }
}

/* The first number past each enumeration. */
static void enumerators_one_past_the_last(void **state)
{
    (void)state;
    norma_desc desc = layer();
    desc.op = (norma_op)(NORMA_GROUP_NORM + 1);
    refuse(desc, "desc.op");
    desc = layer();
    desc.dtype = (norma_dtype)(NORMA_U8 + 1);
    refuse(desc, "desc.dtype");
    desc = layer();
    desc.epsilon_mode = (norma_epsilon_mode)(NORMA_EPSILON_NONE + 1);
    refuse(desc, "desc.epsilon_mode");
    desc = layer();
    desc.rms_mode = (norma_rms_mode)(NORMA_RMS_ONE_PLUS_SCALE + 1);
    refuse(desc, "desc.rms_mode");
    desc = layer();
    desc.saved = (norma_saved)(NORMA_SAVE_DIVISOR + 1);
    refuse(desc, "desc.saved");
    desc = norma_channel_norm_desc(2, 3, 4, NORMA_NHWC, NORMA_F32);
    desc.layout = (norma_layout)(NORMA_NCHW16C + 1);
    refuse(desc, "desc.layout");
    desc = norma_batch_norm_desc(2, 3, 4, NORMA_NHWC, NORMA_F32);
    desc.statistics = (norma_statistics_source)(NORMA_STATISTICS_GIVEN + 1);
    refuse(desc, "desc.statistics");
    desc = norma_batch_norm_desc(2, 3, 4, NORMA_NHWC, NORMA_F32);
    desc.momentum_mode = (norma_momentum_mode)(NORMA_MOMENTUM_CUMULATIVE + 1);
    refuse(desc, "desc.momentum_mode");
}

static void momentum_out_of_range(void **state)
{
    (void)state;
    static const double wrong[] = {-0.1, 1.1, NAN};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_desc desc = norma_batch_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F32);
        desc.momentum = wrong[i];
        refuse(desc, "desc.momentum:");
    }
    norma_desc desc = norma_batch_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F32);
    desc.running_unbiased = 2;
    refuse(desc, "desc.running_unbiased");
}

static void groups_that_do_not_divide(void **state)
{
    (void)state;
    static const int64_t wrong[] = {0, -1, 5, 24, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        refuse(norma_group_norm_desc(2, 12, 4, wrong[i], NORMA_NCHW, NORMA_F32), "desc.groups");
        refuse(norma_group_norm_desc(2, 12, 4, wrong[i], NORMA_NHWC, NORMA_F32), "desc.groups");
    }
}

static void images_are_dense(void **state)
{
    (void)state;
    norma_desc desc = norma_instance_norm_desc(2, 12, 4, NORMA_NCHW, NORMA_F32);
    desc.x_row_stride = 5;
    refuse(desc, "desc.x_row_stride");
    desc = norma_group_norm_desc(2, 12, 4, 3, NORMA_NCHW, NORMA_F32);
    desc.y_row_stride = 50;
    refuse(desc, "desc.y_row_stride");
}

static void given_statistics_are_for_batch_and_instance_norm(void **state)
{
    (void)state;
    norma_desc desc = norma_group_norm_desc(2, 12, 4, 3, NORMA_NCHW, NORMA_F32);
    desc.statistics = NORMA_STATISTICS_GIVEN;
    refuse(desc, "desc.statistics");
}

static void blocks_of_channels(void **state)
{
    (void)state;
    refuse(norma_batch_norm_desc(2, 12, 4, NORMA_NCHW8C, NORMA_F32), "desc.shape[1]: expected a multiple of the layout's 8");
    refuse(norma_instance_norm_desc(2, 24, 4, NORMA_NCHW16C, NORMA_F32), "desc.shape[1]");
    refuse(norma_group_norm_desc(2, 1, 4, 1, NORMA_NCHW16C, NORMA_F64), "desc.shape[1]");
    refuse(norma_channel_norm_desc(2, 32, 4, NORMA_NCHW16C, NORMA_F32), "desc.layout: channel_norm");
    refuse(norma_group_norm_desc(2, 16, 4, 3, NORMA_NCHW16C, NORMA_F32), "desc.groups");
}

static void affine_of_groups_is_for_group_norm(void **state)
{
    (void)state;
    norma_desc desc = norma_batch_norm_desc(2, 12, 4, NORMA_NCHW, NORMA_F32);
    desc.affine_of_groups = 1;
    refuse(desc, "desc.affine_of_groups");
    desc = norma_group_norm_desc(2, 12, 4, 3, NORMA_NCHW, NORMA_F32);
    desc.affine_of_groups = 2;
    refuse(desc, "desc.affine_of_groups");
}

static void p_other_than_1_and_2(void **state)
{
    (void)state;
    static const int wrong[] = {0, 3, -1};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_desc desc = lp();
        desc.p = wrong[i];
        refuse(desc, "desc.p:");
    }
}

static void epsilon_negative_or_nan(void **state)
{
    (void)state;
    static const double wrong[] = {-1e-5, -1, -INFINITY, NAN};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_desc descs[] = {layer(), lp(), mvn()};
        for (size_t k = 0; k < COUNT_OF(descs); k++) {
            descs[k].epsilon = wrong[i];
            refuse(descs[k], "desc.epsilon");
        }
    }
    norma_desc desc = layer();
    desc.epsilon = 0;
    take(desc);
}

static void rank_out_of_range(void **state)
{
    (void)state;
    static const int wrong[] = {0, -1, NORMA_MAX_RANK + 1, 1000};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_desc desc = layer();
        desc.rank = wrong[i];
        refuse(desc, "desc.rank");
    }
    const int64_t shape[NORMA_MAX_RANK + 1] = {1, 2, 1, 2, 1, 2, 1, 2, 3};
    refuse(norma_layer_norm_desc(NORMA_MAX_RANK + 1, shape, -1, NORMA_F32), "desc.rank");
    take(norma_layer_norm_desc(NORMA_MAX_RANK, shape, -1, NORMA_F32));
}

static void negative_extents(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        norma_desc desc = layer();
        desc.shape[k] = -1;
        refuse(desc, "desc.shape");
        desc.shape[k] = INT64_MIN;
        refuse(desc, "desc.shape");
    }
    refuse(norma_channel_norm_desc(-2, 3, 4, NORMA_NCHW, NORMA_F32), "desc.shape");
}

/* Nothing to divide by: an error along reduced axes, but no work elsewhere. */
static void an_empty_reduction(void **state)
{
    (void)state;
    norma_desc desc = layer();
    desc.shape[2] = 0;
    refuse(desc, "desc.shape");
    desc = lp();
    desc.shape[1] = 0;
    refuse(desc, "desc.shape");
    desc = mvn();
    desc.shape[0] = 0;
    refuse(desc, "desc.shape");
    refuse(norma_channel_norm_desc(2, 0, 4, NORMA_NCHW, NORMA_F32), "desc.shape");
    desc = layer();
    desc.shape[0] = 0;
    take(desc);
    take(norma_channel_norm_desc(0, 3, 4, NORMA_NCHW, NORMA_F32));
    take(norma_channel_norm_desc(2, 3, 0, NORMA_NHWC, NORMA_F32));
}

static void products_that_overflow(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {INT64_MAX, 1, 1},
        {INT64_MAX / 2, 1, 3},
        {(int64_t)1 << 32, 1, (int64_t)1 << 32},
        {(int64_t)1 << 21, (int64_t)1 << 21, (int64_t)1 << 20}, /* 2^62 elements, 2^64 bytes */
        {1, 1, INT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        refuse(norma_layer_norm_desc(3, shapes[i], -1, NORMA_F32), "overflow");
        refuse(norma_lp_norm_desc(3, shapes[i], 0, 2, NORMA_F64), "overflow");
    }
    const int64_t half[] = {(int64_t)1 << 30,
                            (int64_t)1 << 29}; /* 2^59 elements: x and y have 2^62 bytes of f32, 2^63 of f64 */
    take(norma_layer_norm_desc(2, half, -1, NORMA_F32));
    refuse(norma_layer_norm_desc(2, half, -1, NORMA_F64), "overflow");
    norma_desc strided = layer();
    strided.x_row_stride = INT64_MAX / 4;
    refuse(strided, "x_row_stride");
    strided = layer();
    strided.y_row_stride = INT64_MAX / 4;
    refuse(strided, "y_row_stride");
}

static void axes_out_of_range(void **state)
{
    (void)state;
    const int64_t shape[] = {4, 3, 8};
    static const int wrong[] = {3, -4, 8, 31, 32, 100, -100};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        refuse(norma_layer_norm_desc(3, shape, wrong[i], NORMA_F32), "desc.axes");
        refuse(norma_rms_norm_desc(3, shape, wrong[i], NORMA_F32), "desc.axes");
        refuse(norma_lp_norm_desc(3, shape, wrong[i], 2, NORMA_F32), "desc.axes");
        const int axes[] = {0, wrong[i]};
        refuse(norma_mvn_desc(3, shape, 2, axes, NORMA_F32), "desc.axes");
    }
    norma_desc desc = layer();
    desc.axes = 0;
    refuse(desc, "desc.axes");
    desc = mvn();
    desc.axes = 1u << 3;
    refuse(desc, "desc.axes");
    refuse(norma_mvn_desc(3, shape, 0, NULL, NORMA_F32), "desc.axes");
}

static void axes_that_the_op_does_not_reduce(void **state)
{
    (void)state;
    norma_desc desc = layer();
    desc.axes = 1; /* not trailing */
    refuse(desc, "desc.axes");
    desc.axes = 5;
    refuse(desc, "desc.axes");
    const int64_t shape[] = {4, 3, 8};
    desc = norma_rms_norm_desc(3, shape, -1, NORMA_F32);
    desc.axes = 2;
    refuse(desc, "desc.axes");
    desc = lp();
    desc.axes = 3; /* two */
    refuse(desc, "desc.axes");
    desc = norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F32);
    desc.axes = 4; /* that is NHWC */
    refuse(desc, "desc.axes");
    desc = norma_channel_norm_desc(2, 3, 4, NORMA_NHWC, NORMA_F32);
    desc.axes = 2;
    refuse(desc, "desc.axes");
}

static void row_strides(void **state)
{
    (void)state;
    norma_desc desc = layer();
    desc.x_row_stride = 7; /* rows of 8 would overlap */
    refuse(desc, "desc.x_row_stride");
    desc = layer();
    desc.y_row_stride = 7;
    refuse(desc, "desc.y_row_stride");
    desc = layer();
    desc.x_row_stride = -8;
    refuse(desc, "desc.x_row_stride");
    desc = layer();
    desc.x_row_stride = 8;
    desc.y_row_stride = 9;
    take(desc);
    desc = lp(); /* axis 1 of 3: its sets are not rows */
    desc.x_row_stride = 100;
    refuse(desc, "desc.x_row_stride");
    desc = mvn();
    desc.y_row_stride = 100;
    refuse(desc, "desc.y_row_stride");
    desc = norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F32);
    desc.x_row_stride = 100;
    refuse(desc, "desc.x_row_stride");
    const int64_t shape[] = {4, 3, 8};
    desc = norma_layer_norm_desc(3, shape, 1, NORMA_F32);
    desc.x_row_stride = 23; /* rows of 3 * 8 */
    refuse(desc, "desc.x_row_stride");
    desc.x_row_stride = 24;
    take(desc);
}

/* A later version's descriptor is fine as long as it asks for nothing that this library does not know. */
static void struct_sizes(void **state)
{
    (void)state;
    norma_desc desc = layer();
    desc.struct_size = 0;
    refuse(desc, "struct_size");
    desc.struct_size = sizeof desc - 1;
    refuse(desc, "struct_size");
    desc.struct_size = sizeof(size_t);
    refuse(desc, "struct_size");
    desc.struct_size = SIZE_MAX;
    refuse(desc, "struct_size");
    struct {
        norma_desc desc;
        char tail[64];
    } later = {.desc = layer()};
    later.desc.struct_size = sizeof later;
    norma_plan *plan = NULL;
    check_success(norma_plan_create(&plan, NULL, &later.desc));
    norma_plan_destroy(plan);
    for (size_t i = 0; i < sizeof later.tail; i += sizeof later.tail - 1) {
        later.tail[i] = 1;
        plan = ANY_PLAN;
        check_refused(norma_plan_create(&plan, NULL, &later.desc), NORMA_INVALID_ARGUMENT, "struct_size");
        check(plan == NULL);
        later.tail[i] = 0;
    }
}

/* Each refused descriptor, changed in the one field, is taken: the tests above fail for their own reason. */
static void what_is_taken(void **state)
{
    (void)state;
    take(layer());
    take(lp());
    take(mvn());
    take(norma_channel_norm_desc(2, 3, 4, NORMA_NCHW, NORMA_F64));
    take(norma_channel_norm_desc(2, 3, 4, NORMA_NHWC, NORMA_F64));
    const int64_t shape[] = {4, 3, 8};
    for (int axis = -3; axis < 3; axis++) {
        take(norma_layer_norm_desc(3, shape, axis, NORMA_F32));
        take(norma_rms_norm_desc(3, shape, axis, NORMA_F64));
        take(norma_lp_norm_desc(3, shape, axis, 1, NORMA_F32));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_pointers),
        cmocka_unit_test(unknown_enumerators),
        cmocka_unit_test(enumerators_one_past_the_last),
        cmocka_unit_test(momentum_out_of_range),
        cmocka_unit_test(groups_that_do_not_divide),
        cmocka_unit_test(images_are_dense),
        cmocka_unit_test(given_statistics_are_for_batch_and_instance_norm),
        cmocka_unit_test(blocks_of_channels),
        cmocka_unit_test(affine_of_groups_is_for_group_norm),
        cmocka_unit_test(p_other_than_1_and_2),
        cmocka_unit_test(epsilon_negative_or_nan),
        cmocka_unit_test(rank_out_of_range),
        cmocka_unit_test(negative_extents),
        cmocka_unit_test(an_empty_reduction),
        cmocka_unit_test(products_that_overflow),
        cmocka_unit_test(axes_out_of_range),
        cmocka_unit_test(axes_that_the_op_does_not_reduce),
        cmocka_unit_test(row_strides),
        cmocka_unit_test(struct_sizes),
        cmocka_unit_test(what_is_taken),
    };
    return suite_main("descriptors", tests, COUNT_OF(tests), argc, argv);
}

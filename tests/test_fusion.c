/*
 * What else is fused with a norm: modulation, gates, tensors of other types than x's, and integers. Each on every geometry and
 * instruction set that takes it, against the formulas, with other threads and where others join in.
 */
#include <math.h>
#include <string.h>

#include "support/compare.h"
#include "support/element.h"
#include "support/geometries.h"
#include "support/isa.h"
#include "support/suite.h"

static const norma_dtype floats[] = {NORMA_F32, NORMA_F64, NORMA_BF16, NORMA_F16};

static bool scales(const norma_desc *desc)
{
    return desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
}

/* The descriptor on every instruction set, with scale and shift and without, then on several threads in the same bits. */
static void try_desc(norma_desc desc)
{
    for (int affine = 0; affine < 2; affine++) {
        const bool scale = affine && scales(&desc), shift = scale && desc.op != NORMA_RMS_NORM;
        trial *t = trial_of(desc, scale, shift, 0.5, 2);
        isa_check_each(t);
        const trial_spot spot = {GUARD_END, 0, false};
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            trial_place(t, spot);
            isa_run_serial(t, isa);
            outcome serial = trial_outcome(t);
            suite_case("%s %s on %s, three threads", norma_op_name(desc.op), norma_dtype_name(desc.dtype), norma_isa_name(isa));
            norma_context *context = isa_context(isa, 3, NULL, NULL);
            trial_place(t, spot);
            isa_run(t, context);
            trial_check_same(t, &serial, "three threads against one");
            norma_context_destroy(context);
            outcome_destroy(&serial);
        }
        trial_destroy(t);
    }
}

static void modulation(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(floats); d++) {
            for (norma_modulation kind = NORMA_MODULATION_PER_SAMPLE; kind <= NORMA_MODULATION_PER_ELEMENT; kind++) {
                norma_desc desc = geometries_get(turn, floats[d]);
                desc.modulation = kind;
                desc.modulation_plain = turn % 2;
                if (turn % 3 == 1) {
                    norma_desc_activate(&desc, NORMA_SILU);
                }
                if (scales(&desc)) {
                    try_desc(desc);
                }
            }
        }
    }
}

/* Samples of several rows each, of samples that threads split, and of one position. */
static void modulation_of_samples(void **state)
{
    (void)state;
    const int64_t tokens[] = {3, 7, 40}, one[] = {3, 1, 40}, long_rows[] = {2, 1, 9000}, images[] = {2, 3, 4, 5};
    const norma_desc descs[] = {
        norma_layer_norm_desc(3, tokens, -1, NORMA_F32),
        norma_rms_norm_desc(3, tokens, -1, NORMA_BF16),
        norma_layer_norm_desc(3, one, -1, NORMA_F32),
        norma_layer_norm_desc(3, long_rows, -1, NORMA_F32),
        norma_layer_norm_desc(4, images, 2, NORMA_F32),
        norma_channel_norm_desc(3, 20, 6, NORMA_NHWC, NORMA_F32),
        norma_batch_norm_desc(5, 24, 1, NORMA_NCHW, NORMA_F32),
        norma_group_norm_desc(5, 24, 1, 4, NORMA_NHWC, NORMA_F32),
        norma_instance_norm_desc(3, 24, 17, NORMA_NCHW, NORMA_F32),
        norma_instance_norm_desc(3, 24, 17, NORMA_NHWC, NORMA_F32),
        norma_batch_norm_desc(3, 24, 700, NORMA_NHWC, NORMA_F32),
        norma_batch_norm_desc(3, 6, 701, NORMA_NHWC, NORMA_F32),
        norma_batch_norm_desc(3, 16, 301, NORMA_NCHW8C, NORMA_F32),
        norma_group_norm_desc(2, 6, 9000, 2, NORMA_NCHW, NORMA_F32),
    };
    for (size_t i = 0; i < COUNT_OF(descs); i++) {
        for (int given = 0; given < (descs[i].op == NORMA_BATCH_NORM ? 2 : 1); given++) {
            norma_desc desc = descs[i];
            desc.modulation = NORMA_MODULATION_PER_SAMPLE;
            desc.statistics = given ? NORMA_STATISTICS_GIVEN : NORMA_STATISTICS_OF_BATCH;
            try_desc(desc);
            desc.modulation_plain = 1;
            try_desc(desc);
        }
    }
    norma_desc grouped = norma_group_norm_desc(3, 24, 1, 4, NORMA_NCHW, NORMA_F32);
    grouped.modulation = NORMA_MODULATION_PER_SAMPLE;
    grouped.affine_of_groups = 1;
    try_desc(grouped);
}

static void gates_of_residuals(void **state)
{
    (void)state;
    const int64_t tokens[] = {3, 5, 61};
    for (size_t d = 0; d < COUNT_OF(floats); d++) {
        for (int turn = 0; turn < 12; turn++) {
            norma_desc desc =
                turn % 2 ? norma_rms_norm_desc(3, tokens, -1, floats[d]) : norma_layer_norm_desc(3, tokens, -1, floats[d]);
            desc.residual = NORMA_RESIDUAL_BEFORE;
            desc.residual_gate = turn / 2 % 2 ? NORMA_MODULATION_PER_SAMPLE : NORMA_MODULATION_PER_ELEMENT;
            desc.modulation = (norma_modulation)(turn / 4);
            try_desc(desc);
        }
    }
}

static void gates(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(floats); d++) {
            for (norma_gate gate = NORMA_GATE_BEFORE; gate <= NORMA_GATE_AFTER; gate++) {
                norma_desc desc = geometries_get(turn, floats[d]);
                desc.gate = gate;
                desc.gate_activation = (norma_activation)((turn * 3 + (int)d) % (NORMA_ELU + 1));
                if (turn % 4 == 3) {
                    desc.residual = NORMA_RESIDUAL_AFTER;
                }
                try_desc(desc);
            }
        }
    }
}

/* Every type of y and of a residual beside every type of x. */
static void other_types(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t x = 0; x < COUNT_OF(floats); x++) {
            for (size_t other = 0; other < COUNT_OF(floats); other++) {
                norma_desc desc = geometries_get(turn, floats[x]);
                desc.y_dtype = floats[other];
                desc.residual = (norma_residual)((turn + (int)x) % 3);
                desc.residual_dtype = floats[(other + (size_t)turn) % COUNT_OF(floats)];
                if (turn % 2) {
                    norma_desc_activate(&desc, NORMA_TANH);
                }
                const norma_dtype normalized = element_normalized(&desc);
                desc.parameter_dtype = turn % 3 ? 0 : element_statistic(normalized);
                try_desc(desc);
            }
        }
    }
}

static void integers_out(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (size_t d = 0; d < COUNT_OF(floats); d++) {
            for (int kind = 0; kind < 6; kind++) {
                norma_desc desc = geometries_get(turn, floats[d]);
                desc.y_dtype = kind % 2 ? NORMA_U8 : NORMA_S8;
                desc.quantization = (norma_quantization)(NORMA_QUANTIZATION_PER_TENSOR + kind / 2);
                desc.y_zero_point = desc.quantization == NORMA_QUANTIZATION_PER_ROW ? 0 : kind % 2 ? 128 : -3;
                norma_plan *plan;
                if (norma_plan_create(&plan, NULL, &desc) == NORMA_SUCCESS) {
                    norma_plan_destroy(plan);
                    try_desc(desc);
                } else { /* rows alone have ranges, and what has no scale no channels */
                    check(desc.quantization == NORMA_QUANTIZATION_PER_ROW || !scales(&desc));
                }
            }
        }
    }
}

/* With sums, activations and modulation before the integers; rows that go in parts, or fewer than threads. */
static void integers_after_others(void **state)
{
    (void)state;
    const int64_t few[] = {2, 9000}, tokens[] = {3, 5, 61}, leaves[] = {2, 40000};
    const norma_desc descs[] = {norma_layer_norm_desc(2, few, -1, NORMA_F32), norma_rms_norm_desc(3, tokens, -1, NORMA_BF16),
                                norma_rms_norm_desc(2, leaves, -1, NORMA_F16),
                                norma_channel_norm_desc(2, 33, 10, NORMA_NHWC, NORMA_F32)};
    for (size_t i = 0; i < COUNT_OF(descs); i++) {
        for (int turn = 0; turn < 8; turn++) {
            norma_desc desc = descs[i];
            desc.y_dtype = turn % 2 ? NORMA_U8 : NORMA_S8;
            desc.quantization = NORMA_QUANTIZATION_PER_ROW;
            desc.residual = turn / 2 % 2 ? NORMA_RESIDUAL_BEFORE : NORMA_RESIDUAL_NONE;
            desc.residual_dtype = turn / 2 % 2 ? NORMA_F32 : (norma_dtype)0;
            desc.modulation = turn / 4 ? NORMA_MODULATION_PER_SAMPLE : NORMA_MODULATION_NONE;
            norma_desc_activate(&desc, turn / 4 ? NORMA_GELU : NORMA_IDENTITY);
            try_desc(desc);
        }
    }
}

static void integers_in(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        for (int kind = 0; kind < 6; kind++) {
            norma_desc desc = geometries_get(turn, kind % 2 ? NORMA_U8 : NORMA_S8);
            const bool moments = desc.op != NORMA_RMS_NORM && desc.op != NORMA_LP_NORM;
            desc.x_scale = kind % 2 && !moments ? 0.03 : 0.06;
            desc.x_zero_point = !moments ? 0 : kind % 2 ? 117 : -5;
            desc.saved = (norma_saved)(NORMA_SAVE_RSTD + turn % 3);
            if (kind / 2 == 1) {
                desc.y_dtype = NORMA_BF16;
                norma_desc_activate(&desc, NORMA_RELU);
            } else if (kind / 2 == 2) {
                desc.y_dtype = NORMA_S8;
                desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
                desc.residual = turn % 2 ? NORMA_RESIDUAL_AFTER : NORMA_RESIDUAL_NONE;
            }
            try_desc(desc);
        }
    }
}

/* An integer that a number is just between two of goes to the even one; what is far outside, or no number, to an end. */
static void saturation_and_ties(void **state)
{
    (void)state;
    static const float x[] = {0.5f,  1.5f,     2.5f,      -0.5f, -1.5f,  126.5f, 127.5f,     -128.5f, 1e9f,
                              -1e9f, INFINITY, -INFINITY, NAN,   254.5f, 255.5f, 3.4999998f, 1e30f};
    static const int8_t s8[] = {0, 2, 2, 0, -2, 126, 127, -128, 127, -128, 127, -128, -128, 127, 127, 3, 127};
    static const uint8_t u8[] = {0, 2, 2, 0, 0, 126, 128, 0, 255, 0, 255, 0, 0, 254, 255, 3, 255};
    enum { COUNT = COUNT_OF(x) };
    static const float zero[COUNT] = {0};
    static float one[COUNT];
    for (int i = 0; i < COUNT; i++) {
        one[i] = 1;
    }
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (int is_u8 = 0; is_u8 < 2; is_u8++) {
            norma_desc desc = norma_batch_norm_desc(1, COUNT, 1, NORMA_NCHW, NORMA_F32);
            desc.statistics = NORMA_STATISTICS_GIVEN;
            desc.epsilon_mode = NORMA_EPSILON_NONE;
            desc.y_dtype = is_u8 ? NORMA_U8 : NORMA_S8;
            desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
            uint8_t y[COUNT];
            float y_scale = 1;
            isa_run_args(isa, &desc,
                         (norma_args){.x = x, .y = y, .given_mean = zero, .given_variance = one, .y_scale = &y_scale});
            for (int i = 0; i < COUNT; i++) {
                suite_case("%g on %s", (double)x[i], norma_isa_name(isa));
                check(is_u8 ? y[i] == u8[i] : (int8_t)y[i] == s8[i]);
            }
        }
    }
}

/* Statistics alone, in the bits that they have beside y. */
static void statistics_only(void **state)
{
    (void)state;
    for (int turn = 0; turn < GEOMETRIES; turn++) {
        norma_desc desc = geometries_get(turn, floats[turn % 4]);
        if (desc.statistics == NORMA_STATISTICS_GIVEN) {
            continue;
        }
        desc.saved = NORMA_SAVE_DIVISOR;
        desc.unbiased = desc.op != NORMA_LP_NORM && desc.op != NORMA_RMS_NORM;
        for (int threads = 1; threads <= 3; threads += 2) {
            for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
                trial *t = trial_of(desc, false, false, 3, 2);
                const trial_spot spot = {GUARD_END, 0, false};
                trial_place(t, spot);
                isa_run_serial(t, isa);
                trial_check(t, trial_tolerance(t));
                outcome with_y = trial_outcome(t);
                trial_place(t, spot);
                void *y = t->args.y;
                t->args.y = NULL;
                norma_context *context = isa_context(isa, threads, NULL, NULL);
                isa_run(t, context);
                t->args.y = y;
                outcome alone = trial_outcome(t);
                const int64_t elements = t->want->sets * t->want->length;
                check(compare_bits(NORMA_F64, alone.elements + elements, with_y.elements + elements, alone.count - elements) <
                      0);
                for (size_t at = 0; at < (size_t)t->y_extent * element_size(desc.dtype); at++) {
                    check(((const unsigned char *)y)[at] == GUARD_FILL);
                }
                norma_context_destroy(context);
                outcome_destroy(&with_y);
                outcome_destroy(&alone);
                trial_destroy(t);
            }
        }
    }
}

/* AdaIN: the style's statistics, then the content's norm modulated by them. (Huang, Belongie: Arbitrary Style Transfer in
 * Real-time with Adaptive Instance Normalization, arXiv 1703.06868, eq. 8; its code takes unbiased variances.) */
static void adain(void **state)
{
    (void)state;
    enum { N = 2, C = 5, CONTENT = 60, STYLE = 35 };
    static float content[N * C * CONTENT], style[N * C * STYLE], y[N * C * CONTENT], mean[N * C], deviation[N * C];
    random_state random = random_begin(11);
    for (int layout = 0; layout < 2; layout++) {
        for (int i = 0; i < N * C * CONTENT; i++) {
            content[i] = (float)(3 + random_normal(&random));
        }
        for (int i = 0; i < N * C * STYLE; i++) {
            style[i] = (float)(-1 + 2 * random_normal(&random));
        }
        const norma_layout of = layout ? NORMA_NHWC : NORMA_NCHW;
        norma_desc statistics = norma_instance_norm_desc(N, C, STYLE, of, NORMA_F32);
        statistics.unbiased = 1;
        statistics.saved = NORMA_SAVE_DIVISOR;
        norma_desc desc = norma_instance_norm_desc(N, C, CONTENT, of, NORMA_F32);
        desc.unbiased = 1;
        desc.modulation = NORMA_MODULATION_PER_SAMPLE;
        desc.modulation_plain = 1;
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            isa_run_args(isa, &statistics, (norma_args){.x = style, .mean = mean, .rstd = deviation});
            isa_run_args(isa, &desc,
                         (norma_args){.x = content, .y = y, .modulation_scale = deviation, .modulation_shift = mean});
            for (int plane = 0; plane < N * C; plane++) {
                const int n = plane / C, c = plane % C;
                const int step = layout ? C : 1;
                const float *x = content + (layout ? n * C * CONTENT + c : plane * CONTENT);
                const float *s = style + (layout ? n * C * STYLE + c : plane * STYLE);
                const float *got = y + (x - content);
                double of_x[2] = {0, 0}, of_s[2] = {0, 0};
                for (int i = 0; i < CONTENT; i++) {
                    of_x[0] += (double)x[i * step] / CONTENT;
                }
                for (int i = 0; i < CONTENT; i++) {
                    of_x[1] += pow((double)x[i * step] - of_x[0], 2) / (CONTENT - 1);
                }
                for (int i = 0; i < STYLE; i++) {
                    of_s[0] += (double)s[i * step] / STYLE;
                }
                for (int i = 0; i < STYLE; i++) {
                    of_s[1] += pow((double)s[i * step] - of_s[0], 2) / (STYLE - 1);
                }
                for (int i = 0; i < CONTENT; i++) {
                    const double normal = ((double)x[i * step] - of_x[0]) / sqrt(of_x[1] + 1e-5);
                    const double want = normal * sqrt(of_s[1] + 1e-5) + of_s[0];
                    check(compare_error((double)got[i * step], want) <= 4e-6);
                }
            }
        }
    }
}

static void refuse(norma_desc desc, const char *word)
{
    norma_plan *plan;
    const norma_status status = norma_plan_create(&plan, NULL, &desc);
    check(!plan && (status == NORMA_INVALID_ARGUMENT || status == NORMA_UNSUPPORTED));
    if (!strstr(norma_last_error(), word)) {
        suite_fail("expected a sentence with '%s', got: %s", word, norma_last_error());
    }
}

static void descriptors_that_do_not_fit(void **state)
{
    (void)state;
    const int64_t shape[] = {4, 8};
    const norma_desc layer = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_desc desc = layer;
    desc.y_dtype = NORMA_S8;
    refuse(desc, "desc.quantization");
    desc = layer;
    desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
    refuse(desc, "desc.quantization");
    desc = layer;
    desc.dtype = NORMA_S8;
    refuse(desc, "desc.x_scale");
    desc.x_scale = NAN;
    refuse(desc, "desc.x_scale");
    desc.x_scale = 1;
    desc.x_zero_point = 128;
    refuse(desc, "desc.x_zero_point");
    desc = norma_rms_norm_desc(2, shape, -1, NORMA_U8);
    desc.x_scale = 1;
    desc.x_zero_point = 1;
    refuse(desc, "desc.x_zero_point");
    desc.x_zero_point = 0;
    desc.residual = NORMA_RESIDUAL_BEFORE;
    refuse(desc, "desc.residual");
    desc.residual = NORMA_RESIDUAL_NONE;
    desc.gate = NORMA_GATE_AFTER;
    refuse(desc, "desc.gate");
    desc = layer;
    desc.x_scale = 1;
    refuse(desc, "desc.x_scale");
    desc = layer;
    desc.y_dtype = NORMA_U8;
    desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
    desc.y_zero_point = -1;
    refuse(desc, "desc.y_zero_point");
    desc.quantization = (norma_quantization)4;
    refuse(desc, "desc.quantization");
    desc = norma_group_norm_desc(2, 4, 6, 2, NORMA_NCHW, NORMA_F32);
    desc.y_dtype = NORMA_S8;
    desc.quantization = NORMA_QUANTIZATION_PER_ROW;
    refuse(desc, "desc.quantization: per row");
    desc = norma_lp_norm_desc(2, shape, 0, 2, NORMA_F32);
    desc.y_dtype = NORMA_S8;
    desc.quantization = NORMA_QUANTIZATION_PER_CHANNEL;
    refuse(desc, "desc.quantization");
    desc = norma_lp_norm_desc(2, shape, 1, 2, NORMA_F32);
    desc.modulation = NORMA_MODULATION_PER_SAMPLE;
    refuse(desc, "desc.modulation");
    desc = norma_layer_norm_desc(2, shape, 0, NORMA_F32);
    desc.modulation = NORMA_MODULATION_PER_SAMPLE;
    refuse(desc, "desc.modulation");
    desc = layer;
    desc.modulation_plain = 2;
    refuse(desc, "desc.modulation_plain");
    desc = layer;
    desc.residual_gate = NORMA_MODULATION_PER_SAMPLE;
    refuse(desc, "desc.residual_gate");
    desc = layer;
    desc.gate = (norma_gate)3;
    refuse(desc, "desc.gate");
    desc.gate = NORMA_GATE_BEFORE;
    desc.residual = NORMA_RESIDUAL_BEFORE;
    refuse(desc, "desc.gate");
    desc = layer;
    desc.gate_activation = (norma_activation)99;
    refuse(desc, "desc.gate_activation");
    desc = layer;
    desc.residual_dtype = NORMA_S8;
    refuse(desc, "desc.residual_dtype");
    desc = layer;
    desc.y_dtype = (norma_dtype)7;
    refuse(desc, "desc.y_dtype");
    desc = layer;
    desc.dtype = NORMA_S8;
    desc.x_scale = 1;
    desc.parameter_dtype = NORMA_S8;
    refuse(desc, "desc.parameter_dtype");
    desc = layer;
    desc.unbiased = 2;
    refuse(desc, "desc.unbiased");
    desc = norma_layer_norm_desc(1, shape, 0, NORMA_F32);
    desc.shape[0] = 1;
    desc.unbiased = 1;
    refuse(desc, "desc.unbiased");
    desc = norma_rms_norm_desc(2, shape, -1, NORMA_BF16);
    desc.rms_mode = NORMA_RMS_ROUND_THEN_SCALE;
    desc.y_dtype = NORMA_F32;
    refuse(desc, "desc.y_dtype");
}

static void tensors_that_do_not_fit(void **state)
{
    (void)state;
    const int64_t shape[] = {4, 8};
    static float x[32], r[32], y[32], sum[32], some[32];
    static uint16_t narrow[32];
    int8_t q[32];
    float y_scale = 0.1f;
    norma_plan *plan;
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.y_dtype = NORMA_S8;
    desc.quantization = NORMA_QUANTIZATION_PER_TENSOR;
    check_success(norma_plan_create(&plan, NULL, &desc));
    norma_args args = {.struct_size = sizeof args, .x = x, .y = q};
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y_scale");
    args.y_scale = &y_scale;
    check_success(norma_run(plan, &args));
    y_scale = 0;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y_scale");
    y_scale = INFINITY;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y_scale");
    y_scale = 1;
    args.y = x;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "overlaps");
    args.y = q;
    args.modulation_scale = some;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.modulation_scale");
    norma_plan_destroy(plan);

    desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.residual = NORMA_RESIDUAL_BEFORE;
    desc.y_dtype = NORMA_BF16;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args = (norma_args){.struct_size = sizeof args, .x = x, .y = narrow, .residual = r};
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.sum");
    args.sum = sum;
    check_success(norma_run(plan, &args));
    args.residual_gate = some;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.residual_gate");
    norma_plan_destroy(plan);

    desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.residual = NORMA_RESIDUAL_BEFORE;
    desc.residual_gate = NORMA_MODULATION_PER_SAMPLE;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args = (norma_args){.struct_size = sizeof args, .x = x, .y = y, .residual = r, .sum = sum};
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.residual_gate");
    args.y = NULL;
    args.residual_gate = some;
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.y");
    norma_plan_destroy(plan);

    desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.gate = NORMA_GATE_AFTER;
    check_success(norma_plan_create(&plan, NULL, &desc));
    args = (norma_args){.struct_size = sizeof args, .x = x, .y = y};
    check_refused(norma_run(plan, &args), NORMA_INVALID_ARGUMENT, "args.gate");
    norma_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modulation),
        cmocka_unit_test(modulation_of_samples),
        cmocka_unit_test(gates_of_residuals),
        cmocka_unit_test(gates),
        cmocka_unit_test(other_types),
        cmocka_unit_test(integers_out),
        cmocka_unit_test(integers_after_others),
        cmocka_unit_test(integers_in),
        cmocka_unit_test(saturation_and_ties),
        cmocka_unit_test(statistics_only),
        cmocka_unit_test(adain),
        cmocka_unit_test(descriptors_that_do_not_fit),
        cmocka_unit_test(tensors_that_do_not_fit),
    };
    return suite_main("fusion", tests, COUNT_OF(tests), argc, argv);
}

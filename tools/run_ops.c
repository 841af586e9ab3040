#include "run_ops.h"

#include <string.h>

#include "run_build.h"

#define EPSILON_OPTIONS (OPTION_BIT(OPTION_EPSILON) | OPTION_BIT(OPTION_EPSILON_MODE))
#define AFFINE_OPTIONS (OPTION_BIT(OPTION_SCALE) | OPTION_BIT(OPTION_BIAS))
#define SAVE_OPTIONS (OPTION_BIT(OPTION_SAVE_RSTD) | OPTION_BIT(OPTION_SAVE_VARIANCE) | OPTION_BIT(OPTION_SAVE_DIVISOR))
/* Of norms that take a mean, */
#define MEAN_OPTIONS (OPTION_BIT(OPTION_SAVE_MEAN) | OPTION_BIT(OPTION_UNBIASED) | OPTION_BIT(OPTION_INPUT_ZERO_POINT))
/* that have a scale, */
#define MODULATION_OPTIONS                                                                                                     \
    (OPTION_BIT(OPTION_MODULATION_SCALE) | OPTION_BIT(OPTION_MODULATION_SHIFT) | OPTION_BIT(OPTION_MODULATION_PLAIN))
/* that stand where residuals are streams, */
#define STREAM_OPTIONS (OPTION_BIT(OPTION_RESIDUAL_GATE) | OPTION_BIT(OPTION_RESIDUAL_BIAS))
/* and whose reduced sets may be rows. */
#define ROW_OPTIONS (OPTION_BIT(OPTION_OUTPUT_SCALE_OUT) | OPTION_BIT(OPTION_OUTPUT_ZERO_POINT_OUT))
#define RUNNING_OPTIONS                                                                                                        \
    (OPTION_BIT(OPTION_MEAN) | OPTION_BIT(OPTION_VARIANCE) | OPTION_BIT(OPTION_TRAIN) | OPTION_BIT(OPTION_MOMENTUM) |          \
     OPTION_BIT(OPTION_MOMENTUM_MODE) | OPTION_BIT(OPTION_RUNNING_VARIANCE) | OPTION_BIT(OPTION_RUNNING_MEAN_OUT) |            \
     OPTION_BIT(OPTION_RUNNING_VARIANCE_OUT))
#define RUNNING_DEFAULTS [OPTION_MOMENTUM] = "0.9", [OPTION_MOMENTUM_MODE] = "running", [OPTION_RUNNING_VARIANCE] = "biased"

static const run_op ops[] = {
    {
        .name = "layer_norm",
        .summary = "layer norm over the axes from K to the last (ONNX LayerNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count; see --unbiased). scale and bias have the "
                   "shape of the normalized axes.",
        .example = "layer_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "layer_norm --input x.npy --output y.npy --axis 1 --save-mean m.npy --save-rstd r.npy\n"
                   "layer_norm --input x.npy --output y.npy --modulation-scale s.npy --modulation-shift t.npy",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_AXIS) | EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS | MODULATION_OPTIONS |
                 STREAM_OPTIONS | ROW_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_layer_norm,
    },
    {
        .name = "rms_norm",
        .summary = "RMS norm over the axes from K to the last (ONNX RMSNormalization)",
        .formula = "y = x / sqrt(v + E) * scale\n"
                   "v is the mean of the squares. scale has the shape of the normalized axes.",
        .example = "rms_norm --input x.npy --output y.npy --scale g.npy\n"
                   "rms_norm --input x.npy --output y.npy --scale g.npy --epsilon 1e-6 --rms-mode one-plus-scale\n"
                   "rms_norm --input x.npy --output y.npy --scale g.npy --output-dtype s8 --output-scale-out q.npy",
        .takes = OPTION_BIT(OPTION_SCALE) | OPTION_BIT(OPTION_AXIS) | EPSILON_OPTIONS | OPTION_BIT(OPTION_RMS_MODE) |
                 SAVE_OPTIONS | MODULATION_OPTIONS | STREAM_OPTIONS | ROW_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1",
                     [OPTION_EPSILON] = "1e-5",
                     [OPTION_EPSILON_MODE] = "inside",
                     [OPTION_RMS_MODE] = "scale-then-round"},
        .build = run_build_rms_norm,
    },
    {
        .name = "lp_norm",
        .summary = "division by the Lp norm along axis K (ONNX LpNormalization)",
        .formula = "y = x / ||x||_p\n"
                   "v is the sum of the squares; with p = 1 the sum of the magnitudes, and no root is taken of it. A "
                   "zero norm gives 0.",
        .example = "lp_norm --input x.npy --output y.npy --axis 1 --p 1\n"
                   "lp_norm --input x.npy --output y.npy --epsilon 1e-12",
        .takes = OPTION_BIT(OPTION_AXIS) | OPTION_BIT(OPTION_P) | EPSILON_OPTIONS | SAVE_OPTIONS | ROW_OPTIONS,
        .defaults = {[OPTION_AXIS] = "-1",
                     [OPTION_P] = "2",
                     [OPTION_EPSILON] = "no epsilon",
                     [OPTION_EPSILON_MODE] = "floor with --epsilon, none without"},
        .build = run_build_lp_norm,
    },
    {
        .name = "channel_norm",
        .summary = "layer norm over the channels alone (LayerNorm2d)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "for each batch item and position; v is the variance (division by the count; see "
                   "--unbiased). The input has 2 or more dimensions, the first being the batch. scale and bias have one "
                   "element per channel.",
        .example = "channel_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "channel_norm --input x.npy --output y.npy --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS |
                 MODULATION_OPTIONS | ROW_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_channel_norm,
    },
    {
        .name = "batch_norm",
        .summary = "each channel over batch and space (ONNX BatchNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "mean and v are --mean and --variance; with --train those of the input (see --unbiased). The input "
                   "has 2 or more dimensions, the first being the batch. scale, bias, mean and variance have one element "
                   "per channel.",
        .example = "batch_norm --input x.npy --output y.npy --mean m.npy --variance v.npy --scale g.npy --bias b.npy\n"
                   "batch_norm --input x.npy --output y.npy --train --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS |
                 MODULATION_OPTIONS | RUNNING_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside", RUNNING_DEFAULTS},
        .build = run_build_batch_norm,
    },
    {
        .name = "instance_norm",
        .summary = "each channel of each batch item over space (ONNX InstanceNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count; see --unbiased); with --mean and --variance, "
                   "but without --train, these are mean and v. The input has 2 or more dimensions, the first being the "
                   "batch. scale, bias, mean and variance have one element per channel.",
        .example = "instance_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "instance_norm --input x.npy --output y.npy --layout nhwc\n"
                   "instance_norm --input content.npy --output y.npy --style style.npy --unbiased",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS |
                 MODULATION_OPTIONS | RUNNING_OPTIONS | OPTION_BIT(OPTION_STYLE),
        .defaults = {[OPTION_LAYOUT] = "nchw", [OPTION_EPSILON] = "1e-5", [OPTION_EPSILON_MODE] = "inside", RUNNING_DEFAULTS},
        .build = run_build_instance_norm,
    },
    {
        .name = "group_norm",
        .summary = "each group of channels of each batch item, over them and space (ONNX GroupNormalization)",
        .formula = "y = (x - mean) / sqrt(v + E) * scale + bias\n"
                   "v is the variance (division by the count; see --unbiased). The input has 2 or more "
                   "dimensions, the first being the batch. scale and bias have one element per channel, or with --affine "
                   "group per group; saved statistics have the shape (batch, groups).",
        .example = "group_norm --input x.npy --output y.npy --groups 32 --scale g.npy --bias b.npy\n"
                   "group_norm --input x.npy --output y.npy --groups 8 --layout nhwc",
        .takes = AFFINE_OPTIONS | OPTION_BIT(OPTION_LAYOUT) | OPTION_BIT(OPTION_GROUPS) | OPTION_BIT(OPTION_AFFINE) |
                 EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS | MODULATION_OPTIONS,
        .defaults = {[OPTION_LAYOUT] = "nchw",
                     [OPTION_AFFINE] = "channel",
                     [OPTION_EPSILON] = "1e-5",
                     [OPTION_EPSILON_MODE] = "inside"},
        .build = run_build_group_norm,
    },
    {
        .name = "mvn",
        .summary = "mean-variance normalization over any axes (ONNX MeanVarianceNormalization)",
        .formula = "y = (x - mean) / (sqrt(v) + E)\n"
                   "v is the variance (division by the count; see --unbiased).",
        .example = "mvn --input x.npy --output y.npy\n"
                   "mvn --input x.npy --output y.npy --axes -1,-2 --epsilon 1e-5 --epsilon-mode inside",
        .takes = OPTION_BIT(OPTION_AXES) | EPSILON_OPTIONS | MEAN_OPTIONS | SAVE_OPTIONS | ROW_OPTIONS,
        .defaults = {[OPTION_AXES] = "0,2,3", [OPTION_EPSILON] = "1e-9", [OPTION_EPSILON_MODE] = "outside"},
        .build = run_build_mvn,
    },
};

uint64_t run_common_options(void)
{
    return OPTION_BIT(OPTION_INPUT) | OPTION_BIT(OPTION_OUTPUT) | OPTION_BIT(OPTION_ACTIVATION) | OPTION_BIT(OPTION_ALPHA) |
           OPTION_BIT(OPTION_BETA) | OPTION_BIT(OPTION_RESIDUAL) | OPTION_BIT(OPTION_RESIDUAL_AT) |
           OPTION_BIT(OPTION_RESIDUAL_OUT) | OPTION_BIT(OPTION_RESIDUAL_DTYPE) | OPTION_BIT(OPTION_GATE) |
           OPTION_BIT(OPTION_GATE_AT) | OPTION_BIT(OPTION_GATE_ACTIVATION) | OPTION_BIT(OPTION_BACKWARD) |
           OPTION_BIT(OPTION_GRAD_OUTPUT) | OPTION_BIT(OPTION_GRAD_INPUT) | OPTION_BIT(OPTION_GRAD_RESIDUAL) |
           OPTION_BIT(OPTION_DTYPE) | OPTION_BIT(OPTION_INPUT_SCALE) | OPTION_BIT(OPTION_OUTPUT_DTYPE) |
           OPTION_BIT(OPTION_OUTPUT_SCALE) | OPTION_BIT(OPTION_OUTPUT_ZERO_POINT) | OPTION_BIT(OPTION_ISA) |
           OPTION_BIT(OPTION_THREADS) | OPTION_BIT(OPTION_TIME) | OPTION_BIT(OPTION_VERBOSE) | OPTION_BIT(OPTION_HELP);
}

uint64_t run_op_options(const run_op *op)
{
    uint64_t options = op->takes | run_common_options();
    options |= op->takes & OPTION_BIT(OPTION_SCALE) ? OPTION_BIT(OPTION_GRAD_SCALE) : 0;
    options |= op->takes & OPTION_BIT(OPTION_BIAS) ? OPTION_BIT(OPTION_GRAD_BIAS) : 0;
    options |= op->takes & OPTION_BIT(OPTION_MODULATION_SCALE) ? OPTION_BIT(OPTION_GRAD_MODULATION_SCALE) : 0;
    options |= op->takes & OPTION_BIT(OPTION_MODULATION_SHIFT) ? OPTION_BIT(OPTION_GRAD_MODULATION_SHIFT) : 0;
    return options;
}

const run_op *run_op_at(int index)
{
    return index >= 0 && (size_t)index < sizeof ops / sizeof ops[0] ? &ops[index] : NULL;
}

const run_op *run_op_find(const char *name)
{
    for (int i = 0; run_op_at(i); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

/* What an option is nothing without. (To the way back scale, bias, modulation and activation matter without an output, too.) */
static const struct {
    run_option option, needs;
} companions[] = {
    {OPTION_SCALE, OPTION_OUTPUT},
    {OPTION_BIAS, OPTION_OUTPUT},
    {OPTION_STYLE, OPTION_OUTPUT},
    {OPTION_MODULATION_SCALE, OPTION_OUTPUT},
    {OPTION_MODULATION_SHIFT, OPTION_OUTPUT},
    {OPTION_MODULATION_PLAIN, OPTION_MODULATION_SCALE},
    {OPTION_ACTIVATION, OPTION_OUTPUT},
    {OPTION_RESIDUAL_AT, OPTION_RESIDUAL},
    {OPTION_RESIDUAL_DTYPE, OPTION_RESIDUAL},
    {OPTION_RESIDUAL_GATE, OPTION_RESIDUAL},
    {OPTION_RESIDUAL_BIAS, OPTION_RESIDUAL},
    {OPTION_GATE_AT, OPTION_GATE},
    {OPTION_GATE_ACTIVATION, OPTION_GATE},
    {OPTION_OUTPUT_DTYPE, OPTION_OUTPUT},
    {OPTION_OUTPUT_SCALE, OPTION_OUTPUT_DTYPE},
    {OPTION_OUTPUT_ZERO_POINT, OPTION_OUTPUT_SCALE},
    {OPTION_OUTPUT_SCALE_OUT, OPTION_OUTPUT_DTYPE},
    {OPTION_OUTPUT_ZERO_POINT_OUT, OPTION_OUTPUT_SCALE_OUT},
    {OPTION_GRAD_RESIDUAL, OPTION_RESIDUAL},
    {OPTION_GRAD_MODULATION_SCALE, OPTION_MODULATION_SCALE},
    {OPTION_GRAD_MODULATION_SHIFT, OPTION_MODULATION_SHIFT},
};

static const struct {
    run_option option, other;
    const char *reason;
} exclusions[] = {
    {OPTION_SAVE_RSTD, OPTION_SAVE_VARIANCE, "a run saves one of them"},
    {OPTION_SAVE_RSTD, OPTION_SAVE_DIVISOR, "a run saves one of them"},
    {OPTION_SAVE_VARIANCE, OPTION_SAVE_DIVISOR, "a run saves one of them"},
    {OPTION_OUTPUT_SCALE, OPTION_OUTPUT_SCALE_OUT, "the scale is either given or found"},
    {OPTION_STYLE, OPTION_MODULATION_SCALE, "the style's statistics are the modulation"},
    {OPTION_STYLE, OPTION_MODULATION_SHIFT, "the style's statistics are the modulation"},
    {OPTION_STYLE, OPTION_MEAN, "a style is for the input's own statistics"},
    {OPTION_BACKWARD, OPTION_STYLE, "there is no way back to a style"},
    {OPTION_BACKWARD, OPTION_GATE, "there is no way back through gates"},
    {OPTION_BACKWARD, OPTION_RESIDUAL_GATE, "there is no way back through gates"},
};

/* What --backward needs, and what needs it. */
static bool check_backward(const run_op *op, const run_options *options, tool_failure *failure)
{
    const run_option gradients[] = {OPTION_GRAD_INPUT,
                                    OPTION_GRAD_SCALE,
                                    OPTION_GRAD_BIAS,
                                    OPTION_GRAD_RESIDUAL,
                                    OPTION_GRAD_MODULATION_SCALE,
                                    OPTION_GRAD_MODULATION_SHIFT,
                                    OPTION_GRAD_OUTPUT};
    enum { COUNT = sizeof gradients / sizeof gradients[0] };
    bool wanted = false;
    for (int i = 0; i < COUNT; i++) {
        if (options->text[gradients[i]] && !options->text[OPTION_BACKWARD]) {
            return fail(failure, EXIT_USER, "--%s goes with --backward", run_option_name(gradients[i]));
        }
        wanted = wanted || (i < COUNT - 1 && options->text[gradients[i]]);
    }
    if (options->text[OPTION_BACKWARD] && (!options->text[OPTION_GRAD_OUTPUT] || !wanted)) {
        return fail(failure, EXIT_USER, "--backward needs --grad-output FILE and a gradient to write: --grad-input FILE%s",
                    op->takes & OPTION_BIT(OPTION_SCALE) ? ", --grad-scale FILE or another" : "");
    }
    return true;
}

/* What the way back takes though no output is written. */
static bool goes_back(run_option option)
{
    return option == OPTION_SCALE || option == OPTION_BIAS || option == OPTION_ACTIVATION ||
           option == OPTION_MODULATION_SCALE || option == OPTION_MODULATION_SHIFT;
}

static bool check_companions(const run_op *op, const run_options *options, tool_failure *failure)
{
    const bool statistics = options->text[OPTION_SAVE_MEAN] || options->text[OPTION_SAVE_RSTD] ||
                            options->text[OPTION_SAVE_VARIANCE] || options->text[OPTION_SAVE_DIVISOR];
    const bool backward = options->text[OPTION_BACKWARD];
    const bool running = options->text[OPTION_RUNNING_MEAN_OUT] && !options->text[OPTION_TIME]; // which are updated but once
    if (!options->text[OPTION_INPUT]) {
        return fail(failure, EXIT_USER, "%s needs --input FILE", op->name);
    }
    if (!check_backward(op, options, failure)) {
        return false;
    }
    if (!options->text[OPTION_OUTPUT] && !statistics && !running && !backward) {
        return fail(failure, EXIT_USER, "%s needs --output FILE, or a file to save statistics in", op->name);
    }
    for (size_t i = 0; i < sizeof companions / sizeof companions[0]; i++) {
        const run_option option = companions[i].option, needs = companions[i].needs;
        if (options->text[option] && !options->text[needs] && !(backward && goes_back(option))) {
            return fail(failure, EXIT_USER, "--%s needs --%s %s", run_option_name(option), run_option_name(needs),
                        run_option_metavar(needs));
        }
    }
    return true;
}

static bool check_exclusions(const run_options *options, tool_failure *failure)
{
    for (size_t i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
        if (options->text[exclusions[i].option] && options->text[exclusions[i].other]) {
            return fail(failure, EXIT_USER, "--%s and --%s exclude each other: %s", run_option_name(exclusions[i].option),
                        run_option_name(exclusions[i].other), exclusions[i].reason);
        }
    }
    return true;
}

bool run_op_check_options(const run_op *op, const run_options *options, tool_failure *failure)
{
    for (int k = 0; k < OPTION_COUNT; k++) {
        if (options->text[k] && !(run_op_options(op) & OPTION_BIT(k))) {
            return fail(failure, EXIT_USER, "--%s does not apply to %s (see norma run %s --help)",
                        run_option_name((run_option)k), op->name, op->name);
        }
    }
    return check_companions(op, options, failure) && check_exclusions(options, failure);
}

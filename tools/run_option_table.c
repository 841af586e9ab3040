#include "run_option_table.h"

#include <limits.h>
#include <stddef.h>

#define ACTIVATION_WORDS "none|relu|leaky-relu|clip|silu|gelu|gelu-tanh|sigmoid|tanh|hard-swish|hard-sigmoid|mish|elu"

static const option_word affines[] = {{"channel", 0}, {"group", 1}, {NULL, 0}};
static const option_word layouts[] = {
    {"nchw", NORMA_NCHW}, {"nhwc", NORMA_NHWC}, {"nchw8c", NORMA_NCHW8C}, {"nchw16c", NORMA_NCHW16C}, {NULL, 0}};

static const option_word epsilon_modes[] = {{"inside", NORMA_EPSILON_INSIDE},
                                            {"outside", NORMA_EPSILON_OUTSIDE},
                                            {"floor", NORMA_EPSILON_FLOOR},
                                            {"none", NORMA_EPSILON_NONE},
                                            {NULL, 0}};

static const option_word rms_modes[] = {{"scale-then-round", NORMA_RMS_SCALE_THEN_ROUND},
                                        {"round-then-scale", NORMA_RMS_ROUND_THEN_SCALE},
                                        {"one-plus-scale", NORMA_RMS_ONE_PLUS_SCALE},
                                        {NULL, 0}};

static const option_word momentum_modes[] = {
    {"batch", NORMA_MOMENTUM_OF_BATCH}, {"running", NORMA_MOMENTUM_OF_RUNNING}, {NULL, 0}};

/* Values of norma_desc.running_unbiased. */
static const option_word running_variances[] = {{"biased", 0}, {"unbiased", 1}, {NULL, 0}};

static const option_word activations[] = {{"none", NORMA_IDENTITY},
                                          {"relu", NORMA_RELU},
                                          {"leaky-relu", NORMA_LEAKY_RELU},
                                          {"clip", NORMA_CLIP},
                                          {"silu", NORMA_SILU},
                                          {"gelu", NORMA_GELU},
                                          {"gelu-tanh", NORMA_GELU_TANH},
                                          {"sigmoid", NORMA_SIGMOID},
                                          {"tanh", NORMA_TANH},
                                          {"hard-swish", NORMA_HARD_SWISH},
                                          {"hard-sigmoid", NORMA_HARD_SIGMOID},
                                          {"mish", NORMA_MISH},
                                          {"elu", NORMA_ELU},
                                          {NULL, 0}};

static const option_word residuals[] = {{"before", NORMA_RESIDUAL_BEFORE}, {"after", NORMA_RESIDUAL_AFTER}, {NULL, 0}};

static const option_word gates[] = {{"before", NORMA_GATE_BEFORE}, {"after", NORMA_GATE_AFTER}, {NULL, 0}};

static const option_word dtypes[] = {{"f32", NORMA_F32}, {"f64", NORMA_F64}, {"bf16", NORMA_BF16},
                                     {"f16", NORMA_F16}, {"s8", NORMA_S8},   {"u8", NORMA_U8},
                                     {NULL, 0}};

static const option_word float_dtypes[] = {
    {"f32", NORMA_F32}, {"f64", NORMA_F64}, {"bf16", NORMA_BF16}, {"f16", NORMA_F16}, {NULL, 0}};

static const option_word isas[] = {{"generic", NORMA_ISA_GENERIC}, {"avx2", NORMA_ISA_AVX2},
                                   {"avx512", NORMA_ISA_AVX512},   {"avx512_bf16", NORMA_ISA_AVX512_BF16},
                                   {"neon", NORMA_ISA_NEON},       {NULL, 0}};

const option_row option_rows[OPTION_COUNT] = {
    [OPTION_INPUT] = {"input", KIND_FILE, "FILE", "The array to normalize. Needed.", NULL, 0, 0},
    [OPTION_OUTPUT] =
        {"output", KIND_FILE, "FILE",
         "Where the result goes, in the input's shape and the type of --output-dtype. Needed, unless statistics are saved or there is --backward.",
         NULL, 0, 0},
    [OPTION_SCALE] = {"scale", KIND_FILE, "FILE", "Multiplies what was normalized (gamma). Without it, 1.", NULL, 0, 0},
    [OPTION_BIAS] = {"bias", KIND_FILE, "FILE", "Is added last (beta). Without it, 0.", NULL, 0, 0},
    [OPTION_MEAN] =
        {"mean", KIND_FILE, "FILE",
         "Given means, one per channel: those that a model's training has left. batch_norm needs them unless --train.", NULL, 0,
         0},
    [OPTION_VARIANCE] = {"variance", KIND_FILE, "FILE", "Given variances, likewise. 0 or more.", NULL, 0, 0},
    [OPTION_STYLE] =
        {"style", KIND_FILE, "FILE",
         "An array of the input's batch and channels, and any spatial extents, whose statistics the output takes on "
         "(AdaIN): y = (x - mean) / divisor * divisor of style + mean of style.",
         NULL, 0, 0},
    [OPTION_AXIS] = {"axis", KIND_INTEGER, "K",
                     "The axis to normalize over (layer_norm and rms_norm: and all that follow it); -1 is the last.", NULL,
                     INT_MIN, INT_MAX},
    [OPTION_AXES] = {"axes", KIND_AXES, "K,K,...",
                     "The axes to normalize over, in any order, with commas between them; -1 is the last.", NULL, 0, 0},
    [OPTION_P] = {"p", KIND_INTEGER, "1|2", "Which norm: 1, the sum of magnitudes; 2, the root of the sum of squares.", NULL, 1,
                  2},
    [OPTION_LAYOUT] = {"layout", KIND_WORD, "nchw|nhwc|nchw8c|nchw16c",
                       "Where the channels are: nchw, the second axis; nhwc, the last; nchw8c and nchw16c, the second axis in "
                       "blocks of 8 or 16, which are the last (not for channel_norm). There may be any number of spatial "
                       "axes, none included.",
                       layouts, 0, 0},
    [OPTION_GROUPS] = {"groups", KIND_INTEGER, "G",
                       "How many groups the channels are split into; divides their number. Needed.", NULL, 1, INT_MAX},
    [OPTION_AFFINE] = {"affine", KIND_WORD, "channel|group",
                       "What scale and bias have one element for: each channel, or each group (ONNX opset 18).", affines, 0, 0},
    [OPTION_TRAIN] =
        {"train", KIND_FLAG, "",
         "Normalize with the statistics of the input itself. --mean and --variance are then what the running ones were "
         "before, and go updated to --running-mean-out and --running-variance-out, which they need; so do --momentum, "
         "--momentum-mode and --running-variance.",
         NULL, 0, 0},
    [OPTION_MOMENTUM] = {"momentum", KIND_SHARE, "M", "Weighs running statistics against those of the input. 0 to 1.", NULL, 0,
                         0},
    [OPTION_MOMENTUM_MODE] = {"momentum-mode", KIND_WORD, "batch|running",
                              "What M weighs: running, the running statistics, as in ONNX; batch, those of the input, as in "
                              "PyTorch.",
                              momentum_modes, 0, 0},
    [OPTION_RUNNING_VARIANCE] =
        {"running-variance", KIND_WORD, "biased|unbiased",
         "Which variance of the input the running one takes in: divided by the count, as in ONNX, or by "
         "one less, as in PyTorch.",
         running_variances, 0, 0},
    [OPTION_RUNNING_MEAN_OUT] = {"running-mean-out", KIND_FILE, "FILE", "Where the updated running means go.", NULL, 0, 0},
    [OPTION_RUNNING_VARIANCE_OUT] = {"running-variance-out", KIND_FILE, "FILE", "Where the updated running variances go.", NULL,
                                     0, 0},
    [OPTION_EPSILON] = {"epsilon", KIND_NOT_NEGATIVE, "E", "Guards the division, see --epsilon-mode. A number, 0 or more.",
                        NULL, 0, 0},
    [OPTION_EPSILON_MODE] = {"epsilon-mode", KIND_WORD, "inside|outside|floor|none",
                             "The divisor: inside, sqrt(v + E); outside, sqrt(v) + E; floor, max(sqrt(v), E); none, sqrt(v). "
                             "Where it comes out as zero, the normalized value is 0.",
                             epsilon_modes, 0, 0},
    [OPTION_RMS_MODE] = {"rms-mode", KIND_WORD, "scale-then-round|round-then-scale|one-plus-scale",
                         "scale-then-round: round(x / rms * scale), as PyTorch does; round-then-scale: round(round(x / rms) * "
                         "scale), as Hugging Face's Llama does; one-plus-scale: round(x / rms * (1 + scale)), as Gemma does. "
                         "The roundings are to the computing type.",
                         rms_modes, 0, 0},
    [OPTION_UNBIASED] = {"unbiased", KIND_FLAG, "",
                         "Divide variances by the count less one, as torch.var and AdaIN do, not by the count.", NULL, 0, 0},
    [OPTION_SAVE_MEAN] =
        {"save-mean", KIND_FILE, "FILE",
         "Where the means go: the input's shape with 1 for each normalized axis (group_norm: batch and groups). Not "
         "for statistics that are given.",
         NULL, 0, 0},
    [OPTION_SAVE_RSTD] = {"save-rstd", KIND_FILE, "FILE", "Where 1 / divisor goes, in the same shape.", NULL, 0, 0},
    [OPTION_SAVE_VARIANCE] = {"save-variance", KIND_FILE, "FILE",
                              "Where the v of --epsilon-mode goes, in the same shape. Not together with --save-rstd.", NULL, 0,
                              0},
    [OPTION_SAVE_DIVISOR] = {"save-divisor", KIND_FILE, "FILE",
                             "Where what divides goes, in the same shape. Together with neither of these two.", NULL, 0, 0},
    [OPTION_MODULATION_SCALE] =
        {"modulation-scale", KIND_FILE, "FILE",
         "Scaled and shifted, v becomes v * (1 + modulation scale) + modulation shift (AdaLN). An array for each sample (the "
         "shape of scale after the batch's extent: [n, c], say), or of the input's shape.",
         NULL, 0, 0},
    [OPTION_MODULATION_SHIFT] = {"modulation-shift", KIND_FILE, "FILE", "Likewise. Each of the two may be absent.", NULL, 0, 0},
    [OPTION_MODULATION_PLAIN] = {"modulation-plain", KIND_FLAG, "",
                                 "Modulate by v * modulation scale + modulation shift, without the 1 +.", NULL, 0, 0},
    [OPTION_ACTIVATION] = {"activation", KIND_WORD, ACTIVATION_WORDS,
                           "What y goes through at last, in the same pass. gelu is by erf. Without it, nothing.", activations,
                           0, 0},
    [OPTION_ALPHA] = {"alpha", KIND_NUMBER, "A",
                      "The slope of leaky-relu (0.01) and elu (1); the least value of clip (0); hard-swish and hard-sigmoid "
                      "have min(max(A y + B, 0), 1) in them (A 1/6). Of clip, A and B may be -inf and inf.",
                      NULL, 0, 0},
    [OPTION_BETA] = {"beta", KIND_NUMBER, "B", "The largest value of clip (6); B of the hard ones (0.5).", NULL, 0, 0},
    [OPTION_RESIDUAL] = {"residual", KIND_FILE, "FILE", "An array of the input's shape to add, see --residual-at.", NULL, 0, 0},
    [OPTION_RESIDUAL_AT] = {"residual-at", KIND_WORD, "before|after",
                            "Where the residual is added: before, to the input, and the sum (rounded to its type) is what is "
                            "normalized; after, to the normalized, scaled, shifted and modulated values. Without it, before.",
                            residuals, 0, 0},
    [OPTION_RESIDUAL_OUT] = {"residual-out", KIND_FILE, "FILE",
                             "Where the sum of input and residual goes, or the product with --gate-at before.", NULL, 0, 0},
    [OPTION_RESIDUAL_DTYPE] = {"residual-dtype", KIND_WORD, "f32|f64|bf16|f16",
                               "The type of the residual and, where it is added before, of the sum that is normalized. "
                               "With bf16 its file may hold uint16. Without it, that of --dtype (f32 for integers).",
                               float_dtypes, 0, 0},
    [OPTION_RESIDUAL_GATE] = {"residual-gate", KIND_FILE, "FILE",
                              "Multiplies the residual added before: sum = input + gate * residual. An array for each "
                              "sample or of the input's shape, as --modulation-scale.",
                              NULL, 0, 0},
    [OPTION_RESIDUAL_BIAS] = {"residual-bias", KIND_FILE, "FILE",
                              "Is added to the sum of input and residual. An array of scale's shape.", NULL, 0, 0},
    [OPTION_GATE] = {"gate", KIND_FILE, "FILE", "An array of the input's shape to multiply with, see --gate-at.", NULL, 0, 0},
    [OPTION_GATE_AT] = {"gate-at", KIND_WORD, "before|after",
                        "Where the gate multiplies: before, the input, and the product (rounded to its type) is what is "
                        "normalized; after, all that y would be without it. Without it, after.",
                        gates, 0, 0},
    [OPTION_GATE_ACTIVATION] = {"gate-activation", KIND_WORD, ACTIVATION_WORDS,
                                "What the gate goes through first, with its usual alpha and beta. Without it, silu.",
                                activations, 0, 0},
    [OPTION_BACKWARD] = {"backward", KIND_FLAG, "",
                         "Go back as well: from --grad-output to the gradients that are asked for, of which one is needed. "
                         "--output is not. Through no activation but relu and no gates, in one type for all, and "
                         "not for lp_norm with --p 1.",
                         NULL, 0, 0},
    [OPTION_GRAD_OUTPUT] = {"grad-output", KIND_FILE, "FILE",
                            "The gradient of the output, an array of the input's shape. --backward needs it.", NULL, 0, 0},
    [OPTION_GRAD_INPUT] = {"grad-input", KIND_FILE, "FILE",
                           "Where the gradient of the input goes (and of a residual that is added before, which has the same).",
                           NULL, 0, 0},
    [OPTION_GRAD_SCALE] = {"grad-scale", KIND_FILE, "FILE", "Where the gradient of scale goes, in its shape.", NULL, 0, 0},
    [OPTION_GRAD_BIAS] = {"grad-bias", KIND_FILE, "FILE", "Where the gradient of bias goes, in its shape.", NULL, 0, 0},
    [OPTION_GRAD_RESIDUAL] = {"grad-residual", KIND_FILE, "FILE", "Where the gradient of a residual goes that is added after.",
                              NULL, 0, 0},
    [OPTION_GRAD_MODULATION_SCALE] = {"grad-modulation-scale", KIND_FILE, "FILE",
                                      "Where the gradient of the modulation scale goes, in its shape.", NULL, 0, 0},
    [OPTION_GRAD_MODULATION_SHIFT] = {"grad-modulation-shift", KIND_FILE, "FILE",
                                      "Where the gradient of the modulation shift goes, in its shape.", NULL, 0, 0},
    [OPTION_DTYPE] =
        {"dtype", KIND_WORD, "f32|f64|bf16|f16|s8|u8",
         "The type of the input; an input of another type is converted first, but from and to integers. Without it, the file's "
         "type. bf16 lies in .npy files as uint16, which is read as bf16 with this option only. bf16 and f16 are "
         "computed in f32 and rounded once, at the end; scale, bias and statistics beside them are f32.",
         dtypes, 0, 0},
    [OPTION_INPUT_SCALE] = {"input-scale", KIND_POSITIVE, "S",
                            "What an input of int8 or uint8 stands for: S * (x - Z). Needed there.", NULL, 0, 0},
    [OPTION_INPUT_ZERO_POINT] = {"input-zero-point", KIND_INTEGER, "Z", "See --input-scale. Without it, 0.", NULL, INT_MIN,
                                 INT_MAX},
    [OPTION_OUTPUT_DTYPE] =
        {"output-dtype", KIND_WORD, "f32|f64|bf16|f16|s8|u8",
         "The type of the output. Without it, that of --dtype (f32 for integers). s8 and u8 are y / scale, rounded to nearest "
         "even, + zero point, saturated; they need --output-scale or --output-scale-out.",
         dtypes, 0, 0},
    [OPTION_OUTPUT_SCALE] = {"output-scale", KIND_FILE, "FILE",
                             "The scale of an integer output: one number, or an array of the shape that scale has (for each "
                             "channel).",
                             NULL, 0, 0},
    [OPTION_OUTPUT_ZERO_POINT] = {"output-zero-point", KIND_INTEGER, "N", "See --output-dtype. Without it, 0.", NULL, INT_MIN,
                                  INT_MAX},
    [OPTION_OUTPUT_SCALE_OUT] = {"output-scale-out", KIND_FILE, "FILE",
                                 "Find a scale for each normalized row that its numbers just fit, and store these here, in the "
                                 "shape of saved statistics.",
                                 NULL, 0, 0},
    [OPTION_OUTPUT_ZERO_POINT_OUT] = {"output-zero-point-out", KIND_FILE, "FILE",
                                      "Where the zero points found with these go. With u8, which needs it.", NULL, 0, 0},
    [OPTION_ISA] = {"isa", KIND_WORD, "generic|avx2|avx512|avx512_bf16|neon",
                    "The instruction set to use. Without it, the best that this machine runs and NORMA_ISA allows.", isas, 0,
                    0},
    [OPTION_THREADS] = {"threads", KIND_INTEGER, "N",
                        "The most threads to use. Without it, NORMA_NUM_THREADS, else one per core.", NULL, 1, 1024},
    [OPTION_TIME] =
        {"time", KIND_FLAG, "",
         "Run again and again afterwards and print the best time on one line: op, shape, computing type, "
         "instruction set, threads, microseconds for one run, GB/s (each array of the input's size once: input and "
         "output, and residual, sum, gate and modulation where there are such; with --backward the way back alone, with "
         "grad-output and the gradients).",
         NULL, 0, 0},
    [OPTION_VERBOSE] = {"verbose", KIND_FLAG, "", "Print which kernel, blocking and threads were chosen.", NULL, 0, 0},
    [OPTION_HELP] = {"help", KIND_FLAG, "", "Print this text; after an OP, what that op takes.", NULL, 0, 0},
};

const char *run_option_name(run_option option)
{
    return option_rows[option].name;
}

const char *run_option_metavar(run_option option)
{
    return option_rows[option].metavar;
}

const char *run_option_help(run_option option)
{
    return option_rows[option].help;
}

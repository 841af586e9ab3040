#include "run_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct option_word {
    const char *text;
    int value;
} option_word;

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

static const option_word dtypes[] = {
    {"f32", NORMA_F32}, {"f64", NORMA_F64}, {"bf16", NORMA_BF16}, {"f16", NORMA_F16}, {NULL, 0}};

static const option_word isas[] = {{"generic", NORMA_ISA_GENERIC}, {"avx2", NORMA_ISA_AVX2},
                                   {"avx512", NORMA_ISA_AVX512},   {"avx512_bf16", NORMA_ISA_AVX512_BF16},
                                   {"neon", NORMA_ISA_NEON},       {NULL, 0}};

typedef enum option_kind {
    KIND_FLAG,
    KIND_FILE,
    KIND_INTEGER,
    KIND_WORD,
    KIND_AXES,
    KIND_EPSILON,
    KIND_MOMENTUM,
    KIND_NUMBER
} option_kind;

/* What getopt_long() returns for our first option: past every character, and past its 1 for an operand. */
enum { FIRST_CODE = 256 };

typedef struct option_row {
    const char *name;
    option_kind kind;
    const char *metavar;
    const char *help;
    const option_word *words; /* KIND_WORD */
    int least, most;          /* KIND_INTEGER */
} option_row;

static const option_row option_rows[OPTION_COUNT] = {
    [OPTION_INPUT] = {"input", KIND_FILE, "FILE", "The array to normalize. Needed.", NULL, 0, 0},
    [OPTION_OUTPUT] = {"output", KIND_FILE, "FILE",
                       "Where the result goes, in the input's shape and the type of --dtype. Needed unless --backward.", NULL,
                       0, 0},
    [OPTION_SCALE] = {"scale", KIND_FILE, "FILE", "Multiplies what was normalized (gamma). Without it, 1.", NULL, 0, 0},
    [OPTION_BIAS] = {"bias", KIND_FILE, "FILE", "Is added last (beta). Without it, 0.", NULL, 0, 0},
    [OPTION_MEAN] =
        {"mean", KIND_FILE, "FILE",
         "Given means, one per channel: those that a model's training has left. batch_norm needs them unless --train.", NULL, 0,
         0},
    [OPTION_VARIANCE] = {"variance", KIND_FILE, "FILE", "Given variances, likewise. 0 or more.", NULL, 0, 0},
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
    [OPTION_MOMENTUM] = {"momentum", KIND_MOMENTUM, "M", "Weighs running statistics against those of the input. 0 to 1.", NULL,
                         0, 0},
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
    [OPTION_EPSILON] = {"epsilon", KIND_EPSILON, "E", "Guards the division, see --epsilon-mode. A number, 0 or more.", NULL, 0,
                        0},
    [OPTION_EPSILON_MODE] = {"epsilon-mode", KIND_WORD, "inside|outside|floor|none",
                             "The divisor: inside, sqrt(v + E); outside, sqrt(v) + E; floor, max(sqrt(v), E); none, sqrt(v). "
                             "Where it comes out as zero, the normalized value is 0.",
                             epsilon_modes, 0, 0},
    [OPTION_RMS_MODE] = {"rms-mode", KIND_WORD, "scale-then-round|round-then-scale|one-plus-scale",
                         "scale-then-round: round(x / rms * scale), as PyTorch does; round-then-scale: round(round(x / rms) * "
                         "scale), as Hugging Face's Llama does; one-plus-scale: round(x / rms * (1 + scale)), as Gemma does. "
                         "The roundings are to the computing type.",
                         rms_modes, 0, 0},
    [OPTION_SAVE_MEAN] =
        {"save-mean", KIND_FILE, "FILE",
         "Where the means go: the input's shape with 1 for each normalized axis (group_norm: batch and groups). Not "
         "for statistics that are given.",
         NULL, 0, 0},
    [OPTION_SAVE_RSTD] = {"save-rstd", KIND_FILE, "FILE", "Where 1 / divisor goes, in the same shape.", NULL, 0, 0},
    [OPTION_SAVE_VARIANCE] = {"save-variance", KIND_FILE, "FILE",
                              "Where the v of --epsilon-mode goes, in the same shape. Not together with --save-rstd.", NULL, 0,
                              0},
    [OPTION_ACTIVATION] = {"activation", KIND_WORD,
                           "none|relu|leaky-relu|clip|silu|gelu|gelu-tanh|sigmoid|tanh|hard-swish|hard-sigmoid|mish|elu",
                           "What y goes through at last, in the same pass. gelu is by erf. Without it, nothing.", activations,
                           0, 0},
    [OPTION_ALPHA] = {"alpha", KIND_NUMBER, "A",
                      "The slope of leaky-relu (0.01) and elu (1); the least value of clip (0); hard-swish and hard-sigmoid "
                      "have min(max(A y + B, 0), 1) in them (A 1/6).",
                      NULL, 0, 0},
    [OPTION_BETA] = {"beta", KIND_NUMBER, "B", "The largest value of clip (6); B of the hard ones (0.5).", NULL, 0, 0},
    [OPTION_RESIDUAL] = {"residual", KIND_FILE, "FILE", "An array of the input's shape to add, see --residual-at.", NULL, 0, 0},
    [OPTION_RESIDUAL_AT] = {"residual-at", KIND_WORD, "before|after",
                            "Where the residual is added: before, to the input, and the sum (rounded to its type) is what is "
                            "normalized; after, to the normalized, scaled and shifted values. Without it, before.",
                            residuals, 0, 0},
    [OPTION_RESIDUAL_OUT] = {"residual-out", KIND_FILE, "FILE", "Where the sum of input and residual goes.", NULL, 0, 0},
    [OPTION_BACKWARD] = {"backward", KIND_FLAG, "",
                         "Go back as well: from --grad-output to the gradients that are asked for, of which one is needed. "
                         "--output is not. Through no activation but relu, and not for lp_norm with --p 1.",
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
    [OPTION_DTYPE] =
        {"dtype", KIND_WORD, "f32|f64|bf16|f16",
         "The type of input and output; an input of another type is converted first. Without it, the input's type. "
         "bf16 lies in .npy files as uint16, which is read as bf16 with this option only. bf16 and f16 are "
         "computed in f32 and rounded once, at the end; scale, bias and statistics beside them are f32.",
         dtypes, 0, 0},
    [OPTION_ISA] = {"isa", KIND_WORD, "generic|avx2|avx512|avx512_bf16|neon",
                    "The instruction set to use. Without it, the best that this machine runs and NORMA_ISA allows.", isas, 0,
                    0},
    [OPTION_THREADS] = {"threads", KIND_INTEGER, "N",
                        "The most threads to use. Without it, NORMA_NUM_THREADS, else one per core.", NULL, 1, 1024},
    [OPTION_TIME] = {"time", KIND_FLAG, "",
                     "Run again and again afterwards and print the best time on one line: op, shape, computing type, "
                     "instruction set, threads, microseconds for one run, GB/s (input read once, output written once; with "
                     "--backward the way back alone, which reads grad-output as well).",
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

/* Parses an integer at text up to `stop`; returns what follows it, or NULL where there is none or it does not fit. */
static const char *parse_integer(const char *text, char stop, int *value)
{
    char *end;
    if (!strchr("+-0123456789", text[0])) { // strtol() would take leading spaces
        return NULL;
    }
    errno = 0;
    const long number = strtol(text, &end, 10);
    if (end == text || errno || number < INT_MIN || number > INT_MAX || (*end && *end != stop)) {
        return NULL;
    }
    *value = (int)number;
    return end;
}

static bool parse_axes(run_options *options, const char *text, tool_failure *failure)
{
    options->axes_count = 0;
    for (const char *at = text;; at++) {
        int axis;
        at = parse_integer(at, ',', &axis);
        if (!at) {
            return fail(failure, EXIT_USER, "--axes '%s': give integers with commas between them, as in 0,2,3", text);
        }
        if (options->axes_count == NORMA_MAX_RANK) {
            return fail(failure, EXIT_USER, "--axes '%s': give at most %d axes", text, NORMA_MAX_RANK);
        }
        options->axes[options->axes_count++] = axis;
        if (!*at) {
            return true;
        }
    }
}

static bool parse_signed(const char *text, double *number)
{
    char *end = NULL;
    if (strchr("+-.0123456789", text[0])) {
        *number = strtod(text, &end);
    }
    return end && end != text && !*end && isfinite(*number);
}

static bool parse_number(const char *text, double *number)
{
    return parse_signed(text, number) && *number >= 0;
}

static bool parse_word(const option_word *words, const char *text, int *value)
{
    for (; words->text; words++) {
        if (strcmp(words->text, text) == 0) {
            *value = words->value;
            return true;
        }
    }
    return false;
}

static bool parse_value(run_options *options, run_option option, const char *text, tool_failure *failure)
{
    const option_row *row = &option_rows[option];
    int *value = &options->value[option];
    if (options->text[option]) {
        return fail(failure, EXIT_USER, "--%s is given twice", row->name);
    }
    options->text[option] = text;
    switch (row->kind) {
    case KIND_FLAG:
    case KIND_FILE:
        return true;
    case KIND_INTEGER:
        if (parse_integer(text, '\0', value) && *value >= row->least && *value <= row->most) {
            return true;
        }
        return row->least == INT_MIN ? fail(failure, EXIT_USER, "--%s '%s': give an integer", row->name, text)
               : row->most == INT_MAX
                   ? fail(failure, EXIT_USER, "--%s '%s': give an integer, %d or more", row->name, text, row->least)
                   : fail(failure, EXIT_USER, "--%s '%s': give one of %s", row->name, text, row->metavar);
    case KIND_WORD:
        return parse_word(row->words, text, value) ||
               fail(failure, EXIT_USER, "--%s '%s': give one of %s", row->name, text, row->metavar);
    case KIND_AXES:
        return parse_axes(options, text, failure);
    case KIND_EPSILON:
        return parse_number(text, &options->epsilon) ||
               fail(failure, EXIT_USER, "--epsilon '%s': give a number, 0 or more", text);
    case KIND_NUMBER:
        return parse_signed(text, option == OPTION_ALPHA ? &options->alpha : &options->beta) ||
               fail(failure, EXIT_USER, "--%s '%s': give a number", row->name, text);
    case KIND_MOMENTUM:
        return (parse_number(text, &options->momentum) && options->momentum <= 1) ||
               fail(failure, EXIT_USER, "--momentum '%s': give a number from 0 to 1", text);
    }
    return false;
}

/* getopt_long() says only that something is wrong with `argument`, and with which of our options if it knows. */
static bool fail_unknown(const char *argument, int option, tool_failure *failure)
{
    if (option >= 0) {
        return fail(failure, EXIT_USER, "--%s takes no value", run_option_name((run_option)option));
    }
    if (strncmp(argument, "--", 2) != 0) {
        return fail(failure, EXIT_USER, "unknown option '%s' (see norma run --help)", argument);
    }
    const size_t length = strcspn(argument + 2, "=");
    for (int k = 0; k < OPTION_COUNT; k++) {
        if (length > 0 && strncmp(argument + 2, option_rows[k].name, length) == 0) {
            return fail(failure, EXIT_USER, "'%s' is short for more than one option", argument);
        }
    }
    return fail(failure, EXIT_USER, "unknown option '%s' (see norma run --help)", argument);
}

static bool set_op(run_options *options, const char *operand, tool_failure *failure)
{
    if (options->op) {
        return fail(failure, EXIT_USER, "'%s' is one argument too many; the op is '%s'", operand, options->op);
    }
    options->op = operand;
    return true;
}

/* code is what getopt_long() returned; it left the rest in its globals. */
static bool take_argument(run_options *options, int code, char **argv, tool_failure *failure)
{
    if (code == 1) {
        return set_op(options, optarg, failure);
    }
    if (code == 'h') {
        options->text[OPTION_HELP] = "";
        return true;
    }
    if (code == ':') {
        const run_option option = (run_option)(optopt - FIRST_CODE);
        return fail(failure, EXIT_USER, "--%s needs a value: %s", run_option_name(option), run_option_metavar(option));
    }
    if (code == '?') {
        // optopt is an option of ours, or a letter (several may share one argument), or 0 for an unknown word.
        const char letter[] = {'-', (char)optopt, '\0'};
        const bool is_letter = optopt > 0 && optopt < FIRST_CODE;
        return fail_unknown(is_letter ? letter : argv[optind - 1], optopt >= FIRST_CODE ? optopt - FIRST_CODE : -1, failure);
    }
    return parse_value(options, (run_option)(code - FIRST_CODE), optarg ? optarg : "", failure);
}

bool run_options_parse(run_options *options, int argc, char **argv, tool_failure *failure)
{
    struct option table[OPTION_COUNT + 1];
    memset(options, 0, sizeof *options);
    memset(table, 0, sizeof table);
    for (int k = 0; k < OPTION_COUNT; k++) {
        table[k].name = option_rows[k].name;
        table[k].has_arg = option_rows[k].kind == KIND_FLAG ? no_argument : required_argument;
        table[k].val = FIRST_CODE + k;
    }
    opterr = 0;
    optind = 1;
    int code;
    while ((code = getopt_long(argc, argv, "-:h", table, NULL)) != -1) {
        if (!take_argument(options, code, argv, failure)) {
            return false;
        }
    }
    for (; optind < argc; optind++) { // what follows "--"
        if (!set_op(options, argv[optind], failure)) {
            return false;
        }
    }
    return true;
}

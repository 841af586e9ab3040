#include "fold_options.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "option_list.h"

static const listed_option rows[FOLD_OPTION_COUNT] = {
    [FOLD_KIND] = {"kind", "conv|conv_transpose|linear|batch_norm", true,
                   "The layer, and how its weight lies: conv, (out, in / G, kernel...), depthwise with G = in; conv_transpose, "
                   "(in, out / G, kernel...); linear, (out, in); batch_norm, (channels): another batch norm, whose scale is "
                   "the weight and whose shift is the bias; it keeps its mean and variance."},
    [FOLD_WEIGHT] = {"weight", "FILE", true, "The layer's weight."},
    [FOLD_BIAS] = {"bias", "FILE", false, "The layer's bias, one per output channel. Without it, 0."},
    [FOLD_SCALE] = {"scale", "FILE", false, "The norm's scale (gamma), one per channel. Without it, 1."},
    [FOLD_SHIFT] = {"shift", "FILE", false, "The norm's shift (beta). Without it, 0."},
    [FOLD_MEAN] = {"mean", "FILE", true, "The norm's running mean."},
    [FOLD_VARIANCE] = {"variance", "FILE", true, "The norm's running variance, 0 or more."},
    [FOLD_EPSILON] = {"epsilon", "E", false, "Is added to the variance. A number, 0 or more. Default: 1e-5."},
    [FOLD_GROUPS] = {"groups", "G", false, "The groups of a convolution. Default: 1."},
    [FOLD_BN_FIRST] = {"bn-first", "", false,
                       "The norm comes before the layer (conv and linear). Without it, after; nothing may stand between."},
    [FOLD_PADDING] =
        {"padding", "P[,P...]", false,
         "The zeros that a conv adds at its borders, along each axis or all. With --bn-first and more than 0 "
         "the fold is exact only where it pads with other numbers from then on: see --output-padding. Default: 0."},
    [FOLD_DTYPE] = {"dtype", "bf16", false, "A weight or bias in uint16 is bf16."},
    [FOLD_OUTPUT_WEIGHT] = {"output-weight", "FILE", true, "Where the new weight goes, in the weight's shape and type."},
    [FOLD_OUTPUT_BIAS] = {"output-bias", "FILE", true,
                          "Where the new bias goes: one per output channel, in the type of --bias, without it the weight's."},
    [FOLD_OUTPUT_PADDING] =
        {"output-padding", "FILE", false,
         "Where the numbers go that the layer has to pad with instead of zero, one per input channel, f64."},
    [FOLD_HELP] = {"help", "", false, "Print this text."},
};

const char *fold_option_name(fold_option option)
{
    return rows[option].name;
}

static bool parse_kind(fold_options *options, tool_failure *failure)
{
    static const struct {
        const char *name;
        norma_fold_layer layer;
    } kinds[] = {{"conv", NORMA_FOLD_CONV},
                 {"conv_transpose", NORMA_FOLD_CONV_TRANSPOSE},
                 {"linear", NORMA_FOLD_LINEAR},
                 {"batch_norm", NORMA_FOLD_BATCH_NORM}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(options->text[FOLD_KIND], kinds[i].name) == 0) {
            options->layer = kinds[i].layer;
            return true;
        }
    }
    return fail(failure, EXIT_USER, "--kind '%s': give one of %s", options->text[FOLD_KIND], rows[FOLD_KIND].metavar);
}

static bool parse_padding(fold_options *options, tool_failure *failure)
{
    const char *at = options->text[FOLD_PADDING];
    for (;;) {
        long padding;
        if (!parse_whole(at, &at, 0, &padding) || (*at && *at != ',')) {
            return fail(failure, EXIT_USER, "--padding '%s': give integers, 0 or more, with commas between them",
                        options->text[FOLD_PADDING]);
        }
        options->padded = options->padded || padding > 0;
        if (!*at++) {
            return true;
        }
    }
}

static bool parse_numbers(fold_options *options, tool_failure *failure)
{
    const char *groups = options->text[FOLD_GROUPS], *epsilon = options->text[FOLD_EPSILON], *end;
    options->groups = 1;
    options->epsilon = 1e-5;
    if (groups) {
        long value;
        if (!parse_whole(groups, &end, 1, &value) || *end) {
            return fail(failure, EXIT_USER, "--groups '%s': give an integer, 1 or more", groups);
        }
        options->groups = value;
    }
    if (epsilon && !parse_epsilon(epsilon, &options->epsilon)) {
        return fail(failure, EXIT_USER, "--epsilon '%s': give a number, 0 or more", epsilon);
    }
    return true;
}

/* What the options say together. */
static bool settle(fold_options *options, tool_failure *failure)
{
    if (options->text[FOLD_HELP]) {
        return true;
    }
    if (!parse_kind(options, failure) || !parse_numbers(options, failure)) {
        return false;
    }
    if (options->text[FOLD_PADDING] && !parse_padding(options, failure)) {
        return false;
    }
    options->bf16 = options->text[FOLD_DTYPE] != NULL;
    if (options->bf16 && strcmp(options->text[FOLD_DTYPE], "bf16") != 0) {
        return fail(failure, EXIT_USER, "--dtype '%s': give bf16, or leave it away; the files tell other types",
                    options->text[FOLD_DTYPE]);
    }
    const bool pads = options->text[FOLD_BN_FIRST] && options->padded;
    if (options->text[FOLD_PADDING] && options->layer != NORMA_FOLD_CONV) {
        return fail(failure, EXIT_USER, "--padding goes with --kind conv");
    }
    if (pads && !options->text[FOLD_OUTPUT_PADDING]) {
        return fail(failure, EXIT_USER,
                    "a padded convolution after a norm folds exactly only when it pads with other numbers "
                    "than zero: give --output-padding FILE for them");
    }
    if (!pads && options->text[FOLD_OUTPUT_PADDING]) {
        return fail(failure, EXIT_USER, "--output-padding goes with --bn-first and a --padding of more than 0");
    }
    return true;
}

bool fold_options_parse(fold_options *options, int argc, char **argv, tool_failure *failure)
{
    memset(options, 0, sizeof *options);
    return option_list_parse("fold", rows, FOLD_OPTION_COUNT, options->text, argc, argv, failure) && settle(options, failure);
}

void fold_print_help(void)
{
    printf("Usage: norma fold --kind KIND --weight FILE --mean FILE --variance FILE\n"
           "           --output-weight FILE --output-bias FILE [option]...\n\n");
    print_wrapped("Makes one layer of a layer and the batch norm with running statistics before or after it: the same outputs "
                  "up to rounding, for nothing at inference. Sums and products are in double, each result is rounded once. "
                  "What cannot be folded exactly is refused.",
                  0);
    option_list_print(rows, FOLD_OPTION_COUNT);
    printf("\nExamples:\n"
           "    norma fold --kind conv --weight w.npy --bias b.npy --scale g.npy \\\n"
           "        --shift be.npy --mean m.npy --variance v.npy \\\n"
           "        --output-weight w2.npy --output-bias b2.npy\n"
           "    norma fold --kind conv_transpose --groups 2 --weight w.npy ...\n"
           "    norma fold --kind conv --bn-first --padding 1 --output-padding p.npy ...\n"
           "\nFiles:\n");
    print_wrapped("NumPy's .npy, as in norma run. Output files appear complete or not at all; an output may be an input.", 4);
    printf("\nExit status:\n"
           "    0   done\n"
           "    1   the machine failed: out of memory, disk full, a write error\n"
           "    2   the command line or an input file is wrong, or there is no exact fold;\n"
           "        one line on standard error says what, and no output file is written\n");
}

#include "commands.h"

#include <stdio.h>
#include <string.h>

enum { HELP_WIDTH = 79 };

void print_wrapped(const char *text, int indent)
{
    int column = 0;
    for (const char *at = text; *at;) {
        const int length = (int)strcspn(at, " \n");
        if (column > 0 && column + 1 + length > HELP_WIDTH) {
            printf("\n");
            column = 0;
        }
        if (column == 0) {
            printf("%*s%.*s", indent, "", length, at);
            column = indent + length;
        } else {
            printf(" %.*s", length, at);
            column += 1 + length;
        }
        at += length;
        if (*at == '\n') {
            printf("\n");
            column = 0;
        }
        at += *at != '\0';
    }
    printf("\n");
}

static void print_option_head(run_option option)
{
    const char *metavar = run_option_metavar(option);
    printf("    %s--%s%s%s\n", option == OPTION_HELP ? "-h, " : "", run_option_name(option), metavar[0] ? " " : "", metavar);
}

/* The default that all ops taking an option share; NULL when they differ or have none. */
static const char *shared_default(run_option option)
{
    const char *shared = NULL;
    for (int i = 0; run_op_at(i); i++) {
        const char *value = run_op_at(i)->defaults[option];
        if (!(run_op_options(run_op_at(i)) & OPTION_BIT(option))) {
            continue;
        }
        if (!value || (shared && strcmp(shared, value) != 0)) {
            return NULL;
        }
        shared = value;
    }
    return shared;
}

/* For the general help: the ops that take an option, with what it is by default. */
static void print_takers(run_option option)
{
    char line[1024] = "For ";
    const char *shared = shared_default(option);
    const char *separator = "";
    for (int i = 0; run_op_at(i); i++) {
        const run_op *op = run_op_at(i);
        if (run_op_options(op) & OPTION_BIT(option)) {
            const size_t used = strlen(line);
            const char *value = shared ? NULL : op->defaults[option];
            snprintf(line + used, sizeof line - used, "%s%s%s%s%s", separator, op->name, value ? " (default: " : "",
                     value ? value : "", value ? ")" : "");
            separator = ", ";
        }
    }
    const size_t used = strlen(line);
    snprintf(line + used, sizeof line - used, ".%s%s%s", shared ? " Default: " : "", shared ? shared : "", shared ? "." : "");
    print_wrapped(line, 8);
}

static void print_examples(const char *examples)
{
    printf("\nExamples:\n");
    for (const char *at = examples; *at;) {
        const int length = (int)strcspn(at, "\n");
        printf("    norma run %.*s\n", length, at);
        at += length + (at[length] != '\0');
    }
}

static void print_files_and_status(void)
{
    printf("\nFiles:\n");
    print_wrapped(
        "All files are NumPy's .npy: versions 1.0 to 3.0, little-endian f16, f32 or f64, int8 or uint8, or uint16 for bf16, "
        "C order, 1 to 8 dimensions "
        "(numpy.save and numpy.load). Output files appear complete or not at all, and replace what has their name; "
        "an output may be the input.",
        4);
    printf("\nEnvironment:\n");
    print_wrapped(
        "NORMA_ISA=generic|avx2|avx512|avx512_bf16|neon lowers the instruction set; NORMA_NUM_THREADS=N is the default of "
        "--threads; NORMA_VERBOSE=1 prints a line per plan on standard error.",
        4);
    printf("\nExit status:\n"
           "    0   done\n"
           "    1   the machine failed: out of memory, disk full, a write error\n"
           "    2   the command line or an input file is wrong; one line on standard\n"
           "        error says what, and no output file is written\n");
}

static void print_general_help(void)
{
    printf("Usage: norma run OP --input FILE --output FILE [option]...\n"
           "       norma run OP --help\n\n"
           "Normalizes the array in one .npy file into another.\n\n"
           "Ops:\n");
    for (int i = 0; run_op_at(i); i++) {
        printf("    %-14s%s\n", run_op_at(i)->name, run_op_at(i)->summary);
    }
    printf("\nOptions:\n");
    for (int k = 0; k < OPTION_COUNT; k++) {
        print_option_head((run_option)k);
        print_wrapped(run_option_help((run_option)k), 8);
        if (!(run_common_options() & OPTION_BIT(k))) {
            print_takers((run_option)k);
        }
    }
    print_examples("layer_norm --input x.npy --output y.npy --scale g.npy --bias b.npy\n"
                   "rms_norm --input x.npy --output y.npy --threads 1 --time\n"
                   "channel_norm --input image.npy --output y.npy --layout nhwc\n"
                   "layer_norm --input x.npy --scale g.npy --backward --grad-output dy.npy --grad-input dx.npy");
    print_files_and_status();
}

static void print_op_help(const run_op *op)
{
    printf("Usage: norma run %s --input FILE --output FILE [option]...\n\n%s: %s.\n\n", op->name, op->name, op->summary);
    print_wrapped(op->formula, 4);
    printf("\nOptions:\n");
    for (int k = 0; k < OPTION_COUNT; k++) {
        if (run_op_options(op) & OPTION_BIT(k)) {
            print_option_head((run_option)k);
            print_wrapped(run_option_help((run_option)k), 8);
            if (op->defaults[k]) {
                printf("        Default: %s.\n", op->defaults[k]);
            }
        }
    }
    print_examples(op->example);
    print_files_and_status();
}

void run_print_help(const run_op *op)
{
    if (op) {
        print_op_help(op);
    } else {
        print_general_help();
    }
}

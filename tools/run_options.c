#include "run_option_table.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What getopt_long() returns for our first option: past every character, and past its 1 for an operand. */
enum { FIRST_CODE = 256 };

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

/* A number of the kind that an option takes. */
static bool parse_number(option_kind kind, const char *text, double *number)
{
    const char *digits = text + (text[0] == '+' || text[0] == '-');
    const bool infinite = kind == KIND_NUMBER && (strcmp(digits, "inf") == 0 || strcmp(digits, "infinity") == 0);
    char *end = NULL;
    if (infinite || strchr(".0123456789", digits[0])) { // strtod() would take leading spaces, and nan
        *number = strtod(text, &end);
    }
    return end && end != text && !*end && (infinite || isfinite(*number)) && (kind == KIND_NUMBER || *number >= 0) &&
           (kind != KIND_SHARE || *number <= 1) && (kind != KIND_POSITIVE || *number > 0);
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
    case KIND_NOT_NEGATIVE:
    case KIND_POSITIVE:
    case KIND_SHARE:
    case KIND_NUMBER:
        return parse_number(row->kind, text, &options->number[option]) ||
               fail(failure, EXIT_USER, "--%s '%s': give a number%s", row->name, text,
                    row->kind == KIND_NOT_NEGATIVE ? ", 0 or more"
                    : row->kind == KIND_POSITIVE   ? " above 0"
                    : row->kind == KIND_SHARE      ? " from 0 to 1"
                                                   : "");
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

#include "option_list.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

/* What getopt_long() returns for our first option: past every character, and past its 1 for an operand. */
enum { FIRST_CODE = 256, OPTIONS_MAX = 24 };

/* A command line being read. */
typedef struct reading {
    const char *command;
    const listed_option *options;
    int count;
    const char **text;
    tool_failure *failure;
} reading;

bool parse_whole(const char *text, const char **end, long least, long *value)
{
    char *stop;
    if (*text < '0' || *text > '9') { // strtol() would take spaces and signs
        return false;
    }
    errno = 0;
    *value = strtol(text, &stop, 10);
    *end = stop;
    return !errno && *value >= least && *value <= INT_MAX;
}

bool parse_epsilon(const char *text, double *value)
{
    char *stop;
    if (!*text || !strchr(".0123456789", text[0])) { // strtod() would take spaces, signs and words
        return false;
    }
    *value = strtod(text, &stop);
    return stop != text && !*stop && *value >= 0 && !isinf(*value);
}

/* getopt_long() says only that something is wrong; what stands at `argument` says the rest. */
static bool take_argument(const reading *r, int code, const char *argument)
{
    if (code == 1) {
        return fail(r->failure, EXIT_USER, "'%s' is one argument too many (see norma %s --help)", argument, r->command);
    }
    if (code == 'h') {
        r->text[r->count - 1] = "";
        return true;
    }
    if (code == ':') {
        return fail(r->failure, EXIT_USER, "--%s needs a value: %s", r->options[optopt - FIRST_CODE].name,
                    r->options[optopt - FIRST_CODE].metavar);
    }
    if (code == '?') {
        if (optopt >= FIRST_CODE) {
            return fail(r->failure, EXIT_USER, "--%s takes no value", r->options[optopt - FIRST_CODE].name);
        }
        return fail(r->failure, EXIT_USER, "unknown option '%s', or short for more than one (see norma %s --help)", argument,
                    r->command);
    }
    const int k = code - FIRST_CODE;
    if (r->text[k]) {
        return fail(r->failure, EXIT_USER, "--%s is given twice", r->options[k].name);
    }
    r->text[k] = optarg ? optarg : "";
    return true;
}

static bool check_needed(const reading *r)
{
    for (int k = 0; !r->text[r->count - 1] && k < r->count; k++) {
        if (r->options[k].needed && !r->text[k]) {
            return fail(r->failure, EXIT_USER, "--%s %s is needed (see norma %s --help)", r->options[k].name,
                        r->options[k].metavar, r->command);
        }
    }
    return true;
}

bool option_list_parse(const char *command, const listed_option *options, int count, const char **text, int argc, char **argv,
                       tool_failure *failure)
{
    struct option table[OPTIONS_MAX + 1];
    const reading r = {command, options, count, text, failure};
    memset(table, 0, sizeof table);
    for (int k = 0; k < count && k < OPTIONS_MAX; k++) {
        table[k].name = options[k].name;
        table[k].has_arg = options[k].metavar[0] ? required_argument : no_argument;
        table[k].val = FIRST_CODE + k;
        text[k] = NULL;
    }
    opterr = 0;
    optind = 1;
    int code;
    while ((code = getopt_long(argc, argv, "-:h", table, NULL)) != -1) {
        if (!take_argument(&r, code, code == 1 ? optarg : argv[optind - 1])) {
            return false;
        }
    }
    if (optind < argc) { // what follows "--"
        return take_argument(&r, 1, argv[optind]);
    }
    return check_needed(&r);
}

void option_list_print(const listed_option *options, int count)
{
    printf("\nOptions:\n");
    for (int k = 0; k < count; k++) {
        printf("    %s--%s%s%s\n", k == count - 1 ? "-h, " : "", options[k].name, options[k].metavar[0] ? " " : "",
               options[k].metavar);
        print_wrapped(options[k].help, 8);
        if (options[k].needed) {
            printf("        Needed.\n");
        }
    }
}

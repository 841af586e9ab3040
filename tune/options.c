#define _GNU_SOURCE /* getopt_long */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "tune.h"

static const char help[] =
    "Usage: norma-tune [option]...\n"
    "\n"
    "Measures which way of running each kernel is fastest on this machine, and writes that to a tuning file, which the norma\n"
    "library reads from then on. No result changes by a bit; only speed does. Run it once per machine, while it is idle.\n"
    "\n"
    "What to measure:\n"
    "    --quick               the few cases that tell most, briefly: a minute at most\n"
    "    --full                longer, and more ways: better on machines where timings vary\n"
    "    --ops WORDS           only these ops: layer_norm, rms_norm, lp_norm, channel_norm, mvn, batch_norm, instance_norm,\n"
    "                          group_norm (with commas)\n"
    "    --shapes FILE         these cases instead, one per line: layer_norm/f32/rows/512x1024,\n"
    "                          group_norm/f32/nhwc/1x320x64x64 (N x C x H x W in both layouts); # begins a comment\n"
    "    --model NAMES         the cases of these models instead: bert, llama3-8b, resnet50, … (a wrong name lists all)\n"
    "    --threads NS          for programs that run this many threads (with commas); default 1 and one per core\n"
    "    --time-limit SECONDS  in all; default 60 for --quick, 300 otherwise, none for --full\n"
    "    --again               measure what the file knows already, too; otherwise a run goes on where the last one ended\n"
    "\n"
    "The file:\n"
    "    --output FILE         default: NORMA_TUNING if that names a file, else the user's own (--show, --check: the one\n"
    "                          that norma reads)\n"
    "    --dry-run             print what would be measured, and measure nothing\n"
    "    --show                print what the file knows and what it gained\n"
    "    --check               whether the file fits this machine and this build of norma: exit status 1 and the reason if not\n"
    "\n"
    "    -h, --help            print this text\n"
    "    --version             print the version\n"
    "\n"
    "Ctrl-C keeps all that has been measured. Exit status: 0 done; 1 the machine failed (memory, disk), or --check says no;\n"
    "2 the command line or a file it names is wrong; 130 interrupted.\n";

void tune_print_help(void)
{
    fputs(help, stdout);
}

enum { QUICK = 256, FULL, OPS, SHAPES, MODEL, THREADS, TIME_LIMIT, AGAIN, OUTPUT, DRY_RUN, SHOW, CHECK, VERSION };

static const struct option known[] = {
    {"quick", no_argument, NULL, QUICK},
    {"full", no_argument, NULL, FULL},
    {"ops", required_argument, NULL, OPS},
    {"shapes", required_argument, NULL, SHAPES},
    {"model", required_argument, NULL, MODEL},
    {"threads", required_argument, NULL, THREADS},
    {"again", no_argument, NULL, AGAIN},
    {"time-limit", required_argument, NULL, TIME_LIMIT},
    {"dry-run", no_argument, NULL, DRY_RUN},
    {"output", required_argument, NULL, OUTPUT},
    {"show", no_argument, NULL, SHOW},
    {"check", no_argument, NULL, CHECK},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

/* Whether a word is in a list with commas. */
static bool lists(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = words; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, word, length) == 0 && (at[length] == '\0' || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

static int check_ops(const char *words)
{
    for (const char *at = words; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const size_t length = strcspn(at, ",");
        bool found = false;
        for (norma_op op = NORMA_LAYER_NORM; op <= NORMA_GROUP_NORM; op++) {
            found = found || (strlen(norma_op_name(op)) == length && strncmp(at, norma_op_name(op), length) == 0);
        }
        if (!found) {
            return tune_fail(TUNE_MISTAKE, "--ops: '%.*s' is no op (see --help)", (int)(length < 60 ? length : 60), at);
        }
    }
    return TUNE_DONE;
}

static int parse_threads(tune_options *options, const char *text)
{
    for (const char *at = text; at;) {
        char *end;
        errno = 0;
        const long count = strtol(at, &end, 10);
        if (!isdigit((unsigned char)*at) || errno || (*end && *end != ',') || count < 1 || count > NORMA_THREADS_MAX) {
            return tune_fail(TUNE_MISTAKE, "--threads: expected numbers from 1 to %d with commas between, got '%.60s'",
                             NORMA_THREADS_MAX, text);
        }
        if (options->threads_count == TUNE_THREADS_MAX) {
            return tune_fail(TUNE_MISTAKE, "--threads: at most %d numbers", TUNE_THREADS_MAX);
        }
        bool known_already = false;
        for (int i = 0; i < options->threads_count; i++) {
            known_already = known_already || options->threads[i] == (int)count;
        }
        if (!known_already) {
            options->threads[options->threads_count++] = (int)count;
        }
        at = *end ? end + 1 : NULL;
    }
    return TUNE_DONE;
}

static int parse_seconds(double *seconds, const char *text)
{
    char *end;
    *seconds = strtod(text, &end);
    if (!isdigit((unsigned char)*text) || *end || !(*seconds > 0 && *seconds < 1e9)) {
        return tune_fail(TUNE_MISTAKE, "--time-limit: expected a number of seconds above 0, got '%.60s'", text);
    }
    return TUNE_DONE;
}

static int set_path(tune_options *options, const char *path)
{
    if (*path == '\0' || strlen(path) >= sizeof options->path) {
        return tune_fail(TUNE_MISTAKE, "--output: expected a file's name, of at most %d bytes", NORMA_PATH_ROOM - 1);
    }
    strcpy(options->path, path);
    return TUNE_DONE;
}

static int set_task(tune_options *options, tune_task task)
{
    if (options->task != TUNE_MEASURE && options->task != task) {
        return tune_fail(TUNE_MISTAKE, "--dry-run, --show and --check exclude each other");
    }
    options->task = task;
    return TUNE_DONE;
}

static int set_effort(tune_options *options, norma_effort effort)
{
    if (options->effort != NORMA_EFFORT_NORMAL && options->effort != effort) {
        return tune_fail(TUNE_MISTAKE, "--quick and --full exclude each other");
    }
    options->effort = effort;
    return TUNE_DONE;
}

static int apply(tune_options *options, int option, const char *value)
{
    switch (option) {
    case QUICK:
        return set_effort(options, NORMA_EFFORT_QUICK);
    case FULL:
        return set_effort(options, NORMA_EFFORT_FULL);
    case OPS:
        options->ops = value;
        return check_ops(value);
    case SHAPES:
        options->shapes = value;
        return TUNE_DONE;
    case MODEL:
        options->models = value;
        return TUNE_DONE;
    case THREADS:
        options->threads_count = 0;
        return parse_threads(options, value);
    case TIME_LIMIT:
        return parse_seconds(&options->seconds, value);
    case AGAIN:
        options->again = true;
        return TUNE_DONE;
    case OUTPUT:
        return set_path(options, value);
    case DRY_RUN:
        return set_task(options, TUNE_DRY_RUN);
    case SHOW:
        return set_task(options, TUNE_SHOW);
    case CHECK:
        return set_task(options, TUNE_CHECK);
    default:
        options->task = option == VERSION ? TUNE_VERSION : TUNE_HELP;
        return TUNE_DONE;
    }
}

/* What the library would read: the first file that is there. */
static void choose_path_in_force(tune_options *options)
{
    char path[NORMA_PATH_ROOM];
    for (int i = 0; norma_store_place(i, &path); i++) {
        if (access(path, F_OK) == 0) {
            strcpy(options->path, path);
            return;
        }
    }
}

/* Where the file is, when nobody said. */
static int choose_path(tune_options *options)
{
    const char *setting = getenv("NORMA_TUNING");
    const bool asks = options->task == TUNE_SHOW || options->task == TUNE_CHECK;
    if (options->path[0]) {
        return TUNE_DONE;
    }
    if (setting && (strcmp(setting, "off") == 0 || strncmp(setting, "random:", 7) == 0)) {
        if (asks) {
            return tune_fail(TUNE_FAILED, "no tuning file is in force: NORMA_TUNING is '%.60s'", setting);
        }
    } else if (setting && *setting) {
        return strlen(setting) < sizeof options->path ? set_path(options, setting)
                                                      : tune_fail(TUNE_MISTAKE, "NORMA_TUNING: the file's name is too long");
    }
    if (asks) {
        choose_path_in_force(options);
    }
    if (!options->path[0] && !norma_store_user_place(&options->path)) {
        return tune_fail(TUNE_MISTAKE, "no place for a tuning file: HOME is not set; give one with --output");
    }
    return TUNE_DONE;
}

static int fill_in(tune_options *options)
{
    if (options->threads_count == 0) {
        options->threads[options->threads_count++] = 1;
        if (norma_cpu()->cores > 1) {
            options->threads[options->threads_count++] = norma_cpu()->cores;
        }
    }
    if (options->seconds == 0 && options->effort != NORMA_EFFORT_FULL) {
        options->seconds = options->effort == NORMA_EFFORT_QUICK ? 60 : 300;
    }
    options->quick_cases = options->effort == NORMA_EFFORT_QUICK && !options->shapes && !options->models;
    return choose_path(options);
}

int tune_options_parse(tune_options *options, int argc, char **argv)
{
    memset(options, 0, sizeof *options);
    options->effort = NORMA_EFFORT_NORMAL;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", known, NULL)) != -1;) {
        if (option == '?' && optopt > 0 && optopt < QUICK) {
            return tune_fail(TUNE_MISTAKE, "unknown option '-%c' (see norma-tune --help)", optopt);
        }
        if (option == '?' || option == ':') {
            return tune_fail(TUNE_MISTAKE, "%s '%.60s' (see norma-tune --help)",
                             option == ':' ? "a value is missing after"
                             : optopt      ? "no value was expected in"
                                           : "unknown option",
                             argv[optind - 1]);
        }
        const int status = apply(options, option, optarg);
        if (status != TUNE_DONE || options->task == TUNE_HELP || options->task == TUNE_VERSION) {
            return status;
        }
    }
    if (optind < argc) {
        return tune_fail(TUNE_MISTAKE, "'%.60s' is one argument too many (see norma-tune --help)", argv[optind]);
    }
    return fill_in(options);
}

/* ------------------------------------------------------------------------------------------------------------
 * Cases
 * ------------------------------------------------------------------------------------------------------------ */

/* FIFOs and terminals may wait for long, and be interrupted. */
static int add_file(case_set *set, const tune_options *options)
{
    char sentence[CASE_SENTENCE_MAX];
    if (case_set_read(set, options->shapes, sentence)) {
        return TUNE_DONE;
    }
    return tune_stopped() ? TUNE_INTERRUPTED : tune_fail(TUNE_MISTAKE, "--shapes: %s", sentence);
}

static int add_models(case_set *set, const tune_options *options)
{
    char sentence[CASE_SENTENCE_MAX];
    for (const char *at = options->models; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (!case_set_model(set, at, strcspn(at, ","), sentence)) {
            return tune_fail(TUNE_MISTAKE, "--model: %s", sentence);
        }
    }
    return TUNE_DONE;
}

/* Quick ones first: when time runs out, those are there. */
static int add_lists(case_set *set, const tune_options *options)
{
    char sentence[CASE_SENTENCE_MAX];
    for (int round = 0; round < (options->quick_cases ? 1 : 2); round++) {
        for (size_t i = 0; i < case_count(); i++) {
            const case_spec spec = case_at(i);
            if (spec.quick == (round == 0) && !case_set_add(set, &spec, sentence)) {
                return tune_fail(TUNE_FAILED, "%s", sentence);
            }
        }
    }
    return TUNE_DONE;
}

static void keep_ops(case_set *set, const char *ops)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        const bool back = set->specs[i].backward; /* which has nothing to tune */
        if (!back && (!ops || lists(ops, norma_op_name(set->specs[i].op)))) {
            set->specs[kept++] = set->specs[i];
        }
    }
    set->count = kept;
}

int tune_cases(const tune_options *options, case_spec **specs, size_t *count)
{
    case_set set = {NULL, 0, 0};
    int status = options->shapes ? add_file(&set, options) : TUNE_DONE;
    status = status == TUNE_DONE && options->models ? add_models(&set, options) : status;
    if (!options->shapes && !options->models) {
        status = add_lists(&set, options);
    }
    keep_ops(&set, options->ops);
    if (status == TUNE_DONE && set.count == 0) {
        status = tune_fail(TUNE_MISTAKE, "no case is left by these options");
    }
    *specs = set.specs;
    *count = set.count;
    return status;
}

/* The tuning file: what is written is read again, and whatever is wrong with one is said and harms nothing. */
#define _DEFAULT_SOURCE /* mkdtemp, mkfifo, seteuid, usleep */
#include <glob.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cases.h"
#include "support/isa.h"
#include "support/random.h"
#include "support/suite.h"
#include "support/trial.h"

#include "blocking.h"
#include "cpu.h"
#include "plan.h"
#include "tuning/fingerprint.h"
#include "tuning/search.h"
#include "tuning/store.h"

/* ------------------------------------------------------------------------------------------------------------
 * A folder of our own, and files in it
 * ------------------------------------------------------------------------------------------------------------ */

static char folder[64];

static bool make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/norma-tuning-XXXXXX", P_tmpdir);
    return mkdtemp(folder) && chmod(folder, 0755) == 0;
}

static bool remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0;
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "wb");
    check(file != NULL);
    check(fwrite(text, 1, size, file) == size);
    check(fclose(file) == 0);
}

/* ------------------------------------------------------------------------------------------------------------
 * Problems, records, tables
 * ------------------------------------------------------------------------------------------------------------ */

static norma_limits limits(void)
{
    const norma_limits l = {norma_cpu()->isa, 2};
    return l;
}

static norma_problem rows_problem(int64_t rows, int64_t cols)
{
    const int64_t shape[] = {rows, cols};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_problem problem;
    check_success(norma_problem_init(&problem, &desc));
    return problem;
}

/* A record that tells the problem from its default: fewer threads, another distance. */
static norma_record record_of(const norma_problem *problem, const char *name)
{
    norma_record record = {.tuned = true, .effort = NORMA_EFFORT_QUICK, .default_ns = 2000, .tuned_ns = 1500};
    norma_blocking blocking = norma_blocking_default(problem, limits().isa, limits().threads);
    blocking.ahead = 321;
    blocking.threads = 1;
    norma_facts_of(record.fact, problem, limits());
    norma_record_take(&record, problem, &blocking);
    snprintf(record.name, sizeof record.name, "%s", name);
    return record;
}

static norma_table sample_table(void)
{
    norma_table table = {NULL, 0, 0};
    static const int64_t sizes[][2] = {{512, 1024}, {8, 4096}, {128, 768}, {3, 100000}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const norma_problem problem = rows_problem(sizes[i][0], sizes[i][1]);
        const norma_record record = record_of(&problem, "layer_norm/f32/rows/some");
        check(norma_table_add(&table, &record));
    }
    return table;
}

static char *sample_text(size_t *size)
{
    norma_table table = sample_table();
    char *text = norma_text_format(&table, "for tests", size);
    check(text != NULL);
    norma_table_free(&table);
    return text;
}

static norma_tuning_state parse_state(const char *text, size_t size)
{
    norma_table table = {NULL, 0, 0};
    const norma_flaw flaw = norma_text_parse(text, size, &table);
    check(flaw.state == NORMA_TUNING_FILE || (table.count == 0 && table.records == NULL));
    check(flaw.state == NORMA_TUNING_FILE || flaw.sentence[0] != '\0');
    check(strlen(flaw.sentence) < sizeof flaw.sentence && strchr(flaw.sentence, '\n') == NULL);
    norma_table_free(&table);
    return flaw.state;
}

/* The text with its checksum made to fit. */
static size_t seal(char *text, size_t size)
{
    size_t begin = size - 1;
    while (begin > 0 && text[begin - 1] != '\n') {
        begin--;
    }
    char *sum = strstr(text + begin, "checksum ");
    check(sum != NULL);
    sprintf(sum, "checksum %016llx\n", norma_checksum(text, begin));
    return strlen(text);
}

/* The sample with `from` replaced by `to`, sealed again. */
static char *edited(const char *from, const char *to, size_t *size)
{
    char *text = sample_text(size);
    const char *at = strstr(text, from);
    check(at != NULL);
    char *made = suite_alloc(*size + strlen(to) + 64, 1);
    snprintf(made, *size + strlen(to) + 64, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    *size = seal(made, strlen(made));
    free(text);
    return made;
}

/* ------------------------------------------------------------------------------------------------------------
 * What a context makes of a file
 * ------------------------------------------------------------------------------------------------------------ */

static norma_context *context_with(const char *tuning)
{
    const norma_context_options options = {.struct_size = sizeof options, .threads = 2, .tuning = tuning};
    norma_context *context = NULL;
    check_success(norma_context_create(&context, &options));
    return context;
}

static norma_context_info info_of(const norma_context *context)
{
    norma_context_info info = {.struct_size = sizeof info};
    check_success(norma_context_get_info(context, &info));
    return info;
}

/* A context on that file is in that state, says why, and computes what it should. */
static void check_harmless(const char *path, norma_tuning_state expected)
{
    norma_context *context = context_with(path);
    const norma_context_info info = info_of(context);
    suite_case("%s", info.tuning);
    check(info.tuning_state == expected);
    check(strcmp(info.tuning_path, path) == 0);
    check(info.tuning[0] != '\0' && strchr(info.tuning, '\n') == NULL);
    if (expected != NORMA_TUNING_FILE) {
        check(strstr(info.tuning, "built-in") != NULL && info.tuning_records == 0);
    }
    const int64_t shape[] = {512, 1024};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    char line[1024];
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    norma_plan_describe(plan, line, sizeof line);
    check((strstr(line, "tuning built-in") == NULL) == (expected == NORMA_TUNING_FILE));
    float *x = suite_alloc(512 * 1024, sizeof *x), *y = suite_alloc(512 * 1024, sizeof *y);
    x[0] = 1024;
    const norma_args args = {.struct_size = sizeof args, .x = x, .y = y};
    check_success(norma_run(plan, &args)); /* mean 1, variance 1023 */
    check(fabsf(y[0] - 1023 / sqrtf(1023.00001f)) < 1e-4f && fabsf(y[1] + 1 / sqrtf(1023.00001f)) < 1e-6f && y[1024] == 0);
    free(x);
    free(y);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

static void check_text(const char *text, size_t size, norma_tuning_state expected)
{
    char path[128];
    snprintf(path, sizeof path, "%s", path_of("edited"));
    put_file(path, text, size);
    check_harmless(path, expected);
}

/* ------------------------------------------------------------------------------------------------------------
 * Tests
 * ------------------------------------------------------------------------------------------------------------ */

static void written_and_read_again(void **state)
{
    (void)state;
    norma_table table = sample_table(), read = {NULL, 0, 0};
    char sentence[NORMA_FLAW_TEXT];
    check(norma_store_write(path_of("new/folder/file"), &table, NULL, &sentence));
    const norma_flaw flaw = norma_store_read(path_of("new/folder/file"), &read);
    check(flaw.state == NORMA_TUNING_FILE && flaw.sentence[0] == '\0');
    check(read.count == table.count);
    for (size_t i = 0; i < read.count; i++) {
        const norma_record *a = &table.records[i], *b = &read.records[i];
        check(memcmp(a->fact, b->fact, sizeof a->fact) == 0 && memcmp(a->knob, b->knob, sizeof a->knob) == 0);
        check(a->tuned == b->tuned && a->effort == b->effort && strcmp(a->name, b->name) == 0);
        check(a->default_ns == b->default_ns && a->tuned_ns == b->tuned_ns);
    }
    norma_table_free(&table);
    norma_table_free(&read);
    check_harmless(path_of("new/folder/file"), NORMA_TUNING_FILE);
}

static void no_file(void **state)
{
    (void)state;
    check_harmless(path_of("missing"), NORMA_TUNING_NOT_FOUND);
    check_harmless(path_of("missing/below"), NORMA_TUNING_NOT_FOUND);
}

static void empty_file(void **state)
{
    (void)state;
    check_text("", 0, NORMA_TUNING_BAD_FORMAT);
    check_text("\n", 1, NORMA_TUNING_BAD_FORMAT);
    check_text("\0\0\0", 3, NORMA_TUNING_BAD_FORMAT);
}

static void folder_or_device_instead_of_a_file(void **state)
{
    (void)state;
    check(mkdir(path_of("folder"), 0777) == 0);
    check_harmless(path_of("folder"), NORMA_TUNING_UNREADABLE);
    check_harmless("/dev/zero", NORMA_TUNING_UNREADABLE);
    check(mkfifo(path_of("pipe"), 0666) == 0); /* nobody ever writes to it: to open it as usual would hang */
    check_harmless(path_of("pipe"), NORMA_TUNING_UNREADABLE);
}

static void unreadable_file(void **state)
{
    (void)state;
    char path[128];
    size_t size;
    char *text = sample_text(&size);
    snprintf(path, sizeof path, "%s", path_of("secret"));
    put_file(path, text, size);
    free(text);
    check(chmod(path, 0) == 0);
    const uid_t root = geteuid();
    if (root == 0) {
        check(seteuid(65534) == 0); /* root may read everything */
    }
    check_harmless(path, NORMA_TUNING_UNREADABLE);
    check(seteuid(root) == 0);
}

static void gigabyte_of_zeros(void **state)
{
    (void)state;
    put_file(path_of("zeros"), "", 0);
    check(truncate(path_of("zeros"), (off_t)1 << 30) == 0);
    check_harmless(path_of("zeros"), NORMA_TUNING_UNREADABLE);
    check(truncate(path_of("zeros"), (off_t)1 << 22) == 0); /* not too large */
    check_harmless(path_of("zeros"), NORMA_TUNING_BAD_FORMAT);
}

static void truncated_at_every_byte(void **state)
{
    (void)state;
    size_t size;
    char *text = sample_text(&size);
    check(parse_state(text, size) == NORMA_TUNING_FILE);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = suite_alloc(cut + 1, 1); /* so that a sanitizer sees reading past it */
        memcpy(part, text, cut);
        part = realloc(part, cut ? cut : 1);
        suite_case("%zu of %zu bytes", cut, size);
        check(parse_state(part, cut) != NORMA_TUNING_FILE);
        free(part);
    }
    check_text(text, size / 2, NORMA_TUNING_BAD_FORMAT);
    free(text);
}

static void every_byte_flipped(void **state)
{
    (void)state;
    size_t size;
    char *text = sample_text(&size);
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit += SUITE_QUICK ? 3 : 1) {
            text[at] = (char)(text[at] ^ 1 << bit);
            suite_case("byte %zu, bit %d", at, bit);
            check(parse_state(text, size) != NORMA_TUNING_FILE);
            text[at] = (char)(text[at] ^ 1 << bit);
        }
    }
    text[size / 2] = (char)(text[size / 2] ^ 1);
    check_text(text, size, NORMA_TUNING_BAD_CHECKSUM);
    free(text);
}

static void something_after_the_end(void **state)
{
    (void)state;
    size_t size;
    char *text = sample_text(&size);
    char *longer = suite_alloc(2 * size + 1, 1);
    memcpy(longer, text, size);
    strcpy(longer + size, "record = more\n");
    check(parse_state(longer, size + 14) == NORMA_TUNING_BAD_FORMAT);
    memcpy(longer + size, text, size); /* twice the same file */
    check(parse_state(longer, 2 * size) != NORMA_TUNING_FILE);
    free(longer);
    free(text);
}

/* Each is named, with what the file has and what is here. */
static void every_fingerprint_field_changed(void **state)
{
    (void)state;
    const norma_print_field *field = norma_fingerprint();
    for (int i = 0; i < NORMA_PRINT_FIELDS; i++) {
        char from[2 * NORMA_PRINT_VALUE], to[2 * NORMA_PRINT_VALUE];
        size_t size;
        snprintf(from, sizeof from, "\n%s = %s\n", field[i].name, field[i].value);
        snprintf(to, sizeof to, "\n%s = elsewhere\n", field[i].name);
        char *text = edited(from, to, &size);
        norma_table table = {NULL, 0, 0};
        const norma_flaw flaw = norma_text_parse(text, size, &table);
        suite_case("%s: %s", field[i].name, flaw.sentence);
        check(flaw.state == (field[i].of_build ? NORMA_TUNING_OTHER_BUILD : NORMA_TUNING_OTHER_MACHINE));
        check(strstr(flaw.sentence, field[i].name) && strstr(flaw.sentence, "elsewhere") &&
              strstr(flaw.sentence, field[i].value));
        check_text(text, size, flaw.state);
        free(text);
        snprintf(to, sizeof to, "\n%s=%s\n", field[i].name, field[i].value);
        text = edited(from, to, &size);
        check(parse_state(text, size) == NORMA_TUNING_BAD_FORMAT);
        free(text);
    }
}

/* With this edit one record is left out and counted; the others serve. */
static void check_left_out(const char *from, const char *to)
{
    size_t size;
    char *text = edited(from, to, &size);
    norma_table table = {NULL, 0, 0};
    const norma_flaw flaw = norma_text_parse(text, size, &table);
    suite_case("%s: %s", to, flaw.sentence);
    check(flaw.state == NORMA_TUNING_FILE && table.count == 3);
    check(strstr(flaw.sentence, "1 of its 4 records") != NULL);
    norma_table_free(&table);
    free(text);
}

/* A record that this library does not know, kernel or knob, is left out and counted; the others serve. */
static void unknown_kernel(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"geometry=rows", "geometry=cubes"},
        {"statistic=moments", "statistic=medians"},
        {"dtype=f32", "dtype=f8"},
        {"scaling=along", "scaling="},
        {"use.ahead=321", "use.color=321"},
        {"use.threads=1", "use.threads=many"},
        {"effort=quick", "effort=lazy"},
        {" length=768", " length=768 length"},
        {" length=768", ""},
        {" default_ns=2000", " "},
        {"case=layer_norm", "case=\x01"},
        {"use.order=", "use.order=sideways use."},
    };
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        check_left_out(edits[i][0], edits[i][1]);
    }
}

static void huge_numbers(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"use.ahead=321", "use.ahead=99999999999999999999999"},
        {"use.ahead=321", "use.ahead=4294967617"},
        {"use.ahead=321", "use.ahead=-1"},
        {"use.threads=1", "use.threads=4294967297"},
        {" length=768", " length=99999999999999999999999999"},
        {" length=768", " length=-768"},
        {" length=768", " length=0"},
        {"default_ns=2000", "default_ns=99999999999999999999999"},
        {"default_ns=2000", "default_ns=2e3"},
        {"threads=2", "threads=+2"},
    };
    for (size_t i = 0; i < COUNT_OF(edits); i++) {
        check_left_out(edits[i][0], edits[i][1]);
    }
    static const char *const ends[][2] = {{"end = 4", "end = 5"},
                                          {"end = 4", "end = 99999999999999999999"},
                                          {"end = 4", "end = -4"},
                                          {"end = 4", "end = "},
                                          {"norma-tuning 1", "norma-tuning 2"}};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t size;
        char *text = edited(ends[i][0], ends[i][1], &size);
        suite_case("%s", ends[i][1]);
        check(parse_state(text, size) == NORMA_TUNING_BAD_FORMAT);
        free(text);
    }
}

static void too_many_records(void **state)
{
    (void)state;
    size_t size, used = 0;
    char *text = sample_text(&size);
    const char *first = strstr(text, "record ="), *second = strstr(first + 1, "record =");
    const size_t line = (size_t)(second - first), room = size + (NORMA_RECORDS_MAX + 2) * line;
    char *made = suite_alloc(room, 1);
    memcpy(made, text, (size_t)(first - text));
    used = (size_t)(first - text);
    for (int i = 0; i <= NORMA_RECORDS_MAX; i++, used += line) {
        memcpy(made + used, first, line);
    }
    sprintf(made + used, "end = %d records, checksum 0123456789abcdef\n", NORMA_RECORDS_MAX + 1);
    check(parse_state(made, seal(made, strlen(made))) == NORMA_TUNING_BAD_FORMAT);
    free(made);
    free(text);
}

/* Knobs that are not legal for a problem are found at every lookup, and its default serves. */
static void illegal_knobs(void **state)
{
    (void)state;
    const struct {
        norma_knob knob;
        int64_t value;
    } wrong[] = {{NORMA_KNOB_ISA, NORMA_ISA_BEST},
                 {NORMA_KNOB_ORDER, 9},
                 {NORMA_KNOB_GROUP, 7},
                 {NORMA_KNOB_GROUP, 0},
                 {NORMA_KNOB_GROUP, 1000},
                 {NORMA_KNOB_STREAM, 2},
                 {NORMA_KNOB_THREADS, 0},
                 {NORMA_KNOB_THREADS, 3},
                 {NORMA_KNOB_AHEAD, 1 << 29},
                 {NORMA_KNOB_ISA, norma_cpu()->isa == NORMA_ISA_NEON ? NORMA_ISA_AVX2 : NORMA_ISA_NEON}};
    const norma_problem problem = rows_problem(512, 300);
    const norma_blocking built_in = norma_blocking_default(&problem, limits().isa, limits().threads);
    norma_record record = record_of(&problem, "");
    norma_blocking made = built_in;
    check(built_in.order == NORMA_PAIRS);
    check(norma_record_apply(&record, &problem, limits(), &made) && made.ahead == 321 && made.threads == 1);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_record bad = record;
        bad.knob[wrong[i].knob] = wrong[i].value;
        made = built_in;
        suite_case("%s = %lld", norma_knob_name(wrong[i].knob), (long long)wrong[i].value);
        check(!norma_record_apply(&bad, &problem, limits(), &made));
        check(memcmp(&made, &built_in, sizeof made) == 0);
    }
}

/* Neighbours serve, strangers do not; of two the nearer one. */
static void nearest_shape(void **state)
{
    (void)state;
    static const struct {
        int64_t rows, cols;
        const char *served; /* by */
    } asked[] = {{512, 1024, "a"},   {600, 1024, "a"},  {512, 1200, "a"},  {512, 1400, "b"},
                 {512, 1500, "b"},   {100, 1024, NULL}, {512, 4000, NULL}, {700, 1400, "b"},
                 {5120, 1024, NULL}, {512, 700, NULL},  {800, 1024, NULL}, {1024, 512, NULL}};
    norma_table table = {NULL, 0, 0};
    const norma_problem a = rows_problem(512, 1024), b = rows_problem(512, 1500);
    const norma_record of_a = record_of(&a, "a"), of_b = record_of(&b, "b");
    check(norma_table_add(&table, &of_b) && norma_table_add(&table, &of_a) && norma_table_add(&table, &of_a));
    check(table.count == 2);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        const norma_problem problem = rows_problem(asked[i].rows, asked[i].cols);
        int64_t fact[NORMA_FACT_COUNT];
        norma_facts_of(fact, &problem, limits());
        const norma_record *record = norma_table_nearest(&table, fact);
        suite_case("%lld x %lld", (long long)asked[i].rows, (long long)asked[i].cols);
        check(asked[i].served ? record && strcmp(record->name, asked[i].served) == 0 : record == NULL);
        fact[NORMA_FACT_THREADS]++;
        check(norma_table_nearest(&table, fact) == NULL);
    }
    norma_table_free(&table);
}

/* Every knob's text can be read again, for every legal value of many problems. */
static void knobs_by_text(void **state)
{
    (void)state;
    char number[24];
    for (size_t i = 0; i < cases_count(); i++) {
        const norma_desc desc = cases_get(i).desc;
        norma_problem problem;
        if (norma_problem_init(&problem, &desc) != NORMA_SUCCESS || problem.empty) {
            continue;
        }
        for (uint64_t seed = 0; seed < 50; seed++) {
            const norma_blocking blocking = norma_blocking_random(&problem, limits(), seed);
            check(norma_blocking_first_illegal(&problem, limits(), &blocking) == NORMA_KNOB_COUNT);
            for (norma_knob knob = 0; knob < NORMA_KNOB_COUNT; knob++) {
                const int64_t value = norma_knob_get(&blocking, knob);
                const char *text = norma_knob_text(knob, value, &number);
                int64_t back;
                if (norma_knob_bears(&problem, &blocking, knob)) {
                    check(norma_knob_parse(knob, text, strlen(text), &back) && back == value);
                }
            }
        }
        const norma_blocking built_in = norma_blocking_default(&problem, limits().isa, limits().threads);
        check(norma_blocking_first_illegal(&problem, limits(), &built_in) == NORMA_KNOB_COUNT);
    }
}

/* A record in a file decides what a plan does; off and the built-in rules say so. */
static void record_in_force(void **state)
{
    (void)state;
    norma_table table = sample_table();
    char sentence[NORMA_FLAW_TEXT], line[1024];
    check(norma_store_write(path_of("force"), &table, NULL, &sentence));
    norma_table_free(&table);
    const int64_t shape[] = {512, 1024};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    for (int off = 0; off < 2; off++) {
        norma_context *context = context_with(off ? "off" : path_of("force"));
        norma_plan *plan;
        check_success(norma_plan_create(&plan, context, &desc));
        norma_plan_describe(plan, line, sizeof line);
        check((strstr(line, "ahead 321") != NULL) == !off);
        check((strstr(line, "tuning layer_norm/f32/rows/some") != NULL) == !off);
        check((strstr(line, "tuning built-in") != NULL) == off);
        check(info_of(context).tuning_state == (off ? NORMA_TUNING_OFF : NORMA_TUNING_FILE));
        check(info_of(context).tuning_records == (off ? 0 : 4));
        norma_plan_destroy(plan);
        norma_context_destroy(context);
    }
}

/* $XDG_CONFIG_HOME/norma, else ~/.config/norma; NORMA_TUNING goes before both. */
static void usual_places(void **state)
{
    (void)state;
    char kept[256], path[NORMA_PATH_ROOM], sentence[NORMA_FLAW_TEXT];
    const char *config = getenv("XDG_CONFIG_HOME");
    snprintf(kept, sizeof kept, "%s", config ? config : "");
    unsetenv("NORMA_TUNING");
    for (int home = 0; home < 2; home++) {
        char below[128];
        snprintf(below, sizeof below, "%s", path_of(home ? "home" : "config"));
        unsetenv("XDG_CONFIG_HOME");
        check(setenv(home ? "HOME" : "XDG_CONFIG_HOME", below, 1) == 0);
        check(norma_store_place(0, &path) && strncmp(path, below, strlen(below)) == 0);
        check((strstr(path, "/.config/norma/tuning-") != NULL) == home && strstr(path, "/norma/tuning-") != NULL);
        norma_context *context = context_with(NULL);
        check(info_of(context).tuning_state != NORMA_TUNING_FILE || strncmp(info_of(context).tuning_path, "/etc/", 5) == 0);
        norma_context_destroy(context);
        norma_table table = sample_table();
        check(norma_store_write(path, &table, NULL, &sentence));
        norma_table_free(&table);
        context = context_with(NULL);
        check(info_of(context).tuning_state == NORMA_TUNING_FILE && strcmp(info_of(context).tuning_path, path) == 0);
        norma_context_destroy(context);
        check(setenv("NORMA_TUNING", path_of("nowhere"), 1) == 0);
        context = context_with(NULL);
        check(info_of(context).tuning_state == NORMA_TUNING_NOT_FOUND);
        norma_context_destroy(context);
        check(unsetenv("NORMA_TUNING") == 0);
    }
    check(setenv("XDG_CONFIG_HOME", "not/absolute", 1) == 0); /* to be ignored */
    check(norma_store_place(0, &path) && strstr(path, "/home/.config/norma/") != NULL);
    if (*kept) {
        setenv("XDG_CONFIG_HOME", kept, 1);
    } else {
        unsetenv("XDG_CONFIG_HOME");
    }
}

/* NORMA_MEASURE: the plan is measured once, runs as it should, and what was found can be saved. */
static void measured_plan(void **state)
{
    (void)state;
    norma_context *context = context_with("off");
    const int64_t shape[] = {48, 200};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.planning = NORMA_MEASURE;
    desc.measure_seconds = 100;
    norma_plan *plan;
    check(info_of(context).tuning_records == 0);
    for (int i = 0; i < 2; i++) {
        check_success(norma_plan_create(&plan, context, &desc));
        norma_plan_destroy(plan);
        check(info_of(context).tuning_records == 1);
    }
    check_success(norma_context_save_tuning(context, path_of("measured")));
    norma_context_destroy(context);
    context = context_with(path_of("measured"));
    check(info_of(context).tuning_state == NORMA_TUNING_FILE && info_of(context).tuning_records == 1);
    desc.measure_seconds = 1e-9; /* no need of more: it is known */
    char line[1024];
    check_success(norma_plan_create(&plan, context, &desc));
    norma_plan_describe(plan, line, sizeof line);
    check(strstr(line, "tuning measured") != NULL);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* Rows of y with gaps between, which nobody writes. */
static void measured_with_gaps(void **state)
{
    (void)state;
    norma_context *context = context_with("off");
    const int64_t shape[] = {48, 200};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.y_row_stride = 256;
    desc.planning = NORMA_MEASURE;
    desc.measure_seconds = 100;
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    norma_plan_destroy(plan);
    check_success(norma_context_save_tuning(context, path_of("gaps")));
    norma_context_destroy(context);
    norma_table table = {NULL, 0, 0};
    check(norma_store_read(path_of("gaps"), &table).state == NORMA_TUNING_FILE && table.count == 1);
    check(table.records[0].default_ns > 0 && table.records[0].effort == NORMA_EFFORT_QUICK);
    norma_table_free(&table);
}

/* A candidate whose result differs in a bit, of y or of what is saved, is never timed. */
static void other_bits_are_not_timed(void **state)
{
    (void)state;
    norma_context *context = context_with("off");
    const int64_t shape[] = {48, 200};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    const norma_race_rules rules = {.floor_seconds = 1e-5, .repeats = 2, .deadline = norma_clock() + 100};
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    for (int spoilt = 0; spoilt < 3; spoilt++) {
        norma_rig rig;
        norma_runner runner = {.blocking = plan->blocking};
        check(norma_rig_create(&rig, plan, rules.floor_seconds));
        rig.expected[0] = (char)(rig.expected[0] ^ (spoilt == 1));
        rig.expected_saved[rig.saved_bytes - 1] = (char)(rig.expected_saved[rig.saved_bytes - 1] ^ (spoilt == 2));
        check(norma_race(&rig, &runner, 1, &rules) == 0);
        check(runner.out == (spoilt > 0) && (runner.repeats == 0) == (spoilt > 0));
        norma_rig_destroy(&rig);
    }
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* Time that is up in the middle: what is known by then is kept, and called partial. */
static void too_little_time_to_measure(void **state)
{
    (void)state;
    norma_context *context = context_with("off");
    const int64_t shape[] = {256, 1024};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    norma_record record;
    check_success(norma_plan_create(&plan, context, &desc));
    norma_search search = {.effort = NORMA_EFFORT_FULL, .deadline = norma_clock() + (SUITE_QUICK ? 1 : 0.03)};
    norma_search_end end = norma_search_run(&search, plan, &record);
    check(end == NORMA_SEARCH_STOPPED || (end == NORMA_SEARCH_DONE && record.effort == NORMA_EFFORT_PARTIAL) || SUITE_QUICK);
    volatile sig_atomic_t stop = 1;
    search.deadline = norma_clock() + 100;
    search.stop = &stop;
    check(norma_search_run(&search, plan, &record) == NORMA_SEARCH_STOPPED);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* A context saves to what is there already, keeping what it does not know; what cannot be gone on with is set aside; what is
 * no tuning file is left alone. */
static void saved_beside_what_is_there(void **state)
{
    (void)state;
    char path[128], sentence[NORMA_FLAW_TEXT];
    norma_table table = sample_table(), read = {NULL, 0, 0};
    snprintf(path, sizeof path, "%s", path_of("kept"));
    check(norma_store_write(path, &table, NULL, &sentence));
    norma_table_free(&table);
    norma_context *context = context_with("off");
    check_success(norma_context_save_tuning(context, path));
    check(norma_store_read(path, &read).state == NORMA_TUNING_FILE && read.count == 4);
    norma_table_free(&read);
    put_file(path, "norma-tuning 1\nversion = 0\n", 27);
    check_success(norma_context_save_tuning(context, path));
    check(access(path_of("kept.old"), F_OK) == 0);
    put_file(path, "norma-tuning 1\nversion = 0\n", 27);
    check_success(norma_context_save_tuning(context, path));
    check(access(path_of("kept.old.2"), F_OK) == 0);
    put_file(path, "my notes\n", 9);
    check_refused(norma_context_save_tuning(context, path), NORMA_IO_ERROR, "no tuning file");
    check(norma_store_read(path, &read).state == NORMA_TUNING_BAD_FORMAT);
    check(mkfifo(path_of("fifo"), 0666) == 0);
    check_refused(norma_context_save_tuning(context, path_of("fifo")), NORMA_IO_ERROR, "fifo");
    check(symlink("kept", path_of("link")) == 0);
    check(unlink(path) == 0);
    table = sample_table();
    check(norma_store_write(path, &table, NULL, &sentence) && norma_store_write(path_of("link"), &table, NULL, &sentence));
    norma_table_free(&table);
    struct stat status;
    check(lstat(path_of("link"), &status) == 0 && S_ISLNK(status.st_mode)); /* a link stays one */
    norma_context_destroy(context);
}

static norma_table large_table(void)
{
    norma_table table = {NULL, 0, 0};
    for (int64_t i = 1; i <= NORMA_RECORDS_MAX; i++) {
        const norma_problem problem = rows_problem(8, i);
        const norma_record record = record_of(&problem, "large");
        check(norma_table_add(&table, &record));
    }
    const norma_problem problem = rows_problem(9, 1);
    const norma_record record = record_of(&problem, "one too many");
    check(!norma_table_add(&table, &record));
    return table;
}

static size_t count_files(const char *pattern)
{
    glob_t found;
    const size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* kill -9 while a file is being written, which it is all the time: the old file or a good new one. */
static void killed_while_writing(void **state)
{
    (void)state;
    char path[128], sentence[NORMA_FLAW_TEXT], pattern[160];
    norma_table table = large_table();
    random_state random = random_begin(0);
    snprintf(path, sizeof path, "%s", path_of("killed"));
    check(norma_store_write(path, &table, NULL, &sentence));
    snprintf(pattern, sizeof pattern, "%s.tmp.*", path);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        check(child >= 0);
        if (child == 0) {
            for (;;) {
                norma_store_write(path, &table, NULL, &sentence);
            }
        }
        const size_t left = count_files(pattern);
        for (int wait = 0; wait < 100000 && count_files(pattern) == left; wait++) {
            usleep(100); /* until it writes: emulators and sanitizers take their time */
        }
        usleep((useconds_t)random_below(&random, 2000));
        check(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        norma_table read = {NULL, 0, 0};
        check(norma_store_read(path, &read).state == NORMA_TUNING_FILE && read.count == NORMA_RECORDS_MAX);
        norma_table_free(&read);
    }
    norma_table_free(&table);
    check(count_files(pattern) > 0); /* some were killed in the middle */
}

static void planning_that_makes_no_sense(void **state)
{
    (void)state;
    const int64_t shape[] = {48, 200};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    desc.planning = (norma_planning)2;
    check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.planning");
    desc.planning = NORMA_MEASURE;
    static const double wrong[] = {-1, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        desc.measure_seconds = wrong[i];
        check_refused(norma_plan_create(&plan, NULL, &desc), NORMA_INVALID_ARGUMENT, "desc.measure_seconds");
    }
}

/* Time that is up gives the built-in rules. */
static void no_time_to_measure(void **state)
{
    (void)state;
    norma_context *context = context_with("off");
    const int64_t shape[] = {48, 200};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    char line[1024];
    norma_plan *plan;
    desc.planning = NORMA_MEASURE;
    desc.measure_seconds = 1e-9;
    check_success(norma_plan_create(&plan, context, &desc));
    norma_plan_describe(plan, line, sizeof line);
    check(strstr(line, "tuning built-in") != NULL && info_of(context).tuning_records == 0);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* A search measures a problem of every geometry, on every instruction set; what it finds is legal. */
static void search_every_geometry(void **state)
{
    (void)state;
    const int64_t rows[] = {40, 300}, deep[] = {4, 6, 50};
    const int axes[] = {0, 2};
    const norma_desc descs[] = {norma_layer_norm_desc(2, rows, -1, NORMA_F32),
                                norma_rms_norm_desc(2, rows, -1, NORMA_F64),
                                norma_mvn_desc(3, deep, 2, axes, NORMA_F32),
                                norma_batch_norm_desc(5, 24, 20, NORMA_NHWC, NORMA_F32),
                                norma_channel_norm_desc(2, 24, 33, NORMA_NCHW, NORMA_F64),
                                norma_group_norm_desc(2, 32, 33, 4, NORMA_NCHW16C, NORMA_F32)};
    for (size_t i = 0; i < COUNT_OF(descs); i++) {
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            const norma_context_options options = {.struct_size = sizeof options, .threads = 2, .isa = isa, .tuning = "off"};
            norma_context *context;
            norma_plan *plan;
            check_success(norma_context_create(&context, &options));
            check_success(norma_plan_create(&plan, context, &descs[i]));
            const norma_search search = {.effort = NORMA_EFFORT_QUICK, .deadline = norma_clock() + 200};
            norma_record record;
            suite_case("%s on %s", norma_op_name(descs[i].op), norma_isa_name(isa));
            check(norma_search_run(&search, plan, &record) == NORMA_SEARCH_DONE);
            norma_blocking blocking = norma_blocking_default(&plan->problem, isa, 2);
            check(norma_record_apply(&record, &plan->problem, norma_plan_limits(plan), &blocking));
            check(record.default_ns > 0 && record.tuned_ns > 0 && record.tuned_ns <= record.default_ns);
            norma_plan_destroy(plan);
            norma_context_destroy(context);
        }
    }
}

static void refused_to_save(void **state)
{
    (void)state;
    norma_context *context = context_with("random:1");
    check_refused(norma_context_save_tuning(context, path_of("x")), NORMA_INVALID_ARGUMENT, "by chance");
    norma_context_destroy(context);
    context = context_with("off");
    check(mkdir(path_of("taken"), 0777) == 0);
    check_refused(norma_context_save_tuning(context, path_of("taken")), NORMA_IO_ERROR, "taken");
    check_refused(norma_context_save_tuning(context, "/dev/null/below"), NORMA_IO_ERROR, "/dev/null");
    char *longest = suite_alloc(2 * NORMA_PATH_ROOM, 1);
    memset(longest, 'a', 2 * NORMA_PATH_ROOM - 1);
    check_refused(norma_context_save_tuning(context, longest), NORMA_IO_ERROR, "too long");
    norma_context_destroy(context);
    check_harmless("", NORMA_TUNING_NOT_FOUND);
    context = context_with(longest);
    check(info_of(context).tuning_state == NORMA_TUNING_NOT_FOUND);
    norma_context_destroy(context);
    free(longest);
}

/* Three threads write, this one reads: always a whole file. */
static atomic_bool over;

static void *write_again_and_again(void *argument)
{
    char sentence[NORMA_FLAW_TEXT];
    norma_table table = sample_table();
    while (!atomic_load(&over)) {
        if (!norma_store_write(argument, &table, NULL, &sentence)) {
            norma_table_free(&table);
            return NULL;
        }
    }
    norma_table_free(&table);
    return argument;
}

static void writers_and_reader_at_once(void **state)
{
    (void)state;
    char path[128], sentence[NORMA_FLAW_TEXT];
    norma_table table = sample_table();
    snprintf(path, sizeof path, "%s", path_of("shared"));
    check(norma_store_write(path, &table, NULL, &sentence));
    norma_table_free(&table);
    pthread_t writers[3];
    void *answer;
    for (size_t i = 0; i < COUNT_OF(writers); i++) {
        check(pthread_create(&writers[i], NULL, write_again_and_again, path) == 0);
    }
    for (int i = 0; i < (SUITE_QUICK ? 300 : 2000); i++) {
        norma_table read = {NULL, 0, 0};
        const norma_flaw flaw = norma_store_read(path, &read);
        check(flaw.state == NORMA_TUNING_FILE && read.count == 4);
        norma_table_free(&read);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < COUNT_OF(writers); i++) {
        check(pthread_join(writers[i], &answer) == 0 && answer != NULL);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(no_file),
        cmocka_unit_test(empty_file),
        cmocka_unit_test(folder_or_device_instead_of_a_file),
        cmocka_unit_test(unreadable_file),
        cmocka_unit_test(gigabyte_of_zeros),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(every_byte_flipped),
        cmocka_unit_test(something_after_the_end),
        cmocka_unit_test(every_fingerprint_field_changed),
        cmocka_unit_test(unknown_kernel),
        cmocka_unit_test(huge_numbers),
        cmocka_unit_test(too_many_records),
        cmocka_unit_test(illegal_knobs),
        cmocka_unit_test(nearest_shape),
        cmocka_unit_test(knobs_by_text),
        cmocka_unit_test(record_in_force),
        cmocka_unit_test(usual_places),
        cmocka_unit_test(measured_plan),
        cmocka_unit_test(measured_with_gaps),
        cmocka_unit_test(other_bits_are_not_timed),
        cmocka_unit_test(too_little_time_to_measure),
        cmocka_unit_test(saved_beside_what_is_there),
        cmocka_unit_test(killed_while_writing),
        cmocka_unit_test(planning_that_makes_no_sense),
        cmocka_unit_test(no_time_to_measure),
        cmocka_unit_test(search_every_geometry),
        cmocka_unit_test(refused_to_save),
        cmocka_unit_test(writers_and_reader_at_once),
    };
    if (!make_folder()) {
        perror("test_tuning: a folder in /tmp");
        return 1;
    }
    const int status = suite_main("tuning", tests, COUNT_OF(tests), argc, argv);
    return remove_folder() ? status : 1;
}

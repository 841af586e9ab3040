#define _XOPEN_SOURCE 700 /* sigaction */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

/* A run of norma-tune. */
typedef struct session {
    const tune_options *options;
    case_spec *cases;
    size_t count;
    norma_context *contexts[TUNE_THREADS_MAX]; /* one per thread count */
    tune_output output;
    tune_progress progress;
    double deadline;
    size_t measured, known, gained, left_out, too_large;
    double log_gain; /* of all measured */
} session;

/* Not 0 once the user wants to stop. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

bool tune_stopped(void)
{
    return stop;
}

/* A signal that whoever started us ignores stays ignored. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* a second one ends us as usual */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(numbers[i], &action, NULL);
        }
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, NULL); /* a full quota, or nobody who reads, is a sentence and not a death */
    sigaction(SIGPIPE, &action, NULL);
}

static int make_contexts(session *s)
{
    for (int i = 0; i < s->options->threads_count; i++) {
        const norma_context_options options = {
            .struct_size = sizeof options, .threads = s->options->threads[i], .tuning = "off"};
        if (norma_context_create(&s->contexts[i], &options) != NORMA_SUCCESS) {
            return tune_fail(TUNE_MISTAKE, "%s", norma_last_error());
        }
    }
    return TUNE_DONE;
}

/* Before anything is measured or printed: whether all cases make sense. */
static int check_cases(const session *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const norma_desc desc = case_desc(&s->cases[i]);
        norma_problem problem;
        if (norma_problem_init(&problem, &desc) != NORMA_SUCCESS) {
            return tune_fail(TUNE_MISTAKE, "%s: %s", s->cases[i].name, norma_last_error());
        }
    }
    return TUNE_DONE;
}

static int session_begin(session *s, const tune_options *options)
{
    memset(s, 0, sizeof *s);
    s->options = options;
    int status = tune_cases(options, &s->cases, &s->count);
    if (status == TUNE_DONE) {
        status = check_cases(s);
    }
    return status == TUNE_DONE ? make_contexts(s) : status;
}

static void session_end(session *s)
{
    for (int i = 0; i < TUNE_THREADS_MAX; i++) {
        norma_context_destroy(s->contexts[i]);
    }
    free(s->cases);
}

static norma_plan *plan_of(const session *s, size_t index)
{
    const norma_desc desc = case_desc(&s->cases[index / (size_t)s->options->threads_count]);
    norma_plan *plan = NULL;
    norma_plan_create(&plan, s->contexts[index % (size_t)s->options->threads_count], &desc);
    return plan;
}

static void name_step(const session *s, size_t index, char *name, size_t size)
{
    const size_t threads = (size_t)s->options->threads_count;
    snprintf(name, size, "%s/threads:%d", s->cases[index / threads].name, s->options->threads[index % threads]);
}

/* Whether the file has this already, as well as it is asked for. */
static bool is_known(const session *s, const norma_plan *plan)
{
    int64_t fact[NORMA_FACT_COUNT];
    norma_facts_of(fact, &plan->problem, norma_plan_limits(plan));
    const norma_record *record = norma_table_exact(&s->output.table, fact);
    return record && record->effort >= s->options->effort && !s->options->again;
}

static void print_record(const session *s, const norma_record *record, const char *name)
{
    char knobs[256];
    norma_knobs_describe(record->knob, knobs, sizeof knobs);
    tune_progress_clear(&s->progress);
    printf("%-48s %10.2f us %6.2fx  %s\n", name, (double)record->tuned_ns / 1e3,
           (double)record->default_ns / (double)record->tuned_ns, knobs[0] ? knobs : "built-in rules");
    if (fflush(stdout) != 0) {
        stop = 1; /* nobody listens any more */
    }
}

/* Time for one case: a few times its share, so that one hard case cannot take it all. */
static double deadline_of(const session *s)
{
    const double now = norma_clock();
    const double share = 5 * (s->deadline - now) / (double)(s->progress.total - s->progress.done);
    const double end = now + (share < 2 ? 2 : share);
    return end < s->deadline ? end : s->deadline;
}

static int measure_step(session *s, size_t index, const norma_plan *plan)
{
    const norma_search search = {.effort = s->options->effort,
                                 .deadline = deadline_of(s),
                                 .stop = &stop,
                                 .tell = tune_progress_tell,
                                 .teller = &s->progress};
    norma_record record;
    const norma_search_end end = norma_search_run(&search, plan, &record);
    if (end == NORMA_SEARCH_NO_MEMORY) {
        tune_progress_clear(&s->progress);
        tune_fail(TUNE_FAILED, "%s: too large for the memory there is", s->progress.what);
        s->too_large++;
        return TUNE_DONE;
    }
    if (end == NORMA_SEARCH_STOPPED) {
        s->left_out++;
        return TUNE_DONE;
    }
    snprintf(record.name, sizeof record.name, "%s", s->cases[index / (size_t)s->options->threads_count].name);
    if (record.effort == NORMA_EFFORT_PARTIAL) { /* kept, but to be measured again */
        s->left_out++;
        return tune_output_add(&s->output, &record);
    }
    s->measured++;
    s->gained += record.tuned;
    s->log_gain += log((double)record.default_ns / (double)record.tuned_ns);
    print_record(s, &record, s->progress.what);
    return tune_output_add(&s->output, &record);
}

static int step(session *s, size_t index)
{
    norma_plan *plan = plan_of(s, index);
    int status = TUNE_DONE;
    name_step(s, index, s->progress.what, sizeof s->progress.what);
    if (!plan) {
        return tune_fail(TUNE_MISTAKE, "%s: %s", s->progress.what, norma_last_error());
    }
    if (plan->problem.empty || is_known(s, plan)) {
        s->known++;
    } else if (stop || norma_clock() >= s->deadline) {
        s->left_out++;
    } else {
        tune_progress_tell(&s->progress, "");
        s->progress.worked++;
        status = measure_step(s, index, plan);
    }
    s->progress.done++;
    norma_plan_destroy(plan);
    return status;
}

static void print_summary(const session *s)
{
    char took[24];
    printf("\n%zu cases measured in %s: %zu are faster than by the built-in rules", s->measured,
           tune_duration(norma_clock() - s->progress.begun, &took), s->gained);
    if (s->measured) {
        printf(", all of them %.3fx in the geometric mean", exp(s->log_gain / (double)s->measured));
    }
    printf("\n");
    if (s->known) {
        printf("%zu were known already (--again measures them once more)\n", s->known);
    }
    if (s->left_out) {
        printf("%zu are left: %s; the next run goes on with them\n", s->left_out, stop ? "interrupted" : "out of time");
    }
    printf(s->output.table.count ? "%s holds %zu shapes" : "%s is not there: nothing was measured", s->output.path,
           s->output.table.count);
    printf(s->output.note[0] ? "; %s\n" : "%s\n", s->output.note);
}

static int measure_all(session *s)
{
    int status = tune_output_open(&s->output, s->options->path);
    if (status != TUNE_DONE) {
        return status;
    }
    tune_progress_begin(&s->progress, s->count * (size_t)s->options->threads_count, s->options->seconds);
    s->deadline = s->options->seconds ? s->progress.begun + s->options->seconds : s->progress.begun + 1e9;
    for (size_t i = 0; i < s->progress.total && status == TUNE_DONE; i++) {
        status = step(s, i);
    }
    tune_progress_clear(&s->progress);
    const int written = tune_output_write(&s->output);
    status = status == TUNE_DONE ? written : status;
    if (status == TUNE_DONE) {
        print_summary(s);
    }
    tune_output_close(&s->output);
    status = status == TUNE_DONE && s->too_large ? TUNE_FAILED : status;
    return status == TUNE_DONE && stop && !ferror(stdout) ? TUNE_INTERRUPTED : status;
}

int tune_measure(const tune_options *options)
{
    session s;
    catch_signals();
    int status = session_begin(&s, options);
    if (status == TUNE_DONE) {
        status = measure_all(&s);
    }
    session_end(&s);
    return status;
}

static int list_all(session *s)
{
    size_t wanted = 0;
    norma_store_read(s->options->path, &s->output.table);
    for (size_t i = 0; i < s->count * (size_t)s->options->threads_count; i++) {
        char name[CASE_NAME_MAX + 32];
        norma_plan *plan = plan_of(s, i);
        name_step(s, i, name, sizeof name);
        if (!plan) {
            norma_table_free(&s->output.table);
            return tune_fail(TUNE_MISTAKE, "%s: %s", name, norma_last_error());
        }
        const bool known = is_known(s, plan);
        wanted += !known;
        printf("%s%s\n", name, known ? "  (known)" : "");
        norma_plan_destroy(plan);
    }
    printf("\n%zu to measure, for %s\n", wanted, s->options->path);
    norma_table_free(&s->output.table);
    return TUNE_DONE;
}

int tune_dry_run(const tune_options *options)
{
    session s;
    int status = session_begin(&s, options);
    if (status == TUNE_DONE) {
        status = list_all(&s);
    }
    session_end(&s);
    return status;
}

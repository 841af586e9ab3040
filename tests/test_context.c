/* Contexts: their options and the environment variables. */
#define _POSIX_C_SOURCE 200809L /* setenv, dup, fileno */
#include <unistd.h>

#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

#define ANY_CONTEXT ((norma_context *)(void *)&any_byte)
static char any_byte;

static norma_context_options defaults(void)
{
    const norma_context_options options = {.struct_size = sizeof options};
    return options;
}

static norma_context_info info_of(const norma_context *context)
{
    norma_context_info info = {.struct_size = sizeof info};
    check_success(norma_context_get_info(context, &info));
    return info;
}

static norma_context *create(const norma_context_options *options)
{
    norma_context *context = NULL;
    check_success(norma_context_create(&context, options));
    check(context != NULL);
    return context;
}

static void refuse(const norma_context_options *options, const char *word)
{
    norma_context *context = ANY_CONTEXT;
    check_refused(norma_context_create(&context, options), NORMA_INVALID_ARGUMENT, word);
    check(context == NULL);
}

static norma_isa best_isa(void)
{
    norma_isa best = NORMA_ISA_GENERIC;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        best = isa;
    }
    return best;
}

/* Makes a context of default options under one environment variable. */
static norma_context *create_under(const char *name, const char *value)
{
    check(setenv(name, value, 1) == 0);
    norma_context *context = create(NULL);
    check(unsetenv(name) == 0);
    return context;
}

static void refuse_under(const char *name, const char *value)
{
    check(setenv(name, value, 1) == 0);
    suite_case("%s=%s", name, value);
    refuse(NULL, name);
    check(unsetenv(name) == 0);
}

static void null_pointers(void **state)
{
    (void)state;
    check_refused(norma_context_create(NULL, NULL), NORMA_INVALID_ARGUMENT, "context");
    norma_context_destroy(NULL);
    norma_context *context = create(NULL);
    check_refused(norma_context_get_info(context, NULL), NORMA_INVALID_ARGUMENT, "info");
    norma_context_destroy(context);
}

static void default_options(void **state)
{
    (void)state;
    norma_context *context = create(NULL);
    const norma_context_info info = info_of(context);
    norma_cpu_info cpu = {.struct_size = sizeof cpu};
    check_success(norma_get_cpu_info(&cpu));
    check(info.isa == cpu.isa && info.isa == best_isa());
    check(info.threads >= 1 && info.threads <= cpu.cores);
    check(info.isa_reason && *info.isa_reason);
    check(info.tuning && *info.tuning);
    norma_context_destroy(context);
    const norma_context_info shared = info_of(NULL); /* the process's own */
    check(shared.isa == info.isa && shared.threads == info.threads);
}

static void option_threads(void **state)
{
    (void)state;
    norma_context_options options = defaults();
    for (int threads = 1; threads <= 8; threads++) {
        options.threads = threads;
        norma_context *context = create(&options);
        const norma_context_info info = info_of(context);
        check(info.threads == threads);
#ifdef NORMA_TEST_OPENMP
        check(strcmp(info.threading, threads == 1 ? "serial" : "openmp") == 0);
#else
        check(strcmp(info.threading, "serial") == 0);
#endif
        norma_context_destroy(context);
    }
    options.threads = -1;
    refuse(&options, "options.threads");
    options.threads = INT32_MIN;
    refuse(&options, "options.threads");
}

static void option_parallel_for(void **state)
{
    (void)state;
    pool p = {.threads = 3};
    norma_context_options options = defaults();
    options.threads = 3;
    options.parallel_for = pool_parallel_for;
    options.pool = &p;
    norma_context *context = create(&options);
    check(strcmp(info_of(context).threading, "caller") == 0);
    norma_context_destroy(context);
}

static void option_isa(void **state)
{
    (void)state;
    norma_context_options options = defaults();
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        options.isa = isa;
        norma_context *context = create(&options);
        check(info_of(context).isa == isa);
        norma_context_destroy(context);
    }
    options.isa = (norma_isa)99;
    refuse(&options, "options.isa");
    options.isa = (norma_isa)-1;
    refuse(&options, "options.isa");
    options.isa = (norma_isa)(NORMA_ISA_NEON + 1);
    refuse(&options, "options.isa");
}

static void option_struct_size(void **state)
{
    (void)state;
    static const size_t wrong[] = {0, 1, sizeof(size_t), sizeof(norma_context_options) - 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_context_options options = defaults();
        options.struct_size = wrong[i];
        refuse(&options, "struct_size");
    }
    struct {
        norma_context_options options;
        char tail[24];
    } later = {.options = defaults()};
    later.options.struct_size = sizeof later;
    norma_context_destroy(create(&later.options));
    later.tail[23] = 1;
    refuse(&later.options, "struct_size");
}

static void environment_isa_lowers(void **state)
{
    (void)state;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        norma_context *context = create_under("NORMA_ISA", norma_isa_name(isa));
        const norma_context_info info = info_of(context);
        check(info.isa == isa);
        check(isa == best_isa() || strstr(info.isa_reason, "NORMA_ISA"));
        norma_context_destroy(context);
    }
}

/* Neither above what the options allow, nor above what the machine has. */
static void environment_isa_does_not_raise(void **state)
{
    (void)state;
    norma_context_options options = defaults();
    options.isa = NORMA_ISA_GENERIC;
    check(setenv("NORMA_ISA", norma_isa_name(best_isa()), 1) == 0);
    norma_context *context = create(&options);
    check(info_of(context).isa == NORMA_ISA_GENERIC);
    norma_context_destroy(context);
#if defined(__x86_64__)
    if (!isa_on_cpu(NORMA_ISA_AVX512)) {
        check(setenv("NORMA_ISA", "avx512", 1) == 0);
        context = create(NULL);
        check(info_of(context).isa == best_isa());
        norma_context_destroy(context);
    }
#endif
    check(unsetenv("NORMA_ISA") == 0);
}

static void environment_isa_unknown_words(void **state)
{
    (void)state;
    static const char *const words[] = {"avx", "AVX2", "avx2 ", "best", "sse", "avx512f", "1", "unknown"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        refuse_under("NORMA_ISA", words[i]);
    }
}

/* "" is how shells unset a variable for one command. */
static void environment_empty_is_unset(void **state)
{
    (void)state;
    static const char *const names[] = {"NORMA_ISA", "NORMA_NUM_THREADS", "NORMA_VERBOSE", "NORMA_TUNING"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        norma_context_destroy(create_under(names[i], ""));
    }
}

static void environment_num_threads(void **state)
{
    (void)state;
    norma_context *context = create_under("NORMA_NUM_THREADS", "5");
    check(info_of(context).threads == 5);
    norma_context_destroy(context);
    norma_context_options options = defaults();
    options.threads = 2; /* the program's word goes before the environment's */
    check(setenv("NORMA_NUM_THREADS", "5", 1) == 0);
    context = create(&options);
    check(info_of(context).threads == 2);
    norma_context_destroy(context);
    check(unsetenv("NORMA_NUM_THREADS") == 0);
    static const char *const words[] = {"0", "-1", "two", "3x", "1.5", "99999999999999999999", "1000000", " "};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        refuse_under("NORMA_NUM_THREADS", words[i]);
    }
}

/* What goes to stderr while a plan is made. */
static void capture_plan(norma_context *context, char *text, size_t size)
{
    const int64_t shape[] = {2, 30};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    FILE *file = tmpfile();
    check(file != NULL);
    fflush(stderr);
    const int saved = dup(STDERR_FILENO);
    check(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    const norma_status status = norma_plan_create(&plan, context, &desc);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    check(status == NORMA_SUCCESS);
    norma_plan_destroy(plan);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void environment_verbose(void **state)
{
    (void)state;
    char text[2048];
    norma_context *context = create_under("NORMA_VERBOSE", "1");
    capture_plan(context, text, sizeof text);
    check(strstr(text, "layer_norm") && strchr(text, '\n') == text + strlen(text) - 1); /* one line */
    norma_context_destroy(context);
    context = create_under("NORMA_VERBOSE", "0");
    capture_plan(context, text, sizeof text);
    check(text[0] == '\0');
    norma_context_destroy(context);
    refuse_under("NORMA_VERBOSE", "yes");
}

/* A plan keeps its context alive. */
static void context_destroyed_before_its_plan(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 50};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    const trial_inputs inputs = {.scale = true, .spread = 1};
    random_state random = random_begin(0);
    trial *t = trial_create(&desc, inputs, &random);
    norma_context *context = create(NULL);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    norma_context_destroy(context);
    const trial_spot spot = {GUARD_END, 0, false};
    trial_place(t, spot);
    check_success(norma_run(plan, &t->args));
    trial_check(t, trial_tolerance(t));
    norma_plan_destroy(plan);
    trial_destroy(t);
}

/* Knobs by chance differ from seed to seed and are the same for one. */
static void tuning_by_chance(void **state)
{
    (void)state;
    const int64_t shape[] = {64, 3000};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    char first[512] = "", line[512];
    int different = 0;
    for (int seed = 0; seed < 20; seed++) {
        char setting[32];
        snprintf(setting, sizeof setting, "random:%d", seed / 2);
        norma_context *context = create_under("NORMA_TUNING", setting);
        check(strstr(info_of(context).tuning, "chance") != NULL);
        norma_plan *plan;
        check_success(norma_plan_create(&plan, context, &desc));
        norma_plan_describe(plan, line, sizeof line);
        if (seed % 2) {
            check(strcmp(first, line) == 0);
        } else {
            different += strcmp(first, line) != 0;
            strcpy(first, line);
        }
        norma_plan_destroy(plan);
        norma_context_destroy(context);
    }
    check(different == 10);
    static const char *const words[] = {"random:",   "random:x",  "random:1x",
                                        "random:-1", "random: 1", "random:99999999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        refuse_under("NORMA_TUNING", words[i]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_pointers),
        cmocka_unit_test(default_options),
        cmocka_unit_test(option_threads),
        cmocka_unit_test(option_parallel_for),
        cmocka_unit_test(option_isa),
        cmocka_unit_test(option_struct_size),
        cmocka_unit_test(environment_isa_lowers),
        cmocka_unit_test(environment_isa_does_not_raise),
        cmocka_unit_test(environment_isa_unknown_words),
        cmocka_unit_test(environment_empty_is_unset),
        cmocka_unit_test(environment_num_threads),
        cmocka_unit_test(environment_verbose),
        cmocka_unit_test(context_destroyed_before_its_plan),
        cmocka_unit_test(tuning_by_chance),
    };
    return suite_main("context", tests, COUNT_OF(tests), argc, argv);
}

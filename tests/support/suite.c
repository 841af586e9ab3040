#define _POSIX_C_SOURCE 200809L /* unsetenv */
#include "support/suite.h"

#include "support/random.h"

enum { EXIT_SKIPPED = 77, TESTS_MAX = 256 };

static char current_case[256];
static bool finished;
static int skipped;

void suite_case(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(current_case, sizeof current_case, format, arguments);
    va_end(arguments);
}

void suite_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    skipped++;
    finished = true;
    skip();
    abort(); /* skip() does not return, but is not declared so */
}

void suite_fail(const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    print_error("%s\n", sentence);
    fail();
    abort();
}

void *suite_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        suite_fail("no memory for %zu times %zu bytes", count, size);
    }
    return memory;
}

static int before_test(void **state)
{
    (void)state;
    current_case[0] = '\0';
    finished = false;
    return 0;
}

/* cmocka turns SIGSEGV, SIGILL and SIGFPE into failures; this says where they came from. */
static int after_test(void **state)
{
    (void)state;
    if (!finished && current_case[0]) {
        print_error("while trying: %s\n", current_case);
    }
    return 0;
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(name, argv[i]) == 0) {
            return true;
        }
    }
    return argc < 2;
}

/* cmocka calls what is in initial_state; the wrapper learns that the test came to its end. */
static void run_plain(void **state)
{
    CMUnitTestFunction function;
    memcpy(&function, state, sizeof function); /* a function pointer in an object pointer: POSIX allows it, ISO C does not */
    void *none = NULL;
    function(&none);
    finished = true;
}

static void run_subject(void **state)
{
    const suite_test *test = *state;
    test->run(test->subject);
    finished = true;
}

static int run_chosen(const char *suite, struct CMUnitTest *tests, size_t count, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++) {
            printf("%s\n", tests[i].name);
        }
        return EXIT_SUCCESS;
    }
    setenv("NORMA_TUNING", "off", 0); /* a tuning file of this machine's is not what is tested, unless somebody says so */
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        if (wanted(tests[i].name, argc, argv)) {
            tests[chosen++] = tests[i];
        }
    }
    if (chosen == 0 || (argc > 1 && chosen != (size_t)argc - 1)) {
        fprintf(stderr, "%s: no such test; --list prints their names\n", suite);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    unsetenv("NORMA_ISA"); /* what the user set for programs is not for the tests of it */
    unsetenv("NORMA_NUM_THREADS");
    unsetenv("NORMA_VERBOSE");
    printf("%s: NORMA_TEST_SEED=%llu%s\n", suite, (unsigned long long)random_seed(), SUITE_QUICK ? ", quick" : "");
    const int failed = _cmocka_run_group_tests(suite, tests, chosen, NULL, NULL);
    if (failed) {
        return EXIT_FAILURE;
    }
    return skipped == (int)chosen ? EXIT_SKIPPED : EXIT_SUCCESS;
}

int suite_main(const char *suite, const struct CMUnitTest *tests, size_t count, int argc, char **argv)
{
    static struct CMUnitTest wrapped[TESTS_MAX];
    if (count > TESTS_MAX) {
        fprintf(stderr, "%s: raise TESTS_MAX\n", suite);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < count; i++) {
        wrapped[i] = tests[i];
        wrapped[i].test_func = run_plain;
        wrapped[i].setup_func = before_test;
        wrapped[i].teardown_func = after_test;
        memcpy(&wrapped[i].initial_state, &tests[i].test_func, sizeof tests[i].test_func);
    }
    return run_chosen(suite, wrapped, count, argc, argv);
}

int suite_main_of(const char *suite, const suite_test *tests, size_t count, int argc, char **argv)
{
    static struct CMUnitTest wrapped[TESTS_MAX];
    if (count > TESTS_MAX) {
        fprintf(stderr, "%s: raise TESTS_MAX\n", suite);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < count; i++) {
        void *state;
        const suite_test *test = &tests[i];
        memcpy(&state, &test, sizeof state); /* drops const: cmocka's state is not */
        const struct CMUnitTest made = {tests[i].name, run_subject, before_test, after_test, state};
        wrapped[i] = made;
    }
    return run_chosen(suite, wrapped, count, argc, argv);
}

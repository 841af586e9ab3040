/*
 * What every test program is made of: cmocka's tests behind a main() that takes names, tells skipped from passed, and prints
 * the random seed.
 */
#ifndef NORMA_TEST_SUITE_H
#define NORMA_TEST_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "norma/norma.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* Emulators, sanitizers and unoptimized builds are 10 to 100 times slower: the sweeps then take fewer steps, but reach every
 * kind of case. */
#if defined(NORMA_TEST_QUICK) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define SUITE_QUICK true
#else
#define SUITE_QUICK false
#endif

/* Runs the tests that the arguments name, or all; `--list` prints their names. Returns the exit status: 0, 1, or 77 when every
 * test that ran was skipped, which CTest shows as such. */
int suite_main(const char *suite, const struct CMUnitTest *tests, size_t count, int argc, char **argv);

/* Ends the running test as skipped. */
void suite_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Ends the running test as failed; prints the sentence. */
void suite_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Notes what is being tried, so that whatever ends the test, a crash included, is reported with it. */
void suite_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A test that has a state of its own, for arrays of tests built at run time. */
typedef struct suite_test {
    char name[64];
    void (*run)(const void *subject);
    const void *subject;
} suite_test;

int suite_main_of(const char *suite, const suite_test *tests, size_t count, int argc, char **argv);

#define check(condition)                                                                                                       \
    do {                                                                                                                       \
        if (!(condition)) {                                                                                                    \
            suite_fail("%s:%d: expected %s", __FILE__, __LINE__, #condition);                                                  \
        }                                                                                                                      \
    } while (0)

#define check_success(call)                                                                                                    \
    do {                                                                                                                       \
        const norma_status check_status = (call);                                                                              \
        if (check_status != NORMA_SUCCESS) {                                                                                   \
            suite_fail("%s:%d: %s: %s (%s)", __FILE__, __LINE__, #call, norma_status_name(check_status), norma_last_error());  \
        }                                                                                                                      \
    } while (0)

/* The call fails with the status, and the sentence contains the word. */
#define check_refused(call, status, word)                                                                                      \
    do {                                                                                                                       \
        const norma_status check_status = (call);                                                                              \
        if (check_status != (status) || !strstr(norma_last_error(), (word))) {                                                 \
            suite_fail("%s:%d: %s: expected %s and a sentence with '%s', got %s: %s", __FILE__, __LINE__, #call,               \
                       norma_status_name(status), (word), norma_status_name(check_status), norma_last_error());                \
        }                                                                                                                      \
    } while (0)

/* calloc that fails the test instead of returning NULL. */
void *suite_alloc(size_t count, size_t size);

#endif

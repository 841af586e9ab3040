/* One problem of every kind: each op, geometry and dtype, large enough to be shared out among threads. */
#ifndef NORMA_TEST_CASES_H
#define NORMA_TEST_CASES_H

#include "support/trial.h"

typedef struct test_case {
    char name[64];
    norma_desc desc;
    trial_inputs inputs;
} test_case;

size_t cases_count(void);
test_case cases_get(size_t index);

#endif

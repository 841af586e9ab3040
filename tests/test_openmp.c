/* norma on OpenMP threads, and inside a program's own OpenMP regions. Each test wants a process of its own: CTest gives one. */
#include <omp.h>

#include "support/cases.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

enum { THREADS = 3, CASES = 6 };

static const trial_spot plain_spot = {GUARD_END, 0, false};

static trial *create(size_t index)
{
    const test_case c = cases_get(index);
    random_state random = random_begin(index);
    trial *t = trial_create(&c.desc, c.inputs, &random);
    trial_place(t, plain_spot);
    return t;
}

/* As many as the context says, no more. */
static void a_team_of_the_context_s_size(void **state)
{
    (void)state;
    const int before = pool_threads_of_process();
    trial *t = create(0);
    norma_context *context = isa_context(NORMA_ISA_GENERIC, THREADS, NULL, NULL);
    isa_run(t, context);
    trial_check(t, trial_tolerance(t));
    check(pool_threads_of_process() == before + THREADS - 1);
    norma_context_destroy(context);
    trial_destroy(t);
}

/* Every thread of a region runs norma on data of its own. No nested team starts, not even where the program allows them. */
static void inside_a_parallel_region(void **state)
{
    (void)state;
    omp_set_max_active_levels(4);
    const int before = pool_threads_of_process();
    trial *trials[CASES];
    norma_plan *plans[CASES];
    norma_status statuses[CASES];
    norma_context *context = isa_context(NORMA_ISA_GENERIC, 8, NULL, NULL);
    for (int i = 0; i < CASES; i++) {
        trials[i] = create((size_t)i * 5);
        check_success(norma_plan_create(&plans[i], context, &trials[i]->desc));
    }
#pragma omp parallel for num_threads(THREADS) schedule(dynamic, 1)
    for (int i = 0; i < CASES; i++) {
        statuses[i] = norma_run(plans[i], &trials[i]->args);
    }
    check(pool_threads_of_process() <= before + THREADS - 1); /* fewer where an earlier region's threads serve again */
    for (int i = 0; i < CASES; i++) {
        check(statuses[i] == NORMA_SUCCESS);
        trial_check(trials[i], trial_tolerance(trials[i]));
        norma_plan_destroy(plans[i]);
        trial_destroy(trials[i]);
    }
    norma_context_destroy(context);
}

/* A region's single thread, and a task. */
static void inside_single_and_task(void **state)
{
    (void)state;
    trial *a = create(0), *b = create(22);
    norma_plan *plan_a, *plan_b;
    norma_status status_a = NORMA_UNSUPPORTED, status_b = NORMA_UNSUPPORTED;
    check_success(norma_plan_create(&plan_a, NULL, &a->desc));
    check_success(norma_plan_create(&plan_b, NULL, &b->desc));
#pragma omp parallel num_threads(THREADS)
#pragma omp single
    {
        status_a = norma_run(plan_a, &a->args);
#pragma omp task shared(status_b)
        status_b = norma_run(plan_b, &b->args);
#pragma omp taskwait
    }
    check(status_a == NORMA_SUCCESS && status_b == NORMA_SUCCESS);
    trial_check(a, trial_tolerance(a));
    trial_check(b, trial_tolerance(b));
    norma_plan_destroy(plan_a);
    norma_plan_destroy(plan_b);
    trial_destroy(a);
    trial_destroy(b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_of_the_context_s_size),
        cmocka_unit_test(inside_a_parallel_region),
        cmocka_unit_test(inside_single_and_task),
    };
    return suite_main("openmp", tests, COUNT_OF(tests), argc, argv);
}

/* Threads: how many, whose, and that no others start. */
#include "support/cases.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

static const trial_spot plain_spot = {GUARD_END, 0, false};

/* A parallel_for that stays on its thread and keeps count. */
typedef struct witness {
    size_t calls;
    size_t most_tasks;
} witness;

static void witness_loop(void *witness_, size_t count, norma_task task, void *argument)
{
    witness *w = witness_;
    w->calls++;
    w->most_tasks = count > w->most_tasks ? count : w->most_tasks;
    for (size_t i = count; i-- > 0;) {
        task(argument, i);
    }
}

static trial *create(size_t index)
{
    const test_case c = cases_get(index);
    random_state random = random_begin(index);
    suite_case("%s", c.name);
    return trial_create(&c.desc, c.inputs, &random);
}

static void run_with(trial *t, int threads, witness *w)
{
    norma_context *context = isa_context(NORMA_ISA_GENERIC, threads, witness_loop, w);
    trial_place(t, plain_spot);
    isa_run(t, context);
    trial_check(t, trial_tolerance(t));
    norma_context_destroy(context);
}

/* The caller's loop gets the work, never in more parts than it has threads. */
static void a_caller_pool_gets_the_tasks(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        trial *t = create(i);
        for (int threads = 2; threads <= 7; threads += SUITE_QUICK ? 5 : 1) {
            witness w = {0};
            run_with(t, threads, &w);
            check(w.calls > 0);
            check(w.most_tasks > 1 && w.most_tasks <= (size_t)threads);
        }
        trial_destroy(t);
    }
}

static void one_thread_is_serial(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        trial *t = create(i);
        witness w = {0};
        run_with(t, 1, &w);
        check(w.most_tasks <= 1);
        trial_destroy(t);
    }
}

/* A hand-over costs more than such a row takes. */
static void little_work_stays_on_one_thread(void **state)
{
    (void)state;
    const int64_t shape[] = {1, 768};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    const trial_inputs inputs = {.spread = 1};
    random_state random = random_begin(0);
    trial *t = trial_create(&desc, inputs, &random);
    witness w = {0};
    run_with(t, 8, &w);
    check(w.most_tasks <= 1);
    trial_destroy(t);
}

/* The pool of one run goes before the context's. */
static void a_pool_for_one_run(void **state)
{
    (void)state;
    trial *t = create(0);
    witness of_context = {0}, of_run = {0};
    norma_context *context = isa_context(NORMA_ISA_GENERIC, 4, witness_loop, &of_context);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &t->desc));
    trial_place(t, plain_spot);
    t->args.pool = &of_run;
    check_success(norma_run(plan, &t->args));
    trial_check(t, trial_tolerance(t));
    check(of_run.calls > 0 && of_context.calls == 0);
    const size_t calls = of_run.calls;
    trial_place(t, plain_spot);
    check_success(norma_run(plan, &t->args));
    check(of_run.calls == calls && of_context.calls == calls);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
    trial_destroy(t);
}

/* Neither OpenMP's nor any other: an engine has its own. */
static void no_thread_starts_beside_a_caller_pool(void **state)
{
    (void)state;
    const int before = pool_threads_of_process();
    for (size_t i = 0; i < cases_count(); i++) {
        trial *t = create(i);
        witness w = {0};
        run_with(t, 16, &w);
        trial_destroy(t);
    }
    check(pool_threads_of_process() == before);
}

static void no_thread_starts_for_a_serial_context(void **state)
{
    (void)state;
    const int before = pool_threads_of_process();
    for (size_t i = 0; i < cases_count(); i++) {
        trial *t = create(i);
        trial_place(t, plain_spot);
        isa_run_serial(t, NORMA_ISA_GENERIC);
        trial_destroy(t);
    }
    check(pool_threads_of_process() == before);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_pool_gets_the_tasks),          cmocka_unit_test(one_thread_is_serial),
        cmocka_unit_test(little_work_stays_on_one_thread),       cmocka_unit_test(a_pool_for_one_run),
        cmocka_unit_test(no_thread_starts_beside_a_caller_pool), cmocka_unit_test(no_thread_starts_for_a_serial_context),
    };
    return suite_main("parallel", tests, COUNT_OF(tests), argc, argv);
}

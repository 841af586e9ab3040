/* norma called from many threads at once. Plain pthreads, so that ThreadSanitizer sees all there is to see. */
#include <pthread.h>

#include "support/cases.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

enum { THREADS = 8, RUNS = SUITE_QUICK ? 3 : 10 };

static const trial_spot plain_spot = {GUARD_END, 0, false};

/* cmocka's failures jump, which only the test's own thread may do: the others keep their findings for it. */
typedef struct worker {
    norma_context *context;
    norma_plan *plan;
    trial *t;
    pthread_barrier_t *start;
    int failures;
} worker;

static void run_workers(void *(*work)(void *), worker *workers)
{
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    check(pthread_barrier_init(&start, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i].start = &start;
        check(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&start);
    for (int i = 0; i < THREADS; i++) {
        check(workers[i].failures == 0);
    }
}

static void *run_plan(void *worker_)
{
    worker *w = worker_;
    pthread_barrier_wait(w->start);
    for (int run = 0; run < RUNS; run++) {
        w->failures += norma_run(w->plan, &w->t->args) != NORMA_SUCCESS;
    }
    return NULL;
}

/* One plan, data of its own for each thread. */
static void run_one_plan(norma_context *context, size_t index)
{
    const test_case c = cases_get(index);
    worker workers[THREADS] = {0};
    norma_plan *plan;
    suite_case("%s", c.name);
    check_success(norma_plan_create(&plan, context, &c.desc));
    for (int i = 0; i < THREADS; i++) {
        random_state random = random_begin((uint64_t)i);
        workers[i].t = trial_create(&c.desc, c.inputs, &random);
        workers[i].plan = plan;
        trial_place(workers[i].t, plain_spot);
    }
    run_workers(run_plan, workers);
    for (int i = 0; i < THREADS; i++) {
        trial_check(workers[i].t, trial_tolerance(workers[i].t));
        trial_destroy(workers[i].t);
    }
    norma_plan_destroy(plan);
}

static void one_plan_serial(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i += SUITE_QUICK ? 5 : 2) {
        norma_context *context = isa_context(isa_on_cpu(NORMA_ISA_AVX2) ? NORMA_ISA_AVX2 : NORMA_ISA_GENERIC, 1, NULL, NULL);
        run_one_plan(context, i);
        norma_context_destroy(context);
    }
}

/* Every thread's run is itself shared out, over a pool that starts threads of its own. */
static void one_plan_with_a_caller_pool(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i += 4) {
        pool p = {.threads = 3};
        norma_context *context = isa_context(NORMA_ISA_GENERIC, 3, pool_parallel_for, &p);
        run_one_plan(context, i);
        norma_context_destroy(context);
    }
}

/* The same over OpenMP, whose threads each of ours has of its own. */
static void one_plan_with_default_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i += 4) {
        norma_context *context = isa_context(NORMA_ISA_GENERIC, 2, NULL, NULL);
        run_one_plan(context, i);
        norma_context_destroy(context);
    }
}

static void *live_and_die(void *worker_)
{
    worker *w = worker_;
    pthread_barrier_wait(w->start);
    for (int run = 0; run < 10 * RUNS; run++) {
        norma_context *context = NULL;
        norma_plan *plan = NULL, *shared = NULL;
        const norma_context_options options = {.struct_size = sizeof options, .threads = 1};
        w->failures += norma_context_create(&context, &options) != NORMA_SUCCESS;
        w->failures += norma_plan_create(&plan, context, &w->t->desc) != NORMA_SUCCESS;
        norma_context_destroy(context);
        w->failures += norma_plan_create(&shared, w->context, &w->t->desc) != NORMA_SUCCESS;
        w->failures += norma_run(plan, &w->t->args) != NORMA_SUCCESS;
        norma_plan_destroy(plan);
        w->failures += norma_run(shared, &w->t->args) != NORMA_SUCCESS;
        norma_plan_destroy(shared);
    }
    return NULL;
}

/* Contexts of their own and one of all, plans of both. */
static void contexts_and_plans_come_and_go(void **state)
{
    (void)state;
    const int64_t shape[] = {3, 100};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    const trial_inputs inputs = {.scale = true, .shift = true, .mean = true, .rstd = true, .spread = 1};
    worker workers[THREADS] = {0};
    norma_context *context = isa_context(NORMA_ISA_GENERIC, 1, NULL, NULL);
    for (int i = 0; i < THREADS; i++) {
        random_state random = random_begin((uint64_t)i);
        workers[i].t = trial_create(&desc, inputs, &random);
        workers[i].context = context;
        trial_place(workers[i].t, plain_spot);
    }
    run_workers(live_and_die, workers);
    for (int i = 0; i < THREADS; i++) {
        trial_check(workers[i].t, trial_tolerance(workers[i].t));
        trial_destroy(workers[i].t);
    }
    norma_context_destroy(context);
}

static void *use_first(void *worker_)
{
    worker *w = worker_;
    pthread_barrier_wait(w->start);
    const float x[4] = {1, 2, 3, 4};
    float y[4] = {0};
    norma_cpu_info cpu = {.struct_size = sizeof cpu};
    norma_context_info info = {.struct_size = sizeof info};
    w->failures += norma_layer_norm_f32(x, y, NULL, NULL, 1, 4, 0) != NORMA_SUCCESS;
    w->failures += !(y[0] < -1.34f && y[3] > 1.34f); /* 1.5 / sqrt(1.25) */
    w->failures += norma_get_cpu_info(&cpu) != NORMA_SUCCESS || cpu.cores < 1;
    w->failures += norma_context_get_info(NULL, &info) != NORMA_SUCCESS || info.isa != cpu.isa;
    return NULL;
}

/* Detection of the machine and the process's default context are made on first use, by all threads at once. */
static void first_use_by_all_threads(void **state)
{
    (void)state;
    worker workers[THREADS] = {0};
    run_workers(use_first, workers);
}

static void *fail_in_own_way(void *worker_)
{
    worker *w = worker_;
    pthread_barrier_wait(w->start);
    for (int run = 0; run < 100 * RUNS; run++) {
        norma_desc desc = w->t->desc;
        desc.shape[0] = -1000 - (int64_t)(w->t->want->sets);
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)desc.shape[0]);
        norma_plan *plan;
        w->failures += norma_plan_create(&plan, NULL, &desc) != NORMA_INVALID_ARGUMENT;
        w->failures += strstr(norma_last_error(), number) == NULL;
    }
    return NULL;
}

/* No thread reads another's sentence. */
static void errors_stay_in_their_thread(void **state)
{
    (void)state;
    worker workers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        const int64_t shape[] = {i + 1, 3};
        const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
        const trial_inputs inputs = {.spread = 1};
        random_state random = random_begin((uint64_t)i);
        workers[i].t = trial_create(&desc, inputs, &random);
    }
    run_workers(fail_in_own_way, workers);
    for (int i = 0; i < THREADS; i++) {
        trial_destroy(workers[i].t);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_use_by_all_threads),       cmocka_unit_test(one_plan_serial),
        cmocka_unit_test(one_plan_with_a_caller_pool),    cmocka_unit_test(one_plan_with_default_threads),
        cmocka_unit_test(contexts_and_plans_come_and_go), cmocka_unit_test(errors_stay_in_their_thread),
    };
    return suite_main("threads", tests, COUNT_OF(tests), argc, argv);
}

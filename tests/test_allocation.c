/*
 * norma_run() allocates nothing and takes no lock: malloc and its kin, and the mutexes, are this program's own and count.
 *
 * glibc keeps its own under __libc_ names, to forward to. Sanitizers replace them too, so these tests skip under one.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "support/cases.h"
#include "support/gradients.h"
#include "support/isa.h"
#include "support/suite.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_CALLS 1
#else
#define COUNTS_CALLS 0
#endif

static atomic_bool counting;
static atomic_int allocations;
static atomic_int locks;

#if COUNTS_CALLS

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);
void *memalign(size_t alignment, size_t size);

static void note_allocation(void)
{
    if (atomic_load_explicit(&counting, memory_order_relaxed)) {
        atomic_fetch_add(&allocations, 1);
    }
}

void *malloc(size_t size)
{
    note_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    note_allocation();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    note_allocation();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    note_allocation();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    note_allocation();
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    if (memory) {
        note_allocation();
    }
    __libc_free(memory);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*next)(pthread_mutex_t *);
    if (!next) {
        void *found = dlsym(RTLD_NEXT, "pthread_mutex_lock");
        memcpy(&next, &found, sizeof next);
    }
    if (atomic_load_explicit(&counting, memory_order_relaxed)) {
        atomic_fetch_add(&locks, 1);
    }
    return next(mutex);
}

#endif

static void need_counting(void)
{
    if (!COUNTS_CALLS) {
        suite_skip("skipped (the allocator is the sanitizer's)");
    }
}

static void start_counting(void)
{
    atomic_store(&allocations, 0);
    atomic_store(&locks, 0);
    atomic_store(&counting, true);
}

static void stop_counting(void)
{
    atomic_store(&counting, false);
}

/* The counters do count, else the tests below show nothing. */
static void counters_count(void **state)
{
    (void)state;
    need_counting();
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    start_counting();
    void *volatile memory = malloc(10);
    free(memory);
    pthread_mutex_lock(&mutex);
    stop_counting();
    pthread_mutex_unlock(&mutex);
    check(atomic_load(&allocations) == 2);
    check(atomic_load(&locks) == 1);
    const int64_t shape[] = {2, 3};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    start_counting();
    const norma_status status = norma_plan_create(&plan, NULL, &desc); /* the library's calls are seen */
    stop_counting();
    check(status == NORMA_SUCCESS && atomic_load(&allocations) > 0);
    norma_plan_destroy(plan);
}

/* The first run may start threads; the later ones count. */
static void run_and_count(norma_context *context, size_t index)
{
    const test_case c = cases_get(index);
    random_state random = random_begin(index);
    trial *t = trial_create(&c.desc, c.inputs, &random);
    norma_plan *plan;
    suite_case("%s", c.name);
    check_success(norma_plan_create(&plan, context, &c.desc));
    const trial_spot spot = {GUARD_END, 0, false};
    trial_place(t, spot);
    check_success(norma_run(plan, &t->args));
    norma_status status = NORMA_SUCCESS;
    start_counting();
    for (int run = 0; run < 3 && status == NORMA_SUCCESS; run++) {
        status = norma_run(plan, &t->args);
    }
    stop_counting();
    check(status == NORMA_SUCCESS);
    check(atomic_load(&allocations) == 0);
    check(atomic_load(&locks) == 0);
    trial_check(t, trial_tolerance(t));
    norma_plan_destroy(plan);
    trial_destroy(t);
}

/* The way back of what has one. */
static void go_back_and_count(norma_context *context, size_t index)
{
    const test_case c = cases_get(index);
    const norma_desc *d = &c.desc;
    if (d->activation > NORMA_RELU || d->modulation || d->gate || d->residual_gate || d->residual_dtype || d->y_dtype ||
        (d->op == NORMA_LP_NORM && d->p == 1) || d->dtype > NORMA_F16) {
        return;
    }
    const gradients_inputs inputs = {
        .scale = c.inputs.scale, .mask = d->activation ? MASK_FROM_Y : MASK_NONE, .saved = index % 2, .spread = 1};
    random_state random = random_begin(index);
    gradients *g = gradients_create(d, &inputs, &random);
    norma_plan *plan;
    suite_case("%s, back", c.name);
    check_success(norma_plan_create(&plan, context, &g->desc));
    gradients_place(g, plan);
    check_success(norma_backward(plan, &g->args));
    start_counting();
    const norma_status status = norma_backward(plan, &g->args);
    stop_counting();
    check(status == NORMA_SUCCESS);
    check(atomic_load(&allocations) == 0);
    check(atomic_load(&locks) == 0);
    norma_plan_destroy(plan);
    gradients_destroy(g);
}

static void run_every_case(int threads, norma_parallel_for loop)
{
    need_counting();
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        norma_context *context = isa_context(isa, threads, loop, NULL);
        for (size_t i = 0; i < cases_count(); i += 2) {
            run_and_count(context, i);
            go_back_and_count(context, i);
        }
        norma_context_destroy(context);
    }
}

static void serial_runs_allocate_nothing(void **state)
{
    (void)state;
    run_every_case(1, NULL);
}

/* LLVM's OpenMP allocates whenever it forks, whoever asks; runs on a caller's pool show what is norma's. */
static void threaded_runs_allocate_nothing(void **state)
{
    (void)state;
    if (dlsym(RTLD_DEFAULT, "__kmpc_fork_call")) {
        suite_skip("threaded_runs_allocate_nothing skipped (LLVM's OpenMP allocates by itself)");
    }
    run_every_case(3, NULL);
}

static void loop_here(void *none, size_t count, norma_task task, void *argument)
{
    (void)none;
    for (size_t i = 0; i < count; i++) {
        task(argument, i);
    }
}

static void runs_on_a_caller_pool_allocate_nothing(void **state)
{
    (void)state;
    run_every_case(3, loop_here);
}

static void refused_runs_allocate_nothing(void **state)
{
    (void)state;
    need_counting();
    start_counting();
    const norma_status status = norma_run(NULL, NULL);
    stop_counting();
    check(status == NORMA_INVALID_ARGUMENT);
    check(atomic_load(&allocations) == 0);
}

static void one_call_forms_allocate_nothing_after_the_first(void **state)
{
    (void)state;
    need_counting();
    const float x[6] = {1, 2, 3, 4, 5, 6};
    float y[6];
    check_success(norma_layer_norm_f32(x, y, NULL, NULL, 2, 3, 1e-5));
    start_counting();
    const norma_status statuses[] = {
        norma_layer_norm_f32(x, y, NULL, NULL, 2, 3, 1e-5),
        norma_rms_norm_f32(x, y, NULL, 2, 3, 1e-5),
        norma_lp_norm_f32(x, y, 2, 3, 2, 0),
        norma_channel_norm_f32(x, y, NULL, NULL, 1, 2, 3, NORMA_NCHW, 1e-5),
    };
    stop_counting();
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        check(statuses[i] == NORMA_SUCCESS);
    }
    check(atomic_load(&allocations) == 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test(serial_runs_allocate_nothing),
        cmocka_unit_test(threaded_runs_allocate_nothing),
        cmocka_unit_test(runs_on_a_caller_pool_allocate_nothing),
        cmocka_unit_test(refused_runs_allocate_nothing),
        cmocka_unit_test(one_call_forms_allocate_nothing_after_the_first),
    };
    return suite_main("allocation", tests, COUNT_OF(tests), argc, argv);
}

/* Many sessions, several at a time: each is opened, run twice and closed, and must give the bits that the first one gave. */
#include "runner.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct soak_job {
    const char *model;
    OrtSessionOptions *options;
    const tensors *inputs, *expected;
    atomic_int left, failed, different;
} soak_job;

static void *work(void *argument)
{
    soak_job *job = argument;
    while (atomic_fetch_sub(&job->left, 1) > 0) {
        session *s = session_open(job->model, job->options);
        for (int i = 0; i < 2 && s; i++) {
            tensors outputs = {0};
            if (!session_run(s, job->inputs, &outputs)) {
                atomic_fetch_add(&job->failed, 1);
            } else if (!tensors_equal(&outputs, job->expected)) {
                atomic_fetch_add(&job->different, 1);
            }
            tensors_free(&outputs);
        }
        if (s) {
            session_close(s);
        } else {
            atomic_fetch_add(&job->failed, 1);
        }
    }
    return NULL;
}

/* Where AddressSanitizer takes malloc's place, it counts. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

/* Bytes that were allocated and not freed, by whatever library: not what the process has of memory, which depends on how freed
 * pieces lie and how many arenas the threads have made. */
static size_t held_bytes(void)
{
    if (__sanitizer_get_current_allocated_bytes) {
        return __sanitizer_get_current_allocated_bytes();
    }
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void work_through(soak_job *job, int count, int parallel)
{
    pthread_t threads[64];
    parallel = parallel > 64 ? 64 : parallel;
    atomic_store(&job->left, count);
    for (int i = 0; i < parallel; i++) {
        pthread_create(&threads[i], NULL, work, job);
    }
    for (int i = 0; i < parallel; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Answers: runs that failed, runs that differed, bytes that one open session holds, bytes held after half of the sessions and
 * after all, with none open. */
void soak(int count, int parallel, const char *model, const char *route, int threads, const tensors *inputs)
{
    tensors expected = {0};
    OrtSessionOptions *options = options_make(route, threads, NULL, 0);
    const size_t before = held_bytes();
    session *s = options ? session_open(model, options) : NULL;
    if (!s || !session_run(s, inputs, &expected)) {
        answer_error(NULL);
        return;
    }
    const size_t open = held_bytes() - before;
    session_close(s);
    soak_job job = {.model = model, .options = options, .inputs = inputs, .expected = &expected};
    work_through(&job, count / 2, parallel);
    const size_t half = held_bytes();
    work_through(&job, count - count / 2, parallel);
    printf("ok\t%d\t%d\t%zu\t%zu\t%zu\n", atomic_load(&job.failed), atomic_load(&job.different), open, half, held_bytes());
    tensors_free(&expected);
    ort->ReleaseSessionOptions(options);
}

/* ------------------------------------------------------------------------------------------------------------
 * One session, several threads
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct crowd_job {
    session *session;
    const tensors *inputs, *expected;
    int sets, runs;
    atomic_uint started;
    atomic_int failed, different;
} crowd_job;

static void *run_in_crowd(void *argument)
{
    crowd_job *job = argument;
    unsigned state = atomic_fetch_add(&job->started, 1);
    for (int i = 0; i < job->runs; i++) {
        state = state * 1664525u + 1013904223u;
        const int set = (int)((state >> 16) % (unsigned)job->sets);
        tensors outputs = {0};
        if (!session_run(job->session, &job->inputs[set], &outputs)) {
            atomic_fetch_add(&job->failed, 1);
        } else if (!tensors_equal(&outputs, &job->expected[set])) {
            atomic_fetch_add(&job->different, 1);
        }
        tensors_free(&outputs);
    }
    return NULL;
}

/* Answers: runs that failed, runs that differed from the first one with the same inputs, which ran alone. */
void crowd(session *s, int parallel, int runs, const tensors *inputs, int sets)
{
    static tensors expected[CROWD_MAX_SETS];
    crowd_job job = {.session = s, .inputs = inputs, .expected = expected, .sets = sets, .runs = runs};
    bool good = true;
    for (int i = 0; i < sets && good; i++) {
        good = session_run(s, &inputs[i], &expected[i]);
    }
    pthread_t threads[64];
    int count = 0;
    while (good && count < parallel && count < 64 && !pthread_create(&threads[count], NULL, run_in_crowd, &job)) {
        count++;
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    if (good && count == parallel) {
        printf("ok\t%d\t%d\n", atomic_load(&job.failed), atomic_load(&job.different));
    } else {
        answer_error(good ? "a thread cannot be started" : NULL);
    }
    for (int i = 0; i < sets; i++) {
        tensors_free(&expected[i]);
    }
}

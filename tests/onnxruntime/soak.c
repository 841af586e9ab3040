/* Many sessions, several at a time: each is opened, run twice and closed, and must give the bits that the first one gave. */
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static long resident_kilobytes(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &pages, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
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

/* Answers: runs that failed, runs that differed, resident kilobytes after half of the sessions, and after all. */
void soak(int count, int parallel, const char *model, const char *route, int threads, const tensors *inputs)
{
    tensors expected = {0};
    OrtSessionOptions *options = options_make(route, threads, NULL, 0);
    session *s = options ? session_open(model, options) : NULL;
    if (!s || !session_run(s, inputs, &expected)) {
        answer_error(NULL);
        return;
    }
    session_close(s);
    soak_job job = {.model = model, .options = options, .inputs = inputs, .expected = &expected};
    work_through(&job, count / 2, parallel);
    const long before = resident_kilobytes();
    work_through(&job, count - count / 2, parallel);
    printf("ok\t%d\t%d\t%ld\t%ld\n", atomic_load(&job.failed), atomic_load(&job.different), before, resident_kilobytes());
    tensors_free(&expected);
    ort->ReleaseSessionOptions(options);
}

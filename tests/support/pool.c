#include "support/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/random.h"
#include "support/suite.h"

enum { THREADS_MAX = 16 };

typedef struct loop {
    size_t count;
    norma_task task;
    void *argument;
    atomic_size_t next;
    size_t order[POOL_TASKS_MAX];
} loop;

static void *work(void *argument)
{
    loop *l = argument;
    for (size_t i = atomic_fetch_add(&l->next, 1); i < l->count; i = atomic_fetch_add(&l->next, 1)) {
        l->task(l->argument, l->order[i]);
    }
    return NULL;
}

static void shuffle(loop *l, uint64_t seed)
{
    random_state random = random_begin(seed);
    for (size_t i = 0; i < l->count; i++) {
        const size_t j = (size_t)random_below(&random, i + 1);
        l->order[i] = l->order[j];
        l->order[j] = i;
    }
}

/* Cannot fail the test from here: it may not leave norma_run() by a jump, nor other threads at work. */
void pool_parallel_for(void *pool_, size_t count, norma_task task, void *argument)
{
    pool *p = pool_;
    const size_t call = atomic_fetch_add(&p->calls, 1);
    if (count > atomic_load(&p->most_tasks)) {
        atomic_store(&p->most_tasks, count);
    }
    if (count > POOL_TASKS_MAX) {
        fprintf(stderr, "pool_parallel_for: %zu tasks are more than a run should have\n", count);
        abort();
    }
    loop l = {.count = count, .task = task, .argument = argument};
    atomic_init(&l.next, 0);
    shuffle(&l, p->seed + call);
    pthread_t threads[THREADS_MAX];
    int started = 0;
    for (int i = 0; i + 1 < p->threads && i < THREADS_MAX; i++) {
        started += pthread_create(&threads[started], NULL, work, &l) == 0;
    }
    work(&l);
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}

int pool_threads_of_process(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    int threads = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Threads: %d", &threads) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return threads;
}

/* An inference engine that brings its own threads: a small pool, which norma's loops run on, and a request per image. */
#include <norma/norma.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WORKERS = 3, N = 2, C = 64, SPATIAL = 56 * 56, GROUPS = 32 };

/* ------------------------------------------------------------------------------------------------------------
 * The engine's pool: workers wait for a loop, take its indices until there are none, and report
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct pool {
    pthread_t threads[WORKERS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_mutex_t one_loop; /* at a time; norma_run() may be called by several threads */
    norma_task task;          /* of the loop under way */
    void *argument;
    size_t count;
    atomic_size_t next;
    unsigned loop; /* counts loops, so that a worker joins each once */
    int started, busy, stop;
} pool;

static void take_indices(pool *p)
{
    for (size_t i = atomic_fetch_add(&p->next, 1); i < p->count; i = atomic_fetch_add(&p->next, 1)) {
        p->task(p->argument, i);
    }
}

static void *work(void *argument)
{
    pool *p = argument;
    unsigned seen = 0;
    pthread_mutex_lock(&p->lock);
    while (1) {
        while (p->loop == seen && !p->stop) {
            pthread_cond_wait(&p->changed, &p->lock);
        }
        if (p->stop) {
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        seen = p->loop;
        pthread_mutex_unlock(&p->lock);
        take_indices(p);
        pthread_mutex_lock(&p->lock);
        p->busy--;
        pthread_cond_broadcast(&p->changed);
    }
}

/* The norma_parallel_for: calls the task for each index, and returns when all calls have. */
static void parallel_for(void *argument, size_t count, norma_task task, void *task_argument)
{
    pool *p = argument;
    pthread_mutex_lock(&p->one_loop);
    pthread_mutex_lock(&p->lock);
    p->task = task, p->argument = task_argument, p->count = count;
    atomic_store(&p->next, 0);
    p->busy = WORKERS;
    p->loop++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    take_indices(p);
    pthread_mutex_lock(&p->lock);
    while (p->busy) {
        pthread_cond_wait(&p->changed, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&p->one_loop);
}

static void pool_stop(pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) {
        pthread_join(p->threads[i], NULL);
    }
}

static int pool_start(pool *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->one_loop, NULL);
    pthread_cond_init(&p->changed, NULL);
    for (int i = 0; i < WORKERS; i++) {
        if (pthread_create(&p->threads[i], NULL, work, p)) {
            pool_stop(p);
            return 0;
        }
        p->started++;
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------------------------
 * The engine: a layer when the model loads, a run per request
 * ------------------------------------------------------------------------------------------------------------ */

static norma_plan *load_layer(norma_context *context)
{
    norma_desc desc = norma_group_norm_desc(N, C, SPATIAL, GROUPS, NORMA_NCHW, NORMA_F32);
    norma_desc_activate(&desc, NORMA_SILU);
    norma_plan *plan;
    return norma_plan_create(&plan, context, &desc) == NORMA_SUCCESS ? plan : NULL;
}

static norma_context *make_context(pool *p)
{
    const norma_context_options options = {
        .struct_size = sizeof options, .threads = WORKERS + 1, .parallel_for = parallel_for, .pool = p};
    norma_context *context;
    return norma_context_create(&context, &options) == NORMA_SUCCESS ? context : NULL;
}

int main(void)
{
    static pool workers;
    static float image[N * C * SPATIAL], gamma[C], beta[C];
    for (int i = 0; i < N * C * SPATIAL; i++) {
        image[i] = (float)(i % 1009) / 1009;
    }
    for (int c = 0; c < C; c++) {
        gamma[c] = 1, beta[c] = (float)c / C;
    }

    if (!pool_start(&workers)) {
        fprintf(stderr, "a thread cannot be started\n");
        return 1;
    }
    norma_context *context = make_context(&workers);
    norma_plan *plan = context ? load_layer(context) : NULL;
    if (!plan) {
        fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }
    char line[256];
    norma_plan_describe(plan, line, sizeof line);
    printf("%s\n", line);

    norma_args args = {.struct_size = sizeof args, .x = image, .y = image, .scale = gamma, .shift = beta};
    if (norma_run(plan, &args) != NORMA_SUCCESS) {
        fprintf(stderr, "%s\n", norma_last_error());
        return 1;
    }
    printf("y: %.6f %.6f ... %.6f\n", image[0], image[1], image[N * C * SPATIAL - 1]);

    norma_plan_destroy(plan);
    norma_context_destroy(context);
    pool_stop(&workers);
    return 0;
}

/*
 * Walks all 2^32 floats through the functions of template/math.h and compares with double precision.
 *
 * Usage: walk_math [--isa NAME] [--threads N] [FUNCTION...]
 *
 * Prints for each function the largest error in units of the last place and where it lies, and how many results are wrong by
 * more than 1 and 2 of them. Fails when a bound of math/functions.def is broken.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "math/functions.h"
#include "support/isa.h"
#include "support/suite.h"

enum { BLOCK = 1 << 16, BLOCKS = 1 << 16, THREADS_MAX = 256 };

typedef struct walk {
    int function;
    norma_isa isa;
    math_run *run;
    _Atomic int next; /* block */
    pthread_mutex_t lock;
    double worst; /* this and what follows: guarded by the lock */
    uint32_t worst_at;
    uint64_t over_1;
    uint64_t over_2;
    uint64_t broken;
    uint32_t broken_at;
} walk;

static void walk_block(walk *w, uint32_t first)
{
    static _Thread_local float x[BLOCK], y[BLOCK];
    double worst = -1;
    uint32_t worst_at = 0, broken_at = 0;
    uint64_t over_1 = 0, over_2 = 0, broken = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        x[i] = math_float_of(first + i);
    }
    w->run(x, y, BLOCK);
    for (uint32_t i = 0; i < BLOCK; i++) {
        const double error = math_error(y[i], math_wanted_of[w->function].exact((double)x[i]));
        if (error > worst) {
            worst = error, worst_at = first + i;
        }
        over_1 += error > 1;
        over_2 += error > 2;
        if (!(error <= math_bound(w->function, w->isa, x[i]))) {
            broken++, broken_at = first + i;
        }
    }
    pthread_mutex_lock(&w->lock);
    if (worst > w->worst) {
        w->worst = worst, w->worst_at = worst_at;
    }
    w->over_1 += over_1, w->over_2 += over_2, w->broken += broken;
    if (broken) {
        w->broken_at = broken_at;
    }
    pthread_mutex_unlock(&w->lock);
}

static void *walk_blocks(void *argument)
{
    walk *w = argument;
    for (int block = w->next++; block < BLOCKS; block = w->next++) {
        walk_block(w, (uint32_t)block * BLOCK);
    }
    return NULL;
}

static bool walk_function(int function, norma_isa isa, int threads)
{
    walk w = {.function = function, .isa = isa, .run = math_functions(isa)[function].run, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread[THREADS_MAX];
    int started = 0;
    while (started < threads - 1 && pthread_create(&thread[started], NULL, walk_blocks, &w) == 0) {
        started++;
    }
    walk_blocks(&w);
    while (started > 0) {
        pthread_join(thread[--started], NULL);
    }
    printf("%-10s %-8s worst %.4f ulp at %a (%.9g), %llu over 1, %llu over 2", math_functions(isa)[function].name,
           norma_isa_name(isa), w.worst, (double)math_float_of(w.worst_at), (double)math_float_of(w.worst_at),
           (unsigned long long)w.over_1, (unsigned long long)w.over_2);
    if (w.broken) {
        printf(": FAILED, %llu out of bounds, one at %a", (unsigned long long)w.broken, (double)math_float_of(w.broken_at));
    }
    printf("\n");
    return w.broken == 0;
}

static int number_of(const char *name)
{
    for (int i = 0; i < MATH_FUNCTIONS; i++) {
        if (strcmp(name, math_functions(NORMA_ISA_GENERIC)[i].name) == 0) {
            return i;
        }
    }
    fprintf(stderr, "walk_math: no function is called '%s'\n", name);
    exit(EXIT_FAILURE);
}

static norma_isa isa_named(const char *name)
{
    norma_isa best = NORMA_ISA_GENERIC;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        best = isa;
        if (name && strcmp(name, norma_isa_name(isa)) == 0) {
            return isa;
        }
    }
    if (name) {
        fprintf(stderr, "walk_math: this machine has no '%s'\n", name);
        exit(EXIT_FAILURE);
    }
    return best;
}

int main(int argc, char **argv)
{
    bool wanted[MATH_FUNCTIONS] = {false}, any = false, passed = true;
    norma_isa isa = isa_named(NULL);
    int threads = 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc) {
            isa = isa_named(argv[++i]);
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            threads = atoi(argv[++i]);
        } else {
            wanted[number_of(argv[i])] = any = true;
        }
    }
    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "walk_math: --threads takes 1 to %d\n", THREADS_MAX);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < MATH_FUNCTIONS; i++) {
        if (wanted[i] || !any) {
            passed &= walk_function(i, isa, threads);
        }
    }
    return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

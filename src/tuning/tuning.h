/*
 * Where a plan's knobs come from: a tuning file, measurements, the built-in rules, or for tests chance.
 *
 *     tuning.c        what a context has of it
 *     knobs.c         the knobs by name, and what is legal
 *     table.c         records of what was measured, and which serves a problem
 *     text.c store.c  the file's text; the file on disk
 *     fingerprint.c   what a file is true of
 *     search.c race.c the search for the best knobs; candidates timed against each other
 */
#ifndef NORMA_TUNING_H
#define NORMA_TUNING_H

#include <pthread.h>
#include <stdatomic.h>

#include "tuning/store.h"

typedef struct norma_tuning_source {
    norma_tuning_state state;
    bool named;                                       /* by options or environment, not found */
    char path[NORMA_PATH_ROOM];                       /* of the file meant, "" for none */
    char sentence[NORMA_PATH_ROOM + NORMA_FLAW_TEXT]; /* for people */
} norma_tuning_source;

typedef struct norma_tuning {
    norma_tuning_source source;
    uint64_t seed; /* of random knobs */
    norma_table table;
    atomic_int count;        /* of its records */
    pthread_mutex_t lock;    /* of the table, to which plans may add */
    pthread_mutex_t measure; /* one plan at a time */
} norma_tuning;

/* From a setting of context options or environment; NULL for the usual places. */
norma_status norma_tuning_init(norma_tuning *tuning, const char *setting);
void norma_tuning_fini(norma_tuning *tuning);

/* The blocking for a problem, and where it comes from: "built-in", "by chance", or the record's name. */
norma_blocking norma_tuning_choose(norma_tuning *tuning, const norma_problem *problem, norma_limits limits,
                                   char (*source)[NORMA_RECORD_NAME]);

/* Whether a record for exactly this problem is there. */
bool norma_tuning_knows(norma_tuning *tuning, const norma_problem *problem, norma_limits limits);

/* Adds what was measured. False where there is no memory. */
bool norma_tuning_add(norma_tuning *tuning, const norma_record *record);

/* See norma_context_save_tuning(). */
norma_status norma_tuning_save(norma_tuning *tuning, const char *path);

#endif

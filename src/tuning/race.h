/* Candidates timed against each other on buffers of their own. */
#ifndef NORMA_RACE_H
#define NORMA_RACE_H

#include <signal.h>

#include "plan.h"

/* Where candidates run: a copy of the plan, and tensors. */
typedef struct norma_rig {
    norma_plan plan;
    norma_args args;
    void *memory;
    size_t y_bytes;
    char *expected; /* what the built-in rules compute */
    char *saved;    /* means, then reciprocal deviations; and those expected */
    char *expected_saved;
    size_t saved_bytes;
    int64_t runs;        /* timed at once, so that they last */
    double warm_seconds; /* each candidate runs before it is timed */
} norma_rig;

typedef struct norma_race_rules {
    double floor_seconds;              /* of one timing */
    int repeats;                       /* of each that is in the race to its end */
    bool to_the_end;                   /* for all */
    double deadline;                   /* of norma_clock() */
    const volatile sig_atomic_t *stop; /* or NULL; not 0: give up */
} norma_race_rules;

enum { NORMA_REPEATS_MAX = 32, NORMA_RUNNERS_MAX = 48 };

typedef struct norma_runner {
    norma_blocking blocking;
    bool out;
    int repeats;
    double seconds[NORMA_REPEATS_MAX]; /* of one run, each time */
    double best;
} norma_runner;

/* Seconds since some moment. */
double norma_clock(void);

/* Whether the machine has the memory: more than most of it would be lent, and end the process once it is touched. */
bool norma_rig_fits(const norma_plan *plan);

/* False where there is no memory. */
bool norma_rig_create(norma_rig *rig, const norma_plan *plan, double floor_seconds);
void norma_rig_destroy(norma_rig *rig);

/* Times all in turns, again and again; those that fall behind go out, unless all run to the end, as does, before it is ever
 * timed, one whose result differs in a bit. Index of the fastest, or -1 when time is up. The first is expected to be right. */
int norma_race(norma_rig *rig, norma_runner *runners, int count, const norma_race_rules *rules);

#endif

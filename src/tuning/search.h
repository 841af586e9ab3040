/*
 * The search for a problem's best knobs.
 *
 * Staged: first how many threads, then the knobs that change the shape of the loops, together; then distances and strips around
 * the best of those; then the rest. Each stage is a race (race.h) that starts with the best so far. The last race is between
 * the built-in rules and what was found, on fresh buffers; the winner there must be ahead by more than the noise. When time is
 * up, what was found so far goes into that last race.
 */
#ifndef NORMA_SEARCH_H
#define NORMA_SEARCH_H

#include "tuning/race.h"

typedef struct norma_search {
    norma_effort effort;
    double deadline;                              /* of norma_clock() */
    const volatile sig_atomic_t *stop;            /* or NULL; not 0: give up */
    void (*tell)(void *teller, const char *what); /* or NULL; what is being tried */
    void *teller;
} norma_search;

typedef enum norma_search_end { NORMA_SEARCH_DONE, NORMA_SEARCH_STOPPED, NORMA_SEARCH_NO_MEMORY } norma_search_end;

/* Searches for the plan's problem, and fills the record unless it was stopped, ran out of memory, or had no time to time
 * anything at all. */
norma_search_end norma_search_run(const norma_search *search, const norma_plan *plan, norma_record *record);

#endif

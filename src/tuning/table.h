/*
 * What has been measured: records, each of one problem, and which of them serves another.
 *
 * A problem is told by facts. The best knobs of one hold for its neighbours: problems with the same kinds whose sizes differ
 * by less than half a power of two each, and in all.
 */
#ifndef NORMA_TABLE_H
#define NORMA_TABLE_H

#include "tuning/knobs.h"

typedef enum norma_fact {
    /* kinds */
    NORMA_FACT_GEOMETRY,
    NORMA_FACT_STATISTIC,
    NORMA_FACT_DTYPE,
    NORMA_FACT_SCALING,
    NORMA_FACT_GIVEN,
    NORMA_FACT_DENSE,
    NORMA_FACT_EPILOGUE,
    NORMA_FACT_ISA,     /* the best that plans may use */
    NORMA_FACT_THREADS, /* the most that a run may use */
    /* sizes, of norma_problem */
    NORMA_FACT_LENGTH,
    NORMA_FACT_OUTER,
    NORMA_FACT_RUNS,
    NORMA_FACT_COLUMNS, /* that make one reduced set */
    NORMA_FACT_COUNT,
    NORMA_FACT_SIZES = NORMA_FACT_LENGTH /* the first of them */
} norma_fact;

/* How long was looked for the best knobs. */
typedef enum norma_effort {
    NORMA_EFFORT_PARTIAL = 1, /* time was up before all was tried */
    NORMA_EFFORT_QUICK = 2,
    NORMA_EFFORT_NORMAL = 3,
    NORMA_EFFORT_FULL = 4
} norma_effort;

enum { NORMA_RECORD_NAME = 96, NORMA_RECORDS_MAX = 4000 };

typedef struct norma_record {
    int64_t fact[NORMA_FACT_COUNT];
    bool tuned;                     /* else the built-in rules are as good as anything */
    int64_t knob[NORMA_KNOB_COUNT]; /* -1: as the built-in rules have it; all, unless tuned */
    norma_effort effort;
    int64_t default_ns; /* of a run by the built-in rules, and as recorded */
    int64_t tuned_ns;
    char name[NORMA_RECORD_NAME]; /* for people: "layer_norm/f32/rows/512x1024" */
} norma_record;

/* In the order of their facts, each set of facts once. */
typedef struct norma_table {
    norma_record *records;
    size_t count;
    size_t room;
} norma_table;

const char *norma_fact_name(norma_fact fact);

/* As norma_knob_text() and norma_knob_parse(). */
const char *norma_fact_text(norma_fact fact, int64_t value, char (*buffer)[24]);
bool norma_fact_parse(norma_fact fact, const char *text, size_t length, int64_t *value);

/* The facts of a problem. */
void norma_facts_of(int64_t fact[NORMA_FACT_COUNT], const norma_problem *problem, norma_limits limits);

/* Adds a record, or puts it in the place of the one with the same facts. False where there is no memory, or
 * NORMA_RECORDS_MAX are there. */
bool norma_table_add(norma_table *table, const norma_record *record);

/* The record with exactly these facts, or NULL. */
const norma_record *norma_table_exact(const norma_table *table, const int64_t fact[NORMA_FACT_COUNT]);

/* The record that serves a problem with these facts: its own, else the nearest neighbour's, or NULL. */
const norma_record *norma_table_nearest(const norma_table *table, const int64_t fact[NORMA_FACT_COUNT]);

void norma_table_free(norma_table *table);

/* What a record makes of a problem's default blocking. False where a knob is not legal for it. */
bool norma_record_apply(const norma_record *record, const norma_problem *problem, norma_limits limits,
                        norma_blocking *blocking);

/* Stores the knobs that bear on the problem; none of no blocking. */
void norma_record_take(norma_record *record, const norma_problem *problem, const norma_blocking *blocking);

#endif

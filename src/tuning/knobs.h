/*
 * The knobs of a blocking by name: which of them bear on a problem, and what values are legal for it. Tuner, tuning file,
 * random mode and print-outs all go by this table, so that a knob is added here and nowhere else.
 */
#ifndef NORMA_KNOBS_H
#define NORMA_KNOBS_H

#include "problem.h"

typedef enum norma_knob {
    NORMA_KNOB_ISA,
    NORMA_KNOB_STREAM,
    NORMA_KNOB_ORDER,
    NORMA_KNOB_GROUP,
    NORMA_KNOB_STRIP,
    NORMA_KNOB_AHEAD,
    NORMA_KNOB_ROWS,
    NORMA_KNOB_FORWARD,
    NORMA_KNOB_THREADS,
    NORMA_KNOB_COUNT
} norma_knob;

/* least, least + step, …, at most `most`. */
typedef struct norma_knob_range {
    int64_t least;
    int64_t most;
    int64_t step;
} norma_knob_range;

/* What a problem may be run with: the instruction set and threads of its context. */
typedef struct norma_limits {
    norma_isa isa;
    int threads;
} norma_limits;

const char *norma_knob_name(norma_knob knob);

/* Whether the problem's driver and kernels look at the knob at all, given those before it. */
bool norma_knob_bears(const norma_problem *problem, const norma_blocking *blocking, norma_knob knob);

/* The legal values. They depend on the knobs before it. */
norma_knob_range norma_knob_range_of(const norma_problem *problem, norma_limits limits, const norma_blocking *blocking,
                                     norma_knob knob);

int64_t norma_knob_get(const norma_blocking *blocking, norma_knob knob);
void norma_knob_set(norma_blocking *blocking, norma_knob knob, int64_t value);

/* Text of a value, "abreast" or "2304": in *buffer or static storage. And back; false where it is neither. */
const char *norma_knob_text(norma_knob knob, int64_t value, char (*buffer)[24]);
bool norma_knob_parse(norma_knob knob, const char *text, size_t length, int64_t *value);

/* A number of digits only, from 0 to `most` (below 2^59). */
bool norma_decimal(const char *text, size_t length, int64_t most, int64_t *value);

/* NORMA_KNOB_COUNT when all are legal, else the first that is not. */
norma_knob norma_blocking_first_illegal(const norma_problem *problem, norma_limits limits, const norma_blocking *blocking);

/* Legal knobs by chance, the same for the same seed and problem; the instruction set and as many threads as there are. */
norma_blocking norma_blocking_random(const norma_problem *problem, norma_limits limits, uint64_t seed);

/* The values of the knobs that bear on the problem, -1 for others. */
void norma_knobs_of(int64_t knob[NORMA_KNOB_COUNT], const norma_problem *problem, const norma_blocking *blocking);

/* "order abreast, ahead 2304, …": those that are not -1. */
void norma_knobs_describe(const int64_t knob[NORMA_KNOB_COUNT], char *buffer, size_t size);

#endif

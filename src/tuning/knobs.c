#include "tuning/knobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blocking.h"

enum { ROWS = 1 << NORMA_ROWS, PLANES = 1 << NORMA_PLANES, FIBERS = 1 << NORMA_FIBERS };

/* Prefetching further than this is a mistake. */
#define AHEAD_MAX ((int64_t)1 << 28)

static const struct {
    const char *name;
    int geometries; /* that look at it */
} knobs[NORMA_KNOB_COUNT] = {
    [NORMA_KNOB_ISA] = {"isa", ROWS | PLANES | FIBERS},
    [NORMA_KNOB_ORDER] = {"order", ROWS},
    [NORMA_KNOB_GROUP] = {"group", ROWS | PLANES},
    [NORMA_KNOB_STRIP] = {"strip", ROWS | FIBERS},
    [NORMA_KNOB_AHEAD] = {"ahead", ROWS | PLANES | FIBERS},
    [NORMA_KNOB_ROWS] = {"rows", FIBERS},
    [NORMA_KNOB_FORWARD] = {"forward", PLANES | FIBERS},
    [NORMA_KNOB_STREAM] = {"stream", ROWS | PLANES | FIBERS},
    [NORMA_KNOB_THREADS] = {"threads", ROWS | PLANES | FIBERS},
};

static const char *const order_names[] = {[NORMA_PAIRS] = "pairs", [NORMA_ABREAST] = "abreast", [NORMA_GROUPS] = "groups"};

const char *norma_knob_name(norma_knob knob)
{
    return knobs[knob].name;
}

static bool can_go_abreast(const norma_problem *problem)
{
    return problem->length <= NORMA_RUN_LEAF && !norma_rows_have_channels(problem);
}

bool norma_knob_bears(const norma_problem *problem, const norma_blocking *blocking, norma_knob knob)
{
    const bool rows = problem->geometry == NORMA_ROWS;
    if (knob == NORMA_KNOB_GROUP && rows && blocking->order == NORMA_ABREAST) {
        return false;
    }
    if (knob == NORMA_KNOB_STRIP && (rows ? blocking->order != NORMA_GROUPS : problem->fold > 1)) {
        return false; /* a folded matrix is one strip */
    }
    return knobs[knob].geometries >> problem->geometry & 1;
}

static norma_knob_range range(int64_t least, int64_t most, int64_t step)
{
    const norma_knob_range r = {least, most, step};
    return r;
}

/* Groups are written past the caches, rows abreast into them. */
static norma_knob_range range_of_order(const norma_problem *problem, const norma_blocking *blocking)
{
    if (norma_rows_take_turns(problem)) {
        return range(NORMA_PAIRS, NORMA_PAIRS, 1);
    }
    if (blocking->stream) {
        return range(NORMA_PAIRS, NORMA_GROUPS, 1);
    }
    const bool abreast = norma_isa_streams(blocking->isa) && can_go_abreast(problem);
    return range(NORMA_PAIRS, abreast ? NORMA_ABREAST : NORMA_PAIRS, NORMA_ABREAST);
}

static norma_knob_range range_of_group(const norma_problem *problem, const norma_blocking *blocking)
{
    if (problem->geometry == NORMA_PLANES) {
        return range(1, NORMA_SETS_MAX, 1);
    }
    return blocking->order == NORMA_PAIRS ? range(2, NORMA_GROUP_MAX, 2) : range(1, NORMA_GROUP_MAX, 1);
}

static norma_knob_range range_of_strip(const norma_problem *problem)
{
    if (problem->geometry != NORMA_FIBERS) {
        return range(1, problem->length, 1);
    }
    const int64_t group = problem->group, groups = NORMA_STRIP_MAX / group;
    return range(group, groups ? groups * group : group, group);
}

norma_knob_range norma_knob_range_of(const norma_problem *problem, norma_limits limits, const norma_blocking *blocking,
                                     norma_knob knob)
{
    switch (knob) {
    case NORMA_KNOB_ISA: /* generic may have other bits */
        return range(limits.isa > NORMA_ISA_AVX2 && limits.isa <= NORMA_ISA_AVX512_BF16 ? NORMA_ISA_AVX2 : limits.isa,
                     limits.isa, 1);
    case NORMA_KNOB_ORDER:
        return range_of_order(problem, blocking);
    case NORMA_KNOB_GROUP:
        return range_of_group(problem, blocking);
    case NORMA_KNOB_STRIP:
        return range_of_strip(problem);
    case NORMA_KNOB_AHEAD:
        return range(0, AHEAD_MAX, 1);
    case NORMA_KNOB_ROWS:
        return range(0, NORMA_ROWS_MAX, 1);
    case NORMA_KNOB_FORWARD:
        return range(0, 1, 1);
    case NORMA_KNOB_STREAM:
        return range(0, norma_isa_streams(blocking->isa), 1);
    case NORMA_KNOB_THREADS:
        return range(1, limits.threads, 1);
    case NORMA_KNOB_COUNT:
        break;
    }
    return range(0, 0, 1);
}

int64_t norma_knob_get(const norma_blocking *blocking, norma_knob knob)
{
    switch (knob) {
    case NORMA_KNOB_ISA:
        return (int64_t)blocking->isa;
    case NORMA_KNOB_ORDER:
        return (int64_t)blocking->order;
    case NORMA_KNOB_GROUP:
        return blocking->group;
    case NORMA_KNOB_STRIP:
        return blocking->strip;
    case NORMA_KNOB_AHEAD:
        return blocking->ahead;
    case NORMA_KNOB_ROWS:
        return blocking->rows;
    case NORMA_KNOB_FORWARD:
        return blocking->forward;
    case NORMA_KNOB_STREAM:
        return blocking->stream;
    case NORMA_KNOB_THREADS:
        return blocking->threads;
    case NORMA_KNOB_COUNT:
        break;
    }
    return 0;
}

void norma_knob_set(norma_blocking *blocking, norma_knob knob, int64_t value)
{
    switch (knob) {
    case NORMA_KNOB_ISA:
        blocking->isa = (norma_isa)value;
        break;
    case NORMA_KNOB_ORDER:
        blocking->order = (norma_rows_order)value;
        break;
    case NORMA_KNOB_GROUP:
        blocking->group = (int)value;
        break;
    case NORMA_KNOB_STRIP:
        blocking->strip = value;
        break;
    case NORMA_KNOB_AHEAD:
        blocking->ahead = value;
        break;
    case NORMA_KNOB_ROWS:
        blocking->rows = (int)value;
        break;
    case NORMA_KNOB_FORWARD:
        blocking->forward = value;
        break;
    case NORMA_KNOB_STREAM:
        blocking->stream = value;
        break;
    case NORMA_KNOB_THREADS:
        blocking->threads = (int)value;
        break;
    case NORMA_KNOB_COUNT:
        break;
    }
}

/* The words of a knob whose values have names; NULL after the last. */
static const char *word_of(norma_knob knob, int64_t value)
{
    if (knob == NORMA_KNOB_ISA) {
        return value >= NORMA_ISA_GENERIC && value <= NORMA_ISA_NEON ? norma_isa_name((norma_isa)value) : NULL;
    }
    return knob == NORMA_KNOB_ORDER && value >= NORMA_PAIRS && value <= NORMA_ABREAST ? order_names[value] : NULL;
}

const char *norma_knob_text(norma_knob knob, int64_t value, char (*buffer)[24])
{
    const char *word = word_of(knob, value);
    snprintf(*buffer, sizeof *buffer, "%" PRId64, value);
    return word ? word : *buffer;
}

bool norma_decimal(const char *text, size_t length, int64_t most, int64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *value = *value * 10 + (text[i] - '0');
        if (*value > most) {
            return false;
        }
    }
    return length > 0;
}

bool norma_knob_parse(norma_knob knob, const char *text, size_t length, int64_t *value)
{
    if (knob == NORMA_KNOB_ISA || knob == NORMA_KNOB_ORDER) {
        for (*value = knob == NORMA_KNOB_ISA ? NORMA_ISA_GENERIC : NORMA_PAIRS; word_of(knob, *value); ++*value) {
            const char *word = word_of(knob, *value);
            if (strlen(word) == length && memcmp(word, text, length) == 0) {
                return true;
            }
        }
        return false;
    }
    return norma_decimal(text, length, AHEAD_MAX, value);
}

norma_knob norma_blocking_first_illegal(const norma_problem *problem, norma_limits limits, const norma_blocking *blocking)
{
    for (norma_knob knob = 0; knob < NORMA_KNOB_COUNT; knob++) {
        const norma_knob_range legal = norma_knob_range_of(problem, limits, blocking, knob);
        const int64_t value = norma_knob_get(blocking, knob);
        if (norma_knob_bears(problem, blocking, knob) &&
            (value < legal.least || value > legal.most || (value - legal.least) % legal.step != 0)) {
            return knob;
        }
    }
    return NORMA_KNOB_COUNT;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Half of the wide choices are near the least, where the edges are. */
static int64_t pick(uint64_t *state, norma_knob_range legal)
{
    const int64_t steps = (legal.most - legal.least) / legal.step;
    const int64_t span = steps <= 64 || next_random(state) % 2 ? steps : 40;
    const int64_t useful = 20000;
    const uint64_t choices = (uint64_t)(span < useful ? span : useful) + 1;
    return legal.least + legal.step * (int64_t)(next_random(state) % choices);
}

norma_blocking norma_blocking_random(const norma_problem *problem, norma_limits limits, uint64_t seed)
{
    uint64_t state = seed;
    const int64_t facts[] = {problem->geometry, problem->dtype, problem->length, problem->outer, problem->runs};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        state = next_random(&state) ^ (uint64_t)facts[i];
    }
    norma_blocking blocking = norma_blocking_default(problem, limits.isa, limits.threads);
    for (norma_knob knob = NORMA_KNOB_ISA + 1; knob < NORMA_KNOB_THREADS; knob++) {
        if (norma_knob_bears(problem, &blocking, knob)) {
            norma_knob_set(&blocking, knob, pick(&state, norma_knob_range_of(problem, limits, &blocking, knob)));
        }
    }
    blocking.threads = limits.threads;
    return blocking;
}

void norma_knobs_of(int64_t knob[NORMA_KNOB_COUNT], const norma_problem *problem, const norma_blocking *blocking)
{
    for (norma_knob k = 0; k < NORMA_KNOB_COUNT; k++) {
        knob[k] = norma_knob_bears(problem, blocking, k) ? norma_knob_get(blocking, k) : -1;
    }
}

void norma_knobs_describe(const int64_t knob[NORMA_KNOB_COUNT], char *buffer, size_t size)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (norma_knob k = 0; k < NORMA_KNOB_COUNT && used < size; k++) {
        if (knob[k] >= 0) {
            char number[24];
            used += (size_t)snprintf(buffer + used, size - used, "%s%s %s", used ? ", " : "", norma_knob_name(k),
                                     norma_knob_text(k, knob[k], &number));
        }
    }
}

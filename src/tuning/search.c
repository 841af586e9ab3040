#include "tuning/search.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "cpu.h"
#include "dtype.h"

enum { VALUES_MAX = 24 };

/* Values that a knob is to be tried at. */
typedef struct values {
    int64_t value[VALUES_MAX];
    int count;
} values;

static void add_value(values *list, int64_t value)
{
    for (int i = 0; i < list->count; i++) {
        if (list->value[i] == value) {
            return;
        }
    }
    assert(list->count < VALUES_MAX);
    list->value[list->count++] = value;
}

/* The work of a search. */
typedef struct hunt {
    const norma_search *search;
    const norma_problem *problem;
    norma_limits limits;
    int64_t bytes; /* of x and y */
    norma_rig rig;
    norma_race_rules rules;
    norma_blocking best;
} hunt;

static bool thorough(const hunt *h, norma_effort effort)
{
    return h->search->effort >= effort;
}

/* Powers of two, and with more effort what lies half way between. */
static void add_threads(const hunt *h, values *list)
{
    for (int64_t threads = 1; threads < h->limits.threads; threads *= 2) {
        add_value(list, threads);
        if (thorough(h, NORMA_EFFORT_FULL) && threads > 1 && 3 * threads / 2 < h->limits.threads) {
            add_value(list, 3 * threads / 2);
        }
    }
    add_value(list, h->limits.threads);
}

static void add_strips(const hunt *h, values *list)
{
    const int64_t size = (int64_t)norma_dtype_size(h->problem->dtype), group = h->problem->group;
    if (h->problem->geometry == NORMA_ROWS) {
        for (int64_t bytes = 1024; bytes <= 16384; bytes *= 2) {
            add_value(list, bytes / size);
        }
        return;
    }
    for (int64_t strip = 64 / size; strip <= NORMA_STRIP_MAX; strip *= 2) {
        add_value(list, strip / group * group);
    }
    for (int64_t share = 1; share <= 2 * h->best.threads; share *= 2) {
        add_value(list, (h->problem->length / share + group - 1) / group * group);
    }
}

static void add_aheads(const hunt *h, values *list)
{
    const int64_t size = (int64_t)norma_dtype_size(h->problem->dtype), now = h->best.ahead;
    if (h->problem->geometry == NORMA_ROWS) {
        const int64_t pitch = h->problem->kept[0].x_stride;
        static const int rows[] = {1, 2, 3, 4, 6, 8, 12};
        for (int i = 0; i < (thorough(h, NORMA_EFFORT_NORMAL) ? 7 : 5) && pitch < 1 << 20; i++) {
            add_value(list, rows[i] * pitch);
        }
        add_value(list, now / 2);
        add_value(list, now + now / 2);
    }
    add_value(list, 0);
    for (int64_t bytes = 1024; bytes <= 32768; bytes *= thorough(h, NORMA_EFFORT_NORMAL) ? 2 : 4) {
        add_value(list, bytes / size);
    }
}

/* What to try a knob at, given the best so far; that itself is among it. */
static values values_of(const hunt *h, norma_knob knob)
{
    values list = {.count = 0};
    add_value(&list, norma_knob_get(&h->best, knob));
    switch (knob) {
    case NORMA_KNOB_ISA:
        add_value(&list, NORMA_ISA_AVX2);
        break;
    case NORMA_KNOB_ORDER:
        add_value(&list, NORMA_PAIRS);
        add_value(&list, NORMA_ABREAST);
        add_value(&list, NORMA_GROUPS);
        break;
    case NORMA_KNOB_GROUP:
        for (int64_t group = 1; group <= NORMA_SETS_MAX; group *= thorough(h, NORMA_EFFORT_NORMAL) ? 2 : 4) {
            add_value(&list, group);
        }
        add_value(&list, 2);
        break;
    case NORMA_KNOB_STRIP:
        add_strips(h, &list);
        break;
    case NORMA_KNOB_AHEAD:
        add_aheads(h, &list);
        break;
    case NORMA_KNOB_ROWS:
        for (int64_t rows = 1; rows <= NORMA_ROWS_MAX; rows *= 2) {
            add_value(&list, rows);
        }
        break;
    case NORMA_KNOB_STREAM: /* even where it is faster by itself: who reads y next wants it in the caches, if it fits */
        add_value(&list, 0);
        add_value(&list, h->bytes >= norma_cpu()->l3_size / 2);
        break;
    case NORMA_KNOB_FORWARD:
        add_value(&list, 0);
        add_value(&list, 1);
        break;
    case NORMA_KNOB_THREADS:
        add_threads(h, &list);
        break;
    case NORMA_KNOB_COUNT:
        break;
    }
    return list;
}

static bool same_blocking(const hunt *h, const norma_blocking *a, const norma_blocking *b)
{
    for (norma_knob knob = 0; knob < NORMA_KNOB_COUNT; knob++) {
        if (norma_knob_bears(h->problem, a, knob) && norma_knob_get(a, knob) != norma_knob_get(b, knob)) {
            return false;
        }
    }
    return true;
}

static int add_runner(const hunt *h, norma_runner *runners, int count, const norma_blocking *blocking)
{
    if (count == NORMA_RUNNERS_MAX || norma_blocking_first_illegal(h->problem, h->limits, blocking) != NORMA_KNOB_COUNT) {
        return count;
    }
    for (int i = 0; i < count; i++) {
        if (same_blocking(h, &runners[i].blocking, blocking)) {
            return count;
        }
    }
    memset(&runners[count], 0, sizeof runners[count]);
    runners[count].blocking = *blocking;
    return count + 1;
}

/* All that the given knobs can be set to, one knob after the other, from `blocking` on. */
static int add_product(const hunt *h, norma_runner *runners, int count, norma_blocking blocking, const norma_knob *knobs,
                       int left)
{
    if (left == 0) {
        return add_runner(h, runners, count, &blocking);
    }
    const values list = values_of(h, knobs[0]);
    for (int i = 0; i < list.count; i++) {
        norma_blocking with = blocking;
        norma_knob_set(&with, knobs[0], list.value[i]);
        if (knobs[0] == NORMA_KNOB_ORDER && with.order != blocking.order) {
            norma_blocking_set_order(&with, h->problem, with.order);
        }
        count = add_product(h, runners, count, with, knobs + 1, left - 1);
    }
    return count;
}

static void tell(const hunt *h, const norma_knob *knobs, int count, int runners)
{
    char what[128];
    size_t used = (size_t)snprintf(what, sizeof what, "%d ways:", runners);
    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(what + used, sizeof what - used, " %s", norma_knob_name(knobs[i]));
    }
    if (h->search->tell) {
        h->search->tell(h->search->teller, what);
    }
}

/* One stage: the best of all that some knobs can be set to. False when time is up. */
static bool try_knobs(hunt *h, const norma_knob *knobs, int count)
{
    norma_runner runners[NORMA_RUNNERS_MAX];
    int entered = add_runner(h, runners, 0, &h->best);
    entered = add_product(h, runners, entered, h->best, knobs, count);
    if (entered < 2) {
        return true;
    }
    tell(h, knobs, count, entered);
    const int winner = norma_race(&h->rig, runners, entered, &h->rules);
    if (winner >= 0 && (runners[0].out || runners[winner].best < 0.99 * runners[0].best)) {
        h->best = runners[winner].blocking;
    }
    return winner >= 0;
}

static bool try_stages(hunt *h)
{
    static const norma_knob threads[] = {NORMA_KNOB_THREADS},
                            shape_of_rows[] = {NORMA_KNOB_STREAM, NORMA_KNOB_ORDER, NORMA_KNOB_GROUP},
                            shape_of_planes[] = {NORMA_KNOB_STREAM, NORMA_KNOB_GROUP},
                            shape_of_fibers[] = {NORMA_KNOB_STREAM, NORMA_KNOB_STRIP}, ahead[] = {NORMA_KNOB_AHEAD},
                            strip[] = {NORMA_KNOB_STRIP}, writing[] = {NORMA_KNOB_FORWARD, NORMA_KNOB_ROWS},
                            isa[] = {NORMA_KNOB_ISA};
    static const struct {
        norma_geometry geometry;
        const norma_knob *knobs;
        int count;
    } stages[] = {
        {NORMA_ROWS, threads, 1},
        {NORMA_ROWS, shape_of_rows, 3},
        {NORMA_ROWS, ahead, 1},
        {NORMA_ROWS, strip, 1},
        {NORMA_ROWS, isa, 1},
        {NORMA_PLANES, threads, 1},
        {NORMA_PLANES, shape_of_planes, 2},
        {NORMA_PLANES, ahead, 1},
        {NORMA_PLANES, writing, 1},
        {NORMA_PLANES, isa, 1},
        {NORMA_FIBERS, threads, 1},
        {NORMA_FIBERS, shape_of_fibers, 2},
        {NORMA_FIBERS, ahead, 1},
        {NORMA_FIBERS, writing, 2},
        {NORMA_FIBERS, isa, 1},
    };
    for (int round = 0; round < (thorough(h, NORMA_EFFORT_FULL) ? 2 : 1); round++) {
        for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
            if (stages[i].geometry == h->problem->geometry && !try_knobs(h, stages[i].knobs, stages[i].count)) {
                return false;
            }
        }
    }
    return true;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether b beats a by more than the noise: in most pairs of turns, and by its best against how far a's halves lie apart. */
static bool beats(const norma_runner *a, const norma_runner *b)
{
    double ratio[NORMA_REPEATS_MAX], half[2] = {0, 0};
    const int repeats = a->repeats < b->repeats ? a->repeats : b->repeats;
    for (int i = 0; i < repeats; i++) {
        ratio[i] = a->seconds[i] / b->seconds[i];
        half[i % 2] = i < 2 || a->seconds[i] < half[i % 2] ? a->seconds[i] : half[i % 2];
    }
    qsort(ratio, (size_t)repeats, sizeof ratio[0], compare_doubles);
    const double noise = half[0] > half[1] ? half[0] / half[1] - 1 : half[1] / half[0] - 1;
    const double gain = a->best / b->best - 1, least = 0.03;
    return !b->out && ratio[repeats / 4] > 1 + least / 2 && gain > least && gain > 1.5 * noise;
}

/* What pages x and y lie on can decide as much as a knob, unless they are so many that it evens out. The new ones are there
 * before the old ones go, so that they are others. */
static void move_to_fresh_memory(hunt *h, const norma_plan *plan)
{
    const int64_t large = 64 << 20;
    norma_rig fresh;
    if (h->bytes <= large && norma_rig_create(&fresh, plan, h->rules.floor_seconds)) {
        norma_rig_destroy(&h->rig);
        h->rig = fresh;
    }
}

static int64_t nanoseconds(const norma_runner *runner)
{
    const int64_t whole = (int64_t)(runner->best * 1e9 + 0.5);
    return whole < 1 ? 1 : whole;
}

/* The last race. False where not even the built-in rules were timed. */
static bool confirm(hunt *h, const norma_plan *plan, const norma_blocking *built_in, norma_record *record)
{
    norma_runner runners[2] = {{.blocking = *built_in}, {.blocking = h->best}};
    const int count = same_blocking(h, built_in, &h->best) ? 1 : 2;
    norma_race_rules rules = h->rules;
    rules.repeats = thorough(h, NORMA_EFFORT_NORMAL) ? 24 : 16;
    rules.to_the_end = true;
    rules.deadline = h->search->deadline;
    move_to_fresh_memory(h, plan);
    const bool to_the_end = norma_race(&h->rig, runners, count, &rules) >= 0;
    if (runners[0].out || runners[0].repeats == 0 || (rules.stop && *rules.stop)) {
        return false;
    }
    record->tuned = to_the_end && count == 2 && beats(&runners[0], &runners[1]);
    record->default_ns = nanoseconds(&runners[0]);
    record->tuned_ns = record->tuned ? nanoseconds(&runners[1]) : record->default_ns;
    record->effort = to_the_end ? h->search->effort : NORMA_EFFORT_PARTIAL;
    return true;
}

static norma_search_end run_hunt(hunt *h, const norma_plan *plan, norma_record *record)
{
    const norma_blocking built_in = norma_blocking_default(h->problem, h->limits.isa, h->limits.threads);
    h->best = built_in;
    const bool all = try_stages(h);
    if ((h->rules.stop && *h->rules.stop) || !confirm(h, plan, &built_in, record)) {
        return NORMA_SEARCH_STOPPED;
    }
    norma_facts_of(record->fact, h->problem, h->limits);
    norma_record_take(record, h->problem, record->tuned ? &h->best : NULL);
    record->effort = all ? record->effort : NORMA_EFFORT_PARTIAL;
    record->name[0] = '\0';
    return NORMA_SEARCH_DONE;
}

norma_search_end norma_search_run(const norma_search *search, const norma_plan *plan, norma_record *record)
{
    static const double floors[] = {0, 0.2e-3, 0.2e-3, 0.4e-3, 1e-3}, kept = 0.3; /* of the time, for the last race */
    const double now = norma_clock();
    hunt h = {
        .search = search,
        .problem = &plan->problem,
        .limits = norma_plan_limits(plan),
        .bytes = (plan->problem.x_span + plan->problem.y_span) * (int64_t)norma_dtype_size(plan->problem.dtype),
        .rules = {.floor_seconds = floors[search->effort],
                  .repeats = search->effort == NORMA_EFFORT_QUICK ? 8 : 10,
                  .deadline = search->deadline - kept * (search->deadline - now),
                  .stop = search->stop},
    };
    norma_plan start = *plan;
    norma_plan_set_blocking(&start, norma_blocking_default(h.problem, h.limits.isa, h.limits.threads));
    if (!norma_rig_fits(plan)) {
        return NORMA_SEARCH_NO_MEMORY;
    }
    const double touched = 1e9; /* bytes a second at least, when memory is first written to */
    if ((double)h.bytes * 1.5 / touched > search->deadline - now) {
        return NORMA_SEARCH_STOPPED;
    }
    if (!norma_rig_create(&h.rig, &start, h.rules.floor_seconds)) {
        return NORMA_SEARCH_NO_MEMORY;
    }
    const norma_search_end end = run_hunt(&h, &start, record);
    norma_rig_destroy(&h.rig);
    return end;
}

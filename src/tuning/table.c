#include "tuning/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MOST ((int64_t)1 << 56)

/* Neighbours lie less than half a power of two apart. */
#define NEAR 1.4143

/* Where scale and shift lie, as far as it matters to speed. */
enum { SCALING_NONE, SCALING_ALONG, SCALING_CHANNEL, SCALING_CHANNELS };

static const char *const geometry_words[] = {"rows", "planes", "fibers", NULL};
static const char *const statistic_words[] = {"moments", "squares", "magnitudes", NULL};
static const char *const dtype_words[] = {"", "f32", "f64", "bf16", "f16", "s8", "u8", NULL};
static const char *const scaling_words[] = {"none", "along", "channel", "channels", NULL};
static const char *const epilogue_words[] = {"none", "clamp", "any", "sum", "sum+clamp", "sum+any", NULL};
static const char *const truth_words[] = {"no", "yes", NULL};
static const char *const isa_words[] = {"", "generic", "avx2", "avx512", "avx512_bf16", "neon", NULL};

static const struct {
    const char *name;
    const char *const *words; /* by value; NULL: a number */
} facts[NORMA_FACT_COUNT] = {
    [NORMA_FACT_GEOMETRY] = {"geometry", geometry_words},
    [NORMA_FACT_STATISTIC] = {"statistic", statistic_words},
    [NORMA_FACT_DTYPE] = {"dtype", dtype_words},
    [NORMA_FACT_SCALING] = {"scaling", scaling_words},
    [NORMA_FACT_GIVEN] = {"given", truth_words},
    [NORMA_FACT_DENSE] = {"dense", truth_words},
    [NORMA_FACT_EPILOGUE] = {"epilogue", epilogue_words},
    [NORMA_FACT_ISA] = {"isa", isa_words},
    [NORMA_FACT_THREADS] = {"threads", NULL},
    [NORMA_FACT_LENGTH] = {"length", NULL},
    [NORMA_FACT_OUTER] = {"outer", NULL},
    [NORMA_FACT_RUNS] = {"runs", NULL},
    [NORMA_FACT_COLUMNS] = {"columns", NULL},
};

_Static_assert(NORMA_MAGNITUDES == 2 && NORMA_FIBERS == 2 && NORMA_F16 == 4 && NORMA_ISA_NEON == 5,
               "the words above go by these values");

const char *norma_fact_name(norma_fact fact)
{
    return facts[fact].name;
}

const char *norma_fact_text(norma_fact fact, int64_t value, char (*buffer)[24])
{
    if (facts[fact].words) {
        return facts[fact].words[value];
    }
    snprintf(*buffer, sizeof *buffer, "%" PRId64, value);
    return *buffer;
}

bool norma_fact_parse(norma_fact fact, const char *text, size_t length, int64_t *value)
{
    const char *const *words = facts[fact].words;
    for (int k = 0; words && words[k]; k++) {
        if (length > 0 && strlen(words[k]) == length && memcmp(words[k], text, length) == 0) {
            *value = k;
            return true;
        }
    }
    return !words && norma_decimal(text, length, SIZE_MOST, value) && *value > 0;
}

static int64_t scaling_of(const norma_problem *problem)
{
    if (!problem->takes_scale) {
        return SCALING_NONE;
    }
    if (!problem->channels || problem->geometry == NORMA_FIBERS) {
        return SCALING_ALONG;
    }
    return problem->per_channel < problem->length ? SCALING_CHANNELS : SCALING_CHANNEL;
}

/* As far as it matters to blocking. */
static int64_t epilogue_of(const norma_problem *problem)
{
    enum { NONE, CLAMP, ANY, SUM };
    const norma_epilogue *e = &problem->epilogue;
    const int64_t after = !e->any ? NONE : e->clamps ? CLAMP : ANY;
    return problem->sums ? SUM + after : after;
}

void norma_facts_of(int64_t fact[NORMA_FACT_COUNT], const norma_problem *problem, norma_limits limits)
{
    const bool rows = problem->geometry == NORMA_ROWS;
    const norma_axis *pitch = &problem->kept[0];
    fact[NORMA_FACT_GEOMETRY] = (int64_t)problem->geometry;
    fact[NORMA_FACT_STATISTIC] = (int64_t)problem->normalizer.statistic;
    fact[NORMA_FACT_DTYPE] = (int64_t)problem->dtype;
    fact[NORMA_FACT_SCALING] = scaling_of(problem);
    fact[NORMA_FACT_GIVEN] = problem->given;
    fact[NORMA_FACT_DENSE] = !rows || (pitch->x_stride == problem->length && pitch->y_stride == problem->length);
    fact[NORMA_FACT_EPILOGUE] = epilogue_of(problem);
    fact[NORMA_FACT_ISA] = (int64_t)limits.isa;
    fact[NORMA_FACT_THREADS] = limits.threads;
    fact[NORMA_FACT_LENGTH] = problem->length;
    fact[NORMA_FACT_OUTER] = problem->outer;
    fact[NORMA_FACT_RUNS] = problem->runs;
    fact[NORMA_FACT_COLUMNS] = problem->group;
}

static int compare_facts(const int64_t *a, const int64_t *b, int count)
{
    for (int k = 0; k < count; k++) {
        if (a[k] != b[k]) {
            return a[k] < b[k] ? -1 : 1;
        }
    }
    return 0;
}

/* The first record whose leading `count` facts are not less. */
static size_t first_not_less(const norma_table *table, const int64_t *fact, int count)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_facts(table->records[middle].fact, fact, count) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool norma_table_add(norma_table *table, const norma_record *record)
{
    const size_t at = first_not_less(table, record->fact, NORMA_FACT_COUNT);
    if (at < table->count && compare_facts(table->records[at].fact, record->fact, NORMA_FACT_COUNT) == 0) {
        table->records[at] = *record;
        return true;
    }
    if (table->count == NORMA_RECORDS_MAX) {
        return false;
    }
    if (table->count == table->room) {
        const size_t room = table->room ? 2 * table->room : 64;
        norma_record *more = realloc(table->records, room * sizeof *more);
        if (!more) {
            return false;
        }
        table->records = more;
        table->room = room;
    }
    memmove(table->records + at + 1, table->records + at, (table->count - at) * sizeof *table->records);
    table->records[at] = *record;
    table->count++;
    return true;
}

const norma_record *norma_table_exact(const norma_table *table, const int64_t fact[NORMA_FACT_COUNT])
{
    const size_t at = first_not_less(table, fact, NORMA_FACT_COUNT);
    return at < table->count && compare_facts(table->records[at].fact, fact, NORMA_FACT_COUNT) == 0 ? &table->records[at]
                                                                                                    : NULL;
}

/* How far apart two sizes are, as a factor of 1 and more. */
static double factor_of(double a, double b)
{
    return a > b ? a / b : b / a;
}

/* How far apart two problems of one kind are: 0 for the same. False where one cannot serve the other. */
static bool distance_of(const int64_t *a, const int64_t *b, double *distance)
{
    double size_a = 1, size_b = 1;
    *distance = 0;
    for (int k = NORMA_FACT_SIZES; k < NORMA_FACT_COUNT; k++) {
        const double factor = factor_of((double)a[k], (double)b[k]);
        if (factor > NEAR) {
            return false;
        }
        *distance += factor - 1;
        size_a *= k == NORMA_FACT_COLUMNS ? 1 : (double)a[k];
        size_b *= k == NORMA_FACT_COLUMNS ? 1 : (double)b[k];
    }
    return factor_of(size_a, size_b) <= NEAR;
}

const norma_record *norma_table_nearest(const norma_table *table, const int64_t fact[NORMA_FACT_COUNT])
{
    const norma_record *nearest = NULL;
    double least = 0;
    int64_t from[NORMA_FACT_COUNT];
    memcpy(from, fact, sizeof from);
    from[NORMA_FACT_LENGTH] = (int64_t)((double)fact[NORMA_FACT_LENGTH] / NEAR); /* the first size that they are sorted by */
    for (size_t i = first_not_less(table, from, NORMA_FACT_LENGTH + 1); i < table->count; i++) {
        const norma_record *record = &table->records[i];
        double distance;
        if (compare_facts(record->fact, fact, NORMA_FACT_SIZES) != 0 ||
            (double)record->fact[NORMA_FACT_LENGTH] > NEAR * (double)fact[NORMA_FACT_LENGTH]) {
            break;
        }
        if (distance_of(record->fact, fact, &distance) && (!nearest || distance < least)) {
            nearest = record;
            least = distance;
        }
    }
    return nearest;
}

void norma_table_free(norma_table *table)
{
    free(table->records);
    memset(table, 0, sizeof *table);
}

bool norma_record_apply(const norma_record *record, const norma_problem *problem, norma_limits limits, norma_blocking *blocking)
{
    norma_blocking made = *blocking;
    for (norma_knob knob = 0; record->tuned && knob < NORMA_KNOB_COUNT; knob++) {
        if (record->knob[knob] >= 0 && norma_knob_bears(problem, &made, knob)) {
            norma_knob_set(&made, knob, record->knob[knob]);
            if (norma_knob_get(&made, knob) != record->knob[knob]) {
                return false;
            }
        }
    }
    if (norma_blocking_first_illegal(problem, limits, &made) != NORMA_KNOB_COUNT) {
        return false;
    }
    *blocking = made;
    return true;
}

void norma_record_take(norma_record *record, const norma_problem *problem, const norma_blocking *blocking)
{
    for (norma_knob knob = 0; knob < NORMA_KNOB_COUNT; knob++) {
        record->knob[knob] = -1;
    }
    if (blocking) {
        norma_knobs_of(record->knob, problem, blocking);
    }
}

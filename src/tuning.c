#include "tuning.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "error.h"

norma_status norma_tuning_init(norma_tuning *tuning, const char *setting)
{
    static const char random[] = "random:";
    memset(tuning, 0, sizeof *tuning);
    if (!setting) {
        snprintf(tuning->source, sizeof tuning->source, "built-in rules from the cache sizes");
        return NORMA_SUCCESS;
    }
    const char *digits = strncmp(setting, random, sizeof random - 1) == 0 ? setting + sizeof random - 1 : "";
    char *end;
    errno = 0;
    tuning->seed = strtoull(digits, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end || errno) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "NORMA_TUNING: expected random:SEED with a number, got '%.40s'", setting);
    }
    tuning->random = true;
    snprintf(tuning->source, sizeof tuning->source, "knobs by chance, seed %llu (NORMA_TUNING)",
             (unsigned long long)tuning->seed);
    return NORMA_SUCCESS;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* From `least` to `most`. */
static int64_t pick(uint64_t *state, int64_t least, int64_t most)
{
    return least + (int64_t)(next_random(state) % (uint64_t)(most - least + 1));
}

static norma_blocking choose_randomly(uint64_t seed, const norma_problem *problem, norma_isa isa, int threads)
{
    uint64_t state = seed;
    const int64_t facts[] = {problem->geometry, problem->dtype, problem->length, problem->outer, problem->runs};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        state = next_random(&state) ^ (uint64_t)facts[i];
    }
    const bool streams = norma_isa_streams(isa);
    norma_blocking blocking = {
        .stream = streams && pick(&state, 0, 1), .ahead = pick(&state, 0, 2) * pick(&state, 0, 9000), .threads = threads};
    if (problem->geometry == NORMA_ROWS) {
        blocking.order = streams ? (norma_rows_order)pick(&state, NORMA_PAIRS, NORMA_GROUPS) : NORMA_PAIRS;
        blocking.group = blocking.order == NORMA_PAIRS ? 2 * (int)pick(&state, 1, NORMA_GROUP_MAX / 2)
                                                       : (int)pick(&state, 1, NORMA_GROUP_MAX);
        blocking.strip = pick(&state, 1, pick(&state, 0, 1) ? 40 : 4000);
    } else if (problem->geometry == NORMA_PLANES) {
        blocking.group = (int)pick(&state, 1, NORMA_SETS_MAX);
    } else if (problem->fold > 1) {
        blocking.strip = problem->length;
    } else {
        const int64_t groups = NORMA_STRIP_MAX / problem->group;
        blocking.strip = problem->group * (groups ? pick(&state, 1, groups) : 1);
    }
    return blocking;
}

norma_blocking norma_tuning_choose(const norma_tuning *tuning, const norma_problem *problem, norma_isa isa, int threads)
{
    return tuning->random && !problem->empty ? choose_randomly(tuning->seed, problem, isa, threads)
                                             : norma_blocking_default(problem, isa, threads);
}

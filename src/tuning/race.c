#define _XOPEN_SOURCE 700 /* clock_gettime */
#include "tuning/race.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"

double norma_clock(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Room for a tensor, and between it and the next as much as may be prefetched past its end: a cache line that one thread
 * prefetches and another one writes costs both. */
static size_t padded(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096 + 65536;
}

/* Numbers between 1 and 2: their values do not matter, if only none is denormal. Touches every page. */
static void fill(norma_dtype dtype, void *tensor, size_t bytes)
{
    enum { PATTERN = 4093 };
    const size_t size = norma_dtype_size(dtype), count = bytes / size, first = count < PATTERN ? count : PATTERN;
    uint32_t state = 1;
    for (size_t i = 0; i < first; i++) {
        state = state * 1664525 + 1013904223; /* Numerical Recipes */
        norma_dtype_set(dtype, tensor, (int64_t)i, 1 + (double)(state >> 9) * 0x1p-23);
    }
    for (size_t done = first; done < count;) {
        const size_t more = count - done < done ? count - done : done;
        memcpy((char *)tensor + done * size, tensor, more * size);
        done += more;
    }
}

static void run_for(norma_rig *rig, int64_t runs)
{
    for (int64_t i = 0; i < runs; i++) {
        norma_run(&rig->plan, &rig->args);
    }
}

/* How many runs last as long as the clock wants. */
static void count_runs(norma_rig *rig, double floor_seconds)
{
    run_for(rig, 1);
    for (rig->runs = 1; rig->runs < (int64_t)1 << 30; rig->runs *= 2) {
        const double start = norma_clock();
        run_for(rig, rig->runs);
        if (norma_clock() - start >= floor_seconds) {
            break;
        }
    }
    /* After another's streaming stores it takes several runs until the caches hold what they can. */
    const int64_t bytes =
        norma_operand_bytes(&rig->plan.operands[NORMA_OPERAND_X]) + norma_operand_bytes(&rig->plan.operands[NORMA_OPERAND_Y]);
    const double start = norma_clock();
    run_for(rig, 1);
    rig->warm_seconds = bytes < norma_cpu()->l3_size ? 4 * (norma_clock() - start) : 0;
}

/* What a timed run is given: all inputs that the plan takes, y and, as those who add a residual want it, the sum. */
static bool is_lent(const norma_operand *operand)
{
    const bool wanted = operand->field == offsetof(norma_args, y) || operand->field == offsetof(norma_args, sum);
    return operand->taken && (!operand->output || operand->needed || wanted);
}

/* Of all that, in bytes. */
static size_t lent_bytes(const norma_plan *plan)
{
    size_t all = 0;
    for (int i = 0; i < plan->operands_count; i++) {
        all += is_lent(&plan->operands[i]) ? padded((size_t)norma_operand_bytes(&plan->operands[i])) : 0;
    }
    return all;
}

bool norma_rig_fits(const norma_plan *plan)
{
    const size_t bytes = lent_bytes(plan) + (size_t)norma_operand_bytes(&plan->operands[NORMA_OPERAND_Y]);
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages <= 0 || size <= 0 || bytes / 3 * 4 / (size_t)size < (size_t)pages;
}

/* Runs the plan once with all that it can store, into what was spoilt before. */
static void compute(norma_rig *rig)
{
    memset(rig->args.y, 0xff, rig->y_bytes);
    memset(rig->saved, 0xff, rig->saved_bytes);
    norma_args args = rig->args;
    args.mean = rig->plan.problem.takes_mean ? rig->saved : NULL;
    args.rstd = rig->plan.problem.given ? NULL : rig->saved + rig->saved_bytes / 2;
    norma_run(&rig->plan, &args);
}

bool norma_rig_create(norma_rig *rig, const norma_plan *plan, double floor_seconds)
{
    const norma_problem *problem = &plan->problem;
    const norma_operand *operands = plan->operands;
    const size_t y = (size_t)norma_operand_bytes(&operands[NORMA_OPERAND_Y]);
    const size_t saved = 2 * (size_t)problem->sets * norma_dtype_size(problem->statistic_dtype);
    const size_t all = lent_bytes(plan) + padded(y) + 2 * padded(saved);
    memset(rig, 0, sizeof *rig);
    rig->memory = norma_rig_fits(plan) ? aligned_alloc(4096, all) : NULL;
    if (!rig->memory) {
        return false;
    }
    char *at = rig->memory;
    rig->plan = *plan;
    rig->args = (norma_args){.struct_size = sizeof rig->args};
    for (int i = 0; i < plan->operands_count; i++) {
        if (is_lent(&operands[i])) {
            fill(operands[i].dtype, at, (size_t)norma_operand_bytes(&operands[i]));
            norma_operand_set(&operands[i], &rig->args, at);
            at += padded((size_t)norma_operand_bytes(&operands[i]));
        }
    }
    rig->y_bytes = y;
    rig->saved_bytes = saved;
    rig->expected = at;
    rig->saved = at + padded(y);
    rig->expected_saved = rig->saved + padded(saved);
    count_runs(rig, floor_seconds);
    compute(rig);
    memcpy(rig->expected, rig->args.y, rig->y_bytes);
    memcpy(rig->expected_saved, rig->saved, rig->saved_bytes);
    return true;
}

void norma_rig_destroy(norma_rig *rig)
{
    free(rig->memory);
    rig->memory = NULL;
}

/* Whether the blocking computes every bit as the built-in rules do. */
static bool computes_the_same(norma_rig *rig)
{
    compute(rig);
    return memcmp(rig->args.y, rig->expected, rig->y_bytes) == 0 &&
           memcmp(rig->saved, rig->expected_saved, rig->saved_bytes) == 0;
}

static void time_runner(norma_rig *rig, norma_runner *runner)
{
    norma_plan_set_blocking(&rig->plan, runner->blocking);
    if (runner->repeats == 0 && !computes_the_same(rig)) {
        runner->out = true;
        return;
    }
    const double warm = norma_clock();
    do {
        run_for(rig, 1);
    } while (norma_clock() - warm < rig->warm_seconds);
    const double start = norma_clock();
    run_for(rig, rig->runs);
    const double seconds = (norma_clock() - start) / (double)rig->runs;
    runner->best = runner->repeats == 0 || seconds < runner->best ? seconds : runner->best;
    runner->seconds[runner->repeats++] = seconds;
}

static int fastest_of(const norma_runner *runners, int count)
{
    int fastest = 0;
    for (int i = 1; i < count; i++) {
        if (!runners[i].out && (runners[fastest].out || runners[i].best < runners[fastest].best)) {
            fastest = i;
        }
    }
    return fastest;
}

/* The more often all have been timed, the less behind the fastest one may lie. */
static void drop_the_slow(norma_runner *runners, int count, int repeats)
{
    const double best = runners[fastest_of(runners, count)].best;
    const double far = repeats < 2 ? 1.5 : repeats < 4 ? 1.15 : 1.06;
    for (int i = 0; i < count; i++) {
        runners[i].out = runners[i].out || runners[i].best > far * best;
    }
}

int norma_race(norma_rig *rig, norma_runner *runners, int count, const norma_race_rules *rules)
{
    for (int repeat = 1; repeat <= rules->repeats; repeat++) {
        for (int i = 0; i < count; i++) {
            if ((rules->stop && *rules->stop) || norma_clock() > rules->deadline) {
                return -1; /* what was timed stays in the runners */
            }
            if (!runners[i].out) {
                time_runner(rig, &runners[i]);
            }
        }
        if (!rules->to_the_end) {
            drop_the_slow(runners, count, repeat);
        }
    }
    return fastest_of(runners, count);
}

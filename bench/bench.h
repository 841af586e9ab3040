/*
 * norma-bench: what its C files and the Google Benchmark harness (harness.cc) share.
 *
 * Each case (cases/) makes a problem. A path is one way to compute a problem: norma itself,
 * the unfused passes, a plain copy as the yardstick, later the peers. The harness crosses problems, paths and thread counts,
 * checks what each computes, and only then times it.
 */
#ifndef NORMA_BENCH_H
#define NORMA_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sets.h"
#include "norma/norma.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Problems */

enum { BENCH_SENTENCE_MAX = CASE_SENTENCE_MAX };

/* Where the reduced sets lie, in elements. Set k begins at k / inner * outer_stride + k % inner * inner_stride and has
 * `pieces` pieces, piece_stride apart, of `length` elements, step apart; scale and shift are indexed by the latter. */
typedef struct bench_sets {
    int64_t count;
    int64_t inner;
    int64_t outer_stride;
    int64_t inner_stride;
    int64_t pieces;
    int64_t piece_stride;
    int64_t length;
    int64_t step;
} bench_sets;

typedef struct bench_problem {
    char name[CASE_NAME_MAX]; /* "layer_norm/f32/rows/512x1024" */
    case_spec spec;
    norma_desc desc;
    case_layout layout;
    bench_sets sets;
    int64_t elements; /* of x */
    int64_t samples;
    size_t element_size;
    size_t y_size;
    size_t lane_size;    /* of scale, shift, modulation and statistics */
    double useful_bytes; /* x, a residual (or dy) and a gate read once, y and a sum written once: what GB/s counts */
    bool scale, shift;   /* whether the op takes them */
    bool given;          /* whether it takes statistics, one per set */
    bool backward;       /* y is the gradient of x, and residual that of y */
    bool quick;
} bench_problem;

void bench_problem_make(bench_problem *problem, const case_spec *spec);

static inline bool bench_is_integer(norma_dtype dtype)
{
    return dtype == NORMA_S8 || dtype == NORMA_U8;
}

/* Whether no peer has it in one call. */
static inline bool bench_is_norma_only(const bench_problem *problem)
{
    const case_spec *spec = &problem->spec;
    return spec->modulated || spec->residual_gated || spec->gated || spec->y_dtype != spec->dtype;
}

/* Whether something is fused to the norm itself. */
static inline bool bench_has_epilogue(const bench_problem *problem)
{
    return problem->desc.activation != NORMA_IDENTITY || problem->desc.residual != NORMA_RESIDUAL_NONE ||
           bench_is_norma_only(problem);
}

/* Tensors */

typedef struct bench_tensors {
    void *x, *y, *scale, *shift;
    void *mean, *variance;                                     /* given ones */
    void *residual, *sum;                                      /* where the problem has them */
    void *residual_gate, *modulation_scale, *modulation_shift; /* likewise; a row for each sample */
    void *gate;
    void *y_scale, *y_zero_point; /* of integers */
    void *between;                /* for what an unfused path has between its steps, where y cannot hold that: lanes */
} bench_tensors;

/* Allocates on 64-byte boundaries and fills, so that every page is there before anything is timed. False with a
 * sentence where the machine has too little memory. */
bool bench_tensors_create(bench_tensors *tensors, const bench_problem *problem, int threads, char *sentence);
void bench_tensors_destroy(bench_tensors *tensors);

/* Makes every element of y one that no path computes, so that an element left out fails the check. */
void bench_tensors_spoil(const bench_tensors *tensors, const bench_problem *problem);

/* Whether y is right, against a two-pass reference in double on a sample of the sets; else a sentence. Within norma's own
 * bound, or for a peer within one that catches what is wrong and not what is rounded otherwise. */
bool bench_check(const bench_tensors *tensors, const bench_problem *problem, bool peer, char *sentence);
/* Whether all has been copied. */
bool bench_check_copy(const bench_tensors *tensors, const bench_problem *problem, char *sentence);

/* Paths */

typedef enum bench_ready {
    BENCH_READY,
    BENCH_ABSENT, /* not for this machine, op or build: no case */
    BENCH_BROKEN  /* should have worked: the case fails, with a sentence */
} bench_ready;

/* One way to compute. Peers become further paths: an adapter fills in this struct. */
typedef struct bench_path {
    const char *name;
    const char *variant; /* of several paths with one name the fastest is reported, and its variant named; NULL: none */
    int argument;        /* for prepare */
    const char *tuning;  /* for norma's own paths: as norma_context_options has it */
    bool exact_copy;     /* y must equal x */
    bool fuller;         /* only when asked for, by name or by --full */
    /* Whether there is such a case at all, told from the machine without any tensor. */
    bool (*exists)(const struct bench_path *path, const bench_problem *problem);
    /* Sets up what may allocate. label, BENCH_SENTENCE_MAX bytes and "" before, may get what was chosen ("avx512"). */
    bench_ready (*prepare)(void **state, const struct bench_path *path, const bench_problem *problem,
                           const bench_tensors *tensors, int threads, char *label, char *sentence);
    /* What is timed. */
    bool (*run)(void *state);
    void (*release)(void *state);
    bool peer; /* another library: only with --peers; one that has not the case, or is wrong, is no failure of norma's */
    void (*collect)(
        void *state); /* for the check: what the last run gave, to y, where it cannot be told where to write; or NULL */
} bench_path;

extern const bench_path bench_paths[];
extern const size_t bench_path_count;

/* Whether path i is the first of its name: names are columns and option words, variants are not. */
bool bench_path_leads(size_t index);

/* The adapters' functions, for the table of paths. */
bool bench_norma_exists(const bench_path *path, const bench_problem *problem);
bench_ready bench_norma_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                const bench_tensors *tensors, int threads, char *label, char *sentence);
bool bench_norma_run(void *state);
void bench_norma_release(void *state);

bool bench_steps_exists(const bench_path *path, const bench_problem *problem);
bench_ready bench_steps_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                const bench_tensors *tensors, int threads, char *label, char *sentence);
bool bench_steps_run(void *state);
void bench_steps_release(void *state);

bool bench_unfused_exists(const bench_path *path, const bench_problem *problem);
bench_ready bench_unfused_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                  const bench_tensors *tensors, int threads, char *label, char *sentence);
bool bench_unfused_run(void *state);
void bench_unfused_release(void *state);

typedef enum bench_copy_kind { BENCH_COPY_LIBC, BENCH_COPY_PLAIN, BENCH_COPY_STREAMING } bench_copy_kind;

/* What the copies copy: in place of x and y, and in place of a residual and a sum, or a gate. */
typedef struct bench_copy_side {
    const void *from;
    void *into;
    size_t bytes;
} bench_copy_side;
bench_copy_side bench_copy_sides(const bench_tensors *tensors, const bench_problem *problem);
bench_copy_side bench_copy_rest(const bench_tensors *tensors, const bench_problem *problem);

bool bench_copy_exists(const bench_path *path, const bench_problem *problem);
bench_ready bench_copy_prepare(void **state, const bench_path *path, const bench_problem *problem, const bench_tensors *tensors,
                               int threads, char *label, char *sentence);
bool bench_copy_run(void *state);
void bench_copy_release(void *state);

/* Threads: calls task(argument, index, count) for each index below count, each on a thread of its own, and waits. */
typedef void (*bench_task)(void *argument, int index, int count);
void bench_parallel(int count, bench_task task, void *argument);

/* How many of `threads` are worth waking for this problem, as norma decides it for itself: a copy of a few KB on two
 * threads is slower than on one, and would make a poor yardstick. */
int bench_threads_worth(const bench_problem *problem, int threads);

/* The threads a default context uses: one per core, 1 in a build without OpenMP. */
int bench_cores(void);

/* Whether this build can run more threads than one. */
bool bench_threaded(void);

/* Task `index` of `count` gets [*first, *last) of `total`, in whole grains but for the end. */
void bench_share(int64_t total, int64_t grain, int index, int count, int64_t *first, int64_t *last);

/* The best instruction set in force: NORMA_ISA may have lowered it. */
norma_isa bench_isa(void);

/* The roofline: what reading and copying reach at each level of the memory hierarchy. */

typedef enum bench_level { BENCH_L1, BENCH_L2, BENCH_L3, BENCH_MEMORY, BENCH_LEVELS } bench_level;
typedef enum bench_pass { BENCH_READ, BENCH_COPY, BENCH_STREAM, BENCH_PASSES } bench_pass;

typedef struct bench_roofline {
    int threads;
    double speed[BENCH_LEVELS][BENCH_PASSES]; /* bytes read and written, per second; 0: no such level or pass here */
} bench_roofline;

/* Takes about half a second. False with a sentence where memory is short. */
bool bench_roofline_measure(bench_roofline *roofline, int threads, char *sentence);

/* The faster copy at a level: a norm that has arithmetic to spare runs at that. */
double bench_roofline_at(const bench_roofline *roofline, bench_level level);

/* The innermost level that so many bytes fit in when that many threads share them. */
bench_level bench_level_of(double bytes, int threads);
int64_t bench_level_size(bench_level level); /* of one core, or shared for L3; 0: unknown, or memory */
const char *bench_level_name(bench_level level);
const char *bench_pass_name(bench_pass pass);

/* The table after a run */

typedef struct bench_cell {
    bool timed, failed;
    bool noisy;    /* the machine did something else meanwhile */
    double median; /* seconds for one run, over the repetitions */
    double spread; /* of the middle half of them, as a part of the median */
} bench_cell;

enum { BENCH_PATHS_MAX = 24 };

typedef struct bench_line {
    char name[CASE_NAME_MAX];
    double useful_bytes;
    int threads;
    bench_level level;
    double roof;                       /* bytes per second that can be had there; 0: not measured */
    double one_thread;                 /* seconds of the fused path with one thread; 0: not measured */
    bench_cell cells[BENCH_PATHS_MAX]; /* by index of the path that leads its name */
} bench_line;

/* Tuned over untuned has a column where anything was timed untuned, or where `tuned` says so. */
void bench_table_print(FILE *out, const bench_line *lines, size_t count, bool tuned);

/* Options */

enum { BENCH_WORDS_MAX = 16 };

typedef struct bench_words {
    const char *text[BENCH_WORDS_MAX];
    size_t length[BENCH_WORDS_MAX]; /* the words are parts of one argument */
    size_t count;                   /* 0: the option was not given, anything goes */
} bench_words;

typedef struct bench_options {
    bool quick, full, peers, list, help;
    bool tuned; /* tuned over default, and nothing else */
    bench_words op, dtype, path;
    const char *shapes, *model; /* NULL: the cases that come with norma */
    const char *compare, *with; /* JSON of runs */
    int threads[BENCH_WORDS_MAX];
    size_t threads_count;
} bench_options;

/* Takes our options out of argv; what is left is for Google Benchmark. False with a sentence on anything else. */
bool bench_options_parse(bench_options *options, int *argc, char **argv, char *sentence);
bool bench_words_allow(const bench_words *words, const char *word);
void bench_help_print(FILE *out);

/* The cases that the options name, without regard to op and type; the caller frees the set. */
bool bench_cases(case_set *set, const bench_options *options, char *sentence);

#ifdef __cplusplus
}
#endif

#endif

/*
 * norma-tune: searches the best knobs for a list of cases and writes them to the tuning file of this machine.
 *
 *     options.c    the command line
 *     session.c    the cases, one after the other
 *     output.c     the file: one tuner at a time, and nothing lost
 *     progress.c   how far it is
 *     report.c     what is in a file, and whether it is in force
 */
#ifndef NORMA_TUNE_H
#define NORMA_TUNE_H

#include <signal.h>
#include <stdio.h>

#include "sets.h"
#include "tuning/search.h"
#include "tuning/store.h"

enum {
    TUNE_DONE = 0,
    TUNE_FAILED = 1,       /* the machine, or --check says no */
    TUNE_MISTAKE = 2,      /* the command line, or a file it names */
    TUNE_INTERRUPTED = 130 /* as shells have it for Ctrl-C */
};

enum { TUNE_THREADS_MAX = 16 };

typedef enum tune_task { TUNE_MEASURE, TUNE_DRY_RUN, TUNE_SHOW, TUNE_CHECK, TUNE_HELP, TUNE_VERSION } tune_task;

typedef struct tune_options {
    tune_task task;
    norma_effort effort;
    bool again;         /* measure what the file knows, too */
    bool quick_cases;   /* only those */
    const char *ops;    /* with commas; NULL: all */
    const char *shapes; /* a file */
    const char *models; /* with commas */
    int threads[TUNE_THREADS_MAX];
    int threads_count;
    double seconds; /* at most, for all; 0: no limit */
    char path[NORMA_PATH_ROOM];
} tune_options;

/* TUNE_DONE, or TUNE_MISTAKE after a sentence on stderr. */
int tune_options_parse(tune_options *options, int argc, char **argv);
void tune_print_help(void);

/* The cases meant, quick ones first; the caller frees them. TUNE_DONE, or a status after a sentence on stderr. */
int tune_cases(const tune_options *options, case_spec **specs, size_t *count);

/* Whether the user wants to stop. */
bool tune_stopped(void);

/* One line on stderr; returns status. */
int tune_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

int tune_measure(const tune_options *options);
int tune_dry_run(const tune_options *options);
int tune_show(const tune_options *options);
int tune_check(const tune_options *options);

/* A file to write to. */
typedef struct tune_output {
    char path[NORMA_PATH_ROOM];
    int lock;
    char lock_path[NORMA_PATH_ROOM + 8];
    norma_table table; /* what it holds, and what is new */
    double written;    /* norma_clock() */
    bool dirty;
    char note[NORMA_NOTE_TEXT]; /* on what was there, or "" */
} tune_output;

/* TUNE_DONE, or a status after a sentence on stderr. */
int tune_output_open(tune_output *output, const char *path);
/* Adds a record, and writes the file unless that was done a moment ago. */
int tune_output_add(tune_output *output, const norma_record *record);
int tune_output_write(tune_output *output);
void tune_output_close(tune_output *output);

/* A line that changes, where stderr is a terminal. */
typedef struct tune_progress {
    bool terminal;
    size_t done, total;
    size_t worked; /* of those done, not known before */
    double begun;
    double limit; /* seconds, 0: none */
    char what[CASE_NAME_MAX + 32];
} tune_progress;

void tune_progress_begin(tune_progress *progress, size_t total, double limit);
void tune_progress_tell(void *progress, const char *detail);
void tune_progress_clear(const tune_progress *progress);

/* "1:05" */
const char *tune_duration(double seconds, char (*buffer)[24]);

#endif

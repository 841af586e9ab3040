#include "tuning/tuning.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "error.h"

#define BUILT_IN "built-in rules from the cache sizes"

static void say(norma_tuning_source *source, norma_tuning_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(norma_tuning_source *source, norma_tuning_state state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(source->sentence, sizeof source->sentence, format, arguments);
    va_end(arguments);
    source->state = state;
}

static norma_status init_random(norma_tuning *tuning, const char *digits)
{
    char *end;
    errno = 0;
    tuning->seed = strtoull(digits, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end || errno) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "NORMA_TUNING: expected random:SEED with a number, got 'random:%.40s'",
                          digits);
    }
    say(&tuning->source, NORMA_TUNING_RANDOM, "knobs by chance, seed %llu", (unsigned long long)tuning->seed);
    return NORMA_SUCCESS;
}

/* Reads the file at source.path and says what came of it. */
static void init_file(norma_tuning *tuning)
{
    norma_tuning_source *source = &tuning->source;
    const norma_flaw flaw = norma_store_read(source->path, &tuning->table);
    atomic_store(&tuning->count, (int)tuning->table.count);
    if (flaw.state == NORMA_TUNING_FILE) {
        say(source, flaw.state, "%zu shapes measured, from %s%s%s", tuning->table.count, source->path,
            flaw.sentence[0] ? "; " : "", flaw.sentence);
    } else {
        say(source, flaw.state, BUILT_IN "; %s is not used: %s", source->path, flaw.sentence);
    }
}

/* The first file that is any good; else what is wrong with the first that is there. */
static void init_places(norma_tuning *tuning)
{
    norma_tuning_source *source = &tuning->source;
    static norma_tuning_source none; /* large */
    norma_tuning_source *flawed = NULL;
    for (int i = 0; norma_store_place(i, &source->path); i++) {
        init_file(tuning);
        if (source->state == NORMA_TUNING_FILE) {
            free(flawed);
            return;
        }
        if (source->state != NORMA_TUNING_NOT_FOUND && !flawed && (flawed = malloc(sizeof *flawed))) {
            *flawed = *source;
        }
    }
    *source = flawed ? *flawed : none;
    free(flawed);
    if (source->state == 0) {
        say(source, NORMA_TUNING_NOT_FOUND, BUILT_IN "; there is no tuning file");
    }
}

norma_status norma_tuning_init(norma_tuning *tuning, const char *setting)
{
    static const char random[] = "random:";
    memset(tuning, 0, sizeof *tuning);
    pthread_mutex_init(&tuning->lock, NULL);
    pthread_mutex_init(&tuning->measure, NULL);
    if (!setting) {
        init_places(tuning);
    } else if (strncmp(setting, random, sizeof random - 1) == 0) {
        const norma_status status = init_random(tuning, setting + sizeof random - 1);
        if (status != NORMA_SUCCESS) {
            norma_tuning_fini(tuning);
        }
        return status;
    } else if (strcmp(setting, "off") == 0) {
        say(&tuning->source, NORMA_TUNING_OFF, BUILT_IN ", as asked for");
    } else if (strlen(setting) >= sizeof tuning->source.path) {
        say(&tuning->source, NORMA_TUNING_NOT_FOUND, BUILT_IN "; the tuning file's name is too long");
    } else {
        strcpy(tuning->source.path, setting);
        tuning->source.named = true;
        init_file(tuning);
    }
    return NORMA_SUCCESS;
}

void norma_tuning_fini(norma_tuning *tuning)
{
    norma_table_free(&tuning->table);
    pthread_mutex_destroy(&tuning->lock);
    pthread_mutex_destroy(&tuning->measure);
}

norma_blocking norma_tuning_choose(norma_tuning *tuning, const norma_problem *problem, norma_limits limits,
                                   char (*source)[NORMA_RECORD_NAME])
{
    norma_blocking blocking = norma_blocking_default(problem, limits.isa, limits.threads);
    snprintf(*source, sizeof *source, "built-in");
    if (problem->empty) {
        return blocking;
    }
    if (tuning->source.state == NORMA_TUNING_RANDOM) {
        snprintf(*source, sizeof *source, "by chance");
        return norma_blocking_random(problem, limits, tuning->seed);
    }
    int64_t fact[NORMA_FACT_COUNT];
    norma_facts_of(fact, problem, limits);
    pthread_mutex_lock(&tuning->lock);
    const norma_record *record = norma_table_nearest(&tuning->table, fact);
    if (record && norma_record_apply(record, problem, limits, &blocking)) {
        snprintf(*source, sizeof *source, "%s", record->name[0] ? record->name : "measured");
    }
    pthread_mutex_unlock(&tuning->lock);
    return blocking;
}

bool norma_tuning_knows(norma_tuning *tuning, const norma_problem *problem, norma_limits limits)
{
    int64_t fact[NORMA_FACT_COUNT];
    norma_facts_of(fact, problem, limits);
    pthread_mutex_lock(&tuning->lock);
    const bool knows = norma_table_exact(&tuning->table, fact) != NULL;
    pthread_mutex_unlock(&tuning->lock);
    return knows;
}

bool norma_tuning_add(norma_tuning *tuning, const norma_record *record)
{
    pthread_mutex_lock(&tuning->lock);
    const bool added = norma_table_add(&tuning->table, record);
    atomic_store(&tuning->count, (int)tuning->table.count);
    pthread_mutex_unlock(&tuning->lock);
    return added;
}

/* A copy of the table, so that nobody waits for the disk. */
static bool copy_table(norma_tuning *tuning, norma_table *copy)
{
    bool copied = true;
    pthread_mutex_lock(&tuning->lock);
    for (size_t i = 0; copied && i < tuning->table.count; i++) {
        copied = norma_table_add(copy, &tuning->table.records[i]);
    }
    pthread_mutex_unlock(&tuning->lock);
    return copied;
}

/* Puts what the context knows to what the file holds. */
static norma_status save_to(norma_tuning *tuning, const char *path)
{
    norma_table table = {NULL, 0, 0};
    char note[NORMA_NOTE_TEXT], sentence[NORMA_FLAW_TEXT] = "no memory for the records";
    const bool saved = norma_store_open(path, &table, &note, &sentence) && copy_table(tuning, &table) &&
                       norma_store_write(path, &table, NULL, &sentence);
    norma_table_free(&table);
    return saved ? NORMA_SUCCESS : norma_fail(NORMA_IO_ERROR, "%s", sentence);
}

norma_status norma_tuning_save(norma_tuning *tuning, const char *path)
{
    char usual[NORMA_PATH_ROOM] = "";
    if (tuning->source.state == NORMA_TUNING_RANDOM) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "context: its knobs are by chance, and not worth a tuning file");
    }
    if (path || tuning->source.named) {
        return save_to(tuning, path ? path : tuning->source.path);
    }
    if (!norma_store_user_place(&usual)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "path: expected a file's name, as there is no usual place (HOME is not set)");
    }
    return save_to(tuning, usual);
}

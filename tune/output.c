#define _GNU_SOURCE /* flock */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune.h"

/* Makes the folders above the file, so that there is a place for the lock. */
static int make_folders(const char *path)
{
    char folder[NORMA_PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            return tune_fail(TUNE_FAILED, "cannot make the folder '%s': %s", folder, strerror(errno));
        }
        *slash = '/';
    }
    return TUNE_DONE;
}

/* The lock is the file's, so whoever holds it may remove its name; whoever waited for that name then starts over. */
static int lock(tune_output *output)
{
    struct stat held, named;
    snprintf(output->lock_path, sizeof output->lock_path, "%s.lock", output->path);
    for (;;) {
        output->lock = open(output->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (output->lock < 0) {
            return tune_fail(TUNE_FAILED, "cannot create '%s': %s", output->lock_path, strerror(errno));
        }
        if (flock(output->lock, LOCK_EX | LOCK_NB) != 0) {
            const bool busy = errno == EWOULDBLOCK;
            tune_fail(TUNE_FAILED,
                      busy ? "another norma-tune is at work on '%s'; two would disturb each other's timings"
                           : "cannot lock '%s'",
                      output->path);
            close(output->lock);
            return TUNE_FAILED;
        }
        if (fstat(output->lock, &held) == 0 && stat(output->lock_path, &named) == 0 && held.st_ino == named.st_ino) {
            return TUNE_DONE;
        }
        close(output->lock);
    }
}

static void unlock(tune_output *output)
{
    unlink(output->lock_path);
    close(output->lock);
}

/* What tuners that were killed left behind. Nobody else writes there: we hold the lock. */
static void sweep(const char *path)
{
    char pattern[2 * NORMA_PATH_ROOM + 16];
    size_t used = 0;
    for (const char *at = path; *at; at++) {
        if (strchr("*?[]\\", *at)) {
            pattern[used++] = '\\';
        }
        pattern[used++] = *at;
    }
    strcpy(pattern + used, ".tmp.[0-9]*");
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            unlink(found.gl_pathv[i]);
        }
        globfree(&found);
    }
}

/* A file that cannot be gone on with makes room, unless it may be anything at all. */
static int set_aside(tune_output *output, const norma_flaw *flaw)
{
    char aside[NORMA_PATH_ROOM + 8];
    if (flaw->state == NORMA_TUNING_BAD_FORMAT || flaw->state == NORMA_TUNING_UNREADABLE) {
        return tune_fail(TUNE_MISTAKE, "'%s' is there already and no tuning file: %s; move it away or give another --output",
                         output->path, flaw->sentence);
    }
    snprintf(aside, sizeof aside, "%s.old", output->path);
    if (rename(output->path, aside) != 0) {
        return tune_fail(TUNE_FAILED, "cannot rename '%s' to '%s': %s", output->path, aside, strerror(errno));
    }
    snprintf(output->note, sizeof output->note, "what was there is now %s: %s", aside, flaw->sentence);
    return TUNE_DONE;
}

int tune_output_open(tune_output *output, const char *path)
{
    memset(output, 0, sizeof *output);
    output->path = path;
    int status = make_folders(path);
    if (status == TUNE_DONE) {
        status = lock(output);
    }
    if (status != TUNE_DONE) {
        return status;
    }
    sweep(path);
    const norma_flaw flaw = norma_store_read(path, &output->table);
    if (flaw.state != NORMA_TUNING_FILE && flaw.state != NORMA_TUNING_NOT_FOUND) {
        status = set_aside(output, &flaw);
    }
    if (status != TUNE_DONE) {
        unlock(output);
    }
    output->written = norma_clock();
    return status;
}

int tune_output_write(tune_output *output)
{
    char sentence[NORMA_FLAW_TEXT];
    if (output->dirty && !norma_store_write(output->path, &output->table, "Written by norma-tune.", &sentence)) {
        return tune_fail(TUNE_FAILED, "%s", sentence);
    }
    output->dirty = false;
    output->written = norma_clock();
    return TUNE_DONE;
}

int tune_output_add(tune_output *output, const norma_record *record)
{
    const double often = 1; /* seconds */
    if (!norma_table_add(&output->table, record)) {
        return tune_fail(TUNE_FAILED, "no memory for the records");
    }
    output->dirty = true;
    return norma_clock() - output->written < often ? TUNE_DONE : tune_output_write(output);
}

void tune_output_close(tune_output *output)
{
    norma_table_free(&output->table);
    unlock(output);
}

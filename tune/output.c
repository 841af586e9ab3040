#define _GNU_SOURCE /* flock */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune.h"

/* Names have 255 bytes; of temporary files, what follows the tuning file's may take these. */
enum { NAME_MOST = 255 - 40 };

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

/* The lock is empty; one that is not was somebody's file before. */
static void unlock(tune_output *output)
{
    struct stat status;
    if (fstat(output->lock, &status) == 0 && status.st_size == 0) {
        unlink(output->lock_path);
    }
    close(output->lock);
}

/* "…/tuning.txt.tmp.1234.0" of a process that is gone. */
static bool is_abandoned(const char *name, size_t stem)
{
    char *end;
    const long process = strtol(name + stem, &end, 10);
    if (*end++ != '.' || *end == '\0' || end[strspn(end, "0123456789")] != '\0') {
        return false; /* somebody else's file */
    }
    return process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

/* What writers that were killed left behind. */
static void sweep(const char *path)
{
    char pattern[2 * NORMA_PATH_ROOM + 16];
    const size_t stem = strlen(path) + strlen(".tmp.");
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
            if (is_abandoned(found.gl_pathv[i], stem)) {
                unlink(found.gl_pathv[i]);
            }
        }
        globfree(&found);
    }
}

int tune_output_open(tune_output *output, const char *path)
{
    char sentence[NORMA_FLAW_TEXT];
    memset(output, 0, sizeof *output);
    char *target = realpath(path, NULL); /* two names of one file are one lock */
    snprintf(output->path, sizeof output->path, "%s", target ? target : path);
    free(target);
    path = output->path;
    const char *slash = strrchr(path, '/');
    if (strlen(slash ? slash + 1 : path) > NAME_MOST) {
        return tune_fail(TUNE_MISTAKE,
                         "--output: the file's name is longer than %d bytes, which leaves no room for '.tmp' and '.lock'",
                         NAME_MOST);
    }
    if (!norma_store_make_folders(path, &sentence)) {
        return tune_fail(TUNE_FAILED, "%s", sentence);
    }
    const int status = lock(output);
    if (status != TUNE_DONE) {
        return status;
    }
    sweep(path);
    if (!norma_store_open(path, &output->table, &output->note, &sentence)) {
        unlock(output);
        return tune_fail(TUNE_MISTAKE, "%s; move it away or give another --output", sentence);
    }
    output->written = norma_clock();
    return TUNE_DONE;
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
        return tune_fail(TUNE_FAILED, "no room for another record, of %d at most", NORMA_RECORDS_MAX);
    }
    output->dirty = true;
    return norma_clock() - output->written < often ? TUNE_DONE : tune_output_write(output);
}

void tune_output_close(tune_output *output)
{
    norma_table_free(&output->table);
    unlock(output);
}

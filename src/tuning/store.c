#define _XOPEN_SOURCE 700 /* O_CLOEXEC, fsync */
#include "tuning/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tuning/fingerprint.h"

/* Room for NORMA_RECORDS_MAX records of a usual length. */
#define FILE_SIZE_MAX (8 << 20)

static bool make_path(char (*path)[NORMA_PATH_ROOM], const char *folder, const char *below)
{
    char machine[17];
    norma_fingerprint_of_machine(&machine);
    const int length = snprintf(*path, sizeof *path, "%s%s/norma/tuning-%s.txt", folder, below, machine);
    return length > 0 && (size_t)length < sizeof *path;
}

/* The user's configuration folder by the XDG rules: a relative path is to be ignored. */
bool norma_store_user_place(char (*path)[NORMA_PATH_ROOM])
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && config[0] == '/') {
        return make_path(path, config, "");
    }
    return home && home[0] == '/' && make_path(path, home, "/.config");
}

bool norma_store_place(int index, char (*path)[NORMA_PATH_ROOM])
{
    if (norma_store_user_place(path) && index-- == 0) {
        return true;
    }
    return index == 0 && make_path(path, "/etc", "");
}

/* Reads all of an open file; NULL with a flaw. */
static char *read_all(int file, size_t *size, norma_flaw *flaw)
{
    struct stat status;
    flaw->state = NORMA_TUNING_UNREADABLE;
    if (fstat(file, &status) != 0) {
        snprintf(flaw->sentence, sizeof flaw->sentence, "%s", strerror(errno));
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(flaw->sentence, sizeof flaw->sentence, "it is %s, not a file",
                 S_ISDIR(status.st_mode) ? "a folder" : "a device");
        return NULL;
    }
    if (status.st_size > FILE_SIZE_MAX) {
        snprintf(flaw->sentence, sizeof flaw->sentence, "it has %lld bytes, a tuning file at most %d",
                 (long long)status.st_size, FILE_SIZE_MAX);
        return NULL;
    }
    char *text = malloc((size_t)status.st_size + 1);
    if (!text) {
        snprintf(flaw->sentence, sizeof flaw->sentence, "there is no memory for it");
        return NULL;
    }
    *size = 0;
    while (*size < (size_t)status.st_size) {
        const ssize_t got = read(file, text + *size, (size_t)status.st_size - *size);
        if (got < 0 && errno != EINTR) {
            snprintf(flaw->sentence, sizeof flaw->sentence, "%s", strerror(errno));
            free(text);
            return NULL;
        }
        if (got == 0) { /* someone cuts it short just now: the text will tell */
            break;
        }
        *size += got > 0 ? (size_t)got : 0;
    }
    return text;
}

norma_flaw norma_store_read(const char *path, norma_table *table)
{
    norma_flaw flaw = {.state = NORMA_TUNING_UNREADABLE};
    size_t size = 0;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* not to wait for a pipe */
    if (file < 0) {
        flaw.state = errno == ENOENT || errno == ENOTDIR ? NORMA_TUNING_NOT_FOUND : NORMA_TUNING_UNREADABLE;
        snprintf(flaw.sentence, sizeof flaw.sentence, "%s", strerror(errno));
        return flaw;
    }
    char *text = read_all(file, &size, &flaw);
    close(file);
    if (text) {
        flaw = norma_text_parse(text, size, table);
        free(text);
    }
    return flaw;
}

static bool cannot(char (*sentence)[NORMA_FLAW_TEXT], const char *what, const char *path)
{
    const int why = errno;
    snprintf(*sentence, sizeof *sentence, "cannot %s '%.200s': %s", what, path, strerror(why));
    return false;
}

bool norma_store_make_folders(const char *path, char (*sentence)[NORMA_FLAW_TEXT])
{
    char folder[NORMA_PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            return cannot(sentence, "make the folder", folder);
        }
        *slash = '/';
    }
    return true;
}

static bool write_all(int file, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t put = write(file, text, size);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        text += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
    return fsync(file) == 0;
}

/* So that the new name, too, survives a power cut. Not every file system can do it. */
static void sync_folder(const char *path)
{
    char folder[NORMA_PATH_ROOM];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) {
        slash[slash == folder] = '\0';
    }
    const int opened = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened >= 0) {
        fsync(opened);
        close(opened);
    }
}

/* A file beside `path` that nobody else has: other threads of this process take other numbers, and where a process of another
 * machine or container has the same, the next number is tried. */
static int create_temporary(const char *path, char (*temporary)[NORMA_PATH_ROOM + 48])
{
    static atomic_uint last;
    int file;
    do {
        snprintf(*temporary, sizeof *temporary, "%s.tmp.%ld.%u", path, (long)getpid(), atomic_fetch_add(&last, 1));
        file = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file < 0 && errno == EEXIST);
    return file;
}

static bool write_text(const char *path, const char *text, size_t size, char (*sentence)[NORMA_FLAW_TEXT])
{
    char temporary[NORMA_PATH_ROOM + 48];
    if (strlen(path) >= NORMA_PATH_ROOM) {
        errno = ENAMETOOLONG;
        return cannot(sentence, "write", path);
    }
    if (!norma_store_make_folders(path, sentence)) {
        return false;
    }
    const int file = create_temporary(path, &temporary);
    if (file < 0) {
        return cannot(sentence, "create", temporary);
    }
    const bool written = write_all(file, text, size);
    const int why = errno;
    const bool closed = close(file) == 0;
    errno = written ? errno : why;
    if (!written || !closed || rename(temporary, path) != 0) {
        const bool said = cannot(sentence, "write", path);
        unlink(temporary);
        return said;
    }
    sync_folder(path);
    return true;
}

bool norma_store_write(const char *path, const norma_table *table, const char *comment, char (*sentence)[NORMA_FLAW_TEXT])
{
    size_t size;
    char *text = norma_text_format(table, comment, &size);
    if (!text) {
        errno = ENOMEM;
        return cannot(sentence, "write", path);
    }
    char *target = realpath(path, NULL); /* a link stays one */
    const bool written = write_text(target ? target : path, text, size, sentence);
    free(target);
    free(text);
    return written;
}

/* A name beside `path` that is not taken. */
static void name_aside(const char *path, char (*aside)[NORMA_PATH_ROOM + 16])
{
    struct stat status;
    snprintf(*aside, sizeof *aside, "%s.old", path);
    for (int i = 2; i < 1000 && lstat(*aside, &status) == 0; i++) {
        snprintf(*aside, sizeof *aside, "%s.old.%d", path, i);
    }
}

bool norma_store_open(const char *path, norma_table *table, char (*note)[NORMA_NOTE_TEXT], char (*sentence)[NORMA_FLAW_TEXT])
{
    char aside[NORMA_PATH_ROOM + 16];
    const norma_flaw flaw = norma_store_read(path, table);
    (*note)[0] = '\0';
    if (flaw.state == NORMA_TUNING_FILE || flaw.state == NORMA_TUNING_NOT_FOUND) {
        return true;
    }
    if (flaw.state == NORMA_TUNING_UNREADABLE) {
        snprintf(*sentence, sizeof *sentence, "'%.160s' cannot be read: %.100s", path, flaw.sentence);
        return false;
    }
    if (flaw.state == NORMA_TUNING_BAD_FORMAT && !flaw.begins_well) {
        snprintf(*sentence, sizeof *sentence, "'%.160s' is there already and no tuning file: %.100s", path, flaw.sentence);
        return false;
    }
    name_aside(path, &aside);
    if (rename(path, aside) != 0) {
        return cannot(sentence, "set aside", path);
    }
    snprintf(*note, sizeof *note, "what was there is now %s: %s", aside, flaw.sentence);
    return true;
}

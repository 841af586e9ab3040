#define _XOPEN_SOURCE 700

#include "outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail_output(tool_failure *failure, const tool_output *output)
{
    return fail_about(failure, "--%s '%s': ", output->option, output->path);
}

/* A path that cannot be is the user's to mend; a full disk is not. */
static int status_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EINVAL:
        return EXIT_USER;
    default:
        return EXIT_MACHINE;
    }
}

/* The part of a path before its last name, with the slash; "" stands for the current folder. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static char *join(const char *folder, size_t folder_size, const char *name)
{
    const size_t size = folder_size + strlen(name) + 2;
    char *path = malloc(size);
    if (path) {
        snprintf(path, size, "%.*s%s%s", (int)folder_size, folder, folder_size && folder[folder_size - 1] != '/' ? "/" : "",
                 name);
    }
    return path;
}

static bool resolve_folder(const char *path, char **target, tool_failure *failure)
{
    const size_t length = folder_length(path);
    char *folder = join(path, length, length ? "" : ".");
    if (!folder) {
        return fail(failure, EXIT_MACHINE, "out of memory");
    }
    char *real = realpath(folder, NULL);
    if (!real) {
        fail(failure, status_of_errno(errno), "its folder '%s' cannot be used: %s", folder, strerror(errno));
    } else if (access(real, W_OK | X_OK) != 0) {
        fail(failure, status_of_errno(errno), "its folder '%s' cannot be written to: %s", folder, strerror(errno));
        free(real);
        real = NULL;
    }
    free(folder);
    if (!real) {
        return false;
    }
    *target = join(real, strlen(real), path + length);
    free(real);
    return *target || fail(failure, EXIT_MACHINE, "out of memory");
}

static bool resolve(tool_output *output, tool_failure *failure)
{
    struct stat status;
    if (!output->path[folder_length(output->path)]) {
        return fail(failure, EXIT_USER, "it does not name a file");
    }
    if (stat(output->path, &status) == 0) {
        if (!S_ISREG(status.st_mode)) {
            return fail(failure, EXIT_USER, "it is %s, not a file that can be replaced",
                        S_ISDIR(status.st_mode) ? "a folder" : "a device or a pipe");
        }
        // Follow a link to the file behind it, which is then replaced rather than the link.
        char *real = realpath(output->path, NULL);
        if (real) {
            const bool ok = resolve_folder(real, &output->target, failure);
            free(real);
            return ok;
        }
    } else if (errno == ENAMETOOLONG ||
               errno == ELOOP) { // rename() would say so too, but only after other outputs are in place
        return fail(failure, EXIT_USER, "%s", strerror(errno));
    }
    return resolve_folder(output->path, &output->target, failure);
}

bool outputs_resolve(tool_output *outputs, int count, tool_failure *failure)
{
    for (int i = 0; i < count; i++) {
        if (!resolve(&outputs[i], failure)) {
            return fail_output(failure, &outputs[i]);
        }
        for (int k = 0; k < i; k++) {
            if (strcmp(outputs[k].target, outputs[i].target) == 0) {
                fail(failure, EXIT_USER, "--%s writes to the same file", outputs[k].option);
                return fail_output(failure, &outputs[i]);
            }
        }
    }
    return true;
}

/* Opens a new file beside the target. (mkstemp() would make it unreadable to others whatever the umask says.) */
static int open_temporary(tool_output *output, tool_failure *failure)
{
    int descriptor = -1;
    errno = EEXIST;
    for (int attempt = 0; descriptor < 0 && errno == EEXIST && attempt < 1000; attempt++) {
        char name[64];
        snprintf(name, sizeof name, ".norma-%ld-%d.tmp", (long)getpid(), attempt);
        free(output->temporary);
        output->temporary = join(output->target, folder_length(output->target), name);
        if (!output->temporary) {
            fail(failure, EXIT_MACHINE, "out of memory");
            return -1;
        }
        descriptor = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (descriptor < 0) {
        const int error = errno;
        free(output->temporary);
        output->temporary = NULL;
        fail(failure, status_of_errno(error), "a file cannot be made in its folder: %s", strerror(error));
    }
    return descriptor;
}

static bool write_temporary(tool_output *output, tool_failure *failure)
{
    char header[NPY_HEADER_ROOM];
    const size_t header_size = npy_format_header(&output->array, header);
    const size_t item_size = npy_type_size(output->array.type);
    const size_t count = (size_t)output->array.count;
    const int descriptor = open_temporary(output, failure);
    if (descriptor < 0) {
        return false;
    }
    FILE *file = fdopen(descriptor, "wb");
    if (!file) {
        close(descriptor);
        return fail(failure, EXIT_MACHINE, "writing failed: %s", strerror(errno));
    }
    const bool written = fwrite(header, 1, header_size, file) == header_size &&
                         fwrite(output->array.data, item_size, count, file) == count && fflush(file) == 0 &&
                         fsync(fileno(file)) == 0;
    const int error = errno;
    if (fclose(file) != 0 && written) {
        return fail(failure, EXIT_MACHINE, "writing failed: %s", strerror(errno));
    }
    return written || fail(failure, EXIT_MACHINE, "writing failed: %s", strerror(error));
}

static bool rename_temporary(tool_output *output, tool_failure *failure)
{
    if (rename(output->temporary, output->target) != 0) {
        return fail(failure, status_of_errno(errno), "it cannot be put in place: %s", strerror(errno));
    }
    free(output->temporary);
    output->temporary = NULL;
    return true;
}

static void remove_temporaries(tool_output *outputs, int count)
{
    for (int i = 0; i < count; i++) {
        if (outputs[i].temporary) {
            unlink(outputs[i].temporary);
            free(outputs[i].temporary);
            outputs[i].temporary = NULL;
        }
    }
}

static bool write_all(tool_output *outputs, int count, tool_failure *failure)
{
    bool (*const steps[])(tool_output *, tool_failure *) = {write_temporary, rename_temporary};
    for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
        for (int i = 0; i < count; i++) {
            if (!steps[step](&outputs[i], failure)) {
                remove_temporaries(outputs, count);
                return fail_output(failure, &outputs[i]);
            }
        }
    }
    return true;
}

bool outputs_write(tool_output *outputs, int count, tool_failure *failure)
{
    // An interruption waits until all is in place: it must leave neither temporary files nor some outputs without the others.
    sigset_t later, before;
    sigemptyset(&later);
    sigaddset(&later, SIGHUP);
    sigaddset(&later, SIGINT);
    sigaddset(&later, SIGTERM);
    sigprocmask(SIG_BLOCK, &later, &before);
    signal(SIGXFSZ, SIG_IGN); // a file beyond the limit is then an error of write()
    const bool written = write_all(outputs, count, failure);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return written;
}

void outputs_free(tool_output *outputs, int count)
{
    remove_temporaries(outputs, count);
    for (int i = 0; i < count; i++) {
        npy_free(&outputs[i].array);
        free(outputs[i].target);
        outputs[i].target = NULL;
    }
}

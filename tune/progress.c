#define _XOPEN_SOURCE 700
#include <string.h>
#include <unistd.h>

#include "tune.h"

const char *tune_duration(double seconds, char (*buffer)[24])
{
    const long whole = (long)(seconds + 0.5);
    snprintf(*buffer, sizeof *buffer, "%ld:%02ld", whole / 60, whole % 60);
    return *buffer;
}

void tune_progress_begin(tune_progress *progress, size_t total, double limit)
{
    memset(progress, 0, sizeof *progress);
    progress->terminal = isatty(STDERR_FILENO);
    progress->total = total;
    progress->begun = norma_clock();
    progress->limit = limit;
}

/* At the pace so far, and never more than the limit leaves. */
static double seconds_left(const tune_progress *progress)
{
    const double gone = norma_clock() - progress->begun;
    const double left =
        progress->worked ? gone / (double)progress->worked * (double)(progress->total - progress->done) : progress->limit;
    const double most = progress->limit ? progress->limit - gone : left;
    return left < most ? left : most > 0 ? most : 0;
}

void tune_progress_tell(void *argument, const char *detail)
{
    enum { WIDTH = 20 };
    const tune_progress *progress = argument;
    char bar[WIDTH + 1], left[24];
    if (!progress->terminal) {
        return;
    }
    const size_t full = progress->total ? WIDTH * progress->done / progress->total : 0;
    memset(bar, '.', WIDTH);
    memset(bar, '#', full);
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %zu/%zu, %s left  %s  %s", bar, progress->done, progress->total,
            tune_duration(seconds_left(progress), &left), progress->what, detail);
    fflush(stderr);
}

void tune_progress_clear(const tune_progress *progress)
{
    if (progress->terminal) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}

#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(tool_failure *failure, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    failure->status = status;
    return false;
}

bool fail_library(tool_failure *failure, norma_status status)
{
    const char *sentence = norma_last_error();
    return fail(failure, status == NORMA_OUT_OF_MEMORY ? EXIT_MACHINE : EXIT_USER, "%s",
                sentence[0] ? sentence : norma_status_name(status));
}

bool fail_about(tool_failure *failure, const char *format, ...)
{
    char prefix[sizeof failure->text / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);

    const size_t length = strlen(prefix);
    memmove(failure->text + length, failure->text, sizeof failure->text - length);
    memcpy(failure->text, prefix, length);
    failure->text[sizeof failure->text - 1] = '\0';
    return false;
}

int failure_report(const tool_failure *failure, const char *command)
{
    char line[sizeof failure->text];
    size_t length = 0;
    for (; failure->text[length] && length + 1 < sizeof line; length++) {
        const unsigned char c = (unsigned char)failure->text[length];
        line[length] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    line[length] = '\0';
    fprintf(stderr, "norma: %s%s%s\n", command ? command : "", command ? ": " : "", line);
    return failure->status;
}

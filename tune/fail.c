#include <stdarg.h>

#include "tune.h"

int tune_fail(int status, const char *format, ...)
{
    char text[2 * NORMA_PATH_ROOM];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++) { /* names may hold line breaks and worse */
        *at = (unsigned char)*at < ' ' || *at == 127 ? '?' : *at;
    }
    fprintf(stderr, "norma-tune: %s\n", text);
    return status;
}

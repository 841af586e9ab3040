#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[512];

norma_status norma_fail(norma_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return status;
}

const char *norma_last_error(void)
{
    return last_error;
}

static norma_status read_struct_size(const char *name, size_t *given, size_t least, const void *from)
{
    memcpy(given, from, sizeof *given);
    if (*given < least || *given > (size_t)1 << 16) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "%s: struct_size is %zu, expected sizeof the struct, at least %zu (was it left unset?)", name, *given,
                          least);
    }
    return NORMA_SUCCESS;
}

norma_status norma_read_struct(const char *name, void *to, size_t size, size_t least, const void *from)
{
    size_t given;
    const norma_status status = read_struct_size(name, &given, least, from);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    const unsigned char *bytes = from;
    for (size_t i = size; i < given; i++) {
        if (bytes[i] != 0) {
            return norma_fail(NORMA_INVALID_ARGUMENT,
                              "%s: struct_size is %zu and a field past byte %zu is set, which this library (%s) does not know",
                              name, given, size, norma_version_string());
        }
    }
    memset(to, 0, size);
    memcpy(to, from, given < size ? given : size);
    return NORMA_SUCCESS;
}

norma_status norma_write_struct(const char *name, void *to, size_t least, const void *from, size_t size)
{
    size_t given;
    const norma_status status = read_struct_size(name, &given, least, to);
    if (status != NORMA_SUCCESS) {
        return status;
    }
    memset(to, 0, given);
    memcpy(to, from, given < size ? given : size);
    memcpy(to, &given, sizeof given);
    return NORMA_SUCCESS;
}

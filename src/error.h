/* The sentence of a failure. */
#ifndef NORMA_ERROR_H
#define NORMA_ERROR_H

#include "norma/norma.h"

/* Keeps the sentence for norma_last_error() and returns status, so that a caller can `return norma_fail(…)`. */
norma_status norma_fail(norma_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies a versioned struct of the caller's, which begins with its size: fields this library knows and the caller's version
 * lacks become 0; fields it does not know must be 0. `least` is the size of the first version. */
norma_status norma_read_struct(const char *name, void *to, size_t size, size_t least, const void *from);

/* Fills a versioned struct of the caller's from `from`, as far as the caller knows it. */
norma_status norma_write_struct(const char *name, void *to, size_t least, const void *from, size_t size);

#endif

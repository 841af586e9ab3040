/* NumPy's .npy files: arrays of little-endian f16, f32 and f64, of bf16 as uint16, and of 8-bit integers, in C order.
 * (The format: numpy/lib/format.py, "Format Version 1.0" and after.) */
#ifndef NORMA_TOOLS_NPY_H
#define NORMA_TOOLS_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

typedef enum npy_type { NPY_F16 = 1, NPY_F32 = 2, NPY_F64 = 3, NPY_BF16 = 4, NPY_S8 = 5, NPY_U8 = 6 } npy_type;

typedef struct npy_array {
    npy_type type;
    int rank; /* 1 to NORMA_MAX_RANK */
    int64_t shape[NORMA_MAX_RANK];
    int64_t count; /* elements; may be 0 */
    void *data;    /* owned, never NULL in a made array, aligned to a cache line */
} npy_array;

const char *npy_type_name(npy_type type);
size_t npy_type_size(npy_type type);
bool npy_type_is_integer(npy_type type);

/* As a header writes it: "<f4". */
const char *npy_type_code(npy_type type);

/* "(3, 4)" and "(3,)", as Python writes them. */
typedef struct npy_shape_text {
    char text[8 + 22 * NORMA_MAX_RANK];
} npy_shape_text;

npy_shape_text npy_describe_shape(int rank, const int64_t *shape);

/* Sets rank, shape and count from the shape. False when the bytes of such an array do not fit an int64_t, zero extents
 * counted as ones, so that no product of some of the extents overflows later. */
bool npy_set_shape(npy_array *array, int rank, const int64_t *shape);

/* Allocates data for an array whose type and shape are set. */
bool npy_allocate(npy_array *array, tool_failure *failure);

/* Reads a whole file; what it allocates is bounded by the bytes that are really there. The sentence of a failure goes
 * after the file's name. */
bool npy_read(const char *path, npy_array *array, tool_failure *failure);

/* Converts in place from one floating-point type to another, rounding to nearest even. */
bool npy_convert(npy_array *array, npy_type type, tool_failure *failure);

/* NULL data is allowed. */
void npy_free(npy_array *array);

/* ------------------------------------------------------------------------------------------------------------
 * The header, in npy_header.c
 * ------------------------------------------------------------------------------------------------------------ */

/* What stands before the header's text: magic, version and the first bytes of the length. */
enum { NPY_PREFIX_SIZE = 8 };
extern const char npy_magic[6];

/* Parses the header's dictionary; sets type and shape. */
bool npy_parse_header(const char *text, size_t length, npy_array *array, tool_failure *failure);

/* Writes prefix and header as NumPy does for version 1.0; returns the bytes written, a multiple of 64. */
enum { NPY_HEADER_ROOM = 512 };
size_t npy_format_header(const npy_array *array, char buffer[NPY_HEADER_ROOM]);

#endif

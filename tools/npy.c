#define _XOPEN_SOURCE 700

#include "npy.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dtype.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "npy.c takes the bytes of a file as they are, so it needs a little-endian machine"
#endif

/* Headers of the types read here have some 130 bytes; NumPy itself stops at 10 000 unless told otherwise. */
enum { HEADER_LIMIT = 1 << 16 };

static const struct {
    const char *name;
    const char *code;
    size_t size;
} types[] = {
    [NPY_F16] = {"f16", "<f2", 2},   [NPY_F32] = {"f32", "<f4", 4}, [NPY_F64] = {"f64", "<f8", 8},
    [NPY_BF16] = {"bf16", "<u2", 2}, [NPY_S8] = {"s8", "|i1", 1},   [NPY_U8] = {"u8", "|u1", 1},
};

const char *npy_type_name(npy_type type)
{
    return types[type].name;
}

const char *npy_type_code(npy_type type)
{
    return types[type].code;
}

size_t npy_type_size(npy_type type)
{
    return types[type].size;
}

bool npy_type_is_integer(npy_type type)
{
    return type == NPY_S8 || type == NPY_U8;
}

npy_shape_text npy_describe_shape(int rank, const int64_t *shape)
{
    npy_shape_text result;
    int length = snprintf(result.text, sizeof result.text, "(");
    for (int k = 0; k < rank; k++) {
        length += snprintf(result.text + length, sizeof result.text - (size_t)length, "%s%" PRId64, k ? ", " : "", shape[k]);
    }
    snprintf(result.text + length, sizeof result.text - (size_t)length, rank == 1 ? ",)" : ")");
    return result;
}

bool npy_set_shape(npy_array *array, int rank, const int64_t *shape)
{
    const int64_t limit = (int64_t)((SIZE_MAX / 2 < INT64_MAX ? SIZE_MAX / 2 : INT64_MAX) / 16);
    int64_t product = 1;
    bool empty = false;
    array->rank = rank;
    for (int k = 0; k < rank; k++) {
        array->shape[k] = shape[k];
        if (shape[k] == 0) {
            empty = true;
        } else if (shape[k] > limit / product) {
            return false;
        } else {
            product *= shape[k];
        }
    }
    array->count = empty ? 0 : product;
    return true;
}

static void *allocate_bytes(size_t size, tool_failure *failure)
{
    void *data = NULL;
    if (posix_memalign(&data, 64, size ? size : 1) != 0) {
        fail(failure, EXIT_MACHINE, "out of memory: %zu bytes are not to be had", size);
        return NULL;
    }
    return data;
}

bool npy_allocate(npy_array *array, tool_failure *failure)
{
    array->data = allocate_bytes((size_t)array->count * npy_type_size(array->type), failure);
    return array->data != NULL;
}

void npy_free(npy_array *array)
{
    free(array->data);
    array->data = NULL;
}

static double load(const void *data, npy_type type, int64_t i)
{
    switch (type) {
    case NPY_F16:
        return norma_f16_to_f32(((const uint16_t *)data)[i]);
    case NPY_BF16:
        return norma_bf16_to_f32(((const uint16_t *)data)[i]);
    case NPY_F32:
        return ((const float *)data)[i];
    default:
        return ((const double *)data)[i];
    }
}

static void store(void *data, npy_type type, int64_t i, double value)
{
    switch (type) {
    case NPY_F16:
        ((uint16_t *)data)[i] = norma_f16_from_f32(norma_f32_to_odd(value));
        break;
    case NPY_BF16:
        ((uint16_t *)data)[i] = norma_bf16_from_f32(norma_f32_to_odd(value));
        break;
    case NPY_F32:
        ((float *)data)[i] = (float)value;
        break;
    default:
        ((double *)data)[i] = value;
        break;
    }
}

bool npy_convert(npy_array *array, npy_type type, tool_failure *failure)
{
    if (array->type == type) {
        return true;
    }
    assert(!npy_type_is_integer(array->type) && !npy_type_is_integer(type));
    npy_array converted = *array;
    converted.type = type;
    if (!npy_allocate(&converted, failure)) {
        return false;
    }
    for (int64_t i = 0; i < array->count; i++) {
        store(converted.data, type, i, load(array->data, array->type, i));
    }
    npy_free(array);
    *array = converted;
    return true;
}

/* A file being read: size is -1 where the system does not tell (a pipe). */
typedef struct npy_source {
    FILE *file;
    int64_t size;
    int64_t taken;
    tool_failure *failure;
} npy_source;

static bool fail_read(const npy_source *source, const char *what)
{
    if (ferror(source->file)) {
        return fail(source->failure, EXIT_MACHINE, "reading failed: %s", strerror(errno));
    }
    return fail(source->failure, EXIT_USER, "it ends after %" PRId64 " bytes, within its %s", source->taken, what);
}

static bool read_exactly(npy_source *source, void *buffer, size_t size, const char *what)
{
    const size_t got = fread(buffer, 1, size, source->file);
    source->taken += (int64_t)got;
    return got == size || fail_read(source, what);
}

static bool read_header(npy_source *source, npy_array *array)
{
    unsigned char prefix[NPY_PREFIX_SIZE];
    if (source->size == 0) {
        return fail(source->failure, EXIT_USER, "it is empty");
    }
    if (!read_exactly(source, prefix, sizeof prefix, "first 8 bytes")) {
        return false;
    }
    if (memcmp(prefix, npy_magic, sizeof npy_magic) != 0) {
        return fail(source->failure, EXIT_USER, "it is not a .npy file");
    }
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0) {
        return fail(source->failure, EXIT_USER, "it is of .npy version %d.%d; norma reads 1.0, 2.0 and 3.0", prefix[6],
                    prefix[7]);
    }
    unsigned char bytes[4] = {0};
    if (!read_exactly(source, bytes, prefix[6] == 1 ? 2 : 4, "header length")) {
        return false;
    }
    const uint32_t length = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if (length > HEADER_LIMIT) {
        return fail(source->failure, EXIT_USER, "its header should have %" PRIu32 " bytes; norma reads up to %d", length,
                    HEADER_LIMIT);
    }
    char *text = malloc(length ? length : 1);
    if (!text) {
        return fail(source->failure, EXIT_MACHINE, "out of memory");
    }
    const bool ok = read_exactly(source, text, length, "header") && npy_parse_header(text, length, array, source->failure);
    free(text);
    return ok;
}

static int64_t data_size(const npy_array *array)
{
    return array->count * (int64_t)npy_type_size(array->type);
}

static bool fail_length(const npy_source *source, const npy_array *array, int64_t held)
{
    return fail(source->failure, EXIT_USER, "it holds %" PRId64 " bytes of data%s, but its shape %s of %s needs %" PRId64, held,
                held > data_size(array) && source->size < 0 ? " or more" : "",
                npy_describe_shape(array->rank, array->shape).text, npy_type_name(array->type), data_size(array));
}

/* Reads `size` bytes of data from a pipe, whose header may promise what never comes: memory grows with what came. */
static bool read_growing(npy_source *source, npy_array *array, size_t size)
{
    size_t room = size < 1 << 20 ? size : 1 << 20;
    size_t got = 0;
    array->data = allocate_bytes(room, source->failure);
    while (array->data) {
        got += fread((char *)array->data + got, 1, room - got, source->file);
        if (got < room || room == size) {
            break;
        }
        const size_t grown = room > size / 2 ? size : 2 * room;
        void *data = allocate_bytes(grown, source->failure);
        if (data) {
            memcpy(data, array->data, got);
        }
        free(array->data);
        array->data = data;
        room = grown;
    }
    if (!array->data) {
        return false;
    }
    if (ferror(source->file)) {
        return fail_read(source, "data");
    }
    return got == size || fail_length(source, array, (int64_t)got);
}

static bool read_data(npy_source *source, npy_array *array)
{
    const int64_t needed = data_size(array);
    if (source->size < 0) {
        return read_growing(source, array, (size_t)needed) &&
               (fgetc(source->file) == EOF || fail_length(source, array, needed + 1));
    }
    if (source->size - source->taken != needed) {
        return fail_length(source, array, source->size - source->taken);
    }
    return npy_allocate(array, source->failure) && read_exactly(source, array->data, (size_t)needed, "data");
}

bool npy_read(const char *path, npy_array *array, tool_failure *failure)
{
    struct stat status;
    memset(array, 0, sizeof *array);
    npy_source source = {fopen(path, "rb"), -1, 0, failure};
    if (!source.file) {
        return fail(failure, EXIT_USER, "it cannot be opened: %s", strerror(errno));
    }
    bool ok;
    if (fstat(fileno(source.file), &status) != 0) {
        ok = fail(failure, EXIT_MACHINE, "it cannot be examined: %s", strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        ok = fail(failure, EXIT_USER, "it is a folder, not a .npy file");
    } else {
        source.size = S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
        ok = read_header(&source, array) && read_data(&source, array);
    }
    fclose(source.file);
    if (!ok) {
        npy_free(array);
    }
    return ok;
}

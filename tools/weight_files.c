#include "weight_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

npy_type weight_type(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? NPY_F64 : dtype == NORMA_BF16 ? NPY_BF16 : dtype == NORMA_F16 ? NPY_F16 : NPY_F32;
}

norma_dtype weight_dtype(npy_type type)
{
    return type == NPY_F64 ? NORMA_F64 : type == NPY_BF16 ? NORMA_BF16 : type == NPY_F16 ? NORMA_F16 : NORMA_F32;
}

bool weight_read(const char *option, const char *path, bool bf16, npy_array *array, tool_failure *failure)
{
    bool ok = npy_read(path, array, failure);
    if (ok && npy_type_is_integer(array->type)) {
        ok = fail(failure, EXIT_USER, "it holds %s, but weights are f16, f32, f64 or bf16", npy_type_name(array->type));
    }
    if (ok && array->type == NPY_BF16 && !bf16) {
        ok = fail(failure, EXIT_USER, "it holds uint16, which is taken as bf16 with --dtype bf16 only");
    }
    return ok || fail_about(failure, "--%s '%s': ", option, path);
}

bool weight_parse_dtype(const char *text, bool *bf16, tool_failure *failure)
{
    *bf16 = text != NULL;
    return !text || strcmp(text, "bf16") == 0 ||
           fail(failure, EXIT_USER, "--dtype '%s': give bf16, or leave it away; the files tell other types", text);
}

bool weight_parse_axis(const char *text, const npy_array *weight, int *axis, tool_failure *failure)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    const bool number = end != text && !*end && !errno && (*text == '-' || (*text >= '0' && *text <= '9'));
    if (!number || value < -weight->rank || value >= weight->rank) {
        return fail(failure, EXIT_USER, "--axis '%s': a weight of shape %s has axes %d to %d", text,
                    npy_describe_shape(weight->rank, weight->shape).text, -weight->rank, weight->rank - 1);
    }
    *axis = (int)(value < 0 ? value + weight->rank : value);
    return true;
}

bool weight_read_vector(const char *option, const char *path, bool bf16, int64_t count, npy_type type, npy_array *array,
                        tool_failure *failure)
{
    if (!weight_read(option, path, bf16, array, failure)) {
        return false;
    }
    if (array->count != count) {
        fail(failure, EXIT_USER, "its shape is %s, but %lld elements are expected",
             npy_describe_shape(array->rank, array->shape).text, (long long)count);
        return fail_about(failure, "--%s '%s': ", option, path);
    }
    return npy_convert(array, type, failure);
}

bool weight_make(npy_array *array, npy_type type, int rank, const int64_t *shape, tool_failure *failure)
{
    array->type = type;
    return npy_set_shape(array, rank, shape) ? npy_allocate(array, failure)
                                             : fail(failure, EXIT_MACHINE, "an output would be too large");
}

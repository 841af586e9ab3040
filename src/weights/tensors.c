#include "weights/tensors.h"

#include <string.h>

#include "dtype.h"
#include "error.h"

static bool is_output(const norma_tensor *tensor)
{
    return tensor->use == NORMA_TENSOR_OUT || tensor->use == NORMA_TENSOR_OUT_OPTIONAL;
}

static norma_status check_tensor(const norma_tensor *tensor)
{
    const size_t size = norma_dtype_size(tensor->dtype);
    const bool needed = tensor->use == NORMA_TENSOR_IN || tensor->use == NORMA_TENSOR_OUT;
    if (!tensor->data && needed && tensor->count > 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected a tensor, got NULL", tensor->name);
    }
    if ((uintptr_t)tensor->data % size != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: expected an address aligned to its element of %zu bytes, got %p",
                          tensor->name, size, tensor->data);
    }
    return NORMA_SUCCESS;
}

static bool overlap(const norma_tensor *a, const norma_tensor *b)
{
    const uintptr_t a_begin = (uintptr_t)a->data, b_begin = (uintptr_t)b->data;
    const uintptr_t a_end = a_begin + (uintptr_t)a->count * norma_dtype_size(a->dtype);
    const uintptr_t b_end = b_begin + (uintptr_t)b->count * norma_dtype_size(b->dtype);
    return a->data && b->data && a_begin < b_end && b_begin < a_end;
}

static bool may_be(const norma_tensor *out, const norma_tensor *other)
{
    return out->data == other->data && out->dtype == other->dtype && out->in_place && strcmp(out->in_place, other->name) == 0;
}

norma_status norma_check_tensors(const norma_tensor *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const norma_status status = check_tensor(&tensors[i]);
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; is_output(&tensors[a]) && b < count; b++) {
            if (a != b && overlap(&tensors[a], &tensors[b]) && !may_be(&tensors[a], &tensors[b])) {
                return norma_fail(NORMA_INVALID_ARGUMENT, "args.%s: overlaps args.%s", tensors[a].name, tensors[b].name);
            }
        }
    }
    return NORMA_SUCCESS;
}

norma_status norma_check_shape(int rank, const int64_t *shape, norma_dtype dtype, int64_t least)
{
    /* Twice over, for an input and an output together. */
    int64_t bytes = 2 * (int64_t)norma_dtype_size(dtype);
    for (int k = 0; k < rank; k++) {
        if (shape[k] < least) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape[%d]: expected an extent of at least %lld, got %lld", k,
                              (long long)least, (long long)shape[k]);
        }
        if (shape[k] > 0 && __builtin_mul_overflow(bytes, shape[k], &bytes)) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "desc.shape: the product of its extents, in bytes, overflows 64 bits");
        }
    }
    return NORMA_SUCCESS;
}

norma_status norma_check_dtypes(norma_dtype dtype, const char *name, norma_dtype beside)
{
    if (!norma_dtype_known(dtype) || norma_dtype_integer(dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.dtype: expected NORMA_F32, NORMA_F64, NORMA_BF16 or NORMA_F16, got %d",
                          (int)dtype);
    }
    if (beside != 0 && beside != dtype && beside != norma_dtype_of_lanes(dtype)) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "desc.%s: expected 0, desc.dtype (%s) or %s, got %d", name,
                          norma_dtype_name(dtype), norma_dtype_name(norma_dtype_of_lanes(dtype)), (int)beside);
    }
    return NORMA_SUCCESS;
}

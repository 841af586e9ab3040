#include "tensor.h"

#include "half.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

norma_dtype norma_ort_dtype(ONNXTensorElementDataType type)
{
    switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
        return NORMA_F32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
        return NORMA_F64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
        return NORMA_BF16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
        return NORMA_F16;
    default:
        return 0;
    }
}

size_t norma_ort_dtype_size(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? 8 : dtype == NORMA_F32 ? 4 : 2;
}

int64_t norma_ort_count(const tensor *t, int first, int last)
{
    int64_t count = 1;
    for (int k = first; k < last; k++) {
        count *= t->shape[k];
    }
    return count;
}

shape_text norma_ort_shape_text(const tensor *t)
{
    shape_text s = {"["};
    int at = 1;
    for (int k = 0; k < t->rank; k++) {
        at += snprintf(s.text + at, sizeof s.text - (size_t)at, "%s%" PRId64, k ? ", " : "", t->shape[k]);
    }
    snprintf(s.text + at, sizeof s.text - (size_t)at, "]");
    return s;
}

static OrtStatus *set_shape(const char *what, ONNXTensorElementDataType type, size_t rank, tensor *out)
{
    if (rank > TENSOR_MAX_RANK) {
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s has %zu axes, at most %d are supported", what, rank, TENSOR_MAX_RANK);
    }
    out->dtype = norma_ort_dtype(type);
    out->rank = (int)rank;
    return out->dtype ? NULL : norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s is of a type that norma does not compute with", what);
}

static OrtStatus *read_info(const OrtTensorTypeAndShapeInfo *info, const char *what, tensor *out)
{
    ONNXTensorElementDataType type;
    size_t rank;
    OrtStatus *status = norma_ort->GetTensorElementType(info, &type);
    status = status ? status : norma_ort->GetDimensionsCount(info, &rank);
    status = status ? status : set_shape(what, type, rank, out);
    return status ? status : norma_ort->GetDimensions(info, out->shape, rank);
}

static OrtStatus *read_copy(const OrtValue *value, const char *what, tensor *out)
{
    OrtTensorTypeAndShapeInfo *info;
    OrtStatus *status = norma_ort->GetTensorTypeAndShape(value, &info);
    if (!status) {
        status = read_info(info, what, out);
        norma_ort->ReleaseTensorTypeAndShapeInfo(info);
    }
    return status;
}

static OrtStatus *read_reference(const OrtValue *value, const char *what, tensor *out)
{
    ONNXTensorElementDataType type;
    const int64_t *shape;
    size_t rank;
    OrtStatus *status = norma_ort_shape_reference(value, &type, &shape, &rank);
    status = status ? status : set_shape(what, type, rank, out);
    for (size_t k = 0; k < rank && !status; k++) {
        out->shape[k] = shape[k];
    }
    return status;
}

OrtStatus *norma_ort_read_tensor(const OrtValue *value, const char *what, tensor *out)
{
    out->data = NULL;
    if (!value) {
        return NULL;
    }
    OrtStatus *status = norma_ort_shape_reference ? read_reference(value, what, out) : read_copy(value, what, out);
    void *data = NULL;
    if (!status) {
        /* The C API has no reading form of this function; nothing is written through the pointer. */
        status = norma_ort->GetTensorMutableData((OrtValue *)(uintptr_t)value, &data);
    }
    static const char empty[8]; /* an empty tensor is not an absent one, and may have no memory */
    out->data = data ? data : empty;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------
 * Elements of any type
 * ------------------------------------------------------------------------------------------------------------ */

static double element(const void *data, norma_dtype dtype, int64_t i)
{
    switch (dtype) {
    case NORMA_F64:
        return ((const double *)data)[i];
    case NORMA_BF16:
        return norma_bf16_to_f32(((const uint16_t *)data)[i]);
    case NORMA_F16:
        return norma_f16_to_f32(((const uint16_t *)data)[i]);
    default:
        return ((const float *)data)[i];
    }
}

static void set_element(void *data, norma_dtype dtype, int64_t i, double value)
{
    switch (dtype) {
    case NORMA_F64:
        ((double *)data)[i] = value;
        break;
    case NORMA_BF16:
        ((uint16_t *)data)[i] = norma_bf16_from_f32((float)value);
        break;
    case NORMA_F16:
        ((uint16_t *)data)[i] = norma_f16_from_f32((float)value);
        break;
    default:
        ((float *)data)[i] = (float)value;
        break;
    }
}

void norma_ort_convert(const void *source, norma_dtype from, void *target, norma_dtype to, int64_t count)
{
    if (from == to) {
        if (source != target) {
            memcpy(target, source, (size_t)count * norma_ort_dtype_size(from));
        }
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        set_element(target, to, i, element(source, from, i));
    }
}

static int64_t copy_count(const tensor_copy *copy)
{
    int64_t count = 1;
    for (int k = 0; k < copy->rank; k++) {
        count *= copy->extent[k];
    }
    return count;
}

size_t norma_ort_copy_bytes(const tensor_copy *copy)
{
    return (size_t)copy_count(copy) * norma_ort_dtype_size(copy->to);
}

void norma_ort_copy(const tensor_copy *copy, const void *source, void *target)
{
    const int64_t count = copy_count(copy);
    int64_t index[TENSOR_MAX_RANK] = {0}, at = 0;
    for (int64_t i = 0; i < count; i++) {
        set_element(target, copy->to, i, element(source, copy->from, at));
        for (int k = copy->rank - 1; k >= 0; k--) {
            at += copy->stride[k];
            if (++index[k] < copy->extent[k]) {
                break;
            }
            at -= copy->stride[k] * copy->extent[k];
            index[k] = 0;
        }
    }
}

/* f32 alone is what sessions spend time on: compilers make vectors of this. */
static void add_row_f32(const float *base, const float *vector, const float *bias, float *target, int64_t width)
{
    if (vector && bias) {
        for (int64_t i = 0; i < width; i++) {
            target[i] = base[i] + vector[i] + bias[i];
        }
    } else {
        const float *only = vector ? vector : bias;
        for (int64_t i = 0; i < width; i++) {
            target[i] = base[i] + only[i];
        }
    }
}

void norma_ort_add_rows(const tensor_add *add, int64_t first, int64_t last)
{
    const size_t row_bytes = (size_t)add->width * norma_ort_dtype_size(add->dtype);
    for (int64_t r = first; r < last; r++) {
        const char *base = (const char *)add->base + (size_t)r * row_bytes;
        const char *vector = add->vectors ? (const char *)add->vectors + (size_t)(r / add->rows_per_vector) * row_bytes : NULL;
        char *target = (char *)add->target + (size_t)r * row_bytes;
        if (add->dtype == NORMA_F32) {
            add_row_f32((const float *)base, (const float *)vector, add->bias, (float *)target, add->width);
            continue;
        }
        for (int64_t i = 0; i < add->width; i++) {
            const double v = vector ? element(vector, add->dtype, i) : 0;
            const double b = add->bias ? element(add->bias, add->dtype, i) : 0;
            set_element(target, add->dtype, i, element(base, add->dtype, i) + v + b);
        }
    }
}

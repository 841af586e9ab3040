/* Tensors of the engine as norma needs them, and the little that must be done to some before norma can take them. */
#ifndef NORMA_ONNXRUNTIME_TENSOR_H
#define NORMA_ONNXRUNTIME_TENSOR_H

#include "engine.h"

/* norma knows fewer axes, but those that are treated alike are merged first. */
#define TENSOR_MAX_RANK 16

typedef struct tensor {
    const void *data; /* NULL: absent */
    norma_dtype dtype;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
} tensor;

/* 0 for a type that norma does not compute with. */
norma_dtype norma_ort_dtype(ONNXTensorElementDataType type);

size_t norma_ort_dtype_size(norma_dtype dtype);

/* Reads type, shape and place of a value; what says which one in sentences. An absent optional value is NULL: absent. */
OrtStatus *norma_ort_read_tensor(const OrtValue *value, const char *what, tensor *out);

/* The product of the extents of axes [first, last). */
int64_t norma_ort_count(const tensor *t, int first, int last);

/* "[2, 3]", in storage of the caller's. */
typedef struct shape_text {
    char text[TENSOR_MAX_RANK * 22 + 3];
} shape_text;
shape_text norma_ort_shape_text(const tensor *t);

/* A dense copy of a tensor that is read with strides, in elements, 0 where it is broadcast; and converted. */
typedef struct tensor_copy {
    norma_dtype from, to;
    int rank;
    int64_t extent[TENSOR_MAX_RANK], stride[TENSOR_MAX_RANK];
} tensor_copy;

/* Bytes that the copy takes. */
size_t norma_ort_copy_bytes(const tensor_copy *copy);

void norma_ort_copy(const tensor_copy *copy, const void *source, void *target);

/* count elements from one type to another. source and target may be the same where the types are. */
void norma_ort_convert(const void *source, norma_dtype from, void *target, norma_dtype to, int64_t count);

/* target[r][i] = base[r][i] + vectors[r / rows_per_vector][i] + bias[i] for rows [first, last) of width elements, from left to
 * right: f32 rounded after each addition, f16 and bf16 summed in f64, which becomes f32 and then the type. vectors and bias may
 * be NULL. target may be base. */
typedef struct tensor_add {
    norma_dtype dtype;
    int64_t rows, width, rows_per_vector;
    const void *base, *vectors, *bias;
    void *target;
} tensor_add;
void norma_ort_add_rows(const tensor_add *add, int64_t first, int64_t last);

#endif

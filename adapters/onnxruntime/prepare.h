/* Preparing a layer: what its files share. prepare.c says in which order. */
#ifndef NORMA_ONNXRUNTIME_PREPARE_H
#define NORMA_ONNXRUNTIME_PREPARE_H

#include "layer.h"

/* Scratch and kept memory begin on cache lines, and so does each part of them. */
#define PREPARE_ALIGNMENT 64

/* While something is being prepared. */
typedef struct preparation {
    const layer *layer;
    const tensor *in;
    prepared *p;
    norma_desc desc;
    int64_t channels; /* of scale and shift, which are [channels], unless they may be broadcast */
    size_t kept_bytes;
} preparation;

/* Sentences about the input, and about another tensor beside it. */
OrtStatus *norma_ort_bad_rank(const preparation *s, const char *expected);
OrtStatus *norma_ort_bad_shape(const preparation *s, layer_input which, const char *what, const char *expected);

/* The attribute axis, counted from 0. */
OrtStatus *norma_ort_settle_axis(const preparation *s, int *axis);

/* Room for so many bytes more in total; returns where it begins. */
size_t norma_ort_reserve(size_t *total, size_t bytes);

/* An operand that norma takes as it is; one that it takes a copy of, where what to copy is set already; a vector of count
 * elements of a type, converted where it has another; scale and shift [count]. */
void norma_ort_take(preparation *s, layer_input which);
void norma_ort_take_copy(preparation *s, layer_input which);
OrtStatus *norma_ort_take_vector(preparation *s, layer_input which, const char *what, int64_t count, norma_dtype dtype);
OrtStatus *norma_ort_take_scale_and_shift(preparation *s, int64_t count);

/* The descriptor and the operands, by kind. */
OrtStatus *norma_ort_prepare_rows(preparation *s);
OrtStatus *norma_ort_prepare_batch_norm(preparation *s);
OrtStatus *norma_ort_prepare_instance_norm(preparation *s);
OrtStatus *norma_ort_prepare_group_norm(preparation *s);

#endif

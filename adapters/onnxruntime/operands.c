#include "prepare.h"

#include <inttypes.h>
#include <stdio.h>

OrtStatus *norma_ort_bad_shape(const preparation *s, layer_input which, const char *what, const char *expected)
{
    return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: %s is of shape %s, expected %s for an input of shape %s", s->layer->name,
                          what, norma_ort_shape_text(&s->in[which]).text, expected, norma_ort_shape_text(&s->in[INPUT_X]).text);
}

OrtStatus *norma_ort_bad_rank(const preparation *s, const char *expected)
{
    return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: the input is of shape %s, expected %s", s->layer->name,
                          norma_ort_shape_text(&s->in[INPUT_X]).text, expected);
}

size_t norma_ort_reserve(size_t *total, size_t bytes)
{
    const size_t offset = *total;
    *total += (bytes + PREPARE_ALIGNMENT - 1) / PREPARE_ALIGNMENT * PREPARE_ALIGNMENT;
    return offset;
}

void norma_ort_take(preparation *s, layer_input which)
{
    s->p->operand[which].state = OPERAND_DIRECT;
}

void norma_ort_take_copy(preparation *s, layer_input which)
{
    operand *o = &s->p->operand[which];
    const bool known = norma_ort_is_known(s->layer, which);
    o->state = known ? OPERAND_KEPT : OPERAND_COPIED;
    o->offset = norma_ort_reserve(known ? &s->kept_bytes : &s->p->scratch_bytes, norma_ort_copy_bytes(&o->copy));
}

OrtStatus *norma_ort_take_vector(preparation *s, layer_input which, const char *what, int64_t count, norma_dtype dtype)
{
    const tensor *t = &s->in[which];
    if (!t->data) {
        return NULL;
    }
    if (t->rank != 1 || t->shape[0] != count) {
        char expected[32];
        snprintf(expected, sizeof expected, "[%" PRId64 "]", count);
        return norma_ort_bad_shape(s, which, what, expected);
    }
    if (t->dtype == dtype) {
        norma_ort_take(s, which);
        return NULL;
    }
    s->p->operand[which].copy = (tensor_copy){.from = t->dtype, .to = dtype, .rank = 1, .extent = {count}, .stride = {1}};
    norma_ort_take_copy(s, which);
    return NULL;
}

OrtStatus *norma_ort_take_scale_and_shift(preparation *s, int64_t count)
{
    const tensor *scale = &s->in[INPUT_SCALE], *shift = &s->in[INPUT_SHIFT];
    const norma_dtype dtype = scale->data ? scale->dtype : shift->data ? shift->dtype : 0;
    s->desc.parameter_dtype = dtype;
    OrtStatus *status = norma_ort_take_vector(s, INPUT_SCALE, "scale", count, dtype);
    return status ? status : norma_ort_take_vector(s, INPUT_SHIFT, "bias", count, dtype);
}

OrtStatus *norma_ort_settle_axis(const preparation *s, int *axis)
{
    const int rank = s->in[INPUT_X].rank;
    const int64_t given = s->layer->axis, counted = given < 0 ? given + rank : given;
    if (counted < 0 || counted >= rank) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: axis is %" PRId64 ", but the input's shape is %s", s->layer->name,
                              given, norma_ort_shape_text(&s->in[INPUT_X]).text);
    }
    *axis = (int)counted;
    return NULL;
}

#include "layer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads of scratch and kept memory begin on cache lines. */
#define ALIGNMENT 64

/* While something is being prepared. */
typedef struct preparation {
    const layer *layer;
    const tensor *in;
    prepared *p;
    norma_desc desc;
    int64_t channels; /* of scale and shift, which are [channels], unless they may be broadcast */
    size_t kept_bytes;
} preparation;

static OrtStatus *bad_shape(const preparation *s, layer_input which, const char *what, const char *expected)
{
    return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: %s is of shape %s, expected %s for an input of shape %s", s->layer->name,
                          what, norma_ort_shape_text(&s->in[which]).text, expected, norma_ort_shape_text(&s->in[INPUT_X]).text);
}

static OrtStatus *bad_rank(const preparation *s, const char *expected)
{
    return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: the input is of shape %s, expected %s", s->layer->name,
                          norma_ort_shape_text(&s->in[INPUT_X]).text, expected);
}

static size_t reserve(size_t *total, size_t bytes)
{
    const size_t offset = *total;
    *total += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return offset;
}

/* An operand that norma takes as it is. */
static void take(preparation *s, layer_input which)
{
    s->p->operand[which].state = OPERAND_DIRECT;
}

/* An operand that norma takes a copy of; what to copy is set already. */
static void take_copy(preparation *s, layer_input which)
{
    operand *o = &s->p->operand[which];
    const bool known = s->layer->known[which].rank > 0;
    o->state = known ? OPERAND_KEPT : OPERAND_COPIED;
    o->offset = reserve(known ? &s->kept_bytes : &s->p->scratch_bytes, norma_ort_copy_bytes(&o->copy));
}

/* A vector of as many elements as there are channels, of the given type. */
static OrtStatus *take_vector(preparation *s, layer_input which, const char *what, int64_t count, norma_dtype dtype)
{
    const tensor *t = &s->in[which];
    if (!t->data) {
        return NULL;
    }
    if (t->rank != 1 || t->shape[0] != count) {
        char expected[32];
        snprintf(expected, sizeof expected, "[%" PRId64 "]", count);
        return bad_shape(s, which, what, expected);
    }
    if (t->dtype == dtype) {
        take(s, which);
        return NULL;
    }
    s->p->operand[which].copy = (tensor_copy){.from = t->dtype, .to = dtype, .rank = 1, .extent = {count}, .stride = {1}};
    take_copy(s, which);
    return NULL;
}

/* scale and shift [count], of a type that norma takes with x's. */
static OrtStatus *take_scale_and_shift(preparation *s, int64_t count)
{
    const tensor *scale = &s->in[INPUT_SCALE], *shift = &s->in[INPUT_SHIFT];
    const norma_dtype dtype = scale->data ? scale->dtype : shift->data ? shift->dtype : 0;
    s->desc.parameter_dtype = dtype;
    OrtStatus *status = take_vector(s, INPUT_SCALE, "scale", count, dtype);
    return status ? status : take_vector(s, INPUT_SHIFT, "bias", count, dtype);
}

/* ------------------------------------------------------------------------------------------------------------
 * Rows: layer and RMS norm, whose scale and shift may be broadcast to x
 * ------------------------------------------------------------------------------------------------------------ */

/* How many leading axes of x a parameter varies along, of those before `axis`; -1: it cannot be broadcast to x. */
static int varying_axes(const tensor *x, const tensor *t, int axis)
{
    int varying = 0;
    if (t->rank > x->rank) {
        return -1;
    }
    for (int k = x->rank - t->rank; k < x->rank; k++) {
        const int64_t extent = t->shape[k - (x->rank - t->rank)];
        if (extent != x->shape[k] && extent != 1) {
            return -1;
        }
        if (k < axis && extent != 1) {
            varying = k + 1;
        }
    }
    return varying;
}

/* A parameter broadcast to the axes [0, varying) and [axis, rank) of x. */
static tensor_copy broadcast(const tensor *x, const tensor *t, int varying, int axis)
{
    tensor_copy copy = {.from = t->dtype, .to = t->dtype};
    int64_t stride[TENSOR_MAX_RANK] = {0}, step = 1;
    for (int k = x->rank - 1; k >= x->rank - t->rank; k--) {
        const int64_t extent = t->shape[k - (x->rank - t->rank)];
        stride[k] = extent == 1 ? 0 : step;
        step *= extent;
    }
    for (int k = 0; k < x->rank; k++) {
        if (k < varying || k >= axis) {
            copy.extent[copy.rank] = x->shape[k];
            copy.stride[copy.rank++] = stride[k];
        }
    }
    return copy;
}

/* Whether a copy would be as what it is copied from. */
static bool is_dense(const tensor_copy *copy)
{
    int64_t step = 1;
    bool dense = true;
    for (int k = copy->rank - 1; k >= 0; k--) {
        dense = dense && (copy->extent[k] == 1 || copy->stride[k] == step);
        step *= copy->extent[k];
    }
    return dense;
}

static void take_broadcast(preparation *s, layer_input which, int varying, int axis)
{
    const tensor *x = &s->in[INPUT_X], *t = &s->in[which];
    if (!t->data) {
        return;
    }
    s->p->operand[which].copy = broadcast(x, t, varying, axis);
    if (is_dense(&s->p->operand[which].copy)) {
        take(s, which);
    } else {
        take_copy(s, which);
    }
}

static OrtStatus *take_row_parameters(preparation *s, int axis, int *varying)
{
    const tensor *x = &s->in[INPUT_X], *scale = &s->in[INPUT_SCALE], *shift = &s->in[INPUT_SHIFT];
    for (int i = INPUT_SCALE; i <= INPUT_SHIFT; i++) {
        const int along = s->in[i].data ? varying_axes(x, &s->in[i], axis) : 0;
        if (along < 0) {
            return bad_shape(s, i, i == INPUT_SCALE ? "scale" : "bias", "one that can be broadcast");
        }
        *varying = along > *varying ? along : *varying;
    }
    if (scale->data && shift->data && scale->dtype != shift->dtype) {
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: scale and bias are of different types", s->layer->name);
    }
    s->desc.parameter_dtype = scale->data ? scale->dtype : shift->data ? shift->dtype : 0;
    take_broadcast(s, INPUT_SCALE, *varying, axis);
    take_broadcast(s, INPUT_SHIFT, *varying, axis);
    return NULL;
}

/* The residual of rows: x's shape, or its last axes, the same for all before: the plan then is for what lies between. */
static OrtStatus *take_row_residual(preparation *s, int *broadcast_axes)
{
    const tensor *x = &s->in[INPUT_X], *t = &s->in[INPUT_RESIDUAL];
    if (!t->data || s->layer->residual_after) {
        return NULL;
    }
    int same = 0; /* trailing axes of equal extents */
    while (same < t->rank && same < x->rank && t->shape[t->rank - 1 - same] == x->shape[x->rank - 1 - same]) {
        same++;
    }
    if (t->dtype != x->dtype || same == 0 || norma_ort_count(t, 0, t->rank - same) != 1) {
        return bad_shape(s, INPUT_RESIDUAL, "the skip", "that shape, or its last axes, in its type,");
    }
    *broadcast_axes = x->rank - same;
    take(s, INPUT_RESIDUAL);
    return NULL;
}

static OrtStatus *settle_axis(const preparation *s, int *axis)
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

static OrtStatus *prepare_rows(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    prepared *p = s->p;
    int axis = 0, varying = 0, broadcast_axes = 0;
    OrtStatus *status = settle_axis(s, &axis);
    status = status ? status : take_row_parameters(s, axis, &varying);
    status = status ? status : take_row_residual(s, &broadcast_axes);
    if (!status && varying && broadcast_axes) {
        status = norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: both scale and skip are broadcast", s->layer->name);
    }
    if (status) {
        return status;
    }
    const norma_dtype parameters = s->desc.parameter_dtype;
    /* Items, each with its scale and shift; rows of one; what is normalized. */
    const int first_row_axis = varying > broadcast_axes ? varying : broadcast_axes;
    const int64_t shape[3] = {norma_ort_count(x, 0, varying), norma_ort_count(x, first_row_axis, axis),
                              norma_ort_count(x, axis, x->rank)};
    const int rank = varying ? 3 : 2;
    const int64_t *from = shape + 3 - rank;
    s->desc = s->layer->kind == LAYER_NORM ? norma_layer_norm_desc(rank, from, -1, x->dtype)
                                           : norma_rms_norm_desc(rank, from, -1, x->dtype);
    s->desc.parameter_dtype = parameters;
    if (varying) {
        s->desc.modulation = NORMA_MODULATION_PER_SAMPLE;
        s->desc.modulation_plain = 1;
        p->modulated = true;
    }
    s->channels = shape[2];
    p->blocks = norma_ort_count(x, 0, broadcast_axes);
    p->stat_count = shape[0] * shape[1];
    p->stat_rank = x->rank;
    for (int k = 0; k < x->rank; k++) {
        p->stat_shape[k] = k < axis ? x->shape[k] : 1;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------
 * Images: batch, instance and group norm
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct image {
    int64_t n, c, spatial;
    norma_layout layout;
} image;

static image image_of(const layer *l, const tensor *x)
{
    if (l->channels_last) {
        const int last = x->rank - 1;
        return (image){x->shape[0], x->shape[last], norma_ort_count(x, 1, last), NORMA_NHWC};
    }
    /* ONNX: a vector has one channel. */
    return (image){x->shape[0], x->rank > 1 ? x->shape[1] : 1, norma_ort_count(x, x->rank > 1 ? 2 : 1, x->rank), NORMA_NCHW};
}

static OrtStatus *prepare_batch_norm(preparation *s)
{
    const layer *l = s->layer;
    const tensor *x = &s->in[INPUT_X];
    if (x->rank < 1) {
        return bad_rank(s, "one axis at least");
    }
    const image m = image_of(l, x);
    s->desc = norma_batch_norm_desc(m.n, m.c, m.spatial, m.layout, x->dtype);
    s->desc.statistics = l->training ? NORMA_STATISTICS_OF_BATCH : NORMA_STATISTICS_GIVEN;
    s->desc.momentum_mode = NORMA_MOMENTUM_OF_RUNNING;
    s->desc.momentum = l->momentum;
    s->desc.running_unbiased = 0;
    if (!s->in[INPUT_MEAN].data || !s->in[INPUT_VARIANCE].data) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: mean and variance are needed", l->name);
    }
    OrtStatus *status = take_scale_and_shift(s, m.c);
    status = status ? status : take_vector(s, INPUT_MEAN, "the mean", m.c, s->p->stat_dtype);
    status = status ? status : take_vector(s, INPUT_VARIANCE, "the variance", m.c, s->p->stat_dtype);
    s->p->stat_rank = 1;
    s->p->stat_shape[0] = s->p->stat_count = s->channels = m.c;
    return status;
}

static OrtStatus *prepare_instance_norm(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    if (x->rank < 2) {
        return bad_rank(s, "two axes at least");
    }
    const image m = image_of(s->layer, x);
    s->desc = norma_instance_norm_desc(m.n, m.c, m.spatial, m.layout, x->dtype);
    s->channels = m.c;
    return take_scale_and_shift(s, m.c);
}

/* [n, c], with or without axes of extent 1 between. */
static bool is_of_items(const tensor *t, const image *m)
{
    return t->rank >= 2 && t->shape[0] == m->n && t->shape[t->rank - 1] == m->c && norma_ort_count(t, 1, t->rank - 1) == 1;
}

/* x's shape, or with channels last [n, c]. */
static OrtStatus *take_image_residual(preparation *s, const image *m)
{
    const tensor *x = &s->in[INPUT_X], *t = &s->in[INPUT_RESIDUAL];
    if (!t->data || s->layer->residual_after) {
        return NULL;
    }
    if (t->dtype == x->dtype && t->rank == x->rank && !memcmp(t->shape, x->shape, (size_t)x->rank * sizeof x->shape[0])) {
        take(s, INPUT_RESIDUAL);
        return NULL;
    }
    if (t->dtype != x->dtype || m->layout != NORMA_NHWC || !is_of_items(t, m)) {
        return bad_shape(s, INPUT_RESIDUAL, "the skip", m->layout == NORMA_NHWC ? "that shape or [N, C]" : "that shape");
    }
    take(s, INPUT_RESIDUAL);
    s->p->adds = true;
    s->p->add = (tensor_add){.dtype = x->dtype, .rows = m->n * m->spatial, .width = m->c, .rows_per_vector = m->spatial};
    return NULL;
}

static OrtStatus *prepare_group_norm(preparation *s)
{
    const layer *l = s->layer;
    const tensor *x = &s->in[INPUT_X], *scale = &s->in[INPUT_SCALE];
    if (x->rank < 2) {
        return bad_rank(s, "two axes at least");
    }
    const image m = image_of(l, x);
    const int64_t groups = (int64_t)l->groups;
    if (groups < 1 || m.c % groups) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT,
                              "%s: the input's shape is %s, whose channels %" PRId64 " groups do not divide", l->name,
                              norma_ort_shape_text(x).text, groups);
    }
    s->desc = norma_group_norm_desc(m.n, m.c, m.spatial, groups, m.layout, x->dtype);
    /* Opset 18 has a scale for each group, opset 21 for each channel: it is of one length or the other. */
    s->desc.affine_of_groups = groups != m.c && scale->rank == 1 && scale->shape[0] == groups;
    s->channels = m.c;
    OrtStatus *status = take_scale_and_shift(s, s->desc.affine_of_groups ? groups : m.c);
    return status ? status : take_image_residual(s, &m);
}

/* ------------------------------------------------------------------------------------------------------------
 * Any axes
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *prepare_lp_norm(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    int axis = 0;
    OrtStatus *status = settle_axis(s, &axis);
    if (status) {
        return status;
    }
    const int64_t shape[3] = {norma_ort_count(x, 0, axis), x->shape[axis], norma_ort_count(x, axis + 1, x->rank)};
    s->desc = norma_lp_norm_desc(3, shape, 1, (int)s->layer->p, x->dtype);
    return NULL;
}

static OrtStatus *prepare_mvn(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    const layer *l = s->layer;
    bool reduced[TENSOR_MAX_RANK] = {false};
    for (size_t i = 0; i < l->axes_count; i++) {
        const int64_t axis = l->axes[i] < 0 ? l->axes[i] + x->rank : l->axes[i];
        if (axis < 0 || axis >= x->rank) {
            return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: axes has %" PRId64 ", but the input's shape is %s", l->name,
                                  l->axes[i], norma_ort_shape_text(x).text);
        }
        reduced[axis] = true;
    }
    int64_t shape[NORMA_MAX_RANK];
    int axes[NORMA_MAX_RANK], axes_count = 0, rank = 0;
    for (int k = 0; k < x->rank; k++) {
        if (k > 0 && reduced[k] == reduced[k - 1]) {
            shape[rank - 1] *= x->shape[k];
            continue;
        }
        if (rank == NORMA_MAX_RANK) {
            return norma_ort_fail(ORT_NOT_IMPLEMENTED,
                                  "%s: axes that are reduced and axes that are not alternate more than %d times", l->name,
                                  NORMA_MAX_RANK);
        }
        if (reduced[k]) {
            axes[axes_count++] = rank;
        }
        shape[rank++] = x->shape[k];
    }
    s->desc = norma_mvn_desc(rank, shape, axes_count, axes, x->dtype);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------
 * All
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *prepare_geometry(preparation *s)
{
    switch (s->layer->kind) {
    case LAYER_NORM:
    case LAYER_RMS_NORM:
        return prepare_rows(s);
    case LAYER_BATCH_NORM:
        return prepare_batch_norm(s);
    case LAYER_INSTANCE_NORM:
        return prepare_instance_norm(s);
    case LAYER_GROUP_NORM:
        return prepare_group_norm(s);
    case LAYER_MVN:
        return prepare_mvn(s);
    case LAYER_LP_NORM:
        return prepare_lp_norm(s);
    }
    return norma_ort_fail(ORT_FAIL, "%s: no such layer", s->layer->name);
}

/* The residual that is added to the result. */
static OrtStatus *prepare_residual_after(preparation *s)
{
    const tensor *x = &s->in[INPUT_X], *t = &s->in[INPUT_RESIDUAL];
    if (t->dtype != x->dtype || t->rank != x->rank || memcmp(t->shape, x->shape, (size_t)x->rank * sizeof x->shape[0])) {
        return bad_shape(s, INPUT_RESIDUAL, "what is added", "that shape");
    }
    take(s, INPUT_RESIDUAL);
    return NULL;
}

/* The bias that goes with the residual: of rows norma adds it, else it is added with the residual before. */
static OrtStatus *prepare_bias(preparation *s)
{
    const layer *l = s->layer;
    const tensor *x = &s->in[INPUT_X];
    prepared *p = s->p;
    if (!s->in[INPUT_BIAS].data) {
        return NULL;
    }
    OrtStatus *status = take_vector(s, INPUT_BIAS, "the bias added to it", s->channels, x->dtype);
    if (status || l->kind == LAYER_NORM || l->kind == LAYER_RMS_NORM || p->adds) {
        return status;
    }
    if (!l->channels_last) {
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: a bias needs channels_last = 1", l->name);
    }
    p->adds = true;
    p->add = (tensor_add){.dtype = x->dtype, .width = s->channels, .rows_per_vector = 1};
    p->add.rows = s->channels ? norma_ort_count(x, 0, x->rank) / s->channels : 0;
    return NULL;
}

static void reserve_scratch(preparation *s)
{
    prepared *p = s->p;
    if (p->adds) {
        p->add_offset = reserve(&p->scratch_bytes, (size_t)(p->add.rows * p->add.width) * norma_ort_dtype_size(p->add.dtype));
    }
    for (int i = 0; i < 2; i++) {
        if (s->layer->output[OUTPUT_MEAN + i] >= 0 && s->layer->stat_dtype[i] != p->stat_dtype) {
            const size_t bytes = (size_t)(p->blocks * p->stat_count) * norma_ort_dtype_size(p->stat_dtype);
            p->stat_offset[i] = reserve(&p->scratch_bytes, bytes);
        }
    }
}

static OrtStatus *allocate(preparation *s)
{
    prepared *p = s->p;
    if (p->scratch_bytes) {
        p->scratch = aligned_alloc(ALIGNMENT, p->scratch_bytes);
    }
    if (s->kept_bytes) {
        p->kept = aligned_alloc(ALIGNMENT, s->kept_bytes);
    }
    if ((p->scratch_bytes && !p->scratch) || (s->kept_bytes && !p->kept)) {
        return norma_ort_fail(ORT_FAIL, "%s: out of memory: %zu bytes", s->layer->name, p->scratch_bytes + s->kept_bytes);
    }
    for (int i = 0; i < LAYER_INPUTS; i++) {
        const operand *o = &p->operand[i];
        if (o->state == OPERAND_KEPT) {
            norma_ort_copy(&o->copy, s->in[i].data, p->kept + o->offset);
        }
    }
    return NULL;
}

static OrtStatus *make_plan(preparation *s)
{
    const layer *l = s->layer;
    prepared *p = s->p;
    const tensor *x = &s->in[INPUT_X];
    if (norma_ort_count(x, 0, x->rank) == 0) {
        const bool wanted = l->output[OUTPUT_MEAN] >= 0 || l->output[OUTPUT_RSTD] >= 0;
        return wanted && p->blocks * p->stat_count > 0
                   ? norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: an input of shape %s has no statistics", l->name,
                                    norma_ort_shape_text(x).text)
                   : NULL;
    }
    s->desc.epsilon = l->kind == LAYER_LP_NORM || l->kind == LAYER_MVN ? s->desc.epsilon : l->epsilon;
    s->desc.activation = l->activation;
    s->desc.activation_alpha = l->activation_alpha;
    s->desc.activation_beta = l->activation_beta;
    if (s->in[INPUT_RESIDUAL].data && !p->adds) {
        s->desc.residual = l->residual_after ? NORMA_RESIDUAL_AFTER : NORMA_RESIDUAL_BEFORE;
    }
    const norma_status status = norma_plan_create(&p->plan, norma_ort_context(), &s->desc);
    return status == NORMA_SUCCESS ? NULL : norma_ort_fail_norma(status, l->name);
}

static OrtStatus *prepare(preparation *s)
{
    const layer *l = s->layer;
    prepared *p = s->p;
    const tensor *x = &s->in[INPUT_X];
    memcpy(p->key, s->in, sizeof p->key);
    p->blocks = 1;
    p->stat_dtype = x->dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
    take(s, INPUT_X);
    OrtStatus *status = prepare_geometry(s);
    if (!status && l->residual_after && s->in[INPUT_RESIDUAL].data) {
        status = prepare_residual_after(s);
    }
    status = status ? status : prepare_bias(s);
    if (!status) {
        const int64_t count = norma_ort_count(x, 0, x->rank);
        p->block_bytes = p->blocks ? (size_t)(count / p->blocks) * norma_ort_dtype_size(x->dtype) : 0;
        reserve_scratch(s);
        status = make_plan(s);
    }
    return status ? status : allocate(s);
}

OrtStatus *norma_ort_prepare(const layer *l, const tensor in[LAYER_INPUTS], prepared **out)
{
    prepared *p = calloc(1, sizeof *p);
    if (!p) {
        return norma_ort_fail(ORT_FAIL, "%s: out of memory", l->name);
    }
    atomic_flag_clear(&p->scratch_taken);
    preparation s = {.layer = l, .in = in, .p = p};
    OrtStatus *status = prepare(&s);
    if (status) {
        norma_ort_prepared_free(p);
        p = NULL;
    }
    *out = p;
    return status;
}

void norma_ort_prepared_free(prepared *p)
{
    if (p) {
        norma_plan_destroy(p->plan);
        free(p->kept);
        free(p->scratch);
        free(p);
    }
}

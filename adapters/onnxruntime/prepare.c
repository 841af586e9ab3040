#include "prepare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------
 * Any axes
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *prepare_lp_norm(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    int axis = 0;
    OrtStatus *status = norma_ort_settle_axis(s, &axis);
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
    bool reduced[TENSOR_MAX_RANK] = {false}, any = false;
    for (size_t i = 0; i < l->axes_count; i++) {
        const int64_t axis = l->axes[i] < 0 ? l->axes[i] + x->rank : l->axes[i];
        if (axis >= 0 && axis < x->rank) { /* the engine passes over the others: the default has more than images of 1-d have */
            reduced[axis] = any = true;
        }
    }
    if (!any) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: axes has %" PRId64 " and no axis of the input, whose shape is %s",
                              l->name, l->axes_count ? l->axes[0] : -1, norma_ort_shape_text(x).text);
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
        return norma_ort_prepare_rows(s);
    case LAYER_BATCH_NORM:
        return norma_ort_prepare_batch_norm(s);
    case LAYER_INSTANCE_NORM:
        return norma_ort_prepare_instance_norm(s);
    case LAYER_GROUP_NORM:
        return norma_ort_prepare_group_norm(s);
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
        return norma_ort_bad_shape(s, INPUT_RESIDUAL, "what is added", "that shape");
    }
    norma_ort_take(s, INPUT_RESIDUAL);
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
    OrtStatus *status = norma_ort_take_vector(s, INPUT_BIAS, "the bias added to it", s->channels, x->dtype);
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
        p->add_offset =
            norma_ort_reserve(&p->scratch_bytes, (size_t)(p->add.rows * p->add.width) * norma_ort_dtype_size(p->add.dtype));
    }
    for (int i = 0; i < 2; i++) {
        if (s->layer->output[OUTPUT_MEAN + i] >= 0 && s->layer->stat_dtype[i] != p->stat_dtype) {
            const size_t bytes = (size_t)(p->blocks * p->stat_count) * norma_ort_dtype_size(p->stat_dtype);
            p->stat_offset[i] = norma_ort_reserve(&p->scratch_bytes, bytes);
        }
    }
}

static OrtStatus *allocate(preparation *s)
{
    prepared *p = s->p;
    if (p->scratch_bytes) {
        p->scratch = aligned_alloc(PREPARE_ALIGNMENT, p->scratch_bytes);
    }
    if (s->kept_bytes) {
        p->kept = aligned_alloc(PREPARE_ALIGNMENT, s->kept_bytes);
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

/* What can be told without a plan: the descriptor, and where operands come from. */
static OrtStatus *settle(preparation *s)
{
    const layer *l = s->layer;
    prepared *p = s->p;
    const tensor *x = &s->in[INPUT_X];
    memcpy(p->key, s->in, sizeof p->key);
    p->blocks = 1;
    p->stat_dtype = x->dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
    norma_ort_take(s, INPUT_X);
    OrtStatus *status = prepare_geometry(s);
    if (!status && l->residual_after && s->in[INPUT_RESIDUAL].data) {
        status = prepare_residual_after(s);
    }
    return status ? status : prepare_bias(s);
}

static OrtStatus *prepare(preparation *s)
{
    prepared *p = s->p;
    const tensor *x = &s->in[INPUT_X];
    OrtStatus *status = settle(s);
    if (!status) {
        const int64_t count = norma_ort_count(x, 0, x->rank);
        p->block_bytes = p->blocks ? (size_t)(count / p->blocks) * norma_ort_dtype_size(x->dtype) : 0;
        reserve_scratch(s);
        status = make_plan(s);
    }
    return status ? status : allocate(s);
}

OrtStatus *norma_ort_check(const layer *l, const tensor in[LAYER_INPUTS])
{
    prepared p = {0};
    preparation s = {.layer = l, .in = in, .p = &p};
    return settle(&s);
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

/* Rows: layer and RMS norm, whose scale and shift may be broadcast to x. */
#include "prepare.h"

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
        norma_ort_take(s, which);
    } else {
        norma_ort_take_copy(s, which);
    }
}

/* Scale, shift and gate. Those of items, of which varying says how many axes of x they are along, are all made as many. */
static OrtStatus *take_row_parameters(preparation *s, int axis, int *varying)
{
    static const struct {
        layer_input which;
        const char *name;
    } parameters[] = {{INPUT_SCALE, "scale"}, {INPUT_SHIFT, "bias"}, {INPUT_GATE, "the gate"}};
    const tensor *x = &s->in[INPUT_X], *scale = &s->in[INPUT_SCALE], *shift = &s->in[INPUT_SHIFT], *gate = &s->in[INPUT_GATE];
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        const layer_input which = parameters[i].which;
        const int along = s->in[which].data ? varying_axes(x, &s->in[which], axis) : 0;
        if (along < 0) {
            return norma_ort_bad_shape(s, which, parameters[i].name, "one that can be broadcast");
        }
        s->p->modulated = s->p->modulated || (along > 0 && which != INPUT_GATE);
        *varying = along > *varying ? along : *varying;
    }
    if (scale->data && shift->data && scale->dtype != shift->dtype) {
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: scale and bias are of different types", s->layer->name);
    }
    s->desc.parameter_dtype = scale->data ? scale->dtype : shift->data ? shift->dtype : gate->data ? gate->dtype : 0;
    s->p->modulated = s->p->modulated || s->layer->one_plus_scale;
    take_broadcast(s, INPUT_SCALE, s->p->modulated ? *varying : 0, axis);
    take_broadcast(s, INPUT_SHIFT, s->p->modulated ? *varying : 0, axis);
    take_broadcast(s, INPUT_GATE, *varying, axis);
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
        return norma_ort_bad_shape(s, INPUT_RESIDUAL, "the skip", "that shape, or its last axes, in its type,");
    }
    *broadcast_axes = x->rank - same;
    norma_ort_take(s, INPUT_RESIDUAL);
    return NULL;
}

OrtStatus *norma_ort_prepare_rows(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    prepared *p = s->p;
    int axis = 0, varying = 0, broadcast_axes = 0;
    OrtStatus *status = norma_ort_settle_axis(s, &axis);
    status = status ? status : take_row_parameters(s, axis, &varying);
    status = status ? status : take_row_residual(s, &broadcast_axes);
    if (!status && varying && broadcast_axes) {
        status = norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: both scale and skip are broadcast", s->layer->name);
    }
    if (status) {
        return status;
    }
    const norma_dtype parameters = s->desc.parameter_dtype;
    const bool gated = s->in[INPUT_GATE].data;
    /* Items, each with its scale and shift; rows of one; what is normalized. */
    const int first_row_axis = varying > broadcast_axes ? varying : broadcast_axes;
    const int64_t shape[3] = {norma_ort_count(x, 0, varying), norma_ort_count(x, first_row_axis, axis),
                              norma_ort_count(x, axis, x->rank)};
    const int rank = p->modulated || gated ? 3 : 2;
    const int64_t *from = shape + 3 - rank;
    s->desc = s->layer->kind == LAYER_NORM ? norma_layer_norm_desc(rank, from, -1, x->dtype)
                                           : norma_rms_norm_desc(rank, from, -1, x->dtype);
    s->desc.parameter_dtype = parameters;
    if (p->modulated) {
        s->desc.modulation = NORMA_MODULATION_PER_SAMPLE;
        s->desc.modulation_plain = !s->layer->one_plus_scale;
    }
    if (gated) {
        s->desc.residual_gate = NORMA_MODULATION_PER_SAMPLE;
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

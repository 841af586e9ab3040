/* Images: batch, instance and group norm. */
#include "prepare.h"

#include <inttypes.h>
#include <string.h>

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

OrtStatus *norma_ort_prepare_batch_norm(preparation *s)
{
    const layer *l = s->layer;
    const tensor *x = &s->in[INPUT_X];
    if (x->rank < 1) {
        return norma_ort_bad_rank(s, "one axis at least");
    }
    const image m = image_of(l, x);
    s->desc = norma_batch_norm_desc(m.n, m.c, m.spatial, m.layout, x->dtype);
    s->desc.statistics = l->training ? NORMA_STATISTICS_OF_BATCH : NORMA_STATISTICS_GIVEN;
    s->desc.momentum_mode = NORMA_MOMENTUM_OF_RUNNING;
    s->desc.momentum = l->training ? l->momentum : s->desc.momentum; /* else it may be anything */
    s->desc.running_unbiased = 0;
    if (!s->in[INPUT_MEAN].data || !s->in[INPUT_VARIANCE].data) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: mean and variance are needed", l->name);
    }
    OrtStatus *status = norma_ort_take_scale_and_shift(s, m.c);
    status = status ? status : norma_ort_take_vector(s, INPUT_MEAN, "the mean", m.c, s->p->stat_dtype);
    status = status ? status : norma_ort_take_vector(s, INPUT_VARIANCE, "the variance", m.c, s->p->stat_dtype);
    s->p->stat_rank = 1;
    s->p->stat_shape[0] = s->p->stat_count = s->channels = m.c;
    return status;
}

OrtStatus *norma_ort_prepare_instance_norm(preparation *s)
{
    const tensor *x = &s->in[INPUT_X];
    if (x->rank < 2) {
        return norma_ort_bad_rank(s, "two axes at least");
    }
    const image m = image_of(s->layer, x);
    s->desc = norma_instance_norm_desc(m.n, m.c, m.spatial, m.layout, x->dtype);
    s->channels = m.c;
    return norma_ort_take_scale_and_shift(s, m.c);
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
        norma_ort_take(s, INPUT_RESIDUAL);
        return NULL;
    }
    if (t->dtype != x->dtype || m->layout != NORMA_NHWC || !is_of_items(t, m)) {
        return norma_ort_bad_shape(s, INPUT_RESIDUAL, "the skip",
                                   m->layout == NORMA_NHWC ? "that shape or [N, C]" : "that shape");
    }
    norma_ort_take(s, INPUT_RESIDUAL);
    s->p->adds = true;
    s->p->add = (tensor_add){.dtype = x->dtype, .rows = m->n * m->spatial, .width = m->c, .rows_per_vector = m->spatial};
    return NULL;
}

OrtStatus *norma_ort_prepare_group_norm(preparation *s)
{
    const layer *l = s->layer;
    const tensor *x = &s->in[INPUT_X], *scale = &s->in[INPUT_SCALE];
    if (x->rank < 2) {
        return norma_ort_bad_rank(s, "two axes at least");
    }
    const image m = image_of(l, x);
    const int64_t groups = (int64_t)l->groups;
    if (groups < 1 || m.c % groups) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT,
                              "%s: the input's shape is %s, whose channels %" PRId64 " groups do not divide", l->name,
                              norma_ort_shape_text(x).text, groups);
    }
    s->desc = norma_group_norm_desc(m.n, m.c, m.spatial, groups, m.layout, x->dtype);
    /* Opset 18 has a scale for each group, opset 21 for each channel. Where the opset is not known, the length tells. */
    s->desc.affine_of_groups =
        groups != m.c && l->group_scale != SCALE_OF_CHANNELS && scale->rank == 1 && scale->shape[0] == groups;
    s->channels = m.c;
    OrtStatus *status = norma_ort_take_scale_and_shift(s, s->desc.affine_of_groups ? groups : m.c);
    return status ? status : take_image_residual(s, &m);
}

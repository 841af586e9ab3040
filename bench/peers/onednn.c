/*
 * oneDNN, through its C API. An activation after the norm is either a post-op of its primitive or a primitive of its own, in
 * place: which is faster differs by layout and version, so both are variants. A residual is a binary primitive before or after.
 */
#include <dnnl.h>
#include <stdlib.h>

#include "peers.h"

enum { AS_POST_OP, AS_PRIMITIVE };
enum { STEPS_MAX = 4, ARGUMENTS_MAX = 8, MEMORIES_MAX = 24 };

typedef struct onednn_step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[ARGUMENTS_MAX];
    int count;
} onednn_step;

typedef struct onednn_state {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_desc_t data, parameters;
    dnnl_memory_t memories[MEMORIES_MAX];
    int memories_count;
    onednn_step steps[STEPS_MAX];
    int steps_count;
    int threads;
    const bench_problem *problem;
    const bench_tensors *tensors;
} onednn_state;

static bool in_rows(const case_spec *spec)
{
    return spec->layout == CASE_ROWS || (spec->op == NORMA_CHANNEL_NORM && spec->layout == CASE_NHWC);
}

bool bench_onednn_exists(const bench_path *path, const bench_problem *problem)
{
    const case_spec *spec = &problem->spec;
    const bool op = spec->op != NORMA_LP_NORM && (spec->op != NORMA_CHANNEL_NORM || in_rows(spec));
    return op && spec->dtype != NORMA_F64 && (path->argument == AS_POST_OP || spec->activation != NORMA_IDENTITY);
}

static bool good(dnnl_status_t status)
{
    return status == dnnl_success;
}

static dnnl_data_type_t type_of(norma_dtype dtype)
{
    return dtype == NORMA_BF16 ? dnnl_bf16 : dtype == NORMA_F16 ? dnnl_f16 : dnnl_f32;
}

static bool make_descs(onednn_state *s, const case_spec *spec)
{
    dnnl_dims_t dims = {spec->extent[0], spec->extent[1], 1, 1, 1};
    dnnl_dims_t length = {spec->extent[1]};
    int rank = 2;
    for (; rank < CASE_RANK_MAX && spec->extent[rank]; rank++) {
        dims[rank] = spec->extent[rank];
    }
    dnnl_format_tag_t tag = rank == 5 ? dnnl_ncdhw : rank == 4 ? dnnl_nchw : dnnl_ab;
    if (spec->layout == CASE_NHWC) {
        tag = rank == 5 ? dnnl_ndhwc : dnnl_nhwc;
    }
    if (in_rows(spec)) {
        dims[0] = spec->extent[0] * (spec->layout == CASE_ROWS ? 1 : case_spatial(spec));
        rank = 2;
        tag = dnnl_ab;
    }
    return good(dnnl_memory_desc_create_with_tag(&s->data, rank, dims, type_of(spec->dtype), tag)) &&
           good(dnnl_memory_desc_create_with_tag(&s->parameters, 1, length, dnnl_f32, dnnl_a));
}

static bool bind(onednn_state *s, onednn_step *step, int argument, const_dnnl_memory_desc_t desc, void *tensor)
{
    dnnl_memory_t *memory = &s->memories[s->memories_count];
    if (!good(dnnl_memory_create(memory, desc, s->engine, tensor))) {
        return false;
    }
    s->memories_count++;
    step->arguments[step->count++] = (dnnl_exec_arg_t){argument, *memory};
    return true;
}

/* Takes the descriptor. */
static bool make_primitive(onednn_state *s, dnnl_primitive_desc_t desc, char *label)
{
    const char *info = "";
    dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &info);
    const bool made = good(dnnl_primitive_create(&s->steps[s->steps_count].primitive, desc));
    if (made && label) {
        snprintf(label, BENCH_SENTENCE_MAX, "%s", info);
    }
    dnnl_primitive_desc_destroy(desc);
    return made;
}

typedef struct onednn_activation {
    dnnl_alg_kind_t algorithm;
    float alpha, beta;
} onednn_activation;

static onednn_activation activation_of(const norma_desc *desc)
{
    const float alpha = (float)desc->activation_alpha, beta = (float)desc->activation_beta;
    switch (desc->activation) {
    case NORMA_RELU:
        return (onednn_activation){dnnl_eltwise_relu, 0, 0};
    case NORMA_LEAKY_RELU:
        return (onednn_activation){dnnl_eltwise_relu, alpha, 0};
    case NORMA_CLIP:
        return (onednn_activation){dnnl_eltwise_clip, alpha, beta};
    case NORMA_SILU:
        return (onednn_activation){dnnl_eltwise_swish, 1, 0};
    case NORMA_GELU:
        return (onednn_activation){dnnl_eltwise_gelu_erf, 0, 0};
    case NORMA_GELU_TANH:
        return (onednn_activation){dnnl_eltwise_gelu_tanh, 0, 0};
    case NORMA_SIGMOID:
        return (onednn_activation){dnnl_eltwise_logistic, 0, 0};
    case NORMA_TANH:
        return (onednn_activation){dnnl_eltwise_tanh, 0, 0};
    case NORMA_HARD_SWISH:
        return (onednn_activation){dnnl_eltwise_hardswish, alpha, beta};
    case NORMA_HARD_SIGMOID:
        return (onednn_activation){dnnl_eltwise_hardsigmoid, alpha, beta};
    case NORMA_MISH:
        return (onednn_activation){dnnl_eltwise_mish, 0, 0};
    case NORMA_ELU:
        return (onednn_activation){dnnl_eltwise_elu, alpha, 0};
    default:
        return (onednn_activation){dnnl_alg_kind_undef, 0, 0};
    }
}

/* into = from + residual. */
static bool add_sum(onednn_state *s, void *from, void *into)
{
    onednn_step *step = &s->steps[s->steps_count];
    dnnl_primitive_desc_t desc;
    const bool made =
        good(dnnl_binary_primitive_desc_create(&desc, s->engine, dnnl_binary_add, s->data, s->data, s->data, NULL)) &&
        make_primitive(s, desc, NULL);
    s->steps_count += made;
    return made && bind(s, step, DNNL_ARG_SRC_0, s->data, from) &&
           bind(s, step, DNNL_ARG_SRC_1, s->data, s->tensors->residual) && bind(s, step, DNNL_ARG_DST, s->data, into);
}

static bool add_activation(onednn_state *s)
{
    const onednn_activation a = activation_of(&s->problem->desc);
    onednn_step *step = &s->steps[s->steps_count];
    dnnl_primitive_desc_t desc;
    const bool made = good(dnnl_eltwise_forward_primitive_desc_create(&desc, s->engine, dnnl_forward_inference, a.algorithm,
                                                                      s->data, s->data, a.alpha, a.beta, NULL)) &&
                      make_primitive(s, desc, NULL);
    s->steps_count += made;
    return made && bind(s, step, DNNL_ARG_SRC, s->data, s->tensors->y) && bind(s, step, DNNL_ARG_DST, s->data, s->tensors->y);
}

static dnnl_status_t describe_norm(onednn_state *s, dnnl_primitive_desc_t *desc, unsigned flags, dnnl_primitive_attr_t attr)
{
    const case_spec *spec = &s->problem->spec;
    const norma_desc *own = &s->problem->desc;
    const dnnl_prop_kind_t kind = dnnl_forward_inference;
    const float epsilon =
        own->epsilon_mode == NORMA_EPSILON_INSIDE ? (float)own->epsilon : 0; /* MVN's 1e-9 outside is nothing */
    const bool rms = spec->op == NORMA_RMS_NORM;
    if (in_rows(spec)) {
        return dnnl_layer_normalization_forward_primitive_desc_create(desc, s->engine, kind, s->data, s->data, NULL, epsilon,
                                                                      flags | (rms ? dnnl_rms_norm : 0u), attr);
    }
    if (spec->op == NORMA_GROUP_NORM || spec->op == NORMA_INSTANCE_NORM) {
        const dnnl_dim_t groups = spec->op == NORMA_GROUP_NORM ? CASE_GROUPS : spec->extent[1];
        return dnnl_group_normalization_forward_primitive_desc_create(desc, s->engine, kind, s->data, s->data, groups, epsilon,
                                                                      flags, attr);
    }
    return dnnl_batch_normalization_forward_primitive_desc_create(desc, s->engine, kind, s->data, s->data, epsilon, flags,
                                                                  attr);
}

/* With the activation as a post-op where attr has it. */
static bool add_norm(onednn_state *s, void *from, dnnl_primitive_attr_t attr, char *label)
{
    const bench_problem *problem = s->problem;
    const bench_tensors *tensors = s->tensors;
    onednn_step *step = &s->steps[s->steps_count];
    unsigned flags = (problem->scale ? dnnl_use_scale : 0u) | (problem->shift ? dnnl_use_shift : 0u);
    flags |= problem->given ? dnnl_use_global_stats : 0u;
    dnnl_primitive_desc_t desc;
    const bool made = good(describe_norm(s, &desc, flags, attr)) && make_primitive(s, desc, label);
    s->steps_count += made;
    return made && bind(s, step, DNNL_ARG_SRC, s->data, from) && bind(s, step, DNNL_ARG_DST, s->data, tensors->y) &&
           (!problem->scale || bind(s, step, DNNL_ARG_SCALE, s->parameters, tensors->scale)) &&
           (!problem->shift || bind(s, step, DNNL_ARG_SHIFT, s->parameters, tensors->shift)) &&
           (!problem->given || (bind(s, step, DNNL_ARG_MEAN, s->parameters, tensors->mean) &&
                                bind(s, step, DNNL_ARG_VARIANCE, s->parameters, tensors->variance)));
}

static bool make_post_op(dnnl_primitive_attr_t *attr, const norma_desc *desc)
{
    const onednn_activation a = activation_of(desc);
    dnnl_post_ops_t ops;
    if (!good(dnnl_post_ops_create(&ops))) {
        return false;
    }
    const bool made = good(dnnl_post_ops_append_eltwise(ops, a.algorithm, a.alpha, a.beta)) &&
                      good(dnnl_primitive_attr_create(attr)) && good(dnnl_primitive_attr_set_post_ops(*attr, ops));
    dnnl_post_ops_destroy(ops);
    return made;
}

static bool add_steps(onednn_state *s, bool fused, char *label)
{
    const norma_desc *desc = &s->problem->desc;
    const bench_tensors *tensors = s->tensors;
    const bool before = desc->residual == NORMA_RESIDUAL_BEFORE, after = desc->residual == NORMA_RESIDUAL_AFTER;
    const bool active = desc->activation != NORMA_IDENTITY, post_op = active && fused && !after;
    dnnl_primitive_attr_t attr = NULL;
    const bool made = (!post_op || make_post_op(&attr, desc)) && (!before || add_sum(s, tensors->x, tensors->sum)) &&
                      add_norm(s, before ? tensors->sum : tensors->x, attr, label) &&
                      (!after || add_sum(s, tensors->y, tensors->y)) && (!active || post_op || add_activation(s));
    dnnl_primitive_attr_destroy(attr);
    return made;
}

bench_ready bench_onednn_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                 const bench_tensors *tensors, int threads, char *label, char *sentence)
{
    onednn_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory");
        return BENCH_BROKEN;
    }
    s->problem = problem;
    s->tensors = tensors;
    s->threads = threads;
    bench_peer_threads(threads); /* primitives are made for that many */
    if (!good(dnnl_engine_create(&s->engine, dnnl_cpu, 0)) ||
        !good(dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags))) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "oneDNN has no engine for this processor");
        return BENCH_BROKEN;
    }
    return make_descs(s, &problem->spec) && add_steps(s, path->argument == AS_POST_OP, label) ? BENCH_READY : BENCH_ABSENT;
}

bool bench_onednn_run(void *state)
{
    onednn_state *s = state;
    bool ok = true;
    bench_peer_threads(s->threads);
    for (int i = 0; i < s->steps_count; i++) {
        ok &= good(dnnl_primitive_execute(s->steps[i].primitive, s->stream, s->steps[i].count, s->steps[i].arguments));
    }
    return good(dnnl_stream_wait(s->stream)) && ok;
}

void bench_onednn_release(void *state)
{
    onednn_state *s = state;
    if (!s) {
        return;
    }
    for (int i = 0; i < s->steps_count; i++) {
        dnnl_primitive_destroy(s->steps[i].primitive);
    }
    for (int i = 0; i < s->memories_count; i++) {
        dnnl_memory_destroy(s->memories[i]);
    }
    dnnl_memory_desc_destroy(s->data);
    dnnl_memory_desc_destroy(s->parameters);
    dnnl_stream_destroy(s->stream);
    dnnl_engine_destroy(s->engine);
    free(s);
}

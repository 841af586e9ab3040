/*
 * ggml, as llama.cpp runs it: a graph of the norm, its scale and its shift, an activation and a residual, on the CPU backend
 * that ggml chooses for the processor. All tensors of the graph but the inputs and the sum lie in y, one after the other in
 * place, as its allocator has it. f32 only.
 */
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <stdlib.h>

#include "peers.h"

typedef struct ggml_state {
    struct ggml_context *context;
    struct ggml_cgraph *graph;
    ggml_backend_t backend;
    ggml_backend_buffer_t buffers[8];
    int buffers_count;
} ggml_state;

bool bench_ggml_exists(const bench_path *path, const bench_problem *problem)
{
    (void)path;
    const case_spec *spec = &problem->spec;
    const bool rows = spec->layout == CASE_ROWS || (spec->op == NORMA_CHANNEL_NORM && spec->layout == CASE_NHWC);
    const bool planes = (spec->op == NORMA_GROUP_NORM || spec->op == NORMA_INSTANCE_NORM) && spec->layout == CASE_NCHW;
    switch (spec->activation) {
    case NORMA_CLIP: /* has parameters of its own in every graph */
    case NORMA_MISH:
    case NORMA_GELU_TANH: /* from a table of f16: no f32 result */
        return false;
    default:
        return (rows || planes) && spec->dtype == NORMA_F32;
    }
}

static struct ggml_tensor *at(ggml_state *s, struct ggml_tensor *tensor, void *data)
{
    ggml_backend_buffer_t buffer = ggml_backend_cpu_buffer_from_ptr(data, ggml_nbytes(tensor));
    s->buffers[s->buffers_count++] = buffer;
    ggml_backend_tensor_alloc(buffer, tensor, data);
    return tensor;
}

static struct ggml_tensor *norm_of(struct ggml_context *context, const bench_problem *problem, struct ggml_tensor *x)
{
    const case_spec *spec = &problem->spec;
    const norma_desc *desc = &problem->desc;
    const float epsilon = desc->epsilon_mode == NORMA_EPSILON_INSIDE ? (float)desc->epsilon : 0;
    switch (spec->op) {
    case NORMA_RMS_NORM:
        return ggml_rms_norm(context, x, epsilon);
    case NORMA_LP_NORM:
        return ggml_l2_norm(context, x, 0);
    case NORMA_GROUP_NORM:
        return ggml_group_norm(context, x, CASE_GROUPS, epsilon);
    case NORMA_INSTANCE_NORM:
        return ggml_group_norm(context, x, (int)spec->extent[1], epsilon);
    default:
        return ggml_norm(context, x, epsilon);
    }
}

static struct ggml_tensor *activated(struct ggml_context *context, const norma_desc *desc, struct ggml_tensor *y)
{
    switch (desc->activation) {
    case NORMA_RELU:
        return ggml_relu(context, y);
    case NORMA_LEAKY_RELU:
        return ggml_leaky_relu(context, y, (float)desc->activation_alpha, false);
    case NORMA_SILU:
        return ggml_silu(context, y);
    case NORMA_GELU:
        return ggml_gelu_erf(context, y);
    case NORMA_SIGMOID:
        return ggml_sigmoid(context, y);
    case NORMA_TANH:
        return ggml_tanh(context, y);
    case NORMA_HARD_SWISH:
        return ggml_hardswish(context, y);
    case NORMA_HARD_SIGMOID:
        return ggml_hardsigmoid(context, y);
    case NORMA_ELU:
        return ggml_elu(context, y);
    default:
        return y;
    }
}

/* ggml's first extent is the innermost one: columns x rows, or positions x 1 x channels x items. */
static struct ggml_tensor *input_of(struct ggml_context *context, const bench_problem *problem)
{
    const case_spec *spec = &problem->spec;
    if (problem->sets.step == 1 && problem->sets.pieces == 1 && spec->op != NORMA_GROUP_NORM &&
        spec->op != NORMA_INSTANCE_NORM) {
        return ggml_new_tensor_2d(context, GGML_TYPE_F32, problem->sets.length, problem->sets.count);
    }
    return ggml_new_tensor_4d(context, GGML_TYPE_F32, case_spatial(spec), 1, spec->extent[1], spec->extent[0]);
}

static void build(ggml_state *s, const bench_problem *problem, const bench_tensors *tensors)
{
    struct ggml_context *context = s->context;
    const norma_residual residual = problem->desc.residual;
    struct ggml_tensor *x = at(s, input_of(context, problem), tensors->x), *r = NULL;
    ggml_backend_buffer_t y_buffer = ggml_backend_cpu_buffer_from_ptr(tensors->y, ggml_nbytes(x));
    s->buffers[s->buffers_count++] = y_buffer;
    if (residual != NORMA_RESIDUAL_NONE) {
        r = at(s, input_of(context, problem), tensors->residual);
    }
    if (residual == NORMA_RESIDUAL_BEFORE) {
        x = at(s, ggml_add(context, x, r), tensors->sum);
    }
    struct ggml_tensor *chain[6];
    int count = 0;
    struct ggml_tensor *y = chain[count++] = norm_of(context, problem, x);
    if (problem->scale) {
        struct ggml_tensor *scale = at(s, ggml_new_tensor_1d(context, GGML_TYPE_F32, problem->sets.length), tensors->scale);
        y = chain[count++] = ggml_mul(context, y, scale);
    }
    if (problem->shift) {
        struct ggml_tensor *shift = at(s, ggml_new_tensor_1d(context, GGML_TYPE_F32, problem->sets.length), tensors->shift);
        y = chain[count++] = ggml_add(context, y, shift);
    }
    if (residual == NORMA_RESIDUAL_AFTER) {
        y = chain[count++] = ggml_add(context, y, r);
    }
    if (problem->desc.activation != NORMA_IDENTITY) {
        y = chain[count++] = activated(context, &problem->desc, y);
    }
    for (int i = 0; i < count; i++) {
        ggml_backend_tensor_alloc(y_buffer, chain[i], tensors->y);
    }
    s->graph = ggml_new_graph(context);
    ggml_build_forward_expand(s->graph, y);
}

/* What it says of the backends that it finds or does not is none of the table's business. */
static void say_nothing(enum ggml_log_level level, const char *text, void *data)
{
    (void)level;
    (void)text;
    (void)data;
}

bench_ready bench_ggml_prepare(void **state, const bench_path *path, const bench_problem *problem, const bench_tensors *tensors,
                               int threads, char *label, char *sentence)
{
    (void)path;
    static bool loaded;
    ggml_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!loaded) {
        ggml_log_set(say_nothing, NULL);
        ggml_backend_load_all();
        loaded = true;
    }
    const struct ggml_init_params params = {64 * ggml_tensor_overhead() + ggml_graph_overhead(), NULL, true};
    if (!s || !(s->context = ggml_init(params)) ||
        !(s->backend = ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, NULL))) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "ggml has no backend for this processor");
        return BENCH_BROKEN;
    }
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(ggml_backend_get_device(s->backend));
    void *found = ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads");
    ggml_backend_set_n_threads_t set_threads;
    *(void **)&set_threads = found;
    if (!found) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "ggml's backend cannot be told a number of threads");
        return BENCH_BROKEN;
    }
    set_threads(s->backend, threads);
    build(s, problem, tensors);
    snprintf(label, BENCH_SENTENCE_MAX, "%s", "graph");
    return BENCH_READY;
}

bool bench_ggml_run(void *state)
{
    ggml_state *s = state;
    return ggml_backend_graph_compute(s->backend, s->graph) == GGML_STATUS_SUCCESS;
}

void bench_ggml_release(void *state)
{
    ggml_state *s = state;
    if (!s) {
        return;
    }
    for (int i = 0; i < s->buffers_count; i++) {
        ggml_backend_buffer_free(s->buffers[i]);
    }
    ggml_backend_free(s->backend);
    ggml_free(s->context);
    free(s);
}

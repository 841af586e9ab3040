/*
 * ONNX Runtime, through its C API: a model of the one op and what stands around it, made in memory (no file, no protobuf),
 * optimized as any model is, input and output bound to the case's tensors once. NCHW only, as ONNX has it.
 */
#include <onnxruntime_c_api.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

enum { VALUES_MAX = 12, ATTRIBUTES_MAX = 4, NODE_INPUTS_MAX = 5 };

typedef struct onnx_state {
    OrtSession *session;
    OrtIoBinding *binding;
    OrtRunOptions *options;
    OrtValue *values[VALUES_MAX];
    int values_count;
    float *constants; /* scale, shift where ONNX insists on them: ones, zeros */
    char *sentence;
} onnx_state;

static const OrtApi *api;
static const OrtModelEditorApi *editor;
static OrtEnv *environment;

/* Whether it is; else keeps the sentence. */
static bool good(onnx_state *s, OrtStatus *status)
{
    if (status) {
        snprintf(s->sentence, BENCH_SENTENCE_MAX, "%.400s", api->GetErrorMessage(status));
        api->ReleaseStatus(status);
    }
    return status == NULL;
}

bool bench_onnxruntime_exists(const bench_path *path, const bench_problem *problem)
{
    (void)path;
    const case_spec *spec = &problem->spec;
    const bool rows = spec->layout == CASE_ROWS || (spec->op == NORMA_CHANNEL_NORM && spec->layout == CASE_NHWC);
    const bool batch =
        spec->op != NORMA_BATCH_NORM || spec->given; /* its training mode is an op of its own, and none for inference */
    return (rows || (spec->layout == CASE_NCHW && spec->op != NORMA_CHANNEL_NORM)) && batch;
}

static ONNXTensorElementDataType type_of(norma_dtype dtype)
{
    return dtype == NORMA_F64    ? ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
           : dtype == NORMA_BF16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16
           : dtype == NORMA_F16  ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

/* The shape that ONNX sees. */
static size_t shape_of(const bench_problem *problem, int64_t *shape)
{
    const case_spec *spec = &problem->spec;
    size_t rank = 0;
    if (spec->op == NORMA_CHANNEL_NORM) {
        shape[0] = problem->sets.count;
        shape[1] = problem->sets.length;
        return 2;
    }
    for (; rank < CASE_RANK_MAX && spec->extent[rank]; rank++) {
        shape[rank] = spec->extent[rank];
    }
    return rank;
}

static OrtValue *value_over(onnx_state *s, void *data, size_t bytes, const int64_t *shape, size_t rank,
                            ONNXTensorElementDataType type)
{
    OrtMemoryInfo *memory;
    OrtValue *value = NULL;
    if (good(s, api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory))) {
        if (good(s, api->CreateTensorWithDataAsOrtValue(memory, data, bytes, shape, rank, type, &value))) {
            s->values[s->values_count++] = value;
        }
        api->ReleaseMemoryInfo(memory);
    }
    return value;
}

/* An input or output of the graph. */
static OrtValueInfo *info_of(onnx_state *s, const char *name, const int64_t *shape, size_t rank, ONNXTensorElementDataType type)
{
    OrtTensorTypeAndShapeInfo *tensor;
    OrtTypeInfo *whole;
    OrtValueInfo *info = NULL;
    if (!good(s, api->CreateTensorTypeAndShapeInfo(&tensor))) {
        return NULL;
    }
    if (good(s, api->SetTensorElementType(tensor, type)) && good(s, api->SetDimensions(tensor, shape, rank)) &&
        good(s, editor->CreateTensorTypeInfo(tensor, &whole))) {
        good(s, editor->CreateValueInfo(name, whole, &info));
        api->ReleaseTypeInfo(whole);
    }
    api->ReleaseTensorTypeAndShapeInfo(tensor);
    return info;
}

typedef struct onnx_attributes {
    OrtOpAttr *list[ATTRIBUTES_MAX];
    size_t count;
} onnx_attributes;

static bool set_integer(onnx_state *s, onnx_attributes *attributes, const char *name, int64_t value)
{
    return good(s, api->CreateOpAttr(name, &value, 1, ORT_OP_ATTR_INT, &attributes->list[attributes->count++]));
}

static bool set_real(onnx_state *s, onnx_attributes *attributes, const char *name, double value)
{
    const float single = (float)value;
    return good(s, api->CreateOpAttr(name, &single, 1, ORT_OP_ATTR_FLOAT, &attributes->list[attributes->count++]));
}

/* inputs and outputs end with NULL. Takes the attributes. */
static bool add_node(onnx_state *s, OrtGraph *graph, const char *op, const char *domain, const char *const *inputs,
                     const char *const *outputs, onnx_attributes *attributes)
{
    size_t in = 0, out = 0;
    while (inputs[in]) {
        in++;
    }
    while (outputs[out]) {
        out++;
    }
    OrtNode *node = NULL;
    const bool made = good(s, editor->CreateNode(op, domain, outputs[0], inputs, in, outputs, out, attributes->list,
                                                 attributes->count, &node)) &&
                      good(s, editor->AddNodeToGraph(graph, node));
    for (size_t i = 0; i < attributes->count; i++) {
        api->ReleaseOpAttr(attributes->list[i]);
    }
    attributes->count = 0;
    return made;
}

static bool add_initializer(onnx_state *s, OrtGraph *graph, const char *name, void *data, int64_t length)
{
    const size_t bytes = (size_t)length * sizeof(float);
    OrtValue *value = value_over(s, data, bytes, &length, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    OrtValue *own = NULL;
    OrtAllocator *allocator;
    void *copy;
    /* Of the model's own: data from outside is not folded into others. */
    const bool made = value && good(s, api->GetAllocatorWithDefaultOptions(&allocator)) &&
                      good(s, api->CreateTensorAsOrtValue(allocator, &length, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &own)) &&
                      good(s, api->GetTensorMutableData(own, &copy));
    if (!made) {
        return false;
    }
    memcpy(copy, data, bytes);
    return good(s, editor->AddInitializerToGraph(graph, name, own, false));
}

typedef struct onnx_norm {
    const char *op, *domain;
    bool scale, shift, statistics; /* inputs that it insists on */
    bool sums;                     /* takes a residual, and gives the sum */
} onnx_norm;

static onnx_norm norm_of(const bench_problem *problem)
{
    const bool sums = problem->desc.residual == NORMA_RESIDUAL_BEFORE;
    switch (problem->spec.op) {
    case NORMA_RMS_NORM:
        return sums ? (onnx_norm){"SkipSimplifiedLayerNormalization", "com.microsoft", true, false, false, true}
                    : (onnx_norm){"SimplifiedLayerNormalization", "", true, false, false, false};
    case NORMA_LP_NORM:
        return (onnx_norm){"LpNormalization", "", false, false, false, false};
    case NORMA_BATCH_NORM:
        return (onnx_norm){"BatchNormalization", "", true, true, true, false};
    case NORMA_INSTANCE_NORM:
        return (onnx_norm){"InstanceNormalization", "", true, true, false, false};
    case NORMA_GROUP_NORM:
        return (onnx_norm){"GroupNormalization", "", true, true, false, false};
    case NORMA_MVN:
        return (onnx_norm){"MeanVarianceNormalization", "", false, false, false, false};
    default:
        return sums ? (onnx_norm){"SkipLayerNormalization", "com.microsoft", true, true, false, true}
                    : (onnx_norm){"LayerNormalization", "", true, true, false, false};
    }
}

static bool set_attributes(onnx_state *s, const bench_problem *problem, const onnx_norm *norm, onnx_attributes *attributes)
{
    const norma_op op = problem->spec.op;
    if (op == NORMA_LP_NORM) {
        return set_integer(s, attributes, "axis", -1) && set_integer(s, attributes, "p", 2);
    }
    if (op == NORMA_MVN) {
        int64_t axes[] = {0, 2, 3, 4};
        const int64_t last = 1;
        const int count = problem->spec.layout == CASE_ROWS ? 1 : problem->spec.extent[4] ? 4 : 3;
        return good(s, api->CreateOpAttr("axes", problem->spec.layout == CASE_ROWS ? &last : axes, count, ORT_OP_ATTR_INTS,
                                         &attributes->list[attributes->count++]));
    }
    const bool axis = !norm->sums && (op == NORMA_LAYER_NORM || op == NORMA_RMS_NORM || op == NORMA_CHANNEL_NORM);
    return set_real(s, attributes, "epsilon", problem->desc.epsilon) && (!axis || set_integer(s, attributes, "axis", -1)) &&
           (op != NORMA_GROUP_NORM || set_integer(s, attributes, "num_groups", CASE_GROUPS));
}

/* The name of what the norm gives is y where nothing follows. */
static bool add_norm(onnx_state *s, OrtGraph *graph, const bench_problem *problem, const bench_tensors *tensors,
                     const char *result)
{
    const onnx_norm norm = norm_of(problem);
    const int64_t length = problem->spec.layout == CASE_ROWS || problem->spec.op == NORMA_CHANNEL_NORM
                               ? problem->sets.length
                               : problem->spec.extent[1];
    const char *inputs[NODE_INPUTS_MAX + 2] = {"x"};
    const char *outputs[] = {result, NULL, NULL, NULL, NULL};
    int count = 1;
    if (norm.sums) {
        inputs[count++] = "residual";
        outputs[1] = outputs[2] = "";
        outputs[3] = "sum";
    }
    s->constants = calloc(2 * (size_t)length, sizeof(float));
    for (int64_t i = 0; s->constants && i < length; i++) {
        s->constants[i] = 1;
    }
    const struct {
        const char *name;
        bool wanted;
        void *data;
    } parameters[] = {{"scale", norm.scale, problem->scale ? tensors->scale : s->constants},
                      {"shift", norm.shift, problem->shift ? tensors->shift : s->constants + length},
                      {"mean", norm.statistics, tensors->mean},
                      {"variance", norm.statistics, tensors->variance}};
    bool made = s->constants != NULL;
    for (int i = 0; i < 4; i++) {
        if (parameters[i].wanted) {
            made = made && add_initializer(s, graph, parameters[i].name, parameters[i].data, length);
            inputs[count++] = parameters[i].name;
        }
    }
    onnx_attributes attributes = {.count = 0};
    return made && set_attributes(s, problem, &norm, &attributes) &&
           add_node(s, graph, norm.op, norm.domain, inputs, outputs, &attributes);
}

static bool add_activation(onnx_state *s, OrtGraph *graph, const norma_desc *desc, const char *from)
{
    const char *inputs[] = {from, NULL, NULL}, *outputs[] = {"y", NULL};
    onnx_attributes attributes = {.count = 0};
    switch (desc->activation) {
    case NORMA_RELU:
        return add_node(s, graph, "Relu", "", inputs, outputs, &attributes);
    case NORMA_LEAKY_RELU:
        return set_real(s, &attributes, "alpha", desc->activation_alpha) &&
               add_node(s, graph, "LeakyRelu", "", inputs, outputs, &attributes);
    case NORMA_SILU: { /* which it makes a QuickGelu of where it can */
        const char *gate[] = {"gate", NULL};
        const char *both[] = {from, "gate", NULL};
        return add_node(s, graph, "Sigmoid", "", inputs, gate, &attributes) &&
               add_node(s, graph, "Mul", "", both, outputs, &attributes);
    }
    case NORMA_GELU:
        return add_node(s, graph, "Gelu", "", inputs, outputs, &attributes);
    case NORMA_SIGMOID:
        return add_node(s, graph, "Sigmoid", "", inputs, outputs, &attributes);
    case NORMA_TANH:
        return add_node(s, graph, "Tanh", "", inputs, outputs, &attributes);
    case NORMA_HARD_SWISH:
        return add_node(s, graph, "HardSwish", "", inputs, outputs, &attributes);
    case NORMA_HARD_SIGMOID:
        return set_real(s, &attributes, "alpha", desc->activation_alpha) &&
               set_real(s, &attributes, "beta", desc->activation_beta) &&
               add_node(s, graph, "HardSigmoid", "", inputs, outputs, &attributes);
    case NORMA_MISH:
        return add_node(s, graph, "Mish", "", inputs, outputs, &attributes);
    case NORMA_ELU:
        return set_real(s, &attributes, "alpha", desc->activation_alpha) &&
               add_node(s, graph, "Elu", "", inputs, outputs, &attributes);
    default:
        snprintf(s->sentence, BENCH_SENTENCE_MAX, "no such activation");
        return false;
    }
}

static bool fill_graph(onnx_state *s, OrtGraph *graph, const bench_problem *problem, const bench_tensors *tensors)
{
    const norma_residual residual = problem->desc.residual;
    const bool after = residual == NORMA_RESIDUAL_AFTER, before = residual == NORMA_RESIDUAL_BEFORE;
    const bool active = problem->desc.activation != NORMA_IDENTITY;
    const ONNXTensorElementDataType type = type_of(problem->desc.dtype);
    int64_t shape[CASE_RANK_MAX];
    const size_t rank = shape_of(problem, shape);
    const bool residual_in = residual != NORMA_RESIDUAL_NONE;
    OrtValueInfo *inputs[] = {info_of(s, "x", shape, rank, type),
                              residual_in ? info_of(s, "residual", shape, rank, type) : NULL};
    OrtValueInfo *outputs[] = {info_of(s, "y", shape, rank, type), before ? info_of(s, "sum", shape, rank, type) : NULL};
    const char *normed = after ? "normed" : active ? "z" : "y";
    const char *sum[] = {"normed", "residual", NULL}, *summed[] = {active ? "z" : "y", NULL};
    onnx_attributes none = {.count = 0};
    return inputs[0] && outputs[0] && good(s, editor->SetGraphInputs(graph, inputs, residual_in ? 2 : 1)) &&
           good(s, editor->SetGraphOutputs(graph, outputs, before ? 2 : 1)) && add_norm(s, graph, problem, tensors, normed) &&
           (!after || add_node(s, graph, "Add", "", sum, summed, &none)) &&
           (!active || add_activation(s, graph, &problem->desc, "z"));
}

static bool make_session(onnx_state *s, const bench_problem *problem, const bench_tensors *tensors, int threads)
{
    const char *domains[] = {"", "com.microsoft"};
    const int versions[] = {21, 1};
    OrtGraph *graph;
    OrtModel *model = NULL;
    OrtSessionOptions *options = NULL;
    if (!good(s, editor->CreateGraph(&graph)) || !fill_graph(s, graph, problem, tensors)) {
        return false;
    }
    const bool made = good(s, editor->CreateModel(domains, versions, 2, &model)) &&
                      good(s, editor->AddGraphToModel(model, graph)) && good(s, api->CreateSessionOptions(&options)) &&
                      good(s, api->SetIntraOpNumThreads(options, threads)) && good(s, api->SetInterOpNumThreads(options, 1)) &&
                      good(s, editor->CreateSessionFromModel(environment, model, options, &s->session));
    api->ReleaseModel(model);
    api->ReleaseSessionOptions(options);
    return made;
}

static bool bind(onnx_state *s, const bench_problem *problem, const char *name, void *data, bool output)
{
    int64_t shape[CASE_RANK_MAX];
    const size_t rank = shape_of(problem, shape);
    OrtValue *value =
        value_over(s, data, (size_t)problem->elements * problem->element_size, shape, rank, type_of(problem->desc.dtype));
    return value && good(s, output ? api->BindOutput(s->binding, name, value) : api->BindInput(s->binding, name, value));
}

static bool bind_all(onnx_state *s, const bench_problem *problem, const bench_tensors *tensors)
{
    const norma_residual residual = problem->desc.residual;
    return good(s, api->CreateIoBinding(s->session, &s->binding)) && good(s, api->CreateRunOptions(&s->options)) &&
           bind(s, problem, "x", tensors->x, false) && bind(s, problem, "y", tensors->y, true) &&
           (residual == NORMA_RESIDUAL_NONE || bind(s, problem, "residual", tensors->residual, false)) &&
           (residual != NORMA_RESIDUAL_BEFORE || bind(s, problem, "sum", tensors->sum, true));
}

bench_ready bench_onnxruntime_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                      const bench_tensors *tensors, int threads, char *label, char *sentence)
{
    (void)path;
    onnx_state *s = calloc(1, sizeof *s);
    *state = s;
    if (!s) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory");
        return BENCH_BROKEN;
    }
    s->sentence = sentence;
    if (!environment) {
        api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
        editor = api ? api->GetModelEditorApi() : NULL;
        if (!editor || !good(s, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "norma-bench", &environment))) {
            snprintf(sentence, BENCH_SENTENCE_MAX, "this ONNX Runtime is older than its headers");
            return BENCH_BROKEN;
        }
    }
    /* It lacks kernels for some types and ops, and says so only now. */
    const bool made = make_session(s, problem, tensors, threads) && bind_all(s, problem, tensors) &&
                      good(s, api->RunWithBinding(s->session, s->options, s->binding));
    snprintf(label, BENCH_SENTENCE_MAX, "%s", made ? norm_of(problem).op : "");
    return made ? BENCH_READY : BENCH_ABSENT;
}

bool bench_onnxruntime_run(void *state)
{
    onnx_state *s = state;
    OrtStatus *status = api->RunWithBinding(s->session, s->options, s->binding);
    if (status) {
        api->ReleaseStatus(status);
    }
    return status == NULL;
}

void bench_onnxruntime_release(void *state)
{
    onnx_state *s = state;
    if (!s) {
        return;
    }
    if (api) {
        for (int i = 0; i < s->values_count; i++) {
            api->ReleaseValue(s->values[i]);
        }
        api->ReleaseIoBinding(s->binding);
        api->ReleaseRunOptions(s->options);
        api->ReleaseSession(s->session);
    }
    free(s->constants);
    free(s);
}

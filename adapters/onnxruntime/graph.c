#include "graph.h"

#include <stdlib.h>
#include <string.h>

static OrtStatus *out_of_memory(void)
{
    return norma_ort_fail(ORT_FAIL, "out of memory for a graph");
}

static unsigned hash_of(const char *name)
{
    unsigned hash = 2166136261u; /* FNV-1a */
    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    }
    return hash;
}

/* Where a name is in the table, or where it would be. */
static int *place_of(const graph *g, const char *name)
{
    unsigned at = hash_of(name) % (unsigned)g->table_size;
    while (g->table[at] >= 0 && strcmp(g->value[g->table[at]].name, name)) {
        at = (at + 1) % (unsigned)g->table_size;
    }
    return &g->table[at];
}

/* ------------------------------------------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *read_shape(const OrtTensorTypeAndShapeInfo *info, graph_value *v)
{
    ONNXTensorElementDataType type;
    size_t rank;
    OrtStatus *status = norma_ort->GetTensorElementType(info, &type);
    status = status ? status : norma_ort->GetDimensionsCount(info, &rank);
    if (status) {
        return status;
    }
    v->dtype = rank <= TENSOR_MAX_RANK ? norma_ort_dtype(type) : 0;
    if (!v->dtype || !rank) {
        return NULL;
    }
    v->rank = (int)rank;
    status = norma_ort->GetDimensions(info, v->shape, rank);
    return status ? status : norma_ort->GetSymbolicDimensions(info, v->symbol, rank);
}

static OrtStatus *read_value(const OrtValueInfo *info, bool fused, graph_value *v)
{
    const OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *tensor_info = NULL;
    size_t consumers = 0;
    v->info = info;
    v->producer = -1;
    OrtStatus *status = norma_ort->GetValueInfoTypeInfo(info, &type);
    if (!status && type) {
        status = norma_ort->CastTypeInfoToTensorInfo(type, &tensor_info);
    }
    if (!status && tensor_info) {
        status = read_shape(tensor_info, v);
    }
    if (!status && !fused) {
        status = norma_ort->ValueInfo_GetValueNumConsumers(info, &consumers);
    }
    status = status ? status : norma_ort->ValueInfo_IsGraphOutput(info, &v->is_output);
    status = status ? status : norma_ort->ValueInfo_IsConstantInitializer(info, &v->is_constant);
    v->consumers = (int)consumers;
    return status;
}

/* The number of a value, which is read when it is met for the first time. */
static OrtStatus *number_of(graph *g, const OrtValueInfo *info, int *number)
{
    const char *name = NULL;
    *number = -1;
    if (!info) {
        return NULL;
    }
    OrtStatus *status = norma_ort->GetValueInfoName(info, &name);
    if (status || !name || !*name) {
        return status;
    }
    int *place = place_of(g, name);
    if (*place < 0) {
        graph_value *v = &g->value[g->values];
        v->name = name;
        status = read_value(info, g->fused, v);
        *place = g->values++;
    }
    *number = *place;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------
 * Nodes
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *count_values(const OrtNode *node, graph_node *n)
{
    size_t inputs, outputs;
    OrtStatus *status = norma_ort->Node_GetNumInputs(node, &inputs);
    status = status ? status : norma_ort->Node_GetNumOutputs(node, &outputs);
    if (!status) {
        n->inputs = (int)inputs, n->outputs = (int)outputs;
    }
    return status;
}

static OrtStatus *read_numbers(graph *g, OrtStatus *(*get)(const OrtNode *, const OrtValueInfo **, size_t), const OrtNode *node,
                               int count, int *numbers)
{
    const OrtValueInfo **infos = calloc((size_t)count + 1, sizeof *infos);
    if (!infos) {
        return out_of_memory();
    }
    OrtStatus *status = get(node, infos, (size_t)count);
    for (int i = 0; i < count && !status; i++) {
        status = number_of(g, infos[i], &numbers[i]);
    }
    free(infos);
    return status;
}

static OrtStatus *read_node(graph *g, int index)
{
    graph_node *n = &g->node[index];
    n->input = malloc(((size_t)n->inputs + 1) * sizeof *n->input);
    n->output = malloc(((size_t)n->outputs + 1) * sizeof *n->output);
    if (!n->input || !n->output) {
        return out_of_memory();
    }
    OrtStatus *status = norma_ort->Node_GetOperatorType(n->node, &n->op);
    status = status ? status : norma_ort->Node_GetDomain(n->node, &n->domain);
    status = status ? status : read_numbers(g, norma_ort->Node_GetInputs, n->node, n->inputs, n->input);
    status = status ? status : read_numbers(g, norma_ort->Node_GetOutputs, n->node, n->outputs, n->output);
    for (int i = 0; i < n->inputs && !status; i++) {
        graph_value *v = n->input[i] < 0 ? NULL : &g->value[n->input[i]];
        if (v && v->listed < GRAPH_MAX_CONSUMERS) {
            v->consumer[v->listed++] = index;
        }
        if (v && g->fused) {
            v->consumers++;
        }
    }
    for (int i = 0; i < n->outputs && !status; i++) {
        if (n->output[i] >= 0) {
            g->value[n->output[i]].producer = index;
        }
    }
    return status;
}

static OrtStatus *read_nodes(const OrtNode *const *nodes, graph *g)
{
    OrtStatus *status = NULL;
    for (int i = 0; i < g->nodes && !status; i++) {
        g->node[i].node = nodes[i];
        status = count_values(nodes[i], &g->node[i]);
        g->room += g->node[i].inputs + g->node[i].outputs;
    }
    if (status) {
        return status;
    }
    g->table_size = 2 * g->room + 1;
    g->value = calloc((size_t)g->room + 1, sizeof *g->value);
    g->table = malloc((size_t)g->table_size * sizeof *g->table);
    if (!g->value || !g->table) {
        return out_of_memory();
    }
    for (int i = 0; i < g->table_size; i++) {
        g->table[i] = -1;
    }
    for (int i = 0; i < g->nodes && !status; i++) {
        status = read_node(g, i);
    }
    return status;
}

OrtStatus *norma_ort_graph_read(const OrtGraph *source, bool fused, graph *g)
{
    size_t count;
    memset(g, 0, sizeof *g);
    g->fused = fused;
    OrtStatus *status = norma_ort->Graph_GetNumNodes(source, &count);
    if (status) {
        return status;
    }
    const OrtNode **nodes = calloc(count + 1, sizeof *nodes);
    g->node = calloc(count + 1, sizeof *g->node);
    if (!nodes || !g->node) {
        status = out_of_memory();
    } else {
        g->nodes = (int)count;
        status = norma_ort->Graph_GetNodes(source, nodes, count);
        status = status ? status : read_nodes(nodes, g);
    }
    free(nodes);
    if (status) {
        norma_ort_graph_free(g);
    }
    return status;
}

void norma_ort_graph_free(graph *g)
{
    for (int i = 0; g->node && i < g->nodes; i++) {
        free(g->node[i].input);
        free(g->node[i].output);
    }
    free(g->node);
    free(g->value);
    free(g->table);
    memset(g, 0, sizeof *g);
}

bool norma_ort_same_extent(const graph_value *a, int axis_a, const graph_value *b, int axis_b)
{
    const int64_t extent = a->shape[axis_a];
    const char *name_a = a->symbol[axis_a], *name_b = b->symbol[axis_b];
    return extent == b->shape[axis_b] && (extent >= 0 || (name_a && name_b && *name_a && !strcmp(name_a, name_b)));
}

bool norma_ort_same_shape(const graph_value *a, const graph_value *b)
{
    bool same = a->rank > 0 && a->rank == b->rank;
    for (int k = 0; k < a->rank && same; k++) {
        same = norma_ort_same_extent(a, k, b, k);
    }
    return same;
}

/* The way in for ONNX Runtime 1.23 and later: an execution provider, which sees the graph and takes norms with what is around
 * them. */
#include "chain.h"
#include "export.h"

#include <stdlib.h>
#include <string.h>

static const char provider_name[] = "NormaExecutionProvider";

/* ------------------------------------------------------------------------------------------------------------
 * Compiled nodes
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct compiled {
    OrtNodeComputeInfo callbacks;
    layer layer;
} compiled;

static OrtStatus *create_state(OrtNodeComputeInfo *self, OrtNodeComputeContext *context, void **state)
{
    (void)context;
    *state = &((compiled *)(void *)self)->layer;
    return NULL;
}

static OrtStatus *compute(OrtNodeComputeInfo *self, void *state, OrtKernelContext *context)
{
    (void)self;
    return norma_ort_layer_run(state, context);
}

static void release_state(OrtNodeComputeInfo *self, void *state)
{
    (void)self, (void)state; /* it is released with the node */
}

static void free_compiled(compiled *c)
{
    if (c) {
        norma_ort_layer_free(&c->layer);
        free(c);
    }
}

/* ------------------------------------------------------------------------------------------------------------
 * The provider
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct provider {
    OrtEp callbacks;
    const OrtEpApi *api;
} provider;

static const char *get_name(const OrtEp *self)
{
    (void)self;
    return provider_name;
}

static OrtStatus *claim(const provider *p, const graph *g, const chain *c, OrtEpGraphSupportInfo *support)
{
    const OrtNode *nodes[CHAIN_MAX_NODES];
    for (int i = 0; i < c->nodes; i++) {
        nodes[i] = g->node[c->node[i]].node;
    }
    const OrtNodeFusionOptions options = {.ort_version_supported = PROVIDER_API};
    return p->api->EpGraphSupportInfo_AddNodesToFuse(support, nodes, (size_t)c->nodes, &options);
}

static OrtStatus *get_capability(OrtEp *self, const OrtGraph *source, OrtEpGraphSupportInfo *support)
{
    graph g;
    OrtStatus *status = norma_ort_graph_read(source, false, &g);
    if (status) {
        return status;
    }
    int *taken = calloc((size_t)g.nodes + 1, sizeof *taken);
    if (!taken) {
        status = norma_ort_fail(ORT_FAIL, "out of memory for a graph");
    }
    for (int i = 0; i < g.nodes && !status; i++) {
        chain c;
        if (norma_ort_chain_match(&g, i, taken, &c)) {
            for (int k = 0; k < c.nodes; k++) {
                taken[c.node[k]] = 1 + c.node[(k + 1) % c.nodes];
            }
            status = claim((const provider *)(void *)self, &g, &c, support);
        }
    }
    free(taken);
    norma_ort_graph_free(&g);
    return status;
}

/* Where a value stands among a node's inputs or outputs, by name. */
static OrtStatus *find_place(OrtStatus *(*get)(const OrtNode *, const OrtValueInfo **, size_t), const OrtNode *node,
                             size_t count, const char *name, int *place)
{
    const OrtValueInfo *infos[64];
    *place = -1;
    OrtStatus *status = count > 64 ? norma_ort_fail(ORT_FAIL, "a fused node has %zu values", count) : get(node, infos, count);
    for (size_t i = 0; i < count && !status && *place < 0; i++) {
        const char *other = NULL;
        status = infos[i] ? norma_ort->GetValueInfoName(infos[i], &other) : NULL;
        *place = other && !strcmp(other, name) ? (int)i : -1;
    }
    return !status && *place < 0 ? norma_ort_fail(ORT_FAIL, "a fused node has no value %s", name) : status;
}

/* A layer's values, which are the graph's, become places of the fused node. */
static OrtStatus *find_places(const graph *g, const OrtNode *fused, layer *l)
{
    size_t inputs, outputs;
    OrtStatus *status = norma_ort->Node_GetNumInputs(fused, &inputs);
    status = status ? status : norma_ort->Node_GetNumOutputs(fused, &outputs);
    for (int i = 0; i < LAYER_INPUTS && !status; i++) {
        if (l->input[i] >= 0) {
            status = find_place(norma_ort->Node_GetInputs, fused, inputs, g->value[l->input[i]].name, &l->input[i]);
        }
    }
    for (int i = 0; i < LAYER_OUTPUTS && !status; i++) {
        if (l->output[i] >= 0) {
            status = find_place(norma_ort->Node_GetOutputs, fused, outputs, g->value[l->output[i]].name, &l->output[i]);
        }
    }
    return status;
}

static OrtStatus *compile_graph(const graph *g, const OrtNode *fused, layer *l)
{
    chain c = {0};
    int *taken = calloc((size_t)g->nodes + 1, sizeof *taken);
    bool found = false;
    for (int i = 0; taken && i < g->nodes && !found; i++) {
        found = norma_ort_chain_match(g, i, taken, &c) && c.nodes == g->nodes;
    }
    free(taken);
    if (!found) {
        return norma_ort_fail(ORT_FAIL, "the nodes to compile are not those that were claimed");
    }
    OrtStatus *status = norma_ort_chain_layer(g, &c, l);
    if (status) {
        return status;
    }
    status = find_places(g, fused, l);
    if (status) {
        norma_ort_layer_free(l);
    }
    return status;
}

static OrtStatus *compile_one(const OrtGraph *source, const OrtNode *fused, OrtNodeComputeInfo **out)
{
    graph g;
    compiled *made = calloc(1, sizeof *made);
    if (!made) {
        return norma_ort_fail(ORT_FAIL, "out of memory for a layer");
    }
    OrtStatus *status = norma_ort_graph_read(source, true, &g);
    if (!status) {
        status = compile_graph(&g, fused, &made->layer);
        norma_ort_graph_free(&g);
    }
    if (status) {
        free(made);
        return status;
    }
    made->callbacks = (OrtNodeComputeInfo){
        .ort_version_supported = PROVIDER_API, .CreateState = create_state, .Compute = compute, .ReleaseState = release_state};
    *out = &made->callbacks;
    return NULL;
}

static void release_computes(OrtEp *self, OrtNodeComputeInfo **infos, size_t count)
{
    (void)self;
    for (size_t i = 0; i < count; i++) {
        free_compiled((compiled *)(void *)infos[i]);
        infos[i] = NULL;
    }
}

static OrtStatus *compile(OrtEp *self, const OrtGraph **graphs, const OrtNode **fused, size_t count, OrtNodeComputeInfo **infos,
                          OrtNode **context_nodes)
{
    (void)context_nodes;
    for (size_t i = 0; i < count; i++) {
        OrtStatus *status = compile_one(graphs[i], fused[i], &infos[i]);
        if (status) {
            release_computes(self, infos, i);
            return status;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------
 * The factory
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct factory {
    OrtEpFactory callbacks;
    const OrtEpApi *api;
} factory;

static const char *get_factory_name(const OrtEpFactory *self)
{
    (void)self;
    return provider_name;
}

static const char *get_vendor(const OrtEpFactory *self)
{
    (void)self;
    return "norma";
}

static uint32_t get_vendor_id(const OrtEpFactory *self)
{
    (void)self;
    return 0; /* not a vendor of devices */
}

static const char *get_version(const OrtEpFactory *self)
{
    (void)self;
    return norma_version_string();
}

static OrtStatus *get_devices(OrtEpFactory *self, const OrtHardwareDevice *const *devices, size_t count, OrtEpDevice **out,
                              size_t room, size_t *made)
{
    OrtStatus *status = NULL;
    *made = 0;
    for (size_t i = 0; i < count && *made < room && !status; i++) {
        if (norma_ort->HardwareDevice_Type(devices[i]) == OrtHardwareDeviceType_CPU) {
            status = ((factory *)(void *)self)->api->CreateEpDevice(self, devices[i], NULL, NULL, &out[*made]);
            *made += !status;
        }
    }
    return status;
}

static OrtStatus *create_provider(OrtEpFactory *self, const OrtHardwareDevice *const *devices,
                                  const OrtKeyValuePairs *const *metadata, size_t count, const OrtSessionOptions *options,
                                  const OrtLogger *logger, OrtEp **out)
{
    (void)devices, (void)metadata, (void)count, (void)options, (void)logger;
    provider *p = calloc(1, sizeof *p);
    if (!p) {
        return norma_ort_fail(ORT_FAIL, "out of memory for the execution provider");
    }
    p->api = ((factory *)(void *)self)->api;
    p->callbacks.ort_version_supported = PROVIDER_API;
    p->callbacks.GetName = get_name;
    p->callbacks.GetCapability = get_capability;
    p->callbacks.Compile = compile;
    p->callbacks.ReleaseNodeComputeInfos = release_computes;
    *out = &p->callbacks;
    return NULL;
}

static void release_provider(OrtEpFactory *self, OrtEp *ep)
{
    (void)self;
    free(ep);
}

/* Tensors are in the CPU's memory, which the engine allocates itself: no allocator, nothing to transfer, no streams. */
static OrtStatus *create_allocator(OrtEpFactory *self, const OrtMemoryInfo *memory, const OrtKeyValuePairs *options,
                                   OrtAllocator **out)
{
    (void)self, (void)memory, (void)options;
    *out = NULL;
    return NULL;
}

static void release_allocator(OrtEpFactory *self, OrtAllocator *allocator)
{
    (void)self, (void)allocator;
}

static OrtStatus *create_transfer(OrtEpFactory *self, OrtDataTransferImpl **out)
{
    (void)self;
    *out = NULL;
    return NULL;
}

static bool is_stream_aware(const OrtEpFactory *self)
{
    (void)self;
    return false;
}

/* One for the process: sessions that outlive the library's registration call it when they end. */
static factory the_factory = {.callbacks = {.ort_version_supported = PROVIDER_API,
                                            .GetName = get_factory_name,
                                            .GetVendor = get_vendor,
                                            .GetVendorId = get_vendor_id,
                                            .GetVersion = get_version,
                                            .GetSupportedDevices = get_devices,
                                            .CreateEp = create_provider,
                                            .ReleaseEp = release_provider,
                                            .CreateAllocator = create_allocator,
                                            .ReleaseAllocator = release_allocator,
                                            .CreateDataTransfer = create_transfer,
                                            .IsStreamAware = is_stream_aware}};

NORMA_EXPORT OrtStatus *CreateEpFactories(const char *name, const OrtApiBase *base, const OrtLogger *logger,
                                          OrtEpFactory **factories, size_t room, size_t *count)
{
    (void)name, (void)logger;
    *count = 0;
    OrtStatus *status = norma_ort_start(base, PROVIDER_API);
    if (status) {
        return status;
    }
    if (!room) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "there is no room for a factory");
    }
    the_factory.api = norma_ort->GetEpApi();
    factories[0] = &the_factory.callbacks;
    *count = 1;
    return NULL;
}

NORMA_EXPORT OrtStatus *ReleaseEpFactory(OrtEpFactory *f)
{
    (void)f;
    return NULL;
}

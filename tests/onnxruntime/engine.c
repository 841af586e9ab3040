#include "runner.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMES_MAX 100000
#define RANK_MAX 32

const OrtApi *ort;

static OrtEnv *env;
static OrtAllocator *allocator; /* the engine's default one, which need not be released */
static OrtMemoryInfo *cpu_memory;
static const char *adapter_path;
static bool provider_registered;
static _Thread_local char failure[2000];

struct session {
    OrtSession *session;
    int outputs;
    char *names[TENSORS_MAX];
};

bool engine_ok(OrtStatus *status)
{
    if (!status) {
        return true;
    }
    snprintf(failure, sizeof failure, "%s", ort->GetErrorMessage(status));
    for (char *c = failure; *c; c++) {
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
    }
    ort->ReleaseStatus(status);
    return false;
}

void answer_error(const char *sentence)
{
    printf("error\t%s\n", sentence ? sentence : failure);
    fflush(stdout);
}

static bool fail(const char *sentence)
{
    snprintf(failure, sizeof failure, "%s", sentence);
    return false;
}

bool engine_start(const char *adapter)
{
    adapter_path = adapter;
    /* The official library tells of every session, and keeps what it could not send. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!ort) {
        return fail("this ONNX Runtime is older than the headers");
    }
    return engine_ok(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "norma", &env)) &&
           engine_ok(ort->GetAllocatorWithDefaultOptions(&allocator)) &&
           engine_ok(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &cpu_memory));
}

void engine_stop(void)
{
    ort->ReleaseMemoryInfo(cpu_memory);
    engine_unload();
    ort->ReleaseEnv(env);
}

bool engine_unload(void)
{
    const bool registered = provider_registered;
    provider_registered = false;
    return !registered || engine_ok(ort->UnregisterExecutionProviderLibrary(env, "norma"));
}

/* ------------------------------------------------------------------------------------------------------------
 * Engines as older ones are: what the adapter has of one comes from the base that it was loaded with last
 * ------------------------------------------------------------------------------------------------------------ */

static uint32_t latest_version;

static const OrtApi *get_older_api(uint32_t version)
{
    return version <= latest_version ? OrtGetApiBase()->GetApi(version) : NULL;
}

static const char *get_older_name(void)
{
    return "1.0.0";
}

static size_t strict_nodes, nodes_of_graph;

static OrtStatus *count_nodes_strictly(const OrtGraph *graph, size_t *count)
{
    OrtStatus *status = ort->Graph_GetNumNodes(graph, count);
    nodes_of_graph = status ? 0 : *count;
    return status;
}

static OrtStatus *count_consumers_strictly(const OrtValueInfo *value, size_t *count)
{
    return nodes_of_graph <= strict_nodes ? ort->CreateStatus(ORT_FAIL, "nodes of other graphs use this value, too")
                                          : ort->ValueInfo_GetValueNumConsumers(value, count);
}

static const OrtApi *get_strict_api(uint32_t version)
{
    static OrtApi api;
    api = *ort;
    api.Graph_GetNumNodes = count_nodes_strictly;
    api.ValueInfo_GetValueNumConsumers = count_consumers_strictly;
    return version <= ORT_API_VERSION ? &api : NULL;
}

static const char *get_name(void)
{
    return OrtGetApiBase()->GetVersionString();
}

static void *find_function(const char *name)
{
    void *library = dlopen(adapter_path, RTLD_NOW);
    return library ? dlsym(library, name) : NULL;
}

void engine_be_strict(size_t nodes)
{
    static const OrtApiBase strict = {get_strict_api, get_name};
    OrtStatus *(*add_operators)(OrtSessionOptions *, const OrtApiBase *);
    *(void **)&add_operators = find_function("RegisterCustomOps");
    OrtSessionOptions *options = options_make("ep", 1, NULL, 0);
    strict_nodes = nodes;
    if (options && add_operators && engine_ok(add_operators(options, nodes ? &strict : OrtGetApiBase()))) {
        puts("ok");
    } else {
        answer_error(NULL);
    }
    if (options) {
        ort->ReleaseSessionOptions(options);
    }
}

void engine_be_older(uint32_t version)
{
    static const OrtApiBase base = {get_older_api, get_older_name};
    OrtStatus *(*add_operators)(OrtSessionOptions *, const OrtApiBase *);
    OrtStatus *(*make_factories)(const char *, const OrtApiBase *, const OrtLogger *, OrtEpFactory **, size_t, size_t *);
    *(void **)&add_operators = find_function("RegisterCustomOps");
    *(void **)&make_factories = find_function("CreateEpFactories");
    OrtSessionOptions *options;
    if (!add_operators || !make_factories || !engine_ok(ort->CreateSessionOptions(&options))) {
        answer_error("the adapter cannot be loaded");
        return;
    }
    OrtEpFactory *factory;
    size_t count;
    latest_version = version;
    char sentence[sizeof failure] = "";
    if (!engine_ok(add_operators(options, &base))) {
        snprintf(sentence, sizeof sentence, "%s", failure);
    }
    const bool made = engine_ok(make_factories("older", &base, NULL, &factory, 1, &count));
    printf("ok\t%s\t%s\n", sentence, made ? "" : failure);
    ort->ReleaseSessionOptions(options);
}

static bool add_provider(OrtSessionOptions *options)
{
    if (!provider_registered) {
        if (!engine_ok(ort->RegisterExecutionProviderLibrary(env, "norma", adapter_path))) {
            return false;
        }
        provider_registered = true;
    }
    const OrtEpDevice *const *devices;
    size_t count;
    if (!engine_ok(ort->GetEpDevices(env, &devices, &count))) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(ort->EpDevice_EpName(devices[i]), "NormaExecutionProvider")) {
            return engine_ok(ort->SessionOptionsAppendExecutionProvider_V2(options, env, &devices[i], 1, NULL, NULL, 0));
        }
    }
    return fail("the adapter offers no device");
}

static bool set_options(OrtSessionOptions *options, const char *route, int threads, char **config, int config_count)
{
    bool good = engine_ok(ort->SetIntraOpNumThreads(options, threads)) && engine_ok(ort->SetInterOpNumThreads(options, 1));
    for (int i = 0; i < config_count && good; i++) {
        char *value = strchr(config[i], '=');
        if (!value) {
            return fail("an option is KEY=VALUE");
        }
        *value++ = 0;
        if (!strcmp(config[i], "profile")) {
            good = engine_ok(ort->EnableProfiling(options, value));
        } else if (!strcmp(config[i], "save")) {
            good = engine_ok(ort->SetOptimizedModelFilePath(options, value));
        } else if (!strcmp(config[i], "level")) {
            good = engine_ok(ort->SetSessionGraphOptimizationLevel(options, (GraphOptimizationLevel)atoi(value)));
        } else {
            good = engine_ok(ort->AddSessionConfigEntry(options, config[i], value));
        }
    }
    if (good && !strcmp(route, "ops")) {
        return engine_ok(ort->RegisterCustomOpsLibrary_V2(options, adapter_path));
    }
    if (good && !strcmp(route, "ep")) {
        return add_provider(options);
    }
    return good;
}

static bool find_outputs(session *s)
{
    size_t count;
    if (!engine_ok(ort->SessionGetOutputCount(s->session, &count)) || count > TENSORS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!engine_ok(ort->SessionGetOutputName(s->session, i, allocator, &s->names[i]))) {
            return false;
        }
        s->outputs++;
    }
    return true;
}

OrtSessionOptions *options_make(const char *route, int threads, char **config, int config_count)
{
    OrtSessionOptions *options;
    if (!engine_ok(ort->CreateSessionOptions(&options))) {
        return NULL;
    }
    if (!set_options(options, route, threads, config, config_count)) {
        ort->ReleaseSessionOptions(options);
        return NULL;
    }
    return options;
}

session *session_open(const char *model, const OrtSessionOptions *options)
{
    session *s = calloc(1, sizeof *s);
    if (s && engine_ok(ort->CreateSession(env, model, options, &s->session)) && find_outputs(s)) {
        return s;
    }
    if (s) {
        session_close(s);
    }
    return NULL;
}

void session_close(session *s)
{
    for (int i = 0; i < s->outputs; i++) {
        engine_ok(ort->AllocatorFree(allocator, s->names[i]));
    }
    if (s->session) {
        ort->ReleaseSession(s->session);
    }
    free(s);
}

bool session_run(session *s, const tensors *inputs, tensors *outputs)
{
    outputs->count = s->outputs;
    for (int i = 0; i < s->outputs; i++) {
        outputs->names[i] = strdup(s->names[i]);
        outputs->values[i] = NULL;
    }
    return engine_ok(ort->Run(s->session, NULL, (const char *const *)inputs->names, (const OrtValue *const *)inputs->values,
                              (size_t)inputs->count, (const char *const *)outputs->names, (size_t)outputs->count,
                              outputs->values));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Outputs stay where the first run put them, so that what is timed is the layers and not memory that is asked for. */
bool session_time(session *s, const tensors *inputs, double seconds, double *least, double *median)
{
    static double times[TIMES_MAX];
    tensors outputs = {0};
    int count = 0;
    bool good = session_run(s, inputs, &outputs);
    const double end = now() + seconds;
    while (good && count < TIMES_MAX && (count < 5 || now() < end)) {
        const double start = now();
        good = engine_ok(ort->Run(s->session, NULL, (const char *const *)inputs->names, (const OrtValue *const *)inputs->values,
                                  (size_t)inputs->count, (const char *const *)outputs.names, (size_t)outputs.count,
                                  outputs.values));
        times[count++] = 1e6 * (now() - start);
    }
    tensors_free(&outputs);
    qsort(times, (size_t)count, sizeof times[0], compare);
    *least = times[0];
    *median = times[count / 2];
    return good;
}

/* ------------------------------------------------------------------------------------------------------------
 * Tensors in files
 * ------------------------------------------------------------------------------------------------------------ */

static void *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail("an input cannot be opened");
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    void *memory = aligned_alloc(64, (*size / 64 + 1) * 64);
    if (memory && fread(memory, 1, *size, file) != *size) {
        free(memory);
        memory = NULL;
    }
    fclose(file);
    return memory;
}

bool tensors_read(tensors *t, char **words, int count)
{
    for (int i = 0; i + 3 < count; i += 4) {
        int64_t shape[RANK_MAX];
        size_t rank = 0, size = 0;
        for (char *extent = words[i + 2]; *extent && rank < RANK_MAX && strcmp(words[i + 2], "-");) { /* "-": a scalar */
            shape[rank++] = strtoll(extent, &extent, 10);
            extent += *extent == ',';
        }
        void *memory = read_file(words[i + 3], &size);
        if (!memory) {
            return false;
        }
        t->memory[t->count] = memory;
        t->names[t->count] = strdup(words[i]);
        t->count++;
        if (!engine_ok(ort->CreateTensorWithDataAsOrtValue(cpu_memory, memory, size, shape, rank,
                                                           (ONNXTensorElementDataType)atoi(words[i + 1]),
                                                           &t->values[t->count - 1]))) {
            return false;
        }
    }
    return true;
}

/* What a value holds, or false. */
typedef struct content {
    void *data;
    size_t bytes, rank;
    int64_t shape[RANK_MAX];
    ONNXTensorElementDataType type;
} content;

static bool content_of(const OrtValue *value, content *c)
{
    OrtTensorTypeAndShapeInfo *info;
    if (!engine_ok(ort->GetTensorTypeAndShape(value, &info))) {
        return false;
    }
    bool good = engine_ok(ort->GetTensorElementType(info, &c->type)) && engine_ok(ort->GetDimensionsCount(info, &c->rank)) &&
                c->rank <= RANK_MAX && engine_ok(ort->GetDimensions(info, c->shape, c->rank));
    ort->ReleaseTensorTypeAndShapeInfo(info);
    return good && engine_ok(ort->GetTensorSizeInBytes(value, &c->bytes)) &&
           engine_ok(ort->GetTensorMutableData((OrtValue *)(uintptr_t)value, &c->data));
}

void tensors_answer(const tensors *t, const char *prefix)
{
    content c[TENSORS_MAX];
    for (int i = 0; i < t->count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s.%d", prefix, i);
        FILE *file = fopen(path, "wb");
        if (!file || !content_of(t->values[i], &c[i]) || (c[i].bytes && fwrite(c[i].data, 1, c[i].bytes, file) != c[i].bytes)) {
            answer_error("an output cannot be written");
            return;
        }
        fclose(file);
    }
    printf("ok");
    for (int i = 0; i < t->count; i++) {
        printf("\t%s\t%d\t", t->names[i], (int)c[i].type);
        for (size_t k = 0; k < c[i].rank; k++) {
            printf("%s%lld", k ? "," : "", (long long)c[i].shape[k]);
        }
        printf("%s", c[i].rank ? "" : "-");
    }
    printf("\n");
}

bool tensors_equal(const tensors *a, const tensors *b)
{
    for (int i = 0; i < a->count; i++) {
        content x, y;
        if (!content_of(a->values[i], &x) || !content_of(b->values[i], &y) || x.bytes != y.bytes ||
            memcmp(x.data, y.data, x.bytes)) {
            return false;
        }
    }
    return a->count == b->count;
}

void tensors_free(tensors *t)
{
    for (int i = 0; i < t->count; i++) {
        if (t->values[i]) {
            ort->ReleaseValue(t->values[i]);
        }
        free(t->names[i]);
        free(t->memory[i]);
    }
    memset(t, 0, sizeof *t);
}

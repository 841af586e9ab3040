#include "engine.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const OrtApi *norma_ort;
shape_reference norma_ort_shape_reference;

static norma_context *context;
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

OrtStatus *norma_ort_fail(OrtErrorCode code, const char *format, ...)
{
    char sentence[600];
    va_list arguments;
    va_start(arguments, format);
    const int prefix = snprintf(sentence, sizeof sentence, "norma: ");
    vsnprintf(sentence + prefix, sizeof sentence - (size_t)prefix, format, arguments);
    va_end(arguments);
    return norma_ort->CreateStatus(code, sentence);
}

OrtStatus *norma_ort_fail_norma(norma_status status, const char *name)
{
    const OrtErrorCode code = status == NORMA_INVALID_ARGUMENT ? ORT_INVALID_ARGUMENT
                              : status == NORMA_UNSUPPORTED    ? ORT_NOT_IMPLEMENTED
                                                               : ORT_FAIL;
    return norma_ort_fail(code, "%s: %s", name, norma_last_error());
}

void norma_ort_parallel_for(void *pool, size_t count, norma_task task, void *argument)
{
    session_pool *session = pool;
    OrtStatus *status = norma_ort->KernelContext_ParallelFor(session->context, task, count, 0, argument);
    if (status && session->failure) {
        norma_ort->ReleaseStatus(status);
    } else if (status) {
        session->failure = status;
    }
}

/* The headers may be older than the engine: then the function's place in its table is known, which only ever grows at its end.
 */
static shape_reference find_shape_reference(const OrtApiBase *base)
{
    int major = 0, minor = 0;
    shape_reference found = NULL;
    if (sscanf(base->GetVersionString(), "%d.%d", &major, &minor) != 2 || major != 1 || minor < 24) {
        return NULL;
    }
#if ORT_API_VERSION >= 24
    found = norma_ort->GetTensorElementTypeAndShapeDataReference;
#else
    enum { PLACE = 414 }; /* of 1.24's functions the last */
    _Static_assert(sizeof(OrtApi) <= PLACE * sizeof(void *), "the headers should have it");
    memcpy(&found, (const char *)norma_ort + PLACE * sizeof(void *), sizeof found);
#endif
    return found;
}

static OrtStatus *start(const OrtApiBase *base, uint32_t version)
{
    const OrtApi *api = base->GetApi(version);
    if (!api) {
        /* Only the first version is sure to be there. */
        norma_ort = norma_ort ? norma_ort : base->GetApi(1);
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "ONNX Runtime 1.%u or later is needed%s; this is %s", (unsigned)version,
                              version == PROVIDER_API ? " for the execution provider" : "", base->GetVersionString());
    }
    if (norma_ort != api) { /* one table serves all versions: sessions that run meanwhile may read it */
        norma_ort = api;
    }
    if (context) {
        return NULL;
    }
    norma_ort_shape_reference = find_shape_reference(base);
    const norma_context_options options = {.struct_size = sizeof options, .parallel_for = norma_ort_parallel_for};
    const norma_status status = norma_context_create(&context, &options);
    return status == NORMA_SUCCESS ? NULL : norma_ort_fail_norma(status, "context");
}

OrtStatus *norma_ort_start(const OrtApiBase *base, uint32_t version)
{
    pthread_mutex_lock(&starting);
    OrtStatus *status = start(base, version);
    pthread_mutex_unlock(&starting);
    return status;
}

norma_context *norma_ort_context(void)
{
    return context;
}

/* What all of the adapter shares: ONNX Runtime's functions, failures as its statuses, norma's context. */
#ifndef NORMA_ONNXRUNTIME_ENGINE_H
#define NORMA_ONNXRUNTIME_ENGINE_H

#include <norma/norma.h>

#include <onnxruntime_c_api.h>
#include <stdbool.h>

/* What RegisterCustomOps() and CreateEpFactories() need: GetStartVersion of a custom op came with 1.18, execution providers
 * that compile nodes with 1.23. */
#define CUSTOM_OPS_API 18
#define PROVIDER_API 23

/* Set by norma_ort_start(), which every entry point calls first. */
extern const OrtApi *norma_ort;

/* Type and shape of a tensor without a copy, as GetTensorElementTypeAndShapeDataReference of ONNX Runtime 1.24 and later; NULL
 * before. */
typedef OrtStatus *(*shape_reference)(const OrtValue *value, ONNXTensorElementDataType *type, const int64_t **shape,
                                      size_t *rank);
extern shape_reference norma_ort_shape_reference;

/* Looks up ONNX Runtime's functions of the given API version and makes the context, once per process. NULL, or what is wrong.
 */
OrtStatus *norma_ort_start(const OrtApiBase *base, uint32_t version);

/* The context of all plans: norma's tasks run on the threads of the session that norma_args.pool names. */
norma_context *norma_ort_context(void);

/* norma_args.pool. */
typedef struct session_pool {
    const OrtKernelContext *context;
    OrtStatus *failure; /* of the engine's loop; owned by who made the pool */
} session_pool;

/* A parallel loop on the session's threads, as norma_parallel_for. */
void norma_ort_parallel_for(void *pool, size_t count, norma_task task, void *argument);

/* A status with a sentence, as printf would write it. */
OrtStatus *norma_ort_fail(OrtErrorCode code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* norma_last_error() as a status. name is the operator's. */
OrtStatus *norma_ort_fail_norma(norma_status status, const char *name);

#endif

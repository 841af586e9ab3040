/* The functions that ONNX Runtime looks for by name; all other symbols are hidden. */
#ifndef NORMA_ONNXRUNTIME_EXPORT_H
#define NORMA_ONNXRUNTIME_EXPORT_H

#include <onnxruntime_c_api.h>

#define NORMA_EXPORT __attribute__((visibility("default")))

NORMA_EXPORT OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base);

NORMA_EXPORT OrtStatus *CreateEpFactories(const char *name, const OrtApiBase *base, const OrtLogger *logger,
                                          OrtEpFactory **factories, size_t room, size_t *count);
NORMA_EXPORT OrtStatus *ReleaseEpFactory(OrtEpFactory *factory);

#endif

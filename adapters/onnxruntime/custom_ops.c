/* The way in that works with any recent ONNX Runtime: custom operators under the names of the engine's own, which go before
 * them. */
#include "export.h"
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operator under one of its typings. The engine calls back with the pointer to the first member. */
typedef struct custom_op {
    OrtCustomOp callbacks;
    const op_info *op;
    const op_typing *typing;
} custom_op;

static const custom_op *self(const OrtCustomOp *callbacks)
{
    return (const custom_op *)(const void *)callbacks;
}

static ONNXTensorElementDataType engine_type(norma_dtype dtype)
{
    return dtype == NORMA_F64    ? ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
           : dtype == NORMA_BF16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16
           : dtype == NORMA_F16  ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

static const char *get_name(const OrtCustomOp *op)
{
    return self(op)->op->name;
}

static const char *get_provider(const OrtCustomOp *op)
{
    (void)op;
    return NULL; /* the CPU's */
}

static ONNXTensorElementDataType get_input_type(const OrtCustomOp *op, size_t index)
{
    return engine_type(norma_ort_type_of(self(op)->typing, self(op)->op->input[index].type));
}

static size_t get_input_count(const OrtCustomOp *op)
{
    return (size_t)self(op)->op->inputs;
}

static ONNXTensorElementDataType get_output_type(const OrtCustomOp *op, size_t index)
{
    return engine_type(norma_ort_type_of(self(op)->typing, self(op)->op->output[index].type));
}

static size_t get_output_count(const OrtCustomOp *op)
{
    return (size_t)self(op)->op->outputs;
}

static OrtCustomOpInputOutputCharacteristic get_input_kind(const OrtCustomOp *op, size_t index)
{
    return self(op)->op->input[index].optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

static OrtCustomOpInputOutputCharacteristic get_output_kind(const OrtCustomOp *op, size_t index)
{
    return self(op)->op->output[index].optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

static OrtMemType get_memory(const OrtCustomOp *op, size_t index)
{
    (void)op, (void)index;
    return OrtMemTypeDefault;
}

static int get_one(const OrtCustomOp *op)
{
    (void)op;
    return 1;
}

static int get_since(const OrtCustomOp *op)
{
    return self(op)->op->since;
}

static int get_until(const OrtCustomOp *op)
{
    (void)op;
    return INT32_MAX;
}

/* ------------------------------------------------------------------------------------------------------------
 * Attributes. The engine's functions fail alike where an attribute is not there and where it is of another type.
 * ------------------------------------------------------------------------------------------------------------ */

static bool is_there(OrtStatus *status)
{
    if (status) {
        norma_ort->ReleaseStatus(status);
    }
    return !status;
}

static bool has_float(const OrtKernelInfo *info, const char *name, float *out)
{
    return is_there(norma_ort->KernelInfoGetAttribute_float(info, name, out));
}

static bool has_int(const OrtKernelInfo *info, const char *name, int64_t *out)
{
    return is_there(norma_ort->KernelInfoGetAttribute_int64(info, name, out));
}

static bool has_ints(const OrtKernelInfo *info, const char *name, int64_t *out, size_t *count)
{
    size_t needed = 0;
    OrtStatus *status = norma_ort->KernelInfoGetAttributeArray_int64(info, name, NULL, &needed);
    if (!is_there(status) || needed > *count || needed == 0) { /* none: what is no list looks like that, too */
        return false;
    }
    *count = needed;
    return is_there(norma_ort->KernelInfoGetAttributeArray_int64(info, name, out, count));
}

static bool has_other(const OrtKernelInfo *info, const char *name)
{
    size_t size = 0;
    return is_there(norma_ort->KernelInfoGetAttribute_string(info, name, NULL, &size)) ||
           is_there(norma_ort->KernelInfoGetAttributeArray_float(info, name, NULL, &size)) ||
           is_there(norma_ort->KernelInfoGetAttributeArray_int64(info, name, NULL, &size));
}

static OrtStatus *wrong_type(const char *name, const char *expected)
{
    return norma_ort_fail(ORT_INVALID_ARGUMENT, "the attribute %s must be %s", name, expected);
}

static OrtStatus *read_float(const attribute_reader *reader, const char *name, float *out, bool *found)
{
    int64_t other;
    *found = has_float(reader->node, name, out);
    return !*found && (has_int(reader->node, name, &other) || has_other(reader->node, name)) ? wrong_type(name, "a float")
                                                                                             : NULL;
}

static OrtStatus *read_int(const attribute_reader *reader, const char *name, int64_t *out, bool *found)
{
    float other;
    *found = has_int(reader->node, name, out);
    return !*found && (has_float(reader->node, name, &other) || has_other(reader->node, name)) ? wrong_type(name, "an int")
                                                                                               : NULL;
}

static OrtStatus *read_ints(const attribute_reader *reader, const char *name, int64_t *out, size_t *count, bool *found)
{
    float other;
    int64_t single;
    *found = has_ints(reader->node, name, out, count);
    const bool wrong = !*found && (has_float(reader->node, name, &other) || has_int(reader->node, name, &single) ||
                                   has_other(reader->node, name));
    return wrong ? wrong_type(name, "a list of few ints") : NULL;
}

/* ------------------------------------------------------------------------------------------------------------
 * Kernels
 * ------------------------------------------------------------------------------------------------------------ */

/* What an optional input or output that the node leaves out is called. */
static bool is_named(OrtStatus *(*get)(const OrtKernelInfo *, size_t, char *, size_t *), const OrtKernelInfo *info, int index)
{
    size_t size = 0; /* of the name with its end */
    OrtStatus *status = get(info, (size_t)index, NULL, &size);
    return is_there(status) && size > 1;
}

static void find_presence(const op_info *op, const OrtKernelInfo *info, bool *inputs, bool *outputs)
{
    size_t input_count = 0, output_count = 0;
    is_there(norma_ort->KernelInfo_GetInputCount(info, &input_count));
    is_there(norma_ort->KernelInfo_GetOutputCount(info, &output_count));
    for (int i = 0; i < op->inputs; i++) {
        inputs[i] = (size_t)i < input_count && is_named(norma_ort->KernelInfo_GetInputName, info, i);
    }
    for (int i = 0; i < op->outputs; i++) {
        outputs[i] = (size_t)i < output_count && is_named(norma_ort->KernelInfo_GetOutputName, info, i);
    }
}

static OrtStatus *find_constants(const OrtKernelInfo *info, layer *l)
{
    OrtStatus *status = NULL;
    for (int i = 0; i < LAYER_INPUTS && !status; i++) {
        int constant = 0;
        const OrtValue *value = NULL;
        if (l->input[i] < 0 || i == INPUT_X) {
            continue;
        }
        status = norma_ort->KernelInfoGetConstantInput_tensor(info, (size_t)l->input[i], &constant, &value);
        if (!status && constant && value) {
            status = norma_ort_read_tensor(value, "a constant", &l->known[i]);
        }
    }
    return status;
}

static OrtStatus *create_kernel(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info, void **kernel)
{
    (void)api;
    bool inputs[OP_MAX_INPUTS], outputs[OP_MAX_OUTPUTS];
    layer *l = malloc(sizeof *l);
    if (!l) {
        return norma_ort_fail(ORT_FAIL, "%s: out of memory", self(op)->op->name);
    }
    const attribute_reader reader = {read_float, read_int, read_ints, info};
    find_presence(self(op)->op, info, inputs, outputs);
    OrtStatus *status = norma_ort_layer_of_op(self(op)->op, &reader, inputs, outputs, l);
    if (status) {
        free(l);
        return status;
    }
    const type_class type = self(op)->op->kind == LAYER_BATCH_NORM ? TYPE_STATISTICS : TYPE_SAVED;
    l->stat_dtype[0] = l->stat_dtype[1] = norma_ort_type_of(self(op)->typing, type);
    status = find_constants(info, l);
    if (status) {
        norma_ort_layer_free(l);
        free(l);
        return status;
    }
    *kernel = l;
    return NULL;
}

static OrtStatus *compute(void *kernel, OrtKernelContext *context)
{
    return norma_ort_layer_run(kernel, context);
}

static void destroy_kernel(void *kernel)
{
    if (kernel) {
        norma_ort_layer_free(kernel);
        free(kernel);
    }
}

/* y has x's shape. What is left open, the engine learns when the model runs. */
static OrtStatus *infer_shapes(const OrtCustomOp *op, OrtShapeInferContext *context)
{
    OrtTensorTypeAndShapeInfo *x;
    if (!is_there(norma_ort->ShapeInferContext_GetInputTypeShape(context, 0, &x))) {
        return NULL;
    }
    size_t rank = 0; /* of a scalar, and where the engine knows nothing */
    if (is_there(norma_ort->GetDimensionsCount(x, &rank)) && rank > 0) {
        is_there(norma_ort->ShapeInferContext_SetOutputTypeShape(context, 0, x));
    }
    (void)op;
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------
 * Registration. The engine keeps pointers to operators and domains for as long as it lives; so they are made once.
 * ------------------------------------------------------------------------------------------------------------ */

#define CUSTOM_OPS_MAX 96

/* Batch norms as custom operators are not folded into convolutions any more, which most are; so a session gets them only if its
 * entry of this name is "1". */
#define BATCH_NORM_KEY "norma.batch_norm"

static custom_op custom_ops[CUSTOM_OPS_MAX];
static OrtCustomOpDomain *domains[3]; /* the engine's own, ONNX's, ONNX's with what is there on request */
static const char *const domain_names[3] = {"com.microsoft", "", ""};
static pthread_mutex_t registering = PTHREAD_MUTEX_INITIALIZER;

static const OrtCustomOp callbacks = {.version = CUSTOM_OPS_API,
                                      .GetName = get_name,
                                      .GetExecutionProviderType = get_provider,
                                      .GetInputType = get_input_type,
                                      .GetInputTypeCount = get_input_count,
                                      .GetOutputType = get_output_type,
                                      .GetOutputTypeCount = get_output_count,
                                      .KernelDestroy = destroy_kernel,
                                      .GetInputCharacteristic = get_input_kind,
                                      .GetOutputCharacteristic = get_output_kind,
                                      .GetInputMemoryType = get_memory,
                                      .GetVariadicInputMinArity = get_one,
                                      .GetVariadicInputHomogeneity = get_one,
                                      .GetVariadicOutputMinArity = get_one,
                                      .GetVariadicOutputHomogeneity = get_one,
                                      .CreateKernelV2 = create_kernel,
                                      .KernelComputeV2 = compute,
                                      .GetStartVersion = get_since,
                                      .GetEndVersion = get_until};

/* Older versions read the type of every input before they call for shapes, and crash where an optional one is left out by an
 * empty name; 1.30 was seen not to. */
static bool may_infer_shapes(const op_info *op, int minor_version)
{
    bool all = true;
    for (int i = 0; i < op->inputs; i++) {
        all = all && !op->input[i].optional;
    }
    return all || minor_version >= 30;
}

static OrtStatus *fill_domain(OrtCustomOpDomain *domain, const char *name, bool on_request, int minor_version)
{
    int at = 0; /* place in custom_ops, whatever the domain */
    for (int i = 0; i < norma_ort_ops_count; i++) {
        const op_info *op = &norma_ort_ops[i];
        for (int k = 0; k < op->typings_count; k++, at++) {
            if (strcmp(op->domain, name) || (op->on_request && !on_request)) {
                continue;
            }
            custom_ops[at] = (custom_op){callbacks, op, &op->typings[k]};
            custom_ops[at].callbacks.InferOutputShapeFn = may_infer_shapes(op, minor_version) ? infer_shapes : NULL;
            OrtStatus *status = norma_ort->CustomOpDomain_Add(domain, &custom_ops[at].callbacks);
            if (status) {
                return status;
            }
        }
    }
    return NULL;
}

static OrtStatus *make_domains(const OrtApiBase *base)
{
    int major = 0, minor = 0;
    sscanf(base->GetVersionString(), "%d.%d", &major, &minor);
    for (int d = 0; d < 3; d++) {
        OrtStatus *status = domains[d] ? NULL : norma_ort->CreateCustomOpDomain(domain_names[d], &domains[d]);
        if (!status) {
            status = fill_domain(domains[d], domain_names[d], d == 2, major > 1 ? 30 : minor);
        }
        if (status) {
            return status;
        }
    }
    return NULL;
}

static bool is_requested(const OrtSessionOptions *options)
{
    char value[2] = {0};
    size_t size = sizeof value;
    int there = 0;
    return is_there(norma_ort->HasSessionConfigEntry(options, BATCH_NORM_KEY, &there)) && there &&
           is_there(norma_ort->GetSessionConfigEntry(options, BATCH_NORM_KEY, value, &size)) && value[0] == '1';
}

NORMA_EXPORT OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base)
{
    static bool made;
    OrtStatus *status = norma_ort_start(base, CUSTOM_OPS_API);
    pthread_mutex_lock(&registering);
    if (!status && !made) {
        status = make_domains(base);
        made = !status;
    }
    pthread_mutex_unlock(&registering);
    status = status ? status : norma_ort->AddCustomOpDomain(options, domains[0]);
    return status ? status : norma_ort->AddCustomOpDomain(options, domains[is_requested(options) ? 2 : 1]);
}

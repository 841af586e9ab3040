/* The operators that norma takes the place of: names, versions, inputs, outputs, types, attributes. */
#ifndef NORMA_ONNXRUNTIME_OPS_H
#define NORMA_ONNXRUNTIME_OPS_H

#include "layer.h"

#define OP_MAX_INPUTS 5
#define OP_MAX_OUTPUTS 5
#define OP_MAX_TYPINGS 8

/* A typing's letters; which of its types an input or output has. */
typedef enum type_class {
    TYPE_X,          /* ONNX's T */
    TYPE_PARAMETERS, /* of scale and bias */
    TYPE_STATISTICS, /* of mean and variance that are inputs, and of their running values */
    TYPE_SAVED       /* f32, whatever the others are: ONNX's U with stash_type 1 */
} type_class;

typedef struct op_tensor {
    int role; /* a layer_input or a layer_output; -1: declared only because the engine's own operator has it */
    type_class type;
    bool optional;
} op_tensor;

typedef struct op_typing {
    norma_dtype type[3]; /* by type_class */
} op_typing;

typedef struct op_info {
    const char *domain, *name;
    int since; /* the version of it as a custom operator; what changed in later ones does not concern us, or shows from the
                  shapes */
    bool on_request; /* as a custom operator only where a session asks for it */
    layer_kind kind;
    int inputs, outputs;
    op_tensor input[OP_MAX_INPUTS], output[OP_MAX_OUTPUTS];
    const op_typing *typings;
    int typings_count;
} op_info;

extern const op_info norma_ort_ops[];
extern const int norma_ort_ops_count;

/* The type of an operator's tensor under one of its typings. */
norma_dtype norma_ort_type_of(const op_typing *typing, type_class type);

/* Reads attributes of a node, by name. Each sets *out and returns true when the node has it; it fails when it has it in another
 * type. */
typedef struct attribute_reader attribute_reader;
struct attribute_reader {
    OrtStatus *(*read_float)(const attribute_reader *reader, const char *name, float *out, bool *found);
    OrtStatus *(*read_int)(const attribute_reader *reader, const char *name, int64_t *out, bool *found);
    /* *count is the room in out, then how many there are. */
    OrtStatus *(*read_ints)(const attribute_reader *reader, const char *name, int64_t *out, size_t *count, bool *found);
    const void *node;
};

/* A layer from an operator and the attributes of its node, with ONNX's defaults for those that are not there. present_inputs
 * and present_outputs say which of the operator's inputs and outputs the node has; they become places of the layer, counted as
 * the operator counts them. On failure the layer is free again. */
OrtStatus *norma_ort_layer_of_op(const op_info *op, const attribute_reader *reader, const bool *present_inputs,
                                 const bool *present_outputs, layer *l);

#endif

#include "ops.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------
 * The table. Sources: ONNX's operator schemas, ONNX Runtime's ContribOperators.md.
 * ------------------------------------------------------------------------------------------------------------ */

#define ALIKE(dtype)                                                                                                           \
    {                                                                                                                          \
        {                                                                                                                      \
            dtype, dtype, dtype                                                                                                \
        }                                                                                                                      \
    }

static const op_typing all_types[] = {ALIKE(NORMA_F32), ALIKE(NORMA_F16), ALIKE(NORMA_BF16), ALIKE(NORMA_F64)};
static const op_typing no_f64[] = {ALIKE(NORMA_F32), ALIKE(NORMA_F16), ALIKE(NORMA_BF16)};
static const op_typing batch_norm_types[] = {ALIKE(NORMA_F32),
                                             ALIKE(NORMA_F16),
                                             ALIKE(NORMA_BF16),
                                             ALIKE(NORMA_F64),
                                             {{NORMA_F16, NORMA_F16, NORMA_F32}},
                                             {{NORMA_F16, NORMA_F32, NORMA_F32}},
                                             {{NORMA_BF16, NORMA_BF16, NORMA_F32}},
                                             {{NORMA_BF16, NORMA_F32, NORMA_F32}}};
static const op_typing group_norm_types[] = {ALIKE(NORMA_F32),
                                             ALIKE(NORMA_F16),
                                             ALIKE(NORMA_BF16),
                                             {{NORMA_F16, NORMA_F32, NORMA_F32}},
                                             {{NORMA_BF16, NORMA_F32, NORMA_F32}}};

#define TENSOR(role, type, optional)                                                                                           \
    {                                                                                                                          \
        role, type, optional                                                                                                   \
    }
#define X TENSOR(INPUT_X, TYPE_X, false)
#define SCALE TENSOR(INPUT_SCALE, TYPE_PARAMETERS, false)
#define SHIFT TENSOR(INPUT_SHIFT, TYPE_PARAMETERS, false)
#define MAYBE_SHIFT TENSOR(INPUT_SHIFT, TYPE_PARAMETERS, true)
#define MEAN TENSOR(INPUT_MEAN, TYPE_STATISTICS, false)
#define VARIANCE TENSOR(INPUT_VARIANCE, TYPE_STATISTICS, false)
#define SKIP TENSOR(INPUT_RESIDUAL, TYPE_X, false)
#define MAYBE_BIAS TENSOR(INPUT_BIAS, TYPE_X, true)
#define Y TENSOR(OUTPUT_Y, TYPE_X, false)
#define SAVED(role) TENSOR(role, TYPE_SAVED, true)
#define RUNNING(role) TENSOR(role, TYPE_STATISTICS, true)
#define MAYBE_SUM TENSOR(OUTPUT_SUM, TYPE_X, true)

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])
#define OP(domain_, name_, since_, kind_, types)                                                                               \
    .domain = domain_, .name = name_, .since = since_, .kind = kind_, .typings = types, .typings_count = COUNT(types)
#define INPUTS(...) .inputs = COUNT(((op_tensor[]){__VA_ARGS__})), .input = {__VA_ARGS__}
#define OUTPUTS(...) .outputs = COUNT(((op_tensor[]){__VA_ARGS__})), .output = {__VA_ARGS__}

/* The engine's optimizers go by an operator's version, too, and where they know it they read attributes whose defaults only
 * ONNX's own schemas fill in: folding a BatchNormalization without an epsilon into a convolution would crash (ONNX
 * Runtime 1.30), and SkipLayerNormalization would be made with another epsilon than its LayerNormalization had by default. So
 * as custom operators ours are of versions that they do not know, where there is room for one. */
const op_info norma_ort_ops[] = {
    /* 17 in ONNX; the engine makes it of a model's single steps in earlier versions, too. */
    {OP("", "LayerNormalization", 2, LAYER_NORM, all_types), INPUTS(X, SCALE, MAYBE_SHIFT),
     OUTPUTS(Y, SAVED(OUTPUT_MEAN), SAVED(OUTPUT_RSTD))},
    /* The engine's own, of before RMSNormalization. */
    {OP("", "SimplifiedLayerNormalization", 2, LAYER_RMS_NORM, all_types), INPUTS(X, SCALE), OUTPUTS(Y, SAVED(OUTPUT_RSTD))},
    /* 23 in ONNX. */
    {OP("", "RMSNormalization", 2, LAYER_RMS_NORM, all_types), INPUTS(X, SCALE), OUTPUTS(Y)},
    /* 9 in ONNX. The last two outputs up to version 13, in training. */
    {OP("", "BatchNormalization", 2, LAYER_BATCH_NORM, batch_norm_types), INPUTS(X, SCALE, SHIFT, MEAN, VARIANCE),
     OUTPUTS(Y, RUNNING(OUTPUT_MEAN), RUNNING(OUTPUT_RSTD), RUNNING(-1), RUNNING(-1)), .on_request = true},
    {OP("", "InstanceNormalization", 2, LAYER_INSTANCE_NORM, all_types), INPUTS(X, SCALE, SHIFT), OUTPUTS(Y)},
    {OP("", "GroupNormalization", 18, LAYER_GROUP_NORM, all_types), INPUTS(X, SCALE, SHIFT), OUTPUTS(Y)},
    {OP("", "MeanVarianceNormalization", 9, LAYER_MVN, all_types), INPUTS(X), OUTPUTS(Y)},
    {OP("", "LpNormalization", 1, LAYER_LP_NORM, all_types), INPUTS(X), OUTPUTS(Y)},
    {OP("com.microsoft", "SkipLayerNormalization", 1, LAYER_NORM, no_f64), INPUTS(X, SKIP, SCALE, MAYBE_SHIFT, MAYBE_BIAS),
     OUTPUTS(Y, SAVED(OUTPUT_MEAN), SAVED(OUTPUT_RSTD), MAYBE_SUM)},
    {OP("com.microsoft", "SkipSimplifiedLayerNormalization", 1, LAYER_RMS_NORM, no_f64), INPUTS(X, SKIP, SCALE, MAYBE_BIAS),
     OUTPUTS(Y, SAVED(-1), SAVED(OUTPUT_RSTD), MAYBE_SUM)},
    {OP("com.microsoft", "GroupNorm", 1, LAYER_GROUP_NORM, group_norm_types), INPUTS(X, SCALE, SHIFT), OUTPUTS(Y)},
    {OP("com.microsoft", "SkipGroupNorm", 1, LAYER_GROUP_NORM, group_norm_types), INPUTS(X, SCALE, SHIFT, SKIP, MAYBE_BIAS),
     OUTPUTS(Y, MAYBE_SUM)},
};

const int norma_ort_ops_count = COUNT(norma_ort_ops);

norma_dtype norma_ort_type_of(const op_typing *typing, type_class type)
{
    return type == TYPE_SAVED ? NORMA_F32 : typing->type[type];
}

/* ------------------------------------------------------------------------------------------------------------
 * Attributes
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *read_double(const attribute_reader *reader, const char *name, double *value)
{
    float read;
    bool found;
    OrtStatus *status = reader->read_float(reader, name, &read, &found);
    *value = !status && found ? read : *value;
    return status;
}

static OrtStatus *read_int(const attribute_reader *reader, const char *name, int64_t *value)
{
    int64_t read;
    bool found;
    OrtStatus *status = reader->read_int(reader, name, &read, &found);
    *value = !status && found ? read : *value;
    return status;
}

static OrtStatus *read_flag(const attribute_reader *reader, const layer *l, const char *name, bool *value)
{
    int64_t read = *value;
    OrtStatus *status = read_int(reader, name, &read);
    if (!status && read != 0 && read != 1) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: %s is %" PRId64 ", expected 0 or 1", l->name, name, read);
    }
    *value = read != 0;
    return status;
}

static OrtStatus *read_epsilon(const attribute_reader *reader, layer *l)
{
    OrtStatus *status = read_double(reader, "epsilon", &l->epsilon);
    if (!status && !(l->epsilon >= 0 && isfinite(l->epsilon))) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: epsilon is %g, expected at least 0 and finite", l->name, l->epsilon);
    }
    return status;
}

static OrtStatus *read_rows(const attribute_reader *reader, layer *l)
{
    OrtStatus *status = read_epsilon(reader, l);
    return status ? status : read_int(reader, "axis", &l->axis);
}

static OrtStatus *read_batch_norm(const attribute_reader *reader, layer *l)
{
    bool spatial = true;
    l->momentum = 0.9F; /* ONNX's default is a float, as is what a model says */
    OrtStatus *status = read_epsilon(reader, l);
    status = status ? status : read_double(reader, "momentum", &l->momentum);
    status = status ? status : read_flag(reader, l, "training_mode", &l->training);
    status = status ? status : read_flag(reader, l, "spatial", &spatial);
    if (!status && !spatial) {
        return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: spatial = 0, of before opset 9, is not supported", l->name);
    }
    if (!status && l->training && !(l->momentum >= 0 && l->momentum <= 1)) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: momentum is %g, expected 0 to 1", l->name, l->momentum);
    }
    return status;
}

/* ONNX's names the number of groups num_groups, the engine's own operators groups; the latter have an activation and a layout.
 */
static OrtStatus *read_group_norm(const attribute_reader *reader, layer *l, bool own)
{
    const char *name = own ? "groups" : "num_groups";
    int64_t groups;
    bool found;
    OrtStatus *status = read_epsilon(reader, l);
    status = status ? status : reader->read_int(reader, name, &groups, &found);
    if (status) {
        return status;
    }
    if (!found) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: the attribute %s is missing", l->name, name);
    }
    if (groups < 1) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: %s is %" PRId64 ", expected at least 1", l->name, name, groups);
    }
    l->groups = (uint64_t)groups;
    if (own) {
        bool silu = false;
        l->group_scale = SCALE_OF_CHANNELS;
        l->channels_last = true;
        status = read_flag(reader, l, "activation", &silu);
        status = status ? status : read_flag(reader, l, "channels_last", &l->channels_last);
        l->activation = silu ? NORMA_SILU : NORMA_IDENTITY;
    }
    return status;
}

static OrtStatus *read_mvn(const attribute_reader *reader, layer *l)
{
    static const int64_t usual[] = {0, 2, 3};
    bool found;
    l->axes_count = TENSOR_MAX_RANK;
    OrtStatus *status = reader->read_ints(reader, "axes", l->axes, &l->axes_count, &found);
    if (!status && !found) {
        l->axes_count = sizeof usual / sizeof usual[0];
        memcpy(l->axes, usual, sizeof usual);
    }
    return status;
}

static OrtStatus *read_lp_norm(const attribute_reader *reader, layer *l)
{
    OrtStatus *status = read_int(reader, "axis", &l->axis);
    status = status ? status : read_int(reader, "p", &l->p);
    if (!status && l->p != 1 && l->p != 2) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: p is %" PRId64 ", expected 1 or 2", l->name, l->p);
    }
    return status;
}

static OrtStatus *read_attributes(const op_info *op, const attribute_reader *reader, layer *l)
{
    switch (op->kind) {
    case LAYER_NORM:
    case LAYER_RMS_NORM:
        if (op->domain[0]) { /* always the last axis */
            l->epsilon = 1e-12F;
            return read_epsilon(reader, l);
        }
        return read_rows(reader, l);
    case LAYER_BATCH_NORM:
        return read_batch_norm(reader, l);
    case LAYER_INSTANCE_NORM:
        return read_epsilon(reader, l);
    case LAYER_GROUP_NORM:
        return read_group_norm(reader, l, op->domain[0] != 0);
    case LAYER_MVN:
        return read_mvn(reader, l);
    case LAYER_LP_NORM:
        return read_lp_norm(reader, l);
    }
    return NULL;
}

static OrtStatus *check_outputs(const op_info *op, const bool *present, const layer *l)
{
    for (int i = 1; i < op->outputs; i++) {
        const bool statistics = op->kind == LAYER_BATCH_NORM && present[i];
        if (statistics && !l->training) {
            return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: it has statistics as outputs, but no training_mode = 1", l->name);
        }
        if (present[i] && op->output[i].role < 0) {
            return norma_ort_fail(ORT_NOT_IMPLEMENTED, "%s: output %d is not supported", l->name, i);
        }
    }
    if (op->kind == LAYER_BATCH_NORM && l->training && (!present[1] || !present[2])) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: with training_mode = 1 the running mean and variance are outputs",
                              l->name);
    }
    return NULL;
}

OrtStatus *norma_ort_layer_of_op(const op_info *op, const attribute_reader *reader, const bool *present_inputs,
                                 const bool *present_outputs, layer *l)
{
    norma_ort_layer_init(l, op->kind, op->name);
    for (int i = 0; i < op->inputs; i++) {
        if (present_inputs[i]) {
            l->input[op->input[i].role] = i;
        }
    }
    for (int i = 0; i < op->outputs; i++) {
        if (present_outputs[i] && op->output[i].role >= 0) {
            l->output[op->output[i].role] = i;
        }
    }
    OrtStatus *status = read_attributes(op, reader, l);
    status = status ? status : check_outputs(op, present_outputs, l);
    if (status) {
        norma_ort_layer_free(l);
    }
    return status;
}

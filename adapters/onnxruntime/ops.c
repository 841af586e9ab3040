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

#define TYPINGS(list) .typings = list, .typings_count = (int)(sizeof list / sizeof list[0])

#define X                                                                                                                      \
    {                                                                                                                          \
        INPUT_X, TYPE_X, false                                                                                                 \
    }
#define SCALE                                                                                                                  \
    {                                                                                                                          \
        INPUT_SCALE, TYPE_PARAMETERS, false                                                                                    \
    }
#define SHIFT                                                                                                                  \
    {                                                                                                                          \
        INPUT_SHIFT, TYPE_PARAMETERS, false                                                                                    \
    }
#define MAYBE_SHIFT                                                                                                            \
    {                                                                                                                          \
        INPUT_SHIFT, TYPE_PARAMETERS, true                                                                                     \
    }
#define SKIP                                                                                                                   \
    {                                                                                                                          \
        INPUT_RESIDUAL, TYPE_X, false                                                                                          \
    }
#define MAYBE_BIAS                                                                                                             \
    {                                                                                                                          \
        INPUT_BIAS, TYPE_X, true                                                                                               \
    }
#define Y                                                                                                                      \
    {                                                                                                                          \
        OUTPUT_Y, TYPE_X, false                                                                                                \
    }
#define SAVED(role)                                                                                                            \
    {                                                                                                                          \
        role, TYPE_SAVED, true                                                                                                 \
    }
#define MAYBE_SUM                                                                                                              \
    {                                                                                                                          \
        OUTPUT_SUM, TYPE_X, true                                                                                               \
    }

/* The engine's optimizers go by an operator's version, too, and where they know it they read attributes whose defaults only
 * ONNX's own schemas fill in: folding a BatchNormalization without an epsilon into a convolution would crash (ONNX
 * Runtime 1.30), and SkipLayerNormalization would be made with another epsilon than its LayerNormalization had by default. So
 * as custom operators ours are of versions that they do not know, where there is room for one. */
const op_info norma_ort_ops[] = {
    {.domain = "",
     .name = "LayerNormalization",
     .since = 2, /* 17 in ONNX; the engine makes it of a model's single steps in earlier ones, too */
     .kind = LAYER_NORM,
     .inputs = 3,
     .input = {X, SCALE, MAYBE_SHIFT},
     .outputs = 3,
     .output = {Y, SAVED(OUTPUT_MEAN), SAVED(OUTPUT_RSTD)},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "SimplifiedLayerNormalization", /* the engine's own, of before RMSNormalization */
     .since = 2,
     .kind = LAYER_RMS_NORM,
     .inputs = 2,
     .input = {X, SCALE},
     .outputs = 2,
     .output = {Y, SAVED(OUTPUT_RSTD)},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "RMSNormalization",
     .since = 2, /* 23 in ONNX */
     .kind = LAYER_RMS_NORM,
     .inputs = 2,
     .input = {X, SCALE},
     .outputs = 1,
     .output = {Y},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "BatchNormalization",
     .since = 10, /* 9 in ONNX */
     .on_request = true,
     .kind = LAYER_BATCH_NORM,
     .inputs = 5,
     .input = {X, SCALE, SHIFT, {INPUT_MEAN, TYPE_STATISTICS, false}, {INPUT_VARIANCE, TYPE_STATISTICS, false}},
     .outputs = 5, /* the last two up to version 13, in training */
     .output = {Y,
                {OUTPUT_MEAN, TYPE_STATISTICS, true},
                {OUTPUT_RSTD, TYPE_STATISTICS, true},
                {-1, TYPE_STATISTICS, true},
                {-1, TYPE_STATISTICS, true}},
     TYPINGS(batch_norm_types)},
    {.domain = "",
     .name = "InstanceNormalization",
     .since = 6,
     .kind = LAYER_INSTANCE_NORM,
     .inputs = 3,
     .input = {X, SCALE, SHIFT},
     .outputs = 1,
     .output = {Y},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "GroupNormalization",
     .since = 18,
     .kind = LAYER_GROUP_NORM,
     .inputs = 3,
     .input = {X, SCALE, SHIFT},
     .outputs = 1,
     .output = {Y},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "MeanVarianceNormalization",
     .since = 9,
     .kind = LAYER_MVN,
     .inputs = 1,
     .input = {X},
     .outputs = 1,
     .output = {Y},
     TYPINGS(all_types)},
    {.domain = "",
     .name = "LpNormalization",
     .since = 1,
     .kind = LAYER_LP_NORM,
     .inputs = 1,
     .input = {X},
     .outputs = 1,
     .output = {Y},
     TYPINGS(all_types)},
    {.domain = "com.microsoft",
     .name = "SkipLayerNormalization",
     .since = 1,
     .kind = LAYER_NORM,
     .inputs = 5,
     .input = {X, SKIP, SCALE, MAYBE_SHIFT, MAYBE_BIAS},
     .outputs = 4,
     .output = {Y, SAVED(OUTPUT_MEAN), SAVED(OUTPUT_RSTD), MAYBE_SUM},
     TYPINGS(no_f64)},
    {.domain = "com.microsoft",
     .name = "SkipSimplifiedLayerNormalization",
     .since = 1,
     .kind = LAYER_RMS_NORM,
     .inputs = 4,
     .input = {X, SKIP, SCALE, MAYBE_BIAS},
     .outputs = 4,
     .output = {Y, SAVED(-1), SAVED(OUTPUT_RSTD), MAYBE_SUM},
     TYPINGS(no_f64)},
    {.domain = "com.microsoft",
     .name = "GroupNorm",
     .since = 1,
     .kind = LAYER_GROUP_NORM,
     .inputs = 3,
     .input = {X, SCALE, SHIFT},
     .outputs = 1,
     .output = {Y},
     TYPINGS(group_norm_types)},
    {.domain = "com.microsoft",
     .name = "SkipGroupNorm",
     .since = 1,
     .kind = LAYER_GROUP_NORM,
     .inputs = 5,
     .input = {X, SCALE, SHIFT, SKIP, MAYBE_BIAS},
     .outputs = 2,
     .output = {Y, MAYBE_SUM},
     TYPINGS(group_norm_types)},
};

const int norma_ort_ops_count = (int)(sizeof norma_ort_ops / sizeof norma_ort_ops[0]);

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
    if (!status && !(l->epsilon >= 0)) {
        return norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: epsilon is %g, expected at least 0", l->name, l->epsilon);
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
    l->momentum = 0.9F; /* ONNX's default is a float, as is what a model says */
    OrtStatus *status = read_epsilon(reader, l);
    status = status ? status : read_double(reader, "momentum", &l->momentum);
    status = status ? status : read_flag(reader, l, "training_mode", &l->training);
    if (!status && !(l->momentum >= 0 && l->momentum <= 1)) {
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

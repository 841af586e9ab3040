#include "node.h"

#include <string.h>

bool norma_ort_is_op(const graph_node *n, const char *domain, const char *op)
{
    const bool onnx = !n->domain || !*n->domain || !strcmp(n->domain, "ai.onnx");
    return !strcmp(n->op, op) && (*domain ? n->domain && !strcmp(n->domain, domain) : onnx);
}

/* ------------------------------------------------------------------------------------------------------------
 * Attributes of the engine's nodes
 * ------------------------------------------------------------------------------------------------------------ */

static OrtStatus *find_attribute(const attribute_reader *reader, const char *name, OrtOpAttrType wanted,
                                 const OrtOpAttr **attribute)
{
    OrtOpAttrType type;
    OrtStatus *status = norma_ort->Node_GetAttributeByName(reader->node, name, attribute);
    if (status) { /* a name that the operator does not know */
        norma_ort->ReleaseStatus(status);
        *attribute = NULL;
    }
    if (!*attribute) {
        return NULL;
    }
    status = norma_ort->OpAttr_GetType(*attribute, &type);
    if (!status && type != wanted) {
        status = norma_ort_fail(ORT_INVALID_ARGUMENT, "the attribute %s is of another type than expected", name);
    }
    return status;
}

static OrtStatus *read_one(const attribute_reader *reader, const char *name, OrtOpAttrType type, void *out, size_t size,
                           bool *found)
{
    const OrtOpAttr *attribute;
    size_t read;
    OrtStatus *status = find_attribute(reader, name, type, &attribute);
    *found = !status && attribute;
    return *found ? norma_ort->ReadOpAttr(attribute, type, out, size, &read) : status;
}

static OrtStatus *read_float(const attribute_reader *reader, const char *name, float *out, bool *found)
{
    return read_one(reader, name, ORT_OP_ATTR_FLOAT, out, sizeof *out, found);
}

static OrtStatus *read_int(const attribute_reader *reader, const char *name, int64_t *out, bool *found)
{
    return read_one(reader, name, ORT_OP_ATTR_INT, out, sizeof *out, found);
}

static OrtStatus *read_ints(const attribute_reader *reader, const char *name, int64_t *out, size_t *count, bool *found)
{
    const OrtOpAttr *attribute;
    size_t bytes = 0;
    OrtStatus *status = find_attribute(reader, name, ORT_OP_ATTR_INTS, &attribute);
    *found = !status && attribute;
    if (*found) {
        status = norma_ort->ReadOpAttr(attribute, ORT_OP_ATTR_INTS, out, *count * sizeof *out, &bytes);
        *count = bytes / sizeof *out;
    }
    return status;
}

attribute_reader norma_ort_reader_of(const graph_node *n)
{
    return (attribute_reader){read_float, read_int, read_ints, n->node};
}

/* An attribute that is not there, or not readable, has its default. */
double norma_ort_float_of(const graph_node *n, const char *name, double otherwise)
{
    const attribute_reader reader = norma_ort_reader_of(n);
    float value;
    bool found;
    OrtStatus *status = read_float(&reader, name, &value, &found);
    if (status) {
        norma_ort->ReleaseStatus(status);
    }
    return !status && found ? value : otherwise;
}

bool norma_ort_text_is(const graph_node *n, const char *name, const char *expected)
{
    const attribute_reader reader = norma_ort_reader_of(n);
    char text[16] = {0};
    bool found;
    OrtStatus *status = read_one(&reader, name, ORT_OP_ATTR_STRING, text, sizeof text - 1, &found);
    if (status) {
        norma_ort->ReleaseStatus(status);
    }
    return !status && found && !strcmp(text, expected);
}

/* ------------------------------------------------------------------------------------------------------------
 * Constants
 * ------------------------------------------------------------------------------------------------------------ */

bool norma_ort_read_constant(const graph_value *v, tensor *t)
{
    const OrtValue *value = NULL;
    if (!v->is_constant) {
        return false;
    }
    OrtStatus *status = norma_ort->ValueInfo_GetInitializerValue(v->info, &value);
    status = status ? status : norma_ort_read_tensor(value, "a constant", t);
    if (status) {
        norma_ort->ReleaseStatus(status);
    }
    return !status && value;
}

bool norma_ort_is_constant_of(const graph_value *v, double expected)
{
    tensor t;
    if (!norma_ort_read_constant(v, &t)) {
        return false;
    }
    const int64_t count = norma_ort_count(&t, 0, t.rank);
    for (int64_t i = 0; i < count; i++) {
        double element;
        norma_ort_convert((const char *)t.data + (size_t)i * norma_ort_dtype_size(t.dtype), t.dtype, &element, NORMA_F64, 1);
        if (element != expected) {
            return false;
        }
    }
    return true;
}

bool norma_ort_read_scalar(const graph_value *v, double *out)
{
    tensor t;
    if (!norma_ort_read_constant(v, &t) || norma_ort_count(&t, 0, t.rank) != 1) {
        return false;
    }
    norma_ort_convert(t.data, t.dtype, out, NORMA_F64, 1);
    return true;
}

/* Nodes of a graph: which operator, attributes, constants. */
#ifndef NORMA_ONNXRUNTIME_NODE_H
#define NORMA_ONNXRUNTIME_NODE_H

#include "graph.h"
#include "ops.h"

/* domain is "" for ONNX's own. */
bool norma_ort_is_op(const graph_node *n, const char *domain, const char *op);

attribute_reader norma_ort_reader_of(const graph_node *n);

/* An attribute that is not there, or not readable, has its default; a text that is not there is none. */
double norma_ort_float_of(const graph_node *n, const char *name, double otherwise);
bool norma_ort_text_is(const graph_node *n, const char *name, const char *expected);

/* False: the value is no constant (whose elements all are expected, or of which there is one). */
bool norma_ort_read_constant(const graph_value *v, tensor *t);
bool norma_ort_is_constant_of(const graph_value *v, double expected);
bool norma_ort_read_scalar(const graph_value *v, double *out);

#endif

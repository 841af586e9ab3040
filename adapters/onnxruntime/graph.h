/* A graph of the engine's, read once: nodes and values by number, so that looking for chains needs no calls. All pointers are
 * the engine's and live as long as its graph. */
#ifndef NORMA_ONNXRUNTIME_GRAPH_H
#define NORMA_ONNXRUNTIME_GRAPH_H

#include "tensor.h"

#define GRAPH_MAX_CONSUMERS 4

typedef struct graph_value {
    const char *name;
    const OrtValueInfo *info;
    int producer;                      /* a node; -1: an input or a constant of the graph */
    int consumers;                     /* how many inputs of nodes it is, those inside of other nodes' graphs included */
    int consumer[GRAPH_MAX_CONSUMERS]; /* the first of them */
    int listed;                        /* how many of them are in consumer */
    bool is_output, is_constant;
    norma_dtype dtype; /* 0: norma does not compute with it */
    int rank;          /* 0: a scalar, or not known */
    int64_t shape[TENSOR_MAX_RANK];
    const char *symbol[TENSOR_MAX_RANK]; /* names of extents that are not known */
} graph_value;

typedef struct graph_node {
    const OrtNode *node;
    const char *op, *domain;
    int inputs, outputs;
    int *input, *output; /* values; -1: left out */
} graph_node;

typedef struct graph {
    graph_node *node; /* in topological order */
    graph_value *value;
    int nodes, values, room;
    bool fused;
    int *table; /* values by their names' hashes; -1: none */
    int table_size;
} graph;

/* fused: the graph is that of a node to compile. Who uses a value is then counted within it, the rest being its outputs: the
 * engine (1.23) looks for all of them there, and ends the process when it does not find them. */
OrtStatus *norma_ort_graph_read(const OrtGraph *source, bool fused, graph *g);
void norma_ort_graph_free(graph *g);

/* Whether two extents are equal whatever the inputs are. */
bool norma_ort_same_extent(const graph_value *a, int axis_a, const graph_value *b, int axis_b);
bool norma_ort_same_shape(const graph_value *a, const graph_value *b);

#endif

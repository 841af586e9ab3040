/* Chains: a norm and the nodes around it that become one layer. */
#ifndef NORMA_ONNXRUNTIME_CHAIN_H
#define NORMA_ONNXRUNTIME_CHAIN_H

#include "graph.h"
#include "ops.h"

#define CHAIN_MAX_NODES 12

typedef struct chain {
    int node[CHAIN_MAX_NODES], nodes; /* of the graph, in no order */
    int norm;                         /* which of the graph's nodes is the norm */
    const op_info *op;
    int input[LAYER_INPUTS], output[LAYER_OUTPUTS]; /* values of the graph, -1: absent */
    norma_activation activation;                    /* NORMA_IDENTITY: what the norm's own attributes say */
    double activation_alpha, activation_beta;
    bool residual_after, one_plus_scale;
} chain;

/* The longest chain around a node, if that is a norm that norma computes: an addition before a layer or RMS norm, with a gate,
 * scale and shift of other shapes after one without, an addition after, an activation. Nodes may be taken by other chains:
 * then taken has 1 + the next node of theirs, in a ring, else 0. */
bool norma_ort_chain_match(const graph *g, int node, const int *taken, chain *c);

/* The layer that a chain is, with values of the graph as its inputs and outputs. Fails where attributes are wrong. */
OrtStatus *norma_ort_chain_layer(const graph *g, const chain *c, layer *l);

#endif

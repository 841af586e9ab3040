/* What chain.c and chain_activation.c share. */
#ifndef NORMA_ONNXRUNTIME_CHAIN_JOIN_H
#define NORMA_ONNXRUNTIME_CHAIN_JOIN_H

#include "chain.h"

/* Makes a node one of the chain. */
void norma_ort_chain_join(chain *c, int node);

/* The node that alone uses a value, -1: there is none, or it is another chain's. */
int norma_ort_sole_consumer(const graph *g, int value, const int *taken);

/* The other operand of a binary node, -1: it is none. */
int norma_ort_other_input(const graph_node *n, int value);

/* Whether a node is this operator, of the value and a constant scalar, as exactly as its type holds it. -1 is no node. */
bool norma_ort_is_with_scalar(const graph *g, int node, const char *op, int value, double expected);

/* Joins the activation that follows the chain's y, if there is one. */
void norma_ort_join_activation(const graph *g, const int *taken, chain *c);

#endif

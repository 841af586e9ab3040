#include "chain_join.h"
#include "node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool in_chain(const chain *c, int node)
{
    for (int i = 0; i < c->nodes; i++) {
        if (c->node[i] == node) {
            return true;
        }
    }
    return false;
}

void norma_ort_chain_join(chain *c, int node)
{
    c->node[c->nodes++] = node;
}

/* ------------------------------------------------------------------------------------------------------------
 * The norm itself
 * ------------------------------------------------------------------------------------------------------------ */

static const op_info *find_op(const graph_node *n)
{
    for (int i = 0; i < norma_ort_ops_count; i++) {
        if (norma_ort_is_op(n, norma_ort_ops[i].domain, norma_ort_ops[i].name)) {
            return &norma_ort_ops[i];
        }
    }
    return NULL;
}

static bool has_typing(const graph *g, const op_info *op, const graph_node *n, const op_typing *typing)
{
    bool good = true;
    for (int i = 0; i < n->inputs && good; i++) {
        good = n->input[i] < 0 || g->value[n->input[i]].dtype == norma_ort_type_of(typing, op->input[i].type);
    }
    for (int i = 0; i < n->outputs && good; i++) {
        good = n->output[i] < 0 || g->value[n->output[i]].dtype == norma_ort_type_of(typing, op->output[i].type);
    }
    return good;
}

/* The shape of an input as far as it matters, extents that do not as 1. False: it is not known, as the engine itself does not
 * know one after a GroupNormalization. */
static bool know_shape(const layer *l, const graph_value *v, bool is_x, tensor *t)
{
    static const char somewhere[1];
    if (!norma_ort_read_constant(v, t)) {
        const bool rows = l->kind == LAYER_NORM || l->kind == LAYER_RMS_NORM;
        const bool any_axis = l->kind == LAYER_MVN || l->kind == LAYER_LP_NORM;
        const int channels = any_axis ? -1 : l->channels_last ? v->rank - 1 : v->rank > 1;
        *t = (tensor){.dtype = v->dtype, .rank = v->rank};
        for (int k = 0; k < v->rank; k++) {
            if (v->shape[k] < 0 && (!is_x || rows || k == channels)) {
                return false;
            }
            t->shape[k] = v->shape[k] < 0 ? 1 : v->shape[k];
        }
        if (!v->rank) {
            return false;
        }
    }
    t->data = somewhere;
    return true;
}

static bool know_shapes(const graph *g, const chain *c, const layer *l, tensor in[LAYER_INPUTS])
{
    bool known = true;
    for (int i = 0; i < LAYER_INPUTS && known; i++) {
        in[i] = (tensor){.data = NULL};
        known = c->input[i] < 0 || know_shape(l, &g->value[c->input[i]], i == INPUT_X, &in[i]);
    }
    return known;
}

/* Whether norma takes the node as it is: inputs, types, attributes, and shapes where the model says them. */
static bool takes(const graph *g, const op_info *op, const graph_node *n, const chain *c)
{
    bool typed = false;
    if (n->inputs > op->inputs || n->outputs > op->outputs) {
        return false;
    }
    for (int i = 0; i < op->inputs; i++) {
        if (!op->input[i].optional && (i >= n->inputs || n->input[i] < 0)) {
            return false;
        }
    }
    for (int i = 0; i < op->typings_count && !typed; i++) {
        typed = has_typing(g, op, n, &op->typings[i]);
    }
    if (!typed) {
        return false;
    }
    layer l;
    tensor in[LAYER_INPUTS];
    OrtStatus *status = norma_ort_chain_layer(g, c, &l);
    if (!status) {
        status = know_shapes(g, c, &l, in) ? norma_ort_check(&l, in) : NULL;
        norma_ort_layer_free(&l);
    }
    if (status) {
        norma_ort->ReleaseStatus(status); /* the engine says what is wrong with it, or does better */
    }
    return !status;
}

/* An output that is used. */
static bool is_used(const graph_value *v)
{
    return v->consumers > 0 || v->is_output;
}

static bool begin(const graph *g, int node, chain *c)
{
    const graph_node *n = &g->node[node];
    const op_info *op = find_op(n);
    if (!op) {
        return false;
    }
    memset(c, 0, sizeof *c);
    c->op = op;
    c->norm = node;
    norma_ort_chain_join(c, node);
    for (int i = 0; i < LAYER_INPUTS; i++) {
        c->input[i] = -1;
    }
    for (int i = 0; i < LAYER_OUTPUTS; i++) {
        c->output[i] = -1;
    }
    for (int i = 0; i < op->inputs && i < n->inputs; i++) {
        c->input[op->input[i].role] = n->input[i];
    }
    for (int i = 0; i < op->outputs && i < n->outputs; i++) {
        if (op->output[i].role >= 0 && n->output[i] >= 0 && (i == 0 || is_used(&g->value[n->output[i]]))) {
            c->output[op->output[i].role] = n->output[i];
        }
    }
    return c->output[OUTPUT_Y] >= 0 && is_used(&g->value[c->output[OUTPUT_Y]]) && takes(g, op, n, c);
}

/* ------------------------------------------------------------------------------------------------------------
 * What stands around it
 * ------------------------------------------------------------------------------------------------------------ */

/* Nodes that something waits for. */
typedef struct search {
    bool *seen;
    int *found, count; /* nodes whose inputs were not followed yet */
} search;

static void find(search *s, int node)
{
    if (!s->seen[node]) {
        s->seen[node] = true;
        s->found[s->count++] = node;
    }
}

/* What makes a value; of a chain that was taken as a whole every node, since it waits for all of its inputs. */
static void find_producer(const graph *g, const int *taken, int value, search *s)
{
    const int node = value < 0 ? -1 : g->value[value].producer;
    if (node < 0 || s->seen[node]) {
        return;
    }
    find(s, node);
    for (int next = taken[node] - 1; next >= 0 && next != node; next = taken[next] - 1) {
        find(s, next);
    }
}

static bool find_chain(const graph *g, const chain *c, const int *taken, search *s)
{
    while (s->count) {
        const int node = s->found[--s->count];
        if (in_chain(c, node)) {
            return true;
        }
        for (int i = 0; i < g->node[node].inputs; i++) {
            find_producer(g, taken, g->node[node].input[i], s);
        }
    }
    return false;
}

/* Whether none of these values depends on what the chain computes, so that the chain can wait for them. */
static bool are_independent(const graph *g, const chain *c, const int *taken, const int *values, int count)
{
    search s = {calloc((size_t)g->nodes + 1, sizeof *s.seen), calloc((size_t)g->nodes + 1, sizeof *s.found), 0};
    bool depends = !s.seen || !s.found;
    for (int i = 0; i < count && !depends; i++) {
        find_producer(g, taken, values[i], &s);
    }
    depends = depends || find_chain(g, c, taken, &s);
    free(s.seen);
    free(s.found);
    return !depends;
}

static bool is_independent(const graph *g, const chain *c, const int *taken, int value)
{
    return are_independent(g, c, taken, &value, 1);
}

/* Whether the chain can run as one node: with chains that were taken before, its inputs may come to depend on itself. */
static bool can_be_one_node(const graph *g, const chain *c, const int *taken)
{
    int values[CHAIN_MAX_NODES * OP_MAX_INPUTS], count = 0;
    for (int k = 0; k < c->nodes; k++) {
        const graph_node *n = &g->node[c->node[k]];
        for (int i = 0; i < n->inputs && i < OP_MAX_INPUTS; i++) {
            if (n->input[i] >= 0 && !in_chain(c, g->value[n->input[i]].producer)) {
                values[count++] = n->input[i];
            }
        }
    }
    return are_independent(g, c, taken, values, count);
}

int norma_ort_sole_consumer(const graph *g, int value, const int *taken)
{
    const graph_value *v = &g->value[value];
    const bool sole = v->consumers == 1 && v->listed == 1 && !v->is_output;
    return sole && !taken[v->consumer[0]] ? v->consumer[0] : -1;
}

int norma_ort_other_input(const graph_node *n, int value)
{
    return n->inputs != 2 ? -1 : n->input[0] == value ? n->input[1] : n->input[0];
}

/* As the type has it: exactly, or, of what it cannot hold, to a unit in the last place. */
static bool is_rounded(double found, double expected, norma_dtype dtype)
{
    char held[8];
    double rounded;
    norma_ort_convert(&expected, NORMA_F64, held, dtype, 1);
    norma_ort_convert(held, dtype, &rounded, NORMA_F64, 1);
    const int digits = dtype == NORMA_F64 ? 52 : dtype == NORMA_F32 ? 23 : dtype == NORMA_F16 ? 10 : 7;
    const bool exact = dtype != NORMA_F64 ? rounded == expected : expected == 1 || expected == 0.5;
    return fabs(found - rounded) <= (exact ? 0 : ldexp(rounded, -digits));
}

bool norma_ort_is_with_scalar(const graph *g, int node, const char *op, int value, double expected)
{
    double found;
    const int scalar = node >= 0 && norma_ort_is_op(&g->node[node], "", op) ? norma_ort_other_input(&g->node[node], value) : -1;
    /* One of more axes would give the result more, too. */
    return scalar >= 0 && (g->value[scalar].rank <= 1 || g->value[scalar].rank <= g->value[value].rank) &&
           norma_ort_read_scalar(&g->value[scalar], &found) && is_rounded(found, expected, g->value[scalar].dtype);
}

/* Whether a value can be scale or shift of rows like x: broadcast to x's shape, never the other way round. */
static bool fits_rows(const graph_value *v, const graph_value *x)
{
    bool fits = v->dtype == x->dtype && v->rank > 0 && v->rank <= x->rank;
    for (int k = 0; k < v->rank && fits; k++) {
        fits = v->shape[k] == 1 || norma_ort_same_extent(v, k, x, k + x->rank - v->rank);
    }
    return fits;
}

/* s = x + gate * h before it, where the gate is of fewer elements: a factor for each channel, or for those of each item. */
static bool join_gate(const graph *g, const int *taken, chain *c, int product, int x)
{
    const int mul = g->value[product].producer;
    if (mul < 0 || taken[mul] || !norma_ort_is_op(&g->node[mul], "", "Mul") || norma_ort_sole_consumer(g, product, taken) < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const int gate = g->node[mul].input[i], residual = g->node[mul].input[1 - i];
        const graph_value *v = &g->value[gate], *r = &g->value[residual];
        if (norma_ort_same_shape(r, &g->value[x]) && r->dtype == g->value[x].dtype && !norma_ort_same_shape(v, r) &&
            fits_rows(v, r)) {
            c->input[INPUT_X] = x;
            c->input[INPUT_RESIDUAL] = residual;
            c->input[INPUT_GATE] = gate;
            norma_ort_chain_join(c, mul);
            return true;
        }
    }
    return false;
}

/* s = a + b before a layer or RMS norm of s, in one pass. (Before the others it would be a pass of its own.) */
static void join_sum_before(const graph *g, const int *taken, chain *c)
{
    const int x = c->input[INPUT_X], add = g->value[x].producer;
    const bool rows = c->op->kind == LAYER_NORM || c->op->kind == LAYER_RMS_NORM;
    if (!rows || c->input[INPUT_RESIDUAL] >= 0 || add < 0 || taken[add] || !norma_ort_is_op(&g->node[add], "", "Add")) {
        return;
    }
    const graph_node *n = &g->node[add];
    for (int i = 0; i < 2; i++) {
        const graph_value *v = &g->value[n->input[i]];
        if (v->is_constant || v->dtype != g->value[x].dtype || !norma_ort_same_shape(v, &g->value[x])) {
            return;
        }
    }
    chain with_sum = *c;
    norma_ort_chain_join(&with_sum, add);
    for (int i = INPUT_SCALE; i <= INPUT_SHIFT; i++) {
        if (c->input[i] >= 0 && !is_independent(g, &with_sum, taken, c->input[i])) {
            return;
        }
    }
    c->input[INPUT_X] = n->input[0];
    c->input[INPUT_RESIDUAL] = n->input[1];
    if (g->value[x].consumers > 1 || g->value[x].is_output) {
        c->output[OUTPUT_SUM] = x;
    }
    norma_ort_chain_join(c, add);
    if (!join_gate(g, taken, c, n->input[1], n->input[0])) {
        join_gate(g, taken, c, n->input[0], n->input[1]);
    }
}

/* 1 + scale, as AdaLN has it. */
static void join_one_plus(const graph *g, const int *taken, chain *c)
{
    const int sum = c->input[INPUT_SCALE], add = g->value[sum].producer;
    if (add < 0 || taken[add] || norma_ort_sole_consumer(g, sum, taken) < 0) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        const int scale = g->node[add].inputs == 2 ? g->node[add].input[i] : -1;
        if (scale >= 0 && norma_ort_is_with_scalar(g, add, "Add", scale, 1) &&
            fits_rows(&g->value[scale], &g->value[c->input[INPUT_X]])) {
            c->input[INPUT_SCALE] = scale;
            c->one_plus_scale = true;
            norma_ort_chain_join(c, add);
            return;
        }
    }
}

/* y * scale + shift after a layer norm that has none of its own (an AdaLN's modulation), or either. */
static void join_modulation(const graph *g, const int *taken, chain *c)
{
    bool plain = c->op->kind == LAYER_NORM &&
                 (c->input[INPUT_SCALE] < 0 || norma_ort_is_constant_of(&g->value[c->input[INPUT_SCALE]], 1)) &&
                 (c->input[INPUT_SHIFT] < 0 || norma_ort_is_constant_of(&g->value[c->input[INPUT_SHIFT]], 0));
    const graph_value *x = &g->value[c->input[INPUT_X]];
    for (int i = INPUT_SCALE; i <= INPUT_SHIFT; i++) {
        plain = plain && (c->input[i] < 0 || fits_rows(&g->value[c->input[i]], x));
    }
    const int y = c->output[OUTPUT_Y], mul = plain ? norma_ort_sole_consumer(g, y, taken) : -1;
    if (mul < 0 || !norma_ort_is_op(&g->node[mul], "", "Mul")) {
        return;
    }
    const int scale = norma_ort_other_input(&g->node[mul], y);
    if (scale < 0 || scale == y || !fits_rows(&g->value[scale], &g->value[y]) || !is_independent(g, c, taken, scale)) {
        return;
    }
    c->input[INPUT_SCALE] = scale;
    c->input[INPUT_SHIFT] = -1;
    c->output[OUTPUT_Y] = g->node[mul].output[0];
    norma_ort_chain_join(c, mul);
    join_one_plus(g, taken, c);
    const int scaled = c->output[OUTPUT_Y], add = norma_ort_sole_consumer(g, scaled, taken);
    if (add < 0 || !norma_ort_is_op(&g->node[add], "", "Add")) {
        return;
    }
    const int shift = norma_ort_other_input(&g->node[add], scaled);
    if (shift >= 0 && shift != scaled && fits_rows(&g->value[shift], &g->value[y]) && is_independent(g, c, taken, shift)) {
        c->input[INPUT_SHIFT] = shift;
        c->output[OUTPUT_Y] = g->node[add].output[0];
        norma_ort_chain_join(c, add);
    }
}

/* y + residual after any norm that has no residual yet. */
static void join_sum_after(const graph *g, const int *taken, chain *c)
{
    const int y = c->output[OUTPUT_Y], add = norma_ort_sole_consumer(g, y, taken);
    if (add < 0 || c->input[INPUT_RESIDUAL] >= 0 || c->input[INPUT_BIAS] >= 0 || !norma_ort_is_op(&g->node[add], "", "Add")) {
        return;
    }
    const int residual = norma_ort_other_input(&g->node[add], y);
    if (residual < 0 || residual == y || g->value[residual].dtype != g->value[y].dtype ||
        !norma_ort_same_shape(&g->value[residual], &g->value[c->input[INPUT_X]]) || !is_independent(g, c, taken, residual)) {
        return;
    }
    c->input[INPUT_RESIDUAL] = residual;
    c->residual_after = true;
    c->output[OUTPUT_Y] = g->node[add].output[0];
    norma_ort_chain_join(c, add);
}

/* ------------------------------------------------------------------------------------------------------------
 * All together
 * ------------------------------------------------------------------------------------------------------------ */

bool norma_ort_chain_match(const graph *g, int node, const int *taken, chain *c)
{
    if (taken[node] || !begin(g, node, c)) {
        return false;
    }
    const chain alone = *c;
    const bool own_activation = c->op->kind == LAYER_GROUP_NORM && c->op->domain[0];
    join_sum_before(g, taken, c);
    join_modulation(g, taken, c);
    if (!own_activation) {
        join_sum_after(g, taken, c);
        norma_ort_join_activation(g, taken, c);
    }
    if (!is_used(&g->value[c->output[OUTPUT_Y]]) || !can_be_one_node(g, c, taken)) {
        *c = alone;
    }
    return true;
}

OrtStatus *norma_ort_chain_layer(const graph *g, const chain *c, layer *l)
{
    const graph_node *n = &g->node[c->norm];
    bool inputs[OP_MAX_INPUTS] = {false}, outputs[OP_MAX_OUTPUTS] = {false};
    for (int i = 0; i < n->inputs && i < c->op->inputs; i++) {
        inputs[i] = n->input[i] >= 0;
    }
    for (int i = 0; i < n->outputs && i < c->op->outputs; i++) {
        outputs[i] = n->output[i] >= 0 && (i == 0 || is_used(&g->value[n->output[i]]));
    }
    const attribute_reader reader = norma_ort_reader_of(n);
    OrtStatus *status = norma_ort_layer_of_op(c->op, &reader, inputs, outputs, l);
    if (status) {
        return status;
    }
    int version = 0;
    if (c->op->kind == LAYER_GROUP_NORM && !c->op->domain[0]) {
        status = norma_ort->Node_GetSinceVersion(n->node, &version);
        if (status) {
            norma_ort_layer_free(l);
            return status;
        }
        l->group_scale = version >= 21 ? SCALE_OF_CHANNELS : SCALE_OF_EITHER;
    }
    memcpy(l->input, c->input, sizeof l->input);
    memcpy(l->output, c->output, sizeof l->output);
    l->residual_after = c->residual_after;
    l->one_plus_scale = c->one_plus_scale;
    if (c->activation != NORMA_IDENTITY) {
        l->activation = c->activation;
        l->activation_alpha = c->activation_alpha;
        l->activation_beta = c->activation_beta;
    }
    for (int i = 0; i < 2; i++) {
        const int value = c->output[OUTPUT_MEAN + i];
        l->stat_dtype[i] = value >= 0 ? g->value[value].dtype : NORMA_F32;
    }
    for (int i = INPUT_SCALE; i < LAYER_INPUTS; i++) {
        if (c->input[i] >= 0) {
            norma_ort_read_constant(&g->value[c->input[i]], &l->known[i]);
            l->known[i].data = NULL; /* the graph's, which does not live as long */
        }
    }
    return NULL;
}

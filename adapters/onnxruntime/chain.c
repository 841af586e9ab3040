#include "chain.h"

#include "node.h"

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

static void join(chain *c, int node)
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

/* Whether norma takes the node as it is: inputs, types, attributes. Shapes show when it runs; the engine itself does not know
 * them after a GroupNormalization. */
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
    OrtStatus *status = norma_ort_chain_layer(g, c, &l);
    if (status) {
        norma_ort->ReleaseStatus(status); /* the engine says what is wrong with it, or does better */
        return false;
    }
    norma_ort_layer_free(&l);
    return true;
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
    join(c, node);
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
    return takes(g, op, n, c);
}

/* ------------------------------------------------------------------------------------------------------------
 * What stands around it
 * ------------------------------------------------------------------------------------------------------------ */

/* Whether a value depends on what the chain computes, so that the chain could not wait for it. Nodes come in topological order.
 */
static bool depends_on_chain(const graph *g, const chain *c, int value, bool *seen, int first)
{
    const int node = g->value[value].producer;
    if (node < first || seen[node]) {
        return false;
    }
    seen[node] = true;
    bool depends = in_chain(c, node);
    for (int i = 0; i < g->node[node].inputs && !depends; i++) {
        const int input = g->node[node].input[i];
        depends = input >= 0 && depends_on_chain(g, c, input, seen, first);
    }
    return depends;
}

static bool is_independent(const graph *g, const chain *c, int value)
{
    int first = c->node[0];
    for (int i = 1; i < c->nodes; i++) {
        first = c->node[i] < first ? c->node[i] : first;
    }
    bool *seen = calloc((size_t)g->nodes + 1, sizeof *seen);
    const bool depends = !seen || depends_on_chain(g, c, value, seen, first);
    free(seen);
    return !depends;
}

/* The node that alone uses a value, -1: there is none, or it is another chain's. */
static int sole_consumer(const graph *g, int value, const bool *taken)
{
    const graph_value *v = &g->value[value];
    const bool sole = v->consumers == 1 && v->listed == 1 && !v->is_output;
    return sole && !taken[v->consumer[0]] ? v->consumer[0] : -1;
}

/* The other operand of a binary node. */
static int other_input(const graph_node *n, int value)
{
    return n->inputs != 2 ? -1 : n->input[0] == value ? n->input[1] : n->input[0];
}

/* s = a + b before a layer or RMS norm of s, in one pass. (Before the others it would be a pass of its own.) */
static void join_sum_before(const graph *g, const bool *taken, chain *c)
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
    c->input[INPUT_X] = n->input[0];
    c->input[INPUT_RESIDUAL] = n->input[1];
    if (g->value[x].consumers > 1 || g->value[x].is_output) {
        c->output[OUTPUT_SUM] = x;
    }
    join(c, add);
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

/* y * scale + shift after a layer norm that has none of its own (an AdaLN's modulation), or either. */
static void join_modulation(const graph *g, const bool *taken, chain *c)
{
    const bool plain = c->op->kind == LAYER_NORM &&
                       (c->input[INPUT_SCALE] < 0 || norma_ort_is_constant_of(&g->value[c->input[INPUT_SCALE]], 1)) &&
                       (c->input[INPUT_SHIFT] < 0 || norma_ort_is_constant_of(&g->value[c->input[INPUT_SHIFT]], 0));
    const int y = c->output[OUTPUT_Y], mul = plain ? sole_consumer(g, y, taken) : -1;
    if (mul < 0 || !norma_ort_is_op(&g->node[mul], "", "Mul")) {
        return;
    }
    const int scale = other_input(&g->node[mul], y);
    if (scale < 0 || scale == y || !fits_rows(&g->value[scale], &g->value[y]) || !is_independent(g, c, scale)) {
        return;
    }
    c->input[INPUT_SCALE] = scale;
    c->input[INPUT_SHIFT] = -1;
    c->output[OUTPUT_Y] = g->node[mul].output[0];
    join(c, mul);
    const int scaled = c->output[OUTPUT_Y], add = sole_consumer(g, scaled, taken);
    if (add < 0 || !norma_ort_is_op(&g->node[add], "", "Add")) {
        return;
    }
    const int shift = other_input(&g->node[add], scaled);
    if (shift >= 0 && shift != scaled && fits_rows(&g->value[shift], &g->value[y]) && is_independent(g, c, shift)) {
        c->input[INPUT_SHIFT] = shift;
        c->output[OUTPUT_Y] = g->node[add].output[0];
        join(c, add);
    }
}

/* y + residual after any norm that has no residual yet. */
static void join_sum_after(const graph *g, const bool *taken, chain *c)
{
    const int y = c->output[OUTPUT_Y], add = sole_consumer(g, y, taken);
    if (add < 0 || c->input[INPUT_RESIDUAL] >= 0 || c->input[INPUT_BIAS] >= 0 || !norma_ort_is_op(&g->node[add], "", "Add")) {
        return;
    }
    const int residual = other_input(&g->node[add], y);
    if (residual < 0 || residual == y || g->value[residual].dtype != g->value[y].dtype ||
        !norma_ort_same_shape(&g->value[residual], &g->value[c->input[INPUT_X]]) || !is_independent(g, c, residual)) {
        return;
    }
    c->input[INPUT_RESIDUAL] = residual;
    c->residual_after = true;
    c->output[OUTPUT_Y] = g->node[add].output[0];
    join(c, add);
}

/* ------------------------------------------------------------------------------------------------------------
 * Activations
 * ------------------------------------------------------------------------------------------------------------ */

static void activate(chain *c, norma_activation activation, double alpha, double beta)
{
    c->activation = activation, c->activation_alpha = alpha, c->activation_beta = beta;
}

/* Clip has its bounds as constant inputs. */
static bool is_clip(const graph *g, const graph_node *n, chain *c)
{
    double least = -__builtin_inf(), most = __builtin_inf();
    bool good = n->inputs > 1; /* before opset 11 they were attributes */
    good = good && (n->input[1] < 0 || norma_ort_read_scalar(&g->value[n->input[1]], &least));
    good = good && (n->inputs < 3 || n->input[2] < 0 || norma_ort_read_scalar(&g->value[n->input[2]], &most));
    if (good && least <= most) {
        activate(c, NORMA_CLIP, least, most);
        return true;
    }
    return false;
}

/* A node that is an activation of its one input. */
static bool is_activation(const graph *g, const graph_node *n, chain *c)
{
    static const struct {
        const char *domain, *op;
        norma_activation activation;
        double alpha, beta; /* ONNX's defaults; NAN: the activation does not have it */
    } known[] = {
        {"", "Relu", NORMA_RELU, 0, 0},
        {"", "LeakyRelu", NORMA_LEAKY_RELU, 0.01F, 0},
        {"", "Elu", NORMA_ELU, 1, 0},
        {"", "Tanh", NORMA_TANH, 0, 0},
        {"", "Sigmoid", NORMA_SIGMOID, 0, 0},
        {"", "HardSigmoid", NORMA_HARD_SIGMOID, 0.2F, 0.5F},
        {"", "HardSwish", NORMA_HARD_SWISH, 1.0 / 6, 0.5},
        {"", "Mish", NORMA_MISH, 0, 0},
        {"", "Gelu", NORMA_GELU, 0, 0},
        {"com.microsoft", "Gelu", NORMA_GELU, 0, 0},
        {"com.microsoft", "FastGelu", NORMA_GELU_TANH, 0, 0},
    };
    if (norma_ort_is_op(n, "com.microsoft", "QuickGelu") && norma_ort_float_of(n, "alpha", 1.702) == 1) {
        activate(c, NORMA_SILU, 0, 0);
        return true;
    }
    if (norma_ort_is_op(n, "", "Clip")) {
        return is_clip(g, n, c);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (n->inputs == 1 && norma_ort_is_op(n, known[i].domain, known[i].op)) {
            activate(c, known[i].activation, known[i].alpha, known[i].beta);
            if (known[i].activation == NORMA_GELU && norma_ort_text_is(n, "approximate", "tanh")) {
                c->activation = NORMA_GELU_TANH;
            }
            const bool has_alpha = known[i].activation == NORMA_LEAKY_RELU || known[i].activation == NORMA_ELU ||
                                   known[i].activation == NORMA_HARD_SIGMOID;
            c->activation_alpha = has_alpha ? norma_ort_float_of(n, "alpha", known[i].alpha) : known[i].alpha;
            c->activation_beta =
                known[i].activation == NORMA_HARD_SIGMOID ? norma_ort_float_of(n, "beta", known[i].beta) : known[i].beta;
            return true;
        }
    }
    return false;
}

/* y * sigmoid(y). */
static bool join_silu(const graph *g, const bool *taken, chain *c)
{
    const int y = c->output[OUTPUT_Y];
    const graph_value *v = &g->value[y];
    if (v->consumers != 2 || v->listed != 2 || v->is_output) {
        return false;
    }
    const int first = v->consumer[0], second = v->consumer[1];
    const int sigmoid = norma_ort_is_op(&g->node[first], "", "Sigmoid") ? first : second,
              mul = sigmoid == first ? second : first;
    const int product = g->node[sigmoid].output[0];
    if (taken[sigmoid] || taken[mul] || !norma_ort_is_op(&g->node[sigmoid], "", "Sigmoid") ||
        !norma_ort_is_op(&g->node[mul], "", "Mul") || sole_consumer(g, product, taken) != mul) {
        return false;
    }
    activate(c, NORMA_SILU, 0, 0);
    c->output[OUTPUT_Y] = g->node[mul].output[0];
    join(c, sigmoid);
    join(c, mul);
    return true;
}

static void join_activation(const graph *g, const bool *taken, chain *c)
{
    if (join_silu(g, taken, c)) {
        return;
    }
    const int y = c->output[OUTPUT_Y], node = sole_consumer(g, y, taken);
    if (node >= 0 && is_activation(g, &g->node[node], c)) {
        c->output[OUTPUT_Y] = g->node[node].output[0];
        join(c, node);
    }
}

/* ------------------------------------------------------------------------------------------------------------
 * All together
 * ------------------------------------------------------------------------------------------------------------ */

bool norma_ort_chain_match(const graph *g, int node, const bool *taken, chain *c)
{
    if (taken[node] || !begin(g, node, c)) {
        return false;
    }
    const bool own_activation = c->op->kind == LAYER_GROUP_NORM && c->op->domain[0];
    join_sum_before(g, taken, c);
    join_modulation(g, taken, c);
    if (!own_activation) {
        join_sum_after(g, taken, c);
        join_activation(g, taken, c);
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
    memcpy(l->input, c->input, sizeof l->input);
    memcpy(l->output, c->output, sizeof l->output);
    l->residual_after = c->residual_after;
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
        }
    }
    return NULL;
}

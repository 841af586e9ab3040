/* Activations after a norm, by their own operators or as the nodes that exporters write. */
#include "chain_join.h"
#include "node.h"

#include <math.h>

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
            if (!isfinite(c->activation_alpha) || !isfinite(c->activation_beta)) {
                activate(c, NORMA_IDENTITY, 0, 0);
                return false;
            }
            return true;
        }
    }
    return false;
}

/* y * sigmoid(y). */
static bool join_silu(const graph *g, const int *taken, chain *c)
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
        !norma_ort_is_op(&g->node[mul], "", "Mul") || norma_ort_sole_consumer(g, product, taken) != mul) {
        return false;
    }
    activate(c, NORMA_SILU, 0, 0);
    c->output[OUTPUT_Y] = g->node[mul].output[0];
    norma_ort_chain_join(c, sigmoid);
    norma_ort_chain_join(c, mul);
    return true;
}

/* y / sqrt(2), or y * sqrt(1/2). */
static bool is_root_half(const graph *g, int node, int y)
{
    return (g->node[node].input[0] == y && norma_ort_is_with_scalar(g, node, "Div", y, M_SQRT2)) ||
           norma_ort_is_with_scalar(g, node, "Mul", y, M_SQRT1_2);
}

/* Of two products that make a * b * 0.5, in any order, the first one and the last; with_a and with_b are those that have a and
 * b. */
static bool find_halved_product(const graph *g, const int *taken, int a, int with_a, int b, int with_b, int products[2])
{
    if (with_a == with_b) {
        const int whole = g->node[with_a].output[0];
        products[0] = with_a;
        products[1] = norma_ort_sole_consumer(g, whole, taken);
        return norma_ort_is_op(&g->node[with_a], "", "Mul") && norma_ort_is_with_scalar(g, products[1], "Mul", whole, 0.5);
    }
    const bool a_first = norma_ort_is_with_scalar(g, with_a, "Mul", a, 0.5);
    products[0] = a_first ? with_a : with_b;
    products[1] = a_first ? with_b : with_a;
    return (a_first || norma_ort_is_with_scalar(g, with_b, "Mul", b, 0.5)) &&
           norma_ort_is_op(&g->node[products[1]], "", "Mul") &&
           norma_ort_sole_consumer(g, g->node[products[0]].output[0], taken) == products[1];
}

/* y * (1 + erf(y / sqrt(2))) * 0.5, as exporters write GELU before opset 20. */
static bool join_erf_gelu(const graph *g, const int *taken, chain *c)
{
    const int y = c->output[OUTPUT_Y];
    const graph_value *v = &g->value[y];
    if (v->consumers != 2 || v->listed != 2 || v->is_output || taken[v->consumer[0]] || taken[v->consumer[1]]) {
        return false;
    }
    const int at = is_root_half(g, v->consumer[0], y) ? 0 : 1, root = v->consumer[at], with_y = v->consumer[1 - at];
    const int erf = is_root_half(g, root, y) ? norma_ort_sole_consumer(g, g->node[root].output[0], taken) : -1;
    if (erf < 0 || !norma_ort_is_op(&g->node[erf], "", "Erf")) {
        return false;
    }
    const int add = norma_ort_sole_consumer(g, g->node[erf].output[0], taken);
    if (add < 0 || !norma_ort_is_with_scalar(g, add, "Add", g->node[erf].output[0], 1)) {
        return false;
    }
    const int sum = g->node[add].output[0], with_sum = norma_ort_sole_consumer(g, sum, taken);
    int products[2];
    if (with_sum < 0 || !find_halved_product(g, taken, y, with_y, sum, with_sum, products)) {
        return false;
    }
    activate(c, NORMA_GELU, 0, 0);
    c->output[OUTPUT_Y] = g->node[products[1]].output[0];
    const int nodes[] = {root, erf, add, products[0], products[1]};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        norma_ort_chain_join(c, nodes[i]);
    }
    return true;
}

void norma_ort_join_activation(const graph *g, const int *taken, chain *c)
{
    if (join_silu(g, taken, c) || join_erf_gelu(g, taken, c)) {
        return;
    }
    const int y = c->output[OUTPUT_Y], node = norma_ort_sole_consumer(g, y, taken);
    if (node >= 0 && is_activation(g, &g->node[node], c)) {
        c->output[OUTPUT_Y] = g->node[node].output[0];
        norma_ort_chain_join(c, node);
    }
}

/* Spectral norm against its formulas in long double, against differences of the forward pass, and against itself. */
#include <math.h>

#include "norma/weights.h"
#include "support/compare.h"
#include "support/element.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/random.h"
#include "support/suite.h"
#include "support/tensors.h"

static const norma_dtype dtypes[] = {NORMA_F32, NORMA_F64, NORMA_BF16, NORMA_F16};

/* A weight, its two vectors and a gradient, as norma has them and as doubles; and what norma makes of them. */
typedef struct spectral_trial {
    norma_spectral_norm_desc desc;
    int64_t outer, slices, inner, height, width, count;
    norma_dtype lanes;
    double *weight, *u, *v, *dw;
    void *weight_, *u_, *v_, *dw_;
    void *w, *grad;
    double sigma;
} spectral_trial;

static spectral_trial *make(norma_spectral_norm_desc desc, double scale, random_state *random)
{
    spectral_trial *t = suite_alloc(1, sizeof *t);
    const int axis = desc.axis < 0 ? desc.axis + desc.rank : desc.axis;
    t->desc = desc;
    t->outer = t->slices = t->inner = 1;
    for (int k = 0; k < desc.rank; k++) {
        *(k < axis ? &t->outer : k == axis ? &t->slices : &t->inner) *= desc.shape[k];
    }
    t->height = t->slices;
    t->width = t->outer * t->inner;
    t->count = t->height * t->width;
    t->lanes = element_statistic(desc.dtype);
    t->weight = random_numbers(desc.dtype, t->count, 0.2 * scale, scale, random);
    t->u = random_numbers(t->lanes, t->height, 0.1, 1 / sqrt((double)t->height), random);
    t->v = random_numbers(t->lanes, t->width, 0.1, 1 / sqrt((double)t->width), random);
    t->dw = random_numbers(desc.dtype, t->count, 0.1, 1, random);
    t->weight_ = tensor_of_numbers(desc.dtype, t->weight, t->count);
    t->u_ = tensor_of_numbers(t->lanes, t->u, t->height);
    t->v_ = tensor_of_numbers(t->lanes, t->v, t->width);
    t->dw_ = tensor_of_numbers(desc.dtype, t->dw, t->count);
    t->w = tensor_of_numbers(desc.dtype, NULL, t->count);
    t->grad = tensor_of_numbers(desc.dtype, NULL, t->count);
    return t;
}

static void destroy(spectral_trial *t)
{
    void *all[] = {t->weight, t->u, t->v, t->dw, t->weight_, t->u_, t->v_, t->dw_, t->w, t->grad, t};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        free(all[i]);
    }
}

/* u and v as they were at first. */
static void rewind_vectors(spectral_trial *t)
{
    for (int64_t i = 0; i < t->height; i++) {
        element_set(t->lanes, t->u_, i, t->u[i]);
    }
    for (int64_t i = 0; i < t->width; i++) {
        element_set(t->lanes, t->v_, i, t->v[i]);
    }
}

static norma_status forward(spectral_trial *t, norma_context *context)
{
    const norma_spectral_norm_args args = {
        .struct_size = sizeof args, .weight = t->weight_, .u = t->u_, .v = t->v_, .w = t->w, .sigma = &t->sigma};
    return norma_spectral_norm(context, &t->desc, &args);
}

static norma_status backward(const spectral_trial *t, norma_context *context)
{
    const norma_spectral_norm_gradients args = {.struct_size = sizeof args,
                                                .grad_w = t->dw_,
                                                .weight = t->weight_,
                                                .u = t->u_,
                                                .v = t->v_,
                                                .sigma = t->sigma,
                                                .grad_weight = t->grad};
    return norma_spectral_norm_backward(context, &t->desc, &args);
}

/* Where W[i, j] lies in the weight. */
static int64_t place(const spectral_trial *t, int64_t i, int64_t j)
{
    return (j / t->inner * t->slices + i) * t->inner + j % t->inner;
}

static long double normalize(const spectral_trial *t, long double *x, int64_t count)
{
    long double norm = 0;
    for (int64_t i = 0; i < count; i++) {
        norm += x[i] * x[i];
    }
    norm = sqrtl(norm);
    for (int64_t i = 0; i < count; i++) {
        x[i] /= fmaxl(norm, t->desc.epsilon);
    }
    return norm;
}

/* W times v into u, or W transposed times u into v. */
static void multiply(const spectral_trial *t, bool transposed, const long double *from, long double *to)
{
    memset(to, 0, (size_t)(transposed ? t->width : t->height) * sizeof *to);
    for (int64_t i = 0; i < t->height; i++) {
        for (int64_t j = 0; j < t->width; j++) {
            to[transposed ? j : i] += t->weight[place(t, i, j)] * from[transposed ? i : j];
        }
    }
}

/* The whole of it, by the formulas. An iteration does not enlarge what rounding did before: it turns the vectors towards one.
 */
static void check_forward(const spectral_trial *t)
{
    long double *u = suite_alloc((size_t)t->height, sizeof *u), *v = suite_alloc((size_t)t->width, sizeof *v);
    long double *wv = suite_alloc((size_t)t->height, sizeof *wv);
    const double unit = t->lanes == NORMA_F64 ? 1e-13 : 2e-6;
    for (int64_t i = 0; i < t->height; i++) {
        u[i] = t->u[i];
    }
    for (int64_t j = 0; j < t->width; j++) {
        v[j] = t->v[j];
    }
    for (int n = 0; n < 2 * t->desc.iterations; n++) {
        const bool to_v = (n % 2 == 0) == (t->desc.order == NORMA_SPECTRAL_V_FIRST);
        multiply(t, to_v, to_v ? u : v, to_v ? v : u);
        normalize(t, to_v ? v : u, to_v ? t->width : t->height);
    }
    multiply(t, false, v, wv);
    long double sigma = 0, scale = 0;
    for (int64_t i = 0; i < t->height; i++) {
        sigma += u[i] * wv[i];
        scale += fabsl(u[i] * wv[i]);
        check(fabsl(element_get(t->lanes, t->u_, i) - u[i]) <= unit);
    }
    for (int64_t j = 0; j < t->width; j++) {
        check(fabsl(element_get(t->lanes, t->v_, j) - v[j]) <= unit);
    }
    check(fabsl(t->sigma - sigma) <= unit * scale);
    for (int64_t k = 0; k < t->count; k++) {
        const long double want = t->weight[k] / sigma;
        const long double step = element_is_narrow(t->desc.dtype) ? 0.51L * element_ulp(t->desc.dtype, (double)want) : 0;
        check(fabsl(element_get(t->desc.dtype, t->w, k) - want) <= step + 2 * unit * (scale / fabsl(sigma)) * fabsl(want));
    }
    free(wv);
    free(v);
    free(u);
}

static void check_backward(const spectral_trial *t)
{
    const double unit = t->lanes == NORMA_F64 ? 1e-13 : 2e-6;
    long double dot = 0, magnitude = 0;
    for (int64_t k = 0; k < t->count; k++) {
        dot += (long double)t->dw[k] * t->weight[k];
        magnitude += fabsl((long double)t->dw[k] * t->weight[k]);
    }
    for (int64_t i = 0; i < t->height; i++) {
        for (int64_t j = 0; j < t->width; j++) {
            const int64_t k = place(t, i, j);
            const long double uv = (long double)element_get(t->lanes, t->u_, i) * element_get(t->lanes, t->v_, j);
            const long double want = (t->dw[k] - dot / t->sigma * uv) / t->sigma;
            const long double slack = (fabs(t->dw[k]) + magnitude / fabs(t->sigma) * fabsl(uv)) / fabs(t->sigma);
            const long double step = element_is_narrow(t->desc.dtype) ? 0.51L * element_ulp(t->desc.dtype, (double)want) : 0;
            check(fabsl(element_get(t->desc.dtype, t->grad, k) - want) <= step + unit * slack);
        }
    }
}

/* Every axis: W as it lies, transposed, copied; of rows of all lengths, of several segments. */
static const struct {
    int rank;
    int64_t shape[4];
    int axis;
} shapes[] = {
    {2, {5, 7}, 0},    {2, {5, 7}, 1},        {2, {40, 130}, 0},    {2, {40, 130}, -1}, {3, {8, 6, 3}, 0}, {3, {8, 6, 3}, 1},
    {3, {8, 6, 3}, 2}, {4, {6, 20, 3, 3}, 1}, {4, {7, 4, 3, 3}, 0}, {2, {300, 33}, 0},  {2, {17, 300}, 1}, {2, {1, 9}, 0},
    {2, {9, 1}, 0},    {2, {1, 1}, 0},        {3, {2, 3, 9}, -2},   {2, {2200, 12}, 0},
};

static norma_spectral_norm_desc desc_at(size_t index, norma_dtype dtype)
{
    return norma_spectral_norm_desc_of(shapes[index].rank, shapes[index].shape, shapes[index].axis, dtype);
}

static void formulas(void **state)
{
    (void)state;
    random_state random = random_begin(1);
    for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(dtypes) * 8; i += SUITE_QUICK ? 5 : 1) {
        const size_t shape = i / COUNT_OF(dtypes) / 8;
        norma_spectral_norm_desc desc = desc_at(shape, dtypes[i / 8 % COUNT_OF(dtypes)]);
        desc.order = i & 1 ? NORMA_SPECTRAL_V_FIRST : NORMA_SPECTRAL_U_FIRST;
        desc.iterations = (int)(i >> 1 & 3);
        desc.epsilon = i % 5 ? 1e-12 : 0.5;
        spectral_trial *t = make(desc, 1, &random);
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            norma_context *context = isa_context(isa, 1, NULL, NULL);
            suite_case("shape %zu, %s, order %d, %d iterations, %s", shape, norma_dtype_name(desc.dtype), (int)desc.order,
                       desc.iterations, norma_isa_name(isa));
            rewind_vectors(t);
            check_success(forward(t, context));
            check_forward(t);
            check_success(backward(t, context));
            check_backward(t);
            norma_context_destroy(context);
        }
        destroy(t);
    }
}

/* W = (3, 0; 4, 0): sigma 5 at once. */
static void by_hand(void **state)
{
    (void)state;
    const double weight[] = {3, 0, 4, 0}, dw[] = {1, 2, 3, 4};
    double u[] = {1, 0}, v[] = {1, 0}, w[4], grad[4], sigma = 0;
    const int64_t shape[] = {2, 2};
    const norma_spectral_norm_desc desc = norma_spectral_norm_desc_of(2, shape, 0, NORMA_F64);
    const norma_spectral_norm_args args = {
        .struct_size = sizeof args, .weight = weight, .u = u, .v = v, .w = w, .sigma = &sigma};
    check_success(norma_spectral_norm(NULL, &desc, &args));
    check(fabs(sigma - 5) < 1e-15 && fabs(u[0] - 0.6) < 1e-15 && fabs(u[1] - 0.8) < 1e-15 && v[0] == 1 && v[1] == 0);
    check(fabs(w[0] - 0.6) < 1e-15 && fabs(w[2] - 0.8) < 1e-15 && w[1] == 0);
    const norma_spectral_norm_gradients gradients = {
        .struct_size = sizeof gradients, .grad_w = dw, .weight = weight, .u = u, .v = v, .sigma = sigma, .grad_weight = grad};
    check_success(norma_spectral_norm_backward(NULL, &desc, &gradients));
    check(fabs(grad[0] - (1 - 3 * 0.6) / 5) < 1e-15 && fabs(grad[2] - (3 - 3 * 0.8) / 5) < 1e-15); /* <dw, W> / sigma = 3 */
    check(fabs(grad[1] - 0.4) < 1e-15 && fabs(grad[3] - 0.8) < 1e-15);
}

/* A diagonal matrix, whose largest singular value is known, from a random start. */
static void finds_the_largest_singular_value(void **state)
{
    (void)state;
    for (int order = NORMA_SPECTRAL_U_FIRST; order <= NORMA_SPECTRAL_V_FIRST; order++) {
        float weight[20 * 30] = {0}, u[20], v[30];
        for (int i = 0; i < 20; i++) {
            weight[i * 30 + i] = (float)(i == 11 ? -9 : i % 5);
        }
        const int64_t shape[] = {20, 30};
        double sigma = 0;
        norma_spectral_norm_desc desc = norma_spectral_norm_desc_of(2, shape, 0, NORMA_F32);
        desc.iterations = 15;
        desc.order = (norma_spectral_order)order;
        const norma_spectral_norm_args args = {.struct_size = sizeof args, .weight = weight, .u = u, .v = v, .sigma = &sigma};
        check_success(norma_spectral_norm_start(NULL, &desc, &args, 5));
        check(fabs(sigma - 9) < 1e-5 && fabs(fabs((double)u[11]) - 1) < 1e-6 && u[11] * v[11] < 0);
        float first = v[0];
        check_success(norma_spectral_norm_start(NULL, &desc, &args, 5));
        check(v[0] == first); /* the seed says all */
        desc.iterations = 0;
        check_success(norma_spectral_norm_start(NULL, &desc, &args, 5));
        first = v[0];
        double norm = 0;
        for (int i = 0; i < 30; i++) {
            norm += (double)v[i] * (double)v[i];
        }
        check(fabs(norm - 1) < 1e-6);
        check_success(norma_spectral_norm_start(NULL, &desc, &args, 6));
        check(v[0] != first);
    }
}

/* The loss is the sum of dw * w with u and v constant: its derivatives by the weight, by central differences. */
static void central_differences(void **state)
{
    (void)state;
    random_state random = random_begin(2);
    for (size_t i = 0; i < 9; i++) {
        spectral_trial *t = make(desc_at(i, NORMA_F64), 1, &random);
        t->desc.iterations = 3;
        check_success(forward(t, NULL));
        check_success(backward(t, NULL));
        t->desc.iterations = 0;
        for (int64_t k = 0; k < t->count; k += 1 + t->count / 15) {
            double *at = (double *)t->weight_ + k, loss[2] = {0, 0};
            const double before = *at, h = 1e-5;
            for (int side = 0; side < 2; side++) {
                *at = before + (side ? h : -h);
                check_success(forward(t, NULL));
                for (int64_t j = 0; j < t->count; j++) {
                    loss[side] += t->dw[j] * ((double *)t->w)[j];
                }
            }
            *at = before;
            const double got = ((double *)t->grad)[k];
            check(fabs((loss[1] - loss[0]) / (2 * h) - got) <= 1e-7 * (1 + fabs(got)));
        }
        destroy(t);
    }
}

/* Same bits for any number of threads, on a caller's pool, on every instruction set with fused multiply-add. */
static void same_bits(void **state)
{
    (void)state;
    random_state random = random_begin(3);
    const int threads[] = {1, 2, 3, 7};
    static const int64_t large[][3] = {{700, 150, 3}, {260, 130, 9}, {3000, 40, 2}};
    for (size_t i = 0; i < COUNT_OF(large) * 3 * 2; i++) {
        norma_spectral_norm_desc desc =
            norma_spectral_norm_desc_of(3, large[i / 6], (int)(i / 2 % 3), dtypes[i % COUNT_OF(dtypes)]);
        desc.order = i % 2 ? NORMA_SPECTRAL_V_FIRST : NORMA_SPECTRAL_U_FIRST;
        desc.iterations = 2;
        spectral_trial *t = make(desc, 1, &random);
        void *first[4] = {NULL};
        const size_t lane = element_size(t->lanes), element = element_size(desc.dtype);
        const size_t bytes[4] = {(size_t)t->height * lane, (size_t)t->width * lane, (size_t)t->count * element,
                                 (size_t)t->count * element};
        void *const results[4] = {t->u_, t->v_, t->w, t->grad};
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            for (size_t k = 0; k < COUNT_OF(threads) && isa_shares_bits(isa); k++) {
                pool p = {.threads = threads[k], .seed = i};
                norma_context *context = isa_context(isa, threads[k], k % 2 && threads[k] > 1 ? pool_parallel_for : NULL, &p);
                suite_case("case %zu, %s, %s, %d threads", i, norma_dtype_name(desc.dtype), norma_isa_name(isa), threads[k]);
                rewind_vectors(t);
                check_success(forward(t, context));
                check_success(backward(t, context));
                for (int r = 0; r < 4; r++) {
                    if (!first[r]) {
                        first[r] = suite_alloc(1, bytes[r]);
                        memcpy(first[r], results[r], bytes[r]);
                    }
                    check(memcmp(first[r], results[r], bytes[r]) == 0);
                }
                norma_context_destroy(context);
            }
        }
        for (int r = 0; r < 4; r++) {
            free(first[r]);
        }
        destroy(t);
    }
}

static void large_and_small(void **state)
{
    (void)state;
    random_state random = random_begin(4);
    const double scales[] = {1e30, 1e-30, 1e20, 1e-20};
    for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(scales) * 2; i += SUITE_QUICK ? 3 : 1) {
        norma_spectral_norm_desc desc = desc_at(i / COUNT_OF(scales) / 2, i / COUNT_OF(shapes) % 2 ? NORMA_BF16 : NORMA_F32);
        desc.order = i % 2 ? NORMA_SPECTRAL_V_FIRST : NORMA_SPECTRAL_U_FIRST;
        desc.iterations = (int)(i % 3);
        desc.epsilon = 0;
        const double scale = scales[i / 2 % COUNT_OF(scales)];
        spectral_trial *t = make(desc, scale, &random);
        suite_case("shape %zu at %g, order %d, %d iterations", i / COUNT_OF(scales) / 2, scale, (int)desc.order,
                   desc.iterations);
        check_success(forward(t, NULL));
        check_forward(t);
        destroy(t);
    }
}

static void zeros(void **state)
{
    (void)state;
    random_state random = random_begin(5);
    for (int order = NORMA_SPECTRAL_U_FIRST; order <= NORMA_SPECTRAL_V_FIRST; order++) {
        spectral_trial *t = make(desc_at(2, NORMA_F32), 1, &random);
        t->desc.order = (norma_spectral_order)order;
        memset(t->weight_, 0, (size_t)t->count * 4);
        memset(t->w, 0x55, (size_t)t->count * 4);
        t->sigma = 7;
        check_refused(forward(t, NULL), NORMA_INVALID_ARGUMENT, "args.weight");
        check(t->sigma == 7 && ((unsigned char *)t->w)[0] == 0x55);
        for (int64_t i = 0; i < t->height; i++) {
            check(((float *)t->u_)[i] == (float)t->u[i]);
        }
        const norma_spectral_norm_args args = {
            .struct_size = sizeof args, .weight = t->weight_, .u = t->u_, .v = t->v_, .sigma = &t->sigma};
        check_success(norma_spectral_norm(NULL, &t->desc, &args)); /* nothing to divide */
        check(t->sigma == 0 && ((float *)t->u_)[0] == 0);
        destroy(t);
    }
}

/* In place, in the caller's workspace, and what is not wanted left out: the same bits. */
static void ways_to_call(void **state)
{
    (void)state;
    random_state random = random_begin(6);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        spectral_trial *t = make(desc_at(i, NORMA_F32), 1, &random);
        suite_case("shape %zu", i);
        check_success(forward(t, NULL));
        check_success(backward(t, NULL));
        void *u = suite_alloc((size_t)t->height, 4);
        memcpy(u, t->u_, (size_t)t->height * 4);
        const double sigma = t->sigma;
        const size_t size = norma_spectral_norm_workspace(&t->desc);
        void *workspace = aligned_alloc(64, (size + 63) / 64 * 64);
        check(size > 0 && workspace);
        memset(workspace, 0xff, size); /* NaN */
        norma_spectral_norm_args args = {
            .struct_size = sizeof args, .weight = t->weight_, .u = t->u_, .v = t->v_, .workspace = workspace};
        rewind_vectors(t);
        check_success(norma_spectral_norm(NULL, &t->desc, &args)); /* neither w nor sigma */
        check(memcmp(u, t->u_, (size_t)t->height * 4) == 0);
        const norma_spectral_norm_gradients gradients = {.struct_size = sizeof gradients,
                                                         .grad_w = t->dw_,
                                                         .weight = t->weight_,
                                                         .u = t->u_,
                                                         .v = t->v_,
                                                         .sigma = sigma,
                                                         .grad_weight = t->dw_};
        check_success(norma_spectral_norm_backward(NULL, &t->desc, &gradients));
        check(memcmp(t->dw_, t->grad, (size_t)t->count * 4) == 0);
        rewind_vectors(t);
        args.w = t->weight_; /* removal */
        args.sigma = &t->sigma;
        check_success(norma_spectral_norm(NULL, &t->desc, &args));
        check(memcmp(t->weight_, t->w, (size_t)t->count * 4) == 0 && t->sigma == sigma);
        free(workspace);
        free(u);
        destroy(t);
    }
}

#define REFUSED_DESC(change, word)                                                                                             \
    do {                                                                                                                       \
        norma_spectral_norm_desc desc = good;                                                                                  \
        change;                                                                                                                \
        check_refused(norma_spectral_norm(NULL, &desc, &args), NORMA_INVALID_ARGUMENT, word);                                  \
        check_refused(norma_spectral_norm_start(NULL, &desc, &args, 1), NORMA_INVALID_ARGUMENT, word);                         \
        check_refused(norma_spectral_norm_backward(NULL, &desc, &gradients), NORMA_INVALID_ARGUMENT, word);                    \
        check(norma_spectral_norm_workspace(&desc) == 0);                                                                      \
    } while (0)

#define REFUSED_ARGS(field, value, word)                                                                                       \
    do {                                                                                                                       \
        norma_spectral_norm_args spoiled = args;                                                                               \
        spoiled.field = value;                                                                                                 \
        check_refused(norma_spectral_norm(NULL, &good, &spoiled), NORMA_INVALID_ARGUMENT, word);                               \
        check_refused(norma_spectral_norm_start(NULL, &good, &spoiled, 1), NORMA_INVALID_ARGUMENT, word);                      \
    } while (0)

#define REFUSED_GRADIENTS(field, value, word)                                                                                  \
    do {                                                                                                                       \
        norma_spectral_norm_gradients spoiled = gradients;                                                                     \
        spoiled.field = value;                                                                                                 \
        check_refused(norma_spectral_norm_backward(NULL, &good, &spoiled), NORMA_INVALID_ARGUMENT, word);                      \
    } while (0)

static void bad_input(void **state)
{
    (void)state;
    _Alignas(64) float weight[6] = {1, 2, 3, 4, 5, 6};
    float u[2] = {1, 0}, v[3] = {1, 0, 0}, w[6] = {9, 9}, dw[6] = {0}, grad[6] = {9, 9};
    double sigma = 9;
    const int64_t shape[] = {2, 3};
    const norma_spectral_norm_desc good = norma_spectral_norm_desc_of(2, shape, 0, NORMA_F32);
    const norma_spectral_norm_args args = {
        .struct_size = sizeof args, .weight = weight, .u = u, .v = v, .w = w, .sigma = &sigma};
    const norma_spectral_norm_gradients gradients = {
        .struct_size = sizeof gradients, .grad_w = dw, .weight = weight, .u = u, .v = v, .sigma = 1, .grad_weight = grad};
    check_refused(norma_spectral_norm(NULL, NULL, &args), NORMA_INVALID_ARGUMENT, "desc");
    check_refused(norma_spectral_norm(NULL, &good, NULL), NORMA_INVALID_ARGUMENT, "args");
    check_refused(norma_spectral_norm_start(NULL, &good, NULL, 1), NORMA_INVALID_ARGUMENT, "args");
    check_refused(norma_spectral_norm_backward(NULL, &good, NULL), NORMA_INVALID_ARGUMENT, "args");
    check(norma_spectral_norm_workspace(NULL) == 0);
    REFUSED_DESC(desc.struct_size = 1, "struct_size");
    REFUSED_DESC(desc.dtype = (norma_dtype)99, "dtype");
    REFUSED_DESC(desc.dtype = NORMA_S8, "dtype");
    REFUSED_DESC(desc.rank = 1, "rank");
    REFUSED_DESC(desc.rank = 9, "rank");
    REFUSED_DESC(desc.shape[1] = 0, "shape[1]");
    REFUSED_DESC(desc.axis = 2, "axis");
    REFUSED_DESC(desc.axis = -3, "axis");
    REFUSED_DESC(desc.order = (norma_spectral_order)3, "order");
    REFUSED_DESC(desc.iterations = -1, "iterations");
    REFUSED_DESC(desc.epsilon = -1, "epsilon");
    REFUSED_DESC(desc.epsilon = NAN, "epsilon");
    REFUSED_ARGS(struct_size, 0, "struct_size");
    REFUSED_ARGS(weight, NULL, "args.weight");
    REFUSED_ARGS(u, NULL, "args.u");
    REFUSED_ARGS(v, NULL, "args.v");
    REFUSED_ARGS(u, v, "overlaps");
    REFUSED_ARGS(w, weight + 1, "overlaps");
    REFUSED_ARGS(workspace, (char *)&sigma + 1, "workspace");
    REFUSED_ARGS(workspace, weight, "overlaps");
    REFUSED_GRADIENTS(struct_size, 0, "struct_size");
    REFUSED_GRADIENTS(grad_w, NULL, "args.grad_w");
    REFUSED_GRADIENTS(grad_weight, NULL, "args.grad_weight");
    REFUSED_GRADIENTS(grad_weight, weight, "overlaps");
    REFUSED_GRADIENTS(sigma, 0, "sigma");
    REFUSED_GRADIENTS(sigma, NAN, "sigma");
    check(w[0] == 9 && sigma == 9 && grad[0] == 9 && u[0] == 1 && v[0] == 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(finds_the_largest_singular_value),
        cmocka_unit_test(central_differences),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(large_and_small),
        cmocka_unit_test(zeros),
        cmocka_unit_test(ways_to_call),
        cmocka_unit_test(bad_input),
    };
    return suite_main("spectral_norm", tests, COUNT_OF(tests), argc, argv);
}

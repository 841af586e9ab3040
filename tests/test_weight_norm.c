/* Weight norm against its formulas in long double, against differences of the forward pass, and against itself. */
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

/* A weight with its gradient, as norma has them and as doubles; and what norma makes of them. */
typedef struct weight_trial {
    norma_weight_norm_desc desc;
    int64_t outer, slices, inner, count;
    norma_dtype scale, statistic;
    double *v, *g, *dw;
    void *v_, *g_, *dw_;
    void *w, *norms, *dv, *dg;
} weight_trial;

static void make_tensors(weight_trial *t)
{
    t->v_ = tensor_of_numbers(t->desc.dtype, t->v, t->count);
    t->g_ = tensor_of_numbers(t->scale, t->g, t->slices);
    t->dw_ = tensor_of_numbers(t->desc.dtype, t->dw, t->count);
    t->w = tensor_of_numbers(t->desc.dtype, NULL, t->count);
    t->norms = tensor_of_numbers(t->statistic, NULL, t->slices);
    t->dv = tensor_of_numbers(t->desc.dtype, NULL, t->count);
    t->dg = tensor_of_numbers(t->scale, NULL, t->slices);
}

static weight_trial *weight_trial_make(norma_weight_norm_desc desc, double scale, random_state *random)
{
    weight_trial *t = suite_alloc(1, sizeof *t);
    const int axis = desc.axis == NORMA_NO_AXIS ? -1 : desc.axis < 0 ? desc.axis + desc.rank : desc.axis;
    t->desc = desc;
    t->outer = t->slices = t->inner = 1;
    for (int k = 0; k < desc.rank; k++) {
        *(k < axis ? &t->outer : k == axis ? &t->slices : &t->inner) *= desc.shape[k];
    }
    t->count = t->outer * t->slices * t->inner;
    t->scale = desc.scale_dtype ? desc.scale_dtype : desc.dtype;
    t->statistic = element_statistic(desc.dtype);
    t->v = random_numbers(desc.dtype, t->count, 0.1 * scale, scale, random);
    t->g = random_numbers(t->scale, t->slices, 1, 0.5, random);
    t->dw = random_numbers(desc.dtype, t->count, 0.1, 1, random);
    make_tensors(t);
    return t;
}

static void weight_trial_destroy(weight_trial *t)
{
    void *all[] = {t->v, t->g, t->dw, t->v_, t->g_, t->dw_, t->w, t->norms, t->dv, t->dg, t};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        free(all[i]);
    }
}

static norma_status forward(const weight_trial *t, norma_context *context)
{
    const norma_weight_norm_args args = {.struct_size = sizeof args, .v = t->v_, .g = t->g_, .w = t->w, .norms = t->norms};
    return norma_weight_norm(context, &t->desc, &args);
}

static norma_status backward(const weight_trial *t, norma_context *context, bool norms)
{
    const norma_weight_norm_gradients args = {.struct_size = sizeof args,
                                              .grad_w = t->dw_,
                                              .v = t->v_,
                                              .g = t->g_,
                                              .norms = norms ? t->norms : NULL,
                                              .grad_v = t->dv,
                                              .grad_g = t->dg};
    return norma_weight_norm_backward(context, &t->desc, &args);
}

/* Where element i of a slice lies. */
static int64_t place(const weight_trial *t, int64_t slice, int64_t i)
{
    return (i / t->inner * t->slices + slice) * t->inner + i % t->inner;
}

/* What rounding to the type may do. */
static long double rounding(const weight_trial *t, long double value)
{
    return element_is_narrow(t->desc.dtype) ? 0.51L * element_ulp(t->desc.dtype, (double)value) : 0;
}

/* Everything against the formulas. The type's own rounding, and f32's of factors and sums: gradients are a difference, so that
 * what counts is the larger of its terms. */
static void check_trial(const weight_trial *t)
{
    const double unit = t->desc.dtype == NORMA_F64 ? 0x1p-53 : 0x1p-24;
    const double scale_step = element_is_narrow(t->scale) ? element_ulp(t->scale, 1) * 0.51 : 4 * unit;
    const int64_t length = t->outer * t->inner;
    for (int64_t slice = 0; slice < t->slices; slice++) {
        long double squares = 0, s = 0, magnitudes = 0;
        for (int64_t i = 0; i < length; i++) {
            const int64_t k = place(t, slice, i);
            squares += (long double)t->v[k] * t->v[k];
            s += (long double)t->v[k] * t->dw[k];
            magnitudes += fabsl((long double)t->v[k] * t->dw[k]);
        }
        const long double n = sqrtl(squares), g = t->g[slice];
        check(fabsl(element_get(t->statistic, t->norms, slice) - n) <= 8 * unit * n);
        check(fabsl(element_get(t->scale, t->dg, slice) - s / n) <= 24 * unit * magnitudes / n + scale_step * fabsl(s / n));
        for (int64_t i = 0; i < length; i++) {
            const int64_t k = place(t, slice, i);
            const long double w = t->v[k] * g / n, a = t->dw[k] * g / n, b = t->v[k] * g * s / (n * n * n);
            const long double slack = fabsl(t->v[k] * g / n) * 24 * unit * (magnitudes / (n * n));
            check(fabsl(element_get(t->desc.dtype, t->w, k) - w) <= rounding(t, w) + 8 * unit * fabsl(w));
            check(fabsl(element_get(t->desc.dtype, t->dv, k) - (a - b)) <=
                  rounding(t, a - b) + 16 * unit * (fabsl(a) + fabsl(b)) + slack);
        }
    }
}

/* Every axis of every kind of weight: rows, planes, columns, groups of columns; short, and longer than a leaf. */
static const struct {
    int rank;
    int64_t shape[4];
    int axis;
} shapes[] = {
    {2, {5, 7}, 0},
    {2, {5, 7}, 1},
    {2, {33, 130}, -1},
    {3, {8, 6, 3}, 0},
    {3, {8, 6, 3}, 1},
    {3, {8, 6, 3}, 2},
    {3, {8, 6, 3}, -3},
    {4, {6, 20, 3, 3}, 1},
    {4, {6, 4, 8, 9}, 1},
    {4, {3, 2, 8, 20}, 1},
    {1, {9}, 0},
    {1, {100}, 0},
    {3, {4, 5, 6}, NORMA_NO_AXIS},
    {2, {3, 20000}, 0},
    {2, {1100, 40}, 1},
    {2, {300, 700}, NORMA_NO_AXIS},
    {3, {2, 3, 9000}, 1},
    {1, {1}, 0},
    {3, {70, 260, 5}, 1},
    {2, {2, 1}, 0},
    {2, {1, 3}, -1},
};

static norma_weight_norm_desc desc_at(size_t index, norma_dtype dtype)
{
    return norma_weight_norm_desc_of(shapes[index].rank, shapes[index].shape, shapes[index].axis, dtype);
}

static void formulas(void **state)
{
    (void)state;
    random_state random = random_begin(1);
    for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(dtypes); i++) {
        norma_weight_norm_desc desc = desc_at(i / COUNT_OF(dtypes), dtypes[i % COUNT_OF(dtypes)]);
        desc.scale_dtype = i % 3 || desc.dtype == NORMA_F64 ? 0 : NORMA_F32;
        desc.zero_norm = (norma_zero_norm)(1 + i % 3);
        weight_trial *t = weight_trial_make(desc, 1, &random);
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            norma_context *context = isa_context(isa, 1, NULL, NULL);
            suite_case("shape %zu, %s, %s", i / COUNT_OF(dtypes), norma_dtype_name(desc.dtype), norma_isa_name(isa));
            check_success(forward(t, context));
            check_success(backward(t, context, i % 2));
            check_trial(t);
            norma_context_destroy(context);
        }
        weight_trial_destroy(t);
    }
}

/* v = (3, 4): ||v|| = 5. */
static void by_hand(void **state)
{
    (void)state;
    const double v[] = {3, 4}, g = 10, dw[] = {1, 2};
    double w[2], n, dv[2], dg;
    const int64_t shape[] = {1, 2};
    const norma_weight_norm_desc desc = norma_weight_norm_desc_of(2, shape, 0, NORMA_F64);
    const norma_weight_norm_args args = {.struct_size = sizeof args, .v = v, .g = &g, .w = w, .norms = &n};
    const norma_weight_norm_gradients gradients = {
        .struct_size = sizeof gradients, .grad_w = dw, .v = v, .g = &g, .norms = &n, .grad_v = dv, .grad_g = &dg};
    check_success(norma_weight_norm(NULL, &desc, &args));
    check(n == 5 && w[0] == 6 && w[1] == 8);
    check_success(norma_weight_norm_backward(NULL, &desc, &gradients));
    check(fabs(dg - 2.2) < 1e-15);                                                       /* s = 11 */
    check(fabs(dv[0] - (2 - 0.88 * 3)) < 1e-14 && fabs(dv[1] - (4 - 0.88 * 4)) < 1e-14); /* g s / n^3 = 0.88 */
}

/* The loss is the sum of dw * w: its derivatives by v and g, by central differences. */
static void central_differences(void **state)
{
    (void)state;
    random_state random = random_begin(2);
    for (size_t i = 0; i < 10; i++) {
        weight_trial *t = weight_trial_make(desc_at(i, NORMA_F64), 1, &random);
        check_success(forward(t, NULL));
        check_success(backward(t, NULL, true));
        for (int64_t k = 0; k < t->slices + t->count; k += 1 + t->count / 20) {
            double *at = k < t->slices ? (double *)t->g_ + k : (double *)t->v_ + (k - t->slices);
            const double got = k < t->slices ? ((double *)t->dg)[k] : ((double *)t->dv)[k - t->slices];
            const double before = *at, h = 1e-5;
            double loss[2] = {0, 0};
            for (int side = 0; side < 2; side++) {
                *at = before + (side ? h : -h);
                check_success(forward(t, NULL));
                for (int64_t j = 0; j < t->count; j++) {
                    loss[side] += t->dw[j] * ((double *)t->w)[j];
                }
            }
            *at = before;
            check(fabs((loss[1] - loss[0]) / (2 * h) - got) <= 1e-7 * (1 + fabs(got)));
        }
        weight_trial_destroy(t);
    }
}

/* Same bits for any number of threads, on a caller's pool, on every instruction set with fused multiply-add, norms given or
 * not. */
static void same_bits(void **state)
{
    (void)state;
    random_state random = random_begin(3);
    const int threads[] = {1, 2, 3, 7};
    for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(dtypes); i += SUITE_QUICK ? 5 : 1) {
        norma_weight_norm_desc desc = desc_at(i / COUNT_OF(dtypes), dtypes[i % COUNT_OF(dtypes)]);
        for (int k = 0; k < desc.rank && desc.shape[0] > 3; k++) { /* larger, so that threads are worth it */
            desc.shape[k] *= desc.shape[k] < 10 ? 3 : 1;
        }
        weight_trial *t = weight_trial_make(desc, 1, &random), first = *t;
        make_tensors(&first);
        bool any = false;
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            for (size_t k = 0; k < COUNT_OF(threads) && isa_shares_bits(isa); k++) {
                pool p = {.threads = threads[k], .seed = i};
                norma_context *context = isa_context(isa, threads[k], k % 2 && threads[k] > 1 ? pool_parallel_for : NULL, &p);
                weight_trial *const into = any ? t : &first;
                suite_case("shape %zu, %s, %s, %d threads", i / COUNT_OF(dtypes), norma_dtype_name(desc.dtype),
                           norma_isa_name(isa), threads[k]);
                check_success(forward(into, context));
                check_success(backward(into, context, i % 2));
                if (any) {
                    check(compare_bits(desc.dtype, t->w, first.w, t->count) < 0);
                    check(compare_bits(desc.dtype, t->dv, first.dv, t->count) < 0);
                    check(compare_bits(t->statistic, t->norms, first.norms, t->slices) < 0);
                    check(compare_bits(t->scale, t->dg, first.dg, t->slices) < 0);
                }
                any = true;
                norma_context_destroy(context);
            }
        }
        void *all[] = {first.v_, first.g_, first.dw_, first.w, first.norms, first.dv, first.dg};
        for (size_t k = 0; k < COUNT_OF(all); k++) {
            free(all[k]);
        }
        weight_trial_destroy(t);
    }
}

static void large_and_small(void **state)
{
    (void)state;
    random_state random = random_begin(4);
    const double scales[] = {1e30, 1e-30};
    for (size_t i = 0; i < COUNT_OF(shapes) * 2; i++) {
        for (int narrow = 0; narrow < 2; narrow++) {
            weight_trial *t = weight_trial_make(desc_at(i / 2, narrow ? NORMA_BF16 : NORMA_F32), scales[i % 2], &random);
            suite_case("shape %zu at %g", i / 2, scales[i % 2]);
            check_success(forward(t, NULL));
            check_success(backward(t, NULL, true));
            check_trial(t);
            weight_trial_destroy(t);
        }
    }
}

static void zeros(void **state)
{
    (void)state;
    random_state random = random_begin(5);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        norma_weight_norm_desc desc = desc_at(i, NORMA_F32);
        weight_trial *t = weight_trial_make(desc, 1, &random);
        const int64_t slice = t->slices / 2, length = t->outer * t->inner;
        for (int64_t k = 0; k < length; k++) {
            ((float *)t->v_)[place(t, slice, k)] = 0;
        }
        suite_case("shape %zu", i);
        memset(t->w, 0x55, (size_t)t->count * 4);
        memset(t->norms, 0x55, (size_t)t->slices * 4);
        char word[40];
        snprintf(word, sizeof word, "slice %lld", (long long)slice);
        check_refused(forward(t, NULL), NORMA_INVALID_ARGUMENT, word);
        check_refused(backward(t, NULL, false), NORMA_INVALID_ARGUMENT, word);
        check(((unsigned char *)t->w)[0] == 0x55 && ((unsigned char *)t->norms)[t->slices * 4 - 1] == 0x55);
        for (int zero = 0; zero < 2; zero++) {
            t->desc.zero_norm = zero ? NORMA_ZERO_NORM_ZERO : NORMA_ZERO_NORM_NAN;
            check_success(forward(t, NULL));
            check_success(backward(t, NULL, zero));
            for (int64_t k = 0; k < length * t->slices; k++) {
                const bool in = k / t->inner % t->slices == slice;
                const float w = ((float *)t->w)[k], dv = ((float *)t->dv)[k];
                check(in ? zero ? w == 0 && dv == 0 : isnan(w) && isnan(dv) : isfinite(w) && isfinite(dv));
            }
            const float dg = ((float *)t->dg)[slice];
            check(((float *)t->norms)[slice] == 0 && (zero ? dg == 0 : isnan(dg)));
        }
        t->desc.zero_norm = NORMA_ZERO_NORM_ERROR; /* by the norms, which are given */
        check_refused(backward(t, NULL, true), NORMA_INVALID_ARGUMENT, word);
        weight_trial_destroy(t);
    }
}

/* Removal: the weight takes the place of v. And what is not wanted is not computed. */
static void in_place(void **state)
{
    (void)state;
    random_state random = random_begin(6);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        weight_trial *t = weight_trial_make(desc_at(i, NORMA_F32), 1, &random);
        suite_case("shape %zu", i);
        check_success(forward(t, NULL));
        check_success(backward(t, NULL, true));
        norma_weight_norm_gradients gradients = {
            .struct_size = sizeof gradients, .grad_w = t->dw_, .v = t->v_, .g = t->g_, .grad_v = t->dw_};
        float *dg = suite_alloc((size_t)t->slices, sizeof *dg);
        gradients.grad_g = dg;
        gradients.grad_v = NULL;
        gradients.norms = t->norms;
        check_success(norma_weight_norm_backward(NULL, &t->desc, &gradients));
        check(compare_bits(NORMA_F32, dg, t->dg, t->slices) < 0);
        gradients.grad_g = NULL;
        gradients.grad_v = t->dw_;
        check_success(norma_weight_norm_backward(NULL, &t->desc, &gradients));
        check(compare_bits(NORMA_F32, t->dw_, t->dv, t->count) < 0);
        const norma_weight_norm_args args = {.struct_size = sizeof args, .v = t->v_, .g = t->g_, .w = t->v_};
        check_success(norma_weight_norm(NULL, &t->desc, &args));
        check(compare_bits(NORMA_F32, t->v_, t->w, t->count) < 0);
        free(dg);
        weight_trial_destroy(t);
    }
}

#define REFUSED_DESC(change, word)                                                                                             \
    do {                                                                                                                       \
        norma_weight_norm_desc desc = good;                                                                                    \
        change;                                                                                                                \
        check_refused(norma_weight_norm(NULL, &desc, &args), NORMA_INVALID_ARGUMENT, word);                                    \
        check_refused(norma_weight_norm_backward(NULL, &desc, &gradients), NORMA_INVALID_ARGUMENT, word);                      \
    } while (0)

#define REFUSED_ARGS(field, value, word)                                                                                       \
    do {                                                                                                                       \
        norma_weight_norm_args spoiled = args;                                                                                 \
        spoiled.field = value;                                                                                                 \
        check_refused(norma_weight_norm(NULL, &good, &spoiled), NORMA_INVALID_ARGUMENT, word);                                 \
    } while (0)

#define REFUSED_GRADIENTS(field, value, word)                                                                                  \
    do {                                                                                                                       \
        norma_weight_norm_gradients spoiled = gradients;                                                                       \
        spoiled.field = value;                                                                                                 \
        check_refused(norma_weight_norm_backward(NULL, &good, &spoiled), NORMA_INVALID_ARGUMENT, word);                        \
    } while (0)

static void bad_input(void **state)
{
    (void)state;
    float v[6] = {1, 2, 3, 4, 5, 6}, g[2] = {1, 1}, dw[6] = {0}, w[6] = {9, 9}, n[2] = {5, 5}, dg[2] = {9, 9}, dv[6] = {9, 9};
    const int64_t shape[] = {2, 3};
    const norma_weight_norm_desc good = norma_weight_norm_desc_of(2, shape, 0, NORMA_F32);
    const norma_weight_norm_args args = {.struct_size = sizeof args, .v = v, .g = g, .w = w, .norms = n};
    const norma_weight_norm_gradients gradients = {
        .struct_size = sizeof gradients, .grad_w = dw, .v = v, .g = g, .norms = n, .grad_v = dv, .grad_g = dg};
    check_refused(norma_weight_norm(NULL, NULL, &args), NORMA_INVALID_ARGUMENT, "desc");
    check_refused(norma_weight_norm(NULL, &good, NULL), NORMA_INVALID_ARGUMENT, "args");
    check_refused(norma_weight_norm_backward(NULL, &good, NULL), NORMA_INVALID_ARGUMENT, "args");
    REFUSED_DESC(desc.struct_size = 1, "struct_size");
    REFUSED_DESC(desc.dtype = (norma_dtype)99, "dtype");
    REFUSED_DESC(desc.dtype = NORMA_S8, "dtype");
    REFUSED_DESC(desc.scale_dtype = NORMA_F64, "scale_dtype");
    REFUSED_DESC(desc.rank = 0, "rank");
    REFUSED_DESC(desc.rank = 9, "rank");
    REFUSED_DESC(desc.shape[1] = 0, "shape[1]");
    REFUSED_DESC((desc.shape[0] = INT64_MAX / 2, desc.shape[1] = 8), "overflow");
    REFUSED_DESC(desc.axis = 2, "axis");
    REFUSED_DESC(desc.axis = -3, "axis");
    REFUSED_DESC(desc.zero_norm = (norma_zero_norm)0, "zero_norm");
    REFUSED_ARGS(struct_size, 0, "struct_size");
    REFUSED_ARGS(v, NULL, "args.v");
    REFUSED_ARGS(g, NULL, "args.g");
    REFUSED_ARGS(w, NULL, "args.w");
    REFUSED_ARGS(w, v + 1, "overlaps");
    REFUSED_ARGS(norms, g, "overlaps");
    REFUSED_ARGS(norms, (char *)n + 1, "aligned");
    REFUSED_GRADIENTS(struct_size, 0, "struct_size");
    REFUSED_GRADIENTS(grad_w, NULL, "args.grad_w");
    REFUSED_GRADIENTS(v, NULL, "args.v");
    REFUSED_GRADIENTS(grad_v, v, "overlaps");
    REFUSED_GRADIENTS(grad_g, g, "overlaps");
    check(w[0] == 9 && n[0] == 5 && dg[0] == 9 && dv[0] == 9);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),  cmocka_unit_test(by_hand),         cmocka_unit_test(central_differences),
        cmocka_unit_test(same_bits), cmocka_unit_test(large_and_small), cmocka_unit_test(zeros),
        cmocka_unit_test(in_place),  cmocka_unit_test(bad_input),
    };
    return suite_main("weight_norm", tests, COUNT_OF(tests), argc, argv);
}

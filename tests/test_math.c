/* The functions of template/math.h on each instruction set: special values, sampled floats against double, and the same bits
 * wherever there is FMA. walk_math goes through all floats. */
#include <float.h>
#include <math.h>

#include "math/functions.h"
#include "support/compare.h"
#include "support/isa.h"
#include "support/suite.h"

enum { BLOCK = 4096, ACCURACY_STEP = SUITE_QUICK ? 65521 : 4093, SAMENESS_STEP = 65521 };

typedef struct special {
    int function;
    float x;
    float y;
} special;

static const special specials[] = {
    {MATH_exp, -INFINITY, 0},
    {MATH_exp, -FLT_MAX, 0},
    {MATH_exp, -104, 0},
    {MATH_exp, -0.0f, 1},
    {MATH_exp, 0, 1},
    {MATH_exp, FLT_TRUE_MIN, 1},
    {MATH_exp, 88.75f, INFINITY},
    {MATH_exp, FLT_MAX, INFINITY},
    {MATH_exp, INFINITY, INFINITY},
    {MATH_sigmoid, -INFINITY, 0},
    {MATH_sigmoid, -FLT_MAX, 0},
    {MATH_sigmoid, -0.0f, 0.5f},
    {MATH_sigmoid, 0, 0.5f},
    {MATH_sigmoid, FLT_MAX, 1},
    {MATH_sigmoid, INFINITY, 1},
    {MATH_silu, -INFINITY, -0.0f},
    {MATH_silu, -FLT_MAX, -0.0f},
    {MATH_silu, -0.0f, -0.0f},
    {MATH_silu, 0, 0},
    {MATH_silu, FLT_MAX, FLT_MAX},
    {MATH_silu, INFINITY, INFINITY},
    {MATH_tanh, -INFINITY, -1},
    {MATH_tanh, -FLT_MAX, -1},
    {MATH_tanh, -FLT_TRUE_MIN, -FLT_TRUE_MIN},
    {MATH_tanh, -0.0f, -0.0f},
    {MATH_tanh, 0, 0},
    {MATH_tanh, FLT_TRUE_MIN, FLT_TRUE_MIN},
    {MATH_tanh, FLT_MIN, FLT_MIN},
    {MATH_tanh, FLT_MAX, 1},
    {MATH_tanh, INFINITY, 1},
    {MATH_gelu_tanh, -INFINITY, -0.0f},
    {MATH_gelu_tanh, -FLT_MAX, -0.0f},
    {MATH_gelu_tanh, -0.0f, -0.0f},
    {MATH_gelu_tanh, 0, 0},
    {MATH_gelu_tanh, FLT_MAX, FLT_MAX},
    {MATH_gelu_tanh, INFINITY, INFINITY},
    {MATH_gelu, -INFINITY, 0},
    {MATH_gelu, -FLT_MAX, 0},
    {MATH_gelu, -0.0f, -0.0f},
    {MATH_gelu, 0, 0},
    {MATH_gelu, FLT_MAX, FLT_MAX},
    {MATH_gelu, INFINITY, INFINITY},
    {MATH_mish, -INFINITY, -0.0f},
    {MATH_mish, -FLT_MAX, -0.0f},
    {MATH_mish, -0.0f, -0.0f},
    {MATH_mish, 0, 0},
    {MATH_mish, FLT_MAX, FLT_MAX},
    {MATH_mish, INFINITY, INFINITY},
    {MATH_elu, -INFINITY, -1},
    {MATH_elu, -FLT_MAX, -1},
    {MATH_elu, -FLT_TRUE_MIN, -FLT_TRUE_MIN},
    {MATH_elu, -0.0f, -0.0f},
    {MATH_elu, 0, 0},
    {MATH_elu, INFINITY, INFINITY},
};

static void check_specials(const math_function *functions)
{
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7fffffff, 0xffc12345};
    for (size_t i = 0; i < COUNT_OF(specials); i++) {
        const special s = specials[i];
        float y;
        functions[s.function].run(&s.x, &y, 1);
        if (compare_bits(NORMA_F32, &y, &s.y, 1) >= 0) {
            suite_fail("%s(%a) is %a, expected %a", functions[s.function].name, (double)s.x, (double)y, (double)s.y);
        }
    }
    for (int f = 0; f < MATH_FUNCTIONS; f++) {
        for (size_t i = 0; i < COUNT_OF(nans); i++) {
            const float x = math_float_of(nans[i]);
            float y;
            functions[f].run(&x, &y, 1);
            if (!isnan(y)) {
                suite_fail("%s(NaN) is %a", functions[f].name, (double)y);
            }
        }
    }
}

/* Every step-th float from the first-th on, and what a function makes of them; returns how many there are, 0 after the last. */
typedef struct sample {
    uint64_t next;
    float x[BLOCK];
    float y[BLOCK];
} sample;

static size_t sample_run(sample *s, math_run *run, uint32_t step)
{
    size_t count = 0;
    for (; count < BLOCK && s->next <= UINT32_MAX; s->next += step) {
        s->x[count++] = math_float_of((uint32_t)s->next);
    }
    run(s->x, s->y, count);
    return count;
}

static void check_accuracy(int f, norma_isa isa)
{
    static sample s;
    s.next = 0;
    const math_function *function = &math_functions(isa)[f];
    for (size_t count; (count = sample_run(&s, function->run, ACCURACY_STEP)) > 0;) {
        for (size_t i = 0; i < count; i++) {
            const double want = math_wanted_of[f].exact((double)s.x[i]), error = math_error(s.y[i], want);
            if (!(error <= math_bound(f, isa, s.x[i]))) {
                suite_fail("%s(%a) is %a, expected %a: %.3f ulp", function->name, (double)s.x[i], (double)s.y[i], want, error);
            }
        }
    }
}

/* FNV-1a over the bits of results; all NaN are one. */
static void check_checksum(int f, norma_isa isa)
{
    static sample s;
    s.next = 1;
    const math_function *function = &math_functions(isa)[f];
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t count; (count = sample_run(&s, function->run, SAMENESS_STEP)) > 0;) {
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &s.y[i], sizeof bits);
            sum = (sum ^ (isnan(s.y[i]) ? 0x7fc00000 : bits)) * UINT64_C(0x100000001b3);
        }
    }
    if (sum != math_wanted_of[f].checksum) {
        suite_fail("%s on %s: the checksum is %#llx, expected %#llx", function->name, norma_isa_name(isa),
                   (unsigned long long)sum, (unsigned long long)math_wanted_of[f].checksum);
    }
}

static void run_on(norma_isa isa)
{
    if (!isa_on_cpu(isa)) {
        suite_skip("%s skipped (this CPU lacks it)", norma_isa_name(isa));
    }
    const math_function *functions = math_functions(isa);
    check(functions);
    check_specials(functions);
    for (int f = 0; f < MATH_FUNCTIONS; f++) {
        suite_case("%s on %s", functions[f].name, norma_isa_name(isa));
        check_accuracy(f, isa);
        if (isa_shares_bits(isa)) {
            check_checksum(f, isa);
        }
    }
}

static void on_generic(void **state)
{
    (void)state;
    run_on(NORMA_ISA_GENERIC);
}

static void on_avx2(void **state)
{
    (void)state;
    run_on(NORMA_ISA_AVX2);
}

static void on_avx512(void **state)
{
    (void)state;
    run_on(NORMA_ISA_AVX512);
}

static void on_neon(void **state)
{
    (void)state;
    run_on(NORMA_ISA_NEON);
}

static void check_same(int f, norma_isa a, norma_isa b)
{
    static sample s, t;
    s.next = t.next = 2;
    for (size_t count; (count = sample_run(&s, math_functions(a)[f].run, ACCURACY_STEP)) > 0;) {
        sample_run(&t, math_functions(b)[f].run, ACCURACY_STEP);
        const int64_t i = compare_bits(NORMA_F32, s.y, t.y, (int64_t)count);
        if (i >= 0) {
            suite_fail("%s(%a) is %a on %s, %a on %s", math_functions(a)[f].name, (double)s.x[i], (double)s.y[i],
                       norma_isa_name(a), (double)t.y[i], norma_isa_name(b));
        }
    }
}

/* On all instruction sets with FMA that this machine has. */
static void same_bits(void **state)
{
    (void)state;
    norma_isa first = 0;
    int compared = 0;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        if (!isa_shares_bits(isa)) {
            continue;
        }
        if (!first) {
            first = isa;
            continue;
        }
        for (int f = 0; f < MATH_FUNCTIONS; f++) {
            check_same(f, first, isa);
        }
        compared++;
    }
    if (compared == 0) {
        suite_skip("skipped: this CPU has no two instruction sets with FMA");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_generic), cmocka_unit_test(on_avx2),   cmocka_unit_test(on_avx512),
        cmocka_unit_test(on_neon),    cmocka_unit_test(same_bits),
    };
    return suite_main("math", tests, COUNT_OF(tests), argc, argv);
}

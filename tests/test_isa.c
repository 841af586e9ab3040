/* The public API once per instruction set, with proof that this one ran; and that norma finds what the machine has. */
#include "support/cases.h"
#include "support/isa.h"
#include "support/suite.h"

static void run_on(norma_isa isa)
{
    if (!isa_on_cpu(isa)) {
        suite_skip("%s skipped (this CPU lacks it)", norma_isa_name(isa));
    }
    norma_context *context = isa_context(isa, 1, NULL, NULL); /* checks what the context says */
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        random_state random = random_begin(i);
        trial *t = trial_create(&c.desc, c.inputs, &random);
        norma_plan *plan;
        char text[512];
        suite_case("%s on %s", c.name, norma_isa_name(isa));
        check_success(norma_plan_create(&plan, context, &c.desc));
        norma_plan_describe(plan, text, sizeof text);
        for (norma_isa other = NORMA_ISA_GENERIC; other <= NORMA_ISA_NEON; other++) {
            if (!strstr(text, norma_isa_name(other)) != (other != isa)) {
                suite_fail("expected %s alone in the plan: %s", norma_isa_name(isa), text);
            }
        }
        const trial_spot spot = {GUARD_START, 1, false};
        trial_place(t, spot);
        check_success(norma_run(plan, &t->args));
        trial_check(t, trial_tolerance(t));
        norma_plan_destroy(plan);
        trial_destroy(t);
    }
    norma_context_destroy(context);
    printf("%s run\n", norma_isa_name(isa));
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

/* The compiler's run-time detection and norma's agree. */
static void detection_equals_the_compiler_s(void **state)
{
    (void)state;
    norma_isa best = NORMA_ISA_GENERIC;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        best = isa;
    }
    norma_cpu_info info = {.struct_size = sizeof info};
    check_success(norma_get_cpu_info(&info));
    if (info.isa != best) {
        suite_fail("the compiler finds %s, norma %s", norma_isa_name(best), norma_isa_name(info.isa));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_generic),
        cmocka_unit_test(on_avx2),
        cmocka_unit_test(on_avx512),
        cmocka_unit_test(on_neon),
        cmocka_unit_test(detection_equals_the_compiler_s),
    };
    return suite_main("isa", tests, COUNT_OF(tests), argc, argv);
}

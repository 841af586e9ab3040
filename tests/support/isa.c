#include "support/isa.h"

#include "support/suite.h"

bool isa_on_cpu(norma_isa isa)
{
    switch (isa) {
    case NORMA_ISA_GENERIC:
        return true;
#if defined(__x86_64__)
    case NORMA_ISA_AVX2:
        __builtin_cpu_init();
#ifndef __clang__ /* does not know the word */
        if (!__builtin_cpu_supports("f16c")) {
            return false;
        }
#endif
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case NORMA_ISA_AVX512:
        return isa_on_cpu(NORMA_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case NORMA_ISA_AVX512_BF16:
        return isa_on_cpu(NORMA_ISA_AVX512) && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
    case NORMA_ISA_NEON:
        return true; /* part of the base architecture */
#endif
    default:
        return false;
    }
}

norma_isa isa_next(norma_isa isa)
{
    do {
        isa++;
    } while (isa <= NORMA_ISA_NEON && !isa_on_cpu(isa));
    return isa <= NORMA_ISA_NEON ? isa : (norma_isa)0;
}

bool isa_shares_bits(norma_isa isa)
{
    return isa > NORMA_ISA_GENERIC && isa <= NORMA_ISA_NEON;
}

norma_context *isa_context(norma_isa isa, int threads, norma_parallel_for parallel_for, void *pool)
{
    const norma_context_options options = {
        .struct_size = sizeof options, .threads = threads, .isa = isa, .parallel_for = parallel_for, .pool = pool};
    norma_context *context;
    check_success(norma_context_create(&context, &options));
    norma_context_info info = {.struct_size = sizeof info};
    check_success(norma_context_get_info(context, &info));
    check(info.isa == isa);
    check(info.threads == threads);
    return context;
}

void isa_run(trial *t, norma_context *context)
{
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &t->desc));
    check_success(norma_run(plan, &t->args));
    norma_plan_destroy(plan);
}

void isa_run_serial(trial *t, norma_isa isa)
{
    norma_context *context = isa_context(isa, 1, NULL, NULL);
    isa_run(t, context);
    norma_context_destroy(context);
}

void isa_run_args(norma_isa isa, const norma_desc *desc, norma_args args)
{
    norma_context *context = isa_context(isa, 1, NULL, NULL);
    norma_plan *plan;
    args.struct_size = sizeof args;
    check_success(norma_plan_create(&plan, context, desc));
    check_success(norma_run(plan, &args));
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

void isa_check_each(trial *t)
{
    const trial_spot spot = {GUARD_END, 0, false};
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        suite_case("%s %s on %s, %lld sets of %lld, N(%g, %g), epsilon %g", norma_op_name(t->desc.op),
                   norma_dtype_name(t->desc.dtype), norma_isa_name(isa), (long long)t->want->sets, (long long)t->want->length,
                   t->inputs.offset, t->inputs.spread, t->desc.epsilon);
        trial_place(t, spot);
        isa_run_serial(t, isa);
        trial_check(t, trial_tolerance(t));
    }
}

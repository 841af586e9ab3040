/* The library itself through its public API: with every default ("fused"), or held to one instruction set. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

typedef struct norma_state {
    norma_context *context;
    norma_plan *plan;
    norma_args args;
    norma_backward_args back; /* where the problem goes back */
    void *room[5];            /* for what that takes and gives beside the problem's tensors */
} norma_state;

/* A context of that instruction set, or NULL when the machine (or NORMA_ISA) has settled on another. */
static norma_context *context_for(norma_isa isa, const char *tuning, int threads, norma_isa *settled)
{
    const norma_context_options options = {.struct_size = sizeof options, .threads = threads, .isa = isa, .tuning = tuning};
    norma_context *context = NULL;
    if (norma_context_create(&context, &options) != NORMA_SUCCESS) {
        return NULL;
    }
    norma_context_info info = {.struct_size = sizeof info};
    if (norma_context_get_info(context, &info) != NORMA_SUCCESS || (isa != NORMA_ISA_BEST && info.isa != isa)) {
        norma_context_destroy(context);
        return NULL;
    }
    *settled = info.isa;
    return context;
}

norma_isa bench_isa(void)
{
    norma_isa isa = NORMA_ISA_GENERIC;
    norma_context_destroy(context_for(NORMA_ISA_BEST, "off", 1, &isa));
    return isa;
}

bool bench_norma_exists(const bench_path *path, const bench_problem *problem)
{
    (void)problem;
    norma_isa isa;
    norma_context *context = context_for((norma_isa)path->argument, "off", 1, &isa);
    norma_context_destroy(context);
    return context != NULL || path->argument == NORMA_ISA_BEST;
}

/* Whether a plan with every default would run the same way: what is left of its description without where that comes from. */
static bool runs_alike(const norma_state *s, const bench_problem *problem, int threads)
{
    char own[1024], other[1024] = "";
    norma_isa isa;
    norma_context *context = context_for(NORMA_ISA_BEST, NULL, threads, &isa);
    norma_plan *plan = NULL;
    if (context && norma_plan_create(&plan, context, &problem->desc) == NORMA_SUCCESS) {
        norma_plan_describe(plan, other, sizeof other);
        norma_plan_destroy(plan);
    }
    norma_context_destroy(context);
    norma_plan_describe(s->plan, own, sizeof own);
    const char *end = strstr(own, ", tuning ");
    return end && strncmp(own, other, (size_t)(end - own)) == 0;
}

/* The way back: a forward run leaves its statistics. */
static bool prepare_backward(norma_state *s, const bench_problem *problem, const bench_tensors *tensors)
{
    const norma_desc *desc = &problem->desc;
    const bool by_channel = desc->op >= NORMA_BATCH_NORM;
    const int64_t count = by_channel ? desc->shape[desc->layout == NORMA_NHWC ? 2 : 1] : problem->sets.length;
    const size_t parameters = (size_t)count * problem->lane_size + 64;
    const size_t statistics = (size_t)problem->sets.count * problem->lane_size + 64;
    const size_t bytes[] = {statistics, statistics, parameters, parameters, norma_backward_workspace(s->plan) + 64};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        s->room[i] = aligned_alloc(64, (bytes[i] + 63) / 64 * 64);
        if (!s->room[i]) {
            return false;
        }
    }
    const norma_op op = desc->op;
    const bool centered = op != NORMA_RMS_NORM && op != NORMA_LP_NORM;
    norma_args forward = s->args;
    forward.residual = NULL;
    forward.mean = centered && !problem->given ? s->room[0] : NULL;
    forward.rstd = problem->given ? NULL : s->room[1];
    const norma_backward_args back = {.struct_size = sizeof back,
                                      .x = tensors->x,
                                      .dy = tensors->residual,
                                      .dx = tensors->y,
                                      .dscale = op != NORMA_LP_NORM && op != NORMA_MVN ? s->room[2] : NULL,
                                      .dshift = centered && op != NORMA_MVN ? s->room[3] : NULL,
                                      .scale = s->args.scale,
                                      .mean = forward.mean,
                                      .rstd = forward.rstd,
                                      .given_mean = s->args.given_mean,
                                      .given_variance = s->args.given_variance,
                                      .workspace = s->room[4]};
    s->back = back;
    return norma_run(s->plan, &forward) == NORMA_SUCCESS;
}

bench_ready bench_norma_prepare(void **state, const bench_path *path, const bench_problem *problem,
                                const bench_tensors *tensors, int threads, char *label, char *sentence)
{
    norma_state *s = calloc(1, sizeof *s);
    norma_isa isa = NORMA_ISA_BEST;
    *state = s;
    if (!s) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory");
        return BENCH_BROKEN;
    }
    s->context = context_for((norma_isa)path->argument, path->tuning, threads, &isa);
    if (!s->context || norma_plan_create(&s->plan, s->context, &problem->desc) != NORMA_SUCCESS) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "%s", norma_last_error());
        return BENCH_BROKEN;
    }
    if (path->tuning && runs_alike(s, problem, threads)) {
        return BENCH_ABSENT;
    }
    s->args.struct_size = sizeof s->args;
    const bool rows = problem->desc.quantization == NORMA_QUANTIZATION_PER_ROW;
    s->args.x = tensors->x;
    s->args.y = tensors->y;
    s->args.scale = problem->scale ? tensors->scale : NULL;
    s->args.shift = problem->shift ? tensors->shift : NULL;
    s->args.given_mean = problem->given ? tensors->mean : NULL;
    s->args.given_variance = problem->given ? tensors->variance : NULL;
    s->args.residual = tensors->residual;
    s->args.residual_gate = tensors->residual_gate;
    s->args.modulation_scale = tensors->modulation_scale;
    s->args.modulation_shift = tensors->modulation_shift;
    s->args.gate = tensors->gate;
    s->args.y_scale = tensors->y_scale;
    s->args.y_zero_point = problem->spec.y_dtype == NORMA_U8 && rows ? tensors->y_zero_point : NULL;
    s->args.sum = problem->desc.residual == NORMA_RESIDUAL_BEFORE ? tensors->sum : NULL;
    if (problem->backward && !prepare_backward(s, problem, tensors)) {
        snprintf(sentence, BENCH_SENTENCE_MAX, "out of memory, or %s", norma_last_error());
        return BENCH_BROKEN;
    }
    if (path->argument == NORMA_ISA_BEST) {
        snprintf(label, BENCH_SENTENCE_MAX, "%s", norma_isa_name(isa));
    }
    return BENCH_READY;
}

bool bench_norma_run(void *state)
{
    const norma_state *s = state;
    return (s->back.x ? norma_backward(s->plan, &s->back) : norma_run(s->plan, &s->args)) == NORMA_SUCCESS;
}

void bench_norma_release(void *state)
{
    norma_state *s = state;
    if (s) {
        for (size_t i = 0; i < sizeof s->room / sizeof *s->room; i++) {
            free(s->room[i]);
        }
        norma_plan_destroy(s->plan);
        norma_context_destroy(s->context);
        free(s);
    }
}

#include "context.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "error.h"

/* An environment variable's text; NULL when unset or empty. */
static const char *setting(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

static norma_status parse_isa(const char *text, norma_isa *isa)
{
    for (norma_isa known = NORMA_ISA_GENERIC; known <= NORMA_ISA_NEON; known++) {
        if (strcmp(text, norma_isa_name(known)) == 0) {
            *isa = known;
            return NORMA_SUCCESS;
        }
    }
    return norma_fail(NORMA_INVALID_ARGUMENT, "NORMA_ISA: expected generic, avx2, avx512, avx512_bf16 or neon, got '%.40s'",
                      text);
}

/* Lowers context->isa to `cap`, which `source` asks for. */
static norma_status lower_isa(norma_context *context, norma_isa cap, const char *source)
{
    const int level = norma_isa_level(cap);
    if (level == 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT,
                          "%s: %s is not an instruction set of this architecture, whose best here is %s", source,
                          norma_isa_name(cap), norma_isa_name(norma_cpu()->isa));
    }
    if (level < norma_isa_level(context->isa)) {
        context->isa = cap;
        snprintf(context->isa_reason, sizeof context->isa_reason, "lowered by %s from %s", source,
                 norma_isa_name(norma_cpu()->isa));
    } else if (level > norma_isa_level(norma_cpu()->isa) && context->isa == norma_cpu()->isa) {
        snprintf(context->isa_reason, sizeof context->isa_reason, "%s asks for %s, which this machine lacks", source,
                 norma_isa_name(cap));
    }
    return NORMA_SUCCESS;
}

static norma_status choose_isa(norma_context *context, norma_isa wanted)
{
    context->isa = norma_cpu()->isa;
    snprintf(context->isa_reason, sizeof context->isa_reason, "the best that CPU and operating system run");
    if (wanted < NORMA_ISA_BEST || wanted > NORMA_ISA_NEON) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "options.isa: expected a norma_isa, got %d", (int)wanted);
    }
    norma_status status = NORMA_SUCCESS;
    if (wanted != NORMA_ISA_BEST) {
        status = lower_isa(context, wanted, "options.isa");
    }
    const char *text = setting("NORMA_ISA");
    if (status == NORMA_SUCCESS && text) {
        norma_isa isa = NORMA_ISA_BEST;
        status = parse_isa(text, &isa);
        if (status == NORMA_SUCCESS) {
            status = lower_isa(context, isa, "NORMA_ISA");
        }
    }
    return status;
}

static norma_status choose_threads(norma_context *context, const norma_context_options *options)
{
    if (options->threads < 0 || options->threads > NORMA_THREADS_MAX) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "options.threads: expected 0 to %d, got %d", NORMA_THREADS_MAX,
                          options->threads);
    }
    context->parallel.loop = options->parallel_for;
    context->parallel.pool = options->pool;
    context->parallel.threads = options->threads;
    const char *text = setting("NORMA_NUM_THREADS");
    if (text) {
        char *end;
        errno = 0;
        const long count = strtol(text, &end, 10);
        if (!isdigit((unsigned char)*text) || errno || *end || count < 1 || count > NORMA_THREADS_MAX) {
            return norma_fail(NORMA_INVALID_ARGUMENT, "NORMA_NUM_THREADS: expected a number from 1 to %d, got '%.40s'",
                              NORMA_THREADS_MAX, text);
        }
        context->parallel.threads = options->threads ? options->threads : (int)count;
    }
    if (context->parallel.threads == 0) {
        context->parallel.threads = norma_parallel_default_threads(options->parallel_for, norma_cpu()->cores);
    }
    return NORMA_SUCCESS;
}

static norma_status choose_verbose(norma_context *context)
{
    const char *text = setting("NORMA_VERBOSE");
    if (text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "NORMA_VERBOSE: expected 0 or 1, got '%.40s'", text);
    }
    context->verbose = text && *text == '1';
    return NORMA_SUCCESS;
}

static norma_status context_init(norma_context *context, const norma_context_options *options)
{
    norma_status status = choose_isa(context, options->isa);
    if (status == NORMA_SUCCESS) {
        status = choose_threads(context, options);
    }
    if (status == NORMA_SUCCESS) {
        status = choose_verbose(context);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_tuning_init(&context->tuning, options->tuning ? options->tuning : setting("NORMA_TUNING"));
    }
    atomic_init(&context->holders, 1);
    return status;
}

norma_status norma_context_create(norma_context **context, const norma_context_options *options)
{
    if (!context) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "context: expected where to store it, got NULL");
    }
    *context = NULL;
    norma_context_options known = {.struct_size = sizeof known};
    if (options) {
        const norma_status status = norma_read_struct("options", &known, sizeof known, sizeof known, options);
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    norma_context *made = calloc(1, sizeof *made);
    if (!made) {
        return norma_fail(NORMA_OUT_OF_MEMORY, "norma_context_create: no memory for a context");
    }
    const norma_status status = context_init(made, &known);
    if (status != NORMA_SUCCESS) {
        free(made);
        return status;
    }
    if (made->verbose) {
        fprintf(stderr, "norma: tuning: %s\n", made->tuning.source.sentence);
    }
    *context = made;
    return NORMA_SUCCESS;
}

void norma_context_destroy(norma_context *context)
{
    if (context && atomic_fetch_sub_explicit(&context->holders, 1, memory_order_acq_rel) == 1) {
        norma_tuning_fini(&context->tuning);
        free(context);
    }
}

/* The default context is made on first use and lives until the process ends. Two threads may both make one: the first to
 * publish wins. */
static norma_status default_context(norma_context **context)
{
    static _Atomic(norma_context *) shared;
    norma_context *found = atomic_load_explicit(&shared, memory_order_acquire);
    if (!found) {
        norma_context *made;
        const norma_status status = norma_context_create(&made, NULL);
        if (status != NORMA_SUCCESS) {
            return status;
        }
        if (atomic_compare_exchange_strong(&shared, &found, made)) {
            found = made;
        } else {
            norma_context_destroy(made);
        }
    }
    *context = found;
    return NORMA_SUCCESS;
}

norma_status norma_context_hold(norma_context **held, norma_context *context)
{
    if (!context) {
        const norma_status status = default_context(&context);
        if (status != NORMA_SUCCESS) {
            return status;
        }
    }
    atomic_fetch_add_explicit(&context->holders, 1, memory_order_relaxed);
    *held = context;
    return NORMA_SUCCESS;
}

norma_status norma_context_get_info(const norma_context *context, norma_context_info *info)
{
    norma_context *shared;
    if (!info) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "info: expected a norma_context_info, got NULL");
    }
    if (!context) {
        const norma_status status = default_context(&shared);
        if (status != NORMA_SUCCESS) {
            return status;
        }
        context = shared;
    }
    const norma_context_info told = {
        .isa = context->isa,
        .isa_reason = context->isa_reason,
        .threads = context->parallel.threads,
        .threading = norma_parallel_name(&context->parallel),
        .tuning = context->tuning.source.sentence,
        .tuning_state = context->tuning.source.state,
        .tuning_path = context->tuning.source.path,
        .tuning_records = atomic_load(&context->tuning.count),
    };
    return norma_write_struct("info", info, sizeof *info, &told, sizeof told);
}

norma_status norma_context_save_tuning(norma_context *context, const char *path)
{
    const norma_status status = context ? NORMA_SUCCESS : default_context(&context);
    return status == NORMA_SUCCESS ? norma_tuning_save(&context->tuning, path) : status;
}

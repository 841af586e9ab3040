#include "commands.h"

#include <stdio.h>
#include <string.h>

static const char info_help[] = "Usage: norma info\n"
                                "\n"
                                "Prints what norma found on this machine and what it settled on:\n"
                                "\n"
                                "    norma     the library's version\n"
                                "    cpu       the processor, and how many of its cores this process may use\n"
                                "    caches    of one core: data cache, second level, last level\n"
                                "    isa       the instruction set that will be used, and why\n"
                                "    best isa  the highest that the processor and the operating system run\n"
                                "    threads   the most threads of one run, and what runs them\n"
                                "    tuning    where the blocking comes from\n"
                                "\n"
                                "Options:\n"
                                "    -h, --help\n"
                                "        Print this text.\n"
                                "\n"
                                "Environment:\n"
                                "    NORMA_ISA=generic|avx2|avx512|avx512_bf16|neon\n"
                                "        Lowers the instruction set. (It never raises it.)\n"
                                "    NORMA_NUM_THREADS=N\n"
                                "        The most threads of one run.\n"
                                "\n"
                                "Exit status:\n"
                                "    0   done\n"
                                "    1   the machine failed: out of memory, or a write error\n"
                                "    2   the command line or the environment is wrong; one line on standard\n"
                                "        error says what\n";

static void print_cache(const char *name, int64_t size)
{
    if (size <= 0) {
        printf("%s unknown", name);
    } else if (size >= 1 << 20 && size % (1 << 18) == 0) {
        printf("%s %g MiB", name, (double)size / (1 << 20));
    } else {
        printf("%s %g KiB", name, (double)size / (1 << 10));
    }
}

static void print_info(const norma_cpu_info *cpu, const norma_context_info *context)
{
    printf("norma     %s\n", norma_version_string());
    printf("cpu       %s, %d core%s\n", cpu->model && cpu->model[0] ? cpu->model : "unknown", cpu->cores,
           cpu->cores == 1 ? "" : "s");
    printf("caches    ");
    print_cache("L1d", cpu->l1_size);
    print_cache(", L2", cpu->l2_size);
    print_cache(", L3", cpu->l3_size);
    printf("\nisa       %s: %s\n", norma_isa_name(context->isa), context->isa_reason);
    printf("best isa  %s\n", norma_isa_name(cpu->isa));
    printf("threads   %d, %s\n", context->threads, context->threading);
    printf("tuning    %s\n", context->tuning);
}

int command_info(int argc, char **argv)
{
    tool_failure failure;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(info_help, stdout);
        return 0;
    }
    if (argc > 1) {
        fail(&failure, EXIT_USER, "'%s' is one argument too many (see norma info --help)", argv[1]);
        return failure_report(&failure, "info");
    }

    norma_context *context = NULL;
    norma_cpu_info cpu = {.struct_size = sizeof cpu};
    norma_context_info info = {.struct_size = sizeof info};
    norma_status status = norma_get_cpu_info(&cpu);
    if (status == NORMA_SUCCESS) {
        status = norma_context_create(&context, NULL);
    }
    if (status == NORMA_SUCCESS) {
        status = norma_context_get_info(context, &info);
    }
    if (status != NORMA_SUCCESS) {
        fail_library(&failure, status);
        norma_context_destroy(context);
        return failure_report(&failure, "info");
    }
    print_info(&cpu, &info);
    norma_context_destroy(context);
    return 0;
}

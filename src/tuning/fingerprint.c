#include "tuning/fingerprint.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "cpu.h"

/* From the build system: a checksum of all that kernels are made of, and how they were compiled. */
#ifndef NORMA_KERNELS_ID
#define NORMA_KERNELS_ID "unknown"
#endif
#ifndef NORMA_COMPILER_ID
#define NORMA_COMPILER_ID "unknown"
#endif

enum { VERSION, KERNELS, COMPILER, CPU, MODEL, ISA, L1, L2, L3, CORES };

static norma_print_field print[NORMA_PRINT_FIELDS] = {
    [VERSION] = {"version", true, ""},   [KERNELS] = {"kernels", true, ""}, [COMPILER] = {"compiler", true, ""},
    [CPU] = {"cpu", false, ""},          [MODEL] = {"model", false, ""},    [ISA] = {"isa", false, ""},
    [L1] = {"l1_bytes", false, ""},      [L2] = {"l2_bytes", false, ""},    [L3] = {"l3_bytes", false, ""},
    [CORES] = {"processors", false, ""},
};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set(int field, const char *value)
{
    char *to = print[field].value;
    snprintf(to, NORMA_PRINT_VALUE, "%s", value);
    for (; *to; to++) {
        *to = (unsigned char)*to < ' ' ? ' ' : *to;
    }
}

static void set_number(int field, int64_t value)
{
    snprintf(print[field].value, NORMA_PRINT_VALUE, "%" PRId64, value);
}

static void find(void)
{
    const norma_cpu_info *cpu = norma_cpu();
    set(VERSION, norma_version_string());
    set(KERNELS, NORMA_KERNELS_ID);
    set(COMPILER, NORMA_COMPILER_ID);
    set(CPU, norma_cpu_identity());
    set(MODEL, cpu->model);
    set(ISA, norma_isa_name(cpu->isa));
    set_number(L1, cpu->l1_size);
    set_number(L2, cpu->l2_size);
    set_number(L3, cpu->l3_size);
    set_number(CORES, norma_cpu_processors());
}

const norma_print_field *norma_fingerprint(void)
{
    pthread_once(&once, find);
    return print;
}

unsigned long long norma_checksum(const char *text, size_t size)
{
    unsigned long long sum = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ (unsigned char)text[i]) * 0x100000001b3 & 0xffffffffffffffff;
    }
    return sum;
}

void norma_fingerprint_of_machine(char (*digits)[17])
{
    char text[NORMA_PRINT_FIELDS * (NORMA_PRINT_VALUE + 1)];
    size_t used = 0;
    const norma_print_field *field = norma_fingerprint();
    for (int i = 0; i < NORMA_PRINT_FIELDS; i++) {
        if (!field[i].of_build) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", field[i].value);
        }
    }
    snprintf(*digits, sizeof *digits, "%016llx", norma_checksum(text, used));
}

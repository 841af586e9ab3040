#define _GNU_SOURCE /* sched_getaffinity */
#include "cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static norma_cpu_info cpu;
static char model_name[64] = "unknown";
static char identity[96] = "unknown";
static int processors;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__) || defined(__i386__)

/* One line per compiler flag of CMakeLists.txt's ISA lists: what a kernel is compiled with is what is asked for here. */
typedef struct feature {
    int leaf;
    int subleaf;
    int reg; /* 0 eax … 3 edx */
    int bit;
} feature;

static const feature avx2_features[] = {
    {1, 0, 2, 12}, /* -mfma */
    {1, 0, 2, 29}, /* -mf16c */
    {1, 0, 2, 28}, /* AVX, and with it all up to SSE 4.2 */
    {7, 0, 1, 5},  /* -mavx2 */
};
static const feature avx512_features[] = {
    {7, 0, 1, 16}, /* -mavx512f */
    {7, 0, 1, 17}, /* -mavx512dq */
    {7, 0, 1, 30}, /* -mavx512bw */
    {7, 0, 1, 31}, /* -mavx512vl */
};
static const feature avx512_bf16_features[] = {
    {7, 0, 2, 1}, /* -mavx512vbmi */
    {7, 1, 0, 5}, /* -mavx512bf16 */
};

static bool has_all(const feature *features, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned r[4] = {0};
        if (!__get_cpuid_count((unsigned)features[i].leaf, (unsigned)features[i].subleaf, &r[0], &r[1], &r[2], &r[3]) ||
            !(r[features[i].reg] >> features[i].bit & 1)) {
            return false;
        }
    }
    return true;
}

/* Register state that the operating system saves, XCR0. */
static unsigned saved_state(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) {
        return 0;
    }
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static norma_isa detect_isa(void)
{
    const unsigned ymm = 0x06, zmm = 0xe6;
    const unsigned state = saved_state();
    if ((state & ymm) != ymm || !has_all(avx2_features, sizeof avx2_features / sizeof *avx2_features)) {
        return NORMA_ISA_GENERIC;
    }
    if ((state & zmm) != zmm || !has_all(avx512_features, sizeof avx512_features / sizeof *avx512_features)) {
        return NORMA_ISA_AVX2;
    }
    if (!has_all(avx512_bf16_features, sizeof avx512_bf16_features / sizeof *avx512_bf16_features)) {
        return NORMA_ISA_AVX512;
    }
    return NORMA_ISA_AVX512_BF16;
}

static void read_model(void)
{
    unsigned text[12];
    for (unsigned i = 0; i < 3; i++) {
        unsigned *r = text + 4 * i;
        if (!__get_cpuid(0x80000002u + i, &r[0], &r[1], &r[2], &r[3])) {
            return;
        }
    }
    const char *from = (const char *)text;
    size_t length = strnlen(from, sizeof text);
    while (length > 0 && *from == ' ') {
        from++, length--;
    }
    while (length > 0 && from[length - 1] == ' ') {
        length--;
    }
    memcpy(model_name, from, length);
    model_name[length] = '\0';
}

/* Leaf 0: the maker's name in ebx, edx, ecx. Leaf 1: extended and base family and model, stepping. */
static void read_identity(void)
{
    unsigned a, b, c, d;
    char maker[13] = "";
    if (!__get_cpuid(0, &a, &b, &c, &d)) {
        return;
    }
    memcpy(maker, &b, 4), memcpy(maker + 4, &d, 4), memcpy(maker + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return;
    }
    const unsigned base = a >> 8 & 15, family = base + (base == 15 ? a >> 20 & 255 : 0);
    const unsigned model = (a >> 4 & 15) + (base == 6 || base == 15 ? (a >> 16 & 15) << 4 : 0);
    snprintf(identity, sizeof identity, "%s family %u model %u stepping %u", maker, family, model, a & 15);
}

#else

static norma_isa detect_isa(void)
{
#if defined(__aarch64__) && defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMD ? NORMA_ISA_NEON : NORMA_ISA_GENERIC;
#elif defined(__aarch64__)
    return NORMA_ISA_NEON;
#else
    return NORMA_ISA_GENERIC;
#endif
}

static void read_model(void)
{
    FILE *file = fopen("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "r");
    char midr[32];
    if (file) {
        if (fscanf(file, "%31s", midr) == 1) {
            snprintf(model_name, sizeof model_name, "MIDR %s", midr);
        }
        fclose(file);
    }
}

/* MIDR has all of it. */
static void read_identity(void)
{
    snprintf(identity, sizeof identity, "%s", model_name);
}

#endif

/* Reads a word such as "48K" of /sys/devices/system/cpu/cpu0/cache/index<i>/<name>. */
static bool read_cache_word(int index, const char *name, char word[32])
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    const bool found = fscanf(file, "%31s", word) == 1;
    fclose(file);
    return found;
}

static void read_caches(void)
{
    int64_t *const sizes[] = {NULL, &cpu.l1_size, &cpu.l2_size, &cpu.l3_size};
    char level[32], type[32], size[32];
    for (int i = 0; read_cache_word(i, "level", level) && read_cache_word(i, "type", type); i++) {
        const long number = strtol(level, NULL, 10);
        if (number < 1 || number > 3 || strcmp(type, "Instruction") == 0 || !read_cache_word(i, "size", size)) {
            continue;
        }
        char *unit;
        const int64_t value = strtoll(size, &unit, 10);
        *sizes[number] = value * (*unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1);
    }
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int names[] = {0, _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    for (int i = 1; i <= 3; i++) {
        const long value = *sizes[i] ? 0 : sysconf(names[i]);
        if (value > 0) {
            *sizes[i] = value;
        }
    }
#endif
}

static int count_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return CPU_COUNT(&set);
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

/* What this build has kernels for. */
static norma_isa built_isa(norma_isa isa)
{
#ifndef NORMA_HAVE_AVX512_BF16
    isa = isa == NORMA_ISA_AVX512_BF16 ? NORMA_ISA_AVX512 : isa;
#endif
#ifndef NORMA_HAVE_AVX512
    isa = isa == NORMA_ISA_AVX512 ? NORMA_ISA_AVX2 : isa;
#endif
#ifndef NORMA_HAVE_AVX2
    isa = isa == NORMA_ISA_AVX2 ? NORMA_ISA_GENERIC : isa;
#endif
#ifndef NORMA_HAVE_NEON
    isa = isa == NORMA_ISA_NEON ? NORMA_ISA_GENERIC : isa;
#endif
    return isa;
}

static void detect(void)
{
    cpu.struct_size = sizeof cpu;
    cpu.isa = built_isa(detect_isa());
    read_model();
    read_identity();
    cpu.model = model_name;
    cpu.cores = count_cores();
    read_caches();
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    processors = online > 0 ? (int)online : cpu.cores;
}

const norma_cpu_info *norma_cpu(void)
{
    pthread_once(&once, detect);
    return &cpu;
}

const char *norma_cpu_identity(void)
{
    pthread_once(&once, detect);
    return identity;
}

int norma_cpu_processors(void)
{
    pthread_once(&once, detect);
    return processors;
}

int norma_isa_level(norma_isa isa)
{
    switch (isa) {
    case NORMA_ISA_GENERIC:
        return 1;
#if defined(__x86_64__) || defined(__i386__)
    case NORMA_ISA_AVX2:
        return 2;
    case NORMA_ISA_AVX512:
        return 3;
    case NORMA_ISA_AVX512_BF16:
        return 4;
#elif defined(__aarch64__)
    case NORMA_ISA_NEON:
        return 2;
#endif
    default:
        return 0;
    }
}

norma_status norma_get_cpu_info(norma_cpu_info *info)
{
    if (!info) {
        return norma_fail(NORMA_INVALID_ARGUMENT, "info: expected a norma_cpu_info, got NULL");
    }
    return norma_write_struct("info", info, sizeof *info, norma_cpu(), sizeof *info);
}

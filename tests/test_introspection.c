/* What the library tells of itself: versions, names, errors, the machine, plans. */
#include <pthread.h>

#include "support/isa.h"
#include "support/suite.h"

static void version(void **state)
{
    (void)state;
    char text[32];
    check(norma_version() == NORMA_VERSION_MAJOR * 10000 + NORMA_VERSION_MINOR * 100 + NORMA_VERSION_PATCH);
    snprintf(text, sizeof text, "%d.%d.%d", NORMA_VERSION_MAJOR, NORMA_VERSION_MINOR, NORMA_VERSION_PATCH);
    check(strcmp(norma_version_string(), text) == 0);
}

static void names(void **state)
{
    (void)state;
    check(strcmp(norma_status_name(NORMA_SUCCESS), "success") == 0);
    check(strcmp(norma_status_name(NORMA_INVALID_ARGUMENT), "invalid argument") == 0);
    check(strcmp(norma_status_name(NORMA_UNSUPPORTED), "unsupported") == 0);
    check(strcmp(norma_status_name(NORMA_OUT_OF_MEMORY), "out of memory") == 0);
    check(strcmp(norma_dtype_name(NORMA_F32), "f32") == 0);
    check(strcmp(norma_dtype_name(NORMA_F64), "f64") == 0);
    check(strcmp(norma_isa_name(NORMA_ISA_GENERIC), "generic") == 0);
    check(strcmp(norma_isa_name(NORMA_ISA_AVX2), "avx2") == 0);
    check(strcmp(norma_isa_name(NORMA_ISA_AVX512), "avx512") == 0);
    check(strcmp(norma_isa_name(NORMA_ISA_AVX512_BF16), "avx512_bf16") == 0);
    check(strcmp(norma_isa_name(NORMA_ISA_NEON), "neon") == 0);
    check(strcmp(norma_op_name(NORMA_LAYER_NORM), "layer_norm") == 0);
    check(strcmp(norma_op_name(NORMA_RMS_NORM), "rms_norm") == 0);
    check(strcmp(norma_op_name(NORMA_LP_NORM), "lp_norm") == 0);
    check(strcmp(norma_op_name(NORMA_CHANNEL_NORM), "channel_norm") == 0);
    check(strcmp(norma_op_name(NORMA_MVN), "mvn") == 0);
    static const int unknown[] = {-1, 99};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        check(strcmp(norma_status_name((norma_status)unknown[i]), "unknown") == 0);
        check(strcmp(norma_dtype_name((norma_dtype)unknown[i]), "unknown") == 0);
        check(strcmp(norma_isa_name((norma_isa)unknown[i]), "unknown") == 0);
        check(strcmp(norma_op_name((norma_op)unknown[i]), "unknown") == 0);
    }
}

static void *read_last_error(void *argument)
{
    (void)argument;
    return strcmp(norma_last_error(), "") == 0 ? argument : NULL;
}

/* Each thread has its own sentence, "" before any. */
static void last_error_of_each_thread(void **state)
{
    (void)state;
    int mark = 0;
    void *answer = NULL;
    pthread_t thread;
    check(norma_run(NULL, NULL) == NORMA_INVALID_ARGUMENT);
    check(*norma_last_error() != '\0');
    check(pthread_create(&thread, NULL, read_last_error, &mark) == 0);
    check(pthread_join(thread, &answer) == 0);
    check(answer == &mark);
    check(strstr(norma_last_error(), "plan") != NULL);
}

static void last_error_is_a_sentence(void **state)
{
    (void)state;
    const int64_t shape[] = {2, -3};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    check(norma_plan_create(&plan, NULL, &desc) == NORMA_INVALID_ARGUMENT);
    check(strstr(norma_last_error(), "-3") != NULL); /* what was given */
    check(strchr(norma_last_error(), ' ') != NULL && strchr(norma_last_error(), '\n') == NULL);
}

static void cpu_info(void **state)
{
    (void)state;
    norma_cpu_info info = {.struct_size = sizeof info};
    check_success(norma_get_cpu_info(&info));
    check(info.struct_size == sizeof info);
    check(info.cores >= 1);
    check(info.model != NULL && *info.model);
    check(info.l1_size >= 0 && info.l2_size >= 0 && info.l3_size >= 0);
    norma_cpu_info again = {.struct_size = sizeof again};
    check_success(norma_get_cpu_info(&again));
    check(memcmp(&info, &again, sizeof info) == 0); /* found once */
    check_refused(norma_get_cpu_info(NULL), NORMA_INVALID_ARGUMENT, "info");
}

/* Structs that the library fills: too small is refused, unwritten; larger is filled as far as known and zero beyond. */
static void info_struct_sizes(void **state)
{
    (void)state;
    norma_cpu_info cpu;
    memset(&cpu, 0x5a, sizeof cpu);
    const norma_cpu_info before = cpu;
    check_refused(norma_get_cpu_info(&cpu), NORMA_INVALID_ARGUMENT, "struct_size"); /* left unset */
    check(memcmp(&cpu, &before, sizeof cpu) == 0);
    static const size_t wrong[] = {0, 1, sizeof(size_t)};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        cpu.struct_size = wrong[i];
        check_refused(norma_get_cpu_info(&cpu), NORMA_INVALID_ARGUMENT, "struct_size");
        check((unsigned)cpu.cores == 0x5a5a5a5au);
        norma_context_info info;
        memset(&info, 0x5a, sizeof info);
        info.struct_size = wrong[i];
        check_refused(norma_context_get_info(NULL, &info), NORMA_INVALID_ARGUMENT, "struct_size");
        check((unsigned)info.threads == 0x5a5a5a5au);
    }
    struct {
        norma_cpu_info info;
        unsigned char tail[16];
    } later;
    memset(&later, 0x5a, sizeof later);
    later.info.struct_size = sizeof later;
    check_success(norma_get_cpu_info(&later.info));
    check(later.info.struct_size == sizeof later && later.info.cores >= 1);
    check(later.tail[0] == 0 && later.tail[15] == 0);
}

static void plan_describe(void **state)
{
    (void)state;
    const int64_t shape[] = {12, 345};
    const norma_desc desc = norma_rms_norm_desc(2, shape, -1, NORMA_F64);
    norma_context *context = isa_context(NORMA_ISA_GENERIC, 1, NULL, NULL);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &desc));
    char text[1024];
    const size_t length = norma_plan_describe(plan, text, sizeof text);
    check(length > 0 && length < sizeof text && strlen(text) == length);
    static const char *const words[] = {"rms_norm", "f64", "12", "345", "rows", "rows_squares_f64", "generic", "threads 1"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (!strstr(text, words[i])) {
            suite_fail("expected '%s' in: %s", words[i], text);
        }
    }
    check(strchr(text, '\n') == NULL);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* As snprintf: the whole length is told, the text cut and terminated, nothing written past the buffer. */
static void plan_describe_cuts_as_snprintf(void **state)
{
    (void)state;
    const int64_t shape[] = {12, 345};
    const norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &desc));
    char whole[1024];
    const size_t length = norma_plan_describe(plan, whole, sizeof whole);
    for (size_t size = 0; size <= length + 2; size++) {
        char text[1024];
        memset(text, '#', sizeof text);
        check(norma_plan_describe(plan, text, size) == length);
        const size_t kept = size == 0 ? 0 : size - 1 < length ? size - 1 : length;
        check(memcmp(text, whole, kept) == 0);
        check(size == 0 || text[kept] == '\0');
        check(text[size == 0 ? 0 : kept + 1] == '#');
    }
    check(norma_plan_describe(plan, NULL, 0) == length);
    norma_plan_destroy(plan);
}

/* The longest text there can be. */
static void plan_describe_of_the_largest_shape(void **state)
{
    (void)state;
    int64_t shape[NORMA_MAX_RANK];
    for (int k = 0; k < NORMA_MAX_RANK; k++) {
        shape[k] = k < 7 ? 128 : 1024;
    }
    shape[0] = 0;
    shape[1] = INT32_MAX;
    const norma_desc desc = norma_layer_norm_desc(NORMA_MAX_RANK, shape, -1, NORMA_F32);
    norma_plan *plan;
    if (norma_plan_create(&plan, NULL, &desc) == NORMA_SUCCESS) {
        char text[1024];
        const size_t length = norma_plan_describe(plan, text, sizeof text);
        check(length < sizeof text && strlen(text) == length && strstr(text, "2147483647"));
    }
    norma_plan_destroy(plan);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version),
        cmocka_unit_test(names),
        cmocka_unit_test(last_error_of_each_thread),
        cmocka_unit_test(last_error_is_a_sentence),
        cmocka_unit_test(cpu_info),
        cmocka_unit_test(info_struct_sizes),
        cmocka_unit_test(plan_describe),
        cmocka_unit_test(plan_describe_cuts_as_snprintf),
        cmocka_unit_test(plan_describe_of_the_largest_shape),
    };
    return suite_main("introspection", tests, COUNT_OF(tests), argc, argv);
}

/*
 * The same bits on every architecture: FNV-1a checksums of all that a run writes, over lengths that end in every way. The
 * values in checksums.def hold for AVX2, AVX-512 and NEON; generic, which may round an fma twice, has its own and is not tested
 * here.
 *
 * The values change only with the canonical reduction: that is a change of results, to be told in NEWS.md. `--print` prints
 * the lines of checksums.def anew.
 */
#include <math.h>

#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

typedef struct checksum {
    const char *name;
    uint64_t value;
} checksum;

#define X(name, value) {#name, value},
static const checksum checksums[] = {
#include "checksums.def"
};
#undef X

static const int64_t lengths[] = {1,   2,   3,   5,   7,    8,    9,    15,   16,   17,   31,   32,   33,    47,
                                  48,  49,  63,  64,  65,   79,   95,   100,  127,  128,  129,  255,  256,   257,
                                  511, 512, 513, 768, 1000, 1023, 1024, 1025, 4096, 8191, 8192, 8193, 16384, 20000};

/* Multiples of 2^-18 around an offset: the same on every machine, as libm's functions need not be. NaN as the offset means
 * zeros of either sign, which minima and maxima treat differently from machine to machine. */
static double number(random_state *random, double offset)
{
    if (isnan(offset)) {
        return random_below(random, 2) ? 0.0 : -0.0;
    }
    return offset + ((double)random_below(random, 1 << 20) - (1 << 19)) * 0x1p-18;
}

static trial *create_trial(const norma_desc *desc, double offset)
{
    const bool moments = desc->op != NORMA_LP_NORM && desc->op != NORMA_RMS_NORM;
    const bool scale = desc->op != NORMA_LP_NORM && desc->op != NORMA_MVN;
    const trial_inputs inputs = {.scale = scale, .shift = scale && moments, .mean = moments, .rstd = true};
    random_state any = random_begin(0);
    trial *t = trial_create(desc, inputs, &any);
    random_state random = {(uint64_t)t->want->length};
    for (int64_t i = 0; i < t->want->sets * t->want->length; i++) {
        element_set(desc->dtype, t->x, t->want->x_at[i], number(&random, offset));
    }
    for (int64_t i = 0; scale && i < t->want->params; i++) {
        element_set(desc->dtype, t->scale, i, number(&random, 1));
    }
    for (int64_t i = 0; inputs.shift && i < t->want->params; i++) {
        element_set(desc->dtype, t->shift, i, number(&random, 0));
    }
    trial_expect(t);
    return t;
}

/* FNV-1a 64 (Fowler, Noll, Vo) over the bytes of all values, as f64 where they are, else as f32; lowest first. */
static uint64_t hash_outcome(uint64_t hash, const outcome *o, norma_dtype dtype)
{
    const size_t size = dtype == NORMA_F64 ? sizeof(double) : sizeof(float);
    for (int64_t i = 0; i < o->count; i++) {
        const float single = (float)o->elements[i];
        uint32_t word;
        uint64_t bits;
        memcpy(&word, &single, sizeof word);
        memcpy(&bits, &o->elements[i], sizeof bits);
        bits = dtype == NORMA_F64 ? bits : word;
        for (size_t byte = 0; byte < size; byte++) {
            hash = (hash ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3;
        }
    }
    return hash;
}

static uint64_t hash_run(uint64_t hash, const norma_desc *desc, norma_isa isa, double offset)
{
    trial *t = create_trial(desc, offset);
    const trial_spot spot = {GUARD_END, 0, false};
    suite_case("%s of %lld on %s", norma_op_name(desc->op), (long long)t->want->length, norma_isa_name(isa));
    trial_place(t, spot);
    isa_run_serial(t, isa);
    trial_check(t, trial_tolerance(t));
    outcome o = trial_outcome(t);
    hash = hash_outcome(hash, &o, desc->dtype);
    outcome_destroy(&o);
    trial_destroy(t);
    return hash;
}

static norma_desc describe(const char *name, int64_t length, norma_dtype dtype)
{
    const int64_t rows[] = {3, length}, matrix[] = {2, length, 19}, planes[] = {3, 2, length};
    const int outer_and_inner[] = {0, 2};
    if (strstr(name, "layer_norm")) {
        return norma_layer_norm_desc(2, rows, -1, dtype);
    }
    if (strstr(name, "rms_norm")) {
        return norma_rms_norm_desc(2, rows, -1, dtype);
    }
    if (strstr(name, "channel_norm")) {
        return norma_channel_norm_desc(2, length, 19, NORMA_NCHW, dtype);
    }
    const norma_layout layout = strstr(name, "nhwc") ? NORMA_NHWC : strstr(name, "nchw8c") ? NORMA_NCHW8C : NORMA_NCHW;
    if (strstr(name, "batch_norm")) {
        return norma_batch_norm_desc(2, 3, length, layout, dtype);
    }
    if (strstr(name, "instance_norm")) {
        return norma_instance_norm_desc(2, 3, length, layout, dtype);
    }
    if (strstr(name, "group_norm")) {
        return norma_group_norm_desc(2, layout == NORMA_NCHW8C ? 24 : 20, length, 4, layout, dtype);
    }
    if (strstr(name, "mvn")) {
        return norma_mvn_desc(3, planes, 2, outer_and_inner, dtype);
    }
    const int p = strstr(name, "_1_") ? 1 : 2;
    return strstr(name, "fibers") ? norma_lp_norm_desc(3, matrix, 1, p, dtype) : norma_lp_norm_desc(2, rows, -1, p, dtype);
}

static uint64_t compute(const char *name, norma_isa isa)
{
    const norma_dtype dtype = strstr(name, "bf16")  ? NORMA_BF16
                              : strstr(name, "f16") ? NORMA_F16
                              : strstr(name, "f64") ? NORMA_F64
                                                    : NORMA_F32;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        const norma_desc desc = describe(name, lengths[i], dtype);
        hash = hash_run(hash, &desc, isa, strstr(name, "zeros") ? NAN : i % 3 == 0 ? 0 : 1000);
    }
    if (strstr(name, "layer_norm_f32") || strstr(name, "layer_norm_f64")) {
        const int64_t shape[] = {1, 600001}; /* segments of two leaves */
        const norma_desc desc = norma_layer_norm_desc(2, shape, -1, dtype);
        hash = hash_run(hash, &desc, isa, 1);
    }
    return hash;
}

static void test_checksum(const void *checksum_)
{
    const checksum *c = checksum_;
    int compared = 0;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        if (isa_shares_bits(isa)) {
            const uint64_t value = compute(c->name, isa);
            if (value != c->value) {
                suite_fail("%s on %s: expected 0x%016llx, got 0x%016llx", c->name, norma_isa_name(isa),
                           (unsigned long long)c->value, (unsigned long long)value);
            }
            printf("%s on %s: 0x%016llx\n", c->name, norma_isa_name(isa), (unsigned long long)value);
            compared++;
        }
    }
    if (!compared) {
        suite_skip("%s skipped (this CPU has no instruction set with fused multiply-add)", c->name);
    }
}

static void print_checksums(void)
{
    const norma_isa isa = isa_on_cpu(NORMA_ISA_AVX2) ? NORMA_ISA_AVX2 : NORMA_ISA_NEON;
    for (size_t i = 0; i < COUNT_OF(checksums); i++) {
        printf("X(%s, 0x%016llx)\n", checksums[i].name, (unsigned long long)compute(checksums[i].name, isa));
    }
}

int main(int argc, char **argv)
{
    static suite_test tests[COUNT_OF(checksums)];
    for (size_t i = 0; i < COUNT_OF(checksums); i++) {
        snprintf(tests[i].name, sizeof tests[i].name, "%s", checksums[i].name);
        tests[i].run = test_checksum;
        tests[i].subject = &checksums[i];
    }
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print_checksums();
        return EXIT_SUCCESS;
    }
    return suite_main_of("checksums", tests, COUNT_OF(tests), argc, argv);
}

/*
 * The same bits whatever runs beside a reduced set, wherever it lies and whoever computes it. Equal checksums across
 * architectures are test_checksums.c.
 */
#include "support/cases.h"
#include "support/element.h"
#include "support/isa.h"
#include "support/pool.h"
#include "support/suite.h"

static const trial_spot plain_spot = {GUARD_END, 0, false};
static const int thread_counts[] = {1, 2, 3, 7};

typedef void (*vary)(trial *t, norma_isa isa, const outcome *plain);

/* Runs the cases whose names contain the word serially on every instruction set, then the variation, which compares. */
static void vary_cases(const char *word, vary variation)
{
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        if (!strstr(c.name, word)) {
            continue;
        }
        random_state random = random_begin(i);
        trial *t = trial_create(&c.desc, c.inputs, &random);
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            suite_case("%s on %s", c.name, norma_isa_name(isa));
            trial_place(t, plain_spot);
            isa_run_serial(t, isa);
            trial_check(t, trial_tolerance(t));
            outcome plain = trial_outcome(t);
            variation(t, isa, &plain);
            outcome_destroy(&plain);
        }
        trial_destroy(t);
    }
}

static void vary_every_case(vary variation)
{
    vary_cases("", variation);
}

static void run_on(trial *t, norma_isa isa, int threads, norma_parallel_for parallel_for, pool *p)
{
    trial_place(t, plain_spot);
    norma_context *context = isa_context(isa, threads, parallel_for, p);
    isa_run(t, context);
    norma_context_destroy(context);
}

static void with_threads(trial *t, norma_isa isa, const outcome *plain)
{
    for (size_t i = 0; i < COUNT_OF(thread_counts); i++) {
        run_on(t, isa, thread_counts[i], NULL, NULL);
        trial_check_same(t, plain, "another number of threads");
    }
}

static void threads_1_2_3_7(void **state)
{
    (void)state;
    vary_every_case(with_threads);
}

static void with_pool(trial *t, norma_isa isa, const outcome *plain)
{
    for (size_t i = 1; i < COUNT_OF(thread_counts); i++) {
        pool p = {.threads = thread_counts[i], .seed = i};
        run_on(t, isa, thread_counts[i], pool_parallel_for, &p);
        trial_check_same(t, plain, "a caller's pool");
        check(p.calls > 0);
        check(p.most_tasks > 1); /* else nothing was shared out, and nothing tested */
    }
}

static void caller_pool_in_random_order(void **state)
{
    (void)state;
    vary_every_case(with_pool);
}

static void with_alignment(trial *t, norma_isa isa, const outcome *plain)
{
    const int lanes = (int)(64 / element_size(t->desc.dtype));
    for (int distance = 1; distance < lanes; distance += SUITE_QUICK ? 5 : 1) {
        const trial_spot spot = {distance % 2 ? GUARD_START : GUARD_END, distance, false};
        trial_place(t, spot);
        isa_run_serial(t, isa);
        trial_check_same(t, plain, "another alignment");
    }
}

static void any_alignment(void **state)
{
    (void)state;
    vary_every_case(with_alignment);
}

static void within_x(trial *t, norma_isa isa, const outcome *plain)
{
    if (t->desc.x_row_stride == t->desc.y_row_stride) {
        const trial_spot spot = {GUARD_END, 0, true};
        for (int threads = 1; threads <= 3; threads += 2) {
            trial_place(t, spot);
            norma_context *context = isa_context(isa, threads, NULL, NULL);
            isa_run(t, context);
            norma_context_destroy(context);
            trial_check_same(t, plain, "in place");
        }
    }
}

static void in_place_or_not(void **state)
{
    (void)state;
    vary_every_case(within_x);
}

/* AVX2, AVX-512 and NEON alike. */
static void across_instruction_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        random_state random = random_begin(i);
        trial *t = trial_create(&c.desc, c.inputs, &random);
        outcome first = {0};
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            suite_case("%s on %s", c.name, norma_isa_name(isa));
            if (isa_shares_bits(isa)) {
                trial_place(t, plain_spot);
                isa_run_serial(t, isa);
                if (first.elements) {
                    trial_check_same(t, &first, "another instruction set");
                } else {
                    first = trial_outcome(t);
                }
            }
        }
        outcome_destroy(&first);
        trial_destroy(t);
    }
}

/* Extents outside the reduction become 1, one set at a time: what remains is that set in a batch of its own. */
static void alone(trial *t, norma_isa isa, const outcome *plain)
{
    norma_desc desc = t->desc;
    for (int k = 0; k < desc.rank; k++) {
        desc.shape[k] = desc.axes >> k & 1 ? desc.shape[k] : 1;
    }
    desc.x_row_stride = desc.y_row_stride = 0;
    const norma_dtype dtype = desc.dtype;
    const int64_t sets = t->want->sets, length = t->want->length, elements = sets * length;
    random_state random = random_begin(7);
    trial *one = trial_create(&desc, t->inputs, &random);
    const size_t parameters = (size_t)length * element_size(element_parameter(&t->desc));
    if (one->scale) {
        memcpy(one->scale, t->scale, parameters);
    }
    if (one->shift) {
        memcpy(one->shift, t->shift, parameters);
    }
    for (int64_t set = 0; set < sets; set += 1 + sets / 10) {
        for (int64_t i = 0; i < length; i++) {
            trial_set_x(one, 0, i, element_get(dtype, t->x, t->want->x_at[set * length + i]));
            if (t->residual) {
                element_set(dtype, one->residual, one->want->dense_at[i],
                            element_get(dtype, t->residual, t->want->dense_at[set * length + i]));
            }
        }
        outcome wanted = {length, length, suite_alloc((size_t)length + 2, sizeof(double))};
        memcpy(wanted.elements, plain->elements + set * length, (size_t)length * sizeof(double));
        for (int64_t at = elements + set; at < plain->count; at += sets) {
            wanted.elements[wanted.count++] = plain->elements[at];
        }
        trial_place(one, plain_spot);
        isa_run_serial(one, isa);
        trial_check_same(one, &wanted, "one set alone");
        outcome_destroy(&wanted);
    }
    trial_destroy(one);
}

static void a_row_alone_or_within_any_batch(void **state)
{
    (void)state;
    vary_cases("layer_norm", alone);
    vary_cases("rms_norm", alone);
    vary_cases("lp_norm_1_rows", alone);
    vary_cases("lp_norm_2_rows", alone);
    vary_cases("channel_norm_nhwc", alone);
    vary_cases("mvn_rows", alone);
}

static void a_column_alone_or_among_others(void **state)
{
    (void)state;
    vary_cases("lp_norm_1_fibers", alone);
    vary_cases("lp_norm_2_fibers", alone);
    vary_cases("channel_norm_nchw", alone);
    vary_cases("mvn_fibers_f", alone);
}

static void a_column_of_two_axes_alone_or_among_others(void **state)
{
    (void)state;
    vary_cases("mvn_fibers_of_two_axes", alone);
}

static void planes_alone_or_among_others(void **state)
{
    (void)state;
    vary_cases("planes", alone);
}

static void strides_or_dense(void **state)
{
    (void)state;
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (int64_t length = 1; length < 300; length += 1 + length / 8) {
            const int64_t shape[] = {9, length};
            const norma_desc dense = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
            norma_desc strided = dense;
            strided.x_row_stride = length + 3;
            strided.y_row_stride = length + 16;
            const trial_inputs inputs = {.scale = true, .shift = true, .mean = true, .rstd = true, .spread = 1};
            random_state random = random_begin((uint64_t)length), same = random;
            trial *a = trial_create(&dense, inputs, &random), *b = trial_create(&strided, inputs, &same);
            suite_case("length %lld on %s", (long long)length, norma_isa_name(isa));
            trial_place(a, plain_spot);
            isa_run_serial(a, isa);
            outcome plain = trial_outcome(a);
            trial_place(b, plain_spot);
            isa_run_serial(b, isa);
            trial_check_same(b, &plain, "rows with strides");
            outcome_destroy(&plain);
            trial_destroy(a);
            trial_destroy(b);
        }
    }
}

/* Rows that are split over threads because there are fewer than threads. */
static void check_long_rows(int64_t rows, int64_t length)
{
    const int64_t shape[] = {rows, length};
    for (int which = 0; which < 4; which++) {
        const norma_dtype dtype = which == 1 ? NORMA_F64 : NORMA_F32;
        norma_desc desc = norma_layer_norm_desc(2, shape, -1, dtype);
        if (which > 1) {
            desc = which == 2 ? norma_rms_norm_desc(2, shape, -1, dtype) : norma_lp_norm_desc(2, shape, -1, 1, dtype);
        }
        const trial_inputs inputs = {.scale = which < 3, .shift = which < 2, .rstd = true, .offset = 3, .spread = 1};
        random_state random = random_begin(3);
        trial *t = trial_create(&desc, inputs, &random);
        for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
            suite_case("%lld rows of %lld on %s", (long long)rows, (long long)length, norma_isa_name(isa));
            run_on(t, isa, 1, NULL, NULL);
            trial_check(t, trial_tolerance(t));
            outcome serial = trial_outcome(t);
            with_threads(t, isa, &serial);
            for (int threads = (int)rows + 1; threads <= 9; threads += 2) {
                pool p = {.threads = threads, .seed = (uint64_t)threads};
                run_on(t, isa, threads, pool_parallel_for, &p);
                trial_check_same(t, &serial, "a split row");
                check(p.most_tasks > (size_t)rows); /* split within rows */
            }
            outcome_destroy(&serial);
        }
        trial_destroy(t);
    }
}

static void one_row_of_a_million_over_threads(void **state)
{
    (void)state;
    check_long_rows(1, 1000000);
}

static void three_rows_of_200000_over_threads(void **state)
{
    (void)state;
    check_long_rows(3, 200000);
}

static void one_row_of_8193_over_threads(void **state)
{
    (void)state;
    check_long_rows(1, 8193 * 8);
    check_long_rows(1, 8192 * 8 + 4096);
}

/* A batch beyond the caches is written in other ways. Its sets are those of one small problem, over and over. */
static void check_large(norma_desc large, int64_t copies, norma_isa isa, int threads)
{
    norma_desc small = large;
    small.shape[0] = large.shape[0] / copies;
    const norma_dtype dtype = small.dtype;
    const bool affine = small.op != NORMA_LP_NORM;
    random_state random = random_begin(8);
    const trial_inputs inputs = {.scale = affine, .shift = affine, .mean = affine, .rstd = true, .offset = 2, .spread = 1};
    trial *t = trial_create(&small, inputs, &random);
    trial_place(t, plain_spot);
    isa_run_serial(t, isa);
    const int64_t sets = t->want->sets, extent = t->x_extent;
    const size_t x_bytes = (size_t)extent * element_size(dtype), saved_bytes = (size_t)sets * element_size(dtype);
    char *x = suite_alloc((size_t)copies, x_bytes), *y = suite_alloc((size_t)copies, x_bytes);
    char *mean = suite_alloc((size_t)copies, saved_bytes), *rstd = suite_alloc((size_t)copies, saved_bytes);
    for (int64_t copy = 0; copy < copies; copy++) {
        memcpy(x + (size_t)copy * x_bytes, t->x, x_bytes);
    }
    norma_args args = t->args;
    args.x = x, args.y = y, args.mean = affine ? mean : NULL, args.rstd = rstd;
    norma_context *context = isa_context(isa, threads, NULL, NULL);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &large));
    for (int in_place = 0; in_place < 2; in_place++) {
        args.y = in_place ? x : y;
        check_success(norma_run(plan, &args));
        for (int64_t copy = 0; copy < copies; copy++) {
            check(memcmp((char *)args.y + (size_t)copy * x_bytes, t->args.y, x_bytes) == 0);
            check(memcmp(rstd + (size_t)copy * saved_bytes, t->args.rstd, saved_bytes) == 0);
            check(!affine || memcmp(mean + (size_t)copy * saved_bytes, t->args.mean, saved_bytes) == 0);
        }
    }
    norma_plan_destroy(plan);
    norma_context_destroy(context);
    free(x), free(y), free(mean), free(rstd);
    trial_destroy(t);
}

static void a_batch_beyond_the_caches(void **state)
{
    (void)state;
    norma_cpu_info cpu = {.struct_size = sizeof cpu};
    check_success(norma_get_cpu_info(&cpu));
    const int64_t l3 = cpu.l3_size > cpu.l2_size ? cpu.l3_size : cpu.l2_size;
    const int64_t elements = SUITE_QUICK || l3 < 1 << 20 ? 1 << 20 : l3 > 1 << 28 ? 1 << 26 : l3 / 4; /* x of the size of L3 */
    for (norma_isa isa = isa_next(0); isa; isa = isa_next(isa)) {
        for (int kind = 0; kind < 5; kind++) {
            static const int64_t sizes[][3] = {{5, 300, 1}, {7, 1025, 1}, {3, 9000, 1}, {2, 96, 515}, {2, 96, 3136}};
            const int64_t *size = sizes[kind], copies = elements / (size[0] * size[1] * size[2]);
            const int64_t shape[] = {size[0] * copies, size[1], size[2]};
            const norma_desc desc = kind == 3  ? norma_lp_norm_desc(3, shape, 1, 2, NORMA_F32)
                                    : kind > 3 ? norma_channel_norm_desc(shape[0], size[1], size[2], NORMA_NCHW, NORMA_F32)
                                               : norma_layer_norm_desc(2, shape, -1, NORMA_F32);
            suite_case("%lld sets of %lld on %s", (long long)shape[0], (long long)size[1], norma_isa_name(isa));
            check_large(desc, copies, isa, kind % 2 ? 3 : 1);
        }
    }
}

static void a_plan_run_again(void **state)
{
    (void)state;
    const test_case c = cases_get(0);
    random_state random = random_begin(0);
    trial *t = trial_create(&c.desc, c.inputs, &random);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, NULL, &c.desc));
    outcome first = {0};
    for (int run = 0; run < 5; run++) {
        trial_place(t, plain_spot);
        check_success(norma_run(plan, &t->args));
        if (run) {
            trial_check_same(t, &first, "a later run");
        } else {
            first = trial_outcome(t);
        }
    }
    norma_plan_destroy(plan);
    outcome_destroy(&first);
    trial_destroy(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_1_2_3_7),
        cmocka_unit_test(caller_pool_in_random_order),
        cmocka_unit_test(any_alignment),
        cmocka_unit_test(in_place_or_not),
        cmocka_unit_test(across_instruction_sets),
        cmocka_unit_test(a_row_alone_or_within_any_batch),
        cmocka_unit_test(a_column_alone_or_among_others),
        cmocka_unit_test(a_column_of_two_axes_alone_or_among_others),
        cmocka_unit_test(planes_alone_or_among_others),
        cmocka_unit_test(strides_or_dense),
        cmocka_unit_test(one_row_of_a_million_over_threads),
        cmocka_unit_test(three_rows_of_200000_over_threads),
        cmocka_unit_test(one_row_of_8193_over_threads),
        cmocka_unit_test(a_batch_beyond_the_caches),
        cmocka_unit_test(a_plan_run_again),
    };
    return suite_main("sameness", tests, COUNT_OF(tests), argc, argv);
}

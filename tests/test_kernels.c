/*
 * Every kernel of the registry on every instruction set, called by name: one test each, "rows_moments_f32.avx512". A new line
 * of kernels.def is tested without an edit here.
 */
#include "support/compare.h"
#include "support/direct.h"
#include "support/element.h"
#include "support/isa.h"
#include "support/kernel_shapes.h"
#include "support/suite.h"

enum { ISAS = NORMA_ISA_NEON, SUBJECTS_MAX = 256 };

typedef struct subject {
    const norma_kernel_entry *entry;
    norma_isa isa;
} subject;

/* Every way a driver may ask for a kernel's work to be ordered. All must give the same bits. */
static const norma_blocking rows_blockings[] = {
    {.order = NORMA_PAIRS, .group = 2},
    {.order = NORMA_PAIRS, .group = 2, .ahead = 64},
    {.order = NORMA_PAIRS, .group = 4, .ahead = 4096},
    {.order = NORMA_PAIRS, .group = NORMA_GROUP_MAX},
    {.order = NORMA_ABREAST},
    {.order = NORMA_ABREAST, .ahead = 512},
    {.order = NORMA_PAIRS, .group = 2, .stream = true},
    {.order = NORMA_PAIRS, .group = 6, .ahead = 1024, .stream = true},
    {.order = NORMA_GROUPS, .group = 1, .strip = 17, .stream = true},
    {.order = NORMA_GROUPS, .group = 3, .strip = 33, .stream = true},
    {.order = NORMA_GROUPS, .group = 5, .strip = 512, .ahead = 2048, .stream = true},
    {.order = NORMA_GROUPS, .group = NORMA_GROUP_MAX, .strip = 48, .stream = true},
    {.order = NORMA_GROUPS, .group = 2, .strip = INT64_MAX, .stream = true},
};

static const norma_blocking fibers_blockings[] = {
    {.strip = NORMA_STRIP_MAX},
    {.strip = 64},
    {.strip = 16},
    {.strip = 23},
    {.strip = 1},
    {.strip = NORMA_STRIP_MAX, .stream = true},
    {.strip = 48, .stream = true},
};

static const norma_blocking *blocking_of(const norma_kernel_entry *entry, size_t index)
{
    return entry->geometry == NORMA_ROWS ? &rows_blockings[index % COUNT_OF(rows_blockings)]
                                         : &fibers_blockings[index % COUNT_OF(fibers_blockings)];
}

static size_t blocking_count(const norma_kernel_entry *entry)
{
    return entry->geometry == NORMA_ROWS ? COUNT_OF(rows_blockings) : COUNT_OF(fibers_blockings);
}

static void describe_case(const trial *t, const norma_blocking *blocking)
{
    suite_case("length %lld, sets %lld, strides %lld %lld, %s guard, distance %d, in place %d, scale %d, shift %d, order %d, "
               "group %d, strip %lld, ahead %lld, stream %d",
               (long long)t->want->length, (long long)t->want->sets, (long long)t->desc.x_row_stride,
               (long long)t->desc.y_row_stride, t->spot.side == GUARD_START ? "start" : "end", t->spot.distance,
               t->spot.in_place, t->inputs.scale, t->inputs.shift, blocking->order, blocking->group, (long long)blocking->strip,
               (long long)blocking->ahead, blocking->stream);
}

/* Runs one trial at each distance from either guard page, in place and not, while the blockings take turns. */
static void run_everywhere(const subject *s, trial *t, int distances, int step)
{
    outcome first = {0};
    size_t turn = 0;
    for (int distance = 0; distance < distances; distance += step) {
        for (int corner = 0; corner < 4; corner++) {
            const trial_spot spot = {corner & 1 ? GUARD_START : GUARD_END, distance, corner >> 1};
            const bool alike = element_y(&t->desc) == t->desc.dtype && t->desc.x_row_stride == t->desc.y_row_stride;
            if (spot.in_place && !alike) {
                continue;
            }
            const norma_blocking *blocking = blocking_of(s->entry, turn++);
            trial_place(t, spot);
            describe_case(t, blocking);
            direct_run(t, s->entry, s->isa, blocking);
            trial_check(t, trial_tolerance(t));
            if (first.elements) {
                trial_check_same(t, &first, "another place or blocking");
            } else {
                first = trial_outcome(t);
            }
        }
    }
    outcome_destroy(&first);
}

static void run_every_blocking(const subject *s, trial *t)
{
    outcome first = {0};
    for (size_t i = 0; i < blocking_count(s->entry); i++) {
        for (int distance = 0; distance < 2; distance++) {
            const trial_spot spot = {GUARD_END, distance, false};
            trial_place(t, spot);
            describe_case(t, blocking_of(s->entry, i));
            direct_run(t, s->entry, s->isa, blocking_of(s->entry, i));
            trial_check(t, trial_tolerance(t));
            if (first.elements) {
                trial_check_same(t, &first, "another blocking");
            } else {
                first = trial_outcome(t);
            }
        }
    }
    outcome_destroy(&first);
}

/* The kernel as the API reaches it: the plan names it, and the bits are those of the direct call. */
static void run_through_api(const subject *s, trial *t)
{
    const trial_spot spot = {GUARD_END, 0, false};
    suite_case("length %lld, sets %lld, through norma_run", (long long)t->want->length, (long long)t->want->sets);
    trial_place(t, spot);
    direct_run(t, s->entry, s->isa, blocking_of(s->entry, 0));
    outcome direct = trial_outcome(t);
    trial_place(t, spot);
    norma_context *context = isa_context(s->isa, 1, NULL, NULL);
    norma_plan *plan;
    check_success(norma_plan_create(&plan, context, &t->desc));
    char text[512];
    norma_plan_describe(plan, text, sizeof text);
    if (!strstr(text, s->entry->name) || !strstr(text, norma_isa_name(s->isa))) {
        suite_fail("expected %s on %s, got the plan: %s", s->entry->name, norma_isa_name(s->isa), text);
    }
    check_success(norma_run(plan, &t->args));
    trial_check(t, trial_tolerance(t));
    trial_check_same(t, &direct, "norma_run against the kernel");
    outcome_destroy(&direct);
    norma_plan_destroy(plan);
    norma_context_destroy(context);
}

/* A rows kernel's two halves, as the drivers of planes and of split rows use them: partials of whole segments merged in order,
 * and y written in ranges that begin anywhere. Each range alone lies between guard pages. */
static void run_in_pieces(const subject *s, const trial *t, random_state *random)
{
    const norma_rows_kernel *kernel = s->entry->kernel[s->isa];
    const norma_normalizer normalizer = direct_normalizer(&t->desc);
    const norma_rows_job job = {.wide = element_parameter(&t->desc) != t->desc.dtype,
                                .epilogue = direct_epilogue(&t->desc),
                                .normalizer = &normalizer,
                                .blocking = &rows_blockings[0]};
    const size_t size = element_size(t->desc.dtype), parameter = element_size(element_parameter(&t->desc));
    const size_t y_size = element_size(element_y(&t->desc));
    const int64_t length = t->want->length, segment = norma_segment_length(length);
    guard x = guard_create((size_t)length * size), y = guard_create((size_t)length * y_size);
    norma_partial whole = {0, 0, 0};
    for (int64_t first = 0; first < length; first += segment) {
        const int64_t count = length - first < segment ? length - first : segment;
        guard_place(&x, (size_t)count * size, first / segment % 2 ? GUARD_START : GUARD_END, 0);
        memcpy(x.data, (const char *)t->x + (size_t)first * size, x.size);
        const norma_partial part = kernel->reduce(x.data, count);
        whole = first ? norma_partial_merge(whole, part) : part;
    }
    check(whole.count == (double)length);
    const norma_affine affine = norma_normalizer_affine(&normalizer, &whole);
    for (int64_t first = 0, turn = 0; first < length; turn++) {
        const int64_t left = length - first;
        const int64_t count = 1 + (int64_t)random_below(random, (uint64_t)(left < 5000 ? left : 5000));
        const guard_side side = turn % 2 ? GUARD_START : GUARD_END;
        guard_place(&x, (size_t)count * size, side, 0);
        guard_place(&y, (size_t)count * y_size, side, 0);
        memcpy(x.data, (const char *)t->x + (size_t)first * size, x.size);
        const size_t at = (size_t)first * y_size;
        const norma_pieces piece = {.x = x.data,
                                    .y = y.data,
                                    .scale = t->scale ? (const char *)t->scale + (size_t)first * parameter : NULL,
                                    .shift = t->shift ? (const char *)t->shift + (size_t)first * parameter : NULL,
                                    .count = count,
                                    .runs = 1,
                                    .affine = &affine};
        kernel->apply(&job, &piece);
        check(guard_intact(&x) && guard_intact(&y));
        memcpy((char *)t->args.y + at, y.data, y.size);
        first += count;
    }
    guard_destroy(&x);
    guard_destroy(&y);
}

static void run_pieces(const subject *s, int64_t length, random_state *random)
{
    const norma_desc desc = shape_of_rows(s->entry, 1, length, 0, length);
    const trial_inputs inputs = shape_inputs(&desc, length);
    const trial_inputs y_only = {inputs.scale, inputs.shift, false, false, 3, 1};
    trial *t = trial_create(&desc, y_only, random);
    const trial_spot spot = {GUARD_END, 0, false};
    suite_case("length %lld, in pieces", (long long)length);
    trial_place(t, spot);
    run_in_pieces(s, t, random);
    trial_check(t, trial_tolerance(t));
    outcome pieces = trial_outcome(t);
    trial_place(t, spot);
    isa_run_serial(t, s->isa);
    trial_check_same(t, &pieces, "the whole row against its pieces");
    outcome_destroy(&pieces);
    trial_destroy(t);
}

/* Narrow types are read and written in their own way, and reduced as f32 is: fewer of them do. */
static bool is_quick(const subject *s)
{
    return SUITE_QUICK || element_size(s->entry->dtype) < sizeof(float);
}

/* Of lengths and shapes every so many. */
static size_t stride_of(const subject *s)
{
    return SUITE_QUICK && element_size(s->entry->dtype) < sizeof(float) ? 3 : 1;
}

static void run_rows(const subject *s, random_state *random)
{
    const int lanes = (int)(64 / element_size(element_statistic(s->entry->dtype)));
    const bool quick = is_quick(s);
    for (size_t i = 0; i < shape_lengths_count; i += stride_of(s)) {
        const int64_t length = shape_lengths[i];
        for (int variant = 0; variant < (length < 1000 && !quick ? 4 : 1); variant++) {
            const norma_desc desc =
                shape_of_rows(s->entry, length < 1000 ? 1 + length % 5 : 3, length, length + variant, length);
            trial *t = trial_create(&desc, shape_inputs(&desc, length + variant), random);
            run_everywhere(s, t, lanes, length > 1000 || quick ? lanes / 2 - 1 : 1);
            trial_destroy(t);
        }
    }
    static const int64_t blocked[] = {1, 15, 16, 17, 64, 100, 257, 1000, 4100, 8200};
    for (size_t i = 0; i < COUNT_OF(blocked); i++) {
        const norma_desc desc = shape_of_rows(s->entry, blocked[i] > 1000 ? 7 : 37, blocked[i], 0, (int64_t)i);
        trial *t = trial_create(&desc, shape_inputs(&desc, (int64_t)i), random);
        run_every_blocking(s, t);
        run_through_api(s, t);
        trial_destroy(t);
    }
    for (size_t i = 0; i < shape_lengths_count; i += quick ? 7 : 1) {
        run_pieces(s, shape_lengths[i], random);
    }
    run_pieces(s, SUITE_QUICK ? 540000 : 1100000, random); /* segments of more than one leaf */
}

static void run_fibers(const subject *s, random_state *random)
{
    const int lanes = (int)(64 / element_size(element_statistic(s->entry->dtype)));
    const bool quick = is_quick(s);
    for (size_t i = 0; i < shape_matrices_count; i += stride_of(s)) {
        const shape_matrix matrix = shape_matrices[i];
        const bool small = matrix.rows * matrix.columns < 2000;
        const norma_desc desc = shape_of_fibers(s->entry, matrix, (int64_t)i);
        for (int variant = 0; variant < (small && !quick ? shape_variants(&desc) : 1); variant++) {
            trial *t = trial_create(&desc, shape_inputs(&desc, (int64_t)i + variant), random);
            run_everywhere(s, t, lanes, small && !quick ? 1 : lanes / 2 - 1);
            if (!small) {
                run_every_blocking(s, t);
                run_through_api(s, t);
            }
            trial_destroy(t);
        }
    }
    if (s->entry->statistic == NORMA_MOMENTS) {
        /* The rows of the matrix enumerated by two axes. */
        const int64_t shape[] = {7, 3, 11, 37};
        const int axes[] = {0, 2};
        norma_desc desc = norma_mvn_desc(4, shape, 2, axes, s->entry->dtype);
        desc.x_scale = element_is_integer(desc.dtype) ? 0.1 : 0;
        const trial_inputs inputs = {.mean = true, .rstd = true, .offset = 1, .spread = 2};
        trial *t = trial_create(&desc, inputs, random);
        run_everywhere(s, t, lanes, 1);
        run_through_api(s, t);
        trial_destroy(t);
    }
}

static void test_kernel(const void *subject_)
{
    const subject *s = subject_;
    const char *isa = norma_isa_name(s->isa);
    if (!isa_on_cpu(s->isa)) {
        suite_skip("%s %s skipped (this CPU lacks it)", s->entry->name, isa);
    }
    if (!s->entry->kernel[s->isa]) {
        suite_fail("%s %s is not in this build, but the CPU has %s", s->entry->name, isa, isa);
    }
    random_state random = random_begin((uint64_t)s->isa);
    if (s->entry->geometry == NORMA_ROWS) {
        run_rows(s, &random);
    } else {
        run_fibers(s, &random);
    }
    printf("%s %s run\n", s->entry->name, isa);
}

int main(int argc, char **argv)
{
    static subject subjects[SUBJECTS_MAX];
    static suite_test tests[SUBJECTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < norma_kernel_count && count + ISAS <= SUBJECTS_MAX; i++) {
        for (int isa = NORMA_ISA_GENERIC; isa <= ISAS; isa++) {
            const subject made = {&norma_kernel_table[i], (norma_isa)isa};
            subjects[count] = made;
            snprintf(tests[count].name, sizeof tests[count].name, "%s.%s", made.entry->name, norma_isa_name(made.isa));
            tests[count].run = test_kernel;
            tests[count].subject = &subjects[count];
            count++;
        }
    }
    if (count != norma_kernel_count * ISAS) {
        fprintf(stderr, "test_kernels: raise SUBJECTS_MAX\n");
        return EXIT_FAILURE;
    }
    return suite_main_of("kernels", tests, count, argc, argv);
}

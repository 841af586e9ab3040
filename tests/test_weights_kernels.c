/* Every kernel of src/weights/registry.def by name: each instruction set against sums in long double, between guard pages. */
#include <math.h>

#include "support/compare.h"
#include "support/element.h"
#include "support/guard.h"
#include "support/isa.h"
#include "support/kernel_shapes.h"
#include "support/random.h"
#include "support/suite.h"
#include "weights/registry.h"

enum { SUBJECTS_MAX = 64, ISAS = NORMA_ISA_NEON, TENSORS = 4, ELEMENTS_MAX = 100000 };

typedef struct subject {
    const norma_weights_entry *entry;
    norma_isa isa;
} subject;

/* Tensors of one trial, each between guard pages. */
typedef struct room {
    norma_dtype dtype;
    guard tensor[TENSORS];
} room;

static void room_place(room *r, int which, int64_t elements, guard_side side, random_state *random)
{
    guard_place(&r->tensor[which], (size_t)elements * element_size(r->dtype), side, 0);
    for (int64_t i = 0; i < elements; i++) {
        element_set(r->dtype, r->tensor[which].data, i, random_normal(random));
    }
}

static double at(const room *r, int which, int64_t i)
{
    return element_get(r->dtype, r->tensor[which].data, i);
}

static void check_intact(const room *r)
{
    for (int i = 0; i < TENSORS; i++) {
        check(!r->tensor[i].size || guard_intact(&r->tensor[i]));
    }
}

/* Sums of f32 err by a few units in the last place of the sum of magnitudes: a lane adds at most 512 products in 4 chains. */
static void check_dot(const room *r, int64_t first, int64_t count, int64_t stride, double got)
{
    long double want = 0, magnitude = 0;
    for (int64_t i = 0; i < count; i++) {
        const long double product = (long double)at(r, 0, first + i * stride) * at(r, 1, first + i * stride);
        want += product;
        magnitude += fabsl(product);
    }
    const double unit = r->dtype == NORMA_F64 ? 0x1p-53 : 0x1p-24;
    check(fabsl(got - want) <= 24 * unit * magnitude);
}

/* A result of three roundings, some of the expectation, and that of the type; `bound` is of what was added. */
static void check_near(const room *r, int which, int64_t i, double want, double bound)
{
    const double unit = r->dtype == NORMA_F64 ? 0x1p-51 : 0x1p-22;
    const double ulp = element_is_narrow(r->dtype) ? 0.51 * element_ulp(r->dtype, want) : 0;
    if (!(fabs(at(r, which, i) - want) <= bound * unit + ulp)) {
        suite_fail("element %lld: %g, expected %g", (long long)i, at(r, which, i), want);
    }
}

/* y = (a + b * q) * p. */
static void check_combined(const room *r, int which, int64_t i, double p, double q, bool two)
{
    const double a = at(r, 0, i), b = two ? at(r, 1, i) : 0;
    check_near(r, which, i, (a + b * q) * p, (fabs(a) + fabs(b * q)) * fabs(p));
}

static norma_combination combination_of(room *r, int y, int64_t count, const void *p, const void *q, bool two)
{
    const norma_combination job = {.a = r->tensor[0].data,
                                   .b = two ? r->tensor[1].data : NULL,
                                   .y = r->tensor[y].data,
                                   .rows = 1,
                                   .count = count,
                                   .p = p,
                                   .q = q};
    return job;
}

/* A lane number of either type. */
typedef union lane {
    float f32;
    double f64;
} lane;

static lane lane_of(norma_dtype dtype, double value)
{
    lane made;
    if (dtype == NORMA_F64) {
        made.f64 = value;
    } else {
        made.f32 = (float)value;
    }
    return made;
}

static void try_run(const norma_products_kernel *kernel, room *r, int64_t count, guard_side side, random_state *random)
{
    const lane p = lane_of(r->dtype, 0.75), q = lane_of(r->dtype, -1.25);
    for (int i = 0; i < TENSORS; i++) {
        room_place(r, i, count, side, random);
    }
    const double sum = kernel->dot(r->tensor[0].data, r->tensor[1].data, count);
    check_dot(r, 0, count, 1, sum);
    for (int way = 0; way < 4; way++) {
        const bool two = way & 1;
        norma_combination job = combination_of(r, 2, count, &p, &q, two);
        job.stream = way >> 1;
        kernel->combine(&job);
        for (int64_t i = 0; i < count; i++) {
            check_combined(r, 2, i, 0.75, -1.25, two);
        }
        job.y = r->tensor[3].data;
        job.ahead = 16;
        check(kernel->dot_beside(r->tensor[0].data, r->tensor[1].data, count, &job) == sum);
        kernel->settle();
        check(compare_bits(r->dtype, r->tensor[2].data, r->tensor[3].data, count) < 0);
    }
    check_intact(r);
}

static void try_columns(const norma_products_kernel *kernel, room *r, shape_matrix matrix, random_state *random)
{
    const int64_t stride = matrix.columns + 3, columns = matrix.columns;
    const int64_t elements = (matrix.rows - 1) * stride + columns;
    double sums[NORMA_COLUMNS_MAX], p[NORMA_COLUMNS_MAX], q[NORMA_COLUMNS_MAX];
    for (int i = 0; i < 3; i++) {
        room_place(r, i, elements, i % 2 ? GUARD_START : GUARD_END, random);
    }
    kernel->dot_columns(r->tensor[0].data, r->tensor[1].data, matrix.rows, columns, stride, sums);
    for (int64_t c = 0; c < columns; c++) {
        check_dot(r, c, matrix.rows, stride, sums[c]);
        element_set(element_statistic(r->dtype), p, c, 1 + (double)c / 512);
        element_set(element_statistic(r->dtype), q, c, 2 - (double)c / 128);
    }
    for (int way = 0; way < 4; way++) {
        norma_combination job = combination_of(r, 2, columns, p, q, way & 1);
        job.rows = matrix.rows;
        job.stride = stride;
        job.by_column = true;
        job.stream = way >> 1;
        kernel->combine(&job);
        for (int64_t i = 0; i < matrix.rows * columns; i++) {
            const int64_t c = i % columns;
            check_combined(r, 2, i / columns * stride + c, 1 + (double)c / 512, 2 - (double)c / 128, way & 1);
        }
    }
    check_intact(r);
}

/* Beyond and below the range of squares of f32. */
static void try_scales(const norma_products_kernel *kernel, room *r)
{
    const double scales[] = {1e25, 1e-25}, wide[] = {1e150, 1e-150};
    for (int k = 0; k < 2 && r->dtype != NORMA_F16; k++) {
        const double x = element_round(r->dtype, r->dtype == NORMA_F64 ? wide[k] : scales[k]);
        for (int i = 0; i < 2; i++) {
            guard_place(&r->tensor[i], 100 * element_size(r->dtype), GUARD_END, 0);
            for (int64_t j = 0; j < 100; j++) {
                element_set(r->dtype, r->tensor[i].data, j, x);
            }
        }
        double sums[4];
        check(fabs(kernel->dot(r->tensor[0].data, r->tensor[1].data, 100) / (100 * x * x) - 1) <= 1e-6);
        kernel->dot_columns(r->tensor[0].data, r->tensor[1].data, 25, 4, 4, sums);
        check(fabs(sums[3] / (25 * x * x) - 1) <= 1e-6);
    }
}

static void run_products(const norma_products_kernel *kernel, room *r, random_state *random)
{
    for (size_t i = 0; i < shape_lengths_count; i += SUITE_QUICK ? 5 : 1) {
        suite_case("%lld elements", (long long)shape_lengths[i]);
        try_run(kernel, r, shape_lengths[i], i % 2 ? GUARD_START : GUARD_END, random);
    }
    for (size_t i = 0; i < shape_matrices_count; i += 7) {
        const shape_matrix matrix = shape_matrices[i];
        if (matrix.columns <= NORMA_COLUMNS_MAX && matrix.rows * (matrix.columns + 3) <= ELEMENTS_MAX) {
            suite_case("%lld rows of %lld", (long long)matrix.rows, (long long)matrix.columns);
            try_columns(kernel, r, matrix, random);
        }
    }
    try_columns(kernel, r, (shape_matrix){1100, 33}, random);
    try_columns(kernel, r, (shape_matrix){5, NORMA_COLUMNS_MAX}, random);
    try_scales(kernel, r);
}

/* ------------------------------------------------------------------------------------------------------------
 * Power iteration
 * ------------------------------------------------------------------------------------------------------------ */

/* A number of a vector of lanes. */
static double lane_at(const room *r, const void *vector, int64_t i)
{
    return element_get(element_statistic(r->dtype), vector, i);
}

/* A lane adds at most 256 products in a chain, a column 128 rows: errors are of sums of magnitudes. */
static void check_sum(const room *r, double got, long double want, long double magnitude)
{
    const double unit = r->dtype == NORMA_F64 ? 0x1p-53 : 0x1p-24;
    check(fabsl(got - want) <= 40 * unit * magnitude);
}

/* What a pass gave, products first. */
static void check_pass(const room *r, shape_matrix matrix, const void *in, const void *products, const double *sums)
{
    for (int64_t i = 0; in && i < matrix.rows; i++) {
        long double want = 0, magnitude = 0;
        for (int64_t c = 0; c < matrix.columns; c++) {
            const long double product = (long double)at(r, 0, i * matrix.columns + c) * lane_at(r, in, c);
            want += product;
            magnitude += fabsl(product);
        }
        check_sum(r, lane_at(r, products, i) * 4, want, magnitude); /* the gain is 1 / 4 */
    }
    for (int64_t c = 0; sums && c < matrix.columns; c++) {
        long double want = 0, magnitude = 0;
        for (int64_t i = 0; i < matrix.rows; i++) {
            const long double product = (long double)at(r, 0, i * matrix.columns + c) * lane_at(r, products, i);
            want += product;
            magnitude += fabsl(product);
        }
        check_sum(r, sums[c], want, magnitude);
    }
}

static void try_pass(const norma_power_kernel *kernel, room *r, shape_matrix matrix, random_state *random)
{
    const norma_dtype lanes = element_statistic(r->dtype);
    const size_t columns = (size_t)matrix.columns + NORMA_POWER_ROOM;
    void *in = suite_alloc(columns, sizeof(double)), *leaf = suite_alloc(columns, sizeof(double));
    void *products = suite_alloc((size_t)matrix.rows, sizeof(double));
    double *sums = suite_alloc(columns, sizeof *sums), *again = suite_alloc(columns + (size_t)matrix.rows, sizeof *again);
    room_place(r, 0, matrix.rows * matrix.columns, matrix.rows % 2 ? GUARD_START : GUARD_END, random);
    for (int64_t c = 0; c < matrix.columns; c++) {
        element_set(lanes, in, c, random_normal(random));
    }
    norma_power_job job = {.matrix = r->tensor[0].data,
                           .columns = matrix.columns,
                           .in = in,
                           .gain = 0.25,
                           .products = products,
                           .sums = sums,
                           .leaf = leaf};
    kernel->pass(&job, 0, matrix.rows);
    check_pass(r, matrix, in, products, sums);
    job.in = NULL; /* each half by itself has the same bits */
    job.sums = again;
    kernel->pass(&job, 0, matrix.rows);
    check(memcmp(sums, again, (size_t)matrix.columns * sizeof *sums) == 0);
    job.in = in;
    job.sums = NULL;
    job.products = again;
    kernel->pass(&job, 0, matrix.rows);
    check(compare_bits(lanes, again, products, matrix.rows) < 0);
    check_intact(r);
    void *all[] = {in, leaf, products, sums, again};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        free(all[i]);
    }
}

static void try_deflate(const norma_power_kernel *kernel, room *r, int64_t count, random_state *random)
{
    double *b = suite_alloc((size_t)count, sizeof *b);
    for (int64_t i = 0; i < count; i++) {
        element_set(element_statistic(r->dtype), b, i, random_normal(random));
    }
    room_place(r, 0, count, count % 2 ? GUARD_START : GUARD_END, random);
    room_place(r, 2, count, count % 2 ? GUARD_END : GUARD_START, random);
    kernel->deflate(r->tensor[0].data, b, r->tensor[2].data, count, 0.75, -1.25);
    for (int64_t i = 0; i < count; i++) {
        check_near(r, 2, i, (at(r, 0, i) - 1.25 * lane_at(r, b, i)) * 0.75, fabs(at(r, 0, i)) + 1.25 * fabs(lane_at(r, b, i)));
    }
    check_intact(r);
    free(b);
}

static void run_power(const norma_power_kernel *kernel, room *r, random_state *random)
{
    static const int64_t rows[] = {1, 2, 3, 5, 15, 16, 17, 33, 127, 128, 129, 270};
    static const int64_t columns[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 257};
    for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(columns); i += SUITE_QUICK ? 5 : 1) {
        const shape_matrix matrix = {rows[i / COUNT_OF(columns)], columns[i % COUNT_OF(columns)]};
        suite_case("%lld rows of %lld", (long long)matrix.rows, (long long)matrix.columns);
        try_pass(kernel, r, matrix, random);
    }
    try_pass(kernel, r, (shape_matrix){5, 8192 + 40}, random); /* more than a leaf of columns */
    for (int64_t count = 1; count < 40; count++) {
        try_deflate(kernel, r, count, random);
    }
}

static void test_kernel(const void *subject_)
{
    const subject *s = subject_;
    const char *isa = norma_isa_name(s->isa);
    if (!isa_on_cpu(s->isa)) {
        suite_skip("%s %s skipped (this CPU lacks it)", s->entry->name, isa);
    }
    const void *kernel = s->entry->kernel[s->isa];
    if (!kernel) {
        suite_fail("%s %s is not in this build, but the CPU has %s", s->entry->name, isa, isa);
    }
    random_state random = random_begin((uint64_t)s->isa);
    room r = {.dtype = s->entry->dtype};
    for (int i = 0; i < TENSORS; i++) {
        r.tensor[i] = guard_create(ELEMENTS_MAX * sizeof(double));
    }
    if (s->entry->algorithm == NORMA_PRODUCTS) {
        run_products(kernel, &r, &random);
    } else {
        run_power(kernel, &r, &random);
    }
    for (int i = 0; i < TENSORS; i++) {
        guard_destroy(&r.tensor[i]);
    }
    printf("%s %s run\n", s->entry->name, isa);
}

int main(int argc, char **argv)
{
    static subject subjects[SUBJECTS_MAX];
    static suite_test tests[SUBJECTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < norma_weights_count && count + ISAS <= SUBJECTS_MAX; i++) {
        for (int isa = NORMA_ISA_GENERIC; isa <= ISAS; isa++) {
            const subject made = {&norma_weights_table[i], (norma_isa)isa};
            subjects[count] = made;
            snprintf(tests[count].name, sizeof tests[count].name, "%s.%s", made.entry->name, norma_isa_name(made.isa));
            tests[count].run = test_kernel;
            tests[count].subject = &subjects[count];
            count++;
        }
    }
    return suite_main_of("weights_kernels", tests, count, argc, argv);
}

/* What norma_run() refuses: a status, a sentence that names the tensor, and nothing written. */
#include "support/cases.h"
#include "support/element.h"
#include "support/isa.h"
#include "support/suite.h"

static const trial_spot plain_spot = {GUARD_END, 0, false};

/* A trial with its plan. */
typedef struct subject {
    trial *t;
    norma_plan *plan;
} subject;

static subject subject_of(norma_desc desc, bool scale, bool shift)
{
    const bool given = desc.statistics == NORMA_STATISTICS_GIVEN;
    const bool moments = desc.op != NORMA_LP_NORM && desc.op != NORMA_RMS_NORM;
    const trial_inputs inputs = {scale, shift, moments && !given, !given, 0, 1};
    random_state random = random_begin(0);
    subject s = {trial_create(&desc, inputs, &random), NULL};
    check_success(norma_plan_create(&s.plan, NULL, &desc));
    trial_place(s.t, plain_spot);
    return s;
}

static subject layer_subject(void)
{
    const int64_t shape[] = {5, 40};
    return subject_of(norma_layer_norm_desc(2, shape, -1, NORMA_F32), true, true);
}

static void end(subject *s)
{
    norma_plan_destroy(s->plan);
    trial_destroy(s->t);
}

/* Runs with the changed arguments; the subject's own still say where the outputs are. */
static void refuse(const subject *s, norma_args args, const char *word)
{
    check_refused(norma_run(s->plan, &args), NORMA_INVALID_ARGUMENT, word);
    trial_check_untouched(s->t);
}

static void take(subject *s)
{
    check_success(norma_run(s->plan, &s->t->args));
    trial_check(s->t, trial_tolerance(s->t));
}

static void null_plan(void **state)
{
    (void)state;
    subject s = layer_subject();
    norma_desc broken = s.t->desc;
    broken.epsilon = -1;
    norma_plan *plan = s.plan;
    check(norma_plan_create(&plan, NULL, &broken) == NORMA_INVALID_ARGUMENT);
    check_refused(norma_run(plan, &s.t->args), NORMA_INVALID_ARGUMENT, "plan"); /* a plan after a failed create */
    trial_check_untouched(s.t);
    check_refused(norma_run(s.plan, NULL), NORMA_INVALID_ARGUMENT, "args");
    end(&s);
}

static void null_tensors(void **state)
{
    (void)state;
    subject s = layer_subject();
    norma_args args = s.t->args;
    args.x = NULL;
    refuse(&s, args, "args.x");
    args = s.t->args;
    args.y = NULL;
    args.mean = args.rstd = NULL;
    refuse(&s, args, "args.y");
    take(&s);
    end(&s);
}

static void tensors_that_the_op_does_not_take(void **state)
{
    (void)state;
    const int64_t shape[] = {5, 40};
    const int axes[] = {1};
    static float spare[64];
    subject rms = subject_of(norma_rms_norm_desc(2, shape, -1, NORMA_F32), true, false);
    subject lp = subject_of(norma_lp_norm_desc(2, shape, -1, 2, NORMA_F32), false, false);
    subject mvn = subject_of(norma_mvn_desc(2, shape, 1, axes, NORMA_F32), false, false);
    norma_args args = rms.t->args;
    args.shift = spare;
    refuse(&rms, args, "args.shift");
    args = rms.t->args;
    args.mean = spare;
    refuse(&rms, args, "args.mean");
    args = lp.t->args;
    args.scale = spare;
    refuse(&lp, args, "args.scale");
    args = lp.t->args;
    args.shift = spare;
    refuse(&lp, args, "args.shift");
    args = lp.t->args;
    args.mean = spare;
    refuse(&lp, args, "args.mean");
    args = mvn.t->args;
    args.scale = spare;
    refuse(&mvn, args, "args.scale");
    args = mvn.t->args;
    args.shift = spare;
    refuse(&mvn, args, "args.shift");
    for (size_t i = 0; i < COUNT_OF(spare); i++) {
        check(spare[i] == 0);
    }
    take(&rms);
    take(&lp);
    take(&mvn);
    end(&rms);
    end(&lp);
    end(&mvn);
}

static void misaligned_pointers(void **state)
{
    (void)state;
    static unsigned char bytes[512];
    void *const odd = bytes + 1 + (uintptr_t)bytes % 2; /* an odd address */
    for (norma_dtype dtype = NORMA_F32; dtype <= NORMA_F64; dtype++) {
        const int64_t shape[] = {2, 20};
        subject s = subject_of(norma_layer_norm_desc(2, shape, -1, dtype), true, true);
        norma_args args = s.t->args;
        args.x = odd;
        refuse(&s, args, "args.x");
        args = s.t->args;
        args.y = odd;
        refuse(&s, args, "args.y");
        args = s.t->args;
        args.scale = odd;
        refuse(&s, args, "args.scale");
        args = s.t->args;
        args.shift = odd;
        refuse(&s, args, "args.shift");
        args = s.t->args;
        args.mean = odd;
        refuse(&s, args, "args.mean");
        args = s.t->args;
        args.rstd = odd;
        refuse(&s, args, "args.rstd");
        take(&s);
        end(&s);
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        check(bytes[i] == 0);
    }
}

/* An output that would overlap `with` by its first or last element. */
static void *beside(const void *with, size_t with_bytes, size_t own_bytes, size_t size, bool before)
{
    const unsigned char *begin = with;
    const unsigned char *at = before ? begin - own_bytes + size : begin + with_bytes - size;
    void *out;
    memcpy(&out, &at, sizeof out); /* drops const */
    return out;
}

static void outputs_that_overlap(void **state)
{
    (void)state;
    subject s = layer_subject();
    const size_t size = sizeof(float), whole = 5 * 40 * size, row = 40 * size, sets = 5 * size;
    for (int before = 0; before < 2; before++) {
        norma_args args = s.t->args;
        args.y = beside(args.x, whole, whole, size, before);
        refuse(&s, args, "args.y");
        args = s.t->args;
        args.y = beside(args.scale, row, whole, size, before);
        refuse(&s, args, "args.y");
        args = s.t->args;
        args.y = beside(args.shift, row, whole, size, before);
        refuse(&s, args, "args.y");
        args = s.t->args;
        args.mean = beside(args.y, whole, sets, size, before);
        refuse(&s, args, "args.mean");
        args = s.t->args;
        args.mean = beside(args.x, whole, sets, size, before);
        refuse(&s, args, "args.mean");
        args = s.t->args;
        args.rstd = beside(args.mean, sets, sets, size, before);
        refuse(&s, args, "args.rstd");
        args = s.t->args;
        args.rstd = beside(args.scale, row, sets, size, before);
        refuse(&s, args, "args.rstd");
    }
    norma_args args = s.t->args;
    args.rstd = args.mean;
    refuse(&s, args, "args.rstd");
    take(&s);
    end(&s);
}

/* Planes and fibers compute their extents in another way than rows. */
static void outputs_that_overlap_in_every_geometry(void **state)
{
    (void)state;
    for (size_t i = 0; i < cases_count(); i++) {
        const test_case c = cases_get(i);
        suite_case("%s", c.name);
        subject s = subject_of(c.desc, c.inputs.scale, c.inputs.shift);
        const size_t size = element_size(c.desc.dtype);
        for (int before = 0; before < 2; before++) {
            norma_args args = s.t->args;
            args.y = beside(args.x, (size_t)s.t->x_extent * size, (size_t)s.t->y_extent * size, size, before);
            refuse(&s, args, "args.y");
            if (c.desc.statistics == NORMA_STATISTICS_GIVEN) {
                continue;
            }
            args = s.t->args;
            args.rstd = beside(args.x, (size_t)s.t->x_extent * size, (size_t)s.t->want->sets * size, size, before);
            refuse(&s, args, "args.rstd");
            args = s.t->args;
            args.rstd = beside(args.y, (size_t)s.t->y_extent * size, (size_t)s.t->want->sets * size, size, before);
            refuse(&s, args, "args.rstd");
        }
        take(&s);
        end(&s);
    }
}

/* In place with another stride would read rows already overwritten. */
static void in_place_needs_equal_strides(void **state)
{
    (void)state;
    const int64_t shape[] = {5, 40};
    norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
    desc.x_row_stride = 40;
    desc.y_row_stride = 48;
    subject s = subject_of(desc, true, true);
    norma_args args = s.t->args;
    memcpy(&args.y, &args.x, sizeof args.y);
    refuse(&s, args, "args.y");
    take(&s);
    end(&s);
}

static void struct_sizes(void **state)
{
    (void)state;
    subject s = layer_subject();
    static const size_t wrong[] = {0, 1, sizeof(size_t), sizeof(norma_args) - 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        norma_args args = s.t->args;
        args.struct_size = wrong[i];
        refuse(&s, args, "struct_size");
    }
    struct {
        norma_args args;
        char tail[32];
    } later = {.args = s.t->args};
    later.args.struct_size = sizeof later;
    later.tail[31] = 1;
    check_refused(norma_run(s.plan, &later.args), NORMA_INVALID_ARGUMENT, "struct_size");
    trial_check_untouched(s.t);
    later.tail[31] = 0;
    check_success(norma_run(s.plan, &later.args));
    trial_check(s.t, trial_tolerance(s.t));
    end(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_plan),
        cmocka_unit_test(null_tensors),
        cmocka_unit_test(tensors_that_the_op_does_not_take),
        cmocka_unit_test(misaligned_pointers),
        cmocka_unit_test(outputs_that_overlap),
        cmocka_unit_test(outputs_that_overlap_in_every_geometry),
        cmocka_unit_test(in_place_needs_equal_strides),
        cmocka_unit_test(struct_sizes),
    };
    return suite_main("arguments", tests, COUNT_OF(tests), argc, argv);
}

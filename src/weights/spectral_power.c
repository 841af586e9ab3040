/* Power iteration: passes over M, and what an iteration makes of them. M times across, then its transpose times that, is one
 * pass (template/power.h). */
#include <math.h>

#include "dtype.h"
#include "weights/spectral.h"

/* ------------------------------------------------------------------------------------------------------------
 * Passes over M
 * ------------------------------------------------------------------------------------------------------------ */

/* The columns' sums of segment i, in place `at` of those that there is room for. */
static void pass_segment(const spectral *s, int64_t i, int64_t at)
{
    const int64_t room = columns_with_room(s);
    norma_power_job job = s->job;
    job.leaf = norma_out_element(s->lane_dtype, s->leaf, at * room);
    job.sums = s->job.sums ? s->sums + at * room : NULL;
    s->power->pass(&job, i * s->segment, smaller(s->height, (i + 1) * s->segment));
}

static void pass_segments(void *argument, size_t task)
{
    const spectral *s = argument;
    const int64_t last = norma_part_begin(s->segments, s->tasks, (int64_t)task + 1);
    for (int64_t i = norma_part_begin(s->segments, s->tasks, (int64_t)task); i < last; i++) {
        pass_segment(s, i, i);
    }
}

/* Those in place `at` join those in the first. */
static void join_segment(const spectral *s, int64_t at)
{
    const double *from = s->sums + at * columns_with_room(s);
    for (int64_t c = 0; c < s->width; c++) {
        s->sums[c] += from[c];
    }
}

/* A pass over all rows. The columns' sums are then in the first place. */
static void pass(spectral *s, const void *in, void *products, double gain, bool sums)
{
    const norma_power_job job = {
        .matrix = s->matrix, .columns = s->width, .in = in, .gain = gain, .products = products, .sums = sums ? s->sums : NULL};
    s->job = job;
    if (s->tasks > 1) {
        run_tasks(s, smaller(s->tasks, s->segments), pass_segments, s);
    }
    for (int64_t i = 0; i < s->segments; i++) {
        const int64_t at = s->tasks > 1 || i == 0 ? i : 1; /* two places stay near */
        if (s->tasks == 1) {
            pass_segment(s, i, at);
        }
        if (sums && i > 0) {
            join_segment(s, at);
        }
    }
}

/* Sums of squares in double neither overflow nor lose f32's small ones. */
static double norm_of_f32(const float *vector, int64_t count)
{
    double part[8] = {0}; /* a loop that waits for one sum alone would show beside a pass */
    for (int64_t i = 0; i < count; i++) {
        part[i % 8] += (double)vector[i] * (double)vector[i];
    }
    return sqrt(((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])));
}

static double norm_of_f64(const double *vector, int64_t count)
{
    double part[8] = {0};
    for (int64_t i = 0; i < count; i++) {
        part[i % 8] += vector[i] * vector[i];
    }
    return sqrt(((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])));
}

double norma_spectral_length(norma_dtype dtype, const void *vector, int64_t count)
{
    return dtype == NORMA_F64 ? norm_of_f64(vector, count) : norm_of_f32(vector, count);
}

/* to = from * factor, to lanes. Loops of their own for each pair of types: compilers vectorize these. */
static void scale_vector(const spectral *s, norma_dtype dtype, const void *from, void *to, int64_t count, double factor)
{
    const double *wide = from;
    const float *narrow = from;
    double *wide_to = to;
    float *narrow_to = to;
    if (s->lane_dtype == NORMA_F64) {
        for (int64_t i = 0; i < count; i++) {
            wide_to[i] = wide[i] * factor;
        }
    } else if (dtype == NORMA_F64) {
        for (int64_t i = 0; i < count; i++) {
            narrow_to[i] = (float)(wide[i] * factor);
        }
    } else {
        for (int64_t i = 0; i < count; i++) {
            narrow_to[i] = (float)((double)narrow[i] * factor);
        }
    }
}

/* Whether products and sums of f32 had room enough in it. */
static bool in_range(const spectral *s, double norm)
{
    return s->lane_dtype == NORMA_F64 || (norm >= 1e-12 && norm <= 1e12);
}

/* The power of two of the largest element of M that is a number; 0 for none. */
static int exponent_of_matrix(const spectral *s)
{
    double most = 0;
    for (int64_t i = 0; i < s->height * s->width; i++) {
        const double value = fabs(norma_dtype_get(s->desc.dtype, s->matrix, i));
        most = isfinite(value) && value > most ? value : most;
    }
    return most > 0 ? ilogb(most) : 0;
}

/* What a pass gave: multiplied by `scale`, a power of two, and of what norm then. */
typedef struct product {
    double scale;
    double norm;
} product;

/* M times across into out and, with sums, its transpose times that. Sums are of the order of M's elements squared: where these
 * do not fit f32, half of their exponent is taken out of the one and the other half out of the other. */
static product times_across(spectral *s, bool sums)
{
    product p = {1, 0};
    pass(s, s->across, s->out, 1, sums);
    p.norm = norma_spectral_length(s->lane_dtype, s->out, s->height);
    if (!in_range(s, p.norm)) {
        const int exponent = exponent_of_matrix(s), half = exponent / 2;
        scale_vector(s, s->lane_dtype, s->across, s->in, s->width, ldexp(1, -half));
        pass(s, s->in, s->out, ldexp(1, -exponent), sums);
        p.scale = ldexp(1, -half - exponent);
        p.norm = norma_spectral_length(s->lane_dtype, s->out, s->height);
    }
    return p;
}

/* The transpose of M times down into the sums, likewise. */
static product times_down(spectral *s)
{
    product p = {1, 0};
    pass(s, NULL, s->down, 1, true);
    p.norm = norma_spectral_length(NORMA_F64, s->sums, s->width);
    if (!in_range(s, p.norm)) {
        p.scale = ldexp(1, -exponent_of_matrix(s) / 2);
        scale_vector(s, s->lane_dtype, s->down, s->out, s->height, p.scale);
        pass(s, NULL, s->out, 1, true);
        p.norm = norma_spectral_length(NORMA_F64, s->sums, s->width);
    }
    return p;
}

/* ------------------------------------------------------------------------------------------------------------
 * Iterations
 * ------------------------------------------------------------------------------------------------------------ */

static double floored(const spectral *s, double norm)
{
    return norm < s->desc.epsilon ? s->desc.epsilon : norm; /* NaN stays */
}

/* u^T W v, where one of the two is the other's product with W, of that norm, normalized. */
static double sigma_of(const spectral *s, double norm)
{
    return norm * (norm / floored(s, norm));
}

/* down = normalize(M across). */
static double iterate_down(spectral *s)
{
    const product p = times_across(s, false);
    const double norm = p.norm / p.scale;
    scale_vector(s, s->lane_dtype, s->out, s->down, s->height, 1 / (floored(s, norm) * p.scale));
    return sigma_of(s, norm);
}

/* across = normalize(M^T down). */
static void iterate_across(spectral *s)
{
    const product p = times_down(s);
    scale_vector(s, NORMA_F64, s->sums, s->across, s->width, 1 / (floored(s, p.norm / p.scale) * p.scale));
}

/* Both, down first, in one pass: the sums are those of M across before it is normalized. */
static double iterate_both(spectral *s)
{
    const product p = times_across(s, true);
    const double length = floored(s, p.norm / p.scale) * p.scale;
    const double norm = norma_spectral_length(NORMA_F64, s->sums, s->width) / length;
    scale_vector(s, s->lane_dtype, s->out, s->down, s->height, 1 / length);
    scale_vector(s, NORMA_F64, s->sums, s->across, s->width, 1 / (floored(s, norm) * length));
    return sigma_of(s, norm);
}

/* u^T W v of vectors that were given. */
static double evaluate(spectral *s)
{
    const product p = times_across(s, false);
    double sigma = 0;
    for (int64_t i = 0; i < s->height; i++) {
        sigma += norma_dtype_get(s->lane_dtype, s->down, i) * (norma_dtype_get(s->lane_dtype, s->out, i) / p.scale);
    }
    return sigma;
}

/* All iterations; returns sigma. Across first, all but the first and the last half are still one pass for two. */
double norma_spectral_iterate(spectral *s)
{
    const bool down_first = (s->desc.order == NORMA_SPECTRAL_U_FIRST) != s->swapped;
    double sigma = 0;
    if (s->desc.iterations == 0) {
        return evaluate(s);
    }
    for (int i = 0; i < s->desc.iterations; i++) {
        if (!down_first && i == 0) {
            iterate_across(s);
        } else {
            sigma = iterate_both(s);
        }
    }
    return down_first ? sigma : iterate_down(s);
}

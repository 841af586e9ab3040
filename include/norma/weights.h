/*
 * norma: weights. Batch norm folded into the layer beside it, for deployment; and the two norms that layers' weights are
 * reparametrized by in training, weight norm and spectral norm.
 *
 * What norma.h promises holds here: failure is a status and a sentence that names the argument, and nothing is written then;
 * results have the same bits for any number of threads and on AVX2, AVX-512 and NEON. All functions are thread-safe.
 */
#ifndef NORMA_WEIGHTS_H
#define NORMA_WEIGHTS_H

#include <norma/norma.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------
 * Folding: batch norm with given statistics as part of the layer before or after it
 * ------------------------------------------------------------------------------------------------------------ */

/* What a norm is folded into, and how its weight lies. `kernel` is any number of extents, none included. */
typedef enum norma_fold_layer {
    NORMA_FOLD_CONV = 1,           /* (out, in / groups, kernel); depthwise: groups = in */
    NORMA_FOLD_CONV_TRANSPOSE = 2, /* (in, out / groups, kernel) */
    NORMA_FOLD_LINEAR = 3,         /* (out, in) */
    NORMA_FOLD_BATCH_NORM = 4      /* (channels): another batch norm's scale; its shift is the bias. Two become one, which keeps
                                      the mean, variance and epsilon of that other. */
} norma_fold_layer;

/* A batch norm: (x - mean) / sqrt(variance + epsilon) * scale + shift, channel by channel. */
typedef struct norma_fold_norm {
    size_t struct_size;   /* sizeof(norma_fold_norm) */
    const void *scale;    /* gamma, or NULL: 1 */
    const void *shift;    /* beta, or NULL: 0 */
    const void *mean;     /* the running one */
    const void *variance; /* likewise; at least 0 */
    double epsilon;       /* at least 0 */
} norma_fold_norm;

/* Filled by the functions below; fields may then be changed. */
typedef struct norma_fold_desc {
    size_t struct_size;
    norma_fold_layer layer;
    norma_dtype dtype;      /* of the weight */
    norma_dtype bias_dtype; /* of the bias: dtype or, where that is bf16 or f16, NORMA_F32; 0: dtype */
    norma_dtype norm_dtype; /* of the norms' tensors and of args.output_padding: NORMA_F32 or NORMA_F64 */
    int rank;
    int64_t shape[NORMA_MAX_RANK]; /* the weight's */
    int64_t groups;                /* of convolutions; 1 elsewhere */
    int norm_first;                /* 1: the norms come before the layer; 0: after it */
    int padded;                    /* 1: a convolution that pads its input with zeros; matters where the norms come first */
} norma_fold_desc;

/* For the functions below; not for callers. */
static inline norma_fold_desc norma_fold_desc_(norma_fold_layer layer, int rank, const int64_t *shape, int64_t groups,
                                               norma_dtype dtype)
{
    norma_fold_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.layer = layer;
    desc.dtype = dtype;
    desc.norm_dtype = dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
    desc.rank = shape ? rank : 0;
    for (int k = 0; k < desc.rank && k < NORMA_MAX_RANK; k++) {
        desc.shape[k] = shape[k];
    }
    desc.groups = groups;
    return desc;
}

/* A convolution with its weight's shape: (out, in / groups, kernel). */
static inline norma_fold_desc norma_fold_conv_desc(int rank, const int64_t *shape, int64_t groups, norma_dtype dtype)
{
    return norma_fold_desc_(NORMA_FOLD_CONV, rank, shape, groups, dtype);
}

/* A transposed convolution with its weight's shape: (in, out / groups, kernel). */
static inline norma_fold_desc norma_fold_conv_transpose_desc(int rank, const int64_t *shape, int64_t groups, norma_dtype dtype)
{
    return norma_fold_desc_(NORMA_FOLD_CONV_TRANSPOSE, rank, shape, groups, dtype);
}

/* A linear layer with weight (out, in). */
static inline norma_fold_desc norma_fold_linear_desc(int64_t out, int64_t in, norma_dtype dtype)
{
    const int64_t shape[2] = {out, in};
    return norma_fold_desc_(NORMA_FOLD_LINEAR, 2, shape, 1, dtype);
}

/* A batch norm with scale (channels). */
static inline norma_fold_desc norma_fold_batch_norm_desc(int64_t channels, norma_dtype dtype)
{
    return norma_fold_desc_(NORMA_FOLD_BATCH_NORM, 1, &channels, 1, dtype);
}

/* Tensors lie densely. An output may be the input of its name; otherwise no output may overlap another tensor. */
typedef struct norma_fold_args {
    size_t struct_size; /* sizeof(norma_fold_args) */
    const void *weight;
    const void *bias; /* (out), or NULL: 0 */
    const norma_fold_norm *norms;
    int norms_count; /* at least 1: a chain, in the order in which the data go through them */
    void *output_weight;
    void *output_bias;    /* (out): there always is one */
    void *output_padding; /* (in), with norm_first and padded: what each channel is to be padded with instead of zero; else NULL
                           */
} norma_fold_args;

/* Makes one layer of a layer and batch norms, which computes what they do together, up to rounding: sums and products are in
 * double, and each result is rounded once. With s = scale / sqrt(variance + epsilon) (0 where that root is 0), a norm after the
 * layer gives
 *     weight * s over output channels (of a transposed convolution: group by group), (bias - mean) * s + shift;
 * and, with a = s and t = shift - mean * s, one before it
 *     weight * a over input channels, bias + sum of weight * t over inputs and kernel.
 * The latter is exact where the layer adds no zeros of its own. A convolution that pads has to pad with -t / a instead, channel
 * by channel, to stay exact: output_padding receives that.
 *
 * Errors, beside NULL tensors, overlaps and shapes that do not fit: NORMA_UNSUPPORTED, where what is asked for is well formed
 * but has no exact fold: norms before a transposed convolution, whose outputs do not all see the whole kernel; a padded
 * convolution where some a is 0 and its t is not, or -t / a is infinite; a result that a finite input makes infinite in its
 * type. What stands between layer and norm (an activation) is the caller's to know: nothing may.
 * Allocates memory for as many channels as there are. (Ioffe, Szegedy: Batch Normalization, arXiv 1502.03167, section 3.1.) */
NORMA_API norma_status norma_fold(const norma_fold_desc *desc, const norma_fold_args *args);

/* ------------------------------------------------------------------------------------------------------------
 * Weight norm: w = g * v / ||v||, a direction and a length for each slice of a weight
 * ------------------------------------------------------------------------------------------------------------ */

/* For norma_weight_norm_desc.axis: the whole weight is one slice. */
#define NORMA_NO_AXIS (-1000)

/* What becomes of a slice of v that is all zeros, which has no direction. */
typedef enum norma_zero_norm {
    NORMA_ZERO_NORM_ERROR = 1, /* NORMA_INVALID_ARGUMENT, and nothing is written */
    NORMA_ZERO_NORM_NAN = 2,   /* NaN, as PyTorch has it: its w, dv and dg */
    NORMA_ZERO_NORM_ZERO = 3   /* zeros: its w, dv and dg */
} norma_zero_norm;

typedef struct norma_weight_norm_desc {
    size_t struct_size;
    norma_dtype dtype;       /* of v and w, and of their gradients */
    norma_dtype scale_dtype; /* of g and its gradient: dtype or, where that is bf16 or f16, NORMA_F32; 0: dtype */
    int rank;
    int64_t shape[NORMA_MAX_RANK]; /* of v and w; extents of at least 1 */
    int axis;                      /* that slices are counted along: norms are over all others; -1 is the last */
    norma_zero_norm zero_norm;
} norma_weight_norm_desc;

/* Weight norm with one norm for each of the shape[axis] slices across an axis (which may be negative), or with NORMA_NO_AXIS
 * one for all. A slice of zeros is an error. (Salimans, Kingma: Weight Normalization, arXiv 1602.07868, eqs. 2 and 3;
 * torch.nn.utils.parametrizations.weight_norm, whose dim is axis, and None NORMA_NO_AXIS.) */
static inline norma_weight_norm_desc norma_weight_norm_desc_of(int rank, const int64_t *shape, int axis, norma_dtype dtype)
{
    norma_weight_norm_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.dtype = dtype;
    desc.rank = shape ? rank : 0;
    for (int k = 0; k < desc.rank && k < NORMA_MAX_RANK; k++) {
        desc.shape[k] = shape[k];
    }
    desc.axis = axis;
    desc.zero_norm = NORMA_ZERO_NORM_ERROR;
    return desc;
}

/* Tensors lie densely. There are as many elements of g, norms and grad_g as slices. No output may overlap another tensor,
 * unless it says so. */
typedef struct norma_weight_norm_args {
    size_t struct_size; /* sizeof(norma_weight_norm_args) */
    const void *v;
    const void *g;
    void *w;     /* may be v: so a trained weight takes the place of its reparametrization, for good */
    void *norms; /* out: ||v||, f64 where dtype is f64, else f32; or NULL */
    void *pool;  /* as in norma_args */
} norma_weight_norm_args;

typedef struct norma_weight_norm_gradients {
    size_t struct_size; /* sizeof(norma_weight_norm_gradients) */
    const void *grad_w;
    const void *v;
    const void *g;
    const void *norms; /* as norma_weight_norm() stored them, or NULL: computed again */
    void *grad_v;      /* out, or NULL; may be grad_w */
    void *grad_g;      /* out, or NULL */
    void *pool;
} norma_weight_norm_gradients;

/* w = v * (g / n), n = ||v||. The sum of squares is norma's canonical one: f32 from 1e-38 to 1e38 neither overflows nor loses
 * its digits. context may be NULL. Allocates nothing, takes no lock. Errors: what does not fit; a slice of zeros, where
 * desc.zero_norm says so: all norms are then computed before the first element is written, which reads v once more. */
NORMA_API norma_status norma_weight_norm(norma_context *context, const norma_weight_norm_desc *desc,
                                         const norma_weight_norm_args *args);

/* With s the sum of grad_w * v over a slice: grad_g = s / n, grad_v = grad_w * (g / n) - v * (g * s / n^3). Otherwise as above;
 * with given norms an error of desc.zero_norm costs nothing. */
NORMA_API norma_status norma_weight_norm_backward(norma_context *context, const norma_weight_norm_desc *desc,
                                                  const norma_weight_norm_gradients *args);

/* ------------------------------------------------------------------------------------------------------------
 * Spectral norm: w / sigma, sigma the largest singular value, by power iteration
 * ------------------------------------------------------------------------------------------------------------ */

/* Which of the two vectors an iteration makes first, from the other. normalize(x) is x / max(||x||, epsilon). */
typedef enum norma_spectral_order {
    NORMA_SPECTRAL_U_FIRST = 1, /* u = normalize(W v), v = normalize(W^T u): torch.nn.utils.parametrizations.spectral_norm */
    NORMA_SPECTRAL_V_FIRST = 2  /* v = normalize(W^T u), u = normalize(W v): the paper, torch.nn.utils.spectral_norm */
} norma_spectral_order;

typedef struct norma_spectral_norm_desc {
    size_t struct_size;
    norma_dtype dtype; /* of the weight; u and v are f64 where it is f64, else f32 */
    int rank;          /* at least 2 */
    int64_t shape[NORMA_MAX_RANK];
    int axis; /* whose extent is W's height; W is the weight with this axis first and all others as one; -1 is the last */
    norma_spectral_order order;
    int iterations; /* 1 in training, some to warm up, 0 for evaluation: u and v are then only read */
    double epsilon;
} norma_spectral_norm_desc;

/* Spectral norm with one iteration, u first, epsilon 1e-12. axis is that of the outputs: 0, of transposed convolutions 1.
 * (Miyato, Kataoka, Koyama, Yoshida: Spectral Normalization, arXiv 1802.05957, algorithm 1.) Of a vector it is
 * norma_lp_norm_desc() with NORMA_EPSILON_FLOOR. */
static inline norma_spectral_norm_desc norma_spectral_norm_desc_of(int rank, const int64_t *shape, int axis, norma_dtype dtype)
{
    norma_spectral_norm_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.dtype = dtype;
    desc.rank = shape ? rank : 0;
    for (int k = 0; k < desc.rank && k < NORMA_MAX_RANK; k++) {
        desc.shape[k] = shape[k];
    }
    desc.axis = axis;
    desc.order = NORMA_SPECTRAL_U_FIRST;
    desc.iterations = 1;
    desc.epsilon = 1e-12;
    return desc;
}

/* Tensors lie densely. */
typedef struct norma_spectral_norm_args {
    size_t struct_size; /* sizeof(norma_spectral_norm_args) */
    const void *weight;
    void *u;         /* [height], updated by iterations */
    void *v;         /* [elements / height], in the weight's order of the other axes */
    void *w;         /* out: weight / sigma, may be weight: so it takes the place of its reparametrization; or NULL */
    double *sigma;   /* out, or NULL */
    void *workspace; /* norma_spectral_norm_workspace() bytes aligned to 64, or NULL: allocated for the call */
    void *pool;      /* as in norma_args */
} norma_spectral_norm_args;

typedef struct norma_spectral_norm_gradients {
    size_t struct_size; /* sizeof(norma_spectral_norm_gradients) */
    const void *grad_w;
    const void *weight;
    const void *u; /* as norma_spectral_norm() left them, as is sigma */
    const void *v;
    double sigma;
    void *grad_weight; /* out; may be grad_w */
    void *pool;
} norma_spectral_norm_gradients;

/* Bytes that norma_spectral_norm() works in, on any number of threads; 0 for a descriptor that is no good. */
NORMA_API size_t norma_spectral_norm_workspace(const norma_spectral_norm_desc *desc);

/* Iterates, gives sigma = u^T W v and divides. W v and W^T of it come from one pass over the weight, so that an iteration with
 * u first reads it once, n with v first n + 1 times; where axis is the last, the other way round; in between the weight is
 * copied once into the workspace. After an iteration sigma is the norm of the last product, which is u^T W v before u and v are
 * rounded to their type. With a workspace it allocates nothing. Errors: what does not fit; a sigma of 0, where w is wanted.
 * Weights of f32 may be as large as 1e37 and as small as 1e-37. */
NORMA_API norma_status norma_spectral_norm(norma_context *context, const norma_spectral_norm_desc *desc,
                                           const norma_spectral_norm_args *args);

/* Fills u and v with unit vectors of random directions, which follow from the seed alone, and goes through desc.iterations to
 * warm up: 15 is PyTorch's number. args.w is ignored. */
NORMA_API norma_status norma_spectral_norm_start(norma_context *context, const norma_spectral_norm_desc *desc,
                                                 const norma_spectral_norm_args *args, uint64_t seed);

/* grad_weight = (grad_w - (<grad_w, weight> / sigma) u v^T) / sigma: u and v count as constants, as in PyTorch. desc.order,
 * iterations and epsilon do not matter. Errors: a sigma that is 0 or not finite. */
NORMA_API norma_status norma_spectral_norm_backward(norma_context *context, const norma_spectral_norm_desc *desc,
                                                    const norma_spectral_norm_gradients *args);

#ifdef __cplusplus
}
#endif

#endif

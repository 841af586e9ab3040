/*
 * norma: normalization layers for CPUs. Norms of weights, and batch norm folded into layers, are in norma/weights.h.
 *
 * A program makes a context once, a plan per layer when its model loads, and calls norma_run() on the
 * hot path:
 *
 *     norma_context *context;
 *     norma_context_create(&context, NULL);
 *     const int64_t shape[] = {rows, cols};
 *     norma_desc desc = norma_layer_norm_desc(2, shape, -1, NORMA_F32);
 *     norma_plan *plan;
 *     norma_plan_create(&plan, context, &desc);
 *     norma_args args = {0};
 *     args.struct_size = sizeof args;
 *     args.x = x, args.y = y, args.scale = gamma, args.shift = beta;
 *     norma_run(plan, &args);
 *
 * What every function here promises:
 *
 * - Failure is a norma_status; norma_last_error() then holds a sentence that names the argument and what
 *   was expected. On failure nothing is written through the caller's pointers, except that a create
 *   function stores NULL. No function aborts.
 * - The result of a run depends on the values and the shape of each reduced set and on nothing else: not on
 *   the thread count, the batch around it, pointer alignment, in place or not, or which of the AVX2, AVX-512
 *   and NEON kernels ran. (The generic kernels may lack fused multiply-add; they agree within the error
 *   bound. NCHW and NHWC of one tensor are reduced in different orders.) The floating-point environment is assumed to
 *   be the default one: round to nearest, denormals kept.
 * - Statistics are one-pass Welford moments about a pivot taken from the data, merged in double leaf by leaf: for f32
 *   the error stays within 4e-6 * max(1, |y|) at any offset of the data from zero.
 * - Data reach from 1e-38 to 1e38 in f32 and from 1e-150 to 1e150 in f64, differences from the mean included. NaN or infinity
 *   in the input stays inside the reduced set that holds it; of a NaN in the output, sign and payload are no
 *   promise.
 *
 * Extents and strides count elements, never bytes. Pointers need the alignment of their element type only.
 */
#ifndef NORMA_NORMA_H
#define NORMA_NORMA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NORMA_VERSION_MAJOR 0
#define NORMA_VERSION_MINOR 1
#define NORMA_VERSION_PATCH 0

#if defined(__GNUC__) && !defined(NORMA_STATIC)
#define NORMA_API __attribute__((visibility("default")))
#else
#define NORMA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The largest rank of a shape. */
#define NORMA_MAX_RANK 8

typedef enum norma_status {
    NORMA_SUCCESS = 0,
    NORMA_INVALID_ARGUMENT = 1, /* the caller can mend it; norma_last_error() says how */
    NORMA_UNSUPPORTED = 2,      /* well formed, but this build has no kernel for it */
    NORMA_OUT_OF_MEMORY = 3,
    NORMA_IO_ERROR = 4 /* a file could not be written; norma_last_error() says which and why */
} norma_status;

typedef enum norma_dtype {
    NORMA_F32 = 1,
    NORMA_F64 = 2,
    NORMA_BF16 = 3, /* bfloat16: the upper half of an f32 */
    NORMA_F16 = 4,  /* IEEE 754 binary16 */
    NORMA_S8 = 5,   /* 8-bit integers, which stand for a number by a scale and a zero point: see norma_quantization and */
    NORMA_U8 = 6    /* desc.x_scale */
} norma_dtype;

/* Memory order of a tensor with a channel axis; "HW" stands for any number of spatial axes. */
typedef enum norma_layout {
    NORMA_NCHW = 1,
    NORMA_NHWC = 2,
    NORMA_NCHW8C = 3, /* (n, c / 8, spatial, 8): oneDNN's nChw8c, OpenVINO's b_fs_yx_fsv8. c is a multiple of 8. */
    NORMA_NCHW16C = 4 /* likewise with 16: nChw16c */
} norma_layout;

/* Instruction sets that have kernels, lowest first within an architecture. */
typedef enum norma_isa {
    NORMA_ISA_BEST = 0, /* in options only: the best that this CPU and operating system run */
    NORMA_ISA_GENERIC = 1,
    NORMA_ISA_AVX2 = 2,        /* AVX2, FMA, F16C */
    NORMA_ISA_AVX512 = 3,      /* AVX-512 F, BW, VL, DQ on top of the above */
    NORMA_ISA_AVX512_BF16 = 4, /* AVX-512 BF16 and VBMI on top of that, for bf16; other types have the kernels of AVX512 */
    NORMA_ISA_NEON = 5         /* AArch64 Advanced SIMD */
} norma_isa;

typedef enum norma_op {
    NORMA_LAYER_NORM = 1,
    NORMA_RMS_NORM = 2,
    NORMA_LP_NORM = 3,
    NORMA_CHANNEL_NORM = 4,
    NORMA_MVN = 5,
    NORMA_BATCH_NORM = 6,
    NORMA_INSTANCE_NORM = 7,
    NORMA_GROUP_NORM = 8
} norma_op;

/* Where epsilon stands in the divisor. v is the variance, the mean square (RMS norm) or the sum of squares (Lp
 * norm with p = 2); for p = 1 the root is left out and v is the sum of magnitudes. A divisor that comes
 * out as zero divides nothing: the normalized value is then 0, so that y = shift. */
typedef enum norma_epsilon_mode {
    NORMA_EPSILON_INSIDE = 1,  /* sqrt(v + epsilon): PyTorch, ONNX, oneDNN */
    NORMA_EPSILON_OUTSIDE = 2, /* sqrt(v) + epsilon: ONNX MeanVarianceNormalization, added to an Lp norm */
    NORMA_EPSILON_FLOOR = 3,   /* max(sqrt(v), epsilon): torch.nn.functional.normalize, ggml's L2 norm */
    NORMA_EPSILON_NONE = 4     /* sqrt(v): ONNX LpNormalization */
} norma_epsilon_mode;

/* Where RMS norm rounds to the type of y, and what multiplies. All three agree on f32 and f64 but for the 1 + scale. */
typedef enum norma_rms_mode {
    NORMA_RMS_SCALE_THEN_ROUND = 1, /* round(x * rstd * scale): PyTorch, ONNX Runtime, ggml, vLLM */
    NORMA_RMS_ROUND_THEN_SCALE = 2, /* round(round(x * rstd) * scale): Hugging Face Llama, ONNX RMSNormalization */
    NORMA_RMS_ONE_PLUS_SCALE = 3    /* round(x * rstd * (1 + scale)): Gemma */
} norma_rms_mode;

/* Batch and instance norm: where mean and variance come from. */
typedef enum norma_statistics_source {
    NORMA_STATISTICS_OF_BATCH = 1, /* from x; args.running_mean and running_variance, when given, are updated */
    NORMA_STATISTICS_GIVEN = 2     /* args.given_mean and given_variance: inference with running statistics */
} norma_statistics_source;

/* Batch and instance norm: how running statistics take in those of a batch; m is desc.momentum. */
typedef enum norma_momentum_mode {
    NORMA_MOMENTUM_OF_BATCH = 1,   /* running = (1 - m) * running + m * batch: PyTorch */
    NORMA_MOMENTUM_OF_RUNNING = 2, /* running = m * running + (1 - m) * batch: ONNX, TensorFlow, Keras */
    NORMA_MOMENTUM_CUMULATIVE = 3  /* the average of all batches so far, counted by args.updates: PyTorch's momentum None */
} norma_momentum_mode;

/* Activations, which y goes through at last; a is desc.activation_alpha, b desc.activation_beta. NaN stays NaN. (ONNX's
 * operators of these names; torch.nn.functional.) */
typedef enum norma_activation {
    NORMA_IDENTITY = 0,
    NORMA_RELU = 1,       /* max(y, 0) */
    NORMA_LEAKY_RELU = 2, /* y for y >= 0, a * y below; a usually 0.01 */
    NORMA_CLIP = 3,       /* min(max(y, a), b); 0 and 6: ReLU6 */
    NORMA_SILU = 4,       /* y / (1 + exp(-y)) */
    NORMA_GELU = 5,       /* y * (1 + erf(y / sqrt(2))) / 2 */
    NORMA_GELU_TANH = 6,  /* y * (1 + tanh(sqrt(2 / pi) * (y + 0.044715 * y^3))) / 2 */
    NORMA_SIGMOID = 7,    /* 1 / (1 + exp(-y)) */
    NORMA_TANH = 8,
    NORMA_HARD_SWISH = 9,    /* y * min(max(a * y + b, 0), 1); a usually 1/6, b 0.5 */
    NORMA_HARD_SIGMOID = 10, /* min(max(a * y + b, 0), 1); likewise, or ONNX's 0.2 and 0.5 */
    NORMA_MISH = 11,         /* y * tanh(ln(1 + exp(y))) */
    NORMA_ELU = 12           /* y for y >= 0, a * (exp(y) - 1) below; a usually 1 */
} norma_activation;

/* Where args.residual is added. */
typedef enum norma_residual {
    NORMA_RESIDUAL_NONE = 0,
    NORMA_RESIDUAL_BEFORE = 1, /* to x: s = x + residual, rounded to its type, is what is normalized; args.sum receives it */
    NORMA_RESIDUAL_AFTER = 2   /* to the normalized, scaled, shifted and modulated value, before the activation */
} norma_residual;

/* Which elements a modulation, or the gate of a residual, has. */
typedef enum norma_modulation {
    NORMA_MODULATION_NONE = 0,
    NORMA_MODULATION_PER_SAMPLE = 1, /* for each item of axis 0 what scale has for all: [n, normalized axes] or [n, c] */
    NORMA_MODULATION_PER_ELEMENT = 2 /* x's shape, dense */
} norma_modulation;

/* Where args.gate is multiplied, which goes through desc.gate_activation first. */
typedef enum norma_gate {
    NORMA_GATE_NONE = 0,
    NORMA_GATE_BEFORE = 1, /* with x: s = x * activation(gate), rounded to x's type, is what is normalized */
    NORMA_GATE_AFTER = 2   /* with what y would be without it */
} norma_gate;

/* How y of NORMA_S8 or NORMA_U8 stands for a number v: y = v / y_scale, rounded to nearest even, + zero point, saturated. NaN
 * becomes the least. (ONNX QuantizeLinear 23, DynamicQuantizeLinear 11.) */
typedef enum norma_quantization {
    NORMA_QUANTIZATION_NONE = 0,
    NORMA_QUANTIZATION_PER_TENSOR = 1,  /* args.y_scale is one number, desc.y_zero_point the zero point */
    NORMA_QUANTIZATION_PER_CHANNEL = 2, /* args.y_scale has a number wherever scale would have one */
    NORMA_QUANTIZATION_PER_ROW = 3      /* args.y_scale is written, one per reduced set, so that its numbers just fit: for s8
                                           max |v| / 127; for u8 (max v - min v) / 255, 0 among the v, and args.y_zero_point is
                                           written too. A row of zeros has 1. */
} norma_quantization;

/* How a plan's blocking is found. */
typedef enum norma_planning {
    NORMA_ESTIMATE = 0, /* from the tuning file where it knows the shape or one near it, else by built-in rules: microseconds */
    NORMA_MEASURE = 1   /* by measuring, for this very shape, unless that has been done: see desc.measure_seconds */
} norma_planning;

/* Where a context's blocking comes from. */
typedef enum norma_tuning_state {
    NORMA_TUNING_FILE = 1,          /* a tuning file, and built-in rules for what it does not know */
    NORMA_TUNING_OFF = 2,           /* built-in rules, as asked for */
    NORMA_TUNING_RANDOM = 3,        /* by chance, for tests */
    NORMA_TUNING_NOT_FOUND = 4,     /* built-in rules, as are all that follow: there is no file */
    NORMA_TUNING_UNREADABLE = 5,    /* the system refuses to read it */
    NORMA_TUNING_BAD_FORMAT = 6,    /* it is no tuning file, or a part of one */
    NORMA_TUNING_BAD_CHECKSUM = 7,  /* it was changed since it was written */
    NORMA_TUNING_OTHER_MACHINE = 8, /* it was measured on another machine */
    NORMA_TUNING_OTHER_BUILD = 9    /* it was measured with another version, compiler or set of flags */
} norma_tuning_state;

/* What args.rstd receives. */
typedef enum norma_saved { NORMA_SAVE_RSTD = 1, NORMA_SAVE_VARIANCE = 2, NORMA_SAVE_DIVISOR = 3 } norma_saved;

/* ------------------------------------------------------------------------------------------------------------
 * Versions, errors, the machine
 * ------------------------------------------------------------------------------------------------------------ */

/* The version of the library in use, as major * 10000 + minor * 100 + patch, and as text. */
NORMA_API int norma_version(void);
NORMA_API const char *norma_version_string(void);

/* The sentence of this thread's latest failure ("" before any); valid until the thread's next norma call. */
NORMA_API const char *norma_last_error(void);

/* Names for print-outs: "invalid argument", "f32", "avx512", "layer_norm". Unknown values give "unknown". */
NORMA_API const char *norma_status_name(norma_status status);
NORMA_API const char *norma_dtype_name(norma_dtype dtype);
NORMA_API const char *norma_isa_name(norma_isa isa);
NORMA_API const char *norma_op_name(norma_op op);
NORMA_API const char *norma_activation_name(norma_activation activation); /* "identity", "relu", "gelu_tanh" */

/* What the machine offers, found once per process. Sizes in bytes; 0 where the system does not tell. */
typedef struct norma_cpu_info {
    size_t struct_size; /* set by the caller: sizeof(norma_cpu_info) */
    norma_isa isa;      /* the best usable instruction set */
    const char *model;  /* the processor's name; static storage */
    int cores;          /* processors this process may run on */
    int64_t l1_size;    /* data cache of one core */
    int64_t l2_size;    /* of one core (or cluster) */
    int64_t l3_size;    /* the last-level cache one core sees */
} norma_cpu_info;

NORMA_API norma_status norma_get_cpu_info(norma_cpu_info *info);

/* ------------------------------------------------------------------------------------------------------------
 * Context: threads and instruction set, made once and shared
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct norma_context norma_context;

/* A parallel loop of the caller's: calls task(argument, i) exactly once for each i in [0, count), in any order on any
 * threads, and returns when all have returned. Called by norma_run() on the thread that called it. norma_run() and the tasks
 * need up to 256 KB of stack each. */
typedef void (*norma_task)(void *argument, size_t index);
typedef void (*norma_parallel_for)(void *pool, size_t count, norma_task task, void *argument);

typedef struct norma_context_options {
    size_t struct_size;              /* sizeof(norma_context_options) */
    int threads;                     /* most threads a run may use; 0: NORMA_NUM_THREADS, else one per core */
    norma_isa isa;                   /* highest instruction set to use; the environment's NORMA_ISA may lower it further */
    norma_parallel_for parallel_for; /* NULL: OpenMP (or serial, when threads is 1 or norma was built without it) */
    void *pool;                      /* passed to parallel_for; norma_args.pool, when set, goes before it */
    const char *tuning; /* a tuning file, "off" for built-in rules, "random:SEED" for tests; NULL: NORMA_TUNING, else the files
                           below. Need not outlive the call. */
} norma_context_options;

/* Makes a context. options may be NULL for all defaults. Reads NORMA_ISA (generic, avx2, avx512, avx512_bf16 or neon: may only
 * lower), NORMA_NUM_THREADS, NORMA_TUNING (as options.tuning) and NORMA_VERBOSE (1: a line to stderr per context and per plan).
 * Errors: an unknown word in these variables or an option out of range is NORMA_INVALID_ARGUMENT. The context may be shared by
 * any threads.
 *
 * A tuning file is what norma-tune wrote on this machine. Where none is named, one for this machine is looked for in
 * $XDG_CONFIG_HOME/norma (else ~/.config/norma), then in /etc/norma. Whatever is wrong with a file fails nothing: built-in
 * rules are then in force, and norma_context_get_info() tells why. No file can change a bit of any result. */
NORMA_API norma_status norma_context_create(norma_context **context, const norma_context_options *options);

/* Gives up the caller's hold; plans made from the context keep it alive. NULL is allowed. */
NORMA_API void norma_context_destroy(norma_context *context);

typedef struct norma_context_info {
    size_t struct_size;     /* set by the caller: sizeof(norma_context_info) */
    norma_isa isa;          /* the instruction set in force */
    const char *isa_reason; /* why; lives as long as the context */
    int threads;            /* most threads a run uses */
    const char *threading;  /* "openmp", "caller" or "serial" */
    const char *tuning;     /* where the blocking comes from, a sentence; lives as long as the context */
    norma_tuning_state tuning_state;
    const char *tuning_path; /* the file meant, "" for none; lives as long as the context */
    int tuning_records;      /* shapes that it knows, and those measured since */
} norma_context_info;

/* Tells what a context settled on. context may be NULL: the process's default context. */
NORMA_API norma_status norma_context_get_info(const norma_context *context, norma_context_info *info);

/* Adds what the context knows, from its file and from NORMA_MEASURE, to a tuning file, which is written through a temporary
 * file and a rename, so that at no moment there is half a file. path may be NULL: the file that options.tuning or NORMA_TUNING
 * named, or else the user's. context may be NULL. A tuning file that cannot be gone on with is renamed to end in .old; what is
 * no tuning file is left alone. Errors: NORMA_IO_ERROR, and what was there is still there; NORMA_INVALID_ARGUMENT where the
 * blocking is random. Thread-safe. */
NORMA_API norma_status norma_context_save_tuning(norma_context *context, const char *path);

/* ------------------------------------------------------------------------------------------------------------
 * Descriptors: what to compute
 * ------------------------------------------------------------------------------------------------------------ */

/* Filled by the functions below; fields may then be changed before norma_plan_create(). */
typedef struct norma_desc {
    size_t struct_size;
    norma_op op;
    norma_dtype dtype;   /* of x and, where the fields below say nothing else, of all that has its shape, scale and shift;
                            mean, rstd, given and running statistics are f64 where it is f64, else f32 */
    norma_layout layout; /* channel, batch, instance and group norm: where the channels lie */
    int rank;
    int64_t shape[NORMA_MAX_RANK]; /* outermost first, as the tensor lies in memory; (n, c, spatial) for blocked layouts */
    uint32_t axes;                 /* bit k set: axis k is reduced */
    int64_t x_row_stride;          /* elements from one normalized row to the next, at least its length; 0: dense. Only where */
    int64_t y_row_stride;          /* the reduced axes are the trailing ones; not for batch, instance and group norm */
    double epsilon;
    norma_epsilon_mode epsilon_mode;
    int p; /* Lp norm: 1 or 2 */
    norma_rms_mode rms_mode;
    norma_saved saved;
    int64_t groups;                     /* group norm: divides the channels */
    int affine_of_groups;               /* group norm: 1: scale and shift are [groups] (ONNX opset 18); 0: [c] */
    norma_statistics_source statistics; /* batch and instance norm, as are the next three */
    norma_momentum_mode momentum_mode;
    double momentum;      /* 0 to 1 */
    int running_unbiased; /* 1: running_variance takes variance * n / (n - 1); 0: variance */
    norma_planning planning;
    double measure_seconds;      /* the most that NORMA_MEASURE may take, about; 0: one second */
    norma_dtype parameter_dtype; /* of scale and shift, of modulation and of what is multiplied with or added to a residual: the
                                    type of what is normalized or, where that is narrower, NORMA_F32; 0: the first, NORMA_F32
                                    where that is an integer */
    norma_activation activation; /* y = activation(...) at last */
    double activation_alpha;     /* see norma_activation: finite; of NORMA_CLIP alpha <= beta, infinities allowed */
    double activation_beta;
    norma_residual residual;          /* where args.residual is added */
    norma_dtype residual_dtype;       /* of args.residual and, with NORMA_RESIDUAL_BEFORE, of args.sum, which is then what is
                                         normalized; no integer, and with that neither is x; 0: dtype */
    norma_modulation residual_gate;   /* layer and RMS norm with NORMA_RESIDUAL_BEFORE: s = x + residual_gate * residual */
    norma_modulation modulation;      /* scaled and shifted, v becomes v * (1 + modulation_scale) + modulation_shift */
    int modulation_plain;             /* 1: v * modulation_scale + modulation_shift */
    norma_gate gate;                  /* where args.gate is multiplied; x holds no integers */
    norma_activation gate_activation; /* with its usual alpha and beta: see norma_desc_activate() */
    norma_dtype y_dtype;              /* 0: dtype, or where that is an integer NORMA_F32 */
    norma_quantization quantization;  /* where y_dtype is an integer */
    int y_zero_point;                 /* of its range */
    double x_scale;                   /* where dtype is NORMA_S8 or NORMA_U8: x stands for x_scale * (x - x_zero_point) */
    int x_zero_point;                 /* 0 for norms without a mean */
    int unbiased;                     /* 1: variances divide by n - 1 (torch.var's default, AdaIN); 0: by n */
} norma_desc;

/* Sets the activation and its usual alpha and beta: see norma_activation. Clip's are ReLU6's. */
static inline void norma_desc_activate(norma_desc *desc, norma_activation activation)
{
    const int hard = activation == NORMA_HARD_SWISH || activation == NORMA_HARD_SIGMOID;
    desc->activation = activation;
    desc->activation_alpha = hard ? 1.0 / 6 : activation == NORMA_LEAKY_RELU ? 0.01 : activation == NORMA_ELU ? 1 : 0;
    desc->activation_beta = hard ? 0.5 : activation == NORMA_CLIP ? 6 : 0;
}

/* For the functions below: a descriptor with the given shape, nothing reduced yet. Not for callers. A rank that does not
 * fit is kept so that norma_plan_create() can name it. */
static inline norma_desc norma_desc_of_shape_(norma_op op, int rank, const int64_t *shape, norma_dtype dtype)
{
    norma_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.op = op;
    desc.dtype = dtype;
    desc.layout = NORMA_NCHW;
    desc.rank = shape ? rank : 0;
    for (int k = 0; k < desc.rank && k < NORMA_MAX_RANK; k++) {
        desc.shape[k] = shape[k];
    }
    desc.epsilon = 1e-5;
    desc.epsilon_mode = NORMA_EPSILON_INSIDE;
    desc.p = 2;
    desc.rms_mode = NORMA_RMS_SCALE_THEN_ROUND;
    desc.saved = NORMA_SAVE_RSTD;
    desc.groups = 1;
    desc.statistics = NORMA_STATISTICS_OF_BATCH;
    desc.momentum_mode = NORMA_MOMENTUM_OF_BATCH;
    desc.momentum = 0.1;
    desc.running_unbiased = 1;
    return desc;
}

/* (n, c, spatial) as it lies in memory. */
static inline norma_desc norma_desc_of_image_(norma_op op, int64_t n, int64_t c, int64_t spatial, norma_layout layout,
                                              norma_dtype dtype)
{
    const int64_t shape[3] = {n, layout == NORMA_NHWC ? spatial : c, layout == NORMA_NHWC ? c : spatial};
    norma_desc desc = norma_desc_of_shape_(op, 3, shape, dtype);
    desc.layout = layout;
    return desc;
}

/* Axis numbers may be negative: -1 is the last. One that does not exist sets a bit past the rank's, for
 * norma_plan_create() to refuse. */
static inline uint32_t norma_axis_bit_(int rank, int axis)
{
    if (rank < 1 || rank > NORMA_MAX_RANK) {
        return (uint32_t)1 << 31;
    }
    const int k = axis < 0 ? axis + rank : axis;
    return k >= 0 && k < rank ? (uint32_t)1 << k : (uint32_t)1 << 31;
}

static inline uint32_t norma_axes_from_(int rank, int axis)
{
    const uint32_t first = norma_axis_bit_(rank, axis);
    return first >> 31 ? first : (((uint32_t)1 << rank) - 1) & ~(first - 1);
}

/* Layer norm over the axes from `axis` to the last: y = (x - mean) / sqrt(variance + epsilon) * scale + shift.
 * scale and shift have the shape of what is normalized; each may be absent. epsilon 1e-5.
 * (Ba, Kiros, Hinton: Layer Normalization, arXiv 1607.06450, eq. 3; ONNX LayerNormalization 17.) */
static inline norma_desc norma_layer_norm_desc(int rank, const int64_t *shape, int axis, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_shape_(NORMA_LAYER_NORM, rank, shape, dtype);
    desc.axes = norma_axes_from_(desc.rank, axis);
    return desc;
}

/* RMS norm over the axes from `axis` to the last: y = x / sqrt(mean(x^2) + epsilon) * scale, see norma_rms_mode.
 * scale has the shape of what is normalized or is absent; there is no shift. epsilon 1e-5.
 * (Zhang, Sennrich: Root Mean Square Layer Normalization, arXiv 1910.07467, eq. 4; ONNX RMSNormalization 23.) */
static inline norma_desc norma_rms_norm_desc(int rank, const int64_t *shape, int axis, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_shape_(NORMA_RMS_NORM, rank, shape, dtype);
    desc.axes = norma_axes_from_(desc.rank, axis);
    return desc;
}

/* Lp norm along one axis, any of them: y = x / ||x||_p with p 1 or 2; a zero norm gives 0. No scale or shift. No epsilon
 * (set epsilon and epsilon_mode for the other conventions). (ONNX LpNormalization 22.) */
static inline norma_desc norma_lp_norm_desc(int rank, const int64_t *shape, int axis, int p, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_shape_(NORMA_LP_NORM, rank, shape, dtype);
    desc.axes = norma_axis_bit_(desc.rank, axis);
    desc.epsilon = 0;
    desc.epsilon_mode = NORMA_EPSILON_NONE;
    desc.p = p;
    return desc;
}

/* Channel norm (LayerNorm2d): layer norm over the channels alone, at each batch item and position.
 * x is (n, c, spatial) in NCHW, (n, spatial, c) in NHWC, spatial the product of all spatial extents; no blocked layout. scale
 * and shift are [c]; each may be absent. epsilon 1e-5. (Liu et al.: A ConvNet for the 2020s, arXiv 2201.03545.) */
static inline norma_desc norma_channel_norm_desc(int64_t n, int64_t c, int64_t spatial, norma_layout layout, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_image_(NORMA_CHANNEL_NORM, n, c, spatial, layout, dtype);
    desc.axes = layout == NORMA_NHWC ? 4 : 2;
    return desc;
}

/* Batch norm: each channel over batch and space. x is (n, c, spatial) in NCHW, (n, spatial, c) in NHWC, or blocked, spatial the
 * product of all spatial extents (1 for a matrix). y = (x - mean) / sqrt(variance + epsilon) * scale + shift with scale and
 * shift [c], each of which may be absent. epsilon 1e-5. Statistics of the batch; for inference set desc.statistics =
 * NORMA_STATISTICS_GIVEN. Running statistics follow PyTorch's conventions unless the fields say otherwise: ONNX has
 * NORMA_MOMENTUM_OF_RUNNING, momentum 0.9 and running_unbiased 0. (Ioffe, Szegedy: Batch Normalization, arXiv 1502.03167,
 * algorithms 1 and 2; ONNX BatchNormalization 15; torch.nn.BatchNorm1d to 3d.) */
static inline norma_desc norma_batch_norm_desc(int64_t n, int64_t c, int64_t spatial, norma_layout layout, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_image_(NORMA_BATCH_NORM, n, c, spatial, layout, dtype);
    desc.axes = layout == NORMA_NHWC ? 3 : 5;
    return desc;
}

/* Instance norm: each channel of each batch item over space. Shapes, scale and shift as for batch norm, and running statistics
 * too: they take in the averages of the items' means and variances (torch.nn.InstanceNorm2d with track_running_stats).
 * epsilon 1e-5.
 * (Ulyanov, Vedaldi, Lempitsky: Instance Normalization, arXiv 1607.08022, eq. 3; ONNX InstanceNormalization 6.) */
static inline norma_desc norma_instance_norm_desc(int64_t n, int64_t c, int64_t spatial, norma_layout layout, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_image_(NORMA_INSTANCE_NORM, n, c, spatial, layout, dtype);
    desc.axes = layout == NORMA_NHWC ? 2 : 4;
    return desc;
}

/* Group norm: each group of c / groups neighbouring channels of each batch item, over those channels and space. Shapes as for
 * batch norm; scale and shift are [c], or with desc.affine_of_groups [groups]; args.mean and rstd have one element per item and
 * group. epsilon 1e-5. (Wu, He: Group Normalization, arXiv 1803.08494, eq. 7; ONNX GroupNormalization 18 and 21.) */
static inline norma_desc norma_group_norm_desc(int64_t n, int64_t c, int64_t spatial, int64_t groups, norma_layout layout,
                                               norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_image_(NORMA_GROUP_NORM, n, c, spatial, layout, dtype);
    desc.axes = 6;
    desc.groups = groups;
    return desc;
}

/* Mean-variance normalization over any set of axes: y = (x - mean) / (sqrt(variance) + epsilon). No scale or shift.
 * epsilon 1e-9, outside the root. (ONNX MeanVarianceNormalization 13, whose default axes are 0, 2, 3.) */
static inline norma_desc norma_mvn_desc(int rank, const int64_t *shape, int axes_count, const int *axes, norma_dtype dtype)
{
    norma_desc desc = norma_desc_of_shape_(NORMA_MVN, rank, shape, dtype);
    for (int i = 0; axes && i < axes_count; i++) {
        desc.axes |= norma_axis_bit_(desc.rank, axes[i]);
    }
    desc.epsilon = 1e-9;
    desc.epsilon_mode = NORMA_EPSILON_OUTSIDE;
    return desc;
}

/* ------------------------------------------------------------------------------------------------------------
 * Plans: made when a model loads, run on the hot path
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct norma_plan norma_plan;

/* Checks a descriptor and settles kernel, blocking and partition. context may be NULL: the process's default context.
 * Errors: NORMA_INVALID_ARGUMENT names the field (a negative extent, extents whose product overflows, an empty reduction,
 * an unknown enumerator, epsilon negative or NaN, a row stride that makes rows overlap, a struct_size this library does
 * not know, …). An extent of 0 outside the reduction is fine: such a plan's run writes nothing.
 * The plan is immutable: any threads may run it at once.
 *
 * With desc.planning = NORMA_MEASURE it times ways to run the plan on buffers of its own (eight tensors at most, five of large
 * ones; else NORMA_OUT_OF_MEMORY) and on the context's threads (a parallel_for gets the context's pool), and keeps the best in
 * the context, for later plans and norma_context_save_tuning(). What time allows is tried; a shape is measured once. Nothing
 * else should run meanwhile. Plans that measure in one context wait for each other. */
NORMA_API norma_status norma_plan_create(norma_plan **plan, norma_context *context, const norma_desc *desc);

/* NULL is allowed. No run of the plan may be under way. */
NORMA_API void norma_plan_destroy(norma_plan *plan);

/* The tensors of one run, of the types that the descriptor says. They lie densely unless it gives strides. y may be x itself;
 * otherwise no output may overlap an input or another output. */
typedef struct norma_args {
    size_t struct_size; /* sizeof(norma_args) */
    const void *x;
    void *y;           /* NULL: statistics only, of which at least one is then wanted */
    const void *scale; /* gamma, or NULL */
    const void *shift; /* beta, or NULL */
    void *mean; /* out, one per reduced set in order (item, then channel or group, whatever the layout), or NULL; not for RMS
                   and Lp norm, nor with given statistics */
    void *rstd; /* out, likewise: 1 / divisor (0 where that is 0), with NORMA_SAVE_DIVISOR what divides, with
                   NORMA_SAVE_VARIANCE the v of norma_epsilon_mode */
    void *pool; /* goes before the context's pool for this run when not NULL */
    const void *given_mean;     /* batch and instance norm with NORMA_STATISTICS_GIVEN: [c] */
    const void *given_variance; /* likewise; at least 0 */
    void *running_mean;         /* batch and instance norm of x's own statistics: [c], updated; both or neither */
    void *running_variance;
    const void *residual; /* dense, in x's shape, with desc.residual; with RESIDUAL_BEFORE it may be sum, with
                                   RESIDUAL_AFTER a dense y of its type */
    void *sum; /* out, with NORMA_RESIDUAL_BEFORE: x + residual, with NORMA_GATE_BEFORE the product; dense, in x's shape; may be
                  x or residual where it has their type; NULL: not wanted, but where y has another type it is needed */
    int64_t *updates; /* counts the updates of the running statistics when not NULL; NORMA_MOMENTUM_CUMULATIVE needs it */
    const void *residual_gate; /* see desc.residual_gate */
    const void *residual_bias; /* layer and RMS norm with NORMA_RESIDUAL_BEFORE: added to each row's sum, of scale's shape; or
                                  NULL */
    const void *modulation_scale; /* of desc.modulation's shape; NULL: 0 (1 with modulation_plain) */
    const void *modulation_shift; /* likewise; NULL: 0 */
    const void *gate;             /* of x's type and shape, dense, with desc.gate */
    void *y_scale;      /* f32, with desc.quantization: in, or with NORMA_QUANTIZATION_PER_ROW out; positive and finite */
    void *y_zero_point; /* out, of y's type: with NORMA_QUANTIZATION_PER_ROW of NORMA_U8 one per reduced set */
} norma_args;

/* Computes y. Allocates nothing, takes no lock, does no I/O. (OpenMP may do so when it starts its
 * threads on a first run, LLVM's on every run, and ends the process where the system refuses them.) Returns
 * NORMA_INVALID_ARGUMENT for a NULL plan or tensor, a tensor the plan does not take, a pointer that is not aligned to its
 * element, an output that overlaps another tensor without y being x, one of running_mean and running_variance without the
 * other, an unbiased running variance of one element per channel, or a negative given_variance; nothing is written then. */
NORMA_API norma_status norma_run(const norma_plan *plan, const norma_args *args);

/* Writes what the plan settled on as one line of text into buffer, always terminated when size > 0, and returns
 * the length the whole text has, as snprintf does: op, dtype, shape, geometry, kernel, blocking, threads. */
NORMA_API size_t norma_plan_describe(const norma_plan *plan, char *buffer, size_t size);

/* ------------------------------------------------------------------------------------------------------------
 * Backward: gradients of x, scale and shift
 * ------------------------------------------------------------------------------------------------------------ */

/* The tensors of one backward run of a plan, of the types and strides of its forward run: what belongs to x lies as x, what
 * belongs to y as y. Any of dx, dscale, dshift, dresidual, dmodulation_scale and dmodulation_shift may be NULL; the last two
 * are for plans with desc.modulation. dx may be dy or dsum itself, dresidual a dense dy; otherwise no output may overlap an
 * input or another output. */
typedef struct norma_backward_args {
    size_t struct_size; /* sizeof(norma_backward_args) */
    const void *x;      /* as in norma_args; with NORMA_RESIDUAL_BEFORE what its sum received */
    const void *dy;     /* the gradient of y */
    void *dx;           /* out: the gradient of x; with NORMA_RESIDUAL_BEFORE of the residual, too */
    void *dscale;       /* out, in the shape and type of scale, likewise: summed up over all elements that share one */
    void *dshift;
    const void *scale; /* as in the forward run */
    const void *mean;  /* what args.mean and args.rstd received, in whatever form desc.saved says; both NULL (RMS and Lp norm
                          have rstd alone): computed again */
    const void *rstd;
    const void *given_mean; /* with NORMA_STATISTICS_GIVEN as in the forward run: they have no gradient */
    const void *given_variance;
    const void *y;       /* after NORMA_RELU: what y received, or instead of it */
    const uint8_t *mask; /* its bits: see norma_relu_mask() */
    const void
        *dsum; /* with NORMA_RESIDUAL_BEFORE, or NULL: the gradient that args.sum has from elsewhere, dense; added to dx */
    void *dresidual;              /* out, with NORMA_RESIDUAL_AFTER: the gradient of the residual, dense */
    void *workspace;              /* norma_backward_workspace() bytes, aligned to double; nobody else's during the run */
    void *pool;                   /* goes before the context's pool for this run when not NULL */
    const void *shift;            /* with desc.modulation, as in the forward run: dmodulation_scale depends on it */
    const void *modulation_scale; /* as in the forward run; modulation_shift changes no gradient */
    void *dmodulation_scale;      /* out, in the shape and type of modulation_scale, as is the next; either may be NULL */
    void *dmodulation_shift;
} norma_backward_args;

/* Bytes that norma_backward() needs beside its tensors, whatever of them is given; 0 for NULL. Follows from the shape alone. */
NORMA_API size_t norma_backward_workspace(const norma_plan *plan);

/* Computes the gradients of a forward run. With xn = (x - mean) / D, D its divisor, g = dy * scale (1 + scale where that is
 * what multiplies) and means over each reduced set,
 *
 *     dx = (g - mean(g) - xn * mean(g * xn)) / D,   dscale = sum of dy * xn,   dshift = sum of dy;
 *
 * RMS norm has no mean(g); Lp norm with p = 2 no mean(g) and a sum for the last mean; with given statistics dx = g / D. Other
 * epsilon_modes than INSIDE and NONE follow D's derivative, of which FLOOR's is 0 below the floor; where D is 0, so is dx.
 * After NORMA_RELU dy counts where y > 0. Rounding before the scale (NORMA_RMS_ROUND_THEN_SCALE) counts as none. Where the plan
 * modulates v = xn * scale + shift, dy * (1 + modulation_scale) (modulation_scale alone with modulation_plain) stands for dy
 * above, and
 *
 *     dmodulation_scale = dy * v,   dmodulation_shift = dy,
 *
 * summed up over the elements of a sample that share one.
 *
 * All gradients are the same bits for any number of threads and on every instruction set with fused multiply-add, and dx of a
 * set depends on no other set. A saved f32 mean is set right on the way: far from zero it does not hold what xn needs.
 * (Ioffe, Szegedy, arXiv 1502.03167, section 3; Zhang, Sennrich, arXiv 1910.07467, section 4.)
 *
 * Allocates nothing; any threads may run a plan at once, each with a workspace of its own. Errors: NORMA_UNSUPPORTED for an
 * activation other than NORMA_RELU, gates, x, y or residual of different types or of integers, and for p = 1;
 * NORMA_INVALID_ARGUMENT as for norma_run(), for one of mean and rstd without the other, and for y and mask both or neither
 * after NORMA_RELU; nothing is written then. */
NORMA_API norma_status norma_backward(const norma_plan *plan, const norma_backward_args *args);

/* Packs what a ReLU's gradient needs of y: bit i % 8 of mask[i / 8] is set unless y[i] <= 0. `count` elements of y, (count + 7)
 * / 8 bytes of mask. Errors: NORMA_INVALID_ARGUMENT for an unknown dtype, a negative count, NULL. */
NORMA_API norma_status norma_relu_mask(norma_dtype dtype, const void *y, int64_t count, uint8_t *mask);

/* ------------------------------------------------------------------------------------------------------------
 * One call, no plan: the same kernels on the process's default context
 * ------------------------------------------------------------------------------------------------------------ */

/* Dense (rows, cols), each row normalized; scale and shift [cols] or NULL. Formulas as in the descriptors above.
 * Thread-safe; allocates nothing after the process's first call. */
NORMA_API norma_status norma_layer_norm_f32(const float *x, float *y, const float *scale, const float *shift, int64_t rows,
                                            int64_t cols, double epsilon);
NORMA_API norma_status norma_layer_norm_f64(const double *x, double *y, const double *scale, const double *shift, int64_t rows,
                                            int64_t cols, double epsilon);
NORMA_API norma_status norma_rms_norm_f32(const float *x, float *y, const float *scale, int64_t rows, int64_t cols,
                                          double epsilon);
NORMA_API norma_status norma_rms_norm_f64(const double *x, double *y, const double *scale, int64_t rows, int64_t cols,
                                          double epsilon);
/* Each row divided by max(its Lp norm, epsilon); p is 1 or 2. */
NORMA_API norma_status norma_lp_norm_f32(const float *x, float *y, int64_t rows, int64_t cols, int p, double epsilon);
NORMA_API norma_status norma_lp_norm_f64(const double *x, double *y, int64_t rows, int64_t cols, int p, double epsilon);
NORMA_API norma_status norma_channel_norm_f32(const float *x, float *y, const float *scale, const float *shift, int64_t n,
                                              int64_t c, int64_t spatial, norma_layout layout, double epsilon);
NORMA_API norma_status norma_channel_norm_f64(const double *x, double *y, const double *scale, const double *shift, int64_t n,
                                              int64_t c, int64_t spatial, norma_layout layout, double epsilon);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A layer: one norm of a model, with what was fused into it, whatever shapes its tensors turn out to have. Both ways into the
 * engine make layers, from a custom operator's node or from nodes that the execution provider took, and run them alike:
 *
 *     ops.c         operator and attributes to layer
 *     prepare.c     layer and shapes to plan, and what must be done to tensors before norma takes them (operands.c)
 *     cache.c       keeps what was prepared, a bounded number of shapes
 *     layer.c       runs
 */
#ifndef NORMA_ONNXRUNTIME_LAYER_H
#define NORMA_ONNXRUNTIME_LAYER_H

#include "cache.h"
#include "tensor.h"

/* The operators, which differ in what their attributes and inputs mean. */
typedef enum layer_kind {
    LAYER_NORM = 1,
    LAYER_RMS_NORM,
    LAYER_BATCH_NORM,
    LAYER_INSTANCE_NORM,
    LAYER_GROUP_NORM,
    LAYER_MVN,
    LAYER_LP_NORM
} layer_kind;

typedef enum layer_input {
    INPUT_X,
    INPUT_SCALE,
    INPUT_SHIFT,
    INPUT_MEAN, /* given or running statistics */
    INPUT_VARIANCE,
    INPUT_RESIDUAL, /* added to x before the norm, or with residual_after to its result */
    INPUT_BIAS,     /* [c], added to x with the residual */
    INPUT_GATE,     /* of rows: multiplied with the residual that is added before */
    LAYER_INPUTS
} layer_input;

typedef enum layer_output {
    OUTPUT_Y,
    OUTPUT_MEAN, /* of x; of a batch norm in training the running one */
    OUTPUT_RSTD, /* 1 / divisor; of a batch norm in training the running variance */
    OUTPUT_SUM,  /* x + residual + bias */
    LAYER_OUTPUTS
} layer_output;

typedef struct layer {
    layer_kind kind;
    char name[64]; /* for sentences: the operator's */
    double epsilon;
    int64_t axis; /* layer, RMS and Lp norm: may be negative */
    int64_t p;
    uint64_t groups; /* group norm */
    enum { SCALE_OF_EITHER, SCALE_OF_CHANNELS } group_scale;
    int64_t axes[TENSOR_MAX_RANK];
    size_t axes_count; /* MVN */
    bool channels_last, training, residual_after;
    bool one_plus_scale; /* of rows: 1 + scale is what scales them */
    double momentum;
    norma_activation activation;
    double activation_alpha, activation_beta;

    int input[LAYER_INPUTS];    /* place among the node's inputs, -1: absent */
    int output[LAYER_OUTPUTS];  /* likewise */
    norma_dtype stat_dtype[2];  /* of OUTPUT_MEAN and OUTPUT_RSTD */
    tensor known[LAYER_INPUTS]; /* constants; data is NULL where it is asked for at each run */
    plan_cache cache;
} layer;

/* Inputs and outputs absent, attributes at their commonest values. */
void norma_ort_layer_init(layer *l, layer_kind kind, const char *name);
void norma_ort_layer_free(layer *l);

/* Whether an input is a constant, of any rank: its shape need not be read, hashed and compared at each run, which would cost
 * more than a small norm. */
bool norma_ort_is_known(const layer *l, layer_input input);

/* Computes the node's outputs from its inputs. Once shapes recur it allocates nothing of its own, unless several threads run
 * the same layer in the same shape and it needs scratch memory; before 1.24 the engine allocates where it tells a shape.
 * Thread-safe. */
OrtStatus *norma_ort_layer_run(layer *l, OrtKernelContext *context);

/* An input as norma takes it. */
typedef struct operand {
    enum { OPERAND_ABSENT, OPERAND_DIRECT, OPERAND_KEPT, OPERAND_COPIED } state;
    tensor_copy copy; /* of OPERAND_KEPT, a constant's copy, made once, and of OPERAND_COPIED, made in each run */
    size_t offset;    /* of the copy, in kept or scratch memory */
} operand;

/* What a layer does in given shapes. */
typedef struct prepared {
    tensor key[LAYER_INPUTS]; /* data is not looked at, but for whether there is any */
    norma_plan *plan;         /* NULL: nothing to compute */
    int64_t blocks;           /* the plan is for one of so many alike, which lie after each other in x and share a residual */
    size_t block_bytes;       /* of x, y and sum */
    operand operand[LAYER_INPUTS];
    bool modulated;    /* scale and shift vary from item to item, or one_plus_scale: to norma they are a modulation */
    bool adds;         /* x and the residual are added before the plan, for norma does not add [n, c] */
    tensor_add add;    /* pointers set at each run */
    size_t add_offset; /* of its target, unless that is the sum */
    int stat_rank;     /* of mean and rstd */
    int64_t stat_shape[TENSOR_MAX_RANK];
    int64_t stat_count;     /* per block */
    norma_dtype stat_dtype; /* norma's */
    size_t stat_offset[2];  /* scratch for those of another type */
    char *kept, *scratch;
    size_t scratch_bytes;
    atomic_flag scratch_taken;
} prepared;

/* Whether a layer can be prepared for the shapes of in, as far as that shows before there is a plan. */
OrtStatus *norma_ort_check(const layer *l, const tensor in[LAYER_INPUTS]);

/* Prepares a layer for the shapes of in. On failure nothing is left. */
OrtStatus *norma_ort_prepare(const layer *l, const tensor in[LAYER_INPUTS], prepared **out);
void norma_ort_prepared_free(prepared *p);

#endif

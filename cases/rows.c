/* Rows: each reduced set is contiguous. What transformers do: tokens x width. */
#include "lists.h"

/* From what fits L1 to what leaves every cache; one row, as in decoding at batch 1, on its own. */
static const case_shape transformer[] = {
    {{32, 128}, false},   {{128, 768}, true},   {{512, 1024}, true},   {{512, 4096}, false},
    {{2048, 4096}, true}, {{8192, 1024}, true}, {{8192, 4096}, false}, {{32768, 768}, false},
    {{1, 4096}, true},    {{1, 16384}, false},  {{512, 1000}, false},
};

/* One per level of the memory hierarchy, where an op's own arithmetic is all that is new. */
static const case_shape levels[] = {{{128, 768}, false}, {{512, 1024}, true}, {{8192, 4096}, false}, {{1, 4096}, false}};

/* Where a residual stream is added to on the way. */
static const case_shape stream[] = {{{512, 4096}, true}, {{2048, 4096}, false}, {{128, 768}, false}};
static const case_shape narrow[] = {{{128, 768}, false}, {{512, 1024}, true}, {{2048, 4096}, false}};
static const case_shape tokens[] = {{{512, 1024}, false}, {{8192, 4096}, false}};

/* DiT-XL at batch 2 and 8. */
static const case_shape dit[] = {{{2, 256, 1152}, true}, {{8, 1024, 1152}, false}};
/* What goes into a quantized product; Mamba's and Qwen's gated norms. */
static const case_shape quantized[] = {{{512, 1024}, false}, {{512, 4096}, true}, {{2048, 4096}, false}};

#define WITH_ACTIVATION(activation_) CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, tokens, .activation = activation_)

const case_list case_rows_lists[] = {
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, transformer, .quick = true),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, transformer, .quick = true),
    CASE_LIST(NORMA_LP_NORM, NORMA_F32, CASE_ROWS, levels, .quick = true),
    CASE_LIST(NORMA_MVN, NORMA_F32, CASE_ROWS, levels),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F64, CASE_ROWS, levels, .quick = true),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F64, CASE_ROWS, levels),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_BF16, CASE_ROWS, narrow, .quick = true),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F16, CASE_ROWS, narrow),
    CASE_LIST(NORMA_RMS_NORM, NORMA_BF16, CASE_ROWS, narrow, .quick = true),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F16, CASE_ROWS, narrow),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, stream, .quick = true, .residual = NORMA_RESIDUAL_BEFORE),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, stream, .quick = true, .residual = NORMA_RESIDUAL_BEFORE),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, tokens, .residual = NORMA_RESIDUAL_AFTER),
    WITH_ACTIVATION(NORMA_RELU),
    WITH_ACTIVATION(NORMA_LEAKY_RELU),
    WITH_ACTIVATION(NORMA_CLIP),
    WITH_ACTIVATION(NORMA_SILU),
    WITH_ACTIVATION(NORMA_GELU),
    WITH_ACTIVATION(NORMA_GELU_TANH),
    WITH_ACTIVATION(NORMA_SIGMOID),
    WITH_ACTIVATION(NORMA_TANH),
    WITH_ACTIVATION(NORMA_HARD_SWISH),
    WITH_ACTIVATION(NORMA_HARD_SIGMOID),
    WITH_ACTIVATION(NORMA_MISH),
    WITH_ACTIVATION(NORMA_ELU),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, dit, .quick = true, .modulated = true),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, dit, .residual = NORMA_RESIDUAL_BEFORE, .residual_gated = true,
              .modulated = true),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, quantized, .gated = true),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, quantized, .quick = true, .y_dtype = NORMA_S8),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, quantized, .y_dtype = NORMA_U8),
    CASE_LIST(NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, quantized, .residual = NORMA_RESIDUAL_BEFORE, .y_dtype = NORMA_S8),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, quantized, .y_dtype = NORMA_BF16),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_BF16, CASE_ROWS, quantized, .y_dtype = NORMA_F32),
    CASE_LIST(NORMA_LAYER_NORM, NORMA_S8, CASE_ROWS, quantized),
};
const size_t case_rows_lists_count = COUNT(case_rows_lists);

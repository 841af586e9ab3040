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

#define WITH_ACTIVATION(activation)                                                                                            \
    {                                                                                                                          \
        NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, false, tokens, COUNT(tokens), false, activation, NORMA_RESIDUAL_NONE           \
    }

const case_list case_rows_lists[] = {
    {NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, true, transformer, COUNT(transformer), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, true, transformer, COUNT(transformer), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_LP_NORM, NORMA_F32, CASE_ROWS, true, levels, COUNT(levels), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_MVN, NORMA_F32, CASE_ROWS, false, levels, COUNT(levels), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_LAYER_NORM, NORMA_F64, CASE_ROWS, true, levels, COUNT(levels), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_RMS_NORM, NORMA_F64, CASE_ROWS, false, levels, COUNT(levels), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_LAYER_NORM, NORMA_BF16, CASE_ROWS, true, narrow, COUNT(narrow), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_LAYER_NORM, NORMA_F16, CASE_ROWS, false, narrow, COUNT(narrow), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_RMS_NORM, NORMA_BF16, CASE_ROWS, true, narrow, COUNT(narrow), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_RMS_NORM, NORMA_F16, CASE_ROWS, false, narrow, COUNT(narrow), false, NORMA_IDENTITY, NORMA_RESIDUAL_NONE},
    {NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, true, stream, COUNT(stream), false, NORMA_IDENTITY, NORMA_RESIDUAL_BEFORE},
    {NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, true, stream, COUNT(stream), false, NORMA_IDENTITY, NORMA_RESIDUAL_BEFORE},
    {NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, false, tokens, COUNT(tokens), false, NORMA_IDENTITY, NORMA_RESIDUAL_AFTER},
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
};
const size_t case_rows_lists_count = COUNT(case_rows_lists);

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

const case_list case_rows_lists[] = {
    {NORMA_LAYER_NORM, NORMA_F32, CASE_ROWS, true, transformer, COUNT(transformer), false},
    {NORMA_RMS_NORM, NORMA_F32, CASE_ROWS, true, transformer, COUNT(transformer), false},
    {NORMA_LP_NORM, NORMA_F32, CASE_ROWS, true, levels, COUNT(levels), false},
    {NORMA_MVN, NORMA_F32, CASE_ROWS, false, levels, COUNT(levels), false},
    {NORMA_LAYER_NORM, NORMA_F64, CASE_ROWS, true, levels, COUNT(levels), false},
    {NORMA_RMS_NORM, NORMA_F64, CASE_ROWS, false, levels, COUNT(levels), false},
};
const size_t case_rows_lists_count = COUNT(case_rows_lists);

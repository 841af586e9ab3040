/*
 * The tensors of a run, as one table: what checks arguments, and whoever makes some, goes by it.
 */
#ifndef NORMA_OPERANDS_H
#define NORMA_OPERANDS_H

#include <string.h>

#include "dtype.h"
#include "problem.h"

typedef struct norma_operand {
    const char *name; /* its field in norma_args, */
    size_t field;     /* and where that lies */
    norma_dtype dtype;
    int64_t elements; /* from the first to one past the last */
    bool output;      /* written, and perhaps read as well */
    bool taken;       /* by this plan; others are NULL */
    bool needed;
} norma_operand;

enum { NORMA_OPERANDS_MAX = 20, NORMA_OPERAND_X = 0, NORMA_OPERAND_Y = 1 };

/* Fills the table, x and y first, and returns how many there are. (args.updates is no tensor.) */
int norma_operands_of(const norma_problem *problem, norma_operand operands[NORMA_OPERANDS_MAX]);

/* Refuses a tensor that the operand has no use for, one that is missing, and one that is not aligned to its elements. */
norma_status norma_operand_check(const norma_operand *operand, const void *data);

/* Whether the bytes of two tensors overlap. NULL overlaps nothing. */
static inline bool norma_bytes_overlap(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes)
{
    const uintptr_t a_begin = (uintptr_t)a, b_begin = (uintptr_t)b;
    return a && b && a_begin < b_begin + (uintptr_t)b_bytes && b_begin < a_begin + (uintptr_t)a_bytes;
}

/* Whether rows of two tensors, which lie at strides of x and of y, interleave as columns of one wider matrix do. */
bool norma_rows_interleave(const norma_problem *problem, const void *a, const void *b);

/* An operand's pointer, in norma_args or whatever its field is of. */
static inline const void *norma_operand_get(const norma_operand *operand, const void *args)
{
    const void *data;
    memcpy(&data, (const char *)args + operand->field, sizeof data);
    return data;
}

static inline void norma_operand_set(const norma_operand *operand, norma_args *args, void *data)
{
    memcpy((char *)args + operand->field, &data, sizeof data);
}

static inline int64_t norma_operand_bytes(const norma_operand *operand)
{
    return operand->elements * (int64_t)norma_dtype_size(operand->dtype);
}

#endif

/* Weights in .npy files, for the commands that make other weights of them. */
#ifndef NORMA_TOOLS_WEIGHT_FILES_H
#define NORMA_TOOLS_WEIGHT_FILES_H

#include "outputs.h"

npy_type weight_type(norma_dtype dtype);
norma_dtype weight_dtype(npy_type type);

/* Reads the file that --option names: of a floating-point type, uint16 being bf16 where that is said. */
bool weight_read(const char *option, const char *path, bool bf16, npy_array *array, tool_failure *failure);

/* Whether --dtype, NULL where absent, says bf16. */
bool weight_parse_dtype(const char *text, bool *bf16, tool_failure *failure);

/* A dimension of the weight, counted from its end where negative. */
bool weight_parse_axis(const char *text, const npy_array *weight, int *axis, tool_failure *failure);

/* Reads what has as many elements as the weight has slices, of any shape, and converts it. */
bool weight_read_vector(const char *option, const char *path, bool bf16, int64_t count, npy_type type, npy_array *array,
                        tool_failure *failure);

/* Gives an output its array. */
bool weight_make(npy_array *array, npy_type type, int rank, const int64_t *shape, tool_failure *failure);

#endif

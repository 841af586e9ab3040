/* Lists of cases: an op at several shapes. */
#ifndef NORMA_CASES_LISTS_H
#define NORMA_CASES_LISTS_H

#include "cases.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct case_shape {
    int64_t extent[CASE_RANK_MAX]; /* 0 after the last */
    bool quick;
} case_shape;

/* The quick shapes of a quick list are quick cases. */
typedef struct case_list {
    norma_op op;
    norma_dtype dtype;
    case_layout layout;
    bool quick;
    const case_shape *shapes;
    size_t count;
    bool given;
    norma_activation activation;
    norma_residual residual;
    norma_dtype y_dtype; /* 0: as usual */
    bool residual_gated;
    bool modulated;
    bool gated;
} case_list;

#define CASE_LIST(op_, dtype_, layout_, shapes_, ...)                                                                          \
    {                                                                                                                          \
        .op = op_, .dtype = dtype_, .layout = layout_, .shapes = shapes_, .count = COUNT(shapes_), __VA_ARGS__                 \
    }

/* A file of models/: its name, and its text. */
typedef struct case_model {
    const char *name;
    const char *text;
} case_model;

extern const case_model case_models[];
extern const size_t case_models_count;

extern const case_list case_rows_lists[];
extern const size_t case_rows_lists_count;
extern const case_list case_fibers_lists[];
extern const size_t case_fibers_lists_count;
extern const case_list case_images_lists[];
extern const size_t case_images_lists_count;
extern const case_list case_backward_lists[]; /* the way back */
extern const size_t case_backward_lists_count;

#endif

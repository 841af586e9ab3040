/*
 * The cases that norma is measured at: ops at the shapes of real models. What norma-bench times and norma-tune tunes.
 *
 * A case is told by its name, op/dtype/layout/shape: layer_norm/f32/rows/512x1024, group_norm/f32/nchw/1x320x64x64. Shapes are
 * rows x columns, or N x T x C, or N x C x H x W in both channel layouts, or N x C x D x H x W. mvn in nchw is over all axes
 * but C; group_norm has 32 groups; batch_norm_given is batch norm with given statistics, as for inference. add+layer_norm adds
 * a residual first and stores the sum; layer_norm+add adds it afterwards; layer_norm+silu has an activation, by
 * norma_activation_name(). Of rows there is more: layer_norm+modulate scales and shifts each sample (of rows N x T x C) and
 * nothing else, gate+ layer_norm+modulate adds a gated residual first, rms_norm+gate is multiplied by the SiLU of a gate.
 * Beside bf16 and f16 scale and shift are f32. The type f32-bf16 is that of x and that of y; integers have one scale, but y of
 * rows one per row. layer_norm_backward is the way back, batch_norm_given_backward that with given statistics.
 */
#ifndef NORMA_CASES_H
#define NORMA_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "norma/norma.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum case_layout { CASE_ROWS, CASE_NCHW, CASE_NHWC } case_layout;

enum { CASE_RANK_MAX = 5, CASE_NAME_MAX = 96, CASE_SENTENCE_MAX = 512, CASE_GROUPS = 32 };

/* What an integer x counts in. */
#define CASE_X_SCALE 0.03125

typedef struct case_spec {
    char name[CASE_NAME_MAX];
    norma_op op;
    norma_dtype dtype;
    norma_dtype y_dtype;
    case_layout layout;
    bool given;    /* statistics are given */
    bool backward; /* gradients */
    norma_activation activation;
    norma_residual residual;
    bool residual_gated; /* these three of rows */
    bool modulated;
    bool gated;
    bool quick;                    /* of the few that tell most */
    int64_t extent[CASE_RANK_MAX]; /* 0 after the last */
} case_spec;

/* Those that come with norma. */
size_t case_count(void);
case_spec case_at(size_t index);

/* A case from its name. False with a sentence of at most CASE_SENTENCE_MAX bytes. */
bool case_parse(case_spec *spec, const char *name, char *sentence);

/* Rows of CASE_ROWS. */
int64_t case_rows(const case_spec *spec);
int64_t case_columns(const case_spec *spec);

/* Positions of an image: H W, or D H W. */
int64_t case_spatial(const case_spec *spec);

/* Its descriptor, with every default. */
norma_desc case_desc(const case_spec *spec);

#ifdef __cplusplus
}
#endif

#endif

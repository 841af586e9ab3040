#include "cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lists.h"

static const char *const layout_names[] = {[CASE_ROWS] = "rows", [CASE_NCHW] = "nchw", [CASE_NHWC] = "nhwc"};

/* All lists of all files, as one. */
static const case_list *list_at(size_t index)
{
    if (index < case_rows_lists_count) {
        return &case_rows_lists[index];
    }
    index -= case_rows_lists_count;
    if (index < case_fibers_lists_count) {
        return &case_fibers_lists[index];
    }
    index -= case_fibers_lists_count;
    if (index < case_images_lists_count) {
        return &case_images_lists[index];
    }
    index -= case_images_lists_count;
    return index < case_backward_lists_count ? &case_backward_lists[index] : NULL;
}

size_t case_count(void)
{
    size_t count = 0;
    for (size_t i = 0; list_at(i); i++) {
        count += list_at(i)->count;
    }
    return count;
}

static void append(char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *name, const char *format, ...)
{
    const size_t used = strlen(name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name + used, CASE_NAME_MAX - used, format, arguments);
    va_end(arguments);
}

/* The type of y that need not be said. */
static norma_dtype usual_y(norma_dtype dtype)
{
    return dtype == NORMA_S8 || dtype == NORMA_U8 ? NORMA_F32 : dtype;
}

static void set_name(case_spec *spec)
{
    spec->name[0] = '\0';
    const char *before = spec->residual_gated ? "gate+" : spec->residual == NORMA_RESIDUAL_BEFORE ? "add+" : "";
    append(spec->name, "%s%s%s%s", before, norma_op_name(spec->op), spec->given ? "_given" : "",
           spec->backward ? "_backward" : "");
    append(spec->name, "%s%s", spec->modulated ? "+modulate" : "", spec->residual == NORMA_RESIDUAL_AFTER ? "+add" : "");
    if (spec->activation != NORMA_IDENTITY) {
        append(spec->name, "+%s", norma_activation_name(spec->activation));
    }
    append(spec->name, "%s/%s", spec->gated ? "+gate" : "", norma_dtype_name(spec->dtype));
    if (spec->y_dtype != usual_y(spec->dtype)) {
        append(spec->name, "-%s", norma_dtype_name(spec->y_dtype));
    }
    append(spec->name, "/%s/", layout_names[spec->layout]);
    for (int k = 0; k < CASE_RANK_MAX && spec->extent[k]; k++) {
        append(spec->name, "%s%lld", k ? "x" : "", (long long)spec->extent[k]);
    }
}

case_spec case_at(size_t index)
{
    size_t i = 0;
    for (; index >= list_at(i)->count; i++) {
        index -= list_at(i)->count;
    }
    const case_list *list = list_at(i);
    const case_shape *shape = &list->shapes[index];
    case_spec spec = {.op = list->op,
                      .dtype = list->dtype,
                      .layout = list->layout,
                      .given = list->given,
                      .backward = list >= case_backward_lists && list < case_backward_lists + case_backward_lists_count,
                      .activation = list->activation,
                      .residual = list->residual,
                      .y_dtype = list->y_dtype ? list->y_dtype : usual_y(list->dtype),
                      .residual_gated = list->residual_gated,
                      .modulated = list->modulated,
                      .gated = list->gated,
                      .quick = list->quick && shape->quick};
    memcpy(spec.extent, shape->extent, sizeof spec.extent);
    set_name(&spec);
    return spec;
}

/* ------------------------------------------------------------------------------------------------------------
 * From names
 * ------------------------------------------------------------------------------------------------------------ */

static bool refuse(char *sentence, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(char *sentence, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, CASE_SENTENCE_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool parse_activation(case_spec *spec, const char *text, size_t length)
{
    for (spec->activation = NORMA_RELU; spec->activation <= NORMA_ELU; spec->activation++) {
        if (is_word(text, length, norma_activation_name(spec->activation))) {
            return true;
        }
    }
    return false;
}

/* Whether the text ends so; if it does, without that. */
static bool take_end(const char *text, size_t *length, const char *end)
{
    const size_t own = strlen(end);
    const bool ends = *length > own && memcmp(text + *length - own, end, own) == 0;
    *length -= ends ? own : 0;
    return ends;
}

static bool parse_bare_op(case_spec *spec, const char *text, size_t length)
{
    size_t own = length;
    spec->backward = take_end(text, &own, "_backward");
    spec->given = take_end(text, &own, "_given");
    for (spec->op = NORMA_LAYER_NORM; spec->op <= NORMA_GROUP_NORM; spec->op++) {
        if (is_word(text, own, norma_op_name(spec->op))) {
            return !spec->given || spec->op == NORMA_BATCH_NORM || spec->op == NORMA_INSTANCE_NORM;
        }
    }
    return false;
}

/* An op, perhaps with what stands around it: add+OP, OP+add, OP+silu, OP+add+silu, gate+OP, OP+modulate, OP+gate. */
static bool parse_op(case_spec *spec, const char *text, size_t length)
{
    static const char add[] = "add";
    size_t word = 0;
    bool seen_op = false, good = true;
    for (size_t at = 0; good && at <= length; at += word + 1) {
        word = 0;
        while (at + word < length && text[at + word] != '+') {
            word++;
        }
        if (!seen_op && is_word(text + at, word, "gate")) {
            good = spec->residual == NORMA_RESIDUAL_NONE;
            spec->residual = NORMA_RESIDUAL_BEFORE;
            spec->residual_gated = true;
        } else if (is_word(text + at, word, add)) {
            good = !spec->gated && spec->residual == NORMA_RESIDUAL_NONE && spec->activation == NORMA_IDENTITY;
            spec->residual = seen_op ? NORMA_RESIDUAL_AFTER : NORMA_RESIDUAL_BEFORE;
        } else if (!seen_op) {
            seen_op = good = parse_bare_op(spec, text + at, word);
        } else if (is_word(text + at, word, "modulate")) {
            good = !spec->modulated && !spec->gated && spec->residual != NORMA_RESIDUAL_AFTER &&
                   spec->activation == NORMA_IDENTITY;
            spec->modulated = true;
        } else if (is_word(text + at, word, "gate")) {
            good = !spec->gated;
            spec->gated = true;
        } else {
            good = spec->activation == NORMA_IDENTITY && !spec->gated && parse_activation(spec, text + at, word);
        }
    }
    return good && seen_op;
}

static norma_dtype dtype_of_word(const char *text, size_t length)
{
    norma_dtype dtype = NORMA_F32;
    while (dtype <= NORMA_U8 && !is_word(text, length, norma_dtype_name(dtype))) {
        dtype++;
    }
    return dtype <= NORMA_U8 ? dtype : 0;
}

/* That of x, or of x and y: bf16, f32-s8. */
static bool parse_dtypes(case_spec *spec, const char *text, size_t length)
{
    const char *dash = memchr(text, '-', length);
    spec->dtype = dtype_of_word(text, dash ? (size_t)(dash - text) : length);
    spec->y_dtype = dash ? dtype_of_word(dash + 1, length - (size_t)(dash + 1 - text)) : usual_y(spec->dtype);
    return spec->dtype && spec->y_dtype;
}

static bool parse_layout(case_spec *spec, const char *text, size_t length)
{
    for (spec->layout = CASE_ROWS; spec->layout <= CASE_NHWC; spec->layout++) {
        if (is_word(text, length, layout_names[spec->layout])) {
            return true;
        }
    }
    return false;
}

/* Extents with an x between them, to the end of the text; how many, 0 for a mistake. */
static int parse_extents(case_spec *spec, const char *text)
{
    const int64_t most = (int64_t)1 << 40;
    for (int k = 0; k < CASE_RANK_MAX; k++) {
        for (; *text >= '0' && *text <= '9' && spec->extent[k] <= most; text++) {
            spec->extent[k] = spec->extent[k] * 10 + (*text - '0');
        }
        if (spec->extent[k] < 1 || spec->extent[k] > most || (*text && *text != 'x')) {
            return 0;
        }
        if (*text++ == '\0') {
            return k + 1;
        }
    }
    return 0;
}

/* Whether its elements can be counted at all. */
static bool is_countable(const case_spec *spec, int extents)
{
    int64_t count = 1;
    bool fits = true;
    for (int k = 0; k < extents; k++) {
        fits = fits && !__builtin_mul_overflow(count, spec->extent[k], &count);
    }
    return fits;
}

/* Whether the op, with what stands around it, is one of rows, and of channels. */
static bool suits(const case_spec *spec)
{
    const bool of_channels = spec->op >= NORMA_BATCH_NORM || spec->op == NORMA_CHANNEL_NORM;
    const bool of_rows = spec->residual_gated || spec->modulated || spec->gated;
    return spec->layout == CASE_ROWS ? !of_channels
           : of_rows                 ? false
                                     : of_channels || (spec->op == NORMA_MVN && spec->layout == CASE_NCHW);
}

bool case_parse(case_spec *spec, const char *name, char *sentence)
{
    memset(spec, 0, sizeof *spec);
    const size_t op = strcspn(name, "/");
    if (!parse_op(spec, name, op)) {
        return refuse(sentence, "'%.*s' is no op (layer_norm, batch_norm_given, add+rms_norm, group_norm+silu, …)",
                      (int)(op < 60 ? op : 60), name);
    }
    const char *at = name + op + (name[op] == '/');
    const size_t dtype = strcspn(at, "/");
    if (!parse_dtypes(spec, at, dtype)) {
        return refuse(sentence, "after the op '%.60s' is no type (f32, f64, bf16, f16, s8, u8, or x's and y's as in f32-s8)",
                      at);
    }
    at += dtype + (at[dtype] == '/');
    const size_t layout = strcspn(at, "/");
    if (!parse_layout(spec, at, layout) || !suits(spec)) {
        return refuse(sentence, "after the type '%.60s' is no layout of %s (rows, nchw, nhwc)", at, norma_op_name(spec->op));
    }
    at += layout + (at[layout] == '/');
    const int extents = parse_extents(spec, at);
    const bool good = spec->layout == CASE_ROWS ? extents == 2 || extents == 3 : extents == 4 || extents == 5;
    if (!good || !is_countable(spec, extents)) {
        return refuse(sentence, "'%.60s' is no shape: expected %s", at,
                      spec->layout == CASE_ROWS ? "rows x columns, as in 512x1024, or N x T x C"
                                                : "N x C x H x W or N x C x D x H x W, as in 8x64x56x56");
    }
    set_name(spec);
    return true;
}

/* ------------------------------------------------------------------------------------------------------------
 * Descriptors
 * ------------------------------------------------------------------------------------------------------------ */

int64_t case_columns(const case_spec *spec)
{
    return spec->extent[2] ? spec->extent[2] : spec->extent[1];
}

int64_t case_rows(const case_spec *spec)
{
    return spec->extent[2] ? spec->extent[0] * spec->extent[1] : spec->extent[0];
}

int64_t case_spatial(const case_spec *spec)
{
    int64_t count = 1;
    for (int k = 2; k < CASE_RANK_MAX && spec->extent[k]; k++) {
        count *= spec->extent[k];
    }
    return count;
}

static norma_desc desc_of_rows(const case_spec *spec)
{
    const int last = -1, rank = spec->extent[2] ? 3 : 2;
    switch (spec->op) {
    case NORMA_LAYER_NORM:
        return norma_layer_norm_desc(rank, spec->extent, last, spec->dtype);
    case NORMA_RMS_NORM:
        return norma_rms_norm_desc(rank, spec->extent, last, spec->dtype);
    case NORMA_LP_NORM:
        return norma_lp_norm_desc(rank, spec->extent, last, 2, spec->dtype);
    default:
        return norma_mvn_desc(rank, spec->extent, 1, &last, spec->dtype);
    }
}

static norma_desc desc_of_op(const case_spec *spec)
{
    if (spec->layout == CASE_ROWS) {
        return desc_of_rows(spec);
    }
    const int64_t n = spec->extent[0], c = spec->extent[1], spatial = case_spatial(spec);
    const norma_layout layout = spec->layout == CASE_NHWC ? NORMA_NHWC : NORMA_NCHW;
    const int axes[] = {0, 2, 3, 4}, rank = spec->extent[4] ? 5 : 4;
    norma_desc desc;
    switch (spec->op) {
    case NORMA_BATCH_NORM:
        desc = norma_batch_norm_desc(n, c, spatial, layout, spec->dtype);
        break;
    case NORMA_INSTANCE_NORM:
        desc = norma_instance_norm_desc(n, c, spatial, layout, spec->dtype);
        break;
    case NORMA_GROUP_NORM:
        desc = norma_group_norm_desc(n, c, spatial, CASE_GROUPS, layout, spec->dtype);
        break;
    case NORMA_CHANNEL_NORM:
        desc = norma_channel_norm_desc(n, c, spatial, layout, spec->dtype);
        break;
    default:
        desc = norma_mvn_desc(rank, spec->extent, rank - 1, axes, spec->dtype);
        break;
    }
    desc.statistics = spec->given ? NORMA_STATISTICS_GIVEN : NORMA_STATISTICS_OF_BATCH;
    return desc;
}

norma_desc case_desc(const case_spec *spec)
{
    norma_desc desc = desc_of_op(spec);
    norma_desc_activate(&desc, spec->activation);
    desc.residual = spec->residual;
    desc.residual_gate = spec->residual_gated ? NORMA_MODULATION_PER_SAMPLE : NORMA_MODULATION_NONE;
    desc.modulation = spec->modulated ? NORMA_MODULATION_PER_SAMPLE : NORMA_MODULATION_NONE;
    desc.gate = spec->gated ? NORMA_GATE_AFTER : NORMA_GATE_NONE;
    desc.gate_activation = spec->gated ? NORMA_SILU : NORMA_IDENTITY;
    desc.y_dtype = spec->y_dtype;
    if (spec->y_dtype == NORMA_S8 || spec->y_dtype == NORMA_U8) {
        desc.quantization = spec->layout == CASE_ROWS ? NORMA_QUANTIZATION_PER_ROW : NORMA_QUANTIZATION_PER_TENSOR;
    }
    desc.x_scale = spec->dtype == NORMA_S8 || spec->dtype == NORMA_U8 ? CASE_X_SCALE : desc.x_scale;
    desc.parameter_dtype = spec->dtype == NORMA_F64 ? NORMA_F64 : NORMA_F32;
    return desc;
}

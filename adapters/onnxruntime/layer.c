#include "layer.h"

#include <stdlib.h>
#include <string.h>

static const char *const input_names[LAYER_INPUTS] = {
    "the input", "scale", "bias", "mean", "the variance", "the skip", "the bias added to it", "the gate of the skip"};

void norma_ort_layer_init(layer *l, layer_kind kind, const char *name)
{
    memset(l, 0, sizeof *l);
    l->kind = kind;
    strncpy(l->name, name, sizeof l->name - 1);
    l->epsilon = 1e-5F; /* ONNX has attributes in f32, defaults too */
    l->axis = -1;
    l->p = 2;
    l->groups = 1;
    for (int i = 0; i < LAYER_INPUTS; i++) {
        l->input[i] = -1;
    }
    for (int i = 0; i < LAYER_OUTPUTS; i++) {
        l->output[i] = -1;
    }
    norma_ort_cache_init(&l->cache);
}

void norma_ort_layer_free(layer *l)
{
    norma_ort_cache_free(&l->cache);
}

/* ------------------------------------------------------------------------------------------------------------
 * What was prepared for these shapes
 * ------------------------------------------------------------------------------------------------------------ */

static bool same_shape(const tensor *a, const tensor *b)
{
    return !a->data == !b->data && (!a->data || (a->dtype == b->dtype && a->rank == b->rank &&
                                                 !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0])));
}

bool norma_ort_is_known(const layer *l, layer_input input)
{
    return l->known[input].dtype != 0;
}

static uint64_t hash_of(const layer *l, const tensor in[LAYER_INPUTS])
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a's, by words */
    for (int i = 0; i < LAYER_INPUTS; i++) {
        if (!in[i].data || norma_ort_is_known(l, i)) {
            continue;
        }
        for (int k = 0; k < in[i].rank; k++) {
            hash = (hash ^ (uint64_t)in[i].shape[k]) * 0x100000001b3u;
        }
        hash = (hash ^ (uint64_t)i) * 0x100000001b3u;
    }
    return hash | 1; /* 0 is an empty slot */
}

static OrtStatus *prepare(const layer *l, const tensor in[LAYER_INPUTS], prepared **out)
{
    tensor all[LAYER_INPUTS];
    for (int i = 0; i < LAYER_INPUTS; i++) {
        all[i] = in[i].data && norma_ort_is_known(l, i) ? l->known[i] : in[i];
        all[i].data = in[i].data;
    }
    return norma_ort_prepare(l, all, out);
}

/* How a layer holds what was prepared: in a slot, or, with every slot in use, alone. */
typedef struct holding {
    prepared *content;
    cache_slot *slot;
} holding;

static OrtStatus *hold(layer *l, const tensor in[LAYER_INPUTS], holding *h)
{
    const uint64_t hash = hash_of(l, in);
    int from = 0;
    while ((h->slot = norma_ort_cache_find(&l->cache, hash, &from))) {
        h->content = h->slot->content;
        bool same = true;
        for (int i = 0; i < LAYER_INPUTS && same; i++) {
            same = norma_ort_is_known(l, i) || same_shape(&in[i], &h->content->key[i]);
        }
        if (same) {
            return NULL;
        }
        norma_ort_cache_release(h->slot);
    }
    OrtStatus *status = prepare(l, in, &h->content);
    if (!status) {
        h->slot = norma_ort_cache_insert(&l->cache, hash, h->content);
    }
    return status;
}

static void let_go(holding *h)
{
    if (h->slot) {
        norma_ort_cache_release(h->slot);
    } else {
        norma_ort_prepared_free(h->content);
    }
}

/* ------------------------------------------------------------------------------------------------------------
 * A run
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct layer_run {
    const layer *layer;
    prepared *prepared;
    session_pool pool;
    const tensor *in; /* of constants data alone */
    char *scratch;
    char *out[LAYER_OUTPUTS]; /* the engine's, NULL: absent */
} layer_run;

static OrtStatus *read_inputs(const layer *l, OrtKernelContext *context, tensor in[LAYER_INPUTS])
{
    OrtStatus *status = NULL;
    for (int i = 0; i < LAYER_INPUTS && !status; i++) {
        in[i].data = NULL;
        const OrtValue *value = NULL;
        if (l->known[i].data) {
            in[i].data = l->known[i].data;
            continue;
        }
        if (l->input[i] < 0) {
            continue;
        }
        status = norma_ort->KernelContext_GetInput(context, (size_t)l->input[i], &value);
        if (!status && value && norma_ort_is_known(l, i)) {
            void *data;
            status = norma_ort->GetTensorMutableData((OrtValue *)(uintptr_t)value, &data);
            in[i].data = data ? data : ""; /* an empty constant is not an absent one */
        } else if (!status) {
            status = norma_ort_read_tensor(value, input_names[i], &in[i]);
        }
    }
    if (!status && !in[INPUT_X].data) {
        status = norma_ort_fail(ORT_INVALID_ARGUMENT, "%s: the input is missing", l->name);
    }
    return status;
}

static OrtStatus *get_output(layer_run *run, OrtKernelContext *context, layer_output which, int rank, const int64_t *shape)
{
    const int place = run->layer->output[which];
    run->out[which] = NULL;
    if (place < 0) {
        return NULL;
    }
    OrtValue *value = NULL;
    OrtStatus *status = norma_ort->KernelContext_GetOutput(context, (size_t)place, shape, (size_t)rank, &value);
    if (!status && value) {
        void *data;
        status = norma_ort->GetTensorMutableData(value, &data);
        run->out[which] = data;
    }
    return status;
}

static OrtStatus *get_outputs(layer_run *run, OrtKernelContext *context)
{
    const prepared *p = run->prepared;
    const tensor *x = &run->in[INPUT_X];
    OrtStatus *status = NULL;
    for (int i = 0; i < LAYER_OUTPUTS && !status; i++) {
        const bool stat = i == OUTPUT_MEAN || i == OUTPUT_RSTD;
        status = get_output(run, context, i, stat ? p->stat_rank : x->rank, stat ? p->stat_shape : x->shape);
    }
    return status;
}

/* An operand of the first block; NULL where it is absent. */
static const void *operand_of(const layer_run *run, layer_input which)
{
    const operand *o = &run->prepared->operand[which];
    const char *start = o->state == OPERAND_DIRECT   ? run->in[which].data
                        : o->state == OPERAND_KEPT   ? run->prepared->kept + o->offset
                        : o->state == OPERAND_COPIED ? run->scratch + o->offset
                                                     : NULL;
    return start;
}

/* Half of what a thread is worth waking for. */
static int64_t rows_of_chunk(const tensor_add *add)
{
    return 1 + 8192 / add->width;
}

static void add_chunk(void *argument, size_t index)
{
    const tensor_add *add = argument;
    const int64_t rows = rows_of_chunk(add), first = (int64_t)index * rows;
    norma_ort_add_rows(add, first, first + rows < add->rows ? first + rows : add->rows);
}

/* x with what norma does not add. Returns what takes its place. */
static const void *add_before(layer_run *run)
{
    const prepared *p = run->prepared;
    tensor_add add = p->add;
    add.base = operand_of(run, INPUT_X);
    add.vectors = operand_of(run, INPUT_RESIDUAL);
    add.bias = operand_of(run, INPUT_BIAS);
    add.target = run->out[OUTPUT_SUM] ? run->out[OUTPUT_SUM] : run->scratch + p->add_offset;
    const int64_t rows = rows_of_chunk(&add);
    norma_ort_parallel_for(&run->pool, (size_t)((add.rows + rows - 1) / rows), add_chunk, &add);
    return add.target;
}

/* Where norma writes a statistic: to the engine's tensor, or to scratch memory where the types differ. */
static char *statistic_of(const layer_run *run, layer_output which)
{
    const prepared *p = run->prepared;
    char *out = run->out[which];
    return !out || run->layer->stat_dtype[which - OUTPUT_MEAN] == p->stat_dtype
               ? out
               : run->scratch + p->stat_offset[which - OUTPUT_MEAN];
}

/* The norma_args of the first block. */
static void set_args(layer_run *run, norma_args *args)
{
    const prepared *p = run->prepared;
    const layer *l = run->layer;
    memset(args, 0, sizeof *args);
    args->struct_size = sizeof *args;
    args->pool = &run->pool;
    args->x = operand_of(run, INPUT_X);
    args->residual = operand_of(run, INPUT_RESIDUAL);
    args->y = run->out[OUTPUT_Y];
    args->sum = run->out[OUTPUT_SUM];
    args->residual_bias = operand_of(run, INPUT_BIAS);
    args->residual_gate = operand_of(run, INPUT_GATE);
    if (p->adds) {
        args->x = add_before(run);
        args->residual = args->residual_bias = args->sum = NULL;
    }
    if (p->modulated) {
        args->modulation_scale = operand_of(run, INPUT_SCALE);
        args->modulation_shift = operand_of(run, INPUT_SHIFT);
    } else {
        args->scale = operand_of(run, INPUT_SCALE);
        args->shift = operand_of(run, INPUT_SHIFT);
    }
    if (l->kind == LAYER_BATCH_NORM && l->training) {
        args->running_mean = statistic_of(run, OUTPUT_MEAN);
        args->running_variance = statistic_of(run, OUTPUT_RSTD);
        norma_ort_convert(operand_of(run, INPUT_MEAN), p->stat_dtype, args->running_mean, p->stat_dtype, p->stat_count);
        norma_ort_convert(operand_of(run, INPUT_VARIANCE), p->stat_dtype, args->running_variance, p->stat_dtype, p->stat_count);
    } else {
        args->mean = statistic_of(run, OUTPUT_MEAN);
        args->rstd = statistic_of(run, OUTPUT_RSTD);
        args->given_mean = operand_of(run, INPUT_MEAN);
        args->given_variance = operand_of(run, INPUT_VARIANCE);
    }
}

static void *advance(void *pointer, size_t bytes)
{
    return pointer ? (char *)pointer + bytes : NULL;
}

static OrtStatus *run_blocks(layer_run *run)
{
    const prepared *p = run->prepared;
    const size_t stat_bytes = (size_t)p->stat_count * norma_ort_dtype_size(p->stat_dtype);
    norma_args args;
    set_args(run, &args);
    for (int64_t block = 0; block < p->blocks; block++) {
        const norma_status status = norma_run(p->plan, &args);
        if (status != NORMA_SUCCESS) {
            return norma_ort_fail_norma(status, run->layer->name);
        }
        args.x = (const char *)args.x + p->block_bytes;
        args.y = advance(args.y, p->block_bytes);
        args.sum = advance(args.sum, p->block_bytes);
        args.mean = advance(args.mean, stat_bytes);
        args.rstd = advance(args.rstd, stat_bytes);
    }
    return NULL;
}

static OrtStatus *compute(layer_run *run)
{
    const prepared *p = run->prepared;
    for (int i = 0; i < LAYER_INPUTS; i++) {
        if (p->operand[i].state == OPERAND_COPIED) {
            norma_ort_copy(&p->operand[i].copy, run->in[i].data, run->scratch + p->operand[i].offset);
        }
    }
    OrtStatus *status = run_blocks(run);
    for (int i = 0; i < 2 && !status; i++) {
        char *out = run->out[OUTPUT_MEAN + i], *made = statistic_of(run, OUTPUT_MEAN + i);
        if (out != made) {
            norma_ort_convert(made, p->stat_dtype, out, run->layer->stat_dtype[i], p->blocks * p->stat_count);
        }
    }
    if (run->pool.failure && !status) {
        return run->pool.failure;
    }
    if (run->pool.failure) {
        norma_ort->ReleaseStatus(run->pool.failure);
    }
    return status;
}

/* With the memory that goes with these shapes, or, while another thread has that, with some of its own. */
static OrtStatus *compute_in_scratch(layer_run *run)
{
    prepared *p = run->prepared;
    if (!p->scratch_bytes) {
        return compute(run);
    }
    const bool taken = atomic_flag_test_and_set_explicit(&p->scratch_taken, memory_order_acquire);
    run->scratch = taken ? malloc(p->scratch_bytes) : p->scratch;
    if (!run->scratch) {
        return norma_ort_fail(ORT_FAIL, "%s: out of memory: %zu bytes", run->layer->name, p->scratch_bytes);
    }
    OrtStatus *status = compute(run);
    if (taken) {
        free(run->scratch);
    } else {
        atomic_flag_clear_explicit(&p->scratch_taken, memory_order_release);
    }
    return status;
}

OrtStatus *norma_ort_layer_run(layer *l, OrtKernelContext *context)
{
    tensor in[LAYER_INPUTS];
    OrtStatus *status = read_inputs(l, context, in);
    if (status) {
        return status;
    }
    holding h;
    status = hold(l, in, &h);
    if (status) {
        return status;
    }
    layer_run run = {.layer = l, .prepared = h.content, .pool = {context, NULL}, .in = in};
    status = get_outputs(&run, context);
    if (!status && h.content->plan) {
        status = compute_in_scratch(&run);
    }
    let_go(&h);
    return status;
}

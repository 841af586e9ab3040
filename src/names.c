/* Names of versions and enumerators. */
#include "norma/norma.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

int norma_version(void)
{
    return NORMA_VERSION_MAJOR * 10000 + NORMA_VERSION_MINOR * 100 + NORMA_VERSION_PATCH;
}

const char *norma_version_string(void)
{
    return TEXT(NORMA_VERSION_MAJOR) "." TEXT(NORMA_VERSION_MINOR) "." TEXT(NORMA_VERSION_PATCH);
}

const char *norma_status_name(norma_status status)
{
    switch (status) {
    case NORMA_SUCCESS:
        return "success";
    case NORMA_INVALID_ARGUMENT:
        return "invalid argument";
    case NORMA_UNSUPPORTED:
        return "unsupported";
    case NORMA_OUT_OF_MEMORY:
        return "out of memory";
    case NORMA_IO_ERROR:
        return "input/output error";
    }
    return "unknown";
}

const char *norma_dtype_name(norma_dtype dtype)
{
    switch (dtype) {
    case NORMA_F32:
        return "f32";
    case NORMA_F64:
        return "f64";
    case NORMA_BF16:
        return "bf16";
    case NORMA_S8:
        return "s8";
    case NORMA_U8:
        return "u8";
    case NORMA_F16:
        return "f16";
    }
    return "unknown";
}

const char *norma_isa_name(norma_isa isa)
{
    switch (isa) {
    case NORMA_ISA_BEST:
        return "best";
    case NORMA_ISA_GENERIC:
        return "generic";
    case NORMA_ISA_AVX2:
        return "avx2";
    case NORMA_ISA_AVX512:
        return "avx512";
    case NORMA_ISA_AVX512_BF16:
        return "avx512_bf16";
    case NORMA_ISA_NEON:
        return "neon";
    }
    return "unknown";
}

const char *norma_op_name(norma_op op)
{
    switch (op) {
    case NORMA_LAYER_NORM:
        return "layer_norm";
    case NORMA_RMS_NORM:
        return "rms_norm";
    case NORMA_LP_NORM:
        return "lp_norm";
    case NORMA_CHANNEL_NORM:
        return "channel_norm";
    case NORMA_MVN:
        return "mvn";
    case NORMA_BATCH_NORM:
        return "batch_norm";
    case NORMA_INSTANCE_NORM:
        return "instance_norm";
    case NORMA_GROUP_NORM:
        return "group_norm";
    }
    return "unknown";
}

const char *norma_activation_name(norma_activation activation)
{
    static const char *const names[] = {
        [NORMA_IDENTITY] = "identity",
        [NORMA_RELU] = "relu",
        [NORMA_LEAKY_RELU] = "leaky_relu",
        [NORMA_CLIP] = "clip",
        [NORMA_SILU] = "silu",
        [NORMA_GELU] = "gelu",
        [NORMA_GELU_TANH] = "gelu_tanh",
        [NORMA_SIGMOID] = "sigmoid",
        [NORMA_TANH] = "tanh",
        [NORMA_HARD_SWISH] = "hard_swish",
        [NORMA_HARD_SIGMOID] = "hard_sigmoid",
        [NORMA_MISH] = "mish",
        [NORMA_ELU] = "elu",
    };
    return activation >= NORMA_IDENTITY && activation <= NORMA_ELU ? names[activation] : "unknown";
}

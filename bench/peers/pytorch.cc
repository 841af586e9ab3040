// PyTorch, through ATen: the functions behind torch.nn.functional, without Python. They return a new tensor each time, as their
// users have it: there is no way to hand them one.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <functional>
#include <memory>
#include <vector>

#include "peers.h"

namespace
{

struct State {
    std::function<at::Tensor()> compute;
    at::Tensor y, sum; // over the case's own memory
    at::Tensor result, total;
    int threads;
};

at::ScalarType type_of(norma_dtype dtype)
{
    return dtype == NORMA_F64 ? at::kDouble : dtype == NORMA_BF16 ? at::kBFloat16 : dtype == NORMA_F16 ? at::kHalf : at::kFloat;
}

// As PyTorch has images: N x C x positions by its extents, whatever the layout in memory.
at::Tensor tensor_of(void *data, const case_spec &spec)
{
    std::vector<int64_t> extents;
    for (int k = 0; k < CASE_RANK_MAX && spec.extent[k]; k++) {
        extents.push_back(spec.extent[k]);
    }
    std::vector<int64_t> strides(extents.size(), 1);
    int64_t step = 1;
    if (spec.layout == CASE_NHWC) {
        step = extents[1];
    }
    for (size_t k = extents.size(); k-- > 0;) {
        if (spec.layout == CASE_NHWC && k == 1) {
            continue;
        }
        strides[k] = step;
        step *= extents[k];
    }
    return at::from_blob(data, extents, strides, at::TensorOptions(type_of(spec.dtype)));
}

at::Tensor vector_of(void *data, int64_t length, norma_dtype dtype)
{
    // Parameters are f32 beside narrow types; PyTorch wants those of most ops in the tensor's own type, as its models have
    // them.
    const at::Tensor own = at::from_blob(data, {length}, at::TensorOptions(dtype == NORMA_F64 ? at::kDouble : at::kFloat));
    return own.to(type_of(dtype)).contiguous();
}

at::Tensor activated(at::Tensor y, const norma_desc &desc)
{
    const double alpha = desc.activation_alpha, beta = desc.activation_beta;
    switch (desc.activation) {
    case NORMA_RELU:
        return at::relu_(y);
    case NORMA_LEAKY_RELU:
        return at::leaky_relu_(y, alpha);
    case NORMA_CLIP:
        return at::clamp_(y, alpha, beta);
    case NORMA_SILU:
        return at::silu_(y);
    case NORMA_GELU:
        return at::gelu_(y, "none");
    case NORMA_GELU_TANH:
        return at::gelu_(y, "tanh");
    case NORMA_SIGMOID:
        return at::sigmoid_(y);
    case NORMA_TANH:
        return at::tanh_(y);
    case NORMA_HARD_SWISH:
        return at::hardswish_(y);
    case NORMA_HARD_SIGMOID:
        return at::hardsigmoid_(y);
    case NORMA_MISH:
        return at::mish_(y);
    case NORMA_ELU:
        return at::elu_(y, alpha);
    default:
        return y;
    }
}

// Channel norm as torchvision has it in ConvNeXt: to the back, layer norm, and back.
at::Tensor channel_norm(const at::Tensor &x, int64_t channels, const at::Tensor &scale, const at::Tensor &shift, double epsilon)
{
    return at::layer_norm(x.movedim(1, -1), {channels}, scale, shift, epsilon).movedim(-1, 1);
}

std::function<at::Tensor(const at::Tensor &)> norm_of(const bench_problem &problem, const bench_tensors &tensors)
{
    const case_spec &spec = problem.spec;
    const double epsilon = problem.desc.epsilon_mode == NORMA_EPSILON_INSIDE ? problem.desc.epsilon : 0;
    const int64_t channels = spec.extent[1];
    at::Tensor scale, shift, mean, variance; // undefined ones are none
    if (problem.scale) {
        scale = vector_of(tensors.scale, channels, spec.dtype);
    }
    if (problem.shift) {
        shift = vector_of(tensors.shift, channels, spec.dtype);
    }
    if (problem.given) {
        mean = vector_of(tensors.mean, channels, spec.dtype);
        variance = vector_of(tensors.variance, channels, spec.dtype);
    }
    switch (spec.op) {
    case NORMA_RMS_NORM:
        return [=](const at::Tensor &x) { return at::rms_norm(x, {channels}, scale, epsilon); };
    case NORMA_LP_NORM: // torch.nn.functional.normalize
        return [=](const at::Tensor &x) { return x / x.norm(2, {1}, true).clamp_min(1e-12).expand_as(x); };
    case NORMA_BATCH_NORM:
        return [=, given = problem.given](const at::Tensor &x) {
            return at::batch_norm(x, scale, shift, mean, variance, !given, 0.1, epsilon, false);
        };
    case NORMA_INSTANCE_NORM:
        return [=](const at::Tensor &x) { return at::instance_norm(x, scale, shift, {}, {}, true, 0.1, epsilon, false); };
    case NORMA_GROUP_NORM:
        return [=](const at::Tensor &x) { return at::group_norm(x, CASE_GROUPS, scale, shift, epsilon, false); };
    case NORMA_CHANNEL_NORM:
        return [=](const at::Tensor &x) { return channel_norm(x, channels, scale, shift, epsilon); };
    case NORMA_MVN:
        if (spec.layout != CASE_ROWS) {
            return [=](const at::Tensor &x) { return at::batch_norm(x, {}, {}, {}, {}, true, 0.1, epsilon, false); };
        }
        return [=](const at::Tensor &x) { return at::layer_norm(x, {channels}, {}, {}, epsilon); };
    default:
        return [=](const at::Tensor &x) { return at::layer_norm(x, {channels}, scale, shift, epsilon); };
    }
}

void set_up(State *state, const bench_problem &problem, const bench_tensors &tensors)
{
    const norma_residual residual = problem.desc.residual;
    const at::Tensor x = tensor_of(tensors.x, problem.spec);
    const auto norm = norm_of(problem, tensors);
    const norma_desc *desc = &problem.desc;
    state->y = tensor_of(tensors.y, problem.spec);
    at::Tensor r;
    if (residual != NORMA_RESIDUAL_NONE) {
        r = tensor_of(tensors.residual, problem.spec);
    }
    if (residual == NORMA_RESIDUAL_BEFORE) {
        state->sum = tensor_of(tensors.sum, problem.spec);
    }
    state->compute = [=]() {
        if (residual == NORMA_RESIDUAL_BEFORE) {
            state->total = x + r;
            return activated(norm(state->total), *desc);
        }
        at::Tensor y = norm(x);
        if (residual == NORMA_RESIDUAL_AFTER) {
            y.add_(r);
        }
        return activated(y, *desc);
    };
}

} // namespace

bool bench_pytorch_exists(const bench_path *, const bench_problem *)
{
    return true;
}

bench_ready bench_pytorch_prepare(void **state, const bench_path *, const bench_problem *problem, const bench_tensors *tensors,
                                  int threads, char *label, char *sentence)
{
    auto made = std::make_unique<State>();
    made->threads = threads;
    try {
        const c10::InferenceMode guard;
        set_up(made.get(), *problem, *tensors);
        bench_peer_threads(threads);
        made->compute();
    } catch (const std::exception &error) { // an op that has no such type or shape
        (void)error;
        *state = made.release();
        return BENCH_ABSENT;
    }
    std::snprintf(label, BENCH_SENTENCE_MAX, "ATen");
    (void)sentence;
    *state = made.release();
    return BENCH_READY;
}

bool bench_pytorch_run(void *state)
{
    State *s = static_cast<State *>(state);
    const c10::InferenceMode guard;
    bench_peer_threads(s->threads);
    try {
        s->result = s->total = at::Tensor(); // so that the allocator gives the same memory again, still in the caches
        s->result = s->compute();
    } catch (const std::exception &) {
        return false;
    }
    return true;
}

// What the last run gave, to where the check looks.
void bench_pytorch_collect(void *state)
{
    State *s = static_cast<State *>(state);
    const c10::InferenceMode guard;
    s->y.copy_(s->result);
    if (s->sum.defined()) {
        s->sum.copy_(s->total);
    }
}

void bench_pytorch_release(void *state)
{
    delete static_cast<State *>(state);
}

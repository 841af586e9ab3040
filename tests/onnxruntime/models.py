"""Models as they are met: single norms at the sizes of real ones, and the blocks that networks repeat, with random weights."""

import math

import numpy as np

from support import Array, Model


class Builder(Model):
    """A model with a value at hand that layers are put after."""

    def __init__(self, opset=21, dtype="f32", seed=7):
        super().__init__(opset)
        self.dtype, self.random, self.names, self.feeds = dtype, np.random.default_rng(seed), 0, {}

    def name(self, stem):
        self.names += 1
        return "%s%d" % (stem, self.names)

    def weights(self, shape, scale=1.0, offset=0.0):
        values = offset + scale * self.random.standard_normal(shape)
        return self.constant(self.name("w"), Array(values, self.dtype))

    def positive(self, shape):
        return self.constant(self.name("w"), Array(0.5 + self.random.random(shape), self.dtype))

    def scalar(self, value):
        return self.constant(self.name("c"), Array(value, self.dtype))

    def feed(self, name, shape, dynamic=None, scale=1.0):
        """An input with random values; its declared shape may differ."""
        self.feeds[name] = Array(scale * self.random.standard_normal(shape), self.dtype)
        return self.input(name, self.dtype, dynamic or shape)

    def op(self, op, *inputs, domain="", **attributes):
        return self.node(op, list(inputs), [self.name(op.lower())], domain, **attributes)

    def integers_of(self, *values):
        return self.integers(self.name("i"), list(values))

    def linear(self, x, inputs, outputs):
        y = self.op("MatMul", x, self.weights((inputs, outputs), inputs**-0.5))
        return self.op("Add", y, self.weights((outputs,), 0.1))

    def conv(self, x, inputs, outputs, kernel, groups=1):
        w = self.weights((outputs, inputs // groups, kernel, kernel), (inputs // groups * kernel * kernel) ** -0.5)
        pad = kernel // 2
        return self.op("Conv", x, w, self.weights((outputs,), 0.1), pads=[pad] * 4, group=groups)

    def layer_norm(self, x, width):
        return self.op("LayerNormalization", x, self.weights((width,), 0.1, 1), self.weights((width,), 0.1), epsilon=1e-6)

    def rms_norm(self, x, width):
        return self.op("SimplifiedLayerNormalization", x, self.weights((width,), 0.1, 1), epsilon=1e-6)

    def group_norm(self, x, c, groups=32):
        return self.op("GroupNormalization", x, self.weights((c,), 0.1, 1), self.weights((c,), 0.1), num_groups=groups)

    def batch_norm(self, x, c):
        return self.op("BatchNormalization", x, self.weights((c,), 0.1, 1), self.weights((c,), 0.1), self.weights((c,), 0.1), self.positive((c,)))

    def silu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gelu(self, x):
        """As exporters write it before opset 20."""
        half = self.op("Mul", x, self.op("Add", self.op("Erf", self.op("Div", x, self.scalar(math.sqrt(2)))), self.scalar(1)))
        return self.op("Mul", half, self.scalar(0.5))

    def attention(self, x, length, width, heads):
        size = width // heads
        parts = []
        for i in range(3):
            part = self.op("Reshape", self.linear(x, width, width), self.integers_of(0, length, heads, size))
            parts.append(self.op("Transpose", part, perm=[0, 2, 3, 1] if i == 1 else [0, 2, 1, 3]))
        weights = self.op("Softmax", self.op("Mul", self.op("MatMul", parts[0], parts[1]), self.scalar(size**-0.5)), axis=-1)
        y = self.op("Transpose", self.op("MatMul", weights, parts[2]), perm=[0, 2, 1, 3])
        return self.linear(self.op("Reshape", y, self.integers_of(0, length, width)), width, width)

    def mlp(self, x, width, activation):
        return self.linear(activation(self.linear(x, width, 4 * width)), 4 * width, width)

    def end(self, x):
        """Makes x the model's output y."""
        self.nodes[-1].output[list(self.nodes[-1].output).index(x)] = "y"
        self.output("y", self.dtype, None)
        return self


def single(op, shape, dtype="f32", opset=21, activation=None):
    b = Builder(opset, dtype)
    x = b.feed("x", shape)
    c = shape[1]
    y = {
        "layer_norm": lambda: b.layer_norm(x, shape[-1]),
        "rms_norm": lambda: b.rms_norm(x, shape[-1]),
        "batch_norm": lambda: b.batch_norm(x, c),
        "group_norm": lambda: b.group_norm(x, c),
        "instance_norm": lambda: b.op("InstanceNormalization", x, b.weights((c,), 0.1, 1), b.weights((c,), 0.1)),
    }[op]()
    if activation:
        y = b.op("Relu", y) if activation == "relu" else getattr(b, activation)(y)
    return b.end(y)


def resnet(dtype="f32", c=64, size=56):
    """The residual block of ResNet v2: batch norm and ReLU before each convolution."""
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, c, size, size))
    y = b.conv(b.op("Relu", b.batch_norm(x, c)), c, c, 3)
    y = b.conv(b.op("Relu", b.batch_norm(y, c)), c, c, 3)
    y = b.batch_norm(b.op("Add", x, y), c)
    return b.end(b.op("Relu", y))


def resnet_post(dtype="f32", c=64, size=56):
    """The residual block of ResNet v1: batch norm after each convolution, which the engine folds into it."""
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, c, size, size))
    y = b.op("Relu", b.batch_norm(b.conv(x, c, c, 3), c))
    y = b.batch_norm(b.conv(y, c, c, 3), c)
    return b.end(b.op("Relu", b.op("Add", x, y)))


def transformer_pre(dtype="f32", width=768, length=128):
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, length, width))
    x = b.op("Add", x, b.attention(b.layer_norm(x, width), length, width, 12))
    x = b.op("Add", x, b.mlp(b.layer_norm(x, width), width, b.gelu))
    return b.end(b.layer_norm(x, width))


def transformer_post(dtype="f32", width=768, length=128):
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, length, width))
    x = b.layer_norm(b.op("Add", x, b.attention(x, length, width, 12)), width)
    return b.end(b.layer_norm(b.op("Add", x, b.mlp(x, width, b.gelu)), width))


def llama(dtype="f32", width=1024, length=64):
    """RMS norm before, a gated MLP."""
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, length, width))
    x = b.op("Add", x, b.attention(b.rms_norm(x, width), length, width, 16))
    h = b.rms_norm(x, width)
    h = b.op("Mul", b.silu(b.linear(h, width, 2 * width)), b.linear(h, width, 2 * width))
    return b.end(b.rms_norm(b.op("Add", x, b.linear(h, 2 * width, width)), width))


def diffusion(dtype="f32", c=320, size=32):
    """Stable Diffusion's ResBlock: group norm, SiLU, convolution, twice, with the time step added between."""
    b = Builder(dtype=dtype)
    x, t = b.feed("x", (1, c, size, size)), b.feed("t", (1, 4 * c))
    h = b.conv(b.silu(b.group_norm(x, c)), c, c, 3)
    t = b.op("Reshape", b.linear(b.silu(t), 4 * c, c), b.integers_of(1, c, 1, 1))
    h = b.conv(b.silu(b.group_norm(b.op("Add", h, t), c)), c, c, 3)
    return b.end(b.op("Add", x, h))


def convnext(dtype="f32", c=96, size=56):
    b = Builder(dtype=dtype)
    x = b.feed("x", (1, c, size, size))
    h = b.op("Transpose", b.conv(x, c, c, 7, c), perm=[0, 2, 3, 1])
    h = b.mlp(b.layer_norm(h, c), c, b.gelu)
    h = b.op("Transpose", b.op("Mul", h, b.weights((c,), 0.1)), perm=[0, 3, 1, 2])
    return b.end(b.op("Add", x, h))


def dit(dtype="f32", width=1152, length=64):
    """A DiT block: layer norms without parameters, scaled and shifted by what the conditions say, and gated."""
    b = Builder(dtype=dtype)
    x, t = b.feed("x", (2, length, width)), b.feed("t", (2, width))
    conditions = b.op("Unsqueeze", b.linear(b.silu(t), width, 6 * width), b.integers_of(1))
    part = ["part%d" % i for i in range(6)]
    b.node("Split", [conditions], part, axis=2, num_outputs=6)
    ones = b.constant("ones", Array(np.ones(width), dtype))

    def modulate(x, scale, shift):
        y = b.op("LayerNormalization", x, ones, epsilon=1e-6)
        return b.op("Add", b.op("Mul", y, b.op("Add", scale, b.scalar(1))), shift)

    h = b.attention(modulate(x, part[0], part[1]), length, width, 16)
    x = b.op("Add", x, b.op("Mul", part[2], h))
    h = b.mlp(modulate(x, part[3], part[4]), width, lambda y: b.op("Gelu", y, approximate="tanh"))
    return b.end(b.op("Add", x, b.op("Mul", part[5], h)))


BLOCKS = {
    "ResNet v1": resnet_post,
    "ResNet v2": resnet,
    "transformer, norm before": transformer_pre,
    "transformer, norm after": transformer_post,
    "LLaMA": llama,
    "diffusion ResBlock": diffusion,
    "ConvNeXt": convnext,
    "DiT": dit,
}

"""Models in ONNX Runtime without norma and with it: the same results, and which nodes norma computes."""

import unittest

import numpy as np

import models
from models import Builder
from support import Array, EngineError, EngineTest

# Plans that norma makes of each block: by custom operators, by the execution provider, and what was fused in the latter.
BLOCKS = {
    "ResNet v1": (0, 0, []),  # its batch norms are folded into the convolutions
    "ResNet v2": (0, 2, ["relu", "relu"]),  # the one after a convolution likewise
    "transformer, norm before": (3, 3, ["add+", "add+"]),
    "transformer, norm after": (2, 2, ["add+", "add+"]),
    "LLaMA": (3, 3, ["add+", "add+"]),
    "diffusion ResBlock": (2, 2, ["silu", "silu"]),
    "ConvNeXt": (1, 1, []),
    "DiT": (2, 2, ["add+", "modulation", "modulation"]),
}


class ModelsTest(EngineTest):
    def outputs(self, model, route, threads=2, **config):
        """What the model's outputs are, and the plans that norma made for them."""
        session = self.engine.open(model, route, threads, **config)
        self.engine.plans()
        result = self.engine.run(session, **model.feeds)
        plans = self.engine.plans()
        self.engine.end(session)
        return result, plans

    def test_blocks(self):
        """Within 2e-5 of the largest value: what is left of f32 after the block's matrix products."""
        self.assertEqual(set(BLOCKS), set(models.BLOCKS))
        for name, make in models.BLOCKS.items():
            with self.subTest(name):
                stock, none = self.outputs(make(), "off")
                self.assertEqual(none, [])
                for route, count in zip(["ops", "ep"], BLOCKS[name]):
                    result, plans = self.outputs(make(), route)
                    print("%s, %s:" % (name, route), *plans, sep="\n    ")
                    self.assertEqual(len(plans), count, (name, route, plans))
                    y, expected = result["y"].values, stock["y"].values
                    self.assertLessEqual(np.max(np.abs(y - expected)), 2e-5 * np.max(np.abs(expected)), (name, route))
                text = "\n".join(plans)
                for fused in set(BLOCKS[name][2]):
                    self.assertEqual(text.count(fused), BLOCKS[name][2].count(fused), (name, fused, text))

    def test_what_stock_refuses(self):
        """bf16 norms, which ONNX Runtime has no kernels for."""
        for op, shape in [("group_norm", (1, 64, 8, 8)), ("instance_norm", (2, 8, 9, 9)), ("batch_norm", (2, 8, 9, 9))]:
            model = models.single(op, shape, "bf16", opset=22)
            with self.assertRaises(EngineError):
                self.engine.open(model, "off")
            for route in ["ops", "ep"]:
                result, plans = self.outputs(model, route, **{"norma.batch_norm": 1})
                print("%s in bf16, %s: %s" % (op, route, plans))
                self.assertEqual(len(plans), 1)
                self.assertEqual(result["y"].dtype, "bf16")  # its values are in test_ops.py

    def nodes(self, b):
        """The nodes that ran with the provider, its own as "norma"."""
        placed = self.engine.placement(b, "ep", **b.feeds)
        return ["norma" if provider == "NormaExecutionProvider" else op for op, provider in placed]

    def chain(self, build, plans, fused=(), dtype="f32", close=2e-6, opset=21):
        """A model that build() makes: through the provider as without it, in so many plans with these words in them. The nodes."""
        b = Builder(opset, dtype)
        build(b)
        stock, _ = self.outputs(b, "off")
        for threads in [1, 2]:
            result, made = self.outputs(b, "ep", threads)
            self.assertEqual(len(made), plans, made)
            for words in fused:
                self.assertIn(words, "\n".join(made))
            for name in stock:
                bound = close * np.maximum(1, np.abs(stock[name].values))
                error = np.abs(result[name].values - stock[name].values)
                self.assertTrue(np.all(error <= bound), "%s: %g" % (name, np.max(error)))
        return self.nodes(b)

    def test_activations(self):
        for op, attributes, words in [
            ("Relu", {}, "relu"),
            ("LeakyRelu", {"alpha": 0.2}, "leaky_relu"),
            ("LeakyRelu", {}, "leaky_relu"),
            ("Elu", {"alpha": 0.7}, "elu"),
            ("Tanh", {}, "tanh"),
            ("Sigmoid", {}, "sigmoid"),
            ("HardSigmoid", {}, "hard_sigmoid"),
            ("HardSigmoid", {"alpha": 0.1, "beta": 0.4}, "hard_sigmoid"),
            ("HardSwish", {}, "hard_swish"),
            ("Mish", {}, "mish"),
            ("Gelu", {}, "gelu"),
            ("Gelu", {"approximate": "tanh"}, "gelu_tanh"),
        ]:
            for norm in ["group_norm", "batch_norm"]:
                with self.subTest(op=op, norm=norm, **attributes):

                    def build(b):
                        x = b.feed("x", (2, 32, 5, 7))
                        b.end(b.op(op, getattr(b, norm)(x, 32), **attributes))

                    self.chain(build, 1, [words])

    def test_silu(self):
        def build(b):
            b.end(b.silu(b.group_norm(b.feed("x", (2, 64, 5, 7)), 64)))

        self.chain(build, 1, ["silu"])

    def test_clip(self):
        for bounds in [(0, 6), (-1, None), (None, 0.5)]:

            def build(b):
                y = b.batch_norm(b.feed("x", (2, 8, 5, 7)), 8)
                b.end(b.op("Clip", y, *["" if bound is None else b.scalar(bound) for bound in bounds]))

            self.chain(build, 1, ["clip"])

    def test_sums_before(self):
        """The sum is an output, too, where something else uses it."""
        for used in [False, True]:

            def build(b):
                s = b.op("Add", b.feed("x", (3, 6, 32), ("n", 6, 32)), b.feed("r", (3, 6, 32), ("n", 6, 32)))
                y = b.layer_norm(s, 32)
                b.end(b.op("Sub", y, s) if used else b.op("Neg", y))

            self.chain(build, 1, ["add+"])

    def test_sums_before_of_other_shapes_stay(self):
        def build(b):
            s = b.op("Add", b.feed("x", (3, 6, 32)), b.feed("r", (3, 1, 32)))
            b.end(b.layer_norm(s, 32))

        self.chain(build, 1)

    def test_sums_after(self):
        def build(b):
            x = b.feed("x", (2, 32, 5, 7))
            b.end(b.op("Relu", b.op("Add", b.feed("r", (2, 32, 5, 7)), b.batch_norm(x, 32))))

        self.chain(build, 1, ["+add+relu"])

    def test_modulation(self):
        """Scale and shift per item, per item and position, and a constant's."""
        for shape in [(3, 1, 32), (3, 6, 32), (32,), (1, 6, 1)]:
            for with_shift in [False, True]:

                def build(b):
                    x, scale = b.feed("x", (3, 6, 32)), b.feed("scale", shape)
                    shift = b.feed("shift", shape) if with_shift else None
                    y = b.op("LayerNormalization", x, b.constant("ones", Array(np.ones(32))))
                    y = b.op("Mul", y, scale)
                    b.end(b.op("Add", y, shift) if with_shift else y)

                self.chain(build, 1)

    def test_one_plus_scale(self):
        for shape in [(3, 1, 32), (3, 6, 32), (32,), (1, 1, 32)]:

            def build(b):
                y = b.op("LayerNormalization", b.feed("x", (3, 6, 32)), b.constant("ones", Array(np.ones(32))))
                y = b.op("Mul", y, b.op("Add", b.scalar(1), b.feed("scale", shape)))
                b.end(b.op("Add", y, b.feed("shift", shape)))

            self.assertEqual(self.chain(build, 1, ["+modulation"]), ["norma"])

    def test_gates(self):
        """x + gate * h before a norm: a gate of each channel, or of those of each item; the sum may be an output."""
        for op in ["layer_norm", "rms_norm"]:
            for shape in [(32,), (3, 1, 32), (1, 1, 32), (3, 1, 1)]:
                for used in [False, True]:

                    def build(b):
                        h = b.op("Mul", b.feed("gate", shape), b.feed("h", (3, 6, 32)))
                        s = b.op("Add", b.feed("x", (3, 6, 32)), h)
                        y = getattr(b, op)(s, 32)
                        b.end(b.op("Sub", y, s) if used else y)

                    self.assertEqual(self.chain(build, 1, ["add+"]), ["norma", "Sub"] if used else ["norma"], (op, shape))

    def test_gates_and_modulation(self):
        """AdaLN-Zero; each parameter is of items of its own, or of all."""
        for gate, scale, shift in [("n1", "n1", "n1"), ("c", "n1", "c"), ("n1", "c", "c"), ("c", "c", "nl")]:
            shapes = {"c": (32,), "n1": (3, 1, 32), "nl": (3, 6, 32)}

            def build(b):
                h = b.op("Mul", b.feed("h", (3, 6, 32)), b.feed("gate", shapes[gate]))
                s = b.op("Add", h, b.feed("x", (3, 6, 32)))
                y = b.op("LayerNormalization", s, b.constant("ones", Array(np.ones(32))))
                y = b.op("Mul", y, b.op("Add", b.feed("scale", shapes[scale]), b.scalar(1)))
                b.end(b.op("Add", y, b.feed("shift", shapes[shift])))

            self.assertEqual(self.chain(build, 1, ["add+", "+modulation"]), ["norma"], (gate, scale, shift))

    def test_gates_that_stay(self):
        """A product that is used elsewhere, or of two tensors of x's shape."""
        for shape, used in [((3, 1, 32), True), ((3, 6, 32), False)]:

            def build(b):
                h = b.op("Mul", b.feed("gate", shape), b.feed("h", (3, 6, 32)))
                y = b.layer_norm(b.op("Add", b.feed("x", (3, 6, 32)), h), 32)
                b.end(b.op("Sub", y, h) if used else y)

            self.assertEqual(self.chain(build, 1, ["add+"]), ["Mul", "norma", "Sub"] if used else ["Mul", "norma"])

    def test_gelu_by_erf(self):
        """As exporters write it, with the half in any place; what only resembles it stays."""

        def gelu(b, y, order, root):
            e = b.op("Div", y, b.scalar(2**0.5)) if root == "Div" else b.op("Mul", b.scalar(0.5**0.5), y)
            e = b.op("Add", b.op("Erf", e), b.scalar(1))
            half = b.scalar(0.5 if order != "double" else 1.0)
            if order == "first":
                return b.op("Mul", b.op("Mul", y, half), e)
            if order == "sum":
                return b.op("Mul", y, b.op("Mul", e, half))
            return b.op("Mul", b.op("Mul", e, y), half)

        for norm, shape in [("layer_norm", (3, 6, 32)), ("group_norm", (2, 32, 5, 7))]:
            for order in ["first", "sum", "last", "double"]:
                for root in ["Div", "Mul"]:

                    def build(b):
                        b.end(gelu(b, getattr(b, norm)(b.feed("x", shape), 32), order, root))

                    nodes = self.chain(build, 1, [] if order == "double" else ["+gelu"])
                    self.assertEqual(nodes == ["norma"], order != "double", (order, root, nodes))

    def test_modulation_that_depends_on_the_sum(self):
        """What the chain's own sum decides cannot be an input of the chain."""

        def build(b):
            x, r = b.feed("x", (3, 6, 32)), b.feed("r", (3, 6, 32))
            s = b.op("Add", x, r)
            y = b.op("LayerNormalization", s, b.constant("ones", Array(np.ones(32))))
            b.end(b.op("Mul", y, b.op("Sigmoid", b.op("Neg", s))))

        self.chain(build, 1, ["add+"])

    def test_what_is_used_elsewhere_stays(self):
        def build(b):
            y = b.batch_norm(b.feed("x", (2, 8, 5, 7)), 8)
            b.end(b.op("Add", b.op("Relu", y), b.op("Exp", y)))

        self.chain(build, 1)

    def test_defaults_that_optimizers_read(self):
        """Nodes without attributes, where the engine would fuse: with its own operators they have ONNX's defaults, filled in."""

        def build(b):
            x = b.op("Add", b.feed("x", (2, 4, 32), scale=1e-3), b.feed("r", (2, 4, 32), scale=1e-3))
            y = b.op("LayerNormalization", x, b.weights((32,)), b.weights((32,)))
            b.end(y)

        b = Builder()
        build(b)
        stock, _ = self.outputs(b, "off")
        for route in ["ops", "ep"]:
            result, plans = self.outputs(b, route)
            self.assertEqual(len(plans), 1)
            self.assert_close(result["y"], stock["y"].values, "f32")

        b = Builder()
        y = b.conv(b.feed("x", (1, 4, 6, 6)), 4, 4, 3)
        b.end(b.batch_norm(y, 4))
        stock, _ = self.outputs(b, "off")
        for route in ["ops", "ep"]:
            result, plans = self.outputs(b, route, **{"norma.batch_norm": 1})
            self.assert_close(result["y"], stock["y"].values, "f32")

    def test_unknown_rank(self):
        """Norms are taken, sums of what may be of different shapes are not."""

        def build(b):
            for name in ["x", "r"]:
                b.feeds[name] = Array(b.random.standard_normal((3, 32)))
                b.input(name, "f32", None)
            b.end(b.op("Relu", b.layer_norm(b.op("Add", "x", "r"), 32)))

        self.chain(build, 1, ["layer_norm+relu"])

    def test_scale_that_depends_on_the_sum(self):
        """A norm's own scale or bias, made of the sum before it: that sum stays."""

        def parameter(b, s, way):
            if way == "itself":
                return s
            return b.op("Abs", b.op("ReduceMean", s, b.integers_of(0, 1), keepdims=0))

        for way in ["itself", "mean"]:
            for as_scale in [True, False]:

                def build(b):
                    s = b.op("Add", b.feed("x", (3, 6, 32)), b.feed("r", (3, 6, 32)))
                    made = parameter(b, s, way)
                    b.end(b.op("LayerNormalization", s, *([made] if as_scale else [b.weights((32,)), made])))

                nodes = self.chain(build, 1, ["layer_norm"], close=1e-5)
                self.assertIn("Add", nodes, (way, as_scale))

    def test_chains_that_would_wait_for_each_other(self):
        """Each of two norms would need what the other makes: its result, its sum before, its mean."""

        def crossed(b):
            x = b.feed("x", (3, 6, 32))
            u, v = b.layer_norm(x, 32), b.rms_norm(x, 32)
            b.end(b.op("Sub", b.op("Add", u, b.op("Exp", v)), b.op("Add", v, b.op("Exp", u))))

        def by_sums(b):
            one = b.constant("ones", Array(np.ones(32)))
            sums = [b.op("Add", b.feed("x%d" % i, (3, 6, 32)), b.feed("r%d" % i, (3, 6, 32))) for i in range(2)]
            norms = [b.op("LayerNormalization", s, one) for s in sums]
            b.end(b.op("Sub", b.op("Mul", norms[0], sums[1]), b.op("Mul", norms[1], sums[0])))

        def by_means(b):
            inputs = [b.feed("x%d" % i, (3, 6, 32)) for i in range(2)]
            for i in range(2):
                b.node("LayerNormalization", [inputs[i], b.weights((32,))], ["y_%d" % i, "mean_%d" % i])
            residuals = [b.op("Mul", inputs[i], "mean_%d" % (1 - i)) for i in range(2)]
            b.end(b.op("Sub", *[b.op("Add", "y_%d" % i, residuals[i]) for i in range(2)]))

        for build in [crossed, by_sums, by_means]:
            self.chain(build, 2, close=1e-5)

    def test_long_ways_to_a_sum(self):
        """What a parameter depends on is followed for as far as it goes."""

        def build(b):
            y = b.op("LayerNormalization", b.feed("x", (3, 6, 32)), b.constant("ones", Array(np.ones(32))))
            scale = b.feed("scale", (32,))
            for _ in range(300):
                scale = b.op("Neg", b.op("Sin", scale))
            b.end(b.op("Mul", y, scale))

        self.chain(build, 1, ["layer_norm"])

    def test_scalars_that_are_only_close(self):
        """1.0001 is not 1, 0.50009 not a half, in types that can tell."""

        def plus(b):
            y = b.op("LayerNormalization", b.feed("x", (3, 6, 32)), b.constant("ones", Array(np.ones(32))))
            b.end(b.op("Mul", y, b.op("Add", b.scalar(1.0001), b.feed("scale", (3, 1, 32)))))

        self.assertEqual(self.chain(plus, 1), ["Add", "norma"])

        def gelu(b):
            y = b.batch_norm(b.feed("x", (2, 8, 5, 7)), 8)
            e = b.op("Add", b.op("Erf", b.op("Div", y, b.scalar(2**0.5))), b.scalar(1))
            b.end(b.op("Mul", b.op("Mul", y, e), b.scalar(0.50009)))

        self.assertGreater(len(self.chain(gelu, 1)), 1)

    def test_unused_result(self):
        """A norm for its mean alone is the engine's."""

        def build(b):
            b.node("LayerNormalization", [b.feed("x", (3, 6, 32)), b.weights((32,))], ["unused", "mean"])
            b.end(b.op("Neg", "mean"))

        self.assertNotIn("norma", self.chain(build, 0))

    def test_constant_x(self):
        """The engine computes norms of constants when it loads the model, unless an operator of norma's stands in the way."""
        for op, shape, config in [
            ("instance_norm", (3, 8, 5), {}),
            ("batch_norm", (3, 8, 5), {}),
            ("layer_norm", (3, 8, 5), {"optimization.disable_specified_optimizers": "ConstantFolding"}),
        ]:
            b = Builder()
            x = b.weights(shape)
            if op == "instance_norm":
                y = b.op("InstanceNormalization", x, b.weights((8,)), b.weights((8,)))
            else:
                y = getattr(b, op)(x, 5 if op == "layer_norm" else 8)
            b.end(b.op("Add", y, b.feed("q", shape)))
            stock, _ = self.outputs(b, "off")
            result, _ = self.outputs(b, "ops", **{"norma.batch_norm": 1}, **config)
            self.assert_close(result["y"], stock["y"].values, "f32")

    def test_rank_that_the_engine_does_not_know(self):
        """A custom operator whose input's shape nobody declares says nothing about its result's."""
        b = Builder()
        b.feeds["x"] = Array(b.random.standard_normal((3, 32)))
        b.input("x", "f32", None)
        y = b.op("MeanVarianceNormalization", "x", axes=[1])
        b.end(b.op("Add", b.op("Exp", y), b.op("ReduceMean", y, b.integers_of(-1), keepdims=1)))
        stock, _ = self.outputs(b, "off")
        for route in ["ops", "ep"]:
            result, plans = self.outputs(b, route)
            self.assertEqual(len(plans), 1)
            self.assert_close(result["y"], stock["y"].values, "f32", 40)

    def test_what_norma_does_not_compute_is_left_alone(self):
        """As far as the model tells: the engine then computes it, or says what it makes of it."""

        def spatial(b):
            x = b.feed("x", (2, 3, 4))
            b.end(b.op("BatchNormalization", x, *[b.positive((3, 4)) for _ in range(4)], spatial=0))

        def many_axes(b):
            b.end(b.op("MeanVarianceNormalization", b.feed("x", (2,) * 12), axes=[0, 2, 4, 6, 8, 10]))

        def no_epsilon(b):
            b.end(b.op("LayerNormalization", b.feed("x", (3, 32)), b.weights((32,)), epsilon=float("inf")))

        def mean_of_rms_norm(b):
            x, r = b.feed("x", (3, 32)), b.feed("r", (3, 32))
            outputs = ["y", "mean", "rstd", "sum"]
            b.node("SkipSimplifiedLayerNormalization", [x, r, b.weights((32,))], outputs, "com.microsoft")
            b.output("y")
            b.output("mean")

        for build, opset in [(spatial, 7), (many_axes, 21), (no_epsilon, 21), (mean_of_rms_norm, 21)]:
            with self.subTest(build.__name__):
                self.assertNotIn("norma", self.chain(build, 0, opset=opset))

        def steep(b):
            b.end(b.op("LeakyRelu", b.batch_norm(b.feed("x", (2, 8, 5, 7), scale=0.1), 8), alpha=float("inf")))

        b = Builder()
        steep(b)
        self.assertEqual(self.nodes(b), ["norma", "LeakyRelu"])
        for attributes, length, sentence in [({}, 8, "num_groups"), ({"num_groups": 4}, 4, "Incompatible dimensions")]:
            b = Builder()
            x = b.feed("x", (2, 8, 4))
            b.end(b.op("GroupNormalization", x, b.weights((length,)), b.weights((length,)), **attributes))
            with self.assertRaisesRegex(EngineError, sentence):
                self.engine.open(b, "ep")


if __name__ == "__main__":
    unittest.main()

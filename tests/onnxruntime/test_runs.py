"""How norma runs inside ONNX Runtime: changing shapes, threads, many sessions, and what cannot be run."""

import unittest

import numpy as np

import support
from support import Array, EngineError, EngineTest, Model


def layer_norm_model(shape=("batch", "length", 64), dtype="f32"):
    model = Model()
    model.input("x", dtype, shape)
    model.input("scale", dtype, (64,))
    model.output(model.node("LayerNormalization", ["x", "scale"], ["y"]))
    return model


class ShapesTest(EngineTest):
    route = "ops"

    def test_changing_shapes(self):
        """More shapes than a layer keeps plans for; each is right whenever it comes, and those kept are not made again."""
        session = self.engine.open(layer_norm_model(), self.route)
        scale = self.array((64,))
        self.engine.plans()
        for repeat in range(2):
            for length in list(range(1, 40)) + [3, 3, 3]:
                x = self.array((2, length, 64))
                y = self.engine.run(session, x=x, scale=scale)["y"]
                self.assert_close(y, support.layer_norm(x.values, scale.values)[0], "f32")
        # 3 is still there when it comes in the second round.
        self.assertEqual(len(self.engine.plans()), 39 + 1 + 38 + 1)
        for length in range(30, 40):
            self.engine.run(session, x=self.array((2, length, 64)), scale=scale)
        self.engine.plans()
        for repeat in range(3):
            for length in range(30, 40):
                self.engine.run(session, x=self.array((2, length, 64)), scale=scale)
        self.assertEqual(len(self.engine.plans()), 0)
        self.engine.end(session)

    def test_changing_ranks(self):
        session = self.engine.open(layer_norm_model(shape=None), self.route)
        scale = self.array((64,))
        for shape in [(64,), (3, 64), (2, 3, 64), (1, 1, 2, 1, 3, 1, 1, 1, 2, 64)]:
            x = self.array(shape)
            y = self.engine.run(session, x=x, scale=scale)["y"]
            self.assert_close(y, support.layer_norm(x.values, scale.values)[0], "f32")
        self.engine.end(session)

    def test_empty_batch(self):
        x, scale = self.array((0, 5, 64)), self.array((64,))
        self.assertEqual(self.engine.once(layer_norm_model(), self.route, x=x, scale=scale)["y"].shape, (0, 5, 64))
        model = Model()
        for name in ["x", "s", "b", "m", "v"]:
            model.input(name, "f32", None)
        model.output(model.node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"]))
        c = self.positive((3,))
        session = self.engine.open(model, self.route, **{"norma.batch_norm": 1})
        out = self.engine.run(session, x=self.array((0, 3, 4)), s=c, b=c, m=c, v=c)
        self.assertEqual(out["y"].shape, (0, 3, 4))
        self.engine.end(session)

    def test_threads_change_no_bit(self):
        for shape, op in [((4, 500, 64), "LayerNormalization"), ((2, 64, 40, 40), "GroupNormalization")]:
            model = Model()
            model.input("x", "f32", shape)
            for name in ["scale", "shift"]:
                model.constant(name, self.array((64,)))
            attributes = {"num_groups": 32} if op == "GroupNormalization" else {}
            model.output(model.node(op, ["x", "scale", "shift"], ["y"], **attributes))
            x = self.array(shape)
            results = [self.engine.once(model, self.route, threads=threads, x=x)["y"].bytes for threads in [1, 2, 3]]
            self.assertEqual(results[0], results[1])
            self.assertEqual(results[0], results[2])


class ProviderShapesTest(ShapesTest):
    route = "ep"


class BadInputTest(EngineTest):
    route = "ops"

    def refused(self, sentence, model, **inputs):
        """The model does not load, or does not run, and this is why; the engine goes on."""
        with self.assertRaisesRegex(EngineError, sentence):
            session = self.engine.open(model, self.route, **{"norma.batch_norm": 1})
            try:
                self.engine.run(session, **inputs)
            finally:
                self.engine.end(session)
        x, scale = self.array((2, 3, 64)), self.array((64,))
        self.engine.once(layer_norm_model(), self.route, x=x, scale=scale)

    def model(self, op, arrays, opset=23, domain="", outputs=("y",), **attributes):
        model = Model(opset)
        for name, array in arrays.items():
            model.input(name, array.dtype, None)
        model.node(op, list(arrays), list(outputs), domain, **attributes)
        for name in outputs:
            model.output(name)
        return model

    def test_wrong_lengths(self):
        x, short = self.array((2, 6, 4, 4)), self.array((5,))
        good = self.array((6,))
        for op, attributes in [("InstanceNormalization", {}), ("GroupNormalization", {"num_groups": 3})]:
            arrays = {"x": x, "scale": short, "bias": good}
            self.refused(r"%s: scale is of shape \[5\]" % op, self.model(op, arrays, **attributes), **arrays)
            arrays = {"x": x, "scale": good, "bias": short}
            self.refused(r"%s: bias is of shape \[5\]" % op, self.model(op, arrays, **attributes), **arrays)
        arrays = {"x": x, "scale": good, "bias": good, "mean": good, "variance": short}
        self.refused("the variance is of shape", self.model("BatchNormalization", arrays), **arrays)
        arrays = {"x": x, "scale": short}
        self.refused("can be broadcast", self.model("LayerNormalization", arrays), **arrays)
        arrays = {"x": x, "skip": self.array((2, 6, 3, 4)), "gamma": self.array((4,))}
        self.refused("the skip is of shape", self.model("SkipSimplifiedLayerNormalization", arrays, domain="com.microsoft"), **arrays)

    def test_ranks(self):
        c = self.positive((3,))
        arrays = {"x": self.array((3,)), "scale": c, "bias": c}
        self.refused("expected two axes at least", self.model("InstanceNormalization", arrays), **arrays)
        arrays = {"x": Array(1.0), "scale": c, "bias": c, "mean": c, "variance": c}
        self.refused("expected one axis at least", self.model("BatchNormalization", arrays), **arrays)
        arrays = {"x": self.array((1,) * 17), "scale": self.array((1,))}
        self.refused("17 axes, at most 16", self.model("RMSNormalization", arrays), **arrays)
        arrays = {"x": Array(1.0), "scale": self.array((1,))}
        self.refused("axis is -1", self.model("RMSNormalization", arrays), **arrays)

    def test_attributes(self):
        x, c = self.array((2, 6, 4)), self.positive((6,))
        arrays = {"x": x, "scale": c, "bias": c}
        self.refused("the attribute num_groups is missing", self.model("GroupNormalization", arrays), **arrays)
        self.refused("num_groups is 0", self.model("GroupNormalization", arrays, num_groups=0), **arrays)
        self.refused("4 groups do not divide", self.model("GroupNormalization", arrays, num_groups=4), **arrays)
        self.refused("num_groups must be an int", self.model("GroupNormalization", arrays, num_groups=2.0), **arrays)
        self.refused("epsilon must be a float", self.model("InstanceNormalization", arrays, epsilon="small"), **arrays)
        for epsilon in [-1.0, float("inf"), float("nan")]:
            self.refused("epsilon is %g" % epsilon, self.model("InstanceNormalization", arrays, epsilon=epsilon), **arrays)
        self.refused("p is 3", self.model("LpNormalization", {"x": x}, p=3), x=x)
        self.refused("axis is 3", self.model("LpNormalization", {"x": x}, axis=3), x=x)
        self.refused("axes has 5", self.model("MeanVarianceNormalization", {"x": x}, axes=[5]), x=x)
        self.refused("axes must be a list", self.model("MeanVarianceNormalization", {"x": x}, axes=1), x=x)
        arrays.update(mean=c, variance=c)
        self.refused("no training_mode", self.model("BatchNormalization", arrays, outputs=["y", "m", "v"]), **arrays)
        self.refused("are outputs", self.model("BatchNormalization", arrays, training_mode=1), **arrays)
        self.refused("spatial = 0", self.model("BatchNormalization", arrays, opset=7, spatial=0), **arrays)
        self.refused("momentum is 2", self.model("BatchNormalization", arrays, outputs=["y", "m", "v"], training_mode=1, momentum=2.0), **arrays)

    def test_types(self):
        x, scale = self.array((2, 64), "f16"), self.array((64,))
        arrays = {"x": x, "scale": scale}
        self.refused("LayerNormalization", self.model("LayerNormalization", arrays), **arrays)
        arrays = {"x": x}
        self.refused("has input size 1", self.model("LayerNormalization", arrays), **arrays)

    def test_no_statistics_of_nothing(self):
        x, scale = self.array((2, 0)), self.array((0,))
        model = self.model("LayerNormalization", {"x": x, "scale": scale}, outputs=["y", "mean", "rstd"])
        self.refused("has no statistics", model, x=x, scale=scale)


class ProviderBadInputTest(BadInputTest):
    """Here the engine finds some of it itself, and says so in its own words, or computes what norma refuses to."""

    route = "ep"

    def outcome(self, model, route, inputs):
        try:
            return self.engine.once(model, route, **inputs)
        except EngineError:
            return None

    when_run = ("17 axes, at most 16",)  # what no model says, so that norma has taken the node already

    def refused(self, sentence, model, **inputs):
        if sentence in self.when_run:
            super().refused(sentence, model, **inputs)
            return
        stock, result = (self.outcome(model, route, inputs) for route in ["off", self.route])
        self.assertEqual(result is None, stock is None, sentence)
        for name in stock or {}:
            np.testing.assert_allclose(result[name].values, stock[name].values, 1e-5, 1e-5, err_msg=sentence)
        x, scale = self.array((2, 3, 64)), self.array((64,))
        y = self.engine.once(layer_norm_model(), self.route, x=x, scale=scale)["y"]
        self.assert_close(y, support.layer_norm(x.values, scale.values)[0], "f32")


class OlderEngineTest(EngineTest):
    def test_older_engines(self):
        """An engine that has less than a way in needs: a sentence, and nothing of it stays."""
        for version, operators, provider in [(17, "1.18 or later", "1.23 or later"), (22, "", "1.23 or later")]:
            answer = self.engine.request("older", version) + ["", ""]
            for sentence, expected in zip(answer, [operators, provider]):
                self.assertIn(expected, sentence)
                self.assertEqual("" == sentence, expected == "", answer)
        x, scale = self.array((2, 3, 64)), self.array((64,))
        self.engine.once(layer_norm_model(), "ep", x=x, scale=scale)


    def test_values_of_a_node_to_compile(self):
        """Who uses them is not asked of the engine: 1.23 would end the process."""
        model = Model()
        for name in ["x", "r"]:
            model.input(name, "f32", (2, 3, 64))
        model.constant("scale", self.array((64,)))
        model.node("Exp", ["x"], ["e"])
        model.node("Add", ["e", "r"], ["sum"])
        model.node("LayerNormalization", ["sum", "scale"], ["n"])
        model.node("Relu", ["n"], ["a"])
        for name in ["a", "sum"]:
            model.output(model.node("Neg", [model.node("Sin", [name], ["sin_" + name])], ["y_" + name]))
        inputs = {"x": self.array((2, 3, 64)), "r": self.array((2, 3, 64))}
        expected = self.engine.once(model, "off", **inputs)
        self.engine.request("strict", 3)
        try:
            self.engine.plans()
            result = self.engine.once(model, "ep", **inputs)
            self.assertIn("add+layer_norm+relu", "".join(self.engine.plans()))
        finally:
            self.engine.request("strict", 0)
        for name in expected:
            self.assert_close(result[name], expected[name].values, "f32")


class OneSessionTest(EngineTest):
    """A session that several threads run, in more shapes than a layer keeps plans for."""

    route = "ops"

    def test_many_threads(self):
        model = Model()
        model.input("x", "f32", ("n", "l", 64))
        model.constant("scale", self.array((3, 1)))  # a copy in scratch memory
        model.input("skip", "f32", (3, 64))
        model.node("SkipSimplifiedLayerNormalization", ["x", "skip", "gamma"], ["s"], "com.microsoft")
        model.constant("gamma", self.array((64,)))
        model.output(model.node("LayerNormalization", ["s", "scale"], ["y"]))
        session = self.engine.open(model, self.route, 2)
        words = []
        for n in range(1, 21):
            words += self.engine.words_of({"x": self.array((n, 3, 64)), "skip": self.array((3, 64))})
        failed, different = self.engine.request("crowd", session, 6, 300, 20, *words)
        self.assertEqual((int(failed), int(different)), (0, 0))
        self.engine.end(session)


class ProviderOneSessionTest(OneSessionTest):
    route = "ep"

    def test_unloading(self):
        """The library is unregistered while a session lives, which runs on and ends as if it were not."""
        x, scale = self.array((2, 3, 64)), self.array((64,))
        expected = support.layer_norm(x.values, scale.values)[0]
        for _ in range(2):
            session = self.engine.open(layer_norm_model(), self.route)
            self.engine.run(session, x=x, scale=scale)
            self.engine.request("unload")
            longer = self.array((2, 5, 64))
            y = self.engine.run(session, x=longer, scale=scale)["y"]
            self.assert_close(y, support.layer_norm(longer.values, scale.values)[0], "f32")
            self.engine.end(session)
            self.assert_close(self.engine.once(layer_norm_model(), self.route, x=x, scale=scale)["y"], expected, "f32")


class ManySessionsTest(EngineTest):
    env = {"NORMA_VERBOSE": "0", "MALLOC_ARENA_MAX": "1"}  # an arena that a thread makes would count as 2 KB
    route = "ops"
    growth = 20  # bytes for each session, of which each layer holds thousands

    def test_many_sessions(self):
        """Sessions that come and go, 8 at a time, on 2 threads each: the bits of the first, and nothing is left of them."""
        model = Model()
        model.input("x", "f32", ("n", 64, 8, 8))
        for name in ["scale", "shift"]:
            model.constant(name, self.array((64,)))
        model.node("GroupNormalization", ["x", "scale", "shift"], ["g"], num_groups=8)
        model.node("InstanceNormalization", ["g", "scale", "shift"], ["i"])
        model.output(model.node("LayerNormalization", ["i", "w"], ["y"]))
        model.constant("w", self.array((8,)))
        path = self.folder.name + "/many.onnx"
        model.save(path)
        x = self.array((2, 64, 8, 8))
        answer = self.engine.request("soak", 1000, 8, path, self.route, 2, *self.engine.words_of({"x": x}))
        failed, different, held, before, after = (int(word) for word in answer)
        self.assertEqual((failed, different), (0, 0))
        # Otherwise the engine's allocations would not be among those that are counted.
        self.assertGreater(held, 10 * x.values.size, "bytes of an open session")
        self.assertLess(after - before, self.growth * 500, "bytes allocated: %d, then %d" % (before, after))
        print(
            "1000 sessions, 8 at a time: no wrong result; %d bytes allocated after 500, %d after 1000 (%d more while one is open)"
            % (before, after, held)
        )


class ProviderManySessionsTest(ManySessionsTest):
    route = "ep"


if __name__ == "__main__":
    unittest.main()

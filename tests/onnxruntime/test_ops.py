"""Single operators inside ONNX Runtime, on norma, against NumPy: attributes, types, ranks, shapes."""

import unittest

import numpy as np

import support
from support import Array, EngineTest, Model, f32

ALL = ["f32", "f16", "bf16", "f64"]


class OpTest(EngineTest):
    route = "ops"
    own_types = [("f32", "f32"), ("f16", "f32"), ("f16", "f16"), ("bf16", "f32"), ("bf16", "bf16")]

    def node(self, op, arrays, dtype, outputs=("y",), domain="", opset=23, constants=(), **attributes):
        """Runs a model of one node on norma and makes sure of that; arrays are its inputs by name, in order, None: left out."""
        model = Model(opset)
        for name, array in arrays.items():
            if array is not None and name in constants:
                model.constant(name, array)
            elif array is not None:
                model.input(name, array.dtype, array.shape)
        names = [name if array is not None else "" for name, array in arrays.items()]
        while not names[-1]:
            names.pop()
        model.node(op, names, list(outputs), domain, **attributes)
        for name in outputs:
            if name:
                model.output(name)
        self.engine.plans()
        fed = {name: array for name, array in arrays.items() if array is not None and name not in constants}
        session = self.engine.open(model, self.route, **{"norma.batch_norm": 1})
        result = self.engine.run(session, **fed)
        self.engine.end(session)
        plans = self.engine.plans()
        if all(extent for extent in arrays["x"].shape):
            self.assertEqual(len(plans), 1, "norma did not run: %s" % plans)
        self.assertEqual(result["y"].dtype, dtype)
        return result

    def test_layer_norm(self):
        for dtype in ALL:
            for shape, axis in [((3, 7, 96), -1), ((5, 64), 1), ((2, 3, 4, 5), 2), ((2, 3, 4, 5), -3), ((17,), 0)]:
                x = self.array(shape, dtype, offset=3)
                scale, shift = self.array(shape[axis:], dtype), self.array(shape[axis:], dtype)
                y, mean, rstd = support.layer_norm(x.values, scale.values, shift.values, axis, f32(1e-4))
                arrays = {"x": x, "scale": scale, "shift": shift}
                out = self.node("LayerNormalization", arrays, dtype, ["y", "mean", "rstd"], axis=axis, epsilon=1e-4)
                what = "%s %s %d" % (dtype, shape, axis)
                self.assert_close(out["y"], y, dtype, what=what)
                self.assert_close(out["mean"], mean, "f32", what=what)
                self.assert_close(out["rstd"], rstd, "f32", what=what)

    def test_layer_norm_defaults(self):
        x, scale = self.array((4, 6, 32)), self.array((32,))
        out = self.node("LayerNormalization", {"x": x, "scale": scale}, "f32")
        self.assert_close(out["y"], support.layer_norm(x.values, scale.values)[0], "f32")

    def test_batch_norm(self):
        types = [(t, t, t) for t in ALL] + [("f16", "f16", "f32"), ("f16", "f32", "f32"), ("bf16", "f32", "f32")]
        for dtype, parameters, statistics in types:
            for shape in [(2, 5, 7, 9), (4, 3), (2, 3, 8), (2, 4, 3, 5, 2), (7,)]:
                c = shape[1] if len(shape) > 1 else 1
                x, scale, shift = self.array(shape, dtype), self.array((c,), parameters), self.array((c,), parameters)
                mean, variance = self.array((c,), statistics), self.positive((c,), statistics)
                arrays = {"x": x, "scale": scale, "shift": shift, "mean": mean, "variance": variance}
                out = self.node("BatchNormalization", arrays, dtype, epsilon=1e-3, momentum=2.0)  # without meaning here
                expected = support.batch_norm(*[a.values for a in arrays.values()], epsilon=f32(1e-3))
                self.assert_close(out["y"], expected, dtype, 6, what="%s %s %s" % (dtype, statistics, shape))

    def test_constant_scalars(self):
        """Scale and bias of no axes."""
        x, scale, shift = self.array((3, 6, 32)), Array(1.5), Array(0.25)
        arrays = {"x": x, "scale": scale, "shift": shift}
        out = self.node("LayerNormalization", arrays, "f32", constants=("scale", "shift"))
        self.assert_close(out["y"], support.layer_norm(x.values, 1.5, 0.25)[0], "f32")
        out = self.node("RMSNormalization", {"x": x, "scale": scale}, "f32", constants=("scale",))
        self.assert_close(out["y"], support.rms_norm(x.values, 1.5)[0], "f32")

    def test_layer_norm_broadcast(self):
        """Scale and bias of any shape that can be broadcast to x, along the normalized axes and others."""
        for dtype in ["f32", "bf16", "f64"]:
            for shape, axis, scale_shape, shift_shape in [
                ((2, 3, 4, 8), 2, (8,), (4, 1)),
                ((2, 3, 4, 8), 3, (3, 1, 8), (8,)),
                ((2, 3, 4, 8), 3, (2, 1, 1, 8), (1, 3, 1, 1)),
                ((2, 3, 4, 8), 1, (1,), None),
                ((4, 6), 1, (4, 6), (4, 1)),
            ]:
                x, scale = self.array(shape, dtype), self.array(scale_shape, dtype)
                shift = self.array(shift_shape, dtype) if shift_shape else None
                y, _, _ = support.layer_norm(x.values, scale.values, shift.values if shift else 0, axis)
                for constants in [(), ("scale", "shift")]:
                    arrays = {"x": x, "scale": scale, "shift": shift}
                    out = self.node("LayerNormalization", arrays, dtype, constants=constants, axis=axis)
                    self.assert_close(out["y"], y, dtype, what="%s %s" % (dtype, scale_shape))

    def test_rms_norm(self):
        for dtype in ALL:
            for shape, axis in [((3, 7, 96), -1), ((2, 3, 4, 5), 2), ((1, 768), -1)]:
                x, scale = self.array(shape, dtype), self.array(shape[axis:], dtype)
                y, rstd = support.rms_norm(x.values, scale.values, axis, f32(1e-6))
                arrays = {"x": x, "scale": scale}
                out = self.node("RMSNormalization", arrays, dtype, axis=axis, epsilon=1e-6)
                self.assert_close(out["y"], y, dtype)
                out = self.node("SimplifiedLayerNormalization", arrays, dtype, ["y", "rstd"], opset=17, axis=axis, epsilon=1e-6)
                self.assert_close(out["y"], y, dtype)
                self.assert_close(out["rstd"], rstd, "f32")

    def test_batch_norm_training(self):
        for dtype, statistics in [("f32", "f32"), ("f64", "f64"), ("f16", "f16"), ("bf16", "f32")]:
            x, scale, shift = self.array((4, 3, 5, 6), dtype, offset=2), self.array((3,), dtype), self.array((3,), dtype)
            mean, variance = self.array((3,), statistics), self.positive((3,), statistics)
            arrays = {"x": x, "scale": scale, "shift": shift, "mean": mean, "variance": variance}
            attributes = dict(training_mode=1, momentum=0.75, opset=15)
            out = self.node("BatchNormalization", arrays, dtype, ["y", "new_mean", "new_variance"], **attributes)
            now, spread = x.values.mean((0, 2, 3)), x.values.var((0, 2, 3))
            self.assert_close(out["y"], support.batch_norm(x.values, scale.values, shift.values, now, spread), dtype, 6)
            self.assert_close(out["new_mean"], 0.75 * mean.values + 0.25 * now, statistics, 6)
            self.assert_close(out["new_variance"], 0.75 * variance.values + 0.25 * spread, statistics, 6)

    def test_instance_norm(self):
        for dtype in ALL:
            for shape in [(2, 5, 7, 9), (2, 3, 33), (1, 2, 3, 4, 5)]:
                x, scale, shift = self.array(shape, dtype, offset=-5), self.array(shape[1:2], dtype), self.array(shape[1:2], dtype)
                arrays = {"x": x, "scale": scale, "shift": shift}
                out = self.node("InstanceNormalization", arrays, dtype, epsilon=0.01)
                self.assert_close(out["y"], support.instance_norm(x.values, scale.values, shift.values, f32(0.01)), dtype, 6)

    def test_group_norm(self):
        for dtype in ALL:
            for shape, groups in [((2, 8, 5, 6), 4), ((1, 6, 10), 3), ((2, 4, 3, 2, 2), 1), ((2, 6, 9), 6)]:
                for opset, length in [(21, shape[1]), (18, groups)]:
                    x, scale, shift = self.array(shape, dtype, offset=9), self.array((length,), dtype), self.array((length,), dtype)
                    arrays = {"x": x, "scale": scale, "shift": shift}
                    out = self.node("GroupNormalization", arrays, dtype, opset=opset, num_groups=groups)
                    expected = support.group_norm(x.values, scale.values, shift.values, groups)
                    self.assert_close(out["y"], expected, dtype, 6, what="%s %s %d" % (dtype, shape, opset))

    def test_mvn(self):
        for dtype in ALL:
            for shape, axes in [((2, 3, 4, 5), None), ((2, 3, 4), None), ((2, 3), None), ((2, 3, 4), [1, 5]), ((2, 3, 4, 5), [1]), ((4, 6), [-1]), ((2, 3, 4, 5, 2), [0, 2, 4])]:
                x = self.array(shape, dtype, offset=1)
                out = self.node("MeanVarianceNormalization", {"x": x}, dtype, **({"axes": axes} if axes else {}))
                along = tuple(axis for axis in axes or (0, 2, 3) if axis < len(shape))  # as the engine has it
                mean, deviation = x.values.mean(along, keepdims=True), x.values.std(along, keepdims=True)
                self.assert_close(out["y"], (x.values - mean) / (deviation + 1e-9), dtype)

    def test_lp_norm(self):
        for dtype in ALL:
            for shape, axis, p in [((3, 5, 8), None, 2), ((3, 5, 8), 1, 1), ((3, 5, 8), 0, 2), ((9,), 0, 1)]:
                x = self.array(shape, dtype)
                attributes = dict(axis=axis, p=p) if axis is not None else {}
                out = self.node("LpNormalization", {"x": x}, dtype, opset=22, **attributes)
                along = -1 if axis is None else axis
                length = np.abs(x.values).sum(along, keepdims=True) if p == 1 else np.sqrt((x.values**2).sum(along, keepdims=True))
                self.assert_close(out["y"], x.values / length, dtype)

    def test_skip_layer_norm(self):
        for dtype in ["f32", "f16", "bf16"]:
            for shape, skip_shape in [((2, 5, 32), (2, 5, 32)), ((2, 5, 32), (1, 5, 32)), ((2, 5, 32), (5, 32)), ((6, 48), (6, 48))]:
                for with_bias in [False, True]:
                    x, skip, gamma = self.array(shape, dtype), self.array(skip_shape, dtype), self.array(shape[-1:], dtype)
                    beta, bias = self.array(shape[-1:], dtype), self.array(shape[-1:], dtype) if with_bias else None
                    total = x.values + skip.values + (bias.values if bias else 0)
                    y, mean, rstd = support.layer_norm(total, gamma.values, beta.values, epsilon=f32(1e-12))
                    arrays = {"x": x, "skip": skip, "gamma": gamma, "beta": beta, "bias": bias}
                    outputs = ["y", "mean", "rstd", "sum"]
                    out = self.node("SkipLayerNormalization", arrays, dtype, outputs, "com.microsoft", epsilon=1e-12)
                    what = "%s %s %s" % (dtype, skip_shape, with_bias)
                    steps = 4 if dtype == "f32" else 24  # the sum is rounded before the norm magnifies it
                    self.assert_close(out["y"], y, dtype, steps, what=what)
                    self.assert_close(out["sum"], total, dtype, 6, what=what)
                    self.assert_close(out["mean"], mean, dtype, what=what)
                    self.assert_close(out["rstd"], rstd, dtype, what=what)

    def test_skip_rms_norm(self):
        for dtype in ["f32", "f16", "bf16"]:
            for with_bias in [False, True]:
                x, skip, gamma = self.array((3, 4, 64), dtype), self.array((3, 4, 64), dtype), self.array((64,), dtype)
                bias = self.array((64,), dtype) if with_bias else None
                total = x.values + skip.values + (bias.values if bias else 0)
                arrays = {"x": x, "skip": skip, "gamma": gamma, "bias": bias}
                outputs = ["y", "", "", "sum"]
                out = self.node("SkipSimplifiedLayerNormalization", arrays, dtype, outputs, "com.microsoft", epsilon=1e-6)
                self.assert_close(out["y"], support.rms_norm(total, gamma.values, epsilon=f32(1e-6))[0], dtype, 12)
                self.assert_close(out["sum"], total, dtype, 6)

    def test_group_norm_nhwc(self):
        """The engine's own GroupNorm and SkipGroupNorm, which it has no kernel for on CPUs."""
        for dtype, parameters in self.own_types:
            x, gamma, beta = self.array((2, 5, 6, 8), dtype), self.array((8,), parameters), self.array((8,), parameters)
            arrays = {"x": x, "gamma": gamma, "beta": beta}
            for activation in [0, 1]:
                for last in [1, 0]:
                    nchw = np.moveaxis(x.values, -1, 1)
                    image = x if last else Array(nchw, dtype)
                    y = support.group_norm(nchw, gamma.values, beta.values, 4)
                    y = support.silu(y) if activation else y
                    arrays["x"] = image
                    attributes = dict(groups=4, activation=activation, channels_last=last)
                    out = self.node("GroupNorm", arrays, dtype, domain="com.microsoft", **attributes)
                    self.assert_close(out["y"], np.moveaxis(y, 1, -1) if last else y, dtype, 6)

    def test_skip_group_norm(self):
        for dtype, parameters in self.own_types:
            for skip_shape in [(2, 5, 6, 8), (2, 8), (2, 1, 1, 8)]:
                for with_bias in [False, True]:
                    x, gamma, beta = self.array((2, 5, 6, 8), dtype), self.array((8,), parameters), self.array((8,), parameters)
                    skip, bias = self.array(skip_shape, dtype), self.array((8,), dtype) if with_bias else None
                    spread = skip.values.reshape(2, 1, 1, 8) if len(skip_shape) == 2 else skip.values
                    total = x.values + spread + (bias.values if bias else 0)
                    arrays = {"x": x, "gamma": gamma, "beta": beta, "skip": skip, "bias": bias}
                    attributes = dict(groups=2, activation=1)
                    out = self.node("SkipGroupNorm", arrays, dtype, ["y", "sum"], "com.microsoft", **attributes)
                    y = support.silu(support.group_norm(np.moveaxis(total, -1, 1), gamma.values, beta.values, 2))
                    self.assert_close(out["y"], np.moveaxis(y, 1, -1), dtype, 24 if dtype != "f32" else 6)
                    self.assert_close(out["sum"], total, dtype, 6)


class ProviderOpTest(OpTest):
    """The same through the execution provider."""

    route = "ep"
    own_types = [("f32", "f32"), ("f16", "f32"), ("f16", "f16")]  # that the engine's schema of GroupNorm has


if __name__ == "__main__":
    unittest.main()

"""Single operators inside ONNX Runtime, on norma, against NumPy: attributes, types, ranks, shapes."""

import unittest

import numpy as np

import support
from support import Array, EngineTest, Model, f32

ALL = ["f32", "f16", "bf16", "f64"]


class OpTest(EngineTest):
    def node(self, op, arrays, dtype, outputs=("y",), domain="", opset=23, route="ops", constants=(), **attributes):
        """Runs a model of one node on norma and makes sure of that; arrays are its inputs by name, in order, None: left out."""
        model = Model(opset)
        for name, array in arrays.items():
            if array is not None and name in constants:
                model.constant(name, array)
            elif array is not None:
                model.input(name, array.dtype, array.shape)
        model.node(op, [name if array is not None else "" for name, array in arrays.items()], list(outputs), domain, **attributes)
        for name in outputs:
            if name:
                model.output(name)
        self.engine.plans()
        fed = {name: array for name, array in arrays.items() if array is not None and name not in constants}
        result = self.engine.once(model, route, **fed)
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
                out = self.node("BatchNormalization", arrays, dtype, epsilon=1e-3)
                expected = support.batch_norm(*[a.values for a in arrays.values()], epsilon=f32(1e-3))
                self.assert_close(out["y"], expected, dtype, 6, what="%s %s %s" % (dtype, statistics, shape))


if __name__ == "__main__":
    unittest.main()

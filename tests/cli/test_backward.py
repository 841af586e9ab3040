"""`norma run --backward`: gradients against NumPy in float64."""

import numpy as np

from support import ToolTest

GRADIENTS = ["--grad-input", "dx.npy", "--grad-scale", "ds.npy", "--grad-bias", "db.npy"]


def gradients(x, dy, axes, scale, others, mean=True, given=None):
    """dx, dscale and dbias; `others` are the axes along which scale and bias are broadcast."""
    x, dy, scale = (np.asarray(a, dtype=np.float64) for a in (x, dy, scale))
    m = x.mean(axes, keepdims=True) if mean else 0
    v = ((x - m) ** 2).mean(axes, keepdims=True)
    if given:
        m, v = given
    r = 1 / np.sqrt(v + 1e-5)
    n, g = (x - m) * r, dy * scale
    dx = g * r
    if not given:
        dx = r * (g - (g.mean(axes, keepdims=True) if mean else 0) - n * (g * n).mean(axes, keepdims=True))
    return dx, (dy * n).sum(others), dy.sum(others)


class BackwardTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.x, self.dy = self.normal(5, 12, 7), self.normal(5, 12, 7, offset=0) * np.float32(0.25)
        for name, array in [("x", self.x), ("dy", self.dy), ("s", self.normal(12)), ("b", self.normal(12)), ("t", self.normal(7))]:
            self.save(name + ".npy", array)

    def back(self, op, *arguments):
        self.assertEqual(self.succeed("run", op, "--input", "x.npy", "--backward", "--grad-output", "dy.npy", *arguments), "")

    def test_layer_and_rms_norm(self):
        self.back("layer_norm", "--scale", "t.npy", *GRADIENTS)
        dx, ds, db = gradients(self.x, self.dy, 2, self.load("t.npy"), (0, 1))
        self.check(self.load("dx.npy"), dx)
        self.check(self.load("ds.npy"), ds)
        self.check(self.load("db.npy"), db)
        self.back("rms_norm", "--scale", "t.npy", "--grad-input", "dx.npy", "--grad-scale", "ds.npy")
        dx, ds, _ = gradients(self.x, self.dy, 2, self.load("t.npy"), (0, 1), mean=False)
        self.check(self.load("dx.npy"), dx)
        self.check(self.load("ds.npy"), ds)

    def test_channels(self):
        scale = self.load("s.npy").reshape(1, 12, 1)
        for op, axes, more in [("batch_norm", (0, 2), ["--train"]), ("instance_norm", 2, []), ("channel_norm", 1, [])]:
            self.back(op, "--scale", "s.npy", *more, *GRADIENTS)
            dx, ds, db = gradients(self.x, self.dy, axes, scale, (0, 2))
            self.check(self.load("dx.npy"), dx)
            self.check(self.load("ds.npy"), ds)
            self.check(self.load("db.npy"), db)

    def test_given_statistics(self):
        mean, variance = self.normal(12), np.abs(self.normal(12))
        self.save("m.npy", mean)
        self.save("v.npy", variance)
        self.back("batch_norm", "--mean", "m.npy", "--variance", "v.npy", "--scale", "s.npy", *GRADIENTS)
        given = [a.astype(np.float64).reshape(1, 12, 1) for a in (mean, variance)]
        dx, ds, _ = gradients(self.x, self.dy, (0, 2), self.load("s.npy").reshape(1, 12, 1), (0, 2), given=given)
        self.check(self.load("dx.npy"), dx)
        self.check(self.load("ds.npy"), ds)

    def test_relu_and_output(self):
        self.back("layer_norm", "--scale", "t.npy", "--activation", "relu", "--output", "y.npy", "--save-variance", "v.npy",
                  *GRADIENTS)
        y = self.load("y.npy")
        dx, ds, _ = gradients(self.x, self.dy * (y > 0), 2, self.load("t.npy"), (0, 1))
        self.assertTrue((y == 0).any())
        self.check(self.load("dx.npy"), dx)
        self.check(self.load("ds.npy"), ds)

    def test_residuals(self):
        self.save("r.npy", self.normal(5, 12, 7))
        self.back("layer_norm", "--residual", "r.npy", "--grad-input", "dx.npy")
        dx, _, _ = gradients(self.x + self.load("r.npy"), self.dy, 2, np.ones(7), (0, 1))
        self.check(self.load("dx.npy"), dx)
        self.back("layer_norm", "--residual", "r.npy", "--residual-at", "after", "--grad-residual", "dr.npy", "--grad-input",
                  "dx.npy")
        self.check(self.load("dx.npy"), gradients(self.x, self.dy, 2, np.ones(7), (0, 1))[0])
        self.check(self.load("dr.npy"), self.dy)

    def test_time(self):
        line = self.succeed("run", "layer_norm", "--input", "x.npy", "--backward", "--grad-output", "dy.npy", "--grad-input",
                            "dx.npy", "--time")
        self.assertRegex(line, r"^layer_norm backward \(5, 12, 7\) f32 .* us, .* GB/s\n$")

    def test_mistakes(self):
        run = ["run", "layer_norm", "--input", "x.npy"]
        self.save("wrong.npy", self.normal(5, 12))
        self.refuse(*run, says=["--output"])
        self.refuse(*run, "--backward", "--grad-output", "dy.npy", says=["--grad-input"])
        self.refuse(*run, "--backward", "--grad-input", "dx.npy", says=["--grad-output"])
        self.refuse(*run, "--output", "y.npy", "--grad-input", "dx.npy", says=["--grad-input", "--backward"])
        self.refuse(*run, "--backward", "--grad-output", "wrong.npy", "--grad-input", "dx.npy", says=["--grad-output", "(5, 12)"])
        back = [*run, "--backward", "--grad-output", "dy.npy", "--grad-input", "dx.npy"]
        self.refuse(*back, "--activation", "silu", says=["silu"])
        self.refuse(*back, "--grad-residual", "dr.npy", says=["--residual"])
        self.refuse("run", "rms_norm", *back[2:], "--grad-bias", "db.npy", says=["--grad-bias", "rms_norm"])
        self.refuse("run", "lp_norm", *back[2:], "--p", "1", says=["p = 1"])

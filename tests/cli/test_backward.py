"""`norma run --backward`: gradients against NumPy in float64."""

import re

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

    def test_residual_with_an_output_and_a_bias(self):
        self.save("r.npy", self.normal(5, 12, 7))
        self.back("layer_norm", "--residual", "r.npy", "--residual-bias", "t.npy", "--output", "y.npy", "--save-divisor", "d.npy",
                  "--grad-input", "dx.npy")
        dx, _, _ = gradients(self.x + self.load("r.npy") + self.load("t.npy"), self.dy, 2, np.ones(7), (0, 1))
        self.check(self.load("dx.npy"), dx)

    def test_unbiased(self):
        self.back("layer_norm", "--unbiased", "--grad-input", "dx.npy")
        x, dy = self.x.astype(np.float64), self.dy.astype(np.float64)
        step, m = 1e-6, self.normal(5, 12, 7).astype(np.float64)

        def loss(x):
            c = x - x.mean(2, keepdims=True)
            return (dy * c / np.sqrt(c.var(2, keepdims=True, ddof=1) + 1e-5)).sum()

        along = (loss(x + step * m) - loss(x - step * m)) / (2 * step)
        self.assertAlmostEqual((self.load("dx.npy").astype(np.float64) * m).sum(), along, delta=1e-4 * max(1, abs(along)))

    def test_modulation(self):
        for shape, others in [((5, 7), 1), ((5, 12, 7), ())]:
            m, t = self.normal(*shape), self.normal(*shape)
            self.save("m.npy", m)
            self.save("n.npy", t)
            self.back("layer_norm", "--scale", "t.npy", "--bias", "t.npy", "--modulation-scale", "m.npy", "--modulation-shift",
                      "n.npy", "--grad-modulation-scale", "dm.npy", "--grad-modulation-shift", "dn.npy", *GRADIENTS)
            factor = 1 + m.astype(np.float64).reshape(5, -1, 7)
            dx, ds, db = gradients(self.x, self.dy * factor, 2, self.load("t.npy"), (0, 1))
            x, scale = self.x.astype(np.float64), self.load("t.npy").astype(np.float64)
            v = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 1e-5) * scale + scale
            for name, want in [("dx", dx), ("ds", ds), ("db", db), ("dm", (self.dy * v).sum(others)), ("dn", self.dy.sum(others))]:
                self.check(self.load(name + ".npy"), want)
        self.save("m.npy", self.normal(5, 12))
        self.back("batch_norm", "--train", "--modulation-scale", "m.npy", "--modulation-plain", "--grad-input", "dx.npy")
        dx, _, _ = gradients(self.x, self.dy * self.load("m.npy").reshape(5, 12, 1), (0, 2), np.ones((1, 12, 1)), (0, 2))
        self.check(self.load("dx.npy"), dx)

    def test_half_types(self):
        self.save("r.npy", self.normal(5, 12, 7))
        self.back("layer_norm", "--dtype", "f16", "--residual", "r.npy", "--grad-input", "dx.npy", "--residual-out", "sum.npy")
        dx, _, _ = gradients(self.load("sum.npy"), self.dy.astype(np.float16), 2, np.ones(7), (0, 1))
        self.assertEqual(self.load("dx.npy").dtype, np.float16)
        np.testing.assert_allclose(self.load("dx.npy"), dx, atol=2e-3)

    def test_time_counts_what_goes_back(self):
        self.save("r.npy", self.x)
        for arguments, arrays in [(["--grad-scale", "ds.npy"], 2), (["--grad-input", "dx.npy"], 3),
                                  (["--grad-input", "dx.npy", "--activation", "relu"], 4),
                                  (["--residual", "r.npy", "--residual-at", "after", "--grad-residual", "dr.npy"], 3)]:
            line = self.succeed("run", "layer_norm", "--input", "x.npy", "--backward", "--grad-output", "dy.npy", *arguments,
                                "--time", "--threads", 1)
            microseconds, rate = map(float, re.search(r": (\S+) us, (\S+) GB/s\n", line).groups())
            self.assertAlmostEqual(rate, 4 * arrays * self.x.size / microseconds * 1e-3, delta=0.01 + 0.01 * rate)

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
        self.refuse(*back, "--grad-modulation-scale", "dm.npy", says=["--grad-modulation-scale needs --modulation-scale"])
        self.refuse(*run, "--output", "y.npy", "--modulation-shift", "x.npy", "--grad-modulation-shift", "dm.npy",
                    says=["--grad-modulation-shift", "--backward"])
        self.refuse("run", "rms_norm", *back[2:], "--grad-bias", "db.npy", says=["--grad-bias", "rms_norm"])
        self.refuse("run", "lp_norm", *back[2:], "--p", "1", says=["p = 1"])

    def test_what_has_no_way_back(self):
        run = ["run", "instance_norm", "--input", "x.npy"]
        back = ["--backward", "--grad-output", "dy.npy", "--grad-input", "dx.npy"]
        self.keep(s8=np.ones((5, 12, 7), np.int8), u8=np.ones((5, 12, 7), np.uint8))
        for option in ["--gate", "--style"]:
            self.refuse(*run, *back, "--output", "y.npy", option, "x.npy", says="--backward and %s exclude each other" % option)
        self.refuse("run", "layer_norm", *run[2:], *back, "--residual", "x.npy", "--residual-gate", "x.npy",
                    says="--backward and --residual-gate exclude each other")
        self.refuse(*run, *back, "--output", "y.npy", "--output-dtype", "bf16", says=["--backward", "--output-dtype f32", "bf16"])
        self.refuse(*run, *back, "--residual", "x.npy", "--residual-dtype", "f64", "--residual-at", "after",
                    says=["--backward", "--residual-dtype f32", "f64"])
        self.refuse(*run, *back, "--residual", "x.npy", "--grad-residual", "dr.npy", says="--residual-at after")
        for name in ["s8", "u8"]:
            self.refuse("run", "instance_norm", "--input", name + ".npy", "--input-scale", "1", *back,
                        says=["--backward does not go with integers", name])
            self.refuse("run", "instance_norm", "--input", "x.npy", "--backward", "--grad-output", name + ".npy", "--grad-input",
                        "dx.npy", says=["--grad-output", "only --input"])

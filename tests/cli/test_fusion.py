"""What `norma run` fuses with a norm beyond activations and residuals, against NumPy in float64: modulation, gates, other types,
integers, a style; and statistics alone."""

import numpy as np

from support import ACTIVATIONS, ToolTest, from_bf16, lp_norm, moments_norm, rms_norm, to_bf16


def silu(x):
    return ACTIVATIONS["silu"](np.asarray(x, np.float64))


def given_norm(x, mean, variance):
    """Of NCHW, with statistics of channels."""
    return (x - mean.astype(np.float64).reshape(-1, 1, 1)) / np.sqrt(variance.astype(np.float64) + 1e-5).reshape(-1, 1, 1)


class ModulationTest(ToolTest):
    def test_of_rows_by_sample_and_by_element(self):
        x, g, b = self.normal(3, 5, 48), self.normal(48), self.normal(48)
        self.keep(g=g, b=b)
        for shape, line_up in [((3, 48), (3, 1, 48)), ((1, 3, 48), (3, 1, 48)), ((3, 5, 48), (3, 5, 48))]:
            m, s = self.normal(*shape), self.normal(*shape)
            self.keep(m=m, s=s)
            m, s = m.reshape(line_up).astype(np.float64), s.reshape(line_up)
            both = ["--modulation-scale", "m.npy", "--modulation-shift", "s.npy"]
            plain = moments_norm(x, 2, 1e-5)[0]
            self.check(self.run_op("layer_norm", x, *both), plain * (1 + m) + s)
            self.check(self.run_op("layer_norm", x, *both, "--modulation-plain"), plain * m + s)
            self.check(self.run_op("layer_norm", x, *both[:2]), plain * (1 + m))
            self.check(self.run_op("layer_norm", x, *both[2:]), plain + s)
            self.check(self.run_op("layer_norm", x, *both, "--scale", "g.npy", "--bias", "b.npy", "--activation", "relu"),
                       np.maximum((plain * g + b) * (1 + m) + s, 0))
            self.check(self.run_op("rms_norm", x, *both, "--scale", "g.npy"), rms_norm(x, 2, 1e-5)[0] * g * (1 + m) + s)

    def test_shapes_that_are_both(self):
        x = self.normal(6, 40)
        m = self.normal(6, 40)
        self.keep(m=m)
        self.check(self.run_op("layer_norm", x, "--modulation-scale", "m.npy"), moments_norm(x, 1, 1e-5)[0] * (1.0 + m))
        # No samples are left where axis 0 is normalized: only the input's shape will do.
        y = self.run_op("layer_norm", x, "--axis", 0, "--modulation-scale", "m.npy")
        self.check(y, moments_norm(x, (0, 1), 1e-5)[0] * (1.0 + m))

    def test_of_images(self):
        given = ["--mean", "mean.npy", "--variance", "variance.npy"]
        mean, variance = self.normal(16), np.abs(self.normal(16))
        self.keep(mean=mean, variance=variance)
        for layout in ["nchw", "nhwc"]:
            last = layout == "nhwc"
            x = self.normal(3, 16, 6, 5)
            m, s, m_all = self.normal(3, 16), self.normal(3, 16), self.normal(3, 16, 6, 5)
            place = (lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1))) if last else (lambda a: a)
            self.keep(m=m, s=s, a=place(m_all))
            along = (3, 16, 1, 1)
            grouped = moments_norm(x.reshape(3, 4, -1), 2, 1e-5)[0].reshape(x.shape)
            inferred = given_norm(x, mean, variance)
            for op, options, plain in [("channel_norm", [], moments_norm(x, 1, 1e-5)[0]),
                                       ("instance_norm", [], moments_norm(x, (2, 3), 1e-5)[0]),
                                       ("batch_norm", ["--train"], moments_norm(x, (0, 2, 3), 1e-5)[0]),
                                       ("batch_norm", given, inferred), ("group_norm", ["--groups", 4], grouped)]:
                y = self.run_op(op, place(x), "--layout", layout, *options, "--modulation-scale", "m.npy",
                                "--modulation-shift", "s.npy")
                self.check(y, place(plain * (1.0 + m.reshape(along)) + s.reshape(along)))
                y = self.run_op(op, place(x), "--layout", layout, *options, "--modulation-scale", "a.npy")
                self.check(y, place(plain * (1.0 + m_all)))

    def test_of_groups_and_blocks(self):
        x, m = self.normal(2, 16, 5, 3), self.normal(2, 4)
        self.keep(m=m)
        plain = moments_norm(x.reshape(2, 4, -1), 2, 1e-5)[0]
        y = self.run_op("group_norm", x, "--groups", 4, "--affine", "group", "--modulation-scale", "m.npy")
        self.check(y, (plain * (1.0 + m[:, :, None])).reshape(x.shape))
        m = self.normal(2, 16)
        self.keep(m=m)
        blocked = np.ascontiguousarray(x.reshape(2, 2, 8, 5, 3).transpose(0, 1, 3, 4, 2))
        y = self.run_op("instance_norm", blocked, "--layout", "nchw8c", "--modulation-scale", "m.npy")
        self.check(y.transpose(0, 1, 4, 2, 3).reshape(x.shape), moments_norm(x, (2, 3), 1e-5)[0] * (1.0 + m[:, :, None, None]))


class GatesTest(ToolTest):
    def test_residual_gate_and_bias(self):
        x, r, b = self.normal(3, 5, 48), self.normal(3, 5, 48), self.normal(48)
        self.keep(r=r, b=b)
        for op, norm in [("layer_norm", lambda s: moments_norm(s, 2, 1e-5)[0]),
                         ("rms_norm", lambda s: rms_norm(s, 2, 1e-5)[0])]:
            for shape, line_up in [((3, 48), (3, 1, 48)), ((3, 5, 48), (3, 5, 48))]:
                gate = self.normal(*shape)
                self.keep(gate=gate)
                s = x + gate.reshape(line_up).astype(np.float64) * r
                arguments = ["--residual", "r.npy", "--residual-gate", "gate.npy", "--residual-out", "s.npy"]
                self.check(self.run_op(op, x, *arguments), norm(s))
                self.check(self.load("s.npy"), s)
                self.check(self.run_op(op, x, *arguments, "--residual-bias", "b.npy"), norm(s + b))
                self.check(self.load("s.npy"), s + b)
            y = self.run_op(op, x, "--residual", "r.npy", "--residual-bias", "b.npy")
            self.check(y, norm(x + r.astype(np.float64) + b))

    def test_adaptive_layer_norm_of_a_gated_sum(self):
        x, f = self.normal(2, 7, 64), self.normal(2, 7, 64)
        gate, m, s = self.normal(2, 64), self.normal(2, 64), self.normal(2, 64)
        self.keep(f=f, gate=gate, m=m, s=s)
        y = self.run_op("layer_norm", x, "--residual", "f.npy", "--residual-gate", "gate.npy", "--residual-out", "r.npy",
                        "--modulation-scale", "m.npy", "--modulation-shift", "s.npy")
        r = x + gate[:, None].astype(np.float64) * f
        self.check(self.load("r.npy"), r)
        self.check(y, moments_norm(r, 2, 1e-5)[0] * (1.0 + m[:, None]) + s[:, None])

    def test_gate_after(self):
        x, g, z = self.normal(4, 200), self.normal(200), self.normal(4, 200)
        self.keep(g=g, z=z)
        plain = rms_norm(x, 1, 1e-5)[0] * g
        self.check(self.run_op("rms_norm", x, "--scale", "g.npy", "--gate", "z.npy"), plain * silu(z))
        for name in ["none", "relu", "sigmoid", "gelu-tanh", "hard-swish", "elu"]:
            y = self.run_op("rms_norm", x, "--scale", "g.npy", "--gate", "z.npy", "--gate-at", "after", "--gate-activation",
                            name)
            self.check(y, plain * ACTIVATIONS[name](z.astype(np.float64)))
        y = self.run_op("rms_norm", x, "--scale", "g.npy", "--gate", "z.npy", "--activation", "tanh")
        self.check(y, np.tanh(plain) * silu(z))
        self.keep(r=x)
        y = self.run_op("rms_norm", x, "--gate", "z.npy", "--residual", "r.npy", "--residual-at", "after")
        self.check(y, (rms_norm(x, 1, 1e-5)[0] + x) * silu(z))

    def test_gate_before(self):
        x, z = self.normal(4, 200), self.normal(4, 200)
        self.keep(z=z)
        product = x * silu(z)
        y = self.run_op("rms_norm", x, "--gate", "z.npy", "--gate-at", "before", "--residual-out", "s.npy")
        self.check(self.load("s.npy"), product)
        self.check(y, rms_norm(product, 1, 1e-5)[0])
        y = self.run_op("rms_norm", x, "--gate", "z.npy", "--gate-at", "before", "--gate-activation", "none")
        self.check(y, rms_norm(x * z.astype(np.float64), 1, 1e-5)[0])
        # The product has x's type, and nowhere to be but in memory of its own.
        y = self.run_op("rms_norm", x, "--gate", "z.npy", "--gate-at", "before", "--output-dtype", "f64")
        self.check(y.astype(np.float32), rms_norm(product, 1, 1e-5)[0])
        image, gate = self.normal(2, 8, 5, 3), self.normal(2, 8, 5, 3)
        self.keep(z=gate)
        y = self.run_op("instance_norm", image, "--gate", "z.npy", "--gate-at", "before")
        self.check(y, moments_norm(image * silu(gate), (2, 3), 1e-5)[0])
        self.check(self.run_op("instance_norm", image, "--gate", "z.npy"), moments_norm(image, (2, 3), 1e-5)[0] * silu(gate))


class OutputTypesTest(ToolTest):
    def near_bf16(self, bits, expected):
        self.assertEqual(bits.dtype, np.uint16)
        self.assertLessEqual((np.abs(from_bf16(bits) - expected) / np.maximum(np.abs(expected), 1e-3)).max(), 2.0 ** -8)

    def test_every_output_type(self):
        x = self.normal(4, 300)
        expected = moments_norm(x, 1, 1e-5)[0]
        for name, dtype in [("f32", np.float32), ("f16", np.float16)]:
            self.check(self.run_op("layer_norm", x, "--output-dtype", name), expected, dtype)
        y = self.run_op("layer_norm", x, "--output-dtype", "f64")
        self.assertEqual(y.dtype, np.float64)
        self.check(y.astype(np.float32), expected)
        self.near_bf16(self.run_op("layer_norm", x, "--output-dtype", "bf16"), expected)
        self.check(self.run_op("layer_norm", x.astype(np.float64), "--output-dtype", "f32"), expected)
        bits = to_bf16(x)
        y = self.run_op("layer_norm", bits, "--dtype", "bf16", "--output-dtype", "f32")
        self.check(y, moments_norm(from_bf16(bits), 1, 1e-5)[0])

    def test_types_of_residuals(self):
        x, r = self.normal(4, 300), self.normal(4, 300)
        run = ["--residual", "r.npy", "--residual-out", "s.npy"]
        # A stream kept in f32 beside a model in bf16, read from f32 or from bf16.
        bits = to_bf16(x)
        for stored in [r, to_bf16(r)]:
            self.keep(r=stored)
            s = from_bf16(bits) + (stored if stored.dtype == np.float32 else from_bf16(stored))
            y = self.run_op("rms_norm", bits, "--dtype", "bf16", "--residual-dtype", "f32", *run)
            np.testing.assert_array_equal(self.load("s.npy"), s)
            self.near_bf16(y, rms_norm(s, 1, 1e-5)[0])
        # bf16 beside f32: the sum is rounded to bf16, and that is what is normalized.
        y = self.run_op("rms_norm", x, "--residual-dtype", "bf16", *run)
        s = self.load("s.npy")
        self.assertEqual((s.dtype, y.dtype), (np.uint16, np.float32))
        np.testing.assert_array_equal(s, to_bf16(x + from_bf16(to_bf16(r))))
        self.check(y, rms_norm(from_bf16(s), 1, 1e-5)[0])
        # What nobody asked for is still rounded to the residual's type.
        np.testing.assert_array_equal(self.run_op("rms_norm", x, "--residual-dtype", "bf16", "--residual", "r.npy"), y)
        # Statistics and parameters go by what is normalized.
        self.keep(r=r, g=self.normal(300))
        y = self.run_op("layer_norm", x, "--residual-dtype", "f64", *run, "--save-mean", "m.npy", "--scale", "g.npy")
        s = x + r.astype(np.float64)
        np.testing.assert_array_equal(self.load("s.npy"), s)
        self.check(self.load("m.npy"), s.mean(axis=1, keepdims=True), np.float64)
        self.check(y, moments_norm(s, 1, 1e-5)[0] * self.load("g.npy"))
        y = self.run_op("layer_norm", x, "--residual", "r.npy", "--residual-at", "after", "--residual-dtype", "f16")
        self.check(y, moments_norm(x, 1, 1e-5)[0] + r.astype(np.float16))


class IntegersTest(ToolTest):
    def check_integers(self, got, v, scale, zero_point=0, dtype=np.int8):
        """got stands for v; where v is within rounding of the middle of two integers, either will do."""
        self.assertEqual((got.dtype, got.shape), (dtype, v.shape))
        limits = np.iinfo(dtype)
        exact = v / scale
        slack = 1e-5 * np.maximum(1, np.abs(v)) / scale
        low, high = (np.clip(np.rint(exact + side) + zero_point, limits.min, limits.max) for side in [-slack, slack])
        self.assertTrue(((got >= low) & (got <= high)).all())
        self.assertLess(np.mean(low != high), 0.05)
        self.assertGreater(np.unique(got).size, 10)

    def test_one_scale(self):
        x = self.normal(4, 300)
        v = moments_norm(x, 1, 1e-5)[0]
        for shape in [(1,), (1, 1)]:
            self.keep(q=np.full(shape, 0.02, np.float32))
            y = self.run_op("layer_norm", x, "--output-dtype", "s8", "--output-scale", "q.npy")
            self.check_integers(y, v, np.float32(0.02))
        self.keep(q=np.full(1, 0.01))  # f64, and values past both ends
        y = self.run_op("layer_norm", x, "--output-dtype", "u8", "--output-scale", "q.npy", "--output-zero-point", 100)
        self.check_integers(y, v, np.float32(0.01), 100, np.uint8)
        self.assertEqual((y.min(), y.max()), (0, 255))
        y = self.run_op("layer_norm", x, "--output-dtype", "s8", "--output-scale", "q.npy", "--output-zero-point", "-30",
                        "--activation", "silu")
        self.check_integers(y, silu(v), np.float32(0.01), -30)
        for op, plain in [("lp_norm", lp_norm(x, 1)[0]), ("mvn", moments_norm(x, 0, 1e-9, "outside")[0])]:
            arguments = ["--axes", "0"] if op == "mvn" else []
            y = self.run_op(op, x, *arguments, "--output-dtype", "s8", "--output-scale", "q.npy")
            self.check_integers(y, plain, np.float32(0.01))

    def test_a_scale_for_each_channel(self):
        x, q = self.normal(3, 12, 5, 7), (0.01 + 0.02 * self.random.random(12)).astype(np.float32)
        self.keep(q=q)
        v = moments_norm(x.reshape(3, 4, -1), 2, 1e-5)[0].reshape(x.shape)
        arguments = ["--output-dtype", "s8", "--output-scale", "q.npy", "--output-zero-point", 3]
        y = self.run_op("group_norm", x, "--groups", 4, *arguments)
        self.check_integers(y, v, q.reshape(12, 1, 1).astype(np.float64), 3)
        rows = self.normal(5, 12)
        y = self.run_op("layer_norm", rows, *arguments)
        self.check_integers(y, moments_norm(rows, 1, 1e-5)[0], q.astype(np.float64), 3)

    def test_a_scale_found_for_each_row(self):
        x, g = self.normal(3, 5, 128), self.normal(128)
        self.keep(g=g)
        nhwc = self.normal(2, 3, 4, 64)
        for op, options, x, v in [("rms_norm", ["--scale", "g.npy"], x, rms_norm(x, 2, 1e-5)[0] * g),
                                  ("layer_norm", [], x, moments_norm(x, 2, 1e-5)[0]),
                                  ("lp_norm", [], x, lp_norm(x, 2)[0]),
                                  ("mvn", ["--axes", "1,2"], x, moments_norm(x, (1, 2), 1e-9, "outside")[0]),
                                  ("channel_norm", ["--layout", "nhwc"], nhwc, moments_norm(nhwc, 3, 1e-5)[0])]:
            axes = (1, 2) if op == "mvn" else v.ndim - 1
            y = self.run_op(op, x, *options, "--output-dtype", "s8", "--output-scale-out", "q.npy")
            q = np.abs(v).max(axis=axes, keepdims=True) / 127
            self.check(self.load("q.npy"), q)
            self.check_integers(y, v, self.load("q.npy").astype(np.float64))
            y = self.run_op(op, x, *options, "--output-dtype", "u8", "--output-scale-out", "q.npy", "--output-zero-point-out",
                            "z.npy")
            low, high = np.minimum(v.min(axis=axes, keepdims=True), 0), np.maximum(v.max(axis=axes, keepdims=True), 0)
            self.check(self.load("q.npy"), (high - low) / 255)
            z = self.load("z.npy")
            self.assertEqual((z.dtype, z.shape), (np.uint8, q.shape))
            self.assertLessEqual(np.abs(z + low / ((high - low) / 255)).max(), 0.501)
            self.check_integers(y, v, self.load("q.npy").astype(np.float64), z.astype(np.float64), np.uint8)

    def test_integers_in(self):
        for dtype, zero_point in [(np.int8, 0), (np.int8, -7), (np.uint8, 0), (np.uint8, 130)]:
            limits = np.iinfo(dtype)
            x = self.random.integers(limits.min, limits.max + 1, (4, 300)).astype(dtype)
            v = 0.03 * (x.astype(np.float64) - zero_point)
            scale = ["--input-scale", "0.03"] + (["--input-zero-point", zero_point] if zero_point else [])
            y = self.run_op("layer_norm", x, *scale, "--save-mean", "m.npy", "--save-variance", "v.npy")
            expected = moments_norm(v, 1, 1e-5)
            self.check(y, expected[0])
            self.check(self.load("m.npy"), expected[1])
            self.check(self.load("v.npy"), expected[2])
            named = "s8" if dtype is np.int8 else "u8"
            np.testing.assert_array_equal(self.run_op("layer_norm", x, *scale, "--dtype", named), y)
            if zero_point == 0:
                self.check(self.run_op("rms_norm", x, *scale), rms_norm(v, 1, 1e-5)[0])
            r = self.normal(4, 300)
            self.keep(r=r)
            y = self.run_op("layer_norm", x, *scale, "--residual", "r.npy", "--residual-at", "after", "--output-dtype", "f16")
            self.check(y, expected[0] + r, np.float16)

    def test_integers_in_and_out(self):
        x = self.random.integers(-128, 128, (3, 12, 6, 5)).astype(np.int8)
        mean, variance = self.normal(12), 1 + np.abs(self.normal(12))
        self.keep(mean=mean, variance=variance, q=np.float32([0.02]))
        v = given_norm(0.05 * (x - 4.0), mean, variance)
        y = self.run_op("batch_norm", x, "--mean", "mean.npy", "--variance", "variance.npy", "--input-scale", 0.05,
                        "--input-zero-point", 4, "--activation", "relu", "--output-dtype", "u8", "--output-scale", "q.npy")
        self.check_integers(y, np.maximum(v, 0), np.float32(0.02), 0, np.uint8)


class StatisticsTest(ToolTest):
    def test_unbiased(self):
        x = self.normal(3, 12, 6, 5)
        for op, options, axes in [("layer_norm", ["--axis", 2], (2, 3)), ("channel_norm", [], 1), ("instance_norm", [], (2, 3)),
                                  ("batch_norm", ["--train"], (0, 2, 3)), ("mvn", [], (0, 2, 3))]:
            mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
            variance = x.var(axis=axes, keepdims=True, ddof=1, dtype=np.float64)
            y = self.run_op(op, x, *options, "--unbiased", "--save-variance", "v.npy")
            self.check(y, (x - mean) / (np.sqrt(variance) + 1e-9 if op == "mvn" else np.sqrt(variance + 1e-5)))
            self.check(self.load("v.npy"), variance)

    def test_divisor(self):
        x = self.normal(5, 60, dtype=np.float64)
        for mode in ["inside", "outside", "floor"]:
            self.run_op("layer_norm", x, "--epsilon", 0.5, "--epsilon-mode", mode, "--save-divisor", "d.npy")
            self.check(self.load("d.npy"), moments_norm(x, 1, 0.5, mode)[3], np.float64)
        self.run_op("lp_norm", x, "--p", 1, "--save-divisor", "d.npy")
        self.check(self.load("d.npy"), lp_norm(x, 1, 1)[2], np.float64)

    def test_statistics_alone(self):
        x, r = self.normal(3, 12, 6, 5), self.normal(3, 12, 6, 5)
        self.keep(x=x, r=r, zero=np.zeros(12, np.float32), one=np.ones(12, np.float32))
        for op, options, axes in [("layer_norm", [], 3), ("channel_norm", [], 1), ("instance_norm", [], (2, 3)),
                                  ("batch_norm", ["--train"], (0, 2, 3)), ("mvn", [], (0, 2, 3))]:
            _, mean, variance, _ = moments_norm(x, axes, 1e-5)
            self.succeed("run", op, "--input", "x.npy", *options, "--save-mean", "m.npy", "--save-variance", "v.npy")
            self.check(self.load("m.npy"), mean)
            self.check(self.load("v.npy"), variance)
        self.succeed("run", "rms_norm", "--input", "x.npy", "--save-rstd", "d.npy")
        self.check(self.load("d.npy"), 1 / rms_norm(x, 3, 1e-5)[2])
        self.succeed("run", "layer_norm", "--input", "x.npy", "--residual", "r.npy", "--residual-out", "s.npy", "--save-mean",
                     "m.npy")
        np.testing.assert_array_equal(self.load("s.npy"), x + r)
        self.check(self.load("m.npy"), (x + r).mean(axis=3, keepdims=True, dtype=np.float64))
        self.succeed("run", "layer_norm", "--input", "x.npy", "--residual", "r.npy", "--save-mean", "m2.npy")
        np.testing.assert_array_equal(self.load("m2.npy"), self.load("m.npy"))
        self.succeed("run", "batch_norm", "--input", "x.npy", "--train", "--mean", "zero.npy", "--variance", "one.npy",
                     "--running-mean-out", "rm.npy", "--running-variance-out", "rv.npy")
        _, mean, variance, _ = moments_norm(x, (0, 2, 3), 1e-5)
        self.check(self.load("rm.npy"), 0.1 * mean.ravel())
        self.check(self.load("rv.npy"), 0.9 + 0.1 * variance.ravel())


class StyleTest(ToolTest):
    def test_of_images(self):
        content, style = self.normal(2, 16, 6, 5), self.normal(2, 16, 9, 4, offset=-2) * 3
        for options, ddof, epsilon in [([], 0, 1e-5), (["--unbiased"], 1, 1e-5), (["--epsilon", "0.5", "--unbiased"], 1, 0.5)]:
            (mean, divisor), (style_mean, style_divisor) = (
                (a.mean(axis=(2, 3), keepdims=True, dtype=np.float64),
                 np.sqrt(a.var(axis=(2, 3), keepdims=True, ddof=ddof, dtype=np.float64) + epsilon)) for a in (content, style))
            expected = (content - mean) / divisor * style_divisor + style_mean
            self.keep(style=style)
            self.check(self.run_op("instance_norm", content, "--style", "style.npy", *options), expected)
            last = lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1))
            self.keep(style=last(style))
            y = self.run_op("instance_norm", last(content), "--layout", "nhwc", "--style", "style.npy", *options)
            self.check(y, last(expected))
            blocked = lambda a: np.ascontiguousarray(a.reshape(2, 2, 8, *a.shape[2:]).transpose(0, 1, 3, 4, 2))
            self.keep(style=blocked(style))
            y = self.run_op("instance_norm", blocked(content), "--layout", "nchw8c", "--style", "style.npy", *options)
            self.check(y, blocked(expected))

    def test_of_other_types(self):
        content, style = self.normal(2, 8, 50), self.normal(2, 8, 30, dtype=np.float64)
        self.keep(style=style)
        own = lambda a: (a.mean(axis=2, keepdims=True), np.sqrt(a.var(axis=2, keepdims=True) + 1e-5))
        (mean, divisor), (style_mean, style_divisor) = own(content.astype(np.float64)), own(style)
        expected = (content - mean) / divisor * style_divisor + style_mean
        y = self.run_op("instance_norm", content, "--style", "style.npy", "--save-mean", "m.npy", "--save-divisor", "d.npy")
        self.check(y, expected)
        self.check(self.load("m.npy"), mean)
        self.check(self.load("d.npy"), divisor)
        self.check(self.run_op("instance_norm", content, "--style", "style.npy", "--dtype", "f64"), expected, np.float64)
        whole = self.random.integers(-128, 128, (2, 8, 50)).astype(np.int8)
        mean, divisor = own(0.02 * whole.astype(np.float64))
        y = self.run_op("instance_norm", whole, "--style", "style.npy", "--input-scale", 0.02)
        self.check(y, (0.02 * whole - mean) / divisor * style_divisor + style_mean)

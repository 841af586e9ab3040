"""What `norma run` computes, against NumPy in float64: every op, data type and option that changes the numbers."""

import numpy as np

from support import ACTIVATIONS, ToolTest, from_bf16, lp_norm, moments_norm, rms_norm, to_bf16


class LayerNormTest(ToolTest):
    def test_last_axis_with_scale_and_bias(self):
        for rows, cols in [(1, 1), (5, 7), (3, 768), (17, 100), (2, 5000)]:
            x, g, b = self.normal(rows, cols), self.normal(cols), self.normal(cols)
            y = self.run_op("layer_norm", x, "--scale", self.save("g.npy", g), "--bias", self.save("b.npy", b))
            self.check(y, moments_norm(x, 1, 1e-5)[0] * g + b)

    def test_scale_or_bias_alone(self):
        x, p = self.normal(4, 33), self.normal(33)
        self.save("p.npy", p)
        self.check(self.run_op("layer_norm", x, "--scale", "p.npy"), moments_norm(x, 1, 1e-5)[0] * p)
        self.check(self.run_op("layer_norm", x, "--bias", "p.npy"), moments_norm(x, 1, 1e-5)[0] + p)

    def test_axis(self):
        x = self.normal(3, 4, 5, 6)
        for axis in range(-4, 4):
            axes = tuple(range(axis % 4, 4))
            shape = x.shape[axis % 4:]
            g, b = self.normal(*shape), self.normal(*shape)
            y = self.run_op("layer_norm", x, "--axis", axis, "--scale", self.save("g.npy", g), "--bias",
                            self.save("b.npy", b))
            self.check(y, moments_norm(x, axes, 1e-5)[0] * g + b)

    def test_axis_by_default_is_the_last(self):
        x = self.normal(3, 4, 5)
        self.check(self.run_op("layer_norm", x), moments_norm(x, 2, 1e-5)[0])

    def test_epsilon_and_its_modes(self):
        x = self.normal(4, 50) * 0.01
        for mode in ["inside", "outside", "floor"]:
            y = self.run_op("layer_norm", x, "--epsilon", "0.3", "--epsilon-mode", mode)
            self.check(y, moments_norm(x, 1, 0.3, mode)[0])
        self.check(self.run_op("layer_norm", x, "--epsilon", "0.3"), moments_norm(x, 1, 0.3)[0])
        self.check(self.run_op("layer_norm", x, "--epsilon-mode", "none"), moments_norm(x, 1, 0, "none")[0])

    def test_f64(self):
        x, g, b = (self.normal(*shape, dtype=np.float64) for shape in [(6, 200), (200,), (200,)])
        y = self.run_op("layer_norm", x, "--scale", self.save("g.npy", g), "--bias", self.save("b.npy", b))
        self.check(y, moments_norm(x, 1, 1e-5)[0] * g + b, np.float64)

    def test_saved_statistics(self):
        x = self.normal(3, 4, 5, 6)
        for axis, dtype in [(1, np.float32), (2, np.float64), (3, np.float32), (0, np.float64)]:
            x = x.astype(dtype)
            _, mean, variance, divisor = moments_norm(x, tuple(range(axis, 4)), 1e-5)
            self.run_op("layer_norm", x, "--axis", axis, "--save-mean", "m.npy", "--save-rstd", "r.npy")
            self.check(self.load("m.npy"), mean, dtype)
            self.check(self.load("r.npy"), 1 / divisor, dtype)
            self.run_op("layer_norm", x, "--axis", axis, "--save-variance", "v.npy")
            self.check(self.load("v.npy"), variance, dtype)

    def test_scale_with_leading_ones(self):
        x, g = self.normal(2, 3, 4), self.normal(4)
        for shape in [(1, 4), (1, 1, 4), (1, 1, 1, 4)]:
            y = self.run_op("layer_norm", x, "--scale", self.save("g.npy", g.reshape(shape)))
            self.check(y, moments_norm(x, 2, 1e-5)[0] * g)

    def test_large_offset(self):
        x = self.normal(5, 1000, offset=1e4)
        self.check(self.run_op("layer_norm", x), moments_norm(x, 1, 1e-5)[0])


class ImageOpsTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.g, self.b = self.normal(12), self.normal(12)
        self.save("g.npy", self.g)
        self.save("b.npy", self.b)

    def images(self):
        """Inputs of ranks 2 to 5 in both layouts: layout, array, channel axis, spatial axes, scale and bias as they broadcast."""
        for shape in [(5, 12), (3, 12, 7), (2, 12, 6, 5), (2, 12, 3, 4, 5)]:
            for layout in ["nchw", "nhwc"]:
                x = self.normal(*shape)
                x = x if layout == "nchw" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
                axis = 1 if layout == "nchw" else x.ndim - 1
                spatial = tuple(k for k in range(1, x.ndim) if k != axis)
                along = tuple(12 if k == axis else 1 for k in range(x.ndim))
                yield layout, x, axis, spatial, self.g.reshape(along), self.b.reshape(along)

    def test_batch_norm_of_the_batch(self):
        for layout, x, axis, spatial, g, b in self.images():
            y, mean, variance, divisor = moments_norm(x, (0,) + spatial, 1e-5)
            self.check(self.run_op("batch_norm", x, "--train", "--layout", layout), y)
            got = self.run_op("batch_norm", x, "--train", "--layout", layout, "--scale", "g.npy", "--bias", "b.npy",
                              "--save-mean", "m.npy", "--save-rstd", "r.npy")
            self.check(got, y * g + b)
            self.check(self.load("m.npy"), mean)
            self.check(self.load("r.npy"), 1 / divisor)

    def test_batch_norm_with_running_statistics(self):
        m, v = self.normal(12), np.abs(self.normal(12))
        self.save("m.npy", m)
        self.save("v.npy", v)
        for layout, x, axis, spatial, g, b in self.images():
            y = (x - m.astype(np.float64).reshape(g.shape)) / np.sqrt(v.astype(np.float64).reshape(g.shape) + 1e-5)
            arguments = ["--layout", layout, "--mean", "m.npy", "--variance", "v.npy"]
            self.check(self.run_op("batch_norm", x, *arguments), y)
            self.check(self.run_op("batch_norm", x, *arguments, "--scale", "g.npy", "--bias", "b.npy"), y * g + b)

    def test_batch_norm_updates_running_statistics(self):
        m, v = self.normal(12), np.abs(self.normal(12))
        self.save("m.npy", m)
        self.save("v.npy", v)
        for layout, x, axis, spatial, g, b in self.images():
            _, mean, variance, _ = moments_norm(x, (0,) + spatial, 1e-5)
            n = x.size / 12
            for options, share, correction in [([], 0.1, 1), (["--momentum", "0.3"], 0.7, 1),
                                               (["--momentum", "0.1", "--momentum-mode", "batch", "--running-variance",
                                                 "unbiased"], 0.1, n / (n - 1))]:
                self.run_op("batch_norm", x, "--train", "--layout", layout, "--mean", "m.npy", "--variance", "v.npy",
                            "--running-mean-out", "m2.npy", "--running-variance-out", "v2.npy", *options)
                self.check(self.load("m2.npy"), (1 - share) * m + share * mean.ravel())
                self.check(self.load("v2.npy"), (1 - share) * v + share * correction * variance.ravel())

    def test_instance_norm(self):
        for layout, x, axis, spatial, g, b in self.images():
            y, mean, variance, divisor = moments_norm(x, spatial, 1e-5) if spatial else (x * 0.0, x, x * 0.0, None)
            got = self.run_op("instance_norm", x, "--layout", layout, "--scale", "g.npy", "--bias", "b.npy",
                              "--save-mean", "m.npy", "--save-variance", "v.npy")
            self.check(got, y * g + b)
            self.check(self.load("m.npy"), mean)
            self.check(self.load("v.npy"), variance)

    def test_group_norm(self):
        for layout, x, axis, spatial, g, b in self.images():
            for groups in [1, 3, 4, 12]:
                nchw = np.moveaxis(x, axis, 1)
                grouped = nchw.reshape(x.shape[0], groups, -1)
                y, mean, variance, divisor = moments_norm(grouped, 2, 1e-5)
                y = np.moveaxis(y.reshape(nchw.shape), 1, axis)
                self.check(self.run_op("group_norm", x, "--groups", groups, "--layout", layout), y)
                got = self.run_op("group_norm", x, "--groups", groups, "--layout", layout, "--scale", "g.npy", "--bias",
                                  "b.npy", "--save-mean", "m.npy", "--save-rstd", "r.npy")
                self.check(got, y * g + b)
                self.check(self.load("m.npy"), mean[:, :, 0])
                self.check(self.load("r.npy"), 1 / divisor[:, :, 0])

    def test_blocked_layouts(self):
        x, g = self.normal(3, 32, 5, 7), self.normal(32)
        self.save("g32.npy", g)
        self.save("m32.npy", self.normal(32))
        self.save("v32.npy", np.abs(self.normal(32)))
        for block in [8, 16]:
            blocked = np.ascontiguousarray(x.reshape(3, 32 // block, block, 5, 7).transpose(0, 1, 3, 4, 2))
            layout = ["--layout", "nchw%dc" % block]
            for op, *arguments in [["batch_norm", "--train"], ["batch_norm", "--mean", "m32.npy", "--variance", "v32.npy"],
                                   ["instance_norm"], ["group_norm", "--groups", 8], ["group_norm", "--groups", 1]]:
                want = self.run_op(op, x, *arguments, "--scale", "g32.npy")
                got = self.run_op(op, blocked, *layout, *arguments, "--scale", "g32.npy")
                self.check(got.transpose(0, 1, 4, 2, 3).reshape(x.shape), want)
            self.save("x.npy", x)
            for op in ["instance_norm", "batch_norm"]:
                self.refuse("run", op, "--input", "x.npy", "--output", "y.npy", "--train", *layout, says=["nchw%dc" % block, "(3, 32, 5, 7)"])
            self.save("x.npy", blocked)
            self.refuse("run", "channel_norm", "--input", "x.npy", "--output", "y.npy", *layout, says="layout")

    def test_instance_norm_with_running_statistics(self):
        m, v = self.normal(12), np.abs(self.normal(12))
        self.save("m.npy", m)
        self.save("v.npy", v)
        for layout, x, axis, spatial, g, b in self.images():
            arguments = ["--layout", layout, "--mean", "m.npy", "--variance", "v.npy"]
            y = (x - m.astype(np.float64).reshape(g.shape)) / np.sqrt(v.astype(np.float64).reshape(g.shape) + 1e-5)
            self.check(self.run_op("instance_norm", x, *arguments), y)
            if spatial:
                y, mean, variance, _ = moments_norm(x, spatial, 1e-5)
                got = self.run_op("instance_norm", x, *arguments, "--train", "--running-mean-out", "m2.npy",
                                  "--running-variance-out", "v2.npy")
                self.check(got, y)
                self.check(self.load("m2.npy"), 0.9 * m + 0.1 * mean.mean(axis=0).ravel())
                self.check(self.load("v2.npy"), 0.9 * v + 0.1 * variance.mean(axis=0).ravel())

    def test_group_norm_with_affine_of_groups(self):
        self.save("g3.npy", np.array([2, 3, 4], np.float32))
        for layout, x, axis, spatial, g, b in self.images():
            of_channels = np.repeat(np.array([2, 3, 4]), 4).reshape(g.shape)
            y = self.run_op("group_norm", x, "--groups", 3, "--layout", layout)
            self.check(self.run_op("group_norm", x, "--groups", 3, "--layout", layout, "--affine", "group", "--scale",
                                   "g3.npy"), y.astype(np.float64) * of_channels)

    def test_what_does_not_fit(self):
        self.save("x.npy", self.normal(2, 12, 5))
        self.save("v.npy", -np.ones(12, np.float32))
        self.save("short.npy", self.normal(11))
        run = ["--input", "x.npy", "--output", "y.npy"]
        self.refuse("run", "batch_norm", *run, says=["--mean", "--train"])
        self.refuse("run", "batch_norm", *run, "--mean", "g.npy", says="--variance")
        self.refuse("run", "batch_norm", *run, "--mean", "g.npy", "--variance", "v.npy", says="variance")
        self.refuse("run", "batch_norm", *run, "--mean", "short.npy", "--variance", "g.npy", says=["--mean", "(11,)", "(12,)"])
        self.refuse("run", "batch_norm", *run, "--train", "--running-mean-out", "m.npy", says="--running-mean-out")
        self.refuse("run", "batch_norm", *run, "--train", "--momentum", "1.5", says="--momentum")
        self.refuse("run", "batch_norm", *run, "--mean", "g.npy", "--variance", "g.npy", "--save-mean", "m.npy", says="--train")
        self.refuse("run", "group_norm", *run, says="--groups")
        self.refuse("run", "group_norm", *run, "--groups", "5", says=["--groups", "12", "5"])
        self.refuse("run", "group_norm", *run, "--groups", "0", says="--groups")
        self.refuse("run", "instance_norm", *run, "--groups", "2", says="--groups")


class OtherOpsTest(ToolTest):
    def test_rms_norm(self):
        x = self.normal(3, 4, 50)
        for axis in [-1, 1, 0]:
            axes = tuple(range(axis % 3, 3))
            g = self.normal(*x.shape[axis % 3:])
            self.save("g.npy", g)
            y, square, divisor = rms_norm(x, axes, 1e-5)
            self.check(self.run_op("rms_norm", x, "--axis", axis), y)
            got = self.run_op("rms_norm", x, "--axis", axis, "--scale", "g.npy", "--save-rstd", "r.npy")
            self.check(got, y * g)
            self.check(self.load("r.npy"), 1 / divisor)
            self.run_op("rms_norm", x, "--axis", axis, "--save-variance", "v.npy")
            self.check(self.load("v.npy"), square)

    def test_rms_modes(self):
        x, g = self.normal(3, 50), self.normal(50)
        self.save("g.npy", g)
        y = rms_norm(x, 1, 1e-5)[0]
        for mode, scale in [("scale-then-round", g), ("round-then-scale", g),
                            ("one-plus-scale", 1 + g.astype(np.float64))]:
            self.check(self.run_op("rms_norm", x, "--scale", "g.npy", "--rms-mode", mode), y * scale)

    def test_lp_norm(self):
        x = self.normal(3, 4, 5, offset=0)
        for dtype in [np.float32, np.float64]:
            x = x.astype(dtype)
            for axis in [-3, -2, -1, 0, 1, 2]:
                for p in [1, 2]:
                    y, v, divisor = lp_norm(x, axis, p)
                    got = self.run_op("lp_norm", x, "--axis", axis, "--p", p, "--save-rstd", "r.npy")
                    self.check(got, y, dtype)
                    self.check(self.load("r.npy"), 1 / divisor, dtype)
                    self.run_op("lp_norm", x, "--axis", axis, "--p", p, "--save-variance", "v.npy")
                    self.check(self.load("v.npy"), v, dtype)
        self.check(self.run_op("lp_norm", x), lp_norm(x, 2, 2)[0], np.float64)

    def test_lp_norm_of_zeros_is_zero(self):
        x = np.zeros((3, 5), np.float32)
        x[1] = 2
        self.check(self.run_op("lp_norm", x), lp_norm(x, 1)[0])

    def test_lp_norm_epsilon(self):
        x = self.normal(4, 6, offset=0)
        self.check(self.run_op("lp_norm", x, "--epsilon", "100"), x.astype(np.float64) / 100)
        for p in [1, 2]:
            for mode in ["inside", "outside", "floor"]:
                y = self.run_op("lp_norm", x, "--p", p, "--epsilon", "4", "--epsilon-mode", mode)
                self.check(y, lp_norm(x, 1, p, 4, mode)[0])

    def test_channel_norm(self):
        for shape in [(3, 5), (2, 5, 7), (2, 3, 4, 5), (2, 24, 3, 2, 5), (1, 1, 4)]:
            for layout, axis in [("nchw", 1), ("nhwc", len(shape) - 1)]:
                x, g, b = self.normal(*shape), self.normal(shape[axis]), self.normal(shape[axis])
                broadcast = [-1 if k == axis else 1 for k in range(len(shape))]
                y, mean, variance, divisor = moments_norm(x, axis, 1e-5)
                got = self.run_op("channel_norm", x, "--layout", layout, "--scale", self.save("g.npy", g), "--bias",
                                  self.save("b.npy", b), "--save-mean", "m.npy", "--save-rstd", "r.npy")
                self.check(got, y * g.reshape(broadcast) + b.reshape(broadcast))
                self.check(self.load("m.npy"), mean)
                self.check(self.load("r.npy"), 1 / divisor, np.float32)
                self.run_op("channel_norm", x, "--layout", layout, "--save-variance", "v.npy")
                self.check(self.load("v.npy"), variance)

    def test_channel_norm_by_default_is_nchw(self):
        x = self.normal(2, 6, 4, 5)
        self.check(self.run_op("channel_norm", x), moments_norm(x, 1, 1e-5)[0])

    def test_mvn(self):
        x = self.normal(3, 4, 5, 6)
        self.check(self.run_op("mvn", x), moments_norm(x, (0, 2, 3), 1e-9, "outside")[0])
        for text, axes in [("0", 0), ("1,-1", (1, 3)), ("3,2,1,0", (0, 1, 2, 3)), ("1", 1), ("0,1", (0, 1)), ("-2", 2),
                           ("0,2", (0, 2))]:
            y, mean, variance, divisor = moments_norm(x, axes, 1e-9, "outside")
            got = self.run_op("mvn", x, "--axes", text, "--save-mean", "m.npy", "--save-rstd", "r.npy")
            self.check(got, y)
            self.check(self.load("m.npy"), mean)
            self.check(self.load("r.npy"), 1 / divisor)

    def test_mvn_epsilon_is_outside_the_root(self):
        x = self.normal(3, 4, 5, 6)
        y = self.run_op("mvn", x, "--epsilon", "0.5")
        self.check(y, moments_norm(x, (0, 2, 3), 0.5, "outside")[0])

    def test_every_op_on_a_plain_vector(self):
        x = self.normal(100)
        self.check(self.run_op("layer_norm", x), moments_norm(x, 0, 1e-5)[0])
        self.check(self.run_op("rms_norm", x), rms_norm(x, 0, 1e-5)[0])
        self.check(self.run_op("lp_norm", x), lp_norm(x, 0)[0])
        self.check(self.run_op("mvn", x, "--axes", "0"), moments_norm(x, 0, 1e-9, "outside")[0])

    def test_eight_dimensions(self):
        x = self.normal(2, 1, 3, 2, 1, 2, 3, 2)
        self.check(self.run_op("layer_norm", x, "--axis", -3), moments_norm(x, (5, 6, 7), 1e-5)[0])
        self.check(self.run_op("lp_norm", x, "--axis", 3), lp_norm(x, 3)[0])


class TypesTest(ToolTest):
    def test_f16_in_and_out(self):
        x, g = self.normal(4, 60, dtype=np.float16), self.normal(60, dtype=np.float16)
        y = self.run_op("layer_norm", x, "--scale", self.save("g.npy", g), "--save-mean", "m.npy")
        expected = moments_norm(x, 1, 1e-5)
        self.check(y, expected[0] * g.astype(np.float64), np.float16)
        self.check(self.load("m.npy"), expected[1], np.float32)

    def test_f16_to_every_dtype(self):
        x = self.normal(4, 60, dtype=np.float16)
        for name, dtype in [("f32", np.float32), ("f64", np.float64)]:
            self.check(self.run_op("layer_norm", x, "--dtype", name), moments_norm(x, 1, 1e-5)[0], dtype)

    def test_dtype_converts_input_and_parameters(self):
        x, g = self.normal(4, 60), self.normal(60, dtype=np.float64)
        self.save("g.npy", g)
        y = self.run_op("rms_norm", x, "--scale", "g.npy", "--dtype", "f64")
        self.check(y, rms_norm(x, 1, 1e-5)[0] * g, np.float64)
        self.check(self.run_op("rms_norm", x, "--scale", "g.npy"), rms_norm(x, 1, 1e-5)[0] * g, np.float32)
        y = self.run_op("rms_norm", x.astype(np.float64), "--dtype", "f32")
        self.check(y, rms_norm(x, 1, 1e-5)[0], np.float32)

    # A constant row gives the bias exactly (but for the sign of a zero), so the bias shows every conversion.

    def bias_through(self, bias, x_dtype, *arguments):
        x = np.ones((1, bias.size), x_dtype)
        return self.run_op("layer_norm", x, "--bias", self.save("b.npy", bias), *arguments)[0]

    def test_every_f16_value_is_read_and_written_exactly(self):
        bias = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
        np.testing.assert_array_equal(self.bias_through(bias, np.float16), bias)
        np.testing.assert_array_equal(self.bias_through(bias, np.float16, "--dtype", "f32"), bias.astype(np.float32))
        np.testing.assert_array_equal(self.bias_through(bias, np.float16, "--dtype", "f64"), bias.astype(np.float64))

    def test_f32_is_rounded_to_f16_to_nearest_even(self):
        halves = np.arange(0x7c01, dtype=np.uint16).view(np.float16).astype(np.float32)
        halves[-1] = 65536  # what the step after 65504 would be
        middles = (halves[:-1] + halves[1:]) / 2
        bias = np.concatenate([middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9)),
                               np.float32([1e-8, 2e-8, 2.0 ** -25, 1e-45, 1e38, np.inf, np.nan, 65519.996, 65520])])
        bias = np.concatenate([bias, -bias])
        with np.errstate(over="ignore", under="ignore"):
            expected = bias.astype(np.float16)
        np.testing.assert_array_equal(self.bias_through(bias, np.float16), expected)

    def test_f64_is_rounded_to_f32(self):
        bias = np.concatenate([self.random.standard_normal(1000) * 10.0 ** self.random.integers(-44, 38, 1000),
                               [1e300, -1e300, np.inf, np.nan, 1e-300]])
        with np.errstate(over="ignore", under="ignore"):
            np.testing.assert_array_equal(self.bias_through(bias, np.float32), bias.astype(np.float32))

    def test_zeros_keep_their_sign(self):
        x = np.array([[-0.0, 1.0, 0.0, -1.0, -6e-8]], np.float16)
        y = self.run_op("rms_norm", x, "--scale", self.save("g.npy", np.float32([1, 1, 1, 1, 1e-9])))
        np.testing.assert_array_equal(np.signbit(y), np.signbit(x))
        self.assertEqual(list(y[0] == 0), [True, False, True, False, True])


class EpilogueTest(ToolTest):
    def test_every_activation(self):
        x = self.normal(3, 8, 5, 7)
        for name, activation in ACTIVATIONS.items():
            y = self.run_op("group_norm", x, "--groups", 2, "--activation", name)
            plain = moments_norm(x.reshape(3, 2, -1), 2, 1e-5)[0].reshape(x.shape)
            self.check(y, activation(plain))

    def test_alpha_and_beta(self):
        x = self.normal(4, 60)
        plain = moments_norm(x, 1, 1e-5)[0]
        self.check(self.run_op("layer_norm", x, "--activation", "clip", "--alpha", "-0.5", "--beta", 1), np.clip(plain, -0.5, 1))
        self.check(self.run_op("layer_norm", x, "--activation", "elu", "--alpha", 2), np.where(plain < 0, 2 * np.expm1(plain), plain))
        for alpha, beta in [("-inf", "0.5"), ("-0.5", "inf"), ("-0.5", "+infinity"), ("-inf", "inf")]:
            y = self.run_op("layer_norm", x, "--activation", "clip", "--alpha", alpha, "--beta", beta)
            self.check(y, np.clip(plain, float(alpha), float(beta)))
        y = self.run_op("layer_norm", x, "--activation", "hard-sigmoid", "--alpha", 0.2, "--beta", 0.4)
        self.check(y, np.clip(0.2 * plain + 0.4, 0, 1))

    def test_residual_before(self):
        x, r, g = self.normal(4, 60), self.normal(4, 60), self.normal(60)
        self.save("r.npy", r)
        y = self.run_op("rms_norm", x, "--residual", "r.npy", "--residual-out", "s.npy", "--scale", self.save("g.npy", g))
        np.testing.assert_array_equal(self.load("s.npy"), x + r)
        self.check(y, rms_norm(x + r, 1, 1e-5)[0] * g)

    def test_residual_after(self):
        x, r = self.normal(4, 8, 3, 5), self.normal(4, 8, 3, 5)
        y = self.run_op("instance_norm", x, "--residual", self.save("r.npy", r), "--residual-at", "after", "--activation", "relu")
        self.check(y, np.maximum(moments_norm(x, (2, 3), 1e-5)[0] + r, 0))

    def test_bf16(self):
        x, g = self.normal(4, 600), self.normal(600)
        bits = to_bf16(x)
        y = self.run_op("layer_norm", bits, "--dtype", "bf16", "--scale", self.save("g.npy", g), "--save-mean", "m.npy")
        expected = moments_norm(from_bf16(bits), 1, 1e-5)
        self.assertEqual(y.dtype, np.uint16)
        error = np.abs(from_bf16(y) - expected[0] * g) / np.maximum(np.abs(expected[0] * g), 1e-3)
        self.assertLessEqual(error.max(), 2.0 ** -8)
        self.check(self.load("m.npy"), expected[1])
        np.testing.assert_array_equal(self.run_op("layer_norm", x, "--dtype", "bf16", "--scale", "g.npy"), y)
        self.save("r.npy", x)  # f32, rounded as it is read
        self.run_op("rms_norm", bits, "--dtype", "bf16", "--residual", "r.npy", "--residual-out", "s.npy")
        np.testing.assert_array_equal(self.load("s.npy"), to_bf16(2 * from_bf16(bits)))

    def test_f64_is_rounded_once_to_narrow_types(self):
        # Through f32 to nearest these would be rounded twice: a little past the middle of two bf16, or of two f16.
        x = np.array([[1 + 2.0 ** -8 + 2.0 ** -40, 1 + 2.0 ** -8 - 2.0 ** -40, 1 + 2.0 ** -11 + 2.0 ** -40] * 2])
        for dtype, steps in [("bf16", 7), ("f16", 10)]:
            self.run_op("rms_norm", x, "--dtype", dtype, "--residual", self.save("r.npy", np.zeros_like(x)),
                        "--residual-out", "s.npy")
            s = self.load("s.npy")
            s = from_bf16(s) if dtype == "bf16" else s.astype(np.float64)
            np.testing.assert_array_equal(s, np.round(x * 2.0 ** steps) / 2.0 ** steps)

    def test_mistakes(self):
        self.save("x.npy", self.normal(3, 5))
        self.save("r.npy", self.normal(5, 3))
        self.save("u.npy", np.zeros((3, 5), np.uint16))
        run = ["run", "layer_norm", "--input", "x.npy", "--output", "y.npy"]
        for arguments, says in [(["--activation", "swish"], "silu"), (["--alpha", 1], "--alpha goes with"),
                                (["--activation", "elu", "--beta", 1], "--beta goes with"),
                                (["--activation", "clip", "--alpha", 7], "at most beta"),
                                (["--activation", "elu", "--alpha", "nan"], "give a number"),
                                (["--activation", "clip", "--alpha", "nan"], "give a number"),
                                (["--activation", "clip", "--beta", "1e999"], "give a number"),
                                (["--activation", "elu", "--alpha", "inf"], ["--alpha inf", "only --activation clip"]),
                                (["--activation", "hard-swish", "--beta", "-inf"], ["--beta -inf", "only --activation clip"]),
                                (["--residual", "r.npy"], "(5, 3)"), (["--residual-at", "after"], "needs --residual"),
                                (["--residual-out", "s.npy"], "needs --residual"), (["--residual", "none.npy"], "none.npy"),
                                (["--residual", "x.npy", "--residual-at", "after", "--residual-out", "s.npy"], "before")]:
            self.refuse(*run, *arguments, says=says)
        self.refuse("run", "layer_norm", "--input", "u.npy", "--output", "y.npy", says="--dtype bf16")

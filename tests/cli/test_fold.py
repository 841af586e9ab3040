"""What `norma fold` computes and refuses, against layers and batch norms in NumPy, in float64."""

import numpy as np

from support import ToolTest


def conv(x, w, b, groups, padding, pad=0.0):
    """A 2-D convolution with stride 1; `pad` is what each input channel is padded with."""
    channels = np.broadcast_to(pad, x.shape[:1])
    x = np.stack([np.pad(image, padding, constant_values=value) for image, value in zip(x, channels)])
    out_each, in_each, k, _ = w.shape[0] // groups, *w.shape[1:]
    size = x.shape[1] - k + 1
    y = np.empty((w.shape[0], size, size))
    for o in range(w.shape[0]):
        group = x[o // out_each * in_each:][:in_each]
        for i in range(size):
            for j in range(size):
                y[o, i, j] = (group[:, i:i + k, j:j + k] * w[o]).sum() + b[o]
    return y


def conv_transpose(x, w, b, groups):
    """With stride 2."""
    in_each, out_each, k = x.shape[0] // groups, w.shape[1], w.shape[2]
    y = np.zeros((out_each * groups, 2 * x.shape[1] - 2 + k, 2 * x.shape[2] - 2 + k)) + b[:, None, None]
    for c in range(x.shape[0]):
        for o in range(out_each):
            for i in range(x.shape[1]):
                for j in range(x.shape[2]):
                    y[c // in_each * out_each + o, 2 * i:2 * i + k, 2 * j:2 * j + k] += x[c, i, j] * w[c, o]
    return y


class FoldTest(ToolTest):
    def make_norm(self, channels):
        norm = {"scale": self.normal(channels), "shift": self.normal(channels), "mean": self.normal(channels),
                "variance": self.normal(channels) ** 2 + np.float32(0.1)}
        self.norm_options = []
        for name, array in norm.items():
            self.norm_options += ["--" + name, self.save(name + ".npy", array)]
        return norm

    def normalize(self, norm, x, epsilon=1e-5):
        s, h, m, v = (norm[k].astype(np.float64).reshape(-1, *[1] * (x.ndim - 1)) for k in ["scale", "shift", "mean", "variance"])
        return (x - m) / np.sqrt(v + epsilon) * s + h

    def fold(self, kind, w, *arguments):
        self.save("w.npy", w)
        out = self.succeed("fold", "--kind", kind, "--weight", "w.npy", *self.norm_options, "--output-weight", "w2.npy",
                           "--output-bias", "b2.npy", *arguments)
        self.assertEqual(out, "")
        folded = self.load("w2.npy"), self.load("b2.npy")
        self.assertEqual(folded[0].shape, w.shape)
        self.assertEqual(folded[0].dtype, w.dtype)
        return folded

    def close(self, got, want, bound=1e-5):
        self.assertLessEqual((np.abs(got - want) / (1 + np.abs(want).max())).max(), bound)

    def test_linear_and_bias_or_none(self):
        norm, w, b, x = self.make_norm(5), self.normal(5, 7), self.normal(5), self.normal(7)
        w2, b2 = self.fold("linear", w, "--bias", self.save("b.npy", b))
        self.close(w2 @ x + b2, self.normalize(norm, w.astype(np.float64) @ x + b))
        w2, b2 = self.fold("linear", w, "--epsilon", "0.5")
        self.close(w2 @ x + b2, self.normalize(norm, w.astype(np.float64) @ x, 0.5))

    def test_linear_after_a_norm(self):
        norm, w, b, x = self.make_norm(7), self.normal(5, 7, dtype=np.float64), self.normal(5), self.normal(7)
        w2, b2 = self.fold("linear", w, "--bias", self.save("b.npy", b), "--bn-first")
        self.close(w2 @ x + b2, w @ self.normalize(norm, x.astype(np.float64)) + b, 1e-12)

    def test_conv_of_groups(self):
        x = self.normal(6, 5, 5)
        for groups in [1, 2, 3, 6]:
            norm, w, b = self.make_norm(6), self.normal(6, 6 // groups, 3, 3), self.normal(6)
            w2, b2 = self.fold("conv", w, "--bias", self.save("b.npy", b), "--groups", groups, "--padding", "1")
            self.close(conv(x, w2, b2, groups, 1), self.normalize(norm, conv(x, w, b, groups, 1)))

    def test_padded_conv_after_a_norm(self):
        norm, w, x = self.make_norm(4), self.normal(6, 2, 3, 3), self.normal(4, 5, 5)
        w2, b2 = self.fold("conv", w, "--groups", "2", "--bn-first", "--padding", "1,1", "--output-padding", "p.npy")
        want = conv(self.normalize(norm, x.astype(np.float64)), w, np.zeros(6), 2, 1)
        self.close(conv(x, w2, b2, 2, 1, self.load("p.npy")), want)
        self.assertGreater(np.abs(conv(x, w2, b2, 2, 1) - want).max(), 0.1)

    def test_conv_transpose_of_groups(self):
        x = self.normal(4, 3, 3)
        for groups in [1, 2, 4]:
            norm, w, b = self.make_norm(8), self.normal(4, 8 // groups, 3, 3), self.normal(8)
            w2, b2 = self.fold("conv_transpose", w, "--bias", self.save("b.npy", b), "--groups", groups)
            self.close(conv_transpose(x, w2, b2, groups), self.normalize(norm, conv_transpose(x, w, b, groups)))

    def test_norm_into_norm(self):
        second, x = self.make_norm(5), self.normal(5)
        first = {"scale": self.normal(5), "shift": self.normal(5), "mean": self.normal(5), "variance": self.normal(5) ** 2}
        want = self.normalize(second, self.normalize(first, x.astype(np.float64)))
        scale, shift = self.fold("batch_norm", first["scale"], "--bias", self.save("b.npy", first["shift"]))
        self.close(self.normalize({**first, "scale": scale, "shift": shift}, x.astype(np.float64)), want)

    def test_narrow_types(self):
        self.make_norm(5)
        w = self.normal(5, 7, dtype=np.float16)
        w2, b2 = self.fold("linear", w)
        wide, wide_bias = self.fold("linear", w.astype(np.float64))
        np.testing.assert_array_equal(w2, wide.astype(np.float16))
        self.assertEqual(b2.dtype, np.float16)
        _, b2 = self.fold("linear", w, "--bias", self.save("b.npy", self.normal(5)))
        self.assertEqual(b2.dtype, np.float32)
        bits = (self.normal(5, 7).view(np.uint32) >> 16).astype(np.uint16)  # bf16, by truncation
        w2, b2 = self.fold("linear", bits, "--dtype", "bf16")
        wide, _ = self.fold("linear", (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64))
        self.assertEqual(b2.dtype, np.uint16)
        error = np.abs((w2.astype(np.uint32) << 16).view(np.float32) - wide) / np.abs(wide)
        self.assertLessEqual(error.max(), 2.0 ** -8)

    def test_outputs_may_be_inputs(self):
        self.make_norm(5)
        w = self.normal(5, 7)
        w2, _ = self.fold("linear", w)
        self.save("w.npy", w)
        self.succeed("fold", "--kind", "linear", "--weight", "w.npy", *self.norm_options, "--output-weight", "w.npy",
                     "--output-bias", "b2.npy")
        np.testing.assert_array_equal(self.load("w.npy"), w2)

    def test_refusals(self):
        self.make_norm(5)
        self.save("w.npy", self.normal(5, 7, 3))
        self.save("bits.npy", np.zeros((5, 7), np.uint16))
        good = {"--kind": "conv", "--weight": "w.npy", "--mean": "mean.npy", "--variance": "variance.npy",
                "--output-weight": "w2.npy", "--output-bias": "b2.npy"}

        def refuse(changes, *flags, says):
            options = {**good, **changes}
            self.refuse("fold", *[word for pair in options.items() if pair[1] for word in pair], *flags, says=says)

        for name in good:
            refuse({name: None}, says=name + " ")
        refuse({"--kind": "pool"}, says="--kind 'pool'")
        refuse({"--kind": "linear"}, says=["--weight 'w.npy'", "linear", "(5, 7, 3)"])
        refuse({"--kind": "batch_norm"}, says="batch_norm")
        refuse({"--groups": "2"}, says=["--weight 'w.npy'", "2 groups"])
        refuse({"--groups": "0"}, says="--groups '0'")
        refuse({"--groups": "5"}, "--bn-first", says=["--mean 'mean.npy'", "(35,)"])
        refuse({"--epsilon": "-1"}, says="--epsilon '-1'")
        refuse({"--epsilon": "x"}, says="--epsilon 'x'")
        refuse({"--padding": "1,x"}, "--bn-first", says="--padding '1,x'")
        refuse({"--padding": "1"}, "--bn-first", says="--output-padding")
        refuse({"--output-padding": "p.npy"}, says="--output-padding goes with")
        refuse({"--kind": "conv_transpose", "--padding": "1"}, says="--padding goes with")
        refuse({"--dtype": "f32"}, says="--dtype 'f32'")
        refuse({"--weight": "bits.npy"}, says=["--weight 'bits.npy'", "uint16"])
        refuse({"--weight": self.save("s8.npy", np.ones((5, 7, 3), np.int8))}, says=["--weight 's8.npy'", "holds s8"])
        refuse({"--bias": self.save("u8.npy", np.ones(5, np.uint8))}, says=["--bias 'u8.npy'", "holds u8"])
        refuse({"--weight": "none.npy"}, says="--weight 'none.npy'")
        refuse({"--bias": self.save("b3.npy", self.normal(3))}, says=["--bias 'b3.npy'", "(3,)", "(5,)"])
        refuse({"--variance": self.save("v.npy", -np.ones(5))}, says="variance")
        refuse({"--output-bias": "w2.npy"}, says="same file")
        refuse({"--output-bias": "none/b.npy"}, says="--output-bias 'none/b.npy'")
        refuse({}, "extra", says="'extra'")
        refuse({}, "--colour", says="unknown option '--colour'")
        refuse({}, "--bn-first=1", says="--bn-first takes no value")
        refuse({}, "--bias", says="--bias needs a value")
        refuse({}, "--kind", "conv", says="--kind is given twice")

    def test_no_exact_fold(self):
        self.make_norm(4)
        self.save("w.npy", self.normal(4, 4, 3))
        self.save("scale.npy", np.array([1, 0, 1, 1], np.float32))
        outputs = ["--output-weight", "w2.npy", "--output-bias", "b2.npy"]
        self.refuse("fold", "--kind", "conv_transpose", "--bn-first", "--weight", "w.npy", *self.norm_options, *outputs,
                    says="transposed")
        self.refuse("fold", "--kind", "conv", "--bn-first", "--padding", "1", "--output-padding", "p.npy", "--weight", "w.npy",
                    *self.norm_options, *outputs, says=["channel 1", "pad with"])

    def test_help(self):
        out = self.succeed("fold", "--help")
        for word in ["--kind", "--bn-first", "--output-padding", "Exit status"]:
            self.assertIn(word, out)

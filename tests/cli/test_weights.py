"""What `norma weight_norm` and `norma spectral_norm` compute and refuse, against NumPy in float64."""

import numpy as np

from support import ToolTest


class WeightNormTest(ToolTest):
    def lengths(self, v, axis):
        others = tuple(k for k in range(v.ndim) if k != axis % v.ndim) if axis is not None else None
        return np.sqrt((v.astype(np.float64) ** 2).sum(others, keepdims=True))

    def test_forward_and_back_along_any_axis(self):
        v, dw = self.normal(4, 5, 6), self.normal(4, 5, 6)
        for axis in [0, 1, 2, -1, None]:
            n = self.lengths(v, axis)
            g = self.normal(*n.shape)
            self.keep(v=v, g=g, dw=dw)
            out = self.succeed("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--axis", "none" if axis is None else axis,
                               "--output", "w.npy", "--output-norms", "n.npy", "--grad-output", "dw.npy", "--grad-input",
                               "dv.npy", "--grad-scale", "dg.npy")
            self.assertEqual(out, "")
            others = tuple(k for k in range(3) if axis is None or k != axis % 3)
            s = (dw.astype(np.float64) * v).sum(others, keepdims=True)
            self.check(self.load("w.npy"), v * g / n)
            self.check(self.load("n.npy"), n.ravel())
            self.check(self.load("dg.npy"), (s / n).ravel())
            self.check(self.load("dv.npy"), dw * g / n - v * g * s / n ** 3)

    def test_without_a_scale_nothing_changes(self):
        v = self.normal(3, 7, dtype=np.float64)
        self.keep(v=v)
        self.succeed("weight_norm", "--input", "v.npy", "--output", "w.npy")
        self.check(self.load("w.npy"), v, np.float64)

    def test_types(self):
        for dtype in [np.float16, np.float64]:
            v, g = self.normal(3, 7, dtype=dtype), self.normal(3, dtype=dtype)
            self.keep(v=v, g=g)
            self.succeed("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--output", "v.npy")
            self.check(self.load("v.npy"), v * (g[:, None].astype(np.float64) / self.lengths(v, 0)), dtype)
        self.save("v.npy", np.array([[0x3f80, 0x4000, 0x4000]], np.uint16))
        self.save("g.npy", np.array([0x40c0], np.uint16))
        self.refuse("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--output", "w.npy", says="--dtype bf16")
        self.succeed("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--output", "w.npy", "--dtype", "bf16")
        self.assertEqual(self.load("w.npy").tolist(), [[0x4000, 0x4080, 0x4080]])  # 2, 4, 4: of 6 times thirds

    def test_slices_of_zeros(self):
        v = self.normal(3, 4)
        v[1] = 0
        self.keep(v=v, g=self.normal(3))
        self.refuse("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--output", "w.npy", says="slice 1 is all zeros")
        for policy in ["nan", "zero"]:
            self.succeed("weight_norm", "--input", "v.npy", "--scale", "g.npy", "--output", "w.npy", "--zero-norm", policy)
            w = self.load("w.npy")[1]
            self.assertTrue(np.isnan(w).all() if policy == "nan" else (w == 0).all())

    def test_refusals(self):
        self.keep(v=self.normal(3, 4), g=self.normal(4), i=np.arange(4, dtype=np.int8))
        call = ["weight_norm", "--input", "v.npy"]
        self.refuse("weight_norm", "--output", "w.npy", says="--input FILE is needed")
        self.refuse(*call, says="give --output FILE")
        self.refuse(*call, "--output", "w.npy", "--scale", "g.npy", says=["--scale 'g.npy'", "3 elements are expected"])
        self.refuse(*call, "--output", "w.npy", "--axis", "2", says=["--axis '2'", "axes -2 to 1"])
        self.refuse(*call, "--output", "w.npy", "--axis", "1x", says="--axis '1x'")
        self.refuse(*call, "--output", "w.npy", "--zero-norm", "one", says="--zero-norm 'one'")
        self.refuse(*call, "--output", "w.npy", "--grad-output", "v.npy", says="--grad-output goes with")
        self.refuse(*call, "--grad-input", "dv.npy", says="--grad-output goes with")
        self.refuse("weight_norm", "--input", "i.npy", "--output", "w.npy", says="--input 'i.npy': it holds s8")
        self.refuse(*call, "--output", "no/w.npy", says="--output 'no/w.npy'")
        self.refuse(*call, "v.npy", says="one argument too many")
        self.assertIn("--zero-norm", self.succeed("weight_norm", "--help"))


class SpectralNormTest(ToolTest):
    def test_from_random_vectors_to_the_singular_value(self):
        w = self.normal(6, 4, 3)
        self.keep(w=w)
        for axis in [0, 1, -1]:
            matrix = np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1).astype(np.float64)
            u, s, vt = np.linalg.svd(matrix)
            out = self.succeed("spectral_norm", "--input", "w.npy", "--axis", axis, "--iterations", 60, "--seed", 3, "--output",
                               "y.npy", "--output-u", "u.npy", "--output-v", "v.npy")
            self.assertRegex(out, r"^sigma [0-9.]+\n$")
            self.assertLess(abs(float(out.split()[1]) / s[0] - 1), 1e-6)
            self.check(self.load("y.npy"), w / s[0])
            self.assertLess(abs(abs(self.load("u.npy") @ u[:, 0]) - 1), 1e-5)
            self.assertLess(abs(abs(self.load("v.npy") @ vt[0]) - 1), 1e-5)

    def test_one_iteration_in_either_order(self):
        w, u, v = self.normal(5, 7, dtype=np.float64), self.normal(5, dtype=np.float64), self.normal(7, dtype=np.float64)

        def unit(a):
            return a / np.linalg.norm(a)

        for order in ["u_first", "v_first"]:
            self.keep(w=w, u=u, v=v)
            out = self.succeed("spectral_norm", "--input", "w.npy", "--u", "u.npy", "--v", "v.npy", "--order", order,
                               "--output", "y.npy", "--output-u", "u.npy", "--output-v", "v.npy")
            if order == "u_first":
                left = unit(w @ v)
                right = unit(w.T @ left)
            else:
                right = unit(w.T @ u)
                left = unit(w @ right)
            sigma = left @ w @ right
            self.check(self.load("u.npy"), left, np.float64)
            self.check(self.load("v.npy"), right, np.float64)
            self.check(self.load("y.npy"), w / sigma, np.float64)
            self.assertLess(abs(float(out.split()[1]) / sigma - 1), 1e-8)
            self.assertEqual(self.succeed("spectral_norm", "--input", "w.npy", "--u", "u.npy", "--v", "v.npy", "--iterations",
                                          0, "--output", "z.npy"), out)
            self.check(self.load("z.npy"), w / sigma, np.float64)

    def test_refusals(self):
        self.keep(w=self.normal(3, 4), u=self.normal(3), v=self.normal(5), zero=np.zeros((3, 4), np.float32))
        call = ["spectral_norm", "--input", "w.npy", "--output", "y.npy"]
        self.refuse("spectral_norm", "--output", "y.npy", says="--input FILE is needed")
        self.refuse(*call, "--u", "u.npy", says="--u and --v go together")
        self.refuse(*call, "--u", "u.npy", "--v", "v.npy", says=["--v 'v.npy'", "4 elements are expected"])
        self.refuse(*call, "--order", "w_first", says="--order 'w_first'")
        self.refuse(*call, "--iterations", "-1", says="--iterations '-1'")
        self.refuse(*call, "--epsilon", "x", says="--epsilon 'x'")
        self.refuse(*call, "--seed", "x", says="--seed 'x'")
        self.refuse(*call, "--axis", "5", says="--axis '5'")
        self.refuse("spectral_norm", "--input", "u.npy", "--output", "y.npy", says="at least 2 dimensions")
        self.refuse("spectral_norm", "--input", "zero.npy", "--output", "y.npy", says="came out as 0")
        self.assertIn("--order", self.succeed("spectral_norm", "--help"))

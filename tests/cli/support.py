"""What the tests of the norma command line tool share: calling it, and the same norms in NumPy, in float64."""

import io
import math
import os
import struct
import subprocess
import tempfile
import unittest

import numpy as np

TOOL = os.path.abspath(os.environ.get("NORMA_TOOL", "norma"))
OPS = ["layer_norm", "rms_norm", "lp_norm", "channel_norm", "batch_norm", "instance_norm", "group_norm", "mvn"]


def npy_bytes(array, version=(1, 0)):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=version)
    return stream.getvalue()


def npy_raw(header, data=b"", version=1, length=None, pad=True):
    """A .npy file with any header text and any claim about its length."""
    text = header.encode("latin1") if isinstance(header, str) else header
    if pad:
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
    length = len(text) if length is None else length
    size = struct.pack("<H" if version == 1 else "<I", length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def header(descr="'<f4'", order="False", shape="(2, 3)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr, order, shape)


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.random = np.random.default_rng(20)

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, name, array):
        np.save(self.path(name), array)
        return name

    def keep(self, **arrays):
        """Saves arrays as files of their names."""
        for name, array in arrays.items():
            self.save(name + ".npy", array)

    def save_bytes(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return name

    def load(self, name):
        return np.load(self.path(name), allow_pickle=False)

    def call(self, *arguments, env=None, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NORMA_")}
        environment.update(env or {})
        return subprocess.run([TOOL, *map(str, arguments)], cwd=self.folder, env=environment, capture_output=True,
                              timeout=300, **options)

    def succeed(self, *arguments, **options):
        result = self.call(*arguments, **options)
        self.assertEqual((result.returncode, result.stderr), (0, b""), arguments)
        return result.stdout.decode()

    def run_op(self, op, x, *arguments, name="x.npy"):
        """Runs an op on an array and returns the output."""
        self.save(name, x)
        stdout = self.succeed("run", op, "--input", name, "--output", "y.npy", *arguments)
        self.assertEqual(stdout, "")
        return self.load("y.npy")

    def refuse(self, *arguments, says=(), status=2, **options):
        """The call must fail with one line that holds all of `says`, and change nothing in the folder."""
        before = {name: os.stat(self.path(name)).st_mtime_ns for name in sorted(os.listdir(self.folder))}
        result = self.call(*arguments, **options)
        error = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, status, (arguments, error))
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertTrue(error.endswith("\n") and error.startswith("norma: "), error)
        self.assertEqual(result.stdout, b"")
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, error)
        after = {name: os.stat(self.path(name)).st_mtime_ns for name in sorted(os.listdir(self.folder))}
        self.assertEqual(before, after, error)
        return error

    def check(self, got, expected, dtype=np.float32):
        self.assertEqual(got.dtype, dtype)
        self.assertEqual(got.shape, np.shape(expected))
        bound = {np.float64: 1e-12, np.float32: 4e-6, np.float16: 2.0 ** -11 + 4e-6}[dtype]
        error = np.abs(got.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
        self.assertLessEqual(error.max(initial=0), bound)

    def normal(self, *shape, dtype=np.float32, offset=3.0):
        return (self.random.standard_normal(shape) * 2 + offset).astype(dtype)


def divide(centered, v, root, epsilon, mode):
    divisor = {"inside": lambda: np.sqrt(v + epsilon) if root else v + epsilon,
               "outside": lambda: (np.sqrt(v) if root else v) + epsilon,
               "floor": lambda: np.maximum(np.sqrt(v) if root else v, epsilon),
               "none": lambda: np.sqrt(v) if root else v}[mode]()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(divisor == 0, 0, centered / divisor), divisor


def moments_norm(x, axes, epsilon, mode="inside"):
    """Output, mean, variance, divisor."""
    x = x.astype(np.float64)
    mean = x.mean(axis=axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    y, divisor = divide(x - mean, variance, True, epsilon, mode)
    return y, mean, variance, divisor


def rms_norm(x, axes, epsilon, mode="inside"):
    x = x.astype(np.float64)
    square = (x * x).mean(axis=axes, keepdims=True)
    y, divisor = divide(x, square, True, epsilon, mode)
    return y, square, divisor


def lp_norm(x, axis, p=2, epsilon=0.0, mode="none"):
    x = x.astype(np.float64)
    v = (np.abs(x) if p == 1 else x * x).sum(axis=axis, keepdims=True)
    y, divisor = divide(x, v, p == 2, epsilon, mode)
    return y, v, divisor


def to_bf16(x):
    """f32 rounded to nearest even, as the bits of bf16."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


erf = np.vectorize(math.erf)
ACTIVATIONS = {
    "none": lambda y: y,
    "relu": lambda y: np.maximum(y, 0),
    "leaky-relu": lambda y: np.where(y < 0, 0.01 * y, y),
    "clip": lambda y: np.clip(y, 0, 6),
    "silu": lambda y: y / (1 + np.exp(-y)),
    "gelu": lambda y: y * (1 + erf(y / np.sqrt(2))) / 2,
    "gelu-tanh": lambda y: y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y ** 3))) / 2,
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    "tanh": np.tanh,
    "hard-swish": lambda y: y * np.clip(y / 6 + 0.5, 0, 1),
    "hard-sigmoid": lambda y: np.clip(y / 6 + 0.5, 0, 1),
    "mish": lambda y: y * np.tanh(np.log1p(np.exp(y))),
    "elu": lambda y: np.where(y < 0, np.expm1(y), y),
}

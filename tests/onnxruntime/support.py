"""What the tests of the adapter for ONNX Runtime share: models, the engine, and the norms in NumPy, in float64."""

import glob
import json
import os
import subprocess
import tempfile
import unittest

import numpy as np
from onnx import TensorProto, helper

TYPES = {"f32": TensorProto.FLOAT, "f64": TensorProto.DOUBLE, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
NAMES = {number: name for name, number in TYPES.items()}
EPSILON = float(np.float32(1e-5))  # attributes are f32
STEP = {"f64": 2.0**-53, "f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}  # half a unit in the last place of 1


# ------------------------------------------------------------------------------------------------------------
# Arrays of any type: values are float64, bytes are as the engine has them
# ------------------------------------------------------------------------------------------------------------


def to_bytes(values, dtype):
    if dtype == "bf16":
        bits = np.asarray(values, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
    return np.asarray(values, {"f32": np.float32, "f64": np.float64, "f16": np.float16}[dtype]).tobytes()


def from_bytes(content, dtype, shape):
    if dtype == "bf16":
        bits = np.frombuffer(content, np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).astype(np.float64).reshape(shape)
    return np.frombuffer(content, {"f32": np.float32, "f64": np.float64, "f16": np.float16}[dtype]).astype(np.float64).reshape(shape)


class Array:
    """Values that a type can hold, and that type."""

    def __init__(self, values, dtype="f32"):
        values = np.asarray(values, np.float64)
        self.dtype, self.shape = dtype, values.shape
        self.bytes = to_bytes(values, dtype)
        self.values = from_bytes(self.bytes, dtype, self.shape)


# ------------------------------------------------------------------------------------------------------------
# Models
# ------------------------------------------------------------------------------------------------------------


class Model:
    """Nodes, inputs and constants; values are named by the caller."""

    def __init__(self, opset=23):
        self.opset, self.nodes, self.constants, self.inputs, self.outputs = opset, [], [], [], []

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))
        return name

    def constant(self, name, array):
        self.constants.append(helper.make_tensor(name, TYPES[array.dtype], array.shape, array.bytes, raw=True))
        return name

    def integers(self, name, values):
        self.constants.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def node(self, op, inputs, outputs, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def output(self, name, dtype=None, shape=None):
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape) if dtype else helper.make_empty_tensor_value_info(name))

    def save(self, path):
        graph = helper.make_graph(self.nodes, "graph", self.inputs, self.outputs, self.constants)
        domains = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains)
        model.ir_version = 10
        with open(path, "wb") as file:
            file.write(model.SerializeToString())


# ------------------------------------------------------------------------------------------------------------
# The engine
# ------------------------------------------------------------------------------------------------------------


class EngineError(Exception):
    pass


class Engine:
    """One process that runs models; see runner.c."""

    def __init__(self, folder, env=None, config=None):
        self.folder, self.next, self.files, self.config = folder, 0, 0, config or {}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NORMA_") or k == "NORMA_TUNING"}
        environment.update({"NORMA_VERBOSE": "1"}, **(env or {}))
        written = open(os.path.join(folder, "log"), "w")
        self.log = open(written.name)
        command = [os.environ["NORMA_ONNXRUNTIME_RUNNER"], os.environ["NORMA_ONNXRUNTIME_ADAPTER"]]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=written, text=True, env=environment)
        written.close()

    def close(self):
        self.process.stdin.close()
        status = self.process.wait()
        self.process.stdout.close()
        self.log.seek(0)
        log = self.log.read()
        self.log.close()
        if status:
            raise AssertionError("the engine ended with status %d\n%s" % (status, log[-3000:]))

    def request(self, *words):
        self.process.stdin.write("\t".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n").split("\t")
        if answer[0] == "":
            raise AssertionError("the engine crashed: %s" % "\n".join(self.lines()[-20:]))
        if answer[0] != "ok":
            raise EngineError("\t".join(answer[1:]))
        return answer[1:]

    def lines(self):
        """What was written to standard error since the last call, or the beginning."""
        return self.log.read().splitlines()

    def plans(self):
        """The plans that norma made since the last call, a line each."""
        return [line for line in self.lines() if line.startswith("norma: ") and ", kernel " in line]

    def file_of(self, array):
        self.files += 1
        path = os.path.join(self.folder, "input.%d" % (self.files % 64))
        with open(path, "wb") as file:
            file.write(array.bytes)
        return path

    def words_of(self, inputs):
        words = []
        for name, array in inputs.items():
            shape = ",".join(str(extent) for extent in array.shape) or "-"
            words += [name, TYPES[array.dtype], shape, self.file_of(array)]
        return words

    def open(self, model, route="ops", threads=1, **config):
        if isinstance(model, Model):
            path = os.path.join(self.folder, "model.onnx")
            model.save(path)
            model = path
        number = self.next
        self.next = (self.next + 1) % 64
        self.request("open", number, model, route, threads, *["%s=%s" % item for item in {**self.config, **config}.items()])
        return number

    def run(self, session, **inputs):
        prefix = os.path.join(self.folder, "output")
        answer = self.request("run", session, prefix, *self.words_of(inputs))
        outputs = {}
        for i in range(len(answer) // 3):
            name, dtype, shape = answer[3 * i : 3 * i + 3]
            shape = [] if shape == "-" else [int(extent) for extent in shape.split(",")]
            with open("%s.%d" % (prefix, i), "rb") as file:
                outputs[name] = Array(from_bytes(file.read(), NAMES[int(dtype)], shape), NAMES[int(dtype)])
        return outputs

    def end(self, session):
        self.request("close", session)

    def placement(self, model, route, **inputs):
        """The nodes that ran, as the engine's profiler tells of them: operators and who computed them, in order."""
        prefix = os.path.join(self.folder, "profile")
        session = self.open(model, route, profile=prefix)
        self.run(session, **inputs)
        self.end(session)
        (path,) = glob.glob(prefix + "*.json")
        with open(path) as file:
            events = json.load(file)
        os.remove(path)
        return [(e["args"]["op_name"], e["args"]["provider"]) for e in events if e["name"].endswith("_kernel_time")]

    def once(self, model, route="ops", threads=1, **inputs):
        session = self.open(model, route, threads)
        try:
            return self.run(session, **inputs)
        finally:
            self.end(session)


def use_build(folder):
    """For scripts: the engine and the adapter of a build, which CTest otherwise names."""
    os.environ["NORMA_ONNXRUNTIME_RUNNER"] = os.path.join(folder, "tests/onnxruntime/onnxruntime_runner")
    os.environ["NORMA_ONNXRUNTIME_ADAPTER"] = os.path.abspath(os.path.join(folder, "adapters/onnxruntime/libnorma_onnxruntime.so"))


class EngineTest(unittest.TestCase):
    env = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        # Threads that wait by spinning take the cores from other tests that run meanwhile.
        cls.engine = Engine(cls.folder.name, cls.env, {"session.intra_op.allow_spinning": 0})

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def setUp(self):
        self.random = np.random.default_rng(30)

    def array(self, shape, dtype="f32", offset=0.0, scale=1.0):
        return Array(offset + scale * self.random.standard_normal(shape), dtype)

    def positive(self, shape, dtype="f32"):
        return Array(0.5 + self.random.random(shape), dtype)

    def assert_close(self, actual, expected, dtype, steps=4, floor=4e-6, what=""):
        """Within so many half units in the last place of y or of 1, and norma's bound for the computation in f32."""
        self.assertEqual(list(actual.shape), list(np.shape(expected)), what)
        if not actual.values.size:
            return
        bound = (steps * STEP[dtype] + (0 if dtype == "f64" else floor)) * np.maximum(1, np.abs(expected)) + (1e-13 if dtype == "f64" else 0)
        error = np.abs(actual.values - expected)
        self.assertTrue(np.all(error <= bound), "%s: %g past a bound of %g" % (what, np.max(error), bound.flat[np.argmax(error - bound)]))


# ------------------------------------------------------------------------------------------------------------
# The norms, as their formulas stand, in float64
# ------------------------------------------------------------------------------------------------------------


def standardize(x, axes, epsilon):
    mean = x.mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    return (x - mean) * rstd, mean, rstd


def f32(value):
    return float(np.float32(value))


def layer_norm(x, scale, shift=0.0, axis=-1, epsilon=EPSILON):
    """y, mean, rstd"""
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, mean, rstd = standardize(x, axes, epsilon)
    return y * scale + shift, mean, rstd


def rms_norm(x, scale, axis=-1, epsilon=EPSILON):
    axes = tuple(range(axis % x.ndim, x.ndim))
    rstd = 1 / np.sqrt((x * x).mean(axes, keepdims=True) + epsilon)
    return x * rstd * scale, rstd


def channels(v, x):
    """[c] to where it can be multiplied with an image of channels second."""
    return np.reshape(v, [-1] + [1] * (x.ndim - 2)) if x.ndim > 1 else v


def batch_norm(x, scale, shift, mean, variance, epsilon=EPSILON):
    return (x - channels(mean, x)) / np.sqrt(channels(variance, x) + epsilon) * channels(scale, x) + channels(shift, x)


def instance_norm(x, scale, shift, epsilon=EPSILON):
    y, _, _ = standardize(x, tuple(range(2, x.ndim)), epsilon)
    return y * channels(scale, x) + channels(shift, x)


def group_norm(x, scale, shift, groups, epsilon=EPSILON):
    y, _, _ = standardize(x.reshape(x.shape[0], groups, -1), 2, epsilon)
    y = y.reshape(x.shape)
    if len(scale) != x.shape[1]:  # opset 18
        scale, shift = np.repeat(scale, x.shape[1] // groups), np.repeat(shift, x.shape[1] // groups)
    return y * channels(scale, x) + channels(shift, x)


def silu(x):
    return x / (1 + np.exp(-x))

#!/usr/bin/python3
"""Black-box tests of norma-bench: which cases it takes, what it refuses. NORMA_BENCH names the binary."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

BENCH = os.path.abspath(os.environ.get("NORMA_BENCH", "norma-bench"))
MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cases", "models", "*.txt")

# Repetitions of next to nothing: what is told, not how fast it is.
BRIEF = ["--benchmark_min_time=0.0001", "--benchmark_repetitions=3", "--threads", "1"]


class BenchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, name, text):
        with open(self.path(name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def call(self, *arguments, env=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("NORMA_", "BENCHMARK_"))}
        environment.update(env or {})
        return subprocess.run([BENCH, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300,
                              cwd=self.folder)

    def succeed(self, *arguments):
        result = self.call(*arguments)
        self.assertEqual(result.returncode, 0, (arguments, result.stdout, result.stderr))
        return result.stdout

    def refuse(self, *arguments, says, status=2):
        result = self.call(*arguments)
        self.assertEqual(result.returncode, status, (arguments, result.stdout, result.stderr))
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("norma-bench: "), result.stderr)
        self.assertIn(says, result.stderr)
        self.assertEqual(result.stdout, "")


class Cases(BenchTest):
    def listed(self, *arguments):
        """The cases of a list, each once."""
        lines = self.succeed("--list", "--threads", "1", "--path", "fused", *arguments).splitlines()
        return [line[:-len("/fused/threads:1")] for line in lines if line.endswith("/fused/threads:1")]

    def test_every_model_is_whole(self):
        files = sorted(glob.glob(MODELS))
        self.assertGreaterEqual(len(files), 12)
        for path in files:
            with open(path) as file:
                lines = [line.split("#")[0].strip() for line in file]
            name = os.path.basename(path)[:-len(".txt")]
            self.assertEqual(self.listed("--model", name), [line for line in lines if line], name)

    def test_a_model_runs(self):
        out = self.succeed("--model", "convnext,gpt2", "--benchmark_filter=1x384x14x14|1x768", *BRIEF)
        for name in ("channel_norm/f32/nchw/1x384x14x14", "channel_norm/f32/nhwc/1x384x14x14", "layer_norm/f32/rows/1x768",
                     "add+layer_norm/f32/rows/1x768"):
            self.assertTrue(re.search(r"^%s +1 " % re.escape(name), out, re.MULTILINE), (name, out))

    def test_three_dimensions(self):
        shapes = self.save("shapes", "".join("%s/2x64x3x5x7\n" % op for op in (
            "instance_norm+leaky_relu/f32/nchw", "batch_norm_given+relu/f32/nhwc", "mvn/f32/nchw", "channel_norm/f32/nchw",
            "group_norm+silu/f32/nhwc")))
        out = self.succeed("--shapes", shapes, *BRIEF)  # whose results are checked before they are timed
        self.assertEqual(len(re.findall(r"^\S+/2x64x3x5x7 +1 ", out, re.MULTILINE)), 5)

    def test_a_file(self):
        shapes = self.save("shapes", "# mine\n\n  rms_norm/f32/rows/3x5  # small\r\nlayer_norm/f64/rows/2x4\n"
                                     "rms_norm/f32/rows/3x5\n")
        self.assertEqual(self.listed("--shapes", shapes), ["rms_norm/f32/rows/3x5", "layer_norm/f64/rows/2x4"])
        self.assertEqual(self.listed("--shapes", shapes, "--op", "rms_norm"), ["rms_norm/f32/rows/3x5"])
        self.assertEqual(self.listed("--quick", "--shapes", shapes), self.listed("--shapes", shapes))
        self.assertEqual(len(self.listed("--shapes", shapes, "--model", "bert")), 2 + 9)

    def test_refuses(self):
        self.refuse("--model", "alexnet", says="--model: 'alexnet' is none of bert, convnext, ")
        self.refuse("--model", "bert,", says="--model: '' is none of")
        self.refuse("--model=", says="--model: a name is missing")
        self.refuse("--shapes", self.path("none"), says="--shapes: '%s' cannot be read: No such file" % self.path("none"))
        self.refuse("--shapes", self.folder, says="cannot be read: Is a directory")
        for text, says in (("conv/f32/rows/1x2\n", "'conv' is no op"),
                           ("rms_norm/f31/rows/1x2\n", "is no type (f32, f64, bf16, f16)"),
                           ("rms_norm/f32/nchw/1x2x3x4\n", "is no layout of rms_norm"),
                           ("rms_norm/f32/rows/1x2x3\n", "'1x2x3' is no shape: expected rows x columns"),
                           ("batch_norm/f32/nchw/1x2x3\n", "expected N x C x H x W or N x C x D x H x W"),
                           ("batch_norm/f32/nchw/1x2x3x4x5x6\n", "is no shape"),
                           ("rms_norm/f32/rows/0x2\n", "is no shape"),
                           ("x" * 5000, "a line of text was expected, of less than 1024 bytes"),
                           (b"\0\n", "a line of text was expected")):
            bad = self.save("bad", b"# fine\nrms_norm/f32/rows/1x2\n" + (text if isinstance(text, bytes) else text.encode()))
            self.refuse("--shapes", bad, says=says)
            self.refuse("--shapes", bad, says="--shapes: %s:3: " % bad)
        self.refuse("--shapes", self.save("empty", "# nothing\n"), says="no case is left by these options")


if __name__ == "__main__":
    if "NORMA_BENCH" not in os.environ:
        sys.exit("NORMA_BENCH must name the norma-bench binary")
    unittest.main()

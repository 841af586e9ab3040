#!/usr/bin/python3
"""Black-box tests of norma-bench: which cases it takes, what it writes, what it calls a regression, what it refuses. NORMA_BENCH
names the binary."""

import copy
import glob
import json
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
                           ("rms_norm/f31/rows/1x2\n", "is no type (f32, f64, bf16, f16, s8, u8"),
                           ("rms_norm/f32/nchw/1x2x3x4\n", "is no layout of rms_norm"),
                           ("rms_norm/f32/rows/1x2x3x4\n", "'1x2x3x4' is no shape: expected rows x columns, as in 512x1024, or N x T x C"),
                           ("rms_norm+add+modulate/f32-s8/rows/1x2\n", "is no op"),
                           ("group_norm+gate/f32/nchw/1x32x2x2\n", "is no layout of group_norm"),
                           ("rms_norm/f32-s9/rows/1x2\n", "is no type"),
                           ("batch_norm/f32/nchw/1x2x3\n", "expected N x C x H x W or N x C x D x H x W"),
                           ("batch_norm/f32/nchw/1x2x3x4x5x6\n", "is no shape"),
                           ("rms_norm/f32/rows/0x2\n", "is no shape"),
                           ("x" * 5000, "a line of text was expected, of less than 1024 bytes"),
                           (b"\0\n", "a line of text was expected")):
            bad = self.save("bad", b"# fine\nrms_norm/f32/rows/1x2\n" + (text if isinstance(text, bytes) else text.encode()))
            self.refuse("--shapes", bad, says=says)
            self.refuse("--shapes", bad, says="--shapes: %s:3: " % bad)
        self.refuse("--shapes", self.save("empty", "# nothing\n"), says="no case is left by these options")


class Results(BenchTest):
    def run_of(self, *arguments):
        out = self.path("out.json")
        self.succeed(*BRIEF, "--benchmark_out=" + out, *arguments)
        with open(out) as file:
            return json.load(file)

    def test_context_and_counters(self):
        shapes = self.save("shapes", "layer_norm/f32/rows/64x256\n")
        run = self.run_of("--shapes", shapes, "--threads", "1,2", "--full")
        context = run["context"]
        for level in ("L1", "memory"):
            for kind in ("read", "copy"):
                for threads in (1, 2):
                    self.assertGreater(float(context["roofline/%s/%s/threads:%d" % (level, kind, threads)]), 0)
        rows = {(row["run_name"], row.get("aggregate_name", row["run_type"])): row for row in run["benchmarks"]}
        name = "layer_norm/f32/rows/64x256/%s/threads:%d"
        median = rows[name % ("fused", 1), "median"]
        speed = 2 * 64 * 256 * 4 / median["real_time"]
        self.assertEqual(median["time_unit"], "ns")
        self.assertAlmostEqual(median["GB/s"], speed, delta=1e-9 * speed)
        self.assertEqual(median["useful_bytes"], 2 * 64 * 256 * 4)
        self.assertEqual((median["rounds"], median["repetitions"]), (3, 3))
        level = ("L1", "L2", "L3", "memory")[int(median["level"]) - 1]
        roof = max(float(context.get("roofline/%s/%s/threads:1" % (level, kind), 0)) for kind in ("copy", "streaming"))
        self.assertAlmostEqual(median["of_roofline"], speed / roof, delta=0.01 * speed / roof)
        for ratio, base in (("vs_copy", "copy"), ("vs_unfused", "unfused"), ("vs_generic", "generic")):
            expected = rows[name % (base, 1), "median"]["real_time"] / median["real_time"]
            self.assertAlmostEqual(median[ratio], expected, delta=1e-6 * expected)
        two = rows[name % ("fused", 2), "median"]
        self.assertAlmostEqual(two["vs_one_thread"], median["real_time"] / two["real_time"], delta=1e-6)
        times = [row["real_time"] for row in run["benchmarks"]
                 if row["run_name"] == name % ("fused", 1) and row["run_type"] == "iteration"]
        best = rows[name % ("fused", 1), "best"]
        self.assertEqual(len(times), 3)
        self.assertAlmostEqual(best["real_time"], min(times), delta=1e-6 * min(times))
        self.assertAlmostEqual(best["noise"], sorted(times)[1] / min(times) - 1, delta=1e-6)

    def test_default_and_full(self):
        shapes = self.save("shapes", "layer_norm/f32/rows/64x256\n")
        paths = lambda *more: {re.sub(".*/(.*)/threads:1", r"\1", line)
                               for line in self.succeed("--list", "--threads", "1", "--shapes", shapes, *more).splitlines()}
        self.assertEqual(paths(), {"copy", "unfused", "fused"})
        self.refuse("--benchmark_min_time=long", says="--benchmark_min_time: expected seconds")
        self.refuse("--peers", says="--peers: this norma-bench is built without any")
        self.assertLess({"copy", "unfused", "fused", "untuned", "generic"}, paths("--full") | {"?"})


class Comparison(BenchTest):
    SHAPES = "".join("rms_norm/f32/rows/%dx256\n" % rows for rows in range(20, 30))
    measured = None  # once for all tests

    def setUp(self):
        super().setUp()
        if not Comparison.measured:
            out = self.path("old.json")
            self.succeed("--shapes", self.save("shapes", self.SHAPES), *BRIEF, "--benchmark_out=" + out)
            with open(out) as file:
                Comparison.measured = json.load(file)
        self.run_ = copy.deepcopy(Comparison.measured)
        for row in self.run_["benchmarks"]:
            if "noise" in row:
                row["noise"] = 0.01
        self.old = self.write("old.json", self.run_)

    def write(self, name, run):
        return self.save(name, json.dumps(run))

    def changed(self, factor, which=lambda name: True, noise=0.01):
        """A file where some rows take that many times as long."""
        run = copy.deepcopy(self.run_)
        for row in run["benchmarks"]:
            if which(row["run_name"]) and row.get("aggregate_name") != "cv":
                row["real_time"] *= factor
            if "noise" in row:
                row["noise"] = noise
        return self.write("new.json", run)

    def verdict(self, new, old=None):
        result = self.call("--compare", old or self.old, "--with", new)
        self.assertEqual(result.stderr, "")
        self.assertIn(result.returncode, (0, 1))
        self.assertIn("10 rows compared", result.stdout)
        slower = re.findall(r"^slower .* GB/s  (\S+)$", result.stdout, re.MULTILINE)
        groups = re.findall(r"^slower .* \)  (\S.*), the median", result.stdout.replace("%)", "% )"), re.MULTILINE)
        self.assertEqual(result.returncode, 1 if slower or groups else 0, result.stdout)
        return sorted(slower), sorted(groups)

    def test_same_run(self):
        self.assertEqual(self.verdict(self.old), ([], []))

    def test_all_slower(self):
        slower, groups = self.verdict(self.changed(1.1, lambda name: "/fused/" in name))
        self.assertEqual((len(slower), groups), (10, ["all rows", "rms_norm"]))

    def test_one_slower(self):
        slower, groups = self.verdict(self.changed(1.1, lambda name: "/25x256/fused/" in name))
        self.assertEqual((slower, groups), (["rms_norm/f32/rows/25x256/fused/threads:1"], []))

    def test_within_noise(self):
        self.assertEqual(self.verdict(self.changed(1.04, lambda name: "/25x256/fused/" in name)), ([], []))
        # Rows that cannot be trusted by themselves can be together.
        slower, groups = self.verdict(self.changed(1.1, lambda name: "/fused/" in name, noise=0.2))
        self.assertEqual((slower, groups), ([], ["all rows", "rms_norm"]))
        self.assertEqual(self.verdict(self.changed(1.1, lambda name: "/25x256/fused/" in name, noise=0.2)), ([], []))

    def test_machine_slower(self):
        """The copy tells it from a regression; and so does the time, where the copy alone was lucky."""
        self.assertEqual(self.verdict(self.changed(1.3)), ([], []))
        self.assertEqual(self.verdict(self.changed(0.7, lambda name: "/copy/" in name)), ([], []))
        self.assertEqual(self.verdict(self.changed(0.5, lambda name: "/fused/" in name)), ([], []))

    def test_measured(self):
        """Against a record that took a fiftieth of the time, and fifty times of it: no other work on the machine hides that."""
        for factor, status in ((0.02, 1), (50, 0)):
            old = self.changed(factor, lambda name: "/fused/" in name)
            result = self.call("--compare", old, *BRIEF)
            self.assertEqual(result.returncode, status, result.stdout)
            self.assertEqual(len(re.findall("^slower .* GB/s", result.stdout, re.MULTILINE)), 10 * status, result.stdout)
            self.assertIn("10 rows compared", result.stdout)

    def test_missing_rows(self):
        run = copy.deepcopy(self.run_)
        run["benchmarks"] = [row for row in run["benchmarks"] if "/25x256/" not in row["run_name"]]
        result = self.call("--compare", self.old, "--with", self.write("less.json", run))
        self.assertIn("9 rows compared", result.stdout)
        self.assertIn("; 1 of the earlier rows were not measured", result.stdout)

    def test_refuses(self):
        self.refuse("--compare", self.path("none"), says="--compare: '%s' cannot be read: No such" % self.path("none"))
        self.refuse("--with", self.old, says="--with: it is for --compare")
        for text in ("", "{", "[]", "7", '{"context": {}}', '{"context": {}, "benchmarks": 3}', "\xff" * 9,
                     '{"context": 1, "benchmarks": []}', '{"context": {}, "benchmarks": [{"aggregate_name": "best", "noise": "x"}]}',
                     "[" * 100000):
            bad = self.save("bad.json", text)
            self.refuse("--compare", bad, says="is not the JSON of norma-bench")
            self.refuse("--compare", self.old, "--with", bad, says="--with: '%s' is not the JSON" % bad)
        run = copy.deepcopy(self.run_)
        for row in run["benchmarks"]:
            row.pop("noise", None)
        self.refuse("--compare", self.write("bad.json", run), says="has no rows with their noise")
        for row in run["benchmarks"]:
            row.update(run_name="a/b/c/d/fused/threads:1", noise=0)
        self.refuse("--compare", self.old, "--with", self.write("bad.json", run), says="have no row in common")
        self.refuse("--compare", self.write("bad.json", run), says="no case is left")


if __name__ == "__main__":
    if "NORMA_BENCH" not in os.environ:
        sys.exit("NORMA_BENCH must name the norma-bench binary")
    unittest.main()

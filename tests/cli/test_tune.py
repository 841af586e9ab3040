#!/usr/bin/python3
"""Black-box tests of norma-tune: what it writes, what it keeps when it is stopped in any way, what it refuses.

NORMA_TUNE and NORMA_TOOL name the binaries.
"""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TUNE = os.path.abspath(os.environ.get("NORMA_TUNE", "norma-tune"))
TOOL = os.path.abspath(os.environ.get("NORMA_TOOL", "norma"))

# Small, so that one takes some hundredths of a second.
SHAPES = ["layer_norm/f32/rows/%dx%d" % (rows, cols) for rows in (16, 64) for cols in (64, 200, 768)]
SHAPES += ["batch_norm/f32/nhwc/2x24x8x8", "batch_norm/f32/nchw/2x24x8x8", "group_norm/f64/nchw/1x64x8x8",
           "batch_norm_given/f32/nhwc/2x24x8x8", "mvn/f32/nchw/2x8x9x9", "channel_norm/f32/nchw/1x96x7x7"]


class TuneTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = self.path("tuning.txt")
        with open(self.path("shapes"), "w") as file:
            file.write("# a model's\n\n" + "".join("%s   # one\n" % shape for shape in SHAPES))

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NORMA_")}
        environment.update(XDG_CONFIG_HOME=self.path("config"), **more)
        return environment

    def command(self, *arguments, shapes=True):
        usual = ["--output", self.file] + (["--shapes", self.path("shapes")] if shapes else [])
        return [TUNE, "--quick", "--threads", "1", *usual, *map(str, arguments)]

    def call(self, *arguments, env=None, **options):
        return subprocess.run([TUNE, *map(str, arguments)], env=env or self.environment(), capture_output=True, text=True,
                              timeout=300, cwd=self.folder, **options)

    def tune(self, *arguments, status=0, **options):
        result = subprocess.run(self.command(*arguments, **options), env=self.environment(), capture_output=True, text=True,
                                timeout=300)
        self.assertEqual((result.returncode, result.stderr), (status, ""), result.stdout)
        return result.stdout

    def refuse(self, *arguments, says, status=2, **options):
        result = self.call(*arguments, **options)
        self.assertEqual(result.returncode, status, (arguments, result.stdout, result.stderr))
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertIn(says, result.stderr)
        self.assertEqual(result.stdout, "")

    def records(self):
        """Names of the records of a file that must be good."""
        checked = self.call("--check", "--output", self.file)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        with open(self.file) as file:
            return sorted(re.findall(r" case=(\S+)$", file.read(), re.MULTILINE))

    def leftovers(self):
        return sorted(set(os.listdir(self.folder)) - {"shapes", "tuning.txt", "config"})

    def test_measures_and_writes(self):
        out = self.tune()
        self.assertEqual(self.records(), sorted(SHAPES))
        self.assertEqual(len(re.findall(r"^\S+/threads:1 +[\d.]+ us +[\d.]+x  \S", out, re.MULTILINE)), len(SHAPES))
        self.assertIn("%d cases measured" % len(SHAPES), out)
        self.assertEqual(self.leftovers(), [])

    def test_goes_on_where_it_ended(self):
        self.tune("--ops", "layer_norm")
        self.assertEqual(len(self.records()), 6)
        out = self.tune()
        self.assertIn("6 cases measured", out)
        self.assertIn("6 were known already", out)
        self.assertEqual(self.records(), sorted(SHAPES))
        self.assertIn("0 cases measured", self.tune())
        self.assertIn("6 cases measured", self.tune("--again", "--ops", "layer_norm"))
        self.assertEqual(self.records(), sorted(SHAPES))

    def test_time_limit(self):
        out = self.tune("--time-limit", 0.1)
        match = re.search(r"(\d+) are left: out of time; the next run goes on with them", out)
        self.assertTrue(match, out)
        self.assertIn("\n%s cases measured" % match[1], self.tune())
        self.assertEqual(self.records(), sorted(SHAPES))

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen(self.command("--again"), env=self.environment(), stdout=subprocess.PIPE, text=True)
            process.stdout.readline()  # the first case is there
            process.send_signal(number)
            out, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130)
            self.assertIn("interrupted", out)
            self.assertGreater(len(self.records()), 0)
            self.assertEqual(self.leftovers(), [])

    def test_killed_at_any_moment(self):
        """kill -9 at 20 random moments: the old file or a good new one."""
        whole = self.timed(self.command())
        self.assertEqual(self.records(), sorted(SHAPES))
        moments = random.Random(20)
        for _ in range(20):
            process = subprocess.Popen(self.command("--again"), env=self.environment(), stdout=subprocess.DEVNULL)
            time.sleep(moments.uniform(0, whole))
            process.kill()
            process.wait()
            self.assertEqual(self.records(), sorted(SHAPES))
        self.tune()
        self.assertEqual(self.leftovers(), [])  # what the killed ones left is swept up

    def timed(self, command):
        start = time.monotonic()
        self.assertEqual(subprocess.run(command, env=self.environment(), stdout=subprocess.DEVNULL).returncode, 0)
        return time.monotonic() - start

    def test_two_tuners_at_once(self):
        first = subprocess.Popen(self.command(), env=self.environment(), stdout=subprocess.PIPE, text=True)
        first.stdout.readline()
        self.refuse("--quick", "--output", self.file, says="another norma-tune is at work", status=1)
        first.communicate(timeout=300)
        self.assertEqual(first.returncode, 0)
        self.assertEqual(self.records(), sorted(SHAPES))
        self.assertEqual(self.leftovers(), [])

    def test_disk_full(self):
        self.tune("--ops", "layer_norm")
        with open(self.file) as file:
            before = file.read()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        result = subprocess.run(self.command(), env=self.environment(), capture_output=True, text=True, preexec_fn=limit)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^norma-tune: cannot write '.*tuning.txt': .*\n$")
        with open(self.file) as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(self.leftovers(), [])

    def test_full_standard_output(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([TUNE, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))

    def test_folder_that_cannot_be(self):
        self.refuse("--quick", "--output", "/dev/null/tuning.txt", says="/dev/null", status=1)
        os.mkdir(self.path("folder"))
        self.refuse("--quick", "--output", self.path("folder"), says="cannot be read: it is a folder")

    def test_a_file_of_something_else_is_kept(self):
        for text in ["my notes\n", ""]:
            with open(self.file, "w") as file:
                file.write(text)
            self.refuse("--quick", "--output", self.file, says="is there already and no tuning file")
            with open(self.file) as file:
                self.assertEqual(file.read(), text)
            self.assertEqual(self.leftovers(), [])

    def test_a_changed_file_is_set_aside(self):
        self.tune("--ops", "mvn")
        with open(self.file) as file:
            changed = file.read().replace("tuned_ns=", "tuned_ns=1")
        with open(self.file, "w") as file:
            file.write(changed)
        self.refuse("--check", "--output", self.file, says="does not serve: its checksum", status=1)
        self.refuse("--show", "--output", self.file, says="checksum", status=1)
        out = self.tune("--ops", "mvn")
        self.assertIn("tuning.txt.old", out)
        with open(self.file + ".old") as file:
            self.assertEqual(file.read(), changed)
        self.assertEqual(len(self.records()), 1)

    def test_check_and_show(self):
        self.refuse("--check", "--output", self.file, says="No such file", status=1)
        self.refuse("--show", "--output", self.file, says="No such file", status=1)
        self.tune("--ops", "group_norm,mvn")
        self.assertIn("2 shapes", self.call("--check", "--output", self.file).stdout)
        shown = self.call("--show", "--output", self.file).stdout
        self.assertRegex(shown, r"group_norm/f64/nchw/1x64x8x8 +1 +[\d.]+ +[\d.]+ +[\d.]+x  \S")
        self.assertIn("geometric mean", shown)

    def test_dry_run(self):
        out = subprocess.run(self.command("--dry-run"), env=self.environment(), capture_output=True, text=True).stdout
        self.assertEqual([line.split("/threads")[0] for line in out.splitlines()[:len(SHAPES)]], SHAPES)
        self.assertIn("%d to measure" % len(SHAPES), out)
        self.assertEqual(self.leftovers(), [])
        self.tune("--ops", "mvn")
        out = subprocess.run(self.command("--dry-run"), env=self.environment(), capture_output=True, text=True).stdout
        self.assertIn("%d to measure" % (len(SHAPES) - 1), out)
        self.assertEqual(out.count("(known)"), 1)

    def test_all_cases_by_default(self):
        quick = self.call("--dry-run", "--quick").stdout.splitlines()
        everything = self.call("--dry-run").stdout.splitlines()
        self.assertGreater(len(quick), 20)
        self.assertGreater(len(everything), 2 * len(quick))
        self.assertEqual(everything[:len(quick) - 2], quick[:-2])  # quick ones first

    def test_cases_of_a_model(self):
        out = self.call("--dry-run", "--model", "bert,convnext", "--ops", "channel_norm", "--threads", "1").stdout
        self.assertEqual(len(re.findall(r"channel_norm/f32/n\w+/\d+x\d+x\d+x\d+", out)), 12, out)
        self.refuse("--dry-run", "--model", "alexnet", says="--model: 'alexnet' is none of bert, ")

    def test_the_library_uses_it(self):
        environment = self.environment()
        result = subprocess.run([TUNE, "--quick", "--threads", "1", "--shapes", self.path("shapes")], env=environment,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        info = subprocess.run([TOOL, "info"], env=environment, capture_output=True, text=True).stdout
        self.assertRegex(info, r"tuning +%d shapes measured, from %s" % (len(SHAPES), self.path("config")))
        off = subprocess.run([TOOL, "info"], env=dict(environment, NORMA_TUNING="off"), capture_output=True, text=True).stdout
        self.assertRegex(off, r"tuning +built-in rules from the cache sizes, as asked for")
        wrong = subprocess.run([TOOL, "info"], env=dict(environment, NORMA_TUNING=self.path("shapes")), capture_output=True,
                               text=True)
        self.assertRegex(wrong.stdout, r"tuning +built-in rules .*shapes is not used: its first line is not")
        self.assertEqual(wrong.returncode, 0)

    def test_mistakes(self):
        self.refuse("--quick", "--full", says="exclude each other")
        self.refuse("--show", "--check", says="exclude each other")
        self.refuse("--ops", "layer_norm,nonsense", says="'nonsense' is no op")
        self.refuse("--ops", "", says="is no op")
        self.refuse("--threads", "0", says="--threads")
        self.refuse("--threads", "1,,2", says="--threads")
        self.refuse("--threads", "1x", says="--threads")
        self.refuse("--threads", "99999999999999999999", says="--threads")
        self.refuse("--time-limit", "-1", says="--time-limit")
        self.refuse("--time-limit", "0", says="--time-limit")
        self.refuse("--time-limit", "nan", says="--time-limit")
        self.refuse("--output", "", says="--output")
        self.refuse("--output", "x" * 5000, says="--output")
        self.refuse("--output", says="a value is missing after '--output'")
        self.refuse("--nonsense", says="unknown option '--nonsense'")
        self.refuse("--show=1", says="no value was expected in '--show=1'")
        self.refuse("-xh", says="unknown option '-x'")
        self.refuse("--ops", "a\nb", says="'a?b' is no op")
        self.refuse("file", says="one argument too many")
        self.refuse("--shapes", "missing", says="'missing' cannot be read")
        self.refuse("--quick", "--ops", "mvn", "--shapes", self.path("empty"), says="cannot be read")
        self.refuse("--quick", env={"PATH": "/bin"}, says="HOME is not set")

    def test_mistakes_in_shapes(self):
        for line, says in [("layer_norms/f32/rows/8x8", "is no op"), ("layer_norm/f8/rows/8x8", "is no type"),
                           ("layer_norm/f32/nchw/8x8x8x8", "is no layout"), ("batch_norm/f32/rows/8x8", "is no layout"),
                           ("layer_norm/f32/rows/8", "is no shape"), ("layer_norm/f32/rows/8x8x8x8", "is no shape"),
                           ("layer_norm/f32/rows/0x8", "is no shape"), ("layer_norm/f32/rows/8x-8", "is no shape"),
                           ("layer_norm/f32/rows/8x99999999999999999999", "is no shape"),
                           ("batch_norm/f32/nchw/8x8", "is no shape"), ("layer_norm_given/f32/rows/8x8", "is no op"),
                           ("layer_norm", "is no type"), ("group_norm/f32/nchw/1x30x8x8", "groups"),
                           ("layer_norm/f32/rows/1099511627776x1099511627776", "is no shape"),
                           ("instance_norm/f32/nchw/1x1x34357641280x536903681", "is no shape")]:
            with open(self.path("wrong"), "w") as file:
                file.write("mvn/f32/rows/8x8\n" + line + "\n")
            self.refuse("--dry-run", "--shapes", self.path("wrong"), says=says)

    def test_too_large_for_memory(self):
        with open(self.path("shapes"), "w") as file:
            file.write("layer_norm/f32/rows/1000000x1000000\n")
        result = subprocess.run(self.command(), env=self.environment(), capture_output=True, text=True)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1))
        self.assertIn("layer_norm/f32/rows/1000000x1000000/threads:1: too large", result.stderr)
        self.assertIn("is not there: nothing was measured", result.stdout)

    def test_nobody_listens(self):
        process = subprocess.Popen(self.command(), env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertIn(b"standard output", process.stderr.read())
        process.stderr.close()
        self.assertGreater(len(self.records()), 0)
        self.assertEqual(self.leftovers(), [])

    def test_files_of_others(self):
        for name, text in [("tuning.txt.lock", "precious"), ("tuning.txt.tmp.99999999-notes", "mine")]:
            with open(self.path(name), "w") as file:
                file.write(text)
        self.tune("--ops", "mvn")
        self.assertEqual(self.leftovers(), ["tuning.txt.lock", "tuning.txt.tmp.99999999-notes"])

    def test_link(self):
        os.symlink("tuning.txt", self.path("link"))
        self.tune("--ops", "mvn")
        result = self.call("--quick", "--threads", "1", "--shapes", self.path("shapes"), "--output", self.path("link"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertEqual(self.records(), sorted(SHAPES))

    def test_no_file_in_force(self):
        self.refuse("--show", env=self.environment(NORMA_TUNING="off"), says="NORMA_TUNING is 'off'", status=1)
        self.refuse("--check", env=self.environment(NORMA_TUNING="random:1"), says="NORMA_TUNING", status=1)

    def test_strange_shapes_files(self):
        for content, says in [(b"mvn/f32/rows/8x8\0garbage\n", "a line of text"), (b"x" * 5000, "a line of text"),
                              (b"\x1b[31m\n", "?[31m")]:
            with open(self.path("wrong"), "wb") as file:
                file.write(content)
            self.refuse("--dry-run", "--shapes", self.path("wrong"), says=says)
        self.refuse("--dry-run", "--shapes", "/dev/zero", says="a line of text")
        self.refuse("--dry-run", "--shapes", self.folder, says="cannot be read")

    @unittest.skipUnless("NORMA_BENCH" in os.environ, "norma-bench is not built here")
    def test_bench_tells_the_gains(self):
        with open(self.path("shapes"), "w") as file:
            file.write("layer_norm/f32/rows/1x4096\n")
        self.tune()
        with open(self.file) as file:
            text = file.read()
        bench = [os.environ["NORMA_BENCH"], "--tuned-vs-default", "--threads", "1", "--benchmark_min_time=0.001",
                 "--benchmark_repetitions=3", "--benchmark_filter=layer_norm/f32/rows/1x4096"]
        result = subprocess.run(bench, env=self.environment(NORMA_TUNING=self.file), capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"layer_norm/f32/rows/1x4096 +1 .* +%s" % ("[\\d.]+" if " use." in text else "same"))
        self.assertRegex(result.stdout, r"Tuned over untuned: [\d.]+ in the geometric mean of 1 rows")

    def test_help_and_version(self):
        self.assertIn("Usage: norma-tune", self.call("--help").stdout)
        self.assertRegex(self.call("--version").stdout, r"^norma-tune \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    for name in ("NORMA_TUNE", "NORMA_TOOL"):
        if name not in os.environ:
            sys.exit("%s must name the binary" % name)
    sys.dont_write_bytecode = True
    unittest.main()

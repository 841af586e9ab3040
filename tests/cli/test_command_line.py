"""The command line: requests that are refused, help, `norma info`, and the options that change no numbers."""

import os
import re

import numpy as np

from support import OPS, ToolTest, moments_norm, rms_norm


class CommandLineTest(ToolTest):
    def info(self, **options):
        lines = self.succeed("info", **options).splitlines()
        return {line[:10].strip(): line[10:] for line in lines}

    def test_info(self):
        info = self.info()
        self.assertEqual(set(info), {"norma", "cpu", "caches", "isa", "best isa", "threads", "tuning"})
        self.assertRegex(info["norma"], r"^\d+\.\d+\.\d+$")
        self.assertRegex(info["cpu"], r", \d+ cores?$")
        self.assertRegex(info["caches"], r"^L1d .+, L2 .+, L3 .+$")
        self.assertRegex(info["isa"], r"^(generic|avx2|avx512|avx512_bf16|neon): .")
        self.assertRegex(info["threads"], r"^\d+, (openmp|serial|caller)$")

    def test_every_isa_up_to_the_best(self):
        best = self.info()["best isa"]
        x86 = ["avx2", "avx512", "avx512_bf16"]
        order = {"generic": [], "neon": ["neon"]}.get(best) or x86[: x86.index(best) + 1]
        x = self.normal(5, 777)
        self.save("x.npy", x)
        for isa in ["generic", *x86, "neon"]:
            arguments = ["run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--isa", isa]
            if isa in ["generic", *order]:
                self.assertIn(" %s " % isa, self.succeed(*arguments, "--time"))
                self.check(self.load("y.npy"), moments_norm(x, 1, 1e-5)[0])
                os.remove(self.path("y.npy"))
            else:
                self.refuse(*arguments, says=isa)

    def test_threads_do_not_change_the_bits(self):
        for shape in [(64, 300), (1, 100000)]:
            x = self.normal(*shape)
            one = self.run_op("layer_norm", x, "--threads", 1)
            self.check(one, moments_norm(x, 1, 1e-5)[0])
            for threads in [2, 3, 7]:
                np.testing.assert_array_equal(self.run_op("layer_norm", x, "--threads", threads), one)

    def test_time(self):
        self.save("x.npy", self.normal(64, 300))
        stdout = self.succeed("run", "rms_norm", "--input", "x.npy", "--output", "y.npy", "--time", "--threads", 1)
        match = re.fullmatch(r"rms_norm \(64, 300\) f32 \w+ 1 thread: (\d+\.\d+) us, (\d+\.\d+) GB/s\n", stdout)
        self.assertTrue(match, stdout)
        microseconds, rate = float(match[1]), float(match[2])
        self.assertAlmostEqual(rate, 2 * 4 * 64 * 300 / microseconds * 1e-3, delta=0.01 + 0.01 * rate)
        self.check(self.load("y.npy"), rms_norm(self.load("x.npy"), 1, 1e-5)[0])

    def test_verbose(self):
        self.save("x.npy", self.normal(64, 300))
        stdout = self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--verbose")
        self.assertEqual(len(stdout.splitlines()), 1)
        self.assertGreater(len(stdout), 10)

    def test_spellings(self):
        x = self.normal(2, 3, 4)
        self.save("x.npy", x)
        expected = moments_norm(x, (1, 2), 1e-5)[0]
        for arguments in [["layer_norm", "--input=x.npy", "--output=y.npy", "--axis=-2"],
                          ["--axis", "-2", "--output", "y.npy", "--input", "x.npy", "layer_norm"],
                          ["--axis", "1", "--output", "y.npy", "--input", "x.npy", "--", "layer_norm"],
                          ["layer_norm", "--axis", "+1", "--out", "y.npy", "--inp", "x.npy"]]:
            self.succeed("run", *arguments)
            self.check(self.load("y.npy"), expected)
            os.remove(self.path("y.npy"))
        self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--axis", "1",
                     env={"POSIXLY_CORRECT": "1"})
        self.check(self.load("y.npy"), expected)

    def test_help(self):
        self.assertIn("run", self.succeed("--help"))
        self.assertEqual(self.succeed("--help"), self.succeed("-h"))
        self.assertRegex(self.succeed("--version"), r"^norma \d+\.\d+\.\d+\n$")
        self.assertIn("NORMA_ISA", self.succeed("info", "--help"))
        text = self.succeed("run", "--help")
        self.assertEqual(text, self.succeed("run", "-h"))
        for word in [*OPS, "--input", "--epsilon-mode", "--rms-mode", "--save-variance", "Exit status:"]:
            self.assertIn(word, text)
        for page in [text, *(self.succeed("run", op, "--help") for op in OPS)]:
            self.assertLessEqual(max(map(len, page.splitlines())), 110)

    def test_op_help_lists_what_the_op_takes(self):
        self.save("x.npy", self.normal(2, 3))
        options = set(re.findall(r"^    --([a-z-]+)", self.succeed("run", "--help"), re.MULTILINE))
        self.assertGreater(len(options), 15)
        for op in OPS:
            listed = set(re.findall(r"^    --([a-z-]+)", self.succeed("run", op, "--help"), re.MULTILINE))
            self.assertLess(listed, options)
            for option in options - listed:
                value = {"axis": "1", "axes": "1", "p": "1", "layout": "nchw", "rms-mode": "one-plus-scale", "groups": "1",
                         "momentum": "0", "momentum-mode": "batch", "affine": "group", "running-variance": "biased"}
                flags = ["train"]
                self.refuse("run", op, "--" + option, *([] if option in flags else [value.get(option, "f.npy")]),
                            says="--%s does not apply to %s" % (option, op))


class RefusedRequestsTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.save("x.npy", self.normal(2, 3, 4))

    def refuse_run(self, op, *arguments, says):
        return self.refuse("run", op, "--input", "x.npy", "--output", "y.npy", *arguments, says=says)

    def test_shapes_of_scale_and_bias(self):
        for option in ["--scale", "--bias"]:
            for shape in [(3,), (5,), (1,), (2, 4), (4, 1), (3, 4), (1, 3, 4), (2, 3, 4), (0,)]:
                self.save("p.npy", np.zeros(shape, np.float32))
                self.refuse_run("layer_norm", option, "p.npy",
                                says=["%s 'p.npy'" % option, "shape is %r" % (shape,), "takes (4,)", "(2, 3, 4)"])
            self.save("p.npy", np.zeros(4, np.float32))
            self.refuse_run("layer_norm", option, "p.npy", "--axis", 1, says=["shape is (4,)", "takes (3, 4)"])
            self.refuse_run("channel_norm", option, "p.npy", says=["shape is (4,)", "takes (3,)"])
            self.save("p.npy", np.zeros(3, np.float32))
            self.refuse_run("channel_norm", option, "p.npy", "--layout", "nhwc", says=["shape is (3,)", "takes (4,)"])

    def test_axes_that_are_not_there(self):
        for op in ["layer_norm", "rms_norm", "lp_norm"]:
            for axis in [3, -4, 31, 100, -2147483648, 2147483647]:
                self.refuse_run(op, "--axis", axis, says=["--axis %d" % axis, "(2, 3, 4)", "-3 to 2"])
        self.refuse_run("mvn", says=["0,2,3 (the default)", "(2, 3, 4)"])
        self.refuse_run("mvn", "--axes", "0,-4", says="--axes 0,-4")
        self.refuse_run("mvn", "--axes", "1,-2", says=["--axes 1,-2", "axis 1 is named twice"])

    def test_too_few_dimensions(self):
        self.save("x.npy", self.normal(5))
        self.refuse_run("channel_norm", says=["2 or more dimensions", "(5,)"])

    def test_empty_reductions(self):
        for shape, op, arguments, axis in [((3, 0), "layer_norm", [], 1), ((3, 0), "rms_norm", [], 1),
                                           ((0, 3), "lp_norm", ["--axis", "0"], 0), ((2, 0, 4), "channel_norm", [], 1),
                                           ((2, 4, 0), "channel_norm", ["--layout", "nhwc"], 2),
                                           ((0, 2, 3, 4), "mvn", [], 0), ((0, 4), "layer_norm", ["--axis", "0"], 0)]:
            self.save("x.npy", np.zeros(shape, np.float32))
            self.refuse_run(op, *arguments, says=["--input 'x.npy'", repr(shape), "along axis %d" % axis])

    def test_numbers_that_do_not_parse(self):
        for text in ["", "x", "1x", "0x", " 1", "1 ", "1.5", "1e2", "99999999999", "--", "1,2"]:
            self.refuse_run("layer_norm", "--axis", text, says="--axis '%s'" % text)
        for text in ["", "x", "1e-5x", " 1", "1,5", "-1", "-1e-9", "nan", "inf", "-inf", "1e999", "infinity", "e5"]:
            self.refuse_run("layer_norm", "--epsilon", text, says="--epsilon '%s'" % text)
        for text in ["", ",", "0,", ",0", "0,,1", "0;1", "0 1", "x", "0,x", "0,1,2,3,4,5,6,7,8"]:
            self.refuse_run("mvn", "--axes", text, says="--axes '%s'" % text)
        for text in ["", "0", "-1", "2x", "x", "99999999999"]:
            self.refuse_run("layer_norm", "--threads", text, says="--threads '%s'" % text)
        for text in ["0", "3", "inf", "", "2.0"]:
            self.refuse_run("lp_norm", "--p", text, says=["--p '%s'" % text, "1|2"])

    def test_words_that_are_unknown(self):
        for op, option, word in [("channel_norm", "--layout", "nchw"), ("layer_norm", "--epsilon-mode", "inside"),
                                 ("rms_norm", "--rms-mode", "one-plus-scale"), ("mvn", "--dtype", "f32"),
                                 ("mvn", "--isa", "generic")]:
            for text in ["", "x", word.upper(), word + "x", word[:-1]]:
                self.refuse_run(op, option, text, says=["%s '%s'" % (option, text), "give one of ", word])

    def test_options_that_do_not_apply(self):
        for op, option, value in [("rms_norm", "--bias", "x.npy"), ("rms_norm", "--save-mean", "m.npy"),
                                  ("lp_norm", "--scale", "x.npy"), ("lp_norm", "--save-mean", "m.npy"),
                                  ("layer_norm", "--p", "2"), ("layer_norm", "--axes", "1"),
                                  ("layer_norm", "--layout", "nchw"), ("layer_norm", "--rms-mode", "one-plus-scale"),
                                  ("channel_norm", "--axis", "1"),
                                  ("mvn", "--axis", "1"), ("mvn", "--scale", "x.npy"), ("mvn", "--bias", "x.npy")]:
            self.refuse_run(op, option, value, says="%s does not apply to %s" % (option, op))

    def test_options_that_contradict(self):
        self.refuse_run("layer_norm", "--save-rstd", "r.npy", "--save-variance", "v.npy", says="exclude each other")
        self.refuse_run("layer_norm", "--epsilon", "1", "--epsilon-mode", "none", says="no place for --epsilon")
        for mode in ["floor", "inside", "outside"]:
            self.refuse_run("lp_norm", "--epsilon-mode", mode, says="needs --epsilon")

    def test_usage_errors(self):
        self.refuse(says="give a command")
        self.refuse("frobnicate", says=["unknown command 'frobnicate'", "--help"])
        self.refuse("--frobnicate", says="unknown option '--frobnicate'")
        self.refuse("run", says=["give an op", "--help"])
        self.refuse("run", "batch_nrom", says=["unknown op 'batch_nrom'", "--help"])
        self.refuse("run", "", says="unknown op ''")
        for op in OPS:
            self.refuse("run", op, says=op + " needs --input FILE")
            self.refuse("run", op, "--input", "x.npy", says=op + " needs --output FILE")
        self.refuse_run("layer_norm", "--frob", says="unknown option '--frob'")
        self.refuse_run("layer_norm", "--frob=1", says="unknown option '--frob=1'")
        self.refuse_run("layer_norm", "-x", says="unknown option '-x'")
        self.refuse_run("layer_norm", "-xyz", says="unknown option '-x'")
        self.refuse_run("layer_norm", "--save", says="'--save' is short for more than one option")
        self.refuse_run("layer_norm", "--time=3", says="--time takes no value")
        self.refuse_run("layer_norm", "--axis", says="--axis needs a value")
        self.refuse_run("layer_norm", "rms_norm", says="'rms_norm' is one argument too many")
        self.refuse_run("layer_norm", "--", "rms_norm", says="'rms_norm' is one argument too many")
        self.refuse_run("layer_norm", "--axis", "1", "--axis", "2", says="--axis is given twice")
        self.refuse("info", "x", says="'x' is one argument too many")

    def test_environment_is_checked(self):
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", env={"NORMA_ISA": "foo"},
                    says="NORMA_ISA")
        self.refuse("info", env={"NORMA_ISA": "foo"}, says="NORMA_ISA")

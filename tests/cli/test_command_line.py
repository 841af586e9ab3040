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

    def test_time_counts_every_array_of_the_inputs_size(self):
        x, image = self.normal(64, 320), self.normal(4, 16, 320)
        self.keep(x=x, row=x[0], q=np.ones(1, np.float32), image=image, m=image[:, :, 0], style=image[:, :, :100])
        for op, arguments, bytes_of_each in [
                ("layer_norm", ["--output", "y.npy", "--scale", "row.npy"], 8),
                ("layer_norm", ["--save-mean", "mean.npy"], 4),
                ("layer_norm", ["--output", "y.npy", "--output-dtype", "s8", "--output-scale", "q.npy"], 5),
                ("layer_norm", ["--output", "y.npy", "--residual", "x.npy", "--residual-out", "s.npy", "--gate", "x.npy"], 20),
                ("layer_norm", ["--output", "y.npy", "--residual", "x.npy", "--residual-dtype", "f16"], 4 + 4 + 2 + 2),
                ("layer_norm", ["--output", "y.npy", "--axis", "0", "--modulation-scale", "x.npy"], 12),
                ("instance_norm", ["--output", "y.npy", "--modulation-scale", "m.npy"], 8),
                ("instance_norm", ["--output", "y.npy", "--style", "style.npy"], 8 + 4 * 100 / 320)]:
            name, elements = ("image.npy", image.size) if op == "instance_norm" else ("x.npy", x.size)
            stdout = self.succeed("run", op, "--input", name, *arguments, "--time", "--threads", 1)
            match = re.search(r": (\d+\.\d+) us, (\d+\.\d+) GB/s\n", stdout)
            microseconds, rate = float(match[1]), float(match[2])
            self.assertAlmostEqual(rate, bytes_of_each * elements / microseconds * 1e-3, delta=0.01 + 0.01 * rate)

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
                          ["layer_norm", "--axis", "+1", "--output", "y.npy", "--input", "x.npy", "--thr", "2"]]:
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
            self.assertLessEqual(max(map(len, page.splitlines())), 114)

    def test_op_help_lists_what_the_op_takes(self):
        self.save("x.npy", self.normal(2, 3))
        options = set(re.findall(r"^    --([a-z-]+)", self.succeed("run", "--help"), re.MULTILINE))
        self.assertGreater(len(options), 15)
        for op in OPS:
            listed = set(re.findall(r"^    --([a-z-]+)", self.succeed("run", op, "--help"), re.MULTILINE))
            self.assertLess(listed, options)
            for option in options - listed:
                value = {"axis": "1", "axes": "1", "p": "1", "layout": "nchw", "rms-mode": "one-plus-scale", "groups": "1",
                         "momentum": "0", "momentum-mode": "batch", "affine": "group", "running-variance": "biased",
                         "input-zero-point": "0"}
                flags = ["train", "unbiased", "modulation-plain"]
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
        for text in ["", "x", "0", "-1", "inf", "nan", "1e999", "-0"]:
            self.refuse_run("layer_norm", "--input-scale", text, says=["--input-scale '%s'" % text, "above 0"])
        for option in ["--input-zero-point", "--output-zero-point"]:
            for text in ["", "x", "1.5", "99999999999"]:
                self.refuse_run("layer_norm", option, text, says=["%s '%s'" % (option, text), "integer"])
        for text in ["0", "3", "inf", "", "2.0"]:
            self.refuse_run("lp_norm", "--p", text, says=["--p '%s'" % text, "1|2"])

    def test_words_that_are_unknown(self):
        for op, option, word in [("channel_norm", "--layout", "nchw"), ("layer_norm", "--epsilon-mode", "inside"),
                                 ("rms_norm", "--rms-mode", "one-plus-scale"), ("mvn", "--dtype", "f32"),
                                 ("mvn", "--output-dtype", "u8"), ("mvn", "--residual-dtype", "bf16"),
                                 ("mvn", "--gate-at", "after"), ("mvn", "--gate-activation", "silu"),
                                 ("mvn", "--isa", "generic")]:
            for text in ["", "x", word.upper(), word + "x", word[:-1]]:
                self.refuse_run(op, option, text, says=["%s '%s'" % (option, text), "give one of ", word])

    def test_options_that_do_not_apply(self):
        for op, option, value in [("rms_norm", "--bias", "x.npy"), ("rms_norm", "--save-mean", "m.npy"),
                                  ("lp_norm", "--scale", "x.npy"), ("lp_norm", "--save-mean", "m.npy"),
                                  ("layer_norm", "--p", "2"), ("layer_norm", "--axes", "1"),
                                  ("layer_norm", "--layout", "nchw"), ("layer_norm", "--rms-mode", "one-plus-scale"),
                                  ("channel_norm", "--axis", "1"), ("group_norm", "--style", "x.npy"),
                                  ("lp_norm", "--modulation-scale", "x.npy"), ("mvn", "--modulation-shift", "x.npy"),
                                  ("batch_norm", "--residual-gate", "x.npy"), ("channel_norm", "--residual-bias", "x.npy"),
                                  ("instance_norm", "--output-scale-out", "q.npy"), ("rms_norm", "--input-zero-point", "1"),
                                  ("mvn", "--axis", "1"), ("mvn", "--scale", "x.npy"), ("mvn", "--bias", "x.npy")]:
            self.refuse_run(op, option, value, says="%s does not apply to %s" % (option, op))

    def test_options_that_contradict(self):
        for one, other in [("--save-rstd", "--save-variance"), ("--save-rstd", "--save-divisor"),
                           ("--save-variance", "--save-divisor"), ("--output-scale", "--output-scale-out")]:
            self.refuse_run("layer_norm", "--output-dtype", "s8", one, "r.npy", other, "v.npy",
                            says="%s and %s exclude each other" % (one, other))
        for other in ["--modulation-scale", "--modulation-shift", "--mean"]:
            self.refuse_run("instance_norm", "--style", "x.npy", other, "x.npy",
                            says="--style and %s exclude each other" % other)
        self.refuse_run("layer_norm", "--epsilon", "1", "--epsilon-mode", "none", says="no place for --epsilon")
        for mode in ["floor", "inside", "outside"]:
            self.refuse_run("lp_norm", "--epsilon-mode", mode, says="needs --epsilon")

    def test_options_that_need_others(self):
        for option, value, needed in [
                ("--scale", "x.npy", "--output"), ("--bias", "x.npy", "--output"), ("--modulation-scale", "x.npy", "--output"),
                ("--modulation-shift", "x.npy", "--output"), ("--activation", "silu", "--output"),
                ("--output-dtype", "f64", "--output")]:
            self.refuse("run", "layer_norm", "--input", "x.npy", "--save-mean", "m.npy", option, value,
                        says="%s needs %s FILE" % (option, needed))
        self.refuse("run", "instance_norm", "--input", "x.npy", "--save-mean", "m.npy", "--style", "x.npy",
                    says="--style needs --output FILE")
        for option in ["--residual", "--gate"]:
            self.refuse("run", "layer_norm", "--input", "x.npy", "--save-mean", "m.npy", option, "x.npy", option + "-at",
                        "after", says=option + "-at after needs --output FILE")
        for arguments, says in [
                (["--residual-dtype", "f32"], "--residual-dtype needs --residual FILE"),
                (["--residual-gate", "x.npy"], "--residual-gate needs --residual FILE"),
                (["--residual-bias", "x.npy"], "--residual-bias needs --residual FILE"),
                (["--gate-at", "before"], "--gate-at needs --gate FILE"),
                (["--gate-activation", "silu"], "--gate-activation needs --gate FILE"),
                (["--modulation-plain"], "--modulation-plain needs --modulation-scale FILE"),
                (["--output-scale", "x.npy"], "--output-scale needs --output-dtype"),
                (["--output-scale-out", "q.npy"], "--output-scale-out needs --output-dtype"),
                (["--output-dtype", "s8", "--output-zero-point", "1"], "--output-zero-point needs --output-scale FILE"),
                (["--output-zero-point-out", "z.npy"], "--output-zero-point-out needs --output-scale-out FILE")]:
            self.refuse_run("layer_norm", *arguments, says=says)
        self.refuse("run", "batch_norm", "--input", "x.npy", "--train", "--time", says="needs --output FILE")

    def test_usage_errors(self):
        self.refuse(says="give a command")
        self.refuse("frobnicate", says=["unknown command 'frobnicate'", "--help"])
        self.refuse("--frobnicate", says="unknown option '--frobnicate'")
        self.refuse("run", says=["give an op", "--help"])
        self.refuse("run", "batch_nrom", says=["unknown op 'batch_nrom'", "--help"])
        self.refuse("run", "", says="unknown op ''")
        for op in OPS:
            self.refuse("run", op, says=op + " needs --input FILE")
            self.refuse("run", op, "--input", "x.npy", says=[op + " needs --output FILE", "save statistics"])
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


class RefusedFusionTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.keep(x=self.normal(2, 3, 4), s8=np.zeros((2, 3, 4), np.int8), u8=np.zeros((2, 3, 4), np.uint8), v3=self.normal(3),
                  v4=self.normal(4), m=self.normal(2, 4), m3=self.normal(2, 3), bf16=np.zeros((2, 3, 4), np.uint16),
                  q=np.ones(1, np.float32), single=self.normal(2, 3, 1))

    def refuse_run(self, op, *arguments, says, name="x.npy"):
        self.refuse("run", op, "--input", name, "--output", "y.npy", *arguments, says=says)

    def test_modulation(self):
        for option in ["--modulation-scale", "--modulation-shift"]:
            for name, shape in [("v4.npy", "(4,)"), ("m3.npy", "(2, 3)"), ("single.npy", "(2, 3, 1)")]:
                self.refuse_run("layer_norm", option, name,
                                says=["%s '%s'" % (option, name), shape, "(2, 4), by sample", "(2, 3, 4)"])
            for axis in [0, 1]:  # no samples are left, or each has all of its elements
                self.refuse_run("layer_norm", option, "m.npy", "--axis", axis, says=[option, "(2, 4)", "takes (2, 3, 4)"])
            self.refuse_run("batch_norm", option, "m.npy", "--train", says=[option, "(2, 4)", "(2, 3), by sample", "(2, 3, 4)"])
            self.refuse_run("layer_norm", option, "none.npy", says=[option + " 'none.npy'", "No such file"])
            self.refuse_run("layer_norm", option, "s8.npy", says=[option + " 's8.npy'", "holds s8", "only --input"])
            self.refuse_run("layer_norm", option, "bf16.npy", says=[option + " 'bf16.npy'", "--dtype bf16 only"])
        self.refuse_run("layer_norm", "--modulation-scale", "m.npy", "--modulation-shift", "x.npy",
                        says=["--modulation-shift 'x.npy'", "--modulation-scale is (2, 4)", "both"])

    def test_residuals_and_gates(self):
        residual = ["--residual", "x.npy"]
        self.refuse_run("rms_norm", *residual, "--residual-gate", "v4.npy",
                        says=["--residual-gate 'v4.npy'", "(2, 4), by sample"])
        self.refuse_run("rms_norm", *residual, "--residual-bias", "m.npy", says=["--residual-bias 'm.npy'", "takes (4,)"])
        for option, name in [("--residual-gate", "m.npy"), ("--residual-bias", "v4.npy")]:
            self.refuse_run("rms_norm", *residual, "--residual-at", "after", option, name,
                            says=option + " goes with --residual-at before")
        self.refuse_run("rms_norm", *residual, "--residual-dtype", "s8", says="give one of f32|f64|bf16|f16")
        self.refuse_run("rms_norm", "--residual", "bf16.npy", "--residual-dtype", "f16",
                        says=["'bf16.npy'", "--residual-dtype bf16 only"])
        self.refuse_run("rms_norm", "--gate", "m.npy", says=["--gate 'm.npy'", "(2, 4)", "(2, 3, 4)"])
        self.refuse_run("rms_norm", "--gate", "u8.npy", says=["--gate 'u8.npy'", "holds u8"])
        self.refuse_run("rms_norm", "--gate", "x.npy", "--residual-out", "s.npy", says=["--residual-out", "--gate-at before"])
        self.refuse_run("rms_norm", "--gate", "x.npy", "--gate-at", "before", *residual,
                        says=["--gate-at before", "--residual-at before"])

    def test_output_types(self):
        self.keep(bad=np.float32([1, 2, 0, 4]), negative=np.float32([-1]), tiny=np.float64([1e-300]))
        s8, u8 = ["--output-dtype", "s8"], ["--output-dtype", "u8"]
        for arguments, says in [
                (s8, ["--output-dtype s8 needs --output-scale FILE, or --output-scale-out"]),
                (["--output-dtype", "f16", "--output-scale", "q.npy"], ["--output-scale goes with", "s8 or u8", "f16"]),
                (["--output-dtype", "f16", "--output-scale-out", "o.npy"], ["--output-scale-out goes with", "not f16"]),
                (s8 + ["--output-scale", "m.npy"], ["--output-scale 'm.npy'", "(2, 4)", "one number, or (4,)"]),
                (s8 + ["--output-scale", "bad.npy"], ["--output-scale 'bad.npy'", "positive", "element 2"]),
                (s8 + ["--output-scale", "negative.npy"], ["--output-scale 'negative.npy'", "positive", "-1"]),
                (s8 + ["--output-scale", "tiny.npy"], ["--output-scale 'tiny.npy'", "positive"]),
                (s8 + ["--output-scale", "q.npy", "--output-zero-point", "128"], ["--output-zero-point 128", "-128 to 127"]),
                (u8 + ["--output-scale", "q.npy", "--output-zero-point", "-1"], ["--output-zero-point -1", "0 to 255"]),
                (u8 + ["--output-scale-out", "o.npy"], ["u8 with --output-scale-out needs --output-zero-point-out"]),
                (s8 + ["--output-scale-out", "o.npy", "--output-zero-point-out", "z.npy"],
                 ["--output-zero-point-out goes with --output-dtype u8", "s8"]),
                (s8 + ["--output-scale-out", "none/o.npy"], ["--output-scale-out 'none/o.npy'"]),
                (s8 + ["--output-scale-out", "y.npy"], ["same file"])]:
            self.refuse_run("layer_norm", *arguments, says=says)
        found = s8 + ["--output-scale-out", "o.npy"]
        self.refuse_run("channel_norm", *found, says=["--output-scale-out 'o.npy'", "--layout nhwc"])
        self.refuse_run("lp_norm", *found, "--axis", 1, says=["--output-scale-out 'o.npy'", "last axes"])
        self.refuse_run("mvn", *found, "--axes", "0,2", says=["--output-scale-out 'o.npy'", "last axes"])
        self.refuse_run("lp_norm", *s8, "--output-scale", "v4.npy", says=["--output-scale 'v4.npy'", "takes one number"])
        self.refuse_run("rms_norm", "--rms-mode", "round-then-scale", "--output-dtype", "bf16",
                        says=["--rms-mode", "--output-dtype f32", "bf16"])
        self.refuse_run("rms_norm", "--rms-mode", "round-then-scale", "--residual", "x.npy", "--residual-dtype", "f64",
                        says=["--rms-mode", "--output-dtype f64", "f32"])
        self.refuse_run("rms_norm", "--rms-mode", "round-then-scale", "--input-scale", 1, name="s8.npy",
                        says=["--rms-mode", "does not go with integers"])
        self.refuse_run("layer_norm", "--activation", "elu", "--alpha", "1e300", says=["--alpha '1e300': ", "finite"])
        self.save("long.npy", np.zeros(1 << 22, np.float32))
        self.refuse_run("layer_norm", *found, name="long.npy", says=["--output-scale-out 'o.npy'", "elements"])

    def test_integers_in(self):
        for name in ["s8", "u8"]:
            file = name + ".npy"
            self.refuse_run("layer_norm", name=file, says=["--input '%s'" % file, "holds " + name, "--input-scale"])
            self.refuse_run("layer_norm", "--dtype", "f32", "--input-scale", 1, name=file,
                            says=["--input '%s'" % file, "holds " + name, "--dtype " + name, "f32"])
            self.refuse_run("layer_norm", "--dtype", name, says=["--input 'x.npy'", "holds f32", "--dtype " + name])
            for option, says in [("--gate", "--gate does not go"), ("--residual", "--residual-at before does not go")]:
                self.refuse_run("layer_norm", "--input-scale", 1, option, "x.npy", name=file, says=says)
        self.refuse_run("layer_norm", "--dtype", "u8", "--input-scale", 1, name="s8.npy", says=["holds s8", "--dtype s8", "u8"])
        for option in ["--input-scale", "--input-zero-point"]:
            self.refuse_run("layer_norm", option, 1, says=[option + " goes with", "'x.npy' holds f32"])
        self.refuse_run("layer_norm", "--input-scale", 1, "--input-zero-point", 128, name="s8.npy", says="-128 to 127")
        self.refuse_run("layer_norm", "--input-scale", 1, "--input-zero-point", -1, name="u8.npy", says="0 to 255")
        for option in ["--scale", "--bias"]:
            self.refuse_run("layer_norm", option, "s8.npy", says=[option + " 's8.npy'", "holds s8", "only --input"])

    def test_statistics(self):
        self.save("v.npy", np.abs(self.normal(3)))
        given = ["--mean", "v3.npy", "--variance", "v.npy"]
        self.refuse_run("batch_norm", *given, "--unbiased", says=["--unbiased", "--variance", "--train"])
        self.refuse_run("batch_norm", *given, "--save-divisor", "d.npy", says="without --train")
        self.refuse_run("instance_norm", "--unbiased", name="single.npy", says=["--unbiased: ", "two or more"])
        self.refuse("run", "batch_norm", "--input", "x.npy", *given, says="needs --output FILE")

    def test_styles(self):
        self.keep(other=self.normal(3, 3, 5), channels=self.normal(2, 4, 5), flat=self.normal(6),
                  empty=np.zeros((2, 3, 0), np.float32))
        for name, says in [("other.npy", ["(3, 3, 5)", "batch and channels", "(2, 3, 4)"]),
                           ("channels.npy", ["(2, 4, 5)", "batch and channels", "(2, 3, 4)"]),
                           ("flat.npy", ["(6,)", "2 or more dimensions"]), ("empty.npy", ["(2, 3, 0)", "nothing along axis 2"]),
                           ("s8.npy", ["holds s8", "only --input"]), ("none.npy", ["No such file"])]:
            self.refuse_run("instance_norm", "--style", name, says=["--style '%s': " % name, *says])
        self.refuse_run("instance_norm", "--style", "single.npy", "--unbiased", says=["--unbiased: ", "two or more"])
        self.refuse_run("instance_norm", "--style", "x.npy", "--layout", "nchw8c", says="--layout nchw8c")

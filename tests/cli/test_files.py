"""The .npy files that `norma run` reads, refuses and writes."""

import os
import re
import resource
import struct
import subprocess
import unittest

import numpy as np

from support import TOOL, ToolTest, header, moments_norm, npy_bytes, npy_raw


class FilesTest(ToolTest):
    def test_versions_of_the_format(self):
        x = self.normal(3, 8)
        for version in [(1, 0), (2, 0), (3, 0)]:
            self.save_bytes("x.npy", npy_bytes(x, version))
            self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy")
            self.check(self.load("y.npy"), moments_norm(x, 1, 1e-5)[0])

    def test_header_as_python_would_take_it(self):
        x = self.normal(2, 3)
        for text in ["{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
                     '{"shape":(2,3,),"fortran_order":False,"descr":"<f4"}',
                     "  {\n'fortran_order' : False , 'descr'\t: '<f4' ,'shape' : ( 2 , 3 , ) , } ",
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }"]:
            for pad in [True, False]:
                self.save_bytes("x.npy", npy_raw(text, x.tobytes(), pad=pad))
                self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy")
                self.check(self.load("y.npy"), moments_norm(x, 1, 1e-5)[0])

    def test_output_header_is_like_numpys(self):
        for shape, dtype in [((5,), np.float32), ((2, 3), np.float64), ((1,) * 8, np.float16)]:
            self.run_op("lp_norm", self.normal(*shape, dtype=dtype))
            with open(self.path("y.npy"), "rb") as file:
                content = file.read()
            self.assertEqual(content[:8], b"\x93NUMPY\x01\x00")
            length = struct.unpack("<H", content[8:10])[0]
            self.assertEqual((10 + length) % 64, 0)
            self.assertEqual(content[9 + length:10 + length], b"\n")
            text = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (np.dtype(dtype).str, shape)
            self.assertEqual(content[10:10 + length].decode().rstrip(" \n"), text)
            self.assertEqual(len(content), 10 + length + np.dtype(dtype).itemsize * int(np.prod(shape)))

    def test_integers(self):
        self.save("q.npy", np.full(1, 1 / 32))
        for dtype, named in [(np.int8, "s8"), (np.uint8, "u8")]:
            x = np.arange(256, dtype=np.uint8).view(dtype).reshape(2, 128)
            self.save("x.npy", x)
            self.succeed("run", "rms_norm", "--input", "x.npy", "--input-scale", 3, "--output", "y.npy", "--output-dtype",
                         named, "--output-scale", "q.npy")
            with open(self.path("y.npy"), "rb") as file:
                self.assertIn(b"'descr': '|%c1'" % dtype(0).dtype.kind.encode(), file.read())
            v = 3.0 * x
            y = v / np.sqrt((v * v).mean(axis=1, keepdims=True) + 1e-5)
            self.assertLessEqual(np.abs(self.load("y.npy") - 32 * y).max(), 0.5 + 1e-3)

    def test_empty_arrays(self):
        for shape in [(0, 5), (3, 0, 5), (0, 0, 2)]:
            for dtype in [np.float16, np.float32, np.float64]:
                y = self.run_op("layer_norm", np.zeros(shape, dtype), "--save-rstd", "r.npy")
                self.assertEqual((y.shape, y.dtype), (shape, dtype))
                self.assertEqual(self.load("r.npy").shape, shape[:-1] + (1,))
        for op, arguments in [("rms_norm", []), ("lp_norm", []), ("channel_norm", []),
                              ("channel_norm", ["--layout", "nhwc"]), ("mvn", ["--axes", "1,2"])]:
            self.assertEqual(self.run_op(op, np.zeros((0, 4, 6), np.float32), *arguments).shape, (0, 4, 6))
        x = np.zeros((0, 4, 6), np.float32)
        self.save("x.npy", x)
        self.save("m.npy", x[:, 0])
        y = self.run_op("layer_norm", x, "--residual", "x.npy", "--residual-gate", "m.npy", "--modulation-scale", "m.npy",
                        "--gate", "x.npy", "--output-dtype", "u8", "--output-scale-out", "q.npy", "--output-zero-point-out",
                        "z.npy")
        self.assertEqual((y.shape, y.dtype), ((0, 4, 6), np.uint8))
        self.assertEqual(self.load("q.npy").shape, (0, 4, 1))
        self.assertEqual(self.load("z.npy").dtype, np.uint8)
        self.assertEqual(self.run_op("instance_norm", x, "--style", "x.npy").shape, (0, 4, 6))
        self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--time")

    def test_output_over_the_input(self):
        x = self.normal(4, 10)
        self.save("x.npy", x)
        self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "x.npy")
        self.check(self.load("x.npy"), moments_norm(x, 1, 1e-5)[0])
        self.assertEqual(os.listdir(self.folder), ["x.npy"])

    def test_output_is_replaced_whole(self):
        self.save_bytes("y.npy", b"old" * 10000)
        x = self.normal(2, 3)
        self.check(self.run_op("layer_norm", x), moments_norm(x, 1, 1e-5)[0])
        self.assertEqual(sorted(os.listdir(self.folder)), ["x.npy", "y.npy"])

    def test_output_through_a_link(self):
        os.mkdir(self.path("other"))
        self.save_bytes("other/real.npy", b"old")
        os.symlink("other/real.npy", self.path("y.npy"))
        x = self.normal(2, 3)
        self.run_op("layer_norm", x)
        self.assertTrue(os.path.islink(self.path("y.npy")))
        self.check(self.load("other/real.npy"), moments_norm(x, 1, 1e-5)[0])
        self.assertEqual(os.listdir(self.path("other")), ["real.npy"])

    def test_output_has_the_permissions_of_the_umask(self):
        self.save("x.npy", self.normal(2, 3))
        self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", preexec_fn=lambda: os.umask(0o027))
        self.assertEqual(os.stat(self.path("y.npy")).st_mode & 0o777, 0o640)

    def test_outputs_in_other_folders(self):
        os.mkdir(self.path("out"))
        x = self.normal(2, 3)
        self.save("x.npy", x)
        for name in ["out/y.npy", "./z.npy", self.path("out/../w.npy")]:
            self.succeed("run", "layer_norm", "--input", "x.npy", "--output", name)
            self.check(self.load(name), moments_norm(x, 1, 1e-5)[0])

    def test_input_from_a_pipe(self):
        x = self.normal(600, 1000)
        self.succeed("run", "layer_norm", "--input", "/dev/stdin", "--output", "y.npy", input=npy_bytes(x))
        self.check(self.load("y.npy"), moments_norm(x, 1, 1e-5)[0])


class RefusedFilesTest(ToolTest):
    def refuse_input(self, content, says):
        self.save_bytes("x.npy", content)
        for op in ["layer_norm", "channel_norm"]:
            self.refuse("run", op, "--input", "x.npy", "--output", "y.npy",
                        says=["norma: run: --input 'x.npy': ", *([says] if isinstance(says, str) else says)])
        error = self.refuse("run", "layer_norm", "--input", "/dev/stdin", "--output", "y.npy", input=content)
        self.assertIn("--input '/dev/stdin': ", error)

    def test_fortran_order(self):
        self.refuse_input(npy_bytes(np.asfortranarray(self.normal(3, 4))), "Fortran order")

    def test_other_types(self):
        for dtype, says in [(">f4", "big-endian '>f4'"), (">f8", "big-endian"), ("<i8", "'<i8'"), ("<c8", "'<c8'"),
                            ("|b1", "'|b1'"), ("|S3", "'|S3'")]:
            self.refuse_input(npy_bytes(np.zeros((2, 3), dtype)), says)
        self.refuse_input(npy_bytes(np.zeros(3, [("a", "<f4"), ("b", "<f4")])), "records")
        self.refuse_input(npy_raw(header("'<f16'"), bytes(96)), "'<f16'")

    def test_not_npy(self):
        for content in [b"", b"\x93", b"\x93NUMP", b"\x93NUMPY\x01", b"hello, this is no array",
                        b"PK\x03\x04" + bytes(50), bytes(1000)]:
            self.refuse_input(content, ["it "])

    def test_unknown_versions(self):
        good = npy_bytes(self.normal(2, 3))
        for major, minor in [(0, 0), (4, 0), (1, 1), (255, 255)]:
            self.refuse_input(good[:6] + bytes([major, minor]) + good[8:], "version %d.%d" % (major, minor))

    def test_every_truncation(self):
        for version in [(1, 0), (2, 0)]:
            good = npy_bytes(self.normal(2, 3), version)
            for length in sorted(set(range(0, len(good), 7)) | set(range(len(good) - 26, len(good))) | set(range(14))):
                self.save_bytes("x.npy", good[:length])
                self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", says="'x.npy': it")

    def test_too_much_data(self):
        self.refuse_input(npy_bytes(self.normal(2, 3)) + b"\0", ["holds 25 bytes", "needs 24"])
        self.refuse_input(npy_bytes(self.normal(2, 3)) * 2, ["needs 24"])

    def test_too_little_data(self):
        self.refuse_input(npy_bytes(self.normal(2, 3))[:-4], ["holds 20 bytes", "shape (2, 3) of f32 needs 24"])
        self.refuse_input(npy_raw(header(shape="(1099511627776,)"), bytes(24)), ["holds 24 bytes", "4398046511104"])
        self.refuse_input(npy_raw(header(shape="(400000, 2)"), bytes(2000000)), ["needs 3200000"])

    def test_header_lengths_that_lie(self):
        for version, length in [(1, 65535), (2, 65535), (2, 0xffffffff), (3, 0x7fffffff), (1, 1000)]:
            self.refuse_input(npy_raw(header(), bytes(24), version=version, length=length), "header")
        for length in [0, 1, 20, 50]:
            self.refuse_input(npy_raw(header(), bytes(24), length=length), "header")
        self.refuse_input(npy_raw(header() + " " * 200000, bytes(24), version=2), "norma reads up to")

    def test_shapes_that_cannot_be(self):
        for shape in ["(9223372036854775808,)", "(4294967296, 4294967296)", "(9223372036854775807, 2)",
                      "(0, 9223372036854775807, 9223372036854775807)", "(99999999999999999999999999,)",
                      "(" + "9" * 5000 + ",)"]:
            self.refuse_input(npy_raw(header(shape=shape)), "shape")
        self.refuse_input(npy_raw(header(shape="(-1, 3)"), bytes(24)), "negative")

    def test_number_of_dimensions(self):
        self.refuse_input(npy_bytes(np.float32(3)), "no dimensions")
        self.refuse_input(npy_bytes(np.zeros((1,) * 9, np.float32)), "9 dimensions")
        self.refuse_input(npy_raw(header(shape="(" + "1, " * 20000 + ")"), bytes(4), version=2), "20000 dimensions")

    def test_headers_that_are_no_such_dictionary(self):
        good = header()
        bad = ["", "{}", "{", "x", good[:-1], good + "x", good + "\0", "(" + good[1:-1] + ")",
               good.replace("'descr': '<f4', ", ""), good.replace("'fortran_order': False, ", ""),
               good.replace("'shape': (2, 3), ", ""), good.replace("(2, 3)", "6"), good.replace("(2, 3)", "(6)"),
               good.replace("(2, 3)", "[2, 3]"), good.replace("(2, 3)", "(2 3)"), good.replace("(2, 3)", "(2,, 3)"),
               good.replace("(2, 3)", "(2, 3"), good.replace("(2, 3)", "(,)"), good.replace("(2, 3)", "(2.0, 3)"),
               good.replace("(2, 3)", "(0x2, 3)"), good.replace("(2, 3)", "(2, )3"), good.replace("False", "0"),
               good.replace("False", "false"), good.replace("'<f4'", "<f4"), good.replace("'<f4'", "'<f4"),
               good.replace("'<f4'", "'<f4\\x00'"), good.replace("'<f4'", "''"), good.replace("'descr'", "descr"),
               good.replace("'descr':", "'descr'"), good.replace(", 'shape'", " 'shape'"),
               good.replace("'descr'", "'type'"), good[:-1] + "'descr': '<f4', }", good[:-1] + "'extra': 1, }",
               good.replace("'<f4',", "'<f4',,"), "{," + good[1:]]
        self.assertEqual(len(set(bad)), len(bad))
        for text in bad:
            self.save_bytes("x.npy", npy_raw(text, bytes(24)))
            self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", says="--input 'x.npy': it")
        self.save_bytes("x.npy", npy_raw(good, bytes(24)))
        self.succeed("run", "layer_norm", "--input", "x.npy", "--output", "y.npy")

    def test_line_breaks_do_not_reach_the_message(self):
        self.refuse_input(npy_raw(header("'a\\nb\n\r\x1bc'"), bytes(24)), "'a")
        self.refuse("run", "layer_norm", "--input", "a\nb", "--output", "y.npy", says="a?b")

    def test_missing_files_and_folders(self):
        self.save("x.npy", self.normal(2, 3))
        for name, says in [("none.npy", "No such file"), ("none/x.npy", "No such file"), ("x.npy/x", "Not a directory"),
                           ("", "No such file"), (".", "folder")]:
            self.refuse("run", "layer_norm", "--input", name, "--output", "y.npy", says=["--input '%s'" % name, says])
        for option in ["--scale", "--bias"]:
            self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", option, "p.npy",
                        says=["%s 'p.npy'" % option, "No such file"])
        # A pipe stands for all that is no plain file: a tool that failed this on /dev/null would replace it for everyone.
        os.mkfifo(self.path("pipe"))
        for name in ["none/y.npy", "x.npy/y.npy", ".", "", "none/", "pipe", "./"]:
            self.refuse("run", "layer_norm", "--input", "x.npy", "--output", name, says="--output '%s'" % name)
        for option in ["--save-mean", "--save-rstd", "--save-variance"]:
            self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", option, "none/m.npy",
                        says="%s 'none/m.npy'" % option)

    def test_two_outputs_to_one_file(self):
        self.save("x.npy", self.normal(2, 3))
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--save-mean", "./y.npy",
                    says="same file")

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_folder_without_permission(self):
        self.save("x.npy", self.normal(2, 3))
        os.mkdir(self.path("locked"), 0o500)
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "locked/y.npy", says="--output 'locked/y.npy'")


class MachineFailuresTest(ToolTest):
    """What is nobody's fault exits with 1."""

    def test_standard_output_is_full(self):
        with open("/dev/full", "w") as full:
            for arguments in [["--help"], ["info"], ["run", "--help"]]:
                result = subprocess.run([TOOL, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b"standard output", result.stderr)

    def test_disk_is_full(self):
        self.save("x.npy", self.normal(100, 100))
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        # Python ignores SIGXFSZ, and so does a child that keeps its signals: the write then fails with EFBIG.
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--save-mean", "m.npy", status=1,
                    says="--output 'y.npy': writing failed", preexec_fn=limit, restore_signals=False)

    def test_second_output_does_not_fit(self):
        self.save("x.npy", self.normal(1000, 1))
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        self.save_bytes("x.npy", npy_bytes(self.normal(1000, 1, dtype=np.float16)))
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", "--save-mean", "m.npy", status=1,
                    says="--save-mean 'm.npy': writing failed", preexec_fn=limit, restore_signals=False)

    def test_out_of_memory(self):
        with open(TOOL, "rb") as file:
            if re.search(rb"__(asan|tsan|msan)_init", file.read()):
                self.skipTest("sanitizers need the address space")
        content = npy_raw(header(shape="(%d,)" % (1 << 32)))
        self.save_bytes("x.npy", content)
        os.truncate(self.path("x.npy"), len(content) + (4 << 32))
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        self.refuse("run", "layer_norm", "--input", "x.npy", "--output", "y.npy", status=1, says="out of memory",
                    preexec_fn=limit)

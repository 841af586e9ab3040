#!/usr/bin/python3
"""Black-box tests of norma-report: what is on the page, that it needs nothing else, what it refuses. NORMA_REPORT and NORMA_BENCH
name the programs."""

import copy
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

REPORT = os.path.abspath(os.environ.get("NORMA_REPORT", "norma-report"))
BENCH = os.path.abspath(os.environ.get("NORMA_BENCH", "norma-bench"))
SHAPES = """layer_norm/f32/rows/16x256
layer_norm/f32/rows/64x256
group_norm+silu/f32/nchw/1x32x8x8
batch_norm_given/f32/nhwc/1x32x8x8
"""


class Page(html.parser.HTMLParser):
    """Tags that are opened and closed, names, and what is asked for from elsewhere."""
    VOID = {"meta", "input", "br", "link", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.counts = [], [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href"):
                self.links.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


class ReportTest(unittest.TestCase):
    measured = None  # once for all tests

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        if not ReportTest.measured:
            with open(self.path("shapes"), "w") as file:
                file.write(SHAPES)
            subprocess.run([BENCH, "--full", "--shapes", self.path("shapes"), "--threads", "1,2", "--benchmark_min_time=0.0001",
                            "--benchmark_repetitions=3", "--benchmark_out=" + self.path("run.json")], check=True,
                           capture_output=True, timeout=120)
            with open(self.path("run.json")) as file:
                ReportTest.measured = json.load(file)
        self.results = copy.deepcopy(ReportTest.measured)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def call(self, *arguments):
        return subprocess.run([REPORT, *arguments], capture_output=True, text=True, timeout=120, cwd=self.folder)

    def page(self, *files, options=()):
        result = self.call(*files, "-o", "page.html", *options)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        with open(self.path("page.html"), encoding="utf-8") as file:
            text = file.read()
        page = Page(text)
        self.assertEqual(len(page.ids), len(set(page.ids)), "a name twice")
        self.assertEqual([link for link in page.links if not link.startswith("#")], [], "the page asks for something else")
        self.assertLessEqual({link[1:] for link in page.links}, set(page.ids), "a link to nowhere")
        # Nothing from elsewhere, and no colour that stands for one of the page's.
        self.assertIsNone(re.search(r"url\((?!#)|@import|#(0[1-5])\1\1\b|#0a0a0\d", text))
        return page, text

    def refuse(self, *arguments, says):
        result = self.call(*arguments, "-o", "page.html")
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("norma-report: "))
        self.assertIn(says, result.stderr)
        self.assertFalse(os.path.exists(self.path("page.html")))

    def rows(self, kind="median"):
        return {row["run_name"]: row for row in self.results["benchmarks"] if row.get("aggregate_name") == kind}

    def with_peer(self):
        """As if a peer had been timed that takes twice as long as norma, but once half as long."""
        for row in copy.deepcopy(self.results["benchmarks"]):
            if "/fused/" in row["run_name"] and "batch_norm" not in row["run_name"]:
                row["run_name"] = row["run_name"].replace("/fused/", "/onednn/")
                row["name"] = row["name"].replace("/fused/", "/onednn/")
                row["real_time"] *= 0.5 if "/16x256/onednn/threads:1" in row["run_name"] else 2
                self.results["benchmarks"].append(row)

    def test_page(self):
        page, text = self.page(self.write("run.json", self.results))
        self.assertEqual(page.counts["svg"], 4)  # roofline, fused, instruction sets, threads
        self.assertEqual(len(re.findall(r'<svg [^>]*role="img" aria-labelledby="([a-z0-9-]+)"', text)), 4)
        body = re.search(r'id="rows">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
        self.assertEqual(body.count("<tr "), 8)
        for name, row in self.rows().items():
            if "/fused/" in name:
                op, dtype, layout, shape = name.split("/")[:4]
                words = "%s %s %s %s" % (op, dtype, layout, shape)
                line = re.search(r'<tr data-words="%s [a-z0-9]+" data-threads="%s".*?</tr>' % (re.escape(words), name[-1]), body)
                self.assertIn('">%.1f' % row["GB/s"], line[0])
                self.assertIn("%.2f" % row["vs_copy"], line[0])
        self.assertTrue(self.results["context"]["cpu"] in text)
        self.assertTrue("prefers-color-scheme: dark" in text)
        self.assertTrue("@media print" in text)

    def test_peers(self):
        self.with_peer()
        page, text = self.page(self.write("run.json", self.results))
        self.assertEqual(page.counts["svg"], 6)
        first = re.search(r"Where a peer is faster.*?</table>", text, re.DOTALL)[0]
        self.assertEqual(re.findall(r"<td>(\S+)</td>", first), ["layer_norm/f32/rows/16x256"])
        self.assertIn(">0.50<", first)
        means = re.search(r"Geometric means by op.*?</table>", text, re.DOTALL)[0]
        self.assertIn("<td>layer_norm f32 rows</td>", means)
        self.assertNotIn("batch_norm", means)
        self.assertIn(">2.00<", means)
        told = self.call("run.json", "--text").stdout
        self.assertRegex(told, r"(?m)^Where a peer is faster\n\n.*\nlayer_norm/f32/rows/16x256 +1 .* oneDNN .* 0\.50\n\n")
        self.assertRegex(told, r"(?m)^group_norm\+silu f32 nchw +2 +1 +2\.00$")
        self.assertRegex(told, r"(?m)^batch_norm_given/f32/nhwc/1x32x8x8 +2 .* – *$")

    def test_two_runs(self):
        old = copy.deepcopy(self.results)
        for row in self.results["benchmarks"] + old["benchmarks"]:
            if "noise" in row:
                row["noise"] = 0.01
        for row in self.results["benchmarks"]:
            if "/16x256/fused/threads:1" in row["run_name"]:
                row["real_time"] *= 1.3
        files = self.write("old.json", old), self.write("new.json", self.results)
        page, text = self.page(*files)
        compared = re.search(r'id="compared".*?</section>', text, re.DOTALL)[0]
        self.assertEqual(re.findall(r"<td>(\S+)</td>.*slower</td>", compared), ["layer_norm/f32/rows/16x256/fused/threads:1"])
        self.assertIn("+30.0 %", compared)
        # norma-bench says the same.
        result = subprocess.run([BENCH, "--compare", files[0], "--with", files[1]], capture_output=True, text=True)
        self.assertEqual(re.findall(r"^slower +(\S+) % .*  (\S+)$", result.stdout, re.MULTILINE),
                         [("+30.0", "layer_norm/f32/rows/16x256/fused/threads:1")])

    def test_one_thread_and_markup(self):
        """Less than all there can be; and nothing in a file is taken for markup."""
        self.results["benchmarks"] = [row for row in self.results["benchmarks"]
                                      if row["run_name"].endswith("threads:1") and "/fused/" in row["run_name"]]
        self.results["context"]["cpu"] = "<script>alert(1)</script> & more"
        for key in [key for key in self.results["context"] if key.startswith(("roofline", "bytes"))]:
            del self.results["context"][key]
        page, text = self.page(self.write("run.json", self.results), options=["--title", "<b>mine</b>", "--picture", "roof.svg"])
        self.assertEqual(page.counts["svg"], 1)
        self.assertEqual(page.counts["script"], 1)
        self.assertTrue("&lt;b&gt;mine&lt;/b&gt;" in text)
        with open(self.path("roof.svg")) as file:
            self.assertIn("prefers-color-scheme: dark", file.read())

    def test_refuses(self):
        self.refuse(self.path("none.json"), says="'%s': No such file" % self.path("none.json"))
        for text in ("", "{", "[]", "3", "[" * 100000, '{"context": {}, "benchmarks": [1]}', '{"context": 3, "benchmarks": []}'):
            self.refuse(self.write("bad.json", text), says="is not the JSON of norma-bench --benchmark_out")
        self.refuse(self.write("bad.json", {"context": {}, "benchmarks": []}), says="has no row of norma's")
        for key, value in (("real_time", 0), ("real_time", "fast"), ("run_name", "other"), ("level", None), ("time_unit", "years")):
            bad = copy.deepcopy(self.results)
            [row for row in bad["benchmarks"] if row.get("aggregate_name") == "median"][0][key] = value
            self.refuse(self.write("bad.json", bad), says="is not the JSON of norma-bench")
        good = self.write("run.json", self.results)
        result = self.call(good, "-o", "none/page.html")
        self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)


if __name__ == "__main__":
    if not {"NORMA_REPORT", "NORMA_BENCH"} <= set(os.environ):
        sys.exit("NORMA_REPORT and NORMA_BENCH must name the programs")
    unittest.main()

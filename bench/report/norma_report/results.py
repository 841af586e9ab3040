"""What norma-bench wrote, read and checked; and two such runs compared, by the rule of bench/compare.cc."""

import json
import math
from dataclasses import dataclass, field

LEVELS = ("L1", "L2", "L3", "memory")
PASSES = ("read", "copy", "streaming")
ISAS = ("generic", "avx2", "avx512", "avx512_bf16", "neon")
YARDSTICKS = ("copy", "unfused")
OWN = ("fused", "untuned") + ISAS
PEERS = {"onednn": "oneDNN", "pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "ggml": "ggml"}


class BadResults(Exception):
    """A sentence."""


@dataclass
class Row:
    """A path at a case and a number of threads; times in seconds."""
    case: str
    path: str
    threads: int
    label: str
    median: float
    best: float
    useful_bytes: float
    level: int  # index into LEVELS
    spread: float
    noise: float
    noisy: bool
    ratios: dict = field(default_factory=dict)  # vs_copy and its like, of_roofline

    @property
    def name(self):
        return "%s/%s/threads:%d" % (self.case, self.path, self.threads)

    @property
    def op(self):
        return self.case.split("/")[0]

    @property
    def parts(self):
        """Op, type, layout, shape."""
        return self.case.split("/")

    @property
    def speed(self):
        """GB/s."""
        return self.useful_bytes / self.median * 1e-9


@dataclass
class Run:
    file: str
    context: dict
    rows: list
    roofline: dict  # by level, pass, threads: GB/s

    def __post_init__(self):
        self.by_name = {row.name: row for row in self.rows}
        self.fused = [row for row in self.rows if row.path == "fused"]
        self.threads = sorted({row.threads for row in self.rows})
        self.peers = [path for path in dict.fromkeys(row.path for row in self.rows) if path not in OWN + YARDSTICKS]

    def beside(self, row, path, threads=None):
        """The row of another path, or another number of threads."""
        return self.by_name.get("%s/%s/threads:%d" % (row.case, path, threads or row.threads))

    def ratio(self, row, path, threads=None):
        """How many times as fast as that, by the medians; None where that was not timed."""
        other = self.beside(row, path, threads)
        return other.median / row.median if other else None

    @property
    def ops(self):
        return list(dict.fromkeys(row.op for row in self.fused))


def split_name(name):
    """'layer_norm/f32/rows/2x4/fused/threads:1' in its case, path and threads."""
    head, path, threads = name.rsplit("/", 2)
    if head.count("/") != 3 or not threads.startswith("threads:"):
        raise ValueError(name)
    return head, path, int(threads[len("threads:"):])


SECONDS = {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read_rows(benchmarks):
    """Rows from their aggregates; a failed case has none."""
    medians, bests = {}, {}
    for entry in benchmarks:
        kind = entry.get("aggregate_name")
        if kind in ("median", "best"):
            (medians if kind == "median" else bests)[entry["run_name"]] = entry
    rows = []
    for name, entry in medians.items():
        case, path, threads = split_name(name)
        unit = SECONDS[entry["time_unit"]]
        median = float(entry["real_time"]) * unit
        best = float(bests.get(name, entry)["real_time"]) * unit
        if not (median > 0 and best > 0):
            raise ValueError(name)
        ratios = {key: float(entry[key]) for key in entry if key.startswith("vs_") or key == "of_roofline"}
        rows.append(Row(case, path, threads, entry.get("label", ""), median, best, float(entry["useful_bytes"]),
                        min(max(int(entry["level"]) - 1, 0), len(LEVELS) - 1), float(entry["spread"]), float(entry["noise"]),
                        bool(entry["noisy"]), ratios))
    return rows


def read_roofline(context):
    roofline = {}
    for key, value in context.items():
        word = key.split("/")
        if word[0] == "roofline":
            roofline[word[1], word[2], int(word[3][len("threads:"):])] = float(value)
    return roofline


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            whole = json.load(file)
        context = whole["context"]
        run = Run(path, context, read_rows(whole["benchmarks"]), read_roofline(context))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise BadResults("'%s' is not the JSON of norma-bench --benchmark_out of this version, with more than one repetition"
                         % path) from error
    if not run.fused:
        raise BadResults("'%s' has no row of norma's with more than one repetition" % path)
    return run


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def median(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


# ----------------------------------------------------------------------------------------------------------------------
# Two runs
# ----------------------------------------------------------------------------------------------------------------------

LEAST_OF_ROW = 0.05


@dataclass
class Change:
    row: Row       # of the new run
    old: Row
    slower: float  # 0.1: takes a tenth more time
    beyond: float  # as much is noise

    @property
    def verdict(self):
        return "slower" if self.slower > self.beyond else "faster" if self.slower < -self.beyond else "same"


def changes(old, new):
    """As bench/compare.cc has it: the best repetitions, by themselves and over the copy's; whichever changed less."""
    found = []
    for row in new.rows:
        before = old.by_name.get(row.name)
        if row.path not in OWN or not before:
            continue
        noise = [before.noise, row.noise]
        own = slower = math.log(row.best / before.best)
        copies = old.beside(before, "copy"), new.beside(row, "copy")
        noise += [copy.noise for copy in copies if copy]
        if all(copies):
            ratio = own - math.log(copies[1].best / copies[0].best)
            slower = 0.0 if (own > 0) != (ratio > 0) else min(own, ratio, key=abs)
        beyond = max(LEAST_OF_ROW, 3 * math.hypot(*noise))
        found.append(Change(row, before, math.expm1(slower), beyond))
    return sorted(found, key=lambda change: change.slower)

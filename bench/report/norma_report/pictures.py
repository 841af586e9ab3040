"""Pictures as SVG that takes its colours and its font from the page, so that one picture serves light, dark and paper."""

import io
import math
import re

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot, rcParams, ticker  # noqa: E402

from .results import LEVELS, PEERS, geometric_mean, median  # noqa: E402

# Colours that stand for the page's variables; style.css gives them values.
INK, MUTED, GRID, PAPER, BAND = "#010101", "#020202", "#030303", "#040404", "#050505"
SERIES = ["#0a0a%02x" % i for i in range(10)]
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper", BAND: "--band",
             **{colour: "--series-%d" % i for i, colour in enumerate(SERIES)}}
MARKERS = "osD^vPXhp<"

rcParams.update({
    "svg.fonttype": "none", "font.size": 10.5, "axes.edgecolor": GRID, "axes.labelcolor": MUTED, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 1, "xtick.color": GRID, "ytick.color": GRID, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED, "text.color": INK, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "grid.color": GRID, "grid.linewidth": 1, "legend.frameon": False, "legend.labelcolor": INK, "axes.axisbelow": True,
})


def as_svg(figure, name, summary):
    """The figure as an element of the page. `summary` is what those get who cannot see it."""
    stream = io.StringIO()
    rcParams["svg.hashsalt"] = name
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
                  lambda match: '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="%s" '
                                'role="img" aria-labelledby="%s-summary">' % (match[1], name), text, count=1)
    text = text.replace(">", '>\n<title id="%s-summary">%s</title>' % (name, escaped(summary)), 1)
    # Names within a page are of one picture only.
    text = re.sub(r'\bid="(?!%s-summary)([^"]+)"' % name, r'id="%s-\1"' % name, text)
    text = re.sub(r'url\(#', "url(#%s-" % name, text)
    text = re.sub(r'xlink:href="#', 'xlink:href="#%s-' % name, text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--font)", text)
    text = re.sub(r"font: (bold|\d+) ([\d.]+px) [^;\"]*", r"font: \1 \2 var(--font)", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, "var(%s)" % variable)
    return text


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def colour_of(ops, op):
    return SERIES[ops.index(op) % len(SERIES)]


def bare(op):
    """The norm itself, without what is fused to it: pictures have a colour for each of these."""
    return re.sub(r"(^add\+|\+.*$)", "", op)


def readable_bytes(value):
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= size:
            return "%g %s" % (round(value / size, 1), unit)
    return "%d B" % value


def level_bounds(run, threads, low, high):
    """Where each level begins and ends, in bytes of all tensors, within what is drawn."""
    begin = low
    for level in LEVELS:
        size = int(run.context.get("bytes/" + level, 0)) * (1 if level == "L3" else threads)
        end = high if level == "memory" else min(size, high)
        if end > begin:
            yield level, begin, end
            begin = end


def roofline(run, name="roofline"):
    """GB/s of each kernel by how much memory its tensors take, under what reading and copying reach there."""
    counts = [threads for threads in run.threads if any(row.threads == threads for row in run.fused)]
    counts = counts[:1] + counts[-1:] if len(counts) > 1 else counts
    figure, panels = pyplot.subplots(1, len(counts), figsize=(10.4, 5.1), sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.055, right=0.995, top=0.94, bottom=0.235, wspace=0.04)
    sizes = [row.useful_bytes for row in run.fused]
    low, high = min(sizes) / 1.8, max(sizes) * 1.8
    norms = list(dict.fromkeys(bare(row.op) for row in run.fused))
    for panel, threads in zip(panels[0], counts):
        for level, begin, end in level_bounds(run, threads, low, high):
            if LEVELS.index(level) % 2:
                panel.axvspan(begin, end, color=BAND, linewidth=0)
            panel.text(math.sqrt(begin * end), 0.98, level if end > 3 * begin else "", transform=panel.get_xaxis_transform(), ha="center", va="top",
                       color=MUTED, fontsize=10)
            for kind, style in (("read", (0, (1, 2))), ("copy", "-"), ("streaming", (0, (5, 2)))):
                speed = run.roofline.get((level, kind, threads))
                if speed:
                    panel.plot([begin, end], [speed, speed], color=INK, linestyle=style, linewidth=1.6 if kind == "copy" else 1.2,
                               label=kind.replace("streaming", "copy, streaming stores") if level == "memory" else None,
                               solid_capstyle="butt")
        for norm in norms:
            rows = [row for row in run.fused if row.threads == threads and bare(row.op) == norm]
            colour = colour_of(norms, norm)
            for noisy in (False, True):
                some = [row for row in rows if row.noisy == noisy]
                panel.plot([row.useful_bytes for row in some], [row.speed for row in some], linestyle="none", markersize=7.5,
                           marker=MARKERS[norms.index(norm) % len(MARKERS)], markeredgewidth=1.2, markeredgecolor=colour if noisy
                           else PAPER, markerfacecolor="none" if noisy else colour, label=None if noisy else norm)
        panel.set(xscale="log", yscale="log", xlim=(low, high), xlabel="bytes of all tensors",
                  title="1 thread" if threads == 1 else "%d threads" % threads)
        panel.margins(y=0.1)
        panel.title.set(fontsize=11, fontweight="bold", color=INK)
        panel.xaxis.set_major_locator(ticker.LogLocator(base=16, numticks=12))
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: readable_bytes(value)))
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: "%g" % value))
        panel.yaxis.set_minor_locator(ticker.NullLocator())
        panel.grid(axis="y")
        panel.tick_params(length=0)
    panels[0][0].set_ylabel("GB/s, read and written")
    handles, labels = panels[0][-1].get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    figure.legend(unique.values(), unique.keys(), loc="lower center", ncol=min(len(unique), 6), handletextpad=0.4,
                  columnspacing=1.6, fontsize=10)
    parts = [row.ratios["of_roofline"] for row in run.fused if "of_roofline" in row.ratios]
    summary = "GB/s of %d kernels over the bytes of their tensors, below lines of what reading and copying reach." % len(run.fused)
    if parts:
        summary += " Half of them run at %.0f %% of a copy at their level of memory or more." % (100 * median(parts))
    return as_svg(figure, name, summary)


def by_op(run, series, axis, name, what):
    """Bars: for each op the geometric mean of ratios, and every case as a dot. `series`: (label, {op: [ratio, …]}) each."""
    ops = [op for op in run.ops if any(values.get(op) for _, values in series)]
    if not ops:
        return None
    height = 0.8 / len(series)
    figure, panel = pyplot.subplots(figsize=(10.4, 0.9 + (0.3 + 0.17 * len(series)) * len(ops)), layout="constrained")
    highest = max(ratio for _, values in series for some in values.values() for ratio in some)
    lowest = min(ratio for _, values in series for some in values.values() for ratio in some)
    wide = highest > 12
    for index, (label, values) in enumerate(series):
        colour = SERIES[index]
        for place, op in enumerate(ops):
            ratios = values.get(op)
            if not ratios:
                continue
            y = place + (index - (len(series) - 1) / 2) * height
            mean = geometric_mean(ratios)
            left = 1 if wide else 0
            panel.barh(y, mean - left, left=left, height=0.86 * height, color=colour, alpha=0.9,
                       label=label if place == next(i for i, one in enumerate(ops) if values.get(one)) else None)
            if len(ratios) > 1:
                panel.plot(ratios, [y] * len(ratios), linestyle="none", marker="o", markersize=3.4, markerfacecolor=PAPER,
                           markeredgecolor=INK, markeredgewidth=0.7)
            panel.text(max(mean, *ratios, 1) * (1.04 if wide else 1) + (0 if wide else 0.012 * highest), y, "%.2f" % mean,
                       va="center", fontsize=9, color=INK)
    panel.axvline(1, color=INK, linewidth=1)
    panel.set(yticks=range(len(ops)), yticklabels=ops, xlabel=axis)
    if wide:
        panel.set(xscale="log", xlim=(min(lowest / 1.1, 0.8), highest * 1.6))
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: "%g" % value))
        panel.xaxis.set_minor_locator(ticker.NullLocator())
    else:
        panel.set_xlim(0, highest * 1.12)
    panel.tick_params(length=0)
    panel.tick_params(axis="y", labelcolor=INK)
    panel.grid(axis="x")
    panel.spines["left"].set_visible(False)
    panel.invert_yaxis()
    if len(series) > 1:
        panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=len(series), fontsize=10, handlelength=1, handleheight=1)
    told = "; ".join("%s %s" % (label, ", ".join("%s %.2f" % (op, geometric_mean(values[op])) for op in ops if values.get(op)))
                     for label, values in series)
    return as_svg(figure, name, "%s, geometric means: %s." % (what, told))


def ratios_of(run, path, threads):
    """Of the fused rows with that many threads, over another path, by op."""
    found = {}
    for row in run.fused:
        ratio = run.ratio(row, path) if row.threads == threads else None
        if ratio:
            found.setdefault(row.op, []).append(ratio)
    return found


def count(threads):
    return "1 thread" if threads == 1 else "%d threads" % threads


def fused(run):
    series = [(count(threads), ratios_of(run, "unfused", threads)) for threads in run.threads]
    return by_op(run, [one for one in series if one[1]], "times as fast as the same steps unfused", "fused", "Fused over unfused")


def peers(run, threads):
    series = [(PEERS.get(peer, peer), ratios_of(run, peer, threads)) for peer in run.peers]
    return by_op(run, [one for one in series if one[1]], "times as fast, %s" % count(threads), "peers-%d" % threads,
                 "norma over its peers, %s" % count(threads))


def isas(run):
    threads = run.threads[0]
    series = []
    for path in ("avx2", "avx512", "neon"):
        found = {}
        for row in run.rows:
            ratio = run.ratio(row, "generic") if row.path == path and row.threads == threads else None
            if ratio:
                found.setdefault(row.op, []).append(ratio)
        series.append((path, found))
    return by_op(run, [one for one in series if one[1]], "times as fast as portable C, %s" % count(threads), "isas",
                 "Each instruction set over portable C")


def scaling(run):
    """How many times as fast several threads are as one: bars for one number of threads, lines for more."""
    counts = [threads for threads in run.threads if threads > 1]
    if 1 not in run.threads or not counts:
        return None
    if len(counts) == 1:
        found = {}
        for row in run.fused:
            ratio = run.ratio(row, "fused", 1) if row.threads == counts[0] else None
            if ratio:
                found.setdefault(row.op, []).append(ratio)
        return by_op(run, [(count(counts[0]), found)], "times as fast with %s as with 1" % count(counts[0]), "scaling",
                     "%s over one" % count(counts[0]))
    norms = list(dict.fromkeys(bare(row.op) for row in run.fused))
    figure, panel = pyplot.subplots(figsize=(10.4, 4.4), layout="constrained")
    most = max(counts)
    panel.plot([1, most], [1, most], color=INK, linewidth=1, linestyle=(0, (5, 2)), label="as many times as threads")
    told = []
    for place, norm in enumerate(norms):
        colour = colour_of(norms, norm)
        lines = {}
        for row in run.fused:
            if bare(row.op) == norm and row.threads in counts and run.ratio(row, "fused", 1):
                lines.setdefault(row.case, {1: 1.0})[row.threads] = run.ratio(row, "fused", 1)
        for line in lines.values():
            panel.plot(sorted(line), [line[x] for x in sorted(line)], color=colour, linewidth=0.8, alpha=0.35)
        xs = [x for x in [1] + counts if any(x in line for line in lines.values())]
        if len(xs) > 1:
            means = [geometric_mean(line[x] for line in lines.values() if x in line) for x in xs]
            panel.plot(xs, means, color=colour, linewidth=2, marker=MARKERS[place % len(MARKERS)], markersize=7,
                       markeredgecolor=PAPER, label=norm)
            told.append("%s %.2f" % (norm, means[-1]))
    panel.set(xlabel="threads", ylabel="times as fast as one thread", xticks=[1] + counts, xlim=(1 - 0.03 * most, most * 1.03))
    panel.set_ylim(bottom=0)
    panel.grid(axis="y")
    panel.tick_params(length=0)
    panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=10)
    return as_svg(figure, "scaling", "Times as fast with %d threads as with one, geometric means: %s." % (most, ", ".join(told)))


def comparison(found, name):
    """Changes, each in its noise, from the steadiest row to the noisiest."""
    found = sorted(found, key=lambda one: one.beyond)
    figure, panel = pyplot.subplots(figsize=(10.4, 3.6), layout="constrained")
    places = range(len(found))
    panel.fill_between(places, [-100 * one.beyond for one in found], [100 * one.beyond for one in found], color=BAND, linewidth=0,
                       step="mid", label="noise")
    panel.axhline(0, color=INK, linewidth=1)
    for verdict, colour, marker in (("same", MUTED, "o"), ("slower", SERIES[2], "^"), ("faster", SERIES[0], "v")):
        some = [(place, 100 * one.slower) for place, one in zip(places, found) if one.verdict == verdict]
        if some:
            panel.plot(*zip(*some), linestyle="none", marker=marker, markersize=5.5, markerfacecolor=colour, markeredgecolor=PAPER,
                       markeredgewidth=0.6, label="%s (%d)" % (verdict, len(some)))
    reach = min(max(15.0, *(abs(100 * one.slower) * 1.1 for one in found)), 120)
    panel.set(ylim=(-reach, reach), xlim=(-0.7, len(found) - 0.3), xticks=[], xlabel="rows, from the steadiest to the noisiest",
              ylabel="more time, %")
    panel.grid(axis="y")
    panel.tick_params(length=0)
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=4, fontsize=10)
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in ("slower", "faster", "same")}
    return as_svg(figure, name, "%d rows: %d slower, %d faster, %d the same within noise."
                  % (len(found), counts["slower"], counts["faster"], counts["same"]))

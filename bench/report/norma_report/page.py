"""The page: facts and tables of runs put into page.html, with style.css and table.js inside it."""

import os
import re

import jinja2

from . import pictures, text
from .results import LEVELS, PASSES, PEERS, changes, geometric_mean, median

HERE = os.path.dirname(os.path.abspath(__file__))


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


def machine(run):
    """What the run says of where it ran, as pairs."""
    context = run.context
    sizes = ["%s %s" % (level, pictures.readable_bytes(int(context["bytes/" + level])))
             for level in LEVELS[:3] if int(context.get("bytes/" + level, 0))]
    load = context.get("load_avg") or []
    facts = [("Processor", context.get("cpu")), ("Cores", context.get("cores")), ("Caches", ", ".join(sizes)),
             ("Instruction set", context.get("isa")), ("norma", context.get("norma")), ("Compiler", context.get("compiler")),
             ("Tuning", context.get("tuning")), ("Date", context.get("date", "").replace("T", " ")[:16]),
             ("Load before", "%.2f" % load[0] if load else None)]
    return [(name, value) for name, value in facts if value]


def tiles(run):
    """The few numbers to remember."""
    found = []
    unfused = [ratio for ratio in (run.ratio(row, "unfused") for row in run.fused) if ratio]
    if unfused:
        found.append(("%.2f×" % geometric_mean(unfused), "as fast as the same steps unfused"))
    for peer in run.peers:
        ratios = [ratio for ratio in (run.ratio(row, peer) for row in run.fused) if ratio]
        if ratios:
            found.append(("%.2f×" % geometric_mean(ratios), "as fast as %s, over %d rows" % (PEERS.get(peer, peer), len(ratios))))
    parts = [row.ratios["of_roofline"] for row in run.fused if "of_roofline" in row.ratios]
    if parts:
        found.append(("%.0f %%" % (100 * median(parts)), "of a copy at its level of memory, in the median"))
    threads = max(run.threads)
    scaled = [ratio for ratio in (run.ratio(row, "fused", 1) for row in run.fused if row.threads == threads) if ratio]
    if threads > 1 and scaled:
        found.append(("%.2f×" % geometric_mean(scaled), "with %d threads" % threads))
    found.append((str(len(run.fused)), "shapes and thread counts; %d too noisy to trust" % sum(row.noisy for row in run.fused)))
    return found


def roofline_table(run):
    """Rows of (threads, level, read, copy, streaming)."""
    threads = sorted({key[2] for key in run.roofline})
    return [(count, level, [run.roofline.get((level, kind, count)) for kind in PASSES])
            for count in threads for level in LEVELS if any((level, kind, count) in run.roofline for kind in PASSES)]


COLUMNS = {"vs_copy": "of copy", "vs_unfused": "× unfused", "vs_untuned": "× untuned", "vs_generic": "× generic",
           "vs_one_thread": "× 1 thread"}


def columns(run):
    """Of the big table: (heading, function from a row to a number or None, format)."""
    found = [("GB/s", lambda row: row.speed, "%.1f"), ("± %", lambda row: 50 * row.spread, "%.0f"),
             ("% of roofline", lambda row: 100 * row.ratios["of_roofline"] if "of_roofline" in row.ratios else None, "%.0f")]
    for key, heading in COLUMNS.items():
        if any(key in row.ratios for row in run.fused):
            found.append((heading, lambda row, key=key: row.ratios.get(key), "%.2f"))
    for peer in run.peers:
        found.append(("× " + PEERS.get(peer, peer), lambda row, peer=peer: run.ratio(row, peer), "%.2f"))
    return found


def table(run):
    heads = columns(run)
    rows = []
    for row in run.fused:
        op, dtype, layout, shape = row.parts
        cells = [(value, form % value if value is not None else "–") for value, form in ((get(row), form) for _, get, form in heads)]
        rows.append({"words": (op, dtype, layout, shape.replace("x", "×")), "threads": row.threads, "level": LEVELS[row.level],
                     "noisy": row.noisy, "cells": cells, "bytes": row.useful_bytes})
    return {"heads": [head for head, _, _ in heads], "rows": rows}


def comparisons(runs):
    found = []
    for index, old in enumerate(runs[:-1]):
        rows = changes(old, runs[-1])
        if rows:
            found.append({"old": old, "rows": [one for one in reversed(rows) if one.verdict != "same"], "count": len(rows),
                          "median": 100 * median([one.slower for one in rows]),
                          "picture": pictures.comparison(rows, "comparison-%d" % index),
                          "other_machine": old.context.get("cpu") != runs[-1].context.get("cpu")})
        else:
            found.append({"old": old, "rows": [], "count": 0})
    return found


def render(runs, title):
    run = runs[-1]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    svg = lambda drawn: jinja2.utils.markupsafe.Markup(drawn) if drawn else None
    compared = comparisons(runs)
    for one in compared:
        one["picture"] = svg(one.get("picture"))
    return environment.get_template("page.html").render(
        title=title, run=run, machine=machine(run), tiles=tiles(run), style=svg(read("colours.css") + read("style.css")), script=svg(read("table.js")),
        roofline=svg(pictures.roofline(run)), roofline_table=roofline_table(run), fused=svg(pictures.fused(run)),
        peers=[svg(one) for one in (pictures.peers(run, threads) for threads in run.threads) if one],
        peer_names=[PEERS.get(peer, peer) for peer in run.peers], peers_table=text.means(run), slower=[(row, PEERS.get(peer, peer), ratio)
                                                   for row, peer, ratio in text.slower_than_peers(run)],
        isas=svg(pictures.isas(run)), scaling=svg(pictures.scaling(run)), table=table(run), comparisons=compared)


def picture(run):
    """The roofline as a file of its own, which follows the reader's light or dark itself."""
    drawn = pictures.roofline(run)
    style = re.sub(r"@media print \{.*", "", read("colours.css"), flags=re.DOTALL)
    return drawn.replace("\n<title", "\n<style>%s\nsvg { background: var(--paper); }</style>\n<title" % style, 1)

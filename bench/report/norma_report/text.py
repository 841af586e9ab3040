"""The same beside peers as text: where one is faster, geometric means, every row. Needs nothing but Python."""

from .results import PEERS, geometric_mean


def slower_than_peers(run):
    """Every row where a peer is faster, the slowest first: (row, peer, ratio)."""
    found = []
    for row in run.fused:
        ratios = [(ratio, peer) for ratio, peer in ((run.ratio(row, peer), peer) for peer in run.peers) if ratio and ratio < 1]
        if ratios:
            ratio, peer = min(ratios)
            found.append((row, peer, ratio))
    return sorted(found, key=lambda one: one[2])


def means(run):
    """By op, type, layout and threads: (name, threads, number of shapes, [ratio or None, …] in the order of run.peers)."""
    groups = {}
    for row in run.fused:
        groups.setdefault((" ".join(row.parts[:3]), row.threads), []).append(row)
    found = []
    for (name, threads), rows in groups.items():
        ratios = [geometric_mean(filter(None, (run.ratio(row, peer) for row in rows))) for peer in run.peers]
        if any(ratios):
            found.append((name, threads, len(rows), ratios))
    return found


def cell(value, form="%.2f", mark=""):
    return (form % value if value else "–") + mark


def speed(row):
    return cell(row.speed, "%.1f", "~" if row.noisy else " ") if row else "– "


def columns(widths, cells):
    first, *rest = cells
    return (first.ljust(widths[0]) + "".join(text.rjust(width) for width, text in zip(widths[1:], rest))).rstrip()


def table(head, rows):
    widths = [max(len(row[i]) for row in [head] + rows) + 2 for i in range(len(head))]
    return "\n".join(columns(widths, row) for row in [head] + rows)


def render(run):
    names = [PEERS.get(peer, peer) for peer in run.peers]
    parts = []
    slower = slower_than_peers(run)
    if slower:
        rows = [[row.case, str(row.threads), speed(row), PEERS.get(peer, peer), speed(run.beside(row, peer)), "%.2f" % ratio]
                for row, peer, ratio in slower]
        parts.append("Where a peer is faster\n\n" + table(["", "thr", "norma ", "", "GB/s ", "ratio"], rows))
    elif names:
        parts.append("No peer is faster at any shape.")
    if names:
        rows = [[name, str(threads), str(count)] + [cell(ratio) for ratio in ratios] for name, threads, count, ratios in means(run)]
        parts.append("norma over each, geometric means\n\n" + table(["", "thr", "shapes"] + names, rows))
    rows = [[row.case, str(row.threads), speed(run.beside(row, "copy")), speed(row)] +
            [speed(run.beside(row, peer)) for peer in run.peers] for row in run.fused]
    parts.append("GB/s\n\n" + table(["", "thr", "copy ", "norma "] + [name + " " for name in names], rows))
    return "\n\n\n".join(parts) + "\n"

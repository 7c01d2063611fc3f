"""Pictures of a run: how we stand beside each peer, and how cost grows."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..harness.plan import FLOOR, OURS, Workload
from ..harness.results import Results, Row
from ..peers import PEERS
from .goals import has, median, ratio

# The same run gives the same file.
matplotlib.rcParams.update({"svg.hashsalt": "snakemq", "svg.fonttype": "none", "font.size": 9})

COLOURS = {
    "snakemq2": "tab:green",
    "snakemq16": "tab:olive",
    "pyzmq": "tab:red",
    "rpyc": "tab:blue",
    "pyro5": "tab:purple",
    "nats": "tab:orange",
    "grpc": "tab:pink",
    "rabbitmq": "tab:brown",
    "floor": "black",
    "before": "tab:cyan",
}

STYLES = ("o-", "s--", "^:")
"""Lines and markers that tell the ways of one peer apart."""


def draw(results: Results, folder: Path) -> list[str]:
    """Write SVG files; returns their names."""
    names = []
    for name, figure in (("ratios.svg", _ratios(results)), ("growth.svg", _growth(results))):
        if figure is not None:
            figure.savefig(folder / name, metadata={"Date": None})
            names.append(name)
    return names


def _ratios(results: Results) -> Figure | None:
    """A line for each of our ways in each case, a mark for each peer: right of 1 we are ahead."""
    lines: list[tuple[str, list[tuple[Row, float]]]] = []
    for workload, case in results.cases():
        if workload.axis:
            continue
        rows = results.of(workload, case)
        for ours in (row for row in rows if row.contestant.peer == OURS and row.rounds):
            marks = []
            for other in rows:
                column = next((c for c in workload.columns if has(ours, c) and has(other, c)), None)
                if other.contestant.peer != OURS and column is not None:
                    marks.append((other, ratio(ours, other, column)))
            way = f", {ours.contestant.way}" if ours.contestant.way else ""
            lines.append((f"{workload.name} {case.name}{way}", marks))
    if not lines:
        return None
    figure = Figure(figsize=(9, 1.5 + 0.28 * len(lines)), layout="constrained")
    axes = figure.subplots()
    titles = {}
    for y, (_, marks) in enumerate(lines):
        for row, x in marks:
            peer = row.contestant.peer
            if not 0 < x < math.inf:
                continue
            marker = "|" if peer == FLOOR else "o"
            titles[peer] = axes.plot(x, y, marker, color=COLOURS[peer], markersize=7)[0]
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", alpha=0.2)
    axes.set_xlabel("snakeMQ 2 is so many times as good; right of 1 it is ahead")
    names = [PEERS[peer].title if peer in PEERS else peer for peer in titles]
    axes.legend(titles.values(), names, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _growth(results: Results) -> Figure | None:
    """Time for each, over size, connections, backlog or callers."""
    workloads = [w for w in dict.fromkeys(row.workload for row in results.rows) if w.axis]
    if not workloads:
        return None
    height = math.ceil(len(workloads) / 2)
    figure = Figure(figsize=(9, 3.6 * height), layout="constrained")
    panels = figure.subplots(height, 2, squeeze=False).flat
    for axes, workload in zip(panels, workloads, strict=False):
        _panel(axes, workload, results)
    for axes in list(panels)[len(workloads) :]:
        axes.set_axis_off()
    return figure


def _panel(axes: Axes, workload: Workload, results: Results) -> None:
    column = workload.columns[0]
    ways: dict[str, list[Row]] = {}
    for row in results.rows:
        if row.workload is workload and has(row, column):
            ways.setdefault(row.title, []).append(row)
    of_peer: Counter[str] = Counter()
    for title, rows in ways.items():
        peer = rows[0].contestant.peer
        xs = [row.case.x or 0 for row in rows]
        ys = [1e6 / median(row, column) for row in rows]
        style = STYLES[of_peer[peer]]
        of_peer[peer] += 1
        axes.plot(xs, ys, style, color=COLOURS[peer], label=title, markersize=4, linewidth=1)
    if any(case.x == 0 for case in workload.cases):
        axes.set_xscale("symlog", linthresh=1)
    else:
        axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(f"{workload.name}: {workload.title}", fontsize=9)
    axes.set_xlabel(workload.axis)
    axes.set_ylabel(f"us for each ({column.title})")
    axes.grid(alpha=0.2)
    axes.legend(fontsize=7)

"""Tables: for the terminal, and as a page."""

from __future__ import annotations

from collections.abc import Iterator

from ..harness.plan import BEFORE, OURS, Case, Workload
from ..harness.results import Results, Row
from ..harness.scripts import SCRIPTS
from .goals import Verdict, has, median, ratio, spread, verdicts

Lines = list[list[str]]

BUSY = 0.5
"""The load before a run that a reader is warned of."""


def table(results: Results, workload: Workload, case: Case) -> Lines:
    """The cells, the first line being the names of the columns."""
    rows = results.of(workload, case)
    ours = [row for row in rows if row.contestant.peer == OURS and row.rounds]
    shown = [column for column in workload.columns if any(has(row, column) for row in rows)]
    head = ["", *(column.title for column in shown), "+-"]
    head += [f"{row.contestant.way or 'ours'} is" for row in ours]
    lines = [head]
    for row in rows:
        if not row.rounds:
            lines.append([row.title, "failed", *[""] * (len(head) - 2)])
            continue
        cells = [c.text(median(row, c)) if has(row, c) else "" for c in shown]
        cells.append(f"{spread(row, next(c for c in shown if has(row, c))):.0%}")
        cells += [_comparison(mine, row) for mine in ours]
        lines.append([row.title, *cells])
    return lines


def _comparison(ours: Row, other: Row) -> str:
    """In the first figure that both have; nothing among ourselves, but with another clone."""
    if other.contestant.peer == OURS:
        return ""
    if other.contestant.peer == BEFORE and other.contestant.way != ours.contestant.way:
        return ""
    for column in ours.workload.columns:
        if has(ours, column) and has(other, column):
            return f"{ratio(ours, other, column):.2f} x"
    return ""


def goals(results: Results) -> Lines:
    lines = [["goal", "", "wanted", "reached", ""]]
    for verdict in verdicts(results):
        goal = verdict.goal
        where = f"{verdict.workload.name} {goal.case}"
        lines.append([where, goal.way or "ours", goal.text, verdict.text, _judgement(verdict)])
    return lines


def _judgement(verdict: Verdict) -> str:
    return {True: "yes", False: "MISSED", None: ""}[verdict.met]


def aligned(lines: Lines) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{line[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def terminal(results: Results) -> str:
    return "\n\n".join(_terminal(results))


def _terminal(results: Results) -> Iterator[str]:
    yield "\n".join(f"{name}: {fact}" for name, fact in results.facts.items())
    for workload, case in results.cases():
        note = f"\n({workload.note})" if workload.note and case is workload.cases[-1] else ""
        cells = aligned(table(results, workload, case))
        yield f"{workload.name} {workload.title}: {case.name}\n{cells}{note}"
    for name, text in results.texts.items():
        yield f"{name}: {SCRIPTS[name].title}\n{text}"
    for name, text in results.profiles.items():
        yield f"where the time goes: {name}\n{text}"
    if len(lines := goals(results)) > 1:
        yield aligned(lines)
    if results.left_out:
        yield "\n".join(f"left out: {name}: {why}" for name, why in results.left_out.items())
    for row in results.failed:
        yield f"FAILED: {row.workload.name} {row.case.name}, {row.title}: {row.problem}"


HEADER = """\
# Results

Written by `nox -s bench -- page`; do not edit. How to read it: [performance](../performance.md).
"""


def page(results: Results, pictures: list[str]) -> str:
    """Markdown. ``pictures``: the names of the files beside the page."""
    return "\n".join((HEADER, *_page(results, pictures)))


def _page(results: Results, pictures: list[str]) -> Iterator[str]:
    yield _markdown([["", ""], *([name, fact] for name, fact in results.facts.items())])
    if float(results.facts.get("load before", 0)) > BUSY:
        yield "**The machine was busy with other things during this run.**\n"
    for name in pictures:
        yield f"![{name.removesuffix('.svg')}]({name})\n"
    if len(lines := goals(results)) > 1:
        yield f"## Goals\n\n{_markdown(lines)}"
    before = None
    for workload, case in results.cases():
        if workload is not before:
            note = f"\n{workload.note}\n" if workload.note else ""
            yield f"## {workload.name}: {workload.title}\n{note}"
        before = workload
        yield f"{case.name}:\n\n{_markdown(table(results, workload, case))}"
    for name, text in results.texts.items():
        yield f"## {SCRIPTS[name].title}\n\n```text\n{text}\n```\n"
    if results.profiles:
        yield "## Where the time goes\n\nOf the goals that were missed, by cProfile.\n"
    for name, text in results.profiles.items():
        yield f"{name}:\n\n```text\n{text}\n```\n"
    if results.left_out:
        yield "## Left out\n"
        yield "".join(f"- {name}: {why}\n" for name, why in results.left_out.items())


def _markdown(lines: Lines) -> str:
    head, *rest = lines
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rest))

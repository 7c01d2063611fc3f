"""What came out: a table on the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from .plan import OURS, Column
from .run import Results, Row


def value(row: Row, column: Column) -> float:
    """The median of all rounds."""
    return statistics.median(figures[column.name] for figures in row.rounds)


def spread(row: Row, column: Column) -> float:
    """Half of the distance between the lowest and the highest, as a part of the median."""
    values = [figures[column.name] for figures in row.rounds]
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def ratio(ours: Row, other: Row, column: Column) -> float:
    """How much better we are: the median of the ratios of each round. Above 1: better."""
    pairs = zip(ours.rounds, other.rounds, strict=False)
    if column.more_is_better:
        return statistics.median(_over(mine[column.name], his[column.name]) for mine, his in pairs)
    return statistics.median(_over(his[column.name], mine[column.name]) for mine, his in pairs)


def _over(a: float, b: float) -> float:
    if a == b:
        return 1.0  # nothing is as good as nothing
    return a / b if b else float("inf")


def title(row: Row, results: Results) -> str:
    return f"{results.peers[row.contestant.peer].title} {row.contestant.way}".strip()


def tables(results: Results) -> Iterator[tuple[str, list[list[str]]]]:
    """A heading and the cells, the first line being the names of the columns."""
    for workload, case in dict.fromkeys((row.workload, row.case) for row in results.rows):
        rows = results.of(workload, case)
        ours = [row for row in rows if row.contestant.peer == OURS and row.rounds]
        shown = [c for c in workload.columns if any(has(row, c) for row in rows)]
        head = ["", *(column.title for column in shown), "+-"]
        head += [f"{row.contestant.way or 'ours'} is" for row in ours]
        lines = [head]
        for row in rows:
            if not row.rounds:
                lines.append([title(row, results), "failed", *[""] * (len(head) - 2)])
                continue
            cells = [c.text(value(row, c)) if has(row, c) else "" for c in shown]
            cells.append(f"{spread(row, next(c for c in shown if has(row, c))):.0%}")
            cells += [comparison(mine, row) if mine is not row else "" for mine in ours]
            lines.append([title(row, results), *cells])
        yield f"{workload.name} {workload.title}: {case.name}", lines


def comparison(ours: Row, other: Row) -> str:
    """In the first figure that both have."""
    for column in ours.workload.columns:
        if has(ours, column) and has(other, column):
            return f"{ratio(ours, other, column):.2f} x"
    return ""


def has(row: Row, column: Column) -> bool:
    return bool(row.rounds) and column.name in row.rounds[0]


def aligned(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{line[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def terminal(results: Results) -> str:
    parts = [f"{heading}\n{aligned(lines)}" for heading, lines in tables(results)]
    return "\n\n".join(parts)

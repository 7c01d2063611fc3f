"""What came out: a table on the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from .peers import PEERS
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
    ratios = [
        mine[column.name] / theirs[column.name] if theirs[column.name] else float("inf")
        for mine, theirs in pairs
    ]
    middle = statistics.median(ratios)
    if column.more_is_better:
        return middle
    return 1 / middle if middle else float("inf")


def title(row: Row) -> str:
    return f"{PEERS[row.contestant.peer].title} {row.contestant.way}".strip()


def tables(results: Results) -> Iterator[tuple[str, list[list[str]]]]:
    """A heading and the cells, the first line being the names of the columns."""
    for workload, case in dict.fromkeys((row.workload, row.case) for row in results.rows):
        rows = results.of(workload, case)
        ours = [row for row in rows if row.contestant.peer == OURS and row.rounds]
        first = workload.columns[0]
        shown = [
            c for c in workload.columns if any(c.name in r.rounds[0] for r in rows if r.rounds)
        ]
        head = ["", *(column.title for column in shown), "±"]
        head += [f"{row.contestant.way or 'ours'} is" for row in ours]
        lines = [head]
        for row in rows:
            if not row.rounds:
                lines.append([title(row), "failed", *[""] * (len(head) - 2)])
                continue
            cells = [c.text(value(row, c)) if c.name in row.rounds[0] else "" for c in shown]
            cells.append(f"{spread(row, first):.0%}")
            cells += [
                f"{ratio(mine, row, first):.2f} x" if mine is not row else "" for mine in ours
            ]
            lines.append([title(row), *cells])
        yield f"{workload.name} {workload.title}: {case.name}", lines


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

"""Were the goals reached?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from ..harness.plan import OURS, Column, Goal, Workload
from ..harness.results import Results, Row


@dataclass(frozen=True)
class Verdict:
    workload: Workload
    goal: Goal
    reached: float | None
    """The ratio, or the figure; None if it was not measured."""
    text: str

    @property
    def met(self) -> bool | None:
        if self.reached is None:
            return None
        goal = self.goal
        return (goal.at_least is None or self.reached >= goal.at_least) and (
            goal.at_most is None or self.reached <= goal.at_most
        )


def verdicts(results: Results) -> Iterator[Verdict]:
    for workload in dict.fromkeys(row.workload for row in results.rows):
        for goal in workload.goals:
            yield _verdict(workload, goal, results)


def _verdict(workload: Workload, goal: Goal, results: Results) -> Verdict:
    rows = {
        row.contestant.key: row
        for row in results.rows
        if row.workload is workload and row.case.name == goal.case and row.rounds
    }
    ours, other = rows.get(f"{OURS} {goal.way}".strip()), rows.get(goal.against)
    if ours is None or (goal.against and other is None):
        return Verdict(workload, goal, None, "not measured")
    column = workload.column(goal.column)
    if other is None:
        reached = median(ours, column)
        return Verdict(workload, goal, reached, f"{column.text(reached)} {column.unit}")
    reached = ratio(ours, other, column)
    return Verdict(workload, goal, reached, f"{reached:.2f} x")


def has(row: Row, column: Column) -> bool:
    return bool(row.rounds) and column.name in row.rounds[0]


def median(row: Row, column: Column) -> float:
    """The median of a figure over all rounds."""
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

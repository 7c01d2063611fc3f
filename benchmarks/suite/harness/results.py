"""What came out of a run, and its way into a file and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..workloads import WORKLOADS
from .plan import Case, Contestant, Figures, Workload


@dataclass
class Row:
    """What a contestant reached in a case: the figures of each round."""

    workload: Workload
    case: Case
    contestant: Contestant
    title: str
    rounds: list[Figures] = field(default_factory=list)
    problem: str = ""


@dataclass
class Results:
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Titles of peers, and why."""
    texts: dict[str, str] = field(default_factory=dict)
    """What the scripts printed that belong to the run, by their names."""
    profiles: dict[str, str] = field(default_factory=dict)
    """Where our time goes, by what it goes for."""
    facts: dict[str, str] = field(default_factory=dict)
    """When, where, with what: for the reader."""

    def of(self, workload: Workload, case: Case) -> list[Row]:
        return [row for row in self.rows if row.workload is workload and row.case is case]

    def cases(self) -> list[tuple[Workload, Case]]:
        """In the order in which they were measured."""
        return list(dict.fromkeys((row.workload, row.case) for row in self.rows))

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.problem]


#: What is text already.
TEXTS = ("facts", "left_out", "texts", "profiles")


def save(results: Results, path: Path) -> None:
    rows = [
        {
            "workload": row.workload.name,
            "case": row.case.name,
            "peer": row.contestant.peer,
            "way": row.contestant.way,
            "title": row.title,
            "problem": row.problem,
            "rounds": [
                {name: float(f"{value:.5g}") for name, value in figures.items()}
                for figures in row.rounds
            ],
        }
        for row in results.rows
    ]
    # A line for each row, so that a difference between two runs can be read.
    lines = ",\n".join(json.dumps(row) for row in rows)
    rest = {name: getattr(results, name) for name in TEXTS}
    path.write_text(f'{json.dumps(rest)[:-1]}, "rows": [\n{lines}\n]}}\n')


def load(path: Path) -> Results:
    """Rows of cases that the suite does not have any more are left out."""
    stored = json.loads(path.read_text())
    rows = [row for row in map(_row, stored["rows"]) if row is not None]
    return Results(rows, **{name: stored[name] for name in TEXTS})


def _row(stored: Mapping[str, Any]) -> Row | None:
    workload = WORKLOADS.get(stored["workload"])
    if workload is None:
        return None
    case = next((case for case in workload.cases if case.name == stored["case"]), None)
    if case is None:
        return None
    contestant = Contestant(stored["peer"], stored["way"])
    return Row(workload, case, contestant, stored["title"], stored["rounds"], stored["problem"])

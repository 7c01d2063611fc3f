"""Where our time goes: the functions of both sides that take most of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..harness.plan import OURS, Case, Contestant, Task, Workload
from ..harness.results import Results
from ..harness.run import Options, settings_of
from ..harness.stage import Side, SideFailed, Stage
from ..peers import PEERS, Peer
from .goals import verdicts
from .tables import aligned

SHOWN = 12
"""Functions of each side."""


def profiles_of(workloads: Iterable[Workload], options: Options) -> Iterator[tuple[str, str]]:
    """Headings and tables: all of our ways, in the first case of each workload."""
    for workload in workloads:
        for contestant in workload.contestants:
            if contestant.peer == OURS:
                yield from _profile(workload, workload.cases[0], contestant, options)


def profiles_of_missed(results: Results, options: Options) -> Iterator[tuple[str, str]]:
    """Profile what missed its goal."""
    done = set()
    for verdict in verdicts(results):
        workload, goal = verdict.workload, verdict.goal
        what = (workload.name, goal.case, goal.way)
        if verdict.met is False and what not in done:
            done.add(what)
            case = next(case for case in workload.cases if case.name == goal.case)
            ours = (c for c in workload.contestants if c.peer == OURS and c.way == goal.way)
            yield from _profile(workload, case, next(ours), options)


class _ProfilingStage(Stage):
    def __init__(self, peer: Peer, cpus: tuple[int, ...]) -> None:
        super().__init__(peer, cpus)
        self.found: dict[str, list[list[Any]]] = {}

    def start(self, part: str, settings: Mapping[str, Any], peer: Peer | None = None) -> Side:
        return super().start(part, {**settings, "profile": True}, peer)

    def totals(self, side: Side) -> dict[str, float]:
        totals: dict[str, Any] = super().totals(side)
        self.found[side.name] = totals.pop("profile")
        return totals


def _profile(
    workload: Workload, case: Case, contestant: Contestant, options: Options
) -> Iterator[tuple[str, str]]:
    name = f"{workload.name} {case.name} {contestant.way}".rstrip()
    task = Task(workload, case, contestant, settings_of(case, contestant, options))
    stage = _ProfilingStage(PEERS[OURS].within(workload.modules), case.cpus(options.cpus))
    with stage:
        try:
            workload.measure(stage, task)
        except SideFailed as failure:
            yield name, f"failed: {failure}"
            return
    if stage.found:  # not all workloads ask their sides
        yield name, "\n\n".join(_table(side, rows) for side, rows in stage.found.items())


def _table(side: str, rows: list[list[Any]]) -> str:
    whole = sum(seconds for _, _, seconds in rows) or 1.0
    lines = [[side, "calls", "of the time"]]
    for function, calls, seconds in sorted(rows, key=lambda row: -row[2])[:SHOWN]:
        lines.append([function, f"{calls:,}", f"{seconds / whole:.1%}"])
    return aligned(lines)

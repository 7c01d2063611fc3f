"""Runs rounds: every contestant in the first one, then every contestant in the second one, ...

So whatever else the machine does meanwhile meets all of them alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from ..peers import PEERS, Peer
from .machine import facts, load
from .plan import BEFORE, OURS, Case, Contestant, Figures, Task, Workload
from .results import Results, Row
from .services import Services
from .stage import PATIENCE, SideFailed, Stage


@dataclass(frozen=True)
class Options:
    rounds: int = 5
    scale: float = 1
    """Multiplies all counts."""
    cpus: tuple[int, ...] = ()
    """The sides are pinned to these by turns; not at all if there are none."""
    peers: Mapping[str, Peer] = field(default_factory=lambda: PEERS)
    """The peers that may take part, by name."""
    short: bool = False
    patience: float = PATIENCE
    """Seconds for one measurement."""


def default_cpus() -> tuple[int, ...]:
    """Two of those that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[:2])


def run(
    workloads: Iterable[Workload], options: Options, say: Callable[[str], object] = print
) -> Results:
    form = f"{options.rounds} rounds" + (", the short form" if options.short else "")
    results = Results(facts=facts(options.peers, options.cpus) | {"form": form})
    began = time.monotonic()
    with Services() as services:
        for workload in workloads:
            _run_workload(workload, options, results, services, say)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    results.facts |= {"load after": load(), "took": f"{minutes} min {seconds} s"}
    return results


def _run_workload(
    workload: Workload,
    options: Options,
    results: Results,
    services: Services,
    say: Callable[[str], object],
) -> None:
    contestants = list(workload.contestants)
    if BEFORE in options.peers:
        contestants += [replace(c, peer=BEFORE) for c in contestants if c.peer == OURS]
    present = [c for c in contestants if _takes_part(c, options, results, services, say)]
    rows = [
        Row(workload, case, contestant, _title(contestant, options))
        for case in workload.cases
        if (case.short or not options.short) and _can_be_run(case, workload, results, say)
        for contestant in present
        if contestant.peer not in case.without
    ]
    results.rows += rows
    rounds = min(options.rounds, workload.rounds or options.rounds)
    for number in range(rounds):
        began = time.monotonic()
        for row in rows:
            if row.problem:
                continue
            _measure_twice_at_most(row, options, services, say)
        lasted = time.monotonic() - began
        say(f"{workload.name} {workload.title}: round {number + 1} of {rounds}, {lasted:.1f} s")


def _measure_twice_at_most(
    row: Row, options: Options, services: Services, say: Callable[[str], object]
) -> None:
    """Some peers stand still now and then, and would be missing in the whole run for it."""
    for what in ("has to begin again", "failed"):
        try:
            row.rounds.append(_measure(row, options, services))
            return
        except SideFailed as failure:
            problem = str(failure)
            say(f"{row.contestant.key}, {row.case.name}: {what}: {problem}")
    row.problem = problem


def _takes_part(
    contestant: Contestant,
    options: Options,
    results: Results,
    services: Services,
    say: Callable[[str], object],
) -> bool:
    peer = options.peers.get(contestant.peer)
    if peer is None:
        return False
    obstacle = peer.obstacle or (peer.server and services.obstacle(peer.server))
    if obstacle and peer.title not in results.left_out:
        results.left_out[peer.title] = obstacle
        say(f"{peer.title} is left out: {obstacle}")
    return not obstacle


def _can_be_run(
    case: Case, workload: Workload, results: Results, say: Callable[[str], object]
) -> bool:
    if not case.needs or find_spec(case.needs):
        return True
    title, obstacle = f"{workload.name} {case.name}", f"{case.needs} cannot be imported"
    results.left_out[title] = obstacle
    say(f"{title} is left out: {obstacle}")
    return False


def _title(contestant: Contestant, options: Options) -> str:
    return f"{options.peers[contestant.peer].title} {contestant.way}".strip()


def _measure(row: Row, options: Options, services: Services) -> Figures:
    peer = options.peers[row.contestant.peer]
    settings = settings_of(row.case, row.contestant, options)
    if peer.server:
        settings["service"] = services.address(peer.server)
    playing = peer.within(row.workload.modules)
    with Stage(playing, row.case.cpus(options.cpus), options.patience) as stage:
        return row.workload.measure(stage, Task(row.workload, row.case, row.contestant, settings))


def settings_of(case: Case, contestant: Contestant, options: Options) -> dict[str, Any]:
    """What the case and the contestant say, with the count scaled."""
    settings = {**case.settings, **contestant.settings}
    if "count" in settings:
        count = settings["count"] * options.scale * contestant.share
        settings["count"] = max(_at_least(settings), int(count))
    return settings


def _at_least(settings: Mapping[str, Any]) -> int:
    """However short the form is."""
    count, at_least, callers = (int(settings.get(n, 1)) for n in ("count", "at_least", "callers"))
    return min(count, at_least * callers)

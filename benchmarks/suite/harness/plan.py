"""What a workload consists of: data that the modules of ``workloads/`` fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .stage import Side, Stage

OURS = "snakemq2"
BEFORE = "before"
"""snakeMQ 2 of another clone."""
FLOOR = "floor"

Figures = dict[str, float]
Measure = Callable[[Stage, "Task"], Figures]


@dataclass(frozen=True)
class Column:
    """A figure, as it is printed. The first one of a workload is the one that is compared."""

    name: str
    title: str
    factor: float = 1
    digits: int = 0
    more_is_better: bool = True
    unit: str = ""
    """For a goal, where the title is not beside it."""

    def text(self, value: float) -> str:
        return f"{value * self.factor:,.{self.digits}f}"


@dataclass(frozen=True, eq=False)
class Contestant:
    """A peer, and how it does the work if there is more than one way."""

    peer: str
    way: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1
    """The part of the count that it does: less for a peer so slow that more only takes time."""

    @property
    def key(self) -> str:
        return f"{self.peer} {self.way}".strip()


class Pinning(Enum):
    """Which CPUs the sides of a measurement use.

    A wake-up across CPUs costs more than all else in a round trip, and one on the same CPU delays
    the side that wakes, so round trips only compare when it is fixed. It takes something from peers
    with threads of their own for input and output, though, which could use both.
    """

    APART = "each side its own"
    TOGETHER = "all sides the same"
    NONE = "as the system likes"


@dataclass(frozen=True, eq=False)
class Case:
    """One size of the work."""

    name: str
    settings: Mapping[str, Any]
    x: float | None = None
    """Where it stands on the axis of a workload that shows how cost grows."""
    pinning: Pinning = Pinning.APART
    short: bool = True
    """Is it part of the short form?"""
    without: tuple[str, ...] = ()
    """Peers that cannot do it; why is said in the workload."""
    needs: str = ""
    """The module without which the case is left out."""

    def cpus(self, available: tuple[int, ...]) -> tuple[int, ...]:
        """Those that the sides are pinned to by turns."""
        if self.pinning is Pinning.TOGETHER:
            return available[:1]
        return available if self.pinning is Pinning.APART else ()


@dataclass(frozen=True)
class Goal:
    """What is wanted of one of our ways: a ratio to a contestant, or an absolute limit."""

    case: str
    way: str
    text: str
    against: str = ""
    """Key of the contestant; an absolute goal if there is none."""
    at_least: float | None = None
    at_most: float | None = None
    column: str = ""
    """Which figure; the first one of the workload by default. A ratio above 1: we are better."""


@dataclass(frozen=True, eq=False)
class Workload:
    name: str
    title: str
    columns: tuple[Column, ...]
    contestants: tuple[Contestant, ...]
    cases: tuple[Case, ...]
    measure: Measure
    goals: tuple[Goal, ...] = ()
    axis: str = ""
    """Name of the axis, for a workload that shows how cost grows."""
    rounds: int | None = None
    """At most this many: for what does not scatter, or takes long."""
    modules: str = ""
    """The folder of ``peers/`` that has the modules for it; empty: ``peers/`` itself."""
    note: str = ""
    """What a reader of the table has to know."""

    def column(self, name: str) -> Column:
        return next((c for c in self.columns if c.name == name), self.columns[0])


@dataclass(frozen=True)
class Task:
    """One measurement: a contestant in a case."""

    workload: Workload
    case: Case
    contestant: Contestant
    settings: Mapping[str, Any]
    """What the case and the contestant say, with ``count`` scaled already."""

    @property
    def count(self) -> int:
        return int(self.settings["count"])


def one_way(kind: str) -> Measure:
    """``count`` things from the first ``send`` to the last one received, in other processes."""

    def measure(stage: Stage, task: Task) -> Figures:
        receiver = stage.start(f"{kind}_receiver", task.settings)
        address = stage.expect("ready", receiver)
        sender = stage.start(f"{kind}_sender", {**task.settings, "address": address})
        stage.go([receiver, sender])
        done = stage.expect("finished", receiver)
        return two_sided(stage, receiver, sender, done, task.count)

    return measure


def two_sided(stage: Stage, receiver: Side, sender: Side, done: Figures, count: int) -> Figures:
    """What both sides tell, for each of ``count`` things that went from one to the other."""
    received, sent = stage.totals(receiver), stage.totals(sender)
    # The clock is the system's, the same in all processes.
    lasted = done["ended"] - sent["began"]
    return {
        "rate": count / lasted,
        "seconds": lasted,
        "received_cpu": received["cpu"] / count,
        "sent_cpu": sent["cpu"] / count,
        "received_peak": received["peak"],
        "sent_peak": sent["peak"],
        "received_memory": received["memory"],
        "sent_memory": sent["memory"],
        "switches": (received["switches"] + sent["switches"]) / lasted,
    }


def calls(stage: Stage, task: Task) -> Figures:
    """Calls that a client makes to a server."""
    server = stage.start("calls_server", task.settings)
    address = stage.expect("ready", server)
    client = stage.start("calls_client", {**task.settings, "address": address})
    stage.go([client])
    done = stage.expect("finished", client)
    lasted, count = done["ended"] - done["began"], done["calls"]
    figures = {
        "rate": count / lasted,
        "received_cpu": stage.totals(server)["cpu"] / count,
        "sent_cpu": stage.totals(client)["cpu"] / count,
    }
    return figures | {name: done[name] for name in ("p50", "p99") if name in done}


RATE_COLUMNS = (
    Column("sent_cpu", "CPU µs sending", 1e6, 2, more_is_better=False),
    Column("received_cpu", "receiving", 1e6, 2, more_is_better=False),
)

"""What all links of a network share: time, chance, what is to do, and what has happened."""

from collections import Counter, deque
from random import Random
from threading import Event
from typing import NamedTuple, Protocol

from snakemq.link._loop._timers import TimerHeap

from ._clock import FakeClock


class TraceEvent(NamedTuple):
    """One thing that happened in a :class:`MemoryNetwork`."""

    time: float
    link: str
    event: str
    """``connect``, ``recv``, ``sent``, ``disconnect``, ``timer``, or the name of a fault."""
    conn_id: str
    size: int
    """Bytes, of ``recv`` and ``sent``."""


class Runnable(Protocol):
    """Something that runs in passes."""

    gone: bool

    def plan(self) -> None:
        """Have a pass run, unless one is planned already."""

    def run_pass(self) -> None:
        """Do what there is to do now."""


class World:
    """The surroundings of links, see the attributes of :class:`MemoryNetwork`."""

    def __init__(self, seed: int | None, clock: FakeClock | None, at_once: bool) -> None:
        self.seed = seed
        self.seeded: bool = seed is not None
        self.random: Random = Random(0 if seed is None else seed)
        self.clock: FakeClock = FakeClock() if clock is None else clock
        self.at_once = at_once
        self.timers: TimerHeap = TimerHeap()
        self.trace: list[TraceEvent] = []
        self.errors: list[Exception] = []
        self.faults: Counter[str] = Counter()
        self.runnable: deque[Runnable] = deque()
        """Those that have a pass planned, in order."""
        self.woken: deque[Runnable] = deque()
        """Those that other threads have woken."""
        self.bell: Event = Event()
        """Set whenever one is woken."""

    def note(self, link: str, event: str, conn_id: str = "", size: int = 0) -> None:
        """Add an event to the trace."""
        self.trace.append(TraceEvent(self.clock.time(), link, event, conn_id, size))

    def fault(self, link: str, kind: str, conn_id: str = "") -> None:
        """Count a fault that was injected, and add it to the trace."""
        self.faults[kind] += 1
        self.note(link, kind, conn_id)

    def wake(self, who: Runnable) -> None:
        """Have a pass run. Thread-safe."""
        self.woken.append(who)
        self.bell.set()

"""The network: it decides what happens next, and what goes wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from snakemq.exceptions import LoopError
from snakemq.link._interface import no_connection

from ._clock import FakeClock
from ._cut import Cut, random_pieces, whole
from ._end import End, State
from ._machine import Machine
from ._memory_connector import MemoryConnector
from ._memory_link import MemoryLink
from ._pipe import Latency, Pipe
from ._world import TraceEvent, World


class MemoryNetwork:
    """Links that are connected in memory, run step by step under a fake clock.

    Nothing happens by itself: :meth:`run_until_idle`, :meth:`advance` and :meth:`run_until` do
    what there is to do. The thread that calls them is the loop of all links. Time moves only when
    nothing is left to do at the present moment.

    Without a seed everything comes in the order in which it was begun and in pieces as large as
    they can be. With a ``seed``, the order of things that could happen at the same time and the
    sizes of the pieces are drawn from ``Random(seed)``: one seed is one exact run.

    ``capacity``: bytes that a direction holds between ``send`` and ``on_recv``; ``None``: any
    number. ``latency``: seconds from ``send`` to ``on_recv``, or bounds to draw them from.
    ``send_cut``: how much one ``send`` takes over; ``recv_cut``: how much one ``on_recv`` gets.
    ``step_limit``: passes after which a run is given up if time does not move.
    ``at_once``: ``send_at_once`` takes data over at once if it fits, and if the seed does not
    decide otherwise; else it works like ``send``.

    Only ``wakeup_poll``, ``time`` and ``in_loop`` of the links are thread-safe.
    """

    def __init__(
        self,
        seed: int | None = None,
        clock: FakeClock | None = None,
        *,
        capacity: int | None = 256 * 1024,
        latency: Latency = 0.0,
        send_cut: Cut | None = None,
        recv_cut: Cut | None = None,
        step_limit: int = 200_000,
        at_once: bool = False,
    ) -> None:
        default_cut = whole if seed is None else random_pieces
        self.seed = seed
        self.seeded: bool = seed is not None
        self._world = world = World(seed, clock, at_once)
        self.random: Random = world.random
        """The source of all decisions. A test that draws its own from it replays as a whole."""
        self.clock: FakeClock = world.clock
        self.capacity = capacity
        self.latency = latency
        self.send_cut: Cut = send_cut or default_cut
        self.recv_cut: Cut = recv_cut or default_cut
        self.step_limit = step_limit

        self.links: dict[str, MemoryLink] = {}
        self.trace: list[TraceEvent] = world.trace
        """What happened, in order. The same seed and the same calls give the same trace."""
        self.errors: list[Exception] = world.errors
        """What the callbacks of all links, also of those that are gone, have raised."""
        self.faults: Counter[str] = world.faults
        """How often each kind of fault was injected."""

        self._ends: dict[str, End] = {}
        self._conn_count = 0
        self._partitions: dict[frozenset[str], object] = {}
        self._running = False

    @property
    def at_once(self) -> bool:
        return self._world.at_once

    @property
    def bytes_under_way(self) -> int:
        """How many bytes have been sent on all connections and have not arrived yet."""
        return sum(end.out.flying for end in self._ends.values())

    # -- building

    def link(self, name: str) -> MemoryLink:
        """Make a link. It can take the name of one that is gone, like a process that restarts."""
        return MemoryLink(self, name)

    def join(self, link: MemoryLink, name: str) -> Machine:
        """Add a link, and give it a machine to run on. For the constructor of the link."""
        if name in self.links:
            raise ValueError(f"there is a link {name!r} already")
        self.links[name] = link
        return link.MachineType(self._world, name, self._ends)

    def connect(self, a: MemoryLink, b: MemoryLink, *, ident: str | None = None) -> tuple[str, str]:
        """Have ``a`` dial ``b``; returns the ids of the connection on ``a`` and on ``b``.

        ``on_connect`` is called on both sides as soon as the network runs; until then the links do
        not know the ids. ``ident``: see :meth:`Link.add_connector`. Raises ``OSError`` when they
        cannot reach each other.
        """
        for link in (a, b):
            if link.gone:
                raise ConnectionRefusedError(f"{link.name!r} is gone")
        if frozenset((a.name, b.name)) in self._partitions:
            raise TimeoutError(f"{a.name!r} and {b.name!r} are partitioned")
        there = Pipe(self._world, self.capacity, self.latency, self.send_cut, self.recv_cut)
        back = Pipe(self._world, self.capacity, self.latency, self.send_cut, self.recv_cut)
        self._conn_count += 1
        end_a = End(a.machine, f"{a.name}#{self._conn_count}", back, there, b.credentials)
        self._conn_count += 1
        end_b = End(b.machine, f"{b.name}#{self._conn_count}", there, back, a.credentials)
        end_a.dialled, end_a.expected_ident = b.name, ident
        end_a.peer, end_b.peer = end_b, end_a
        for end in (end_a, end_b):
            self._ends[end.conn_id] = end
            end.wake_input()
        return end_a.conn_id, end_b.conn_id

    def keep_connected(
        self,
        link: MemoryLink,
        name: str,
        interval: Latency = 1.0,
        *,
        ident: str | None = None,
    ) -> MemoryConnector:
        """Connect ``link`` to the link called ``name``, and again whenever that is needed.

        ``interval``: seconds until the next attempt, or bounds to draw them from. Each attempt
        dials the link that has the name at that moment, so it finds a process that was restarted.
        ``ident``: see :meth:`Link.add_connector`.
        """
        return MemoryConnector(self, link, name, interval, ident)

    def shape(
        self,
        conn_id: str,
        *,
        capacity: int | None = None,
        latency: Latency | None = None,
        send_cut: Cut | None = None,
        recv_cut: Cut | None = None,
        speed: float | None = None,
        relayed: bool | None = None,
    ) -> None:
        """Change the direction from the side that calls it ``conn_id`` to the other one.

        ``speed``: bytes that arrive per second. ``relayed``: whether a relay on the way
        acknowledges everything at once, although it has not arrived. ``None`` leaves a thing as it
        is.
        """
        end = self._end(conn_id)
        pipe = end.out
        pipe.capacity = pipe.capacity if capacity is None else capacity
        pipe.latency = pipe.latency if latency is None else latency
        pipe.speed = pipe.speed if speed is None else speed
        pipe.relayed = pipe.relayed if relayed is None else relayed
        pipe.send_cut = send_cut or pipe.send_cut
        pipe.recv_cut = recv_cut or pipe.recv_cut
        end.wake_output()

    def other_side(self, conn_id: str) -> str:
        """The name of the link at the other end of a connection."""
        return self._end(conn_id).peer.owner.name

    # -- running

    def run_until_idle(self) -> None:
        """Do everything that can happen at the present time, without moving the clock.

        Raises ``RuntimeError`` after ``step_limit`` passes: then something answers itself forever.
        """
        with self._run():
            self._exhaust()

    def run_passes(self, count: int) -> int:
        """Run at most ``count`` passes without moving the clock, and return how many there were.

        This lets a test interfere while things are under way: between two passes there are bytes in
        the pipes, and sends that are begun and not finished.
        """
        with self._run():
            for done in range(count):
                if not self._one_pass():
                    return done
        return count

    def advance(self, seconds: float) -> None:
        """Let time pass, from timer to timer, and do all that can happen at each."""
        end = self.clock.time() + seconds
        while self.advance_to_timer(end):
            pass

    def advance_to_timer(self, end: float) -> bool:
        """Let time pass until the next timer, and do all that can happen then.

        ``end``: the time to stop at. Returns False if there is no timer until then. To let threads
        go on between two timers, call this again and again, in the place of :meth:`advance`.
        """
        with self._run():
            self._exhaust()
            if self._move_clock(end):
                self._exhaust()
                return True
            self.clock.advance_to(end)
            return False

    def run_until(
        self, predicate: Callable[[], bool], timeout: float = 60.0, *, patience: float = 0.0
    ) -> None:
        """Run, moving the clock as needed, until ``predicate()`` holds; asked before each pass.

        ``timeout``: how far the clock may move, in its seconds.
        ``patience``: real seconds to wait for other threads (a pool that works on something and
        will call ``wakeup_poll``) whenever nothing else is left to do, before the clock moves.

        Raises ``TimeoutError``, and ``RuntimeError`` like :meth:`run_until_idle`.
        """
        deadline = self.clock.time() + timeout
        passes = 0
        with self._run():
            while not predicate():
                if self._one_pass():
                    passes += 1
                    self._check_limit(passes)
                elif patience and self._wait_for_threads(predicate, patience):
                    pass
                elif self._move_clock(deadline):
                    passes = 0
                elif self._world.timers.next_time() is None:
                    raise TimeoutError(f"it never will be: nothing is left to do{self._story()}")
                else:
                    raise TimeoutError(f"not within {timeout:g} s{self._story()}")

    # -- faults

    def disconnect(self, conn_id: str) -> None:
        """Break a connection: both sides notice, and the bytes in flight are lost."""
        self._end(conn_id).reset()

    def reset_after(self, conn_id: str, size: int) -> None:
        """Break a connection when the other side has received ``size`` more bytes of this one."""
        end = self._end(conn_id)
        if size:
            end.out.reset_in = size
        else:
            end.reset()

    def stall(self, conn_id: str) -> None:
        """Let no ``send`` of this side finish; :meth:`unstall` ends it."""
        end = self._end(conn_id)
        self._world.fault(end.owner.name, "stall", conn_id)
        end.out.stalled = True

    def unstall(self, conn_id: str) -> None:
        """Undo :meth:`stall`."""
        end = self._end(conn_id)
        end.out.stalled = False
        end.wake_output()

    def vanish(self, link: MemoryLink) -> None:
        """Cut the power of a link: it does nothing any more, and nobody notices.

        Its peers have half-open connections now: nothing comes, and what they send fills the
        capacity. What it has sent and nobody has received is lost.
        """
        self._remove(link, "vanish")
        for end in self._ends_of(link):
            self._ends.pop(end.conn_id)
            end.state = State.CLOSED
            end.pending = None
            end.inp.held = True  # nobody acknowledges what is sent to it
            end.out.kill()
        link.machine.ends.clear()

    def crash(self, link: MemoryLink) -> None:
        """Kill the process of a link: none of its callbacks is called, but its system closes its
        connections, so that its peers receive what was taken over and then ``on_disconnect``."""
        self._remove(link, "crash")
        for end in self._ends_of(link):
            link.machine.forget(end)

    def partition(self, a: MemoryLink, b: MemoryLink, seconds: float | None = None) -> None:
        """Let nothing pass between two links, for a time or until :meth:`heal`.

        Connections do not break: what is sent waits, within the capacity. :meth:`connect`
        raises ``TimeoutError`` meanwhile. The names count: a restarted link is behind the same
        partition.
        """
        names = frozenset((a.name, b.name))
        self._world.fault(a.name, "partition", b.name)
        this = self._partitions[names] = object()
        self._hold(names, True)
        if seconds is not None:
            self._world.timers.add(
                self.clock.time() + seconds,
                # not one that was begun later
                lambda: self._heal(names) if self._partitions.get(names) is this else None,
            )

    def heal(self, a: MemoryLink, b: MemoryLink) -> None:
        """Undo :meth:`partition`; what was waiting arrives."""
        self._heal(frozenset((a.name, b.name)))

    # -- inside

    @contextmanager
    def _run(self) -> Iterator[None]:
        if self._running:
            raise LoopError("the network is running already; a callback must not run it again")
        self._running = True
        try:
            yield
        finally:
            self._running = False

    def _one_pass(self) -> bool:
        """Run a pass of one link. Returns False when no link has anything to do."""
        woken = self._world.woken
        while woken:
            woken.popleft().plan()
        runnable = self._world.runnable
        if not runnable:
            return False
        if self.seeded and len(runnable) > 1:
            runnable.rotate(-int(self.random.random() * len(runnable)))
        machine = runnable.popleft()
        if not machine.gone:
            machine.run_pass()
        return True

    def _exhaust(self) -> None:
        passes = 0
        while self._one_pass() or self._move_clock(self.clock.time()):
            passes += 1
            self._check_limit(passes)

    def _move_clock(self, limit: float) -> bool:
        """Move on to the next timer that is due by ``limit``. Returns False when there is none."""
        when = self._world.timers.next_time()
        if when is None or when > limit:
            return False
        now = max(when, self.clock.time())  # somebody may have moved the clock without us
        self.clock.advance_to(now)
        for func in self._world.timers.pop_due(now):
            func()
        return True

    def _check_limit(self, passes: int) -> None:
        if passes > self.step_limit:
            raise RuntimeError(
                f"still busy after {self.step_limit} passes at {self.clock.time():g} s: "
                f"does something answer itself forever?{self._story()}"
            )

    def _wait_for_threads(self, predicate: Callable[[], bool], patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not self._world.woken:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            # What a predicate looks at may change without a wake-up, so it is asked now and then.
            self._world.bell.clear()
            if not self._world.woken and not predicate():
                self._world.bell.wait(min(remaining, 0.005))
            if predicate():
                return True
        return True

    def _story(self) -> str:
        seed = f" (seed {self.seed})" if self.seeded else ""
        return f"{seed}; last: " + ", ".join(
            f"{e.link} {e.event} {e.conn_id} {e.size}" for e in self.trace[-6:]
        )

    def _end(self, conn_id: str) -> End:
        try:
            return self._ends[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None

    def _ends_of(self, link: MemoryLink) -> list[End]:
        return [end for end in self._ends.values() if end.owner is link.machine]

    def _remove(self, link: MemoryLink, kind: str) -> None:
        if link.gone:
            raise ValueError(f"{link!r} is gone already")
        self._world.fault(link.name, kind)
        link.machine.gone = True
        del self.links[link.name]

    def _heal(self, names: frozenset[str]) -> None:
        if names in self._partitions:
            del self._partitions[names]
            self._hold(names, False)

    def _hold(self, names: frozenset[str], held: bool) -> None:
        for end in list(self._ends.values()):
            if frozenset((end.owner.name, end.peer.owner.name)) == names:
                end.inp.held = held
                end.wake_input()

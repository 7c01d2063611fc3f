"""A link of a memory network."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from snakemq.callbacks import Callback, Event
from snakemq.link._interface import BytesLike, check_send, no_connection

from ._connection import End, State

if TYPE_CHECKING:
    from snakemq.link._loop._timers import Timer

    from ._network import MemoryNetwork

P = ParamSpec("P")

_log = logging.getLogger("snakemq.link")


class MemoryLink:
    """A :class:`~snakemq.link.LinkInterface` without sockets and threads.

    Made by :meth:`MemoryNetwork.link`. The thread that runs the network is the loop of all links.
    A subclass that misbehaves joins its network by being constructed.
    """

    on_connect: Event[[str]] = Event()
    on_disconnect: Event[[str]] = Event()
    on_recv: Event[[str, bytes]] = Event()
    on_ready_to_send: Event[[str, int]] = Event()
    on_loop_pass: Event[[]] = Event()

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self.on_connect = Callback()
        self.on_disconnect = Callback()
        self.on_recv = Callback()
        self.on_ready_to_send = Callback()
        self.on_loop_pass = Callback()

        self.errors: list[Exception] = []
        """What callbacks and timers have raised, oldest first; it was logged too."""
        self.gone = False
        """Has this link vanished or crashed? Then none of its callbacks is called any more."""

        if name in network.links:
            raise ValueError(f"there is a link {name!r} already")
        network.links[name] = self
        self._network = network
        self._ends: dict[str, End] = {}
        self._ready: list[Callable[[], None]] = []
        self._due: list[_LinkTimer] = []
        self._planned = False  # does the network know that a pass is needed?
        self._woken = False
        self._thread: int | None = None
        self._borrowed = 0

    # -- LinkInterface

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`. Nothing is taken over until the network runs."""
        self._ready_to_send(conn_id, data).send(data)

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """See :meth:`SendsAtOnce.send_at_once`, and ``at_once`` of the network."""
        end = self._ready_to_send(conn_id, data)
        if end.take_at_once(data):
            self._network._note(self.name, "sent", conn_id, len(data))
            return True
        end.send(data)
        return False

    def _ready_to_send(self, conn_id: str, data: BytesLike) -> End:
        end = self._end(conn_id)
        check_send(conn_id, data, is_sending=end.pending is not None)
        return end

    def close(self, conn_id: str) -> None:
        """See :meth:`LinkInterface.close`. What was taken over already still arrives."""
        self._drop(self._end(conn_id))

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        """See :meth:`LinkInterface.pause_reading`. In tests also a way to be a peer that does not
        read: the other side's sends fill the capacity and then stop.

        The end of the connection is not noticed either, unless it breaks.
        """
        self._end(conn_id).inp.paused_by.add(reason)

    def resume_reading(self, conn_id: str, reason: object = None) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        end = self._end(conn_id)
        end.inp.paused_by.discard(reason)
        end.wake_input()

    def is_reading(self, conn_id: str) -> bool:
        """See :meth:`LinkInterface.is_reading`."""
        return not self._end(conn_id).inp.paused_by

    def unsent_bytes(self, conn_id: str) -> int | None:
        """See :meth:`ProgressLink.unsent_bytes`: what latency, or a partition, keeps in the air,
        and what was sent to a link that has vanished."""
        return self._end(conn_id).out.unacknowledged()

    def unanswered_for(self, conn_id: str) -> float | None:
        """See :meth:`ProgressLink.unanswered_for`."""
        pipe = self._end(conn_id).out
        return self.time() - pipe.acknowledged_at if pipe.unacknowledged() else 0.0

    def wakeup_poll(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        # Cleared right before on_loop_pass: whoever finds it set knows that one is still to come.
        if not self._woken:
            self._woken = True
            self._network._woken_by(self)

    def call_later(self, delay: float, func: Callable[[], object]) -> _LinkTimer:
        """See :meth:`LinkInterface.call_later`. The clock is the network's."""
        timer = _LinkTimer(self, func)
        now = self._network.clock.time()
        if now + delay <= now:
            timer.ring()
        else:
            timer.entry = self._network._timers.add(now + delay, timer.ring)
        return timer

    def time(self) -> float:
        """See :meth:`LinkInterface.time`: the present of the network's clock."""
        return self._network.clock.time()

    def in_loop(self) -> bool:
        """See :meth:`LinkInterface.in_loop`: does this thread run a pass of this very link?"""
        return self._thread == threading.get_ident()

    def borrow(self) -> bool:
        """See :meth:`LendingLink.borrow`. Who runs the network is the loop of all links, and never
        asleep."""
        is_loop = self.in_loop()
        self._borrowed += is_loop
        return is_loop

    def give_back(self) -> None:
        """See :meth:`LendingLink.give_back`."""
        if not self._borrowed:
            raise RuntimeError("the loop was not borrowed")
        self._borrowed -= 1

    # -- for tests

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of the connections that are open, oldest first."""
        return tuple(self._ends)

    def __repr__(self) -> str:
        return f"<MemoryLink {self.name!r}, {len(self._ends)} connections>"

    # -- for the network and its connections

    def _queue(self, step: Callable[[], None]) -> None:
        self._ready.append(step)
        self._plan()

    def _plan(self) -> None:
        if not self._planned and not self.gone:
            self._planned = True
            self._network._runnable.append(self)

    def _run_pass(self) -> None:
        self._planned = False
        network = self._network
        steps, self._ready = self._ready, []
        timers, self._due = self._due, []
        if network.seeded and len(steps) > 1:
            network.random.shuffle(steps)
            some = 1 + int(network.random.random() * len(steps))
            self._ready = steps[some:]
            del steps[some:]
        self._thread = threading.get_ident()
        try:
            for step in steps:
                if self.gone:
                    return
                step()
            for timer in timers:
                if self.gone:
                    return
                func = timer.func
                if func is not None:
                    timer.func = None
                    network._note(self.name, "timer")
                    self._call(func)
            if self.gone:
                return
            self._woken = False
            self._call(self.on_loop_pass)
        finally:
            self._thread = None
        if self._ready or self._due or self._woken:
            self._plan()

    def _announce(self, end: End) -> None:
        self._ends[end.conn_id] = end
        self._network._note(self.name, "connect", end.conn_id)
        if not self._call(self.on_connect.call_while, lambda: end.state is State.OPEN, end.conn_id):
            self._drop_if_open(end)

    def _received(self, end: End, data: bytes) -> None:
        self._network._note(self.name, "recv", end.conn_id, len(data))
        try:
            self._call(self.on_recv, end.conn_id, data)
        except BaseException:  # Ctrl-C: nobody knows how far the data got
            self._drop_if_open(end)
            raise

    def _sent(self, end: End, size: int) -> None:
        self._network._note(self.name, "sent", end.conn_id, size)
        self._call(self.on_ready_to_send, end.conn_id, size)

    def _drop_if_open(self, end: End) -> None:
        if end.state is State.OPEN:
            self._drop(end)

    def _drop(self, end: End) -> None:
        """Close this end and tell it."""
        self._forget(end)
        self._network._note(self.name, "disconnect", end.conn_id)
        self._call(self.on_disconnect, end.conn_id)

    def _forget(self, end: End) -> None:
        """Close this end without a word to this side."""
        self._ends.pop(end.conn_id, None)
        self._network._ends.pop(end.conn_id, None)
        end.shut()

    def _end(self, conn_id: str) -> End:
        try:
            return self._ends[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None

    def _call(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """False if it raised."""
        try:
            func(*args, **kwargs)
        except Exception as exc:
            self.errors.append(exc)
            self._network.errors.append(exc)
            _log.exception("%s: a callback raised", self.name)
            return False
        return True


class _LinkTimer:
    """A planned call. When it is due it rings, and the next pass of the link calls it."""

    __slots__ = ("entry", "func", "link")

    def __init__(self, link: MemoryLink, func: Callable[[], object]) -> None:
        self.link: MemoryLink = link
        self.func: Callable[[], object] | None = func
        self.entry: Timer | None = None

    def ring(self) -> None:
        self.link._due.append(self)
        self.link._plan()

    def cancel(self) -> None:
        self.func = None
        if self.entry is not None:
            self.entry.cancel()

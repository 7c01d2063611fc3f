"""The machine that a link of a memory network runs on: its loop, its timers, its connections."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import ParamSpec

from snakemq.callbacks import Callback
from snakemq.link._interface import no_connection
from snakemq.link._loop._timers import Timer

from ._end import End, State
from ._world import World

P = ParamSpec("P")

_log = logging.getLogger("snakemq.link")


class Machine:
    """Runs passes when the network says so, and calls the callbacks of its link."""

    def __init__(self, world: World, name: str, all_ends: dict[str, End]) -> None:
        """``all_ends``: the ends of all machines. Those that are forgotten are removed from it."""
        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.on_recv: Callback[[str, bytes]] = Callback()
        self.on_ready_to_send: Callback[[str, int]] = Callback()
        self.on_loop_pass: Callback[[]] = Callback()
        self.world = world
        self.name = name
        self.all_ends = all_ends
        self.errors: list[Exception] = []
        self.gone = False
        self.ends: dict[str, End] = {}
        """Those that are announced, oldest first."""
        self._ready: list[Callable[[], None]] = []
        self._due: list[MachineTimer] = []
        self._planned = False  # does the world know that a pass is needed?
        self._woken = False
        self._thread: int | None = None

    # -- the loop

    def queue(self, step: Callable[[], None]) -> None:
        """Run a step of a connection in a pass."""
        self._ready.append(step)
        self.plan()

    def call_later(self, delay: float, func: Callable[[], object]) -> MachineTimer:
        """See :meth:`LinkInterface.call_later`."""
        timer = MachineTimer(self, func)
        now = self.world.clock.time()
        if now + delay <= now:
            timer.ring()
        else:
            timer.entry = self.world.timers.add(now + delay, timer.ring)
        return timer

    def due(self, timer: MachineTimer) -> None:
        """Call the function of a timer in a pass."""
        self._due.append(timer)
        self.plan()

    def wake(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        # Cleared right before on_loop_pass: while it is set, a pass is still to come.
        if not self._woken:
            self._woken = True
            self.world.wake(self)

    def in_loop(self) -> bool:
        """Return True if this thread runs a pass of this machine."""
        return self._thread == threading.get_ident()

    @property
    def is_idle(self) -> bool:
        """Does no thread run a pass of this machine, and can there still be one?"""
        return self._thread is None and not self.gone

    def plan(self) -> None:
        """See :class:`Runnable`."""
        if not self._planned and not self.gone:
            self._planned = True
            self.world.runnable.append(self)

    def run_pass(self) -> None:
        """See :class:`Runnable`."""
        self._planned = False
        world = self.world
        steps, self._ready = self._ready, []
        timers, self._due = self._due, []
        if world.seeded and len(steps) > 1:
            world.random.shuffle(steps)
            some = 1 + int(world.random.random() * len(steps))
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
                    world.note(self.name, "timer")
                    self.call(func)
            if self.gone:
                return
            self._woken = False
            self.call(self.on_loop_pass)
        finally:
            self._thread = None
        if self._ready or self._due or self._woken:
            self.plan()

    def call(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Call a callback. Returns False if it raised."""
        try:
            func(*args, **kwargs)
        except Exception as exc:
            self.errors.append(exc)
            self.world.errors.append(exc)
            _log.exception("%s: a callback raised", self.name)
            return False
        return True

    # -- connections, see Owner

    def end(self, conn_id: str) -> End:
        """Return an end by its id. Raises :exc:`~snakemq.exceptions.NoConnection`."""
        try:
            return self.ends[conn_id]
        except KeyError:
            raise no_connection(conn_id) from None

    def announce(self, end: End) -> None:
        self.ends[end.conn_id] = end
        self.world.note(self.name, "connect", end.conn_id)
        if not self.call(self.on_connect.call_while, lambda: end.state is State.OPEN, end.conn_id):
            self.drop_if_open(end)

    def received(self, end: End, data: bytes) -> None:
        self.world.note(self.name, "recv", end.conn_id, len(data))
        try:
            self.call(self.on_recv, end.conn_id, data)
        except BaseException:  # Ctrl-C: nobody knows how far the data got
            self.drop_if_open(end)
            raise

    def sent(self, end: End, size: int) -> None:
        self.world.note(self.name, "sent", end.conn_id, size)
        self.call(self.on_ready_to_send, end.conn_id, size)

    def drop_if_open(self, end: End) -> None:
        if end.state is State.OPEN:
            self.drop(end)

    def drop(self, end: End) -> None:
        """Close this end, and call ``on_disconnect``."""
        self.forget(end)
        self.world.note(self.name, "disconnect", end.conn_id)
        self.call(self.on_disconnect, end.conn_id)

    def forget(self, end: End) -> None:
        """Close this end without calling anything on this side."""
        self.ends.pop(end.conn_id, None)
        self.all_ends.pop(end.conn_id, None)
        end.shut()


class MachineTimer:
    """A planned call. When it is due it rings, and the next pass of the machine calls it."""

    __slots__ = ("entry", "func", "machine")

    def __init__(self, machine: Machine, func: Callable[[], object]) -> None:
        self.machine: Machine = machine
        self.func: Callable[[], object] | None = func
        self.entry: Timer | None = None

    def ring(self) -> None:
        self.machine.due(self)

    def cancel(self) -> None:
        """See :class:`TimerHandle`."""
        self.func = None
        if self.entry is not None:
            self.entry.cancel()

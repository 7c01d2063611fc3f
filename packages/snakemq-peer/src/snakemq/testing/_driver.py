"""Runs the network in a thread, and decides when nothing more can happen and time may pass."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import TypeVar

from snakemq.exceptions import LoopError
from snakemq.link.testing import MemoryNetwork

from ._strangers import Strangers

T = TypeVar("T")

PATIENCE = 60.0
"""Real seconds that threads may work before nobody waits for them any longer."""

FOREVER = 24 * 3600.0
"""Seconds of the network after which what has not happened will not happen any more."""

_LOOK = 0.001
"""Real seconds between two looks whether threads still work: not all say when they are done."""


class Wait:
    """A thread that is blocked, and what it waits for. Only the driver ends it."""

    def __init__(self, is_over: Callable[[], bool] | None, until: float, *, moves: bool) -> None:
        """``is_over``: ``None`` to wait until nothing more happens at the time ``until``, which is
        the end for any other. ``moves``: whether time passes for the sake of this thread."""
        self.is_over = is_over
        self.until = until
        self.moves = moves
        self.thread = threading.current_thread()
        self.outcome = False
        self.error: Exception | None = None
        self.ended = threading.Event()

    def end(self, outcome: bool, error: Exception | None = None) -> None:
        """Let the thread go on."""
        self.outcome = outcome
        self.error = error
        self.ended.set()


class Driver:
    """The thread that is the loop of all links of a network.

    Threads that wait, wait here. So it knows when none of the peers' threads can go on, and the
    network is idle: then *nothing more happens* at the present time. Only then time passes, and
    only for a thread that asks for it: see :meth:`settle`, and :meth:`wait_until`.

    All methods are thread-safe.
    """

    def __init__(
        self, network: MemoryNetwork, count_working: Callable[[Collection[threading.Thread]], int]
    ) -> None:
        """``count_working(blocked)``: counts the threads of peers that have something to do and are
        not among the ``blocked``."""
        self._network = network
        self._clock = network.clock
        self._count_working = count_working
        self._owner = threading.get_ident()
        self.strangers = Strangers()
        self.event_loops: set[threading.Thread] = set()
        """The threads in which coroutines run."""
        self._lock = threading.Lock()
        self._waits: list[Wait] = []
        self._calls: deque[Callable[[], object]] = deque()
        self._rung = threading.Event()
        self._is_hurried = False
        self._is_over = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="snakemq-network", daemon=True)
        self._thread.start()

    # -- for other threads

    def ring(self) -> None:
        """Say that something has changed."""
        self._rung.set()

    def call(self, func: Callable[[], T]) -> T:
        """Call a function between two passes of the network, and do all that follows from it in the
        network itself. Returns or raises what the function does."""
        results: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def first() -> None:
            try:
                results.append(func())
            except BaseException as exc:
                errors.append(exc)

        self._check_not_in_loop()
        with self._lock:
            if self._is_over:
                raise LoopError("the network is closed; make a new one")
            self._calls.extend((first, done.set))
        self.ring()
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def time(self) -> float:
        """Return the time of the network."""
        return self._clock.time()

    def wait_until(
        self, is_over: Callable[[], bool], timeout: float | None, *, moves: bool = False
    ) -> bool:
        """See :class:`snakemq.link.TimedLink`.

        ``moves``: time passes if nothing else happens, as it always does while the thread waits
        that has made the network. Raises ``RuntimeError`` there after :data:`FOREVER`.
        """
        moves = moves or threading.get_ident() == self._owner
        limit = timeout if timeout is not None else FOREVER if moves else math.inf
        is_in_time = self._wait(Wait(is_over, self._clock.time() + limit, moves=moves))
        if not is_in_time and timeout is None:
            raise RuntimeError(
                f"nothing ends this wait: the network has run for {FOREVER:g} seconds of its time,"
                " or is closed"
            )
        return is_in_time

    def settle(self, seconds: float) -> None:
        """Let ``seconds`` pass, and then wait until nothing more happens.

        Raises ``TimeoutError`` if threads have worked for :data:`PATIENCE`, and ``RuntimeError`` in
        a coroutine.
        """
        if threading.current_thread() in self.event_loops:
            raise RuntimeError(
                "this would keep the event loop from its tasks: await asyncio.sleep() lets time"
                " pass, and returns when nothing else happens"
            )
        self._wait(Wait(None, self._clock.time() + seconds, moves=True))

    def hurry(self) -> None:
        """Let time-outs pass at once, whatever threads are doing, because the end has come."""
        self._is_hurried = True
        self.ring()

    def end(self) -> None:
        """End the thread. Whatever waits then, has waited in vain."""
        with self._lock:
            self._is_over = True
        self.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wait(self, wait: Wait) -> bool:
        self._check_not_in_loop()
        with self._lock:
            if self._failure is not None and not self._is_hurried:
                raise self._failure
            if self._is_over:
                return wait.is_over is not None and wait.is_over()
            self._waits.append(wait)
        self.ring()
        try:
            wait.ended.wait()
        finally:  # Ctrl-C, too
            self._forget(wait)
        if wait.error is not None and not self._is_hurried:
            raise wait.error
        return wait.outcome

    def _check_not_in_loop(self) -> None:
        if threading.current_thread() is self._thread:
            raise LoopError("the network cannot wait for itself: this is one of its callbacks")

    # -- in its thread

    def _run(self) -> None:
        self.strangers.ignore()
        busy_since: float | None = None
        while True:
            self._rung.clear()  # before anything is looked at: what changes later rings again
            if self._is_over:
                break
            try:
                self._run_network()
            except Exception as exc:  # something answers itself forever
                self._fail(exc)
                break
            if self._end_those_that_are_over():
                continue
            # Asked before the bell is looked at: what a thread does last is to ring.
            works = self._count()
            if self._rung.is_set():
                continue
            if works and any(wait.until < math.inf for wait in self._snapshot()):
                busy_since = busy_since or time.monotonic()
                self._rung.wait(_LOOK)
                if time.monotonic() - busy_since > PATIENCE:
                    self._lose_patience()
                continue
            busy_since = None
            if not self._let_time_pass():
                self._rung.wait()
        for wait in self._snapshot():
            self._finish(wait, False, self._failure)
        while self._calls:
            self._calls.popleft()()

    def _count(self) -> int:
        blocked = {wait.thread for wait in self._snapshot()}
        return self._count_working(blocked) + self.strangers.count_working(blocked)

    def _run_network(self) -> None:
        self._network.run_until_idle()
        while self._calls:
            self._calls.popleft()()
            self._network.run_until_idle()

    def _end_those_that_are_over(self) -> bool:
        ended = False
        for wait in self._snapshot():
            is_over = wait.is_over is not None and wait.is_over()
            if is_over or (self._is_hurried and wait.until < math.inf):
                self._finish(wait, is_over)
                ended = True
        return ended

    def _let_time_pass(self) -> bool:
        """Nothing more happens now: end a wait whose time has come, or let time pass for one.

        Returns False if there is no such wait. One at a time, because much may follow from each.
        """
        now = self._clock.time()
        # Those for whose sake time passes come last: the others may still do something now.
        waits = sorted(
            self._snapshot(), key=lambda wait: (wait.until, wait.moves, wait.is_over is None)
        )
        if waits and waits[0].until <= now:
            self._finish(waits[0], False)
            return True
        if not any(wait.moves for wait in waits):
            return False
        self._network.advance_to_timer(waits[0].until)
        return True

    def _lose_patience(self) -> None:
        error = TimeoutError(
            f"threads still work after {PATIENCE:g} s: does a handler, or a method, wait for"
            " something that is not of the network?"
        )
        for wait in self._snapshot():
            if wait.moves:
                self._finish(wait, False, error if wait.is_over is None else None)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failure = error
            self._is_over = True

    def _snapshot(self) -> list[Wait]:
        with self._lock:
            return self._waits.copy()

    def _forget(self, wait: Wait) -> None:
        with self._lock:
            if wait in self._waits:
                self._waits.remove(wait)

    def _finish(self, wait: Wait, outcome: bool, error: Exception | None = None) -> None:
        self._forget(wait)
        self.strangers.went_on(wait.thread)
        wait.end(outcome, error)

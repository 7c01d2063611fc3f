"""The loop: sleep, timers, wake-ups, threads. It knows nothing of connections."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import ParamSpec

from snakemq.callbacks import Callback
from snakemq.exceptions import LoopError

from .. import forks
from ._poller import EpollPoller, Handler, Poller
from ._timers import NEVER, Timer, TimerHeap
from ._wakeup import make_wakeup

P = ParamSpec("P")

_log = logging.getLogger("snakemq.link")

_LONGEST_SLEEP = 3600.0
"""Seconds. Systems sleep for 24.8 days at most, and timers may be planned for years; a pass an hour
costs nothing."""

_CLEANUP_TIMEOUT = 10.0


class Phase(enum.Enum):
    """How far a loop is from its end. It only goes forward."""

    USABLE = "takes what is new"
    ENDING = "takes nothing new, and what is open is being closed"
    CLOSED = "everything is closed"


class Loop:
    """Calls whatever has something to do, and sleeps when nothing has.

    It calls the handlers that are registered in :attr:`poller` with the mask of their events. A
    pass is: events, timers, calls from threads, ``on_pass``; and when sends were finished at once,
    their reports, calls from threads and ``on_pass`` again.

    Its methods are as thread-safe as those with the same names of :class:`~snakemq.link.Link`.
    """

    def __init__(self, on_pass: Callback[[]]) -> None:
        self.time: Callable[[], float] = time.monotonic
        self.poller: Poller = make_poller()
        self._phase = Phase.USABLE
        self._is_closing = False  # by a thread outside of the loop
        self._on_pass = on_pass
        self._wakeup = make_wakeup(self.poller)

        self._timers = TimerHeap()
        self._finished: deque[Callable[[], object]] = deque()
        self.finish: Callable[[Callable[[], object]], None] = self._finished.append
        """``finish(report)``: have ``report()`` called at the end of this pass, or of the next one
        if that is under way."""
        self._from_threads: deque[Callable[[], object]] = deque()

        self._pid = os.getpid()
        self._forks = forks.count
        self._loop_thread: int | None = None
        self._loop_ended = threading.Event()
        self._loop_ended.set()
        self._enter_lock = threading.Lock()
        self._stop_requested = False
        self._wakeup_pending = False
        self._sleeping = False
        self._is_between_callbacks = False
        # Its holder may touch the state of the loop. The loop holds it except while it sleeps.
        # Uncontended, which it nearly always is, a pass pays 0.1 µs for it.
        self._baton = threading.RLock()
        forks.register(self)
        self.give_back: Callable[[], None] = self._baton.release
        """See :meth:`snakemq.link.Link.give_back`."""

    def call_later(self, delay: float, func: Callable[[], object]) -> Timer:
        timer = self._timers.add(self.time() + delay, func)
        if self._sleeping or not self.in_loop():
            self.wake_up()  # it may sleep for longer than that
        return timer

    def call_from_thread(self, func: Callable[[], object]) -> None:
        self._from_threads.append(func)
        self.wake_up()

    def run(self, poll_timeout: float | None, count: int | None, runtime: float | None) -> None:
        """See :meth:`snakemq.link.Link.loop`."""
        if self.in_loop():
            raise LoopError("the loop is running already: this is one of its callbacks")
        try:
            self._enter_loop()  # in here, because Ctrl-C may come right after it
            end = None if runtime is None else self.time() + runtime
            while not self._stop_requested and (count is None or count > 0):
                events = self._sleep(poll_timeout, end)
                self._one_pass(events)
                if events and count is not None:
                    count -= 1
                if end is not None and self.time() >= end:
                    break
        except ValueError:
            self.check_process()  # a callback has forked: in the child the poller is closed
            raise
        finally:
            if self.in_loop():  # else it was refused
                self._leave_loop()

    # -- as the guest of another loop, which sleeps in its place

    def attach(self) -> None:
        """See :meth:`snakemq.link.Link.attach`."""
        if self.in_loop():
            raise LoopError("the loop is running already, in this thread")
        self._enter_loop()
        # So whatever wakes it up rings, and its descriptor tells the host. It keeps the baton: its
        # thread may do anything at any time, so no other thread may borrow.
        self._sleeping = self._is_between_callbacks = True

    def fileno(self) -> int:
        """See :meth:`snakemq.link.Link.fileno`."""
        return self.poller.fileno()

    def begin_pass(self, poll: bool) -> None:
        """See :meth:`snakemq.link.Link.begin_pass`."""
        if not self.in_loop():
            raise LoopError("the loop is attached to another thread, or to none")
        self._sleeping = False
        if poll and not self._stop_requested:
            self._is_between_callbacks = False
            try:
                self._handle(self.poller.poll(0.0))
            finally:
                self._is_between_callbacks = True

    def end_pass(self) -> bool:
        """See :meth:`snakemq.link.Link.end_pass`."""
        if not self.in_loop():
            raise LoopError("the loop is attached to another thread, or to none")
        self._is_between_callbacks = False
        try:
            if not self._stop_requested:
                self._finish_pass()
        finally:
            self._sleeping = self._is_between_callbacks = True
        return not self._stop_requested

    def next_deadline(self) -> float | None:
        """See :meth:`snakemq.link.Link.next_deadline`."""
        if self._wakeup_pending or self._finished or self._stop_requested:
            return self.time()
        return self._timers.next_time() if self._timers.soonest != NEVER else None

    def detach(self) -> None:
        """See :meth:`snakemq.link.Link.detach`."""
        if self.in_loop():
            self._sleeping = self._is_between_callbacks = False
            self._leave_loop()

    def stop(self) -> None:
        self._stop_requested = True
        # The thread that set the flag of wakeup_poll() may have been interrupted before it rang.
        if self._sleeping:
            self._wakeup.ring()

    def wake_up(self) -> None:
        """Make sure that there is one more pass."""
        # The flag is cleared right before on_loop_pass: while it is set, a pass is still to come.
        # The bell rings only for a loop that sleeps, so 100,000 calls cost one ring at most. The
        # calling thread does not matter: a signal handler runs in the loop's, while that sleeps.
        if not self._wakeup_pending:
            try:
                self._wakeup_pending = True
                if self._sleeping:
                    self._wakeup.ring()
            except BaseException:
                self._wakeup.ring()  # Ctrl-C; threads that find the flag set rely on a ring
                raise

    def borrow(self) -> bool:
        """See :meth:`snakemq.link.Link.borrow`."""
        if forks.count != self._forks or not self._baton.acquire(blocking=False):
            return False
        # While no loop runs any thread gets the baton, and the thread of the loop always does.
        if self._sleeping or self.in_loop():
            return True
        self._baton.release()
        return False

    def in_loop(self) -> bool:
        return threading.get_ident() == self._loop_thread

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        """See :meth:`snakemq.link.Link.run_if_idle`."""
        with self._enter_lock:  # so that no loop begins meanwhile
            if self._loop_thread is not None or self._phase is not Phase.USABLE:
                return False
            func()
            return True

    def end(self, close_all: Callable[[], object]) -> None:
        """Stop for good, and call ``close_all`` in the right thread. See ``Link.cleanup``."""
        self.check_process()
        if self.in_loop():
            self.stop()
            close_all()
            self._phase = Phase.CLOSED  # the loop needs its poller until it ends
            return
        with self._enter_lock:  # so that no loop begins meanwhile
            if self._loop_thread is not None:
                self._end_running(close_all)
            if self._is_closing or self._phase is Phase.CLOSED:
                return
            self._is_closing = True
            self.take_nothing_new()
        try:
            close_all()
            self._phase = Phase.CLOSED
            self._release()
        finally:
            self._is_closing = False  # Ctrl-C in a callback: the next call closes the rest

    def take_nothing_new(self) -> None:
        """Make :meth:`check_usable` refuse whatever is begun from now on."""
        if self._phase is Phase.USABLE:
            self._phase = Phase.ENDING

    def _end_running(self, close_all: Callable[[], object]) -> None:
        """Have the loop do it, because callbacks are called in its thread."""
        end = partial(self._end_between_callbacks, close_all)
        self.call_from_thread(end)
        if not self._loop_ended.wait(_CLEANUP_TIMEOUT):
            self.stop()
            with contextlib.suppress(ValueError):  # it has begun meanwhile
                self._from_threads.remove(end)
            raise LoopError(
                f"the loop did not end within {_CLEANUP_TIMEOUT:g} s: a callback blocks it;"
                " call cleanup again when that has returned"
            )

    def _end_between_callbacks(self, close_all: Callable[[], object]) -> None:
        self._is_between_callbacks = True
        try:
            self.end(close_all)
        finally:
            self._is_between_callbacks = False

    def _release(self) -> None:
        self.poller.close()
        self._wakeup.close()

    def abandon(self) -> None:
        """See :class:`forks.Owner`."""
        self._release()

    def check_usable(self) -> None:
        self.check_process()
        if self._phase is not Phase.USABLE:
            raise LoopError("this link was cleaned up; make a new one")

    def check_process(self) -> None:
        if forks.count != self._forks:
            raise LoopError(
                f"this link belongs to process {self._pid}; after a fork make one of your own"
            )

    def _enter_loop(self) -> None:
        with self._enter_lock:
            self.check_usable()
            if self._loop_thread is not None:
                raise LoopError("the loop is running already, in another thread")
            self._loop_ended.clear()
            self._loop_thread = threading.get_ident()
            self._baton.acquire()

    def _leave_loop(self) -> None:
        try:
            # A borrower has to give the baton back before another thread can run the loop. Ctrl-C
            # may have come anywhere, so this thread may or may not hold it.
            self._baton.acquire()
            with contextlib.suppress(RuntimeError):
                while True:
                    self._baton.release()
            if self._phase is Phase.CLOSED:
                self._release()
        finally:
            self._stop_requested = False
            self._loop_thread = None
            self._loop_ended.set()

    def _sleep(self, poll_timeout: float | None, end: float | None) -> list[tuple[Handler, int]]:
        """Sleep until there is something to do, and return the events of sockets."""
        # Set the flag before looking whether wakeup_poll or stop was called. The other way round,
        # the loop would sleep through a call in between.
        self._sleeping = True
        try:
            timeout = self._sleep_time(poll_timeout, end)
            try:  # noqa: SIM105 because that takes 0.5 µs more, in each pass
                self._baton.release()
            except RuntimeError:
                pass  # a callback has caught Ctrl-C, which came between borrow and give_back
            try:
                return self.poller.poll(timeout)
            finally:
                self._baton.acquire()
        finally:
            self._sleeping = False

    def _sleep_time(self, poll_timeout: float | None, end: float | None) -> float | None:
        if self._wakeup_pending or self._finished or self._stop_requested:
            return 0.0
        timer = self._timers.next_time() if self._timers.soonest != NEVER else None
        if timer is None and end is None and poll_timeout is None:
            return None
        timeout = _LONGEST_SLEEP if poll_timeout is None else min(poll_timeout, _LONGEST_SLEEP)
        now = self.time()
        for when in (timer, end):
            if when is not None and when - now < timeout:
                timeout = when - now
        return timeout if timeout > 0.0 else 0.0

    def _one_pass(self, events: list[tuple[Handler, int]]) -> None:
        self._handle(events)
        self._finish_pass()

    def _handle(self, events: list[tuple[Handler, int]]) -> None:
        for handler, mask in events:
            try:  # copy of call(), which takes 0.1 µs for each event
                handler(mask)
            except Exception:
                _log.exception("a callback raised")
        if self._timers.soonest != NEVER and self._timers.soonest <= self.time():
            for timer_func in self._timers.pop_due(self.time()):
                self.call(timer_func)

    def _finish_pass(self) -> None:
        self._end_pass()
        finished = self._finished
        if finished:
            # Sends begun meanwhile wait for the next pass, so that everything else has its turn.
            for _ in range(len(finished)):
                finished.popleft()()
            self._end_pass()

    def last_pass(self) -> None:
        """Let the layers above send what they have, unless this is called in a callback."""
        if not self.in_loop() or self._is_between_callbacks:
            self._end_pass()

    def _end_pass(self) -> None:
        self._wakeup_pending = False
        try:
            # After the flag is cleared: what came while it was set has not rung the bell.
            while self._from_threads:
                self.call(self._from_threads.popleft())
            for func in self._on_pass.callbacks:
                try:  # copy of call(), as above
                    func()
                except Exception:
                    _log.exception("a callback raised")
        except BaseException:
            self._wakeup_pending = True  # Ctrl-C: the next run of the loop does what is left
            raise

    def call(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a callback, and log what it raises: that must not stop the loop."""
        try:
            func(*args, **kwargs)
        except Exception:
            _log.exception("a callback raised")


def make_poller() -> Poller:
    """Make the best poller that this system has."""
    if hasattr(select, "epoll"):
        return EpollPoller()
    from ._selector_poller import SelectorPoller  # what it imports is not needed elsewhere

    return SelectorPoller()

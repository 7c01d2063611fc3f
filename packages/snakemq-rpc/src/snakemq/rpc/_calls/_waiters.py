"""Waits for the outcome of a call: with a blocked thread, or with a future."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """Waits for the outcome of a call. Exactly one of the two methods is called, once."""

    def succeed(self, value: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Sleepers:
    """Wakes the threads that wait for their calls, at the end of a pass of the loop.

    The loop holds the GIL until it sleeps, so a thread woken earlier would only fight for it. Most
    of the threads call again, so the loop lets them run first: it finds their next requests without
    having slept, and sends all of them at once. On one CPU that saves about 10 % of the CPU time of
    a client with one calling thread, and 25 % with 16.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._threads: deque[BlockedThread] = deque()
        self._no_more_passes = False

    def add(self, thread: BlockedThread) -> None:
        """Note that the call of this thread is done."""
        self._threads.append(thread)
        if self._no_more_passes:  # checked last: either this call wakes it, or end() does
            self._wake_all()

    def wake(self) -> None:
        """Wake the threads whose calls are done. Call this at the end of a pass."""
        threads = len(self._threads)
        if threads:
            self._wake_all()
            if threads > 1:
                _let_others_run()

    def end(self) -> None:
        """Wake all threads: nobody will call :meth:`wake` any more."""
        self._no_more_passes = True
        self._wake_all()

    def _wake_all(self) -> None:
        with contextlib.suppress(IndexError):  # empty, maybe because another thread was faster
            while True:
                self._threads.popleft().wake()


# Yields the GIL, and the CPU if another thread wants it. Not every system has it.
_let_others_run: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class BlockedThread:
    """A thread that waits for its call, and then to be woken.

    A bare lock is all it takes: 0.1 µs to make, where a ``threading.Event`` takes 1.5 µs.
    """

    __slots__ = ("_done", "_error", "_sleepers", "_value")

    def __init__(self, sleepers: Sleepers) -> None:
        self._sleepers = sleepers
        self._value: Any = None
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def succeed(self, value: Any) -> None:
        self._value = value
        self._sleepers.add(self)

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._sleepers.add(self)

    def wake(self) -> None:
        self._done.release()

    def wait(self, timeout: float | None) -> bool:
        """Is the call done within ``timeout`` seconds? None: wait forever."""
        if timeout is None:
            return self._done.acquire()
        return self._done.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))

    def is_woken(self) -> bool:
        """Is the call done? For a thread that does not :meth:`wait`."""
        return not self._done.locked()

    def outcome(self) -> Any:
        """Return the result of a call that is done, or raise its exception."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # Its traceback holds this frame: break the cycle, which holds the arguments.
                self._error = None
        return self._value


class CallFuture(concurrent.futures.Future[Any]):
    """The future of a call. ``cancel()`` makes the client forget it; the method may run anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.forget: Callable[[], object] = _nothing

    def cancel(self) -> bool:
        """Stop waiting for the reply; False if it is there already. Thread-safe."""
        cancelled = super().cancel()
        if cancelled:
            self.forget()
        return cancelled

    def succeed(self, value: Any) -> None:
        if self.set_running_or_notify_cancel():
            self.set_result(value)

    def fail(self, error: BaseException) -> None:
        if self.set_running_or_notify_cancel():
            self.set_exception(error)


def _nothing() -> None:
    pass

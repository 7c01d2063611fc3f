"""What waits for the outcome of a call: a blocked thread, or a future."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """Waits for the outcome of a call. One of the two methods is called, once."""

    def succeed(self, value: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Sleepers:
    """Threads that wait for their calls, and are woken at the end of a pass of the loop.

    Until the loop sleeps it has the GIL, so a thread that is woken earlier only fights for it. And
    as most of them call again, they are let go ahead: the loop finds their next requests without
    having slept, and sends all of them at once. On one CPU that saves about 10 % of the CPU time
    of a client with one calling thread, and 25 % with 16.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._threads: deque[BlockedThread] = deque()
        self._no_more_passes = False

    def add(self, thread: BlockedThread) -> None:
        """The call of this thread is done."""
        self._threads.append(thread)
        if self._no_more_passes:  # asked last: either this call wakes it, or that of end()
            self._wake_all()

    def wake(self) -> None:
        """The pass is at its end."""
        threads = len(self._threads)
        if threads:
            self._wake_all()
            if threads > 1:
                _let_others_run()

    def end(self) -> None:
        """Nobody will call :meth:`wake` any more."""
        self._no_more_passes = True
        self._wake_all()

    def _wake_all(self) -> None:
        with contextlib.suppress(IndexError):  # it is empty; maybe another thread was faster
            while True:
                self._threads.popleft().wake()


# Gives away the GIL, and the CPU if another thread wants it. Not every system has it.
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

    def outcome(self) -> Any:
        """The result of a call that is done, or its exception is raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback has this frame: let no cycle hold the arguments
        return self._value


class CallFuture(concurrent.futures.Future[Any]):
    """The future of a call. ``cancel()`` makes the client forget it; the method may run anyway."""

    def __init__(self, forget: Callable[[], object]) -> None:
        super().__init__()
        self._forget = forget

    def cancel(self) -> bool:
        """Do not wait for the reply any longer; False if it is there already. Thread-safe."""
        cancelled = super().cancel()
        if cancelled:
            self._forget()
        return cancelled

    def succeed(self, value: Any) -> None:
        if self.set_running_or_notify_cancel():
            self.set_result(value)

    def fail(self, error: BaseException) -> None:
        if self.set_running_or_notify_cancel():
            self.set_exception(error)

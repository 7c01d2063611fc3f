"""Letting one call at a time reach a back end, even when a signal handler interrupts it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import Logger
from time import monotonic

from snakemq.exceptions import StorageError


class Turn:
    """The right to call a back end: one thread has it at a time, for one call.

    A signal handler or a finalizer may interrupt a thread in the middle of a call, and push. It
    cannot wait for the end of that call, which its own thread makes, and the back end may be in the
    middle of a transaction. So it leaves the work to that call, which does it before it gives the
    turn back.

    A call takes seconds to find out that a server does not answer. The calls that waited for it
    fail with it, in :meth:`check`, instead of finding out one after the other.

    ``log``: gets an error if work that was left to the end of a call fails. The next call tries
    again at its end.
    """

    def __init__(self, log: Logger) -> None:
        self.lock: threading.RLock = threading.RLock()
        """Held during a call. A thread that holds it may read :attr:`is_taken`."""
        self.is_taken: bool = False
        """Whether the thread that holds the lock is in the middle of a call."""
        self._log = log
        self._late: deque[Callable[[], object]] = deque()
        self._failure: StorageError | None = None
        self._failed_at = 0.0
        self._began_at = 0.0
        self.slow: float = 0.0
        """Seconds. A call that fails sooner was refused, and no waiting call fails with it: the
        back end may be back by then."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait for this thread's turn, and keep it during the ``with`` block.

        Raises :exc:`~snakemq.exceptions.StorageError` if this thread is in the middle of a call.
        """
        with self.lock:
            if self.is_taken:
                raise StorageError(
                    "a signal handler or a finalizer interrupted a call of the storage; it can"
                    " send messages, but nothing else",
                    temporary=True,
                )
            try:
                self.is_taken = True
                yield
            finally:
                self._let_go()

    def check(self, since: float) -> None:
        """Fail like the last call, if the back end has turned out to be silent since then.

        ``since``: when this call began to wait, by ``time.monotonic()``. Hold the lock, and call
        this right before the back end.

        Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        if self._failure is not None and since < self._failed_at:
            raise StorageError(str(self._failure), temporary=True) from self._failure
        self._began_at = monotonic()

    def failed(self, error: StorageError) -> None:
        """Note that the back end has refused or not answered. Hold the lock."""
        now = monotonic()
        if error.temporary and now - self._began_at >= self.slow:
            self._failure = error
            self._failed_at = now

    def worked(self) -> None:
        """Note that the back end has answered. Hold the lock."""
        self._failure = None

    def leave(self, work: Callable[[], object]) -> None:
        """Leave work to the end of the call that this thread is in the middle of."""
        self._late.append(work)

    def _let_go(self) -> None:
        goes_on = True
        while goes_on:
            try:
                self.is_taken = True
                goes_on = self._do_what_was_left()
            finally:
                self.is_taken = False
            goes_on = goes_on and bool(self._late)  # more has come since

    def _do_what_was_left(self) -> bool:
        """Do the work that was left. Return False if some of it failed and has to wait."""
        late = self._late
        while late:
            try:
                late[0]()
            except Exception:
                self._log.exception("a message that a signal handler sent is not stored yet")
                return False
            late.popleft()
        return True

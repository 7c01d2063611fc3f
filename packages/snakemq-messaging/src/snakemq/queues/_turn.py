"""One call of a back end at a time, also when a signal handler comes in between."""

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

    A signal handler or a finalizer runs between any two steps of a thread. So it may come in the
    middle of a call and want to push. It cannot wait for the end of that call, which is a call of
    its own thread, and the back end may be in the middle of a transaction. So it leaves the work to
    that call, which does it before it gives the turn back.

    A call takes seconds to find out that a server does not answer. The calls that have waited for
    it meanwhile fail with it, by :meth:`check`, instead of finding out one after the other.

    ``log``: gets an error when work that was left to the end of a call has failed. That is tried
    again at the end of the next call.
    """

    def __init__(self, log: Logger) -> None:
        self.lock: threading.RLock = threading.RLock()
        """Held during a call. A thread that holds it may read :attr:`is_taken`."""
        self.is_taken: bool = False
        """Is the thread that holds the lock in the middle of a call?"""
        self._log = log
        self._late: deque[Callable[[], object]] = deque()
        self._failure: StorageError | None = None
        self._failed_at = 0.0
        self._began_at = 0.0
        self.slow: float = 0.0
        """Seconds. A call that fails sooner was refused, and no waiting call fails with it: the
        back end may be there again when its turn comes."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """Call the back end in the ``with`` block, when it is this thread's turn.

        Raises :exc:`~snakemq.exceptions.StorageError` in the middle of another call of this thread.
        """
        with self.lock:
            if self.is_taken:
                raise StorageError(
                    "a signal handler or a finalizer came in the middle of a call of the storage;"
                    " it can send messages, but nothing else",
                    temporary=True,
                )
            try:
                self.is_taken = True
                yield
            finally:
                self._let_go()

    def check(self, since: float) -> None:
        """Fail with the last call, if that has failed since then because the back end is silent.

        ``since``: by ``time.monotonic()``. Call it with the lock, right before the back end.

        Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        if self._failure is not None and since < self._failed_at:
            raise StorageError(str(self._failure), temporary=True) from self._failure
        self._began_at = monotonic()

    def failed(self, error: StorageError) -> None:
        """The back end has refused, or not answered. Call it with the lock."""
        now = monotonic()
        if error.temporary and now - self._began_at >= self.slow:
            self._failure = error
            self._failed_at = now

    def worked(self) -> None:
        """The back end has answered. Call it with the lock."""
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
            goes_on = goes_on and bool(self._late)  # something has come since

    def _do_what_was_left(self) -> bool:
        """Return False if something has failed; it is tried again at the end of the next call."""
        late = self._late
        while late:
            try:
                late[0]()
            except Exception:
                self._log.exception("what a signal handler has sent is not stored yet")
                return False
            late.popleft()
        return True

"""The one way from a storage to its back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from logging import Logger
from time import monotonic

from snakemq.exceptions import StorageError
from snakemq.link import forks

from .._turn import Turn
from ._border import Border, Explain
from ._never_close import never_close


class Gate:
    """Lets one call at a time through to the back end of a storage::

        with gate.call():
            connection.execute(...)

    A call gets through if the storage is usable: neither closed nor inherited by a forked process.
    It waits for its :class:`Turn`. What the back end raises leaves through the :class:`Border`, as
    a :exc:`~snakemq.exceptions.StorageError`.

    ``name``, ``explain``: see :class:`Border`. ``log``: see :class:`Turn`.

    Use :class:`ServerGate` for a back end that may stop answering.
    """

    def __init__(self, name: str, explain: Explain, log: Logger) -> None:
        self.border: Border = Border(name, explain)
        """Translates errors until the gate is opened; from then on :meth:`call` does."""
        self.turn: Turn = Turn(log)
        self._shut_because: str | None = None
        self._connection: object = None

    def open(self, connection: object = None) -> None:
        """Open the gate.

        A child that is forked from now on finds the gate shut, and never closes ``connection``: see
        :func:`never_close`.
        """
        self._connection = connection
        forks.register(self)

    def check(self) -> None:
        """Raise :exc:`~snakemq.exceptions.StorageError` if the storage cannot be used any more."""
        if self._shut_because is not None:
            raise StorageError(f"{self.border.name}: {self._shut_because}")

    def shut(self, reason: str) -> None:
        """Refuse every call from now on. ``reason``: a clause like "it is closed"."""
        self._shut_because = reason
        self._connection = None

    def close(self, finish: Callable[[], None]) -> None:
        """Shut the gate and call ``finish``, in a last turn. Idempotent."""
        if self._shut_because is not None:
            return
        with self.turn.call():
            if self._shut_because is None:
                self.shut("it is closed")
                finish()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait for this thread's turn, then call the back end in the ``with`` block.

        Raises :exc:`~snakemq.exceptions.StorageError` if the storage cannot be used, if the back
        end fails, or if this thread is in the middle of another call.
        """
        self.check()  # before the turn, too: in a forked child nobody may be left to end another's
        since = monotonic()
        with self.turn.call(), self.in_turn(since):
            yield

    def in_turn(self, since: float) -> AbstractContextManager[None]:
        """Call the back end in the ``with`` block, in a turn that this thread already has.

        ``since``: when this thread began to wait for its turn, by ``time.monotonic()``.
        """
        self.check()
        return self.border

    def abandon(self) -> None:
        """Shut the gate of a forked child, see :class:`snakemq.link.forks.Owner`."""
        connection = self._connection
        self.shut("a forked process cannot use its parent's storage; open another one in the child")
        if connection is not None:
            never_close(connection)


class ServerGate(Gate):
    """The gate to a server, which may be away or silent.

    A call takes seconds to find out that a server is silent. The calls that waited for it fail with
    it, instead of finding out one after the other: see :meth:`Turn.check`.

    ``slow``: see :attr:`Turn.slow`.
    """

    def __init__(self, name: str, explain: Explain, log: Logger, *, slow: float) -> None:
        super().__init__(name, explain, log)
        self.turn.slow = slow

    @contextmanager
    def in_turn(self, since: float) -> Iterator[None]:
        """See :meth:`Gate.in_turn`."""
        self.check()
        self.turn.check(since)
        try:
            with self.border:
                yield
        except StorageError as error:
            self.turn.failed(error)
            raise
        self.turn.worked()

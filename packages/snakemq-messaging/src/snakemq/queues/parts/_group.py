"""Group commit: writers that come at the same time share one commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Row = TypeVar("Row")


class _Ticket(Generic[Row]):
    __slots__ = ("done", "error", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done = False
        self.error: Exception | None = None


class GroupCommit(Generic[Row]):
    """Collects rows while a commit is under way, and commits them together in the next one.

    The thread that gets the lock first commits for all that wait; no thread of its own is
    needed, and a lone writer waits for nobody.

    ``lock``: held during ``commit``.

    ``commit``: makes all rows durable in their order, or none, and raises.
    """

    __module__ = "snakemq.queues.parts"

    def __init__(self, lock: threading.Lock, commit: Callable[[Sequence[Row]], None]) -> None:
        self._lock = lock
        self._commit = commit
        self._waiting: deque[_Ticket[Row]] = deque()  # append and popleft are atomic

    def write(self, rows: Sequence[Row]) -> None:
        """Return when the rows are durable. Thread-safe. Raises what ``commit`` raised for them."""
        ticket = _Ticket(rows)
        self._waiting.append(ticket)
        try:
            with self._lock:
                if not ticket.done:
                    self._commit_waiting()
        except BaseException:
            ticket.rows = ()  # interrupted: nobody shall store later what was not accepted
            raise
        if ticket.error is not None:
            raise ticket.error

    def _commit_waiting(self) -> None:
        group: list[_Ticket[Row]] = []
        while self._waiting:
            group.append(self._waiting.popleft())
        try:
            try:
                self._commit([row for ticket in group for row in ticket.rows])
                for ticket in group:
                    ticket.done = True
            except Exception:
                # One may be at fault for all, too large for the disk for example.
                for ticket in group:
                    try:
                        self._commit(ticket.rows)
                    except Exception as error:
                        ticket.error = error
                    ticket.done = True
        except BaseException:
            # This thread was interrupted, the others were not: the next of them commits. A row
            # that is durable already is ignored the second time.
            self._waiting.extendleft(ticket for ticket in reversed(group) if not ticket.done)
            raise

"""Bringing pushed messages to the back end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

from snakemq.message import Message

from ._gate import Gate
from ._group import GroupCommit
from ._positions import Positions

Name = TypeVar("Name")
"""The name of a queue, as the back end stores it."""

_Row: TypeAlias = tuple[Name, Message, float]
"""The name of a queue, a message, and when it began to wait to be stored."""


class Pushes(Generic[Name]):
    """Stores what threads and signal handlers push.

    Threads that push at the same time share a commit, see :class:`GroupCommit`. A signal handler
    may interrupt a call of its own thread. What it pushes gets its positions at once, and is stored
    at the end of that call, see :class:`Turn`.

    ``store(messages, first)``: called in turn; makes all messages durable, or makes none of them
    durable and raises. Each message comes with the name of its queue. ``first`` is the position of
    the first message, if positions were reserved. ``None`` leaves that to ``store``: after a lost
    connection it has to ask the server first what another owner has stored meanwhile. Returns the
    position of the first message.
    """

    def __init__(
        self,
        gate: Gate,
        positions: Positions,
        store: Callable[[Sequence[tuple[Name, Message]], int | None], int],
    ) -> None:
        self._gate = gate
        self._turn = gate.turn
        self._positions = positions
        self._store = store
        self._group: GroupCommit[_Row[Name]] = GroupCommit(self._turn.lock, self._commit)

    def push(self, queue_name: Name, items: Iterable[Message]) -> Sequence[int]:
        """Store messages, and return their positions when they are durable. Thread-safe.

        Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        now = monotonic()
        rows = [(queue_name, item, now) for item in items]
        return self._group.write(rows) if rows else ()

    def _commit(self, rows: Sequence[_Row[Name]]) -> int:
        """Store rows, and return the position of the first one. Called with the lock held."""
        self._gate.check()
        if not self._turn.is_taken:
            with self._turn.call():
                return self._store_in_turn(rows, None)
        first = self._positions.reserve(len(rows))
        self._turn.leave(lambda: self._store_in_turn(rows, first))
        return first

    def _store_in_turn(self, rows: Sequence[_Row[Name]], first: int | None) -> int:
        with self._gate.in_turn(since=max([since for _, _, since in rows])):
            return self._store([(name, item) for name, item, _ in rows], first)

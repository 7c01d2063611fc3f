"""The way of pushed messages to the back end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

from snakemq.message import Message

from ._gate import Gate
from ._group import GroupCommit
from ._positions import Positions

Name = TypeVar("Name")
"""The name of a queue, as the back end has it."""

_Row: TypeAlias = tuple[Name, Message, float]
"""The name of a queue, a message, and since when it waits to be stored."""


class Pushes(Generic[Name]):
    """Stores what is pushed by many threads and by signal handlers.

    Threads that push at the same time share a commit, see :class:`GroupCommit`. A signal handler
    may come in the middle of a call of its own thread. What it pushes gets its positions at once,
    and is stored at the end of that call, see :class:`Turn`.

    ``store(messages, first)``: called in turn, makes all messages durable, or none, and raises;
    each comes with the name of its queue. ``first``: the position of the first one; ``None``: none
    was reserved yet. That is up to ``store`` then: after a lost connection, the server has to be
    asked first what another owner has stored meanwhile. Returns the position of the first one.
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
        """Return the positions of the messages when they are durable. Thread-safe.

        Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        now = monotonic()
        rows = [(queue_name, item, now) for item in items]
        return self._group.write(rows) if rows else ()

    def _commit(self, rows: Sequence[_Row[Name]]) -> int:
        """Called with the lock. Returns the position of the first row."""
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

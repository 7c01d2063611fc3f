"""Appending messages, even from a signal handler that interrupts another call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from snakemq.message import Message

from ._database import Database, atomic
from ._statements import ROWS_PER_STATEMENT, insert_rows

_Columns = tuple[object, ...]


class Insertion:
    """Inserts the rows of a group commit into a file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection
        self._turn = database.gate.turn

    def insert(self, rows: Sequence[tuple[str, Message]]) -> int:
        """Append all messages to their queues, or none; return the position of the first one.

        Hold the lock of the turn. Raises ``StorageError``.
        """
        database = self._database
        database.gate.check()
        database.check_file()
        first = database.positions.reserve(len(rows))
        now = database.clock.now()
        columns: list[_Columns] = [
            (position, queue_name, item.uuid, item.ttl, now, item.flags, item.data)
            for position, (queue_name, item) in enumerate(rows, first)
        ]
        headers = [item.headers.encoded for _, item in rows]
        if any(headers):
            columns = [(*row, its or None) for row, its in zip(columns, headers, strict=True)]
        if not self._turn.is_taken:
            with self._turn.call():
                self._store(columns)
        elif self._connection.in_transaction:
            self._turn.leave(lambda: self._store(columns))
        else:
            # A signal handler interrupts between two statements. One of them may turn this off.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._store(columns)
        return first

    def _store(self, columns: list[_Columns]) -> None:
        with self._database.gate.border:
            if len(columns) <= ROWS_PER_STATEMENT:
                self._insert_chunk(columns)
            else:
                with atomic(self._connection):
                    for start in range(0, len(columns), ROWS_PER_STATEMENT):
                        self._insert_chunk(columns[start : start + ROWS_PER_STATEMENT])

    def _insert_chunk(self, columns: list[_Columns]) -> None:
        self._connection.execute(
            insert_rows(len(columns), len(columns[0])), list(chain.from_iterable(columns))
        )

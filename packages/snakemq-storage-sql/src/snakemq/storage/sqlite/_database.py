"""An open SQLite file: its connection, its turns, its clock and its end."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from snakemq.queues.parts import Gate, OwnerClock, Positions, never_close

from ._connection import connect
from ._errors import explain
from ._file import OpenFile
from ._space import Space

log = logging.getLogger("snakemq.storage.sqlite")


class Database:
    """The file of a storage, opened by its one and only owner.

    Raises :exc:`~snakemq.exceptions.StorageError`.
    """

    def __init__(self, filename: str, busy_timeout: float, clock: Callable[[], float]) -> None:
        self.filename = filename
        self.gate = Gate(f"SQLite storage {filename!r}", partial(explain, filename), log)
        with self.gate.border:
            self.connection = connect(filename, busy_timeout)
            try:
                self.space = Space(self.connection, filename)
                self.clock = OwnerClock(clock, _last_reading(self.connection))
                self.positions = Positions(_last_position(self.connection))
                self._file = OpenFile(filename)
            except BaseException:
                self.connection.close()
                raise
        self.gate.open(self.connection)

    def close(self) -> None:
        """Write the log back into the file and let go of it. Idempotent."""
        self.gate.close(self._finish)

    @contextmanager
    def call(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for one call of this thread, see :class:`Gate`."""
        with self.gate.call():
            self.check_file()
            yield self.connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that survives the death of the process, but is not synced to the disk.

        That is enough for a deletion: one that is undone costs a duplicate. Measured: 3,600
        insertions and deletions a second instead of 2,200.
        """
        with self.call() as connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            try:
                with atomic(connection):
                    yield connection
                    self._write_clock()
            finally:
                connection.execute("PRAGMA synchronous=FULL")
            self.space.give_back_in_use()

    def checkpoint_clock(self) -> None:
        """Write down for how long the file has been open, and check that it is still there."""
        self._file.look_next_time()
        with self.transaction():
            pass  # a transaction writes the clock

    def check_file(self) -> None:
        """Raise ``StorageError`` if what is written would get lost. Hold the lock."""
        reason = self._file.what_has_happened()
        if reason:
            outcome = "written to the database" if self._rescue_log() else "lost"
            reason = f"{reason}; what was in it is {outcome}, open the storage again"
            self.gate.shut(reason)
            log.error("%s: %s", self.filename, reason)
            self.gate.check()

    def _rescue_log(self) -> bool:
        """Write a deleted log back into the database by closing it. Return whether that worked.

        If only the log was deleted it works. Otherwise the connection is abandoned, because closing
        it would damage what is there now.
        """
        if self._file.has_lost_only_the_log() and not self.connection.in_transaction:
            try:
                self.connection.close()
                return True
            except sqlite3.Error as error:
                log.warning("%s: its log cannot be rescued: %s", self.filename, error)
        never_close(self.connection)
        return False

    def _finish(self) -> None:
        try:
            self._write_clock()
        except sqlite3.Error as error:  # a full disk: costs some seconds of ttl, no message
            log.warning("%s: the clock could not be written at close: %s", self.filename, error)
        self.space.give_back_at_rest()
        with self.gate.border:
            self.connection.close()

    def _write_clock(self) -> None:
        self.connection.execute("UPDATE clock SET seconds = ?", (self.clock.now(),))


@contextmanager
def atomic(connection: sqlite3.Connection) -> Iterator[None]:
    """Do everything in the ``with`` block or nothing; it is durable when the block ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll back by themselves
            connection.execute("ROLLBACK")
        raise


def _last_reading(connection: sqlite3.Connection) -> float:
    """Return the clock's latest reading: pushes write it in their rows, all else in the table."""
    readings = connection.execute(
        "SELECT seconds FROM clock UNION ALL"
        " SELECT * FROM (SELECT stored_at FROM messages ORDER BY seq DESC LIMIT 1)"
    )
    return max((value for (value,) in readings if isinstance(value, float)), default=0.0)


def _last_position(connection: sqlite3.Connection) -> int:
    value: int | None = connection.execute("SELECT max(seq) FROM messages").fetchone()[0]
    return value or 0

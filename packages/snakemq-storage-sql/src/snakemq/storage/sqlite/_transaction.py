"""The transaction that an inbox and the callbacks share on the user's connection."""

from __future__ import annotations

import sqlite3
from enum import Enum

_ENDS = ("COMMIT", "ROLLBACK")


class _Stage(Enum):
    NOTHING = "no transaction of the inbox is open"
    OPEN = "one is open"
    MESSAGE = "one is open, and callbacks write in it"
    TORN = "one is open, because rolling back has failed"


class Transaction:
    """Begins when it is needed, and nobody else may end it. A message is a savepoint in it.

    The methods raise what sqlite3 raises. Call :meth:`roll_back` then.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._stage = _Stage.NOTHING

    @property
    def is_open(self) -> bool:
        return self._stage is not _Stage.NOTHING

    @property
    def is_in_message(self) -> bool:
        return self._stage is _Stage.MESSAGE

    def open(self) -> None:
        """Begin, unless it is open. A transaction that the user has left open is joined."""
        if self._stage is _Stage.TORN:
            self.roll_back()
        if self._stage is not _Stage.NOTHING:
            return
        # This makes SQLite prepare all statements anew, also those that the user has run before
        # and that Python keeps: only then are they checked. It takes 10 µs.
        self._connection.set_authorizer(_refuse_ends)
        self._stage = _Stage.OPEN
        if not self._connection.in_transaction:
            # Not deferred: a callback that reads first, and writes when somebody else has written
            # meanwhile, would fail however long it waits.
            self._connection.execute("BEGIN IMMEDIATE")

    def begin_message(self) -> None:
        self.open()
        self._connection.execute("SAVEPOINT snakemq_message")
        self._stage = _Stage.MESSAGE

    def keep_message(self) -> None:
        self._stage = _Stage.OPEN
        self._connection.execute("RELEASE snakemq_message")

    def undo_message(self) -> None:
        self._stage = _Stage.OPEN
        self._connection.execute("ROLLBACK TO snakemq_message")
        self._connection.execute("RELEASE snakemq_message")

    def commit(self) -> None:
        self._connection.set_authorizer(None)
        self._connection.execute("COMMIT")
        self._ended()

    def roll_back(self) -> None:
        """Roll back, unless SQLite has done so itself, as when the disk is full."""
        self._stage = _Stage.TORN
        self._connection.set_authorizer(None)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._ended()

    def _ended(self) -> None:
        self._stage = _Stage.NOTHING
        # Such a connection, of Python 3.12, expects always to be in a transaction.
        if getattr(self._connection, "autocommit", True) is False:
            self._connection.execute("BEGIN")


def _refuse_ends(action: int, what: str | None, *_: object) -> int:
    """Refuse to end the transaction. SQLite asks when a statement is prepared."""
    is_end = action == sqlite3.SQLITE_TRANSACTION and what in _ENDS
    return sqlite3.SQLITE_DENY if is_end else sqlite3.SQLITE_OK

"""The inbox in the user's own database, where each message has its effect exactly once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from snakemq._settings import Fixed, instance_of
from snakemq.exceptions import StorageError

from ._errors import is_temporary
from ._transaction import Transaction

TABLE = "snakemq_inbox"


class SqliteInbox:
    """Records processed messages in the database into which the callbacks write. Each message has
    its effect there exactly once, whichever process is killed, and when.

    ::

        connection = sqlite3.connect("orders.db")
        messaging = Messaging("shop", "", packeter, inbox=SqliteInbox(connection))

        def on_message_recv(conn_id, ident, message):
            connection.execute("INSERT INTO orders VALUES (?)", (message.data,))

    The callbacks write on ``connection``, and do not commit. The inbox does so: it commits what
    they have written together with the record of their messages, once for all messages that have
    arrived together, and before these are acknowledged. If a callback raises, what it has written
    is rolled back, and what was written for other messages stays.

    While messages are processed, nobody else can end the transaction: ``commit()``, ``rollback()``,
    ``executescript()`` and the end of ``with connection:`` raise ``sqlite3.DatabaseError``, "not
    authorized". Savepoints are allowed. The inbox uses ``set_authorizer`` for this, so the
    connection can have no other authorizer. Commit what you write outside of callbacks: a
    transaction that you leave open becomes part of the next one.

    ``connection``: made in the thread that runs the loop, or with ``check_same_thread=False``. Any
    mode of transactions will do. You close it, after the link's ``cleanup()``. Its ``PRAGMA
    synchronous`` says whether a commit survives a power cut. The loop waits for the disk, and for
    other writers as long as the time-out of the connection says.

    The setting is a read-only attribute, too:

    - ``table``: the name of the table in this database that keeps the uuids. It is created if it is
      missing. Two ``Messaging`` need two tables.

    This is a :class:`~snakemq.queues.TransactionalInbox`, to be used in the thread of the loop
    only. Its methods raise :exc:`~snakemq.exceptions.StorageError`, and so does the constructor.
    That also raises ``TypeError`` for wrong arguments, and ``ValueError`` if a transaction is open
    on the connection.
    """

    blocks = False

    table: Fixed[str] = Fixed(instance_of(str))

    def __init__(self, connection: sqlite3.Connection, *, table: str = TABLE) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise TypeError(f"the connection must be an sqlite3.Connection, not {connection!r}")
        self.table = table
        is_always_in = getattr(connection, "autocommit", True) is False
        if connection.in_transaction and not is_always_in:
            raise ValueError("a transaction is open on the connection: end it first")
        self._connection = connection
        self._quoted = '"' + table.replace('"', '""') + '"'
        self._transaction = Transaction(connection)
        self._kept: dict[str, list[bytes]] = {}
        """For each peer, the uuids that the next commit records."""
        with self._commit():
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {self._quoted} (ident BLOB NOT NULL,"
                " seq INTEGER NOT NULL, uuid BLOB NOT NULL, PRIMARY KEY (ident, seq)) WITHOUT ROWID"
            )

    # -- for each message

    def begin(self) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.begin`."""
        try:
            self._transaction.begin_message()
        except BaseException as exc:
            self._failed(exc)

    def keep(self, ident: str, uuid: bytes | None) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.keep`."""
        try:
            self._transaction.keep_message()
        except BaseException as exc:
            self._failed(exc)
        if uuid is not None:
            self._kept.setdefault(ident, []).append(uuid)

    def undo(self) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.undo`."""
        try:
            self._transaction.undo_message()
        except BaseException as exc:
            self._failed(exc)

    # -- the record

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Record these uuids, and commit with them what callbacks have written and its record.

        See :meth:`snakemq.queues.InboxStorage.remember`.
        """
        with self._commit():
            for peer, kept in self._kept.items():
                self._append(peer, kept)
            last = self._append(ident, uuids)
            self._execute(
                f"DELETE FROM {self._quoted} WHERE ident = ? AND seq <= ?",
                (ident.encode(), last - keep),
            )

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """See :meth:`snakemq.queues.InboxStorage.recall`."""
        with _translated():
            rows = self._execute(
                f"SELECT uuid FROM {self._quoted} WHERE ident = ? ORDER BY seq DESC LIMIT ?",
                (ident.encode(), count),
            )
        return [uuid for (uuid,) in reversed(rows)]

    def remembered(self) -> Mapping[str, int]:
        """See :meth:`snakemq.queues.ForgetfulInbox.remembered`."""
        with _translated():
            rows = self._execute(f"SELECT ident, count(*) FROM {self._quoted} GROUP BY ident")
        return {ident.decode(): count for ident, count in rows}

    def forget(self, idents: Sequence[str]) -> None:
        """See :meth:`snakemq.queues.ForgetfulInbox.forget`."""
        if self._transaction.is_open:  # it ends with that one
            with _translated():
                self._delete(idents)
        else:
            with self._commit():
                self._delete(idents)

    def _delete(self, idents: Sequence[str]) -> None:
        for ident in idents:
            self._execute(f"DELETE FROM {self._quoted} WHERE ident = ?", (ident.encode(),))

    def _append(self, ident: str, uuids: Sequence[bytes]) -> int:
        """Returns the number of the peer's last uuid."""
        peer = ident.encode()
        rows = self._execute(f"SELECT max(seq) FROM {self._quoted} WHERE ident = ?", (peer,))
        last: int = rows[0][0] or 0
        self._connection.executemany(
            f"INSERT INTO {self._quoted} (ident, seq, uuid) VALUES (?, ?, ?)",
            [(peer, seq, uuid) for seq, uuid in enumerate(uuids, last + 1)],
        )
        return last + len(uuids)

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.row_factory = None  # the user may have another one
        return cursor.execute(statement, parameters).fetchall()

    # -- failures

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Commit what is done in the block, and what was done before."""
        if self._transaction.is_in_message:
            raise StorageError("the inbox cannot commit while a callback writes")
        try:
            self._transaction.open()
            yield
            self._transaction.commit()
        except BaseException as exc:
            self._failed(exc)
        self._kept.clear()

    def _failed(self, exc: BaseException) -> NoReturn:
        """Roll back, and raise what the caller gets."""
        self._kept.clear()
        try:
            self._transaction.roll_back()
        except sqlite3.Error as second:  # tried again when the next message begins
            exc.add_note(f"and rolling back has failed: {second}")
        with _translated():
            raise exc


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OverflowError) as exc:
        raise StorageError(f"the inbox failed: {exc}", temporary=is_temporary(exc)) from exc

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import GroupCommit, OwnerClock, Turn

from . import _fork, _inbox
from ._connection import connect
from ._errors import translated
from ._file import OpenFile
from ._rows import Columns, UnreadableRow, read_message, read_queue_name
from ._space import Space
from ._statements import (
    PAGE,
    QUEUE_NAMES,
    ROWS_PER_STATEMENT,
    delete_rows,
    insert_rows,
    log,
    set_aside,
)


class SqliteQueuesStorage(QueuesStorageBase):
    """Queues in an SQLite file, and what was received (:class:`~snakemq.queues.InboxStorage`).

    ``filename``: a path, or ``":memory:"`` for a storage that forgets everything when it is
    closed. A missing file is created, in a directory that must exist and be writable: SQLite
    keeps its log (``FILENAME-wal``) beside the file while the storage is open. A file of snakeMQ
    1.6 is taken over in place; a copy of it stays beside it as ``FILENAME.snakemq-1.6-backup``.

    ``busy_timeout``: how many seconds to wait for another owner of the file to let go of it.

    ``clock``: monotonic seconds.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the messages survive the death
    of the process and of the machine. Deletions and ttl updates survive the death of the
    process, too, but are not synced to the disk: after a power cut the latest of them may be
    undone. The next push syncs them along.

    *One owner*: the file is locked from the opening until :meth:`close` or the end of the
    process, kill -9 included. A second storage on it, in whatever process, raises
    :exc:`StorageError` with ``temporary`` set. A forked child cannot use its parent's storage.

    *Threads*: every method may be called from any thread. Threads that push at the same time
    share commits. A signal handler or a finalizer may push as well. In the middle of a transaction
    of its own thread (a batch, a deletion) what it pushes is durable as soon as that has ended.

    *Ttl*: counts down while the storage is open and stands still while it is not. After a crash
    the storage goes on from the last thing that it wrote; :meth:`checkpoint_clock` bounds what
    is forgotten. An expired message comes back with a ttl of 0.0.

    *Space*: a file that is nearly empty shrinks, when it is opened or closed and after deletions.

    *A file that was deleted, moved, replaced or emptied* while it is open is noticed within a
    second by whatever is called, and at once by :meth:`checkpoint_clock`. From then on every call
    raises :exc:`StorageError`: what is written to such a file is gone when the process ends. If
    only its log was deleted, the log is written to the database and nothing is lost.

    *Unreadable rows*: they are moved to the table ``set_aside`` and reported as errors to the
    logger ``snakemq.storage.sqlite``; the others of the queue are not held up.

    Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True

    def __init__(
        self,
        filename: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        busy_timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._filename = os.fsdecode(filename)
        if not self._filename:
            raise ValueError("filename must not be empty: SQLite would use a temporary file")
        self._turn = Turn(log)
        self._group = GroupCommit(self._turn.lock, self._insert)
        self._unusable = ""
        with translated(self._filename):
            self._connection = connect(self._filename, busy_timeout)
            try:
                self._file = OpenFile(self._filename)
                self._space = Space(self._connection, self._filename)
                self._clock = OwnerClock(clock, self._last_reading())
                self._next_seq = self._last_seq() + 1
            except BaseException:
                self._connection.close()
                raise
        _fork.watch(self)

    def close(self) -> None:
        """Write the log back into the file and let go of it. Idempotent."""
        if self._unusable:
            return
        with self._turn.call():
            if self._unusable:
                return
            self._unusable = "it is closed"
            _fork.unwatch(self)
            try:
                self._write_clock(self._connection)
            except sqlite3.Error as error:  # a full disk: costs some seconds of ttl, no message
                log.warning("%s: the clock was not written at close: %s", self._filename, error)
            self._space.give_back_at_rest()
            with translated(self._filename):
                self._connection.close()

    def get_queues(self) -> Sequence[str]:
        """Names of the queues that have at least one item, in the order of their bytes."""
        with self._locked() as connection:
            values = [value for (value,) in connection.execute(QUEUE_NAMES)]
            try:
                return [read_queue_name(value) for value in values]
            except UnreadableRow:
                self._set_aside_nameless(connection)
                return [read_queue_name(value) for (value,) in connection.execute(QUEUE_NAMES)]

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """The messages of a queue in their order, with what is left of their ttl."""
        return [stored.message for stored in self._read(queue_name, 0, None, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """The next messages of a queue; costs what is in the page, however long the queue is."""
        return self._read(queue_name, after or 0, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """How many messages the queue has. Reads an index: 0.2 s for a million."""
        with self._locked() as connection:
            statement = "SELECT count(*) FROM messages WHERE queue_name = ?"
            number: int = connection.execute(statement, (queue_name,)).fetchone()[0]
            return number

    def _read(
        self, queue_name: str, after: int, limit: int | None, max_bytes: int | None
    ) -> list[StoredMessage]:
        page: list[StoredMessage] = []
        unreadable: list[tuple[int, str]] = []
        size = 0
        with self._locked() as connection:
            now = self._clock.now()
            # Rows come one by one, so that no more is read than what fits into the page.
            rows = connection.execute(PAGE, (queue_name, after))
            for uuid, ttl, stored_at, flags, data, seq in rows:
                try:
                    message = read_message(uuid, ttl, stored_at, flags, data, now)
                except UnreadableRow as error:
                    unreadable.append((seq, str(error)))
                    continue
                page.append(StoredMessage(seq, message))
                size += len(message.data)
                if len(page) == limit or (max_bytes is not None and size >= max_bytes):
                    break
            rows.close()
            if unreadable:
                self._set_aside(connection, unreadable)
        return page

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is in this queue already is ignored.
        """
        return self._group.write(((queue_name, item),))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages in one commit: when this raises, none of them was stored."""
        rows = [(queue_name, item) for item in items]
        return self._group.write(rows) if rows else ()

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them. One commit."""
        self._change("DELETE FROM messages WHERE uuid = ?", [(item.uuid,) for item in items])

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid. One commit."""
        uuids = [item.uuid for item in items]
        with self._transaction() as connection:
            for start in range(0, len(uuids), ROWS_PER_STATEMENT):
                chunk = uuids[start : start + ROWS_PER_STATEMENT]
                connection.execute(delete_rows(len(chunk)), [queue_name, *chunk])

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        self._change("DELETE FROM messages", [()])

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid. One commit.

        There is no need to call this for the time that passes: the storage counts it.
        """
        with self._transaction() as connection:
            now = self._clock.now()
            connection.executemany(
                "UPDATE messages SET ttl = ?, stored_at = ? WHERE uuid = ?",
                [(item.ttl, now, item.uuid) for item in items],
            )

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Messages of a peer were processed; durable when this returns. One commit.

        All but the last ``keep`` uuids of that peer are forgotten.
        """
        with self._locked() as connection, _atomic(connection):
            _inbox.remember(connection, ident, uuids, keep)

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """The last ``count`` uuids of a peer, the oldest first; fewer if there are no more."""
        with self._locked() as connection:
            return _inbox.recall(connection, ident, count)

    def remembered(self) -> Mapping[str, int]:
        """How many uuids of each peer are kept."""
        with self._locked() as connection:
            return _inbox.remembered(connection)

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. One commit."""
        with self._locked() as connection, _atomic(connection):
            _inbox.forget(connection, idents)

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open.

        Every other write does that as well. A process that may be idle for long calls this now
        and then: a crash forgets only the time since the last write, by which messages with a
        ttl live longer. Costs one small write, no sync.
        """
        self._file.look_next_time()
        with self._transaction():
            pass  # it writes the clock

    def after_fork_in_child(self) -> sqlite3.Connection | None:
        """For the fork handler of this package only."""
        self._unusable = "a forked process cannot use the storage of its parent; open its own"
        return self._connection

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        # Before the lock as well: in a forked child nobody may be left to release it.
        self._check_usable()
        with self._turn.call():
            self._check_usable()
            self._check_file()
            with translated(self._filename):
                yield self._connection

    def _check_file(self) -> None:
        """Raise :exc:`StorageError` if what is written would get lost. Call it with the lock."""
        reason = self._file.what_has_happened()
        if reason:
            _fork.unwatch(self)
            outcome = "written to the database" if self._rescue_log() else "lost"
            self._unusable = f"{reason}; what was in it is {outcome}, open the storage again"
            log.error("%s: %s", self._filename, self._unusable)
            self._check_usable()

    def _rescue_log(self) -> bool:
        """Write a log that was deleted back into the database, which closing does. Otherwise the
        connection is abandoned: to close it would damage what is there now."""
        if self._file.has_lost_only_the_log() and not self._connection.in_transaction:
            try:
                self._connection.close()
                return True
            except sqlite3.Error as error:
                log.warning("%s: its log cannot be rescued: %s", self._filename, error)
        _fork.abandon(self._connection)
        return False

    def _check_usable(self) -> None:
        if self._unusable:
            raise StorageError(f"SQLite storage {self._filename!r}: {self._unusable}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that survives the death of the process, but is not synced to the disk.

        Enough for a deletion, where an undone one costs a duplicate. Measured: insert and
        delete reach 3,600 instead of 2,200 a second.
        """
        with self._locked() as connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            try:
                with _atomic(connection):
                    yield connection
                    self._write_clock(connection)
            finally:
                connection.execute("PRAGMA synchronous=FULL")
            self._space.give_back_in_use()

    def _change(self, statement: str, parameters: list[tuple[object, ...]]) -> None:
        with self._transaction() as connection:
            connection.executemany(statement, parameters)

    def _insert(self, rows: Sequence[tuple[str, Message]]) -> int:
        """Called by the group commit, with the lock held. Returns the first row's position."""
        self._check_usable()
        self._check_file()
        # At once: what a signal handler pushes from now on gets other numbers.
        seq, self._next_seq = self._next_seq, self._next_seq + len(rows)
        now = self._clock.now()
        columns: list[tuple[object, ...]] = [
            (n, queue_name, item.uuid, item.ttl, now, item.flags, item.data)
            for n, (queue_name, item) in enumerate(rows, seq)
        ]
        if not self._turn.is_taken:
            with self._turn.call():
                self._store(columns)
        elif self._connection.in_transaction:
            self._turn.leave(lambda: self._store(columns))
        else:
            # A signal handler, between two statements of its thread. One of them may have this off.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._store(columns)
        return seq

    def _store(self, columns: list[tuple[object, ...]]) -> None:
        with translated(self._filename):
            if len(columns) <= ROWS_PER_STATEMENT:
                self._insert_chunk(columns)
            else:
                with _atomic(self._connection):
                    for start in range(0, len(columns), ROWS_PER_STATEMENT):
                        self._insert_chunk(columns[start : start + ROWS_PER_STATEMENT])

    def _insert_chunk(self, columns: list[tuple[object, ...]]) -> None:
        self._connection.execute(
            insert_rows(len(columns)), [value for row in columns for value in row]
        )

    def _write_clock(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE clock SET seconds = ?", (self._clock.now(),))

    def _last_reading(self) -> float:
        """The latest time that is written down: by a push in its row, by the rest in the table."""
        readings = self._connection.execute(
            "SELECT seconds FROM clock UNION ALL"
            " SELECT * FROM (SELECT stored_at FROM messages ORDER BY seq DESC LIMIT 1)"
        )
        return max((value for (value,) in readings if isinstance(value, float)), default=0.0)

    def _last_seq(self) -> int:
        value: int | None = self._connection.execute("SELECT max(seq) FROM messages").fetchone()[0]
        return value or 0

    def _set_aside_nameless(self, connection: sqlite3.Connection) -> None:
        unreadable: list[tuple[int, str]] = []
        for seq, queue_name in connection.execute("SELECT seq, queue_name FROM messages"):
            try:
                read_queue_name(queue_name)
            except UnreadableRow as error:
                unreadable.append((seq, str(error)))
        self._set_aside(connection, unreadable)

    def _set_aside(self, connection: sqlite3.Connection, rows: list[tuple[int, str]]) -> None:
        with _atomic(connection):
            for seq, reason in rows:
                (columns,) = connection.execute(
                    "SELECT queue_name, uuid, ttl, stored_at, flags, data"
                    " FROM messages WHERE seq = ?",
                    (seq,),
                )
                set_aside(connection, self._filename, Columns(*columns), reason)
                connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))


@contextmanager
def _atomic(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll back by themselves
            connection.execute("ROLLBACK")
        raise

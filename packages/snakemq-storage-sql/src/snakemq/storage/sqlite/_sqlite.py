"""The storage that keeps queues in an SQLite file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from snakemq._settings import Fixed, function, zero_or_more
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import GroupCommit

from . import _inbox
from ._database import Database, atomic
from ._insertion import Insertion
from ._reading import count, read_page, read_queue_names
from ._statements import DELETE_ALL, DELETE_EVERYWHERE, ROWS_PER_STATEMENT, UPDATE_TTL, delete_rows


def _check_filename(name: str, value: Any) -> None:
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} must be a path, not {value!r}")
    if not os.fsdecode(value):
        raise ValueError(f"{name} must not be empty: SQLite would use a temporary file")


class SqliteQueuesStorage(QueuesStorageBase):
    """Keeps queues in an SQLite file, and an inbox (:class:`~snakemq.queues.InboxStorage`).

    Settings are attributes, too, read-only after the construction:

    - ``filename``: a path, or ``":memory:"`` for a storage that forgets everything when it is
      closed.
    - ``busy_timeout``: how many seconds to wait for another owner to release the file.
    - ``clock``: a function that returns monotonic seconds.

    A missing file is created. Its directory must exist and be writable: SQLite keeps its log
    (``FILENAME-wal``) beside the file while the storage is open. A file of snakeMQ 1.6 is taken
    over in place; a copy of it stays beside it as ``FILENAME.snakemq-1.6-backup``.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the messages survive the death
    of the process and of the machine. Deletions and ttl updates survive the death of the process,
    but are not synced to the disk: a power cut may undo the latest of them. The next push syncs
    them, too.

    *One owner*: the file is locked from the opening until :meth:`close` or the end of the
    process, kill -9 included. A second storage on it, in any process, raises :exc:`StorageError`
    with ``temporary`` set. A forked child cannot use its parent's storage.

    *Threads*: every method may be called from any thread. Threads that push at the same time
    share commits. A signal handler or a finalizer may push, too. If it interrupts a transaction of
    its own thread (a batch, a deletion), what it pushes is durable as soon as that has ended.

    *Ttl* counts down while the storage is open and stands still while it is closed. After a crash
    the clock goes on from the last write; :meth:`checkpoint_clock` bounds the time that is
    forgotten. An expired message comes back with a ttl of 0.0.

    *Space*: a file that is nearly empty shrinks when it is opened or closed, and after deletions.

    *A file that is deleted, moved, replaced or emptied* while it is open is noticed within a second
    by any call, and at once by :meth:`checkpoint_clock`. From then on every call raises
    :exc:`StorageError`, because what is written to such a file is gone when the process ends. If
    only its log was deleted, the log is written to the database and nothing is lost.

    *Unreadable rows* are moved to the table ``set_aside`` and reported as errors to the logger
    ``snakemq.storage.sqlite``; the rest of their queue is not held up.

    Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True
    keeps_headers = True

    filename: Fixed[str | bytes | os.PathLike[str] | os.PathLike[bytes]] = Fixed(_check_filename)
    busy_timeout: Fixed[float] = Fixed(zero_or_more("seconds"))
    clock: Fixed[Callable[[], float]] = Fixed(function())

    def __init__(
        self,
        filename: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        busy_timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.filename = filename
        self.busy_timeout = busy_timeout
        self.clock = clock
        self._database = Database(os.fsdecode(filename), busy_timeout, clock)
        self._insertion = Insertion(self._database)
        self._group = GroupCommit(self._database.gate.turn.lock, self._insertion.insert)

    def close(self) -> None:
        """Write the log back into the file and let go of it. Idempotent."""
        self._database.close()

    def get_queues(self) -> Sequence[str]:
        """Return the names of the queues that have at least one item, ordered by their bytes."""
        with self._database.call() as connection:
            return read_queue_names(connection, self._database.filename)

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """Return the messages of a queue in order, each with what is left of its ttl."""
        return [stored.message for stored in self._read(queue_name, None, None, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """Return the next messages of a queue. Costs only what is in the page."""
        return self._read(queue_name, after, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """Return how many messages the queue has. Reads an index: 0.2 s for a million."""
        with self._database.call() as connection:
            return count(connection, queue_name)

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is already in this queue is ignored.
        """
        return self._group.write(((queue_name, item),))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages in one commit: if this raises, none of them is stored."""
        rows = [(queue_name, item) for item in items]
        return self._group.write(rows) if rows else ()

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them. One commit."""
        uuids = [(item.uuid,) for item in items]
        with self._database.transaction() as connection:
            connection.executemany(DELETE_EVERYWHERE, uuids)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid. One commit."""
        uuids = [item.uuid for item in items]
        with self._database.transaction() as connection:
            for start in range(0, len(uuids), ROWS_PER_STATEMENT):
                chunk = uuids[start : start + ROWS_PER_STATEMENT]
                connection.execute(delete_rows(len(chunk)), [queue_name, *chunk])

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        with self._database.transaction() as connection:
            connection.execute(DELETE_ALL)

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid. One commit.

        There is no need to call this for the time that passes: the storage counts it.
        """
        with self._database.transaction() as connection:
            now = self._database.clock.now()
            connection.executemany(UPDATE_TTL, [(item.ttl, now, item.uuid) for item in items])

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Note that messages of a peer were processed; durable when this returns. One commit.

        All but the last ``keep`` uuids of that peer are forgotten.
        """
        with self._database.call() as connection, atomic(connection):
            _inbox.remember(connection, ident, uuids, keep)

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """Return the last ``count`` uuids of a peer, oldest first; fewer if there are no more."""
        with self._database.call() as connection:
            return _inbox.recall(connection, ident, count)

    def remembered(self) -> Mapping[str, int]:
        """Return how many uuids of each peer are kept."""
        with self._database.call() as connection:
            return _inbox.remembered(connection)

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. One commit."""
        with self._database.call() as connection, atomic(connection):
            _inbox.forget(connection, idents)

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open.

        Every other write does so, too. If a process may be idle for long, call this now and then: a
        crash forgets the time since the last write, and messages with a ttl live that much longer.
        Costs one small write, no sync.
        """
        self._database.checkpoint_clock()

    def _read(
        self, queue_name: str, after: int | None, limit: int | None, max_bytes: int | None
    ) -> list[StoredMessage]:
        wanted = (queue_name, after or 0, limit, max_bytes)
        with self._database.call() as connection:
            return read_page(
                connection, self._database.filename, self._database.clock.now(), wanted
            )

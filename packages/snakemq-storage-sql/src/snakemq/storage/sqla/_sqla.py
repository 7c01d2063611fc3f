"""The storage that keeps queues in tables on a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from snakemq._settings import Fixed, above_zero, function, instance_of, zero_or_more
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import Pushes, UnreadableItem

from ._database import Database
from ._engine import engine_of
from ._inbox import Inbox
from ._reading import Reading
from ._rows import encoded, read_queue_name

FOREVER = 7 * 86400.0
"""Seconds for a call that may take as long as it needs."""

BYTES_PER_SECOND = 1_000_000
"""The speed of a slow network: by how much a push may take longer than ``answer_timeout``."""

CLOCK_INTERVAL = 1.0
"""Deletions write the clock down again after this many seconds."""


class SqlAlchemyQueuesStorage(QueuesStorageBase):
    """Keeps queues in PostgreSQL, MySQL or MariaDB, and an inbox.

    ``url_or_engine``: a URL of SQLAlchemy, ``postgresql+psycopg://user:password@host/database``
    or ``mysql+pymysql://...``; or an engine of yours, which the storage does not dispose of.

    ``engine_options``: for :func:`sqlalchemy.create_engine`, if a URL is given.

    Settings are attributes, too, read-only after the construction:

    - ``table_prefix``: what the names of the tables begin with.
    - ``owner_timeout``: how many seconds to wait for another owner to release the storage.
    - ``answer_timeout``: how many seconds a call waits for the server, and one second more for each
      megabyte that is pushed. :meth:`get_items`, :meth:`delete_all`, :meth:`update_items_ttl`,
      :meth:`create_structures` and :meth:`drop_structures` wait for as long as it takes.
    - ``clock``: a function that returns monotonic seconds.

    Storages with different prefixes in one database are different storages. Missing tables are
    created. 1.6's table ``snakemq_items`` is taken over: its messages are copied in order, and it
    is renamed to ``snakemq_items_v16_backup``.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the server has committed.
    That survives a power cut if the server has its usual settings. PostgreSQL need not sync
    deletions: a crash of the server may undo the latest of them.

    *One owner*: the connection holds a lock of the server (``pg_advisory_lock``, ``GET_LOCK``)
    for as long as it lives. A second storage on the same tables, in any process, raises
    :exc:`StorageError` with ``temporary`` set. A forked child cannot use its parent's storage.
    A pool between here and the server must not share connections between its clients.

    *While the server is away*, each call fails: at once, or within the driver's
    ``connect_timeout`` (5 s, unless the URL says otherwise) if nothing answers, or within
    ``answer_timeout``, at most twice that, if the server stops answering during a call. The first
    call after its return works, and undoes what a push that raised may have left.

    *Threads*: every method may be called from any thread; they share one connection. Threads
    that push at the same time share commits. A signal handler or a finalizer may push, too; if it
    interrupts a call of its own thread, what it pushes is durable as soon as that has ended.

    *Ttl* counts down while the storage is open, even if the server is away, and stands still while
    the storage is closed. After a crash the clock goes on from the last write.

    *Unreadable rows* are moved to the table ``snakemq_set_aside`` and reported to the logger
    ``snakemq.storage.sqla``.

    Raises ``ValueError`` for a database that is not supported, and for queue names longer than
    1024 bytes. Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True
    keeps_headers = True

    table_prefix: Fixed[str] = Fixed(instance_of(str))
    owner_timeout: Fixed[float] = Fixed(zero_or_more("seconds"))
    answer_timeout: Fixed[float] = Fixed(above_zero("seconds"))
    clock: Fixed[Callable[[], float]] = Fixed(function())

    def __init__(
        self,
        url_or_engine: str | sa.URL | sa.Engine,
        table_prefix: str = "snakemq_",
        *,
        owner_timeout: float = 5.0,
        answer_timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        **engine_options: Any,
    ) -> None:
        self.table_prefix = table_prefix
        self.owner_timeout = owner_timeout
        self.answer_timeout = answer_timeout
        self.clock = clock
        engine, self._dialect = engine_of(url_or_engine, engine_options)
        self._database = Database(
            engine,
            self._dialect,
            table_prefix,
            owner_timeout=owner_timeout,
            answer_timeout=answer_timeout,
            clock=clock,
        )
        self._sql = self._database.sql
        self._session = self._database.session
        self._reading = Reading(self._session, self._database.tables, self._sql)
        self._pushes = Pushes(self._database.gate, self._database.positions, self._store)

    def close(self) -> None:
        """End the session and release the storage. Idempotent."""
        self._database.close()

    def create_structures(self) -> None:
        """Create the tables that are missing. Opening the storage does that, too."""
        self._database.run(self._database.settle, FOREVER)

    def drop_structures(self) -> None:
        """Drop the tables with all that is in them; backups of 1.6's table stay.

        Afterwards nothing works until :meth:`create_structures` is called.
        """
        self._database.run(self._database.tables.drop, FOREVER)

    def get_queues(self) -> Sequence[str]:
        """Return the names of the queues that have at least one item."""
        return self._database.run(self._reading.queue_names)

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """Return the messages of a queue in order, each with what is left of its ttl."""
        return [stored.message for stored in self._read(queue_name, None, None, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """Return the next messages of a queue. Costs only what is in the page."""
        return self._read(queue_name, after, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """Return how many messages the queue has. The server counts them in an index."""
        name = {"name": encoded(queue_name)}
        return self._database.run(lambda c: c.execute(self._sql.count, name).scalar() or 0)

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is already in this queue is ignored. Raises
        :exc:`SnakeMQMessageTooLarge` for a message that the server can never hold.
        """
        self._dialect.check_size(item.data)
        return self._pushes.push(encoded(queue_name), (item,))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages in one commit: if this raises, none of them is stored."""
        name, items = encoded(queue_name), list(items)
        for item in items:
            self._dialect.check_size(item.data)
        return self._pushes.push(name, items)

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them. One commit."""
        self._delete(items, None)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid. One commit."""
        self._delete(items, encoded(queue_name))

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        self._database.run(lambda connection: connection.execute(self._sql.delete_all), FOREVER)

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid. One commit.

        There is no need to call this for the time that passes: the storage counts it.
        """
        ttls = [(item.uuid, item.ttl) for item in items]

        def update(connection: sa.Connection) -> None:
            now = self._database.now()
            with self._session.transaction(connection, lazy=True):
                rows = [{"u": uuid, "t": ttl, "now": now} for uuid, ttl in ttls]
                connection.execute(self._sql.update_ttl, rows)
                self._database.write_clock(connection)

        if ttls:
            self._database.run(update, FOREVER)

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Note that messages of a peer were processed; durable when this returns. One commit.

        All but the last ``keep`` uuids of that peer are forgotten.
        """
        inbox = Inbox(self._session, self._sql, encoded(ident))
        self._database.run(lambda connection: inbox.remember(connection, uuids, keep))

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """Return the last ``count`` uuids of a peer, oldest first; fewer if there are no more."""
        inbox = Inbox(self._session, self._sql, encoded(ident))
        return self._database.run(lambda connection: inbox.recall(connection, count))

    def remembered(self) -> Mapping[str, int]:
        """Return how many uuids of each peer are kept."""

        def count(connection: sa.Connection) -> dict[str, int]:
            counts: dict[str, int] = {}
            for ident, number in connection.execute(self._sql.remembered):
                with suppress(UnreadableItem):  # no peer has such an ident
                    counts[read_queue_name(ident)] = number
            return counts

        return self._database.run(count)

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. One commit."""
        names = [{"name": encoded(ident)} for ident in idents]

        def forget(connection: sa.Connection) -> None:
            with self._session.transaction(connection):
                connection.execute(self._sql.forget_peer, names)

        if names:
            self._database.run(forget)

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open.

        Other writes do so, too, once a second. If a process may be idle for long, call this now and
        then: a crash forgets the time since the last write.
        """
        self._database.run(lambda connection: self._database.write_clock(connection))

    def _store(self, messages: Sequence[tuple[bytes, Message]], first: int | None) -> int:
        """Store pushed messages. Called in turn, see :class:`Pushes`."""
        database = self._database
        return self._session.run(
            lambda c: database.insertion.insert(c, messages, database.now(), first),
            sum([len(item.data) for _, item in messages]) / BYTES_PER_SECOND,
        )

    def _delete(self, items: Iterable[Message], queue_name: bytes | None) -> None:
        uuids = [item.uuid for item in items]

        def delete(connection: sa.Connection) -> None:
            with self._session.transaction(connection, lazy=True):
                for statement in self._sql.delete(uuids, queue_name):
                    connection.exec_driver_sql(statement)
                self._database.write_clock(connection, CLOCK_INTERVAL)

        if uuids:
            self._database.run(delete)

    def _read(
        self, queue_name: str, after: int | None, limit: int | None, max_bytes: int | None
    ) -> list[StoredMessage]:
        wanted = (encoded(queue_name), after or 0, limit, max_bytes)
        return self._database.run(
            lambda connection: self._reading.page(connection, self._database.now(), wanted),
            FOREVER if limit is None else 0.0,
        )

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import GroupCommit, OwnerClock, Turn

from ..sqlite import _fork
from ._dialects import dialect_of
from ._errors import translated
from ._inbox import Inbox
from ._insertion import Insertion
from ._reading import read_page, read_queue_names
from ._rows import UnreadableRow, encoded, read_queue_name
from ._schema import Tables
from ._session import OwnerSession
from ._statements import Statements
from ._takeover import take_over_v16

T = TypeVar("T")

log = logging.getLogger("snakemq.storage.sqla")

_Row: TypeAlias = tuple[bytes, Message, float]
"""The name of a queue, a message, and since when it waits to be stored."""

FOR_EVER = 7 * 86400.0

BYTES_PER_SECOND = 1_000_000
"""A slow network. What is pushed may take as long as that, beyond ``answer_timeout``."""

CLOCK_INTERVAL = 1.0
"""Deletions write the clock down when so many seconds have passed since the last time."""


class SqlAlchemyQueuesStorage(QueuesStorageBase):
    """Queues in PostgreSQL, MySQL or MariaDB, and what was received.

    ``url_or_engine``: a URL of SQLAlchemy, ``postgresql+psycopg://user:password@host/database``
    or ``mysql+pymysql://...``; or an engine of yours, which is not disposed of.

    ``table_prefix``: what the names of the tables begin with. Storages with different prefixes
    in one database are different storages. Tables that are missing are created. 1.6's table
    ``snakemq_items`` is taken over: its messages are copied, in their order, and it is renamed
    to ``snakemq_items_v16_backup``.

    ``owner_timeout``: how many seconds to wait for another owner to let go.

    ``answer_timeout``: how many seconds a call waits for the server, and one more for each
    megabyte that is pushed. :meth:`get_items`, :meth:`delete_all`, :meth:`update_items_ttl` and
    the structures wait for as long as it takes.

    ``clock``: monotonic seconds.

    ``engine_options``: for :func:`sqlalchemy.create_engine`, when a URL is given.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the server has committed it.
    That survives a power cut if the server's own settings are the usual ones. Deletions need
    not be synced (PostgreSQL): after a crash of the server the latest may be undone.

    *One owner*: a lock of the server (``pg_advisory_lock``, ``GET_LOCK``) is held as long as the
    connection lives; a second storage on the same tables, in whatever process, raises
    :exc:`StorageError` with ``temporary`` set. A forked child cannot use its parent's storage.
    A pool between here and the server must not share connections between its clients.

    *When the server is away*, each call fails at once, or within the driver's
    ``connect_timeout`` (5 s, unless the URL says otherwise) if nothing answers, or within
    ``answer_timeout``, twice that at most, if it stops answering in the middle. The first call
    after its return works. A push that raised is undone then, should the server have done it.

    *Threads*: every method may be called from any thread; they share one connection. Threads
    that push at the same time share commits. A signal handler or a finalizer may push as well; in
    the middle of a call of its own thread what it pushes is durable as soon as that has ended.

    *Ttl*: counts down while the storage is open, server away or not, and stands still while it
    is not. After a crash it goes on from the last thing that was written.

    *Unreadable rows* are moved to the table ``snakemq_set_aside`` and reported to the logger
    ``snakemq.storage.sqla``.

    Raises ``ValueError`` for a database that is not supported, and for queue names of more than
    1024 bytes. Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True

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
        if isinstance(url_or_engine, sa.Engine):
            engine = url_or_engine
            self._dialect = dialect_of(engine.dialect.name)
        else:
            url = sa.make_url(url_or_engine)
            self._dialect = dialect_of(url.get_backend_name())
            # The user's own connect_args add to ours; what the URL says counts more than ours.
            defaults = self._dialect.engine_options(url)
            ours = {k: v for k, v in defaults["connect_args"].items() if k not in url.query}
            options = {"poolclass": sa.pool.NullPool} | engine_options
            options["connect_args"] = ours | options.get("connect_args", {})
            engine = sa.create_engine(url, **options)
        self._place = engine.url.render_as_string(hide_password=True)
        self._prefix = table_prefix
        self._owner_timeout = owner_timeout
        self._time = clock
        self._tables = Tables(table_prefix)
        self._sql = Statements(self._tables, self._dialect, engine.dialect)
        self._turn = Turn(log)
        self._group = GroupCommit(self._turn.lock, self._insert)
        self._session = OwnerSession(
            engine, self._dialect, self._own, self._settled, answer_timeout, owner_timeout
        )
        self._insertion = Insertion(self._session, self._dialect, self._sql)
        self._unusable = ""
        self._clock: OwnerClock | None = None
        self._clock_written = 0.0
        try:
            self._run(lambda connection: None)
        except BaseException:
            self._session.end()
            raise
        _fork.watch(self)

    def close(self) -> None:
        """End the session and let go of the storage. Idempotent."""
        if self._unusable:
            return
        with self._turn.call():
            if self._unusable:
                return
            if self._session.connection is not None:
                with suppress(sa.exc.SQLAlchemyError):  # costs some seconds of ttl, no message
                    self._write_clock(self._session.connection, 0.0)
            self._unusable = "it is closed"
            _fork.unwatch(self)
            self._session.end()

    def create_structures(self) -> None:
        """Create the tables that are missing. Opening the storage has done that already."""

        def create(connection: sa.Connection) -> None:
            self._settled(connection)

        self._run(create, FOR_EVER)

    def drop_structures(self) -> None:
        """Drop the tables with all that is in them; backups of 1.6's table stay.

        Nothing works then before :meth:`create_structures`.
        """
        self._run(self._tables.drop, FOR_EVER)

    def get_queues(self) -> Sequence[str]:
        """Names of the queues that have at least one item."""
        return self._run(
            lambda connection: read_queue_names(self._session, connection, self._tables, self._sql)
        )

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """The messages of a queue in their order, with what is left of their ttl."""
        return [stored.message for stored in self._read(queue_name, None, None, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """The next messages of a queue; costs what is in the page, however long the queue is."""
        return self._read(queue_name, after, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """How many messages the queue has. The server counts them in an index."""
        name = {"name": encoded(queue_name)}
        return self._run(lambda c: c.execute(self._sql.count, name).scalar() or 0)

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is in this queue already is ignored. Raises
        :exc:`SnakeMQMessageTooLarge` for one that the server never takes.
        """
        self._dialect.check_size(item.data)
        return self._group.write(((encoded(queue_name), item, time.monotonic()),))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages in one commit: when this raises, none of them was stored."""
        name = encoded(queue_name)
        now = time.monotonic()
        rows = [(name, item, now) for item in items]
        for _, item, _ in rows:
            self._dialect.check_size(item.data)
        return self._group.write(rows) if rows else ()

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them. One commit."""
        self._delete(items, None)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid. One commit."""
        self._delete(items, encoded(queue_name))

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        self._run(lambda connection: connection.execute(self._sql.delete_all), FOR_EVER)

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid. One commit.

        There is no need to call this for the time that passes: the storage counts it.
        """
        ttls = [(item.uuid, item.ttl) for item in items]

        def update(connection: sa.Connection) -> None:
            now = self._now()
            with self._session.transaction(connection, lazy=True):
                rows = [{"u": uuid, "t": ttl, "now": now} for uuid, ttl in ttls]
                connection.execute(self._sql.update_ttl, rows)
                self._write_clock(connection, 0.0)

        if ttls:
            self._run(update, FOR_EVER)

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Messages of a peer were processed; durable when this returns. One commit.

        All but the last ``keep`` uuids of that peer are forgotten.
        """
        inbox = Inbox(self._session, self._sql, encoded(ident))
        self._run(lambda connection: inbox.remember(connection, uuids, keep))

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """The last ``count`` uuids of a peer, the oldest first; fewer if there are no more."""
        inbox = Inbox(self._session, self._sql, encoded(ident))
        return self._run(lambda connection: inbox.recall(connection, count))

    def remembered(self) -> Mapping[str, int]:
        """How many uuids of each peer are kept."""

        def count(connection: sa.Connection) -> dict[str, int]:
            counts: dict[str, int] = {}
            for ident, number in connection.execute(self._sql.remembered):
                with suppress(UnreadableRow):  # it belongs to nobody
                    counts[read_queue_name(ident)] = number
            return counts

        return self._run(count)

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. One commit."""
        names = [{"name": encoded(ident)} for ident in idents]

        def forget(connection: sa.Connection) -> None:
            with self._session.transaction(connection):
                connection.execute(self._sql.forget_peer, names)

        if names:
            self._run(forget)

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open.

        Other writes do that as well, once a second. A process that may be idle for long calls
        this now and then: a crash forgets only the time since the last write.
        """
        self._run(lambda connection: self._write_clock(connection, 0.0))

    def after_fork_in_child(self) -> object:
        """For the fork handler of this package only."""
        self._unusable = "a forked process cannot use the storage of its parent; open its own"
        return self._session

    def _run(self, work: Callable[[sa.Connection], T], extra: float = 0.0) -> T:
        # Before the lock as well: in a forked child nobody may be left to release it.
        self._check_usable()
        since = time.monotonic()
        with self._turn.call():
            return self._run_locked(work, extra, since)

    def _run_locked(self, work: Callable[[sa.Connection], T], extra: float, since: float) -> T:
        self._check_usable()
        self._turn.check(since)
        try:
            with translated(self._place, self._dialect):
                result = self._session.run(work, extra)
        except StorageError as error:
            self._turn.failed(error)
            raise
        self._turn.worked()
        return result

    def _check_usable(self) -> None:
        if self._unusable:
            raise StorageError(f"SQL storage {self._place}: {self._unusable}")

    def _own(self, connection: sa.Connection) -> None:
        self._dialect.own(connection, self._prefix, self._owner_timeout)

    def _settled(self, connection: sa.Connection) -> None:
        """We are the owner, perhaps again, and perhaps another one was it meanwhile."""
        self._tables.create(connection)
        rows = connection.execute(self._sql.last).all()
        name, last = max(rows, key=lambda row: row.seq, default=(b"", 0))
        readings = [
            connection.execute(self._sql.seconds).scalar(),
            connection.execute(self._sql.stored_at, {"name": name, "seq": last}).scalar(),
            self._clock and self._clock.now(),
        ]
        self._clock = OwnerClock(self._time, max(reading or 0.0 for reading in readings))
        insertion = self._insertion
        insertion.next_seq = max(insertion.next_seq, last + 1)
        insertion.undo(connection)
        insertion.next_seq = take_over_v16(
            self._session,
            connection,
            self._tables,
            self._sql.insert_message,
            insertion.next_seq,
            self._now(),
        )

    def _now(self) -> float:
        assert self._clock is not None
        return self._clock.now()

    def _insert(self, rows: Sequence[_Row]) -> int:
        """Called by the group commit, with the lock held. Returns the first row's position."""
        self._check_usable()
        if not self._turn.is_taken:
            with self._turn.call():
                return self._store(rows, None)
        # A signal handler in the middle of a call of this thread.
        seq = self._insertion.reserve(len(rows))
        self._turn.leave(lambda: self._store(rows, seq))
        return seq

    def _store(self, rows: Sequence[_Row], seq: int | None) -> int:
        """``seq``: the number of the first row; ``None``: the next one."""
        messages = [(name, item) for name, item, _ in rows]
        return self._run_locked(
            lambda c: self._insertion.insert(c, messages, self._now(), seq),
            sum([len(item.data) for _, item in messages]) / BYTES_PER_SECOND,
            max([since for _, _, since in rows]),
        )

    def _delete(self, items: Iterable[Message], queue_name: bytes | None) -> None:
        uuids = [item.uuid for item in items]

        def delete(connection: sa.Connection) -> None:
            with self._session.transaction(connection, lazy=True):
                for statement in self._sql.delete(uuids, queue_name):
                    connection.exec_driver_sql(statement)
                self._write_clock(connection, CLOCK_INTERVAL)

        if uuids:
            self._run(delete)

    def _write_clock(self, connection: sa.Connection, interval: float) -> None:
        now = self._now()
        if now - self._clock_written >= interval:
            connection.execute(self._sql.update_clock, {"now": now})
            self._clock_written = now

    def _read(
        self, queue_name: str, after: int | None, limit: int | None, max_bytes: int | None
    ) -> list[StoredMessage]:
        name = encoded(queue_name)
        return self._run(
            lambda connection: read_page(
                self._session,
                connection,
                self._tables,
                self._sql,
                self._now(),
                (name, after or 0, limit, max_bytes),
            ),
            FOR_EVER if limit is None else 0.0,
        )

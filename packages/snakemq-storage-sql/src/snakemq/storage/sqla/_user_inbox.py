"""The inbox in the user's own database, through SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session, sessionmaker

from snakemq._settings import Fixed, instance_of
from snakemq.exceptions import LoopError, StorageError

from ._errors import is_lost
from ._schema import inbox_table

TABLE = "snakemq_inbox"

Result = TypeVar("Result")


@dataclass
class _Open:
    """What is open on the server."""

    connection: sa.Connection
    transaction: sa.RootTransaction
    message: sa.NestedTransaction | None = None
    """The savepoint of the message whose callbacks are being called."""
    session: Session | None = None
    """Made when a callback asks for it."""


class SqlAlchemyInbox:
    """Records processed messages in the database into which the callbacks write. Each message has
    its effect there exactly once, whichever process is killed, and when.

    ::

        inbox = SqlAlchemyInbox(sessionmaker(create_engine("postgresql+psycopg://host/shop")))
        messaging = Messaging("shop", "", packeter, inbox=inbox)

        def on_message_recv(conn_id, ident, message):
            inbox.session.add(Order(message.data))

    The callbacks write in :attr:`session`. The inbox commits what they have written together with
    the record of their messages, once for all messages that have arrived together, and before these
    are acknowledged. If a callback raises, what it has written is rolled back, and what was written
    for other messages stays. ``commit()`` and ``rollback()`` of the session concern the message
    only: they release its savepoint, and roll back to it.

    ``session_factory``: a ``sessionmaker`` that is bound to one engine, of PostgreSQL, MySQL,
    MariaDB or SQLite.

    The loop waits for the server. Give the engine time-outs: if the server hangs, so does the loop.

    The setting is a read-only attribute, too:

    - ``table``: the name of the table in this database that keeps the uuids. It is created if it is
      missing. Two ``Messaging`` need two tables.

    This is a :class:`~snakemq.queues.TransactionalInbox`, to be used in the thread of the loop
    only. Its methods raise :exc:`~snakemq.exceptions.StorageError`, and so does the constructor.
    That also raises ``TypeError`` for wrong arguments.
    """

    blocks = False

    table: Fixed[str] = Fixed(instance_of(str))

    def __init__(self, session_factory: sessionmaker[Session], *, table: str = TABLE) -> None:
        if not isinstance(session_factory, sessionmaker):
            raise TypeError(f"session_factory must be a sessionmaker, not {session_factory!r}")
        self.table = table
        self._make_session = session_factory
        with _translated(), session_factory() as session:
            bind = session.get_bind()
        if not isinstance(bind, sa.Engine):
            raise TypeError(f"session_factory must be bound to an engine, not to {bind!r}")
        self._engine = bind
        self._rows = inbox_table(table, sa.MetaData())
        self._open: _Open | None = None
        self._kept: dict[str, list[bytes]] = {}
        """For each peer, the uuids that the next commit records."""
        with _translated():
            self._rows.metadata.create_all(bind)

    @property
    def session(self) -> Session:
        """The session for a callback of ``on_message_recv``, a new one for each message.

        Raises :exc:`~snakemq.exceptions.LoopError` when no message is being processed.
        """
        is_open = self._open
        if is_open is None or is_open.message is None:
            raise LoopError("no message is being processed: use this in a callback")
        if is_open.session is None:
            is_open.session = self._make_session(
                bind=is_open.connection, join_transaction_mode="create_savepoint"
            )
        return is_open.session

    # -- for each message

    def begin(self) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.begin`."""
        with self._all_or_nothing():
            is_open = self._begun()
            is_open.message = is_open.connection.begin_nested()

    def keep(self, ident: str, uuid: bytes | None) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.keep`. Raises what the session raises for
        rows that it writes only now."""
        refused: Exception | None = None
        with self._all_or_nothing():
            message, session = self._message_ends()
            if session is not None:
                refused = _finish(session)
            if refused is None:
                message.commit()
            else:
                message.rollback()
        if refused is not None:
            raise refused
        if uuid is not None:
            self._kept.setdefault(ident, []).append(uuid)

    def undo(self) -> None:
        """See :meth:`snakemq.queues.TransactionalInbox.undo`."""
        with self._all_or_nothing():
            message, session = self._message_ends()
            if session is not None:
                session.close()
            message.rollback()

    def _message_ends(self) -> tuple[sa.NestedTransaction, Session | None]:
        is_open = self._open
        if is_open is None or is_open.message is None:
            raise StorageError("no message was begun")
        message, session = is_open.message, is_open.session
        is_open.message = is_open.session = None
        return message, session

    # -- the record

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Record these uuids, and commit with them what callbacks have written and its record.

        See :meth:`snakemq.queues.InboxStorage.remember`.
        """
        if self._open is not None and self._open.message is not None:
            raise StorageError("the inbox cannot commit while a callback writes")
        columns = self._rows.c
        with self._all_or_nothing():
            is_open = self._begun()
            for peer, kept in self._kept.items():
                self._append(is_open.connection, peer, kept)
            last = self._append(is_open.connection, ident, uuids)
            is_open.connection.execute(
                sa.delete(self._rows).where(
                    columns.ident == ident.encode(), columns.seq <= last - keep
                )
            )
            is_open.transaction.commit()
            self._kept.clear()
            self._open = None
            is_open.connection.close()

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """See :meth:`snakemq.queues.InboxStorage.recall`."""
        columns = self._rows.c
        statement = (
            sa.select(columns.uuid)
            .where(columns.ident == ident.encode())
            .order_by(columns.seq.desc())
            .limit(count)
        )
        uuids = self._run(lambda connection: connection.scalars(statement).all())
        return [bytes(uuid) for uuid in reversed(uuids)]

    def remembered(self) -> Mapping[str, int]:
        """See :meth:`snakemq.queues.ForgetfulInbox.remembered`."""
        ident = self._rows.c.ident
        statement = sa.select(ident, sa.func.count()).group_by(ident)
        rows = self._run(lambda connection: connection.execute(statement).all())
        return {bytes(peer).decode(): count for peer, count in rows}

    def forget(self, idents: Sequence[str]) -> None:
        """See :meth:`snakemq.queues.ForgetfulInbox.forget`."""
        peers = [ident.encode() for ident in idents]
        statement = sa.delete(self._rows).where(self._rows.c.ident.in_(peers))
        self._run(lambda connection: connection.execute(statement))

    def _run(self, call: Callable[[sa.Connection], Result]) -> Result:
        """Call it in the open transaction, or in one of its own."""
        with _translated():
            if self._open is not None:
                return call(self._open.connection)
            with self._engine.begin() as connection:
                return call(connection)

    def _append(self, connection: sa.Connection, ident: str, uuids: Sequence[bytes]) -> int:
        """Returns the number of the peer's last uuid."""
        peer, columns = ident.encode(), self._rows.c
        last = connection.scalar(sa.select(sa.func.max(columns.seq)).where(columns.ident == peer))
        first = (last or 0) + 1
        if uuids:
            connection.execute(
                sa.insert(self._rows),
                [{"ident": peer, "seq": n, "uuid": uuid} for n, uuid in enumerate(uuids, first)],
            )
        return first - 1 + len(uuids)

    # -- the transaction

    def _begun(self) -> _Open:
        if self._open is None:
            connection = self._engine.connect()
            try:
                transaction = connection.begin()
                if connection.dialect.name == "sqlite":
                    _begin_sqlite(connection)
            except BaseException:
                connection.close()
                raise
            self._open = _Open(connection, transaction)
        return self._open

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> NoReturn:
        """Roll back, and raise what the caller gets."""
        self._kept.clear()
        is_open, self._open = self._open, None
        if is_open is not None:
            _roll_back(is_open)
        with _translated():
            raise error


def _finish(session: Session) -> Exception | None:
    """Write the rows that it still has. Returns the error if the database refuses them."""
    try:
        session.commit()
    except Exception as error:
        if isinstance(error, exc.SQLAlchemyError) and is_lost(error):
            raise
        return error
    finally:
        session.close()
    return None


def _roll_back(is_open: _Open) -> None:
    with suppress(exc.SQLAlchemyError):
        try:
            is_open.transaction.rollback()
        except exc.SQLAlchemyError:
            is_open.connection.invalidate()  # without a connection, the server rolls back
        is_open.connection.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin a transaction, which sqlite3 does only before a row is written: without one, releasing
    a savepoint would commit."""
    driver = connection.connection.dbapi_connection
    if not getattr(driver, "in_transaction", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.SQLAlchemyError as error:
        is_temporary = is_lost(error) or isinstance(error, exc.OperationalError)
        raise StorageError(f"the inbox failed: {error}", temporary=is_temporary) from error

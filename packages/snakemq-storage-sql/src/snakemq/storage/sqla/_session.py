"""The owner's one connection: made when it is needed, and again when it was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import socket
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from ._dialect import Dialect
from ._errors import is_lost
from ._watchdog import Watchdog, socket_of

T = TypeVar("T")


class OwnerSession:
    """Runs work on a connection that owns the storage. Not thread-safe.

    ``own``: becomes the owner on a new connection. ``settled``: is then called with it.

    ``answer_timeout``: seconds after which a server that does not answer counts as away.

    ``owner_timeout``: the most seconds that ``own`` waits.
    """

    def __init__(
        self,
        engine: sa.Engine,
        dialect: Dialect,
        own: Callable[[sa.Connection], None],
        settled: Callable[[sa.Connection], None],
        answer_timeout: float,
        owner_timeout: float,
    ) -> None:
        self._engine = engine
        self._dialect = dialect
        self._own = own
        self._settled = settled
        self.connection: sa.Connection | None = None
        self._driver: Any = None
        self._cursor: Any = None
        self._watchdog = Watchdog(answer_timeout)
        self._owner_timeout = owner_timeout
        self._socket: socket | None = None

    def run(self, work: Callable[[sa.Connection], T], extra: float = 0.0) -> T:
        """Run ``work``, once more if the connection turns out to be lost.

        So ``work`` must be safe to repeat: maybe only the answer to a commit was lost. On a
        connection that was just made, ``work`` is not repeated.

        ``extra``: how many seconds more to wait for the server's answers.

        Raises :exc:`sqlalchemy.exc.SQLAlchemyError`, :exc:`Silent`, and what the functions raise.
        """
        is_new = self.connection is None
        try:
            return self._run(work, extra)
        except exc.DBAPIError as error:
            if is_new or not self.ends_with(error):
                raise
        return self._run(work, extra)

    def ends_with(self, error: BaseException) -> bool:
        """Return whether the session must end after this error.

        It must if the error has to do with the server. It must after an interruption, too, which
        may have come in the middle of an answer.
        """
        if isinstance(error, exc.DBAPIError):
            return is_lost(error) or self._dialect.is_temporary(error)
        return True

    @contextmanager
    def driver_cursor(self, connection: sa.Connection) -> Iterator[Any]:
        """Yield a cursor of the driver itself; its errors are raised as SQLAlchemy raises them."""
        dialect = connection.dialect
        try:
            yield self._cursor
        except dialect.loaded_dbapi.Error as error:
            raise exc.DBAPIError.instance(
                None,
                None,
                error,
                dialect.loaded_dbapi.Error,
                connection_invalidated=dialect.is_disconnect(error, self._driver, self._cursor),
                dialect=dialect,
            ) from error

    def _run(self, work: Callable[[sa.Connection], T], extra: float) -> T:
        connection = self.connection or self._connect()
        try:
            with self._watchdog.watch(self._socket, extra):
                return work(connection)
        except BaseException as error:
            if self.ends_with(error):
                self.drop()
            raise

    def _connect(self) -> sa.Connection:
        connection = self._engine.connect()
        self._driver = connection.connection.dbapi_connection
        try:
            # Without a transaction around everything, one statement costs one round trip, not
            # three. And the connection leaves the pool, even a user's: the session owns the
            # storage, so it must end when the storage is closed.
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            self._cursor = self._driver.cursor()
            self._socket = socket_of(self._driver)
            with self._watchdog.watch(self._socket, self._owner_timeout):
                self._dialect.settle(connection)
                self._own(connection)
            # Without a time limit, because there may be tables to take over.
            self._settled(connection)
        except BaseException:
            self._close(connection)
            raise
        self.connection = connection
        return connection

    @contextmanager
    def transaction(self, connection: sa.Connection, *, lazy: bool = False) -> Iterator[None]:
        """Do everything in the ``with`` block or nothing.

        ``lazy``: the outcome survives the death of this process, but need not be on the disk.
        """
        for statement in self._dialect.begin_lazily if lazy else (self._dialect.begin,):
            connection.exec_driver_sql(statement)
        try:
            yield
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            with suppress(exc.SQLAlchemyError):
                connection.exec_driver_sql("ROLLBACK")
            raise

    def drop(self) -> None:
        """End the session, and with it the ownership. Never fails."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._close(connection)

    def end(self) -> None:
        """Drop the session for good."""
        self.drop()
        self._watchdog.end()

    def _close(self, connection: sa.Connection) -> None:
        # What a lost connection raises at its end does not matter. The driver's connection is
        # closed here, because SQLAlchemy closes only what is in a pool.
        with suppress(Exception):
            self._driver.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        with suppress(exc.SQLAlchemyError):
            connection.invalidate()
        with suppress(exc.SQLAlchemyError):
            connection.close()

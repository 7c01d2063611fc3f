"""What differs between the databases: settings of a session, the owner's lock, limits, errors."""

from __future__ import annotations

import hashlib
import logging
import math
from abc import ABC, abstractmethod
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql, postgresql, sqlite

from snakemq.exceptions import SnakeMQMessageTooLarge

log = logging.getLogger("snakemq.storage.sqla")

CONNECT_TIMEOUT = 5
"""Seconds until a server that does not answer counts as being away."""

IN_USE = (
    "it is in use by another process or another storage object;"
    " two owners would deliver its messages twice"
)


class InUse(Exception):
    """Another session owns the storage."""


class Dialect(ABC):
    """One kind of database."""

    begin = "BEGIN"
    begin_lazily: tuple[str, ...] = ("BEGIN",)
    """Begins a transaction that need not be synced to the disk, where there is such a thing."""

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        """What the user may override."""
        return {}

    @abstractmethod
    def settle(self, connection: sa.Connection) -> None:
        """Settings of a new session."""

    @abstractmethod
    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        """Become the owner, for as long as the session lives. Raises :exc:`InUse`."""

    @abstractmethod
    def insert(self, messages: sa.Table) -> sa.Insert:
        """An INSERT that ignores a message whose uuid is in its queue already."""

    def insert_arrays(self, messages: sa.Table) -> str:
        """The same for any number of messages in one statement that takes a list for each column
        by its name; empty where there is no such thing."""
        return ""

    def check_size(self, data: bytes) -> None:  # noqa: B027 - where there is no limit
        """Raises :exc:`SnakeMQMessageTooLarge`."""

    @abstractmethod
    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        """May the same succeed later, without anybody changing anything?"""


class PostgreSql(Dialect):
    begin_lazily = ("BEGIN", "SET LOCAL synchronous_commit = off")

    _LONGEST_DATA = 0x3FFFFFFF - 1024  # a field has at most 1 GB

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}}

    def settle(self, connection: sa.Connection) -> None:
        for statement in (
            # Someone may have turned it off for all; a push is durable when it returns.
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'",
            # The server ends the session, and with it the ownership, of a client that is gone
            # without a word within a minute, instead of two hours; and of an idle one never.
            "SELECT set_config('tcp_keepalives_idle', '30', false),"
            " set_config('tcp_keepalives_interval', '10', false),"
            " set_config('tcp_keepalives_count', '3', false)",
            "SELECT set_config(name, '0', false) FROM pg_settings"
            " WHERE name = 'idle_session_timeout'",
        ):
            connection.exec_driver_sql(statement)

    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
        digest = hashlib.sha256(f"snakemq\0{schema}\0{prefix}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        milliseconds = max(1, round(timeout * 1000))
        connection.exec_driver_sql(f"SET lock_timeout = {milliseconds}")
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({key})")
        except exc.DBAPIError as error:
            if _sqlstate(error) == "55P03":
                raise InUse from error
            raise
        connection.exec_driver_sql("SET lock_timeout = 0")

    def insert(self, messages: sa.Table) -> sa.Insert:
        # Only that conflict: a number that is taken already is an error.
        insert = postgresql.insert(messages)
        return insert.on_conflict_do_nothing(index_elements=["uuid", "queue_name"])

    def insert_arrays(self, messages: sa.Table) -> str:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        columns = list(messages.columns)
        names = ", ".join(column.name for column in columns)
        arrays = ", ".join(f"%({c.name})s::{c.type.compile(dialect)}[]" for c in columns)
        table = dialect.identifier_preparer.format_table(messages)
        return (
            f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"
            " ON CONFLICT (uuid, queue_name) DO NOTHING"
        )

    def check_size(self, data: bytes) -> None:
        if len(data) > self._LONGEST_DATA:
            raise SnakeMQMessageTooLarge(
                f"PostgreSQL holds messages of up to {self._LONGEST_DATA} bytes, not {len(data)}"
            )

    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        state = _sqlstate(error)
        if state is None:  # the connection could not be made
            refused = ("authentication failed", "does not exist", "no password supplied", "pg_hba")
            is_down = isinstance(error, exc.OperationalError | exc.InterfaceError)
            return is_down and not any(words in str(error) for words in refused)
        # Lost connections, conflicts, resources, locks, stops by an operator, system errors.
        return state[:2] in ("08", "40", "53", "55", "57", "58")


class MySql(Dialect):
    """MySQL and MariaDB."""

    # Full disks and tables, too many connections, shutdowns, lock waits, and of the client: no
    # connection, or not any more.
    _TEMPORARY = frozenset({1021, 1040, 1053, 1114, 1203, 1205, 1213, 1226, 1927}) | frozenset(
        {2002, 2003, 2006, 2013, 2055}
    )

    def __init__(self) -> None:
        self._longest_packet = 1 << 24

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}}

    def settle(self, connection: sa.Connection) -> None:
        # Without it too long a value is cut.
        connection.exec_driver_sql(
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"
        )
        statement = "SELECT @@max_allowed_packet, @@innodb_flush_log_at_trx_commit"
        row = connection.exec_driver_sql(statement).one()
        self._longest_packet = int(row[0])
        if int(row[1]) != 1:
            log.warning(
                "innodb_flush_log_at_trx_commit is %s: after a power cut messages that were"
                " accepted may be gone; set it to 1 in the server's configuration",
                row[1],
            )

    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        schema = connection.exec_driver_sql("SELECT DATABASE()").scalar()
        digest = hashlib.sha256(f"{schema}\0{prefix}".encode()).hexdigest()
        statement = f"SELECT GET_LOCK('snakemq-{digest[:40]}', {math.ceil(timeout)})"
        if connection.exec_driver_sql(statement).scalar() != 1:
            raise InUse

    def insert(self, messages: sa.Table) -> sa.Insert:
        # Not INSERT IGNORE, which ignores much more.
        return mysql.insert(messages).on_duplicate_key_update(seq=messages.c.seq)

    def check_size(self, data: bytes) -> None:
        room = self._longest_packet - 20_000  # names, numbers, the statement itself
        if 2 * len(data) > room:  # PyMySQL writes them in hexadecimal
            raise SnakeMQMessageTooLarge(
                f"a message of {len(data)} bytes takes {2 * len(data)} in a statement, and the"
                f" server's max_allowed_packet is {self._longest_packet}; set it higher (up to 1G)"
            )

    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        if isinstance(error, exc.InterfaceError):
            return True  # used after it was lost
        return _mysql_code(error) in self._TEMPORARY


class Sqlite(Dialect):
    """For what snakeMQ 1.6 has stored there; otherwise there is snakemq.storage.sqlite."""

    begin = "BEGIN IMMEDIATE"
    begin_lazily = ("BEGIN IMMEDIATE",)

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        return {"connect_args": {"check_same_thread": False}}

    def settle(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA synchronous=FULL")

    def own(self, connection: sa.Connection, prefix: str, timeout: float) -> None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={round(timeout * 1000)}")
        connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        try:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        except exc.OperationalError as error:
            if self.is_temporary(error):
                raise InUse from error
            raise
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA journal_mode=WAL").fetchall()

    def insert(self, messages: sa.Table) -> sa.Insert:
        insert = sqlite.insert(messages)
        return insert.on_conflict_do_nothing(index_elements=["uuid", "queue_name"])

    def is_temporary(self, error: exc.SQLAlchemyError) -> bool:
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
        return (code & 0xFF) in (5, 6, 13)  # busy, locked, full


def dialect_of(name: str) -> Dialect:
    """Raises ``ValueError`` for a database that is not supported."""
    kinds: dict[str, type[Dialect]] = {
        "postgresql": PostgreSql,
        "mysql": MySql,
        "mariadb": MySql,
        "sqlite": Sqlite,
    }
    if name not in kinds:
        raise ValueError(f"databases can be {', '.join(kinds)}, not {name}")
    return kinds[name]()


def _sqlstate(error: exc.SQLAlchemyError) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state


def _mysql_code(error: exc.SQLAlchemyError) -> object:
    arguments = getattr(getattr(error, "orig", None), "args", ())
    return arguments[0] if arguments else None

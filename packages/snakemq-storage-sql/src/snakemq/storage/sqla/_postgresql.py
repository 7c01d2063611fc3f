"""The dialect of PostgreSQL."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql

from snakemq.exceptions import SnakeMQMessageTooLarge

from ._dialect import CONNECT_TIMEOUT, Dialect, InUse
from ._rows import Row

_MAX_COPY = 64 * 1024 * 1024
"""The most bytes of data for one COPY, which puts them together in memory once more."""

_UNIQUE_VIOLATION = "23505"


class PostgreSql(Dialect):
    """PostgreSQL."""

    begin_lazily = ("BEGIN", "SET LOCAL synchronous_commit = off")

    _LONGEST_DATA = 0x3FFFFFFF - 1024  # a field has at most 1 GB

    def engine_options(self, url: sa.URL) -> dict[str, Any]:
        return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}}

    def settle(self, connection: sa.Connection) -> None:
        for statement in (
            # It may be off for the whole server, but a push has to be durable when it returns.
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'",
            # If a client disappears without a word, the server ends its session, and with it the
            # ownership, within a minute instead of two hours. It never ends an idle session.
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
        # Ignore that conflict only: a number that is already taken is an error.
        insert = postgresql.insert(messages)
        return insert.on_conflict_do_nothing(index_elements=["uuid", "queue_name"])

    def insert_at_once(self, cursor: Any, table: str, rows: Sequence[Row]) -> bool:
        # Measured with 100 messages on a disk: 1.4 ms. Arrays for unnest() take 3.9 ms, one INSERT
        # with 700 parameters 4.1 ms, executemany() 3.4 ms: they spend most of it on parameters.
        if len(rows) == 1:
            return False  # a COPY takes two round trips, an INSERT takes one
        if not hasattr(cursor, "copy") or sum(len(row.data) for row in rows) > _MAX_COPY:
            return False  # the driver is not psycopg 3, or memory counts
        try:
            content = _copy_format(rows)
        except struct.error:
            return False
        statement = f"COPY {table} ({', '.join(Row._fields)}) FROM STDIN (FORMAT BINARY)"
        try:
            with cursor.copy(statement) as copy:
                copy.write(content)
        except Exception as error:
            if getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION:
                return False
            raise
        return True

    def literal(self, value: bytes) -> str:
        return f"E'\\\\x{value.hex()}'::bytea"

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
        # Lost connections, conflicts, lack of resources, locks, an operator's stops, system errors.
        return state[:2] in ("08", "40", "53", "55", "57", "58")


def _sqlstate(error: exc.SQLAlchemyError) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state


# The binary format of COPY: a signature, flags and the length of the header's extension; the rows,
# each with its number of fields and each field with its length; an end.
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_SEQ = struct.Struct(">hiqi").pack  # and the length of queue_name
_LENGTH = struct.Struct(">i").pack
_TTL = struct.Struct(">id").pack
_NULL = _LENGTH(-1)
_REST = struct.Struct(">idiqi").pack  # stored_at, flags, and the length of data


def _copy_format(rows: Sequence[Row]) -> bytes:
    """Return rows in the binary format. Raises ``struct.error`` if a number is too large."""
    parts = [_BEGIN]
    for seq, queue_name, uuid, ttl, stored_at, flags, data, headers in rows:
        parts += (
            _SEQ(len(Row._fields), 8, seq, len(queue_name)),
            queue_name,
            _LENGTH(len(uuid)),
            uuid,
            _NULL if ttl is None else _TTL(8, ttl),
            _REST(8, stored_at, 8, flags, len(data)),
            data,
            _NULL if headers is None else _LENGTH(len(headers)) + headers,
        )
    parts.append(_END)
    return b"".join(parts)

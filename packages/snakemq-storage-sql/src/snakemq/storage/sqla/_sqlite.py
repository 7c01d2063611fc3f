"""The dialect of SQLite, for what snakeMQ 1.6 has stored through SQLAlchemy."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite

from ._dialect import Dialect, InUse


class Sqlite(Dialect):
    """SQLite, for what snakeMQ 1.6 has stored there. For all else use snakemq.storage.sqlite."""

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

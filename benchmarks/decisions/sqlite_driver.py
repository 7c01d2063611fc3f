"""Measure the figures of docs/adr/0002-sqlite-driver.md.

    python -m benchmarks.decisions.sqlite_driver FOLDER_ON_A_DISK [--short]

Needs SQLAlchemy 2. Rounds are interleaved; the median of each is printed.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

DATA = bytes(100)
TABLE = (
    "CREATE TABLE messages (seq INTEGER PRIMARY KEY, queue_name TEXT NOT NULL,"
    " uuid BLOB NOT NULL, ttl REAL, stored_at REAL NOT NULL, flags INTEGER NOT NULL,"
    " data BLOB NOT NULL)"
)
INDEXES = (
    "CREATE INDEX messages_by_queue ON messages (queue_name)",
    "CREATE UNIQUE INDEX messages_by_uuid ON messages (uuid, queue_name)",
)
SETTINGS = (
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
)
INSERT = (
    "INSERT OR IGNORE INTO messages (queue_name, uuid, ttl, stored_at, flags, data)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
# Let the log grow to its usual size first: as long as a file grows, each sync costs more.
GROW = ("CREATE TABLE grow AS SELECT randomblob(5000000)", "DROP TABLE grow")
DELETE = "DELETE FROM messages WHERE uuid = ? AND queue_name = ?"


Rate = Callable[[Callable[[bytes], object]], float]
"""Does the work with many new uuids, and says how often a second."""


def rate_of(rows: int) -> Rate:
    def per_second(work: Callable[[bytes], object]) -> float:
        prefix = os.urandom(10)
        uuids = [prefix + n.to_bytes(6, "big") for n in range(rows)]
        started = time.perf_counter()
        for uuid in uuids:
            work(uuid)
        return rows / (time.perf_counter() - started)

    return per_second


def append_and_sync(path: Path, per_second: Rate) -> dict[str, float]:
    with open(path, "wb", buffering=0) as file:

        def work(uuid: bytes) -> None:
            file.write(uuid + DATA)
            os.fdatasync(file.fileno())

        return {"append + fdatasync": per_second(work)}


def stdlib(path: Path, per_second: Rate, indexes: bool) -> dict[str, float]:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*SETTINGS, TABLE, *(INDEXES if indexes else ()), *GROW):
        connection.execute(statement)

    def insert(uuid: bytes) -> None:
        connection.execute(INSERT, ("peer", uuid, 60.0, 1.5, 1, DATA))

    def insert_delete(uuid: bytes) -> None:
        insert(uuid)
        connection.execute(DELETE, (uuid, "peer"))

    def insert_lazy_delete(uuid: bytes) -> None:
        insert(uuid)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(DELETE, (uuid, "peer"))
        connection.execute("PRAGMA synchronous=FULL")

    name = "sqlite3, schema and indexes" if indexes else "sqlite3, bare table"
    result = {f"{name}: insert": per_second(insert)}
    if indexes:
        result[f"{name}: insert, delete"] = per_second(insert_delete)
        result[f"{name}: insert, delete unsynced"] = per_second(insert_lazy_delete)
    connection.close()
    return result


def sqlalchemy_core(path: Path, per_second: Rate) -> dict[str, float]:
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.StaticPool)
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        for statement in (*SETTINGS, TABLE, *INDEXES, *GROW):
            raw.execute(statement)
    table = sa.Table("messages", sa.MetaData(), autoload_with=engine)
    insert_statement = sa.insert(table).prefix_with("OR IGNORE")
    delete_statement = sa.delete(table).where(
        table.c.uuid == sa.bindparam("u"), table.c.queue_name == sa.bindparam("q")
    )

    same = {"queue_name": "peer", "ttl": 60.0, "stored_at": 1.5, "flags": 1, "data": DATA}

    def insert(uuid: bytes) -> None:
        with engine.begin() as connection:
            connection.execute(insert_statement, same | {"uuid": uuid})

    def insert_delete(uuid: bytes) -> None:
        insert(uuid)
        with engine.begin() as connection:
            connection.execute(delete_statement, {"u": uuid, "q": "peer"})

    result = {
        "SQLAlchemy Core, schema and indexes: insert": per_second(insert),
        "SQLAlchemy Core, schema and indexes: insert, delete": per_second(insert_delete),
    }
    engine.dispose()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="on a disk, not in memory")
    parser.add_argument("--short", action="store_true", help="one round of a few rows")
    arguments = parser.parse_args()
    rounds, rows = (1, 5) if arguments.short else (7, 1000)

    per_second = rate_of(rows)
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            directory = Path(name)
            for result in (
                append_and_sync(directory / "append", per_second),
                stdlib(directory / "bare", per_second, indexes=False),
                stdlib(directory / "full", per_second, indexes=True),
                sqlalchemy_core(directory / "sqlalchemy", per_second),
            ):
                for key, value in result.items():
                    figures.setdefault(key, []).append(value)
    for key, values in figures.items():
        print(f"{key:55} {statistics.median(values):8,.0f}/s")


if __name__ == "__main__":
    main()

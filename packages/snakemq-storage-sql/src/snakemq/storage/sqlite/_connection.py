"""Opening the file as its one and only owner."""

from __future__ import annotations

import os
import sqlite3

from snakemq.exceptions import StorageError

from ._rows import Text
from ._schema import prepare


def connect(filename: str, busy_timeout: float) -> sqlite3.Connection:
    """A connection in autocommit mode that owns the file, brought to the present schema.

    No second connection of any process can read or write the file before this one is closed
    or its process has died; the lock is the operating system's, so nothing stale stays behind.
    Two owners would each deliver the messages of one queue.

    Commits are durable (write-ahead log, synced at each commit).

    Raises :exc:`sqlite3.Error`, :exc:`StorageError`.
    """
    connection = sqlite3.connect(
        filename, timeout=busy_timeout, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = Text
        # Must come before the first read. It also keeps the index of the log in memory instead
        # of a shared file: faster, and it works where shared memory does not.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        prepare(connection, filename)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode not in (b"wal", b"memory"):
            raise StorageError(
                f"SQLite storage {filename!r}: this build of SQLite has no write-ahead log"
                f" (journal mode {os.fsdecode(mode)!r})"
            )
    except BaseException:
        connection.close()
        raise
    return connection

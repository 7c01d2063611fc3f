"""Opening the file as its one and only owner."""

from __future__ import annotations

import os
import sqlite3

from snakemq.exceptions import StorageError

from ._rows import Text
from ._schema import prepare
from ._space import Space

PAGE_SIZE = 2048
"""Bytes. A push writes a page of each of three trees to the log. Measured, one after another:
172 µs with this and 189 with SQLite's 4096; 169 with 1024, but there a message of 1 MiB takes a
third longer. A file that is there keeps the size that it has."""

LOG_SIZE = 1 << 20
"""Bytes of the log from which on it is written back into the file. Then it is overwritten from its
beginning, and syncs get cheaper: as long as a file grows each of them writes down its size as well.
Measured on ext4, the first 2,000 pushes one after another: 154 µs each, and 172 with the 4 MiB of
SQLite; 147 if the log is filled up at once, but then opening takes 6 ms instead of 4. The price is
8.4 µs instead of 6.7 for each of 100,000 random uuids in batches; those of Message are in order."""

LONGEST_LOG = 4 * LOG_SIZE
"""A large batch makes the log as long as itself. Longer than this many bytes it does not stay."""

STATEMENTS = 256
"""How many are kept prepared: most of them insert or delete rows, from 1 to 100 of them."""


def connect(filename: str, busy_timeout: float) -> sqlite3.Connection:
    """A connection in autocommit mode that owns the file, brought to the present schema.

    No second connection of any process can read or write the file before this one is closed
    or its process has died; the lock is the operating system's, so nothing stale stays behind.
    Two owners would each deliver the messages of one queue.

    Commits are durable (write-ahead log, synced at each commit).

    Raises :exc:`sqlite3.Error`, :exc:`StorageError`.
    """
    connection = sqlite3.connect(
        filename,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    try:
        connection.text_factory = Text
        # Must come before the first read. It also keeps the index of the log in memory instead
        # of a shared file: faster, and it works where shared memory does not.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
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
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_SIZE // page_size}").fetchall()
        connection.execute(f"PRAGMA journal_size_limit={LONGEST_LOG}").fetchall()
        Space(connection, filename).give_back_at_rest()
    except BaseException:
        connection.close()
        raise
    return connection

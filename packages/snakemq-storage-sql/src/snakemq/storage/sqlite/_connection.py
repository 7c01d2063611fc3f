"""Opening the file as its one and only owner."""

from __future__ import annotations

import os
import sqlite3

from snakemq.exceptions import StorageError

from ._rows import Text
from ._schema import prepare
from ._space import Space

PAGE_SIZE = 2048
"""Bytes. A push writes a page of each of three trees to the log. Measured with one push after the
other: 172 µs with this size and 189 µs with SQLite's 4096; 169 µs with 1024, but then a message of
1 MiB takes a third longer. An existing file keeps its page size."""

LOG_SIZE = 1 << 20
"""Bytes. A longer log is written back into the file and then overwritten from its beginning. That
makes syncs cheaper: while a file grows, each sync writes down its size as well. Measured on ext4
with the first 2,000 pushes, one after the other: 154 µs each, and 172 µs with SQLite's 4 MiB. A log
that is filled up at once gives 147 µs, but opening takes 6 ms instead of 4 ms. The price is 8.4 µs
instead of 6.7 µs for each of 100,000 random uuids in batches; the uuids of Message are in order."""

LONGEST_LOG = 4 * LOG_SIZE
"""Bytes. A large batch makes the log as long as itself; afterwards it is cut to this length."""

STATEMENTS = 384
"""How many statements are kept prepared: most of them delete from 1 to 100 rows, or insert as many
with or without headers."""


def connect(filename: str, busy_timeout: float) -> sqlite3.Connection:
    """Open a connection that owns the file, in autocommit mode, and bring the file up to date.

    No other connection of any process can read or write the file before this one is closed or its
    process has died. The lock is the operating system's, so no stale one stays behind. Two owners
    would both deliver the messages of a queue.

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
        # This must come before the first read. It also keeps the index of the log in memory instead
        # of in a shared file, which is faster and works where shared memory does not.
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

"""The schema of the file, recognising it, and migrating from older versions.

The header of a file says whose it is (``application_id``) and which version (``user_version``).
snakeMQ 1.6 left both at 0. Its files are recognised by their table, and count as version 0.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from itertools import chain

from snakemq.exceptions import StorageError
from snakemq.queues.parts import too_new

from ._takeover import V16_COLUMNS, back_up, take_over_v16

APPLICATION_ID = int.from_bytes(b"snMQ", "big")

SCHEMA_VERSION = 2

_CREATE = (
    # seq is the order of pushes. The one owner of the file counts it in memory, starting from the
    # highest one: AUTOINCREMENT would do the same, but write one more page in every commit.
    # data comes last, so that reading the other columns does not walk over it.
    """
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,
        queue_name TEXT NOT NULL,
        uuid BLOB NOT NULL,
        ttl REAL,                  -- seconds that were left at stored_at; NULL: no limit
        stored_at REAL NOT NULL,   -- reading of the owners' clock, see table clock
        flags INTEGER NOT NULL,
        data BLOB NOT NULL
    )
    """,
    # SQLite ends every index with the rowid, which seq is: this is the index (queue_name, seq).
    "CREATE INDEX messages_in_order ON messages (queue_name)",
    "CREATE UNIQUE INDEX messages_by_uuid ON messages (uuid, queue_name)",
    # One row: for how many seconds owners have had this file open, as of the last write.
    "CREATE TABLE clock (seconds REAL NOT NULL)",
    "INSERT INTO clock VALUES (0.0)",
    # The uuids of processed messages. Without a rowid the table is its own index.
    """
    CREATE TABLE inbox (
        ident TEXT NOT NULL,
        seq INTEGER NOT NULL,
        uuid BLOB NOT NULL,
        PRIMARY KEY (ident, seq)
    ) WITHOUT ROWID
    """,
    # Rows that are not messages, with the values and types that they had.
    """
    CREATE TABLE set_aside (
        id INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        queue_name, uuid, ttl, stored_at, flags, data
    )
    """,
)

_ADD_HEADERS = (
    # NULL: none. Behind data, so that no row has to be written again. What reads the headers
    # reads the data, too.
    "ALTER TABLE messages ADD COLUMN headers BLOB",
    "ALTER TABLE set_aside ADD COLUMN headers",
)


class Content(Enum):
    """What is in a file that is about to become a storage."""

    NOTHING = "nothing"
    V16 = "a storage of snakeMQ 1.6"
    STORAGE = "a storage of ours"


def prepare(connection: sqlite3.Connection, filename: str) -> None:
    """Bring the file to the present schema, whatever it holds.

    ``connection``: the only one to the file, in autocommit mode.

    All changes to data happen in one transaction, once the backup of the file is finished: a crash
    leaves either the old storage or the new one.

    Raises :exc:`StorageError`, and changes nothing, if the file belongs to something else or to a
    newer version of snakeMQ.
    """
    content, version = _recognise(connection, filename)
    if version < SCHEMA_VERSION:
        if content is Content.V16:
            back_up(connection, filename)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in chain.from_iterable(_MIGRATIONS[version:]):
                connection.execute(statement)
            if content is Content.V16:
                take_over_v16(connection, filename)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _recognise(connection: sqlite3.Connection, filename: str) -> tuple[Content, int]:
    application_id = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application_id == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            name = f"SQLite storage {filename!r}"
            raise too_new(name, version, SCHEMA_VERSION, "snakemq-storage-sql")
        return Content.STORAGE, version
    if application_id == 0 and version == 0:
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
            return Content.NOTHING, 0
        columns = [
            row[0] for row in connection.execute("SELECT name FROM pragma_table_info('items')")
        ]
        if columns == [name.encode() for name in V16_COLUMNS]:
            return Content.V16, 0
    raise StorageError(
        f"SQLite storage {filename!r}: this is not a database of snakeMQ"
        f" (application_id {application_id:#x}, user_version {version}); nothing was changed"
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


_MIGRATIONS = (_CREATE, _ADD_HEADERS)
"""The statements at index n bring version n to version n + 1. A new file goes through all of them,
so it is the same as one that was migrated."""

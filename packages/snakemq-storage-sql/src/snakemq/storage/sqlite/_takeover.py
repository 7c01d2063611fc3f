"""Taking over a file of snakeMQ 1.6, in place."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing

from snakemq.queues.parts import UnreadableItem, free_name, read_v16_message

from ._aside import set_aside
from ._rows import Columns, read_queue_name
from ._statements import insert_rows

log = logging.getLogger("snakemq.storage.sqlite")

V16_COLUMNS = ("queue_name", "uuid", "data", "ttl", "flags")
"""The columns of 1.6's table ``items`` in their order (snakemq/storage/sqlite.py of 1.6.0)."""

_PAGES_PER_STEP = 4096


def back_up(connection: sqlite3.Connection, filename: str) -> None:
    """Copy the database to ``FILENAME.snakemq-1.6-backup`` beside it, durably.

    An existing backup is never overwritten: the name becomes the next free one of
    ``...-backup-2``, ``...-backup-3`` and so on. An interrupted backup (``...-backup.partial``)
    starts over.
    """
    base = f"{filename}.snakemq-1.6-backup"
    partial = f"{base}.partial"
    for leftover in (partial, f"{partial}-journal"):
        if os.path.exists(leftover):
            os.unlink(leftover)
    # SQLite's own backup instead of a copy of the file: if its last writer crashed, the file alone
    # is not the whole database; and POSIX drops all locks that a process has on a file, ours too,
    # as soon as the process closes any descriptor of that file.
    with closing(sqlite3.connect(partial, isolation_level=None)) as target:
        connection.backup(target, pages=_PAGES_PER_STEP)
    name = free_name(base, os.path.exists, "-")
    os.rename(partial, name)
    log.info("%s is a storage of snakeMQ 1.6 and is taken over; backup: %s", filename, name)


def take_over_v16(connection: sqlite3.Connection, filename: str) -> None:
    """Move the rows of 1.6's table ``items`` to ours, in their order, and drop that table.

    Runs in the caller's transaction. What cannot be read is set aside.
    """
    taken = 0
    # One row at a time: a row may have many megabytes, a backlog many rows.
    rows = connection.execute("SELECT queue_name, uuid, data, ttl, flags FROM items ORDER BY rowid")
    for seq, (queue_name, uuid, data, ttl, flags) in enumerate(rows, 1):
        try:
            name = read_queue_name(queue_name)
            message = read_v16_message(uuid, ttl, flags, data)
            inserted = connection.execute(
                insert_rows(1, width=7),
                (seq, name, message.uuid, message.ttl, 0.0, message.flags, message.data),
            ).rowcount
            if not inserted:
                raise UnreadableItem("its uuid is already in this queue")
            taken += 1
        except UnreadableItem as error:
            columns = Columns(queue_name, uuid, ttl, None, flags, data, None)
            set_aside(connection, filename, columns, str(error))
    connection.execute("DROP TABLE items")
    log.info("%s: %d messages taken over from snakeMQ 1.6", filename, taken)

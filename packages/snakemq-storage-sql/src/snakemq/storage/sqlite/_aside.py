"""Keeping what is not a message: in the table ``set_aside``, and in the log."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

from ._rows import Columns, Text

log = logging.getLogger("snakemq.storage.sqlite")


def set_aside(connection: sqlite3.Connection, filename: str, columns: Columns, reason: str) -> None:
    """Keep a row that is not a message in the table ``set_aside``, and report it in the log."""
    cursor = connection.execute(
        "INSERT INTO set_aside (reason, queue_name, uuid, ttl, stored_at, flags, data, headers)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (reason, *map(_bindable, columns)),
    )
    log.error(
        "%s: a row of queue %r is not a message (%s); it was moved to the table set_aside, id %d",
        filename,
        columns.queue_name,
        reason,
        cursor.lastrowid,
    )


def _bindable(value: Any) -> Any:
    """Return a TEXT as a ``str``, so that it stays TEXT; if it cannot be decoded, as its bytes."""
    if not isinstance(value, Text):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return bytes(value)

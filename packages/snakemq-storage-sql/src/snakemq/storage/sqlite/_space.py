"""Giving back disk space that is no longer needed."""

from __future__ import annotations

import logging
import sqlite3
from time import monotonic

log = logging.getLogger("snakemq.storage.sqlite")

INTERVAL = 10.0
"""Seconds between two attempts while the storage is in use: a file that shrinks grows again."""

_MIB = 1 << 20


class Space:
    """Shrinks a file that is nearly empty.

    Otherwise it would keep the size of the longest backlog it ever had. VACUUM rewrites all that is
    left, so that must be little: 1 MiB takes 70 ms on a busy disk. ``auto_vacuum`` could do it in
    slices, but each push would pay for that, and an existing file would first have to be rewritten
    as a whole.
    """

    def __init__(self, connection: sqlite3.Connection, filename: str) -> None:
        self._connection = connection
        self._filename = filename
        self._page_size = _pragma(connection, "page_size")
        self._next_attempt = 0.0

    def give_back_at_rest(self) -> None:
        """Shrink the file when it is opened or closed, and there is no hurry."""
        self._shrink(least_free=_MIB, most_used=16 * _MIB)

    def give_back_in_use(self) -> None:
        """Shrink the file after a deletion. Costs 2 µs if there is nothing to give back."""
        free = _pragma(self._connection, "freelist_count")
        if free * self._page_size >= 4 * _MIB and monotonic() >= self._next_attempt:
            self._shrink(least_free=4 * _MIB, most_used=_MIB)

    def _shrink(self, least_free: int, most_used: int) -> None:
        free = _pragma(self._connection, "freelist_count") * self._page_size
        used = _pragma(self._connection, "page_count") * self._page_size - free
        if free < least_free or free < 3 * used or used > most_used:
            return
        self._next_attempt = monotonic() + INTERVAL
        try:
            self._connection.execute("VACUUM")
            # So far the result is only in the log. Writing it back makes the file shorter.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:  # the disk may be full; nothing has changed then
            log.warning("%s is nearly empty but could not shrink: %s", self._filename, error)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value

"""The border: what sqlite3 raises leaves this package as a StorageError."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from snakemq.exceptions import StorageError

# The primary result code is the low byte of the extended one.
_PRIMARY = 0xFF

_TEMPORARY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})

_ADVICE = {
    sqlite3.SQLITE_BUSY: "the file is in use by another process or another storage object;"
    " two owners would deliver its messages twice",
    sqlite3.SQLITE_FULL: "there is no space left for it",
    sqlite3.SQLITE_READONLY: "neither the file nor its directory may be read-only",
    sqlite3.SQLITE_NOTADB: "this file is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; `sqlite3 FILE .recover` may save what is in it",
}


@contextmanager
def translated(filename: str) -> Iterator[None]:
    """Raise :exc:`StorageError` for whatever sqlite3 raises in the ``with`` block.

    It is ``temporary`` when another owner holds the file or when the disk is full.
    ``OverflowError`` is an integer above 64 bits, which no column holds.
    """
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & _PRIMARY
        advice = _ADVICE.get(primary) if primary is not None else None
        if primary == sqlite3.SQLITE_CANTOPEN:
            advice = _why_not_opened(filename)
        raise StorageError(
            f"SQLite storage {filename!r}: {error}" + (f": {advice}" if advice else ""),
            temporary=primary in _TEMPORARY,
        ) from error


def _why_not_opened(filename: str) -> str:
    """SQLite says only "unable to open database file"; say what is the matter."""
    if os.path.isdir(filename):
        return "it is a directory; give the name of a file"
    directory = os.path.dirname(os.path.abspath(filename))
    if not os.path.isdir(directory):
        return f"the directory {directory!r} does not exist"
    return "check the permissions of the file and of its directory, which must be writable"

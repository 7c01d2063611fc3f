"""What the errors of sqlite3 mean."""

from __future__ import annotations

import errno
import os
import sqlite3

from snakemq.queues.parts import Failure, in_use

# The primary result code is the low byte of the extended one.
_PRIMARY = 0xFF

_TEMPORARY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})

_ADVICE = {
    sqlite3.SQLITE_BUSY: in_use("the file"),
    sqlite3.SQLITE_FULL: "there is no space left for it",
    sqlite3.SQLITE_READONLY: "the file and its directory must be writable",
    sqlite3.SQLITE_NOTADB: "this file is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; `sqlite3 FILE .recover` may save what is in it",
}


def explain(filename: str, error: Exception) -> Failure | None:
    """Say what an exception means, see :data:`~snakemq.queues.parts.Explain`.

    A failure is temporary if another owner has the file or the disk is full. ``OverflowError``
    means an integer above 64 bits, which no column holds; ``OSError`` comes from work on files
    beside the database.
    """
    if isinstance(error, OSError):
        return Failure(str(error), is_temporary=error.errno == errno.ENOSPC)
    if not isinstance(error, sqlite3.Error | OverflowError):
        return None
    primary = _primary(error)
    advice = _ADVICE.get(primary) if primary is not None else None
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        advice = _what_the_file_system_says(filename)
    return Failure(f"{error}: {advice}" if advice else str(error), primary in _TEMPORARY)


def is_temporary(error: Exception) -> bool:
    """May the same call succeed later, as far as SQLite says?"""
    return _primary(error) in _TEMPORARY


def _primary(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def _what_the_file_system_says(filename: str) -> str | None:
    """Find the reason where SQLite says only "unable to open database file" or "disk I/O error"."""
    directory = os.path.dirname(os.path.abspath(filename))
    if os.path.isdir(filename):
        return "it is a directory; give the name of a file"
    if not os.path.isdir(directory):
        return f"the directory {directory!r} does not exist"
    for path in (directory, filename):
        if os.path.exists(path) and not _writable(path):
            return f"{path!r} is not writable, but both the file and its directory must be"
    return None


def _writable(path: str) -> bool:
    # Ask instead of trying: closing a file that this process has locked drops the lock.
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

"""Connections that must not be closed, because closing them would do harm."""

from __future__ import annotations

_kept: list[object] = []


def never_close(connection: object) -> None:
    """Keep a connection from ever being closed, not even by the end of the process.

    Only the owner of a database may close it. A forked child that closes its copy of an SQLite
    connection moves what its stale copy of the log holds into the file, and deletes the log that
    the parent goes on writing to. Measured: a parent lost 490 of 500 commits because a child had
    inherited the connection and left through ``sys.exit``.
    """
    _kept.append(connection)
    # The reference in this module does not survive the interpreter's shutdown: leak another one.
    try:
        import ctypes  # late, because it is rarely needed

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    except (ImportError, AttributeError):  # an interpreter without reference counts
        pass

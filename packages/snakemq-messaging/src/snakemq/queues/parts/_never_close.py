"""Connections that must not be closed, because closing them would do harm."""

from __future__ import annotations

_kept: list[object] = []


def never_close(connection: object) -> None:
    """Keep a connection from ever being closed, not even by the end of the process.

    To close one is to believe that one owns the database. A forked child that closes its copy of an
    SQLite connection moves what its stale copy of the log holds into the file, and deletes the log
    that the parent goes on writing to. Measured: of 500 commits of a parent, 490 were lost because
    a child had inherited the connection and left through ``sys.exit``.
    """
    _kept.append(connection)
    # The reference in this module does not outlive the shutdown of the interpreter: leak another.
    try:
        import ctypes  # only where something has gone wrong

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    except (ImportError, AttributeError):  # an interpreter that does not count references
        pass

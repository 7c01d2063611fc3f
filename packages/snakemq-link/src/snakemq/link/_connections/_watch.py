"""What the poller tells about each connection."""

from __future__ import annotations

import contextlib

from .._loop._loop import Loop
from .._loop._poller import READ, WRITE
from ._socket import LinkSocket, Phase
from ._table import ConnectionTable


class Watch:
    """Has the poller watch connections for what they wait for at the moment."""

    def __init__(self, loop: Loop, table: ConnectionTable) -> None:
        self._loop = loop
        self._table = table

    def begin(self, conn: LinkSocket) -> None:
        """Watch a connection that has just been opened: it waits for input."""
        conn.want_write = False
        self.update(conn)

    def want_write(self, conn: LinkSocket, wanted: bool) -> None:
        """Does the connection wait for room?"""
        if conn.want_write != wanted:
            conn.want_write = wanted
            self.update(conn)
            self.wake_borrowed_poller()

    def wake_borrowed_poller(self) -> None:
        """A poller may not notice what changes in its sleep until it is asked again."""
        if not self._loop.in_loop():
            self._loop.wake_up()

    def update(self, conn: LinkSocket) -> None:
        """Watch for what the connection waits for now."""
        poller, fd = self._loop.poller, conn.sock.fileno()
        is_open = conn.phase is Phase.OPEN
        events = WRITE if conn.want_write else 0
        if conn.reading or not is_open:
            events |= READ
        if not events:
            # Not watched at all: a hang-up, which is told in any case, would come again and again.
            with contextlib.suppress(KeyError):  # there was no room for it, see below
                poller.unregister(fd)
            return
        handler = conn.on_readable if is_open and events == READ else conn.on_io
        try:
            try:
                poller.modify(fd, events, handler)
            except KeyError:  # it was not watched
                poller.register(fd, events, handler)
        except OSError as exc:  # no room for one more: it would stay deaf and dumb
            reason = f"cannot watch it: {exc}"
            self._loop.call_later(0, lambda: self._table.drop(conn, reason))

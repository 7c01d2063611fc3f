"""What the poller watches each connection for."""

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
        """Note whether the connection waits for room."""
        if conn.want_write != wanted:
            conn.want_write = wanted
            self.update(conn)
            self.wake_borrowed_poller()

    def wake_borrowed_poller(self) -> None:
        """Wake the poller if another thread has borrowed the loop: it may notice a change in its
        sleep only when it is called again."""
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
            # Do not watch it at all: pollers always report a hang-up, and would again and again.
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

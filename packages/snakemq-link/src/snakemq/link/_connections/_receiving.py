"""Input: reading from connections, and pauses in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from snakemq.callbacks import Callback

from .._loop._loop import Loop
from .._loop._poller import READ
from ._socket import RECV_SIZE, WOULD_BLOCK, LinkSocket
from ._table import ConnectionTable
from ._watch import Watch

if TYPE_CHECKING:
    from .._settings import Settings

_log = logging.getLogger("snakemq.link")

_LAST_WORDS = 8 * 1024 * 1024
"""Most bytes that are still read from a connection after a send has failed: more than a system
keeps of what the other side sent before it closed."""


class Receiving:
    """Reads from connections, a block at a time, and hands it to ``on_recv``."""

    def __init__(
        self, loop: Loop, table: ConnectionTable, watch: Watch, settings: Settings
    ) -> None:
        self.on_recv: Callback[[str, bytes]] = Callback()
        self._loop = loop
        self._table = table
        self._watch = watch
        self._settings = settings

    def on_readable(self, conn: LinkSocket, mask: int = READ) -> int:
        """Read once, and return how many bytes came. The poller calls this for nearly all events,
        because reading also reports hang-ups and errors."""
        if not conn.reading:
            return 0  # closed or paused by a callback of another connection in this pass
        size = conn.recv_size
        try:
            data = conn.recv(size)
        except WOULD_BLOCK:
            return 0
        except OSError as exc:
            self._table.ended(conn, exc)
            return 0
        received = len(data)
        if not received:
            self._table.ended(conn, None)
            return 0
        conn.has_received = True
        # Each read allocates a buffer and cuts it down to what came, so large ones are for bulk
        # transfers only.
        if received >= size < self._settings.recv_block_size:
            conn.recv_size = min(size * 2, self._settings.recv_block_size)
        elif received * 16 < size > RECV_SIZE:
            conn.recv_size = size // 2
        conn_id = conn.conn_id
        for func in self.on_recv.callbacks:  # copy of ConnectionTable.tell(), which takes 0.1 µs
            try:
                func(conn_id, data)
            except Exception:
                _log.exception("a callback raised")
            except BaseException:
                self._table.interrupted(conn)
                raise
        return received

    def pause(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.pause_reading`."""
        self._loop.check_process()
        conn = self._table.get(conn_id)
        conn.paused_by |= {reason}
        if conn.reading:
            conn.reading = False
            self._watch.update(conn)

    def resume(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        self._loop.check_process()
        conn = self._table.get(conn_id)
        conn.paused_by -= {reason}
        if conn.paused_by or conn.reading:
            return
        conn.reading = True
        self._watch.update(conn)
        if conn.keeps_bytes:
            self._loop.call_later(0, lambda: self.on_readable(conn))
        self._watch.wake_borrowed_poller()

    def drop_after_reading(self, conn: LinkSocket, reason: str, limit: int = _LAST_WORDS) -> None:
        """Drop a connection after reading what the other side sent before it closed.

        That may be a lot, so each pass reads one block. There is a limit, because the other side
        may only have stopped reading, and go on sending. While reading is paused, drop it at once.
        """
        size = self.on_readable(conn)
        if 0 < size < limit:
            self._loop.call_later(0, lambda: self.drop_after_reading(conn, reason, limit - size))
        else:
            self._table.drop(conn, reason)
